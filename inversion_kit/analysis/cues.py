"""Findings that a result holds: which cues push its classifier towards or from a label."""

from __future__ import annotations

import numpy as np
import xarray as xr

from inversion_kit.analysis.reading import label_place, whole
from inversion_kit.schema import WHOLE


def findings(tree: xr.DataTree, label: str | None = None) -> xr.Dataset:
    """Findings of a result's labels, or of one, the largest effect first.

    Returns
    -------
    xr.Dataset
        As `inversion_kit.schema.WHOLE` has it, along ``finding``, those with a finite effect; none
        where the result holds no such group.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> findings(synthetic()).sizes["finding"]
    0
    """
    labels = [str(n) for n in whole(tree)["samples"]["label"].values]
    labels = labels if label is None else [labels[label_place(whole(tree), label)]]
    if "findings" not in tree.children:
        kinds = {"str": object, "b1": bool}
        empty = {
            n: (dims, np.zeros(0, kinds.get(k, k))) for n, (dims, k) in WHOLE["findings"].items()
        }
        return xr.Dataset(empty, coords={"finding": np.arange(0)})
    table = tree["findings"].to_dataset(inherit=False).load()
    effect = np.abs(table["effect"].values.astype(float))
    mine = np.isin(table["of_label"].values.astype(str), labels) & np.isfinite(effect)
    order = np.argsort(-effect, kind="stable")
    return table.isel(finding=order[mine[order]])
