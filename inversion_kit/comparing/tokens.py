"""Tokens of disagreement: what one model reads as the label and the other does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from inversion_kit.analysis.compared import MODELS, disagreement
from inversion_kit.analysis.compared_data import DIFFERS
from inversion_kit.comparing.sides import Sides, audited
from inversion_kit.objectives import contrast
from inversion_kit.settings import Settings

MOST = 3
"""Labels for which tokens are learned, by default."""
NAMES = ("a_not_b", "b_not_a")
"""Groups of the results."""
Made = tuple[dict[str, xr.DataTree], dict[str, xr.Dataset], str]


def disagree(
    sides: Sides,
    tables: Mapping[str, xr.Dataset],
    most: int,
    seeds: int | Sequence[int],
    place: Path | None,
    progress: bool,
    settings: Settings,
) -> Made:
    """Learn tokens of disagreement for the labels that differ, both ways round.

    Parameters
    ----------
    tables
        ``labels`` and ``cues`` of the comparison: the labels of cues that differ come first, then
        those that moved most.
    most
        Labels.
    place
        Folder of the comparison; None keeps them in memory.

    Returns
    -------
    tuple
        Results by group, the table of them, and why there are none; "" where no label differs.
    """
    chosen = differing(tables)[:most]
    if not chosen or sides.same:
        return {}, {}, ""
    dull = [model.name for model in sides.models if not model.differentiable]
    if dull:
        return {}, {}, f"“{dull[0]}” is a black box and gives no gradient"
    results, columns = {}, []
    for says, name in enumerate(NAMES):
        ours, other = sides.models[says], sides.models[1 - says]
        asked = replace(settings, objective=contrast(ours, other), method="gradient", queries=None)
        tree = audited(
            sides,
            says,
            chosen,
            asked,
            arms=["token"],
            seeds=seeds,
            store=None if place is None else place / name,
            progress=progress,
        )
        judge = tree["samples"]["judge"].values
        held = judge[tree["samples"]["judge_kind"].values == "classifier"]
        columns.append(disagreement(tree, other.name, [str(n) for n in held if n != other.name]))
        results[name] = tree
    table = xr.concat(columns, "says").assign_coords(says=np.array(MODELS, object))
    return results, {"disagreement": table.transpose("label", "says")}, ""


def differing(tables: Mapping[str, xr.Dataset]) -> list[str]:
    """Labels of cues that differ, then those that moved, the largest difference first."""
    cues, labels = tables["cues"], tables["labels"]
    first = cues["of_label"].values[np.isin(cues["status"].values.astype(str), DIFFERS)]
    moved = labels.isel(label=np.flatnonzero(labels["moved"].values))
    order = np.argsort(-np.abs(moved["difference"].values), kind="stable")
    return list(dict.fromkeys(map(str, [*first, *moved["label"].values[order]])))
