"""What a cue asks of the generator, done to the pixels of any picture, each beside placebos."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from inversion_kit.bank.cues import ARTEFACTS, COLOURS, Cue
from inversion_kit.finding import pixels
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
GAINS = (1.5, 2.0, 3.0)
WAYS = (0.5, 1.0, 1.5)
SIGMAS = (1 / 32, 1 / 20, 1 / 12)
AMOUNTS = (1.0, 2.0, 4.0)
FACTORS = (1.4, 1.8, 2.4)
DEGREES = (10.0, 20.0, 30.0)
SHARES = (1 / 32, 1 / 16, 1 / 8)
TIMES = (0.5, 1.0, 2.0)
PLACES: dict[str, tuple[float, float]] = {
    "middle" if high == wide else f"{high} {wide}": (row, column)
    for row, high in ((0.0, "top"), (0.5, "middle"), (1.0, "bottom"))
    for column, wide in ((0.0, "left"), (0.5, "middle"), (1.0, "right"))
}
"""Where a patch is pasted: how far down and to the right, as shares of how far it can be."""
FAR = 0.6
"""Least distance in RGB of a placebo's colour from the cue's."""
TURNED = 75 / 360
"""Least distance of their hues, where both have one, as a share of the circle."""
GREY = 0.2
"""Saturation times value below which a colour has no hue."""
_SAME = 0.15
"""Colours that are no farther apart are tried as one."""


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
    >>> brighter = operators_for(Cue("bright", "light", ("a bright {source}",)))[0]
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
        return _colour(inside.median(0).values)

    def cast(self) -> Colour:
        """The colour whose tint of one half makes the plain pictures' mean the painted ones'."""
        before, after = (images.mean((0, 2, 3)) for images in (self.plain, self.painted))
        wash = 0.2 + 0.8 * pixels.grey(self.plain).mean()
        return _colour(((after - before / 2) / (wash / 2)).clamp(0, 1))

    def places(self, side: float = SIDES[1]) -> Tensor:
        """Where the square of that side lies that differs most, ``(n, 2)`` as in `PLACES`."""
        apart = pixels.change(self.plain, self.painted, 1)[:, None]
        inside = F.avg_pool2d(apart, pixels.pixels(apart, side), stride=1)[:, 0]
        high, wide = inside.shape[-2:]
        at = inside.flatten(1).argmax(1)
        return torch.stack([at // wide / max(high - 1, 1), at % wide / max(wide - 1, 1)], 1)


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
            tint(f"{_nearest(cast)} as painted", cast),
        ]
    return tuple(made)


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
    known = [c for c in COLOURS.values() if _hue(c) is not None or not hues]
    away = torch.tensor(known)
    nearest = (away - torch.tensor(colour)).norm(dim=1)
    allowed = (nearest >= FAR) & torch.tensor([_turned(colour, c) >= TURNED for c in known])
    chosen: list[Colour] = []
    for _ in range(min(n, int(allowed.sum()))):
        at = int(torch.where(allowed, nearest, -1.0).argmax())
        chosen.append(known[at])
        nearest = torch.minimum(nearest, (away - away[at]).norm(dim=1))
    return chosen


def _hue(colour: Colour) -> float | None:
    """In [0, 1), or None for a grey."""
    hue, saturation, value = colorsys.rgb_to_hsv(*colour)
    return hue if saturation * value >= GREY else None


def _turned(one: Colour, other: Colour) -> float:
    """How far apart two hues are, as a share of the circle; 1 where there is none."""
    hues = _hue(one), _hue(other)
    if hues[0] is None or hues[1] is None:
        return 1.0
    apart = abs(hues[0] - hues[1])
    return min(apart, 1 - apart)


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


def _opposed(name: str, doses: tuple[float, ...], change: Change, back: Change) -> Operator:
    """A change whose placebo, and whose undoing, is the same the other way."""

    def apply(images: Tensor, dose: float, turns: Tensor) -> Tensor:
        return change(images, dose)

    def placebo(images: Tensor, dose: float, turns: Tensor) -> Tensor:
        return back(images, dose)

    def undo(painted: Tensor, plain: Tensor, dose: float) -> Tensor:
        return back(painted, dose)

    return Operator(name, doses, apply, (placebo,), undo)


def _noisy(
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
        return [_opposed("black and white", BLENDS, pixels.fade, lambda i, d: pixels.fade(i, -d))]
    measured = pairs.cast() if pairs else None
    return [tint(f"{name} tint", colour) for name, colour in _colours(cue, measured)]


def _light(cue: Cue, pairs: Pairs | None) -> list[Operator]:
    dark = _named(cue, "dark", "dim", "night", "shade", "dusk")
    if pairs is not None:
        dark = bool(pixels.grey(pairs.painted).mean() < pixels.grey(pairs.plain).mean())
    name = "darker" if dark else "brighter"
    ways = (_darker, pixels.exposed) if dark else (pixels.exposed, _darker)
    made = [_opposed(name, GAINS, *ways)]
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

    made = _opposed(name, WAYS, way, lambda images, dose: way(images, -dose))
    return replace(made, undo=undo)


def _blur(cue: Cue, pairs: Pairs | None) -> list[Operator]:
    sharp = _named(cue, "sharp", "crisp", "detail")
    if pairs is not None:
        sharp = bool(pixels.edges(pairs.painted).mean() > pixels.edges(pairs.plain).mean())
    if sharp:
        return [_noisy("sharper", AMOUNTS, pixels.sharpened, pixels.blurred, SIGMAS[0])]
    return [_noisy("blurrier", SIGMAS, pixels.blurred, pixels.sharpened, AMOUNTS[1])]


def _size(cue: Cue, pairs: Pairs | None) -> list[Operator]:
    def smaller(images: Tensor, dose: float) -> Tensor:
        return pixels.moved(images, 1 / dose)

    if _named(cue, "close", "large", "big", "near", "zoom"):
        return [_opposed("closer", FACTORS, pixels.moved, smaller)]
    return [_opposed("smaller", FACTORS, smaller, pixels.moved)]


def _tilt(cue: Cue, pairs: Pairs | None) -> list[Operator]:
    def left(images: Tensor, dose: float) -> Tensor:
        return pixels.moved(images, 1, -dose)

    def right(images: Tensor, dose: float) -> Tensor:
        return pixels.moved(images, 1, dose)

    both = {
        "left": _opposed("tilted to the left", DEGREES, left, right),
        "right": _opposed("tilted to the right", DEGREES, right, left),
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


def _nearest(colour: Colour) -> str:
    """A cast in words, by the nearest hue that has a name."""
    hue = {name: turn for name, c in COLOURS.items() if (turn := _hue(c)) is not None}
    mine = _hue(colour)
    if mine is None:
        return "tint"
    away = {name: min(abs(mine - turn), 1 - abs(mine - turn)) for name, turn in hue.items()}
    return f"{min(away, key=lambda name: away[name])} tint"


def _colour(values: Tensor) -> Colour:
    red, green, blue = (float(v) for v in values)
    return red, green, blue
