"""Pictures of a cue, without it and with it, and what two models read in each."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from inversion_kit.analysis.compared_data import DIFFERS, check_comparison
from inversion_kit.errors import InputError


def both_read(compared: xr.DataTree | xr.Dataset, finding: int | None = None) -> xr.Dataset:
    """Pictures of one cue and the class that each of two models reads in them.

    Parameters
    ----------
    compared
        What `inversion_kit.compare` gave, or ``pictures`` of what `inversion_kit.repair` gave: its
        two models are the classifier before and after.
    finding
        Which cue, as coordinate ``finding`` has it; where not given the one of the largest
        difference among those that differ, or else the first.

    Returns
    -------
    xr.Dataset
        ``picture`` uint8 ``(row, example, y, x, channel)``, without the cue and with it, and
        ``read`` ``(model, row, example)``, class names. Attributes: ``label``, ``cue``, and the
        names of the models, ``a`` and ``b``.

    Raises
    ------
    InputError
        There is no such finding, or none of its pictures counts.
    SchemaError
        ``compared`` is no comparison.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_comparison
    >>> data = both_read(synthetic_comparison())
    >>> data.attrs["cue"], data["read"].sizes["model"], data["picture"].sizes["row"]
    ('yellow sticker', 2, 2)
    """
    if isinstance(compared, xr.Dataset):
        cues, names = compared, [str(compared.attrs[n]) for n in ("a", "b")]
    else:
        check_comparison(compared)
        cues = compared["cues"].to_dataset(inherit=False)
        names = json.loads(compared.attrs["comparison"])["models"]
    known = [int(n) for n in cues["finding"].values]
    if not known:
        raise InputError("compared: no cue was found in either model, so there is no picture")
    if finding is None:
        finding = _first(cues, known)
    if finding not in known:
        raise InputError(f"finding={finding!r:.40}: expected one of {known}")
    data = cues[["picture", "read"]].sel(finding=finding).load().drop_vars("finding")
    there = (data["read"].values != "").all((0, 1))
    if not there.any():
        raise InputError(f"finding={finding}: no picture of its cue counts; take another")
    row = cues.sel(finding=finding)
    return data.isel(example=there).assign_attrs(
        label=str(row["of_label"].item()),
        cue=str(row["cue"].item()),
        a=str(names[0]),
        b=str(names[1]),
    )


def _first(cues: xr.Dataset, known: Sequence[int]) -> int:
    """The finding that differs most, or else the first."""
    if "status" not in cues:
        return known[0]
    differs = np.isin(cues["status"].values.astype(str), DIFFERS)
    return known[int((np.nan_to_num(abs(cues["difference"].values)) * differs).argmax())]
