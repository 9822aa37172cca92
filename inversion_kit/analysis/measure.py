"""What is measured in a picture itself, without a model or a vocabulary.

Lengths are shares of the shorter side, so that pictures of any size read alike. Pictures whose
shorter side is `SIDE` pixels twice over or more are first made smaller by averaging whole blocks of
pixels, to between `SIDE` and twice that.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import xarray as xr
from scipy import ndimage

from inversion_kit.errors import InputError
from inversion_kit.pictures import image_of

SIDE = 64
"""Least pixels of the shorter side that a large picture is made smaller to."""
LEAST_SIDE = 8
"""Pixels of the shorter side of the smallest picture that can be measured."""
COLOURS = (
    "red",
    "orange",
    "brown",
    "yellow",
    "green",
    "cyan",
    "blue",
    "purple",
    "pink",
    "black",
    "grey",
    "white",
)
"""Words that each pixel gets one of."""
PROPERTIES = (
    "brightness",
    "contrast",
    "sharpness",
    "saturation",
    "warmth",
    "greenness",
    "edges",
    "border edges",
    "frame",
    "scale",
    "row",
    "column",
    "tilt",
    *(f"{colour} share" for colour in COLOURS),
    *(f"{colour} patch" for colour in COLOURS),
)
"""What `measure` gives of every picture, see there."""
YES_OR_NO = ("frame", *(f"{colour} patch" for colour in COLOURS))
"""Those of them that are 1 or 0."""
_BATCH = 2**18
"""Pixels that are measured at once."""
_HUES = (
    (15, "red"),
    (42, "orange"),
    (70, "yellow"),
    (165, "green"),
    (200, "cyan"),
    (255, "blue"),
    (295, "purple"),
    (345, "pink"),
    (361, "red"),
)
_BLACK, _WHITE, _GREY, _BROWN = 0.2, 0.8, 0.18, 0.55
_SMALLEST, _LARGEST = 1 / 10, 1 / 2
"""Sides of a patch."""
_COMPACT = 1.3
"""How much wider than in a square of its area a patch's pixels may lie, squared; a disc has 0.95,
a rectangle of 1 to 2 has 1.25."""
_FLAT, _FRAME, _STEP = 0.08, 0.1, 0.25
"""Largest spread of the colour of a patch but for its outermost pixels, and of a frame, and its
least distance, in RGB, from what lies beside it; all are root mean squares over channels."""
_UPRIGHT = 0.1
"""Least share of the edges that must agree on a direction for a tilt."""
_LUMA = np.array([0.299, 0.587, 0.114], "f4")


def measure(images: np.ndarray) -> xr.Dataset:
    """Properties of pictures, a batch at a time.

    Parameters
    ----------
    images
        uint8 ``(n, y, x, 3)``, RGB, at least `LEAST_SIDE` pixels high and wide.

    Returns
    -------
    xr.Dataset
        ``value`` float ``(image, property)``, with `PROPERTIES`:

        - brightness: mean luma in [0, 1]; contrast: its standard deviation, in [0, 0.5];
          saturation: mean of the largest less the smallest channel, in [0, 1].
        - warmth: mean red less mean blue, in [-1, 1]; greenness: mean green less the mean of red
          and blue, in [-1, 1]. Both are the picture's cast.
        - edges: mean length of luma's gradient, a pixel, in [0, 1.4]; sharpness: what a blur over
          1/32 of the side takes from the contrast, as a share of it, in [0, 1]; border edges: the
          share of all edges in the outer eighth, in [0, 1].
        - frame: 1 where the outer sixteenth is of one colour and another than just inside, else 0.
        - scale, row, column: of what differs from the border's mean colour. Scale is the diameter
          of a disc that lies as wide; row and column are its middle, in [0, 1] from the top and
          from the left. NaN in a picture of one colour.
        - tilt: degrees in (-45, 45] by which most edges are turned clockwise from upright or
          level; NaN where they agree on none.
        - a share in [0, 1] of each of `COLOURS`; a patch of each: 1 where there is a compact,
          uniform region of that colour, set off from what lies beside it, of a side from 1/10 to
          1/2; else 0.

        ``patch`` float ``(image, colour, place)``: of the largest such region its side, and the
        row and column of its middle, as shares in [0, 1]; NaN where there is none.

    Raises
    ------
    InputError
        They are no such pictures.

    Examples
    --------
    >>> image = np.full((1, 32, 32, 3), 128, "u1")
    >>> image[:, 4:12, 20:28] = (255, 225, 0)
    >>> measured = measure(image)
    >>> [float(measured["value"].sel(property=f"{c} patch")[0]) for c in ("yellow", "blue")]
    [1.0, 0.0]
    >>> measured["patch"].sel(colour="yellow").values[0].tolist()
    [0.25, 0.25, 0.75]
    """
    shape = np.shape(images)
    if len(shape) != 4 or shape[3] != 3 or min(shape[1:3]) < LEAST_SIDE or images.dtype != np.uint8:
        raise InputError(
            f"images: {getattr(images, 'dtype', type(images).__name__)} {shape} given; expected "
            f"uint8 (n, y, x, 3), at least {LEAST_SIDE} pixels high and wide"
        )
    value = np.full((len(images), len(PROPERTIES)), np.nan, "f4")
    patch = np.full((len(images), len(COLOURS), 3), np.nan, "f4")
    for part in _batches(shape):
        small = _smaller(images[part])
        value[part], patch[part] = _measured(small)
    return xr.Dataset(
        {"value": (("image", "property"), value), "patch": (("image", "colour", "place"), patch)},
        coords={
            "property": list(PROPERTIES),
            "colour": list(COLOURS),
            "place": ["side", "row", "column"],
        },
    )


def _batches(shape: tuple[int, ...]) -> Iterator[slice]:
    n, high, wide = shape[:3]
    step = max(1, _BATCH // (high * wide))
    for start in range(0, n, step):
        yield slice(start, start + step)


def _smaller(images: np.ndarray) -> np.ndarray:
    """Pictures whose whole blocks of pixels are averaged where they are large."""
    times = min(images.shape[1:3]) // SIDE
    if times < 2:
        return images
    return np.stack([np.asarray(image_of(image).reduce(times)) for image in images])


def _measured(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values ``(n, property)`` and patches ``(n, colour, 3)`` of small pictures."""
    n, high, wide = images.shape[:3]
    rgb = images.astype("f4") / 255
    names = _named(images)
    at = np.arange(n)[:, None, None] * len(COLOURS) + names
    counts = np.bincount(at.ravel(), minlength=n * len(COLOURS)).reshape(n, -1)
    patch = _patches(rgb, names)
    there = np.isfinite(patch[..., 0])
    luma = rgb @ _LUMA
    width = 2 * max(1, round(min(high, wide) / 64)) + 1
    blurred = ndimage.uniform_filter(luma, (0, width, width))
    values = [
        *_light(luma, blurred),
        *_cast(rgb),
        *_edges(luma),
        _framed(rgb),
        *_place(rgb),
        _tilt(blurred),
        *(counts / (high * wide)).T,
        *there.T,
    ]
    return np.stack(values, 1), patch


@cache
def _names() -> np.ndarray:
    """Place in `COLOURS` of every colour of 32 levels a channel."""
    table = np.zeros((32, 32, 32), "u1")
    for red, green, blue in np.ndindex(32, 32, 32):
        hue, _, most = colorsys.rgb_to_hsv(red / 31, green / 31, blue / 31)
        chroma = most - min(red, green, blue) / 31
        if most < _BLACK:
            word = "black"
        elif chroma < _GREY:
            word = "white" if most > _WHITE else "grey"
        else:
            word = next(name for end, name in _HUES if 360 * hue < end)
            word = "brown" if word == "orange" and most < _BROWN else word
        table[red, green, blue] = COLOURS.index(word)
    return table.ravel()


def _named(images: np.ndarray) -> np.ndarray:
    """Place in `COLOURS` of every pixel."""
    red, green, blue = np.moveaxis(images.astype("u2") >> 3, -1, 0)
    named: np.ndarray = _names()[(red << 10) | (green << 5) | blue]
    return named


def _light(luma: np.ndarray, blurred: np.ndarray) -> list[np.ndarray]:
    """Brightness, contrast and sharpness."""
    contrast = luma.std((1, 2))
    fine = np.sqrt(((luma - blurred) ** 2).mean((1, 2)))
    sharpness = np.minimum(fine / np.maximum(contrast, 1e-3), 1)
    return [luma.mean((1, 2)), contrast, sharpness]


def _cast(rgb: np.ndarray) -> list[np.ndarray]:
    """Saturation, warmth and greenness."""
    red, green, blue = np.moveaxis(rgb, -1, 0)  # over so short an axis .max(-1) is slow
    most, least = (f(f(red, green), blue) for f in (np.maximum, np.minimum))
    red, green, blue = (channel.mean((1, 2)) for channel in (red, green, blue))
    return [(most - least).mean((1, 2)), red - blue, green - (red + blue) / 2]


def _gradient(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Down and to the right, of two by two pixels, so that both are of the same place."""
    down, right = np.diff(luma, axis=1), np.diff(luma, axis=2)
    return (down[:, :, 1:] + down[:, :, :-1]) / 2, (right[:, 1:] + right[:, :-1]) / 2


def _edges(luma: np.ndarray) -> list[np.ndarray]:
    """Edges and border edges."""
    size = np.hypot(*_gradient(luma))
    border = _share(size[:, _ring(size.shape[1:], 8)].sum(1), size.sum((1, 2)))
    return [size.mean((1, 2)), border]


def _tilt(blurred: np.ndarray) -> np.ndarray:
    """The direction of most edges; a picture that is not blurred has jagged ones."""
    down, right = _gradient(blurred)
    strength = down**2 + right**2
    # Of an angle counted four times, edges at right angles say the same.
    total = ((right + 1j * down) ** 4 / np.maximum(strength, 1e-9)).sum((1, 2))
    agree = _share(np.abs(total), strength.sum((1, 2)))
    tilt: np.ndarray = np.where(agree >= _UPRIGHT, np.degrees(np.angle(total)) / 4, np.nan)
    return tilt


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part of a whole; NaN where that is nothing."""
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 1e-6)


def _ring(shape: tuple[int, ...], part: int, turn: int = 0) -> np.ndarray:
    """The outermost ``1 / part`` of the shorter side, or the ring that is ``turn`` further in."""
    high, wide = shape
    row, column = np.ogrid[:high, :wide]
    near = np.minimum(np.minimum(row, high - 1 - row), np.minimum(column, wide - 1 - column))
    width = max(1, round(min(shape) / part))
    nearest: np.ndarray = near // width == turn
    return nearest


def _framed(rgb: np.ndarray) -> np.ndarray:
    """Whether the outermost ring is of one colour, and another than what lies beside it."""
    outer, inner = (rgb[:, _ring(rgb.shape[1:3], 16, turn)] for turn in (0, 2))
    colour = outer.mean(1, keepdims=True)
    flat = np.sqrt(((outer - colour) ** 2).mean((1, 2)))
    step = np.sqrt(((inner - colour) ** 2).mean(2)).mean(1)
    framed: np.ndarray = ((flat <= _FRAME) & (step >= _STEP)).astype("f4")
    return framed


def _place(rgb: np.ndarray) -> list[np.ndarray]:
    """Scale, row and column of what differs from the border."""
    high, wide = rgb.shape[1:3]
    border = rgb[:, _ring((high, wide), 16)].mean(1)
    weight = ((rgb - border[:, None, None]) ** 2).sum(-1)
    whole = weight.sum((1, 2))
    row, column = np.arange(high) + 0.5, np.arange(wide) + 0.5
    down, right = weight.sum(2), weight.sum(1)
    middle = [_share((down * row).sum(1), whole), _share((right * column).sum(1), whole)]
    apart = (down * (row - middle[0][:, None]) ** 2).sum(1)
    apart += (right * (column - middle[1][:, None]) ** 2).sum(1)
    scale = np.sqrt(8 * _share(apart, whole)) / min(high, wide)
    return [scale, middle[0] / high, middle[1] / wide]


def _patches(rgb: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Side, row and column ``(n, colour, 3)`` of the largest uniform patch of each colour."""
    n, high, wide = names.shape
    short = min(high, wide)
    patches = np.full((n, len(COLOURS), 3), np.nan)
    parts, inner = _parts(names)
    area = np.bincount(parts.ravel())
    good = (area >= (_SMALLEST * short) ** 2) & (area <= (_LARGEST * short) ** 2)
    at = np.nonzero(good[parts])
    which = parts[at]

    def mean(values: np.ndarray, of: np.ndarray) -> np.ndarray:
        """Of each part; 0 where there is nothing."""
        n = np.bincount(of, minlength=len(area))
        return np.bincount(of, values, minlength=len(area)) / np.maximum(n, 1)

    middle = [mean(place, which) for place in at[1:]]
    apart = sum((place - m[which]) ** 2 for place, m in zip(at[1:], middle, strict=True))
    good &= 6 * mean(np.asarray(apart), which) <= _COMPACT * area
    left = good[which]
    at, which = tuple(place[left] for place in at), which[left]
    if not len(which):
        return patches
    core = which[inner[at]]
    colour = rgb[at][inner[at]]
    centre = np.stack([mean(channel, core) for channel in colour.T], 1)
    uneven = np.sqrt(mean(((colour - centre[core]) ** 2).mean(1), core))
    good &= (uneven <= _FLAT) & (np.bincount(core, minlength=len(area)) > 0)
    good &= _step(rgb, parts, at, centre, mean) >= _STEP
    owner, named = (np.zeros(len(area), int) for _ in range(2))
    owner[which], named[which] = at[0], names[at]
    for part in sorted(np.flatnonzero(good), key=lambda part: area[part]):  # the largest last
        side = np.sqrt(area[part]) / short
        place = ((m[part] + 0.5) / n for m, n in zip(middle, (high, wide), strict=True))
        patches[owner[part], named[part]] = side, *place
    return patches


def _parts(names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Connected pixels of one name, numbered over all pictures; which pixels lie within one.

    Between pixels a finer grid has what joins them, so that all names are looked at in one go.
    """
    n, high, wide = names.shape
    down, right = names[:, 1:] == names[:, :-1], names[:, :, 1:] == names[:, :, :-1]
    grid = np.zeros((n, 2 * high - 1, 2 * wide - 1), bool)
    grid[:, ::2, ::2], grid[:, 1::2, ::2], grid[:, ::2, 1::2] = True, down, right
    flat = np.zeros((3, 3, 3), bool)
    flat[1] = ndimage.generate_binary_structure(2, 1)
    parts, _ = ndimage.label(grid, flat)
    inner = np.ones(names.shape, bool)
    for joined, first, last in (
        (down, inner[:, :-1], inner[:, 1:]),
        (right, inner[:, :, :-1], inner[:, :, 1:]),
    ):
        first &= joined
        last &= joined
    return parts[:, ::2, ::2], inner


def _step(
    rgb: np.ndarray,
    parts: np.ndarray,
    at: tuple[np.ndarray, ...],
    centre: np.ndarray,
    mean: Callable[..., np.ndarray],
) -> np.ndarray:
    """How far each part's mean colour is from that of pixels just outside of it."""
    image, row, column = at
    which = parts[at]
    high, wide = parts.shape[1:]
    reach = max(2, round(min(high, wide) / 24))
    apart, owners = [], []
    for down, right in ((reach, 0), (-reach, 0), (0, reach), (0, -reach)):
        other_row, other_column = row + down, column + right
        inside = (other_row >= 0) & (other_row < high)
        inside &= (other_column >= 0) & (other_column < wide)
        beside = image[inside], other_row[inside], other_column[inside]
        out = parts[beside] != which[inside]
        owner = which[inside][out]
        colour = rgb[tuple(place[out] for place in beside)]
        apart.append(np.sqrt(((colour - centre[owner]) ** 2).mean(1)))
        owners.append(owner)
    return mean(np.concatenate(apart), np.concatenate(owners))
