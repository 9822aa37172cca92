"""`explore`: a result to click through in a notebook."""

from __future__ import annotations

import os
from typing import Any

import xarray as xr

from inversion_kit import schema
from inversion_kit.errors import InputError
from inversion_kit.storage.store import open as open_result
from inversion_kit.widgets.sources import notebook_module


def explore(
    result: xr.DataTree | str | os.PathLike[str],
    other: xr.DataTree | str | os.PathLike[str] | None = None,
    *,
    points: xr.Dataset | None = None,
) -> Any:
    """Look at a run or an audit in a notebook; two audits side by side.

    A run: a slider with play moves the image, the strip, the bars of its classes and the cursor
    of its trajectory together. An audit: a table of labels, sorted and searched, linked to the
    images, a map of all images with box and lasso, and a confusion matrix to click. What is not
    shown is not read: an audit opened from its folder stays on disk.

    Parameters
    ----------
    result
        A run, an audit, or where one is stored.
    other
        A second audit, to compare: labels are joined by name.
    points
        Where the images lie, from `inversion_kit.analysis.projection.project`; computed when the
        map is opened where not given. More than 10,000 are drawn by jupyter-scatter, which the
        extra ``scatter`` installs; without it 10,000 images of an audit are placed, and the map
        says how many are left out.

    Returns
    -------
    ipywidgets.VBox
        Shown where it ends a cell. Its saved output is a summary with pictures.

    Raises
    ------
    InputError
        ipywidgets is missing, ``other`` is given with a run, or the points are of something else.
    StoreError
        No result is stored there.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit, synthetic_run
    >>> view = explore(synthetic_run())
    >>> view.player.position = 0
    >>> audit = explore(synthetic_audit())
    >>> audit.table.selected = "green"
    >>> audit.panels[0].gallery.title
    'green'
    """
    trees = [_opened(one) for one in (result, other) if one is not None]
    kinds = [tree.attrs["kind"] for tree in trees]
    if kinds == ["run"] and points is None:
        return notebook_module("run_view").RunView(trees[0])
    if "run" in kinds:
        raise InputError("other and points go with audits; give one run, one audit, or two audits")
    if points is not None and len(trees) == 2:
        raise InputError("points: of one audit only; two audits compute their own")
    return notebook_module("audit_view").AuditView(trees, points=points)


def _opened(one: Any) -> xr.DataTree:
    if isinstance(one, xr.DataTree):
        return schema.validate(one)
    if isinstance(one, (str, os.PathLike)):
        return open_result(one)
    raise InputError(
        f"result: {type(one).__name__} given; expected what invert or audit returned, or a path"
    )
