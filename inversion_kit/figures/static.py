"""A picture's specification as inline SVG: no script, no style sheet and no plotly.

The part of plotly's terms that the specifications of this folder use: scatter (lines, gaps,
markers, ``fill="toself"``), bars from left to right, error bars along x, heatmaps, pictures,
annotations, shapes, a legend, and axes with a domain, ticks, title, grid and a range.
"""

from __future__ import annotations

import html
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inversion_kit.figures.style import CELLS, COLOURS, FONT, GREY, INK, Spec, shades
from inversion_kit.pictures import data_address, image_of

_SIZE, _LINE = 12, 1.25
"""Size of text, and the distance of its lines by that size."""
_SMALL: Spec = {"ink": GREY, "size": 11, "across": "center"}
_ANCHORS = {"left": None, "center": "middle", "right": "end"}
_DASHES = {"dash": "6 4", "dot": "2 3", "dashdot": "6 3 2 3"}
_HATCHES = {"|": ("1.5 4",), ".": ("0 5",), "-": (None,), "+": ("1.5 4", None)}
"""Dashes of the white lines over a bar: upright strokes, dots, a line along it."""
_CAPS = {"circle": "round", "square": "square"}
_CROSS = ((-1, -0.5), (-0.5, -1), (0, -0.5), (0.5, -1), (1, -0.5), (0.5, 0))
_STAR = tuple(
    (r * math.sin(a * math.pi / 5), -r * math.cos(a * math.pi / 5))
    for a, r in enumerate((1.35, 0.6) * 5)
)
_SHAPES = {
    "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
    "triangle-up": ((0, -1.25), (1.2, 0.9), (-1.2, 0.9)),
    "x": (*_CROSS, *((-a, -b) for a, b in _CROSS)),
    "star": _STAR,
}
_MARKUP = re.compile(r"(</?[bi]>)")
_SPANS = {"<b>": '<tspan font-weight="600">', "<i>": '<tspan font-style="italic">'}
_SPANS |= {"</b>": "</tspan>", "</i>": "</tspan>"}
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


_Json = Mapping[str, Any]


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
        Of the drawing, in its own units, 1 pixel each at full size; those of the layout, or
        640 x 360, where not given.
    title
        Whether title and subtitle are drawn; a page mostly has its own heading.
    hover
        Whether marks, bars and cells carry their text on hover, as ``<title>``.
    index
        Whether every mark is an element of its own with ``data-i``: its ``customdata``, joined by
        spaces, or its place along the trace. Otherwise marks without a text on hover are one path.
        Bars and cells have it always.
    css
        The element's class.
    name
        What it is called where it cannot be seen; title and subtitle where not given.
    role
        ``"img"``, or ``"group"`` where a script makes its parts accessible.

    Returns
    -------
    str
        Each trace is a ``<g data-t>``, its place in ``data``; each pair of axes a ``<g
        class="plot">`` with ``data-box``, "left top width height", and ``data-range``, the values
        at "left right bottom top". Colours are presentation attributes, which no policy forbids;
        text has the page's colour.

    Examples
    --------
    >>> svg({"data": [{"type": "scatter", "x": [0, 1], "y": [1, 2]}], "layout": {}})[:38]
    '<svg class="figure" viewBox="0 0 640 3'
    """
    layout = spec["layout"]
    wide, high = width or layout.get("width", 640), height or layout.get("height", 360)
    traces = [(t, one) for t, one in enumerate(spec["data"]) if one.get("visible", True) is True]
    shown = [one for _, one in traces]
    heading = layout.get("title") or {"text": ""}
    lines = [heading["text"], *(heading.get("subtitle", {}).get("text") or "").split("<br>")]
    rows = _legend(layout, shown, wide)
    top = 14 + 18 * len(lines) if title else 4
    edge = {"l": 60, "r": 16, "b": 50, **layout.get("margin", {})}
    over = [one for one in layout.get("annotations", ()) if one.get("yref") == "paper"]
    start = top + 20 * len(rows) + (26 if any(one["y"] >= 1 for one in over) else 8)
    axes = _axes(layout, shown, (edge["l"], wide - edge["r"]), (high - edge["b"], start))
    parts = [_frame(axes[x], axes[y], high) for x, y in dict.fromkeys(map(_pair, shown))]
    parts += [_picture(one, axes) for one in layout.get("images", ())]
    parts += [_shape(one, axes) for one in layout.get("shapes", ())]
    for t, one in traces:
        x, y = (axes[axis] for axis in _pair(one))
        if one["type"] == "bar":
            group = [o for o in shown if o["type"] == "bar" and _pair(o) == _pair(one)]
            drawn = _bar(one, x, y, group, layout, hover)
        elif one["type"] == "heatmap":
            drawn = _heatmap(one, x, y, layout, hover)
        else:
            drawn = _scatter(one, x, y, hover, index)
        parts.append(_tag("g", drawn, data_t=t))
    parts += [_annotation(one, axes) for one in layout.get("annotations", ())]
    if title:
        below = "<br>".join(lines[1:])
        parts += [_text(2, 6, lines[0], size=17, up="top"), _text(2, 30, below, GREY, up="top")]
    parts += [_legend_row(row, top + 8 + 20 * i) for i, row in enumerate(rows)]
    parts += _colour_bars(layout, shown, axes, high)
    said = name or _plain(". ".join(filter(None, lines)))
    whole = {"class": css, "viewBox": f"0 0 {wide:g} {high:g}", "role": role, "aria_label": said}
    font = {"font_family": FONT, "font_size": _SIZE, "fill": "currentColor"}
    return _tag("svg", "".join(parts), **whole, **font)


# Elements and text


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


def _plain(said: str) -> str:
    """Text of a specification, whose labels are escaped, as the characters that it stands for."""
    return html.unescape(_MARKUP.sub("", said.replace("<br>", "\n")))


def _hover(words: Sequence[str] | None, i: int) -> str:
    return f"<title>{_escaped(_plain(words[i]))}</title>" if words is not None else ""


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
    lines = str(said).split("<br>")
    first = y + size * (0.95 - {"top": 0, "middle": 0.5, "bottom": 1}[up] * len(lines) * _LINE)
    inner = ""
    for i, line in enumerate(lines):
        parts = _MARKUP.split(line)
        words = "".join(_SPANS.get(part) or _escaped(html.unescape(part)) for part in parts)
        inner += _tag("tspan", words, x=x, dy=size * _LINE) if i else words
    turned = f"rotate({angle:g} {x:.4g} {y:.4g})" if angle else None
    own = None if size == _SIZE else size
    ink_of = {} if ink == INK else _ink(ink)  # ink is what text inherits
    place = {"x": x, "y": first, "text_anchor": _ANCHORS[across], "font_size": own}
    return _tag("text", inner, **place, **ink_of, transform=turned)


def _ink(colour: str, what: str = "fill") -> Spec:
    """A colour as attributes; ink and grey are the page's own, so that they hold on dark pages."""
    if colour in (INK, GREY, "#000000"):
        return {what: "currentColor", f"{what}_opacity": 0.7 if colour == GREY else None}
    return {what: colour}


def _stroke(line: _Json, colour: str = INK) -> Spec:
    ink = _ink(line.get("color", colour), "stroke")
    dash = _DASHES.get(line.get("dash", ""))
    return {"fill": "none", **ink, "stroke_width": line.get("width", 2), "stroke_dasharray": dash}


# Axes


def _pair(trace: _Json) -> tuple[str, str]:
    return trace.get("xaxis", "x"), trace.get("yaxis", "y")


def _axes(
    layout: _Json, traces: Sequence[_Json], across: tuple[float, float], up: tuple[float, float]
) -> dict[str, _Axis]:
    """Every axis by its name in traces, its domain, and the whole box, ``"paper x"``."""
    made = {"paper x": _Axis(*across), "paper y": _Axis(*up)}
    for name in dict.fromkeys(["x", "y", *(n for trace in traces for n in _pair(trace))]):
        own = layout.get(f"{name[0]}axis{name[1:]}", {})
        first, last = made[f"paper {name[0]}"].at(own.get("domain", (0, 1))).tolist()
        low, high = own.get("range") or _reach(name, traces)
        made[name] = _Axis(first, last, low, high, own)
        made[f"{name} domain"] = _Axis(first, last)
    return made


def _reach(name: str, traces: Sequence[_Json]) -> tuple[float, float]:
    """Range of an axis that says none: its traces' values and a little more."""
    own = [np.asarray(t[name[0]], float) for t in traces if name in _pair(t)]
    values = np.concatenate([*own, [0.0] * any(t["type"] == "bar" for t in traces)])
    values = values[np.isfinite(values)] if np.isfinite(values).any() else np.array([0.0, 1.0])
    low, high = float(values.min()), float(values.max())
    more = 0.04 * (high - low) or 0.5
    return low - more, high + more


def _round_ticks(low: float, high: float) -> list[float]:
    """Round values, at most nine, between two."""
    rough = max(abs(high - low) / 8, 1e-12)
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * f for f in (1, 2, 5, 10) if size * f >= rough)
    first, last = sorted((low, high))
    return [step * n for n in range(math.ceil(first / step), math.floor(last / step) + 1)]


def _frame(x: _Axis, y: _Axis, bottom: float) -> str:
    """Grid, ticks and titles of a pair of axes."""
    parts = []
    for axis, other in ((x, y), (y, x)):
        own, flat = axis.layout, axis is x
        if own.get("visible") is False:
            continue
        values = own["tickvals"] if "tickvals" in own else _round_ticks(axis.low, axis.high)
        words = own.get("ticktext") or [f"{v:g}".replace("-", "−") for v in values]
        places, start, end = axis.at(values).tolist(), f"{other.start:.5g}", f"{other.end:.5g}"
        if own.get("showgrid") and flat:
            d = "".join(f"M{p:.5g} {start}V{end}" for p in places)
        elif own.get("showgrid"):
            d = "".join(f"M{start} {p:.5g}H{end}" for p in places)
        else:
            d = f"M{axis.start:.5g} {start}H{axis.end:.5g}" if flat else ""
        parts.append(_tag("path", d=d, stroke="currentColor", stroke_opacity=0.16) if d else "")
        look: Spec = {"ink": GREY, "across": "right", "angle": own.get("tickangle", 0)}
        look["size"] = own.get("tickfont", {}).get("size", _SIZE)
        turned = look["angle"] != 0
        room = 1.0  # that a word takes along the axis, by its size
        if flat and not turned:
            look |= {"across": "center", "up": "top"}
            room = 0.6 * max((len(_plain(str(word))) for word in words), default=0)
        apart = abs(places[1] - places[0]) if len(places) > 1 else 1.0
        every = max(1, math.ceil(look["size"] * room / max(apart, 0.01)))
        ticks = list(zip(places, words, strict=True)) if own.get("showticklabels", True) else []
        for place, word in ticks[::every]:
            at = (place, other.start + 7) if flat else (other.start - 7, place)
            parts.append(_text(at[0], at[1], str(word), **look))
        title, middle = own.get("title", {}).get("text"), (axis.start + axis.end) / 2
        if title and flat:  # below upright names, which are those of a matrix, is a colour bar
            low = bottom - (58 if turned else 8)
            parts.append(_text(middle, low, title, GREY, across="center", up="bottom"))
        elif title:
            parts.append(_text(12, middle, title, GREY, across="center", angle=-90))
    box = f"{x.start:.5g} {y.end:.5g} {x.end - x.start:.5g} {y.start - y.end:.5g}"
    reach = f"{x.low:g} {x.high:g} {y.low:g} {y.high:g}"
    whole = {"class": "plot", "data_box": box, "data_range": reach}
    return _tag("g", "".join(parts) or " ", **whole)


# Traces


def _each(value: Any, n: int) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple, np.ndarray)) else [value] * n


def _index(data: Any, i: int) -> str:
    """``data-i`` of a mark: its customdata, or its place along the trace."""
    return str(i) if data is None else " ".join(map(str, _each(data[i], 1)))


def _scatter(trace: _Json, x: _Axis, y: _Axis, hover: bool, index: bool) -> str:
    mode, line = trace.get("mode", "lines"), trace.get("line", {})
    across, up = (axis.at(trace[d]) for d, axis in (("x", x), ("y", y)))
    there = (np.isfinite(across) & np.isfinite(up)).tolist()
    colour = line.get("color", COLOURS[0])
    parts = []
    if "lines" in mode:
        before = [False, *there]
        spots = zip(across.tolist(), up.tolist(), there, before, strict=False)
        d = "".join(f"{'L' if on else 'M'}{a:.5g} {b:.5g}" for a, b, ok, on in spots if ok)
        if trace.get("fill") == "toself" and d:
            parts.append(_tag("path", d=f"{d}Z", **_ink(trace.get("fillcolor", colour))))
        if line.get("width", 2) and d:
            parts.append(_tag("path", d=d, stroke_linejoin="round", **_stroke(line, colour)))
    if "error_x" in trace:
        parts.append(_errors(trace, x, up))
    if "markers" in mode:  # what lies far away is drawn at the margin
        across = np.clip(across, min(x.start, x.end), max(x.start, x.end)).round(1).tolist()
        up = np.clip(up, min(y.start, y.end), max(y.start, y.end)).round(1).tolist()
        marker, words = trace.get("marker", {}), trace.get("hovertext") if hover else None
        usual = {"symbol": "circle", "color": colour, "size": 6}
        looks = zip(*(_each(marker.get(k, v), len(up)) for k, v in usual.items()), strict=True)
        groups: dict[tuple[str, str, float], list[str]] = {}
        for i, look in enumerate(looks):
            if there[i]:
                d = _mark(look[0], across[i], up[i], look[2] / 2)
                if index or words is not None:
                    at = _index(trace.get("customdata"), i)
                    d = f'<path d="{d}" data-i="{_escaped(at)}">{_hover(words, i)}</path>'
                groups.setdefault(look, []).append(d)
        for look, marks in groups.items():
            style = {**_marked(*look), "opacity": marker.get("opacity")}
            if index or words is not None:
                parts.append(_tag("g", "".join(marks), **style))
            else:
                parts.append(_tag("path", d="".join(marks), **style))
    return "".join(parts)


def _mark(symbol: str, x: float, y: float, r: float) -> str:
    """A mark as a piece of a path: a dot whose cap is its shape, or an outline."""
    if symbol in _CAPS:
        return f"M{x:g} {y:g}h0"
    if symbol == "circle-open":
        return f"M{x - r:g} {y:g}a{r:g} {r:g} 0 1 0 {2 * r:g} 0a{r:g} {r:g} 0 1 0 {-2 * r:g} 0"
    if symbol == "x-thin-open":
        return f"M{x - r:.5g} {y - r:.5g}l{2 * r:g} {2 * r:g}m0 {-2 * r:g}l{-2 * r:g} {2 * r:g}"
    points = [(a * r, b * r) for a, b in _SHAPES[symbol.removesuffix("-open")]]
    steps = "".join(f"l{c - a:.3g} {d - b:.3g}" for (a, b), (c, d) in itertools.pairwise(points))
    return f"M{x + points[0][0]:.5g} {y + points[0][1]:.5g}{steps}z"


def _marked(symbol: str, colour: str, size: float) -> Spec:
    """Attributes of the path of such marks."""
    if symbol in _CAPS:
        cap = {"stroke_width": size, "stroke_linecap": _CAPS[symbol]}
        return {"fill": "none", **_ink(colour, "stroke"), **cap}
    if symbol.endswith("-open"):
        return {"fill": "none", **_ink(colour, "stroke"), "stroke_width": 1.5}
    return _ink(colour)


def _errors(trace: _Json, x: _Axis, middle: Any) -> str:
    """Error bars along x as one path."""
    own, values = trace["error_x"], np.asarray(trace["x"], float)
    low = x.at(values - np.asarray(own["arrayminus"], float))
    high = x.at(values + np.asarray(own["array"], float))
    c = own.get("width", 4)
    d = "".join(
        f"M{a:.5g} {m - c:.5g}v{2 * c:g}m0 {-c:g}H{b:.5g}m0 {-c:g}v{2 * c:g}"
        for a, b, m in zip(low, high, middle, strict=True)
        if np.isfinite((a, b, m)).all()
    )
    line = {"color": own.get("color", INK), "width": own.get("thickness", 1.5)}
    return _tag("path", d=d, **_stroke(line)) if d else ""


def _bar(
    trace: _Json, x: _Axis, y: _Axis, group: Sequence[_Json], layout: _Json, hover: bool
) -> str:
    """Bars from left to right, those of several traces beside each other."""
    room = trace.get("width", 1 - layout.get("bargap", 0.2)) / len(group)
    shift = (next(i for i, one in enumerate(group) if one is trace) - (len(group) - 1) / 2) * room
    middle = y.at(np.asarray(trace["y"], float) + shift)
    thick = abs(float(y.at(room) - y.at(0))) * (1 - layout.get("bargroupgap", 0))
    marker, words, zero = trace.get("marker", {}), trace.get("hovertext"), float(x.at(0))
    hatches = _HATCHES.get(marker.get("pattern", {}).get("shape", ""), ())
    white = {"stroke": "#fff", "stroke_opacity": 0.75, "pointer_events": "none"}
    parts = []
    for i, (end, m) in enumerate(zip(x.at(trace["x"]).tolist(), middle.tolist(), strict=True)):
        if math.isfinite(end):
            start, long = min(zero, end), abs(end - zero)
            place: Spec = {"x": start, "y": m - thick / 2, "width": long, "height": thick}
            place |= _ink(marker.get("color", COLOURS[0]))
            place["data_i"] = _index(trace.get("customdata"), i)
            parts.append(_tag("rect", _hover(words if hover else None, i), **place))
            for dash in hatches if long > 4 else ():
                cap = "round" if dash == "0 5" else None
                line: Spec = {"stroke_dasharray": dash, "stroke_linecap": cap, **white}
                line["stroke_width"] = thick if dash == "1.5 4" else min(2.5, thick / 2)
                d = f"M{start + 2:.5g} {m:.5g}h{long - 3:.5g}"
                parts.append(_tag("path", d=d, **line))
            if "text" in trace:
                parts.append(_text(max(zero, end) + 5, m, trace["text"][i]))
    return "".join(parts) + (_errors(trace, x, middle) if "error_x" in trace else "")


def _heatmap(trace: _Json, x: _Axis, y: _Axis, layout: _Json, hover: bool) -> str:
    """Cells with their numbers; without numbers areas that are the value, hollow below 0."""
    z, own = np.asarray(trace["z"], float), layout[trace["coloraxis"]]
    low, high = own["cmin"], own["cmax"]
    inks = shades(own["colorscale"], (np.nan_to_num(z) - low) / (high - low))
    across, up = x.at(trace["x"]).tolist(), y.at(trace["y"]).tolist()
    wide, tall = (abs((axis.end - axis.start) / (axis.high - axis.low)) for axis in (x, y))
    box = {"x": min(across) - wide / 2, "y": min(up) - tall / 2}
    box |= {"width": wide * z.shape[1], "height": tall * z.shape[0]}
    frame = _tag("rect", **box, fill="none", stroke="currentColor", stroke_opacity=0.3)
    if z.size > CELLS:
        seen = (np.isfinite(z) & (z != 0))[..., None] * np.uint8(255)
        source = data_address(image_of(np.concatenate([inks, seen], -1)))
        fit = {"preserveAspectRatio": "none", "image_rendering": "pixelated"}
        return _tag("image", **box, **fit, href=source) + frame
    text, data, words = (trace.get(k) for k in ("text", "customdata", "hovertext"))
    less, more = (_hex(ink) for ink in shades(own["colorscale"], np.array([0, 1])))
    parts = [frame]
    for i, k in np.argwhere(z != 0).tolist():
        value, ink, share = z[i, k], inks[i, k], 1.0
        gap = math.isnan(value)
        if text is not None:
            fill: Spec = {"fill": "none" if gap else _hex(ink)}
        elif gap:
            continue
        else:
            share = min(abs(value) / high, 1) ** 0.5
            fill = {"fill": more} if value > 0 else {"fill_opacity": 0, "stroke": less}
        a, b = max((wide - 2) * share, 2), max((tall - 2) * share, 2)
        place = {"x": across[k] - a / 2, "y": up[i] - b / 2, "width": a, "height": b}
        said = _hover(words[i] if hover and words is not None else None, k)
        at = None if data is None else _index(data[i], k)
        parts.append(_tag("rect", said, **place, **fill, data_i=at))
        if text is not None:
            dark = ink @ (0.299, 0.587, 0.114) < 140
            colour = GREY if gap else "#ffffff" if dark else "#222"
            parts.append(_text(across[k], up[i], text[i][k], colour, size=11, across="center"))
    return "".join(parts)


def _hex(ink: Any) -> str:
    return "#{:02x}{:02x}{:02x}".format(*ink)


# Beside the traces


def _colour_bars(
    layout: _Json, traces: Sequence[_Json], axes: dict[str, _Axis], high: float
) -> list[str]:
    """The scale of each colour axis, below the heatmaps that it is of."""
    of: dict[str, list[_Axis]] = {}
    for trace in traces:
        if "coloraxis" in trace:
            of.setdefault(trace["coloraxis"], []).append(axes[_pair(trace)[0]])
    parts = []
    for name, along in of.items():
        own, middle = layout[name], (along[0].start + along[-1].end) / 2
        wide = min(150.0, along[-1].end - along[0].start)
        scale = _Axis(middle - wide / 2, middle + wide / 2, own["cmin"], own["cmax"])
        for i, ink in enumerate(shades(own["colorscale"], (np.arange(30) + 0.5) / 30)):
            place: Spec = {
                "x": scale.start + i * wide / 30,
                "y": high - 26,
                "width": wide / 30 + 0.3,
            }
            parts.append(_tag("rect", **place, height=8, fill=_hex(ink)))
        ticks, look = own["colorbar"], _SMALL
        for value, word in zip(ticks["tickvals"], ticks["ticktext"], strict=True):
            if word:
                parts.append(_text(float(scale.at(value)), high - 15, word, up="top", **look))
        parts.append(_text(middle, high - 30, ticks["title"]["text"], up="bottom", **look))
    return parts


def _refs(one: _Json, axes: dict[str, _Axis]) -> list[_Axis]:
    refs = [(d, one.get(f"{d}ref", d)) for d in "xy"]
    return [axes[f"paper {d}" if ref == "paper" else ref] for d, ref in refs]


def _picture(one: _Json, axes: dict[str, _Axis]) -> str:
    x, y = _refs(one, axes)
    left, right = x.at((one["x"], one["x"] + one["sizex"])).tolist()
    top, bottom = y.at((one["y"], one["y"] + one["sizey"])).tolist()
    crisp = "pixelated" if one.get("name") == "pixelated" else None
    place = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    return _tag("image", **place, image_rendering=crisp, href=one["source"])


def _shape(one: _Json, axes: dict[str, _Axis]) -> str:
    x, y = _refs(one, axes)
    (a, c), (b, d) = x.at((one["x0"], one["x1"])), y.at((one["y0"], one["y1"]))
    path = f"L{c:.5g} {d:.5g}" if one.get("type") == "line" else f"H{c:.5g}V{d:.5g}H{a:.5g}z"
    return _tag("path", d=f"M{a:.5g} {b:.5g}{path}", **_stroke(one.get("line", {})))


def _annotation(one: _Json, axes: dict[str, _Axis]) -> str:
    x, y = (axis.at(one[d]).item() for d, axis in zip("xy", _refs(one, axes), strict=True))
    x, y = x + one.get("xshift", 0), y - one.get("yshift", 0)
    font, across, up = one["font"], one.get("xanchor", "center"), one.get("yanchor", "middle")
    words = _text(x, y, one["text"], font["color"], font["size"], across, up)
    if "bgcolor" not in one:
        return words
    halo = {"stroke": "#ffffff", "stroke_opacity": 0.75, "stroke_width": 3, "paint_order": "stroke"}
    return _tag("g", words, **halo, fill="#222222")


_Entry = tuple[float, str, _Json | None]


def _legend(layout: _Json, traces: Sequence[_Json], wide: float) -> list[list[_Entry]]:
    """Rows of a legend, place, words and trace of each entry; none of one trace alone."""
    listed = [t for t in traces if t.get("showlegend", "name" in t)]
    if len(listed) < 2 or layout.get("showlegend") is False:
        return []
    title = layout.get("legend", {}).get("title", {}).get("text")
    entries: list[tuple[str, _Json | None]] = [(title, None)] if title else []
    entries += [(t["name"], t) for t in sorted(listed, key=lambda t: t.get("legendrank", 1000))]
    rows: list[list[_Entry]] = [[]]
    x = 4.0
    for words, trace in entries:
        long = 0.56 * _SIZE * len(_plain(words)) + (42 if trace else 10)
        if rows[-1] and x + long > wide:
            rows.append([])
            x = 4.0
        rows[-1].append((x, words, trace))
        x += long
    return rows


def _legend_row(row: Sequence[_Entry], y: float) -> str:
    parts = []
    for left, words, trace in row:
        parts.append(_text(left + 29 if trace else left, y, words, INK if trace else GREY))
        if trace is None:
            continue
        x, up = _Axis(left, left + 24), _Axis(y + 5, y - 5)
        one: dict[str, Any] = {
            k: trace[k] for k in ("type", "line", "fill", "fillcolor") if k in trace
        }
        one["marker"] = {k: _each(v, 1)[0] for k, v in trace.get("marker", {}).items()}
        mode = trace.get("mode", "lines")
        if trace["type"] == "bar":
            one |= {"x": [1], "y": [0.5], "width": 1}
            parts.append(_bar(one, x, up, [one], {}, False))
            continue
        if "fill" in trace:
            one |= {"x": [0, 1, 1, 0], "y": [0, 0, 1, 1]}
            parts.append(_scatter(one, x, up, False, False))
            continue
        for kind, at in (("lines", [0, 1]), ("markers", [0.5])):
            if kind in mode:
                one |= {"x": at, "y": [0.5] * len(at), "mode": kind}
                parts.append(_scatter(one, x, up, False, False))
    return "".join(parts)
