"""Every number of a result that views show, as plain data: dicts, lists, numbers, text, None."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.again import code
from inversion_kit.analysis.cues import findings
from inversion_kit.analysis.evidence import Evidence
from inversion_kit.analysis.looks import KINDS, baseline_says, looks, verdict
from inversion_kit.analysis.mixups import read_as
from inversion_kit.analysis.reading import whole
from inversion_kit.analysis.search_path import trajectory
from inversion_kit.analysis.summary import say
from inversion_kit.analysis.words import bracket, points, rate
from inversion_kit.arms import ARMS, name_arm

DETAILED = 12
"""Labels up to which numbers hold every search and every scorer's difference."""
_ENDS = ("low", "high")
_STATES = ("done", "failed", "stopped", "missing")
_SAME = (
    "schema_version",
    "classifier",
    "classifier_hash",
    "generator",
    "generator_hash",
    "created",
)


def numbers(
    tree: xr.DataTree, *, detail: bool | None = None, read: xr.Dataset | None = None
) -> dict[str, Any]:
    """What a result says, as data that JSON can hold; NaN is None.

    Parameters
    ----------
    tree
        A result. Pixels are not read, and each softmax is read once.
    detail
        Add every check of the searches and every scorer's differences; up to `DETAILED` labels
        where not given.
    read
        What `reads` gave of the result, where it is known.

    Returns
    -------
    dict
        ``sentences``; ``attention``; ``labels``, one dict each with its verdict, the success of
        every arm under every scorer, the semantic and view index, gains over the controls, what
        else it is read as, its findings, and its failed and missing units; ``overall``; ``code``
        that makes the result again; and its attributes. A share is a dict of ``value``, ``low``
        and ``high`` in [0, 1], None without an image.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> data = numbers(synthetic(labels=2, outcomes=("meaning", "trick"), samples=24))
    >>> [(row["label"], row["verdict"]) for row in data["labels"]]
    [('sky', 'confirmed'), ('green', 'trick')]
    """
    tree = whole(tree)
    known = Evidence(tree if read is None else read)
    listed = looks(known)
    read, overall = known.read, _plain(known.overall)
    labels = [str(n) for n in read["label"].values]
    detail = len(labels) <= DETAILED if detail is None else detail
    scorers = [str(n) for n in read["scorer"].values]
    status = known.own["status"]
    attributes = dict(tree.attrs)
    rows, path = _rows(tree, known), None
    for row in rows:
        reasons = [a for a in listed if a.label == row["label"]]
        row["attention"] = [{"kind": a.kind, "reason": a.reason} for a in reasons]
        row["verdict"] = verdict(
            {a.kind for a in reasons},
            row["images"],
            _low(row["success"]),
            _low(row["semantic_index"]),
        )
        row["says"] = _says(row, known)
        if detail:
            path = trajectory(tree, label=row["label"])
            row |= _details(known, path)
    return {
        **{k: attributes[k] for k in _SAME},
        **{
            k: json.loads(attributes[k]) for k in ("judges", "judge_hashes", "settings", "versions")
        },
        "seconds": float(attributes["seconds"]),
        "stopped": attributes.get("stopped"),
        "code": code(tree),
        "arm": known.arm,
        "arms": known.arms,
        "control": known.baseline,
        "seeds": [int(s) for s in read["seed"].values],
        "classes": read.sizes["class"],
        "scorers": [
            {"name": n, "role": str(r)} for n, r in zip(scorers, read["role"].values, strict=True)
        ],
        "sentences": say(tree, known, listed, path if len(rows) == 1 else None),
        "attention": [{"label": a.label, "kind": a.kind, "reason": a.reason} for a in listed],
        "kinds": [kind for kind in KINDS if any(a.kind == kind for a in listed)],
        "overall": {
            arm: {
                "images": int(overall["images"][a, 0]),
                "scorers": {n: _share(overall, "share", (a, s)) for s, n in enumerate(scorers)},
            }
            for a, arm in enumerate(known.arms)
        },
        "gains": {
            control: {
                "value": _number(gain["pooled_difference"][0]),
                **{end: _number(gain[f"pooled_{end}"][0]) for end in _ENDS},
                "pairs": int(gain["pooled_pairs"][0]),
            }
            for control, gain in known.gains.items()
        },
        "semantic_index": _share(_plain(known.meant), "overall_index", (), "overall_"),
        "view_index": _share(_plain(known.seen), "overall_index", (), "overall_"),
        "units": {**{s: int((status == s).sum()) for s in _STATES}, "all": int(status.size)},
        "labels": rows,
    }


def _rows(tree: xr.DataTree, known: Evidence) -> list[dict[str, Any]]:
    """What is known of each label, without its verdict."""
    read, status = known.read, known.own["status"]
    table, meant, seen = (_plain(t) for t in (known.success, known.meant, known.seen))
    gains = {control: _plain(gain) for control, gain in known.gains.items()}
    named = name_arm(known.arms)
    others = {known.arm: _plain(known.read_as)}
    if named is not None and named != known.arm:
        others[named] = _plain(read_as(read, named))
    scorers = [str(n) for n in read["scorer"].values]
    ties = findings(tree).to_dataframe().to_dict("records") if "findings" in tree.children else None
    rows = []
    for i, label in enumerate(str(n) for n in read["label"].values):
        made: dict[str, dict[str, Any]] = {
            arm: {
                "images": int(table["images"][i, a, 0]),
                "seeds": int(table["seeds"][i, a, 0]),
                "seeds_holding": int(table["seeds_holding"][i, a, 0]),
                "per_seed": [_number(v) for v in table["per_seed"][i, a, 0]],
                "trained": _number(table["trained"][i, a]),
                "scorers": {n: _share(table, "share", (i, a, s)) for s, n in enumerate(scorers)},
            }
            for a, arm in enumerate(known.arms)
        }
        over = {c: _share(gain, "difference", (i, 0)) for c, gain in gains.items()}
        mine = None if ties is None else [t for t in ties if t["of_label"] == label]
        rows.append(
            {
                "label": label,
                "index": int(read["label_index"].values[i]),
                "images": made[known.arm]["images"],
                "success": made[known.arm]["scorers"][scorers[0]],
                "name_success": made[named]["scorers"][scorers[0]] if named else None,
                "semantic_index": _share(meant, "index", (i,)),
                "view_index": _share(seen, "index", (i,)),
                "reached": int(meant["images"][i]),
                "per_judge": {
                    str(judge): _share(meant, "per_judge", (i, j), "per_judge_")
                    for j, judge in enumerate(known.meant["judge"].values)
                },
                "gains": over,
                "gain": over.get(known.baseline or ""),
                "arms": made,
                "read_as": {arm: _classes(table_of, i) for arm, table_of in others.items()},
                "findings": [_finding(tie) for tie in mine or []],
                "confirmed": None if mine is None else sum(bool(t["confirmed"]) for t in mine),
                "units": int(status[i].size),
                **{s: int((status[i] == s).sum()) for s in _STATES[1:]},
            }
        )
    return rows


def _details(known: Evidence, path: xr.Dataset) -> dict[str, Any]:
    """What the numbers of a few labels hold too: each run, each scorer, each check."""
    i = [str(n) for n in known.read["label"].values].index(path.attrs["label"])
    scorers = [str(n) for n in known.read["scorer"].values]
    per_seed = known.success["per_seed"].values[i]
    differences = {control: _plain(table) for control, table in known.differences.items()}
    return {
        "per_seed": {
            arm: {n: [_number(v) for v in per_seed[a, s]] for s, n in enumerate(scorers)}
            for a, arm in enumerate(known.arms)
        },
        "differences": {
            control: {n: _share(table, "difference", (i, s)) for s, n in enumerate(scorers)}
            for control, table in differences.items()
        },
        "trajectory": checks(path),
    }


def checks(path: xr.Dataset) -> list[dict[str, Any]]:
    """The checks of each run of a `trajectory`, as data.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> checks(trajectory(synthetic()))[0]["checks"][0]["updates"]
    0
    """
    data = _plain(path)
    return [
        {
            "seed": int(seed),
            "checks": [
                {
                    "updates": int(data["run_step"][at]),
                    "start": str(data["start"][at]),
                    "target": float(data["run"][at]),
                    "tenth": float(data["run_tenth"][at]),
                    "ninetieth": float(data["run_ninetieth"][at]),
                    "runner_up": str(data["run_runner_up"][at]),
                    "second": float(data["run_runner_up_probability"][at]),
                    "kept": bool(data["kept"][at]),
                }
                for at in ((r, c) for c in np.flatnonzero(np.isfinite(data["run"][r])))
            ],
        }
        for r, seed in enumerate(path["seed"].values)
    ]


def _says(row: dict[str, Any], known: Evidence) -> str:
    """One sentence on a label: how much is read so, who confirms it, what the controls give."""
    if not row["images"]:
        return f"No image of the arm “{known.arm}” was made, so nothing is known of this label."

    def said(share: dict[str, float]) -> str:
        return rate(share["value"], share["low"], share["high"])

    parts = [
        f"{known.read.attrs['classifier']} reads {said(row['success'])} of {row['images']} images "
        "on new noise as the label"
    ]
    if row["semantic_index"] is not None:
        parts.append(
            f"held-out classifiers confirm {said(row['semantic_index'])} of those {row['reached']}"
        )
    elif row["reached"]:
        parts.append("no held-out classifier was asked whether they mean it")
    if row["name_success"] is not None and known.arm != name_arm(known.arms):
        parts.append(f"the plain prompt with the name gives {said(row['name_success'])}")
    if row["gain"] is not None:
        control = known.baseline in ARMS and ARMS[str(known.baseline)].control
        over = "a token trained on shuffled weights" if control else baseline_says(known)
        gain = row["gain"]
        parts.append(
            f"the gain over {over} is {points(gain['value'])} points "
            f"{bracket(gain['low'], gain['high'])}"
        )
    return "; ".join(parts) + "."


def _classes(table: dict[str, np.ndarray], i: int) -> list[dict[str, Any]]:
    return [
        {
            "class": str(name),
            "own": bool(table["own"][i, k]),
            "value": float(table["share"][i, k]),
            **{end: float(table[end][i, k]) for end in _ENDS},
        }
        for k, name in enumerate(table["of_class"][i])
        if name
    ]


def _finding(row: dict[str, Any]) -> dict[str, Any]:
    """A row of /findings as data."""
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in row.items()}
    return {
        k: _number(v) if isinstance(v, float) else v for k, v in plain.items() if k != "of_label"
    }


def _plain(table: xr.Dataset) -> dict[str, np.ndarray]:
    """Arrays: an item of a Dataset takes a thousand times as long, and there are many."""
    return {str(name): table[name].values for name in table}


def _share(
    table: dict[str, np.ndarray], name: str, at: tuple[int, ...], stem: str = ""
) -> dict[str, Any] | None:
    """A value with its ends, None where there is none."""
    value = float(table[name][at])
    if math.isnan(value):
        return None
    return {"value": value, **{end: _number(table[f"{stem}{end}"][at]) for end in _ENDS}}


def _low(share: dict[str, Any] | None) -> float:
    return math.nan if share is None else float(share["low"])


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
