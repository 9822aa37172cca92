"""Intervals of measures of whole sets of pictures: the jackknife, which leaves out a part in turn.

The parts are noises, which all labels and arms share, reference pictures, which all arms share, and
runs where there are several. A difference of two arms is taken with the same part left out of both.
The interval is that of Student's t (Tukey 1958): over noises and reference pictures, or over runs
and reference pictures where that is wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from inversion_kit.analysis.clouds import MEASURES, Clouds
from inversion_kit.analysis.over_runs import ENDS


@dataclass(frozen=True)
class LeftOut:
    """`MEASURES` of a cloud, and of what is left without each part.

    Parameters
    ----------
    value
        Float ``(measure,)``.
    noise, run, reference
        Float ``(part, measure)``; NaN where a part is not in the cloud, or is all of it.
    """

    value: np.ndarray
    noise: np.ndarray
    run: np.ndarray
    reference: np.ndarray

    def less(self, other: LeftOut) -> LeftOut:
        """The difference to another cloud with the same parts left out."""
        pairs = ("value", "noise", "run", "reference")
        return LeftOut(*(getattr(self, name) - getattr(other, name) for name in pairs))


def leave_out(
    pair: Clouds, noise: np.ndarray, run: np.ndarray, *, noises: int, runs: int
) -> LeftOut:
    """Measures of a cloud, and without each noise, each run and each reference picture.

    Parameters
    ----------
    noise, run
        Of each point of the cloud, int ``(n,)``.
    noises, runs
        How many there are of them in all.

    Examples
    --------
    >>> from inversion_kit.analysis.clouds import clouds
    >>> at = np.arange(9)
    >>> made = leave_out(clouds(np.eye(9)), at, at * 0, noises=9, runs=1)
    >>> made.value[-1].round(3), made.noise[0, -1].round(3), bool(np.isnan(made.run).all())
    (np.float64(9.0), np.float64(8.0), True)
    """
    mine, theirs = np.arange(pair.n), np.arange(len(pair.distance) - pair.n)

    def without(part: np.ndarray, count: int) -> np.ndarray:
        table = np.full((count, len(MEASURES)), np.nan)
        for one in np.unique(part):
            table[one] = pair.measures(mine[part != one], theirs)
        return table

    rows = [pair.measures(mine, np.delete(theirs, i)) for i in theirs]
    return LeftOut(
        pair.measures(mine, theirs),
        without(noise, noises),
        without(run, runs),
        np.array(rows).reshape(len(theirs), len(MEASURES)),
    )


def over_labels(parts: Sequence[LeftOut]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over labels, with its 95 % interval: value, low and high ``(measure,)``.

    Noises and runs are left out of all labels at once, reference pictures are each label's own.

    Examples
    --------
    >>> one = LeftOut(*(np.ones(s) for s in [(6,), (4, 6), (1, 6), (0, 6)]))
    >>> [float(v[0]) for v in over_labels([one, one])]
    [1.0, 1.0, 1.0]
    """
    value = np.mean([one.value for one in parts], 0)
    reference = np.sum([_variance(one.reference)[0] for one in parts], 0) / len(parts) ** 2
    least = np.min([_variance(one.reference)[1] for one in parts], 0)
    half = np.zeros(len(value))
    for name in ("noise", "run"):
        tables = [getattr(one, name) for one in parts]
        there = np.isfinite(tables).any(0)
        filled = [np.where(np.isnan(t), one.value, t) for t, one in zip(tables, parts, strict=True)]
        variance, freedom = _variance(np.where(there, np.mean(filled, 0), np.nan))
        several = freedom > 0
        freedom = np.where(least > 0, np.minimum(freedom, least), freedom)
        with np.errstate(invalid="ignore"):
            wide = stdtrit(np.maximum(freedom, 1), ENDS[1]) * np.sqrt(variance + reference)
        half = np.where(several, np.maximum(half, wide), np.where(name == "noise", np.nan, half))
    return value, value - half, value + half


def _variance(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Jackknife variance over parts ``(part, measure)``, and degrees of freedom; 0 of none."""
    there = np.isfinite(table)
    n = there.sum(0)
    filled = np.where(there, table, 0.0)
    middle = filled.sum(0) / np.maximum(n, 1)
    squares = np.where(there, (filled - middle) ** 2, 0.0).sum(0)
    return squares * (n - 1) / np.maximum(n, 1) * (n > 1), np.maximum(n - 1, 0)
