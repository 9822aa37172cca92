"""What all figures share: colours, symbols, text that stays text, one layout."""

from __future__ import annotations

import importlib
import unicodedata
from typing import Any

from inversion_kit.analysis import runs as analysis
from inversion_kit.analysis.words import ARMS, visible
from inversion_kit.errors import InputError

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A7A00")
"""Okabe and Ito 2008, in an order for thin marks on white; the last is their yellow, darkened."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")
DASHES = ("solid", "dash", "dot", "dashdot")
PATTERNS = ("", "/", "x", ".", "-", "+")
GREY = "#6B6B6B"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"


def plotly_module(name: str) -> Any:
    """A module of plotly, or an error that says how to install it."""
    try:
        return importlib.import_module(f"plotly.{name}")
    except ImportError as error:
        raise InputError("plotly is missing: pip install 'inversion-kit[notebook]'") from error


def graph_objects() -> Any:
    """Plotly's figures and traces."""
    return plotly_module("graph_objects")


def text(value: object, most: int = 60) -> str:
    r"""A label as data: plotly reads tags, entities and MathJax in text; none is left here.

    Characters that nobody sees are written out (`visible`), tabs and line breaks shown as a
    replacement; text from right to left is kept in its place; what is longer than ``most`` is cut
    in its middle, with an ellipsis: names often differ at their end.

    Examples
    --------
    >>> text("<b>A & B</b>"), text("speed limit 30 km/h", most=12), text("a\0b")
    ('&lt;b&gt;A &amp; B&lt;/b&gt;', 'speed… km/h', 'a[U+0000]b')
    """
    shown = visible(str(value))
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


_BOTH_WAYS = ("R", "AL")


def percent(share: float) -> str:
    r"""`inversion_kit.analysis.runs.percent`, safe in a figure.

    Examples
    --------
    >>> percent(0.001)
    '&lt;1\xa0%'
    """
    return text(analysis.percent(share))


def arm_name(arm: str) -> str:
    """An arm in words.

    Examples
    --------
    >>> arm_name("token+name"), arm_name("mine")
    ('token + name', 'mine')
    """
    return ARMS.get(arm, text(arm))


def layout(title: str, note: str = "", **more: Any) -> dict[str, Any]:
    """The layout of a figure: its title, a smaller line below it, and what is given on top."""
    return {
        "title": {"text": title, "x": 0, "xref": "paper", "xanchor": "left", "y": 1,
                  "yref": "container", "yanchor": "top", "pad": {"t": 20}, "font": {"size": 17},
                  "subtitle": {"text": note, "font": {"size": 13, "color": GREY}}},
        "template": "simple_white",
        "font": {"family": FONT, "size": 13, "color": "#222222"},
        "colorway": list(COLOURS),
        "margin": {"l": 70, "r": 30, "t": 90, "b": 60},
        "hoverlabel": {"bgcolor": "white", "font": {"size": 13}, "align": "left"},
        "legend": {"itemsizing": "constant"},
        **more,
    }  # fmt: skip


def rows_axis(names: list[str], **more: Any) -> dict[str, Any]:
    """An axis of named rows from the top, at 0, 1, ...: numbers as names stay names."""
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [text(n, most=28) for n in names],
        "range": [len(names) - 0.4, -0.6],
        "ticks": "",
        **more,
    }


def share_axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis of shares, in percent."""
    return {"title": {"text": title}, "range": [-0.02, 1.04], "tickformat": ".0%",
            "tickvals": [0, 0.25, 0.5, 0.75, 1], "showgrid": True, "gridcolor": "#E6E6E6",
            **more}  # fmt: skip
