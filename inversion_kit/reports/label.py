"""One label in a report: its search, its pictures, its words, and who reads it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment
from markupsafe import Markup

from inversion_kit import analysis
from inversion_kit.analysis.pictures import largest
from inversion_kit.analysis.table import checks
from inversion_kit.analysis.words import start_says, visible
from inversion_kit.figures.paths import trajectory_spec
from inversion_kit.figures.static import svg
from inversion_kit.reports.detail import Detail
from inversion_kit.reports.findings import FIRST, Section
from inversion_kit.reports.sprites import sheet

_WORTH = 0.01
"""Probability from which a class that is not the first choice is named."""
_WORDS = 10
_CELL = ("gap", "reason", "probability", "prompt", "hit", "views_asked", "views_agree")

Row = list[np.ndarray | None]
"""A row of pictures of a sheet."""


def label_block(
    space: Environment,
    tree: xr.DataTree,
    data: dict[str, Any],
    i: int,
    detail: Detail,
    cues: Section | None = None,
) -> tuple[str, str, list[str]]:
    """HTML of a label, CSS of its sheet, and which of its pictures there are.

    Parameters
    ----------
    data
        What `inversion_kit.analysis.numbers` gave.
    i
        Place of the label along its dimension.
    cues
        The findings of the result.

    Returns
    -------
    tuple
        The last is a text for every arm, "1" for each picture that is there and "0" for each gap.
    """
    row, one = data["labels"][i], len(data["labels"]) == 1
    cells = analysis.grid(tree, label=row["label"], columns=detail.images, every_run=True)
    gaps, image = cells["gap"].values, cells["image"].values
    pictures: list[Row] = [
        [image[a, k] if not gaps[a, k] else None for k in range(cells.sizes["noise"])]
        for a in range(cells.sizes["arm"])
    ]
    runs = _runs(tree, row["label"], detail, pictures)
    pictures += [[]] * (sheet_rows(data, detail) - len(pictures))
    block = space.get_template("label.html.j2").render(
        data=data,
        row=row,
        at=i,
        detail=detail,
        grid=_grid(cells),
        heads=heads(cells),
        runs=runs,
        words=_words(tree, row["label"]),
        one=one,
        **_findings(cues, i, one),
        differences=row.get("differences")
        or {c: {data["classifier"]: share} for c, share in row["gains"].items()},
    )
    address = sheet(
        pictures, columns=sheet_columns(detail), pixels=detail.pixels, quality=detail.quality
    )
    there = ["".join("0" if gap else "1" for gap in line) for line in gaps]
    return block, f".s{i}{{background-image:url({address})}}\n", there


def _findings(cues: Section | None, i: int, one: bool) -> dict[str, Any]:
    """Findings of a label; of one label alone those that the first screen does not show."""
    confirmed = [] if cues is None else [f for f in cues.confirmed if f["at"] == i]
    others = [] if cues is None else [f for f in cues.others if f["at"] == i]
    return {"confirmed": confirmed[FIRST:] if one else confirmed, "others": others}


def heads(cells: xr.Dataset) -> list[dict[str, int]]:
    """Run and noise of every column of a grid of pictures."""
    return [
        {"run": int(run), "noise": int(sample) + 1}
        for run, sample in zip(cells["run_seed"].values, cells["sample"].values, strict=True)
    ]


def sheet_columns(detail: Detail) -> int:
    """Cells of a row of a sheet."""
    return max(detail.images, detail.checks, 1)


def sheet_rows(data: dict[str, Any], detail: Detail) -> int:
    """Rows of a sheet, the same for every label: arms, then noises along the search."""
    return len(data["arms"]) + sum(detail.strips)


def _grid(cells: xr.Dataset) -> list[dict[str, Any]]:
    """Every arm (row) on the same test noises (columns), with what each image is read as."""
    names, target = cells["class"].values, cells.attrs["label_index"]
    plain = {n: cells[n].values for n in _CELL}
    judges = [
        (str(judge), cells["judge_read_as"].values[j])
        for j, judge in enumerate(cells["judge"].values if "judge" in cells.coords else ())
        if str(cells["judge_kind"].values[j]) == "classifier"
    ]
    rows = []
    for a, arm in enumerate(cells["arm"].values):
        shown = []
        for k in range(cells.sizes["noise"]):
            of: dict[str, Any] = {n: values[a, k] for n, values in plain.items()}
            p = of["probability"]
            order = [] if of["gap"] else largest(p)
            shown.append(
                {
                    **of,
                    "top": [
                        {"name": str(names[c]), "p": float(p[c]), "own": c == target}
                        for c in order
                        if c == order[0] or p[c] >= _WORTH
                    ],
                    "judges": [
                        {"judge": judge, "name": said[a, k], "own": said[a, k] == names[target]}
                        for judge, said in judges
                        if said[a, k]
                    ],
                }
            )
        prompts = dict.fromkeys(str(p) for p in plain["prompt"][a] if str(p))
        rows.append({"arm": str(arm), "cells": shown, "prompts": list(prompts)[:3]})
    return rows


def _runs(
    tree: xr.DataTree, label: str, detail: Detail, pictures: list[Row]
) -> list[dict[str, Any]]:
    """Strip, chart and numbers of every run that is shown; the strips' pictures are added."""
    most = max(len(detail.strips), detail.charts)
    if not most:
        return []
    path = analysis.trajectory(tree, label=label)
    made: list[dict[str, Any]] = []
    for r in np.flatnonzero(np.isfinite(path["run"].values).any(1))[:most]:
        seed = int(path["seed"].values[r])
        one: dict[str, Any] = {"seed": seed, "arm": path.attrs["arm"], "strip": None, "chart": ""}
        if len(made) < len(detail.strips):
            strip = analysis.strip(
                tree,
                label=label,
                run_seed=seed,
                samples=detail.strips[len(made)],
                columns=detail.checks,
            )
            one["strip"] = _strip(strip, len(pictures))
            image = strip["image"].values
            pictures += [list(line) for line in image]
        if len(made) < detail.charts:
            spec = trajectory_spec(path.isel(seed=[r]), classes=None)
            name = f"Run {seed}: probability of “{visible(label)}” and of the runner-up"
            one["chart"] = Markup(
                svg(spec, width=520, height=300, css="figure chart", name=name, hover=detail.tables)
            )
            one["checks"] = checks(path.isel(seed=[r]))[0]["checks"]
        made.append(one)
    return made


def _strip(strip: xr.Dataset, first: int) -> dict[str, Any]:
    """Heads and cells of the same noises (rows) along a search (columns); rows of a sheet."""
    plain = {n: strip[n].values for n in ("updates", "start", "restart", "kept", "mean")}
    cells = {n: strip[n].values for n in ("target", "hit", "read_as")}
    columns = range(strip.sizes["column"])
    return {
        "heads": [
            {
                **{
                    n: values[c].item() if values.dtype != object else values[c]
                    for n, values in plain.items()
                },
                "says": start_says(str(plain["start"][c])),
            }
            for c in columns
        ],
        "rows": [
            {
                "row": first + n,
                "noise": int(sample) + 1,
                "cells": [{k: values[n, c] for k, values in cells.items()} for c in columns],
            }
            for n, sample in enumerate(strip["sample"].values)
        ],
        "left_out": strip.attrs["of_columns"] - strip.sizes["column"],
        "of_samples": strip.attrs["of_samples"],
    }


def _words(tree: xr.DataTree, label: str) -> list[dict[str, Any]]:
    """Nearest words of the kept token of every run, and those that were probed."""
    words = analysis.nearest_words(tree, label=label)
    word, cosine, probe, log = (
        words[n].values
        for n in ("nearest_word", "nearest_cosine", "probe_word", "probe_log_probability")
    )
    return [
        {
            "seed": int(seed),
            "nearest": [
                (w, c) for w, c in zip(word[r], cosine[r], strict=True) if w and math.isfinite(c)
            ][:_WORDS],
            "probe": [
                (w, v, math.exp(v))
                for w, v in zip(probe[r], log[r], strict=True)
                if w and math.isfinite(v)
            ][:_WORDS],
            "asked": int(words["asked"].values[r]),
        }
        for r, seed in enumerate(words["seed"].values)
        if any(word[r])
    ]
