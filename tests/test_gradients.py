"""Gradient policies: their names, and their gradients against finite differences."""

from __future__ import annotations

import pytest
import torch

from inversion_kit.errors import InputError
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.gradients import FULL, LAST_STEP, LATE_STEP, as_policy, last_k

ASKED, SEED, STEPS = f"photo of {PLACEHOLDER}", 4, 4


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("last_step", LAST_STEP),
        ("full", FULL),
        ("late_step", LATE_STEP),
        ("last_2", last_k(2)),
        ("last_10", last_k(10)),
        (FULL, FULL),
    ],
)
def test_a_policy_is_found_by_name(name, policy):
    assert as_policy(name) == policy


@pytest.mark.parametrize("name", ["last", "last_0", "none", "FULL", "last_-1", 3, None])
def test_a_name_that_is_none_is_refused_with_those_that_are(name):
    with pytest.raises(InputError, match="'last_step', 'last_2'"):
        as_policy(name)


def test_k_is_at_least_1():
    with pytest.raises(InputError, match="at least 1"):
        last_k(0)


@pytest.fixture(scope="module")
def exact(make_generator):
    """The tiny generator in float64, its images well inside the clamp."""
    made = make_generator(torch.float64)
    made.pipeline.vae.decoder.conv_out.weight.data *= 0.4
    return made


@pytest.fixture(scope="module")
def weight(exact):
    """Fixed weights that make one number of an image."""
    image = exact.images(["photo of cat"], seeds=[SEED])
    assert image.min() > 0.02
    assert image.max() < 0.98
    return torch.randn(image.shape, generator=torch.Generator().manual_seed(0))


def sample(generator, vector, on_step_end):
    """The image of a vector through the pipeline's own call, with diffusers' step callback."""
    pipeline, vae = generator.pipeline, generator.pipeline.vae
    token = ClassToken(vector)
    with token.shown_to(generator.embedding, generator.encoders[0].token_id):
        latents = type(pipeline).__call__.__wrapped__(
            pipeline, [ASKED], num_inference_steps=STEPS, guidance_scale=2.0,
            generator=[torch.Generator().manual_seed(SEED)], output_type="latent",
            callback_on_step_end=on_step_end,
        ).images  # fmt: skip
    return token, vae.decode(latents / vae.config.scaling_factor).sample / 2 + 0.5


def gradient_of(generator, vector, weight, policy, at=None):
    token = ClassToken(vector)
    images = generator.images([ASKED], seeds=[SEED], token=token, gradient=policy, estimate_at=at)
    (images * weight).sum().backward()
    return token.vector.grad[0]


def slope(value, vector, direction, h=3e-3):
    """Central difference of ``value`` along ``direction``, of fourth order."""
    with torch.no_grad():
        one = value(vector + h * direction) - value(vector - h * direction)
        two = value(vector + 2 * h * direction) - value(vector - 2 * h * direction)
    return ((8 * one - two) / (12 * h)).item()


def directions(gradient):
    """The gradient's own direction and two random ones, each of length 1."""
    random = torch.randn(2, len(gradient), generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.normalize(torch.cat([gradient[None], random]), dim=1)


def test_full_agrees_with_finite_differences(exact, weight):
    start = exact.vector_of("cat")
    gradient = gradient_of(exact, start, weight, FULL)

    def value(vector):
        token = ClassToken(vector)
        return (exact.images([ASKED], seeds=[SEED], token=token) * weight).double().sum()

    size = gradient.norm().item()
    for direction in directions(gradient):
        expected = slope(value, start, direction)
        assert (gradient @ direction).item() == pytest.approx(expected, abs=2e-3 * size)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_last_k_agrees_with_finite_differences_behind_fixed_latents(exact, weight, k):
    start = exact.vector_of("cat")
    gradient = gradient_of(exact, start, weight, last_k(k))
    fixed = {}

    def keep(pipeline, step, time, values):
        fixed[step] = values["latents"]
        return {}

    def put(pipeline, step, time, values):
        return {"latents": fixed[step]} if step == STEPS - k - 1 else {}

    with torch.no_grad():
        sample(exact, start, keep)

    def value(vector):
        return (sample(exact, vector, put)[1] * weight).sum()

    size = gradient.norm().item()
    for direction in directions(gradient):
        expected = slope(value, start, direction)
        assert (gradient @ direction).item() == pytest.approx(expected, abs=2e-3 * size)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_last_k_is_the_gradient_behind_detached_latents(exact, weight, k):
    start = exact.vector_of("cat")

    def cut(pipeline, step, time, values):
        return {"latents": values["latents"].detach()} if step == STEPS - k - 1 else {}

    token, image = sample(exact, start, cut)
    (image * weight).sum().backward()
    gradient = gradient_of(exact, start, weight, last_k(k))
    assert torch.allclose(gradient, token.vector.grad[0], rtol=1e-4, atol=1e-7)


def test_the_policies_differ_and_meet_where_they_should(exact, weight):
    start = exact.vector_of("cat")
    full = gradient_of(exact, start, weight, FULL)
    last = gradient_of(exact, start, weight, LAST_STEP)
    assert torch.equal(gradient_of(exact, start, weight, last_k(STEPS)), full)
    assert torch.equal(gradient_of(exact, start, weight, last_k(1)), last)
    assert (full - last).norm() > 0.05 * full.norm()
    late = gradient_of(exact, start, weight, LATE_STEP, at=STEPS - 1)
    assert torch.allclose(late, last, rtol=1e-4, atol=1e-7)
    assert (gradient_of(exact, start, weight, LATE_STEP, at=2) - last).norm() > 0.05 * last.norm()


def test_none_has_no_gradient(exact):
    token = ClassToken(exact.vector_of("cat"))
    assert not exact.images([ASKED], seeds=[SEED], token=token).requires_grad
