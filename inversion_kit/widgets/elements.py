"""The parts that the views are made of: thin shells over plain data, drawn by the browser.

Each holds what is shown and what the user chose, as traits; none reads a result.
"""

from __future__ import annotations

import anywidget
import traitlets

from inversion_kit.widgets.sources import source


class Frame(anywidget.AnyWidget):
    """Nothing to see: the style of a view, and plotly figures made as wide as their place."""

    _esm = source("frame.js")
    _css = source("base.css")


class Player(anywidget.AnyWidget):
    """Frames of a search: a slider with play, a strip, the current image, bars of its classes.

    Examples
    --------
    >>> player = Player(frames=[{"src": "", "p": 0.5, "hit": True, "updates": 0, "kept": False,
    ...                          "title": "start", "under": "", "bars": [0.5]}], classes=["stop"])
    >>> player.position
    0
    """

    _esm = source("dom.js", "player.js")
    _css = source("base.css", "player.css")
    frames = traitlets.List().tag(sync=True)
    classes = traitlets.List().tag(sync=True)
    small = traitlets.Bool(True).tag(sync=True)
    position = traitlets.Int(0).tag(sync=True)
    choices = traitlets.List().tag(sync=True)
    chosen = traitlets.Dict().tag(sync=True)


class LabelTable(anywidget.AnyWidget):
    """Labels with their numbers: sorted, searched and filtered in the browser.

    ``columns`` are dicts of ``key``, ``title`` and ``kind`` ("share", "points" or "text"); a row
    is a dict of ``label``, its ``name`` as it is shown, ``verdict`` and a value a key; ``verdicts``
    are key, words and sign. ``selected`` is the chosen label.
    """

    _esm = source("dom.js", "table.js")
    _css = source("base.css", "table.css")
    columns = traitlets.List().tag(sync=True)
    rows = traitlets.List().tag(sync=True)
    verdicts = traitlets.List().tag(sync=True)
    selected = traitlets.Unicode("").tag(sync=True)


class Gallery(anywidget.AnyWidget):
    """Images with what they are read as, in groups; ``shown`` grows when more are asked for."""

    _esm = source("dom.js", "gallery.js")
    _css = source("base.css", "gallery.css")
    title = traitlets.Unicode().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    groups = traitlets.List().tag(sync=True)
    total = traitlets.Int(0).tag(sync=True)
    more = traitlets.Int(0).tag(sync=True)
    opened = traitlets.List().tag(sync=True)
    detail = traitlets.Dict().tag(sync=True)


class Picker(anywidget.AnyWidget):
    """Choices of which one each is chosen: ``choices`` of key, label ("" for tabs), options."""

    _esm = source("dom.js", "picker.js")
    _css = source("base.css")
    choices = traitlets.List().tag(sync=True)
    chosen = traitlets.Dict().tag(sync=True)


class PointMap(anywidget.AnyWidget):
    """Points on a canvas: images on hover, box and lasso, zoom and pan.

    ``xy`` is float32 ``(n, 2)`` in [0, 1] as bytes, ``group`` uint8 of each point's place in
    ``legend``, whose entries of the largest ``drawn`` lie on top. ``captions`` is a line a point.
    The browser asks for the picture under the mouse by a message and gets it by one, so that no
    other is read. ``chosen`` holds the points of the last box or lasso.
    """

    _esm = source("dom.js", "map.js")
    _css = source("base.css", "map.css")
    xy = traitlets.Bytes().tag(sync=True)
    group = traitlets.Bytes().tag(sync=True)
    token = traitlets.Bytes().tag(sync=True)
    bright = traitlets.Bytes().tag(sync=True)
    legend = traitlets.List().tag(sync=True)
    captions = traitlets.List().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    busy = traitlets.Unicode("").tag(sync=True)
    choices = traitlets.List().tag(sync=True)
    picked = traitlets.Dict().tag(sync=True)
    chosen = traitlets.List().tag(sync=True)
