"""The operators that do what a cue says, by its kind, its words and the pictures of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from inversion_kit.bank.cues import ARTEFACTS, COLOURS, Cue
from inversion_kit.finding import pixels
from inversion_kit.finding.colours import nearest_name
from inversion_kit.finding.operators import (
    BLENDS,
    PLACES,
    SHARES,
    WIDTHS,
    Operator,
    Pairs,
    background,
    difference,
    frame,
    noisy,
    opposed,
    patch,
    tint,
    transplant,
)
from inversion_kit.finding.pixels import Colour

_GAINS = (1.5, 2.0, 3.0)
_WAYS = (0.5, 1.0, 1.5)
_SIGMAS = (1 / 32, 1 / 20, 1 / 12)
_AMOUNTS = (1.0, 2.0, 4.0)
_FACTORS = (1.4, 1.8, 2.4)
_DEGREES = (10.0, 20.0, 30.0)
_SAME = 0.15
"""Colours that are no farther apart are tried as one."""


def operators_for(cue: Cue, pairs: Pairs | None = None) -> tuple[Operator, ...]:
    """The operators that do what a cue says, any of which may be what a classifier reacts to.

    Parameters
    ----------
    pairs
        Donors: colours, places and pixels are taken from them. Without any, only the cue's words
        are used.

    Examples
    --------
    >>> [o.name for o in operators_for(Cue("white frame", "frame", ("{source}",), "white"))]
    ['white frame']
    """
    own = _KINDS.get(cue.kind)
    made = list(own(cue, pairs)) if own else []
    if pairs is None:
        return tuple(made)
    if own is None or cue.kind in ARTEFACTS | {"background"}:
        made += [transplant(pairs), difference(pairs)]
    if own is None:
        cast = pairs.cast()
        made += [
            *_light(cue, pairs),
            *_blur(cue, pairs),
            tint(f"{nearest_name(cast)} as painted", cast),
        ]
    return tuple(made)


def _patches(cue: Cue, pairs: Pairs | None) -> list[Operator]:
    measured = pairs.colour_of(pixels.most(pairs.change, SHARES[0])) if pairs else None
    colours = _colours(cue, measured)
    made = []
    if pairs is not None:
        there = pairs.places()
        made = [patch(f"{name} patch, where it was painted", c, there) for name, c in colours]
    name, colour = colours[-1]  # the measured one, where it is another
    for place, corner in PLACES.items():
        made.append(patch(f"{name} patch, {place}", colour, torch.tensor([corner])))
    return made


def _frames(cue: Cue, pairs: Pairs | None) -> list[Operator]:
    measured = pairs.colour_of(pixels.border(pairs.plain, WIDTHS[0])[None, None]) if pairs else None
    return [frame(f"{name} frame", colour) for name, colour in _colours(cue, measured)]


def _backgrounds(cue: Cue, pairs: Pairs | None) -> list[Operator]:
    measured = pairs.colour_of(pixels.outside(pairs.plain)[None, None]) if pairs else None
    return [background(f"{name} corners", colour) for name, colour in _colours(cue, measured)]


def _tints(cue: Cue, pairs: Pairs | None) -> list[Operator]:
    if not cue.colour:
        return [opposed("black and white", BLENDS, pixels.fade, lambda i, d: pixels.fade(i, -d))]
    measured = pairs.cast() if pairs else None
    return [tint(f"{name} tint", colour) for name, colour in _colours(cue, measured)]


def _light(cue: Cue, pairs: Pairs | None) -> list[Operator]:
    dark = _named(cue, "dark", "dim", "night", "shade", "dusk")
    if pairs is not None:
        dark = bool(pixels.grey(pairs.painted).mean() < pixels.grey(pairs.plain).mean())
    name = "darker" if dark else "brighter"
    ways = (_darker, pixels.exposed) if dark else (pixels.exposed, _darker)
    made = [opposed(name, _GAINS, *ways)]
    return made if pairs is None else [*made, _as_light(f"{name}, as painted", pairs)]


def _as_light(name: str, pairs: Pairs) -> Operator:
    """Every picture exposed so that it is as light as those painted; doses: how far on the way."""
    light = pixels.grey(pairs.painted).mean().clamp_min(1e-3)

    def way(images: Tensor, dose: float) -> Tensor:
        now = pixels.grey(images).flatten(1).mean(1).clamp_min(1e-3)[:, None, None, None]
        return (images * (light / now) ** dose).clamp(0, 1)

    def undo(painted: Tensor, plain: Tensor, dose: float) -> Tensor:
        before, now = (pixels.grey(i).mean((1, 2, 3), keepdim=True) for i in (plain, painted))
        return (painted * before / now.clamp_min(1e-3)).clamp(0, 1)

    made = opposed(name, _WAYS, way, lambda images, dose: way(images, -dose))
    return replace(made, undo=undo)


def _blur(cue: Cue, pairs: Pairs | None) -> list[Operator]:
    sharp = _named(cue, "sharp", "crisp", "detail")
    if pairs is not None:
        sharp = bool(pixels.edges(pairs.painted).mean() > pixels.edges(pairs.plain).mean())
    if sharp:
        return [noisy("sharper", _AMOUNTS, pixels.sharpened, pixels.blurred, _SIGMAS[0])]
    return [noisy("blurrier", _SIGMAS, pixels.blurred, pixels.sharpened, _AMOUNTS[1])]


def _size(cue: Cue, pairs: Pairs | None) -> list[Operator]:
    def smaller(images: Tensor, dose: float) -> Tensor:
        return pixels.moved(images, 1 / dose)

    if _named(cue, "close", "large", "big", "near", "zoom"):
        return [opposed("closer", _FACTORS, pixels.moved, smaller)]
    return [opposed("smaller", _FACTORS, smaller, pixels.moved)]


def _tilt(cue: Cue, pairs: Pairs | None) -> list[Operator]:
    def left(images: Tensor, dose: float) -> Tensor:
        return pixels.moved(images, 1, -dose)

    def right(images: Tensor, dose: float) -> Tensor:
        return pixels.moved(images, 1, dose)

    both = {
        "left": opposed("tilted to the left", _DEGREES, left, right),
        "right": opposed("tilted to the right", _DEGREES, right, left),
    }
    return [made for side, made in both.items() if side in cue.name] or list(both.values())


_KINDS: dict[str, Callable[[Cue, Pairs | None], list[Operator]]] = {
    "sticker": _patches,
    "frame": _frames,
    "tint": _tints,
    "background": _backgrounds,
    "light": _light,
    "blur": _blur,
    "size": _size,
    "tilt": _tilt,
}
"""Kinds that have operators of their own."""


def _darker(images: Tensor, dose: float) -> Tensor:
    return pixels.exposed(images, 1 / dose)


def _named(cue: Cue, *words: str) -> bool:
    return any(word in cue.name for word in words)


def _colours(cue: Cue, measured: Colour | None) -> list[tuple[str, Colour]]:
    """Names and colours to try: the word's, and the measured one where that is another."""
    word = COLOURS.get(cue.colour)
    made = [] if word is None else [(cue.colour, word)]
    if measured is not None:
        apart = 1.0 if word is None else float((torch.tensor(word) - torch.tensor(measured)).norm())
        if apart > _SAME:
            made.append((f"{cue.colour or cue.name} as painted", measured))
    return made
