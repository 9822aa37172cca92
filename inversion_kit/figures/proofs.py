"""The proof of a finding: pictures with and without its cue, and how often they hit by dose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xarray as xr

from inversion_kit import analysis
from inversion_kit.analysis.tied import ROWS
from inversion_kit.errors import InputError
from inversion_kit.figures import style
from inversion_kit.figures.images import Tile, grid_spec
from inversion_kit.figures.style import COLOURS, GREY, Spec, figure, hover, text

PICTURES = 6
"""Pictures of each kind that are drawn."""
_MOST = 17
"""Characters of what a picture is read as, cut in its middle."""
_COLOUR = {"placebo_low": GREY, "low": COLOURS[0]}
"""Of intervals; an older result has none of placebos."""
_READERS = {"read": "read as", "judged": "judges:"}


def proof(tree: xr.DataTree, *, finding: int | None = None) -> Any:
    """The same pictures as they were, with a finding's cue, and with a placebo of equal size.

    Parameters
    ----------
    tree
        A result with findings.
    finding
        Which, as `inversion_kit.analysis.proof` has it: the strongest where not given.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        The result has no such finding, or it has no pictures.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic, synthetic_findings
    >>> len(proof(synthetic_findings(synthetic())).layout.images)
    12
    """
    return figure(proof_spec(analysis.proof(tree, finding)))


def proof_spec(data: xr.Dataset) -> Spec:
    """The specification of `proof`, from `inversion_kit.analysis.proof`.

    Parameters
    ----------
    data
        What `inversion_kit.analysis.proof` gave of a finding.

    Returns
    -------
    dict
        A specification in plotly's JSON terms: ``data`` and ``layout``.
    """
    cue, pictures = text(data.attrs["cue"]), data["picture"].values[:, :PICTURES]
    sides = row_words(data.attrs["cue"], data["row"].values.tolist())
    rows = [
        [
            Tile(image, lines(data, r, k), f"picture {k + 1}, {text(words)}")
            for k, image in enumerate(row)
        ]
        for r, (row, words) in enumerate(zip(pictures, sides, strict=True))
    ]
    title = f"“{text(data.attrs['label'])}” and the cue “{cue}”"
    said = "the same pictures in every row; a placebo changes as much, but not as the cue does"
    if len(sides) < len(ROWS):
        said = "below each what the classifier reads in it, and what most of the judges do"
    heads = [f"picture {k + 1}" for k in range(pictures.shape[1])]
    return grid_spec(rows, heads, [text(words, most=22) for words in sides], title, said)


def lines(data: xr.Dataset, row: int, example: int) -> tuple[str, ...]:
    """What a picture is read as, by the classifier and by most of the judges; none if not known."""
    said = [
        f"{who} {text(str(data[name].values[row, example]), most=_MOST)}"
        for name, who in _READERS.items()
        if name in data and data[name].values[row, example]
    ]
    return tuple(said)


def row_words(cue: str, rows: Sequence[str] = ROWS) -> tuple[str, ...]:
    """What the rows of a proof's pictures are called.

    Examples
    --------
    >>> row_words("snow")
    ('as it was', 'snow', 'a placebo')
    """
    words = dict(zip(ROWS, ("as it was", cue, "a placebo"), strict=True))
    return tuple(words[row] for row in rows)


def doses(tree: xr.DataTree, *, finding: int | None = None) -> Any:
    """How often pictures hit by the dose of a finding's cue, beside a placebo of equal size.

    Parameters
    ----------
    tree
        A result with findings.
    finding
        Which, as `inversion_kit.analysis.proof` has it: the strongest where not given.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        The result has no such finding, or it was not proved.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic, synthetic_findings
    >>> [t.name for t in doses(synthetic_findings(synthetic())).data]
    ['95 % interval', '95 % interval', 'yellow sticker', 'a placebo']
    """
    data = analysis.proof(tree, finding)
    if not data.sizes["place"]:
        raise InputError(f"finding={finding!r}: nothing was done to pixels, it has pictures alone")
    return figure(doses_spec(data))


def doses_spec(data: xr.Dataset) -> Spec:
    """The specification of `doses`, from `inversion_kit.analysis.proof`.

    Parameters
    ----------
    data
        What `inversion_kit.analysis.proof` gave of a finding.

    Returns
    -------
    dict
        A specification in plotly's JSON terms: ``data`` and ``layout``.
    """
    dose, rate, placebo = (
        data[n].values.astype(float).tolist() for n in ("dose", "rate", "placebo")
    )
    lack, done = data.attrs["direction"] == "lack", str(data.attrs["operator"])
    ticks = [analysis.dose_words(d, data.attrs["side"], done) for d in dose]
    _, cue, other = row_words(data.attrs["cue"])
    names = [text(cue, most=28), text(other)]
    says = [
        [f"{name} at {tick}: {style.percent(v)}" for tick, v in zip(ticks, values, strict=True)]
        for name, values in zip(names, (rate, placebo), strict=True)
    ]
    traces = [
        *(_intervals(data, name, colour) for name, colour in _COLOUR.items() if name in data),
        _line(dose, rate, names[0], COLOURS[0], "circle", 8) | hover(says[0]),
        _line(dose, placebo, names[1], GREY, "diamond-open", 9, "dash") | hover(says[1]),
    ]
    least, most = min(dose, default=0.0), max(dose, default=1.0)
    room = 0.12 * (most - least) or 0.1
    axis: Spec = {"title": {"text": f"dose: {text(data.attrs['operator'], most=40)}"}}
    axis |= {"tickvals": dose, "ticktext": ticks, "range": [least - room, most + room]}
    what = "missed" if lack else f"read as “{text(data.attrs['label'], most=24)}”"
    title = f"Pictures that are {what}, by dose"
    said = "with 95 % intervals over sources and noise; pictures without the cue were right"
    axes = {"xaxis": axis, "yaxis": style.share_axis("share of pictures")}
    made = style.layout(title, said, height=420, legend=style.above(), **axes)
    return {"data": traces, "layout": made}


def _intervals(data: xr.Dataset, low: str, colour: str) -> Spec:
    """Upright lines at each dose, from a variable whose name ends in "low" to its "high"."""
    ways = (data[n].values.astype(float).tolist() for n in (low, low.replace("low", "high")))
    across = [at for d in data["dose"].values.tolist() for at in (d, d, None)]
    ends = [y for pair in zip(*ways, strict=True) for y in (*pair, None)]
    drawn = style.curve(across, ends, "95 % interval", colour, 1.5)
    return drawn | {"showlegend": False} | hover(None)


def _line(
    x: list[float],
    y: list[float],
    name: str,
    colour: str,
    symbol: str,
    size: float,
    dash: str = "solid",
) -> Spec:
    marker = style.marks(x, y, name, colour, symbol, size)["marker"]
    return style.curve(x, y, name, colour, 2.5, dash) | {"mode": "lines+markers", "marker": marker}
