"""Pictures of a cue, without it and with it, and what two models read in each, as one figure."""

from __future__ import annotations

from typing import Any

import xarray as xr

from inversion_kit import analysis
from inversion_kit.figures.images import Tile, grid_spec
from inversion_kit.figures.style import Spec, figure, text

PICTURES = 6
"""Pictures of each row that are drawn."""
_MOST = 19
"""Characters of a line below a picture."""


def both_read(compared: xr.DataTree | xr.Dataset, *, finding: int | None = None) -> Any:
    """The same pictures without a cue and with it, and below each what two models read.

    Parameters
    ----------
    compared, finding
        As of `inversion_kit.analysis.both_read`: what `inversion_kit.compare` gave, or ``pictures``
        of what `inversion_kit.repair` gave.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        There is no such finding, or none of its pictures counts.
    SchemaError
        ``compared`` is no comparison.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_comparison
    >>> len(both_read(synthetic_comparison()).layout.images)
    8
    """
    return figure(both_read_spec(analysis.both_read(compared, finding)))


def both_read_spec(data: xr.Dataset) -> Spec:
    """The specification of `both_read`, from `inversion_kit.analysis.both_read`.

    Parameters
    ----------
    data
        The pictures of one finding, and what both models read them as.

    Returns
    -------
    dict
        A specification in plotly's JSON terms: ``data`` and ``layout``.
    """
    images, read = data["picture"].values[:, :PICTURES], data["read"].values
    sides = ["as it was", f"with<br>“{text(data.attrs['cue'], most=16)}”"]
    rows = [
        [
            Tile(image, _lines(*read[:, r, k]), f"picture {k + 1}, {_hover(*read[:, r, k])}")
            for k, image in enumerate(row)
        ]
        for r, row in enumerate(images)
    ]
    a, b = (text(data.attrs[n], most=34) for n in ("a", "b"))
    title = f"“{text(data.attrs['label'])}” and the cue “{text(data.attrs['cue'])}”"
    said = f"below each picture what it is read as: a is {a}, b is {b}"
    heads = [f"picture {k + 1}" for k in range(images.shape[1])]
    return grid_spec(rows, heads, sides, title, said)


def _lines(ours: str, theirs: str) -> tuple[str, ...]:
    """One line where both read the same, or else one each."""
    if ours == theirs:
        return (text(ours, most=_MOST),)
    return f"a: {text(ours, most=_MOST - 3)}", f"<b>b: {text(theirs, most=_MOST - 5)}</b>"


def _hover(ours: str, theirs: str) -> str:
    return f"read by a as: {text(ours)}<br>read by b as: {text(theirs)}"
