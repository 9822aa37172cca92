"""Held-out views: the same image, changed in a way that keeps its meaning.

A class that the classifier sees only in the exact pixels is gone in another view; a meaning stays.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torchvision.transforms.v2.functional as F
from PIL import Image
from torch import Tensor

from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import InputError, nearest
from inversion_kit.pictures import levels


def jpeg(images: Tensor) -> Tensor:
    """JPEG at quality 75."""
    seen = []
    for image in levels(images).permute(0, 2, 3, 1).cpu().numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "jpeg", quality=75)
        with Image.open(file) as read:
            seen.append(torch.from_numpy(np.array(read)).permute(2, 0, 1))
    return torch.stack(seen).to(images) / 255


def blur(images: Tensor) -> Tensor:
    """Gaussian blur, standard deviation 1/50 of the shorter side."""
    sigma = min(images.shape[-2:]) / 50
    return F.gaussian_blur(images, 2 * round(3 * sigma) + 1, sigma)


def crop(images: Tensor) -> Tensor:
    """The middle seven eighths, at the old size."""
    height, width = images.shape[-2:]
    middle = F.center_crop(images, [round(height * 7 / 8), round(width * 7 / 8)])
    return F.resize(middle, [height, width], antialias=True).clamp(0, 1)


def noise(images: Tensor) -> Tensor:
    """Gaussian noise, standard deviation 8 of 255; always the same noise."""
    random = torch.Generator().manual_seed(0)
    grain = torch.randn(images.shape[1:], generator=random).to(images)
    return (images + grain * 8 / 255).clamp(0, 1)


def resize(images: Tensor) -> Tensor:
    """Down to two thirds and back, bicubic."""
    height, width = images.shape[-2:]
    mode = F.InterpolationMode.BICUBIC
    small = F.resize(images, [round(height * 2 / 3), round(width * 2 / 3)], mode, antialias=True)
    return F.resize(small, [height, width], mode, antialias=True).clamp(0, 1)


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    view.__name__: view for view in (jpeg, blur, crop, noise, resize)
}
"""Views by name; each takes and gives RGB float ``(n, 3, y, x)`` in [0, 1]."""


class View(Classifier):
    """A classifier behind one of `VIEWS`: the same weights, other pixels; it is not changed.

    Parameters
    ----------
    classifier
        The one to ask.
    view
        A name of `VIEWS`.

    Examples
    --------
    >>> from inversion_kit.classifiers.convert import as_classifier
    >>> View(as_classifier("pocket:honest"), "blur").name
    'blur of pocket:honest'
    """

    def __init__(self, classifier: Classifier, view: str) -> None:
        self.__dict__.update(classifier.__dict__)
        self.viewed = classifier
        self.view = VIEWS[view]
        self.name = f"{view} of {classifier.name}"

    def prepared(self, images: Tensor) -> Tensor:
        """What the model sees of the view of the images.

        Parameters
        ----------
        images
            RGB float ``(n, 3, y, x)`` in [0, 1], on any device.

        Returns
        -------
        Tensor
            As of `Classifier.prepared`.

        Raises
        ------
        InputError
            The images are not float ``(n, 3, y, x)``.
        """
        return self.viewed.prepared(self.view(images))


def check_views(views: Sequence[str]) -> tuple[str, ...]:
    """Names of `VIEWS`, each once, as a tuple; `InputError` for others."""
    if isinstance(views, str):
        raise InputError(f"views={views!r}: expected a sequence; give [{views!r}]")
    for view in views:
        if view not in VIEWS:
            raise InputError(
                f"views: {view!r} is none of {', '.join(VIEWS)}; nearest: {nearest(view, VIEWS)}"
            )
    if len(set(views)) != len(views):
        raise InputError(f"views={list(views)}: each once")
    return tuple(views)
