"""One search, step by step: what one noise becomes, and how sure the classifier grows."""

from __future__ import annotations

from typing import Any

import ipywidgets
import numpy as np
import xarray as xr

from inversion_kit import analysis, pictures
from inversion_kit.analysis.pictures import largest
from inversion_kit.analysis.words import count, percent, visible
from inversion_kit.figures.cells import cells, heads
from inversion_kit.figures.paths import trajectory_spec
from inversion_kit.widgets.elements import Frames, choice, heading, plotly_widget, row, tools

_BARS, _WIDE = 8, 224
_KINDS = [
    ("held-out noise, at every check", "validation"),
    ("training images, every update", "trajectory"),
]
_TRAJECTORY = (
    "Probability of the label",
    "Mean of all runs over held-out noise, one that has ended with the token it kept; the band "
    "holds 80 % of the images. The black line is the step shown; click a point to go there.",
)


class Search:
    """The pictures of one search to step through, and its trajectory, linked.

    ``frames.position`` is the step that is shown; a slider and a play button beside it move in the
    browser alone.

    Parameters
    ----------
    tree
        A result.
    label, arm
        Whose search; the only label and the main arm where not given.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> search = Search(synthetic())
    >>> search.frames.position = 1
    >>> search.figure.layout.shapes[-1].x0
    4
    """

    def __init__(
        self, tree: xr.DataTree, *, label: str | None = None, arm: str | None = None
    ) -> None:
        path = analysis.trajectory(tree, label=label, arm=arm)
        self.tree, self.label, self.arm = tree, str(path.attrs["label"]), str(path.attrs["arm"])
        there = (path["run_step"].values >= 0).any(1)
        seeds = [int(s) for s in path["seed"].values]
        self.frames = Frames()
        self.slider = ipywidgets.IntSlider(readout=False, tooltip="Step")
        self.play = ipywidgets.Play(interval=450, show_repeat=False)
        self.kind = choice("Images", _KINDS, self._turn)
        self.seed = choice("Run", [(str(s), s) for s in seeds], self._draw, int(there.argmax()))
        self.noise = choice("Noise", [("", 0)], self._draw)
        self.figure = plotly_widget(_spec(path), height=420)
        for trace in self.figure.data:
            if "markers" in (trace.mode or ""):
                trace.on_click(self._jump)
        self.frames.observe(self._move, "position")
        self._turn()
        self.frames.position = self.slider.max
        for one in (self.play, self.slider):
            one.value = self.slider.max
            ipywidgets.jslink((one, "value"), (self.frames, "position"))
        controls = [tools([self.kind, self.seed, self.noise]), tools([self.play, self.slider])]
        steps = ipywidgets.VBox([*controls, self.frames])
        path_part = ipywidgets.VBox([heading(*_TRAJECTORY, small=True), self.figure])
        self.parts = [steps, path_part]

    @property
    def widget(self) -> Any:
        """Pictures and trajectory side by side where there is room."""
        return row(self.parts)

    def close(self) -> None:
        """Leave the page: a figure that is drawn would still answer."""
        for widget in (self.frames, self.figure):
            widget.close()

    def _turn(self, _: Any = None) -> None:
        """Offer the noises of checks or of updates, and show the first."""
        n = self.tree[self.kind.value].sizes["sample"]
        self.noise.description = "Noise" if self.kind.value == "validation" else "Image"
        self.noise.unobserve(self._draw, "value")
        self.noise.options = [(f"{i + 1} of {n}", i) for i in range(n)]
        self.noise.observe(self._draw, "value")
        self.frames.position = 0
        self._draw()

    def _draw(self, _: Any = None) -> None:
        if self.noise.value is None:
            return
        strip = analysis.strip(
            self.tree,
            label=self.label,
            arm=self.arm,
            run_seed=self.seed.value,
            columns=None,
            samples=[self.noise.value],
            group=self.kind.value,
        )
        classes, frames = _frames(strip, self.kind.value == "validation")
        last = max(0, len(frames) - 1)
        with self.frames.hold_sync():
            self.frames.classes, self.frames.frames = classes, frames
            self.frames.position = min(self.frames.position, last)
        self.slider.max = self.play.max = last
        self._move()

    def _move(self, _: Any = None) -> None:
        if self.frames.frames:
            at = self.frames.frames[min(self.frames.position, len(self.frames.frames) - 1)]
            with self.figure.batch_update():
                self.figure.layout.shapes[-1].update(x0=at["updates"], x1=at["updates"])

    def _jump(self, trace: Any, points: Any, state: Any) -> None:
        if points.xs and self.frames.frames:
            updates = np.array([f["updates"] for f in self.frames.frames])
            self.frames.position = int(np.abs(updates - points.xs[0]).argmin())


def _spec(path: xr.Dataset) -> dict[str, Any]:
    """The trajectory with the line of the step that is shown, the last of its shapes."""
    spec = trajectory_spec(path)
    cursor = {"type": "line", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper"}
    layout = {
        **spec["layout"],
        "margin": {"l": 60, "r": 10, "t": 12, "b": 110},
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0, "font": {"size": 12}},
        "shapes": [
            *spec["layout"].get("shapes", []),
            {**cursor, "line": {"color": "#1c1e21", "width": 2}},
        ],
    }
    return {"data": spec["data"], "layout": layout}


def _frames(strip: xr.Dataset, checks: bool) -> tuple[list[str], list[dict[str, Any]]]:
    """The classes of the bars, and the frames of one noise or image along a search."""
    if not strip.sizes["column"]:
        return [], []
    probability = strip["probability"].values[0]
    target = int(strip.attrs["label_index"])
    others = [c for c in largest(probability.max(0), _BARS) if c != target]
    picked = [target, *others][:_BARS]
    (row,), images = cells(strip, most=1), strip["image"].values[0]
    under = strip["noise_seed" if checks else "prompt"].values[0]
    frames = []
    for i, (cell, head, p) in enumerate(zip(row, heads(strip), probability, strict=True)):
        title = f"after {count(head.updates, 'update')}" if checks else f"update {i + 1}"
        if head.begun:
            title += f", {head.begun}"
        if head.kept:
            title += f",{head.star} this token was kept"
        about = {"updates": head.updates, "hit": cell.hit, "kept": head.kept}
        src, small = pictures.thumbnail(images[i], _WIDE)
        frame: dict[str, Any] = {**about, "src": src, "small": small, "title": visible(title)}
        frame["under"] = f"noise {under[i]}" if checks else visible(str(under[i]))
        bars = [float(p[c]) for c in picked]
        frames.append({**frame, "bars": bars, "said": [percent(share) for share in bars]})
    return [visible(str(strip["class"].values[c])) for c in picked], frames
