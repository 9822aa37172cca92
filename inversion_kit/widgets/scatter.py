"""Very many points by jupyter-scatter: WebGL, the image under the pointer beside."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np

from inversion_kit.figures.style import COLOURS, Spec

_NOTHING = '<div class="ik quiet" style="width:150px">Point at an image to see it here.</div>'


class Scatter:
    """Points to hover, and to draw around with Shift held.

    jupyter-scatter draws dots only, so that colour alone tells them apart: what a dot is stands in
    words beside its image.

    Parameters
    ----------
    card
        Gives picture and lines of a place along ``point``.
    choose
        Called with the places that are chosen.
    """

    def __init__(
        self, card: Callable[[int], dict[str, Any]], choose: Callable[[list[int]], None]
    ) -> None:
        self.card, self.choose = card, choose
        self.shown = np.zeros(0, int)
        self.scatter: Any = None
        self._lit: list[int] = []
        self.place, self.beside = ipywidgets.VBox([]), ipywidgets.HTML(_NOTHING)
        self.place.layout.flex, self.place.layout.min_width = "1 1 300px", "0"
        self.widget = ipywidgets.HBox([self.place, self.beside])

    def draw(self, spec: Spec) -> None:
        """Draw a specification of one space: a new scatter in place of the last one."""
        import jscatter
        import pandas as pd

        traces = spec["data"]
        names = [html.unescape(trace["name"]) for trace in traces]
        self.shown = np.array([i for trace in traces for i in trace["customdata"]], int)
        frame = {d: np.array([v for t in traces for v in t[d]], "f4") for d in ("x", "y")}
        kind = np.repeat(np.arange(len(traces)), [len(trace["x"]) for trace in traces])
        inks = [trace["marker"]["color"] for trace in traces]
        if traces and not isinstance(inks[0], str):  # one trace of many labels
            kind, names, inks = _by_colour(inks[0])
        frame["group"] = pd.Categorical.from_codes(kind, names)
        last, self.scatter = (
            self.scatter,
            jscatter.Scatter(data=pd.DataFrame(frame), x="x", y="y", height=440),
        )
        self.scatter.color(by="group", map=dict(zip(names, inks, strict=True)))
        self.scatter.axes(False)
        self.scatter.legend(0 < len(names) <= 12)
        self.scatter.widget.observe(self._hover, "hovering")
        self.scatter.widget.observe(self._select, "selection")
        self.place.children = [self.scatter.widget]
        self.beside.value = _NOTHING
        if last is not None:
            last.widget.close()

    @property
    def lit(self) -> list[int]:
        """Places along ``point`` that are brought forward: selected, without being a choice."""
        return self._lit

    @lit.setter
    def lit(self, points: list[int]) -> None:
        self._lit = points
        self.scatter.widget.selection = np.flatnonzero(np.isin(self.shown, points))

    def _select(self, change: Any) -> None:
        points = self.shown[[int(i) for i in change["new"]]].tolist()
        if set(points) != set(np.intersect1d(self._lit, self.shown).tolist()):
            self._lit = points
            self.choose(points)

    def _hover(self, change: Any) -> None:
        if change["new"] is None:
            return
        card = self.card(int(self.shown[change["new"]]))
        lines = "".join(f"<div>{html.escape(line)}</div>" for line in card["lines"])
        style = "image-rendering:pixelated;" if card["small"] else ""
        image = (
            f'<img src="{card["src"]}" alt="" style="width:144px;{style}">' if card["src"] else ""
        )
        self.beside.value = f'<div class="ik ik-beside" style="width:150px">{image}{lines}</div>'


def _by_colour(inks: list[str]) -> tuple[np.ndarray, list[str], list[str]]:
    """Of points each its place among the colours, and the colours as names and inks."""
    known = list(COLOURS)
    return np.array([known.index(ink) for ink in inks]), known, known
