"""Lines with gaps, areas, error bars and marks."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from inversion_kit.figures.static.axes import Axis, Sheet
from inversion_kit.figures.static.elements import Json, escaped, ink_of, stroke_of, tag
from inversion_kit.figures.style import Spec

_CAPS = {"circle": "round", "square": "square"}
"""Marks that are a dot, whose cap is their shape."""
_OUTLINES = {
    "circle": "m-1 0c0-1.33 2-1.33 2 0 0 1.33-2 1.33-2 0z",
    "diamond": "m0-1.3l1.3 1.3-1.3 1.3-1.3-1.3z",
    "triangle-up": "m0-1.25l1.2 2.15h-2.4z",
    "x": "m-1-.5l.5-.5.5.5.5-.5.5.5-.5.5.5.5-.5.5-.5-.5-.5.5-.5-.5.5-.5z",
    "star": "m0-1.35l.35.86.93.07-.71.6.22.91-.79-.49-.79.49.22-.91-.71-.6.93-.07z",
    "x-thin": "m-1-1l2 2m0-2l-2 2",
    "hourglass": "m-1-1h2l-2 2h2z",
}
"""Marks of radius 1 around their place."""
Look = tuple[str, str, float]
"""Symbol, colour and size of a mark."""


def scatter(sheet: Sheet, trace: Json) -> str:
    """Lines, error bars and marks of a trace."""
    x, y = sheet.pair(trace)
    across, up = x.at(trace["x"]), y.at(trace["y"])
    drawn = line(trace, across.tolist(), up.tolist()) if "lines" in trace["mode"] else ""
    drawn += errors(trace, x, up) if "error_x" in trace else ""
    if "markers" in trace["mode"]:  # what lies far away is drawn at the margin
        across = np.clip(across, min(x.start, x.end), max(x.start, x.end)).round(1)
        up = np.clip(up, min(y.start, y.end), max(y.start, y.end)).round(1)
        drawn += _marks(sheet, trace, across.tolist(), up.tolist())
    return drawn


def line(trace: Json, across: list[float], up: list[float]) -> str:
    """A line with its gaps, or the area that it encloses."""
    d, step = "", "M"
    for x, y in zip(across, up, strict=True):
        there = math.isfinite(x + y)
        d += f"{step}{x:.5g} {y:.5g}" if there else ""
        step = "L" if there else "M"
    if "fill" in trace:
        return tag("path", d=f"{d}Z", fill=trace["fillcolor"]) if d else ""
    return tag("path", d=d, stroke_linejoin="round", **stroke_of(**trace["line"])) if d else ""


def errors(trace: Json, x: Axis, middle: Any) -> str:
    """Error bars along x as one path."""
    own, values = trace["error_x"], np.asarray(trace["x"], float)
    low, high = x.at(values - own["arrayminus"]), x.at(values + own["array"])
    c = own["width"]
    d = "".join(
        f"M{a:.5g} {m - c:.5g}v{2 * c:g}m0 {-c:g}H{b:.5g}m0 {-c:g}v{2 * c:g}"
        for a, b, m in zip(low, high, middle, strict=True)
        if math.isfinite(a + b + m)
    )
    return tag("path", d=d, **stroke_of(own["color"], own["thickness"])) if d else ""


def _marks(sheet: Sheet, trace: Json, across: list[float], up: list[float]) -> str:
    """Marks, those that look the same together."""
    single = sheet.index or (sheet.hover and "hovertext" in trace)
    groups: dict[Look, str] = {}
    for i, (x, y) in enumerate(zip(across, up, strict=True)):
        if math.isfinite(x + y):
            look = look_of(trace, i)
            d = mark_at(x, y, look)
            if single:
                title, at = sheet.live(trace, i)
                d = f'<path d="{d}" data-i="{escaped(at)}">{title}</path>'
            groups[look] = groups.get(look, "") + d
    parts = [(style_of(trace, look), drawn) for look, drawn in groups.items()]
    if single:
        return "".join(tag("g", drawn, **style) for style, drawn in parts)
    return "".join(tag("path", d=drawn, **style) for style, drawn in parts)


def look_of(trace: Json, i: int) -> Look:
    """Symbol, colour and size of a mark."""
    marker = trace["marker"]
    own = (marker["symbol"], marker.get("color") or trace["line"]["color"], marker["size"])
    symbol, colour, size = (value[i] if isinstance(value, list) else value for value in own)
    return symbol, colour, size


def style_of(trace: Json, look: Look) -> Spec:
    """Attributes of marks that look so."""
    symbol, ink, size = look
    style = stroke_of(ink, 1.5) if symbol.endswith("-open") else ink_of(ink)
    if symbol in _CAPS:
        style = {**stroke_of(ink, size), "stroke_linecap": _CAPS[symbol]}
    return {**style, "opacity": trace["marker"].get("opacity")}


def mark_at(x: float, y: float, look: Look) -> str:
    """A mark as a piece of a path that starts at its place."""
    symbol, _, size = look
    outline = "h0" if symbol in _CAPS else _OUTLINES[symbol.removesuffix("-open")]
    scaled = re.sub(r"-?\d*\.?\d+", lambda n: f"{size / 2 * float(n[0]):.3g} ", outline)
    return f"M{x:g} {y:g}{scaled.rstrip()}"
