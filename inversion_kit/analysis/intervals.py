"""95 % intervals of shares and of paired differences, many rows at once, gaps left out.

Every interval is the widest, at each end, of three:

- a percentile bootstrap that resamples run seeds, then test noises within each seed, so that it
  widens when runs differ;
- a score interval (Wilson 1927; Newcombe 1998, method 10, for paired differences), which does not
  shrink to a point when every image agrees, as the bootstrap does;
- for two runs or more, `over_runs`: two or three runs that agree do not show that the next one
  will, and a bootstrap of so few covers far too little. One run alone speaks of other noise, not of
  other runs.

How often they cover the mean over runs: ``python benchmarks/coverage.py``.

Values are float ``(..., seed, sample)`` and give value, low and high ``(...)``, NaN where nothing
is there. With ``pooled=True`` they are ``(..., row, seed, sample)`` and give ``(...)`` over all
rows, whose noise is shared: they are resampled together, and for `over_runs` each row and seed is a
run, a search of its own, where a row has two or more. What is not finite is a gap, and in no
number. A seed without an image is not drawn. Rows with the same gaps share their resamples.
``n_boot``, how many these are, and their ``seed`` are taken alike by all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.special import stdtrit

from inversion_kit.analysis.over_runs import ENDS, over_runs
from inversion_kit.wilson import wilson

N_BOOT = 2000
"""Resamples of a bootstrap, unless told otherwise."""
_BLOCK = 2**22
Interval = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Value, low, high."""
Ends = tuple[np.ndarray, np.ndarray]
"""Low, high."""


def share(
    values: np.ndarray, *, pooled: bool = False, n_boot: int = N_BOOT, seed: int = 0
) -> Interval:
    """Mean of each row of values in [0, 1], or of all rows together, with its interval.

    Examples
    --------
    >>> value, low, high = share(np.array([[[1, 1, 0, np.nan]]]), n_boot=99)
    >>> value.round(2), bool(low < value), bool(value < high)
    (array([0.67]), True, True)
    """
    return ratio(values, np.ones_like(values), pooled=pooled, n_boot=n_boot, seed=seed)


def ratio(
    part: np.ndarray,
    whole: np.ndarray,
    *,
    pooled: bool = False,
    n_boot: int = N_BOOT,
    seed: int = 0,
) -> Interval:
    """Sum of ``part`` over the sum of ``whole``, with its interval; NaN where ``whole`` is empty.

    Parameters
    ----------
    part, whole
        ``whole`` is 0 or 1 (or counts), ``part`` in [0, ``whole``]; NaN in either is a gap.
        Resamples in which ``whole`` is empty are not used.
    pooled, n_boot, seed
        As all here take them.

    Examples
    --------
    >>> part, whole = np.array([[[1, 0, 0, 0]], [[1, 1, 1, 0]]]), np.ones((2, 1, 4))
    >>> ratio(part, whole, n_boot=99)[0], ratio(part, whole, pooled=True, n_boot=99)[0]
    (array([0.25, 0.75]), array(0.5))
    """
    part, whole = _rows(part, pooled), _rows(whole, pooled)
    there = np.isfinite(part) & np.isfinite(whole)
    top, bottom = (np.where(there, v, 0.0) for v in (part, whole))
    return _estimate(top, bottom, there, [_limits(top, bottom)], n_boot=n_boot, seed=seed)


def difference(
    ours: np.ndarray,
    theirs: np.ndarray,
    *,
    pooled: bool = False,
    n_boot: int = N_BOOT,
    seed: int = 0,
) -> Interval:
    """Mean of ``ours`` minus ``theirs``, ones and zeros, over pairs, with its interval.

    A pair with a NaN is left out.

    Examples
    --------
    >>> ours, theirs = np.ones((1, 2, 8)), np.zeros((1, 2, 8))
    >>> float(difference(ours, theirs, n_boot=99)[0][0])
    1.0
    """
    ours, theirs = _rows(ours, pooled), _rows(theirs, pooled)
    there = np.isfinite(ours) & np.isfinite(theirs)
    a, b = ((np.nan_to_num(v) > 0) & there for v in (ours, theirs))
    both, first, second, neither = (
        c.sum((-3, -2, -1)).reshape(-1) for c in (a & b, a & ~b, ~a & b, ~a & ~b & there)
    )
    runs = [_limits(hit, there) for hit in (a, b)]
    scores = [newcombe(both, first, second, neither, limits) for limits in ((), runs)]
    return _estimate(a.astype(float) - b, there, there, scores, n_boot=n_boot, seed=seed)


def mean_difference(
    ours: np.ndarray, theirs: np.ndarray, *, n_boot: int = N_BOOT, seed: int = 0
) -> Interval:
    """Mean of ``ours`` minus ``theirs``, any numbers, over pairs, with its interval.

    In place of the score interval and of `over_runs` stands Student's t: over pairs where there is
    one run, else over the means of runs. A pair with a NaN is left out; of one pair alone there is
    no interval.

    Examples
    --------
    >>> ours, theirs = np.array([[[0.5, 0.7, 0.6, 0.8]]]), np.array([[[0.1, 0.2, 0.3, 0.4]]])
    >>> value, low, high = mean_difference(ours, theirs, n_boot=99)
    >>> value.round(2), low.round(2), high.round(2)
    (array([0.4]), array([0.27]), array([0.53]))
    """
    gaps = _rows(np.asarray(ours, float) - theirs, False)
    there = np.isfinite(gaps)
    top = np.where(there, gaps, 0.0)
    value, *ends = _estimate(top, there, there, [_student(top, there)], n_boot=n_boot, seed=seed)
    low, high = (np.where(there.sum((-3, -2, -1)) > 1, end, np.nan) for end in ends)
    return value, low, high


def newcombe(
    both: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    neither: np.ndarray,
    limits: Sequence[Ends] = (),
) -> Ends:
    """95 % interval of a difference of paired shares (Newcombe 1998, method 10).

    Pairs are counted in which both hit, only the first does, only the second, none; ``limits`` are
    low and high of the one and of the other share, Wilson's by default.

    Examples
    --------
    >>> low, high = newcombe(36, 14, 2, 28)
    >>> round(float(low), 3), round(float(high), 3)
    (0.054, 0.241)
    """
    both, first, second, neither = (np.asarray(c, float) for c in (both, first, second, neither))
    n = both + first + second + neither
    p, q = (_ratio(both + c, n) for c in (first, second))
    cross = both * neither - first * second
    cross = np.where(cross > 0, np.maximum(cross - n / 2, 0.0), cross)
    phi = _ratio(cross, n**2 * np.sqrt(np.maximum(p * (1 - p) * q * (1 - q), 0)), empty=0.0)
    (p_low, p_high), (q_low, q_high) = limits or (wilson(both + first, n), wilson(both + second, n))

    def reach(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(a**2 - 2 * phi * a * b + b**2, 0.0))

    return p - q - reach(p - p_low, q_high - q), p - q + reach(p_high - p, q - q_low)


def resamples(there: np.ndarray, *, n_boot: int, seed: int) -> np.ndarray:
    """How often each image is drawn, int ``(n_boot, seed, sample)``: seeds, then noises within.

    ``there`` ``(seed, sample)`` says which images exist; others are never drawn.

    Examples
    --------
    >>> drawn = resamples(np.array([[True, True], [True, False]]), n_boot=9, seed=0)
    >>> drawn.shape, int(drawn[:, 1, 1].sum())
    ((9, 2, 2), 0)
    """
    rng = np.random.default_rng(seed)
    kept = there.any(1)
    images = there[kept].sum(1)
    drawn = np.zeros((n_boot, *there.shape), int)
    if len(images):
        runs = rng.multinomial(len(images), np.full(len(images), 1 / len(images)), size=n_boot)
        drawn[:, kept] = rng.multinomial(runs * images, there[kept] / images[:, None])
    return drawn


def wider(*ends: np.ndarray | tuple[np.ndarray, ...]) -> Ends:
    """The lowest of the lows and the highest of the highs; a NaN is none.

    Examples
    --------
    >>> low, high = wider((0.1, 0.4), (0.2, 0.5), (np.nan, np.nan))
    >>> float(low), float(high)
    (0.1, 0.5)
    """
    lows, highs = zip(*ends, strict=True)
    return np.fmin.reduce(lows), np.fmax.reduce(highs)


def _rows(values: np.ndarray, pooled: bool) -> np.ndarray:
    """``(..., row, seed, sample)``: without a pool each row is a pool of its own."""
    return values if pooled else np.asarray(values, float)[..., None, :, :]


def _estimate(
    top: np.ndarray,
    bottom: np.ndarray,
    there: np.ndarray,
    scores: Sequence[Ends],
    *,
    n_boot: int,
    seed: int,
) -> Interval:
    """Sum of ``top`` over the sum of ``bottom`` ``(..., row, seed, sample)``, and its interval."""
    outer = there.shape[:-3]
    pool = (math.prod(outer), *there.shape[-2:])
    summed, images = (v.sum(-3).reshape(pool).astype(float) for v in (top, bottom))
    ends = _bootstrap(summed, images, there.any(-3).reshape(pool), n_boot=n_boot, seed=seed)
    value = _ratio(summed.sum((1, 2)), images.sum((1, 2)))
    low, high = wider(ends, *scores)
    return value.reshape(outer), low.reshape(outer), high.reshape(outer)


def _limits(hits: np.ndarray, n: np.ndarray) -> Ends:
    """Low and high ``(outer,)`` of the share over all rows of ``(..., row, seed, sample)``."""
    shape = (math.prod(n.shape[:-3]), *n.shape[-3:-1])
    hit, images = (v.sum(-1).reshape(shape) for v in (hits, n))
    every = [v.reshape(len(v), shape[1] * shape[2]) for v in (hit, images)]
    repeated = ((images > 0).sum(2) > 1).any(1)
    low, high = (np.where(repeated, end, np.nan) for end in over_runs(every[0], every[1]))
    return wider(wilson(every[0].sum(1), every[1].sum(1)), (low, high))


def _student(gaps: np.ndarray, there: np.ndarray) -> Ends:
    """Low and high ``(row,)`` by Student's t of ``(..., 1, seed, sample)``; NaN of one alone."""
    rows = math.prod(there.shape[:-3])
    gaps, there = (v.reshape(rows, *there.shape[-2:]) for v in (gaps, there))
    images = there.sum(2)
    means, runs = _ratio(gaps.sum(2), images), images > 0
    value = _ratio(gaps.sum((1, 2)), images.sum(1))
    several = runs.sum(1, keepdims=True) > 1
    apart = np.where(runs, means - value[:, None], 0.0)
    within = np.where(there, gaps - value[:, None, None], 0.0)
    squares = np.where(several[:, 0], (apart**2).sum(1), (within**2).sum((1, 2)))
    n = np.where(several[:, 0], runs.sum(1), images.sum(1))
    n = np.where(n > 1, n, np.nan)
    half = stdtrit(n - 1, ENDS[1]) * np.sqrt(squares / (n - 1) / n)
    return value - half, value + half


def _ratio(top: np.ndarray, bottom: np.ndarray, empty: float = np.nan) -> np.ndarray:
    top = np.asarray(top, float)
    return np.divide(top, bottom, out=np.full_like(top, empty), where=np.asarray(bottom) > 0)


@lru_cache(maxsize=8)
def _weights(there: bytes, shape: tuple[int, int], n_boot: int, seed: int) -> np.ndarray:
    """`resamples` as float ``(image, n_boot)``: many tables are over the same images."""
    pattern = np.frombuffer(there, bool).reshape(shape)
    return resamples(pattern, n_boot=n_boot, seed=seed).reshape(n_boot, -1).T.astype(float)


def _bootstrap(
    top: np.ndarray, bottom: np.ndarray, there: np.ndarray, *, n_boot: int, seed: int
) -> np.ndarray:
    """Ends ``(2, row)`` of resampled sum(top) / sum(bottom), all ``(row, seed, sample)``."""
    ends = np.full((2, len(top)), np.nan)
    flat = (len(top), math.prod(top.shape[1:]))
    top, bottom = top.reshape(flat), bottom.reshape(flat)
    patterns, which = np.unique(there.reshape(flat), axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        if not pattern.any():
            continue
        weights = _weights(pattern.tobytes(), there.shape[1:], n_boot, seed)
        rows = np.flatnonzero(which.ravel() == number)
        every = (bottom[rows] == pattern).all()  # a mean: each resample has as many images
        for block in np.array_split(rows, max(1, -(-len(rows) * n_boot // _BLOCK))):
            images = weights.sum(0) if every else bottom[block] @ weights
            values = _ratio(top[block] @ weights, images)
            known = np.isfinite(values)
            quantile = np.quantile if known.all() else np.nanquantile
            some = known.any(1)
            ends[:, block[some]] = quantile(values[some], ENDS, axis=-1)
    return ends
