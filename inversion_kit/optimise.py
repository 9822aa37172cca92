"""The training loop of a class token, as an iterator of steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inversion_kit.class_token import ClassToken
from inversion_kit.classifiers import Classifier
from inversion_kit.errors import NumericalError
from inversion_kit.generators import Generator
from inversion_kit.gradients import GradientPolicy

TRAIN, VALIDATE, TEST, PROBE = 1, 2, 3, 4
"""Streams of noise: training, stopping and selecting, reporting, probing. They never meet."""


def noise_seeds(seed: int, stream: int, step: int, n: int) -> list[int]:
    """``n`` integer seeds of one step of one stream: fresh for every step, the same every run.

    Examples
    --------
    >>> noise_seeds(0, TRAIN, 0, 2) == noise_seeds(0, TRAIN, 0, 2)
    True
    >>> set(noise_seeds(0, TRAIN, 0, 8)) & set(noise_seeds(0, TRAIN, 1, 8))
    set()
    """
    state = np.random.SeedSequence([seed, stream, step]).generate_state(n, np.uint64)
    return [int(s >> np.uint64(1)) for s in state]


@dataclass(frozen=True)
class Step:
    """One optimiser update: the images and scores that drove it, and the token after it."""

    step: int
    start: str
    loss: float
    gradient_norm: float
    token: Tensor
    images: Tensor
    probability: Tensor
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Check:
    """The token on held-out noise: images ``(n, 3, y, x)``, softmax ``(n, class)``."""

    token: Tensor
    images: Tensor
    probability: Tensor


def optimise(
    classifier: Classifier,
    generator: Generator,
    target: int,
    prompts: Sequence[str],
    *,
    start: Tensor,
    start_name: str,
    seed: int,
    first_step: int = 0,
    steps: int,
    batch: int,
    lr: float,
    gradient: GradientPolicy,
    max_gradient_norm: float = 1.0,
) -> Iterator[Step]:
    """Yield one `Step` an Adam update of a class token; print nothing, write nothing, stop never.

    Fresh noise each step. Cross-entropy to ``target`` (Schwartz et al. 2023, equation 3); the
    gradient is clipped after the backward pass. Adam has no weight decay and one parameter.

    Parameters
    ----------
    target
        Class index.
    prompts
        Prompts with the placeholder, taken in turn over the batch.
    start
        Vector ``(embed,)`` to start from.
    lr
        Length of a step, in units of the generator's mean word-embedding norm: Adam's learning
        rate is ``lr * norm / sqrt(embed)``.

    Raises
    ------
    NumericalError
        The gradient is not finite, or does not reach the token at all.
    """
    token = ClassToken(start)
    rate = lr * generator.vocabulary_norm() / math.sqrt(start.numel())
    optimizer = torch.optim.Adam([token.vector], lr=rate, betas=(0.8, 0.99))
    for step in range(first_step, first_step + steps):
        seeds = noise_seeds(seed, TRAIN, step, batch)
        asked = tuple(prompts[(step + i) % len(prompts)] for i in range(batch))
        late = generator.num_inference_steps // 2
        estimate_at = late + seeds[0] % (generator.num_inference_steps - late)
        images = generator.images(
            asked, seeds=seeds, token=token, gradient=gradient, estimate_at=estimate_at
        )
        logits = classifier.logits(images)
        loss = F.cross_entropy(logits, torch.full((batch,), target, device=logits.device))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([token.vector], max_gradient_norm)
        if not torch.isfinite(norm):
            raise NumericalError(f"step {step}: the gradient of the class token is not finite")
        if norm == 0:
            raise NumericalError(
                f"step {step}: the gradient of the class token is exactly zero; the classifier or "
                "its preprocessing is not differentiable"
            )
        optimizer.step()
        optimizer.zero_grad()
        yield Step(
            step=step,
            start=start_name,
            loss=loss.item(),
            gradient_norm=norm.item(),
            token=token.vector.detach().clone(),
            images=images.detach(),
            probability=logits.detach().softmax(1),
            prompts=asked,
            seeds=tuple(seeds),
        )


@torch.no_grad()
def check(
    classifier: Classifier,
    generator: Generator,
    vector: Tensor,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    batch: int = 32,
    num_inference_steps: int | None = None,
) -> Check:
    """Sample a token on given noise and let the classifier score it, without a gradient."""
    token = ClassToken(vector)
    asked = [prompts[i % len(prompts)] for i in range(len(seeds))]
    parts = [
        generator.images(
            asked[i : i + batch],
            seeds=seeds[i : i + batch],
            token=token,
            num_inference_steps=num_inference_steps,
        )
        for i in range(0, len(seeds), batch)
    ]
    images = torch.cat(parts)
    scores = [classifier.logits(part).softmax(1) for part in parts]
    return Check(token.vector.detach(), images, torch.cat(scores))
