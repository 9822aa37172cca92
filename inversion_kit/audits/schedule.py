"""In which order units are made, and which of them fit into a budget of time."""

from __future__ import annotations

import bisect
import re
import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet

from inversion_kit.arms import arm_of
from inversion_kit.audits.estimate import Estimate
from inversion_kit.audits.units import Outcome
from inversion_kit.errors import InputError
from inversion_kit.storage.units import Unit
from inversion_kit.wilson import wilson

_SECONDS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}


def seconds_of(budget: float | str | None) -> float | None:
    """Seconds of a number or a text such as "90s", "15min", "2h"; None for no limit.

    Raises
    ------
    InputError
        It is none of these.

    Examples
    --------
    >>> seconds_of("15min")
    900.0
    """
    if budget is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(budget).lower())
    if isinstance(budget, bool) or not match or (match[2] or "s") not in _SECONDS:
        raise InputError(f"budget={budget!r}: expected seconds or a text as '90s', '15min', '2h'")
    value = float(match[1]) * _SECONDS[match[2] or "s"]
    if value <= 0:
        raise InputError(f"budget={budget!r}: must be above 0")
    return value


def in_order(units: Sequence[Unit], arms: Sequence[str]) -> list[Unit]:
    """Seed by seed, so that what is cut off covers all labels; then label by label."""
    return sorted(units, key=lambda u: (u.seed, u.label_index, arms.index(u.arm)))


def within(
    units: Sequence[Unit],
    arms: Sequence[str],
    seeds: Sequence[int],
    *,
    samples: int,
    budget: float,
    results: Callable[[], Sequence[Outcome]],
    guess: Estimate,
    workers: Callable[[], int] = lambda: 1,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Unit | None]:
    """Units while the time lasts: one seed of every label first, then the uncertain labels.

    The first seed goes arm by arm over all labels: every label gets its name, then its token, then
    the token beside the name, and the control last. The claim about a token needs the control, but
    a label without any token has nothing to be claimed of. After it the next unit is always of the
    label whose success is known least: the widest 95 % interval over the images of its arms.

    A unit is begun where it is expected to end in time: after the units that are under way, and
    with the median cost of the arm's units so far. So the time may be overrun, by one unit a
    worker at most: one that takes longer than its arm's others. Units of an arm that no longer
    fits are passed over for those of arms that do.

    Parameters
    ----------
    units
        Those that are to be made, each once.
    arms, seeds
        In their order.
    samples
        Images of a unit.
    budget
        Seconds.
    results
        Gives what came of the units so far, what is new behind what was there before; units that
        were handed out and are not in it are under way. Each outcome is read once.
    guess
        What a unit is likely to cost while none of its arm has been made.
    workers
        How many units are made at a time.
    clock
        Seconds, from any start.

    Yields
    ------
    Unit or None
        None where nothing fits behind the units under way: ask again when one is done.
    """
    began = clock()
    waiting = _Waiting(in_order(units, arms), arms, seeds[0], samples)
    costs = {arm: _Cost(guess.likely[arm]) for arm in dict.fromkeys(u.arm for u in units)}
    finished: set[Unit] = set()
    ends: dict[Unit, float] = {}  # of the units under way, as expected
    read = 0
    while waiting:
        done, now = results(), clock()
        for outcome in done[read:]:
            finished.add(outcome.unit)
            waiting.learn(outcome)
            if outcome.unit.arm in costs:
                costs[outcome.unit.arm].add(outcome.seconds)
        read = len(done)
        ends = {u: max(now, end) for u, end in ends.items() if u not in finished}
        width = workers()
        start = sorted(ends.values())[-width] if len(ends) >= width else now
        fitting = {arm for arm, cost in costs.items() if start + cost.seconds - began <= budget}
        unit = waiting.take(fitting)
        if unit is not None:
            ends[unit] = start + costs[unit.arm].seconds
            yield unit
        elif ends:
            yield None
        else:
            return


class _Cost:
    """Seconds that a unit of an arm is expected to take: the median of those so far."""

    def __init__(self, guess: float) -> None:
        self._guess = guess
        self._took: list[float] = []

    def add(self, seconds: float) -> None:
        bisect.insort(self._took, seconds)

    @property
    def seconds(self) -> float:
        n = len(self._took)
        return (self._took[(n - 1) // 2] + self._took[n // 2]) / 2 if n else self._guess


class _Waiting:
    """Units that are not handed out yet, and how well their labels are known.

    An outcome changes one label, and so does a unit that is taken: only that one is ranked again.
    """

    def __init__(
        self, units: Sequence[Unit], arms: Sequence[str], first_seed: int, samples: int
    ) -> None:
        self._order = {arm: i for i, arm in enumerate(arms)}
        self._samples = samples
        self._first: dict[str, list[Unit]] = {}  # of the first seed by arm, the next one last
        self._later: dict[int, dict[str, list[Unit]]] = {}  # of others by label and arm
        self._hits: dict[tuple[int, str], tuple[float, int]] = {}  # shares of units done, and units
        self._widths: dict[tuple[int, str], float] = {}
        self._rank: dict[int, tuple[float, int, int]] = {}
        self._fitting: AbstractSet[str] = frozenset()
        self._left = len(units)
        for unit in reversed(units):
            if unit.seed == first_seed:
                self._first.setdefault(unit.arm, []).append(unit)
            else:
                arms_of = self._later.setdefault(unit.label_index, {})
                arms_of.setdefault(unit.arm, []).append(unit)

    def __bool__(self) -> bool:
        return self._left > 0

    def learn(self, outcome: Outcome) -> None:
        """Take in what came of a unit."""
        label, arm = outcome.unit.label_index, outcome.unit.arm
        if outcome.status != "done":
            return
        shares, n = self._hits.get((label, arm), (0.0, 0))
        shares, n = shares + outcome.success, n + 1
        self._hits[label, arm] = shares, n
        images = self._samples * n
        low, high = wilson(round(shares * self._samples), images)
        self._widths[label, arm] = float(high - low)
        self._ranked(label)

    def take(self, fitting: AbstractSet[str]) -> Unit | None:
        """The next unit of arms that fit; None where none is left."""
        heads = [self._first[arm][-1] for arm in fitting if self._first.get(arm)]
        if heads:
            unit = min(heads, key=lambda u: (_turn(u.arm), u.label_index, self._order[u.arm]))
            self._first[unit.arm].pop()
            self._left -= 1
            return unit
        if fitting != self._fitting:
            self._fitting = frozenset(fitting)
            for label in self._later:
                self._ranked(label)
        if not self._rank:
            return None
        label = max(self._rank, key=self._rank.__getitem__)
        unit = min(self._heads(label), key=self._place)
        self._later[label][unit.arm].pop()
        self._left -= 1
        self._ranked(label)
        return unit

    def _heads(self, label: int) -> list[Unit]:
        """The next unit of each arm of a label that fits."""
        arms = self._later.get(label, {})
        return [arms[arm][-1] for arm in self._fitting if arms.get(arm)]

    def _place(self, unit: Unit) -> tuple[int, int, int]:
        return unit.seed, unit.label_index, self._order[unit.arm]

    def _ranked(self, label: int) -> None:
        """Rank a label: the widest interval of its arms first, then what comes first in order."""
        heads = self._heads(label)
        if not heads:
            self._rank.pop(label, None)
            return
        width = max(self._widths.get((label, unit.arm), 1.0) for unit in heads)
        first = min(map(self._place, heads))
        self._rank[label] = width, -first[0], -first[1]


def _turn(arm: str) -> int:
    known = arm_of(arm)
    return 2 if known is None else known.turn
