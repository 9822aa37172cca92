"""The report of an audit: one self-contained HTML file, within a size that is given."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment
from markupsafe import Markup

from inversion_kit.analysis import runs as analysis
from inversion_kit.analysis.audits import CONTROL_MARGIN
from inversion_kit.errors import InputError
from inversion_kit.reports import audit_map
from inversion_kit.reports.audit_matrix import matrices
from inversion_kit.reports.audit_table import VERDICTS, numbers
from inversion_kit.reports.report_parts import chart, environment, made, spread, start_says
from inversion_kit.reports.sprites import sheet

ARMS = {
    "name": ("Name", "a plain prompt with the class name, no token"),
    "token+name": ("Token and name", "the learned token beside the name"),
    "token": ("Class token", "the learned token alone; the name is nowhere in the prompt"),
    "shuffled": ("Control", "a token learned against shuffled weights"),
}
"""Title and meaning of every arm."""
SIGNS = {
    "confirmed": "●", "mixed": "⇄", "trick": "▲", "control": "◇", "never": "○", "open": "?",
    "none": "–",
}  # fmt: skip
MEANINGS = {
    "confirmed": "most images are read as the label, and held-out classifiers agree: the "
    "classifier knows it in a way that others share",
    "mixed": "another class takes more than a fifth of the images",
    "trick": "of the images that the classifier reads as the label, held-out classifiers confirm "
    "less than half: a trick, or a trait that only this classifier ties to the class",
    "control": "a token learned from shuffled weights does as well, to within "
    f"{CONTROL_MARGIN * 100:.0f} points: what the picture shows is the generator's, not the "
    "classifier's",
    "never": "no image of the token is read as the label, and they are enough to show that less "
    "than half would be: the search did not find the class",
    "open": "the images are too few, or no judge was asked, to say more; a label that is not told "
    "apart from its control stands here too",
    "none": "every unit failed or is still to be run",
}
_MARGIN = 0.97
_MB = 1_000_000
_SHOWN, _MIXUPS, _PLACED, _WORTH = 3, 20, 5000, 0.01


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


def to_html(tree: xr.DataTree, *, max_mb: float = 25.0) -> str:
    """An audit as the text of one HTML page.

    Parameters
    ----------
    tree
        A valid audit, opened lazily or held in memory.
    max_mb
        The most megabytes of the page. Where everything does not fit, fewer and smaller pictures
        are shown, of every label alike, and the page says what was left out.

    Raises
    ------
    InputError
        ``max_mb`` is too small even for the least.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> to_html(synthetic_audit(labels=2, seeds=1))[:15]
    '<!doctype html>'
    """
    found = numbers(tree)
    rows = found["labels"]
    space = environment()
    space.globals.update(arms=ARMS, signs=SIGNS, verdicts=VERDICTS, meanings=MEANINGS)
    space.globals.update(control_margin=CONTROL_MARGIN)
    space.globals.update(
        side=audit_map.SIDE, mark=audit_map.mark,
        kinds=[words for _, words in audit_map.KINDS.values()],
        tokens=[words for _, words in audit_map.TOKENS.values()],
    )  # fmt: skip
    parts = _Parts(matrices(tree, found["arm"]), _points(tree))
    limit = max_mb * _MB * _MARGIN
    shell = len(_page(space, tree, found, parts, [], [], _fit(LEVELS[-1], tree)).encode())
    size = 0.0
    for level in LEVELS:
        detail = _fit(level, tree)
        few = sorted({int(i) for i in np.linspace(0, len(rows) - 1, min(3, len(rows)))})
        tried = [_label(space, tree, found, i, detail) for i in few]
        size = shell + len(rows) * sum(len(b) + len(s) for b, s in tried) / len(tried)
        if size > limit:
            continue
        made_of = [_label(space, tree, found, i, detail) for i in range(len(rows))]
        page = _page(
            space, tree, found, parts, [b for b, _ in made_of], [s for _, s in made_of], detail
        )
        size = len(page.encode())
        if size <= max_mb * _MB:
            return page
    raise InputError(
        f"max_mb={max_mb:g}: the report of {len(rows)} labels needs about {size / _MB:.1f}; give "
        f"max_mb={size / _MB * 1.1:.0f} or more"
    )


def _fit(level: Detail, tree: xr.DataTree) -> Detail:
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


@dataclass(frozen=True)
class _Parts:
    """What is of all labels and the same at every level of detail."""

    matrices: dict[str, Any]
    points: dict[str, Any] | None


def _points(tree: xr.DataTree) -> dict[str, Any] | None:
    """Places of at most some thousand of the images that are shown."""
    return audit_map.place(tree, _noises_placed(tree))


def _noises_placed(tree: xr.DataTree) -> int:
    """Images of each label, arm and run that the map holds."""
    shown = max(k for _, k in _test_noises(tree, LEVELS[0])) + 1
    return min(shown, max(1, _PLACED // tree["status"]["status"].size))


def _page(
    space: Environment, tree: xr.DataTree, found: dict[str, Any], parts: _Parts, blocks: list[str],
    sheets: list[str], detail: Detail,
) -> str:  # fmt: skip
    def source(name: str) -> str:
        assert space.loader is not None
        return space.loader.get_source(space, name)[0]

    style = Markup(
        source("base.css") + source("audit.css") + _positions(detail, len(found["arms"]))
    )
    pictures = Markup("".join(sheets))
    script = Markup(source("audit.js"))
    data = {k: v for k, v in found.items() if k not in ("settings", "versions")}
    data["labels"] = [_slim(row) for row in found["labels"]]
    data["verdicts"] = list(VERDICTS)
    data["columns"] = _columns_of_pictures(tree, found, detail)
    data["there"] = (tree["status"]["status"].values == "done").astype(int).tolist()
    drawn = None
    if parts.points:
        columns = _test_noises(tree, detail)
        drawn = audit_map.drawn(parts.points, columns, len(found["labels"]))
        data["map"] = {
            **drawn["data"],
            "arms": [ARMS.get(arm, (arm,))[0] for arm in found["arms"]],
            "kinds": [words for _, words in audit_map.KINDS.values()],
        }
    return space.get_template("audit.html.j2").render(
        found=found,
        data=data,
        blocks=[Markup(block) for block in blocks],
        style=style,
        pictures=pictures,
        script=script,
        hashes={"style": [_hash(style), _hash(pictures)], "script": _hash(script)},
        groups=_groups(found),
        matrices=parts.matrices,
        map=drawn,
        mixups=_mixups(found),
        places={row["label"]: i for i, row in enumerate(found["labels"])},
        failures=_failures(tree),
        left_out=_left_out(tree, detail),
        made=made(found),
        command=_command(tree, found),
        there=data["there"],
        columns=data["columns"],
        picked=_picked(tree, found, detail),
        detail=detail,
        scale=_scale,
        gain_scale=lambda share: _scale(share, -1.0),
    )


def _columns_of_pictures(
    tree: xr.DataTree, found: dict[str, Any], detail: Detail
) -> list[dict[str, Any]]:
    """Run and words of every column of pictures."""
    many = len(found["seeds"]) > 1
    return [
        {"run": r, "says": f"run {found['seeds'][r]}, noise {k + 1}" if many else f"noise {k + 1}"}
        for r, k in _test_noises(tree, detail)
    ]


def _picked(tree: xr.DataTree, found: dict[str, Any], detail: Detail) -> list[list[int]]:
    """For every label the first columns that have a picture of the arm, then those without."""
    done = tree["status"]["status"].values[:, found["arms"].index(found["arm"])] == "done"
    runs = [r for r, _ in _test_noises(tree, detail)]
    picked: list[list[int]] = np.argsort(~done[:, runs], axis=1, kind="stable")[:, :_SHOWN].tolist()
    return picked


def _test_noises(tree: xr.DataTree, detail: Detail) -> list[tuple[int, int]]:
    """Run and noise of the test images that are shown: the first of every run, in stored order."""
    sizes = tree["samples"].sizes
    pairs = [(r, k) for k in range(sizes["sample"]) for r in range(sizes["seed"])]
    return sorted(pairs[: detail.images])


def _mixups(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The largest shares of a class other than the label."""
    rows = [
        {"at": i, "label": row["label"], **taken}
        for i, row in enumerate(found["labels"])
        for taken in row["read_as"][found["arm"]]
        if not taken["own"]
    ]
    return sorted(rows, key=lambda row: -row["value"])[:_MIXUPS]


def _slim(row: dict[str, Any]) -> dict[str, Any]:
    """What sorting and filtering need of a label."""
    return {
        **{k: row[k] for k in ("label", "index", "verdict", "images", "success", "name_success",
                               "semantic_index", "view_index", "gain", "failed", "missing")},
        "kinds": sorted({a["kind"] for a in row["attention"]}),
    }  # fmt: skip


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _positions(detail: Detail, arms: int) -> str:
    """CSS of the cells of a sheet, which is laid out alike for every label."""
    columns, rows = _columns(detail), arms + sum(detail.strips)
    lines = [f".p{{background-size:{columns * 100}% {rows * 100}%}}"]
    for name, axis, n in (("c", "x", columns), ("r", "y", rows)):
        lines += [
            f".{name}{i}{{background-position-{axis}:{100 * i / max(n - 1, 1):.4f}%}}"
            for i in range(n)
        ]
    if detail.pixels <= 64:
        lines.append(".p{image-rendering:pixelated}")
    return "\n".join(lines)


def _columns(detail: Detail) -> int:
    return max(detail.images, detail.checks, 1)


def _label(
    space: Environment, tree: xr.DataTree, found: dict[str, Any], i: int, detail: Detail
) -> tuple[str, str]:
    """HTML of a label, and the CSS of its sheet."""
    row = found["labels"][i]
    grid, pictures = _grid(tree, found, i, detail)
    strips, more, charts = _search(tree, found, i, detail)
    block = space.get_template("audit_label.html.j2").render(
        row=row, at=i, grid=grid, strips=strips, charts=charts, found=found,
        words=_words(tree, found["arm"], i), findings=_findings(tree, row["label"]),
        bars=_bars(row, found), scale=_scale, detail=detail,
    )  # fmt: skip
    address = sheet(
        pictures + more, columns=_columns(detail), pixels=detail.pixels, quality=detail.quality
    )
    return block, f".s{i}{{background-image:url({address})}}\n"


def _grid(
    tree: xr.DataTree, found: dict[str, Any], i: int, detail: Detail
) -> tuple[dict[str, Any], list[list[np.ndarray | None]]]:
    """Every arm (row) on the same test noises (columns), with what each image is read as."""
    samples = tree["samples"].to_dataset(inherit=False).isel(label=i)
    status = tree["status"]["status"].values[i]
    reasons = tree["status"]["reason"].values[i]
    names = samples["class"].values
    target = found["labels"][i]["index"]
    columns = _test_noises(tree, detail)
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


def _findings(tree: xr.DataTree, label: str) -> list[dict[str, Any]]:
    """Factors that the token moved, where the result holds a group ``/findings``."""
    if "findings" not in tree.children:
        return []
    table = tree["findings"].to_dataset(inherit=False).sel(label=label)
    effect = table["effect"].values.astype(float)
    order = [k for k in np.argsort(-np.abs(np.nan_to_num(effect))) if np.isfinite(effect[k])]
    return [
        {
            "factor": str(table["factor"].values[k]),
            **{n: float(table[n].values[k]) for n in ("effect", "low", "high", "p")},
            **{n: str(table[n].values[k]) for n in ("verdict", "confirmation")},
        }
        for k in order
    ]


def _bars(row: dict[str, Any], found: dict[str, Any]) -> list[dict[str, Any]]:
    """A line for every scorer, with the success of every arm."""
    return [
        {**scorer, "shares": [row["arms"][arm]["scorers"][scorer["name"]] for arm in found["arms"]]}
        for scorer in found["scorers"]
    ]


def _scale(share: dict[str, float], least: float = 0.0) -> dict[str, float]:
    """Places of a share in [``least``, 1] on the axis of an interval."""
    return {
        at: round(4 + 152 * (share[k] - least) / (1 - least), 1)
        for at, k in (("at", "value"), ("low", "low"), ("high", "high"))
    }


def _groups(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Labels by verdict, in the order of `VERDICTS`."""
    groups = []
    for verdict in VERDICTS:
        rows = [(i, r) for i, r in enumerate(found["labels"]) if r["verdict"] == verdict]
        named = [r["name_success"] for _, r in rows if r["name_success"] is not None]
        if rows:
            known = sum(share["low"] > 0.5 for share in named)
            groups.append({"verdict": verdict, "rows": rows, "known": known})
    return groups


def _failures(tree: xr.DataTree) -> list[dict[str, Any]]:
    status = tree["status"].to_dataset(inherit=False)
    values = status["status"].values
    return [
        {
            "at": int(i),
            "label": str(status["label"].values[i]),
            "arm": str(status["arm"].values[a]),
            "seed": int(status["seed"].values[s]),
            "reason": str(status["reason"].values[i, a, s]),
        }
        for i, a, s in np.argwhere(values == "failed")
    ]


def _left_out(tree: xr.DataTree, detail: Detail) -> list[str]:
    """In words, what of the result is not in the page."""

    def parts() -> Iterator[str]:
        sizes = tree["samples"].sizes
        made_images = sizes["sample"] * sizes["seed"]
        if detail.images < made_images:
            yield (
                f"of {made_images} test images of each label and arm the first {detail.images} "
                "are shown, in stored order; every number is over all of them"
            )
        checks = tree["validation"].sizes["check"]
        if not detail.strips:
            yield "the pictures along the search are left out"
        else:
            runs = f"of {len(detail.strips)} of {sizes['seed']} runs"
            shown = f"{max(detail.strips)} of {tree['validation'].sizes['sample']} noises"
            most = f"at most {detail.checks} of {checks} checks"
            yield f"pictures along the search are shown {runs}, {shown} and {most}"
        if not detail.charts:
            yield "the charts of confidence are left out"
        elif detail.charts < sizes["seed"]:
            yield f"the chart of confidence is of {detail.charts} of {sizes['seed']} runs"
        if not detail.tables:
            yield "the tables of numbers beneath the charts are left out"
        stored = max(sizes["y"], sizes["x"])
        if detail.pixels < stored:
            yield f"pictures are {detail.pixels} pixels wide, stored are {stored}"
        placed = _noises_placed(tree) * sizes["seed"]
        if placed < detail.images:
            yield f"the map holds {placed} of these {detail.images} images of each label and arm"
        yield "pictures are compressed with loss; training images are not shown, embeddings and "
        yield "features only as places in the map"

    found = list(parts())
    found[-2:] = ["".join(found[-2:])]
    return found


_REPEATED = (
    "prompts", "steps", "batch", "lr", "gradient", "stop_at", "check_every", "patience",
    "restarts", "validation", "samples",
)  # fmt: skip


def _command(tree: xr.DataTree, found: dict[str, Any]) -> str:
    """A shell command that makes the audit again; empty where its models had no names."""
    settings = found["settings"]
    sources = settings.get("sources")
    if not sources:
        return ""
    labels = [row["index"] for row in found["labels"]]
    options = {
        "generator": sources["generator"],
        "judges": sources["judges"],
        "views": settings["views"],
        "arms": found["arms"],
        "seeds": found["seeds"],
        "store": "again",
        **{k: settings[k] for k in _REPEATED if k in settings},
    }
    every = found["classes"] == len(labels)
    said = ", ".join(f"{k}={v!r}" for k, v in options.items())
    call = f"audit({sources['model']!r}, {None if every else labels}, {said})"
    return f"python -c {shlex.quote(f'import inversion_kit as ik; ik.{call}')}"
