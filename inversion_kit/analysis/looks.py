"""Why a label needs a look, and the verdict on it: claimed only where an interval carries it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.words import bracket, percent, points, rate, some
from inversion_kit.arms import arm_of
from inversion_kit.wilson import wilson

KINDS = (
    "tied to a cue",
    "never reached",
    "trick",
    "no better than control",
    "mixed up",
    "seeds differ",
    "views disagree",
    "not told apart from control",
    "failed units",
)
"""Reasons for a look, most serious first."""
CONTROL_MARGIN = 0.1
"""A gain over the control is called none where its whole interval is below this."""
_MIXED = 0.2
_VERDICTS = {
    "tied to a cue": "tied",
    "never reached": "never",
    "trick": "trick",
    "no better than control": "control",
    "mixed up": "mixed",
}


def reasons(
    row: dict[str, Any], data: dict[str, Any], read: xr.Dataset, i: int
) -> Iterator[tuple[str, str]]:
    """Kinds and reasons of the label at place ``i``, whose row of ``data`` it is."""
    top, status, reason = (read.variables[n].values for n in ("top", "status", "reason"))
    if ties := str(read.variables["tied"].values[i]):
        yield "tied to a cue", f"{ties} (confirmed by words and pixels)"
    own, mixed = row["arms"][data["arm"]], _mixed(row, data["arm"])
    share, meant, seen = row["success"], row["semantic_index"], row["view_index"]
    if share and share["value"] == 0 and share["high"] < 0.5:
        runs = "one run" if own["seeds"] == 1 else f"{own['seeds']} runs"
        said = f"none of {row['images']} images of {runs} is read as the label "
        said += bracket(share["low"], share["high"])
        yield "never reached", said + (f"; {mixed}" if mixed else "")
    elif share:
        if meant and meant["high"] < 0.5:
            yield (
                "trick",
                f"held-out classifiers confirm {rate(**meant)} of the {row['reached']} images read "
                "as the label: a trick, or a trait that only this classifier ties to the class",
            )
        if row["gain"]:
            yield from _control(row["gain"], data["control"])
        if seen and seen["high"] < 0.5:
            yield (
                "views disagree",
                f"after JPEG, blur and such {rate(**seen)} of the {row['reached']} images are "
                "still read as the label",
            )
        if mixed:
            yield "mixed up", mixed
    images = (top[0, i, data["arms"].index(data["arm"])] >= 0).sum(-1)
    images, per_seed = images[images > 0], np.array(own["per_seed"], float)[images > 0]
    if len(images) > 1:
        low, high = wilson(per_seed * images, images)
        worst, best = per_seed.argmin(), per_seed.argmax()
        if high[worst] < low[best]:
            yield (
                "seeds differ",
                f"its runs reach from {percent(per_seed[worst])} to {percent(per_seed[best])}; "
                f"{own['seeds_holding']} of {len(images)} hold {percent(0.5)} or more",
            )
    failed = np.argwhere(status[i] == "failed")
    if len(failed):
        named = some([f"{data['arms'][a]} of run {data['seeds'][s]}" for a, s in failed])
        first = reason[i][tuple(failed[0])]
        yield "failed units", f"{len(failed)} of {status[i].size} failed ({named}): {first}"


def verdict(row: dict[str, Any]) -> str:
    """One of `inversion_kit.analysis.words.VERDICTS` on a label, by the kinds of its looks."""
    kinds = {one["kind"] for one in row["attention"]}
    if not row["images"] and "tied to a cue" not in kinds:
        return "none"
    for kind, word in _VERDICTS.items():
        if kind in kinds:
            return word
    shown = all(row[n] and row[n]["low"] > 0.5 for n in ("success", "semantic_index"))
    return "confirmed" if shown and "not told apart from control" not in kinds else "open"


def control_says(control: str | None) -> str:
    """What the arm has to beat, in words."""
    beaten = arm_of(str(control))
    known = beaten is not None and beaten.control
    return "a token trained against shuffled weights" if known else "the start"


def _mixed(row: dict[str, Any], arm: str) -> str:
    """What another class takes, where it is more than a fifth."""
    other = next((taken for taken in row["read_as"][arm] if not taken["own"]), None)
    if other is None or not other["low"] > _MIXED:
        return ""
    return (
        f"{percent(other['value'])} {bracket(other['low'], other['high'])} of {row['images']} "
        f"images are read as “{other['class']}”"
    )


def _control(gain: dict[str, float], control: str) -> Iterator[tuple[str, str]]:
    """Kind and reason where a label's gain over the control is none, or may be."""
    said = f"the token's gain over {control_says(control)} is {points(gain['value'])} points"
    said += f" {bracket(gain['low'], gain['high'])}"
    if gain["high"] < CONTROL_MARGIN:
        yield "no better than control", f"{said}: less than {CONTROL_MARGIN * 100:.0f} points"
    elif gain["low"] <= 0:
        yield "not told apart from control", f"{said}, which does not show that there is one"
