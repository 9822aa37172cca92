"""Where a result's images lie: the figure `inversion_kit.figures.projection`, linked to images."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote

import ipywidgets
import numpy as np
import xarray as xr

from inversion_kit.analysis import numbers, project, stored
from inversion_kit.analysis.label_verdict import with_findings
from inversion_kit.analysis.words import arm_words, visible
from inversion_kit.errors import InputError
from inversion_kit.figures.scatter import projection_spec
from inversion_kit.figures.static import svg
from inversion_kit.figures.style import Spec
from inversion_kit.schema import WHOLE
from inversion_kit.widgets.elements import PointMap, choice, quiet, tools
from inversion_kit.widgets.images import Images, Key
from inversion_kit.widgets.scatter import Scatter

MOST = 10_000
"""Points up to which they are drawn as SVG."""
MANY = 200_000
"""Images that are placed for jupyter-scatter at most."""
_COLOURS = [("verdict", "verdict"), ("label", "label"), ("arm", "arm")]
_SPACES = [("images", "image"), ("class tokens", "token")]
_METHODS = [("PCA", "pca"), ("UMAP", "umap")]
_MODES = [("Lasso", "lasso"), ("Box", "box"), ("Zoom", "zoom")]
_WIDE, _TALL = 560, 440
"""Pixels of the drawing."""
_INSTALL = "pip install 'inversion-kit[scatter]'"
_UMAP = "Placing the images by UMAP: this takes from seconds to minutes …"


class Map:
    """Points of a result to hover and to draw around.

    Parameters
    ----------
    images
        The result's.
    heard
        Called with the images of every new choice.
    points
        From `inversion_kit.analysis.project`, shown first; those that the result holds where not
        given. PCA, and UMAP when it is asked for, are computed when they are shown.
    """

    def __init__(
        self,
        images: Images,
        heard: Callable[[list[Key]], None],
        *,
        points: xr.Dataset | None = None,
    ) -> None:
        self.images, self.heard = images, heard
        first = stored(images.tree) if points is None else points
        there = find_spec("jscatter") is not None
        n = int((images.top[0] >= 0).sum())
        self.known: dict[str, xr.Dataset] = {}
        methods = _METHODS
        if first is not None:
            _check(first, images, there)
            n = max(n, first.sizes["point"])
            self.known["first"] = first
            methods = [("stored" if points is None else "given", "first"), *_METHODS]
        self.most = MANY if n > MOST and there else MOST
        self.lit: int | None = None
        self.spec: Spec = {}
        self.shown: Spec = {}
        self.front: list[int] = []
        looked = "findings" in images.tree.children
        colours = [*_COLOURS, *([("finding", "finding")] if looked else [])]
        self.colour = choice("Colour", colours, self._draw)
        self.space = choice("Points", _SPACES, self._draw)
        self.method = choice("Placed by", methods, self._draw)
        self.note = ipywidgets.HTML()
        self.zoomed: dict[str, tuple[float, float]] = {}
        self.surface: Any
        picks = [self.colour, self.space, self.method]
        if self.most > MOST:
            scatter = self.surface = Scatter(self.card, self.choose)
            self.widget = ipywidgets.VBox([tools(picks), scatter.widget, self.note])
            return
        points_map = self.surface = PointMap()
        points_map.on_msg(self._answer)
        points_map.observe(self._chosen, "drawn")
        mode = ipywidgets.ToggleButtons(options=_MODES, style={"button_width": "auto"})
        ipywidgets.link((mode, "value"), (points_map, "mode"))
        reset = ipywidgets.Button(description="Reset", tooltip="the whole map, nothing chosen")
        reset.on_click(self._reset)
        self.widget = ipywidgets.VBox([tools([*picks, mode, reset]), points_map, self.note])

    def open(self) -> None:
        """Draw for the first time."""
        if not self.spec:
            self._draw()

    def light(self, label: int | None) -> None:
        """Bring one label's points forward."""
        self.lit = label
        if self.spec:
            name = None if label is None else self.images.labels[label]
            self._front(np.flatnonzero(self.points["of_label"].values == name).tolist())

    def choose(self, points: list[int]) -> None:
        """Say which images places along ``point`` mean, and bring those points forward."""
        keys = [self.key(point) for point in points]
        self.heard([key for key in dict.fromkeys(keys) if key is not None])
        if points:
            self._front(points)

    @property
    def points(self) -> xr.Dataset:
        """The projection that is drawn."""
        method = self.method.value
        if method not in self.known:
            if method == "umap":
                self._say(_UMAP)
            tree, read = self.images.tree, self.images.read
            self.known[method] = project(tree, method=method, most=self.most, read=read)
        return self.known[method]

    def key(self, point: int) -> Key | None:
        """The image of a point; of a token the first that was made with it."""
        label, arm, seed, sample = (self.points[f"of_{n}"].values[point] for n in Key._fields)
        if str(arm) not in self.images.arms:
            return None
        return Key(
            self.images.labels.index(str(label)),
            self.images.arms.index(str(arm)),
            self.images.seeds.index(int(seed)),
            max(0, int(sample)),
        )

    def card(self, point: int) -> dict[str, Any]:
        """Picture and lines of a point."""
        label, arm, verdict = (
            str(self.points[n].values[point]) for n in ("of_label", "of_arm", "verdict")
        )
        lines, key = [visible(label), arm_words(arm), verdict], self.key(point)
        if key is None:
            return {"src": "", "small": True, "lines": lines}
        tile = self.images.tile(key)
        lines.insert(2, tile["read"])
        return {"src": tile["src"], "small": tile["small"], "lines": lines}

    def _draw(self, _: Any = None) -> None:
        """Draw what is picked: a new figure in place of the last one."""
        try:
            points = self.points
        except InputError as error:  # UMAP is not installed
            self.method.value = "pca"
            self._say(str(error))
            return
        space, self.zoomed = self.space.value, {}
        if self.colour.value == "finding":
            rows = numbers(self.images.tree, detail=False, read=self.images.read)["labels"]
            points = with_findings(points, rows)
        self.spec = projection_spec(points, colour=self.colour.value, space=space)
        self._show()
        self.light(self.lit)
        n = int((points["space"].values == space).sum())
        method = str(points.attrs[f"{space}_method"]).upper()
        of = "the classifier's features" if space == "image" else "the embeddings"
        note = f"{n} points, {method} of {of}; near points are alike, axes have no unit."
        note += " Hold Shift and draw" if self.most > MOST else " Draw"
        note += " around points to see their images."
        left = points.attrs["left_out"] if space == "image" else 0
        if left:
            note += f" {left} images are left out"
            if self.method.value == "first":
                note += "; PCA and UMAP place more"
            elif self.most == MOST:
                note += f"; with jupyter-scatter all are drawn: {_INSTALL}"
            note += "."
        self._say(note if n else "Nothing to place: this result holds no features.")

    def _show(self) -> None:
        """Draw the specification, or the part of it that was zoomed into."""
        if self.most > MOST:
            self.surface.draw(self.spec)
            return
        layout = {**self.spec["layout"], "margin": {"l": 4, "r": 4, "t": 4, "b": 4}}
        traces = self.spec["data"]
        for axis, (low, high) in self.zoomed.items():
            layout[f"{axis}axis"] = {**layout[f"{axis}axis"], "range": [low, high]}
            values = self.points[axis].values
            traces = [_cut(trace, (low <= values) & (values <= high)) for trace in traces]
        self.shown = {"data": traces, "layout": {**layout, "annotations": []}}
        drawn = _drawn(self.shown)
        points = [point for trace in traces for point in trace["customdata"]]
        with self.surface.hold_sync():
            self.surface.wide, self.surface.svg = _WIDE, _address(drawn)
            self.surface.points = points
            self.surface.spots = _spots(drawn, self.points, points).tobytes()

    def _front(self, points: list[int]) -> None:
        """Let some points stand out."""
        self.front = points
        if self.most > MOST:
            self.surface.lit = points
            return
        there = np.isin(np.arange(self.points.sizes["point"]), points)
        traces = [_cut(trace, there) for trace in self.shown["data"]]
        drawn = _drawn({**self.shown, "data": traces}) if points else ""
        self.surface.front = _address(drawn) if points else ""

    def _say(self, note: str) -> None:
        self.note.value = quiet(note)

    def _reset(self, _: Any = None) -> None:
        self.zoomed = {}
        self._show()
        self.choose([])

    def _chosen(self, _: Any = None) -> None:
        """The browser has drawn around points: zoom into them, or choose them."""
        points = [int(point) for point in self.surface.chosen]
        if self.surface.mode != "zoom":
            self.choose(points)
        elif points:
            inside = self.points.isel(point=points)
            ends = {d: (float(inside[d].min()), float(inside[d].max())) for d in "xy"}
            more = {d: 0.05 * (high - low) or 0.5 for d, (low, high) in ends.items()}
            self.zoomed = {d: (a - more[d], b + more[d]) for d, (a, b) in ends.items()}
            self._show()
            self._front(self.front)

    def _answer(self, _: Any, content: dict[str, Any], buffers: Any) -> None:
        """The browser wants the picture under the mouse."""
        point = content.get("want")
        if isinstance(point, int) and 0 <= point < self.points.sizes["point"]:
            self.surface.send({"point": point, **self.card(point)})


def _check(points: xr.Dataset, images: Images, scatter: bool) -> None:
    """Refuse a projection of another result, or one of more points than can be drawn."""
    if not set(WHOLE["projection"]) <= set(points.variables) or not (
        set(points["of_label"].values.astype(str)) <= set(images.labels)
    ):
        raise InputError("points: not of this result; give what analysis.project(result) returned")
    n = int((points["space"].values == "image").sum())
    if n > MOST and not scatter:
        raise InputError(
            f"points: {n} images, and more than {MOST} need jupyter-scatter: {_INSTALL}, "
            "or place fewer with analysis.project(result, most=10_000)"
        )


def _cut(trace: dict[str, Any], there: np.ndarray) -> dict[str, Any]:
    """A trace with those of its points that are there."""
    kept = [i for i, point in enumerate(trace["customdata"]) if there[point]]

    def cut(value: Any) -> Any:
        return [value[i] for i in kept] if isinstance(value, list) else value

    own = {name: cut(trace[name]) for name in ("x", "y", "customdata")}
    return {**trace, **own, "marker": {k: cut(v) for k, v in trace["marker"].items()}}


def _drawn(spec: Spec) -> str:
    return svg(spec, width=_WIDE, height=_TALL, hover=False)


def _address(drawn: str) -> str:
    """A drawing as an image's address: the browser draws it once, whatever moves above it."""
    named = drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return f"data:image/svg+xml,{quote(named)}"


def _spots(drawn: str, points: xr.Dataset, places: list[int]) -> np.ndarray:
    """Where points lie in a drawing, float32 ``(n, 2)``."""
    match = re.search(r'data-box="([^"]+)" data-range="([^"]+)"', drawn)
    if match is None:
        return np.zeros((0, 2), np.float32)
    (left, top, wide, tall), (x0, x1, y0, y1) = (
        map(float, part.split()) for part in match.groups()
    )
    across = (points["x"].values[places] - x0) / (x1 - x0)
    down = (y1 - points["y"].values[places]) / (y1 - y0)
    at = np.clip(np.stack([across, down], 1), 0, 1) * [wide, tall] + [left, top]
    return at.astype(np.float32)
