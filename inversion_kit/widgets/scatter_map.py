"""Very many points of an audit by jupyter-scatter: WebGL, the image under the pointer beside."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np
import xarray as xr

from inversion_kit.analysis.words import DRAWN, visible
from inversion_kit.figures.style import COLOURS
from inversion_kit.widgets.audit_images import arm_words
from inversion_kit.widgets.elements import Picker

_COLOURINGS = [["verdict", "verdict"], ["label", "label"], ["arm", "arm"]]
_SPACES = [["image", "images"], ["token", "class tokens"]]
_NOTHING = '<div class="ik quiet" style="width:150px">Point at an image to see it here.</div>'


class ScatterMap:
    """Points to hover, and to draw around with Shift held.

    jupyter-scatter draws dots only, so that colour alone tells them apart: what a dot is stands in
    words beside its image.

    Parameters
    ----------
    points
        From `inversion_kit.analysis.projection.project`.
    order
        Of the values of a colouring, a function of its name that gives a key to sort by.
    card
        Image and lines of a place along ``point``.
    choose
        Called with the chosen places along ``point``.
    """

    def __init__(
        self,
        points: xr.Dataset,
        order: Callable[[str], Callable[[str], Any]],
        card: Callable[[int], dict[str, Any]],
        choose: Callable[[list[int]], None],
    ) -> None:
        self.points, self.order, self.card, self.choose = points, order, card, choose
        self.label: str | None = None
        self.lit: set[int] = set()
        self.shown = np.zeros(0, int)
        self.scatter: Any = None
        choices = [["colour", "Colour", _COLOURINGS], ["space", "Points", _SPACES]]
        self.picker = Picker(choices=choices, chosen={"colour": "verdict", "space": "image"})
        self.place, self.beside = ipywidgets.VBox([]), ipywidgets.HTML(_NOTHING)
        self.place.layout.flex, self.place.layout.min_width = "1 1 300px", "0"
        self.note = ipywidgets.HTML()
        row = ipywidgets.HBox([self.place, self.beside])
        self.widget = ipywidgets.VBox([self.picker, row, self.note])
        self.picker.observe(self.draw, "chosen")

    def draw(self, _: Any = None) -> None:
        """Draw what is picked: a new scatter in place of the last one."""
        import jscatter
        import pandas as pd

        colour, space = self.picker.chosen["colour"], self.picker.chosen["space"]
        of = np.flatnonzero(self.points["space"].values.astype(str) == space)
        verdict = self.points["verdict"].values.astype(str)[of]
        # In the order of their drawing: what only the classifier reads as the label lies on top.
        self.shown = of[np.argsort([DRAWN.index(v) for v in verdict], kind="stable")]
        names = self.points[colour].values.astype(str)[self.shown]
        known = sorted(set(names.tolist()), key=self.order(colour))
        said = {n: arm_words(n) if colour == "arm" else visible(n) for n in known}
        kind = pd.CategoricalDtype(list(said.values()))
        frame = {axis: self.points[axis].values[self.shown] for axis in ("x", "y")}
        frame["group"] = pd.Categorical([said[n] for n in names], dtype=kind)
        last, self.scatter = self.scatter, jscatter.Scatter(
            data=pd.DataFrame(frame), x="x", y="y", height=440
        )  # fmt: skip
        inks = [COLOURS[i % len(COLOURS)] for i in range(len(known))]
        self.scatter.color(by="group", map=dict(zip(said.values(), inks, strict=True)))
        self.scatter.axes(False)
        self.scatter.legend(colour != "label" and len(known) > 0)
        self.scatter.widget.observe(self._hover, "hovering")
        self.scatter.widget.observe(self._select, "selection")
        self.place.children = [self.scatter.widget]
        self.beside.value = _NOTHING
        if last is not None:
            last.widget.close()
        self.light(self.label)
        method = str(self.points.attrs[f"{space}_method"]).upper()
        note = f"{len(of)} points, {method}; near points are alike, axes have no unit. "
        note += "Hold Shift and draw around points to see their images."
        note += " Colours repeat." if len(known) > len(COLOURS) else ""
        left = self.points.attrs["left_out"]
        note += f" {left} images are left out by chance." if left else ""
        self.note.value = f'<p class="ik quiet">{note}</p>'

    def light(self, label: str | None) -> None:
        """Bring one label's points forward: they are selected, without being a choice."""
        self.label = label
        if self.scatter is not None:
            own = np.flatnonzero(self.points["label"].values.astype(str)[self.shown] == label)
            self.lit = set(own.tolist())
            self.scatter.widget.selection = own

    def _select(self, change: Any) -> None:
        new = [int(i) for i in change["new"]]
        if set(new) != self.lit:
            self.lit = set()
            self.choose([int(self.shown[i]) for i in new])

    def _hover(self, change: Any) -> None:
        if change["new"] is None:
            return
        card = self.card(int(self.shown[change["new"]]))
        lines = "".join(f"<div>{html.escape(line)}</div>" for line in card["lines"])
        look = "image-rendering:pixelated;" if card["small"] else ""
        image = (
            f'<img src="{card["src"]}" alt="" style="width:144px;{look}">' if card["src"] else ""
        )
        self.beside.value = f'<div class="ik ik-beside" style="width:150px">{image}{lines}</div>'
