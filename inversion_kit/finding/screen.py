"""The screening: every cue on every source once, and what it is worth to look at again.

Nothing that is reported is computed here. A cue and a label that stand out are measured anew, on
other noise (`inversion_kit.finding.effects`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from inversion_kit.bank.bank import Bank, Key
from inversion_kit.bank.cues import PLAIN_CUE, Cue
from inversion_kit.finding.panel import Panel

SCREENED = 2
"""Plain noises of which a source's screening takes the first that all read right."""
POOLED = 3
"""Sources that a cue must move to one label to be a candidate over sources."""
SHARE = 0.1
"""Share of sources that it must move."""
KNOWN = 0.25
"""Most of a class's plain pictures that a classifier reads which misses the class."""
CALLED = 0.75
"""Share of a class's plain pictures that must be read as one other class to be looked at again."""
MANY = 0.2
"""Share of the cues that may help such a class: one of which more help is weak, tied to none."""
HARD = 0.15
"""Share of sources missed under a cue from which it is hard for the classifier in general: what one
class loses under it is then not tied to that class."""


@dataclass(frozen=True)
class Sources:
    """The classes whose pictures cues are added to.

    Parameters
    ----------
    index, names
        Class index and wording in prompts of each.
    seeds
        Noise seeds: the first `SCREENED` are for screening, the others for reporting.
    read
        What each model reads of the plain pictures, int ``(model, source, noise)``.
    right
        Whether the classifier and the judges read the source, bool ``(source, noise)``.
    """

    index: np.ndarray
    names: Sequence[str]
    seeds: Sequence[int]
    read: np.ndarray
    right: np.ndarray

    def plain(self, at: int, noise: int) -> Key:
        """Key of a plain picture."""
        return PLAIN_CUE.of(self.names[at]), self.seeds[noise]

    @property
    def chosen(self) -> np.ndarray:
        """Noise that screens each source, int ``(source,)``; -1 where none is read right."""
        first = self.right[:, :SCREENED]
        return np.where(first.any(1), first.argmax(1), -1)


@dataclass(frozen=True)
class Candidate:
    """A cue that may push sources to a label, or away from their own.

    Parameters
    ----------
    cue
        Index of the cue.
    direction
        ``"push"`` or ``"lack"``.
    target
        Class index of the label that is read (push) or lost (lack).
    sources
        Places of the sources that it moved in the screening.
    """

    cue: int
    direction: str
    target: int
    sources: tuple[int, ...]

    def own(self, sources: Sources) -> bool:
        """Whether a class's own pictures are pushed to it: they are missed without the cue."""
        return self.direction == "push" and sources.index[list(self.sources)].tolist() == [
            self.target
        ]


@dataclass(frozen=True)
class Screening:
    """What the models read of every cue on every source.

    Parameters
    ----------
    read
        int ``(model, cue, source)``, -1 where a source was not screened.
    there
        bool ``(cue, source)``: screened, and the judges still see the source.
    """

    read: np.ndarray
    there: np.ndarray


def some_of(classes: Sequence[int], most: int, seed: int) -> list[int]:
    """Class indices in their order; of more than ``most`` a random choice.

    Examples
    --------
    >>> some_of([4, 2], 3, seed=0), len(some_of(range(9), 3, seed=0))
    ([2, 4], 3)
    """
    if len(classes) <= most:
        return sorted(classes)
    chosen = np.random.default_rng(seed).choice(classes, most, replace=False)
    return sorted(int(i) for i in chosen)


def screen(panel: Panel, bank: Bank, cues: Sequence[Cue], sources: Sources) -> Screening:
    """Read every cue on every source that is read right when plain."""
    chosen = sources.chosen
    at = np.flatnonzero(chosen >= 0).tolist()
    keys = [(cue.of(sources.names[s], s), sources.seeds[chosen[s]]) for cue in cues for s in at]
    read = np.full((len(panel.models), len(cues), len(sources.index)), -1)
    read[:, :, at] = panel.read_bank(bank, keys).reshape(len(panel.models), len(cues), len(at))
    there = panel.sees(read, sources.index) & (chosen >= 0)
    return Screening(read, there)


def pushes(screening: Screening, sources: Sources, classes: int) -> np.ndarray:
    """Share of the sources that each cue moves to each class, float ``(cue, class)``.

    Sources whose judges no longer see them are not counted; NaN where none is left.
    """
    table = np.full((screening.there.shape[0], classes), np.nan)
    for c, there in enumerate(screening.there):
        if not there.any():
            continue
        moved = np.bincount(screening.read[0, c][there], minlength=classes).astype(float)
        own = np.bincount(sources.index[there], minlength=classes)
        stayed = np.bincount(
            sources.index[there & (screening.read[0, c] == sources.index)], minlength=classes
        )
        table[c] = (moved - stayed) / np.maximum(there.sum() - own, 1)
    return table


def candidates(
    screening: Screening, sources: Sources, cues: Sequence[Cue], classes: int
) -> tuple[list[Candidate], list[Candidate]]:
    """What to look at again: over several sources, the largest share first, and one by one.

    Returns
    -------
    tuple of list of Candidate
        Pushes over sources; and, one source each, what lost its own class to something else.
    """
    table = pushes(screening, sources, classes)
    pooled: list[Candidate] = []
    for flat in np.argsort(-np.nan_to_num(table), axis=None, kind="stable"):
        c, target = np.unravel_index(flat, table.shape)
        moved = np.flatnonzero(
            screening.there[c] & (screening.read[0, c] == target) & (sources.index != target)
        )
        if not table[c, target] >= SHARE:
            break
        if cues[c].kind != "placebo" and len(moved) >= POOLED:
            pooled.append(Candidate(int(c), "push", int(target), tuple(moved.tolist())))
    taken = {(p.cue, p.target) for p in pooled}
    lost = screening.there & (screening.read[0] != sources.index)
    for c, target in taken:
        lost[c] &= screening.read[0, c] != target
    hard = is_hard(lost, screening.there)
    single = [
        Candidate(int(c), "lack", int(sources.index[s]), (int(s),))
        for c, s in np.argwhere(lost)
        if cues[c].kind != "placebo" and not hard[c]
    ]
    return pooled, single


def missed(panel: Panel, sources: Sources) -> list[int]:
    """Places of sources whose plain pictures the judges read and the classifier does not.

    The judges read half of them or more, of which it reads `KNOWN` at most; none without judges.
    """
    made = []
    for s, read in _judged(panel, sources):
        known = (read == sources.index[s]).mean()
        if known <= KNOWN and sources.chosen[s] < 0:
            made.append(s)
    return made


def called_another(panel: Panel, sources: Sources) -> list[tuple[int, int]]:
    """Places of sources whose plain pictures are read as one other class, and that class's index.

    The judges read half of them or more, of which `CALLED` are; none without judges.
    """
    made = []
    for s, read in _judged(panel, sources):
        to, times = np.unique(read, return_counts=True)
        most = times.argmax()
        if to[most] != sources.index[s] and times[most] >= CALLED * len(read):
            made.append((s, int(to[most])))
    return made


def _judged(panel: Panel, sources: Sources) -> Iterator[tuple[int, np.ndarray]]:
    """What the classifier reads of the plain pictures that judges read, if these are half of all.

    Places of sources with class indices; none without judges, who alone can tell.
    """
    seen = panel.sees(sources.read, sources.index[:, None])
    for s in np.flatnonzero(2 * seen.sum(1) >= seen.shape[1]) if panel.judges else ():
        yield int(s), sources.read[0, s][seen[s]]


def restored(
    panel: Panel, bank: Bank, cues: Sequence[Cue], sources: Sources, *, tried: Sequence[int]
) -> list[Candidate]:
    """Cues with which a class is read that is missed without: what was tied to it in training.

    One after another the pictures of the screening and those of the noises ``tried`` must all be
    read, and the judges see the class in one. Where many cues help, the class is a weak one and
    none is named.
    """
    made: list[Candidate] = []
    real = [c for c, cue in enumerate(cues) if cue.kind != "placebo"]
    for s in missed(panel, sources):
        own, name = sources.index[s], sources.names[s]
        helping, seen = np.array(real), np.zeros(len(real), bool)
        for turn, seed in zip((s, *range(len(tried))), (sources.seeds[0], *tried), strict=True):
            read = panel.read_bank(bank, [(cues[c].of(name, turn), seed) for c in helping])
            kept = read[0] == own
            helping, seen = helping[kept], (seen | panel.sees(read, own))[kept]
        helping = helping[seen]
        if len(helping) <= MANY * len(real):
            made += [Candidate(int(c), "push", int(own), (s,)) for c in helping]
    return made


def is_hard(lost: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Which cues make the classifier miss classes in general, bool ``(cue,)``.

    Parameters
    ----------
    lost, there
        bool ``(cue, source)``: missed, and counted. One source alone makes no cue hard.
    """
    return (lost & there).sum(1) > np.maximum(HARD * there.sum(1), 1)
