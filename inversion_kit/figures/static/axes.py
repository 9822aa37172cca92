"""Where things lie: axes from values to pixels, and how they are drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inversion_kit.figures.static.elements import SIZE, Json, escaped, tag, unescaped, words_at
from inversion_kit.figures.style import GREY, Spec


@dataclass(frozen=True)
class Axis:
    """From values to pixels: ``low`` lies at ``start``, ``high`` at ``end``."""

    start: float
    end: float
    low: float = 0
    high: float = 1
    layout: Json = field(default_factory=dict)

    def at(self, values: Any) -> Any:
        """Pixels of values, float of their shape."""
        share = (np.asarray(values, float) - self.low) / ((self.high - self.low) or 1)
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True)
class Sheet:
    """What is drawn, along which axes."""

    layout: Json
    traces: Sequence[Json]
    axes: Mapping[str, Axis]
    hover: bool
    index: bool

    def pair(self, trace: Json) -> tuple[Axis, Axis]:
        """The axes of a trace."""
        return self.axes[trace.get("xaxis", "x")], self.axes[trace.get("yaxis", "y")]

    def at(self, one: Json, x: Any, y: Any) -> tuple[float, float]:
        """Where a place of a picture, a shape or an annotation lies."""
        refs = [(d, one.get(f"{d}ref", d)) for d in "xy"]
        across, up = (self.axes[f"paper {d}" if ref == "paper" else ref] for d, ref in refs)
        return across.at(x).item(), up.at(y).item()

    def live(self, trace: Json, *at: int) -> tuple[str, str]:
        """``<title>`` of a mark, a bar or a cell, if it has a text, and ``data-i``."""
        words, data = trace.get("hovertext") if self.hover else None, trace.get("customdata")
        for i in at:
            words, data = words and words[i], None if data is None else data[i]
        title = f"<title>{escaped(unescaped(words))}</title>" if words else ""
        return title, " ".join(map(str, at if data is None else np.ravel(data)))


def axes_of(layout: Json, across: tuple[float, float], up: tuple[float, float]) -> dict[str, Axis]:
    """Every axis by its name in traces, its domain, and the whole box, ``"paper x"``."""
    made = {"paper x": Axis(*across), "paper y": Axis(*up)}
    for key in [key for key in layout if "axis" in key[1:5]]:
        own, name = layout[key], key.replace("axis", "")
        start, end = made[f"paper {name[0]}"].at(own.get("domain", (0, 1))).tolist()
        low, high = own.get("range", (0, 1))
        made[name] = Axis(start, end, low, high, own)
        made[f"{name} domain"] = Axis(start, end)
    return made


def draw_axis(axis: Axis, other: Axis, bottom: float, *, flat: bool) -> str:
    """Grid or line, ticks and title of an axis, ``flat`` or upright, that ``other`` crosses."""
    own = axis.layout
    if own.get("visible") is False:
        return ""
    values = own["tickvals"] if "tickvals" in own else _round_ticks(axis.low, axis.high)
    words = own.get("ticktext") or [f"{v:g}".replace("-", "−") for v in values]
    places = axis.at(values).tolist()
    lines = [(axis.start, other.start, axis.end, other.start)] if flat else []
    if own.get("showgrid"):
        lines = [(place, other.start, place, other.end) for place in places]
    ends = lines if flat else [(b, a, d, c) for a, b, c, d in lines]
    d = "".join(f"M{a:.5g} {b:.5g}L{c:.5g} {e:.5g}" for a, b, c, e in ends)
    parts = [tag("path", d=d, stroke="currentColor", stroke_opacity=0.16)] if d else []
    angle, size = own.get("tickangle", 0), own.get("tickfont", {}).get("size", SIZE)
    look: Spec = {"ink": GREY, "across": "right", "angle": angle, "size": size}
    room = size  # that a word takes along the axis
    if flat and not angle:
        look |= {"across": "center", "up": "top"}
        room = 0.6 * size * max((len(unescaped(word)) for word in words), default=0)
    apart = abs(places[1] - places[0]) if len(places) > 1 else 1.0
    every = max(1, math.ceil(room / max(apart, 0.01)))
    ticks = list(zip(places, words, strict=True)) if own.get("showticklabels", True) else []
    for place, word in ticks[::every]:
        x, y = (place, other.start + 7) if flat else (other.start - 7, place)
        parts.append(words_at(x, y, word, **look))
    title, middle = own.get("title", {}).get("text", ""), (axis.start + axis.end) / 2
    if title and flat:  # below upright names, which are those of a matrix, is a colour bar
        low = bottom - (58 if angle else 8)
        parts.append(words_at(middle, low, title, GREY, across="center", up="bottom"))
    elif title:
        parts.append(words_at(12, middle, title, GREY, across="center", angle=-90))
    return "".join(parts)


def _round_ticks(low: float, high: float) -> list[float]:
    """Round values, at most nine, between two."""
    rough = max(abs(high - low) / 8, 1e-12)
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * f for f in (1, 2, 5, 10) if size * f >= rough)
    first, last = sorted((low, high))
    return [step * n for n in range(math.ceil(first / step), math.floor(last / step) + 1)]
