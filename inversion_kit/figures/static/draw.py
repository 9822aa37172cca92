"""A whole specification as one ``<svg>`` element."""

from __future__ import annotations

from inversion_kit.figures.static.around import annotation, legend_of, picture, shape
from inversion_kit.figures.static.axes import Sheet, axes_of, draw_axis
from inversion_kit.figures.static.bars import bars
from inversion_kit.figures.static.elements import SIZE, Json, tag, unescaped, words_at
from inversion_kit.figures.static.heatmap import colour_bars, heatmap
from inversion_kit.figures.static.marks import scatter
from inversion_kit.figures.style import FONT, GREY


def svg(
    spec: Json,
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
    legend, rows = legend_of(layout, shown, wide, top + 8)
    notes, edge = layout.get("annotations", ()), layout["margin"]
    over = any(one.get("yref") == "paper" and one["y"] >= 1 for one in notes)
    up = high - edge["b"], top + 20 * rows + (26 if over else 8)
    axes = axes_of(layout, (edge["l"], wide - edge["r"]), up)
    sheet = Sheet(layout, shown, axes, hover, index)
    parts = []
    for x, y in {one.get("xaxis"): sheet.pair(one) for one in shown}.values():
        box = f"{x.start:.5g} {y.end:.5g} {x.end - x.start:.5g} {y.start - y.end:.5g}"
        place = {"data_box": box, "data_range": f"{x.low:g} {x.high:g} {y.low:g} {y.high:g}"}
        drawn = draw_axis(x, y, high, flat=True) + draw_axis(y, x, high, flat=False)
        parts.append(tag("g", drawn or " ", **{"class": "plot"}, **place))
    parts += [picture(sheet, one) for one in layout.get("images", ())]
    parts += [shape(sheet, one) for one in layout.get("shapes", ())]
    kinds = {"bar": bars, "heatmap": heatmap}
    for t, one in traces.items():
        parts.append(tag("g", kinds.get(one["type"], scatter)(sheet, one), data_t=t))
    parts += [annotation(sheet, one) for one in notes]
    if title:
        parts.append(words_at(2, 6, lines[0], size=17, up="top"))
        parts.append(words_at(2, 30, "<br>".join(lines[1:]), GREY, up="top"))
    parts += [legend, *colour_bars(sheet, high)]
    said = name or unescaped(". ".join(filter(None, lines)))
    whole = {"class": css, "viewBox": f"0 0 {wide:g} {high:g}", "role": role, "aria_label": said}
    font = {"font_family": FONT, "font_size": SIZE, "fill": "currentColor"}
    return tag("svg", "".join(parts), **whole, **font)
