"""Shares and differences with their intervals: one beside its number, and charts of many."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr

from inversion_kit.analysis.words import arm_words, bracket, points
from inversion_kit.figures import style
from inversion_kit.figures.style import Spec, hover, layout, marks, text


def interval_svg(value: float, low: float, high: float, least: float = 0.0) -> str:
    """A share or a difference with its interval as a small drawing, to stand beside its number.

    Parameters
    ----------
    value, low, high
        In [least, 1], clipped to it; ends that are NaN are not drawn.
    least
        Left end of the axis: 0 of shares, -1 of differences; ticks stand at its ends and middle.

    Returns
    -------
    str
        An ``<svg>`` without text for a page in HTML, whose style gives its parts ``axis``,
        ``reach`` and ``at`` their colours.

    Examples
    --------
    >>> drawn = interval_svg(0.5, 0.25, 1.0)
    >>> drawn.split("<path ")[2]
    'class="reach" d="M32.5 6H115"/><circle class="at" cx="60" cy="6" r="5"/></svg>'
    """

    def at(share: float) -> str:
        along = (min(max(share, least), 1) - least) / (1 - least)
        return f"{round(5 + 110 * along, 1):g}"

    reach = "" if math.isnan(low) else f'<path class="reach" d="M{at(low)} 6H{at(high)}"/>'
    return (
        '<svg class="interval" viewBox="0 0 120 12" aria-hidden="true">'
        '<path class="axis" d="M5 6H115M5 2v8M60 2v8M115 2v8"/>'
        f'{reach}<circle class="at" cx="{at(value)}" cy="6" r="5"/></svg>'
    )


def gains_spec(table: xr.Dataset) -> Spec:
    """Success of every arm less that of the arm compared with, by each scorer.

    Parameters
    ----------
    table
        What `inversion_kit.evaluate` gave.

    Examples
    --------
    >>> from inversion_kit.analysis.quality import dataset, successes
    >>> from inversion_kit.testing import synthetic
    >>> made = dataset(successes(synthetic(labels=2)), synthetic(labels=2))
    >>> made.attrs["control"] = "name"
    >>> [trace["name"] for trace in gains_spec(made)["data"]]
    ['synthetic:classifier', 'judge']
    """
    control, arms = str(table.attrs["control"]), [str(a) for a in table["arm"].values]
    rows = [a for a in arms if a != control]
    asked = table.sel(arm=rows)
    values = np.array([asked[f"overall_gain{end}"].values for end in ("", "_low", "_high")])
    names = [str(s) for s in table["scorer"].values]
    title = f"Read as the label, less {style.arm_name(control)}"
    said = "points on the same noise, all labels; lines: 95 % intervals; grey line: no difference"
    return _marked([arm_words(a) for a in rows], names, values, title, said, signed=True)


def covered_spec(table: xr.Dataset) -> Spec:
    """Of the traits that real images of a label show, the share that each arm shows too.

    Parameters
    ----------
    table
        What `inversion_kit.coverage` gave.

    Examples
    --------
    >>> ends = {f"covered{end}": ("set", [v, 1.0]) for end, v in
    ...         (("", 0.5), ("_low", 0.2), ("_high", 0.8))}
    >>> made = xr.Dataset(ends, {"set": ["token", "real"]}, {"real_traits": 8})
    >>> covered_spec(made)["layout"]["yaxis"]["ticktext"]
    ['token']
    """
    arms = [str(s) for s in table["set"].values][:-1]
    asked = table.sel(set=arms)
    values = np.array([asked[f"covered{end}"].values for end in ("", "_low", "_high")])[..., None]
    title = "Traits of real images that an arm shows too"
    said = f"share of {table.attrs['real_traits']} traits; lines: 95 % intervals"
    return _marked([arm_words(a) for a in arms], ["traits"], values, title, said)


def _marked(
    rows: Sequence[str],
    names: Sequence[str],
    values: np.ndarray,
    title: str,
    said: str,
    *,
    signed: bool = False,
) -> Spec:
    """A row of marks each, ``values`` ``(3, row, name)``: value and ends."""
    traces = []
    for k, name in enumerate(names):
        value, low, high = (part[:, k].astype(float) for part in values)
        colour, symbol = style.look(k)
        at = (np.arange(len(rows)) + (k - (len(names) - 1) / 2) * 0.5 / len(names)).tolist()
        said_of = points if signed else style.percent
        shown = [
            f"{text(row)}, {text(name)}: {said_of(v)} {bracket(a, b)}"
            for row, v, a, b in zip(rows, value, low, high, strict=True)
        ]
        mark = marks(value.tolist(), at, text(name), colour, symbol, 10)
        bars = style.errors(value, low, high, color=colour, thickness=2, width=5)
        traces.append(mark | bars | hover(shown))
    made: Spec = {"height": 190 + len(rows) * max(30, 16 * len(names))}
    made |= {"xaxis": _differences(values) if signed else style.share_axis("share of the traits")}
    if signed:
        made |= {"shapes": [style.straight((0, 0), (0, 1), yref="y domain")]}
    made |= {"yaxis": style.rows_axis(list(rows), len(rows)), "legend": style.above()}
    made |= {"margin": style.margin(style.wide(list(rows)))}
    return {"data": traces, "layout": layout(title, said, **made)}


def _differences(values: np.ndarray) -> Spec:
    """An axis of differences of shares, in points, as wide as they reach."""
    ends = np.nan_to_num(np.concatenate([[0.0], values.ravel()]))
    reach = [1.1 * float(ends.min()) - 0.03, 1.1 * float(ends.max()) + 0.03]
    step = 0.25 if reach[1] - reach[0] > 0.7 else 0.1 if reach[1] - reach[0] > 0.25 else 0.05
    ticks = [k * step for k in range(-20, 21) if reach[0] <= k * step <= reach[1]]
    words = [points(tick) for tick in ticks]
    grid = {"showgrid": True, "gridcolor": "#E6E6E6", "zeroline": False, "range": reach}
    return {"title": {"text": "points"}, "tickvals": ticks, "ticktext": words, **grid}
