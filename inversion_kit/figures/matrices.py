"""What each label's images are read as: name prompts, tokens, and the difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.audits import confusion as count
from inversion_kit.analysis.audits import confusion_difference, reads
from inversion_kit.figures.style import (
    arm_name,
    graph_objects,
    layout,
    plotly_module,
    rows_axis,
    text,
)

REST = "other classes"
_NAMES = 16
"""Columns named at most: upright, more would lie on each other at 1,000 pixels."""
_ORDINALS = {2: "2nd", 3: "3rd"}


def confusion(
    tree: xr.DataTree | xr.Dataset, *, arm: str = "token", control: str = "name", most: int = 50
) -> Any:
    """Confusion matrices of two arms and their difference, side by side.

    A row is a label that the images were made for, a column a class that they are read as.

    Parameters
    ----------
    tree
        An audit, or its `reads`.
    arm, control
        Right and left matrix; the difference is ``arm`` minus ``control`` on shared noises.
    most
        Labels at most: of more, those that the arm misses most often. Columns are these labels,
        the other classes that take most of their images, and the sum of the rest.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> figure = confusion(synthetic_audit(outcomes=("meaning", "mixed")))
    >>> [trace.type for trace in figure.data]
    ['heatmap', 'heatmap', 'heatmap']
    """
    go = graph_objects()
    read = reads(tree)
    ours, theirs = count(read, arm), count(read, control)
    change = confusion_difference(read, arm, control)
    labels = [str(n) for n in read["label"].values]
    own = read["label_index"].values
    correct = ours["share"].values[np.arange(len(labels)), own]
    order = np.argsort(np.nan_to_num(correct, nan=2), kind="stable")[:most]
    rows = np.sort(order)
    classes = [str(c) for c in read["class"].values]
    taken = np.nan_to_num(ours["share"].values[rows]) + np.nan_to_num(theirs["share"].values[rows])
    weight = taken.sum(0)
    weight[own[rows]] = 0
    extra = [c for c in np.argsort(-weight, kind="stable") if weight[c] > 0][: max(5, most // 5)]
    columns = [*own[rows].tolist(), *sorted(int(c) for c in extra)]
    rest = np.setdiff1d(np.arange(len(classes)), columns)
    names = [classes[c] for c in columns]
    more = bool(weight[rest].any())
    heads = [text(n, most=22) for n in names] + ([f"<i>{REST}</i>"] if more else [])

    def gathered(share: np.ndarray) -> np.ndarray:
        kept = share[rows][:, columns]
        return np.column_stack([kept, share[rows][:, rest].sum(1)]) if more else kept

    parts = [
        (gathered(theirs["share"].values), theirs["images"].values[rows], arm_name(control)),
        (gathered(ours["share"].values), ours["images"].values[rows], arm_name(arm)),
        (gathered(change["difference"].values), change["pairs"].values[rows],
         f"{arm_name(arm)} − {arm_name(control)}"),
    ]  # fmt: skip
    every = -(-len(heads) // _NAMES)
    small = len(rows) <= 12 and len(heads) <= 14
    figure = plotly_module("subplots").make_subplots(
        rows=1, cols=3, shared_yaxes=True, horizontal_spacing=0.03,
        subplot_titles=[name for _, _, name in parts],
    )  # fmt: skip
    for i, (share, images, name) in enumerate(parts, start=1):
        last = i == 3
        said = np.array([[_cell(v, signed=last) for v in row] for row in share], dtype=object)
        hover = [
            [[text(labels[r]), text(h) if c < len(names) else REST, int(n), s]
             for c, (h, s) in enumerate(zip([*names, REST], line, strict=False))]
            for r, n, line in zip(rows, images, said, strict=True)
        ]  # fmt: skip
        figure.add_trace(
            go.Heatmap(
                z=share, x=list(range(len(heads))), y=list(range(len(rows))), name=name,
                coloraxis="coloraxis2" if last else "coloraxis", xgap=1, ygap=1,
                customdata=np.array(hover, dtype=object), hoverongaps=False,
                text=said if small else None, texttemplate="%{text}" if small else None,
                textfont={"size": 11},
                hovertemplate="made for %{customdata[0]}, read as %{customdata[1]}: "
                "%{customdata[3]} of %{customdata[2]} images" + f"<extra>{name}</extra>",
            ),
            row=1, col=i,
        )  # fmt: skip
        figure.update_xaxes(
            tickmode="array", tickvals=list(range(0, len(heads), every)), ticktext=heads[::every],
            tickangle=-90, tickfont={"size": 11}, ticks="", title_text="read as", row=1, col=i,
        )  # fmt: skip
        figure.update_yaxes(
            **rows_axis([labels[r] for r in rows], tickfont={"size": 12 if small else 11}),
            row=1, col=i,
        )  # fmt: skip
        figure.update_yaxes(range=[len(rows) - 0.5, -0.5], row=1, col=i)
    figure.update_yaxes(title_text="made for", row=1, col=1)
    note = "share of each label's test images, by the audited classifier"
    if every > 1:
        note += f"; every {_ORDINALS.get(every, f'{every}th')} column is named, hover names each"
    if len(rows) < len(labels):
        note += (f"; the {len(rows)} labels missed most often, "
                 f"{len(labels) - len(rows)} left out")  # fmt: skip
    tall = max(150, (26 if small else 14) * len(rows))
    # Below the names, in pixels: the first two matrices share a scale, the third has its own.
    below = 60 + 6.2 * max(min(len(name), 22) for name in [*names, REST])
    bar = {
        "orientation": "h",
        "thickness": 10,
        "y": -below / tall,
        "yanchor": "top",
        "tickfont": {"size": 11},
        "tickvals": [-1, -0.5, 0, 0.5, 1],
    }
    figure.update_layout(
        **layout(
            "What the images are read as", note, height=int(110 + tall + below + 60),
            margin={"l": 170, "r": 30, "t": 110, "b": int(below + 60)},
            coloraxis={"colorscale": "Blues", "cmin": 0, "cmax": 1,
                       "colorbar": {**bar, "len": 0.4, "x": 0.32,
                                    "ticktext": ["", "", "0", "50 %", "100 %"],
                                    "title": {"text": "share", "side": "top"}}},
            coloraxis2={"colorscale": "PuOr", "reversescale": True, "cmin": -1, "cmax": 1,
                        "colorbar": {**bar, "len": 0.29, "x": 0.84,
                                     "ticktext": ["−100", "−50", "0", "+50", "+100"],
                                     "title": {"text": "difference, points", "side": "top"}}},
        )
    )  # fmt: skip
    return figure


def _cell(value: float, *, signed: bool) -> str:
    if np.isnan(value):
        return "–"
    whole = round(100 * value)
    if not whole:
        return "0"
    return f"{whole:+d}".replace("-", "−") if signed else str(whole)
