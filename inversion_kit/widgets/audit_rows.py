"""The table of labels: one audit's numbers, or those of two beside each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis import intervals
from inversion_kit.analysis.audit_reads import hits_of
from inversion_kit.analysis.words import SIGNS, VERDICTS, visible
from inversion_kit.reports.audit_table import main_arm, numbers
from inversion_kit.widgets.audit_images import AuditImages, arm_words

DIFFER = ("differ", "Verdicts differ", "≠")


def table(panels: list[AuditImages]) -> tuple[list[Any], list[Any], list[Any]]:
    """Columns, rows and verdicts of `LabelTable`.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> columns, rows, _ = table([AuditImages(synthetic_audit())])
    >>> [c["key"] for c in columns], rows[0]["label"]
    (['success', 'index', 'findings'], 'sky')
    """
    found = [numbers(panel.tree) for panel in panels]
    if len(panels) == 1:
        return _one(panels[0].tree, found[0])
    return _two(panels, found)


def _one(tree: xr.DataTree, found: dict[str, Any]) -> tuple[list[Any], list[Any], list[Any]]:
    arm = arm_words(found["arm"])
    columns = [
        {"key": "success", "title": "Success", "kind": "share",
         "hint": f"share of the {arm} images that {found['classifier']} reads as the label, with "
         "its 95 % interval"},
        {"key": "index", "title": "Semantic", "kind": "share",
         "hint": "of those, the share that held-out classifiers confirm"},
        {"key": "findings", "title": "Findings", "kind": "text",
         "hint": "what to look at, and factors that the token moved"},
    ]  # fmt: skip
    factors = _factors(tree)
    rows = [
        {
            "label": row["label"], "name": visible(row["label"]), "verdict": row["verdict"],
            "success": row["success"], "index": row["semantic_index"],
            "findings": _findings(row, factors.get(row["label"], [])),
        }
        for row in found["labels"]
    ]  # fmt: skip
    return columns, rows, _verdicts()


def _two(
    panels: list[AuditImages], found: list[dict[str, Any]]
) -> tuple[list[Any], list[Any], list[Any]]:
    columns = [
        *({"key": f"success{i}", "title": f"Success {'AB'[i]}", "kind": "share",
           "hint": f"{f['classifier']}, {arm_words(f['arm'])}"} for i, f in enumerate(found)),
        {"key": "difference", "title": "B − A", "kind": "points",
         "hint": "percentage points; with a paired 95 % interval where both had the same noise"},
        *({"key": f"index{i}", "title": f"Semantic {'AB'[i]}", "kind": "share",
           "hint": "of the images read as the label, the share that held-out classifiers confirm"}
          for i in range(2)),
        {"key": "verdicts", "title": "Verdicts A | B", "kind": "text", "hint": ""},
    ]  # fmt: skip
    by = [{row["label"]: row for row in f["labels"]} for f in found]
    change = _change(panels)
    rows = []
    for label in dict.fromkeys([*by[0], *by[1]]):
        pair = [one.get(label) for one in by]
        verdicts = [row["verdict"] if row else "none" for row in pair]
        row: dict[str, Any] = {
            "label": label,
            "name": visible(label),
            "verdict": verdicts[0] if verdicts[0] == verdicts[1] else DIFFER[0],
            "difference": change.get(label),
            "verdicts": {
                "n": len(set(verdicts)),
                "says": " | ".join(
                    VERDICTS[v] if p else "not audited" for v, p in zip(verdicts, pair, strict=True)
                ),
            },
        }
        for i, one in enumerate(pair):
            row[f"success{i}"] = one["success"] if one else None
            row[f"index{i}"] = one["semantic_index"] if one else None
        rows.append(row)
    return columns, rows, [*_verdicts(), list(DIFFER)]


def _verdicts() -> list[list[str]]:
    """Key, words and sign of every verdict."""
    return [[key, words, SIGNS[key]] for key, words in VERDICTS.items()]


def _change(panels: list[AuditImages]) -> dict[str, dict[str, Any]]:
    """Success of the second audit minus that of the first, of every label that both have."""
    hit, noise = [], []
    for panel in panels:
        arm = panel.arms.index(main_arm(panel.tree))
        hit.append(hits_of(panel.read)[0][:, arm])
        noise.append(panel.samples["noise_seed"].isel(arm=arm).values)
    found = {}
    for i, label in enumerate(panels[0].labels):
        if label not in panels[1].labels:
            continue
        k = panels[1].labels.index(label)
        a, b = hit[0][i], hit[1][k]
        if not np.isfinite(a).any() or not np.isfinite(b).any():
            continue
        entry: dict[str, Any] = {"value": float(np.nanmean(b) - np.nanmean(a))}
        if a.shape == b.shape and np.array_equal(noise[0][i], noise[1][k]):
            value, low, high = intervals.difference(b[None], a[None], n_boot=2000, seed=0)
            entry = {"value": float(value[0]), "low": float(low[0]), "high": float(high[0])}
        found[label] = entry
    return found


def _factors(tree: xr.DataTree) -> dict[str, list[str]]:
    """Of each label the factors whose interval leaves out 0, where the result holds findings."""
    if "findings" not in tree.children:
        return {}
    data = tree["findings"].to_dataset(inherit=False)
    if "label" not in data.dims or not {"low", "high"} <= set(data):
        return {}
    low, high = (data[n].transpose("label", "factor").values for n in ("low", "high"))
    moved = (low > 0) | (high < 0)
    names = [str(f) for f in data["factor"].values]
    return {
        str(label): [names[f] for f in np.flatnonzero(moved[i])]
        for i, label in enumerate(data["label"].values)
    }


def _findings(row: dict[str, Any], factors: list[str]) -> dict[str, Any]:
    kinds = [look["kind"] for look in row["attention"]]
    if not row["attention"] and row["failed"]:
        kinds = ["failed units"]
    said = [*kinds, *(f"moves {factor}" for factor in factors)]
    return {"n": len(said), "says": visible("; ".join(said))}
