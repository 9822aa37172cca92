"""A picture's specification as inline SVG: no script, no style sheet and no plotly.

The part of plotly's terms that the specifications of this folder use: scatter (lines, gaps,
markers, ``fill="toself"``), bars from left to right, error bars along x, heatmaps, pictures,
annotations, shapes, a legend, and axes with a domain, ticks, title, grid and a range.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inversion_kit.figures.style import CELLS, FONT, GREY, INK, Spec, shades
from inversion_kit.pictures import data_address, image_of

_SIZE, _LINE = 12, 1.25
"""Size of text, and the distance of its lines by that size."""
_SMALL: Spec = {"ink": GREY, "size": 11, "across": "center"}
_ANCHORS = {"left": None, "center": "middle", "right": "end"}
_DASHES = {"dash": "6 4", "dot": "2 3", "dashdot": "6 3 2 3"}
_HATCHES = {"|": ("1.5 4",), ".": ("0 5",), "-": (None,), "+": ("1.5 4", None)}
"""Dashes of the white lines over a bar: upright strokes, dots, a line along it."""
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
_MARKUP = re.compile(r"(</?[bi]>)")
_SPANS = {"<b>": '<tspan font-weight="600">', "<i>": '<tspan font-style="italic">'}
_SPANS |= {"</b>": "</tspan>", "</i>": "</tspan>"}
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

_Json = Mapping[str, Any]
_Look = tuple[str, str, float]


def svg(
    spec: _Json,
    *,
    width: float | None = None,
    height: float | None = None,
    title: bool = False,
    hover: bool = True,
    index: bool = False,
    css: str = "figure",
    name: str = "",
    role: str = "img",
) -> str:
    """Draw a specification as an ``<svg>`` element that scales with the page.

    Parameters
    ----------
    spec
        What a ``*_spec`` function gave: ``{"data": [...], "layout": {...}}``.
    width, height
        Of the drawing, 1 pixel a unit at full size; where not given those of the layout, or
        640 x 360.
    title
        Whether title and subtitle are drawn; a page mostly has its own heading.
    hover
        Whether marks, bars and cells carry their text on hover, as ``<title>``.
    index
        Whether every mark is an element with ``data-i``, its ``customdata``, joined by spaces, or
        its place along the trace; otherwise marks without a text on hover are one path. Bars and
        cells always are.
    css, role
        Class and role of the element: ``"group"`` where a script makes its parts accessible.
    name
        What it is called where it cannot be seen; title and subtitle where not given.

    Returns
    -------
    str
        Each trace is a ``<g data-t>``, its place in ``data``; each pair of axes a ``<g
        class="plot">`` with ``data-box``, "left top width height", and ``data-range``, the values
        at "left right bottom top". Colours are presentation attributes, which no policy forbids;
        text has the page's colour.

    Examples
    --------
    >>> from inversion_kit.figures.paths import live_spec
    >>> svg(live_spec([(0, 0.1, "neutral")], [], last=8, goal=0.9), width=480, height=300)[:38]
    '<svg class="figure" viewBox="0 0 480 3'
    """
    layout = spec["layout"]
    wide, high = width or layout.get("width", 640), height or layout.get("height", 360)
    traces = {t: one for t, one in enumerate(spec["data"]) if one.get("visible", True) is True}
    heading = layout["title"]
    lines = [heading["text"], *heading["subtitle"]["text"].split("<br>")]
    top = 14 + 18 * len(lines) if title else 4
    shown = list(traces.values())
    legend, rows = _legend(layout, shown, wide, top + 8)
    notes, edge = layout.get("annotations", ()), layout["margin"]
    over = any(one.get("yref") == "paper" and one["y"] >= 1 for one in notes)
    up = high - edge["b"], top + 20 * rows + (26 if over else 8)
    axes = _axes(layout, (edge["l"], wide - edge["r"]), up)
    sheet = _Sheet(layout, shown, axes, hover, index)
    parts = []
    for x, y in {one.get("xaxis"): sheet.pair(one) for one in shown}.values():
        box = f"{x.start:.5g} {y.end:.5g} {x.end - x.start:.5g} {y.start - y.end:.5g}"
        place = {"data_box": box, "data_range": f"{x.low:g} {x.high:g} {y.low:g} {y.high:g}"}
        drawn = _axis(x, y, high, flat=True) + _axis(y, x, high, flat=False)
        parts.append(_tag("g", drawn or " ", **{"class": "plot"}, **place))
    parts += [_picture(sheet, one) for one in layout.get("images", ())]
    parts += [_shape(sheet, one) for one in layout.get("shapes", ())]
    kinds = {"bar": _bars, "heatmap": _heatmap}
    for t, one in traces.items():
        parts.append(_tag("g", kinds.get(one["type"], _scatter)(sheet, one), data_t=t))
    parts += [_annotation(sheet, one) for one in notes]
    if title:
        below = "<br>".join(lines[1:])
        parts += [_text(2, 6, lines[0], size=17, up="top"), _text(2, 30, below, GREY, up="top")]
    parts += [legend, *_colour_bars(sheet, high)]
    said = name or _plain(". ".join(filter(None, lines)))
    whole = {"class": css, "viewBox": f"0 0 {wide:g} {high:g}", "role": role, "aria_label": said}
    font = {"font_family": FONT, "font_size": _SIZE, "fill": "currentColor"}
    return _tag("svg", "".join(parts), **whole, **font)


@dataclass(frozen=True)
class _Axis:
    """From values to pixels: ``low`` lies at ``start``, ``high`` at ``end``."""

    start: float
    end: float
    low: float = 0
    high: float = 1
    layout: _Json = field(default_factory=dict)

    def at(self, values: Any) -> Any:
        share = (np.asarray(values, float) - self.low) / ((self.high - self.low) or 1)
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True)
class _Sheet:
    """What is drawn, along which axes."""

    layout: _Json
    traces: Sequence[_Json]
    axes: Mapping[str, _Axis]
    hover: bool
    index: bool

    def pair(self, trace: _Json) -> tuple[_Axis, _Axis]:
        return self.axes[trace.get("xaxis", "x")], self.axes[trace.get("yaxis", "y")]

    def at(self, one: _Json, x: Any, y: Any) -> tuple[float, float]:
        """Where a place of a picture, a shape or an annotation lies."""
        refs = [(d, one.get(f"{d}ref", d)) for d in "xy"]
        across, up = (self.axes[f"paper {d}" if ref == "paper" else ref] for d, ref in refs)
        return across.at(x).item(), up.at(y).item()

    def live(self, trace: _Json, *at: int) -> tuple[str, str]:
        """``<title>`` of a mark, a bar or a cell, if it has a text, and ``data-i``."""
        words, data = trace.get("hovertext") if self.hover else None, trace.get("customdata")
        for i in at:
            words, data = words and words[i], None if data is None else data[i]
        title = f"<title>{_escaped(_plain(words))}</title>" if words else ""
        return title, " ".join(map(str, at if data is None else np.ravel(data)))


def _escaped(said: str) -> str:
    return html.escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", said))


def _tag(tag: str, inner: str = "", **attributes: Any) -> str:
    said = "".join(
        f' {key.replace("_", "-")}="'
        f'{_escaped(value) if isinstance(value, str) else f"{value:.5g}"}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{tag}{said}>{inner}</{tag}>" if inner else f"<{tag}{said}/>"


def _box(left: float, top: float, width: float, height: float) -> Spec:
    return {"x": left, "y": top, "width": width, "height": height}


def _plain(said: str) -> str:
    """Text of a specification, whose labels are escaped, as the characters that it stands for."""
    return html.unescape(_MARKUP.sub("", said.replace("<br>", "\n")))


def _text(
    x: float,
    y: float,
    said: str,
    ink: str = INK,
    size: float = _SIZE,
    across: str = "left",
    up: str = "middle",
    angle: float = 0,
) -> str:
    """Lines of text; ``across`` and ``up`` say which part of them lies at the point."""
    lines = said.split("<br>")
    first = y + size * (0.95 - {"top": 0, "middle": 0.5, "bottom": 1}[up] * len(lines) * _LINE)
    inner = ""
    for i, line in enumerate(lines):
        parts = _MARKUP.split(line)
        words = "".join(_SPANS.get(part) or _escaped(html.unescape(part)) for part in parts)
        inner += _tag("tspan", words, x=x, dy=size * _LINE) if i else words
    turned = f"rotate({angle:g} {x:.4g} {y:.4g})" if angle else None
    own = {"font_size": None if size == _SIZE else size, "transform": turned}
    own |= {} if ink == INK else _ink(ink)  # ink is what text inherits
    return _tag("text", inner, x=x, y=first, text_anchor=_ANCHORS[across], **own)


def _ink(colour: str, what: str = "fill") -> Spec:
    """A colour as attributes; ink and grey are the page's own, so that they hold on dark pages."""
    if colour in (INK, GREY, "#000000"):
        return {what: "currentColor", f"{what}_opacity": 0.7 if colour == GREY else None}
    return {what: colour}


def _stroke(color: str, width: float, dash: str = "solid") -> Spec:
    ink = _ink(color, "stroke")
    return {"fill": "none", **ink, "stroke_width": width, "stroke_dasharray": _DASHES.get(dash)}


def _axes(layout: _Json, across: tuple[float, float], up: tuple[float, float]) -> dict[str, _Axis]:
    """Every axis by its name in traces, its domain, and the whole box, ``"paper x"``."""
    made = {"paper x": _Axis(*across), "paper y": _Axis(*up)}
    for key in [key for key in layout if "axis" in key[1:5]]:
        own, name = layout[key], key.replace("axis", "")
        start, end = made[f"paper {name[0]}"].at(own.get("domain", (0, 1))).tolist()
        low, high = own.get("range", (0, 1))
        made[name] = _Axis(start, end, low, high, own)
        made[f"{name} domain"] = _Axis(start, end)
    return made


def _round_ticks(low: float, high: float) -> list[float]:
    """Round values, at most nine, between two."""
    rough = max(abs(high - low) / 8, 1e-12)
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * f for f in (1, 2, 5, 10) if size * f >= rough)
    first, last = sorted((low, high))
    return [step * n for n in range(math.ceil(first / step), math.floor(last / step) + 1)]


def _axis(axis: _Axis, other: _Axis, bottom: float, *, flat: bool) -> str:
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
    parts = [_tag("path", d=d, stroke="currentColor", stroke_opacity=0.16)] if d else []
    angle, size = own.get("tickangle", 0), own.get("tickfont", {}).get("size", _SIZE)
    look: Spec = {"ink": GREY, "across": "right", "angle": angle, "size": size}
    room = size  # that a word takes along the axis
    if flat and not angle:
        look |= {"across": "center", "up": "top"}
        room = 0.6 * size * max((len(_plain(word)) for word in words), default=0)
    apart = abs(places[1] - places[0]) if len(places) > 1 else 1.0
    every = max(1, math.ceil(room / max(apart, 0.01)))
    ticks = list(zip(places, words, strict=True)) if own.get("showticklabels", True) else []
    for place, word in ticks[::every]:
        x, y = (place, other.start + 7) if flat else (other.start - 7, place)
        parts.append(_text(x, y, word, **look))
    title, middle = own.get("title", {}).get("text", ""), (axis.start + axis.end) / 2
    if title and flat:  # below upright names, which are those of a matrix, is a colour bar
        low = bottom - (58 if angle else 8)
        parts.append(_text(middle, low, title, GREY, across="center", up="bottom"))
    elif title:
        parts.append(_text(12, middle, title, GREY, across="center", angle=-90))
    return "".join(parts)


def _scatter(sheet: _Sheet, trace: _Json) -> str:
    x, y = sheet.pair(trace)
    across, up = x.at(trace["x"]), y.at(trace["y"])
    drawn = _line(trace, across.tolist(), up.tolist()) if "lines" in trace["mode"] else ""
    drawn += _errors(trace, x, up) if "error_x" in trace else ""
    if "markers" in trace["mode"]:  # what lies far away is drawn at the margin
        across = np.clip(across, min(x.start, x.end), max(x.start, x.end)).round(1)
        up = np.clip(up, min(y.start, y.end), max(y.start, y.end)).round(1)
        drawn += _marks(sheet, trace, across.tolist(), up.tolist())
    return drawn


def _line(trace: _Json, across: list[float], up: list[float]) -> str:
    """A line with its gaps, or the area that it encloses."""
    d, step = "", "M"
    for x, y in zip(across, up, strict=True):
        there = math.isfinite(x + y)
        d += f"{step}{x:.5g} {y:.5g}" if there else ""
        step = "L" if there else "M"
    if "fill" in trace:
        return _tag("path", d=f"{d}Z", fill=trace["fillcolor"]) if d else ""
    return _tag("path", d=d, stroke_linejoin="round", **_stroke(**trace["line"])) if d else ""


def _errors(trace: _Json, x: _Axis, middle: Any) -> str:
    """Error bars along x as one path."""
    own, values = trace["error_x"], np.asarray(trace["x"], float)
    low, high = x.at(values - own["arrayminus"]), x.at(values + own["array"])
    c = own["width"]
    d = "".join(
        f"M{a:.5g} {m - c:.5g}v{2 * c:g}m0 {-c:g}H{b:.5g}m0 {-c:g}v{2 * c:g}"
        for a, b, m in zip(low, high, middle, strict=True)
        if math.isfinite(a + b + m)
    )
    return _tag("path", d=d, **_stroke(own["color"], own["thickness"])) if d else ""


def _marks(sheet: _Sheet, trace: _Json, across: list[float], up: list[float]) -> str:
    """Marks, those that look the same together."""
    single = sheet.index or (sheet.hover and "hovertext" in trace)
    groups: dict[_Look, str] = {}
    for i, (x, y) in enumerate(zip(across, up, strict=True)):
        if math.isfinite(x + y):
            look = _look(trace, i)
            d = _mark(x, y, look)
            if single:
                title, at = sheet.live(trace, i)
                d = f'<path d="{d}" data-i="{_escaped(at)}">{title}</path>'
            groups[look] = groups.get(look, "") + d
    parts = [(_style(trace, look), drawn) for look, drawn in groups.items()]
    if single:
        return "".join(_tag("g", drawn, **style) for style, drawn in parts)
    return "".join(_tag("path", d=drawn, **style) for style, drawn in parts)


def _look(trace: _Json, i: int) -> _Look:
    """Symbol, colour and size of a mark."""
    marker = trace["marker"]
    own = (marker["symbol"], marker.get("color") or trace["line"]["color"], marker["size"])
    symbol, colour, size = (value[i] if isinstance(value, list) else value for value in own)
    return symbol, colour, size


def _style(trace: _Json, look: _Look) -> Spec:
    symbol, ink, size = look
    style = _stroke(ink, 1.5) if symbol.endswith("-open") else _ink(ink)
    if symbol in _CAPS:
        style = {**_stroke(ink, size), "stroke_linecap": _CAPS[symbol]}
    return {**style, "opacity": trace["marker"].get("opacity")}


def _mark(x: float, y: float, look: _Look) -> str:
    """A mark as a piece of a path that starts at its place."""
    symbol, _, size = look
    outline = "h0" if symbol in _CAPS else _OUTLINES[symbol.removesuffix("-open")]
    scaled = re.sub(r"-?\d*\.?\d+", lambda n: f"{size / 2 * float(n[0]):.3g} ", outline)
    return f"M{x:g} {y:g}{scaled.rstrip()}"


def _bars(sheet: _Sheet, trace: _Json) -> str:
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
            box = _box(min(zero, end), m - thick / 2, abs(end - zero), thick)
            parts.append(_bar(box, trace["marker"], *sheet.live(trace, i)))
            if "text" in trace:
                parts.append(_text(max(zero, end) + 5, m, trace["text"][i]))
    return "".join(parts) + (_errors(trace, x, middle) if "error_x" in trace else "")


def _bar(box: Spec, marker: _Json, title: str = "", at: str | None = None) -> str:
    """One bar and the white lines over it."""
    parts = [_tag("rect", title, **box, **_ink(marker["color"]), data_i=at)]
    shape, thick = marker.get("pattern", {}).get("shape", ""), box["height"]
    for dash in _HATCHES.get(shape, ()) if box["width"] > 4 else ():
        d = f"M{box['x'] + 2:.5g} {box['y'] + thick / 2:.5g}h{box['width'] - 3:.5g}"
        white: Spec = {"stroke": "#fff", "stroke_opacity": 0.75, "pointer_events": "none"}
        white |= {"stroke_dasharray": dash, "stroke_linecap": "round" if shape == "." else None}
        wide = thick if dash == "1.5 4" else min(2.5, thick / 2)
        parts.append(_tag("path", d=d, stroke_width=wide, **white))
    return "".join(parts)


def _heatmap(sheet: _Sheet, trace: _Json) -> str:
    """Cells with their numbers; without numbers areas that are the value, hollow below 0."""
    z, own = np.asarray(trace["z"], float), sheet.layout[trace["coloraxis"]]
    x, y = sheet.pair(trace)
    low, high, text = own["cmin"], own["cmax"], trace.get("text")
    inks = shades(own["colorscale"], (np.nan_to_num(z) - low) / (high - low))
    across, up = x.at(trace["x"]).tolist(), y.at(trace["y"]).tolist()
    wide, tall = (abs((axis.end - axis.start) / (axis.high - axis.low)) for axis in (x, y))
    size = wide * z.shape[1], tall * z.shape[0]
    box = _box(min(across) - wide / 2, min(up) - tall / 2, *size)
    frame = _tag("rect", **box, fill="none", stroke="currentColor", stroke_opacity=0.3)
    if z.size > CELLS:
        seen = (np.isfinite(z) & (z != 0))[..., None] * np.uint8(255)
        return _pixels(np.concatenate([inks, seen], -1), box) + frame
    less, more = (_hex(ink) for ink in shades(own["colorscale"], np.array([0, 1])))
    parts = [frame]
    for i, k in np.argwhere(z != 0).tolist():
        value, ink, gap, share = z[i, k], inks[i, k], math.isnan(z[i, k]), 1.0
        if text:
            style: Spec = {"fill": "none" if gap else _hex(ink)}
        elif gap:
            continue
        else:
            style = {"fill": more} if value > 0 else {"fill_opacity": 0, "stroke": less}
            share = min(abs(value) / high, 1) ** 0.5
        a, b = max((wide - 2) * share, 2), max((tall - 2) * share, 2)
        title, at = sheet.live(trace, i, k)
        cell = _box(across[k] - a / 2, up[i] - b / 2, a, b)
        parts.append(_tag("rect", title, **cell, **style, data_i=at))
        if text:
            dark = ink @ (0.299, 0.587, 0.114) < 140
            colour = GREY if gap else "#ffffff" if dark else "#222"
            parts.append(_text(across[k], up[i], text[i][k], colour, size=11, across="center"))
    return "".join(parts)


def _hex(ink: Any) -> str:
    return "#{:02x}{:02x}{:02x}".format(*ink)


def _pixels(pixels: np.ndarray, box: Spec) -> str:
    """Colours as one picture, a pixel each."""
    fit = {"preserveAspectRatio": "none", "image_rendering": "pixelated"}
    return _tag("image", **box, **fit, href=data_address(image_of(pixels)))


def _colour_bars(sheet: _Sheet, high: float) -> list[str]:
    """The scale of each colour axis, below the heatmaps that it is of."""
    parts: list[str] = []
    for name in dict.fromkeys(t["coloraxis"] for t in sheet.traces if "coloraxis" in t):
        along = [sheet.pair(t)[0] for t in sheet.traces if t.get("coloraxis") == name]
        own, middle = sheet.layout[name], (along[0].start + along[-1].end) / 2
        wide = min(150.0, along[-1].end - along[0].start)
        scale = _Axis(middle - wide / 2, middle + wide / 2, own["cmin"], own["cmax"])
        colours = shades(own["colorscale"], np.linspace(0, 1, 150)[None])
        parts.append(_pixels(colours, _box(scale.start, high - 26, wide, 8)))
        ticks: Spec = own["colorbar"]
        for value, word in zip(ticks["tickvals"], ticks["ticktext"], strict=True):
            if word:
                parts.append(_text(float(scale.at(value)), high - 15, word, up="top", **_SMALL))
        parts.append(_text(middle, high - 30, ticks["title"]["text"], up="bottom", **_SMALL))
    return parts


def _picture(sheet: _Sheet, one: _Json) -> str:
    left, top = sheet.at(one, one["x"], one["y"])
    right, bottom = sheet.at(one, one["x"] + one["sizex"], one["y"] + one["sizey"])
    box = _box(left, top, right - left, bottom - top)
    return _tag("image", **box, image_rendering=one["name"] or None, href=one["source"])


def _shape(sheet: _Sheet, one: _Json) -> str:
    (a, b), (c, d) = sheet.at(one, one["x0"], one["y0"]), sheet.at(one, one["x1"], one["y1"])
    path = f"L{c:.5g} {d:.5g}" if one.get("type") == "line" else f"H{c:.5g}V{d:.5g}H{a:.5g}z"
    return _tag("path", d=f"M{a:.5g} {b:.5g}{path}", **_stroke(**one["line"]))


def _annotation(sheet: _Sheet, one: _Json) -> str:
    x, y = sheet.at(one, one["x"], one["y"])
    x, y = x + one.get("xshift", 0), y - one.get("yshift", 0)
    font, across, up = one["font"], one.get("xanchor", "center"), one.get("yanchor", "middle")
    words = _text(x, y, one["text"], font["color"], font["size"], across, up)
    halo = {"stroke": "#ffffff", "stroke_opacity": 0.75, "stroke_width": 3, "paint_order": "stroke"}
    return _tag("g", words, **halo, fill="#222222") if "bgcolor" in one else words


def _legend(layout: _Json, traces: Sequence[_Json], wide: float, top: float) -> tuple[str, int]:
    """The legend from its first row's middle, and its number of rows; none of one trace."""
    listed = [t for t in traces if t.get("showlegend", True)]
    if len(listed) < 2 or layout.get("showlegend") is False:
        return "", 0
    title = layout["legend"].get("title", {}).get("text")
    entries: list[tuple[str, _Json | None]] = [(title, None)] if title else []
    entries += [(t["name"], t) for t in sorted(listed, key=lambda t: t.get("legendrank", 1000))]
    parts, x, y = "", 4.0, top
    for words, trace in entries:
        long = 0.56 * _SIZE * len(_plain(words)) + (42 if trace else 10)
        if x > 4 and x + long > wide:
            x, y = 4.0, y + 20
        own = _text(x + 29, y, words) + _sample(trace, x, y) if trace else ""
        parts += own or _text(x, y, words, GREY)
        x += long
    return parts, round((y - top) / 20) + 1


def _sample(trace: _Json, x: float, y: float) -> str:
    """What a trace looks like, in its legend."""
    box = _box(x, y - 5, 24, 10)
    if trace["type"] == "bar":
        return _bar(box, trace["marker"])
    if "fill" in trace:
        return _tag("rect", **box, fill=trace["fillcolor"])
    drawn = _line(trace, [x, x + 24], [y, y]) if "lines" in trace["mode"] else ""
    if "markers" in trace["mode"]:
        drawn += _tag("path", d=_mark(x + 12, y, _look(trace, 0)), **_style(trace, _look(trace, 0)))
    return drawn
