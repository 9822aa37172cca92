"""The map of an audit's report: where images and tokens lie, as points of two drawings."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.label_places import label_places
from inversion_kit.analysis.projection import project

SIDE = 1000
"""Length of a drawing's side, in its own units."""
KINDS = {
    "not read as the label": ("○", "read as another class"),
    "not judged": ("●", "read as the label, no judge was asked"),
    "confirmed": ("●", "read as the label, and judges agree"),
    "not confirmed": ("■", "read as the label, judges do not agree"),
}
"""Verdicts of images, in the order they are drawn in, with their sign and words."""
TOKENS = {"token": ("●", "alone"), "token+name": ("■", "beside the name"),
          "shuffled": ("○", "control: shuffled weights")}  # fmt: skip
_MARGIN, _MOST, _NAMED = 65, 6000, 60
_WIDE, _HIGH = 36, 24
"""Of a label's number."""


def place(tree: xr.DataTree, noises: int) -> dict[str, Any] | None:
    """Points of the first test images of every run and of all tokens; None where there are none.

    Parameters
    ----------
    tree
        A valid audit. No pixel is read.
    noises
        How many images of every label, arm and run.

    Returns
    -------
    dict or None
        ``method`` of either drawing, and ``image`` and ``token``: lists of equal length, ``x`` and
        ``y`` in [0, `SIDE`], ``label``, ``arm``, ``run`` and ``noise`` (-1 of a token) as places
        along their dimensions, ``kind`` as a place in `KINDS` or `TOKENS`, and ``read``, the first
        class.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> found = place(synthetic_audit(labels=2), 1)
    >>> len(found["image"]["x"]), len(found["token"]["x"]), found["method"]["image"]
    (16, 12, 'neighbours')
    """
    samples = tree["samples"].to_dataset(inherit=False).isel(sample=slice(0, noises))
    part = xr.DataTree.from_dict({
        "/samples": samples,
        "/token": tree["token"].to_dataset(inherit=False),
    })  # fmt: skip
    part.attrs = dict(tree.attrs)
    points = project(part, method="neighbours", most=_MOST)
    labels = {str(n): i for i, n in enumerate(tree["status"]["label"].values)}
    arms = {str(n): i for i, n in enumerate(tree["status"]["arm"].values)}
    seeds = [int(s) for s in samples["seed"].values]
    at_sample = {int(s): k for k, s in enumerate(samples["sample"].values)}
    found: dict[str, Any] = {
        "method": {s: str(points.attrs[f"{s}_method"]) for s in ("image", "token")}
    }
    for space, kinds in (("image", list(KINDS)), ("token", list(TOKENS))):
        some = points.isel(point=points["space"].values == space)
        found[space] = {
            "label": [labels[n] for n in some["label"].values],
            "arm": [arms[n] for n in some["arm"].values],
            "run": [seeds.index(int(s)) for s in some["seed"].values],
            "noise": [at_sample.get(int(k), -1) for k in some["sample"].values],
            "kind": [
                kinds.index(said) if said in kinds else 0
                for said in some["verdict" if space == "image" else "arm"].values
            ],
            "read": some["read_as"].values.tolist(),
            "x": _fitted(some["x"].values),
            "y": _fitted(some["y"].values, down=True),
        }
    return found if found["image"]["x"] or found["token"]["x"] else None


def drawn(found: dict[str, Any], columns: list[tuple[int, int]], labels: int) -> dict[str, Any]:
    """Paths of `place`'s points, a shape for every kind and arm, and the numbers of the labels.

    Images are drawn of the runs and noises that are in ``columns``, as the page shows them.
    ``data`` is what its script needs: ``column`` is a place in ``columns`` (of a token its run),
    ``read`` one in ``classes``.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> found = place(synthetic_audit(labels=2), 1)
    >>> [part["space"] for part in drawn(found, [(0, 0), (1, 0)], 2)["parts"]]
    ['image', 'token']
    """
    parts, data = [], {}
    place_of = {pair: c for c, pair in enumerate(columns)}
    classes: dict[str, int] = {}
    for space, kinds in (("image", list(KINDS)), ("token", list(TOKENS))):
        of = found[space]
        column = [
            run if space == "token" else place_of.get((run, noise), -1)
            for run, noise in zip(of["run"], of["noise"], strict=True)
        ]
        kept = [n for n, c in enumerate(column) if c >= 0]
        if not kept:
            continue
        rows = {k: [of[k][n] for n in kept] for k in ("x", "y", "label", "arm", "kind")}
        rows["column"] = [column[n] for n in kept]
        if space == "image":
            read = [of["read"][n] for n in kept]
            rows["read"] = [classes.setdefault(name, len(classes)) for name in read]
        data[space] = rows
        shapes = sorted(set(zip(rows["kind"], rows["arm"], strict=True)))
        parts.append({
            "space": space,
            "method": found["method"][space],
            "n": len(kept),
            "paths": [
                {"kind": k, "arm": a, "d": "".join(
                    mark(x, y, k, space) for x, y, kind, arm in
                    zip(rows["x"], rows["y"], rows["kind"], rows["arm"], strict=True)
                    if (kind, arm) == (k, a))}
                for k, a in shapes
            ],
            "kinds": sorted(set(rows["kind"])),
            "names": _names(rows, space, kinds) if labels <= _NAMED else [],
        })  # fmt: skip
    return {"parts": parts, "data": {**data, "classes": list(classes)}}


def mark(x: int, y: int, kind: int, space: str) -> str:
    """A point as a piece of a path: a cross for what failed, a dot whose cap the style chooses.

    Examples
    --------
    >>> mark(10, 20, 2, "image"), mark(10, 20, 0, "image")
    ('M10 20h0', 'M5 15l10 10m0-10l-10 10')
    """
    cross = kind == (0 if space == "image" else 2)
    return f"M{x - 5} {y - 5}l10 10m0-10l-10 10" if cross else f"M{x} {y}h0"


def _names(rows: dict[str, list[Any]], space: str, kinds: list[str]) -> list[dict[str, int]]:
    """Each label's number at the middle of what is read as it, or of its tokens, where it fits."""
    label, kind = np.array(rows["label"]), np.array(rows["kind"])
    good = kind != kinds.index("not read as the label") if space == "image" else kind == 0
    of, x, y = (np.array(rows[name])[good] for name in ("label", "x", "y"))
    wide = dict.fromkeys(label.tolist(), _WIDE)
    return [
        {"label": int(of[i]), "x": int(x[i]), "y": int(y[i])}
        for i in label_places(x, y, of, wide, _HIGH)
    ]


def _fitted(values: np.ndarray, *, down: bool = False) -> list[int]:
    if not len(values):
        return []
    # A few points far away would press all others together: they go to the margin.
    low, high = np.quantile(values, [0.005, 0.995])
    share = ((values - low) / max(high - low, 1e-12)).clip(-0.04, 1.04)
    share = 1 - share if down else share
    return [int(v) for v in (_MARGIN + share * (SIDE - 2 * _MARGIN)).round()]
