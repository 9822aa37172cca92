"""What a classifier and its judges read in pictures to which something is done, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from inversion_kit.classifiers.base import Classifier
from inversion_kit.finding.operators import Apply
from inversion_kit.finding.panel import first_class
from inversion_kit.generators.sample import from_bytes

_BATCH = 32
Make = Callable[[np.ndarray], Tensor]
"""From source and noise ``(n, 2)`` to images."""


def as_they_are(images: np.ndarray) -> Make:
    """Pictures of uint8 ``(source, noise, y, x, 3)``."""
    return lambda rows: from_bytes(images[tuple(rows.T)])


class Trial:
    """Plain pictures, and what the classifier and its judges are asked about them.

    Tables are ``(source, noise)``, rows ``(n, 2)`` are places in them.
    """

    def __init__(
        self,
        classifier: Classifier,
        judges: Sequence[Classifier],
        direction: str,
        target: int,
        plain: np.ndarray,
        sources: np.ndarray,
    ) -> None:
        self.classifier, self.judges = classifier, list(judges)
        self.push, self.target = direction == "push", target
        self.plain, self.sources = plain, sources
        self.own = self.push and bool((sources == target).all())
        asked = (sources != target) if self.push and not self.own else (sources == target)
        rows = np.argwhere(np.repeat(asked[:, None], plain.shape[1], 1))
        self.there = rows[self._are(rows, as_they_are(plain), self._as_plain)]

    def rows(self, odd: bool) -> np.ndarray:
        """The pictures that count, of noises of even or odd number, noise by noise."""
        rows = self.there[self.there[:, 1] % 2 == int(odd)]
        return rows[np.lexsort((rows[:, 0], rows[:, 1]))]

    def done(self, way: Apply, dose: float, turns: np.ndarray) -> Make:
        """Plain pictures to which something is done."""
        return lambda rows: way(
            as_they_are(self.plain)(rows), dose, torch.from_numpy(turns[tuple(rows.T)])
        )

    def hits(self, rows: np.ndarray, make: Make) -> np.ndarray:
        """Whether pictures are read as the target or lost, bool ``(n,)``, and judges see them."""
        if self.push:
            return self._are(rows, make, lambda read, source: read == self.target)
        return self._are(rows, make, lambda read, source: read != source)

    def returned(self, rows: np.ndarray, make: Make) -> np.ndarray:
        """Whether the classifier reads pictures as it does plain ones, bool ``(n,)``."""
        return self._are(rows, make, self._as_plain, judged=False)

    def _as_plain(self, read: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Read as the source; missed, where that is what the cue mends."""
        return (read != source) if self.own else (read == source)

    def _are(
        self,
        rows: np.ndarray,
        make: Make,
        wanted: Callable[[np.ndarray, np.ndarray], np.ndarray],
        judged: bool = True,
    ) -> np.ndarray:
        """Whether reading and source are as wanted, and most of the judges see the source."""
        marked = np.zeros(len(rows), bool)
        for first in range(0, len(rows), _BATCH):
            part = slice(first, first + _BATCH)
            images, source = make(rows[part]), self.sources[rows[part, 0]]
            marked[part] = wanted(first_class(self.classifier, images), source)
            if judged and self.judges and marked[part].any():  # others need no judge
                at = marked[part].nonzero()[0]
                seen = [first_class(judge, images[at]) == source[at] for judge in self.judges]
                marked[first + at] = 2 * np.sum(seen, 0) > len(seen)
        return marked
