"""Every number that an audit's report shows, as plain data: dicts, lists, numbers, text, None."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis import intervals
from inversion_kit.analysis.audit_reads import arm_place, shares
from inversion_kit.analysis.audits import (
    KINDS,
    attention,
    audit_sentences,
    label_success,
    overall_success,
    paired_effects,
    reads,
    semantic_index,
    view_index,
)
from inversion_kit.analysis.runs import bracket, percent, points
from inversion_kit.analysis.words import VERDICTS
from inversion_kit.reports.report_parts import findings

__all__ = ["VERDICTS", "main_arm", "numbers"]
_OTHERS, _BOOT = 5, 2000
_ENDS = ("share", "low", "high")


def main_arm(tree: xr.DataTree) -> str:
    """The arm that the verdict is about: the token alone where it is there.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> main_arm(synthetic_audit()), main_arm(synthetic_audit(arms=["name"]))
    ('token', 'name')
    """
    arms = [str(a) for a in tree["status"]["arm"].values]
    return next(a for a in ("token", "token+name", "name", *arms) if a in arms)


def numbers(tree: xr.DataTree) -> dict[str, Any]:
    """What an audit found, as data that JSON can hold; NaN is None.

    Parameters
    ----------
    tree
        A valid audit. Pixels are not read.

    Returns
    -------
    dict
        ``sentences``; ``attention``; ``labels``, one dict each with its verdict, the success of
        every arm under every scorer, the semantic and view index, gains over the controls, what
        else it is read as, its findings, and its failed and missing units; ``overall``; and the
        audit's attributes. A share is a dict of ``value``, ``low`` and ``high`` in [0, 1], None
        without an image.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> found = numbers(synthetic_audit(outcomes=("meaning", "trick"), samples=16))
    >>> [(row["label"], row["verdict"]) for row in found["labels"]][:2]
    [('sky', 'confirmed'), ('green', 'trick')]
    """
    read = reads(tree)
    arm = main_arm(tree)
    arms = [str(a) for a in read["arm"].values]
    table = label_success(read)
    # Plain arrays: an item of a Dataset takes a thousand times as long, and there are many.
    plain = {str(name): table[name].values for name in table}
    scorers = [str(name) for name in table["scorer"].values]
    meant, seen = semantic_index(read, arm), view_index(read, arm)
    gains = {
        control: paired_effects(read.isel(scorer=[0]), arm, control).isel(scorer=0)
        for control in ("shuffled", "name")
        if control in arms and control != arm
    }
    index, views = ({k: part[k].values for k in ("index", "low", "high")} for part in (meant, seen))
    reached, per_judge = meant["images"].values, meant["per_judge"].values
    changes = {
        control: {k: gain[k].values for k in ("difference", "low", "high")}
        for control, gain in gains.items()
    }
    listed = attention(tree, arm)
    others = {name: _others(read, name) for name in dict.fromkeys((arm, "name")) if name in arms}
    status = tree["status"]["status"].values
    rows = []
    for i, label in enumerate(str(n) for n in read["label"].values):
        reasons = [a for a in listed if a.label == label]
        made: dict[str, dict[str, Any]] = {
            name: {
                "images": int(plain["images"][i, a, 0]),
                "seeds": int(plain["seeds"][i, a, 0]),
                "seeds_holding": int(plain["seeds_holding"][i, a, 0]),
                "per_seed": [_number(v) for v in plain["per_seed"][i, a, 0]],
                "trained": _number(plain["trained"][i, a]),
                "scorers": {
                    scorer: _share({k: plain[k][i, a, s] for k in _ENDS}, "share")
                    for s, scorer in enumerate(scorers)
                },
            }
            for a, name in enumerate(arms)
        }
        classifier = str(read["scorer"].values[0])
        row: dict[str, Any] = {
            "label": label,
            "index": int(read["label_index"].values[i]),
            "images": made[arm]["images"],
            "success": made[arm]["scorers"][classifier],
            "name_success": made["name"]["scorers"][classifier] if "name" in made else None,
            "semantic_index": _share({k: v[i] for k, v in index.items()}, "index"),
            "reached": int(reached[i]),
            "per_judge": {
                str(judge): _number(per_judge[i, j])
                for j, judge in enumerate(meant["judge"].values)
            },
            "view_index": _share({k: v[i] for k, v in views.items()}, "index"),
            "gains": {
                c: _share({k: v[i] for k, v in parts.items()}, "difference")
                for c, parts in changes.items()
            },
            "arms": made,
            "read_as": {name: rows_of[i] for name, rows_of in others.items()},
            "attention": [{"kind": a.kind, "reason": a.reason} for a in reasons],
            "findings": findings(tree, label),
            "units": int(status[i].size),
            "failed": int((status[i] == "failed").sum()),
            "missing": int((status[i] == "missing").sum()),
        }  # fmt: skip
        row["gain"] = row["gains"].get("shuffled")
        row["verdict"] = _verdict(row, {a.kind for a in reasons})
        row["says"] = _says(row, str(tree.attrs["classifier"]), arm)
        rows.append(row)
    whole = overall_success(read)
    attributes = dict(tree.attrs)
    return {
        **{k: attributes[k] for k in (
            "schema_version", "kind", "classifier", "classifier_hash", "generator",
            "generator_hash", "created")},
        **{k: json.loads(attributes[k]) for k in
           ("judges", "judge_hashes", "settings", "versions")},
        "seconds": float(attributes["seconds"]),
        "arm": arm,
        "arms": arms,
        "seeds": [int(s) for s in read["seed"].values],
        "classes": read.sizes["class"],
        "scorers": [
            {"name": str(n), "role": str(r)}
            for n, r in zip(read["scorer"].values, read["role"].values, strict=True)
        ],
        "sentences": audit_sentences(tree, arm),
        "attention": [
            {"label": a.label, "kind": a.kind, "reason": a.reason} for a in listed
        ],
        "kinds": [kind for kind in KINDS if any(a.kind == kind for a in listed)],
        "overall": {
            name: {
                "images": int(whole["images"][a, 0]),
                "scorers": {
                    str(scorer): _share(whole.isel(arm=a, scorer=s), "share")
                    for s, scorer in enumerate(whole["scorer"].values)
                },
            }
            for a, name in enumerate(arms)
        },
        "gains": {
            control: {
                "value": _number(g["pooled_difference"]),
                "low": _number(g["pooled_low"]),
                "high": _number(g["pooled_high"]),
                "pairs": int(g["pooled_pairs"]),
            }
            for control, g in gains.items()
        },
        "semantic_index": _share(meant, "overall_index", stem="overall_"),
        "view_index": _share(seen, "overall_index", stem="overall_"),
        "units": {
            "done": int((status == "done").sum()),
            "failed": int((status == "failed").sum()),
            "missing": int((status == "missing").sum()),
            "all": int(status.size),
        },
        "labels": rows,
    }  # fmt: skip


def _verdict(row: dict[str, Any], kinds: set[str]) -> str:
    """One of `VERDICTS`; each is claimed only where its interval carries it."""
    meant = row["semantic_index"]
    if not row["images"]:
        return "none"
    for kind, verdict in (
        ("never reached", "never"),
        ("trick", "trick"),
        ("no better than control", "control"),
        ("mixed up", "mixed"),
    ):
        if kind in kinds:
            return verdict
    shown = row["success"]["low"] > 0.5 and meant is not None and meant["low"] > 0.5
    return "confirmed" if shown and "not told apart from control" not in kinds else "open"


def _says(row: dict[str, Any], classifier: str, arm: str) -> str:
    """One sentence on a label: how much is read so, who confirms it, what the controls give."""
    if not row["images"]:
        return f"No image of the arm “{arm}” was made, so nothing is known of this label."

    def said(share: dict[str, float]) -> str:
        reach = bracket(share["low"], share["high"])
        return f"{percent(share['value'])}\N{NO-BREAK SPACE}{reach}"

    parts = [
        f"{classifier} reads {said(row['success'])} of {row['images']} images on new noise as "
        "the label"
    ]
    if row["semantic_index"] is not None:
        parts.append(
            f"held-out classifiers confirm {said(row['semantic_index'])} of those {row['reached']}"
        )
    elif row["reached"]:
        parts.append("no held-out classifier was asked whether they mean it")
    if arm != "name" and row["name_success"] is not None:
        parts.append(f"the plain prompt with the name gives {said(row['name_success'])}")
    if row["gain"] is not None:
        gain = row["gain"]
        parts.append(
            f"the gain over a token trained on shuffled weights is {points(gain['value'])} points "
            f"{bracket(gain['low'], gain['high'])}"
        )
    return "; ".join(parts) + "."


def _others(read: xr.Dataset, arm: str) -> list[list[dict[str, Any]]]:
    """For each label the classes its images are read as, most first, with intervals."""
    top = read["top"].values[0][:, arm_place(read, arm)]
    share, images = shares(top, read.sizes["class"])
    names = [str(n) for n in read["class"].values]
    order = np.argsort(-np.nan_to_num(share), axis=1, kind="stable")[:, :_OTHERS]
    picked = top[:, None] == order[..., None, None]
    taken = np.where(top[:, None] < 0, np.nan, picked).reshape(-1, *top.shape[1:])
    value, low, high = (
        part.reshape(order.shape) for part in intervals.share(taken, n_boot=_BOOT, seed=0)
    )
    return [
        [
            {
                "class": names[order[i, k]],
                "own": bool(order[i, k] == read["label_index"].values[i]),
                "value": float(value[i, k]),
                "low": float(low[i, k]),
                "high": float(high[i, k]),
            }
            for k in range(order.shape[1])
            if images[i] and value[i, k] > 0
        ]
        for i in range(len(order))
    ]


def _share(
    data: xr.Dataset | dict[str, Any], name: str, *, stem: str = ""
) -> dict[str, Any] | None:
    value = float(data[name])
    if math.isnan(value):
        return None
    return {
        "value": value,
        "low": _number(data[f"{stem}low"]),
        "high": _number(data[f"{stem}high"]),
    }


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
