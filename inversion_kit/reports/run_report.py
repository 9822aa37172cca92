"""The report of a run: one self-contained HTML file, within a size that is given."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from markupsafe import Markup
from PIL import Image

from inversion_kit.analysis import runs as analysis
from inversion_kit.errors import InputError
from inversion_kit.pictures import data_address, image_of
from inversion_kit.reports.again import run_code
from inversion_kit.reports.report_parts import (
    chart,
    digest,
    environment,
    findings,
    made,
    spread,
    start_says,
)  # fmt: skip

_MB = 1_000_000
_ARMS = {
    "start": ("Start", "the token before any update"),
    "token": ("Class token", "the token that was kept"),
    "name": ("Name", "a plain prompt with the class name, no token"),
}


@dataclass(frozen=True)
class Detail:
    """How many pictures are shown, and how."""

    runs: int
    rows: int
    more: int
    checks: int
    images: int
    pixels: int
    quality: int
    """Of WebP; 0 is PNG, without loss."""


LEVELS = (
    Detail(1000, 6, 3, 9, 6, 192, 0),
    Detail(1000, 6, 3, 9, 6, 192, 85),
    Detail(1000, 6, 2, 7, 6, 128, 80),
    Detail(6, 4, 1, 6, 4, 96, 75),
    Detail(3, 3, 1, 5, 3, 64, 70),
    Detail(1, 2, 0, 4, 2, 48, 60),
)
"""From most to least; the first that fits the size is taken."""


def to_html(tree: xr.DataTree, *, max_mb: float = 25.0) -> str:
    """A run as the text of one HTML page.

    Parameters
    ----------
    tree
        A valid run.
    max_mb
        The most megabytes of the page; see `LEVELS` for what goes first.

    Raises
    ------
    InputError
        ``max_mb`` is too small even for the least.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> to_html(synthetic_run(size=4))[:15]
    '<!doctype html>'
    """
    space = environment()
    template = space.get_template("report.html.j2")
    same = _view(tree)
    assert space.loader is not None
    script = Markup(space.loader.get_source(space, "player.js")[0])
    size = 0
    for detail in LEVELS:
        page = template.render(
            **same, **_pictures(tree, detail), script=script, script_hash=digest(script)
        )
        size = len(page.encode())
        if size <= max_mb * _MB:
            return page
    raise InputError(
        f"max_mb={max_mb:g}: the report of {len(same['seeds'])} runs needs about "
        f"{size / _MB:.1f}; give max_mb={size / _MB * 1.1:.1f} or more"
    )


def _view(tree: xr.DataTree) -> dict[str, Any]:
    attributes = dict(tree.attrs)
    path = analysis.trajectory(tree)
    success = _success(tree)
    differences = _differences(tree)
    sentences = analysis.summary_sentences(tree)
    seeds = [int(s) for s in path["seed"].values]
    settings = {**attributes, **{k: json.loads(attributes[k]) for k in
                ("settings", "versions", "judges", "judge_hashes")}}  # fmt: skip
    charts = [chart(path, i) for i in range(len(seeds))]
    return {
        **settings,
        "sentences": sentences,
        "seeds": seeds,
        "first_start": analysis.first_start(tree),
        "charts": charts,
        "success": success,
        "differences": differences,
        "words": [_words(tree, i) for i in range(len(seeds))],
        "made": made(settings),
        "images": {
            "held_out": tree["validation"].sizes["sample"],
            "test": tree["samples"].sizes["sample"],
        },
        "code": run_code(settings),
        "findings": findings(tree, str(attributes["label"])),
        "data": numbers(tree),
    }


def _pictures(tree: xr.DataTree, detail: Detail) -> dict[str, Any]:
    """What depends on the level of detail."""
    path = analysis.trajectory(tree)
    shown = min(path.sizes["seed"], detail.runs)
    return {
        "strips": [_strip(tree, path, i, detail) for i in range(shown if detail.more else 1)],
        "grid": _grid(tree, detail),
        "left_out": _left_out(tree, detail),
    }


def _left_out(tree: xr.DataTree, detail: Detail) -> list[str]:
    """In words, what of the result is not in the page."""
    sizes, held = tree["samples"].sizes, tree["validation"].sizes
    runs = min(held["seed"], detail.runs) if detail.more else 1
    stored, pixels = max(sizes["y"], sizes["x"]), min(detail.pixels, max(sizes["y"], sizes["x"]))
    every = sizes["seed"] * sizes["sample"]
    later = f" (of later runs {min(detail.more, held['sample'])})" if runs > 1 else ""
    said = [
        f"Test images: {min(detail.images, every)} of {every} of each arm; every number is over all"
        " of them",
        f"Images along the search: of {runs} of {held['seed']} runs, "
        f"{min(detail.rows, held['sample'])} of {held['sample']} noises{later}, "
        f"at most {min(detail.checks, held['check'])} of {held['check']} checks",
        "Training images and the embeddings of the token are not shown",
    ]
    if pixels < stored:
        said.append(f"Pictures are at most {pixels} pixels wide, stored are {stored}")
    return [*said, "Pictures are compressed with loss"] if detail.quality else said


def numbers(tree: xr.DataTree) -> dict[str, Any]:
    """The numbers of a run's report, as data that JSON can hold.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> numbers(synthetic_run(size=4))["label"]
    'sky'
    """
    attributes = tree.attrs
    path = analysis.trajectory(tree)
    charts = [chart(path, i) for i in range(path.sizes["seed"])]
    return {
        "label": attributes["label"],
        "classifier": attributes["classifier"],
        "generator": attributes["generator"],
        "classes": tree["samples"].sizes["class"],
        "sentences": analysis.summary_sentences(tree),
        "success": [{k: v for k, v in row.items() if k != "bar"} for row in _success(tree)],
        "differences": _differences(tree),
        "trajectory": [{"seed": chart["seed"], "checks": chart["rows"]} for chart in charts],
        "findings": findings(tree, str(attributes["label"])),
    }


def _strip(tree: xr.DataTree, path: xr.Dataset, run: int, detail: Detail) -> dict[str, Any]:
    """The same held-out noises (rows) at checks of one run (columns)."""
    validation = tree["validation"].to_dataset().isel(seed=run)
    one = path.isel(seed=run)
    target = int(tree.attrs["label_index"])
    label, names = str(tree.attrs["label"]), [str(n) for n in validation["class"].values]
    there = np.flatnonzero(np.isfinite(one["target_probability"].values))
    kept = int(np.flatnonzero(one["kept"].values)[0]) if one["kept"].any() else None
    columns = spread(there, detail.checks, kept)
    places = {mark["row"]["updates"]: mark["x"] for mark in chart(path, run)["marks"]}
    heads, before = [], ""
    for check in columns:
        start = str(one["start"].values[check])
        heads.append({
            "updates": int(one["step"].values[check]),
            "start": start_says(start) if start != before else "",
            "restart": bool(before) and start != before,
            "kept": check == kept,
            "x": places[int(one["step"].values[check])],
            "mean": float(one["target_probability"].values[check]),
        })  # fmt: skip
        before = start
    rows = []
    for sample in range(min(validation.sizes["sample"], detail.rows if run == 0 else detail.more)):
        cells = []
        for check in columns:
            probability = validation["probability"].values[check, sample]
            first = names[int(probability.argmax())]
            p = float(probability[target])
            cells.append({
                **_image(validation["image"].values[check, sample], detail),
                "alt": f"Noise {sample + 1} after {int(one['step'].values[check])} updates: "
                       f"probability of {label} {analysis.percent(p)}, first choice {first}",
                "p": p,
                "hit": int(probability.argmax()) == target,
            })  # fmt: skip
        rows.append(cells)
    return {
        "seed": int(one["seed"]),
        "heads": heads,
        "rows": rows,
        "left_out": len(there) - len(columns),
        "samples": validation.sizes["sample"],
    }


def _grid(tree: xr.DataTree, detail: Detail) -> dict[str, Any]:
    """Each arm (row) on the same test noises (columns), with what every scorer reads."""
    samples = tree["samples"].to_dataset()
    seeds, each = samples.sizes["seed"], samples.sizes["sample"]
    columns = [(i, k) for k in range(each) for i in range(seeds)][: detail.images]
    columns.sort()
    names = [str(n) for n in samples["class"].values]
    target = int(tree.attrs["label_index"])
    judges = samples["judge"].values if "judge_probability" in samples else []
    arms = []
    for a, arm in enumerate(str(v) for v in samples["arm"].values):
        title, says = _arm_says(arm)
        cells = []
        for i, k in columns:
            probability = samples["probability"].values[a, i, k]
            order = [int(c) for c in np.argsort(-probability, kind="stable")[:3]]
            first = f"{names[order[0]]} {analysis.percent(float(probability[order[0]]))}"
            where = f"seed {int(samples['seed'].values[i])}, test noise {k + 1}"
            told = [
                int(samples["judge_probability"].values[j, a, i, k].argmax())
                for j in range(len(judges))
            ]
            cells.append({
                **_image(samples["image"].values[a, i, k], detail),
                "alt": f"{title}, {where}: read as {first}",
                "top": [
                    {
                        "name": names[c],
                        "p": float(probability[c]),
                        "target": c == target,
                        "hit": c == target == order[0],
                    }
                    for c in order
                ],
                "judges": [
                    {"judge": str(judge), "name": names[c], "target": c == target}
                    for judge, c in zip(judges, told, strict=True)
                ],
            })  # fmt: skip
        prompts = list(dict.fromkeys(str(p) for p in samples["prompt"].values[a].ravel()))
        arms.append({"title": title, "says": says, "prompts": prompts[:3], "cells": cells})
    heads = [{"seed": int(samples["seed"].values[i]), "noise": k + 1} for i, k in columns]
    return {"heads": heads, "arms": arms}


def _success(tree: xr.DataTree) -> list[dict[str, Any]]:
    table = analysis.success(tree)
    rows = []
    for a, arm in enumerate(str(v) for v in table["arm"].values):
        for s, scorer in enumerate(str(v) for v in table["scorer"].values):
            share, low, high = (float(table[k].values[a, s]) for k in ("success", "low", "high"))
            rows.append({
                "arm": _arm_says(arm)[0],
                "scorer": scorer,
                "role": str(table["role"].values[s]),
                "success": share,
                "low": low,
                "high": high,
                "bracket": analysis.bracket(low, high),
                "per_seed": [float(v) for v in table["per_seed"].values[a, s]],
                "images": int(table.attrs["images"]),
                "bar": {k: round(4 + 152 * v, 1) for k, v in
                        (("at", share), ("low", low), ("high", high))},
            })  # fmt: skip
    return rows


def _differences(tree: xr.DataTree) -> list[dict[str, Any]]:
    arms = {str(a) for a in tree["samples"]["arm"].values}
    rows = []
    for control in ("start", "name"):
        if not {"token", control} <= arms:
            continue
        table = analysis.paired_difference(tree, "token", control)
        for s, scorer in enumerate(str(v) for v in table["scorer"].values):
            difference, low, high = (
                float(table[k].values[s]) for k in ("difference", "low", "high")
            )
            rows.append({
                "control": _arm_says(control)[0],
                "scorer": scorer,
                "points": analysis.points(difference),
                "bracket": analysis.bracket(low, high),
                "reading": "more" if low > 0 else "less" if high < 0 else "not told apart",
                "difference": difference,
                "low": low,
                "high": high,
            })  # fmt: skip
    return rows


def _words(tree: xr.DataTree, run: int) -> dict[str, Any]:
    token = tree["token"].to_dataset().isel(seed=run)
    probe = tree["probe"]["log_probability"].isel(seed=run)
    value = probe.values
    order = [int(i) for i in np.argsort(-value, kind="stable") if np.isfinite(value[i])]
    return {
        "seed": int(token["seed"]),
        "nearest": [
            {"word": str(word), "cosine": float(cosine)}
            for word, cosine in zip(
                token["nearest_word"].values, token["nearest_cosine"].values, strict=True
            )
            if str(word)
        ],
        "probe": [
            {"word": str(probe["word"].values[i]), "log": float(value[i]), "p": math.exp(value[i])}
            for i in order[:10]
        ],
        "asked": len(order),
    }


def _image(pixels: np.ndarray, detail: Detail) -> dict[str, Any]:
    """A uint8 RGB image as a data address, shrunk where it is large."""
    image = image_of(pixels)
    if max(image.size) > detail.pixels:
        image.thumbnail((detail.pixels, detail.pixels), Image.Resampling.LANCZOS)
    lossy = detail.quality > 0
    return {
        "src": data_address(image, "WEBP", quality=detail.quality)
        if lossy
        else data_address(image),
        "width": image.width,
        "height": image.height,
        "small": max(pixels.shape[:2]) < 96,
    }


def _arm_says(arm: str) -> tuple[str, str]:
    return _ARMS.get(arm, (arm, ""))
