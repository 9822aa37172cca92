"""The map of a page: its points, the drawings of them, and what is not drawn."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr
from markupsafe import Markup

from inversion_kit import analysis
from inversion_kit.analysis.label_verdict import with_findings
from inversion_kit.analysis.words import POINT_VERDICTS
from inversion_kit.figures.scatter import Colour, projection_spec
from inversion_kit.figures.static import svg
from inversion_kit.reports.detail import levels

_PLACED, _NAMED, _NUMBERED = 5000, 12, 60
"""Images that are placed, and labels up to which their names or their numbers are written."""
_SPACES: tuple[Literal["image", "token"], ...] = ("image", "token")


def points_of(tree: xr.DataTree, read: xr.Dataset) -> xr.Dataset | None:
    """The stored places of images, or some thousand that a page may show; None of one label."""
    sizes = tree["samples"].sizes
    if sizes["label"] == 1:
        return None
    shown = -(-levels(tree)[0].images // sizes["seed"])
    samples = max(1, min(shown, _PLACED // tree["status"]["status"].size))
    points = analysis.stored(tree)
    if points is None:
        points = analysis.project(tree, method="neighbours", samples=samples, read=read)
    return points if points.sizes["point"] else None


def map_of(
    points: xr.Dataset,
    data: dict[str, Any],
    columns: list[dict[str, Any]],
    there: list[list[str]],
) -> dict[str, Any] | None:
    """Drawings of the points whose pictures are in the page, and what the script says of them.

    Parameters
    ----------
    points
        From `points_of`.
    data
        What `inversion_kit.analysis.numbers` gave.
    columns
        Run and noise of each column of pictures.
    there
        Of each label and arm, a "1" for each of its columns that has a picture, a "0" for others.
    """
    labels = {row["label"]: i for i, row in enumerate(data["labels"])}
    column = _columns(points, columns, data["seeds"])
    shown = (column >= 0) & np.isin(points["of_label"].values.astype(str), list(labels))
    if not shown.any():
        return None
    left_out = _left_out(points, shown, there)
    points, column = points.isel(point=shown), column[shown]
    classes = {name: k for k, name in enumerate(dict.fromkeys(points["read_as"].values.tolist()))}
    colours: tuple[Colour, ...] = ("verdict",)
    if data["labels"][0]["confirmed"] is not None:
        colours, points = ("verdict", "finding"), with_findings(points, data["labels"])
    names = None
    if len(labels) > _NAMED:
        few = len(labels) <= _NUMBERED
        names = {row["label"]: str(row["index"]) for row in data["labels"] if few}
    return {
        "drawn": [
            _drawing(points, space, colour, names)
            for colour in colours
            for space in _SPACES
            if (points["space"].values == space).any()
        ],
        "left_out": left_out,
        "data": {
            "label": [labels[n] for n in points["of_label"].values.tolist()],
            "arm": [data["arms"].index(a) for a in points["of_arm"].values.tolist()],
            "column": column.tolist(),
            "read": [classes[n] for n in points["read_as"].values.tolist()],
            "verdict": [POINT_VERDICTS.index(v) for v in points["verdict"].values.tolist()],
            "classes": list(classes),
            "verdicts": list(POINT_VERDICTS),
        },
    }


def _columns(points: xr.Dataset, columns: list[dict[str, Any]], seeds: list[int]) -> np.ndarray:
    """The column of each point's picture, of a token its run; -1 where the page has none."""
    places = {(c["run"], c["noise"] - 1): k for k, c in enumerate(columns)}
    runs = {seed: k for k, seed in enumerate(seeds)}
    of = (points[name].values.tolist() for name in ("space", "of_seed", "of_sample"))
    at = [
        runs.get(run, -1) if space == "token" else places.get((run, sample), -1)
        for space, run, sample in zip(*of, strict=True)
    ]
    return np.array(at, int)


def _left_out(points: xr.Dataset, shown: np.ndarray, there: list[list[str]]) -> list[str]:
    """In words, which pictures have no place on the map, and which places no picture."""
    image = points["space"].values == "image"
    drawn, pictures = int((image & shown).sum()), "".join(map("".join, there)).count("1")
    said = []
    if drawn < pictures:
        said.append(f"The map holds {drawn} of the {pictures} test images that are shown")
    if drawn < image.sum():
        said.append(f"Of the {image.sum()} images that were placed the map holds those shown")
    return said


def _drawing(
    points: xr.Dataset,
    space: Literal["image", "token"],
    colour: Colour,
    names: dict[str, str] | None,
) -> dict[str, Any]:
    """The points of one space as SVG, without the captions of its axes."""
    spec = projection_spec(points, colour=colour, space=space, names=names)
    notes = spec["layout"]["annotations"]
    spec["layout"]["annotations"] = [note for note in notes if note.get("yref") != "paper"]
    return {
        "space": space,
        "colour": colour,
        "n": int((points["space"].values == space).sum()),
        "method": str(points.attrs[f"{space}_method"]),
        "svg": Markup(svg(spec, width=640, height=680, css="map", index=True, hover=False)),
    }
