"""What a few runs show of the next: an interval of the mean over runs that are not all seen."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

ENDS = (0.025, 0.975)
_SPREAD = 0.4
"""Of the spread of runs, as a part of the largest that there can be: the scale of its prior."""
_MEANS = np.sin(np.linspace(0, np.pi / 2, 202)[1:-1]) ** 2
"""Means over runs that are weighed: closer to each other at both ends."""
_SPREADS = ((np.arange(16) + 0.5) / 16) ** 2


def over_runs(hits: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of the mean share over runs, of which those seen are a few.

    Each run has a share of its own, drawn from a beta distribution, and its images are read as the
    label with it (beta-binomial). The mean over runs has a flat prior; their spread, as a part of
    the largest that the mean allows, a half-normal one of scale 0.4. The interval holds the middle
    95 % of the mean's posterior.

    ``n`` ``(row, run)`` says how many images there are, ``hits`` how many of them hit; sums of
    values in [0, 1] are taken as such. Low and high are ``(row,)``, NaN where fewer than two runs
    have images.

    Examples
    --------
    >>> low, high = over_runs(np.array([[32, 32, 32]]), np.array([[32, 32, 32]]))
    >>> round(float(low[0]), 1), round(float(high[0]), 2)
    (0.7, 1.0)
    """
    ends = np.full((2, len(hits)), np.nan)
    several = np.flatnonzero((n > 0).sum(1) > 1)
    if not len(several):
        return ends[0], ends[1]
    pairs, place = np.unique(
        np.stack([hits, n], -1)[several].reshape(-1, 2), axis=0, return_inverse=True
    )
    rest = 1 / _SPREADS**2 - 1
    yes, no = _MEANS[:, None] * rest, (1 - _MEANS)[:, None] * rest
    none = gammaln(yes) + gammaln(no) - gammaln(rest)
    likely = np.empty((len(pairs), *yes.shape))
    for at, (hit, images) in enumerate(pairs):
        likely[at] = gammaln(hit + yes) + gammaln(images - hit + no) - gammaln(images + rest) - none
    prior = np.exp(-0.5 * (_SPREADS / _SPREAD) ** 2) * np.gradient(_SPREADS)
    flat = np.gradient(_MEANS)
    rows, which = np.unique(
        np.sort(place.reshape(len(several), -1), axis=1), axis=0, return_inverse=True
    )
    middle = np.empty((2, len(rows)))
    for at, runs in enumerate(rows):
        joint = likely[runs].sum(0)
        weight = (np.exp(joint - joint.max()) @ prior) * flat
        below = np.cumsum(weight) - weight / 2
        middle[:, at] = np.interp(np.multiply(ENDS, weight.sum()), below, _MEANS)
    ends[:, several] = middle[:, which.ravel()]
    return ends[0], ends[1]
