"""The table of labels: one result's numbers, or those of two beside each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from inversion_kit.analysis import compare, numbers
from inversion_kit.analysis.label_verdict import VERDICT_SIGNS
from inversion_kit.analysis.words import (
    SIGNS,
    VERDICTS,
    arm_words,
    bracket,
    percent,
    points,
    visible,
)
from inversion_kit.figures.intervals import interval_svg
from inversion_kit.widgets.images import Images

DIFFER = ["differ", "Verdicts differ", "≠"]
_KNOWN = [[key, words, SIGNS[key]] for key, words in VERDICTS.items()]
_ENDS = {"value": "difference", "low": "low", "high": "high"}
_CONFIRMED = "of the images read as the label, the share that held-out classifiers confirm"

Table = tuple[list[dict[str, str]], list[dict[str, Any]], list[list[str]]]


def table(panels: Sequence[Images]) -> Table:
    """Columns, rows and verdicts of `LabelTable`.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> columns, rows, _ = table([Images(synthetic(labels=2))])
    >>> [c["key"] for c in columns], rows[0]["label"]
    (['success', 'index', 'findings'], 'sky')
    """
    data = [numbers(panel.tree, detail=False) for panel in panels]
    return _one(data[0]) if len(data) == 1 else _two(panels, data)


def _column(key: str, title: str, hint: str = "", kind: str = "share") -> dict[str, str]:
    return {"key": key, "title": title, "hint": hint, "kind": kind}


def _one(data: dict[str, Any]) -> Table:
    hint = f"share of the {arm_words(data['arm'])} images that {data['classifier']} reads as the "
    columns = [
        _column("success", "Success", f"{hint}label, with its 95 % interval"),
        _column("index", "Semantic", _CONFIRMED),
        _column("findings", "Look", "what to look at, and confirmed cues", "text"),
    ]
    if looked := any(row["confirmed"] is not None for row in data["labels"]):
        hint = "what cues, and the images of its token, come to"
        columns.insert(0, _column("finding", "Finding", hint, "text"))
    rows = [
        {key: row[key] for key in ("label", "verdict")}
        | {"name": visible(row["label"]), "findings": _findings(row)}
        | {"success": _share(row["success"]), "index": _share(row["semantic_index"])}
        | ({"finding": _finding(row)} if looked else {})
        for row in data["labels"]
    ]
    return columns, rows, _KNOWN


def _two(panels: Sequence[Images], data: list[dict[str, Any]]) -> Table:
    about = [f"{one['classifier']}, {arm_words(one['arm'])}" for one in data]
    paired = "percentage points; with a paired 95 % interval where both had the same noise"
    columns = [
        *(_column(f"success{i}", f"Success {'AB'[i]}", about[i]) for i in range(2)),
        _column("difference", "B − A", paired),
        *(_column(f"index{i}", f"Semantic {'AB'[i]}", _CONFIRMED) for i in range(2)),
        _column("verdicts", "Verdicts A | B", kind="text"),
    ]
    by = [{row["label"]: row for row in d["labels"]} for d in data]
    change = compare(panels[0].read, panels[1].read)
    ends = {
        str(label): {key: float(change[name].values[i]) for key, name in _ENDS.items()}
        for i, label in enumerate(change["label"].values)
    }
    rows = []
    for label in dict.fromkeys([*by[0], *by[1]]):
        pair = [one.get(label) for one in by]
        verdicts = [one["verdict"] if one else "none" for one in pair]
        words = [VERDICTS[v] if one else "not there" for v, one in zip(verdicts, pair, strict=True)]
        row: dict[str, Any] = {
            "label": label,
            "name": visible(label),
            "verdict": verdicts[0] if verdicts[0] == verdicts[1] else DIFFER[0],
            "difference": _share(ends.get(label), signed=True),
            "verdicts": {"n": len(set(verdicts)), "says": " | ".join(words)},
        }
        for i, one in enumerate(pair):
            row[f"success{i}"] = _share(one["success"] if one else None)
            row[f"index{i}"] = _share(one["semantic_index"] if one else None)
        rows.append(row)
    return columns, rows, [*_KNOWN, DIFFER]


def _share(share: dict[str, float] | None, *, signed: bool = False) -> dict[str, Any] | None:
    """A share or, ``signed``, a difference: by what it is sorted, its words and its drawing."""
    if share is None or math.isnan(share["value"]):
        return None
    value, low, high = (share[key] for key in _ENDS)
    return {
        "value": value,
        "says": points(value) if signed else percent(value),
        "bracket": "" if math.isnan(low) else bracket(low, high),
        "bar": interval_svg(value, low, high, -1.0 if signed else 0.0),
    }


def _finding(row: dict[str, Any]) -> dict[str, Any]:
    """The verdict by findings, the most serious first, with its sentence."""
    word = row["finding"]
    rank, says = list(VERDICT_SIGNS).index(word), f"{VERDICT_SIGNS[word]} {word}"
    return {"n": -rank, "says": says, "why": visible(row["finding_says"])}


def _findings(row: dict[str, Any]) -> dict[str, Any]:
    kinds = [reason["kind"] for reason in row["attention"]]
    if not kinds and row["failed"]:
        kinds = ["failed units"]
    cues = [f"{one['cue']} ({one['direction']})" for one in row["findings"] if one["confirmed"]]
    said = [*kinds, *dict.fromkeys(cues)]
    return {"n": len(said), "says": visible("; ".join(said))}
