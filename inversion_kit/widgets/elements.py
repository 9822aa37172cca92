"""The parts that the views are made of: thin shells over plain data, drawn by the browser.

Each holds what is shown and what the user chose, as traits; none reads a result.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import plotly.graph_objects as go
import traitlets
import xarray as xr

from inversion_kit.analysis.words import visible
from inversion_kit.figures.style import Spec
from inversion_kit.widgets.summary import to_html


@cache
def source(*names: str) -> str:
    """Files of the folder ``static``, one after the other.

    Examples
    --------
    >>> source("base.css")[:5]
    '.ik {'
    """
    folder = Path(__file__).parent / "static"
    return "\n".join((folder / name).read_text("utf-8") for name in names)


class Frame(anywidget.AnyWidget):
    """Nothing to see: the style of a view, and plotly figures made as wide as their place."""

    _esm = source("frame.js")
    _css = source("base.css", "findings.css")


class Frames(anywidget.AnyWidget):
    """Frames of a search: a strip of all, the one at ``position`` large, bars of its classes.

    Examples
    --------
    >>> frame = {"src": "", "small": True, "hit": True, "updates": 0, "kept": False}
    >>> frame |= {"title": "start", "under": "", "bars": [0.5], "said": ["50 %"]}
    >>> frames = Frames(frames=[frame], classes=["stop"])
    >>> frames.position
    0
    """

    _esm = source("dom.js", "frames.js")
    _css = source("base.css", "frames.css")
    frames = traitlets.List().tag(sync=True)
    classes = traitlets.List().tag(sync=True)
    position = traitlets.Int(0).tag(sync=True)


class LabelTable(anywidget.AnyWidget):
    """Labels with their numbers: sorted, searched and filtered in the browser.

    ``columns`` are dicts of ``key``, ``title`` and ``kind`` ("share" or "text"); a row is a dict of
    ``label``, its ``name`` as it is shown, ``verdict`` and a value a key: its words, ``says``, and
    by what it is sorted, of a share with its ``bracket`` and its drawing, ``bar``. ``verdicts`` are
    key, words and sign. ``selected`` is the chosen label.
    """

    _esm = source("dom.js", "table.js")
    _css = source("base.css", "table.css")
    columns = traitlets.List().tag(sync=True)
    rows = traitlets.List().tag(sync=True)
    verdicts = traitlets.List().tag(sync=True)
    selected = traitlets.Unicode("").tag(sync=True)


class Gallery(anywidget.AnyWidget):
    """Images with what they are read as, in groups; ``more`` counts how often more were asked for.

    ``opened`` is the key of the image whose ``detail`` is shown.
    """

    _esm = source("dom.js", "gallery.js")
    _css = source("base.css", "gallery.css")
    title = traitlets.Unicode().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    groups = traitlets.List().tag(sync=True)
    total = traitlets.Int(0).tag(sync=True)
    more = traitlets.Int(0).tag(sync=True)
    opened = traitlets.List().tag(sync=True)
    detail = traitlets.Dict().tag(sync=True)


class PointMap(anywidget.AnyWidget):
    """A drawing of points that is hovered and drawn around.

    ``svg`` is it as an address, ``front`` those of its points that stand out, "" for all. ``spots``
    is float32 ``(n, 2)`` as bytes: where the ``points`` are, in a drawing ``wide`` pixels wide. The
    browser asks for the picture under the mouse by a message, ``want``, and gets it by one, so
    that no other is read. ``chosen`` holds the points of the last box or lasso, ``drawn`` counts
    them.
    """

    _esm = source("dom.js", "map.js")
    _css = source("base.css", "map.css")
    svg = traitlets.Unicode().tag(sync=True)
    front = traitlets.Unicode().tag(sync=True)
    spots = traitlets.Bytes().tag(sync=True)
    points = traitlets.List().tag(sync=True)
    wide = traitlets.Float(1).tag(sync=True)
    mode = traitlets.Unicode("lasso").tag(sync=True)
    chosen = traitlets.List().tag(sync=True)
    drawn = traitlets.Int(0).tag(sync=True)


class View(ipywidgets.VBox):
    """A box that also leaves its results' summaries in the notebook, for where no kernel runs."""

    def __init__(self, trees: Sequence[xr.DataTree], children: Sequence[Any]) -> None:
        self.trees = trees
        super().__init__([*children, Frame()])
        self.add_class("ik-view")

    def _repr_mimebundle_(self, **options: Any) -> Any:
        still = "".join(to_html(tree, inside=False) for tree in self.trees)
        return with_html(super()._repr_mimebundle_(**options), still)


def with_html(bundle: Any, still: str) -> Any:
    """What a widget shows itself by, with HTML beside it."""
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
    return {**data, "text/html": still}, metadata


def plotly_widget(spec: Spec, **layout: Any) -> Any:
    """A specification as a widget as wide as its place, without its title, which the view says.

    Parameters
    ----------
    spec
        Of `inversion_kit.figures`.
    layout
        What else is different.
    """
    free = {"title": None, "autosize": True, "width": None, **layout}
    made = go.FigureWidget({"data": spec["data"], "layout": {**spec["layout"], **free}})
    made._config = {"responsive": True, "displaylogo": False, "displayModeBar": False}
    return made


def heading(title: str, note: str = "", *, small: bool = False) -> Any:
    """A title and a quieter line, as text."""
    tag = "h4" if small else "h3"
    head = ipywidgets.HTML(
        f'<div class="ik"><{tag}>{html.escape(visible(title))}</{tag}></div>{quiet(note)}'
    )
    head.add_class("ik-head")
    return head


def quiet(note: str) -> str:
    """A quieter line as HTML.

    Examples
    --------
    >>> quiet("a < b")
    '<div class="ik"><p class="quiet">a &lt; b</p></div>'
    """
    return f'<div class="ik"><p class="quiet">{html.escape(visible(note))}</p></div>'


def row(children: Sequence[Any]) -> Any:
    """Widgets beside each other where there is room, else below."""
    box = ipywidgets.Box(children)
    box.add_class("ik-row")
    return box


def tools(children: Sequence[Any]) -> Any:
    """Controls beside each other."""
    box = ipywidgets.Box(children)
    box.add_class("ik-tools")
    return box


def choice(
    label: str, options: Sequence[tuple[str, Any]], heard: Callable[[Any], None], first: int = 0
) -> Any:
    """A list to choose from, with its name; ``heard`` is called after every choice."""
    made = ipywidgets.Dropdown(options=options, description=label, index=first)
    made.observe(heard, "value")
    return made
