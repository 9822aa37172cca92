"""One label in an audit's report: its pictures, search, words and judges, and its sheet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment

from inversion_kit.analysis import runs as analysis
from inversion_kit.reports.report_parts import chart, spread, start_says
from inversion_kit.reports.sprites import sheet

_WORTH = 0.01


@dataclass(frozen=True)
class Detail:
    """How much of a label is shown."""

    images: int
    strips: tuple[int, ...]
    checks: int
    pixels: int
    charts: int
    quality: int
    tables: bool = True
    views: bool = True


LEVELS = (
    Detail(8, (4, 2, 2), 9, 96, 8, 86),
    Detail(6, (3,), 8, 96, 3, 80),
    Detail(6, (2,), 6, 64, 1, 75, tables=False),
    Detail(4, (1,), 6, 48, 1, 70, tables=False),
    Detail(3, (1,), 4, 32, 1, 60, tables=False, views=False),
    Detail(2, (), 0, 32, 0, 55, tables=False, views=False),
)
"""From most to least; the first that fits the size is taken."""


def label_block(
    space: Environment, tree: xr.DataTree, found: dict[str, Any], i: int, detail: Detail
) -> tuple[str, str]:
    """HTML of a label, and the CSS of its sheet."""
    row = found["labels"][i]
    grid, pictures = _grid(tree, found, i, detail)
    strips, more, charts = _search(tree, found, i, detail)
    block = space.get_template("audit_label.html.j2").render(
        row=row, at=i, grid=grid, strips=strips, charts=charts, found=found,
        words=_words(tree, found["arm"], i), findings=row["findings"],
        bars=_bars(row, found), scale=scale, detail=detail,
    )  # fmt: skip
    address = sheet(
        pictures + more, columns=sheet_columns(detail), pixels=detail.pixels, quality=detail.quality
    )
    return block, f".s{i}{{background-image:url({address})}}\n"


def fitted(level: Detail, tree: xr.DataTree) -> Detail:
    """The level, cut to what the audit has."""
    sizes = tree["samples"].sizes
    stored = max(sizes["y"], sizes["x"])
    return replace(
        level,
        images=min(level.images, sizes["sample"] * sizes["seed"]),
        strips=level.strips[: sizes["seed"]],
        checks=min(level.checks, tree["validation"].sizes["check"]),
        pixels=min(level.pixels, stored),
    )


def test_noises(tree: xr.DataTree, detail: Detail) -> list[tuple[int, int]]:
    """Run and noise of the test images that are shown: the first of every run, in stored order."""
    sizes = tree["samples"].sizes
    pairs = [(r, k) for k in range(sizes["sample"]) for r in range(sizes["seed"])]
    return sorted(pairs[: detail.images])


def sheet_columns(detail: Detail) -> int:
    """Cells of a row of a sheet."""
    return max(detail.images, detail.checks, 1)


def _grid(
    tree: xr.DataTree, found: dict[str, Any], i: int, detail: Detail
) -> tuple[dict[str, Any], list[list[np.ndarray | None]]]:
    """Every arm (row) on the same test noises (columns), with what each image is read as."""
    samples = tree["samples"].to_dataset(inherit=False).isel(label=i)
    status = tree["status"]["status"].values[i]
    reasons = tree["status"]["reason"].values[i]
    names = samples["class"].values
    target = found["labels"][i]["index"]
    columns = test_noises(tree, detail)
    most = max(k for _, k in columns) + 1
    some = samples.isel(sample=slice(0, most))
    image, probability = some["image"].values, some["probability"].values
    prompts = some["prompt"].values
    judged = some["judge_probability"].values if "judge_probability" in some else None
    roles = [s["role"] for s in found["scorers"][1:]]
    judges = [s["name"] for s in found["scorers"][1:]]
    arms: list[dict[str, Any]] = []
    pictures: list[list[np.ndarray | None]] = []
    for a, arm in enumerate(found["arms"]):
        cells: list[dict[str, Any]] = []
        line: list[np.ndarray | None] = []
        for r, k in columns:
            p = probability[a, r, k]
            if status[a, r] != "done" or not np.isfinite(p).all():
                line.append(None)
                why = str(reasons[a, r]) if status[a, r] == "failed" else ""
                cells.append({"gap": str(status[a, r]), "why": why})
                continue
            line.append(image[a, r, k])
            order = np.argsort(-p, kind="stable")[:3]
            told = [] if judged is None else [int(j[k].argmax()) for j in judged[a, r]]
            views = [c for c, role in zip(told, roles, strict=True) if role == "view"]
            cells.append({
                "gap": "",
                "where": f"run {found['seeds'][r]}, noise {k + 1}",
                "top": [
                    {"name": str(names[c]), "p": float(p[c]), "own": c == target}
                    for c in order if c == order[0] or p[c] >= _WORTH
                ],
                "hit": bool(order[0] == target),
                "judges": [
                    {"judge": judge, "name": str(names[c]), "own": c == target}
                    for judge, c, role in zip(judges, told, roles, strict=True)
                    if role == "classifier"
                ],
                "views": (sum(c == order[0] for c in views), len(views)),
            })  # fmt: skip
        said = dict.fromkeys(str(p) for p in prompts[a].ravel() if str(p))
        arms.append({"arm": arm, "cells": cells, "prompts": list(said)[:2]})
        pictures.append(line)
    heads = [{"seed": found["seeds"][r], "noise": k + 1} for r, k in columns]
    return {"heads": heads, "arms": arms}, pictures


def _search(
    tree: xr.DataTree, found: dict[str, Any], i: int, detail: Detail
) -> tuple[list[dict[str, Any]], list[list[np.ndarray | None]], list[dict[str, Any]]]:
    """Strips over the checks, their pictures, and the charts, of the runs that have a search."""
    empty: list[list[np.ndarray | None]] = [[] for _ in range(sum(detail.strips))]
    arms = found["arms"]
    arm = found["arm"] if found["arm"] != "name" else next((a for a in arms if a != "name"), None)
    if arm is None or not (detail.strips or detail.charts):
        return [], empty, []
    a = arms.index(arm)
    here = {"label": i, "arm": a}
    runs = np.flatnonzero(tree["status"]["status"].values[i, a] == "done")
    if not len(runs):
        return [], empty, []
    validation = tree["validation"].to_dataset(inherit=False).isel(here).isel(seed=runs)
    token = tree["token"].to_dataset(inherit=False).isel(here).isel(seed=runs)
    validation = validation.load().assign_coords({"class": validation["class"].astype(object)})
    validation["start"] = validation["start"].astype(object)  # zarr's own text has no str
    one = xr.DataTree.from_dict({"/validation": validation, "/token": token.load()})
    one.attrs = {"label_index": found["labels"][i]["index"]}
    path = analysis.trajectory(one)
    charts = [chart(path, r) for r in range(min(len(runs), detail.charts))]
    strips: list[dict[str, Any]] = []
    pictures: list[list[np.ndarray | None]] = []
    for r, most in enumerate(detail.strips[: len(runs)]):
        strip, lines = _strip(one, path, r, most, len(pictures) + len(arms), detail)
        if r < len(charts):
            marks = {m["row"]["updates"]: m["x"] for m in charts[r]["marks"]}
            for head in strip["heads"]:
                head["x"] = marks[head["updates"]]
        strips.append({**strip, "arm": arm, "seed": found["seeds"][runs[r]]})
        pictures += lines
    return strips, pictures + empty[len(pictures) :], charts


def _strip(
    one: xr.DataTree, path: xr.Dataset, run: int, most: int, first: int, detail: Detail
) -> tuple[dict[str, Any], list[list[np.ndarray | None]]]:
    """The same held-out noises (rows) at checks of one run (columns); rows of a sheet."""
    validation = one["validation"].to_dataset().isel(seed=run)
    line = path.isel(seed=run)
    target = int(one.attrs["label_index"])
    there = np.flatnonzero(np.isfinite(line["target_probability"].values))
    kept = np.flatnonzero(line["kept"].values)
    columns = spread(there, detail.checks, int(kept[0]) if len(kept) else None)
    image, probability = validation["image"].values, validation["probability"].values
    names = validation["class"].values
    heads, before = [], ""
    for check in columns:
        start = str(line["start"].values[check])
        heads.append({
            "updates": int(line["step"].values[check]),
            "start": start_says(start) if start != before else "",
            "kept": bool(line["kept"].values[check]),
            "mean": float(line["target_probability"].values[check]),
        })  # fmt: skip
        before = start
    rows, pictures = [], []
    for sample in range(min(most, validation.sizes["sample"])):
        cells = []
        for c, check in enumerate(columns):
            p = probability[check, sample]
            cells.append({
                "column": c, "row": first + sample, "p": float(p[target]),
                "hit": int(p.argmax()) == target, "top": str(names[int(p.argmax())]),
            })  # fmt: skip
        rows.append(cells)
        pictures.append([image[check, sample] for check in columns])
    left = {"checks": len(there) - len(columns), "noises": validation.sizes["sample"] - len(rows)}
    return {"heads": heads, "rows": rows, "left_out": left}, pictures


def _words(tree: xr.DataTree, arm: str, i: int) -> list[dict[str, Any]]:
    """Nearest words of the kept token of every run."""
    here = {"label": i, "arm": [str(a) for a in tree["token"]["arm"].values].index(arm)}
    token = tree["token"].to_dataset(inherit=False)[["nearest_word", "nearest_cosine"]]
    token = token.isel(here).load()
    probe = tree["probe"].to_dataset(inherit=False).isel(here).load()
    found = []
    for r, seed in enumerate(token["seed"].values):
        near = [
            (str(w), float(c))
            for w, c in zip(token["nearest_word"].values[r], token["nearest_cosine"].values[r],
                            strict=True)
            if str(w) and np.isfinite(c)
        ][:6]  # fmt: skip
        asked = [
            (str(w), float(v))
            for w, v in zip(probe["word"].values[r], probe["log_probability"].values[r],
                            strict=True)
            if str(w) and np.isfinite(v)
        ]  # fmt: skip
        if near:
            best = sorted(asked, key=lambda x: -x[1])[:6]
            found.append({"seed": int(seed), "nearest": near, "probe": best, "asked": len(asked)})
    return found


def _bars(row: dict[str, Any], found: dict[str, Any]) -> list[dict[str, Any]]:
    """A line for every scorer, with the success of every arm."""
    return [
        {**scorer, "shares": [row["arms"][arm]["scorers"][scorer["name"]] for arm in found["arms"]]}
        for scorer in found["scorers"]
    ]


def scale(share: dict[str, float], least: float = 0.0) -> dict[str, float]:
    """Places of a share in [``least``, 1] on the axis of an interval."""
    return {
        at: round(4 + 152 * (share[k] - least) / (1 - least), 1)
        for at, k in (("at", "value"), ("low", "low"), ("high", "high"))
    }
