"""Where a label's name stands among its points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def label_places(
    x: np.ndarray, y: np.ndarray, label: np.ndarray, wide: Mapping[Any, float], high: float
) -> list[int]:
    """For each label one of its own points: the nearest to all others, where its name fits.

    The middle of two clusters would lie in neither. A name that would lie on an earlier one is
    left out: ``wide`` is the width of each label's name, first come first served, and ``high`` the
    height of all, in units of ``x`` and ``y``. The list holds places along the points.

    Examples
    --------
    >>> at = np.array([0.0, 1.0, 2.0, 9.0, 9.5])
    >>> label_places(at, at, np.array(list("aaabc")), {"a": 1, "b": 1, "c": 1}, 1)
    [1, 3]
    """
    made: list[tuple[int, float]] = []
    for name, width in wide.items():
        mine = np.flatnonzero(label == name)
        if not len(mine):
            continue
        apart = np.abs(x[mine, None] - x[mine]).sum(1) + np.abs(y[mine, None] - y[mine]).sum(1)
        best = int(mine[apart.argmin()])
        if all(
            abs(x[best] - x[o]) > (width + other) / 2 or abs(y[best] - y[o]) > high
            for o, other in made
        ):
            made.append((best, width))
    return [best for best, _ in made]
