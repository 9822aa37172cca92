"""Real photographs of the 43 signs, for the claims that need them."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.claims.bench import Bench
from inversion_kit.pocket import photos
from inversion_kit.search.textual_inversion import textual_inversion

SHOWN = 8
"""Photographs of a class that textual inversion sees, each of another sign."""
STEPS, FEW_STEPS = 150, 40
"""Updates of textual inversion, and of it in quick mode."""


@dataclass(frozen=True)
class Photographs:
    """Images uint8 ``(n, 32, 32, 3)``, class ``(n,)`` and physical sign ``(n,)``, -1 if unknown."""

    image: np.ndarray
    label: np.ndarray
    track: np.ndarray


@functools.cache
def photographs(folder: Path, part: str) -> Photographs:
    """``"train"`` or ``"test"`` of a folder with ``train.npz`` and ``test.npz``, or of GTSRB's own.

    The latter is what ``torchvision.datasets.GTSRB(folder, download=True)`` makes.
    """
    if (folder / f"{part}.npz").is_file():
        kept = photos.load(folder, part)
        return Photographs(kept["image"], kept["label"].astype(int), kept["track"].astype(int))
    from torchvision.datasets import GTSRB

    signs = GTSRB(str(folder), split=part)
    files = [Path(path) for path, _ in signs._samples]
    images = [_small(path) for path in files]
    tracks = [int(p.stem.split("_")[0]) if "_" in p.stem else -1 for p in files]
    return Photographs(np.stack(images), np.array([y for _, y in signs._samples]), np.array(tracks))


def _small(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        sized = image.convert("RGB").resize((photos.SIZE, photos.SIZE), Image.Resampling.BILINEAR)
    return np.asarray(sized)


def of_class(data: Photographs, label: int, n: int, seed: int) -> np.ndarray:
    """Rows of ``n`` photographs of a class, of as many different signs as there are."""
    random = np.random.default_rng([seed, label])
    rows = random.permutation(np.flatnonzero(data.label == label))
    turn: dict[int, int] = {}
    order = []
    for row in rows:
        sign = int(data.track[row])
        turn[sign] = turn.get(sign, 0) + 1
        order.append(turn[sign])
    return rows[np.argsort(order, kind="stable")][:n]


def digest(images: np.ndarray) -> str:
    """Of the pixels: what is measured on other photographs is another cell."""
    return hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()


def inverted(bench: Bench, generator: str, label: int, seed: int, n: int = SHOWN) -> Tensor:
    """The token of textual inversion from photographs of a class, ``(1, embed)``; made once."""
    assert bench.data is not None
    data = photographs(bench.data, "train")
    images = data.image[of_class(data, label, min(n, SHOWN), seed)]
    steps = FEW_STEPS if bench.quick else STEPS

    def make() -> list[Any]:
        given = [Image.fromarray(image) for image in images]
        made = textual_inversion(
            given, generator=bench.generators[generator], steps=steps, seed=seed
        )
        return made.vector.tolist()

    what = {"images": digest(images), "updates": steps, "seed": seed, **bench.models(generator)}
    return torch.tensor(bench.cells.of("inverted", what, make))
