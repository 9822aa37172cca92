"""The report of an audit: one self-contained HTML file, within a size that is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment
from markupsafe import Markup

from inversion_kit.analysis.audits import CONTROL_MARGIN
from inversion_kit.analysis.words import SIGNS, VERDICTS
from inversion_kit.errors import InputError
from inversion_kit.reports import again, audit_map
from inversion_kit.reports.audit_label import (
    LEVELS,
    Detail,
    fitted,
    label_block,
    scale,
    sheet_columns,
    test_noises,
)
from inversion_kit.reports.audit_matrix import matrices
from inversion_kit.reports.audit_table import numbers
from inversion_kit.reports.report_parts import digest, environment, made

ARMS = {
    "name": ("Name", "a plain prompt with the class name, no token"),
    "token+name": ("Token and name", "the learned token beside the name"),
    "token": ("Class token", "the learned token alone; the name is nowhere in the prompt"),
    "shuffled": ("Control", "a token learned against shuffled weights"),
}
"""Title and meaning of every arm."""
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
_SHOWN, _MIXUPS, _PLACED = 3, 20, 5000


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
    shell = len(_page(space, tree, found, parts, [], [], fitted(LEVELS[-1], tree)).encode())
    size = 0.0
    for level in LEVELS:
        detail = fitted(level, tree)
        few = sorted({int(i) for i in np.linspace(0, len(rows) - 1, min(3, len(rows)))})
        tried = [label_block(space, tree, found, i, detail) for i in few]
        size = shell + len(rows) * sum(len(b) + len(s) for b, s in tried) / len(tried)
        if size > limit:
            continue
        made_of = [label_block(space, tree, found, i, detail) for i in range(len(rows))]
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
    shown = max(k for _, k in test_noises(tree, LEVELS[0])) + 1
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
    script = Markup(source("player.js") + source("audit.js"))
    data = {k: v for k, v in found.items() if k not in ("settings", "versions")}
    data["labels"] = [_slim(row) for row in found["labels"]]
    data["verdicts"] = list(VERDICTS)
    data["columns"] = _columns_of_pictures(tree, found, detail)
    data["there"] = (tree["status"]["status"].values == "done").astype(int).tolist()
    drawn = None
    if parts.points:
        columns = test_noises(tree, detail)
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
        hashes={"style": [digest(style), digest(pictures)], "script": digest(script)},
        groups=_groups(found),
        matrices=parts.matrices,
        map=drawn,
        mixups=_mixups(found),
        places={row["label"]: i for i, row in enumerate(found["labels"])},
        failures=_failures(tree),
        left_out=_left_out(tree, detail),
        made=made(found),
        command=again.audit_command(found),
        there=data["there"],
        columns=data["columns"],
        picked=_picked(tree, found, detail),
        detail=detail,
        scale=scale,
        gain_scale=lambda share: scale(share, -1.0),
    )


def _columns_of_pictures(
    tree: xr.DataTree, found: dict[str, Any], detail: Detail
) -> list[dict[str, Any]]:
    """Run and words of every column of pictures."""
    many = len(found["seeds"]) > 1
    return [
        {"run": r, "says": f"run {found['seeds'][r]}, noise {k + 1}" if many else f"noise {k + 1}"}
        for r, k in test_noises(tree, detail)
    ]


def _picked(tree: xr.DataTree, found: dict[str, Any], detail: Detail) -> list[list[int]]:
    """For every label the first columns that have a picture of the arm, then those without."""
    done = tree["status"]["status"].values[:, found["arms"].index(found["arm"])] == "done"
    runs = [r for r, _ in test_noises(tree, detail)]
    picked: list[list[int]] = np.argsort(~done[:, runs], axis=1, kind="stable")[:, :_SHOWN].tolist()
    return picked


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


def _positions(detail: Detail, arms: int) -> str:
    """CSS of the cells of a sheet, which is laid out alike for every label."""
    columns, rows = sheet_columns(detail), arms + sum(detail.strips)
    lines = [f".p{{background-size:{columns * 100}% {rows * 100}%}}"]
    for name, axis, n in (("c", "x", columns), ("r", "y", rows)):
        lines += [
            f".{name}{i}{{background-position-{axis}:{100 * i / max(n - 1, 1):.4f}%}}"
            for i in range(n)
        ]
    if detail.pixels <= 64:
        lines.append(".p{image-rendering:pixelated}")
    return "\n".join(lines)


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
