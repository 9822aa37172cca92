"""Proof of a cue by pixels: done to pictures that are without it, beside placebos, and undone.

Operator and dose are chosen on the noises of even number and reported on those of odd number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from inversion_kit.analysis.intervals import newcombe, share
from inversion_kit.bank.cues import Cue
from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import InputError
from inversion_kit.finding.cue_operators import operators_for
from inversion_kit.finding.operators import Apply, Operator, Pairs
from inversion_kit.finding.trial import Trial, as_they_are
from inversion_kit.generators.sample import from_bytes, to_bytes
from inversion_kit.wilson import wilson

DIRECTIONS = ("push", "lack")
"""A cue makes others be read as the label, or its own pictures be missed."""
DONORS = 24
"""Most pairs of a picture with the cue and its plain one from which pixels are taken."""
FEWEST = 4
"""Fewest pictures on which the cue works that are donors alone."""
TRIED = 16
"""Most pictures on which operators and doses are compared."""
FINALISTS = 2
"""Operators whose doses and placebos are compared."""
NEAR = 0.1
"""Operators whose gains over placebos differ by no more are equals."""
SHOWN = 8
"""Most pictures that are kept of each kind."""
Do = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Proof:
    """What an operator does to pictures that are without the cue.

    Parameters
    ----------
    operator
        Its name.
    doses
        From the least to the most.
    rate, low, high
        Share of the pictures that hit at each dose, with the 95 % interval over sources and noise;
        NaN where no picture was there.
    placebo, placebo_low, placebo_high
        The same of the placebo that hits most at that dose.
    best
        Place of the dose that was chosen.
    held, of
        Sources in which the chosen dose hits more than every placebo, the 95 % interval of the
        paired difference excluding none, out of how many that have two pictures or more.
    confirmed
        Whether that is half of them or more, and the intervals of cue and placebo over all pictures
        together do not meet.
    undone
        Share of the pictures with the cue which hit that are read as their source again when it is
        undone; None where it cannot be, or no picture hits.
    pictures
        uint8 ``(3, n, y, x, channel)``: plain, with the cue at the chosen dose, with the placebo.
    undone_of
        How many such pictures there are.
    varied
        By name, rate, low and high of the operator's other ways (`Operator.varied`) at that dose.
    done, against
        The operator and that placebo at the chosen dose, from images float ``(n, 3, y, x)`` and
        turns int ``(n,)`` to images, for pictures of another kind.
    """

    operator: str
    doses: tuple[float, ...]
    rate: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    placebo: tuple[float, ...]
    placebo_low: tuple[float, ...]
    placebo_high: tuple[float, ...]
    best: int
    held: int
    of: int
    confirmed: bool
    undone: float | None
    pictures: np.ndarray
    undone_of: int = 0
    varied: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    done: Do | None = field(default=None, repr=False, compare=False)
    against: Do | None = field(default=None, repr=False, compare=False)


def prove(
    cue: Cue,
    *,
    direction: str,
    target: int,
    classifier: Classifier,
    judges: Sequence[Classifier],
    plain: np.ndarray,
    painted: np.ndarray,
    sources: Sequence[int] | np.ndarray,
    seed: int = 0,
    operators: Sequence[Operator] | None = None,
) -> Proof:
    """Do what a cue says to plain pictures, and see whether they are read as its own were.

    A picture counts where the classifier and most of the judges read its source when it is plain.
    It hits where the classifier then reads the target (push) or another class than the source
    (lack), and most of the judges still read the source. Where the one source is the target of a
    push, its pictures count that the classifier misses when plain.

    Parameters
    ----------
    direction
        One of `DIRECTIONS`.
    target
        Class index of the label that is pushed to, or lost.
    judges
        Held-out classifiers; where there are none every hit counts.
    plain, painted
        uint8 ``(source, noise, y, x, 3)``: without the cue and with it, on the same noises.
    sources
        Class index of each source; those that are the target are left out of a push, unless there
        are no others; others than the target of a lack.
    seed
        Of the places and donors that pictures take.
    operators
        What is done; by default what the cue's words say (`operators_for`).

    Raises
    ------
    InputError
        The pictures do not fit each other or the sources, there are fewer than two noises, or the
        direction is unknown.

    Examples
    --------
    >>> from inversion_kit.classifiers.convert import as_classifier
    >>> def blue(images):  # in the corner at the top left
    ...     return (images[:, :3, :3].mean((1, 2)) @ [-1, -1, 1.0] > 128).astype(int)
    >>> toy = as_classifier(blue, labels=["other", "blue corner"], black_box=True)
    >>> plain = np.full((1, 16, 32, 32, 3), 90, "u1")
    >>> painted = plain.copy()
    >>> painted[:, :, :6, :6] = 0, 0, 255
    >>> cue = Cue("blue sticker", "sticker", ("a {source} with a blue sticker",), "blue")
    >>> shown = prove(cue, direction="push", target=1, classifier=toy, judges=[], plain=plain,
    ...               painted=painted, sources=[0])
    >>> shown.operator, shown.rate, shown.confirmed, shown.undone
    ('blue patch, where it was painted', (1.0, 1.0, 1.0), True, 1.0)
    """
    plain, painted = np.asarray(plain), np.asarray(painted)
    _check(direction, plain, painted, sources)
    trial = Trial(classifier, judges, direction, target, plain, np.asarray(sources))
    donors = _donors(trial, painted)
    pairs = Pairs(*(from_bytes(images[tuple(donors.T)]) for images in (plain, painted)))
    turns = _turns(plain.shape[:2], donors, seed)
    chosen, best = _choose(trial, operators or operators_for(cue, pairs), turns)
    ways = (chosen.apply, *chosen.placebos)
    hits = _table(trial, ways, chosen.doses, turns)
    ours, others = np.array(share(hits[0])), np.array(share(hits[1:]))
    worst = np.nan_to_num(others[0], nan=-1.0).argmax(0)
    theirs = others[:, worst, np.arange(len(worst))]
    held, of, apart = _against(hits[0, best], hits[1:, best])
    rate, low, high = (tuple(row) for row in ours.tolist())
    placebo, placebo_low, placebo_high = (tuple(row) for row in theirs.tolist())
    shown = _shown(trial, hits[0, best])
    dose, placebo_of = chosen.doses[best], chosen.placebos[worst[best]]
    undone, undone_of = _undone(trial, chosen, best, painted)
    return Proof(
        operator=chosen.name,
        doses=chosen.doses,
        rate=rate,
        low=low,
        high=high,
        placebo=placebo,
        placebo_low=placebo_low,
        placebo_high=placebo_high,
        best=best,
        held=held,
        of=of,
        confirmed=apart and 2 * held >= of,
        undone=undone,
        undone_of=undone_of,
        varied=_varied(trial, chosen, dose, turns),
        pictures=np.stack(
            [
                to_bytes(make(shown))
                for make in (
                    as_they_are(plain),
                    trial.done(chosen.apply, dose, turns),
                    trial.done(placebo_of, dose, turns),
                )
            ]
        ),
        done=lambda images, turn: chosen.apply(images, dose, turn),
        against=lambda images, turn: placebo_of(images, dose, turn),
    )


def _donors(trial: Trial, painted: np.ndarray) -> np.ndarray:
    """Rows from which pixels are taken: of even noises, those on which the cue works if it does."""
    rows = trial.rows(odd=False)
    worked = rows[trial.hits(rows, as_they_are(painted))]
    if len(worked) >= FEWEST:
        rows = worked
    if not len(rows):
        rows = np.argwhere(np.ones(painted.shape[:2], bool))[::2]
    return rows[:DONORS]


def _turns(shape: tuple[int, ...], donors: np.ndarray, seed: int) -> np.ndarray:
    """Number of each picture's donor ``(source, noise)``: another source, or at least noise."""
    rng = np.random.default_rng(seed)
    turns = np.zeros(shape, int)
    for source, noise in np.ndindex(*shape):
        other = donors[:, 0] != source
        if not other.any():
            other = donors[:, 1] != noise
        turns[source, noise] = rng.choice(other.nonzero()[0] if other.any() else len(donors))
    return turns


def _choose(trial: Trial, operators: Sequence[Operator], turns: np.ndarray) -> tuple[Operator, int]:
    """The operator and the place of its dose that hit most beyond their placebos."""
    rows = trial.rows(odd=False)[:TRIED]
    middle = [len(one.doses) // 2 for one in operators]
    if not len(rows):
        return operators[0], middle[0]

    def rate(way: Apply, dose: float) -> float:
        return float(trial.hits(rows, trial.done(way, dose, turns)).mean())

    first = [rate(one.apply, one.doses[m]) for one, m in zip(operators, middle, strict=True)]
    if not any(first):
        first = [rate(one.apply, one.doses[-1]) for one in operators]
    if not any(first):
        return operators[0], middle[0]
    leading = np.sort(np.argsort(-np.array(first), kind="stable")[:FINALISTS])
    finalists = [
        operators[i] for i in leading
    ]  # in their order: those with a name of their own first
    gains = [
        [rate(one.apply, d) - max(rate(way, d) for way in one.placebos) for d in one.doses]
        for one in finalists
    ]
    most = np.array([max(row) for row in gains])
    at = int(np.argmax(most >= most.max() - NEAR))
    largest = np.flatnonzero(np.array(gains[at]) == max(gains[at]))[-1]
    return finalists[at], int(largest)  # of equals: what just suffices may not on other noise


def _table(
    trial: Trial, ways: Sequence[Apply], doses: Sequence[float], turns: np.ndarray
) -> np.ndarray:
    """Hits of the pictures of odd noises, ``(way, dose, source, noise)``; others are NaN."""
    rows = trial.rows(odd=True)
    table = np.full((len(ways), len(doses), *turns.shape), np.nan)
    for w, way in enumerate(ways):
        for d, dose in enumerate(doses):
            table[(w, d, *rows.T)] = trial.hits(rows, trial.done(way, dose, turns))
    return table


def _against(ours: np.ndarray, theirs: np.ndarray) -> tuple[int, int, bool]:
    """Sources in which hits exceed every placebo's, and of how many; and whether they do in all.

    In a source the interval of the paired difference is above 0; in all pictures together the
    intervals of cue and placebo do not meet. ``ours`` is ``(source, noise)``, ``theirs`` has the
    placebos before; NaN is a gap.
    """
    there = np.isfinite(ours)
    a, b = ours > 0, theirs > 0
    counts = ((c & there).sum(-1) for c in (a & b, a & ~b, ~a & b, ~a & ~b))
    above = np.nan_to_num(newcombe(*counts)[0]) > 0
    enough = there.sum(1) >= 2
    low, high = wilson(a.sum(), there.sum())[0], wilson(b.sum((1, 2)), there.sum())[1]
    return int((above.all(0) & enough).sum()), int(enough.sum()), bool((low > high).all())


def _varied(
    trial: Trial, chosen: Operator, dose: float, turns: np.ndarray
) -> dict[str, tuple[float, float, float]]:
    """What the operator's other ways do at a dose: rate, low and high of each."""
    made = {}
    for name, way in chosen.varied.items():
        rate, low, high = (float(v[0, 0]) for v in share(_table(trial, [way], [dose], turns)))
        made[name] = rate, low, high
    return made


def _undone(
    trial: Trial, chosen: Operator, best: int, painted: np.ndarray
) -> tuple[float | None, int]:
    """Share of the pictures with the cue that hit and return when it is undone; of how many."""
    rows = trial.rows(odd=True)
    rows = rows[trial.hits(rows, as_they_are(painted))]
    undo = chosen.undo
    if undo is None or not len(rows):
        return None, 0
    dose = chosen.doses[best]
    back = trial.returned(
        rows, lambda r: undo(as_they_are(painted)(r), as_they_are(trial.plain)(r), dose)
    )
    return float(back.mean()), len(rows)


def _shown(trial: Trial, hits: np.ndarray) -> np.ndarray:
    """Rows of the pictures to show: those that hit first."""
    rows = trial.rows(odd=True)
    return rows[np.argsort(-hits[tuple(rows.T)], kind="stable")][:SHOWN]


def _check(
    direction: str, plain: np.ndarray, painted: np.ndarray, sources: Sequence[int] | np.ndarray
) -> None:
    if direction not in DIRECTIONS:
        raise InputError(f"direction={direction!r}: allowed are {', '.join(map(repr, DIRECTIONS))}")
    for name, images in (("plain", plain), ("painted", painted)):
        if images.dtype != np.uint8 or images.ndim != 5 or images.shape[-1] != 3:
            raise InputError(
                f"{name}: {images.dtype} {images.shape}; expected uint8 (source, noise, y, x, 3)"
            )
    if plain.shape != painted.shape or len(plain) != len(sources) or plain.shape[1] < 2:
        raise InputError(
            f"plain {plain.shape}, painted {painted.shape}, {len(sources)} sources; expected the "
            "same shape, a row a source, and at least two noises"
        )
