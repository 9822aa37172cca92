"""Real images that an arm's tokens are learned from: which of each label, and their digest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.doctor.inputs import index_of_folders, read_folder
from inversion_kit.errors import InputError
from inversion_kit.pictures import read_image
from inversion_kit.search.textual_inversion import MOST, check_images

Photographs: TypeAlias = dict[int, list[Any]]
"""Class index to 1 to 16 paths or PIL images."""


def photographs(images: Any, classifier: Classifier) -> Photographs:
    """Images of each class: of a folder with a folder a class, or as they are given by label.

    Of a folder with more than 16 of a class 16 are taken, evenly spaced in the order of their
    paths: neighbours are often frames of one film. They are read when they are needed.

    Parameters
    ----------
    images
        A folder, a dict of labels and lists of images, or None.

    Raises
    ------
    InputError
        They are no such images; a label is unknown or there twice.

    Examples
    --------
    >>> from PIL import Image
    >>> from inversion_kit.classifiers.convert import as_classifier
    >>> sorted(photographs({"stop": [Image.new("RGB", (8, 8))]}, as_classifier("pocket:honest")))
    [14]
    """
    if images is None:
        return {}
    if isinstance(images, (str, os.PathLike)):
        return _of_folder(images, classifier)
    if not isinstance(images, Mapping):
        raise InputError(
            f"images: {type(images).__name__}; expected a folder with a folder a class, or a dict "
            "such as {'stop': ['a.png', 'b.png']}"
        )
    made: Photographs = {}
    for label, some in images.items():
        index = classifier.index(label)
        if index in made:
            raise InputError(f"images: {classifier.labels[index]!r} is there twice")
        made[index] = list(check_images(some, f"images of {label!r:.60}", tensors=False))
    return made


def _of_folder(folder: str | os.PathLike[str], classifier: Classifier) -> Photographs:
    files, named = read_folder(folder, "images")
    if named is None:
        raise InputError(
            f"images={str(folder)!r}: its images lie in no folder a class; make one for each "
            "label, called by its name or class index"
        )
    folders = sorted(set(named))
    indices = index_of_folders(list(classifier.labels), folders, "images")
    made: Photographs = {}
    for name, index in zip(folders, indices, strict=True):
        own = [file for file, of in zip(files, named, strict=True) if of == name]
        places = np.linspace(0, len(own) - 1, min(len(own), MOST)).round().astype(int)
        made[index] = [own[i] for i in places]
    return made


def digest(images: Sequence[Any]) -> str:
    """sha256 of what images show, whatever file holds them.

    Raises
    ------
    InputError
        One cannot be read.

    Examples
    --------
    >>> from PIL import Image
    >>> len(digest([Image.new("RGB", (8, 8))]))
    64
    """
    made = hashlib.sha256()
    for one in images:
        picture = read_image(one, "images")
        made.update(repr(picture.size).encode())
        made.update(picture.tobytes())
    return made.hexdigest()
