"""Where images and class tokens lie."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from inversion_kit.analysis.label_places import label_places
from inversion_kit.analysis.projection import VERDICTS
from inversion_kit.analysis.words import DRAWN
from inversion_kit.errors import InputError
from inversion_kit.figures.style import (
    COLOURS,
    SYMBOLS,
    arm_name,
    graph_objects,
    layout,
    plotly_module,
    text,
)

_NAMED = 45
_PANEL = (380, 440)
"""Pixels of a panel, at least, of a figure 1,000 wide."""


def projection(points: xr.Dataset, *, colour: Literal["label", "arm", "verdict"] = "label") -> Any:
    """UMAP (or PCA) of images, by the classifier's features, and of tokens, by their embedding.

    Two panels: the spaces are projected apart. ``customdata`` of every point begins with its
    place along ``point``, for views that link to it.

    Parameters
    ----------
    points
        From `inversion_kit.analysis.projection.project`.
    colour
        What colour and symbol stand for.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> from inversion_kit.analysis.projection import project
    >>> from inversion_kit.testing import synthetic_audit
    >>> figure = projection(project(synthetic_audit(labels=2), method="pca"), colour="verdict")
    >>> sorted({t.name for t in figure.data})
    ['confirmed', 'not read as the label', 'token']
    """
    if colour not in ("label", "arm", "verdict"):
        raise InputError(f"colour={colour!r}: must be 'label', 'arm' or 'verdict'")
    go = graph_objects()
    space = points["space"].values.astype(str)
    panels = [s for s in ("image", "token") if (space == s).any()]
    methods = {s: str(points.attrs[f"{s}_method"]).upper() for s in panels}
    titles = {
        "image": f"images ({methods.get('image')} of the classifier's features)",
        "token": f"class tokens ({methods.get('token')} of the embeddings)",
    }
    figure = plotly_module("subplots").make_subplots(
        rows=1, cols=max(len(panels), 1), horizontal_spacing=0.05,
        subplot_titles=[titles[s] for s in panels] or ["nothing to place"],
    )  # fmt: skip
    group = points[colour].values.astype(str)
    values = list(dict.fromkeys(group.tolist()))
    if colour == "verdict":
        values = [v for v in VERDICTS if v in values]
    said = {v: arm_name(v) if colour == "arm" else text(v) for v in values}
    hover = np.stack(
        [
            points["point"].values.astype(object),
            _escaped(points["label"].values),
            np.array([arm_name(a) for a in points["arm"].values], dtype=object),
            points["seed"].values.astype(object),
            points["sample"].values.astype(object),
            _escaped(points["read_as"].values),
            points["verdict"].values,
        ],
        -1,
    )
    for column, name in enumerate(panels, start=1):
        inside = space == name
        if len(values) <= _NAMED:
            rows = [(v, inside & (group == v)) for v in values]
        else:
            rows = [("", inside)]
        if colour == "verdict":
            rows.sort(key=lambda row: DRAWN.index(row[0]))
        for value, chosen in rows:
            if not chosen.any():
                continue
            place = np.array([values.index(g) for g in group[chosen]])
            rank = 0 if value == "" else values.index(value)
            look = place if value == "" else rank
            figure.add_trace(
                go.Scatter(
                    x=points["x"].values[chosen], y=points["y"].values[chosen], mode="markers",
                    name=said.get(value, f"{len(values)} labels"), legendgroup=value,
                    legendrank=1000 + rank,
                    showlegend=column == 1 or not (group[space == panels[0]] == value).any(),
                    marker=_marker(look, name), customdata=hover[chosen],
                    hovertemplate=_HOVER[name],
                ),
                row=1, col=column,
            )  # fmt: skip
        figure.update_xaxes(showticklabels=False, ticks="", row=1, col=column)
        figure.update_yaxes(showticklabels=False, ticks="", row=1, col=column)
        if colour == "label" and len(values) <= 12:
            _name_clusters(figure, points, inside, values, column)
    note = f"colour and symbol: {colour}; axes have no unit, near points are alike"
    if len(values) > _NAMED:
        note += "; colours and symbols repeat, hover tells the label"
    if points.attrs["left_out"]:
        note += f"; {points.attrs['left_out']} images left out by chance"
    figure.update_layout(
        **layout("Where images and class tokens lie", note, height=600,
                 margin={"l": 20, "r": 20, "t": 110, "b": 20},
                 legend={"title": {"text": colour}, "itemsizing": "constant"})
    )  # fmt: skip
    return figure


_HOVER = {
    "image": "%{customdata[1]}, %{customdata[2]}<br>read as %{customdata[5]}: %{customdata[6]}"
    "<br>run %{customdata[3]}, image %{customdata[4]}<extra></extra>",
    "token": "token of %{customdata[1]}, %{customdata[2]}<br>run %{customdata[3]}<extra></extra>",
}


def _escaped(values: np.ndarray) -> np.ndarray:
    known = {v: text(v) for v in dict.fromkeys(values.tolist())}
    return np.array([known[v] for v in values.tolist()], dtype=object)


def _marker(place: int | np.ndarray, space: str) -> dict[str, Any]:
    """Colour and symbol of the n-th value: 48 pairs before one comes again."""
    n = np.asarray(place)
    symbols = (n % len(COLOURS) + n // len(COLOURS)) % len(SYMBOLS)
    colour = np.array(COLOURS)[n % len(COLOURS)]
    return {
        "color": colour.item() if n.ndim == 0 else colour.tolist(),
        "symbol": SYMBOLS[int(symbols)] if n.ndim == 0 else [SYMBOLS[s] for s in symbols],
        "size": 7 if space == "image" else 11,
        "opacity": 0.75,
        "line": {"width": 0.5, "color": "white"},
    }


def _name_clusters(
    figure: Any, points: xr.Dataset, inside: np.ndarray, values: list[str], column: int
) -> None:
    """Each label's name over one of its points that is read as it, or of its tokens, if it fits."""
    read = (points["verdict"] != "not read as the label") & (points["arm"] != "real")
    space = points["space"].values[inside][0]
    chosen = inside & (read if space == "image" else points["arm"] == "token").values
    if not chosen.any():
        return
    x, y = (points[axis].values[chosen] for axis in ("x", "y"))
    wide, high = (float(np.ptp(points[axis].values[inside])) for axis in ("x", "y"))
    names = {value: text(value, most=20) for value in values}
    width = {value: (7 * len(name) + 8) * wide / _PANEL[0] for value, name in names.items()}
    label = points["label"].values[chosen].astype(str)
    for i in label_places(x, y, label, width, 18 * high / _PANEL[1]):
        figure.add_annotation(
            x=float(x[i]), y=float(y[i]), text=names[label[i]], showarrow=False, yshift=16,
            bgcolor="rgba(255,255,255,0.75)", font={"size": 12, "color": "#222222"},
            row=1, col=column,
        )  # fmt: skip
