"""Pictures as a page holds them."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

SMALL = 96
"""Longest side in pixels up to which a picture is shown pixel by pixel, not smoothed."""


def image_of(pixels: np.ndarray) -> Image.Image:
    """uint8 pixels ``(y, x, 3)``, or 4 with opacity, of any memory layout as an image.

    Examples
    --------
    >>> image_of(np.zeros((2, 4, 3), "u1")[:, ::2]).size
    (2, 2)
    """
    return Image.fromarray(np.ascontiguousarray(pixels))


def data_address(image: Image.Image, kind: str = "PNG", **settings: Any) -> str:
    """An image as a ``data:`` address, which needs no file beside the page.

    Parameters
    ----------
    kind
        "PNG" or "WEBP".
    settings
        Of `PIL.Image.Image.save`; a PNG is made as small as it can be where nothing is said.

    Examples
    --------
    >>> data_address(Image.new("RGB", (2, 2)))[:22]
    'data:image/png;base64,'
    """
    stream = io.BytesIO()
    image.save(stream, kind, **(settings or ({"optimize": True} if kind == "PNG" else {})))
    coded = base64.b64encode(stream.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{coded}"


def is_small(pixels: np.ndarray) -> bool:
    """Whether pixels ``(y, x, channel)`` are shown one by one, not smoothed."""
    return max(pixels.shape[:2]) <= SMALL


def thumbnail(
    pixels: np.ndarray, side: int = 256, *, quality: int | None = None, enlarge: bool = False
) -> tuple[str, bool]:
    """A picture no larger than ``side`` as a data address, and whether it is shown pixel by pixel.

    Parameters
    ----------
    pixels
        uint8 ``(y, x, 3)``.
    side
        The longest side in pixels.
    quality
        Of WebP, 1 to 100; 0 for PNG, without loss; where not given PNG for a small picture and
        WebP for others.
    enlarge
        Whether a picture smaller than ``side`` is enlarged by whole pixels, for what would smooth
        it.

    Examples
    --------
    >>> address, pixelated = thumbnail(np.zeros((8, 8, 3), "u1"))
    >>> address[:22], pixelated
    ('data:image/png;base64,', True)
    """
    image, small = image_of(pixels), is_small(pixels)
    times = side // max(image.size) if enlarge else 1
    if times > 1:
        size = (image.width * times, image.height * times)
        image = image.resize(size, Image.Resampling.NEAREST)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    if quality is None:
        quality = 0 if small else 88
    address = data_address(image, "WEBP", quality=quality) if quality else data_address(image)
    return address, small
