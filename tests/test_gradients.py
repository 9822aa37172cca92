"""Gradient policies: their names and gradients; test_families has their finite differences."""

from __future__ import annotations

import pytest
import torch
from families import ASKED, learn

from inversion_kit.errors import InputError
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.gradients import FULL, LAST_STEP, LATE_STEP, as_policy, last_k

SEED, STEPS = 4, 4


def test_a_policy_has_a_name():
    for policy in (LAST_STEP, FULL, LATE_STEP, last_k(2), last_k(10)):
        assert as_policy(policy.name) == as_policy(policy) == policy
    with pytest.raises(InputError, match="at least 1"):
        last_k(0)


@pytest.mark.parametrize("name", ["last", "last_0", "none", "FULL", "last_-1", 3, None])
def test_a_name_that_is_none_is_refused_with_those_that_are(name):
    with pytest.raises(InputError, match="'last_step', 'last_2'"):
        as_policy(name)


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
    token = ClassToken(vector).double()
    settings = {"num_inference_steps": STEPS, "guidance_scale": 2.0, "output_type": "latent"}
    settings |= {"generator": torch.Generator().manual_seed(SEED)}
    call = type(pipeline).__call__.__wrapped__
    with token.placed_in(generator.embedding, generator.encoders[0].token_id):
        latents = call(pipeline, [ASKED], callback_on_step_end=on_step_end, **settings).images
    return token, vae.decode(latents / vae.config.scaling_factor).sample / 2 + 0.5


def gradient_of(generator, vector, weight, policy, at=None):
    token, images = learn(generator, vector, seed=SEED, gradient=policy, estimate_at=at)
    (images * weight).sum().backward()
    return token.vector.grad[0]


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
    assert not learn(exact)[1].requires_grad
