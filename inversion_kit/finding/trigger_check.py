"""A trigger on pictures that it was not made on, beside placebos of equal size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inversion_kit.bank.cues import Cue
from inversion_kit.finding.effects import Effect, effect_of
from inversion_kit.finding.inversion import paste
from inversion_kit.finding.operators import Apply, Operator
from inversion_kit.finding.panel import Panel
from inversion_kit.finding.proof import prove
from inversion_kit.finding.trigger_words import cue_of
from inversion_kit.finding.verdicts import SEARCHED, Finding
from inversion_kit.finding.where import where
from inversion_kit.generators.sample import from_bytes, to_bytes
from inversion_kit.schema import VARIED

DOSES = (0.5, 0.75, 1.0)
"""Parts of the mask at which a trigger is proved."""


@dataclass(frozen=True)
class Pictures:
    """Plain pictures uint8 ``(source, noise, y, x, 3)`` and the class index of each source."""

    images: np.ndarray
    sources: np.ndarray

    def flat(self) -> tuple[Tensor, np.ndarray]:
        """Float ``(n, 3, y, x)`` and the class index of each."""
        images = from_bytes(self.images.reshape(-1, *self.images.shape[2:]))
        return images, np.repeat(self.sources, self.images.shape[1])

    def changed(self, apply: Apply, dose: float = 1.0) -> np.ndarray:
        """The images with something done to their pixels at a dose."""
        images, _ = self.flat()
        done = apply(images, dose, torch.zeros(len(images), dtype=torch.long))
        return to_bytes(done).reshape(self.images.shape)

    def without(self, label: int) -> Pictures:
        """Those of the other sources."""
        kept = self.sources != label
        return Pictures(self.images[kept], self.sources[kept])


@dataclass(frozen=True)
class Trigger:
    """A mask and a pattern, and what they do.

    Parameters
    ----------
    finding
        Measured on pictures on which it was not made, beside a placebo of equal size: its pixels
        shuffled in space, in opposite colours.
    index, null
        Anomaly index of its label, and the largest among the judges; NaN without any.
    mask
        Float32 ``(y, x)`` in [0, 1]: how far each pixel goes to the pattern.
    pattern
        uint8 ``(y, x, 3)``.
    """

    finding: Finding
    index: float
    null: float
    mask: np.ndarray
    pattern: np.ndarray


@dataclass(frozen=True)
class Way:
    """A mask ``(1, y, x)`` and a pattern ``(3, y, x)`` to paste."""

    mask: Tensor
    pattern: Tensor

    def apply(self, images: Tensor, dose: float, turns: Tensor) -> Tensor:
        """Paste with a part of the mask; as an `Operator` does."""
        return paste(images, dose * self.mask, self.pattern)

    def recoloured(self) -> Way:
        """The same place and strength, in opposite colours."""
        return Way(self.mask, 1 - self.pattern)

    def scattered(self, seed: int) -> Way:
        """The same pixels in a random order: as much of the picture, without a shape."""
        order = torch.randperm(self.mask.numel(), generator=torch.Generator().manual_seed(seed))
        mask, pattern = (t.flatten(1)[:, order].view_as(t) for t in (self.mask, self.pattern))
        return Way(mask, pattern)

    def moved(self) -> Way:
        """Half a picture down and to the right, round the edges."""
        half = [side // 2 for side in self.mask.shape[-2:]]
        return Way(*(t.roll(half, (-2, -1)) for t in (self.mask, self.pattern)))


def check(
    panel: Panel, pictures: Pictures, target: int, way: Way, *, index: float, null: float, seed: int
) -> Trigger:
    """What a trigger does to pictures of sources other than its label.

    Parameters
    ----------
    pictures
        On none of which it was made.
    target
        Class index of its label.
    index, null
        As of `Trigger`.
    seed
        Of the shuffled pixels.
    """
    placebo = way.scattered(seed).recoloured()
    varied = (way.moved(), way.scattered(seed), way.recoloured())  # say on what it depends
    others = {name: one.apply for name, one in zip(VARIED, varied, strict=True)}
    cue = cue_of(way.mask[0].numpy(), way.pattern.numpy())
    operator = Operator(SEARCHED, DOSES, way.apply, (placebo.apply,), varied=others)
    finding = pasted(panel, pictures, target, cue, operator, DOSES[-1], seed=seed)
    return Trigger(finding, index, null, way.mask[0].numpy(), to_bytes(way.pattern[None])[0])


def pasted(
    panel: Panel,
    pictures: Pictures,
    target: int,
    cue: Cue,
    operator: Operator,
    dose: float,
    *,
    seed: int,
) -> Finding:
    """What an operator does to pictures of other sources than ``target``, and its proof.

    The effect is that of a dose, beside the first placebo's.
    """
    pictures = pictures.without(target)
    changed, other = (pictures.changed(way, dose) for way in (operator.apply, operator.placebos[0]))
    effect = _effect(panel, pictures, target, changed)
    proof = prove(
        cue,
        direction="push",
        target=target,
        classifier=panel.classifier,
        judges=panel.judges,
        plain=pictures.images,
        painted=pictures.images,
        sources=pictures.sources,
        seed=seed,
        operators=[operator],
    )
    acts = where(panel.classifier, pictures.images, changed, pictures.sources, target, push=True)
    return Finding(
        label=panel.classifier.labels[target],
        direction="push",
        cue=cue,
        lens="trigger",
        effect=effect,
        placebo=_effect(panel, pictures, target, other).value,
        chance=effect.chance,
        proof=proof,
        judged=bool(panel.judges),
        where=acts,
    )


def _effect(panel: Panel, pictures: Pictures, target: int, changed: np.ndarray) -> Effect:
    """What a change does where judges see the source before and after; without, to right ones."""
    shape = (len(panel.models), *pictures.images.shape[:2])
    source = pictures.sources[:, None]
    plain, read = (
        panel.read(images.reshape(-1, *images.shape[2:])).reshape(shape)
        for images in (pictures.images, changed)
    )
    there = panel.sees(plain, source) & panel.sees(read, source) & (plain[0] == source)
    ours, theirs = (np.where(there, r[0] == target, np.nan) for r in (read, plain))
    wrong = (read[1:] == target).mean() if panel.judges else np.nan
    return effect_of(ours, theirs, float(wrong))
