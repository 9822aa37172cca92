"""What stands beside the data: pictures, shapes, annotations, the legend."""

from __future__ import annotations

from collections.abc import Sequence

from inversion_kit.figures.static.axes import Sheet
from inversion_kit.figures.static.bars import bar
from inversion_kit.figures.static.elements import (
    SIZE,
    Json,
    box_of,
    stroke_of,
    tag,
    unescaped,
    words_at,
)
from inversion_kit.figures.static.marks import line, look_of, mark_at, style_of
from inversion_kit.figures.style import GREY


def picture(sheet: Sheet, one: Json) -> str:
    """A picture in its place."""
    left, top = sheet.at(one, one["x"], one["y"])
    right, bottom = sheet.at(one, one["x"] + one["sizex"], one["y"] + one["sizey"])
    box = box_of(left, top, right - left, bottom - top)
    return tag("image", **box, image_rendering=one["name"] or None, href=one["source"])


def shape(sheet: Sheet, one: Json) -> str:
    """A line or the outline of a box."""
    (a, b), (c, d) = sheet.at(one, one["x0"], one["y0"]), sheet.at(one, one["x1"], one["y1"])
    path = f"L{c:.5g} {d:.5g}" if one.get("type") == "line" else f"H{c:.5g}V{d:.5g}H{a:.5g}z"
    return tag("path", d=f"M{a:.5g} {b:.5g}{path}", **stroke_of(**one["line"]))


def annotation(sheet: Sheet, one: Json) -> str:
    """Words at a place, over a halo where they lie on something."""
    x, y = sheet.at(one, one["x"], one["y"])
    x, y = x + one.get("xshift", 0), y - one.get("yshift", 0)
    font, across, up = one["font"], one.get("xanchor", "center"), one.get("yanchor", "middle")
    words = words_at(x, y, one["text"], font["color"], font["size"], across, up)
    halo = {"stroke": "#ffffff", "stroke_opacity": 0.75, "stroke_width": 3, "paint_order": "stroke"}
    return tag("g", words, **halo, fill="#222222") if "bgcolor" in one else words


def legend_of(layout: Json, traces: Sequence[Json], wide: float, top: float) -> tuple[str, int]:
    """The legend from its first row's middle, and its number of rows; none of one trace."""
    listed = [t for t in traces if t.get("showlegend", True)]
    if len(listed) < 2 or layout.get("showlegend") is False:
        return "", 0
    title = layout["legend"].get("title", {}).get("text")
    entries: list[tuple[str, Json | None]] = [(title, None)] if title else []
    entries += [(t["name"], t) for t in sorted(listed, key=lambda t: t.get("legendrank", 1000))]
    parts, x, y = "", 4.0, top
    for words, trace in entries:
        long = 0.56 * SIZE * len(unescaped(words)) + (42 if trace else 10)
        if x > 4 and x + long > wide:
            x, y = 4.0, y + 20
        own = words_at(x + 29, y, words) + _sample(trace, x, y) if trace else ""
        parts += own or words_at(x, y, words, GREY)
        x += long
    return parts, round((y - top) / 20) + 1


def _sample(trace: Json, x: float, y: float) -> str:
    """What a trace looks like, in its legend."""
    box = box_of(x, y - 5, 24, 10)
    if trace["type"] == "bar":
        return bar(box, trace["marker"])
    if "fill" in trace:
        return tag("rect", **box, fill=trace["fillcolor"])
    drawn = line(trace, [x, x + 24], [y, y]) if "lines" in trace["mode"] else ""
    if "markers" in trace["mode"]:
        look = look_of(trace, 0)
        drawn += tag("path", d=mark_at(x + 12, y, look), **style_of(trace, look))
    return drawn
