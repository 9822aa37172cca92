"""Classifier guidance while sampling: the baseline without any token.

After each denoising step the latents move along the classifier's gradient, as seen in the picture
that the denoiser expects of them (Dhariwal and Nichol 2021 on noisy pictures; on expected ones
Bansal et al., Universal Guidance, 2023). The classifier sees every picture that it is judged by.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.claims.bench import Bench, Reading
from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.sample import sample
from inversion_kit.generators.sampling import estimate
from inversion_kit.seeds import TEST, noise_seeds

LENGTH = 0.1
"""How far the latents move after a step, in units of their own norm. Of 0.05, 0.1, 0.2 and 0.4 the
one whose pictures the judge read best, on validation noise and four labels of the pocket: 53, 78,
75 and 66 %."""


def guided(
    generator: Generator,
    classifier: Classifier,
    target: int,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    length: float = LENGTH,
) -> Tensor:
    """Pictures of prompts ``(n, 3, y, x)``, pushed towards a class while they are sampled.

    Parameters
    ----------
    generator
        A Stable Diffusion with a U-Net.
    length
        0 for no push.
    """
    pipeline = generator.pipeline

    def push(_pipeline: Any, index: int, _timestep: Any, given: dict[str, Any]) -> dict[str, Any]:
        steps = pipeline.scheduler.timesteps
        if index + 1 >= len(steps) or not length:
            return given
        with torch.enable_grad():
            latents = given["latents"].detach().requires_grad_()
            words = given["prompt_embeds"][-len(latents) :]
            noise = pipeline.unet(latents, steps[index + 1], encoder_hidden_states=words).sample
            clean = estimate(pipeline.scheduler, noise, steps[index + 1], latents, index + 1)
            image = pipeline.vae.decode(clean / pipeline.vae.config.scaling_factor).sample / 2 + 0.5
            image = image + (image.clamp(0, 1) - image).detach()
            wanted = torch.full((len(image),), target)
            loss = F.cross_entropy(classifier.logits(image), wanted, reduction="sum")
            (slope,) = torch.autograd.grad(loss, latents)
        far = length * latents.flatten(1).norm(dim=1) / (slope.flatten(1).norm(dim=1) + 1e-12)
        return {**given, "latents": (latents - far[:, None, None, None] * slope).detach()}

    pushed = copy.copy(generator)
    asked = ["latents", "prompt_embeds"]
    pushed.call = {
        **generator.call,
        "callback_on_step_end": push,
        "callback_on_step_end_tensor_inputs": asked,
    }
    return sample(pushed, prompts, seeds=seeds)


def guided_reading(bench: Bench, generator: str, label: int, prompt: str, seed: int) -> Reading:
    """What is read in guided pictures of a prompt, on the same noise as without guidance."""
    what = {"prompt": prompt, "label": label, "seed": seed, "n": bench.images, "length": LENGTH}

    def paint() -> Tensor:
        made = bench.generators[generator]
        seeds = noise_seeds(seed, TEST, 0, bench.images)
        return guided(made, bench.classifier, label, [prompt] * bench.images, seeds)

    return bench.kept_reading("guided", what | bench.models(generator), paint)
