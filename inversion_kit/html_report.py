"""One self-contained HTML page from a result: no network, no script that runs, opens anywhere."""

from __future__ import annotations

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from inversion_kit import analysis
from inversion_kit.errors import InputError, StoreError
from inversion_kit.schema import validate

_THUMBNAIL = 192
_ROWS, _MORE_ROWS, _COLUMNS, _GRID = 6, 3, 9, 6
_ARMS = {
    "start": ("Start", "the token before any update"),
    "token": ("Class token", "the token that was kept"),
    "name": ("Name", "a plain prompt with the class name, no token"),
}
_CHART = {"width": 560, "height": 280, "left": 54, "right": 440, "bottom": 226}


def report(tree: xr.DataTree, path: str | Path) -> Path:
    """Write a result as one HTML file and return its path.

    Parameters
    ----------
    tree
        A valid result.
    path
        Ends in ``.html``; its folder exists. A file that is there is replaced.

    Raises
    ------
    InputError
        ``path`` does not end in ``.html``.
    StoreError
        The folder does not exist, or the file cannot be written.
    SchemaError
        ``tree`` is not a valid result.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit.testing import synthetic_run
    >>> report(synthetic_run(), Path(tempfile.mkdtemp()) / "sky.html").name
    'sky.html'
    """
    path = Path(path)
    if path.suffix.lower() != ".html":
        raise InputError(f"path={str(path)!r}: must end in .html, such as {path.stem + '.html'!r}")
    if not path.parent.is_dir():
        raise StoreError(
            f"path={str(path)!r}: the folder {str(path.parent)!r} does not exist; create it first"
        )
    page = to_html(tree)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"path={str(path)!r}: cannot be written ({error})") from error
    return path


def to_html(tree: xr.DataTree) -> str:
    """A result as the text of one HTML page.

    Images, shown in stored order and never picked by their score, are embedded as PNG of at most
    192 x 192 pixels; the numbers stand in the page as JSON too, in ``#inversion-kit-data``.

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
    environment = Environment(
        loader=PackageLoader("inversion_kit"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["percent"] = analysis.percent
    return environment.get_template("report.html.j2").render(**_view(tree))


def _view(tree: xr.DataTree) -> dict[str, Any]:
    attributes = dict(tree.attrs)
    path = analysis.trajectory(tree)
    success = _success(tree)
    differences = _differences(tree)
    sentences = analysis.summary_sentences(tree)
    seeds = [int(s) for s in path["seed"].values]
    settings = {**attributes, **{k: json.loads(attributes[k]) for k in
                ("settings", "versions", "judges", "judge_hashes")}}  # fmt: skip
    charts = [_chart(path, i) for i in range(len(seeds))]
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
        "made": _made(settings),
        "images": {
            "held_out": tree["validation"].sizes["sample"],
            "test": tree["samples"].sizes["sample"],
        },
        "data": {
            "label": attributes["label"],
            "classifier": attributes["classifier"],
            "generator": attributes["generator"],
            "classes": tree["samples"].sizes["class"],
            "sentences": sentences,
            "success": [{k: v for k, v in row.items() if k != "bar"} for row in success],
            "differences": differences,
            "trajectory": [{"seed": chart["seed"], "checks": chart["rows"]} for chart in charts],
        },
    }


def _strip(tree: xr.DataTree, path: xr.Dataset, run: int) -> dict[str, Any]:
    """The same held-out noises (rows) at checks of one run (columns)."""
    validation = tree["validation"].to_dataset().isel(seed=run)
    one = path.isel(seed=run)
    target = int(tree.attrs["label_index"])
    label, names = str(tree.attrs["label"]), [str(n) for n in validation["class"].values]
    there = np.flatnonzero(np.isfinite(one["target_probability"].values))
    kept = int(np.flatnonzero(one["kept"].values)[0]) if one["kept"].any() else None
    columns = _spread(there, _COLUMNS, kept)
    heads, before = [], ""
    for check in columns:
        start = str(one["start"].values[check])
        heads.append({
            "updates": int(one["step"].values[check]),
            "start": _start_says(start) if start != before else "",
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


def _spread(there: np.ndarray, most: int, kept: int | None) -> list[int]:
    """At most ``most`` of the checks, evenly spread, ends included, and the kept one always."""
    picked = {
        int(there[i])
        for i in np.linspace(0, len(there) - 1, min(most, len(there))).round().astype(int)
    }
    if kept is not None and kept not in picked:
        picked.discard(min(picked - {int(there[0])}, key=lambda c: abs(c - kept)))
        picked.add(kept)
    return sorted(picked)


def _chart(path: xr.Dataset, run: int) -> dict[str, Any]:
    """Geometry of one run's line chart, and the same numbers as table rows."""
    one = path.isel(seed=run)
    there = np.flatnonzero(np.isfinite(one["target_probability"].values))
    rows: list[dict[str, Any]] = [
        {
            "updates": int(one["step"].values[c]),
            "start": str(one["start"].values[c]),
            "target": float(one["target_probability"].values[c]),
            "tenth": float(one["tenth"].values[c]),
            "ninetieth": float(one["ninetieth"].values[c]),
            "runner_up": str(one["runner_up"].values[c]),
            "second": float(one["runner_up_probability"].values[c]),
            "kept": bool(one["kept"].values[c]),
        }
        for c in there
    ]
    segments: list[list[dict[str, Any]]] = []
    for row in rows:
        if not segments or segments[-1][-1]["start"] != row["start"]:
            segments.append([])
        segments[-1].append(row)
    top = 22 + 15 * min(max(len(segments) - 1, 0), 3)
    last = int(max(rows[-1]["updates"] if rows else 0, 1))
    left, right, bottom = _CHART["left"], _CHART["right"], _CHART["bottom"]

    def x(updates: float) -> float:
        return round(left + (right - left) * updates / last, 1)

    def y(share: float) -> float:
        return round(bottom - (bottom - top) * share, 1)

    def line(segment: list[dict[str, Any]], key: str) -> str:
        return " ".join(f"{x(r['updates'])},{y(r[key])}" for r in segment)

    tick = _tick(last)
    ends = {k: y(rows[-1][k]) if rows else bottom for k in ("target", "second")}
    apart = 15 - abs(ends["target"] - ends["second"])
    if apart > 0:
        higher, lower = sorted(ends, key=lambda k: (ends[k], k != "target"))
        ends[higher], ends[lower] = ends[higher] - apart / 2, ends[lower] + apart / 2
    return {
        **_CHART,
        "seed": int(one["seed"]),
        "top": top,
        "rows": rows,
        "lines": [
            {
                "target": line(segment, "target"),
                "second": line(segment, "second"),
                "band": f"{line(segment, 'ninetieth')} {line(segment[::-1], 'tenth')}",
            }
            for segment in segments
        ],
        "marks": [
            {"x": x(r["updates"]), "target": y(r["target"]), "second": y(r["second"]), "row": r}
            for r in rows
        ],
        "restarts": [
            {
                "x": x(segment[0]["updates"]),
                "y": top - 8 - 15 * (i % 3),
                "says": _start_says(segment[0]["start"], 22),
                "anchor": "end" if segment[0]["updates"] > 0.55 * last else "start",
            }
            for i, segment in enumerate(segments[1:])
        ],
        "x_ticks": [{"x": x(t), "says": t} for t in range(0, last + 1, tick)],
        "y_ticks": [{"y": y(t / 100), "says": t} for t in (0, 25, 50, 75, 100)],
        "ends": ends,
        "x_end": x(rows[-1]["updates"]) if rows else left,
        "runner_up": rows[-1]["runner_up"] if rows else "",
    }


def _tick(last: int) -> int:
    """Distance of round ticks, so that at most seven stand between 0 and ``last``."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if last / (size * factor) <= 6:
                return size * factor
        size *= 10


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


def _made(settings: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Name and text of everything the result says about its making, in groups."""

    def said(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    judges, hashes = settings["judges"], settings["judge_hashes"]
    if isinstance(hashes, dict):
        hashes = [hashes.get(judge, "") for judge in judges]
    return {
        "Models": [
            ("classifier", settings["classifier"]),
            ("its sha256", settings["classifier_hash"]),
            ("generator", settings["generator"]),
            ("its sha256", settings["generator_hash"]),
            *(
                line
                for judge, digest in zip(judges, hashes, strict=False)
                for line in (("judge", said(judge)), ("its sha256", said(digest)))
            ),
        ],
        "Settings": [(str(k), said(v)) for k, v in dict(settings["settings"]).items()],
        "Versions": [(str(k), said(v)) for k, v in dict(settings["versions"]).items()],
    }


def _image(pixels: np.ndarray) -> dict[str, Any]:
    """A uint8 RGB image as a PNG data address, shrunk where it is large."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if max(image.size) > _THUMBNAIL:
        image.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return {
        "src": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii"),
        "width": image.width,
        "height": image.height,
        "small": image.width < _THUMBNAIL // 2,
    }


def _arm_says(arm: str) -> tuple[str, str]:
    return _ARMS.get(arm, (arm, ""))


def _start_says(start: str, most: int = 40) -> str:
    if start == analysis.NEUTRAL:
        return "neutral start"
    return f"“{start if len(start) <= most else start[: most - 1] + '…'}”"
