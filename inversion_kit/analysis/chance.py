"""Chances of tests, and their correction for how many were looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom


def corrected(chances: ArrayLike) -> np.ndarray:
    """Chances corrected for how many were looked at (Holm 1979), along the last axis.

    Examples
    --------
    >>> corrected([0.01, 0.5, 0.02]).round(2).tolist()
    [0.03, 0.5, 0.04]
    """
    values = np.asarray(chances, float)
    order = np.argsort(values, axis=-1)
    scaled = np.take_along_axis(values, order, -1) * np.arange(values.shape[-1], 0, -1)
    kept = np.minimum(np.maximum.accumulate(scaled, axis=-1), 1.0)
    out = np.empty_like(kept)
    np.put_along_axis(out, order, kept, -1)
    return out


def sign_test(differences: np.ndarray) -> np.ndarray:
    """Two-sided chance of as many differences of one sign, along the last axis; NaN is none.

    Examples
    --------
    >>> sign_test(np.array([[1, 2, 3, 1, 4, 1, np.nan], [1, -1, 0, 0, 0, 0, 0]])).round(3).tolist()
    [0.031, 1.0]
    """
    up, down = ((sign * differences > 0).sum(-1) for sign in (1, -1))
    chance: np.ndarray = np.minimum(2 * binom.cdf(np.minimum(up, down), up + down, 0.5), 1.0)
    return chance
