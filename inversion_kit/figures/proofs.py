"""The proof of a finding: pictures with and without its cue, and how often they hit by dose."""

from __future__ import annotations

from typing import Any

import xarray as xr

from inversion_kit import analysis
from inversion_kit.figures import style
from inversion_kit.figures.images import Tile, grid_spec
from inversion_kit.figures.style import COLOURS, GREY, Spec, figure, hover, text

PICTURES = 6
"""Pictures of each kind that are drawn."""


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
        The result has no such finding, or it was not proved.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic, synthetic_findings
    >>> len(proof(synthetic_findings(synthetic())).layout.images)
    12
    """
    return figure(proof_spec(analysis.proof(tree, finding)))


def proof_spec(data: xr.Dataset) -> Spec:
    """The specification of `proof`, from `inversion_kit.analysis.proof`."""
    cue, pictures = text(data.attrs["cue"]), data["picture"].values[:, :PICTURES]
    sides = row_words(data.attrs["cue"])
    rows = [
        [Tile(image, (), f"picture {k + 1}, {text(words)}") for k, image in enumerate(row)]
        for row, words in zip(pictures, sides, strict=True)
    ]
    title = f"“{text(data.attrs['label'])}” and the cue “{cue}”"
    said = "the same pictures in every row; a placebo changes as much, but not as the cue does"
    heads = [f"picture {k + 1}" for k in range(pictures.shape[1])]
    return grid_spec(rows, heads, [text(words, most=22) for words in sides], title, said)


def row_words(cue: str) -> tuple[str, str, str]:
    """What the rows of a proof's pictures are called.

    Examples
    --------
    >>> row_words("snow")
    ('as it was', 'snow', 'a placebo')
    """
    return "as it was", cue, "a placebo"


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
    ['95 % interval', 'yellow sticker', 'a placebo']
    """
    return figure(doses_spec(analysis.proof(tree, finding)))


def doses_spec(data: xr.Dataset) -> Spec:
    """The specification of `doses`, from `inversion_kit.analysis.proof`."""
    dose, rate, low, high, placebo = (
        data[n].values.astype(float).tolist() for n in ("dose", "rate", "low", "high", "placebo")
    )
    lack, done = data.attrs["direction"] == "lack", str(data.attrs["operator"])
    ticks = [analysis.dose_words(d, data.attrs["side"], done) for d in dose]
    across = [x for d in dose for x in (d, d, None)]
    ends = [y for pair in zip(low, high, strict=True) for y in (*pair, None)]
    _, cue, other = row_words(data.attrs["cue"])
    names = [text(cue, most=28), text(other)]
    says = [
        [f"{name} at {tick}: {style.percent(v)}" for tick, v in zip(ticks, values, strict=True)]
        for name, values in zip(names, (rate, placebo), strict=True)
    ]
    traces = [
        style.curve(across, ends, "95 % interval", COLOURS[0], 1.5)
        | {"showlegend": False}
        | hover(None),
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
