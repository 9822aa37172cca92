"""A run, step by step: what one noise becomes, and how sure the classifier grows."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import xarray as xr

from inversion_kit.analysis.words import visible
from inversion_kit.figures.paths import trajectory
from inversion_kit.figures.select import one_label
from inversion_kit.widgets.elements import Frame, Player
from inversion_kit.widgets.sources import picture, small
from inversion_kit.widgets.summary import to_html

_BARS, _WIDE = 8, 224
TRAJECTORY = (
    "Probability of the label",
    "Mean of all runs over held-out noise, one that has ended with the token it kept; the band "
    "holds 80 % of the images. The black line is the step shown; click a point to go there.",
)
"""Title and note of a trajectory."""


class View(ipywidgets.VBox):
    """A box that also leaves its result's summary in the notebook, for where no kernel runs."""

    def __init__(self, trees: list[xr.DataTree], children: list[Any]) -> None:
        self.trees = trees
        super().__init__([*children, Frame()])
        self.add_class("ik-view")

    def _repr_mimebundle_(self, **options: Any) -> Any:
        found = super()._repr_mimebundle_(**options)
        data, metadata = found if isinstance(found, tuple) else (found, {})
        still = "".join(to_html(tree, inside=False) for tree in self.trees)
        return {**data, "text/html": still}, metadata


class RunView(View):
    """One search: player and trajectory, linked by `Player.position`.

    Parameters
    ----------
    tree
        A run.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> view = RunView(synthetic_run())
    >>> view.player.position = 1
    >>> view.figure.layout.shapes[-1].x0
    4
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self.player, self.figure = search_widgets(tree)
        attributes = tree.attrs
        stopped = attributes.get("stopped")
        note = f"{attributes['classifier']} through {attributes['generator']}"
        note += f" · stopped {stopped}" if stopped else ""
        head = heading(f"The search for “{attributes['label']}”", note)
        parts = ipywidgets.VBox([heading(*TRAJECTORY, small=True), self.figure])
        super().__init__([tree], [head, row([self.player, parts])])


def search_widgets(
    tree: xr.DataTree, *, label: str | None = None, arm: str = "token"
) -> tuple[Player, Any]:
    """A player of one search and its trajectory as a plotly widget, linked.

    Parameters
    ----------
    tree
        A run, or an audit with ``label``.
    label, arm
        Of an audit: whose search.
    """
    one = one_label(tree, label, arm)
    samples = {name: one[name]["sample"].values.tolist() for name in ("validation", "trajectory")}
    seeds = one["validation"]["seed"].values.tolist()
    first = one["validation"]["probability"].isel(check=0, sample=0).transpose("seed", "class")
    there = np.isfinite(first.values).all(-1)
    player = Player(
        chosen={"what": "validation", "seed": str(seeds[int(there.argmax())]), "sample": "0"},
    )
    figure = plotly_widget(trajectory(tree, label=label, arm=arm))
    figure.add_vline(x=0, line={"color": "#1c1e21", "width": 2})
    figure.update_layout(
        height=420, margin={"l": 60, "r": 10, "t": 12, "b": 110},
        legend={"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0, "font": {"size": 12}},
        yaxis_title_text="mean probability",
    )  # fmt: skip

    def choose(_: Any = None) -> None:
        what = player.chosen["what"]
        noises = samples[what]
        if int(player.chosen["sample"]) >= len(noises):
            player.chosen = {**player.chosen, "sample": "0"}
            return
        kinds = [["validation", "held-out noise, at every check"],
                 ["trajectory", "training images, every update"]]  # fmt: skip
        player.choices = [
            ["what", "Images", kinds],
            ["seed", "Run", [[str(s), str(s)] for s in seeds]],
            ["sample", "Noise" if what == "validation" else "Image",
             [[str(i), f"{i + 1} of {len(noises)}"] for i in range(len(noises))]],
        ]  # fmt: skip
        seed = seeds.index(int(player.chosen["seed"]))
        frames, classes, fine = _frames(one, what, seed, int(player.chosen["sample"]))
        with player.hold_sync():
            player.classes, player.small, player.frames = classes, fine, frames
            player.position = max(0, min(player.position, len(frames) - 1))
        move()

    def move(_: Any = None) -> None:
        if player.frames:
            at = player.frames[min(player.position, len(player.frames) - 1)]["updates"]
            with figure.batch_update():
                figure.layout.shapes[-1].update(x0=at, x1=at)

    def switch(change: Any) -> None:
        if change["old"].get("what") != change["new"].get("what"):
            player.position = 0
        choose()

    def jump(trace: Any, points: Any, state: Any) -> None:
        if points.xs:
            updates = np.array([f["updates"] for f in player.frames])
            player.position = int(np.abs(updates - points.xs[0]).argmin())

    choose()
    player.position = max(0, len(player.frames) - 1)
    player.observe(switch, "chosen")
    player.observe(move, "position")
    move()
    for trace in figure.data:
        if trace.mode and "markers" in trace.mode:
            trace.on_click(jump)
    return player, figure


def plotly_widget(figure: Any) -> Any:
    """A figure as a widget as wide as its place, without its title, which the page says."""
    made = go.FigureWidget(figure)
    made.update_layout(title=None, autosize=True, width=None)
    made._config = {"responsive": True, "displaylogo": False, "displayModeBar": False}
    return made


def heading(title: str, note: str, *, small: bool = False) -> Any:
    """A title and a quieter line, as text."""
    tag = "h4" if small else "h3"
    head = ipywidgets.HTML(
        f'<div class="ik"><{tag}>{html.escape(visible(title))}</{tag}>'
        f'<p class="quiet">{html.escape(visible(note))}</p></div>'
    )
    head.add_class("ik-head")
    return head


def row(children: list[Any]) -> Any:
    """Widgets beside each other where there is room, else below."""
    box = ipywidgets.Box(children)
    box.add_class("ik-row")
    return box


def _frames(
    one: xr.DataTree, what: str, seed: int, sample: int
) -> tuple[list[dict[str, Any]], list[str], bool]:
    """Frames of one image along a search, the classes of their bars, and how to enlarge them."""
    data = one[what].to_dataset(inherit=False).isel(seed=seed)
    target = int(one.attrs["label_index"])
    names = [visible(str(c)) for c in data["class"].values]
    along = "check" if what == "validation" else "step"
    probability = data["probability"].isel(sample=sample).transpose(along, "class").values
    there = np.flatnonzero(np.isfinite(probability).all(-1))
    if not len(there):
        return [], [], True
    probability = probability[there]
    pixels = data["image"].isel(sample=sample).transpose(along, "y", "x", "channel").values[there]
    others = np.argsort(-probability.max(0), kind="stable")
    picked = [target, *(int(c) for c in others if c != target)][:_BARS]
    starts = data["start"].values.astype(str)[there]
    updates = data["step"].values[there] if what == "validation" else there + 1
    kept = int(one["token"]["selected"].values[seed]) if what == "validation" else -1
    frames = []
    for i, p in enumerate(probability):
        n = int(updates[i])
        title = f"{n} update" if n == 1 else f"{n} updates"
        title = f"after {title}" if what == "validation" else f"update {n}"
        if i and starts[i] != starts[i - 1]:
            title += f", restart from “{starts[i]}”"
        if there[i] == kept:
            title += ", ★ this token was kept"
        if what == "validation":
            under = f"noise {int(data['noise_seed'].values[sample])}"
        else:
            under = str(data["prompt"].values[there[i], sample])
        frames.append({
            "src": picture(pixels[i], _WIDE), "p": float(p[target]), "updates": n,
            "title": visible(title), "hit": bool(p.argmax() == target),
            "kept": bool(there[i] == kept), "under": visible(under),
            "bars": [float(p[c]) for c in picked],
        })  # fmt: skip
    return frames, [names[c] for c in picked], small(pixels[0])
