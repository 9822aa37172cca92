"""Bars from left to right."""

from __future__ import annotations

import math

import numpy as np

from inversion_kit.figures.static.axes import Sheet
from inversion_kit.figures.static.elements import Json, box_of, ink_of, tag, words_at
from inversion_kit.figures.static.marks import errors
from inversion_kit.figures.style import Spec

_HATCHES = {"|": ("1.5 4",), ".": ("0 5",), "-": (None,), "+": ("1.5 4", None)}
"""Dashes of the white lines over a bar: upright strokes, dots, a line along it."""


def bars(sheet: Sheet, trace: Json) -> str:
    """Bars from left to right, those of several traces beside each other."""
    x, y = sheet.pair(trace)
    group = [one for one in sheet.traces if one["type"] == "bar" and sheet.pair(one)[1] is y]
    place = next(i for i, one in enumerate(group) if one is trace) - (len(group) - 1) / 2
    room = trace.get("width", 1 - sheet.layout.get("bargap", 0.2)) / len(group)
    middle = y.at(np.asarray(trace["y"], float) + place * room)
    thick = abs(float(y.at(room) - y.at(0))) * (1 - sheet.layout.get("bargroupgap", 0))
    zero, parts = float(x.at(0)), []
    for i, (end, m) in enumerate(zip(x.at(trace["x"]).tolist(), middle.tolist(), strict=True)):
        if math.isfinite(end):
            box = box_of(min(zero, end), m - thick / 2, abs(end - zero), thick)
            parts.append(bar(box, trace["marker"], *sheet.live(trace, i)))
            if "text" in trace:
                parts.append(words_at(max(zero, end) + 5, m, trace["text"][i]))
    return "".join(parts) + (errors(trace, x, middle) if "error_x" in trace else "")


def bar(box: Spec, marker: Json, title: str = "", at: str | None = None) -> str:
    """One bar and the white lines over it."""
    parts = [tag("rect", title, **box, **ink_of(marker["color"]), data_i=at)]
    shape, thick = marker.get("pattern", {}).get("shape", ""), box["height"]
    for dash in _HATCHES.get(shape, ()) if box["width"] > 4 else ():
        d = f"M{box['x'] + 2:.5g} {box['y'] + thick / 2:.5g}h{box['width'] - 3:.5g}"
        white: Spec = {"stroke": "#fff", "stroke_opacity": 0.75, "pointer_events": "none"}
        white |= {"stroke_dasharray": dash, "stroke_linecap": "round" if shape == "." else None}
        wide = thick if dash == "1.5 4" else min(2.5, thick / 2)
        parts.append(tag("path", d=d, stroke_width=wide, **white))
    return "".join(parts)
