"""The training loop: fresh noise, one moving vector, and errors where no gradient comes."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.preprocess import Preprocess
from inversion_kit.errors import NumericalError
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.gradients import FULL, LAST_STEP, LATE_STEP
from inversion_kit.search.optimise import check, optimise
from inversion_kit.seeds import FREE, PROBE, TEST, TRAIN, VALIDATE, noise_seeds

PROMPTS = (f"photo of {PLACEHOLDER}", f"big {PLACEHOLDER}")
STREAMS = (TRAIN, VALIDATE, TEST, PROBE, FREE)


@pytest.fixture
def run(classifier, generator):
    """`optimise` with small settings; keywords replace them."""

    def start(**settings):
        small = {
            "classifier": classifier,
            "generator": generator,
            "target": 1,
            "prompts": PROMPTS,
            "start": generator.neutral_vector(),
            "start_name": "neutral",
            "seed": 0,
            "steps": 3,
            "batch": 2,
            "lr": 0.3,
            "gradient": LAST_STEP,
        }
        return list(optimise(**{**small, **settings}))

    return start


def test_noise_seeds_of_streams_steps_and_runs_never_meet():
    drawn = [
        noise_seeds(seed, stream, step, 16)
        for seed, stream, step in itertools.product(range(4), STREAMS, range(50))
    ]
    flat = list(itertools.chain.from_iterable(drawn))
    assert len(set(flat)) == len(flat)
    assert all(0 <= s < 2**63 for s in flat)


def test_noise_seeds_are_the_same_every_run_and_for_any_count():
    assert noise_seeds(3, TRAIN, 1, 4) == noise_seeds(3, TRAIN, 1, 9)[:4]


def test_a_step_tells_all_that_was_seen(run, generator, classifier):
    steps = run()
    assert [s.step for s in steps] == [0, 1, 2]
    one = steps[1]
    assert one.start == "neutral"
    assert one.seeds == tuple(noise_seeds(0, TRAIN, 1, 2))
    assert one.images.shape == (2, 3, 16, 16)
    assert one.probability.shape == (2, len(classifier.labels))
    assert torch.allclose(one.probability.sum(1), torch.ones(2))
    assert one.loss == pytest.approx(-one.probability[:, 1].log().mean().item(), rel=1e-4)
    assert one.gradient_norm > 0
    assert not one.images.requires_grad
    assert not one.probability.requires_grad
    before = ClassToken(steps[0].token[0])
    again = generator.images(one.prompts, seeds=one.seeds, token=before)
    assert torch.allclose(one.images, again, atol=1e-5)


def test_prompts_take_turns_over_the_batch_and_the_steps(run):
    first, second = run(steps=2, batch=3)
    assert first.prompts == (PROMPTS[0], PROMPTS[1], PROMPTS[0])
    assert second.prompts == (PROMPTS[1], PROMPTS[0], PROMPTS[1])


def test_noise_is_fresh_every_step(run):
    seeds = [s for step in run(steps=4) for s in step.seeds]
    assert len(set(seeds)) == len(seeds)


def test_the_same_seed_repeats_the_run_bit_for_bit(run):
    first, second, other = run(), run(), run(seed=1)
    assert torch.equal(first[-1].token, second[-1].token)
    assert torch.equal(first[-1].images, second[-1].images)
    assert not torch.equal(first[-1].token, other[-1].token)


def test_a_run_that_goes_on_draws_the_noise_of_its_own_step(run):
    assert run(first_step=2, steps=1)[0].seeds == run(steps=3)[2].seeds


def test_the_steps_hold_separate_tokens(run):
    first, second, _ = run()
    assert not torch.equal(first.token, second.token)


def test_the_first_step_has_the_stated_length(run, generator):
    start = generator.neutral_vector()
    moved = run(steps=1, lr=0.5)[0].token[0] - start
    per_value = 0.5 * generator.vocabulary_norm() / math.sqrt(start.numel())
    assert torch.allclose(moved.abs(), torch.full_like(moved, per_value), rtol=1e-2)


@pytest.mark.parametrize("gradient", [LAST_STEP, FULL, LATE_STEP])
def test_the_label_becomes_likelier_on_noise_that_was_not_trained_on(
    run, classifier, generator, gradient
):
    start = generator.vector_of("stop")
    held_out = noise_seeds(0, VALIDATE, 0, 16)
    before = check(classifier, generator, start, PROMPTS, held_out, target=0).probability[:, 0]
    last = run(start=start, target=0, steps=12, batch=4, lr=1.0, gradient=gradient)[-1]
    after = check(classifier, generator, last.token[0], PROMPTS, held_out, target=0).probability[
        :, 0
    ]
    assert after.log().mean() > before.log().mean() + 0.05


def test_nothing_of_generator_and_classifier_moves(run, classifier, make_generator):
    generator = make_generator()
    before = classifier.hash
    run(generator=generator)
    assert generator.fresh_hash() == generator.hash
    classifier.__dict__.pop("hash")
    assert classifier.hash == before


class Steps(nn.Module):
    """A classifier without a useful gradient: its logits are whole numbers."""

    def forward(self, images):
        return images.mean((2, 3))[:, :2].mul(10).round()


def test_a_gradient_of_exactly_zero_is_an_error(run):
    blind = Classifier(Steps(), Preprocess(), ["a", "b"], name="blind")
    with pytest.raises(NumericalError, match=r"step 0: .* exactly zero"):
        run(classifier=blind)


class Cliff(nn.Module):
    """Finite logits with a gradient that is not."""

    def forward(self, images):
        flat = (images - images.detach()).abs().sum((2, 3))[:, :2]
        return flat.sqrt()


def test_a_gradient_that_is_not_finite_is_an_error(run):
    cliff = Classifier(Cliff(), Preprocess(), ["a", "b"], name="cliff")
    with pytest.raises(NumericalError, match=r"step 0: .* not finite"):
        run(classifier=cliff)


def test_the_loop_prints_nothing(run, capfd):
    run()
    assert capfd.readouterr() == ("", "")


def test_a_check_has_no_gradient_and_does_not_depend_on_its_batch(classifier, generator):
    vector, seeds = generator.vector_of("cat"), noise_seeds(0, TEST, 0, 5)
    whole = check(classifier, generator, vector, PROMPTS, seeds, target=0)
    parts = check(classifier, generator, vector, PROMPTS, seeds, target=0, batch=2)
    assert not whole.images.requires_grad
    assert whole.probability.shape == (5, len(classifier.labels))
    assert torch.allclose(whole.images, parts.images, atol=1e-5)
    assert torch.allclose(whole.probability, parts.probability, atol=0.02)
    assert torch.equal(whole.token[0], vector)
