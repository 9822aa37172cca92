"""A result as one self-contained HTML page, within a size that is given.

One label opens on its search and its pictures; several on their verdicts, with a block of the same
kind for each label below. How much a block shows is a level of `inversion_kit.reports.detail`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment
from markupsafe import Markup

from inversion_kit import analysis
from inversion_kit.analysis.looks import CONTROL_MARGIN
from inversion_kit.analysis.reading import whole
from inversion_kit.analysis.words import POINT_VERDICTS, SIGNS, VERDICTS, arm_words, visible
from inversion_kit.arms import ARMS, main_arm, name_arm
from inversion_kit.errors import InputError
from inversion_kit.figures.matrices import confusion_spec
from inversion_kit.figures.scatter import projection_spec
from inversion_kit.figures.static import svg
from inversion_kit.figures.templates import digest, environment
from inversion_kit.reports.detail import Detail, left_out, levels
from inversion_kit.reports.label import heads, label_block, sheet_columns, sheet_rows
from inversion_kit.reports.sprites import positions

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
_MARGIN, _MB = 0.97, 1_000_000
_SHOWN, _LARGEST, _PLACED, _FAILURES, _FINDINGS, _NAMED = 3, 20, 5000, 200, 6, 12
_ROW = (
    "label",
    "index",
    "verdict",
    "images",
    "success",
    "name_success",
    "semantic_index",
    "view_index",
    "gain",
    "failed",
    "missing",
    "attention",
)
"""What sorting and filtering need of a label."""


def to_html(
    tree: xr.DataTree,
    data: dict[str, Any] | None = None,
    *,
    read: xr.Dataset | None = None,
    max_mb: float = 25.0,
) -> str:
    """A result as the text of one HTML page.

    Images, shown in stored order and never picked by their score, are embedded as WebP sheets, of
    one label without loss where they fit. The numbers stand in the page as JSON too, in
    ``#inversion-kit-data``.

    Parameters
    ----------
    tree
        A result, opened lazily or held in memory.
    data, read
        What `inversion_kit.analysis.numbers` and `inversion_kit.analysis.reads` gave; made here
        where not given.
    max_mb
        The most megabytes of the page. Where everything does not fit, fewer and smaller pictures
        are shown, of every label alike, and the page says what was left out.

    Raises
    ------
    InputError
        ``max_mb`` is too small even for the least.
    SchemaError
        ``tree`` is not a valid result.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> to_html(synthetic(size=4))[:15]
    '<!doctype html>'
    """
    tree = whole(tree)
    read = analysis.reads(tree) if read is None else read
    data = analysis.numbers(tree, read=read) if data is None else data
    rows = data["labels"]
    space = environment("inversion_kit.reports")
    space.globals.update(
        signs=SIGNS,
        verdicts=VERDICTS,
        meanings=MEANINGS,
        control_margin=CONTROL_MARGIN,
        title=_title,
        arms=ARMS,
    )
    parts = _Parts(tree, data, _matrices(read) if len(rows) > 1 else None, _points(tree, read))
    limit = max_mb * _MB * _MARGIN
    tried = levels(tree)
    shell = len(_page(space, parts, [], tried[-1]).encode())
    size = 0.0
    for detail in tried:
        few = sorted({int(i) for i in np.linspace(0, len(rows) - 1, min(3, len(rows)))})
        made = {i: label_block(space, tree, data, i, detail) for i in few}
        size = shell + len(rows) * sum(len(b) + len(s) for b, s, _ in made.values()) / len(made)
        if size > limit:
            continue
        blocks = [
            made.get(i) or label_block(space, tree, data, i, detail) for i in range(len(rows))
        ]
        page = _page(space, parts, blocks, detail)
        size = len(page.encode())
        if size <= max_mb * _MB:
            return page
    raise InputError(
        f"max_mb={max_mb:g}: the report of {len(rows)} label{'s' * (len(rows) > 1)} needs about "
        f"{size / _MB:.1f}; give max_mb={max(size / _MB * 1.1, 0.1):.1f} or more"
    )


@dataclass(frozen=True)
class _Parts:
    """What is the same at every level of detail."""

    tree: xr.DataTree
    data: dict[str, Any]
    matrices: dict[str, Any] | None
    points: xr.Dataset | None


def _page(
    space: Environment, parts: _Parts, blocks: list[tuple[str, str, list[str]]], detail: Detail
) -> str:
    def source(name: str) -> str:
        assert space.loader is not None
        return space.loader.get_source(space, name)[0]

    tree, data = parts.tree, parts.data
    rows, many = data["labels"], len(data["labels"]) > 1
    first = analysis.grid(tree, label=rows[0]["label"], columns=detail.images, every_run=True)
    columns = [
        {
            "says": f"run {c['run']}, noise {c['noise']}"
            if len(data["seeds"]) > 1
            else f"noise {c['noise']}",
            **c,
        }
        for c in heads(first)
    ]
    there = [made for *_, made in blocks] or [["1" * len(columns)] * len(data["arms"])] * len(rows)
    style = Markup(
        source("report.css")
        + positions(sheet_columns(detail), sheet_rows(data, detail), detail.pixels)
    )
    pictures = Markup("".join(sheet for _, sheet, _ in blocks))
    script = Markup(source("report.js"))
    atlas = _map(parts.points, data, columns)
    main = data["arms"].index(data["arm"])
    shown = {
        **data,
        "labels": [{k: row[k] for k in _ROW} for row in rows] if many else rows,
        "verdicts": list(VERDICTS),
        "columns": [c["says"] for c in columns],
        "there": there,
        "words": [visible(_title(arm)) for arm in data["arms"]],
        "map": atlas and atlas["data"],
    }
    placed = None
    if atlas:
        placed = _noises(tree) * len(data["seeds"])
    return space.get_template("report.html.j2").render(
        data=data,
        shown=shown,
        many=many,
        blocks=[Markup(block) for block, *_ in blocks],
        style=style,
        pictures=pictures,
        script=script,
        hashes={"style": [digest(style), digest(pictures)], "script": digest(script)},
        judges=[s["name"] for s in data["scorers"] if s["role"] == "classifier"],
        views=[s["name"] for s in data["scorers"] if s["role"] == "view"],
        groups=_groups(rows),
        columns=columns,
        there=there,
        picked=[_picked(made[main]) for made in there],
        main=main,
        matrices=parts.matrices,
        mixups=_mixups(data),
        map=atlas,
        findings=_findings(rows),
        places={row["label"]: i for i, row in enumerate(rows)},
        failures=_failures(tree),
        left_out=left_out(tree, detail, placed),
        made=_made(data),
    )


def _title(arm: str) -> str:
    """An arm in words, as a title."""
    words = arm_words(arm)
    return words[:1].upper() + words[1:]


def _picked(there: str) -> list[int]:
    """The first columns that have a picture, then those without."""
    return sorted(range(len(there)), key=lambda c: there[c] == "0")[:_SHOWN]


def _groups(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Labels by verdict, in the order of `VERDICTS`."""
    groups = []
    for verdict in VERDICTS:
        inside = [(i, row) for i, row in enumerate(rows) if row["verdict"] == verdict]
        named = [row["name_success"] for _, row in inside if row["name_success"] is not None]
        if inside:
            known = sum(share["low"] > 0.5 for share in named)
            groups.append({"verdict": verdict, "rows": inside, "known": known})
    return groups


def _findings(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The largest findings of all labels."""
    listed = [one for row in rows for one in row["findings"]]
    return sorted(listed, key=lambda one: -abs(one["effect"]))[:_FINDINGS]


def _mixups(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The largest shares of a class other than the label."""
    rows = [
        {"at": i, "label": row["label"], **taken}
        for i, row in enumerate(data["labels"])
        for taken in row["read_as"][data["arm"]]
        if not taken["own"]
    ]
    return sorted(rows, key=lambda row: -row["value"])[:_LARGEST]


def _matrices(read: xr.Dataset) -> dict[str, Any]:
    """What is read as what: matrices, and the largest entries of the difference of two arms."""
    arms = [str(a) for a in read["arm"].values]
    changes: list[dict[str, Any]] = []
    arm, name = main_arm(arms), name_arm(arms)
    pair = name is not None and name != arm
    panels = ("control", "arm", "difference") if pair else ("arm",)
    drawn = [confusion_spec(read, most=read.sizes["label"], show=(panel,)) for panel in panels]
    if pair:
        values = analysis.confusion_difference(read, arm, name)["difference"].values
        size = np.abs(np.nan_to_num(values))
        for place in np.argsort(-size, axis=None, kind="stable")[:_LARGEST]:
            i, c = np.unravel_index(place, size.shape)
            if size[i, c]:
                changes.append(
                    {
                        "at": int(i),
                        "label": str(read["label"].values[i]),
                        "class": str(read["class"].values[c]),
                        "value": float(values[i, c]),
                    }
                )
    return {
        "drawn": [Markup(_matrix(spec)) for spec in drawn],
        "fine": "hovertext" in drawn[0]["data"][0],
        "changes": changes,
        "name": name,
    }


def _matrix(spec: dict[str, Any]) -> str:
    """Cells with numbers are larger than those without; a picture is about as wide as a column."""
    cells = spec["data"][0]
    rows, columns = np.shape(cells["z"])
    side = 24 if "text" in cells else 14 if "hovertext" in cells else 420 / columns
    longest = max(map(len, spec["layout"]["yaxis"]["ticktext"]))
    wide, high = 60 + 7 * min(longest, 28) + side * columns, 220 + side * rows
    drawn = svg(spec, width=wide, height=high, css="figure matrix", role="group")
    return drawn.replace("<svg", f'<svg width="{wide:.0f}" height="{high:.0f}"', 1)


def _noises(tree: xr.DataTree) -> int:
    """Images of each label, arm and run that the map holds."""
    sizes = tree["samples"].sizes
    shown = -(-levels(tree)[0].images // sizes["seed"])
    return max(1, min(shown, _PLACED // tree["status"]["status"].size))


def _points(tree: xr.DataTree, read: xr.Dataset) -> xr.Dataset | None:
    """Places of at most some thousand of the images that are shown; None of one label alone."""
    if tree["samples"].sizes["label"] == 1:
        return None
    points = analysis.stored(tree)
    if points is None:
        points = analysis.project(tree, method="neighbours", samples=_noises(tree), read=read)
    return points if points.sizes["point"] else None


def _map(
    points: xr.Dataset | None, data: dict[str, Any], columns: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """Drawings of the points whose pictures are in the page, and what the script says of them."""
    if points is None:
        return None
    places = {(c["run"], c["noise"] - 1): k for k, c in enumerate(columns)}
    runs = {seed: k for k, seed in enumerate(data["seeds"])}
    token = points["space"].values == "token"
    column = np.array(
        [
            runs.get(run, -1) if is_token else places.get((run, sample), -1)
            for is_token, run, sample in zip(
                token,
                points["of_seed"].values.tolist(),
                points["of_sample"].values.tolist(),
                strict=True,
            )
        ],
        int,
    )
    labels = {row["label"]: i for i, row in enumerate(data["labels"])}
    kept = (column >= 0) & np.isin(points["of_label"].values.astype(str), list(labels))
    if not kept.any():
        return None
    points, column = points.isel(point=kept), column[kept]
    classes = {name: k for k, name in enumerate(dict.fromkeys(points["read_as"].values.tolist()))}
    names = None
    if len(labels) > _NAMED:
        names = {row["label"]: str(row["index"]) for row in data["labels"] if len(labels) <= 60}
    drawn = []
    for space in ("image", "token"):
        n = int((points["space"].values == space).sum())
        if n:
            spec = projection_spec(points, colour="verdict", space=space, names=names)
            notes = spec["layout"]["annotations"]
            spec["layout"]["annotations"] = [n for n in notes if n.get("yref") != "paper"]
            drawn.append(
                {
                    "space": space,
                    "n": n,
                    "method": str(points.attrs[f"{space}_method"]),
                    "svg": Markup(
                        svg(spec, width=640, height=680, css="map", index=True, hover=False)
                    ),
                }
            )
    return {
        "drawn": drawn,
        "data": {
            "label": [labels[n] for n in points["of_label"].values.tolist()],
            "arm": [data["arms"].index(a) for a in points["of_arm"].values.tolist()],
            "column": column.tolist(),
            "read": [classes[n] for n in points["read_as"].values.tolist()],
            "verdict": [POINT_VERDICTS.index(v) for v in points["verdict"].values.tolist()],
            "classes": list(classes),
            "verdicts": list(POINT_VERDICTS),
        },
    }


def _failures(tree: xr.DataTree) -> dict[str, Any]:
    """Units that failed, the first of them with their reason."""
    status = tree["status"].to_dataset(inherit=False)
    places = np.argwhere(status["status"].values == "failed")
    reason = status["reason"].values
    return {
        "n": len(places),
        "shown": [
            {
                "at": int(i),
                "label": str(status["label"].values[i]),
                "arm": str(status["arm"].values[a]),
                "seed": int(status["seed"].values[s]),
                "reason": str(reason[i, a, s]),
            }
            for i, a, s in places[:_FAILURES]
        ],
    }


def _made(data: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Name and text of everything the result says about its making, in groups."""

    def said(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    models = [
        ("classifier", data["classifier"], data["classifier_hash"]),
        ("generator", data["generator"], data["generator_hash"]),
        *(("judge", *line) for line in zip(data["judges"], data["judge_hashes"], strict=True)),
    ]
    return {
        "Models": [
            line for what, name, sha in models for line in ((what, name), ("its sha256", said(sha)))
        ],
        "Settings": [(str(k), said(v)) for k, v in data["settings"].items()],
        "Versions": [(str(k), said(v)) for k, v in data["versions"].items()],
    }
