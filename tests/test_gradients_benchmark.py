"""The benchmark of gradients: what it measures is what it says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import inversion_kit as ik
from benchmarks import gradients
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import ClassToken

SEEDS = [3, 8]


@pytest.fixture(params=["predicts noise", "pocket", "pocket:quick"])
def generator(request: pytest.FixtureRequest, generator: Generator) -> Generator:
    if request.param == "predicts noise":
        return generator
    return ik.as_generator(request.param, num_inference_steps=3)


def into_last_step(generator: Generator, token: ClassToken) -> tuple[Tensor, Tensor]:
    """What the last denoising step saw, and the latents that it gave."""
    saw: list[Tensor] = []

    def keep(_module: Any, inputs: tuple[Any, ...]) -> None:
        saw.append(inputs[0][: len(SEEDS)])

    handle = generator.denoiser.register_forward_pre_hook(keep)
    clean = gradients.latents(generator, token, SEEDS)
    handle.remove()
    return saw[-1], clean


@torch.no_grad()
def test_the_last_step_done_again_on_its_own_noise_gives_the_same_latents(
    generator: Generator,
) -> None:
    token = ClassToken(generator.neutral_vector())
    noisy, clean = into_last_step(generator, token)
    scheduler = generator.pipeline.scheduler
    signal = scheduler.alphas_cumprod[int(scheduler.timesteps[-1])]
    noise = (noisy - signal.sqrt() * clean) / (1 - signal).sqrt()
    again = gradients.last_step(generator, token, clean, noise)
    torch.testing.assert_close(again, clean, atol=2e-4, rtol=0)


@torch.no_grad()
def test_the_last_step_on_fresh_noise_stays_near_the_latents() -> None:
    pocket = ik.as_generator("pocket")
    token = ClassToken(pocket.vector_of("stop"))
    clean = gradients.latents(pocket, token, SEEDS)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    error = (gradients.last_step(pocket, token, clean, noise) - clean).square().mean().sqrt()
    assert error < 0.25 * clean.std()


@pytest.mark.parametrize("policy", gradients.POLICIES)
def test_gradients_of_many_noises_at_once_are_those_of_each(policy: str) -> None:
    classifier = ik.as_classifier("pocket:honest")
    quick = ik.as_generator("pocket:quick", num_inference_steps=2)  # one later step alone
    asked = (classifier, quick, classifier.index("stop"), quick.neutral_vector(), policy)
    each = torch.cat([gradients.slopes(*asked, [seed]) for seed in SEEDS])
    torch.testing.assert_close(gradients.slopes(*asked, SEEDS), each, rtol=1e-2, atol=1e-4)
