"""Where a cue acts: what it changes in pictures, and from where the score's change comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inversion_kit.classifiers.base import Classifier
from inversion_kit.finding.panel import first_class, why_no_gradient
from inversion_kit.finding.pixels import most
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.generators.sample import from_bytes
from inversion_kit.schema import WHERE

PICTURES = 16
"""Pictures at most over which a finding's maps are means."""
SIDE = 128
"""Longest side of a map in pixels; larger ones are shrunk."""
STEPS = 16
"""Steps from the plain picture to the one with the cue."""
WINDOW = 4
"""Windows a side; each reaches half into the next."""
MOST = 0.1
"""Share of a picture's pixels that are called those that changed most."""
_BATCH = 4
"""Pictures whose steps are one batch."""

Gap = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From images and two classes of each ``(n,)`` to the second's score less the first's ``(n,)``."""


@dataclass(frozen=True)
class Where:
    """Means over the pictures of a finding.

    Parameters
    ----------
    difference
        With the cue less plain, on the same noise: float32 ``(y, x, 3)`` in [-1, 1].
    attribution
        Float32 ``(y, x)``: how much of the change of the score, the target's logit less the
        source's, comes from each pixel; of a black box what putting a window around it back takes.
    by
        How it was attributed.
    pictures
        How many there are.
    share_of_change, share_of_attribution
        What of the change, and of the attribution towards the target, lies in the tenth of each
        picture that changed most; NaN where there is none.
    """

    difference: np.ndarray
    attribution: np.ndarray
    by: str
    pictures: int
    share_of_change: float
    share_of_attribution: float


def where(
    classifier: Classifier,
    plain: np.ndarray,
    painted: np.ndarray,
    sources: Sequence[int] | np.ndarray,
    target: int,
    *,
    push: bool,
) -> Where | None:
    """What a cue changes, and which of that the classifier goes by.

    Where the classifier gives a gradient, by Integrated Gradients from the plain picture: they
    share out exactly what the cue changed. Of a black box by occlusion: windows in which the plain
    picture is put back, 49 of each picture.

    Parameters
    ----------
    plain, painted
        uint8 ``(source, noise, y, x, 3)``: without the cue and with it, on the same noises. Those
        count that are read as their source when plain, at most `PICTURES`.
    sources
        Class index of each source.
    target
        Class index of the label.
    push
        Whether the cue moves others to it. Else it makes its own be missed, and the score is that
        of the class which each is then nearest to be read as.

    Returns
    -------
    Where or None
        None where no plain picture is read as its source.

    Examples
    --------
    >>> from torch import nn
    >>> from inversion_kit.classifiers.preprocess import Preprocess
    >>> red = nn.Sequential(nn.Flatten(), nn.Linear(48, 2, bias=False))
    >>> _ = red[1].weight.data.zero_()
    >>> red[1].weight.data[1, 0] = 4  # the red of the first pixel alone
    >>> toy = Classifier(red, Preprocess(), ["other", "red corner"], name="toy")
    >>> plain = np.zeros((1, 2, 4, 4, 3), "u1")
    >>> painted = plain.copy()
    >>> painted[..., 0] = 255
    >>> acts = where(toy, plain, painted, [0], 1, push=True)
    >>> acts.attribution.round(2)[0].tolist(), acts.pictures
    ([4.0, 0.0, 0.0, 0.0], 2)
    """
    sources = np.asarray(sources)
    rows = _rows(classifier, plain, sources, target, push)
    if not len(rows):
        return None
    before, after = (from_bytes(images[tuple(rows.T)]) for images in (plain, painted))
    own = torch.from_numpy(sources[rows[:, 0]])
    other = torch.full_like(own, target) if push else _nearest(classifier, after, own)
    why = why_no_gradient(classifier, before[:1])
    attribute = _occluded if why else _integrated

    def gap(images: Tensor, own: Tensor, other: Tensor) -> Tensor:
        scores = classifier.logits(images)
        ours, theirs = (
            scores.gather(1, at[:, None].to(scores.device))[:, 0] for at in (own, other)
        )
        return theirs - ours

    parts = MicroBatch(_BATCH, of=classifier, doing="attribution").parts(
        len(rows),
        lambda part: (
            attribute(gap, before[part], after[part], own[part], other[part])
            .detach()
            .sum(1)
            .to(before.device)
        ),
    )
    maps, change = torch.cat(parts).float(), after - before
    size = change.abs().sum(1)
    top = most(size, MOST)[:, 0]
    by = f"{_WORDS[attribute]} (captum {version('captum')})"
    return Where(
        difference=_small(change.mean(0)).permute(1, 2, 0).numpy(),
        attribution=_small(maps.mean(0)[None])[0].numpy(),
        by=f"{by}: {why}" if why else by,
        pictures=len(rows),
        share_of_change=_share(size, top),
        share_of_attribution=_share(maps.clamp_min(0), top),
    )


def where_variables(maps: Sequence[Where | None]) -> dict[str, Any]:
    """Variables of `inversion_kit.schema.WHERE`; NaN, 0 and "" of a finding without maps."""
    there = [(i, one) for i, one in enumerate(maps) if one is not None]
    high, wide = max((one.attribution.shape for _, one in there), default=(1, 1))
    difference = np.full((len(maps), high, wide, 3), np.nan, "f4")
    attribution = np.full((len(maps), high, wide), np.nan, "f4")
    by, pictures = np.full(len(maps), "", object), np.zeros(len(maps), "i8")
    shares = np.full((2, len(maps)), np.nan, "f4")
    for i, one in there:  # those of triggers may be smaller
        difference[i] = resized(one.difference, (high, wide))
        attribution[i] = resized(one.attribution, (high, wide))
        by[i], pictures[i] = one.by, one.pictures
        shares[:, i] = one.share_of_change, one.share_of_attribution
    columns = (difference, attribution, by, pictures, *shares)
    return {
        name: (dims, column)
        for (name, (dims, _)), column in zip(WHERE.items(), columns, strict=True)
    }


def _rows(
    classifier: Classifier, plain: np.ndarray, sources: np.ndarray, target: int, push: bool
) -> np.ndarray:
    """Places ``(n, 2)`` of pictures that are read as their source, all sources alike."""
    asked = (sources != target) if push else (sources == target)
    rows = np.argwhere(np.repeat(asked[:, None], plain.shape[1], 1))
    if not len(rows):
        return rows
    rows = rows[np.lexsort((rows[:, 0], rows[:, 1]))]
    images = from_bytes(plain[tuple(rows.T)])
    rows = rows[first_class(classifier, images) == sources[rows[:, 0]]]
    few = np.linspace(0, len(rows) - 1, min(PICTURES, len(rows))).round().astype(int)
    return rows[few]


@torch.no_grad()
def _nearest(classifier: Classifier, images: Tensor, own: Tensor) -> Tensor:
    """The class with the highest score but the own one, ``(n,)``."""
    scores = classifier.logits(images).cpu()
    return scores.scatter(1, own[:, None], -torch.inf).argmax(1)


def _integrated(gap: Gap, plain: Tensor, painted: Tensor, *classes: Tensor) -> Tensor:
    from captum.attr import IntegratedGradients

    made: Tensor = IntegratedGradients(gap).attribute(
        painted, baselines=plain, additional_forward_args=classes, n_steps=STEPS
    )
    return made


@torch.no_grad()
def _occluded(gap: Gap, plain: Tensor, painted: Tensor, *classes: Tensor) -> Tensor:
    from captum.attr import Occlusion

    sides = [max(1, side // WINDOW) for side in plain.shape[-2:]]
    made: Tensor = Occlusion(gap).attribute(
        painted,
        (3, *sides),
        strides=(3, *(max(1, side // 2) for side in sides)),
        baselines=plain,
        additional_forward_args=classes,
    )
    return made[:, :1]  # a window's change stands in every channel


_WORDS = {
    _integrated: f"Integrated Gradients from the plain picture, {STEPS} steps",
    _occluded: "Occlusion by the plain picture, windows of a quarter of a side",
}


def _small(images: Tensor) -> Tensor:
    """Float ``(channel, y, x)``, no side longer than `SIDE`."""
    high, wide = images.shape[-2:]
    longest = max(high, wide)
    if longest <= SIDE:
        return images
    size = [max(1, round(side * SIDE / longest)) for side in (high, wide)]
    return F.interpolate(images[None], size, mode="area")[0]


def resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map or picture float ``(y, x)`` or ``(y, x, channel)`` of another size."""
    if values.shape[:2] == size:
        return values
    flat = torch.from_numpy(values.reshape(*values.shape[:2], -1)).permute(2, 0, 1)[None]
    made = F.interpolate(flat, size, mode="bilinear", align_corners=False)[0].permute(1, 2, 0)
    return made.reshape(*size, *values.shape[2:]).numpy()


def _share(values: Tensor, top: Tensor) -> float:
    """Share of values ``(n, y, x)``, at least 0, that lies where ``top`` is True."""
    whole = float(values.sum())
    return float(values[top].sum()) / whole if whole > 0 else float("nan")
