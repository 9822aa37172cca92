"""Real pictures beside those of a result: whose they are, and the pictures of each label."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import numpy as np
import xarray as xr

from inversion_kit.errors import InputError
from inversion_kit.finding.real import RealImages, read_real
from inversion_kit.generators.sample import to_bytes


def real_of(tree: xr.DataTree, real: str | PathLike[str], seed: int) -> RealImages:
    """Real pictures of a folder a class, called as the result's classes are.

    Raises
    ------
    InputError
        There is no such folder, it is called as no class, or it says no classes.
    """
    names = [str(name) for name in tree["samples"]["class"].values]
    images = read_real(real, names, seed)
    if images.labels is None:
        raise InputError(
            f"real={str(real)!r}: its images lie in no folder a class; make one for each label, "
            "called by its name or class index"
        )
    return images


def counts_of(images: RealImages, labels: Sequence[int]) -> list[int]:
    """How many pictures there are of each class index."""
    known = [] if images.labels is None else images.labels.tolist()
    return [known.count(int(label)) for label in labels]


def pictures_of(
    images: RealImages, label: int, size: Sequence[int], most: int | None = None
) -> np.ndarray:
    """The pictures of a class at a size, uint8 ``(n, y, x, 3)``; what cannot be read is left out.

    Parameters
    ----------
    label
        Class index.
    size
        y and x.
    most
        How many of them at most; all where not given.
    """
    rows = np.flatnonzero(images.labels == label)[:most]
    parts = [to_bytes(part) for _, part in images.parts(rows, (int(size[0]), int(size[1])))]
    return np.concatenate(parts) if parts else np.zeros((0, *size, 3), "u1")
