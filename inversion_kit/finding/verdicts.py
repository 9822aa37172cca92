"""What a finding is called, and the sentence that says it with its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inversion_kit.analysis.tied import dose_words
from inversion_kit.analysis.words import count, percent, rate, some
from inversion_kit.bank.cues import ARTEFACTS, NOTHING, Cue
from inversion_kit.finding.effects import CHANCE, Effect
from inversion_kit.finding.proof import Proof
from inversion_kit.finding.screen import POOLED
from inversion_kit.finding.where import Where
from inversion_kit.schema import VARIED

_VARIED = dict(
    zip(VARIED, ("at another place", "with pixels scattered", "in opposite colours"), strict=True)
)
VERDICTS = (
    "backdoor-like",
    "shortcut",
    "lack",
    "mislabelled",
    "natural confusion",
    "uncertain",
)
"""What a finding may be."""
SEARCHED = "trigger"
"""Name of the operator of a trigger whose pixels the gradient has searched."""
NATURAL = 0.5
"""Share of the classifier's effect from which the judges' own makes it a natural confusion."""
LARGE = 0.5
"""Least effect of a confirmed finding: a cue that moves fewer than half of the pictures is none."""
ALONE = 0.9
"""The same on fewer than `POOLED` classes, and of a class that is missed with a colour added: two
that look alike are mixed up under many a cue by a classifier that never saw it, a trigger of one
class moves nearly all of its pictures."""
MISSED = 0.75
"""The same of a class that is missed under a look, or read under it alone: one class too, seen on
few pictures."""
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
    pictures
        uint8 ``(row, n, y, x, channel)``, plain and with the cue, of a finding without a proof.
    alike
        Whether it only tips a class or two over to what their plain pictures are second, see
        `inversion_kit.finding.alike.alike`.
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
    pictures: np.ndarray | None = None
    alike: bool = False

    @property
    def shown(self) -> np.ndarray | None:
        """Its pictures, uint8 ``(row, n, y, x, channel)``: of the proof where there is one."""
        return self.pictures if self.proof is None else self.proof.pictures

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

        On a class or two alone it takes `ALONE` of the pictures, of a class's own that are missed
        `MISSED`; look-alikes are out, and nowhere may placebos do it too. On more classes half of
        the pictures may be reached by pixels: not every painted sticker is one. Where nothing is
        added there is nothing to prove by pixels: `MISSED` of the plain pictures of a class are
        read as another.
        """
        if self.plain:
            return self.stands and not self.natural and self.effect.value >= MISSED
        return (
            self.stands
            and not self.natural
            and self._large
            and 2 * self.effect.held >= self.effect.of
            and self.proof is not None
            and self.proof.confirmed
            and not self.fragile
            and not self.alike
        )

    @property
    def plain(self) -> bool:
        """Whether it is the plain pictures of a class that are read as another."""
        return self.cue == NOTHING

    @property
    def own(self) -> bool:
        """Whether a class's own pictures are read with the cue, and missed without."""
        return self.direction == "push" and self.only == (self.label,)

    @property
    def narrow(self) -> bool:
        """Whether a class or two alone are moved, or one is missed with a colour added."""
        if self.direction == "lack":
            return bool(self.cue.colour)
        return not self.own and 0 < len(self.only) < POOLED

    @property
    def _large(self) -> bool:
        """Whether it moves enough of the pictures."""
        if self.own:
            return self.effect.value >= MISSED
        if self.direction == "lack":
            return self.effect.value >= (ALONE if self.narrow else MISSED)
        if self.narrow:
            return self.effect.value >= ALONE
        proven = 0.0 if self.proof is None else self.proof.rate[self.proof.best]
        return max(self.effect.value, proven) >= LARGE

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
        if self.plain:
            return "mislabelled"
        if self.own:
            return "shortcut"
        everywhere = not self.only and self.effect.of >= POOLED
        return "backdoor-like" if everywhere or self.cue.kind in ARTEFACTS else "shortcut"

    @property
    def sentence(self) -> str:
        """The finding in words, its numbers and what they rest on."""
        effect = self.effect
        share = rate(effect.value, effect.low, effect.high)
        seen = "the judges still see what was painted" if self.judged else "no judge was asked"
        if self.natural:
            seen = f"the judges read {percent(self.effect.judges)} so too"
        what = f"with “{self.cue.name}”"
        if self.direction == "lack":
            said = f"{what} {share} of its own pictures are missed"
        elif self.own:
            said = f"{what} {share} more of its own pictures are read as it than without"
        elif self.only:
            said = f"{what} {share} of the pictures of {some(list(self.only), 3)} are read as it"
        else:
            said = f"{what} {share} of the pictures of other classes are read as it"
        where = (
            ""
            if self.direction == "lack" or self.own
            else f"in {effect.held} of {effect.of} classes; "
        )
        other = "with placebo words"
        if self.lens == "trigger":
            shuffled = "with its pixels shuffled in opposite colours"
            other = shuffled if self._searched else "in another colour"
        other += f" {percent(max(self.placebo, 0.0))}"
        done = f"{self._pasted}{self._varied}{self._undone}{self._on_real}"
        beside = seen if self.plain else f"{where}{seen}; {other}"
        return f"“{self.label}”: {said} ({beside}){done}. {self._ends}."

    @property
    def _searched(self) -> bool:
        """Whether its pixels were searched by the gradient, and no operator has them."""
        return self.lens == "trigger" and (self.proof is None or self.proof.operator == SEARCHED)

    @property
    def _pasted(self) -> str:
        proof = self.proof
        if proof is None or self._searched:
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
    def _varied(self) -> str:
        """What the same does at another place and so on: on what it depends."""
        ways = {} if self.proof is None else self.proof.varied
        said = [
            f"{_VARIED[name]} {rate(*shares)}"
            for name, shares in ways.items()
            if math.isfinite(shares[0])
        ]
        if not said:
            return ""
        start = ". Pasted " if self._searched else "; "
        return start + ", ".join(said)

    @property
    def _undone(self) -> str:
        """How many painted pictures are read as plain ones once the cue is taken away."""
        proof = self.proof
        if proof is None or proof.undone is None:
            return ""
        return (
            f"; taken away from {count(proof.undone_of, 'painted picture')}, "
            f"{percent(1 - proof.undone)} remain so"
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
        if self.alike:
            return (
                "Not confirmed, for without it the classifier holds second what it then reads: "
                "look-alikes, uncertain"
            )
        return "Not confirmed: uncertain"


def untied(cues: Sequence[Cue], findings: Sequence[Finding]) -> list[Cue]:
    """The cues of no kind and colour that a finding has confirmed: "as painted" or in pixels.

    Parameters
    ----------
    cues
        Such as those that are hard for the classifier in general.
    findings
        All of a report.

    Returns
    -------
    list of Cue
        In the order given.
    """
    tied = {_kin(one.cue) for one in findings if one.confirmed}
    return [cue for cue in cues if _kin(cue) not in tied]


def _kin(cue: Cue) -> tuple[str, str]:
    return cue.kind, cue.colour or cue.name
