"""One self-contained HTML page from a result: no network, no script that runs, opens anywhere."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from PIL import Image

from inversion_kit.analysis import runs as analysis
from inversion_kit.errors import InputError, StoreError
from inversion_kit.pictures import data_address, image_of
from inversion_kit.reports import audit_report
from inversion_kit.reports.audit_table import numbers
from inversion_kit.reports.report_parts import chart, environment, made, spread, start_says
from inversion_kit.schema import validate
from inversion_kit.storage.store import open as open_result

_THUMBNAIL = 192
_ROWS, _MORE_ROWS, _COLUMNS, _GRID = 6, 3, 9, 6
_ARMS = {
    "start": ("Start", "the token before any update"),
    "token": ("Class token", "the token that was kept"),
    "name": ("Name", "a plain prompt with the class name, no token"),
}


def report(
    result: xr.DataTree | str | os.PathLike[str], path: str | Path, *, max_mb: float = 25.0
) -> Path:
    """Write the report of a run or an audit as one HTML file and return its path.

    Parameters
    ----------
    result
        A valid run or audit, or where it is stored.
    path
        Ends in ``.html``; its folder exists. A file that is there is replaced.
    max_mb
        The most megabytes of an audit's report. Where not everything fits, fewer and smaller
        pictures are shown, and the report says what was left out.

    Raises
    ------
    InputError
        ``path`` does not end in ``.html``, or ``max_mb`` is too small even for the least.
    StoreError
        The folder does not exist, or the file cannot be written.
    SchemaError
        ``result`` is not a valid result.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit.testing import synthetic_run
    >>> report(synthetic_run(), Path(tempfile.mkdtemp()) / "sky.html").name
    'sky.html'
    """
    path = _checked(path, ".html")
    tree = result if isinstance(result, xr.DataTree) else open_result(result)
    page = to_html(tree, max_mb=max_mb)
    return _written(path, page)


def write_json(tree: xr.DataTree, path: str | Path) -> Path:
    """Write the numbers of a report, without its pictures, as a JSON file.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit.testing import synthetic_audit
    >>> write_json(synthetic_audit(labels=2), Path(tempfile.mkdtemp()) / "audit.json").name
    'audit.json'
    """
    path = _checked(path, ".json")
    validate(tree)
    found = numbers(tree) if tree.attrs["kind"] == "audit" else _data(tree)
    return _written(path, json.dumps(found, ensure_ascii=False, indent=1, allow_nan=False))


def _checked(path: str | Path, ending: str) -> Path:
    path = Path(path)
    if path.suffix.lower() != ending:
        raise InputError(
            f"path={str(path)!r}: must end in {ending}, such as {path.stem + ending!r}"
        )
    if not path.parent.is_dir():
        raise StoreError(
            f"path={str(path)!r}: the folder {str(path.parent)!r} does not exist; create it first"
        )
    return path


def _written(path: Path, text: str) -> Path:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"path={str(path)!r}: cannot be written ({error})") from error
    return path


def to_html(tree: xr.DataTree, *, max_mb: float = 25.0) -> str:
    """A result as the text of one HTML page.

    Images, shown in stored order and never picked by their score, are embedded: of a run as PNG of
    at most 192 x 192 pixels, of an audit as WebP sheets, within ``max_mb``. The numbers stand in
    the page as JSON too, in ``#inversion-kit-data``.

    Raises
    ------
    SchemaError
        ``tree`` is not a valid result.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> to_html(synthetic_run(size=4))[:15]
    '<!doctype html>'
    """
    validate(tree)
    if tree.attrs["kind"] == "audit":
        return audit_report.to_html(tree, max_mb=max_mb)
    return environment().get_template("report.html.j2").render(**_view(tree))


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
        "strips": [_strip(tree, path, i) for i in range(len(seeds))],
        "charts": charts,
        "grid": _grid(tree),
        "success": success,
        "differences": differences,
        "words": [_words(tree, i) for i in range(len(seeds))],
        "made": made(settings),
        "images": {
            "held_out": tree["validation"].sizes["sample"],
            "test": tree["samples"].sizes["sample"],
        },
        "data": _data(tree),
    }


def _data(tree: xr.DataTree) -> dict[str, Any]:
    """The numbers of a run's report."""
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
    }


def _strip(tree: xr.DataTree, path: xr.Dataset, run: int) -> dict[str, Any]:
    """The same held-out noises (rows) at checks of one run (columns)."""
    validation = tree["validation"].to_dataset().isel(seed=run)
    one = path.isel(seed=run)
    target = int(tree.attrs["label_index"])
    label, names = str(tree.attrs["label"]), [str(n) for n in validation["class"].values]
    there = np.flatnonzero(np.isfinite(one["target_probability"].values))
    kept = int(np.flatnonzero(one["kept"].values)[0]) if one["kept"].any() else None
    columns = spread(there, _COLUMNS, kept)
    heads, before = [], ""
    for check in columns:
        start = str(one["start"].values[check])
        heads.append({
            "updates": int(one["step"].values[check]),
            "start": start_says(start) if start != before else "",
            "restart": bool(before) and start != before,
            "kept": check == kept,
            "mean": float(one["target_probability"].values[check]),
        })  # fmt: skip
        before = start
    rows = []
    for sample in range(min(validation.sizes["sample"], _ROWS if run == 0 else _MORE_ROWS)):
        cells = []
        for check in columns:
            probability = validation["probability"].values[check, sample]
            first = names[int(probability.argmax())]
            p = float(probability[target])
            cells.append({
                **_image(validation["image"].values[check, sample]),
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


def _grid(tree: xr.DataTree) -> dict[str, Any]:
    """Each arm (row) on the same test noises (columns), with what every scorer reads."""
    samples = tree["samples"].to_dataset()
    seeds, each = samples.sizes["seed"], samples.sizes["sample"]
    columns = [(i, k) for k in range(each) for i in range(seeds)][:_GRID]
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
                **_image(samples["image"].values[a, i, k]),
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


def _image(pixels: np.ndarray) -> dict[str, Any]:
    """A uint8 RGB image as a PNG data address, shrunk where it is large."""
    image = image_of(pixels)
    if max(image.size) > _THUMBNAIL:
        image.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
    return {
        "src": data_address(image),
        "width": image.width,
        "height": image.height,
        "small": image.width < _THUMBNAIL // 2,
    }


def _arm_says(arm: str) -> tuple[str, str]:
    return _ARMS.get(arm, (arm, ""))
