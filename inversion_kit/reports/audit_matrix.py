"""What is read as what: matrices of squares, whose area is a share, and the largest mix-ups."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.audits import confusion, confusion_difference, reads
from inversion_kit.pictures import data_address, image_of

_CELL, _SQUARES, _CHANGES = 14, 60, 20


def matrices(tree: xr.DataTree, arm: str) -> dict[str, Any]:
    """Matrices of the name prompts, of the tokens and of their difference.

    Up to 60 columns each cell is a square whose area is the share; more become a picture of one
    pixel a cell. ``others`` are the columns of classes that were not asked for, ``changes`` the
    largest entries of the difference.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> [part["title"] for part in matrices(synthetic_audit(), "token")["parts"]]
    ['Name prompts', 'Tokens', 'Tokens minus name prompts']
    """
    read = reads(tree)
    arms = [str(a) for a in read["arm"].values]
    index = read["label_index"].values
    labels = [str(n) for n in read["label"].values]
    classes = [str(n) for n in read["class"].values]
    made: list[tuple[str, np.ndarray, bool]] = []
    if "name" in arms and arm != "name":
        made.append(("Name prompts", confusion(read, "name")["share"].values, False))
    made.append(("Tokens" if arm != "name" else "Name prompts",
                 confusion(read, arm)["share"].values, False))  # fmt: skip
    if len(made) == 2:
        difference = confusion_difference(read, arm, "name")["difference"].values
        made.append(("Tokens minus name prompts", difference, True))
    used = np.zeros(len(classes), bool)
    used[index] = True
    for _, values, _ in made:
        used |= (np.nan_to_num(values) != 0).any(0)
    columns = np.flatnonzero(used)
    small = max(len(columns), len(labels)) <= _SQUARES
    draw = _squares if small else _pixels
    asked = set(index.tolist())
    signed = [values for _, values, less in made if less]
    return {
        "others": [{"index": int(c), "name": classes[c]} for c in columns if c not in asked],
        "diagonal": [(row, int(np.flatnonzero(columns == c)[0])) for row, c in enumerate(index)],
        "changes": [
            {"at": int(i), "label": labels[i], "class": classes[c], "value": float(values[i, c])}
            for values in signed
            for i, c in _largest(values)
        ],
        "small": small,
        "cell": _CELL,
        "rows": [{"at": i, "index": int(index[i]), "label": n} for i, n in enumerate(labels)],
        "columns": [{"index": int(c), "name": classes[c]} for c in columns],
        "parts": [
            {"title": title, "signed": signed, **draw(values[:, columns], columns, index)}
            for title, values, signed in made
        ],
    }


def _largest(values: np.ndarray) -> list[tuple[int, int]]:
    """Places of the largest entries, of either sign."""
    size = np.abs(np.nan_to_num(values))
    order = np.argsort(-size, axis=None, kind="stable")[:_CHANGES]
    places = zip(*np.unravel_index(order, size.shape), strict=True)
    return [(int(i), int(c)) for i, c in places if size[i, c] > 0]


def _squares(values: np.ndarray, columns: np.ndarray, index: np.ndarray) -> dict[str, Any]:
    cells = []
    for i, c in np.argwhere(np.nan_to_num(values) != 0):
        value = float(values[i, c])
        side = round(max((_CELL - 2) * min(abs(value), 1) ** 0.5, 2.5), 1)
        cells.append({
            "row": int(i), "column": int(c), "value": value, "side": side,
            "x": round(c * _CELL + (_CELL - side) / 2, 1),
            "y": round(i * _CELL + (_CELL - side) / 2, 1),
            "own": bool(columns[c] == index[i]), "less": value < 0,
        })  # fmt: skip
    gaps = [int(i) for i in np.flatnonzero(np.isnan(values).all(1))]
    return {"cells": cells, "gaps": gaps, "src": ""}


def _pixels(values: np.ndarray, columns: np.ndarray, index: np.ndarray) -> dict[str, Any]:
    """White is 0, dark is 1; less than before is orange, the label itself blue."""
    share = np.nan_to_num(values)
    ink = np.array([120, 60, 20]) * np.ones((*share.shape, 1))
    ink[columns[None] == index[:, None]] = (10, 90, 156)
    ink[share < 0] = (217, 119, 6)
    strength = np.sqrt(np.abs(share))[..., None].clip(0, 1)
    picture = (255 + strength * (ink - 255)).round().astype("u1")
    return {"cells": [], "gaps": [], "src": data_address(image_of(picture))}
