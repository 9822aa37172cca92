"""What an audit costs: seconds of its parts, times how often its units ask for each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

from inversion_kit.arms import Arm
from inversion_kit.audits.asked import FIRST_CHECK, Asked, asked_at_most, asked_likely
from inversion_kit.generators.kept import MOST
from inversion_kit.search.probe import BATCH, FIRST, MOST_WORDS, NOISES, SECOND, SHORTLIST, SUMS
from inversion_kit.settings import Settings
from inversion_kit.storage.units import Unit


@dataclass(frozen=True)
class Estimate:
    """How long an audit takes on this machine.

    Images that units share are made once; each unit's seconds hold the same part of them.

    Attributes
    ----------
    units
        Number of units of each arm that are to be made.
    least, likely, most
        Seconds of a unit of each arm: its search ends at its first check; it asks for what is
        usual (`asked_likely`); it makes every update and begins at every start.
    budget
        Seconds there are; None for no limit.
    """

    units: dict[str, int]
    least: dict[str, float]
    likely: dict[str, float]
    most: dict[str, float]
    budget: float | None = None

    @property
    def seconds(self) -> tuple[float, float]:
        """Seconds of the whole, at least and at most."""
        return self._whole(self.least), self._whole(self.most)

    @property
    def likely_seconds(self) -> float:
        """Seconds of the whole that are likely."""
        return self._whole(self.likely)

    @property
    def fits(self) -> tuple[int, int]:
        """How many units fit into the budget, at least and at most."""
        total = sum(self.units.values())
        if self.budget is None:
            return total, total
        low, high = (int(self.budget / s * total) if s else total for s in self.seconds)
        return min(total, high), min(total, low)

    def _whole(self, each: Mapping[str, float]) -> float:
        return sum(n * each[arm] for arm, n in self.units.items())

    def __str__(self) -> str:
        low, high = self.seconds
        rows = [
            f"{n:6d} x {arm:<10}  {self.least[arm]:7.1f} to {self.most[arm]:7.1f} s each, likely "
            f"{self.likely[arm]:.1f} s"
            for arm, n in self.units.items()
        ]
        rows.append(
            f"{sum(self.units.values()):6d} units      {clock(low)} to {clock(high)} in all, "
            f"likely {clock(self.likely_seconds)}, by one worker: a search that finds its class "
            "early is short, a control goes on"
        )
        if self.budget is not None:
            least, most = self.fits
            rows.append(f"{clock(self.budget)} are enough for {least} to {most} of them")
        return "\n".join(rows)


@dataclass(frozen=True)
class Parts:
    """Seconds of what units are made of, and what they need to be counted.

    Parameters
    ----------
    update
        Of an update of a search.
    image, reading
        Of a final image: making it, and reading it by the classifier and all judges.
    search_image, search_reading
        Of an image of a search: making it, and reading it by the classifier.
    quick_image
        Of making an image of the probe's first round, in few steps.
    words
        Number of words of the generator.
    noises
        Images of a word in the probe's first round.
    apart
        Whether searches ask another generator than the one that makes the final images.
    pixels
        Height times width of an image.
    baselines
        By arm, of learning a unit's token from photographs, or of guiding its images.
    """

    update: float
    image: float
    reading: float
    search_image: float
    search_reading: float
    quick_image: float
    words: int
    noises: int = 1
    apart: bool = False
    pixels: int = 512 * 512
    baselines: Mapping[str, float] = field(default_factory=dict)

    @property
    def one(self) -> float:
        """Seconds of an image of a search, made and read."""
        return self.search_image + self.search_reading

    @property
    def probed(self) -> int:
        """Images of words in the probe's first round."""
        return min(self.words, MOST_WORDS) * self.noises

    @property
    def shared(self) -> int:
        """Of those, the ones that are the same for every label."""
        if self.words <= MOST_WORDS:
            return self.probed
        return MOST_WORDS // 2 * self.noises // BATCH * BATCH

    @property
    def again(self) -> int:
        """Images of words in the probe's second round."""
        return min(self.words, SHORTLIST) * NOISES

    def search(
        self, asked: Asked, settings: Settings, *, probe: float = 1.0, sums: float = 1.0
    ) -> float:
        """Seconds of a search, without the final images.

        Parameters
        ----------
        asked
            How much it asks for.
        settings
            How many images a check has.
        probe, sums
            Share of the images of words, of the probe's first round, that have to be made when the
            probe is asked, and when it is asked for sums; the others are kept.

        Returns
        -------
        float
            Seconds.
        """
        one, quick = self.one, self.quick_image
        first = min(FIRST, self.words)
        pairs = first * (first - 1) // 2 + first * min(SECOND, self.words - first)
        words = self.probed * (probe * quick + self.search_reading) + self.again * one
        of_sums = self.probed * (sums * quick + self.search_reading)
        of_sums += pairs * self.noises * (quick + self.search_reading)
        of_sums += min(SUMS, pairs) * NOISES * one
        updates = asked.updates * self.update + asked.checks * settings.validation * one
        return updates + asked.probes * words + asked.sums * of_sums


def price(
    parts: Parts,
    units: Sequence[Unit],
    arms: Mapping[str, Arm],
    settings: Settings,
    *,
    prompts: Callable[[Unit], Sequence[str]],
) -> Estimate:
    """Seconds of units by the seconds of their parts.

    Parameters
    ----------
    parts
        What they are made of.
    units
        Those that are to be made, in their order.
    arms
        By name.
    settings
        Of searches and evidence; ``queries`` are those of a search alone.
    prompts
        Gives a unit's prompts: images of equal ones are shared.

    Returns
    -------
    Estimate
        For one worker, without a budget.
    """
    counts = Counter(unit.arm for unit in units)
    asks = [name for name in counts if arms[name].searched and settings.method == "gradient"]
    bounds = []
    for each in (
        dict.fromkeys(asks, FIRST_CHECK),
        {name: asked_likely(arms[name], settings) for name in asks},
        dict.fromkeys(asks, asked_at_most(settings)),
    ):
        made = _made(parts, units, arms, settings, prompts, each)
        bounds.append({name: _base(parts, arms[name], made[name], settings) for name in counts})
        for name, asked in each.items():
            probe, sums = made[name].probe, made[name].sums
            bounds[-1][name] += parts.search(asked, settings, probe=probe, sums=sums)
    if settings.method == "cma":
        for name in (name for name in counts if arms[name].searched):
            low, high = (n * parts.one for n in (settings.validation, settings.queries or 0))
            middle = high if arms[name].control else math.sqrt(low * high)
            for bound, seconds in zip(bounds, (low, middle, high), strict=True):
                bound[name] += seconds
    least, likely, most = bounds
    return Estimate(dict(counts), least, likely, most)


class _Made(NamedTuple):
    """Share of a unit's images that are not kept from other units, in [0, 1]."""

    final: float
    probe: float
    sums: float


def _base(parts: Parts, arm: Arm, made: _Made, settings: Settings) -> float:
    """Seconds of a unit without its search."""
    seconds = settings.samples * (made.final * parts.image + parts.reading)
    if arm.control:
        seconds += settings.samples * parts.search_reading  # by what it was trained against
    if arm.searched and parts.apart and settings.method == "gradient":
        seconds += settings.samples * parts.one
    return seconds + parts.baselines.get(arm.name, 0.0)


class _Kept:
    """Which images a process keeps in memory, as `inversion_kit.generators.kept` has it."""

    def __init__(self) -> None:
        self._images: dict[Hashable, int] = {}
        self._bytes = 0

    def lacking(self, sets: Mapping[Hashable, int]) -> float:
        """Share of the bytes of some sets that have to be made, in [0, 1]; all are kept then."""
        made = sum(size for key, size in sets.items() if key not in self._images)
        for key, size in sets.items():
            self._bytes += size - self._images.pop(key, 0)
            self._images[key] = size  # those used last stand last
        while self._bytes > MOST:
            self._bytes -= self._images.pop(next(iter(self._images)))
        return made / sum(sets.values())


def _made(
    parts: Parts,
    units: Sequence[Unit],
    arms: Mapping[str, Arm],
    settings: Settings,
    prompts: Callable[[Unit], Sequence[str]],
    searches: Mapping[str, Asked],
) -> dict[str, _Made]:
    """What units make themselves, by arm, in the mean, where the searches of arms ask for so much.

    What half of an arm's searches ask for counts as asked for by all.
    """
    size, kept = 3 * parts.pixels, _Kept()
    shares: dict[str, list[_Made]] = {}
    for unit in units:
        arm, asked = arms[unit.arm], (tuple(prompts(unit)), unit.seed)
        share, search = _Made(1.0, 1.0, 1.0), searches.get(unit.arm, FIRST_CHECK)
        if search.probes >= 0.5:
            words: dict[Hashable, int] = {("words", asked): size * parts.shared}
            words["words", asked, unit.label_index] = size * (parts.probed - parts.shared)
            share = share._replace(probe=kept.lacking(words))
            kept.lacking({("again", unit): size * parts.again})
            if search.sums >= 0.5:
                share = share._replace(sums=kept.lacking(words))
        if arm.guided:
            share = share._replace(final=0.0)  # they are made while they are guided
        elif arm.token != "learned":
            final: dict[Hashable, int] = {("final", asked, arm.token): size * settings.samples}
            share = share._replace(final=kept.lacking(final))
        shares.setdefault(unit.arm, []).append(share)
    return {arm: _Made(*map(fmean, zip(*each, strict=True))) for arm, each in shares.items()}


def clock(seconds: float) -> str:
    """Seconds for people.

    Parameters
    ----------
    seconds
        At least 0.

    Returns
    -------
    str
        In the two largest units, from seconds to hours.

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
