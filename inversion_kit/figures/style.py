"""What all pictures share: colours, symbols, text that stays text, one layout."""

from __future__ import annotations

import importlib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from inversion_kit.analysis import words
from inversion_kit.arms import ARMS
from inversion_kit.errors import InputError, nearest

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A7A00")
"""Okabe and Ito 2008, in an order for thin marks on white; the last is their yellow, darkened."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")
DASHES = ("solid", "dash", "dot", "dashdot")
PATTERNS = ("", "|", ".", "-", "+")
INK, GREY = "#222222", "#6B6B6B"
GLASS = "rgba(255,255,255,0.75)"
"""Behind a text that may lie over marks."""
SHARES = ((0, "#FFFFFF"), (0.02, "#DCE9F3"), (0.25, "#9CC3E0"), (0.6, "#3B86C0"), (1, "#0A4A80"))
_LESS = ((0, "#A84A05"), (0.4, "#F0B27A"), (0.49, "#FBE6D3"), (0.5, "#FFFFFF"))
CHANGES = (*_LESS, (0.51, "#DCE9F3"), (0.6, "#9CC3E0"), (1, "#0A4A80"))
"""Colour scales of shares in [0, 1] and of differences in [-1, 1]; what is small can be seen."""
CELLS = 3600
"""Cells of a heatmap above which they have no text, and become a picture of one pixel a cell."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
_BOTH_WAYS = ("R", "AL")

Spec = dict[str, Any]
"""A picture in plotly's JSON terms: ``data``, a list of traces, and ``layout``."""


def figure(spec: Spec) -> Any:
    """A specification as a plotly Figure.

    Raises
    ------
    InputError
        plotly is missing.
    """
    try:
        return importlib.import_module("plotly.graph_objects").Figure(spec)
    except ImportError as error:
        raise InputError("plotly is missing: pip install 'inversion-kit[notebook]'") from error


def text(value: object, most: int = 60) -> str:
    r"""A label as data: plotly reads tags, entities and MathJax in text; none is left here.

    Characters that nobody sees are written out (`inversion_kit.analysis.words.visible`), tabs and
    line breaks shown as a replacement; text from right to left is kept in its place; what is longer
    than ``most`` is cut in its middle, with an ellipsis: names often differ at their end.

    Examples
    --------
    >>> text("<b>A & B</b>"), text("speed limit 30 km/h", most=12), text("a\0b")
    ('&lt;b&gt;A &amp; B&lt;/b&gt;', 'speed… km/h', 'a[U+0000]b')
    """
    shown = words.visible(str(value))
    if len(shown) > most:
        shown = f"{shown[: most // 2].rstrip()}…{shown[-((most - 1) // 2) :]}"
    shown = "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cs") else c for c in shown
    )
    if any(unicodedata.bidirectional(c) in _BOTH_WAYS for c in shown):
        shown = f"\N{FIRST STRONG ISOLATE}{shown}\N{POP DIRECTIONAL ISOLATE}"
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Between dollar signs is mathematics where the page has MathJax, as notebooks do.
    return shown.replace("$", "&#36;")


def percent(share: float) -> str:
    """`inversion_kit.analysis.words.percent`, safe in a figure."""
    return words.percent(share).replace("<", "&lt;").replace(">", "&gt;")


def arm_name(arm: str) -> str:
    """An arm in words."""
    return text(words.arm_words(arm))


def arm_rank(arm: str) -> int:
    """Place of an arm among all that are known: it looks the same whichever others are drawn."""
    return list(ARMS).index(arm) if arm in ARMS else len(ARMS)


def look(place: int) -> tuple[str, str]:
    """Colour and symbol of the n-th value: 48 pairs before one comes again.

    Examples
    --------
    >>> look(0), look(8)
    (('#0072B2', 'circle'), ('#0072B2', 'square'))
    """
    colour, symbol = place % len(COLOURS), place // len(COLOURS)
    return COLOURS[colour], SYMBOLS[(colour + symbol) % len(SYMBOLS)]


def shades(scale: Sequence[Sequence[Any]], share: Any) -> np.ndarray:
    """Colours of shares in [0, 1] along the stops of a scale, as uint8 RGB along a last axis.

    Examples
    --------
    >>> shades(SHARES, np.array([0.0, 1.0])).tolist()
    [[255, 255, 255], [10, 74, 128]]
    """
    inks = np.array([[int(ink[k : k + 2], 16) for k in (1, 3, 5)] for _, ink in scale], float)
    stops = [stop for stop, _ in scale]
    return np.stack([np.interp(share, stops, ink) for ink in inks.T], -1).round().astype("u1")


def places(
    name: str, asked: Sequence[str], known: Sequence[str], error: type[InputError] = InputError
) -> list[int]:
    """Where the values of an argument lie among those of the result; ``error`` where one is not."""
    for one in asked:
        if one not in known:
            raise error(f"{name}: {one!r} is not in this result; try {nearest(one, known)}")
    return [known.index(one) for one in asked]


def layout(title: str, said: str = "", **more: Any) -> Spec:
    """The layout of a picture: its title, a smaller line below it, and what is given on top."""
    subtitle = {"text": said, "font": {"size": 13, "color": GREY}}
    place = {"x": 0, "xref": "paper", "xanchor": "left", "y": 1, "yref": "container"}
    place |= {"yanchor": "top", "pad": {"t": 20}, "font": {"size": 17}}
    return {
        "title": {"text": title, "subtitle": subtitle, **place},
        "template": "simple_white",
        "font": {"family": FONT, "size": 13, "color": INK},
        "colorway": list(COLOURS),
        "margin": margin(),
        "hoverlabel": {"bgcolor": "white", "font": {"size": 13}, "align": "left"},
        "legend": {"itemsizing": "constant"},
        **more,
    }


def margin(left: float = 70, right: float = 30, above: float = 110, below: float = 60) -> Spec:
    """Pixels around the plot; above it are title, subtitle and legend."""
    return {"l": int(left), "r": int(right), "t": int(above), "b": int(below)}


def wide(names: Iterable[str], most: int = 28) -> float:
    """About the pixels that names take up beside an axis."""
    return 20 + 7.0 * max((min(len(name), most) for name in names), default=0)


def above(title: str = "") -> Spec:
    """A legend in a row above the plot, after a title."""
    row = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "traceorder": "normal"}
    return {**row, "itemsizing": "constant", "title": {"text": f"{title}  " if title else ""}}


def rows_axis(names: Sequence[str], most: int = 60, **more: Any) -> Spec:
    """An axis of named rows from the top, at 0, 1, ...: numbers as names stay names.

    Of more than ``most`` rows every second, third ... is named.
    """
    every = max(1, -(-len(names) // most))
    places = list(range(0, len(names), every))
    words = [text(names[i], most=28) for i in places]
    ticks = {"tickmode": "array", "tickvals": places, "ticktext": words, "ticks": ""}
    return {**ticks, "range": [len(names) - 0.4, -0.6], **more}


def share_axis(title: str) -> Spec:
    """An axis of shares, in percent."""
    ticks = [0, 0.25, 0.5, 0.75, 1]
    words = [percent(t) for t in ticks]
    grid = {"showgrid": True, "gridcolor": "#E6E6E6", "range": [-0.02, 1.04]}
    return {"title": {"text": title}, "tickvals": ticks, "ticktext": words, **grid}


def panels(titles: Sequence[str], gap: float) -> tuple[list[tuple[str, list[float]]], list[Spec]]:
    """Panels side by side: number and domain of each one's axes, and the titles above them.

    Examples
    --------
    >>> axes, titles = panels(["left", "right"], 0.1)
    >>> axes, titles[0]["text"]
    ([('', [0.0, 0.45]), ('2', [0.55, 1.0])], 'left')
    """
    width = (1 - gap * (len(titles) - 1)) / len(titles)
    axes, notes = [], []
    for i, title in enumerate(titles):
        left = i * (width + gap)
        axes.append((str(i + 1) if i else "", [round(left, 6), round(left + width, 6)]))
        place: Spec = {"x": left + width / 2, "y": 1, "xref": "paper", "yref": "paper"}
        notes.append(note(title, size=14, xanchor="center", yanchor="bottom", **place))
    return axes, notes


def panel(number: str, domain: Sequence[float], x: Spec, y: Spec) -> Spec:
    """The layout of a panel's axes."""
    across = {"domain": domain, "anchor": f"y{number}", **x}
    return {f"xaxis{number}": across, f"yaxis{number}": {"anchor": f"x{number}", **y}}


def on(number: str) -> Spec:
    """The axes of a trace in a panel."""
    return {"xaxis": f"x{number}", "yaxis": f"y{number}"}


def curve(x: Any, y: Any, name: str, colour: str, width: float, dash: str = "solid") -> Spec:
    """A line."""
    line = {"color": colour, "width": width, "dash": dash}
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name, "line": line}


def marks(x: Any, y: Any, name: str, colour: Any, symbol: Any, size: float) -> Spec:
    """Marks; open ones have a line of their own colour, others a thin white one."""
    plain = isinstance(symbol, str) and symbol.endswith("-open")
    line = {"width": 1.5} if plain else {"width": 0.5, "color": "white"}
    marker = {"color": colour, "symbol": symbol, "size": size, "line": line}
    return {"type": "scatter", "mode": "markers", "x": x, "y": y, "name": name, "marker": marker}


def hover(words: Sequence[Any] | None, data: Any = None) -> Spec:
    """Text on hover, none at all where there is none, and what a click gives."""
    data_of = {} if data is None else {"customdata": data}
    if words is None:
        return {"hoverinfo": "skip", **data_of}
    return {"hoverinfo": "text", "hovertext": words, **data_of}


def errors(values: Any, low: Any, high: Any, **more: Any) -> Spec:
    """Error bars along x from the ends of intervals."""
    up, down = ((a - b).tolist() for a, b in ((high, values), (values, low)))
    return {"error_x": {"type": "data", "array": up, "arrayminus": down, **more}}


def note(said: str, *, size: int = 12, color: str = INK, **place: Any) -> Spec:
    """A text without an arrow."""
    return {"text": said, "showarrow": False, "font": {"size": size, "color": color}, **place}


def straight(x: Sequence[float], y: Sequence[float], dash: str = "solid", **more: Any) -> Spec:
    """A thin grey line between two points."""
    line = {"color": GREY, "width": 1, "dash": dash}
    ends = {"x0": x[0], "x1": x[1], "y0": y[0], "y1": y[1]}
    return {"type": "line", **ends, "line": line, **more}
