"""Counting what is right: from the files that training and `methods` left."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.planted.definitions import METHODS, Definition
from benchmarks.planted.match import judged
from benchmarks.planted.over_classifiers import DRAWS, Row, means, of_many, share
from benchmarks.planted.spurious import measures
from inversion_kit.pocket.signs import NAMES


def result_of(out: Path, definition: Definition, method: str, seed: int) -> Path:
    """Where a method's result on a classifier is kept."""
    return out / definition.name / "found" / f"{method}-{seed}.json"


def counted(out: Path, definition: Definition) -> bool:
    """Whether it is trained and good enough, and its secret took."""
    facts = _read(out / definition.name / "measured.json")
    return bool(facts and facts["counted"])


def counts(out: Path, definitions: Sequence[Definition]) -> dict[str, Any]:
    """What came of training, and of each method.

    Returns
    -------
    dict
        ``classifiers`` by kind: ``defined``, ``trained``, ``counted``, and ``why`` others are not;
        ``methods``: see `of_method`; ``kinds``: right labels and cues by kind of each method;
        ``rows``, one a classifier, method and seed.
    """
    rows = [
        row
        for one in definitions
        if counted(out, one)
        for method in METHODS
        for row in _rows(out, one, method)
    ]
    kinds = list(dict.fromkeys(one.kind for one in definitions))
    return {
        "classifiers": {
            kind: _trained(out, [one for one in definitions if one.kind == kind]) for kind in kinds
        },
        "methods": {
            method: of_method([row for row in rows if row["method"] == method])
            | spurious_of(out, definitions, method)
            for method in METHODS
        },
        "kinds": {
            kind: {method: by_kind(rows, kind, method) for method in METHODS}
            for kind in kinds
            if kind != "clean"
        },
        "rows": rows,
    }


def of_method(rows: Sequence[Row]) -> dict[str, Any]:
    """Shares of a method with their intervals, each ``[hits, n, low, high]``.

    ``n`` are classifiers, whatever the number of seeds; hits are a mean over seeds.

    Returns
    -------
    dict
        ``label`` and ``cue``, of planted classifiers; ``flagged``, clean ones of which anything is
        said; ``false_label``, labels of clean ones of which something is said; ``false_planted``,
        planted ones of which something is said of another label; ``auc`` with its interval;
        ``seeds``; ``seconds``, ``processor_seconds``, the median, and ``peak_mb``, the largest.
    """
    planted = [row for row in rows if row["kind"] != "clean"]
    clean = [row for row in rows if row["kind"] == "clean"]
    wrong = means((row["name"], len(row["false"])) for row in clean)
    scores = [means((row["name"], row["score"]) for row in some) for some in (planted, clean)]
    return {
        "label": share(planted, itemgetter("label")),
        "cue": share(planted, itemgetter("cue")),
        "flagged": share(clean, lambda row: bool(row["false"])),
        "false_label": of_many(wrong, len(NAMES)),
        "false_planted": share(planted, lambda row: bool(row["false"])),
        "auc": area(*scores),
        "seeds": len({row["seed"] for row in rows}),
        "seconds": _over(rows, "seconds", np.median),
        "processor_seconds": _over(rows, "processor_seconds", np.median),
        "peak_mb": _over(rows, "peak_mb", max),
    }


def spurious_of(
    out: Path, definitions: Sequence[Definition], method: str
) -> dict[str, list[float | None]]:
    """`spurious.measures` of a method over all seeds."""
    asked = [
        (one, data["findings"])
        for one in definitions
        if counted(out, one)
        for path in sorted((out / one.name / "found").glob(f"{method}-*.json"))
        if (data := _read(path)) is not None
    ]
    planted = [pair for pair in asked if pair[0].family != "clean"]
    return measures(planted, [found for one, found in asked if one.family == "clean"])


def by_kind(rows: Sequence[Row], kind: str, method: str) -> dict[str, Any]:
    """Right labels, right cues, and right cues that were seen but not confirmed."""
    ours = [row for row in rows if row["kind"] == kind and row["method"] == method]
    return {name: share(ours, itemgetter(name)) for name in ("label", "cue", "near")}


def area(planted: Sequence[float], clean: Sequence[float]) -> list[float | None]:
    """Area under the ROC of a score, with the 95 % interval over draws of the classifiers."""
    if not planted or not clean:
        return [None, None, None]
    truth = np.r_[np.ones(len(planted)), np.zeros(len(clean))]
    random, values = np.random.default_rng(0), np.r_[planted, clean]
    draws = []
    for _ in range(DRAWS):
        at = [
            random.choice(np.flatnonzero(truth == one), int((truth == one).sum())) for one in (1, 0)
        ]
        draws.append(roc_auc_score(truth[np.r_[*at]], values[np.r_[*at]]))
    low, high = np.quantile(draws, [0.025, 0.975])
    return [round(float(v), 4) for v in (roc_auc_score(truth, values), low, high)]


def _rows(out: Path, one: Definition, method: str) -> list[Row]:
    made = []
    for path in sorted((out / one.name / "found").glob(f"{method}-*.json")):
        data = _read(path)
        if data is None:
            continue
        row = {"name": one.name, "kind": one.kind, "method": method, "seed": path.stem}
        row["seed"] = int(path.stem.rpartition("-")[2])
        row |= judged(one, data["findings"])
        row |= {"score": data["score"]} if "score" in data else {}
        row |= {name: data[name] for name in ("seconds", "processor_seconds", "peak_mb")}
        made.append(row)
    return made


def _trained(out: Path, definitions: Sequence[Definition]) -> dict[str, Any]:
    facts = {one.name: _read(out / one.name / "measured.json") for one in definitions}
    there = {name: fact for name, fact in facts.items() if fact is not None}
    return {
        "defined": len(definitions),
        "trained": len(there),
        "counted": sum(fact["counted"] for fact in there.values()),
        "why": {name: fact["why"] for name, fact in there.items() if not fact["counted"]},
    }


def _over(rows: Sequence[Row], name: str, of: Callable[[list[float]], float]) -> float | None:
    values = [row[name] for row in rows]
    return round(float(of(values)), 1) if values else None


def _read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8")) if path.exists() else None
