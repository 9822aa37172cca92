"""The search: one criterion on held-out noise stops, restarts and selects."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from inversion_kit.errors import InputError
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.schema import NEUTRAL
from inversion_kit.search.optimise import check
from inversion_kit.search.probe import is_sum
from inversion_kit.search.search import IMPROVED, ends, search
from inversion_kit.seeds import VALIDATE, noise_seeds
from inversion_kit.settings import Settings

PROMPTS = (f"photo of {PLACEHOLDER}",)
SETTINGS = Settings(
    steps=6, batch=2, lr=0.3, stop_at=1.0, check_every=2, patience=1, validation=3, restarts=2
)


@pytest.fixture
def run(classifier, generator):
    """`search` for one label with `SETTINGS`; keywords replace its values."""

    def start(seed=0, target=1, watch=lambda history: None, **values):
        settings = dataclasses.replace(SETTINGS, **values)
        return search(classifier, generator, target, PROMPTS, settings, seed=seed, watch=watch)

    return start


def test_the_first_look_is_the_neutral_start_before_any_update(run, generator):
    check = run(steps=2).checks[0]
    assert (check.step, check.start) == (0, NEUTRAL)
    assert torch.equal(check.token[0], generator.neutral_vector())


def test_a_start_that_is_good_enough_needs_one_more_look(run):
    history = run(stop_at=1e-6, lr=1e-6)
    assert [check.step for check in history.checks] == [0, 1]  # its first images reach it too
    assert history.probe is None


EARLY = {"steps": 12, "check_every": 6, "patience": 99, "restarts": 0, "lr": 0.1}


def first_reached(run, at, **settings):
    """The goal that update ``at`` is the first to reach with its images, and how many do."""
    means = [step.mean(settings["target"]) for step in run(**{**EARLY, **settings}).steps]
    goal = means[at - 1]
    assert max(means[: at - 1]) < goal
    return goal, sum(mean >= goal for mean in means)


def test_a_token_whose_own_images_reach_the_goal_is_looked_at_at_once_and_only_once(run):
    goal, reached = first_reached(run, 9, target=2)
    assert reached > 1
    history = run(**EARLY, target=2, stop_at=goal)
    assert [check.step for check in history.checks] == [0, 6, 9, 12]


def test_an_early_look_that_is_no_better_takes_no_patience(run):
    still = {**EARLY, "lr": 1e-6, "target": 3}
    goal, _ = first_reached(run, 5, **still)
    history = run(**{**still, "patience": 1}, stop_at=goal)
    assert [check.step for check in history.checks] == [0, 5, 6]


def test_no_steps_is_a_check_alone(run):
    history = run(steps=0)
    assert not history.steps
    assert [check.step for check in history.checks] == [0]


def test_looks_come_at_the_start_every_few_steps_and_at_the_end(run):
    history = run(steps=5, patience=99, restarts=0)
    assert [check.step for check in history.checks] == [0, 2, 4, 5]


def test_it_stops_at_the_first_look_that_is_good_enough(run):
    settings = {"steps": 6, "patience": 99, "check_every": 1, "restarts": 0}
    scores = [check.score for check in run(**settings).checks]
    first = next(i for i, score in enumerate(scores) if score > scores[0])
    assert first < len(scores) - 1
    assert scores[first] <= scores[0] + IMPROVED
    history = run(**settings, stop_at=scores[first])
    assert [check.score for check in history.checks] == scores[: first + 1]
    assert len(history.steps) == first


@pytest.mark.parametrize(
    ("score", "before", "over"),
    [
        (0.7, 0.0, False),  # not reached
        (0.8, 0.6, False),  # reached, and it was much better than the one before
        (0.82, 0.8, True),
        (0.7, 0.8, True),  # the one before stays selected
        (0.96, 0.5, True),  # none can be much better
    ],
)
def test_when_a_look_ends_a_search(score, before, over):
    assert ends(score, before, 0.75) is over


@pytest.mark.parametrize("restarts", [1, 3])
def test_a_start_that_does_not_improve_gives_way_to_the_best_word_then_to_sums(run, restarts):
    history = run(lr=1e-6, steps=20, restarts=restarts)
    order = list(dict.fromkeys(check.start for check in history.checks))
    words = [name for name in history.probe.words if not is_sum(name)]
    sums = [name for name in history.probe.words if is_sum(name)]
    assert order == [NEUTRAL, words[0], *sums[: restarts - 1]]
    assert bool(sums) is (restarts > 1)
    waits = [w for w in order for _ in range(2)]
    assert [step.start for step in history.steps][: len(waits)] == waits


def test_the_best_token_goes_on_where_no_start_reaches_the_goal(run):
    history = run(steps=20, target=2, restarts=1)
    names = [step.start for step in history.steps]
    left = names.index(NEUTRAL, names.index(history.probe.words[0]))  # it comes back
    assert left < 20
    assert names[left:] == [NEUTRAL] * (20 - left)
    tried = [check for check in history.checks if check.step <= left]
    best = max(tried, key=lambda check: check.value)
    assert best.start == NEUTRAL
    assert best.value > history.checks[0].value + IMPROVED
    assert [check.step for check in history.checks[len(tried) :]] == list(range(left + 2, 21, 2))
    moved = (history.steps[left].token - best.token).norm()
    assert 0 < moved < (history.steps[left].token - history.steps[left - 1].token).norm()


def test_no_token_goes_on_where_none_is_better_than_the_first_one(run):
    history = run(steps=20, lr=0.1, restarts=1)
    assert max(check.value for check in history.checks) <= history.checks[0].value + IMPROVED
    assert len(history.steps) == 4


def test_all_starts_together_keep_to_the_steps(run):
    history = run(lr=1e-6, steps=3)
    assert [step.step for step in history.steps] == [0, 1, 2]
    assert len({step.seeds for step in history.steps}) == 3


def test_no_start_is_drawn_once_the_steps_are_used_up(run):
    history = run(steps=4, patience=99)
    assert {check.start for check in history.checks} == {NEUTRAL}
    assert history.probe is None


def test_a_given_word_is_the_only_start(run, generator):
    history = run(start="stop", lr=1e-6)
    assert {check.start for check in history.checks} == {"stop"}
    assert torch.equal(history.checks[0].token[0], generator.vector_of("stop"))
    assert history.probe is None


def test_a_given_word_gives_way_to_nothing_unless_it_is_told_to(run):
    assert len(run(start="stop", lr=1e-6, patience=None).steps) == SETTINGS.steps
    assert len(run(start="stop", lr=1e-6, patience=1).steps) == SETTINGS.check_every
    assert Settings(start="stop").changed() == {"start": "stop"}
    assert Settings(start="stop", patience=1).changed() == {"start": "stop", "patience": 1}


def test_a_start_without_tokens_is_refused(run):
    with pytest.raises(InputError, match="start="):
        run(start=" ")


def test_selected_is_the_look_of_the_highest_held_out_probability(run, classifier, generator):
    history = run(steps=6, patience=99)
    scores = [check.score for check in history.checks]
    assert scores[history.selected] == max(scores)
    chosen = history.checks[history.selected]
    held_out = noise_seeds(0, VALIDATE, 0, SETTINGS.validation)
    again = check(classifier, generator, chosen.token[0], PROMPTS, held_out, target=1)
    assert again.probability[:, 1].mean().item() == pytest.approx(max(scores), abs=1e-4)


def test_every_look_is_on_the_same_held_out_noise_which_training_never_sees(run):
    history = run(lr=1e-6, restarts=0, patience=99)
    first, *others = (check.images for check in history.checks)
    assert all(torch.allclose(first, other, atol=2e-3) for other in others)
    trained = {s for step in history.steps for s in step.seeds}
    assert not trained & set(noise_seeds(0, VALIDATE, 0, SETTINGS.validation))


def test_the_watcher_is_called_after_every_step_and_look(run):
    seen = []
    history = run(watch=lambda f: seen.append((len(f.steps), len(f.checks))))
    assert len(seen) == len(history.steps) + len(history.checks)
    assert seen == sorted(seen)


def test_the_same_seed_finds_the_same(run):
    first, second = run(), run()
    assert [check.score for check in first.checks] == [check.score for check in second.checks]
    assert torch.equal(first.checks[-1].token, second.checks[-1].token)
