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

Rows are ``(row, seed, sample)``. What is not finite there is a gap: it is in no number. A
seed without an image is not drawn. Rows with the same gaps share their resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from inversion_kit.analysis.over_runs import ENDS, over_runs

_Z = 1.959963984540054
_BLOCK = 2**22
Interval = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Value, low, high."""


def wilson(hits: np.ndarray | float, n: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's 95 % score interval of ``hits`` out of ``n``; NaN where ``n`` is 0.

    ``hits`` may be a sum of values in [0, 1]: a share that is not of ones and zeros alone varies
    less, so the interval is then too wide, never too narrow.

    Examples
    --------
    >>> low, high = wilson(10, 10)
    >>> round(float(low), 3), float(high)
    (0.722, 1.0)
    """
    n = np.where(np.asarray(n) > 0, n, np.nan)
    share = np.asarray(hits) / n
    middle = share + _Z**2 / (2 * n)
    half = _Z * np.sqrt(np.maximum(share * (1 - share) / n + _Z**2 / (4 * n**2), 0))
    scale = 1 + _Z**2 / n
    low = np.where(share == 0, 0.0, (middle - half) / scale)
    return low, np.where(share == 1, 1.0, (middle + half) / scale)


def newcombe(
    both: np.ndarray, first: np.ndarray, second: np.ndarray, neither: np.ndarray,
    limits: Sequence[tuple[np.ndarray, np.ndarray]] = (),
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Newcombe 1998, method 10: 95 % interval of a difference of paired shares.

    Parameters
    ----------
    both, first, second, neither
        Pairs in which both hit, only the first does, only the second, none.
    limits
        Low and high of the one and of the other share; Wilson's by default.

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
    """How often each image is drawn: seeds first, then noises within each.

    Parameters
    ----------
    there
        bool ``(seed, sample)``: images that exist.

    Returns
    -------
    np.ndarray
        int ``(n_boot, seed, sample)``, 0 where no image is.

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


def share(values: np.ndarray, *, n_boot: int, seed: int) -> Interval:
    """Mean of each row of values in [0, 1], with its interval.

    Parameters
    ----------
    values
        float ``(..., seed, sample)``, NaN where no image is.

    Returns
    -------
    Interval
        Value, low, high ``(...)``; NaN where a row has no image.

    Examples
    --------
    >>> value, low, high = share(np.array([[[1, 1, 0, np.nan]]]), n_boot=99, seed=0)
    >>> value.round(2), bool(low < value), bool(value < high)
    (array([0.67]), True, True)
    """
    rows, outer = _rows(values)
    there = np.isfinite(rows)
    n, total = there.sum((1, 2)), np.nansum(rows, (1, 2))
    ends = _ratio_ends(rows, there, n_boot=n_boot, seed=seed)
    limits = _limits(np.nansum(rows, 2), there.sum(2))
    return _shaped(_ratio(total, n), *wider(ends, limits), outer=outer)


def ratio(part: np.ndarray, whole: np.ndarray, *, n_boot: int, seed: int) -> Interval:
    """Sum of ``part`` over the sum of ``whole`` in each row, with its interval.

    Parameters
    ----------
    part, whole
        float ``(..., seed, sample)``: ``whole`` is 0 or 1 (or counts), ``part`` in [0, ``whole``];
        NaN in either is a gap. Resamples in which ``whole`` is empty are not used.

    Returns
    -------
    Interval
        Value, low, high ``(...)``; NaN where ``whole`` is empty.

    Examples
    --------
    >>> part, whole = np.array([[[1, 0, 0, 0]]]), np.array([[[1, 1, 0, 0]]])
    >>> float(ratio(part, whole, n_boot=99, seed=0)[0][0])
    0.5
    """
    top, outer = _rows(part)
    bottom, _ = _rows(whole)
    there = np.isfinite(top) & np.isfinite(bottom)
    top, bottom = np.where(there, top, 0), np.where(there, bottom, 0)
    total, n = top.sum((1, 2)), bottom.sum((1, 2))
    ends = _ratio_ends(top, there, bottom, n_boot=n_boot, seed=seed)
    limits = _limits(top.sum(2), bottom.sum(2))
    return _shaped(_ratio(total, n), *wider(ends, limits), outer=outer)


def difference(ours: np.ndarray, theirs: np.ndarray, *, n_boot: int, seed: int) -> Interval:
    """Mean of ``ours`` minus ``theirs`` over the pairs of each row, with its interval.

    Parameters
    ----------
    ours, theirs
        float ``(..., seed, sample)`` of ones and zeros, paired; a pair with a NaN is left out.

    Returns
    -------
    Interval
        Value, low, high ``(...)``; NaN where a row has no pair.

    Examples
    --------
    >>> ours, theirs = np.ones((1, 2, 8)), np.zeros((1, 2, 8))
    >>> float(difference(ours, theirs, n_boot=99, seed=0)[0][0])
    1.0
    """
    one, outer = _rows(ours)
    other, _ = _rows(theirs)
    there = np.isfinite(one) & np.isfinite(other)
    a, b = (one > 0) & there, (other > 0) & there
    both, first, second, neither = (
        (x & y & there).sum((1, 2)) for x, y in ((a, b), (a, ~b), (~a, b), (~a, ~b))
    )
    ends = _ratio_ends(a.astype(float) - b, there, n_boot=n_boot, seed=seed)
    runs = [_limits(hit.sum(2), there.sum(2)) for hit in (a, b)]
    value = _ratio((a.astype(float) - b).sum((1, 2)), there.sum((1, 2)))
    scores = [newcombe(both, first, second, neither, limits) for limits in ((), runs)]
    return _shaped(value, *wider(ends, *scores), outer=outer)


def pooled_ratio(part: np.ndarray, whole: np.ndarray, *, n_boot: int, seed: int) -> Interval:
    """`ratio` over several rows at once, whose noise is shared: they are resampled together.

    For `over_runs` each row and seed is a run, a search of its own, where a row has two or more.

    Parameters
    ----------
    part, whole
        float ``(..., row, seed, sample)``, as `ratio` takes them.

    Returns
    -------
    Interval
        Value, low, high ``(...)``.

    Examples
    --------
    >>> part, whole = np.array([[[1, 0]], [[1, np.nan]]]), np.ones((2, 1, 2))
    >>> float(pooled_ratio(part, whole, n_boot=99, seed=0)[0].round(2))
    0.67
    """
    there = np.isfinite(part) & np.isfinite(whole)
    top, outer = _rows(np.where(there, part, 0.0).sum(-3))
    bottom, _ = _rows(np.where(there, whole, 0.0).sum(-3))
    ends = _ratio_ends(top, _rows(there.any(-3))[0] > 0, bottom, n_boot=n_boot, seed=seed)
    limits = _pooled_limits(*(np.where(there, v, 0.0) for v in (part, whole)))
    value = _ratio(top.sum((1, 2)), bottom.sum((1, 2)))
    return _shaped(value, *wider(ends, limits), outer=outer)


def pooled_difference(ours: np.ndarray, theirs: np.ndarray, *, n_boot: int, seed: int) -> Interval:
    """`difference` over several rows at once, whose noise is shared: they are resampled together.

    For `over_runs` each row and seed is a run, a search of its own, where a row has two or more.

    Parameters
    ----------
    ours, theirs
        float ``(..., row, seed, sample)`` of ones and zeros, paired.

    Returns
    -------
    Interval
        Value, low, high ``(...)``.

    Examples
    --------
    >>> ours, theirs = np.ones((3, 2, 8)), np.zeros((3, 2, 8))
    >>> float(pooled_difference(ours, theirs, n_boot=99, seed=0)[0])
    1.0
    """
    there = np.isfinite(ours) & np.isfinite(theirs)
    change = np.where(there, np.nan_to_num(ours) - np.nan_to_num(theirs), 0.0)
    top, outer = _rows(change.sum(-3))
    bottom, _ = _rows(there.sum(-3))
    ends = _ratio_ends(top, bottom > 0, bottom, n_boot=n_boot, seed=seed)
    both, first, second, neither = (
        (there & (ours == a) & (theirs == b)).sum((-3, -2, -1)).reshape(len(top))
        for a, b in ((1, 1), (1, 0), (0, 1), (0, 0))
    )
    runs = [_pooled_limits(there & (hit == 1), there) for hit in (ours, theirs)]
    value = _ratio(top.sum((1, 2)), bottom.sum((1, 2)))
    scores = [newcombe(both, first, second, neither, limits) for limits in ((), runs)]
    return _shaped(value, *wider(ends, *scores), outer=outer)


def wider(*ends: np.ndarray | tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The lowest of the lows and the highest of the highs; a NaN is none.

    Examples
    --------
    >>> low, high = wider((0.1, 0.4), (0.2, 0.5), (np.nan, np.nan))
    >>> float(low), float(high)
    (0.1, 0.5)
    """
    lows, highs = zip(*ends, strict=True)
    return np.fmin.reduce(lows), np.fmax.reduce(highs)


def _limits(hits: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Low and high of the share of ``hits`` out of ``n`` ``(row, run)``."""
    return wider(wilson(hits.sum(1), n.sum(1)), over_runs(hits, n))


def _rows(values: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    values = np.asarray(values, float)
    outer = values.shape[:-2]
    return values.reshape(math.prod(outer), *values.shape[-2:]), outer


def _pooled_limits(hits: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Low and high ``(outer,)`` of the share over all rows of ``(..., row, seed, sample)``."""
    hit, images = (v.sum(-1).reshape(-1, *v.shape[-3:-1]) for v in (hits, n))
    every = hit.reshape(len(hit), -1), images.reshape(len(images), -1)
    repeated = ((images > 0).sum(2) > 1).any(1)
    runs = np.where(repeated, over_runs(*every), np.nan)
    return wider(wilson(every[0].sum(1), every[1].sum(1)), (runs[0], runs[1]))


def _shaped(*values: np.ndarray, outer: tuple[int, ...]) -> Interval:
    value, low, high = (np.asarray(v).reshape(outer) for v in values)
    return value, low, high


def _ratio(top: np.ndarray, bottom: np.ndarray, empty: float = np.nan) -> np.ndarray:
    top = np.asarray(top, float)
    return np.divide(top, bottom, out=np.full_like(top, empty), where=np.asarray(bottom) > 0)


def _ratio_ends(
    top: np.ndarray,
    there: np.ndarray,
    bottom: np.ndarray | None = None,
    *,
    n_boot: int,
    seed: int,
) -> np.ndarray:
    """Bootstrap ends ``(2, row)`` of sum(top) / sum(bottom); without ``bottom``, of the mean."""
    ends = np.full((2, len(top)), np.nan)
    row = (len(top), math.prod(top.shape[1:]))
    top = np.where(there, top, 0.0).reshape(row)
    flat = None if bottom is None else bottom.reshape(row)
    patterns, which = np.unique(there.reshape(row), axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        if not pattern.any():
            continue
        drawn = resamples(pattern.reshape(there.shape[1:]), n_boot=n_boot, seed=seed)
        weights = drawn.reshape(n_boot, -1).T.astype(float)
        rows = np.flatnonzero(which.ravel() == number)
        for block in np.array_split(rows, max(1, -(-len(rows) * n_boot // _BLOCK))):
            resampled = top[block] @ weights
            if flat is None:
                ends[:, block] = np.quantile(resampled / weights.sum(0), ENDS, axis=-1)
                continue
            size = flat[block] @ weights
            some = (size > 0).any(1)
            values = _ratio(resampled[some], size[some])
            ends[:, block[some]] = np.nanquantile(values, ENDS, axis=-1)
    return ends
