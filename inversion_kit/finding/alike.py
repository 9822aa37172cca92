"""Look-alikes: a cue that only tips a class's pictures over to what they nearly are without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inversion_kit.classifiers.base import Classifier
from inversion_kit.finding.panel import first_class, second_class
from inversion_kit.generators.sample import from_bytes

SECOND = 0.5
"""Share of the plain pictures from which the class that they are second is a look-alike."""
FEWEST = 10
"""Classes of a classifier of which the second says something: of two it is always the other."""


def alike(
    classifier: Classifier,
    plain: np.ndarray,
    painted: np.ndarray,
    sources: Sequence[int] | np.ndarray,
) -> bool:
    """Whether painted pictures are read as what the classifier holds second for the plain ones.

    Parameters
    ----------
    classifier
        The audited one.
    plain, painted
        uint8 ``(source, noise, y, x, 3)``, on the same noise.
    sources
        Class index of each source.

    Returns
    -------
    bool
        Of the pictures that are moved, the class that most are moved to is second in at least
        `SECOND` of the plain pictures that are read right. False where none is moved or right, and
        of a classifier of fewer than `FEWEST` classes.

    Examples
    --------
    >>> from torch import nn
    >>> from inversion_kit.classifiers.preprocess import Preprocess
    >>> mean = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten())  # channel by channel
    >>> toy = Classifier(mean, Preprocess(size=(4, 4)), [f"{c}" for c in range(48)], name="toy")
    >>> plain, first, last = np.zeros((3, 1, 2, 4, 4, 3), "u1")
    >>> plain[..., 0, 0, 0], plain[..., 0, 1, 0] = 200, 100  # class 0, and class 1 after it
    >>> first[..., 0, 1, 0], last[..., 3, 3, 2] = 255, 255
    >>> alike(toy, plain, first, [0]), alike(toy, plain, last, [0])
    (True, False)
    """
    if len(classifier.labels) < FEWEST:
        return False
    rows = np.repeat(np.asarray(sources, int), plain.shape[1])
    before, after = (from_bytes(one.reshape(-1, *one.shape[2:])) for one in (plain, painted))
    read = first_class(classifier, after)
    moved, right = read[read != rows], first_class(classifier, before) == rows
    if not len(moved) or not right.any():
        return False
    second = second_class(classifier, before[np.flatnonzero(right)])
    return bool((second == np.bincount(moved).argmax()).mean() >= SECOND)
