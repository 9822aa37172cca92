"""In which order units are made, what they will cost, and what fits into a budget of time."""

from __future__ import annotations

import functools
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inversion_kit.arms import arm_of
from inversion_kit.audits.bench import Bench
from inversion_kit.audits.units import Outcome
from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import InputError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.generators.gradients import as_policy
from inversion_kit.generators.sample import sample
from inversion_kit.search.guidance import guided
from inversion_kit.search.optimise import optimise
from inversion_kit.search.probe import FIRST, SECOND
from inversion_kit.search.search import first_start
from inversion_kit.seeds import PROBE, noise_seeds
from inversion_kit.storage.units import Unit
from inversion_kit.wilson import wilson

_SECONDS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
_REPEATS = 5
_ENOUGH = 4.0
"""Seconds after which a timing is not repeated again."""


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


@dataclass(frozen=True)
class Estimate:
    """How long an audit takes on this machine.

    Attributes
    ----------
    units
        Number of units of each arm that are to be made.
    least, most
        Seconds of a unit of each arm: the search ends at its first check, or takes every update.
    budget
        Seconds there are; None for no limit.
    """

    units: dict[str, int]
    least: dict[str, float]
    most: dict[str, float]
    budget: float | None = None

    @property
    def seconds(self) -> tuple[float, float]:
        """Seconds of the whole, at least and at most."""
        return (
            sum(n * self.least[arm] for arm, n in self.units.items()),
            sum(n * self.most[arm] for arm, n in self.units.items()),
        )

    @property
    def fits(self) -> tuple[int, int]:
        """How many units fit into the budget, at least and at most."""
        total = sum(self.units.values())
        if self.budget is None:
            return total, total
        low, high = (int(self.budget / s * total) if s else total for s in self.seconds)
        return min(total, high), min(total, low)

    def __str__(self) -> str:
        low, high = self.seconds
        rows = [
            f"{n:6d} x {arm:<10}  {self.least[arm]:7.1f} to {self.most[arm]:7.1f} s each"
            for arm, n in self.units.items()
        ]
        rows.append(
            f"{sum(self.units.values()):6d} units      {clock(low)} to {clock(high)} in all, by one"
            " worker: a search that finds its class early is short"
        )
        if self.budget is not None:
            least, most = self.fits
            rows.append(f"{clock(self.budget)} are enough for {least} to {most} of them")
        return "\n".join(rows)


def estimate(
    bench: Bench, units: Sequence[Unit], *, budget: float | None = None, seed: int = 0
) -> Estimate:
    """Time an update and a few images, and count from there; no units take no time."""
    if not units:
        return Estimate({}, {}, {}, budget)
    counts: dict[str, int] = {}
    for unit in units:
        counts[unit.arm] = counts.get(unit.arm, 0) + 1
    settings, label = bench.settings, units[0].label_index
    prompts = bench.prompts(units[0])

    def image_of(generator: Generator, judges: Sequence[Classifier]) -> float:
        def draw(n: int) -> None:
            plain = [prompt.replace(PLACEHOLDER, "thing") for prompt in prompts[:1]]
            images = sample(generator, plain * n, seeds=noise_seeds(seed, PROBE, 9, n))
            for judge in judges:
                judge.logits(images)

        draw(1)
        return _timed(lambda: draw(4)) / 4

    image = image_of(bench.generator, [bench.classifier, *bench.panel])
    quick = image
    if bench.searcher is not bench.generator:
        quick = image_of(bench.searcher, [bench.classifier])
    searched = [arm for arm in counts if bench.arms[arm].searched]
    step = 0.0
    if settings.steps and settings.method == "gradient" and searched:
        start, vector = first_start(bench.generator, settings)
        updates = optimise(
            bench.classifier,
            bench.searcher,
            label,
            bench.prompts(Unit(label, searched[0], seed)),
            start=vector,
            start_name=start,
            seed=seed,
            steps=1 + _REPEATS,
            batch=settings.batch,
            lr=settings.lr,
            gradient=as_policy(settings.gradient),
            objective=settings.objective,
        )
        next(updates)
        step = _timed(lambda: next(updates))
    checks = 1 + -(-settings.steps // settings.check_every) + settings.restarts
    words = 2 * min(512, len(bench.generator.vocabulary)) + 24 * 3  # at most, see `probe`
    sums = 2 * FIRST * SECOND + 8 * 3  # at most, see `probe_pairs`
    words = (settings.restarts > 0) * words + (settings.restarts > 1) * sums
    final = image * settings.samples
    more = _baselines(bench, units, seed)
    search = step * settings.steps + quick * (checks * settings.validation + words)
    if settings.method == "cma":
        search = quick * (bench.search_settings.queries or 0)
    gap = 0.0 if quick is image else quick * settings.samples
    always = {a: final + more.get(a, 0.0) for a in counts}
    least = {a: always[a] + (a in searched) * (gap + quick * settings.validation) for a in counts}
    most = {a: always[a] + (a in searched) * (gap + search) for a in counts}
    return Estimate(counts, least, most, budget)


def _baselines(bench: Bench, units: Sequence[Unit], seed: int) -> dict[str, float]:
    """Seconds more that a unit of each baseline takes than one without a token."""
    settings, label = bench.settings, units[0].label_index
    took: dict[str, float] = {}
    for name in dict.fromkeys(unit.arm for unit in units):
        arm, unit = bench.arms[name], Unit(label, name, seed)
        if arm.inverted:
            one = replace(bench, settings=replace(settings, steps=1))
            took[name] = _timed(functools.partial(one.inverted, unit)) * settings.steps
        if arm.guided:
            texts = [prompt.replace(PLACEHOLDER, "thing") for prompt in bench.prompts(unit)[:1]]
            noise = noise_seeds(seed, PROBE, 9, 2)
            asked = bench.generator, bench.classifier, label, texts * 2, noise
            took[name] = _timed(functools.partial(guided, *asked)) / 2 * settings.samples
    return took


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
    results
        Gives what came of the units so far; units that were handed out and are not in it are
        under way.
    guess
        What a unit costs while none of its arm has been made: the geometric mean of the least and
        the most.
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
    left = in_order(units, arms)
    ends: dict[Unit, float] = {}  # of the units under way, as expected
    while left:
        done, now = results(), clock()
        ends = {u: max(now, end) for u, end in ends.items() if u not in {o.unit for o in done}}
        width = workers()
        start = sorted(ends.values())[-width] if len(ends) >= width else now
        cost = {arm: _cost(arm, done, guess) for arm in arms}
        fitting = [u for u in left if start + cost[u.arm] - began <= budget]
        if fitting:
            unit = _next(fitting, seeds, done, samples)
            left.remove(unit)
            ends[unit] = start + cost[unit.arm]
            yield unit
        elif ends:
            yield None
        else:
            return


def _cost(arm: str, done: Sequence[Outcome], guess: Estimate) -> float:
    """Seconds that a unit of an arm is expected to take."""
    took = [o.seconds for o in done if o.unit.arm == arm]
    return float(np.median(took)) if took else math.sqrt(guess.least[arm] * guess.most[arm])


def _next(
    left: Sequence[Unit], seeds: Sequence[int], done: Sequence[Outcome], samples: int
) -> Unit:
    first = [u for u in left if u.seed == seeds[0]]
    if first:
        return min(first, key=lambda u: arm.turn if (arm := arm_of(u.arm)) else 2)

    def width(label: int) -> float:
        wide = 0.0
        for arm in {u.arm for u in left if u.label_index == label}:
            shares = [
                o.success
                for o in done
                if (o.unit.label_index, o.unit.arm, o.status) == (label, arm, "done")
            ]
            n = samples * len(shares)
            low, high = wilson(round(sum(shares) * samples), n) if n else (0.0, 1.0)
            wide = max(wide, float(high - low))
        return wide

    widths = {label: width(label) for label in dict.fromkeys(u.label_index for u in left)}
    label = max(widths, key=lambda k: widths[k])
    return next(u for u in left if u.label_index == label)


def clock(seconds: float) -> str:
    """Seconds for people.

    Examples
    --------
    >>> clock(75), clock(3.2), clock(7300)
    ('1 min 15 s', '3 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _timed(work: Callable[[], object]) -> float:
    """Median seconds; what is quick is repeated, as a busy moment of the machine falls on one."""
    took: list[float] = []
    while len(took) < _REPEATS and sum(took) < _ENOUGH:
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return float(np.median(took))
