"""Where in pictures a finding's cue acts: what it changes, and what of that counts."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit import analysis
from inversion_kit.analysis.where import where_words
from inversion_kit.analysis.words import percent
from inversion_kit.figures.images import Tile, grid_spec
from inversion_kit.figures.style import Spec, figure, shades, text

_COUNTS = ((0, "#0B2A4A"), (0.5, "#7F7F7F"), (1, "#FFE08A"))
"""From what speaks against to what speaks for: brighter is more, also without colours."""
_LINE, _HIGH = 62, 17
"""Characters of a line below the title, and its height in pixels."""
_CELL = 250
"""Width in pixels of a map and the gap beside it."""
_HEADS = ("what the cue changes", "what moves the score")


def where(tree: xr.DataTree, *, finding: int | None = None) -> Any:
    """What a finding's cue changes in pictures, and from where the change of the score comes.

    Parameters
    ----------
    tree
        A result with findings.
    finding
        Which, as `inversion_kit.analysis.where` has it: the strongest where not given.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        The result has no such finding, or no maps of it.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic, synthetic_findings
    >>> len(where(synthetic_findings(synthetic())).layout.images)
    2
    """
    return figure(where_spec(analysis.where(tree, finding)))


def where_spec(data: xr.Dataset) -> Spec:
    """The specification of `where`, from `inversion_kit.analysis.where`.

    Parameters
    ----------
    data
        What `inversion_kit.analysis.where` gave of a finding.

    Returns
    -------
    dict
        A specification in plotly's JSON terms: ``data`` and ``layout``.
    """
    change, counts = data["difference"].values, data["attribution"].values
    lack = data.attrs["direction"] == "lack"
    towards = "bright: makes it be missed" if lack else "bright: towards the label"
    largest = f"most: {percent(float(np.abs(change).max()))} of the range"
    tiles = [
        Tile(_grey(change), ("grey: nothing", largest), _HEADS[0]),
        Tile(shades(_COUNTS, 0.5 + _scaled(counts) / 2), (towards, "dark: against it"), _HEADS[1]),
    ]
    title = f"Where “{text(data.attrs['cue'])}” acts on “{text(data.attrs['label'])}”"
    said = [text(line, most=_LINE) for line in wrap(where_words(data), _LINE)]
    made = grid_spec([tiles], list(_HEADS), [""], title, "<br>".join(said))
    layout = made["layout"]
    layout["xaxis"]["range"] = [0, len(tiles)]
    margin = layout["margin"] | {"l": 10, "r": 10}
    margin["t"] += _HIGH * (len(said) - 1)
    low, high = layout["yaxis"]["range"]
    tall = int(_CELL * (low - high)) + margin["t"] + margin["b"]
    layout |= {"margin": margin, "height": tall, "width": 20 + _CELL * len(tiles)}
    return made


def _scaled(values: np.ndarray) -> np.ndarray:
    """In [-1, 1], the largest at an end; 0 stays."""
    return values / max(float(np.abs(values).max()), 1e-9)


def _grey(change: np.ndarray) -> np.ndarray:
    """A signed change as uint8 RGB around grey."""
    return (127.5 + 127.5 * _scaled(change)).round().astype("u1")
