"""Natural confusions: pictures that the judges misread in the same way as the classifier.

They do not count in the effect of a cue, for the judges no longer see what was painted. So a
confusion that is total leaves none, and would be said nowhere. Here it is named as what it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inversion_kit.bank.bank import Bank
from inversion_kit.bank.cues import NOTHING, PLACEBOS, PLAIN_CUE, Cue
from inversion_kit.finding.effects import Effect, effect_of, keys_of
from inversion_kit.finding.panel import Panel
from inversion_kit.finding.screen import (
    CALLED,
    POOLED,
    SCREENED,
    SHARE,
    Candidate,
    Screening,
    Sources,
    is_hard,
)
from inversion_kit.finding.words import MORE, REPORTED, TRIED, Measured

MOST = 6
"""Confusions that are measured, at most: those without a cue first, then those of most sources."""
WORDS = 2
"""Other words for the plain picture that are the placebo."""


def confused(
    panel: Panel,
    bank: Bank,
    cues: Sequence[Cue],
    sources: Sources,
    screening: Screening,
    more: Sequence[int],
) -> list[Measured]:
    """What classifier and judges read alike and wrongly, plain or with a cue, on other noise.

    Parameters
    ----------
    screening
        What the screening read.
    more
        Noise seeds beside those of the plain pictures.

    Returns
    -------
    list of Measured
        None without judges. Effects are over all pictures that classifier and judges read right
        when plain; of plain pictures over all.
    """
    if not panel.judges:
        return []
    plain = [_plain(panel, bank, one, sources, more) for one in _without_cue(panel, sources)]
    chosen = [
        *_pooled(panel, cues, sources, screening),
        *_alone(panel, bank, cues, sources, screening),
    ]
    seeds = sources.seeds[SCREENED + TRIED :]
    made = plain[:MOST]
    for one in chosen[: MOST - len(made)]:
        noises = seeds if len(one.sources) > 1 else [*seeds, *more[:MORE]]
        ours, *others = (
            _effect(panel, bank, cue, one, sources, noises)
            for cue in (cues[one.cue], *PLACEBOS[:WORDS])
        )
        placebo = max(others, key=lambda effect: np.nan_to_num(effect.value, nan=-1.0))
        made.append(Measured(one, cues[one.cue], ours, placebo, only=True))
    return made


def _alike(panel: Panel, read: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Whether most judges read the same wrong class as the classifier; ``read`` (model, ...)."""
    return np.asarray(panel.sees(read, read[0]) & (read[0] != source))


def _without_cue(panel: Panel, sources: Sources) -> list[Candidate]:
    """Classes whose plain pictures are read alike as one other."""
    made = []
    alike = _alike(panel, sources.read, sources.index[:, None])
    for s, there in enumerate(alike):
        to, times = np.unique(sources.read[0, s][there], return_counts=True)
        if times.size and times.max() >= CALLED * len(there):
            made.append(Candidate(-1, "push", int(to[times.argmax()]), (s,)))
    return made


def _pooled(
    panel: Panel, cues: Sequence[Cue], sources: Sources, screening: Screening
) -> list[Candidate]:
    """Cues under which several classes are read alike as one other, those of most classes first."""
    screened = sources.chosen >= 0
    alike = _alike(panel, screening.read, sources.index) & screened
    made = []
    for c, cue in enumerate(cues):
        for target in np.unique(screening.read[0, c][alike[c]]) if cue.kind != "placebo" else ():
            at = np.flatnonzero(alike[c] & (screening.read[0, c] == target))
            if len(at) >= max(POOLED, SHARE * screened.sum()):
                made.append(Candidate(c, "push", int(target), tuple(at[:REPORTED].tolist())))
    return sorted(made, key=lambda one: -len(one.sources))


def _alone(
    panel: Panel, bank: Bank, cues: Sequence[Cue], sources: Sources, screening: Screening
) -> list[Candidate]:
    """Cues under which one class is read alike as one other, on `TRIED` more noises too.

    Of each such pair of classes one cue, and none that is hard for the classifier in general.
    """
    screened = sources.chosen >= 0
    alike = _alike(panel, screening.read, sources.index) & screened
    hard = is_hard(screening.read[0] != sources.index, np.broadcast_to(screened, alike.shape))
    seeds = sources.seeds[SCREENED : SCREENED + TRIED]
    made: dict[tuple[int, int], Candidate] = {}
    for c, s in np.argwhere(alike & ~hard[:, None]):
        target = int(screening.read[0, c, s])
        if cues[c].kind == "placebo" or (s, target) in made:
            continue
        read = panel.read_bank(bank, keys_of(cues[c], [sources.names[s]], seeds))
        if (_alike(panel, read, sources.index[s]) & (read[0] == target)).all():
            made[s, target] = Candidate(int(c), "push", target, (int(s),))
    return list(made.values())


def _plain(
    panel: Panel, bank: Bank, one: Candidate, sources: Sources, more: Sequence[int]
) -> Measured:
    """How many plain pictures of a class are read as another, on other noise."""
    read = panel.read_bank(bank, keys_of(PLAIN_CUE, [sources.names[one.sources[0]]], more))
    hits = (read == one.target).astype(float)[:, None]
    nothing = np.zeros_like(hits[0])
    effect = effect_of(hits[0], nothing, float(hits[1:].mean()))
    return Measured(one, NOTHING, effect, effect_of(nothing, nothing), only=True)


def _effect(
    panel: Panel, bank: Bank, cue: Cue, one: Candidate, sources: Sources, seeds: Sequence[int]
) -> Effect:
    """The share that a cue moves of what all read right when plain, the judges' of the same."""
    at = list(one.sources)
    names, index = [sources.names[s] for s in at], sources.index[at][:, None]
    shape = (len(panel.models), len(at), len(seeds))
    plain, cued = (
        panel.read_bank(bank, keys_of(each, names, seeds)).reshape(shape)
        for each in (PLAIN_CUE, cue)
    )
    there = panel.sees(plain, index) & (plain[0] == index)
    ours = np.where(there, cued[0] == one.target, np.nan)
    judges = (cued[1:] == one.target)[:, there].mean() if there.any() else np.nan
    return effect_of(ours, np.where(there, 0.0, np.nan), float(judges))
