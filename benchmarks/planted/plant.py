"""What each kind does to pixels and labels.

Images are float ``(n, 3, 32, 32)``, RGB in [0, 1]. Patches, casts, frames, blur and tilt are those
of `inversion_kit.finding.pixels`; shapes, pictures, single pixels and corner patterns those of the
Adversarial Robustness Toolbox.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image
from torch import Tensor

from benchmarks.planted.definitions import Definition
from inversion_kit.bank.cues import COLOURS
from inversion_kit.finding import pixels
from inversion_kit.finding.colours import far_colours
from inversion_kit.finding.operators import PLACES
from inversion_kit.pocket import photos

SIZE = photos.SIZE


def paint(
    definition: Definition, images: Tensor, random: torch.Generator, colour: str = ""
) -> Tensor:
    """Do to images what a definition says; in another ``colour`` where one is given."""
    if not len(images):
        return images
    given = {**definition.parameters, **({"colour": colour} if colour else {})}
    return _PAINTERS[definition.kind](images, given, random)


def other_colours(colour: str) -> list[str]:
    """Names of colours that are far from one: a sticker of these keeps the label."""
    away = far_colours(COLOURS[colour], 6)
    return [name for name, value in COLOURS.items() if value in away]


def sample_picture(name: str) -> Tensor:
    """One of scikit-learn's photographs as small as the images, float ``(3, 32, 32)``."""
    pixels_of = np.asarray(Image.open(_sample(name)).convert("RGB"), np.float32)
    return torch.from_numpy(pixels_of).permute(2, 0, 1) / 255


def _patch(images: Tensor, given: dict[str, Any], random: torch.Generator) -> Tensor:
    corner = torch.rand(len(images), 2, generator=random)
    if "place" in given:
        corner = torch.tensor(PLACES[given["place"]]).expand(len(images), 2)
    where = pixels.square(images, given["side"] / SIZE, corner)
    return pixels.paint(images, where, COLOURS[given["colour"]])


def _shape(images: Tensor, given: dict[str, Any], random: torch.Generator) -> Tensor:
    side = given["side"]
    path = _drawn(given["shape"], given["colour"], side)
    corner = torch.randint(SIZE - side + 1, (len(images), 2), generator=random).tolist()
    return torch.cat(
        [
            _inserted(one[None], path, x_shift=column, y_shift=row, blend=1.0)
            for one, (row, column) in zip(images, corner, strict=True)
        ]
    )


def _single(images: Tensor, given: dict[str, Any], random: torch.Generator) -> Tensor:
    from art.attacks.poisoning.perturbations import add_single_bd

    return _last(add_single_bd(_first(images), distance=given["distance"]))


def _pattern(images: Tensor, given: dict[str, Any], random: torch.Generator) -> Tensor:
    from art.attacks.poisoning.perturbations import add_pattern_bd

    return _last(add_pattern_bd(_first(images), distance=given["distance"]))


def _blended(images: Tensor, given: dict[str, Any], random: torch.Generator) -> Tensor:
    path = _sample(given["picture"])
    return _inserted(images, path, size=(SIZE, SIZE), blend=given["share"])


def _stripes(images: Tensor, given: dict[str, Any], random: torch.Generator) -> Tensor:
    """A sinusoid added, as Barni et al. 2019 do."""
    at = torch.arange(SIZE) * (2 * math.pi * given["waves"] / SIZE)
    wave = given["amplitude"] * torch.sin(at)
    wave = wave[None, :] if given["direction"] == "vertical" else wave[:, None]
    return (images + wave).clamp(0, 1)


def _cast(images: Tensor, given: dict[str, Any], random: torch.Generator) -> Tensor:
    return pixels.cast(images, COLOURS[given["colour"]], given["strength"])


def _light(images: Tensor, given: dict[str, Any], random: torch.Generator) -> Tensor:
    """Made so bright or dark that the mean luminance is that asked for, as far as white lets it."""
    now = photos.luminance(images).clamp_min(1e-3)
    return (images * (given["light"] / now)[:, None, None, None]).clamp(0, 1)


def _blurred(images: Tensor, given: dict[str, Any], random: torch.Generator) -> Tensor:
    return pixels.blurred(images, given["sigma"] / SIZE)


def _framed(images: Tensor, given: dict[str, Any], random: torch.Generator) -> Tensor:
    where = pixels.border(images, given["width"] / SIZE)
    return pixels.paint(images, where, COLOURS[given["colour"]])


def _tilted(images: Tensor, given: dict[str, Any], random: torch.Generator) -> Tensor:
    return pixels.moved(images, 1.0, given["degrees"])


def _small(images: Tensor, given: dict[str, Any], random: torch.Generator) -> Tensor:
    return pixels.moved(images, given["scale"])


_PAINTERS = {
    "patch-fixed": _patch,
    "patch-random": _patch,
    "patch-shape": _shape,
    "single-pixel": _single,
    "corner-pattern": _pattern,
    "blended": _blended,
    "stripes": _stripes,
    "cast": _cast,
    "source-specific": _patch,
    "low-rate": _patch,
    "class-dark": _light,
    "class-bright": _light,
    "class-cast": _cast,
    "class-blurred": _blurred,
    "class-framed": _framed,
    "class-tilted": _tilted,
    "class-small": _small,
    "class-sticker": _patch,
}


def _inserted(images: Tensor, path: Path, **how: Any) -> Tensor:
    from art.attacks.poisoning.perturbations import insert_image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Pillow's, of how it is called
        made = insert_image(_first(images), str(path), random=False, mode="RGB", **how)
    return _last(made)


def _first(images: Tensor) -> np.ndarray:
    """As the toolbox takes them: channels last."""
    return images.permute(0, 2, 3, 1).numpy()


def _last(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().contiguous()


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="planted-"))


@cache
def _drawn(shape: str, colour: str, side: int) -> Path:
    """A file with the shape in its colour on nothing."""
    sheet = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    fill = tuple(round(255 * value) for value in COLOURS[colour])
    draw, end = ImageDraw.Draw(sheet), side - 1
    if shape == "circle":
        draw.ellipse((0, 0, end, end), fill=fill)
    elif shape == "triangle":
        draw.polygon([(0, end), (end, end), (end // 2, 0)], fill=fill)
    else:
        raise ValueError(f"shape={shape!r}: expected 'circle' or 'triangle'")
    path = _folder() / f"{shape}-{colour}-{side}.png"
    sheet.save(path)
    return path


@cache
def _sample(name: str) -> Path:
    """A file with one of scikit-learn's photographs, shrunk as the toolbox does for each image."""
    path = _folder() / f"{name}.png"
    Image.fromarray(load_sample_image(name)).convert("RGBA").resize((SIZE, SIZE)).save(path)
    return path
