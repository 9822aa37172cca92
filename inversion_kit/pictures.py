"""Pictures as a page holds them."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image


def image_of(pixels: np.ndarray) -> Image.Image:
    """uint8 pixels ``(y, x, 3)`` of any memory layout as an image.

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
