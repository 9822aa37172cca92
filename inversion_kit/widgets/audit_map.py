"""Where an audit's images lie: a canvas, or jupyter-scatter where there are very many."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np
import xarray as xr

from inversion_kit.analysis.projection import VERDICTS, project
from inversion_kit.analysis.words import DRAWN, visible
from inversion_kit.errors import InputError
from inversion_kit.figures.style import COLOURS, SYMBOLS
from inversion_kit.widgets.audit_images import AuditImages, Key, arm_words
from inversion_kit.widgets.elements import PointMap
from inversion_kit.widgets.scatter_map import ScatterMap

MOST = 10_000
"""Points up to which the canvas is used."""
MANY = 200_000
"""Images that are placed for jupyter-scatter at most."""
_PAIRS = len(COLOURS) * len(SYMBOLS)
_COLOURINGS = [["verdict", "verdict"], ["label", "label"], ["arm", "arm"]]
_SPACES = [["image", "images"], ["token", "class tokens"]]
_INSTALL = "pip install 'inversion-kit[scatter]'"


class AuditMap:
    """Points of an audit, linked to its images.

    Parameters
    ----------
    images
        The audit's.
    points
        From `project`; computed when the map is first opened where not given: PCA at once, UMAP
        when it is asked for. More than `MOST` go through jupyter-scatter.
    """

    def __init__(self, images: AuditImages, *, points: xr.Dataset | None = None) -> None:
        self.images = images
        self.given = points
        self.places = {name: i for i, name in enumerate(images.labels)}
        self.arms = {name: i for i, name in enumerate(images.arms)}
        self.seeds = {seed: i for i, seed in enumerate(images.seeds)}
        self.known: dict[str, xr.Dataset] = {}
        self.shown = np.zeros(0, int)
        self.lit: int | None = None
        self._heard: Callable[[list[Key]], None] = lambda keys: None
        self.opened = False
        self.scatter: ScatterMap | None = None
        there = importlib.util.find_spec("jscatter") is not None
        if points is not None:
            self._check(points)
            self.many = points.sizes["point"] > MOST
            if self.many and not there:
                raise InputError(
                    f"points: {points.sizes['point']} points, and more than {MOST} need "
                    f"jupyter-scatter: {_INSTALL}, or place fewer with project(audit, most=10_000)"
                )
        else:
            self.many = there and int((images.top[0] >= 0).sum()) > MOST
        if self.many:
            self.widget = ipywidgets.VBox([])
            return
        self.widget = PointMap(picked={"colour": "verdict", "space": "image", "method": "pca"})
        self.widget.on_msg(self._answer)
        self.widget.observe(self._chosen, "chosen")
        self.widget.observe(self._draw, "picked")

    def on_chosen(self, heard: Callable[[list[Key]], None]) -> None:
        """Call this with the images of every new choice."""
        self._heard = heard

    def open(self) -> None:
        """Draw for the first time."""
        if self.opened:
            return
        self.opened = True
        if not self.many:
            self._draw()
            return
        self.scatter = ScatterMap(
            self.points, lambda colour: _order(colour, self), self.card, self.choose
        )
        self.scatter.draw()
        self.light(self.lit)
        self.widget.children = [self.scatter.widget]

    def light(self, label: int | None) -> None:
        """Bring one label's points forward."""
        self.lit = label
        if self.scatter is not None:
            self.scatter.light(None if label is None else self.images.labels[label])
        elif self.opened and not self.many:
            with self.widget.hold_sync():
                self.widget.chosen = []
                self.widget.bright = self._bright()

    def choose(self, points: list[int]) -> None:
        """Say which images places along ``point`` mean."""
        keys = [self._key(int(p)) for p in points]
        self._heard([k for k in dict.fromkeys(keys) if k is not None])

    @property
    def points(self) -> xr.Dataset:
        """The projection that is drawn."""
        if self.given is not None:
            return self.given
        method: Any = "pca" if self.many else self.widget.picked["method"]
        if method not in self.known:
            most = MANY if self.many else MOST
            if method == "umap":
                self.widget.busy = "Placing the images by UMAP: this takes from seconds to minutes"
            try:
                self.known[method] = project(self.images.tree, method=method, most=most)
            finally:
                self.widget.busy = ""
        return self.known[method]

    def _check(self, points: xr.Dataset) -> None:
        names = set(points["label"].values.astype(str)) - set(self.places)
        if names or not {"x", "y", "space", "arm", "verdict"} <= set(points):
            raise InputError(
                "points: not of this audit; give what analysis.projection.project(audit) returned"
            )

    def _draw(self, _: Any = None) -> None:
        picked = self.widget.picked
        try:
            points = self.points
        except InputError as error:
            self.widget.note = str(error)
            self.widget.picked = {**picked, "method": "pca"}
            return
        space = points["space"].values.astype(str)
        self.shown = np.flatnonzero(space == picked["space"])
        at = np.stack([points["x"].values[self.shown], points["y"].values[self.shown]], -1)
        names = points[picked["colour"]].values.astype(str)[self.shown]
        known = sorted(set(names.tolist()), key=_order(picked["colour"], self))
        place = {name: i for i, name in enumerate(known)}
        group = np.array([place[n] % _PAIRS for n in names], np.uint8)
        method = str(points.attrs[f"{picked['space']}_method"]).upper()
        of = "the classifier's features" if picked["space"] == "image" else "the embeddings"
        note = f"{len(at)} points, {method} of {of}; near points are alike, axes have no unit. "
        note += "Draw around points to see their images; Ctrl and wheel to zoom."
        left = points.attrs["left_out"]
        if left and picked["space"] == "image":
            note += f" {left} images are left out by chance; with jupyter-scatter all are drawn: "
            note += f"{_INSTALL}."
        if len(known) > _PAIRS:
            note += " Colours and symbols repeat."
        if not len(at):
            note = "Nothing to place: this result holds no features."
        methods = [["pca", "PCA"], ["umap", "UMAP"]]
        choices = [["colour", "Colour", _COLOURINGS], ["space", "Points", _SPACES]]
        if self.given is None:
            choices.append(["method", "Placed by", methods])
        with self.widget.hold_sync():
            self.widget.choices = choices
            self.widget.legend = [
                {"name": arm_words(n) if picked["colour"] == "arm" else visible(n),
                 "colour": COLOURS[i % len(COLOURS)],
                 "symbol": SYMBOLS[(i % len(COLOURS) + i // len(COLOURS)) % len(SYMBOLS)],
                 "count": int((names == n).sum()),
                 "drawn": DRAWN.index(n) if picked["colour"] == "verdict" else i}
                for i, n in enumerate(known[:_PAIRS])
            ]  # fmt: skip
            self.widget.chosen = []
            self.widget.captions = [
                f"{visible(label)}, {arm_words(arm)}"
                for label, arm in zip(
                    points["label"].values[self.shown], points["arm"].values[self.shown],
                    strict=True,
                )
            ]  # fmt: skip
            self.widget.xy = _square(at).tobytes()
            self.widget.group = group.tobytes()
            self.widget.token = (space[self.shown] == "token").astype(np.uint8).tobytes()
            self.widget.bright = self._bright()
            self.widget.note = note

    def _bright(self) -> bytes:
        if self.lit is None:
            return np.zeros(len(self.shown), np.uint8).tobytes()
        own = self.points["label"].values.astype(str)[self.shown] == self.images.labels[self.lit]
        return own.astype(np.uint8).tobytes()

    def _key(self, point: int) -> Key | None:
        """The image of a point; of a token the first that was made with it."""
        one = {n: self.points[n].values[point] for n in ("label", "arm", "seed", "sample")}
        if str(one["arm"]) not in self.arms:
            return None
        return Key(
            self.places[str(one["label"])], self.arms[str(one["arm"])],
            self.seeds[int(one["seed"])], max(int(one["sample"]), 0),
        )  # fmt: skip

    def _answer(self, _: Any, content: Any, buffers: Any) -> None:
        want = content.get("want")
        if isinstance(want, int) and 0 <= want < len(self.shown):
            self.widget.send({"point": want, **self.card(int(self.shown[want]))})

    def card(self, point: int) -> dict[str, Any]:
        """Image and lines of a point."""
        key = self._key(point)
        if key is None:
            name = visible(str(self.points["label"].values[point]))
            return {"src": "", "small": True, "lines": [name, "a real image"]}
        tile = self.images.tile(key, named=True)
        verdict = str(self.points["verdict"].values[point])
        lines = [self.images.names[key.label], arm_words(self.images.arms[key.arm]), tile["read"]]
        return {"src": tile["src"], "small": tile["small"], "lines": [*lines, verdict]}

    def _chosen(self, change: Any) -> None:
        self.choose([int(self.shown[i]) for i in change["new"] if i < len(self.shown)])


def _order(colour: str, shown: AuditMap) -> Callable[[str], Any]:
    """Verdicts from best to worst, labels and arms as in the audit, real images last."""
    known = {"verdict": list(VERDICTS), "label": list(shown.places), "arm": list(shown.arms)}
    places = {name: i for i, name in enumerate(known[colour])}
    return lambda name: (places.get(name, len(places)), name)


def _square(at: np.ndarray) -> np.ndarray:
    """Coordinates as float32 in [0, 1]."""
    if not len(at):
        return np.zeros((0, 2), np.float32)
    low, high = at.min(0), at.max(0)
    scaled: np.ndarray = ((at - low) / np.where(high > low, high - low, 1)).astype(np.float32)
    return scaled
