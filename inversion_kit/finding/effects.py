"""The effect of a cue, measured on noise that did not choose it.

An effect is the share of pictures that a cue moves, less that of the plain prompt on the same
noise, over the pictures whose source the judges see with the cue and without it. Its interval
covers other sources as well as other noise (`inversion_kit.analysis.intervals`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from inversion_kit.analysis.intervals import difference
from inversion_kit.bank.bank import Bank, Key
from inversion_kit.bank.cues import PLACEBOS, PLAIN_CUE, Cue
from inversion_kit.finding.panel import Panel
from inversion_kit.finding.screen import Candidate, Sources

HELD = 0.5
"""Effect on a source alone from which the cue is said to work on it."""
CHANCE = 0.05
"""Largest corrected chance (Holm 1979) of an effect that is reported as one."""


@dataclass(frozen=True)
class Effect:
    """What a cue does to a label.

    Parameters
    ----------
    value, low, high
        Share of pictures, in [-1, 1]; with the 95 % interval.
    held, of
        Sources on which it is at least `HELD`, of how many.
    chance
        Two-sided sign test over sources, or over the pictures of one source; not corrected.
    judges
        Share of pictures that the judges read in the same wrong way, in [0, 1]; NaN without any,
        and of a class's own pictures that are read with the cue alone.
    pictures
        How many pairs were counted.
    """

    value: float
    low: float
    high: float
    held: int
    of: int
    chance: float
    judges: float
    pictures: int


def keys_of(cue: Cue, names: Sequence[str], seeds: Sequence[int]) -> list[Key]:
    """Pictures of a cue on sources and noises; its wordings take turns over the noises."""
    return [(cue.of(name, turn), seed) for name in names for turn, seed in enumerate(seeds)]


def measure(
    panel: Panel,
    bank: Bank,
    cue: Cue,
    candidate: Candidate,
    sources: Sources,
    seeds: Sequence[int],
) -> Effect:
    """The effect of a candidate's cue on its sources, on the noises of ``seeds``."""
    at = list(candidate.sources)
    names, index = [sources.names[s] for s in at], sources.index[at][:, None]
    shape = (len(panel.models), len(at), len(seeds))
    plain, cued = (
        panel.read_bank(bank, keys_of(one, names, seeds)).reshape(shape) for one in (PLAIN_CUE, cue)
    )
    there = panel.sees(plain, index) & panel.sees(cued, index)
    if not panel.judges:
        there = plain[0] == index
    ours, theirs = (moved(read[0], candidate, index) for read in (cued, plain))
    judged = panel.judges and not candidate.own(sources)
    wrong = moved(cued[1:], candidate, index).mean() if judged else np.nan
    return effect_of(np.where(there, ours, np.nan), np.where(there, theirs, np.nan), float(wrong))


def moved(read: np.ndarray, candidate: Candidate, source: np.ndarray) -> np.ndarray:
    """Whether pictures are read as the target (push), or not as their source (lack); 1 or 0."""
    hit = read == candidate.target if candidate.direction == "push" else read != source
    return hit.astype(float)


def effect_of(ours: np.ndarray, theirs: np.ndarray, judges: float = np.nan) -> Effect:
    """The effect in pairs ``(source, noise)`` of ones and zeros; NaN is a gap.

    Examples
    --------
    >>> found = effect_of(np.ones((6, 4)), np.zeros((6, 4)))
    >>> found.value, found.held, found.of, found.chance < 0.05
    (1.0, 6, 6, True)
    """
    gaps = ours - theirs
    counted = np.isfinite(gaps)
    if not counted.any():
        return Effect(np.nan, np.nan, np.nan, 0, 0, 1.0, judges, 0)
    value, low, high = (float(v[0]) for v in difference(ours[None], theirs[None]))
    rows = [row[np.isfinite(row)] for row in gaps]
    means = np.array([row.mean() for row in rows if len(row)])
    signs = np.sign(means if len(means) > 1 else gaps[counted])
    up, down = int((signs > 0).sum()), int((signs < 0).sum())
    chance = float(binomtest(up, up + down).pvalue) if up + down else 1.0
    held = int((means >= HELD).sum())
    return Effect(value, low, high, held, len(means), chance, judges, int(counted.sum()))


def placebo(
    panel: Panel,
    bank: Bank,
    candidate: Candidate,
    sources: Sources,
    seeds: Sequence[int],
    *,
    words: int = 2,
) -> Effect:
    """The largest effect that other words for the plain picture have on the same pictures."""
    tried = [measure(panel, bank, cue, candidate, sources, seeds) for cue in PLACEBOS[:words]]
    return max(tried, key=lambda effect: np.nan_to_num(effect.value, nan=-1.0))
