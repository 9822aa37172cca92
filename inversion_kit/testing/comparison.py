"""A made-up comparison of two made-up results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.compared import (
    MODELS,
    confusion_compared,
    crossed_compared,
    labels_compared,
    shared_reads,
)
from inversion_kit.storage.comparison import build_comparison
from inversion_kit.testing.plan import GENERATOR
from inversion_kit.testing.result import synthetic


def synthetic_comparison(
    *,
    same: bool = False,
    models: Sequence[str] = ("older", "newer"),
    cues: Sequence[str] = ("yellow sticker", "bright"),
    names: Sequence[str] | None = None,
) -> xr.DataTree:
    """A made-up result of `inversion_kit.compare`.

    Parameters
    ----------
    same
        Whether nothing differs. Else the second label moved, and the first cue is new.
    models
        Names of the two.
    cues
        Names of cues, on the labels in turn; all but the first stayed.
    names
        Class names, as of `synthetic`.

    Returns
    -------
    xr.DataTree
        As of `inversion_kit.compare`: three labels, with 24 images each.

    Examples
    --------
    >>> sorted(synthetic_comparison().children)
    ['a', 'b', 'confusion', 'crossed', 'cues', 'labels']
    """
    given: dict[str, Any] = {"labels": 3, "samples": 24, "names": names}
    trees = {
        model: synthetic(judges=(other, "judge"), **given)
        for model, other in zip(MODELS, reversed(models), strict=True)
    }
    for tree, name in zip(trees.values(), models, strict=True):
        tree.attrs["classifier"] = name
    labels = [str(n) for n in trees["a"]["samples"]["label"].values]
    if not same:  # another class is read in all pictures of the second label
        values = trees["b"]["samples"]["probability"].values
        values[1, :1] = np.roll(values[1, :1], 1, -1)
    pair = shared_reads(trees["a"], trees["b"])
    tables = {
        "labels": labels_compared(pair),
        "confusion": confusion_compared(pair),
        "crossed": crossed_compared(trees["a"], trees["b"], models),
        "cues": _cues_compared(cues, labels, same),
    }
    about = {
        "models": list(models),
        "same": "",
        "generator": GENERATOR,
        "judges": ["judge"],
        "why_no_tokens": "",
        "cues": len(cues),
        "sources": len(labels),
        "power_push": 0.5,
        "power_lack": 0.93,
        "pictures": int(tables["labels"]["pictures"].min()),
        "seconds": 1.0,
    }
    return build_comparison(trees, {}, tables, about)


def _cues_compared(cues: Sequence[str], labels: Sequence[str], same: bool) -> xr.Dataset:
    """Made-up ``/cues`` of a comparison: the first is new, or all stayed."""
    n, new = len(cues), np.arange(len(cues)) == (-1 if same else 0)
    older = np.where(new, 0.0, 0.9)
    rate = np.stack([older, np.full(n, 0.9)], 1)
    pictures = np.full((n, 2, 4, 8, 8, 3), 90, "u1")
    pictures[:, 1, :, :3, :3] = 240, 220, 0
    of = np.array([labels[i % len(labels)] for i in range(n)])
    read = np.full((n, 2, 2, 4), labels[-1], object)
    read[:, 1, 1] = of[:, None]
    gap = rate[:, 1] - older
    values: dict[str, Any] = {
        "of_label": of,
        "direction": ["push"] * n,
        "cue": list(cues),
        "lens": ["words"] * n,
    }
    values |= {"status": np.where(new, "new", "stayed"), "sources": np.full(n, 12)}
    values |= {"difference": gap, "low": gap - 0.1, "high": gap + 0.1, "pictures": np.full(n, 48)}
    by_model = {"named": rate > 0.5, "confirmed": rate > 0.5, "placebo": np.zeros((n, 2))}
    by_model |= {"rate": rate, "rate_low": np.maximum(rate - 0.1, 0)}
    by_model |= {"rate_high": np.minimum(rate + 0.1, 1)}
    table: dict[str, Any] = {name: ("finding", value) for name, value in values.items()}
    table |= {name: (("finding", "model"), value) for name, value in by_model.items()}
    table["picture"] = ("finding", "row", "example", "y", "x", "channel"), pictures
    table["read"] = ("finding", "model", "row", "example"), read
    at: dict[str, Any] = {"model": list(MODELS), "row": ["plain", "cue"]}
    at |= {"finding": np.arange(n), "example": np.arange(4)}
    return xr.Dataset(table, coords=at, attrs={"left": 0})
