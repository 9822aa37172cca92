"""One label in a report: its search, its pictures, its words, and who reads it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment
from markupsafe import Markup

from inversion_kit import analysis
from inversion_kit.analysis.table import checks
from inversion_kit.analysis.words import visible
from inversion_kit.figures.cells import Cell, cells
from inversion_kit.figures.cells import heads as along
from inversion_kit.figures.paths import trajectory_spec
from inversion_kit.figures.static import svg
from inversion_kit.reports.detail import Detail
from inversion_kit.reports.findings import FIRST, Section
from inversion_kit.reports.sprites import sheet

_WORTH = 0.01
"""Probability from which a class that is not the first choice is named."""
_WORDS = 10

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
    grid = analysis.grid(tree, label=row["label"], columns=detail.images, every_run=True)
    table = cells(grid, most=3)
    pictures: list[Row] = [[cell.image for cell in line] for line in table]
    runs = _runs(tree, row["label"], detail, pictures)
    pictures += [[]] * (sheet_rows(data, detail) - len(pictures))
    block = space.get_template("label.html.j2").render(
        data=data,
        row=row,
        at=i,
        detail=detail,
        grid=_grid(grid, table),
        heads=heads(grid),
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
    there = ["".join("0" if cell.gap else "1" for cell in line) for line in table]
    return block, f".s{i}{{background-image:url({address})}}\n", there


def _findings(cues: Section | None, i: int, one: bool) -> dict[str, Any]:
    """Findings of a label; of one label alone those that the first screen does not show."""
    confirmed = [] if cues is None else [f for f in cues.confirmed if f["at"] == i]
    others = [] if cues is None else [f for f in cues.others if f["at"] == i]
    return {"confirmed": confirmed[FIRST:] if one else confirmed, "others": others}


def heads(grid: xr.Dataset) -> list[dict[str, int]]:
    """Run and noise of every column of a grid of pictures."""
    return [
        {"run": int(run), "noise": int(sample) + 1}
        for run, sample in zip(grid["run_seed"].values, grid["sample"].values, strict=True)
    ]


def sheet_columns(detail: Detail) -> int:
    """Cells of a row of a sheet."""
    return max(detail.images, detail.checks, 1)


def sheet_rows(data: dict[str, Any], detail: Detail) -> int:
    """Rows of a sheet, the same for every label: arms, then noises along the search."""
    return len(data["arms"]) + sum(detail.strips)


def _grid(grid: xr.Dataset, table: list[list[Cell]]) -> list[dict[str, Any]]:
    """Every arm (row) on the same test noises (columns), with what each image is read as."""
    prompts = (dict.fromkeys(str(p) for p in line if str(p)) for line in grid["prompt"].values)
    return [
        {"arm": str(arm), "cells": [_worth(cell) for cell in line], "prompts": list(asked)[:3]}
        for arm, line, asked in zip(grid["arm"].values, table, prompts, strict=True)
    ]


def _worth(cell: Cell) -> Cell:
    """With the first class and those that are worth naming beside it."""
    top = tuple(one for k, one in enumerate(cell.top) if not k or one.p >= _WORTH)
    return replace(cell, top=top)


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
            table = cells(strip, most=1)
            one["strip"] = _strip(strip, table, len(pictures))
            pictures += [[cell.image for cell in line] for line in table]
        if len(made) < detail.charts:
            spec = trajectory_spec(path.isel(seed=[r]), classes=None)
            name = f"Run {seed}: probability of “{visible(label)}” and of the runner-up"
            one["chart"] = Markup(
                svg(spec, width=520, height=300, css="figure chart", name=name, hover=detail.tables)
            )
            one["checks"] = checks(path.isel(seed=[r]))[0]["checks"]
        made.append(one)
    return made


def _strip(strip: xr.Dataset, table: list[list[Cell]], first: int) -> dict[str, Any]:
    """Heads and cells of the same noises (rows) along a search (columns); rows of a sheet."""
    lines = zip(strip["sample"].values, table, strict=True)
    return {
        "heads": along(strip),
        "rows": [
            {"row": first + n, "noise": int(sample) + 1, "cells": line}
            for n, (sample, line) in enumerate(lines)
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
