"""Means and intervals over classifiers: several seeds of one are one, not several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from inversion_kit.wilson import wilson

DRAWS = 2000
"""Of the classifiers, for an interval that is no share's."""
Row = dict[str, Any]


def means(pairs: Iterable[tuple[str, float]]) -> list[float]:
    """Mean over the seeds of each classifier, from pairs of its name and a value.

    Examples
    --------
    >>> means([("a", 1), ("b", 0), ("a", 0)])
    [0.5, 0.0]
    """
    values: dict[str, list[float]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(float(value))
    return [float(np.mean(one)) for one in values.values()]


def share(rows: Sequence[Row], hit: Callable[[Row], float]) -> list[float | None]:
    """Hits, a mean over seeds, of how many classifiers, and Wilson's interval for so many.

    Examples
    --------
    >>> share([{"name": "a", "label": True}, {"name": "a", "label": False}], lambda r: r["label"])
    [0.5, 1, 0.0546, 0.9454]
    """
    return of_many(means((row["name"], hit(row)) for row in rows))


def of_many(hits: Sequence[float], each: int = 1) -> list[float | None]:
    """Sum of hits, of how many (``each`` a classifier), and Wilson's interval; none of none."""
    n = len(hits) * each
    if not n:
        return [0, 0, None, None]
    low, high = wilson(sum(hits), n)
    return [round(float(sum(hits)), 2), n, round(float(low), 4), round(float(high), 4)]


def drawn(values: Sequence[float]) -> list[float | None]:
    """Mean of a value a classifier, and its 95 % interval over draws of the classifiers."""
    if not len(values):
        return [None, None, None]
    of = np.asarray(values, float)
    draws = np.random.default_rng(0).choice(of, (DRAWS, len(of))).mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return [round(float(v), 4) for v in (of.mean(), low, high)]
