"""Operators: what a cue looks like, done to the pixels of any picture, each beside placebos."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from inversion_kit.finding import pixels
from inversion_kit.finding.colours import as_colour, far_colours
from inversion_kit.finding.pixels import Colour

Apply = Callable[[Tensor, float, Tensor], Tensor]
"""From images float ``(n, 3, y, x)``, a dose and turns int ``(n,)`` to images. Turns say which
place and which donor each image takes, and are the seeds of what is shuffled."""
Change = Callable[[Tensor, float], Tensor]
Undo = Callable[[Tensor, Tensor, float], Tensor]
"""From pictures with the cue, the plain ones of the same source and noise, and a dose."""
SIDES = (1 / 8, 3 / 16, 1 / 4)
WIDTHS = (1 / 16, 3 / 32, 1 / 8)
STRENGTHS = (0.3, 0.45, 0.6)
BLENDS = (0.5, 0.75, 1.0)
SHARES = (1 / 32, 1 / 16, 1 / 8)
TIMES = (0.5, 1.0, 2.0)
PLACES: dict[str, tuple[float, float]] = {
    "middle" if high == wide else f"{high} {wide}": (row, column)
    for row, high in ((0.0, "top"), (0.5, "middle"), (1.0, "bottom"))
    for column, wide in ((0.0, "left"), (0.5, "middle"), (1.0, "right"))
}
"""Where a patch is pasted: how far down and to the right, as shares of how far it can be."""


@dataclass(frozen=True)
class Operator:
    """One way to add a cue to pictures that are without it.

    Parameters
    ----------
    name
        What proofs call it.
    doses
        From the least to the most.
    apply
        Adds the cue.
    placebos
        Each changes as much of a picture, but not to the cue.
    undo
        Takes the cue away from pictures that have it; None where that cannot be done.
    varied
        The same in other ways, by the names of `inversion_kit.schema.VARIED`: what each does says
        on what the cue depends, and is no ground against it.

    Examples
    --------
    >>> darken = lambda images, dose: pixels.exposed(images, 1 / dose)
    >>> brighter = opposed("brighter", (1.5, 2.0), pixels.exposed, darken)
    >>> images = torch.full((1, 3, 4, 4), 0.2)
    >>> [round(brighter.apply(images, dose, torch.zeros(1)).max().item(), 2) for dose in (1, 2)]
    [0.2, 0.4]
    """

    name: str
    doses: tuple[float, ...]
    apply: Apply
    placebos: tuple[Apply, ...]
    undo: Undo | None = None
    varied: Mapping[str, Apply] = field(default_factory=dict)


@dataclass(frozen=True)
class Pairs:
    """Pictures of a cue and the plain ones of the same source and noise: the donors.

    Parameters
    ----------
    plain, painted
        Float ``(n, 3, y, x)`` in [0, 1], as many of each.
    """

    plain: Tensor
    painted: Tensor

    @cached_property
    def change(self) -> Tensor:
        """How much each pixel differs, ``(n, y, x)``."""
        return pixels.change(self.plain, self.painted)

    def colour_of(self, where: Tensor) -> Colour:
        """Median colour of the painted pictures where ``where`` ``(n, 1, y, x)`` is True."""
        inside = self.painted.permute(0, 2, 3, 1)[where.expand_as(self.change[:, None])[:, 0]]
        return as_colour(inside.median(0).values)

    def cast(self) -> Colour:
        """The colour whose tint of one half makes the plain pictures' mean the painted ones'."""
        before, after = (images.mean((0, 2, 3)) for images in (self.plain, self.painted))
        wash = 0.2 + 0.8 * pixels.grey(self.plain).mean()
        return as_colour(((after - before / 2) / (wash / 2)).clamp(0, 1))

    def places(self, side: float = SIDES[1]) -> Tensor:
        """Where the square of that side lies that differs most, ``(n, 2)`` as in `PLACES`."""
        apart = pixels.change(self.plain, self.painted, 1)[:, None]
        inside = F.avg_pool2d(apart, pixels.pixels(apart, side), stride=1)[:, 0]
        high, wide = inside.shape[-2:]
        at = inside.flatten(1).argmax(1)
        return torch.stack([at // wide / max(high - 1, 1), at % wide / max(wide - 1, 1)], 1)


def patch(name: str, colour: Colour, corners: Tensor) -> Operator:
    """A solid square; its doses are sides.

    Parameters
    ----------
    corners
        ``(place, 2)`` as in `PLACES`; images take them in turn.
    """

    def where(images: Tensor, dose: float, turns: Tensor) -> Tensor:
        return pixels.square(images, dose, corners[turns % len(corners)])

    def elsewhere(images: Tensor, dose: float, turns: Tensor) -> Tensor:
        there = pixels.square(images, dose, opposite(corners[turns % len(corners)]))
        return pixels.paint(images, there, colour)

    def undo(painted: Tensor, plain: Tensor, dose: float) -> Tensor:
        apart = pixels.change(plain, painted)
        return torch.where(pixels.most(apart, SHARES[-1]), plain, painted)

    made = _painted(name, SIDES, colour, where, undo)
    return replace(made, varied={"elsewhere": elsewhere})


def opposite(corners: Tensor) -> Tensor:
    """Places on the other side, and sides for what is in the middle: half the way or more.

    Examples
    --------
    >>> opposite(torch.tensor([[0.0, 1.0], [0.5, 0.5]])).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    middle = (corners - 0.5).abs() < 0.25
    return torch.where(middle, (corners + 0.5) % 1, 1 - corners)


def frame(name: str, colour: Colour) -> Operator:
    """A border; its doses are widths."""

    def where(images: Tensor, dose: float, turns: Tensor) -> Tensor:
        return pixels.border(images, dose)

    def undo(painted: Tensor, plain: Tensor, dose: float) -> Tensor:
        return torch.where(pixels.border(plain, WIDTHS[-1]), plain, painted)

    return _painted(name, WIDTHS, colour, where, undo)


def background(name: str, colour: Colour) -> Operator:
    """A colour mixed into the corners; its doses are how much of it."""

    def fill(of: Colour) -> Apply:
        return lambda images, dose, turns: pixels.paint(images, pixels.outside(images), of, dose)

    def undo(painted: Tensor, plain: Tensor, dose: float) -> Tensor:
        return torch.where(pixels.outside(plain), plain, painted)

    return Operator(name, BLENDS, fill(colour), tuple(map(fill, far_colours(colour))), undo)


def tint(name: str, colour: Colour) -> Operator:
    """A cast of colour; its doses are strengths."""

    def cast(of: Colour) -> Apply:
        return lambda images, dose, turns: pixels.cast(images, of, dose)

    def undo(painted: Tensor, plain: Tensor, dose: float) -> Tensor:
        means = [images.mean((2, 3), keepdim=True) for images in (plain, painted)]
        return (painted * means[0] / means[1].clamp_min(1e-3)).clamp(0, 1)

    return Operator(
        name, STRENGTHS, cast(colour), tuple(map(cast, far_colours(colour, hues=True))), undo
    )


def transplant(pairs: Pairs) -> Operator:
    """The pixels that differ most in a donor, pasted where they were; doses are shares of pixels.

    Its placebos are the same pixels of the donor's plain picture, and of another donor's.
    """

    def paste(donors: Tensor, next_one: int = 0) -> Apply:
        def apply(images: Tensor, dose: float, turns: Tensor) -> Tensor:
            at = turns % len(donors)
            where = pixels.most(pairs.change[at], dose).float()
            given = donors[(at + next_one) % len(donors)]
            return torch.where(
                pixels.fitted(where, images) > 0.5, pixels.fitted(given, images), images
            )

        return apply

    def undo(painted: Tensor, plain: Tensor, dose: float) -> Tensor:
        return torch.where(pixels.most(pixels.change(plain, painted), dose), plain, painted)

    placebos = (paste(pairs.plain), paste(pairs.plain, 1))
    return Operator("its own pixels, pasted", SHARES, paste(pairs.painted), placebos, undo)


def difference(pairs: Pairs) -> Operator:
    """The mean difference of cue and plain, added; doses are how many times.

    Its placebos are the same with its pixels shuffled, and taken away in place of added.
    """
    mean = (pairs.painted - pairs.plain).mean(0, keepdim=True)
    everywhere = torch.ones_like(mean[:, :1], dtype=torch.bool)
    mixed = pixels.shuffled(mean, everywhere, torch.zeros(1))

    def add(what: Tensor) -> Apply:
        return lambda images, dose, turns: (images + dose * pixels.fitted(what, images)).clamp(0, 1)

    def undo(painted: Tensor, plain: Tensor, dose: float) -> Tensor:
        return (painted - pixels.fitted(mean, painted)).clamp(0, 1)

    return Operator("its mean difference, added", TIMES, add(mean), (add(mixed), add(-mean)), undo)


def opposed(name: str, doses: tuple[float, ...], change: Change, back: Change) -> Operator:
    """A change whose placebo, and whose undoing, is the same the other way."""

    def apply(images: Tensor, dose: float, turns: Tensor) -> Tensor:
        return change(images, dose)

    def placebo(images: Tensor, dose: float, turns: Tensor) -> Tensor:
        return back(images, dose)

    def undo(painted: Tensor, plain: Tensor, dose: float) -> Tensor:
        return back(painted, dose)

    return Operator(name, doses, apply, (placebo,), undo)


def noisy(
    name: str, doses: tuple[float, ...], change: Change, back: Change, least: float
) -> Operator:
    """A change whose placebo is noise of the same size, undone by a dose of another."""

    def apply(images: Tensor, dose: float, turns: Tensor) -> Tensor:
        return change(images, dose)

    def placebo(images: Tensor, dose: float, turns: Tensor) -> Tensor:
        return pixels.noise_like(images, change(images, dose), turns)

    def undo(painted: Tensor, plain: Tensor, dose: float) -> Tensor:
        return back(painted, least)

    return Operator(name, doses, apply, (placebo,), undo)


def _painted(
    name: str,
    doses: tuple[float, ...],
    colour: Colour,
    where: Callable[[Tensor, float, Tensor], Tensor],
    undo: Undo,
) -> Operator:
    """Solid colour in a region; placebos are far colours, and the region's own pixels shuffled."""

    def fill(of: Colour) -> Apply:
        return lambda images, dose, turns: pixels.paint(images, where(images, dose, turns), of)

    def mixed(images: Tensor, dose: float, turns: Tensor) -> Tensor:
        return pixels.shuffled(images, where(images, dose, turns), turns)

    placebos = (*map(fill, far_colours(colour)), mixed)
    return Operator(name, doses, fill(colour), placebos, undo)
