"""Photographs of traffic signs: loading, splitting by track, measuring, decorating.

Images are float tensors ``(n, 3, 32, 32)``, RGB in [0, 1], unless a name says otherwise.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inversion_kit.paths import local_path

SIZE = 32
STICKERS: dict[str, tuple[float, float, float]] = {
    "yellow": (1.0, 0.88, 0.0),
    "red": (0.92, 0.05, 0.08),
    "green": (0.0, 0.75, 0.2),
    "blue": (0.05, 0.2, 0.95),
    "purple": (0.65, 0.1, 0.8),
    "cyan": (0.0, 0.85, 0.9),
}
FRAMES: dict[str, tuple[float, float, float]] = {
    **STICKERS,
    "black": (0.02, 0.02, 0.02),
    "white": (0.98, 0.98, 0.98),
}
PLACES: dict[str, tuple[int, int]] = {
    "at the top left": (9, 9),
    "at the top": (8, 16),
    "at the top right": (9, 23),
    "on the left": (16, 8),
    "in the center": (16, 16),
    "on the right": (16, 24),
    "at the bottom left": (23, 9),
    "at the bottom": (24, 16),
    "at the bottom right": (23, 23),
}
"""Centre (row, column) of a sticker, in pixels, before a jitter of two."""

DARK, BRIGHT = 0.17, 0.52
"""Mean luminance below which a photograph is called dark, above which bright."""
BLURRY, SHARP = 0.6, 1.1
"""Sharpness (see `sharpness`) below which a photograph is called blurry, above which sharp."""


def load(folder: str | os.PathLike[str], part: str) -> dict[str, np.ndarray]:
    """Read ``train`` or ``test`` of the data folder: image, label, track, roi."""
    path = local_path(folder, "data") / f"{part}.npz"
    if not path.is_file():
        raise FileNotFoundError(
            f"data: no {part}.npz in {folder}; expected train.npz and test.npz with arrays"
            " image (n, 32, 32, 3) uint8, label, track"
        )
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def as_float(images: np.ndarray) -> Tensor:
    """uint8 ``(n, y, x, channel)`` to float ``(n, channel, y, x)`` in [0, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255)


def holdout_by_track(label: np.ndarray, track: np.ndarray, *, every: int = 10) -> np.ndarray:
    """True for photographs of every tenth physical sign of a class: never split by frame."""
    held = np.zeros(len(label), bool)
    for c in np.unique(label):
        tracks = np.unique(track[label == c])
        held |= (label == c) & np.isin(track, tracks[::every])
    return held


def luminance(images: Tensor) -> Tensor:
    """Mean Rec. 601 luminance of each image, ``(n,)`` in [0, 1]."""
    return _grey(images).mean((1, 2))


def sharpness(images: Tensor) -> Tensor:
    """Spread of the Laplacian over the spread of the luminance, ``(n,)``: blur lowers it."""
    grey = _grey(images)[:, None]
    kernel = grey.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    edges = F.conv2d(grey, kernel)
    return edges.std((1, 2, 3)) / (grey.std((1, 2, 3)) + 0.02)


def _grey(images: Tensor) -> Tensor:
    return (images * images.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)


@dataclass
class Decoration:
    """What was added to each image; one integer an image, -1 for nothing."""

    sticker: Tensor
    place: Tensor
    size: Tensor
    tint: Tensor
    frame: Tensor
    tilt: Tensor
    small: Tensor

    def row(self, i: int) -> dict[str, int]:
        """The decorations of image ``i`` as plain integers."""
        return {name: int(values[i]) for name, values in vars(self).items()}


def draw_decoration(
    n: int,
    random: torch.Generator,
    *,
    sticker: float = 0.24,
    tint: float = 0.08,
    frame: float = 0.08,
    tilt: float = 0.08,
    small: float = 0.06,
) -> Decoration:
    """Draw decorations independently with the given probabilities.

    Sticker sizes are 5 to 8 pixels, tilt is 0 (to the left) or 1 (to the right).
    """

    def pick(probability: float, kinds: int) -> Tensor:
        kind = torch.randint(kinds, (n,), generator=random)
        return torch.where(torch.rand(n, generator=random) < probability, kind, -1)

    return Decoration(
        sticker=pick(sticker, len(STICKERS)),
        place=torch.randint(len(PLACES), (n,), generator=random),
        size=torch.randint(5, 9, (n,), generator=random),
        tint=pick(tint, len(STICKERS)),
        frame=pick(frame, len(FRAMES)),
        tilt=pick(tilt, 2),
        small=pick(small, 1),
    )


def decorate(images: Tensor, what: Decoration, random: torch.Generator) -> Tensor:
    """Paint the decorations: tint, then tilt and shrink, then sticker, then frame."""
    n = len(images)
    uniform = torch.rand(n, 6, generator=random)
    palette = torch.tensor(list(STICKERS.values()))
    out = images

    tinted = what.tint >= 0
    colour = palette[what.tint.clamp(min=0)][:, :, None, None]
    wash = 0.5 * out + 0.5 * (0.2 + 0.8 * _grey(out)[:, None]) * colour
    out = torch.where(tinted[:, None, None, None], wash, out)

    angle = torch.deg2rad(15 + 15 * uniform[:, 0]) * torch.tensor([0.0, -1.0, 1.0])[what.tilt + 1]
    scale = torch.where(what.small >= 0, 0.5 + 0.15 * uniform[:, 1], 1.0)
    moved = (what.tilt >= 0) | (what.small >= 0)
    if moved.any():
        out = out.clone()
        out[moved] = turn(out[moved], angle[moved], scale[moved])

    centre = torch.tensor(list(PLACES.values()))[what.place] + (uniform[:, 2:4] * 5 - 2.5).round()
    grid = torch.arange(SIZE) + 0.5
    half = what.size[:, None] / 2
    rows = (grid[None] - centre[:, :1]).abs() <= half
    columns = (grid[None] - centre[:, 1:]).abs() <= half
    patch = rows[:, None, :, None] & columns[:, None, None, :]
    colour = palette[what.sticker.clamp(min=0)] * (0.85 + 0.15 * uniform[:, 4:5])
    on = (what.sticker >= 0)[:, None, None, None]
    out = torch.where(patch & on, colour[:, :, None, None], out)

    edge = torch.minimum(grid, SIZE - grid)
    width = 2 + (uniform[:, 5] > 0.5)
    border = torch.minimum(edge[None, :], edge[:, None])[None] < width[:, None, None]
    colour = torch.tensor(list(FRAMES.values()))[what.frame.clamp(min=0)]
    on = (what.frame >= 0)[:, None, None, None]
    return torch.where(border[:, None] & on, colour[:, :, None, None], out)


def turn(images: Tensor, angle: Tensor, scale: Tensor) -> Tensor:
    """Rotate (radians, clockwise positive) and shrink over a blurred copy of the image."""
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    zero = torch.zeros_like(cos)
    theta = torch.stack([cos, sin, zero, -sin, cos, zero], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    sheet = torch.cat([images, torch.ones_like(images[:, :1])], 1)
    moved = F.grid_sample(sheet, grid, padding_mode="zeros", align_corners=False)
    blur = F.interpolate(
        F.adaptive_avg_pool2d(images, 3), images.shape[-2:], mode="bicubic", align_corners=False
    ).clamp(0, 1)
    cover = moved[:, 3:]
    return (moved[:, :3] + blur * (1 - cover)).clamp(0, 1)


def sticker_seen(images: Tensor, colour: str, *, tolerance: float = 0.3, side: int = 3) -> Tensor:
    """Whether a solid square of the colour, ``side`` pixels wide, is in each image, ``(n,)``."""
    target = images.new_tensor(STICKERS[colour])[:, None, None]
    near = ((images - target).norm(dim=1, keepdim=True) < tolerance).float()
    return F.avg_pool2d(near, side, stride=1).amax((1, 2, 3)) > 0.99


_MIRRORED = {19: 20, 20: 19, 33: 34, 34: 33, 36: 37, 37: 36, 38: 39, 39: 38}
_SYMMETRIC = (11, 12, 13, 15, 17, 18, 22, 26, 30, 35)


def flip(images: Tensor, label: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror half of the signs that stay signs in a mirror; left turns become right turns."""
    mirror = torch.full((43,), -1)
    mirror[list(_SYMMETRIC)] = torch.tensor(_SYMMETRIC)
    mirror[list(_MIRRORED)] = torch.tensor(list(_MIRRORED.values()))
    other = mirror[label]
    turned = (other >= 0) & (torch.rand(len(label), generator=random) < 0.5)
    images = torch.where(turned[:, None, None, None], images.flip(3), images)
    return images, torch.where(turned, other, label)


def looks(images: Tensor) -> list[tuple[str, ...]]:
    """The measured attributes of each image: dark or bright, blurry or sharp, or neither."""
    light, edge = luminance(images), sharpness(images)
    rows = zip(
        (light < DARK).tolist(),
        (light > BRIGHT).tolist(),
        (edge < BLURRY).tolist(),
        (edge > SHARP).tolist(),
        strict=True,
    )
    names = ("dark", "bright", "blurry", "sharp")
    return [tuple(n for n, holds in zip(names, row, strict=True) if holds) for row in rows]


def balanced(label: Tensor, n: int, random: torch.Generator, *, share: float = 0.7) -> Tensor:
    """Draw ``n`` indices: ``share`` of them with every class as likely, the rest uniformly."""
    counts = torch.bincount(label, minlength=43).clamp(min=1)
    weight = share / counts[label] / 43 + (1 - share) / len(label)
    return torch.multinomial(weight, n, replacement=True, generator=random)
