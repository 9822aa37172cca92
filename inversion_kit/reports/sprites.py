"""Many small pictures in one sheet, cut out again by the page's style."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from inversion_kit.errors import InputError
from inversion_kit.pictures import SMALL, data_address, image_of

_MOST = 16383
"""The longest side of a WebP picture."""


def sheet(
    rows: Sequence[Sequence[np.ndarray | None]], *, columns: int, pixels: int, quality: int = 85
) -> str:
    """The data address of a WebP sheet of ``columns`` x ``len(rows)`` square cells.

    Parameters
    ----------
    rows
        uint8 RGB pictures ``(y, x, channel)``, row by row; None leaves a cell empty. One that is
        larger than a cell is shrunk, a smaller one is enlarged.
    columns
        Cells of a row.
    pixels
        Side of a cell.
    quality
        Of WebP, 1 to 100; 0 for without loss.

    Raises
    ------
    InputError
        The sheet would be larger than WebP allows, or a row is longer than ``columns``.

    Examples
    --------
    >>> grey = np.full((4, 4, 3), 128, dtype="u1")
    >>> sheet([[grey, None], [grey]], columns=2, pixels=4)[:23]
    'data:image/webp;base64,'
    """
    longest = max(columns, len(rows)) * pixels
    if longest > _MOST or any(len(row) > columns for row in rows):
        raise InputError(
            f"rows: {len(rows)} x {columns} cells of {pixels} pixels do not fit; at most "
            f"{_MOST} pixels a side and {columns} pictures a row"
        )
    whole = Image.new("RGB", (columns * pixels, len(rows) * pixels), (205, 205, 205))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            if picture is not None:
                whole.paste(_fitted(picture, pixels), (x * pixels, y * pixels))
    if not quality:
        return data_address(whole, "WEBP", lossless=True, quality=30, method=2)
    return data_address(whole, "WEBP", quality=quality, method=4)


def positions(columns: int, rows: int, pixels: int) -> str:
    """CSS that shows cell ``c`` of row ``r`` of a sheet in an element of class ``p c{c} r{r}``.

    Examples
    --------
    >>> positions(2, 1, 128).splitlines()[:2]
    ['.p{background-size:200% 100%}', '.c0{background-position-x:0.0000%}']
    """
    lines = [f".p{{background-size:{columns * 100}% {rows * 100}%}}"]
    for name, axis, n in (("c", "x", columns), ("r", "y", rows)):
        lines += [
            f".{name}{i}{{background-position-{axis}:{100 * i / max(n - 1, 1):.4f}%}}"
            for i in range(n)
        ]
    if pixels <= SMALL:
        lines.append(".p{image-rendering:pixelated}")
    return "\n".join(lines)


def _fitted(picture: np.ndarray, pixels: int) -> Image.Image:
    image = image_of(picture)
    if image.size == (pixels, pixels):
        return image
    larger = max(image.size) > pixels
    return image.resize((pixels, pixels), Image.Resampling[("NEAREST", "LANCZOS")[larger]])
