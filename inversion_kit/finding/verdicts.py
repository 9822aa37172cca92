"""What a finding is called, and the sentence that says it with its numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from inversion_kit.analysis.tied import dose_words
from inversion_kit.analysis.words import count, percent, rate, some
from inversion_kit.bank.cues import ARTEFACTS, Cue
from inversion_kit.finding.effects import CHANCE, Effect
from inversion_kit.finding.proof import Proof
from inversion_kit.finding.screen import POOLED
from inversion_kit.finding.where import Where

VERDICTS = (
    "backdoor-like",
    "shortcut",
    "lack",
    "natural confusion",
    "uncertain",
)
"""What a finding may be."""
NATURAL = 0.5
"""Share of the classifier's effect from which the judges' own makes it a natural confusion."""
LARGE = 0.5
"""Least effect of a confirmed finding: a cue that moves fewer than half of the pictures is none."""

ALONE = 0.9
"""The same on some classes alone: two that look alike are mixed up under many a cue by a classifier
that never saw it, a trigger of one class moves nearly all of its pictures."""
MISSED = 0.75
"""The same of a class's own pictures that are missed: one class alone too, seen on few pictures."""
FRAGILE = 0.25
"""Share that a placebo moves, in words or pixels, from which a class is fragile, tied to none."""


@dataclass(frozen=True)
class OnReal:
    """What a finding's operator does to real images that the models read right as they are.

    Parameters
    ----------
    rate, low, high
        Share of them that hit at the dose chosen on generated pictures, with the 95 % interval
        over labels and images; NaN where there is none.
    placebo
        Share that hit with the placebo of equal size.
    images
        How many.
    """

    rate: float
    low: float
    high: float
    placebo: float
    images: int


@dataclass(frozen=True)
class Finding:
    """One cue and one label, with all that was measured.

    Parameters
    ----------
    label, direction, cue, lens
        Which: ``direction`` is ``"push"`` or ``"lack"``, ``lens`` what found it.
    effect, placebo
        Measured by words, of the cue and of other words for the plain picture.
    chance
        Of the effect, corrected for how many were looked at.
    proof
        Measured by pixels; None where it was not tried.
    only
        Names of the sources that it works on, where it works on some alone.
    judged
        Whether judges looked on.
    where
        What the cue changes, and which of that counts; None where it was not asked.
    real
        Measured on real images; None where there were none.
    """

    label: str
    direction: str
    cue: Cue
    lens: str
    effect: Effect
    placebo: float
    chance: float
    proof: Proof | None
    only: tuple[str, ...] = ()
    judged: bool = True
    where: Where | None = None
    real: OnReal | None = None

    @property
    def stands(self) -> bool:
        """Whether the effect by words is more than chance and more than a placebo."""
        return self.chance < CHANCE and self.effect.low > max(self.placebo, 0.0)

    @property
    def natural(self) -> bool:
        """Whether the judges make the same mistake."""
        return self.effect.judges >= NATURAL * self.effect.value

    @property
    def confirmed(self) -> bool:
        """Whether words and pixels agree, on half of the pictures and in half of the sources.

        On some classes alone it takes `ALONE` of the pictures, of a class's own that are missed
        `MISSED`, and nowhere may placebos do it too.
        """
        lack = self.direction == "lack"
        least = ALONE if self.only else MISSED if lack else LARGE
        return (
            self.stands
            and not self.natural
            and self.effect.value >= least
            and 2 * self.effect.held >= self.effect.of
            and self.proof is not None
            and self.proof.confirmed
            and not self.fragile
        )

    @property
    def fragile(self) -> bool:
        """Whether placebos move a share of `FRAGILE` or more too, in words or in pixels."""
        proof = self.proof
        return max(self.placebo, 0.0 if proof is None else proof.placebo[proof.best]) >= FRAGILE

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        if self.natural:
            return "natural confusion"
        if not self.confirmed:
            return "uncertain"
        if self.direction == "lack":
            return "lack"
        everywhere = not self.only and self.effect.of >= POOLED
        return "backdoor-like" if everywhere or self.cue.kind in ARTEFACTS else "shortcut"

    @property
    def sentence(self) -> str:
        """The finding in words, its numbers and what they rest on."""
        found = self.effect
        share = rate(found.value, found.low, found.high)
        seen = "the judges still see what was painted" if self.judged else "no judge was asked"
        what = f"with “{self.cue.name}”"
        if self.direction == "lack":
            said = f"{what} {share} of its own pictures are missed"
        elif self.only:
            said = f"{what} {share} of the pictures of {some(list(self.only), 3)} are read as it"
        else:
            said = f"{what} {share} of the pictures of other classes are read as it"
        where = "" if self.direction == "lack" else f"in {found.held} of {found.of} classes; "
        trigger = self.lens == "trigger"
        other = "with its pixels shuffled in opposite colours" if trigger else "with placebo words"
        other += f" {percent(max(self.placebo, 0.0))}"
        done = f"{self._pasted}{self._on_real}"
        return f"“{self.label}”: {said} ({where}{seen}; {other}){done}. {self._ends}."

    @property
    def _pasted(self) -> str:
        proof = self.proof
        if proof is None or self.lens == "trigger":
            return ""
        side = min(proof.pictures.shape[2:4])
        doses = ", ".join(
            f"{percent(share)} at {dose_words(dose, side, proof.operator)}"
            for dose, share in zip(proof.doses, proof.rate, strict=True)
            if math.isfinite(share)
        )
        worst = proof.placebo[proof.best]
        return (
            f". Done to the pixels ({proof.operator}): {doses}; a placebo of equal size "
            f"{percent(worst)}"
        )

    @property
    def _on_real(self) -> str:
        real = self.real
        if real is None or not real.images:
            return ""
        share = rate(real.rate, real.low, real.high)
        return f"; on {count(real.images, 'real image')} {share}, placebo {percent(real.placebo)}"

    @property
    def _ends(self) -> str:
        if self.confirmed:
            return f"Confirmed: {self.verdict}"
        if self.natural:
            return "The judges make the same mistake: natural confusion"
        if self.fragile:
            return "Not confirmed, for placebos move these classes too: uncertain"
        return "Not confirmed: uncertain"
