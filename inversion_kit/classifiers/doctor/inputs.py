"""What the doctor is given: images and their labels, of whatever kind, or a folder of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.doctor.diagnosis import Check
from inversion_kit.classifiers.label_names import label_index
from inversion_kit.errors import InputError, LabelError
from inversion_kit.paths import local_path
from inversion_kit.pictures import read_image

_WHITE = {torch.uint8: 255, torch.uint16: 65535, torch.bool: 1}
"""What white is in images of whole numbers whose kind says it."""


def read_folder(
    folder: str | PathLike[str], argument: str = "images"
) -> tuple[list[Path], list[str] | None]:
    """Image files of a folder at any depth, sorted, and the class of each.

    Where most images lie one folder deep, those folders are the classes, called by the label
    names or all by the class indices; else there are no classes. What is hidden (``.DS_Store``,
    ``._a.png``) is passed by.

    Parameters
    ----------
    argument
        What messages call it.

    Raises
    ------
    InputError
        There is no such folder, or no image in it.

    Warns
    -----
    RuntimeWarning
        Images lie elsewhere than most: which are left out, or that there are no classes.
    """
    root = local_path(folder, argument)
    if not root.is_dir():
        raise InputError(f"{argument}={str(folder)!r}: no such folder")
    kinds = Image.registered_extensions()
    files = [
        file
        for file in sorted(root.rglob("*"))
        if file.suffix.lower() in kinds and file.is_file() and not _hidden(file, root)
    ]
    if not files:
        raise InputError(f"{argument}={str(folder)!r}: there are no images in it")
    deep = [file for file in files if file.parent.parent == root]
    others = [file for file in files if file.parent.parent != root]
    if len(deep) > len(others):
        if others:
            _warn(argument, root, others, "are in no folder of a class, and are left out")
        return deep, [file.parent.name for file in deep]
    if deep:
        _warn(argument, root, deep, "are in folders, and most are not: no image has a class")
    return files, None


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)


def _warn(argument: str, root: Path, files: list[Path], what: str) -> None:
    named = ", ".join(str(file.relative_to(root)) for file in files[:3])
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    said = f"{argument}={str(root)!r}: {named}{more} {what}"
    warnings.warn(said, RuntimeWarning, stacklevel=3)


def as_images(images: Any, most: int) -> tuple[list[Tensor], list[Check], int]:
    """Float ``(3, y, x)`` in [0, 1], at most ``most``; the check of their range; their number."""
    if images is None:
        return [], [], 0
    if isinstance(images, (str, bytes, PathLike, Image.Image)) or not isinstance(images, Iterable):
        raise InputError(
            f"images={type(images).__name__}: expected several; give a list of paths, PIL images "
            "or arrays"
        )
    each = list(images)
    if not each:
        raise InputError("images: there are none")
    made = [_as_image(each[i]) for i in _evenly(len(each), most)]
    low, high = min(float(i.min()) for i in made), max(float(i.max()) for i in made)
    seen = f"values from {low:.3g} to {high:.3g}"
    if not np.isfinite([low, high]).all():
        raise InputError("images: they hold values that are not finite")
    check = Check("images", "ok", seen)
    if high > 1.5:
        made, check = [i / 255 for i in made], Check("images", "fail", seen, "images / 255")
    elif low < -0.01:
        made = [i / 2 + 0.5 for i in made]
        check = Check("images", "fail", seen, "(images + 1) / 2")
    return made, [check], len(each)


def _evenly(count: int, most: int) -> list[int]:
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most)).round()})


def _as_image(one: Any) -> Tensor:
    if isinstance(one, (str, bytes, PathLike)):
        one = read_image(local_path(one, "images"), "images")
    if isinstance(one, Image.Image):
        one = np.array(read_image(one, "images"))
    if isinstance(one, (tuple, list)) and len(one) == 2:
        raise InputError(
            "images: one is a pair; give images=[image for image, _ in pairs] and "
            "truth=[label for _, label in pairs]"
        )
    try:
        image = torch.as_tensor(one if isinstance(one, Tensor) else np.array(one)).detach().cpu()
    except (TypeError, ValueError) as error:
        raise InputError(
            f"images: one is a {type(one).__name__}; expected paths, PIL images or arrays"
        ) from error
    if image.ndim == 3 and image.shape[0] != 3 and image.shape[2] == 3:
        image = image.permute(2, 0, 1)
    if image.ndim != 3 or image.shape[0] != 3:
        raise InputError(
            f"images: one has the shape {tuple(image.shape)}; expected (3, y, x) or (y, x, 3)"
        )
    if image.is_complex():
        raise InputError("images: one holds complex numbers; expected levels or values in [0, 1]")
    return image.float() / _WHITE.get(image.dtype, 1)


def truth_of(classifier: Classifier, truth: Any, count: int, most: int) -> Tensor:
    """Class index of each image; an index may be one too high, which a trial then shows.

    Texts of digits are names where one of them is a class's name, and indices else.
    """
    if isinstance(truth, str) or not isinstance(truth, Iterable):
        raise InputError(f"truth={truth!r}: expected an index or a name of each image")
    truth = [x.item() if isinstance(x, (Tensor, np.generic)) and x.ndim == 0 else x for x in truth]
    if len(truth) != count:
        raise InputError(f"truth: {len(truth)} for {count} images; give one each")
    top = len(classifier.labels)
    taken = [truth[i] for i in _evenly(count, most)]
    digits = all(isinstance(x, str) and x.isdecimal() for x in taken)
    if digits and not {*taken} & {*classifier.labels}:
        taken = [int(x) for x in taken]
    whole = all(isinstance(x, int) and not isinstance(x, bool) for x in taken)
    if whole and max(taken) == top and min(taken) >= 0:
        return torch.tensor(taken)
    return torch.tensor([classifier.index(x) for x in taken])


def index_of_folders(labels: Sequence[str], folders: Sequence[str], argument: str) -> list[int]:
    """Class index of each folder of images, by its name.

    It is a label's name as `inversion_kit.classifiers.base.Classifier.index` has it, or the label
    without the signs that no folder's name can hold; numbers are class indices where no label is
    called so.

    Raises
    ------
    LabelError
        A folder is called as no label.

    Examples
    --------
    >>> index_of_folders(["yield", "80 km/h"], ["80 km_h"], "real")
    [1]
    """
    digits = all(name.isdecimal() for name in folders) and not {*folders} & {*labels}
    bare = [_bare(label) for label in labels]
    indices = []
    for name in folders:
        if not digits and bare.count(_bare(name)) == 1:
            indices.append(bare.index(_bare(name)))
            continue
        try:
            indices.append(label_index(labels, int(name) if digits else name))
        except LabelError as error:
            raise LabelError(
                f"{argument}: the folder {name!r} is called as no label ({error}); rename it to a "
                "label's name, or all folders to class indices"
            ) from error
    return indices


def _bare(name: str) -> str:
    """Letters and digits alone, as folders of labels with a slash are called too."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())
