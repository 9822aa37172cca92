"""How near pictures are to real ones, and how varied: measures of two clouds of features.

The kernel distance, precision, recall, density and coverage compare a cloud with a reference; the
Vendi score needs none. All but the kernel distance depend on how many pictures there are, so
clouds that are compared with each other have as many.

Distances are scipy's. Every distance, kernel and cosine is computed once and the measures are taken
of parts of those tables, for the jackknife leaves out one noise after the other: torchmetrics and
torch-fidelity start from pictures or features each time, and have no density, coverage or Vendi
score; nor has scikit-learn, which is no dependency of the core. Tests compare kernel, neighbours
and cosines with scikit-learn's, and the kernel distance with torchmetrics'.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from inversion_kit.errors import InputError

MEASURES = ("kid", "precision", "recall", "density", "coverage", "vendi")
"""What `Clouds.measures` gives, see there."""
SHARES = ("precision", "recall", "coverage")
"""Those that are shares: of the pictures, of the reference, of the reference."""
NEIGHBOURS = 5
"""Neighbours that span the ball around a picture, as in Naeem et al. 2020."""
LEAST = NEIGHBOURS + 2
"""Fewest pictures of a cloud: one can be left out, and each of the others has its neighbours."""


@dataclass(frozen=True)
class Clouds:
    """A cloud and its reference: every distance, kernel and cosine between their points.

    Parameters
    ----------
    distance, kernel
        Euclidean, and the polynomial ``(a·b / features + 1)³``: float ``(n + m, n + m)``, the cloud
        first.
    cosine
        Of the cloud, ``(n, n)``.
    n
        Points of the cloud; the others are the reference, of which there may be none.
    """

    distance: np.ndarray
    kernel: np.ndarray
    cosine: np.ndarray
    n: int

    def measures(self, mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        """`MEASURES` of some points of the cloud and some of the reference, float ``(6,)``.

        - kid: the unbiased squared kernel distance (Bińkowski et al. 2018); 0 or below where both
          are of one kind.
        - precision: share of the pictures that lie in the ball around any reference picture, as
          wide as its `NEIGHBOURS`-th neighbour is far; recall: share of the reference that lies in
          a ball around any picture (Kynkäänniemi et al. 2019).
        - density: in how many balls of the reference a picture lies, over `NEIGHBOURS`; coverage:
          share of the reference whose ball holds a picture (Naeem et al. 2020).
        - vendi: the number of pictures that differ altogether which would be as varied, from 1 to
          n: exp of the entropy of the eigenvalues of the cosines over n (Friedman & Dieng 2023).

        NaN where there are fewer than 2 pictures, or none that have `NEIGHBOURS` neighbours.

        Parameters
        ----------
        mine, theirs
            Places, int; ``theirs`` counted from the first of the reference.
        """
        theirs = np.asarray(theirs, int) + self.n
        return np.array([*self._apart(mine, theirs), _vendi(self.cosine[np.ix_(mine, mine)])])

    def _apart(self, mine: np.ndarray, theirs: np.ndarray) -> list[float]:
        if min(len(mine), len(theirs)) <= NEIGHBOURS:
            return [np.nan] * 5
        own, other = (_off_diagonal(self.kernel[np.ix_(at, at)]) for at in (mine, theirs))
        kid = own + other - 2 * self.kernel[np.ix_(mine, theirs)].mean()
        reach, reference_reach = (
            np.partition(self.distance[np.ix_(at, at)], NEIGHBOURS, axis=1)[:, NEIGHBOURS]
            for at in (mine, theirs)
        )
        between = self.distance[np.ix_(mine, theirs)]
        inside = between <= reference_reach
        return [
            float(kid),
            float(inside.any(1).mean()),
            float((between <= reach[:, None]).any(0).mean()),
            float(inside.sum() / (NEIGHBOURS * len(mine))),
            float(inside.any(0).mean()),
        ]


def clouds(points: np.ndarray, reference: np.ndarray | None = None) -> Clouds:
    """Everything between the features of some pictures, and of reference pictures.

    Parameters
    ----------
    points, reference
        Float ``(n, feature)`` and ``(m, feature)``.

    Raises
    ------
    InputError
        They are not of that shape, differ in features, or are not finite.

    Examples
    --------
    >>> same = clouds(np.ones((4, 3)))
    >>> float(same.measures(np.arange(4), np.zeros(0))[-1].round(6))
    1.0
    >>> apart = clouds(np.eye(4))
    >>> float(apart.measures(np.arange(4), np.zeros(0))[-1].round(6))
    4.0
    """
    points = np.asarray(points, float)
    reference = points[:0] if reference is None else np.asarray(reference, float)
    if points.ndim != 2 or reference.shape[1:] != points.shape[1:]:
        raise InputError(
            f"points, reference: {points.shape} and {reference.shape}; expected (n, feature) and "
            "(m, feature), as many features"
        )
    both = np.concatenate([points, reference])
    if not np.isfinite(both).all():
        raise InputError("points, reference: features must be finite; leave out other pictures")
    inner = both @ both.T
    length = np.sqrt(np.maximum(np.diag(inner)[: len(points)], 1e-24))
    cosine = inner[: len(points), : len(points)] / (length[:, None] * length)
    return Clouds(cdist(both, both), (inner / both.shape[1] + 1) ** 3, cosine, len(points))


def _off_diagonal(kernel: np.ndarray) -> float:
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))


def _vendi(cosine: np.ndarray) -> float:
    n = len(cosine)
    if n < 2:
        return np.nan
    weights = np.linalg.eigvalsh(cosine / n)
    weights = weights[weights > 1e-12]
    return float(np.exp(-(weights * np.log(weights)).sum()))
