"""What each label's images are read as: of two arms, and the difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit import analysis
from inversion_kit.arm_roles import main_arm, name_arm
from inversion_kit.figures import style
from inversion_kit.figures.style import CELLS, Spec, arm_name, figure, hover, text, wide

REST = "other classes"
_NAMES = 16
"""Columns named at most: upright, more would lie on each other at 1,000 pixels."""
_ORDINALS = {2: "2nd", 3: "3rd"}


def confusion(
    tree: xr.DataTree | xr.Dataset,
    *,
    arm: str | None = None,
    control: str | None = None,
    most: int = 50,
) -> Any:
    """Confusion matrices of two arms and their difference, side by side.

    A row is a label that the images were made for, a column a class that they are read as. The
    framed cells are the labels themselves.

    Parameters
    ----------
    tree
        A result, or its `inversion_kit.analysis.reads`.
    arm, control
        Right and left matrix; the difference is ``arm`` minus ``control`` on shared noises. The
        token and the name prompt where not given.
    most
        Labels at most: of more, those that the arm misses most often. Columns are these labels,
        the other classes that take most of their images, and the sum of the rest.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> figure = confusion(synthetic(outcomes=("meaning", "mixed")))
    >>> [trace.type for trace in figure.data if trace.type == "heatmap"]
    ['heatmap', 'heatmap', 'heatmap']
    """
    reads = analysis.reads(tree)
    return figure(confusion_spec(reads, arm=arm, control=control, most=most))


def confusion_spec(
    reads: xr.Dataset,
    *,
    arm: str | None = None,
    control: str | None = None,
    most: int = 50,
    show: Sequence[str] = ("control", "arm", "difference"),
) -> Spec:
    """The specification of `confusion`, from `inversion_kit.analysis.reads`.

    ``customdata`` of a cell is the place of its row along ``label`` and of its column along
    ``class``, -1 of the sum of the rest. A result without the control has the arm's matrix alone.

    Parameters
    ----------
    reads
        Along label, arm, seed and sample.
    arm, control, most
        As of `confusion`.
    show
        Which panels: ``"control"``, ``"arm"``, ``"difference"``. Rows and columns are the same
        whichever are shown.

    Returns
    -------
    dict
        A specification in plotly's JSON terms: ``data`` and ``layout``.
    """
    tables = _tables(reads, arm, control)
    shown = [part for part in show if part in tables] or ["arm"]
    shares = [tables[part][0] for part in ("arm", "control") if part in tables]
    rows, columns, rest = _chosen(reads["label_index"].values, shares, most)
    labels, classes = ([str(n) for n in reads[dim].values] for dim in ("label", "class"))
    made_for = [labels[r] for r in rows]
    read_as = [classes[c] for c in columns] + [REST] * rest
    cells = np.stack(np.meshgrid(rows, [*columns, *[-1] * rest], indexing="ij"), -1)
    axes, titles = style.panels([tables[part][2] for part in shown], 0.03)
    traces: list[Spec] = []
    layouts: Spec = {"annotations": titles, "showlegend": False}
    every = -(-len(read_as) // _NAMES)
    heads = [text(name, most=22) for name in read_as]
    heads[len(columns) :] = [f"<i>{REST}</i>"] * rest
    ticks = {"tickvals": list(range(0, len(heads), every)), "ticktext": heads[::every]}
    ticks |= {"tickmode": "array", "tickangle": -90, "tickfont": {"size": 11}, "ticks": ""}
    across = {"title": {"text": "read as"}, "range": [-0.5, len(heads) - 0.5], **ticks}
    own: Spec = {"range": [len(rows) - 0.5, -0.5], "tickfont": {"size": 11}}
    for (number, domain), part in zip(axes, shown, strict=True):
        whole, images, title = tables[part]
        share = whole[rows][:, columns]
        if rest:
            share = np.column_stack([share, np.delete(whole[rows], columns, 1).sum(1)])
        heat = _heat(share, images[rows], made_for, read_as, title, part == "difference")
        traces.append(heat | {"customdata": cells} | style.on(number))
        if share.size <= CELLS:
            traces.append(_frames(len(rows)) | style.on(number))
        beside: Spec = {"matches": "y", "showticklabels": False} if number else {}
        beside = beside or {"title": {"text": "made for"}}
        up = style.rows_axis(made_for, **own, **beside)
        layouts |= style.panel(number, domain, across, up)
    said = "share of each label's test images, by the audited classifier"
    if every > 1:
        ordinal = _ORDINALS.get(every, f"{every}th")
        said += f"; every {ordinal} column is named, hover names each"
    if len(rows) < len(labels):
        left_out = len(labels) - len(rows)
        said += f"; the {len(rows)} labels missed most often, {left_out} left out"
    tall = max(150, min(26 if _small(cells) else 14, 840 / len(rows)) * len(rows))
    below = wide(read_as, 22) + 40
    bars = {part: domain for (_, domain), part in zip(axes, shown, strict=True)}
    layouts |= _colour_axes(bars, -below / tall)
    layouts |= {"margin": style.margin(wide(made_for) + 30, 30, 110, below + 60)}
    layouts |= {"height": int(110 + tall + below + 60)}
    layout = style.layout("What the images are read as", said, **layouts)
    return {"data": traces, "layout": layout}


_Table = tuple[np.ndarray, np.ndarray, str]


def _tables(reads: xr.Dataset, arm: str | None, control: str | None) -> dict[str, _Table]:
    """Shares ``(label, class)``, images ``(label,)`` and title of what can be shown."""
    arms = [str(a) for a in reads["arm"].values]
    arm = main_arm(arms) if arm is None else arm
    control = name_arm(arms) if control is None else control
    ours, name = analysis.confusion(reads, arm), arm_name(arm)
    made = {"arm": (ours["share"].values, ours["images"].values, name)}
    if control is not None and control != arm:
        theirs, other = analysis.confusion(reads, control), arm_name(control)
        change = analysis.confusion_difference(reads, arm, control)
        made["control"] = theirs["share"].values, theirs["images"].values, other
        parts = change["difference"].values, change["pairs"].values
        made["difference"] = *parts, f"{name} − {other}"
    return made


def _small(cells: np.ndarray) -> bool:
    """Whether cells ``(row, column)`` have room for their numbers."""
    return cells.shape[0] <= 12 and cells.shape[1] <= 14


def _heat(
    share: np.ndarray,
    images: np.ndarray,
    rows: list[str],
    heads: list[str],
    title: str,
    signed: bool,
) -> Spec:
    """One matrix; the text of its cells only where they are few."""
    rows, heads = [text(name) for name in rows], [text(name) for name in heads]
    trace: Spec = {"type": "heatmap", "z": share, "name": title, "xgap": 1, "ygap": 1}
    trace |= {"x": list(range(len(heads))), "y": list(range(len(rows))), "hoverongaps": False}
    trace["coloraxis"] = "coloraxis2" if signed else "coloraxis"
    if share.size > CELLS:
        return trace
    said = [[_cell(value, signed) for value in row] for row in share]
    words = []
    for row, n, cells in zip(rows, images, said, strict=True):
        of = f"of {n} images<br>{title}"
        pairs = zip(heads, cells, strict=True)
        words.append([f"made for {row}, read as {head}: {cell} {of}" for head, cell in pairs])
    if _small(share):
        trace |= {"text": said, "texttemplate": "%{text}", "textfont": {"size": 11}}
    return trace | hover(words)


def _chosen(
    own: np.ndarray, shares: Sequence[np.ndarray], most: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Rows, columns, and whether images are read as a class that is no column."""
    correct = shares[0][np.arange(len(own)), own]
    rows = np.sort(np.argsort(np.nan_to_num(correct, nan=2), kind="stable")[:most])
    weight = np.sum([np.nan_to_num(share[rows]).sum(0) for share in shares], 0)
    weight[own[rows]] = 0
    extra = [c for c in np.argsort(-weight, kind="stable") if weight[c] > 0][: max(5, most // 5)]
    weight[extra] = 0
    return rows, np.array([*own[rows], *sorted(extra)], int), bool(weight.any())


def _frames(n: int) -> Spec:
    """Frames of the cells on the diagonal, which are the labels themselves."""
    steps = {"x": (-0.5, 0.5, 0.5, -0.5, -0.5), "y": (-0.5, -0.5, 0.5, 0.5, -0.5)}
    at = {d: [v for i in range(n) for v in (*(i + s for s in steps[d]), None)] for d in "xy"}
    return style.curve(at["x"], at["y"], "the label itself", style.GREY, 1) | hover(None)


def _colour_axes(domains: dict[str, list[float]], y: float) -> Spec:
    """Colours of shares and of differences; their bars lie below the matrices that they are of."""
    shares, points = ("", "", "0", "50 %", "100 %"), ("−100", "−50", "0", "+50", "+100")
    made: Spec = {}
    for name, stops, low, title, words, parts in (
        ("coloraxis", style.SHARES, 0, "share", shares, ("control", "arm")),
        ("coloraxis2", style.CHANGES, -1, "difference, points", points, ("difference",)),
    ):
        under = [domains[part] for part in parts if part in domains]
        if under:
            left, right = min(d[0] for d in under), max(d[1] for d in under)
            bar: Spec = {"orientation": "h", "thickness": 10, "y": y, "yanchor": "top"}
            bar |= {"x": (left + right) / 2, "len": min(0.4, right - left)}
            bar |= {"title": {"text": title, "side": "top"}, "tickfont": {"size": 11}}
            bar |= {"tickvals": [-1, -0.5, 0, 0.5, 1], "ticktext": list(words)}
            scale = [list(stop) for stop in stops]
            made[name] = {"colorscale": scale, "cmin": low, "cmax": 1, "colorbar": bar}
    return made


def _cell(value: float, signed: bool) -> str:
    if np.isnan(value):
        return "–"
    whole = round(100 * value)
    if not whole:
        return "0"
    return f"{whole:+d}".replace("-", "−") if signed else str(whole)
