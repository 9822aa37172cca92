"""Where images and class tokens lie."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from inversion_kit import analysis
from inversion_kit.analysis.label_places import label_places
from inversion_kit.analysis.label_verdict import with_findings
from inversion_kit.analysis.words import DRAWN, POINT_VERDICTS, REAL
from inversion_kit.arm_roles import main_arm
from inversion_kit.errors import InputError
from inversion_kit.figures import style
from inversion_kit.figures.style import Spec, arm_name, figure, hover, look, note, text

Colour = Literal["label", "arm", "verdict", "finding"]
_NAMED = 45
"""Labels up to which each is a trace of its own."""
_PANEL = (380, 440)
"""Pixels of a panel, at least, of a figure 1,000 wide."""
_MANY = 3000
"""Points of a panel above which WebGL draws them."""
_TITLES = {
    "image": "images ({} of the classifier's features)",
    "token": "class tokens ({} of the embeddings)",
}
_LOOKS = {
    "confirmed": (style.COLOURS[0], "circle"),
    "not confirmed": (style.COLOURS[1], "square"),
    "not judged": (style.COLOURS[2], "diamond"),
    "not read as the label": (style.GREY, "x-thin-open"),
    "real": (style.INK, "circle-open"),
}


_FINDINGS = {
    "backdoor-like": (style.COLOURS[1], "square"),
    "shortcut": (style.COLOURS[4], "diamond"),
    "mislabelled": (style.INK, "hourglass"),
    "lack": (style.COLOURS[3], "triangle-up"),
    "adversarial only": (style.COLOURS[6], "star"),
    "uncertain": (style.COLOURS[5], "x"),
    "natural confusion": (style.COLOURS[2], "circle"),
    "as expected": (style.GREY, "circle-open"),
    "": (style.GREY, "x-thin-open"),
}
"""By what a label's findings come to, from the top to the bottom."""


def projection(points: xr.DataTree | xr.Dataset, *, colour: Colour = "label") -> Any:
    """UMAP (or PCA) of images, by the classifier's features, and of tokens, by their embedding.

    Two panels: the spaces are projected apart.

    Parameters
    ----------
    points
        From `inversion_kit.analysis.project`, or a result with a group ``/projection``; one
        without is projected.
    colour
        What colour and symbol stand for; ``"finding"``, what the findings of a point's label come
        to, only of a result.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        ``colour`` is another word, or ``"finding"`` of points alone.

    Examples
    --------
    >>> from inversion_kit.analysis import project
    >>> from inversion_kit.testing import synthetic
    >>> figure = projection(project(synthetic(labels=2), method="pca"), colour="arm")
    >>> sorted({t.name for t in figure.data})
    ['name prompt', 'start', 'token']
    """
    if isinstance(points, xr.DataTree):
        there = analysis.stored(points)
        rows = analysis.numbers(points, detail=False)["labels"] if colour == "finding" else []
        points = with_findings(analysis.project(points) if there is None else there, rows)
    return figure(projection_spec(points, colour=colour))


def projection_spec(
    points: xr.Dataset,
    *,
    colour: Colour = "label",
    space: Literal["image", "token"] | None = None,
    names: Mapping[str, str] | None = None,
) -> Spec:
    """The specification of `projection`: of both spaces, or of one alone.

    ``customdata`` of every point is its place along ``point``. By verdict, tokens differ by
    their arm, and what only the classifier reads as the label lies above the rest.

    Parameters
    ----------
    points
        What `inversion_kit.analysis.project` or `stored` gave.
    colour
        As of `projection`.
    space
        ``"image"`` or ``"token"``; both, side by side, where not given.
    names
        What stands at each label's points; where not given its name, of at most 12 labels.

    Returns
    -------
    dict
        A specification in plotly's JSON terms: ``data`` and ``layout``.

    Raises
    ------
    InputError
        No such ``colour``, or "finding" of points that carry none.
    """
    if colour not in get_args(Colour):
        raise InputError(f"colour={colour!r}: must be one of {', '.join(get_args(Colour))}")
    if colour == "finding" and "finding" not in points:
        raise InputError("colour='finding': give the result itself, projection(tree, ...)")
    of_space = points["space"].values.astype(str)
    drawn = [s for s in ("image", "token") if s in (space or s) and (of_space == s).any()]
    titles = [_TITLES[s].format(str(points.attrs[f"{s}_method"]).upper()) for s in drawn]
    axes, notes = style.panels(titles or ["nothing to place"], 0.05)
    labels = list(dict.fromkeys(points["of_label"].values.astype(str).tolist()))
    shown = names or {n: n for n in labels if colour != "arm" and len(labels) <= 12}
    words = np.array(_hover(points), dtype=object)
    traces: list[Spec] = []
    layouts: Spec = {}
    for (number, domain), name in zip(axes, drawn, strict=False):
        inside = np.flatnonzero(of_space == name)
        kind = {"type": "scattergl"} if len(inside) > _MANY else {}
        for rank, said, at, (ink, symbol) in _groups(points, inside, colour, name, labels):
            x, y = (points[d].values[at].tolist() for d in "xy")
            mark = style.marks(x, y, said, ink, symbol, 7 if name == "image" else 10)
            mark["marker"]["opacity"] = 0.75
            group = f"{rank} {said}"
            first = group not in [trace["legendgroup"] for trace in traces]
            listed = {"legendgroup": group, "legendrank": 1000 + rank, "showlegend": first}
            mark |= kind | style.on(number) | listed
            traces.append(mark | hover(words[at].tolist(), at.tolist()))
        bare = {"showticklabels": False, "ticks": "", "tickvals": []}
        across, up = ({"range": _range(points[d].values[inside]), **bare} for d in "xy")
        layouts |= style.panel(number, domain, across, up)
        if shown:
            notes += _names(points, inside, shown, number)
    note_of = f"colour and symbol: {colour}; axes have no unit, near points are alike"
    if colour == "label" and len(labels) > _NAMED:
        note_of += "; colours and symbols repeat, hover names the label"
    if points.attrs["left_out"]:
        note_of += f"; {points.attrs['left_out']} images left out"
    title_of = "arm" if (colour, space) == ("verdict", "token") else colour
    layouts |= {"annotations": notes, "legend": {**style.above(title_of), "y": 1.05}}
    layouts |= {"height": 600, "margin": style.margin(20, 20, 130, 20)}
    title = "Where images and class tokens lie"
    return {"data": traces, "layout": style.layout(title, note_of, **layouts)}


def _groups(
    points: xr.Dataset, inside: np.ndarray, colour: str, space: str, labels: list[str]
) -> list[tuple[int, str, np.ndarray, tuple[Any, Any]]]:
    """Points that look the same, in the order of drawing: rank, name, places, colour and symbol."""
    if colour == "verdict" and space == "image":
        verdict = points["verdict"].values.astype(str)[inside]
        drawn = [v for v in DRAWN if (verdict == v).any()]
        return [(POINT_VERDICTS.index(v), v, inside[verdict == v], _LOOKS[v]) for v in drawn]
    if colour == "finding":
        verdict_of = points["finding"].values.astype(str)[inside]
        return [
            (rank, word or "not of this result", inside[verdict_of == word], _FINDINGS[word])
            for rank, word in reversed(list(enumerate(_FINDINGS)))
            if (verdict_of == word).any()
        ]
    by = "of_label" if colour == "label" else "of_arm"
    rank_of, name_of = (labels.index, text) if colour == "label" else (style.arm_rank, arm_name)
    values = points[by].values.astype(str)[inside]
    ranks = {v: rank_of(v) for v in set(values.tolist())}
    if colour == "label" and len(labels) > _NAMED:
        inks, symbols = zip(*(look(ranks[v]) for v in values.tolist()), strict=True)
        return [(0, f"{len(labels)} labels", inside, (list(inks), list(symbols)))]
    first = len(POINT_VERDICTS) if colour == "verdict" else 0
    return [
        (first + rank, name_of(v), inside[values == v], look(rank))
        for v, rank in sorted(ranks.items(), key=lambda pair: pair[1])
    ]


def _hover(points: xr.Dataset) -> list[str]:
    names = ("space", "of_label", "of_arm", "of_seed", "of_sample", "read_as", "verdict")
    said, arm_said = cache(text), cache(arm_name)
    made = []
    for space, label, arm, seed, sample, read, verdict in zip(
        *(points[n].values.tolist() for n in names), strict=True
    ):
        who = f"{said(label)}, {arm_said(arm)}"
        if space == "token":
            made.append(f"token of {who}<br>run {seed}")
        else:
            where = "" if arm == REAL else f": {verdict}<br>run {seed}, image {sample}"
            made.append(f"{who}<br>read as {said(read)}{where}")
    return made


def _range(values: np.ndarray) -> list[float]:
    """Where the points are; of very many a few far ones would press all others together."""
    ends = (0.005, 0.995) if len(values) > 400 else (0, 1)
    low, high = (float(v) for v in np.quantile(values, ends))
    more = 0.06 * (high - low) or 0.5
    return [low - more, high + more]


def _names(
    points: xr.Dataset, inside: np.ndarray, shown: Mapping[str, str], number: str
) -> list[Spec]:
    """Each label's name over one of its points that is read as it, or of its tokens, if it fits."""
    arms = points["of_arm"].values.astype(str)[inside]
    if points["space"].values[inside[0]] == "image":
        own = (points["verdict"].values[inside] != "not read as the label") & (arms != REAL)
    else:
        own = arms == main_arm(dict.fromkeys(arms.tolist()))
    chosen = inside[own]
    x, y = (points[d].values[chosen] for d in "xy")
    long, high = (float(np.ptp(points[d].values[inside])) for d in "xy")
    names = {label: text(name, most=20) for label, name in shown.items()}
    width = {value: (7 * len(said) + 8) * long / _PANEL[0] for value, said in names.items()}
    label = points["of_label"].values[chosen].astype(str)
    look_of: Spec = {"yshift": 16, "bgcolor": style.GLASS}
    look_of |= {"xref": f"x{number}", "yref": f"y{number}"}
    return [
        note(names[label[i]], x=float(x[i]), y=float(y[i]), **look_of)
        for i in label_places(x, y, label, width, 18 * high / _PANEL[1])
    ]
