"""What is known of every label of a result, as plain data; each table is computed once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit import schema
from inversion_kit.analysis.looks import KINDS, reasons, verdict
from inversion_kit.analysis.mixups import read_as
from inversion_kit.analysis.rates import (
    overall_success,
    paired_effects,
    semantic_index,
    success,
    view_index,
)
from inversion_kit.analysis.reading import Result, arm_place, arms_of, reads
from inversion_kit.arm_roles import baseline_arm, controls, name_arm
from inversion_kit.plain import as_data

Arrays = dict[str, np.ndarray]
_ENDS = ("value", "low", "high")


@dataclass(frozen=True)
class Attention:
    """A label that needs a look.

    Parameters
    ----------
    label
        Its name.
    kind
        One of `inversion_kit.analysis.looks.KINDS`.
    reason
        In words, with the numbers.
    """

    label: str
    kind: str
    reason: str


def attention(tree: Result, arm: str | None = None) -> list[Attention]:
    """Labels that need a look and why, most serious first, then in the result's order.

    A reason is given only where the whole interval carries it, label by label; of many labels a
    few are named by chance. That an interval holds 0 shows no absence: it is said as what it is.

    - tied to a cue: a finding is confirmed, see `inversion_kit.findings`.
    - never reached: no image of any run is read as the label, and the images are enough to show
      that less than half would be.
    - trick: held-out classifiers confirm less than half of the success.
    - no better than control: the paired difference to the control (without one, to the start) is
      below `looks.CONTROL_MARGIN`.
    - mixed up: another class takes more than a fifth of the images.
    - seeds differ: the intervals of the best and the worst run do not overlap.
    - views disagree: less than half of the success survives JPEG, blur and such.
    - not told apart from control: that difference may be 0, and may be more than the margin.
    - failed units: any arm.

    Parameters
    ----------
    tree
        A result, or what `reads` gave of it.
    arm
        The main one, see `inversion_kit.arm_roles.main_arm`, where not given.

    Returns
    -------
    list of Attention
        A label stands once for each reason.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> tree = synthetic(labels=3, outcomes=("meaning", "failure", "trick"), samples=16)
    >>> [(a.label, a.kind) for a in attention(tree)][:2]
    [('green', 'never reached'), ('yellow', 'trick')]
    """
    return [Attention(**one) for one in known(reads(tree), arm)["attention"]]


def known(read: xr.Dataset, arm: str | None = None, *, detail: bool = False) -> dict[str, Any]:
    """What `inversion_kit.analysis.numbers` says of one arm of what `reads` gave.

    With ``detail`` every scorer's differences and shares of each run are there too.
    """
    names, at = arms_of(read), arm_place(read, arm)
    arm, named = names[at], name_arm(names)
    scorers = [str(n) for n in read["scorer"].values]
    asked = read if detail else read.isel(scorer=[0])
    tables = {
        "success": _arrays(success(read)),
        "meant": _arrays(semantic_index(read, arm)),
        "seen": _arrays(view_index(read, arm)),
    }
    gains = {c: _arrays(paired_effects(asked, arm, c)) for c in controls(names, arm)}
    taken = {a: _arrays(read_as(read, a)) for a in dict.fromkeys([arm, named]) if a is not None}
    overall, status = _arrays(overall_success(read)), read["status"].values
    data: dict[str, Any] = {
        "arm": arm,
        "arms": names,
        "control": baseline_arm(names, arm),
        "seeds": [int(s) for s in read["seed"].values],
        "classes": read.sizes["class"],
        "scorers": [
            {"name": name, "role": str(role)}
            for name, role in zip(scorers, read["role"].values, strict=True)
        ],
        "overall": {
            name: {
                "images": int(overall["images"][a, 0]),
                "scorers": _shares(scorers, overall, "share", a),
            }
            for a, name in enumerate(names)
        },
        "gains": {
            control: {
                **(_share(table, "pooled_difference", (0,), "pooled_") or dict.fromkeys(_ENDS)),
                "pairs": int(table["pooled_pairs"][0]),
            }
            for control, table in gains.items()
        },
        "semantic_index": _share(tables["meant"], "overall_index", (), "overall_"),
        "view_index": _share(tables["seen"], "overall_index", (), "overall_"),
        "units": {**_states(status), "all": int(status.size)},
        "labels": [],
    }
    for i, label in enumerate(str(n) for n in read["label"].values):
        row = {"label": label, "index": int(tables["success"]["label_index"][i])}
        row |= _row(data, tables, gains, taken, i)
        row |= {**_states(status[i]), "units": int(status[i].size)}
        row.pop("done")
        kinds = sorted(reasons(row, data, read, i), key=lambda one: KINDS.index(one[0]))
        row["attention"] = [{"kind": kind, "reason": reason} for kind, reason in kinds]
        row["verdict"] = verdict(row)
        data["labels"].append(row)
    listed = [{"label": r["label"], **one} for r in data["labels"] for one in r["attention"]]
    data["attention"] = sorted(listed, key=lambda one: KINDS.index(one["kind"]))
    return data


def _row(
    data: dict[str, Any],
    tables: dict[str, Arrays],
    gains: dict[str, Arrays],
    taken: dict[str, Arrays],
    i: int,
) -> dict[str, Any]:
    """The numbers of a label."""
    table, meant, names = tables["success"], tables["meant"], data["arms"]
    scorers = [scorer["name"] for scorer in data["scorers"]]
    arms: dict[str, dict[str, Any]] = {
        arm: {
            **{n: int(table[n][i, a, 0]) for n in ("images", "seeds", "seeds_holding")},
            "per_seed": [as_data(v) for v in table["per_seed"][i, a, 0]],
            "trained": as_data(table["trained"][i, a]),
            "scorers": _shares(scorers, table, "share", i, a),
        }
        for a, arm in enumerate(names)
    }
    differences = {
        control: _shares(scorers[: change["pairs"].shape[1]], change, "difference", i)
        for control, change in gains.items()
    }
    over = {control: by[scorers[0]] for control, by in differences.items()}
    named = name_arm(names)
    return {
        "images": arms[data["arm"]]["images"],
        "success": arms[data["arm"]]["scorers"][scorers[0]],
        "name_success": arms[named]["scorers"][scorers[0]] if named else None,
        "semantic_index": _share(meant, "index", (i,)),
        "view_index": _share(tables["seen"], "index", (i,)),
        "reached": int(meant["images"][i]),
        "per_judge": {
            str(judge): _share(meant, "per_judge", (i, j), "per_judge_")
            for j, judge in enumerate(meant["judge"])
        },
        "gains": over,
        "gain": over.get(data["control"]),
        "differences": differences,
        "arms": arms,
        "per_seed": {
            arm: {
                n: [as_data(v) for v in table["per_seed"][i, a, s]] for s, n in enumerate(scorers)
            }
            for a, arm in enumerate(names)
        },
        "read_as": {
            arm: [
                {"class": str(name), "own": bool(of["own"][i, k])}
                | (_share(of, "share", (i, k)) or {})
                for k, name in enumerate(of["of_class"][i])
                if name
            ]
            for arm, of in taken.items()
        },
    }


def _arrays(table: xr.Dataset) -> Arrays:
    """A table as plain arrays: an item of a Dataset takes a thousand times as long."""
    return {str(name): variable.values for name, variable in table.variables.items()}


def _states(status: np.ndarray) -> dict[str, int]:
    return {state: int((status == state).sum()) for state in schema.STATES}


def _shares(scorers: list[str], table: Arrays, name: str, *at: int) -> dict[str, Any]:
    """A share by every scorer, whose dimension is the last."""
    return {scorer: _share(table, name, (*at, s)) for s, scorer in enumerate(scorers)}


def _share(
    table: Arrays, name: str, at: tuple[int, ...], stem: str = ""
) -> dict[str, float | None] | None:
    """A value with its ends, None where there is none."""
    values = [as_data(table[n][at]) for n in (name, f"{stem}low", f"{stem}high")]
    return None if values[0] is None else dict(zip(_ENDS, values, strict=True))
