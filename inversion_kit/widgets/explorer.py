"""`explore`: a result to click through in a notebook."""

from __future__ import annotations

import os
from typing import Any

import xarray as xr

from inversion_kit import schema
from inversion_kit.analysis import keep_projection
from inversion_kit.errors import InputError
from inversion_kit.storage.store import open as open_result
from inversion_kit.widgets import notebook_module


def explore(
    result: xr.DataTree | str | os.PathLike[str],
    other: xr.DataTree | str | os.PathLike[str] | None = None,
    *,
    points: xr.Dataset | None = None,
) -> Any:
    """Look at a result in a notebook, or at two side by side.

    One label: a slider with play moves the picture, the strip, the bars of its classes and the
    line in the trajectory together; below are the images of all arms. Several: a table of labels,
    sorted and searched, linked to the images, a map of all images with box and lasso, a confusion
    matrix to click, and each label's search. What is not shown is not read: a result opened from
    its folder stays on disk.

    Parameters
    ----------
    result
        What `inversion_kit.invert` or `inversion_kit.audit` gave, any selection of it, or where
        one is stored.
    other
        A second result, to compare: labels are joined by name, and at least one is in both.
    points
        Where the images of a result of several labels lie, from `inversion_kit.analysis.project`;
        the stored ones where not given, which are made once of an audit's folder
        (`inversion_kit.analysis.keep_projection`). PCA and UMAP can be picked, and are computed
        then. More than 10,000 are drawn by jupyter-scatter, which the extra ``scatter`` installs;
        without it 10,000 images are placed, and the map says how many are left out.

    Returns
    -------
    ipywidgets.VBox
        Shown where it ends a cell. Its saved output is a summary with pictures.

    Raises
    ------
    InputError
        ipywidgets is missing, the two have no label in common, or the points are of something
        else.
    StoreError
        No result is stored there.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> view = explore(synthetic())
    >>> view.search.frames.position = 0
    >>> audit = explore(synthetic(labels=3))
    >>> audit.table.selected = "green"
    >>> audit.panels[0].gallery.widget.title
    'green'
    """
    trees = [_opened(one) for one in (result, other) if one is not None]
    labels = [{str(n) for n in tree["samples"]["label"].values} for tree in trees]
    if not set.intersection(*labels):
        raise InputError(
            f"other: no label in common; it holds {sorted(labels[-1])[:5]}, "
            f"the first {sorted(labels[0])[:5]}"
        )
    if points is not None and len(trees) == 2:
        raise InputError("points: of one result only; two compute their own")
    views = notebook_module("views")
    if len(trees) == 1 and len(labels[0]) == 1 and points is None:
        return views.LabelView(trees[0])
    return views.LabelsView(trees, points=points)


def _opened(one: Any) -> xr.DataTree:
    if isinstance(one, xr.DataTree):
        return schema.validate(one)
    if isinstance(one, (str, os.PathLike)):
        return keep_projection(open_result(one), one)
    raise InputError(
        f"result: {type(one).__name__} given; expected what invert or audit returned, or a path"
    )
