"""Tables as Markdown for readers and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inversion_kit.analysis import intervals

Hits = np.ndarray
"""Ones and zeros ``(label, seed, sample)``."""


@dataclass
class Table:
    """A claim's numbers.

    Parameters
    ----------
    claim
        Its number.
    title
        What is claimed.
    heads
        Of the columns.
    rows
        Cells as they are printed.
    notes
        What a reader must know, and what was left out and why.
    data
        The same numbers for programs.
    files
        Pictures by the name of their file.
    """

    claim: int
    title: str
    heads: Sequence[str] = ()
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    data: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def markdown(self) -> str:
        """Heading, table and notes."""
        lines = [f"## {self.claim}. {self.title}", ""]
        if self.rows:
            lines += [f"| {' | '.join(self.heads)} |", "|---" * len(self.heads) + "|"]
            lines += [f"| {' | '.join(row)} |" for row in self.rows] + [""]
        for name in self.files:
            lines += [f"![{self.title}]({name})", ""]
        return "\n".join(lines + [f"- {note}" for note in self.notes]) + "\n"


def percent(value: float) -> str:
    """A share as whole percent; "-" for none."""
    return f"{100 * value:.0f} %" if np.isfinite(value) else "-"


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float

    def share(self) -> str:
        """As a share of all, in percent."""
        return f"{percent(self.value)} {self._ends('')}"

    def change(self) -> str:
        """As a difference of shares, in points."""
        return f"{100 * self.value:+.0f} {self._ends('+')}"

    def plain(self) -> dict[str, float | None]:
        """For JSON: None in place of NaN."""
        kept = {"value": self.value, "low": self.low, "high": self.high}
        return {k: round(float(v), 4) if np.isfinite(v) else None for k, v in kept.items()}

    def _ends(self, sign: str) -> str:
        if not np.isfinite([self.low, self.high]).all():
            return ""
        return f"[{100 * self.low:{sign}.0f}, {100 * self.high:{sign}.0f}]"


def share(hits: Hits) -> Estimate:
    """Share of the hits over labels, seeds and noises, which labels share."""
    return Estimate(*(float(v) for v in intervals.share(np.asarray(hits, float), pooled=True)))


def gain(ours: Hits, theirs: Hits) -> Estimate:
    """Share of the one less that of the other, paired by label, seed and noise."""
    pair = (np.asarray(v, float) for v in (ours, theirs))
    return Estimate(*(float(v) for v in intervals.difference(*pair, pooled=True)))
