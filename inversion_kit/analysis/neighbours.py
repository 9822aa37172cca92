"""A map of near neighbours in NumPy alone: UMAP's graph and forces, without a compiler.

umap-learn compiles itself for some twenty seconds in every process; a report has not that long.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse import coo_array
from scipy.spatial import cKDTree

_A, _B = 0.583, 1.334
"""Of the curve 1 / (1 + a d^2b), fitted to a smallest distance of 0.5."""
_EPOCHS, _NEAR, _AGAINST, _CLIP, _SPREAD, _TOGETHER = 250, 15, 5, 4.0, 5.0, 6


def neighbour_map(values: np.ndarray, start: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Move points in two dimensions until near ones are near: UMAP (McInnes et al. 2018).

    Every epoch all sampled edges pull, and five random points an edge push, at once; umap-learn
    takes them one after the other. The picture is of the same kind, not the same.

    ``values`` are ``(point, number)``, not all of them equal; ``start`` ``(point, 2)`` is where
    they start, as what is returned is where they end, without a unit; ``seed`` is that of edges
    and pushing points.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values = np.repeat([[0.0, 0, 0], [9, 9, 9]], 20, 0) + rng.normal(size=(40, 3))
    >>> at = neighbour_map(values, values[:, :2])
    >>> gap = np.linalg.norm(at[:20].mean(0) - at[20:].mean(0))
    >>> bool(gap > 2 * at[:20].std())
    True
    """
    rng = np.random.default_rng(seed)
    one, two, weight = _graph(values)
    at = start - start.mean(0)
    at *= _SPREAD / max(float(np.abs(at).max()), 1e-9)
    at += rng.normal(0, 1e-3, at.shape)  # copies of one point could never part
    n = len(at)
    for epoch in range(_EPOCHS):
        rate = 1 - epoch / _EPOCHS
        drawn = rng.random(len(one)) < weight
        i, j = one[drawn], two[drawn]
        move = _move(n, i, j, at, _pull) - _move(n, j, i, -at, _pull)
        i = np.repeat(i, _AGAINST)
        move += _move(n, i, rng.integers(0, n, len(i)), at, _push)
        # All edges of a point move it at once: many together would throw it past its place.
        edges = np.bincount(one[drawn], minlength=n) + np.bincount(two[drawn], minlength=n)
        at += rate * move * (_TOGETHER / np.maximum(edges, _TOGETHER))[:, None]
    return at


def _graph(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends and weights of the fuzzy neighbour graph (sec. 3.1); the largest weight is 1."""
    n = len(values)
    near = min(_NEAR, n - 1)
    distance, neighbour = cKDTree(values).query(values, near + 1)
    distance, neighbour = distance[:, 1:], neighbour[:, 1:]
    beyond = np.maximum(distance - distance[:, :1], 0)
    low, high = np.full(n, 1e-6), np.full(n, max(float(distance.max()), 1e-6) * 10)
    for _ in range(50):
        middle = np.sqrt(low * high)
        wide = np.exp(-beyond / middle[:, None]).sum(1) > np.log2(near)
        high, low = np.where(wide, middle, high), np.where(wide, low, middle)
    share = np.exp(-beyond / high[:, None])
    side = coo_array((share.ravel(), (np.repeat(np.arange(n), near), neighbour.ravel())), (n, n))
    both = side.tocsr()
    other = both.T.tocsr()
    graph = (both + other - both * other).tocoo()
    row, column = graph.coords
    return row, column, graph.data / graph.data.max()


def _move(
    n: int, i: np.ndarray, j: np.ndarray, at: np.ndarray, force: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Sum over the pairs of each point i's movement away from or towards j."""
    away = at[i] - at[j]
    square = (away**2).sum(1)
    step = (force(square)[:, None] * away).clip(-_CLIP, _CLIP)
    return np.stack([np.bincount(i, step[:, d], n) for d in (0, 1)], 1)


def _pull(square: np.ndarray) -> np.ndarray:
    near = np.maximum(square, 1e-12)
    return -2 * _A * _B * near ** (_B - 1) / (1 + _A * near**_B)


def _push(square: np.ndarray) -> np.ndarray:
    return 2 * _B / ((0.001 + square) * (1 + _A * square**_B))
