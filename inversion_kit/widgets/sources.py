"""The widgets' scripts and styles, and pictures as the browser takes them."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inversion_kit.errors import InputError
from inversion_kit.pictures import data_address, image_of

SMALL = 96
"""Longest side in pixels up to which a picture is enlarged by whole pixels, not smoothed."""


@cache
def source(*names: str) -> str:
    """Files of the folder ``static``, one after the other.

    Examples
    --------
    >>> source("base.css")[:5]
    '.ik {'
    """
    folder = Path(__file__).parent / "static"
    return "\n".join((folder / name).read_text("utf-8") for name in names)


def picture(image: np.ndarray, side: int = 256) -> str:
    """An image as a data address: PNG where it is small, else WebP no larger than ``side``.

    Parameters
    ----------
    image
        uint8 ``(y, x, 3)``.

    Examples
    --------
    >>> picture(np.zeros((8, 8, 3), "u1"))[:22]
    'data:image/png;base64,'
    """
    shown = image_of(image)
    kind, settings = ("PNG", {}) if small(image) else ("WEBP", {"quality": 88})
    shown.thumbnail((side, side), Image.Resampling.LANCZOS)
    return data_address(shown, kind, **settings)


def small(image: np.ndarray) -> bool:
    """Whether an image ``(y, x, 3)`` is shown pixel by pixel."""
    return max(image.shape[:2]) <= SMALL


def notebook_module(name: str) -> Any:
    """A module of this folder that stands on ipywidgets, or an error that says what to install."""
    try:
        return importlib.import_module(f"inversion_kit.widgets.{name}")
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("anywidget", "ipywidgets", "traitlets"):
            raise
        raise InputError(
            f"{error.name} is missing: pip install 'inversion-kit[notebook]' and restart the kernel"
        ) from error
