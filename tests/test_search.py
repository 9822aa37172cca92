"""The search: one criterion on held-out noise stops, restarts and selects."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from inversion_kit.errors import InputError
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.generators.gradients import LAST_STEP
from inversion_kit.search.optimise import VALIDATE, check, noise_seeds
from inversion_kit.search.search import NEUTRAL, Plan, search

PROMPTS = (f"photo of {PLACEHOLDER}",)
PLAN = Plan(
    steps=6, batch=2, lr=0.3, gradient=LAST_STEP, stop_at=1.0, check_every=2, patience=1,
    validation=3, restarts=2, start=None,
)  # fmt: skip


@pytest.fixture
def run(classifier, generator):
    """`search` for one label with `PLAN`; keywords replace its values."""

    def start(seed=0, target=1, watch=lambda found: None, **values):
        plan = dataclasses.replace(PLAN, **values)
        return search(classifier, generator, target, PROMPTS, plan, seed=seed, watch=watch)

    return start


def test_the_first_look_is_the_neutral_start_before_any_update(run, generator):
    look = run(steps=2).looks[0]
    assert (look.step, look.start) == (0, NEUTRAL)
    assert torch.equal(look.check.token[0], generator.neutral_vector())


def test_a_start_that_is_good_enough_needs_no_step(run):
    found = run(stop_at=1e-6)
    assert not found.steps
    assert len(found.looks) == 1
    assert found.probe is None


def test_no_steps_is_a_look_alone(run):
    found = run(steps=0)
    assert not found.steps
    assert [look.step for look in found.looks] == [0]


def test_looks_come_at_the_start_every_few_steps_and_at_the_end(run):
    found = run(steps=5, patience=99, restarts=0)
    assert [look.step for look in found.looks] == [0, 2, 4, 5]


def test_it_stops_at_the_first_look_that_is_good_enough(run):
    settings = {"steps": 6, "patience": 99, "check_every": 1, "restarts": 0}
    scores = [look.score for look in run(**settings).looks]
    first = next(i for i, score in enumerate(scores) if score > scores[0])
    assert first < len(scores) - 1
    found = run(**settings, stop_at=scores[first])
    assert [look.score for look in found.looks] == scores[: first + 1]
    assert len(found.steps) == first


def test_a_start_that_does_not_improve_gives_way_to_the_probes_best_words(run):
    found = run(lr=1e-6, steps=20)
    order = list(dict.fromkeys(look.start for look in found.looks))
    assert order == [NEUTRAL, *found.probe.words[:2]]
    assert [step.start for step in found.steps] == [w for w in order for _ in range(2)]


def test_all_starts_together_keep_to_the_steps(run):
    found = run(lr=1e-6, steps=3)
    assert [step.step for step in found.steps] == [0, 1, 2]
    assert len({step.seeds for step in found.steps}) == 3


def test_no_start_is_drawn_once_the_steps_are_used_up(run):
    found = run(steps=4, patience=99)
    assert {look.start for look in found.looks} == {NEUTRAL}
    assert found.probe is None


def test_a_given_word_is_the_only_start(run, generator):
    found = run(start="stop", lr=1e-6)
    assert {look.start for look in found.looks} == {"stop"}
    assert torch.equal(found.looks[0].check.token[0], generator.vector_of("stop"))
    assert found.probe is None


def test_a_start_without_tokens_is_refused(run):
    with pytest.raises(InputError, match="start="):
        run(start=" ")


def test_selected_is_the_look_of_the_highest_held_out_probability(run, classifier, generator):
    found = run(steps=6, patience=99)
    scores = [look.score for look in found.looks]
    assert scores[found.selected] == max(scores)
    chosen = found.looks[found.selected].check
    held_out = noise_seeds(0, VALIDATE, 0, PLAN.validation)
    again = check(classifier, generator, chosen.token[0], PROMPTS, held_out)
    assert again.probability[:, 1].mean().item() == pytest.approx(max(scores), abs=1e-4)


def test_every_look_is_on_the_same_held_out_noise_which_training_never_sees(run):
    found = run(lr=1e-6, restarts=0, patience=99)
    first, *others = (look.check.images for look in found.looks)
    assert all(torch.allclose(first, other, atol=2e-3) for other in others)
    trained = {s for step in found.steps for s in step.seeds}
    assert not trained & set(noise_seeds(0, VALIDATE, 0, PLAN.validation))


def test_the_watcher_is_called_after_every_step_and_look(run):
    seen = []
    found = run(watch=lambda f: seen.append((len(f.steps), len(f.looks))))
    assert len(seen) == len(found.steps) + len(found.looks)
    assert seen == sorted(seen)


def test_the_same_seed_finds_the_same(run):
    first, second = run(), run()
    assert [look.score for look in first.looks] == [look.score for look in second.looks]
    assert torch.equal(first.looks[-1].check.token, second.looks[-1].check.token)
