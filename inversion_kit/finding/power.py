"""How strong a cue must be to be confirmed: what "nothing is confirmed" is worth."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from inversion_kit.analysis.chance import sign_test
from inversion_kit.analysis.intervals import newcombe
from inversion_kit.finding.effects import CHANCE, HELD
from inversion_kit.finding.screen import POOLED, SCREENED, SHARE
from inversion_kit.finding.verdicts import ALONE, LARGE, MISSED
from inversion_kit.finding.words import GENERAL, MORE, PLAIN, PROVED, REPORTED, TRIED
from inversion_kit.wilson import wilson

POWER = 0.8
"""How often a cue must be confirmed to be called seen."""
_TRIALS = 2000


@dataclass(frozen=True)
class Power:
    """Least shares of pictures that are confirmed 8 times of 10; NaN where none is.

    Parameters
    ----------
    push
        Of all sources, moved to one class.
    lack, coloured
        Of a class's own, missed: under a look, and with a colour added.
    """

    push: float
    lack: float
    coloured: float

    @property
    def text(self) -> str:
        """As JSON, null where it is NaN."""
        return json.dumps({k: v if v == v else None for k, v in asdict(self).items()})


def power(sources: int, measured: int, *, seed: int = 0) -> Power:
    """Least share of pictures that a cue must move to be confirmed, by simulation.

    The cue moves each picture with the same chance, whatever its source, painted and done to the
    pixels alike; placebos move none, judges see every source, and there is time for a second look.

    Parameters
    ----------
    sources
        How many are read right when plain.
    measured
        Effects for whose number chances are corrected; the cue is one more.
    seed
        Of the simulation.

    Examples
    --------
    >>> power(43, measured=4)
    Power(push=0.66, lack=0.93, coloured=0.97)
    >>> power(4, measured=0).push  # a sign test over four sources tells nothing
    nan
    """
    rng, tests = np.random.default_rng(seed), measured + 1
    return Power(
        _least(lambda share: _push(rng, share, sources, tests)),
        _least(lambda share: _lack(rng, share, tests, MISSED)),
        _least(lambda share: _lack(rng, share, tests, ALONE)),
    )


def _least(confirmed: Callable[[float], np.ndarray]) -> float:
    """Least share, in hundredths, of whose trials enough are confirmed; NaN where none is."""
    share = bisect_left(range(101), True, key=lambda n: bool(confirmed(n / 100).mean() >= POWER))
    return share / 100 if share <= 100 else np.nan


def _push(rng: np.random.Generator, share: float, sources: int, tests: int) -> np.ndarray:
    """Whether a push over sources passes the screening, the measurement and the proof."""
    moved = rng.binomial(sources, share, _TRIALS)
    seen = moved >= max(POOLED, int(np.ceil(SHARE * sources)))
    general = moved >= GENERAL * sources
    many = np.minimum(np.where(general, sources, moved), REPORTED)
    counted = np.arange(REPORTED) < many[:, None]
    means = rng.binomial(PLAIN - SCREENED, share, counted.shape) / (PLAIN - SCREENED)
    effect = (means * counted).sum(1) / np.maximum(many, 1)
    chance = sign_test(np.where(counted, means, np.nan))
    held = ((means >= HELD) & counted).sum(1)
    proven, rate = _proven(rng, share, counted[:, :PROVED], PLAIN // 2)
    large = np.maximum(effect, rate) >= LARGE
    return seen & large & (tests * chance < CHANCE) & (2 * held >= many) & proven


def _lack(rng: np.random.Generator, share: float, tests: int, least: float) -> np.ndarray:
    """Whether a class that misses its own pictures passes, a source alone."""
    pictures = PLAIN - SCREENED - TRIED + MORE
    seen = rng.binomial(1 + TRIED, share, _TRIALS) == 1 + TRIED
    lost = rng.binomial(1, share, (_TRIALS, pictures))
    proven, _ = _proven(rng, share, np.ones((_TRIALS, 1), bool), (PLAIN + MORE) // 2)
    return seen & (lost.mean(1) >= least) & (tests * sign_test(lost) < CHANCE) & proven


def _proven(
    rng: np.random.Generator, share: float, counted: np.ndarray, pictures: int
) -> tuple[np.ndarray, np.ndarray]:
    """Whether pixels prove it against placebos that do nothing, and the share that they move.

    ``counted`` are the sources of each trial, ``(trial, source)``, of ``pictures`` each.
    """
    hits = np.where(counted, rng.binomial(pictures, share, counted.shape), 0)
    none, of = np.zeros_like(hits), counted.sum(1)
    above = newcombe(none, hits, none, pictures - hits)[0] > 0
    whole = np.maximum(of, 1) * pictures
    apart = wilson(hits.sum(1), whole)[0] > wilson(0 * whole, whole)[1]
    return apart & (2 * above.sum(1) >= of), hits.sum(1) / whole
