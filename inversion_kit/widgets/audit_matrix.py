"""What is read as what: a matrix of one arm, or of two arms' difference, to click."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go

from inversion_kit.analysis.audits import confusion, confusion_difference
from inversion_kit.figures.style import layout, rows_axis, text
from inversion_kit.widgets.audit_images import AuditImages, arm_words
from inversion_kit.widgets.elements import Picker
from inversion_kit.widgets.run_view import heading, plotly_widget

_MOST = 60
"""Labels in the matrix: of more, those that are missed most often."""


class AuditMatrix:
    """A plotly matrix whose cells, clicked, say which images are meant.

    Parameters
    ----------
    images
        The audit's.
    arm
        Shown first.
    pick
        Called with the places of a label, a class and an arm.
    """

    def __init__(
        self, images: AuditImages, arm: str, pick: Callable[[int, int, int], None]
    ) -> None:
        self.images, self.pick = images, pick
        kinds = [[a, arm_words(a)] for a in images.arms]
        if "name" in images.arms and arm != "name":
            kinds.append(["-", f"{arm_words(arm)} − {arm_words('name')}"])
        self.arm = arm
        self.picker = Picker(choices=[["what", "Images of", kinds]], chosen={"what": arm})
        share = confusion(images.read, arm)["share"].values
        own = images.target
        missed = np.argsort(np.nan_to_num(share[np.arange(len(own)), own], nan=2), kind="stable")
        self.rows = np.sort(missed[:_MOST])
        used = np.zeros(len(images.classes), bool)
        for one in images.arms:
            taken = np.nan_to_num(confusion(images.read, one)["share"].values[self.rows])
            used |= taken.max(0) > 0
        used[own[self.rows]] = True
        columns = np.flatnonzero(used)
        others = columns[~np.isin(columns, own[self.rows])]
        self.columns = np.concatenate([own[self.rows], others])[: 2 * _MOST]
        self.figure = plotly_widget(self._figure())
        self.figure.data[0].on_click(self._click)
        self.picker.observe(self._draw, "chosen")
        note = "Share of each label's test images; click a cell to see them."
        if len(self.rows) < len(images.labels):
            note += f" The {len(self.rows)} labels that are missed most often."
        head = heading("What the images are read as", note, small=True)
        self.widget = ipywidgets.VBox([head, self.picker, self.figure])
        self._draw()

    def _figure(self) -> Any:
        labels = [self.images.labels[r] for r in self.rows]
        heads = [text(self.images.classes[c], most=20) for c in self.columns]
        size = 9 if len(labels) > 25 else 12
        every = -(-len(heads) // 22)
        return go.Figure(
            go.Heatmap(
                z=np.zeros((len(labels), len(heads))), x=list(range(len(heads))),
                y=list(range(len(labels))), xgap=1, ygap=1, hoverongaps=False,
                colorbar={"orientation": "h", "thickness": 8, "len": 0.6, "x": 1,
                          "xanchor": "right", "y": 1.0, "yanchor": "bottom", "ypad": 4,
                          "tickformat": ".0%"},
                hovertemplate="made for %{customdata[0]}, read as %{customdata[1]}: "
                "%{customdata[2]}<extra></extra>",
            ),
            layout(
                "", height=max(380, 150 + 11 * len(labels)),
                margin={"l": 130, "r": 10, "t": 44, "b": 130},
                xaxis={"tickmode": "array", "tickvals": list(range(0, len(heads), every)),
                       "ticktext": heads[::every], "tickangle": -60, "ticks": "",
                       "tickfont": {"size": size}, "title": {"text": "read as"}},
                yaxis=rows_axis(labels, title={"text": "made for"}, tickfont={"size": size},
                                range=[len(labels) - 0.5, -0.5]),
            ),
        )  # fmt: skip

    def _draw(self, _: Any = None) -> None:
        what = self.picker.chosen["what"]
        signed = what == "-"
        if signed:
            data = confusion_difference(self.images.read, self.arm, "name")
            whole, images = data["difference"].values, data["pairs"].values
        else:
            data = confusion(self.images.read, what)
            whole, images = data["share"].values, data["images"].values
        share = whole[self.rows][:, self.columns]
        hover = [
            [
                [text(self.images.labels[r]), text(self.images.classes[c]),
                 _said(share[i, k], int(images[r]), signed)]
                for k, c in enumerate(self.columns)
            ]
            for i, r in enumerate(self.rows)
        ]  # fmt: skip
        scale = {"colorscale": "PuOr_r", "zmin": -1, "zmax": 1} if signed else {
            "colorscale": "Blues", "zmin": 0, "zmax": 1
        }  # fmt: skip
        with self.figure.batch_update():
            self.figure.data[0].update(z=share, customdata=np.array(hover, dtype=object), **scale)

    def _click(self, trace: Any, points: Any, state: Any) -> None:
        if points.xs:
            self.choose(int(points.ys[0]), int(points.xs[0]))

    def choose(self, row: int, column: int) -> None:
        """Say which images a cell means; a difference means those of the arm itself."""
        what = self.picker.chosen["what"]
        arm = self.images.arms.index(self.arm if what == "-" else what)
        self.pick(int(self.rows[row]), int(self.columns[column]), arm)


def _said(value: float, images: int, signed: bool) -> str:
    if np.isnan(value):
        return "no image"
    percent = f"{100 * value:+.0f} points" if signed else f"{100 * value:.0f} %"
    return f"{percent} of {images} images".replace("-", "−")
