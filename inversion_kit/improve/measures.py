"""Accuracy and gaps of a classifier before and after its repair, on the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.intervals import difference, mean_difference, share
from inversion_kit.finding.effects import effect_of

WAYS = ("painted", "pixels", "real")
"""How a picture got its cue: by the generator, by an operator, by an operator on a real image."""
WHEN = ("before", "after")
IMAGES = ("generated", "real")
_ENDS = ("", "_low", "_high")


def gaps(plain: np.ndarray, cued: np.ndarray, there: np.ndarray) -> dict[str, Any]:
    """The gap before and after, and its change.

    Parameters
    ----------
    plain, cued
        Whether each picture hits, before and after: bool ``(2, source, noise)``.
    there
        Which pictures count, bool ``(source, noise)``.

    Examples
    --------
    >>> plain, cued = np.zeros((2, 6, 4), bool), np.zeros((2, 6, 4), bool)
    >>> cued[0] = True
    >>> made = gaps(plain, cued, np.ones((6, 4), bool))
    >>> made["gap"], made["gap_change"], made["closed"]
    ([1.0, 0.0], -1.0, 1.0)
    """
    plain, cued = (np.where(there, hits, np.nan).astype(float) for hits in (plain, cued))
    effects = [effect_of(ours, theirs) for ours, theirs in zip(cued, plain, strict=True)]
    value = [one.value for one in effects]
    both = cued - plain
    change, low, high = (float(v[0]) for v in mean_difference(both[1][None], both[0][None]))
    _, *ends = (float(v[0]) for v in difference(cued[1][None], cued[0][None]))
    moved = float(np.nanmean(plain[1] - plain[0])) if there.any() else np.nan
    low, high = np.fmin(low, ends[0] - moved), np.fmax(high, ends[1] - moved)
    return {
        "gap": value,
        "gap_low": [one.low for one in effects],
        "gap_high": [one.high for one in effects],
        "gap_change": change,
        "gap_change_low": float(low),
        "gap_change_high": float(high),
        "closed": 1 - value[1] / value[0] if value[0] > 0 else np.nan,
        "pictures": int(there.sum()),
    }


def accuracy(right: np.ndarray, there: np.ndarray) -> dict[str, Any]:
    """Accuracy before and after, ``right`` bool ``(2, source, noise)``, and its change."""
    values = np.where(there, right, np.nan).astype(float)
    made = [[float(v[0]) for v in share(one[None])] for one in values]
    change = [float(v[0]) for v in difference(values[1][None], values[0][None])]
    columns: dict[str, Any] = {
        f"accuracy{end}": [one[i] for one in made] for i, end in enumerate(_ENDS)
    }
    columns |= {f"accuracy_change{end}": change[i] for i, end in enumerate(_ENDS)}
    return columns | {"images_read": int(there.sum())}


def as_table(labels: np.ndarray) -> np.ndarray:
    """Row and column of each image in a table with a row a label, int ``(2, n)``."""
    _, row = np.unique(labels, return_inverse=True)
    column = np.zeros(len(labels), int)
    for one in range(row.max(initial=-1) + 1):
        column[row == one] = np.arange((row == one).sum())
    return np.stack([row, column])


def in_table(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values ``(..., n)`` at their places of `as_table`; False elsewhere."""
    shape = tuple(at.max(1, initial=-1) + 1)
    out = np.zeros((*values.shape[:-1], *shape), bool)
    out[..., at[0], at[1]] = values
    return out


def dataset(
    ties: Sequence[dict[str, Any]],
    gap_rows: dict[tuple[int, str], dict[str, Any]],
    accuracy_rows: dict[str, dict[str, Any]],
) -> xr.Dataset:
    """The table of a repair.

    Parameters
    ----------
    ties
        Label, cue and direction of each, and how it was done to pixels.
    gap_rows
        `gaps` by tie and one of `WAYS`.
    accuracy_rows
        `accuracy` by one of `IMAGES`.
    """
    ways = [way for way in WAYS if any(key[1] == way for key in gap_rows)]
    images = [kind for kind in IMAGES if kind in accuracy_rows]
    data: dict[str, Any] = {
        name: ("finding", np.array([one[name] for one in ties], object)) for name in ties[0]
    }
    some = next(iter(gap_rows.values()))
    for name, value in some.items():
        last = ["when"] if isinstance(value, list) else []
        table = [[gap_rows[i, way][name] for way in ways] for i in range(len(ties))]
        data[name] = ["finding", "way", *last], np.array(table)
    for name, value in next(iter(accuracy_rows.values())).items():
        last = ["when"] if isinstance(value, list) else []
        data[name] = ["images", *last], np.array([accuracy_rows[kind][name] for kind in images])
    coords = {"finding": np.arange(len(ties)), "way": ways, "when": list(WHEN), "images": images}
    return xr.Dataset(data, coords=coords)
