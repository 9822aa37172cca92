"""What `inversion_kit.augment` and `inversion_kit.repair` did, in sentences."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from inversion_kit.analysis.words import bracket, count, percent, rate

_SAID = {
    "painted": "painted",
    "pixels": "done to the pixels",
    "real": "done to real images",
}


def augmented_says(table: xr.Dataset) -> list[str]:
    """What came of each label, and which have no token.

    Parameters
    ----------
    table
        What `inversion_kit.augment` gave.
    """
    said = []
    for label in table["label"].values:
        one = table.sel(label=label)
        share = rate(*(float(one[name]) for name in ("share", "low", "high")))
        short = "" if one["full"] else f", not full: {table.attrs['n']} were asked for"
        said.append(
            f"“{label}”: {int(one['kept'])} kept of {int(one['tried'])} tried, {share} could be"
            f"{short}"
        )
    left = json.loads(table.attrs["no_token"])
    return said + [f"“{label}”: no token of the arm “{table.attrs['arm']}”" for label in left]


def repaired_says(table: xr.Dataset) -> list[str]:
    """What a repair did: gap of each finding, and accuracy, before and after.

    Parameters
    ----------
    table
        Of `inversion_kit.improve.repair.Repaired`.
    """
    said = []
    for i in table["finding"].values:
        one = table.sel(finding=i)
        harm = "missed" if one["direction"].item() == "lack" else "given to other classes"
        said.append(f"“{one['label'].item()}” {harm} with “{one['cue'].item()}”:")
        for way in table["way"].values:
            row = one.sel(way=way)
            n = int(row["pictures"])
            if not n:
                said.append(f"  {_SAID[way]}: no picture")
                continue
            ends = _before_and_after(row, "gap")
            change = bracket(float(row["gap_change_low"]), float(row["gap_change_high"]))
            closed = float(row["closed"])
            share = f", {percent(closed)} of it closed" if np.isfinite(closed) else ""
            said.append(
                f"  {_SAID[way]}: gap {ends[0]} before, {ends[1]} after{share} (change {change}; "
                f"{count(n, 'picture')})"
            )
    for kind in table["images"].values:
        row = table.sel(images=kind)
        ends = _before_and_after(row, "accuracy")
        low, high = (float(row[f"accuracy_change_{e}"]) for e in ("low", "high"))
        said.append(
            f"accuracy on {kind} images: {ends[0]} before, {ends[1]} after (change "
            f"{100 * float(row['accuracy_change']):+.1f} points {bracket(low, high)}; "
            f"{count(int(row['images_read']), 'image')})"
        )
    said += [f"left out: {words}" for words in json.loads(table.attrs["left_out"])]
    return said


def _before_and_after(row: xr.Dataset, name: str) -> list[str]:
    return [
        rate(*(float(row[f"{name}{end}"].sel(when=when)) for end in ("", "_low", "_high")))
        for when in ("before", "after")
    ]
