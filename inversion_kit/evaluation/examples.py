"""A few pictures of a measured table, small, so that its page shows what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from PIL import Image

from inversion_kit.analysis.reading import arms_of
from inversion_kit.analysis.words import REAL
from inversion_kit.evaluation.real_sets import pictures_of
from inversion_kit.finding.real import RealImages
from inversion_kit.pictures import SMALL

LABELS, EACH = 12, 4
"""Labels of which pictures are kept at most, and how many of each set."""


def examples(tree: xr.DataTree, real: RealImages | None = None) -> xr.Dataset:
    """The first pictures of every arm, on the same noise, and of real images where there are any.

    Returns
    -------
    xr.Dataset
        ``picture`` uint8 ``(shown, set, example, y, x, channel)``, no side longer than
        `inversion_kit.pictures.SMALL`, and ``pictured`` int ``(shown, set)``, how many of them
        there are; ``shown`` holds the first `LABELS` labels.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> examples(synthetic(labels=2, samples=6))["picture"].sizes["example"]
    4
    """
    samples = tree["samples"].to_dataset(inherit=False)
    few = samples.isel(label=slice(LABELS), seed=0, sample=slice(EACH))
    size, arms = (samples.sizes["y"], samples.sizes["x"]), arms_of(tree)
    sets: list[list[Sequence[np.ndarray]]] = []
    for i, index in enumerate(few["label_index"].values):
        images = few["image"].isel(label=i).values
        there = np.isfinite(few["probability"].isel(label=i).values).all(-1)
        rows: list[Sequence[np.ndarray]] = [images[a][there[a]] for a in range(len(arms))]
        rows.append([] if real is None else list(pictures_of(real, int(index), size, EACH)))
        sets.append([[_small(one) for one in row] for row in rows])
    side = _small(np.zeros((*size, 3), "u1")).shape
    made = np.zeros((len(sets), len(arms) + 1, EACH, *side), "u1")
    for i, row in enumerate(sets):
        for s, pictures in enumerate(row):
            for k, picture in enumerate(pictures):
                made[i, s, k] = picture
    dims = ("shown", "set", "example", "y", "x", "channel")
    counts = np.array([[len(pictures) for pictures in row] for row in sets])
    variables: dict[str, Any] = {"picture": (dims, made), "pictured": (dims[:2], counts)}
    names = [str(name) for name in few["label"].values]
    return xr.Dataset(variables, {"shown": names, "set": [*arms, REAL]})


def about(tree: xr.DataTree) -> dict[str, str]:
    """What a table is of, as its page says it: classifier and generator, with their hashes."""
    names = ("classifier", "classifier_hash", "generator", "generator_hash")
    return {name: str(tree.attrs[name]) for name in names}


def _small(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((SMALL, SMALL), Image.Resampling.LANCZOS)
    return np.asarray(image)
