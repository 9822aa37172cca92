"""Pictures: read from files of any kind, and as a page holds them."""

from __future__ import annotations

import base64
import io
import os
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from inversion_kit.errors import InputError

SMALL = 96
"""Longest side in pixels up to which a picture is shown pixel by pixel, not smoothed."""


def read_image(file: str | os.PathLike[str] | Image.Image, where: str = "image") -> Image.Image:
    """A picture as a viewer shows it, 8-bit RGB: the one reader of image files.

    It is turned as its EXIF orientation says, 16 bits a channel are scaled to 8, a palette and
    CMYK become RGB, and what is transparent is laid on white. Of an animation it is the first
    frame of a file, and the one that an open image stands at.

    Parameters
    ----------
    file
        A path, or an open image of any mode.
    where
        What messages call it.

    Raises
    ------
    InputError
        It is no image that can be read, or holds numbers whose range nothing says: 32-bit whole
        numbers, or floats outside [0, 1].

    Examples
    --------
    >>> read_image(Image.fromarray(np.array([[0, 257, 65535]], "u2"))).getpixel((1, 0))
    (1, 1, 1)
    """
    if isinstance(file, Image.Image):
        return _as_rgb(file, where)
    try:
        with Image.open(file) as opened:
            opened.load()
            return _as_rgb(opened, where)
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{where}: {str(file)!r} is no image that can be read ({error})"
        ) from error


def _as_rgb(image: Image.Image, where: str) -> Image.Image:
    named = f"{where}: {getattr(image, 'filename', '') or 'an image'!r}"
    kind, image = image.format, ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_levels(image, kind, named))
    try:
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        return image.convert("RGB")
    except ValueError as error:
        raise InputError(f"{named} has the mode {image.mode!r}; save it as RGB") from error


def _levels(image: Image.Image, kind: str | None, named: str) -> np.ndarray:
    """uint8 ``(y, x)`` of one channel of more than 8 bits."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if image.mode == "F":
        if not 0 <= low <= high <= 1:
            raise InputError(
                f"{named} holds floats from {low:.3g} to {high:.3g}; expected [0, 1], or an image "
                "of 8 or 16 bits"
            )
        return (values * 255).round().astype("u1")
    if image.mode == "I" and kind not in ("PNG", "PPM"):  # those are of 16 bits
        raise InputError(
            f"{named} holds 32-bit whole numbers from {low:.0f} to {high:.0f}, and nothing says "
            "what white is; save it with 8 or 16 bits"
        )
    return (values / 257).round().astype("u1")


def levels(images: Any) -> Any:
    """A tensor of floats in [0, 1], cut off there, as the levels of an 8-bit file: uint8.

    Examples
    --------
    >>> import torch
    >>> levels(torch.tensor([-1.0, 0.5, 1.0])).tolist()
    [0, 128, 255]
    """
    return images.detach().clamp(0, 1).mul(255).round().byte()


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
