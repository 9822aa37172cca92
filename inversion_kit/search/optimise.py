"""The training loop of a class token, as an iterator of steps."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from inversion_kit import objectives
from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import NumericalError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.gradients import GradientPolicy
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.generators.sample import sample
from inversion_kit.search.history import Check, Step
from inversion_kit.seeds import TRAIN, noise_seeds


@torch.inference_mode(False)  # gradients come with it, whatever the caller has set
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
    classifier, generator
        That the token is trained for, and in; both stay frozen.
    target
        Class index, from 0.
    prompts
        Prompts with the placeholder, taken in turn over the batch.
    start
        Float32 ``(embed,)``, the vector to start from.
    start_name
        What steps say they began at.
    seed
        Of the noise, at least 0.
    first_step, steps
        Number of the first update, at least 0, from which its noise follows, and how many.
    batch
        Images of an update, at least 1.
    lr
        Length of a step, above 0, in units of the generator's mean word-embedding norm: Adam's
        learning rate is ``lr * norm / sqrt(embed)``.
    gradient
        Through which denoising steps, see `inversion_kit.generators.gradients`.
    max_gradient_norm
        Euclidean length that the gradient is clipped to, above 0.
    objective
        From logits ``(n, class)`` and target ``(n,)`` to a loss an image, ``(n,)``, see
        `inversion_kit.objectives`; None is the default of the classifier's head.
    optimizer_state
        A step's ``optimizer``, to go on from it.
    micro_batch
        How many images to differentiate at once; it halves itself where memory runs out. The
        gradient is that of the whole batch, but for the rounding of a sum.

    Yields
    ------
    Step
        ``steps`` of them, each when its update is made.

    Raises
    ------
    NumericalError
        The gradient is not finite, or does not reach the token at all.
    """
    token = ClassToken(start)
    rate = lr * generator.vocabulary_norm() / math.sqrt(start.numel())
    optimizer = torch.optim.Adam([token.vector], lr=rate, betas=(0.8, 0.99))
    if optimizer_state:
        before = {name: value.clone() for name, value in optimizer_state.items()}
        optimizer.load_state_dict({**optimizer.state_dict(), "state": {0: before}})
    fitting = micro_batch or MicroBatch(batch)
    loss_of = objective or objectives.default(classifier)
    for step in range(first_step, first_step + steps):
        seeds = noise_seeds(seed, TRAIN, step, batch)
        asked = tuple(prompts[(step + i) % len(prompts)] for i in range(batch))
        differentiate = functools.partial(
            _differentiate, classifier, generator, target, loss_of, token, gradient, asked, seeds
        )
        losses, slopes, images, scores = zip(*fitting.parts(batch, differentiate), strict=True)
        token.vector.grad = torch.stack(slopes).sum(0) if len(slopes) > 1 else slopes[0]
        norm = _clipped(token, max_gradient_norm, step)
        optimizer.step()
        optimizer.zero_grad()
        yield Step(
            step=step,
            start=start_name,
            loss=float(torch.stack(losses).sum()),
            gradient_norm=norm,
            token=token.vector.detach().clone(),
            images=torch.cat(images),
            probability=torch.cat(scores),
            prompts=asked,
            seeds=tuple(seeds),
            optimizer={k: v.clone() for k, v in optimizer.state[token.vector].items()},
        )


def _differentiate(
    classifier: Classifier,
    generator: Generator,
    target: int,
    loss_of: objectives.Objective,
    token: ClassToken,
    gradient: GradientPolicy,
    prompts: Sequence[str],
    seeds: Sequence[int],
    part: slice,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A part of a batch: its share of the mean loss, the slope of that, images, probabilities."""
    late = generator.num_inference_steps // 2
    images = generator.images(
        prompts[part],
        seeds=seeds[part],
        token=token,
        gradient=gradient,
        estimate_at=late + seeds[0] % (generator.num_inference_steps - late),
    )
    logits = classifier.logits(images)
    wanted = torch.full((len(images),), target, device=logits.device)
    loss = objectives.bind(loss_of, images)(logits, wanted).sum() / len(seeds)
    (slope,) = torch.autograd.grad(loss, token.vector)
    return loss.detach(), slope, images.detach(), classifier.probability(logits.detach())


def _clipped(token: ClassToken, most: float, step: int) -> float:
    """The norm of a token's gradient, which is clipped to ``most``."""
    norm = float(torch.nn.utils.clip_grad_norm_([token.vector], most))  # the device is read once
    if not math.isfinite(norm):
        raise NumericalError(f"step {step}: the gradient of the class token is not finite")
    if norm == 0:
        raise NumericalError(
            f"step {step}: the gradient of the class token is exactly zero; the classifier or "
            "its preprocessing is not differentiable"
        )
    return norm


@torch.no_grad()
def check(
    classifier: Classifier,
    generator: Generator,
    vector: Tensor,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    target: int,
    step: int = 0,
    start: str = "",
    objective: objectives.Objective | None = None,
    batch: int = 32,
    micro_batch: MicroBatch | None = None,
) -> Check:
    """Sample a token on given noise and let the classifier score it, without a gradient.

    Parameters
    ----------
    vector
        Float ``(embed,)`` or ``(vector, embed)``.
    prompts
        With the placeholder, taken in turn over the seeds.
    seeds
        ``n`` noise seeds.
    target
        Class index.
    step, start
        What the check says of itself.
    objective
        One of the user's own, whose mean is worked out too.
    batch
        Images at once, at most.
    micro_batch
        In its place: how many at once, which halves itself where memory runs out.

    Returns
    -------
    Check
        Its images are float ``(n, 3, y, x)`` in [0, 1].
    """
    token = ClassToken(vector)
    fitting = micro_batch or MicroBatch(batch, of=classifier, doing="scores")
    batch = batch if micro_batch is None else micro_batch.size
    asked = [prompts[i % len(prompts)] for i in range(len(seeds))]
    images = sample(generator, asked, seeds=seeds, token=token, batch=batch)

    def score(part: slice) -> tuple[Tensor, Tensor]:
        logits = classifier.logits(images[part])
        wanted = torch.full((len(logits),), target, device=logits.device)
        loss = (
            logits.new_full((len(logits),), math.nan)
            if objective is None
            else objectives.bind(objective, images[part])(logits, wanted)
        )
        return classifier.probability(logits), loss

    scores, losses = zip(*fitting.parts(len(images), score), strict=True)
    probability = torch.cat(scores)
    return Check(
        step,
        start,
        token.vector.detach(),
        images,
        probability,
        score=float(probability[:, target].mean()),
        loss=float(torch.cat(losses).double().mean()),
    )
