"""The training loop of a class token, as an iterator of steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from inversion_kit import objectives
from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import NumericalError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.gradients import GradientPolicy
from inversion_kit.generators.memory import MicroBatch

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
    """One optimiser update: the images and scores that drove it, and the token after it.

    ``optimizer`` is Adam's state after it, to go on from. Of a generation of `cma.evolve`: images
    and scores of its best token, the middle of the tokens after it, and the ``losses`` of all.
    """

    step: int
    start: str
    loss: float
    gradient_norm: float
    token: Tensor
    images: Tensor
    probability: Tensor
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    optimizer: dict[str, Tensor] = field(default_factory=dict, repr=False)
    losses: Tensor = field(default_factory=lambda: torch.empty(0), repr=False)


@dataclass(frozen=True)
class Check:
    """The token on held-out noise: images ``(n, 3, y, x)``, softmax ``(n, class)``.

    ``loss`` is the mean of an objective of the user's own, where there is one.
    """

    token: Tensor
    images: Tensor
    probability: Tensor
    loss: float = math.nan


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
    objective: objectives.Objective | None = None,
    optimizer_state: dict[str, Tensor] | None = None,
    micro_batch: MicroBatch | None = None,
) -> Iterator[Step]:
    """Yield one `Step` an Adam update of a class token; print nothing, write nothing, stop never.

    Fresh noise each step; the mean of the objective over the batch; the
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
    objective
        From logits ``(n, class)`` and target ``(n,)`` to a loss an image, ``(n,)``, see
        `inversion_kit.objectives`; None is the default of the classifier's head.
    optimizer_state
        A step's ``optimizer``, to go on from it.
    micro_batch
        How many images to differentiate at once; it halves itself where memory runs out. The
        gradient is that of the whole batch, but for the rounding of a sum.

    Raises
    ------
    NumericalError
        The gradient is not finite, or does not reach the token at all.
    """
    token = ClassToken(start)
    rate = lr * generator.vocabulary_norm() / math.sqrt(start.numel())
    optimizer = torch.optim.Adam([token.vector], lr=rate, betas=(0.8, 0.99))
    if optimizer_state:
        state = optimizer.state_dict()
        state["state"] = {0: {name: value.clone() for name, value in optimizer_state.items()}}
        optimizer.load_state_dict(state)
    fitting = micro_batch or MicroBatch(batch)
    loss_of = objective or objectives.default(classifier)
    for step in range(first_step, first_step + steps):
        seeds = noise_seeds(seed, TRAIN, step, batch)
        asked = tuple(prompts[(step + i) % len(prompts)] for i in range(batch))
        late = generator.num_inference_steps // 2
        estimate_at = late + seeds[0] % (generator.num_inference_steps - late)

        def differentiate(
            part: slice,
            seeds: list[int] = seeds,
            asked: tuple[str, ...] = asked,
            estimate_at: int = estimate_at,
        ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            images = generator.images(
                asked[part],
                seeds=seeds[part],
                token=token,
                gradient=gradient,
                estimate_at=estimate_at,
            )
            logits = classifier.logits(images)
            wanted = torch.full((len(images),), target, device=logits.device)
            loss = objectives.bind(loss_of, images)(logits, wanted).sum() / batch
            (slope,) = torch.autograd.grad(loss, token.vector)
            return loss.detach(), slope, images.detach(), classifier.probability(logits.detach())

        losses, slopes, images, scores = zip(*fitting.parts(batch, differentiate), strict=True)
        token.vector.grad = torch.stack(slopes).sum(0) if len(slopes) > 1 else slopes[0]
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
            loss=float(torch.stack(losses).sum()),
            gradient_norm=norm.item(),
            token=token.vector.detach().clone(),
            images=torch.cat(images),
            probability=torch.cat(scores),
            prompts=asked,
            seeds=tuple(seeds),
            optimizer={k: v.clone() for k, v in optimizer.state[token.vector].items()},
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
    objective: objectives.Objective | None = None,
    target: int = 0,
) -> Check:
    """Sample a token on given noise and let the classifier score it, without a gradient.

    An ``objective`` is worked out for the class ``target``.
    """
    token = ClassToken(vector)
    asked = [prompts[i % len(prompts)] for i in range(len(seeds))]
    images = sample(
        generator, asked, seeds=seeds, token=token, batch=batch,
        num_inference_steps=num_inference_steps,
    )  # fmt: skip
    losses: list[Tensor] = []

    def score(part: slice) -> Tensor:
        logits = classifier.logits(images[part])
        if objective is not None:
            wanted = torch.full((len(logits),), target, device=logits.device)
            losses.append(objectives.bind(objective, images[part])(logits, wanted))
        return classifier.probability(logits)

    scores = MicroBatch(batch, of=classifier, doing="scores").parts(len(images), score)
    loss = float(torch.cat(losses).double().mean()) if losses else math.nan
    return Check(token.vector.detach(), images, torch.cat(scores), loss)


@torch.no_grad()
def sample(
    generator: Generator,
    prompts: Sequence[str],
    *,
    seeds: Sequence[int],
    token: ClassToken | None = None,
    batch: int = 32,
    num_inference_steps: int | None = None,
) -> Tensor:
    """Images ``(n, 3, y, x)`` without a gradient, at most ``batch`` at once and as many as fit."""
    parts = MicroBatch(batch, of=generator, doing="images").parts(
        len(seeds),
        lambda part: generator.images(
            prompts[part],
            seeds=seeds[part],
            token=token,
            num_inference_steps=num_inference_steps,
        ),
    )
    return torch.cat(parts)
