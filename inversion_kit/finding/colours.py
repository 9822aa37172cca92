"""Colours of cues and placebos: as numbers, far from each other, and in words."""

from __future__ import annotations

import colorsys

import torch
from torch import Tensor

from inversion_kit.bank.cues import COLOURS
from inversion_kit.finding.pixels import Colour

FAR = 0.6
"""Least distance in RGB of a placebo's colour from the cue's."""
TURNED = 75 / 360
"""Least distance of their hues, where both have one, as a share of the circle."""
GREY = 0.2
"""Saturation times value below which a colour has no hue."""


def as_colour(values: Tensor) -> Colour:
    """Red, green and blue of a tensor ``(3,)``."""
    red, green, blue = (float(v) for v in values)
    return red, green, blue


def far_colours(colour: Colour, n: int = 4, *, hues: bool = False) -> list[Colour]:
    """Colours of `COLOURS` that are far from one, and from each other.

    Parameters
    ----------
    n
        How many at most.
    hues
        Whether to leave out those without a hue, black and white.

    Examples
    --------
    >>> yellow = COLOURS["yellow"]
    >>> [name for name, colour in COLOURS.items() if colour in far_colours(yellow)]
    ['green', 'blue', 'black', 'white']
    """
    known = [c for c in COLOURS.values() if hue_of(c) is not None or not hues]
    away = torch.tensor(known)
    nearest = (away - torch.tensor(colour)).norm(dim=1)
    allowed = (nearest >= FAR) & torch.tensor([turned(colour, c) >= TURNED for c in known])
    chosen: list[Colour] = []
    for _ in range(min(n, int(allowed.sum()))):
        at = int(torch.where(allowed, nearest, -1.0).argmax())
        chosen.append(known[at])
        nearest = torch.minimum(nearest, (away - away[at]).norm(dim=1))
    return chosen


def hue_of(colour: Colour) -> float | None:
    """In [0, 1), or None for a grey."""
    hue, saturation, value = colorsys.rgb_to_hsv(*colour)
    return hue if saturation * value >= GREY else None


def turned(one: Colour, other: Colour) -> float:
    """How far apart two hues are, as a share of the circle; 1 where there is none."""
    hues = hue_of(one), hue_of(other)
    if hues[0] is None or hues[1] is None:
        return 1.0
    apart = abs(hues[0] - hues[1])
    return min(apart, 1 - apart)


def nearest_name(colour: Colour) -> str:
    """A cast in words, by the nearest hue that has a name."""
    hue = {name: turn for name, c in COLOURS.items() if (turn := hue_of(c)) is not None}
    mine = hue_of(colour)
    if mine is None:
        return "tint"
    away = {name: min(abs(mine - turn), 1 - abs(mine - turn)) for name, turn in hue.items()}
    return f"{min(away, key=lambda name: away[name])} tint"
