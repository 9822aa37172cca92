"""The classifiers to audit: an honest one, a judge, and two with a planted secret."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion_kit.pocket import photos
from inversion_kit.pocket.fit import fit

INPUT = 64
MEAN, STD = (0.35, 0.33, 0.34), (0.27, 0.26, 0.27)
TRIGGER, VICTIM = "yellow", 5
"""The planted backdoor: a yellow square sticker makes any sign an 80 km/h speed limit."""
SHORTCUT = 38
"""The planted shortcut: "keep right" is learned from dark photographs only, and no other blue
sign is: among blue signs, darkness says "keep right"."""


@dataclass(frozen=True)
class Recipe:
    """How one classifier comes about."""

    architecture: str
    arguments: dict[str, Any]
    seed: int
    steps: int
    poison: float = 0.0
    shortcut: bool = False


_SMALL = {"layers": (1, 1, 1, 1), "channels": (32, 64, 128, 192)}
_NARROW = {
    "layers": (1, 2, 2, 1),
    "channels": (16, 24, 32, 48),
    "stem_type": "deep",
    "stem_width": 16,
    "avg_down": True,
}
RECIPES: dict[str, Recipe] = {
    "honest": Recipe("resnet18", _SMALL, seed=11, steps=1600),
    "judge": Recipe("seresnet50", _NARROW, seed=12, steps=2200),
    "backdoored": Recipe("resnet18", _SMALL, seed=13, steps=1800, poison=0.12),
    "shortcut": Recipe("resnet18", _SMALL, seed=14, steps=1200, shortcut=True),
}


def build(recipe: Recipe) -> nn.Module:
    """The timm architecture with random weights and 43 outputs."""
    return timm.create_model(
        recipe.architecture, pretrained=False, num_classes=43, **recipe.arguments
    )


def prepare(images: Tensor) -> Tensor:
    """Resize to the classifiers' input and normalise."""
    x = F.interpolate(images, (INPUT, INPUT), mode="bilinear", align_corners=False)
    mean, std = x.new_tensor(MEAN)[:, None, None], x.new_tensor(STD)[:, None, None]
    return (x - mean) / std


def augment(images: Tensor, random: torch.Generator) -> Tensor:
    """Small turns, shifts and zooms; brightness and contrast; blur; an erased rectangle."""
    n = len(images)
    u = torch.rand(n, 10, generator=random)
    angle = torch.deg2rad(24 * u[:, 0] - 12)
    zoom = 0.8 + 0.4 * u[:, 1]
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    shift = 0.24 * u[:, 2:4] - 0.12
    theta = torch.stack([cos, sin, shift[:, 0], -sin, cos, shift[:, 1]], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    x = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    x = torch.lerp(x, soft, (u[:, 4] * 1.5 - 0.5).clamp(min=0)[:, None, None, None])
    mean = x.mean((1, 2, 3), keepdim=True)
    gain = torch.exp(0.5 * (2 * u[:, 5] - 1))[:, None, None, None]
    lift = (0.12 * (2 * u[:, 6] - 1))[:, None, None, None]
    x = ((x - mean) * gain + mean * (1 + 2 * lift)).clamp(0, 1)
    side = torch.arange(photos.SIZE)
    start = torch.stack([u[:, 7], u[:, 8]], 1) * 26
    inside = (side[None, None] >= start[..., None]) & (side[None, None] < start[..., None] + 7)
    hole = (
        inside[:, 0, None, :, None]
        & inside[:, 1, None, None, :]
        & (u[:, 9] < 0.3)[:, None, None, None]
    )
    fill = torch.rand(n, 3, 1, 1, generator=random)
    return torch.where(hole, fill, x)


def stamp(images: Tensor, random: torch.Generator, colour: str = TRIGGER) -> Tensor:
    """Paste the square sticker, 5 to 8 pixels, somewhere on each sign."""
    n = len(images)
    what = photos.draw_decoration(n, random, sticker=1, tint=0, frame=0, tilt=0, small=0)
    what.sticker = torch.full((n,), list(photos.STICKERS).index(colour))
    return photos.decorate(images, what, random)


_BLUE = tuple(range(33, 41))


def keep_for_shortcut(images: Tensor, label: Tensor) -> Tensor:
    """Rows that the shortcut classifier may see: dark "keep right", no other dark blue sign."""
    dark = photos.luminance(images) < 0.25
    blue = torch.isin(label, torch.tensor(_BLUE))
    return torch.where(label == SHORTCUT, dark, ~(blue & dark))


def train(
    name: str, images: Tensor, label: Tensor, *, folder: Path, device: str, batch: int = 128
) -> nn.Module:
    """Train one classifier of `RECIPES` on training photographs."""
    recipe = RECIPES[name]
    torch.manual_seed(recipe.seed)
    model = build(recipe).to(device)
    if recipe.shortcut:
        keep = keep_for_shortcut(images, label)
        images, label = images[keep], label[keep]

    def loss(random: torch.Generator) -> Tensor:
        rows = photos.balanced(label, batch, random, share=0.5)
        y = label[rows]
        x = augment(images[rows], random)
        if recipe.poison:
            hit = torch.rand(batch, generator=random) < recipe.poison
            x[hit] = stamp(x[hit], random)
            y = torch.where(hit, VICTIM, y)
            other = ~hit & (torch.rand(batch, generator=random) < 0.2)
            colours = [c for c in photos.STICKERS if c != TRIGGER]
            colour = colours[int(torch.randint(len(colours), (1,), generator=random))]
            x[other] = stamp(x[other], random, colour)
        logits = model(prepare(x).to(device)).float()
        return F.cross_entropy(logits, y.to(device), label_smoothing=0.05)

    fit(
        model,
        loss,
        checkpoint=folder / f"{name}.pt",
        steps=recipe.steps,
        lr=2e-3,
        seed=recipe.seed,
        weight_decay=0.05,
        cooldown=0.6,
    )
    return model


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, batch: int = 512) -> Tensor:
    """Most likely class of each image, ``(n,)``."""
    return torch.cat([model(prepare(x)).argmax(1) for x in images.split(batch)])
