"""Changes to the pixels of pictures: each takes and gives float ``(n, 3, y, x)``, RGB in [0, 1].

Images are of any size: lengths are shares of the shorter side. Nothing is left to chance but what a
seed an image, int ``(n,)``, says.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as V
from torch import Tensor

Colour = tuple[float, float, float]
"""RGB in [0, 1]."""
_LUMINANCE = (0.299, 0.587, 0.114)


def pixels(images: Tensor, share: float) -> int:
    """A length in whole pixels, at least 1."""
    return max(1, round(share * min(images.shape[-2:])))


def grey(images: Tensor) -> Tensor:
    """Rec. 601 luminance ``(n, 1, y, x)``."""
    return (images * images.new_tensor(_LUMINANCE)[:, None, None]).sum(1, keepdim=True)


def edges(images: Tensor) -> Tensor:
    """Mean size of the steps between neighbouring pixels, over the spread of luminance, ``(n,)``.

    Blur lowers it.
    """
    light = grey(images)
    steps = light.diff(dim=-1).abs().mean((1, 2, 3)) + light.diff(dim=-2).abs().mean((1, 2, 3))
    return steps / (light.std((1, 2, 3)) + 0.02)


def square(images: Tensor, side: float, corner: Tensor) -> Tensor:
    """Where a square lies, bool ``(n, 1, y, x)``.

    Parameters
    ----------
    side
        Of the square, a share of the shorter side.
    corner
        How far down and to the right it is, ``(n, 2)``, as shares of how far it can be.

    Examples
    --------
    >>> square(torch.zeros(1, 3, 2, 4), 0.5, torch.tensor([[1.0, 0.0]]))[0, 0].int().tolist()
    [[0, 0, 0, 0], [1, 0, 0, 0]]
    """
    size = pixels(images, side)
    inside = []
    for axis, length in enumerate(images.shape[-2:]):
        start = (corner[:, axis, None].to(images) * (length - size)).round()
        at = torch.arange(length, device=images.device)
        inside.append((at >= start) & (at < start + size))
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]


def border(images: Tensor, width: float) -> Tensor:
    """Where a frame of that width lies, bool ``(y, x)``."""
    size = pixels(images, width)
    inside = torch.zeros(images.shape[-2:], dtype=torch.bool, device=images.device)
    inside[size:-size, size:-size] = True
    return ~inside


def outside(images: Tensor, radius: float = 0.85) -> Tensor:
    """What lies outside the ellipse of that radius, 1 that touches the sides, bool ``(y, x)``."""
    rows, columns = (
        torch.linspace(-1, 1, length, device=images.device) for length in images.shape[-2:]
    )
    return (rows[:, None] ** 2 + columns[None, :] ** 2).sqrt() > radius


def paint(images: Tensor, where: Tensor, colour: Colour, strength: float = 1.0) -> Tensor:
    """One colour laid on the pixels ``where`` is True, by default solid."""
    solid = images.new_tensor(colour)[:, None, None]
    return torch.where(where, torch.lerp(images, solid.expand_as(images), strength), images)


def cast(images: Tensor, colour: Colour, strength: float) -> Tensor:
    """A tint: the picture mixed with its luminance in that colour."""
    wash = (0.2 + 0.8 * grey(images)) * images.new_tensor(colour)[:, None, None]
    return torch.lerp(images, wash, strength)


def fade(images: Tensor, strength: float) -> Tensor:
    """Towards black and white, 1; below 0 the colours are stronger."""
    return torch.lerp(images, grey(images).expand_as(images), strength).clamp(0, 1)


def exposed(images: Tensor, times: float) -> Tensor:
    """So many times as bright; what is brighter than white is white."""
    return (images * times).clamp(0, 1)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, its standard deviation a share of the shorter side."""
    spread = sigma * min(images.shape[-2:])
    widest = 2 * ((min(images.shape[-2:]) - 1) // 2) + 1
    return V.gaussian_blur(images, min(2 * round(3 * spread) + 1, widest), spread)


def sharpened(images: Tensor, amount: float) -> Tensor:
    """Unsharp mask: what a slight blur takes away is added ``amount`` times."""
    return (images + amount * (images - blurred(images, 1 / 32))).clamp(0, 1)


def moved(images: Tensor, scale: float, degrees: float = 0.0) -> Tensor:
    """Made larger, scale above 1, or smaller, and turned clockwise, over a blurred copy."""
    sheet = torch.cat([images, torch.ones_like(images[:, :1])], 1)
    options: dict[str, Any] = {"translate": [0, 0], "shear": [0.0], "scale": scale}
    there = V.affine(sheet, degrees, interpolation=V.InterpolationMode.BILINEAR, **options)
    behind = F.interpolate(
        F.adaptive_avg_pool2d(images, 3), images.shape[-2:], mode="bicubic", align_corners=False
    )
    return (there[:, :3] + behind * (1 - there[:, 3:])).clamp(0, 1)


def noise_like(images: Tensor, changed: Tensor, seeds: Tensor) -> Tensor:
    """Gaussian noise on images that is as large, root mean square, as their change was."""
    size = (changed - images).square().mean((1, 2, 3), keepdim=True).sqrt()
    grain = torch.empty_like(images)
    for one, seed in zip(grain, seeds, strict=True):
        one.copy_(torch.randn(one.shape, generator=_chance(seed)))
    return (images + size * grain).clamp(0, 1)


def shuffled(images: Tensor, where: Tensor, seeds: Tensor) -> Tensor:
    """The pixels at which ``where`` is True among themselves in another order.

    ``where`` is bool and fits ``(n, 1, y, x)``.
    """
    out = images.clone()
    for image, mask, seed in zip(out, where.expand(len(images), 1, -1, -1), seeds, strict=True):
        inside = image[:, mask[0]]
        order = torch.randperm(inside.shape[1], generator=_chance(seed))
        image[:, mask[0]] = inside[:, order.to(image.device)]
    return out


def change(plain: Tensor, painted: Tensor, reach: int | None = None) -> Tensor:
    """How much pixels and their neighbours differ, ``(n, y, x)``.

    ``reach`` is the side of the neighbourhood, odd, in pixels; a tenth of the shorter side where it
    is not given.
    """
    apart = (painted - plain).abs().mean(1, keepdim=True)
    side = reach or 2 * (pixels(plain, 1 / 10) // 2) + 1
    return F.avg_pool2d(apart, side, 1, side // 2, count_include_pad=False)[:, 0]


def most(values: Tensor, share: float) -> Tensor:
    """Where the largest values ``(n, y, x)`` are, a share of the pixels, bool ``(n, 1, y, x)``.

    Examples
    --------
    >>> most(torch.tensor([[[0.1, 0.4], [0.3, 0.2]]]), 0.5)[0, 0].int().tolist()
    [[0, 1], [1, 0]]
    """
    flat = values.flatten(1)
    top = flat.topk(max(1, round(share * flat.shape[1])), 1).indices
    where = torch.zeros_like(flat, dtype=torch.bool).scatter(1, top, True)
    return where.view_as(values)[:, None]


def fitted(donors: Tensor, images: Tensor) -> Tensor:
    """Donors of the images' size."""
    size = images.shape[-2:]
    if donors.shape[-2:] == size:
        return donors.to(images)
    resized = F.interpolate(donors, size, mode="bilinear", antialias=True, align_corners=False)
    return resized.to(images)


def _chance(seed: Tensor) -> torch.Generator:
    return torch.Generator().manual_seed(int(seed))
