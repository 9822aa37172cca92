"""Rows of pictures as one image file."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image


def sheet(rows: Sequence[np.ndarray], *, each: int = 2, scale: int = 4) -> bytes:
    """Rows of pictures, uint8 ``(n, y, x, 3)``, as one WebP; groups of rows stand a little apart.

    Parameters
    ----------
    each
        Rows of a group.
    scale
        How many times as large the pictures are.

    Examples
    --------
    >>> sheet([np.zeros((3, 8, 8, 3), "u1")] * 2)[8:12]
    b'WEBP'
    """
    flat = [Image.fromarray(np.concatenate(list(row), axis=1)) for row in rows]
    big = [row.resize((row.width * scale, row.height * scale)) for row in flat]
    gaps = [8 if k % each == each - 1 else 2 for k in range(len(big))]
    page = Image.new("RGB", (big[0].width, sum(row.height for row in big) + sum(gaps)), "white")
    top = 0
    for row, gap in zip(big, gaps, strict=True):
        page.paste(row, (0, top))
        top += row.height + gap
    out = io.BytesIO()
    page.save(out, "WEBP", quality=90)
    return out.getvalue()
