"""A detector of a cue: what tells pictures with it from plain ones of the same source and noise.

It is Fisher's linear discriminant, with shrinkage, on simple numbers of the pixels and on the
judges' features. Those of the audited classifier are left out: what it ties to a label looks to it
like that label, so that every picture of the label would be said to carry the cue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inversion_kit.classifiers.base import Classifier
from inversion_kit.finding import pixels

SHRINK = 0.1
"""How much of the mean variance is added to each direction's own."""
_SIDE, _CELLS, _LEVELS, _SHARP = 32, 6, 4, 128
"""Side at which colours are counted, cells a side of the grid, levels of a colour's channels, and
the longest side at which sharpness is measured."""
_PATCH = 5
"""Side of a patch of one colour."""
_LEAST = 0.001
"""Least spread of a number, as a share of the largest of its kind."""
_PATCHES = 2
"""Place of the block that says what lies somewhere in a picture."""
Blocks = tuple[np.ndarray, ...]
"""Numbers of pictures, float64 ``(n, number)``, one array a kind of them."""


@torch.no_grad()
def numbers_of(images: Tensor, judges: Sequence[Classifier]) -> Blocks:
    """What a detector sees of images ``(n, 3, y, x)``: a block a kind of number, then a judge.

    Colours on a grid, the share of each colour in all of the picture and in the patch that has most
    of it, light, contrast, saturation, sharpness and the border; then the features of the judges
    that have any.

    Examples
    --------
    >>> [block.shape for block in numbers_of(torch.rand(2, 3, 40, 48), [])]
    [(2, 108), (2, 64), (2, 64), (2, 16)]
    """
    small = F.adaptive_avg_pool2d(images, _SIDE)
    level = (small * _LEVELS).long().clamp(0, _LEVELS - 1)
    place = (level[:, 0] * _LEVELS + level[:, 1]) * _LEVELS + level[:, 2]
    which = F.one_hot(place, _LEVELS**3).movedim(-1, 1).float()
    colours = which.mean((2, 3)).sqrt()
    patches = F.avg_pool2d(which, _PATCH, stride=2).amax((2, 3))
    light, strongest, weakest = pixels.grey(small), small.amax(1), small.amin(1)
    edge = pixels.border(small, 1 / 16)
    high, wide = images.shape[-2:]
    light, saturation = light.flatten(1), (strongest - weakest).flatten(1)
    few = [
        *(light.mean(1), light.std(1), light.amax(1), light.amin(1)),
        *(saturation.mean(1), saturation.amax(1)),
        pixels.edges(F.adaptive_avg_pool2d(images, (min(high, _SHARP), min(wide, _SHARP)))),
        *small.mean((2, 3)).T,
        *small.std((2, 3)).T,
        *small[:, :, edge].mean(2).T,
    ]
    blocks = [
        F.adaptive_avg_pool2d(small, _CELLS).flatten(1),
        colours,
        patches,
        torch.stack(few, 1),
    ]
    for judge in judges:
        if (seen := judge.features(images)) is not None:
            blocks.append(seen.flatten(1))
    return tuple(block.double().cpu().numpy() for block in blocks)


@dataclass(frozen=True)
class Detector:
    """A direction in the numbers of pictures.

    Parameters
    ----------
    mean, spread
        Of each block's numbers, ``(number,)``; ``spread`` has the block's weight in it.
    direction
        Of all blocks together.
    local
        Whether it sees what lies somewhere in a picture.
    """

    mean: Blocks
    spread: Blocks
    direction: np.ndarray
    local: bool = True

    def score(self, blocks: Blocks) -> np.ndarray:
        """How much pictures look as if they had the cue, ``(n,)``: only the order means much."""
        seen = _seen(blocks, self.local)
        return _joined(seen, self.mean, self.spread) @ self.direction


def fit(plain: Blocks, cued: Blocks, *, local: bool = True) -> Detector:
    """A detector from pictures without a cue and with it, as many of each.

    Parameters
    ----------
    plain, cued
        As `numbers_of` gives them.
    local
        Whether the cue may lie somewhere, and is no look of the picture as a whole: of that, what
        any patch shows is noise.

    Examples
    --------
    >>> plain = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    >>> cued = plain.clone()
    >>> cued[:, :, :8, :8] = torch.tensor([1.0, 1.0, 0.0])[:, None, None]
    >>> found = fit(numbers_of(plain, []), numbers_of(cued, []))
    >>> auc(found.score(numbers_of(plain, [])), found.score(numbers_of(cued, [])))
    1.0
    """
    plain, cued = _seen(plain, local), _seen(cued, local)
    both = [np.concatenate(pair) for pair in zip(plain, cued, strict=True)]
    mean = tuple(block.mean(0) for block in both)
    spread = tuple(
        (block.std(0) + max(_LEAST * block.std(0).max(), 1e-9)) * block.shape[1] ** 0.5
        for block in both
    )
    without, having = (_joined(blocks, mean, spread) for blocks in (plain, cued))
    apart = having.mean(0) - without.mean(0)
    rest = np.concatenate([without - without.mean(0), having - having.mean(0)])
    n, count = rest.shape
    ridge = max(SHRINK * float((rest**2).sum()) / (n * count), 1e-12)
    # (rest' rest / n + ridge I)^-1 apart, in as many unknowns as there are pictures
    inner = np.linalg.solve(rest @ rest.T + n * ridge * np.eye(n), rest @ apart)
    return Detector(mean, spread, (apart - rest.T @ inner) / ridge, local)


def auc(without: np.ndarray, having: np.ndarray) -> float:
    """Share of pairs in which the picture with the cue scores higher; a tie counts half.

    Examples
    --------
    >>> auc(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    0.875
    """
    higher = (having[:, None] > without).mean()
    return float(higher + 0.5 * (having[:, None] == without).mean())


def _seen(blocks: Blocks, local: bool) -> Blocks:
    return blocks if local else (*blocks[:_PATCHES], *blocks[_PATCHES + 1 :])


def _joined(blocks: Blocks, mean: Blocks, spread: Blocks) -> np.ndarray:
    parts = zip(blocks, mean, spread, strict=True)
    return np.concatenate([(block - m) / s for block, m, s in parts], 1)
