"""The lens of words: cues are painted by the generator, and the classifier and its judges look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import binom

from inversion_kit.bank.bank import Bank, Key
from inversion_kit.bank.cues import ARTEFACTS, NOTHING, PLAIN_CUE, Cue
from inversion_kit.finding.effects import Effect, effect_of, keys_of, measure, moved, placebo
from inversion_kit.finding.panel import Panel
from inversion_kit.finding.reach import Clip, Reach, reach
from inversion_kit.finding.screen import (
    POOLED,
    SCREENED,
    SHARE,
    Candidate,
    Screening,
    Sources,
    called_another,
    candidates,
    is_hard,
    pushes,
    restored,
    screen,
)

PLAIN = 8
"""Plain pictures of each source."""
MORE, MOST_NOISES = 12, 24
"""Noises beside those of the plain pictures, for what was seen on one source alone; and for classes
that are missed when plain, of whose pictures with the cue judges may see few."""
TRIED = 2
"""Noises of a second look at what was seen on one source alone."""
REPORTED = 12
"""Sources on which an effect is measured, at most."""
PROVED = 8
"""Sources of a proof, at most."""
MOST, MOST_ALONE, MOST_TRIED = 6, 10, 60
"""Candidates over sources, of one source, and second looks, at most."""
SAME = 0.8
"""Share of the lost pictures that must be read as one label, so that it is a push to it."""
GENERAL = 0.5
"""Share of screened sources from which a push is measured on sources in general."""


@dataclass(frozen=True)
class Measured:
    """A candidate with its effect and that of other words for the plain picture."""

    candidate: Candidate
    cue: Cue
    effect: Effect
    placebo: Effect
    only: bool


@dataclass(frozen=True)
class Screened:
    """What the screening saw of all cues.

    Parameters
    ----------
    push
        Share of the sources that each cue moves to each class, ``(cue, class)``.
    lost
        Whether each source is no longer read as itself, ``(cue, source)``; NaN where not screened.
    reach
        Whether cues are painted.
    seen
        Share of the screened sources that the judges still see, ``(cue,)``.
    hard
        Whether a cue makes the classifier miss classes in general, ``(cue,)``.
    left
        Candidates that were not looked at again, for there were too many.
    screening
        What the models read.
    """

    push: np.ndarray
    lost: np.ndarray
    reach: Reach
    seen: np.ndarray
    hard: np.ndarray
    left: int
    screening: Screening


def read_sources(
    panel: Panel, bank: Bank, index: Sequence[int], names: Sequence[str], seeds: Sequence[int]
) -> Sources:
    """The plain pictures of classes, and what the models read of them."""
    keys = keys_of(PLAIN_CUE, names, seeds)
    at = np.array(index, int)
    read = panel.read_bank(bank, keys).reshape(len(panel.models), len(at), len(seeds))
    right = (read[0] == at[:, None]) & panel.sees(read, at[:, None])
    return Sources(at, names, seeds, read, right)


def look(
    panel: Panel,
    bank: Bank,
    cues: Sequence[Cue],
    sources: Sources,
    more: Sequence[int],
    classes: int,
    clip: Clip | None = None,
) -> tuple[list[Measured], Screened]:
    """Screen every cue and measure, on other noise, what stands out.

    Parameters
    ----------
    more
        Noise seeds beside those of the plain pictures.
    clip
        What says whether cues are painted, beside the pictures' change.
    """
    screening = screen(panel, bank, cues, sources)
    pooled, single = candidates(screening, sources, cues, classes)
    table = pushes(screening, sources, classes)
    chosen = [_spread(c, table[c.cue, c.target], sources) for c in pooled[:MOST]]
    tried = single[:: max(1, -(-len(single) // MOST_TRIED))]
    again = _second_look(panel, bank, cues, sources, tried)
    second = sources.seeds[SCREENED : SCREENED + TRIED]
    again += restored(panel, bank, cues, sources, tried=second)
    alone = sorted(again, key=lambda one: not one.own(sources))[:MOST_ALONE]
    left = len(pooled) - len(chosen) + len(single) - len(tried) + len(again) - len(alone)
    measured: list[Measured] = []
    for candidate, only, seeds in [
        *((c, only, sources.seeds[SCREENED:]) for c, only in chosen),
        *((c, c.direction == "push", _noises(c, sources, more)) for c in alone),
    ]:
        cue = cues[candidate.cue]
        effect = measure(panel, bank, cue, candidate, sources, seeds)
        words = seeds[: PLAIN - SCREENED]
        other = placebo(panel, bank, candidate, sources, words)
        measured.append(Measured(candidate, cue, effect, other, only))
    explained = {c.sources[0] for c in alone if c.own(sources)}
    measured += [
        taken_for(panel, bank, s, target, sources, more)
        for s, target in called_another(panel, sources)
        if s not in explained
    ]
    lost = screening.read[0] != sources.index
    seen = screening.there.sum(1) / max(1, int((sources.chosen >= 0).sum()))
    return measured, Screened(
        push=table,
        lost=np.where(screening.there, lost.astype(float), np.nan),
        reach=reach(bank, cues, sources, clip),
        seen=seen,
        hard=is_hard(lost, screening.there),
        left=left,
        screening=screening,
    )


def taken_for(
    panel: Panel, bank: Bank, source: int, target: int, sources: Sources, more: Sequence[int]
) -> Measured:
    """How many more plain pictures of a source, on other noise, are read as another class."""
    own = sources.index[source]
    read = panel.read_bank(bank, keys_of(PLAIN_CUE, [sources.names[source]], more))
    gaps = np.where(panel.sees(read, own), 0.0, np.nan)[None]
    effect = effect_of(gaps + (read[0] == target), gaps, float((read[1:] == target).mean()))
    one = Candidate(-1, "push", target, (source,))
    return Measured(one, NOTHING, effect, effect_of(gaps, gaps), only=True)


def _noises(one: Candidate, sources: Sources, more: Sequence[int]) -> list[int]:
    """Those on which a candidate of one source is measured."""
    return [*sources.seeds[SCREENED + TRIED :], *more[: None if one.own(sources) else MORE]]


def _spread(candidate: Candidate, share: float, sources: Sources) -> tuple[Candidate, bool]:
    """The sources to measure a push on: any in general, or the moved ones alone."""
    if share < GENERAL:
        return replace(candidate, sources=candidate.sources[:REPORTED]), True
    there = np.flatnonzero((sources.chosen >= 0) & (sources.index != candidate.target))
    kept = there[np.linspace(0, len(there) - 1, min(REPORTED, len(there))).round().astype(int)]
    return replace(candidate, sources=tuple(kept.tolist())), False


def _second_look(
    panel: Panel, bank: Bank, cues: Sequence[Cue], sources: Sources, tried: Sequence[Candidate]
) -> list[Candidate]:
    """Those of one source that are lost again on two other noises, as what they are."""
    seeds = sources.seeds[SCREENED : SCREENED + TRIED]
    keys: list[Key] = []
    for one in tried:
        keys += keys_of(cues[one.cue], [sources.names[one.sources[0]]], seeds)
    read = panel.read_bank(bank, keys).reshape(len(panel.models), len(tried), len(seeds))
    kept = []
    for i, one in enumerate(tried):
        own = sources.index[one.sources[0]]
        there = panel.sees(read[:, i], own)
        lost = moved(read[0, i], one, own) * there
        if lost.sum() < len(seeds):
            continue
        to, times = np.unique(read[0, i], return_counts=True)
        same = times.max() >= SAME * len(seeds)
        if cues[one.cue].kind in ARTEFACTS and same:
            one = replace(one, direction="push", target=int(to[times.argmax()]))
        kept.append(one)
    return kept


def most_pushed(push: np.ndarray, cues: Sequence[Cue]) -> list[int]:
    """Class indices to which cues move any sources, the largest share first.

    ``push`` is as of `Screened`.

    Examples
    --------
    >>> cues = [Cue("dark", "light", ("dark {source}",)), Cue("", "placebo", ("{source}",))]
    >>> most_pushed(np.array([[0.1, 0.3, 0.0, np.nan], [0.9, 0.0, 0.0, 0.9]]), cues)
    [1, 0]
    """
    most = np.nan_to_num(push[[cue.kind != "placebo" for cue in cues]]).max(0, initial=0.0)
    return [int(i) for i in np.argsort(-most, kind="stable") if most[i] > 0]


def power(sources: int) -> tuple[float, float]:
    """Least share that is looked at again 8 times of 10: of sources, of pictures.

    To be confirmed it takes more: `inversion_kit.finding.power`. Of a push the screening has a
    picture a source and wants `POOLED` and `SHARE` of them; of a lack it has one, and then wants
    `TRIED` more.

    Examples
    --------
    >>> [round(share, 2) for share in power(43)]
    [0.15, 0.93]
    """
    least = max(POOLED, int(np.ceil(SHARE * sources)))
    shares = np.linspace(0, 1, 201)
    seen = binom.sf(least - 1, sources, shares) >= 0.8
    push = float(shares[seen.argmax()]) if seen.any() else 1.0
    return push, float(0.8 ** (1 / (1 + TRIED)))
