"""Elements of SVG as text: tags, boxes, words, colours; every text is escaped here."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from inversion_kit.figures.style import GREY, INK, Spec
from inversion_kit.pictures import data_address, image_of

SIZE = 12
"""Of text, in pixels."""
_LINE = 1.25
"""The distance of a text's lines by its size."""
_ANCHORS = {"left": None, "center": "middle", "right": "end"}
_DASHES = {"dash": "6 4", "dot": "2 3", "dashdot": "6 3 2 3"}
_MARKUP = re.compile(r"(</?[bi]>)")
_SPANS = {"<b>": '<tspan font-weight="600">', "<i>": '<tspan font-style="italic">'}
_SPANS |= {"</b>": "</tspan>", "</i>": "</tspan>"}
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

Json = Mapping[str, Any]
"""A part of a specification."""


def escaped(said: str) -> str:
    """Text as XML has it; characters that it cannot hold are replaced."""
    return html.escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", said))


def tag(kind: str, inner: str = "", **attributes: Any) -> str:
    """An element; attributes that are None are left out, ``_`` in their names is ``-``."""
    said = "".join(
        f' {key.replace("_", "-")}="{escaped(one) if isinstance(one, str) else f"{one:.5g}"}"'
        for key, one in attributes.items()
        if one is not None
    )
    return f"<{kind}{said}>{inner}</{kind}>" if inner else f"<{kind}{said}/>"


def box_of(left: float, top: float, width: float, height: float) -> Spec:
    """Place and size as attributes."""
    return {"x": left, "y": top, "width": width, "height": height}


def unescaped(said: str) -> str:
    """Text of a specification, whose labels are escaped, as the characters that it stands for."""
    return html.unescape(_MARKUP.sub("", said.replace("<br>", "\n")))


def words_at(
    x: float,
    y: float,
    said: str,
    ink: str = INK,
    size: float = SIZE,
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
        words = "".join(_SPANS.get(part) or escaped(html.unescape(part)) for part in parts)
        inner += tag("tspan", words, x=x, dy=size * _LINE) if i else words
    turned = f"rotate({angle:g} {x:.4g} {y:.4g})" if angle else None
    own = {"font_size": None if size == SIZE else size, "transform": turned}
    own |= {} if ink == INK else ink_of(ink)  # ink is what text inherits
    return tag("text", inner, x=x, y=first, text_anchor=_ANCHORS[across], **own)


def ink_of(colour: str, what: str = "fill") -> Spec:
    """A colour as attributes; ink and grey are the page's own, so that they hold on dark pages."""
    if colour in (INK, GREY, "#000000"):
        return {what: "currentColor", f"{what}_opacity": 0.7 if colour == GREY else None}
    return {what: colour}


def stroke_of(color: str, width: float, dash: str = "solid") -> Spec:
    """A line as attributes."""
    ink = ink_of(color, "stroke")
    return {"fill": "none", **ink, "stroke_width": width, "stroke_dasharray": _DASHES.get(dash)}


def hex_of(ink: Any) -> str:
    """A colour uint8 ``(3,)`` as ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*ink)


def pixels_in(pixels: np.ndarray, box: Spec) -> str:
    """Colours as one picture, a pixel each."""
    fit = {"preserveAspectRatio": "none", "image_rendering": "pixelated"}
    return tag("image", **box, **fit, href=data_address(image_of(pixels)))
