"""Trigger inversion: the smallest change of pictures that makes a classifier read one label.

For each label a mask and a pattern are searched, the same for all pictures, as Neural Cleanse does
(Wang et al. 2019): cross-entropy to the label plus a weight times the mask's sum; the weight grows
while the label is read and falls while it is not. A label whose mask ends far smaller than those of
the others is suspicious.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.memory import MicroBatch

GOAL = 0.9
"""Share of the pictures that must be read as the label."""
FEWEST = 5
"""Labels without which nothing can be said to stand out."""
SPREAD = 0.15
"""Least spread of log sizes: of masks that are all alike a small difference is none."""
_RATE, _BETAS = 0.5, (0.5, 0.9)
_START, _LEAST = -1.0, 0.01
"""Logit of the first mask, and the least weight of its sum, for pictures of 32 x 32 pixels."""
_UP, _LATE = 1.3, 1.12
"""Factor by which the weight grows after a step at which the label is read; in the last steps."""
_TAIL = 16
"""Last steps over which sizes are averaged."""
_BATCH = 48
"""Most pictures at once: on a processor larger batches are slower."""


@dataclass(frozen=True)
class Effort:
    """How long to search: steps, and pictures of each label a step."""

    steps: int
    pictures: int


COARSE, FINE = Effort(48, 10), Effort(30, 32)
"""For all labels, and for those that stand out."""


@dataclass(frozen=True)
class Triggers:
    """A mask and a pattern for each label.

    Parameters
    ----------
    labels
        Class index of each, int ``(label,)``.
    mask
        How far each pixel goes to the pattern, float ``(label, 1, y, x)`` in [0, 1].
    pattern
        Float ``(label, 3, y, x)`` in [0, 1].
    size
        Sum of the mask over the last steps at which the label was read, ``(label,)``; all pixels
        where it never was.
    """

    labels: np.ndarray
    mask: Tensor
    pattern: Tensor
    size: np.ndarray


def paste(images: Tensor, mask: Tensor, pattern: Tensor) -> Tensor:
    """Pictures ``(n, 3, y, x)`` moved to a pattern ``(3, y, x)`` as far as a mask says."""
    return images + mask * (pattern - images)


def invert(
    classifier: Classifier,
    images: Tensor,
    sources: Sequence[int] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    *,
    effort: Effort = COARSE,
    start: Triggers | None = None,
    seed: int = 0,
    heard: Callable[[int], None] = lambda steps: None,
) -> Triggers:
    """Search a trigger for each label, all labels at once.

    Parameters
    ----------
    classifier
        One that gives gradients.
    images
        Float ``(n, 3, y, x)`` in [0, 1], of any sources.
    sources
        Class index of each; pictures of a label itself do not count for it.
    labels
        Class indices.
    effort
        Steps and pictures.
    start
        What an earlier call gave for these labels.
    seed
        Of the first values and the order of the pictures.
    heard
        Called with 1 after each step.

    Examples
    --------
    >>> from torch import nn
    >>> from inversion_kit.classifiers.preprocess import Preprocess
    >>> red = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    >>> _ = red[2].weight.data.copy_(torch.tensor([[-9.0, 0, 0], [9.0, 0, 0]]))
    >>> _ = red[2].bias.data.copy_(torch.tensor([9.0, -9.0]))
    >>> toy = Classifier(red, Preprocess(), ["other", "red"], name="toy")
    >>> found = invert(toy, torch.rand(8, 3, 8, 8), [0] * 8, [1])
    >>> found.mask.shape, bool(found.pattern[0, 0].mean() > 0.9)
    (torch.Size([1, 1, 8, 8]), True)
    """
    search = _Search(classifier, images, sources, labels, start, seed)
    sizes, read = [], []
    for step in range(effort.steps):
        share = search.step(effort.pictures, _UP if step < effort.steps - _TAIL else _LATE)
        sizes.append(search.mask.flatten(1).sum(1).numpy())
        read.append((share >= GOAL).numpy())
        heard(1)
    late, good = np.log(sizes[-_TAIL:]), np.array(read[-_TAIL:])
    whole = math.log(images.shape[-1] * images.shape[-2])
    mean = (late * good).sum(0) / np.maximum(good.sum(0), 1)
    size = np.exp(np.where(good.any(0), mean, whole))
    return Triggers(np.asarray(labels, int), search.mask, search.pattern, size)


class _Search:
    """Masks and patterns of all labels as they are searched; on the processor, whatever the model.

    Parameters
    ----------
    classifier, images, sources, labels, start, seed
        As of `invert`.
    """

    def __init__(
        self,
        classifier: Classifier,
        images: Tensor,
        sources: Sequence[int] | np.ndarray,
        labels: Sequence[int] | np.ndarray,
        start: Triggers | None,
        seed: int,
    ) -> None:
        self.classifier, self.images = classifier, images
        self.labels, self.sources = torch.as_tensor(labels), torch.as_tensor(sources)
        self.random = torch.Generator().manual_seed(seed)
        many, (high, wide) = len(self.labels), images.shape[-2:]
        if start is None:
            first = torch.randn(1, 4, high, wide, generator=self.random) * 0.1
            first[:, 0] += _START
            values = first.repeat(many, 1, 1, 1)
        else:
            values = torch.cat([start.mask, start.pattern], 1).logit(1e-4)
        self.values = values.requires_grad_()
        self.optimiser = torch.optim.Adam([self.values], _RATE, betas=_BETAS)
        self.least = _LEAST * 32 * 32 / (high * wide)
        self.weight = torch.full((many,), self.least)
        self.read: Tensor | None = None
        self.rows = torch.zeros(0, dtype=torch.long)
        self.batch = MicroBatch(_BATCH, of=classifier, doing="triggers")

    @property
    def mask(self) -> Tensor:
        """``(label, 1, y, x)``."""
        return self.values.detach()[:, :1].sigmoid()

    @property
    def pattern(self) -> Tensor:
        """``(label, 3, y, x)``."""
        return self.values.detach()[:, 1:].sigmoid()

    def step(self, pictures: int, up: float) -> Tensor:
        """One step of all labels on the same pictures: the share of them that is read.

        Where the label is read the weight grows by the factor ``up``; else it falls faster.
        """
        rows = self._next(min(pictures, len(self.images)))
        mask, pattern = self.mask, self.pattern
        pairs = torch.cartesian_prod(torch.arange(len(self.labels)), rows)
        counts = self.labels[pairs[:, 0]] != self.sources[pairs[:, 1]]
        pairs = pairs[counts]
        many = torch.bincount(pairs[:, 0], minlength=len(self.labels)).clamp_min(1)
        to_mask, to_pattern = torch.zeros_like(mask), torch.zeros_like(pattern)
        read = torch.zeros(len(self.labels))

        def work(part: slice) -> None:
            at, images = pairs[part, 0], self.images[pairs[part, 1]]
            slope, hit = self._slope(paste(images, mask[at], pattern[at]), self.labels[at])
            slope /= many[at, None, None, None]
            to_mask.index_add_(0, at, (slope * (pattern[at] - images)).sum(1, keepdim=True))
            to_pattern.index_add_(0, at, slope * mask[at])
            read.index_add_(0, at, hit / many[at])

        self.batch.parts(len(pairs), work)
        to_mask += self.weight[:, None, None, None]
        slope = torch.cat([to_mask * mask * (1 - mask), to_pattern * pattern * (1 - pattern)], 1)
        self.values.grad = slope
        self.optimiser.step()
        self.read = read if self.read is None else (self.read + read) / 2
        factor = torch.where(self.read >= GOAL, up, up**-1.5)
        self.weight = (self.weight * factor).clamp_min(self.least)
        return self.read

    def _slope(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Slope of the cross-entropy to the labels, ``(n, 3, y, x)``; whether each is read."""
        images = images.requires_grad_()
        logits = self.classifier.logits(images)
        loss = F.cross_entropy(logits, labels.to(logits.device), reduction="sum")
        (slope,) = torch.autograd.grad(loss, images)
        return slope, (logits.detach().argmax(1).cpu() == labels).float()

    def _next(self, n: int) -> Tensor:
        """The next pictures: all in turn, then all in another order."""
        while len(self.rows) < n:
            order = torch.randperm(len(self.images), generator=self.random)
            self.rows = torch.cat([self.rows, order])
        rows, self.rows = self.rows[:n], self.rows[n:]
        return rows


def anomaly(size: np.ndarray) -> np.ndarray:
    """How far the size of each mask lies below the others', in robust standard deviations.

    Of logarithms, whose spread counts as `SPREAD` at least; NaN of fewer than `FEWEST` labels.

    Examples
    --------
    >>> anomaly(np.array([50, 60, 70, 80, 90, 100, 5])).round().tolist()
    [1.0, 0.0, 0.0, -0.0, -1.0, -1.0, 7.0]
    """
    if len(size) < FEWEST:
        return np.full(len(size), np.nan)
    return robust(-np.log(size), least=SPREAD)


def robust(values: np.ndarray, *, least: float = 1e-9) -> np.ndarray:
    """Distances from the median in robust standard deviations.

    These are 1.4826 times the median distance, or ``least``.

    Examples
    --------
    >>> robust(np.array([1.0, 2.0, 3.0, 4.0, 50.0])).round(1).tolist()
    [-1.3, -0.7, 0.0, 0.7, 31.7]
    """
    away = values - np.median(values)
    return away / max(1.4826 * float(np.median(np.abs(away))), least)
