"""Real images of a user's folder: which are taken, their labels, and their pixels a few at a time.

They are read whenever they are needed and never held together: memory does not grow with the
folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from inversion_kit.classifiers.doctor.inputs import index_of_folders, read_folder
from inversion_kit.errors import InputError
from inversion_kit.generators.sample import from_bytes
from inversion_kit.paths import local_path
from inversion_kit.pictures import read_image

A_LABEL = 200
"""Images of a label at most; of more a random choice."""
IN_ALL = 5000
"""Images at most: with many labels each has its part, at least one."""
_BATCH = 64


@dataclass(frozen=True)
class RealImages:
    """Images that were chosen from a folder.

    Parameters
    ----------
    files
        In the order of their paths.
    folder
        Under which they lie.
    labels
        Class index of each, int ``(image,)``; None where the folder says no classes.
    there
        Images in the folder in all.
    """

    files: tuple[Path, ...]
    folder: Path
    labels: np.ndarray | None
    there: int

    def name(self, row: int) -> str:
        """Where an image lies in the folder, without the folder's own path."""
        return self.files[row].relative_to(self.folder).as_posix()

    def parts(
        self, rows: Sequence[int] | np.ndarray, size: tuple[int, int]
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Images of some rows, a few at a time: the rows, and float ``(n, 3, y, x)`` in [0, 1].

        The middle of each is brought to one size. What cannot be read is left out.

        Parameters
        ----------
        size
            y and x.
        """
        for first in range(0, len(rows), _BATCH):
            kept, made = [], []
            for row in rows[first : first + _BATCH]:
                try:
                    image = read_image(self.files[row], "real")
                except InputError:
                    continue
                fitted = ImageOps.fit(image, size[::-1], Image.Resampling.BICUBIC)
                kept.append(int(row))
                made.append(np.asarray(fitted))
            if kept:
                yield np.array(kept), from_bytes(np.stack(made))


def read_real(folder: str | PathLike[str], names: Sequence[str], seed: int = 0) -> RealImages:
    """Choose images of a folder: with a folder a class, or all in one without classes.

    Parameters
    ----------
    folder
        As `inversion_kit.classifiers.doctor.read_folder` takes it.
    names
        Of all labels: they, or class indices, are what the folders are called.
    seed
        Of the choice where there are more than `A_LABEL` of a label or `IN_ALL` together.

    Raises
    ------
    InputError
        There is no such folder, no image in it, or a folder that is called as no label.
    """
    files, named = read_folder(folder, "real")
    root, chance = local_path(folder, "real"), np.random.default_rng(seed)
    if named is None:
        rows = _some(chance, np.arange(len(files)), IN_ALL)
        return RealImages(tuple(files[i] for i in rows), root, None, len(files))
    folders = sorted(set(named))
    index = dict(zip(folders, index_of_folders(names, folders, "real"), strict=True))
    labels = np.array([index[name] for name in named])
    present = np.unique(labels)
    most = min(A_LABEL, max(1, IN_ALL // len(present)))
    parts = [_some(chance, np.flatnonzero(labels == label), most) for label in present]
    rows = np.sort(np.concatenate(parts))
    return RealImages(tuple(files[i] for i in rows), root, labels[rows], len(files))


def _some(chance: np.random.Generator, rows: np.ndarray, most: int) -> np.ndarray:
    return np.sort(chance.permutation(rows)[:most])
