"""A result as one self-contained HTML page, within a size that is given.

One label opens on its search and its pictures; several on their verdicts, with a block of the same
kind for each label below. How much a block shows is a level of `inversion_kit.reports.detail`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment
from markupsafe import Markup

from inversion_kit import analysis
from inversion_kit.analysis.held import held
from inversion_kit.analysis.label_verdict import SERIOUS, VERDICT_SIGNS
from inversion_kit.analysis.looks import CONTROL_MARGIN
from inversion_kit.analysis.pictures import shown_noises
from inversion_kit.analysis.words import SIGNS, VERDICTS, arm_words, visible
from inversion_kit.arm_roles import main_arm, name_arm
from inversion_kit.arms import arm_of
from inversion_kit.errors import InputError
from inversion_kit.figures.matrices import confusion_spec
from inversion_kit.figures.static import svg
from inversion_kit.figures.templates import digest, environment
from inversion_kit.reports import findings
from inversion_kit.reports.detail import Detail, left_out, levels
from inversion_kit.reports.label import label_block, sheet_columns, sheet_rows
from inversion_kit.reports.map import map_of, points_of
from inversion_kit.reports.sprites import positions

MEANINGS = {
    "tied": "a finding is confirmed: a cue moves pictures of other classes to it, or makes its own "
    "be missed; its picture and its numbers stand with the findings",
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
_SHOWN, _LARGEST, _FAILURES = 3, 20, 200
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
    "confirmed",
    "finding",
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
        ``max_mb`` is no number above 0, or too small even for the least.
    SchemaError
        ``tree`` is not a valid result.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> to_html(synthetic(size=4))[:15]
    '<!doctype html>'
    """
    size: Any = max_mb
    if isinstance(size, bool) or not isinstance(size, Real) or not float(size) > 0:
        raise InputError(f"max_mb={size!r:.80}: expected megabytes above 0, such as 25")
    tree = held(tree)
    read = analysis.reads(tree) if read is None else read
    data = analysis.numbers(tree, read=read, pictures=True) if data is None else data
    rows = data["labels"]
    space = environment("inversion_kit.reports")
    space.globals.update(
        signs=SIGNS,
        verdicts=VERDICTS,
        finding_signs=VERDICT_SIGNS,
        serious=SERIOUS,
        meanings=MEANINGS,
        control_margin=CONTROL_MARGIN,
        title=_title,
        arms={name: arm for name in data["arms"] if (arm := arm_of(name))},
        plain=name_arm(data["arms"]),
    )
    parts = _Parts(tree, data, _matrices(read) if len(rows) > 1 else None, points_of(tree, read))
    limit = max_mb * _MB * _MARGIN
    tried = levels(tree)
    shell = len(_page(space, parts, [], tried[-1], None).encode())
    few = sorted({int(i) for i in np.linspace(0, len(rows) - 1, min(3, len(rows)))})
    alone = _alone(tree, few)
    size = 0.0
    for detail in tried:
        cues = findings.section(tree, detail)
        made = {i: label_block(space, alone(i), data, i, detail, cues) for i in few}
        size = shell + len(rows) * sum(len(b) + len(s) for b, s, _ in made.values()) / len(made)
        size += cues.size if cues else 0
        if size > limit:
            continue
        blocks = [
            made.get(i) or label_block(space, alone(i), data, i, detail, cues)
            for i in range(len(rows))
        ]
        page = _page(space, parts, blocks, detail, cues)
        size = len(page.encode())
        if size <= max_mb * _MB:
            return page
    raise InputError(
        f"max_mb={max_mb:g}: the report of {len(rows)} label{'s' * (len(rows) > 1)} needs about "
        f"{size / _MB:.1f}; give max_mb={max(size / _MB * 1.1, 0.1):.1f} or more"
    )


def _alone(tree: xr.DataTree, few: list[int]) -> Callable[[int], xr.DataTree]:
    """The result that each label's block is made of: of a few, tried at every level, it is held."""
    kept = {i: held(tree.isel(label=[i])) for i in few}
    return lambda i: kept.get(i, tree)


@dataclass(frozen=True)
class _Parts:
    """What is the same at every level of detail."""

    tree: xr.DataTree
    data: dict[str, Any]
    matrices: dict[str, Any] | None
    points: xr.Dataset | None


def _page(
    space: Environment,
    parts: _Parts,
    blocks: list[tuple[str, str, list[str]]],
    detail: Detail,
    cues: findings.Section | None,
) -> str:
    tree, data = parts.tree, parts.data
    rows, main = data["labels"], data["arms"].index(data["arm"])
    runs = data["seeds"]
    each = shown_noises(tree["samples"].sizes["sample"], range(len(runs)), detail.images)
    columns = [
        {"says": _noise(runs[run], sample, len(runs)), "run": runs[run], "noise": sample + 1}
        for run, sample in each
    ]
    there = [made for *_, made in blocks] or [["1" * len(columns)] * len(data["arms"])] * len(rows)
    atlas = None if parts.points is None else map_of(parts.points, data, columns, there)
    held = positions(sheet_columns(detail), sheet_rows(data, detail), detail.pixels)
    style, script = Markup(source_of(space, "report.css") + held), source_of(space, "report.js")
    pictures = "".join(sheet for _, sheet, _ in blocks)
    pictures = Markup(pictures + (cues.style if cues else ""))
    return space.get_template("report.html.j2").render(
        data=data,
        shown=_shown(data, columns, there, atlas),
        many=len(rows) > 1,
        blocks=[Markup(block) for block, *_ in blocks],
        style=style,
        pictures=pictures,
        script=Markup(script),
        hashes={"style": [digest(style), digest(pictures)], "script": digest(script)},
        judges=[s["name"] for s in data["scorers"] if s["role"] == "classifier"],
        views=[s["name"] for s in data["scorers"] if s["role"] == "view"],
        groups=_groups(rows),
        verdict_counts=_verdict_counts(rows),
        columns=columns,
        there=there,
        picked=[_picked(made[main]) for made in there],
        main=main,
        matrices=parts.matrices,
        mixups=_mixups(data),
        map=atlas,
        cues=cues,
        first=findings.FIRST,
        places={row["label"]: i for i, row in enumerate(rows)},
        failures=_failures(tree),
        left_out=[
            *(cues.left_out if cues else []),
            *left_out(tree, detail, None if atlas is None else atlas["left_out"]),
        ],
        made=_made(data),
    )


def source_of(space: Environment, name: str) -> str:
    """A file that stands beside the templates."""
    assert space.loader is not None
    return space.loader.get_source(space, name)[0]


def _noise(run: int, sample: int, runs: int) -> str:
    """Which noise a column of pictures is on."""
    return f"run {run}, noise {sample + 1}" if runs > 1 else f"noise {sample + 1}"


def _shown(
    data: dict[str, Any],
    columns: list[dict[str, Any]],
    there: list[list[str]],
    atlas: dict[str, Any] | None,
) -> dict[str, Any]:
    """What the page holds as JSON: the numbers, and what its script needs."""
    rows = data["labels"]
    return {
        **data,
        "labels": [_short(row) for row in rows] if len(rows) > 1 else rows,
        "verdicts": list(VERDICTS),
        "finding_kinds": list(VERDICT_SIGNS),
        "columns": [c["says"] for c in columns],
        "there": there,
        "words": [visible(_title(arm)) for arm in data["arms"]],
        "map": atlas and atlas["data"],
    }


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """What the page's script needs of a label."""
    return {k: row[k] for k in _ROW}


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


def _verdict_counts(rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Each verdict by findings that a label has, and how many have it."""
    every = [row["finding"] for row in rows]
    return [(word, every.count(word)) for word in VERDICT_SIGNS if word in every]


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
        "drawn": [Markup(matrix(spec)) for spec in drawn],
        "fine": "hovertext" in drawn[0]["data"][0],
        "changes": changes,
        "name": name,
    }


def matrix(spec: dict[str, Any]) -> str:
    """Cells with numbers are larger than those without; a picture is about as wide as a column."""
    cells = spec["data"][0]
    rows, columns = np.shape(cells["z"])
    side = 24 if "text" in cells else 14 if "hovertext" in cells else 420 / columns
    longest = max(map(len, spec["layout"]["yaxis"]["ticktext"]))
    wide, high = 60 + 7 * min(longest, 28) + side * columns, 220 + side * rows
    drawn = svg(spec, width=wide, height=high, css="figure matrix", role="group")
    return drawn.replace("<svg", f'<svg width="{wide:.0f}" height="{high:.0f}"', 1)


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
