"""Wilson's score interval of a share."""

from __future__ import annotations

import numpy as np

Z = 1.959963984540054
"""The 97.5 % point of the normal distribution."""


def wilson(hits: np.ndarray | float, n: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """95 % score interval of ``hits`` out of ``n`` (Wilson 1927).

    Parameters
    ----------
    hits
        How many, any shape. A sum of values in [0, 1] will do: a share that is not of ones and
        zeros alone varies less, so the interval is then too wide, never too narrow.
    n
        Out of how many, a shape that fits that of ``hits``.

    Returns
    -------
    tuple of np.ndarray
        Low and high in [0, 1]; NaN where ``n`` is 0.

    Examples
    --------
    >>> low, high = wilson(10, 10)
    >>> round(float(low), 3), float(high)
    (0.722, 1.0)
    """
    n = np.where(np.asarray(n) > 0, n, np.nan)
    share = np.asarray(hits) / n
    middle = share + Z**2 / (2 * n)
    half = Z * np.sqrt(np.maximum(share * (1 - share) / n + Z**2 / (4 * n**2), 0))
    scale = 1 + Z**2 / n
    low = np.where(share == 0, 0.0, (middle - half) / scale)
    return low, np.where(share == 1, 1.0, (middle + half) / scale)
