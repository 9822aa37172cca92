"""What a made-up image shows: a disc of its class's colour."""

from __future__ import annotations

import functools

import numpy as np

COLOURS = {
    "orange": (230, 159, 0),
    "sky": (86, 180, 233),
    "green": (0, 158, 115),
    "yellow": (240, 228, 66),
    "blue": (0, 114, 178),
    "red": (213, 94, 0),
    "pink": (204, 121, 167),
    "black": (30, 30, 30),
}
"""Class names that have a colour of their own (RGB, 0 to 255)."""


@functools.lru_cache(maxsize=4096)
def disc(name: str, index: int, size: int) -> np.ndarray:
    """A disc of a class's colour on grey, float32 ``(y, x, 3)``."""
    grid = np.linspace(-1, 1, size)
    inside = (np.hypot(*np.meshgrid(grid, grid)) < 0.8)[..., None]
    colour = COLOURS.get(name) or np.random.default_rng(index).integers(0, 255, 3)
    return np.where(inside, colour, 205.0).astype("f4")
