"""Cells of a matrix, and the scales of their colours."""

from __future__ import annotations

import math

import numpy as np

from inversion_kit.figures.static.axes import Axis, Sheet
from inversion_kit.figures.static.elements import Json, box_of, hex_of, pixels_in, tag, words_at
from inversion_kit.figures.style import CELLS, GREY, Spec, shades

_SMALL: Spec = {"ink": GREY, "size": 11, "across": "center"}


def heatmap(sheet: Sheet, trace: Json) -> str:
    """Cells with their numbers; without numbers areas that are the value, hollow below 0."""
    z, own = np.asarray(trace["z"], float), sheet.layout[trace["coloraxis"]]
    x, y = sheet.pair(trace)
    low, high, text = own["cmin"], own["cmax"], trace.get("text")
    inks = shades(own["colorscale"], (np.nan_to_num(z) - low) / (high - low))
    across, up = x.at(trace["x"]).tolist(), y.at(trace["y"]).tolist()
    wide, tall = (abs((axis.end - axis.start) / (axis.high - axis.low)) for axis in (x, y))
    size = wide * z.shape[1], tall * z.shape[0]
    box = box_of(min(across) - wide / 2, min(up) - tall / 2, *size)
    frame = tag("rect", **box, fill="none", stroke="currentColor", stroke_opacity=0.3)
    if z.size > CELLS:
        seen = (np.isfinite(z) & (z != 0))[..., None] * np.uint8(255)
        return pixels_in(np.concatenate([inks, seen], -1), box) + frame
    less, more = (hex_of(ink) for ink in shades(own["colorscale"], np.array([0, 1])))
    parts = [frame]
    for i, k in np.argwhere(z != 0).tolist():
        value, ink, gap, share = z[i, k], inks[i, k], math.isnan(z[i, k]), 1.0
        if text:
            style: Spec = {"fill": "none" if gap else hex_of(ink)}
        elif gap:
            continue
        else:
            style = {"fill": more} if value > 0 else {"fill_opacity": 0, "stroke": less}
            share = min(abs(value) / high, 1) ** 0.5
        a, b = max((wide - 2) * share, 2), max((tall - 2) * share, 2)
        title, at = sheet.live(trace, i, k)
        cell = box_of(across[k] - a / 2, up[i] - b / 2, a, b)
        parts.append(tag("rect", title, **cell, **style, data_i=at))
        if text:
            dark = ink @ (0.299, 0.587, 0.114) < 140
            colour = GREY if gap else "#ffffff" if dark else "#222"
            parts.append(words_at(across[k], up[i], text[i][k], colour, size=11, across="center"))
    return "".join(parts)


def colour_bars(sheet: Sheet, high: float) -> list[str]:
    """The scale of each colour axis, below the heatmaps that it is of."""
    parts: list[str] = []
    for name in dict.fromkeys(t["coloraxis"] for t in sheet.traces if "coloraxis" in t):
        along = [sheet.pair(t)[0] for t in sheet.traces if t.get("coloraxis") == name]
        own, middle = sheet.layout[name], (along[0].start + along[-1].end) / 2
        wide = min(150.0, along[-1].end - along[0].start)
        scale = Axis(middle - wide / 2, middle + wide / 2, own["cmin"], own["cmax"])
        colours = shades(own["colorscale"], np.linspace(0, 1, 150)[None])
        parts.append(pixels_in(colours, box_of(scale.start, high - 26, wide, 8)))
        ticks: Spec = own["colorbar"]
        for value, word in zip(ticks["tickvals"], ticks["ticktext"], strict=True):
            if word:
                parts.append(words_at(float(scale.at(value)), high - 15, word, up="top", **_SMALL))
        parts.append(words_at(middle, high - 30, ticks["title"]["text"], up="bottom", **_SMALL))
    return parts
