"""A result or a model as a few lines of HTML: what notebooks show and what they save.

No script and no address but pictures inside: it is readable in nbviewer, in nbconvert's pages and
wherever no kernel runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Template
from markupsafe import Markup

from inversion_kit import analysis, arm_roles, schema
from inversion_kit.analysis.words import arm_words, count, percent, start_says
from inversion_kit.figures.cells import cells, heads
from inversion_kit.figures.templates import environment
from inversion_kit.pictures import thumbnail

_LABELS, _COLUMNS, _SIDE = 18, 8, 96
_MOST_SCORES = 4_000_000
"""Probabilities of a result up to which its summary holds sentences: more take too long."""
_UNITS = {"done": "done", "failed": "failed", "stopped": "stopped", "missing": "not run"}


def to_html(tree: xr.DataTree, *, inside: bool = True) -> str:
    """A result as HTML: what it is, its sentences, and some of its pictures.

    Parameters
    ----------
    tree
        A result. Of one label its search and the images of its main arm are shown, of several one
        image each, of at most 18 labels.
    inside
        Add xarray's own view of the tree, folded.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> "Audit of synthetic:classifier" in to_html(synthetic(labels=3))
    True
    """
    whole = schema.validate(tree)
    samples, attributes = whole["samples"].to_dataset(inherit=False), whole.attrs
    labels, names = ([str(v) for v in samples[d].values] for d in ("label", "arm"))
    status = whole["status"]["status"].values
    n = {word: int((status == key).sum()) for key, word in _UNITS.items()}
    units = " · ".join(f"{k} {word}" for word, k in n.items() if k or word == "done")
    size = samples["probability"].size * (1 + samples.sizes.get("judge", 0))
    stopped = attributes.get("stopped")
    warnings = [f"Stopped {stopped}."] if stopped else []
    warnings += [f"{count(n['failed'], 'unit')} failed."] if n["failed"] else []
    judges = ", ".join(json.loads(attributes["judges"])) or "none"
    one = len(labels) == 1
    page = {
        "title": f"Class token of “{labels[0]}”" if one else f"Audit of {attributes['classifier']}",
        "about": f"{attributes['classifier']} through {attributes['generator']} · "
        f"{count(len(labels), 'label')}, {count(len(names), 'arm')}, "
        f"{count(samples.sizes['seed'], 'run')} · units: {units} · {attributes['seconds']:.0f} s · "
        f"{attributes['created']}",
        "warning": " ".join(warnings),
        "sentences": analysis.looked_for(whole)
        + (analysis.sentences(whole) if size <= _MOST_SCORES else []),
        "parts": (_label_parts if one else _labels_parts)(whole, labels, names),
        "rows": [("judges", judges)],
        "hint": 'explore(tree) shows every step and image; report(tree, "page.html") writes a '
        "page to send.",
        "inside": Markup(xr.DataTree._repr_html_(tree)) if inside else "",
    }
    return _render(**page)


def facts_html(title: str, about: str, rows: Sequence[tuple[str, str]]) -> str:
    """A model as HTML: its name, what it is, and names with values.

    Examples
    --------
    >>> "&lt;b&gt;" in facts_html("<b>", "a classifier", [("labels", "43")])
    True
    """
    return _render(title=title, about=about, rows=rows)


def live_html(panel: Any) -> str:
    """The last state of a live view."""
    items = [{**one, "head": "", "alt": "generated image"} for one in panel.images]
    checks = [f"{percent(p)} after {n} updates, from {start_says(s)}" for n, p, s in panel.checks]
    rows = [("state", panel.message), ("held-out checks", "; ".join(checks))]
    return _render(
        title=panel.title, about=panel.note, rows=rows, parts=[_part("Latest images", "", items)]
    )


def shown(tree: xr.DataTree) -> str:
    """A result's summary, or xarray's view of any other tree or of one that is damaged.

    Examples
    --------
    >>> "inversion" in shown(xr.DataTree())
    False
    """
    if not schema.is_result(tree):
        return xr.DataTree._repr_html_(tree)
    try:
        return to_html(tree)
    except Exception as error:  # a repr must not raise
        why = facts_html("Not a whole result", f"{type(error).__name__}: {error}", [])
        return why + xr.DataTree._repr_html_(tree)


@cache
def _template() -> Template:
    return environment("inversion_kit.widgets", "static").get_template("summary.html.j2")


def _render(**page: Any) -> str:
    empty = {"about": "", "warning": "", "hint": "", "inside": ""}
    lists: dict[str, list[Any]] = {"sentences": [], "parts": [], "rows": []}
    page["parts"] = [part for part in page.get("parts", []) if part]
    return _template().render({**empty, **lists, **page, "side": _SIDE})


def _label_parts(tree: xr.DataTree, labels: list[str], names: list[str]) -> list[dict[str, Any]]:
    """The first noise of a run along its search, and the main arm's first test images."""
    strip = analysis.strip(tree, samples=1, columns=_COLUMNS)
    over = [head.begun or count(head.updates, "update") + head.star for head in heads(strip)]
    search = _part(
        "The search",
        f"one held-out noise of run {strip.attrs['seed']}, with the label's probability; ✓ where "
        "it is the first class, ★ the token that was kept",
        _items(strip, over),
    )
    if not tree["samples"].sizes["sample"]:  # stopped before the final images
        return [search]
    arm = arm_roles.main_arm(names)
    final = analysis.grid(tree, arms=[arm], columns=_COLUMNS)
    note = "noise that nothing before has seen; the first ones, not chosen"
    images = _items(final, [""] * final.sizes["noise"])
    return [search, _part(f"Test noise: {arm_words(arm)}", note, images)]


def _labels_parts(tree: xr.DataTree, labels: list[str], names: list[str]) -> list[dict[str, Any]]:
    """One test image of each label that has one."""
    arm = arm_roles.main_arm(names)
    done = tree["status"]["status"].sel(arm=arm).values == "done"
    items: list[dict[str, Any]] = []
    for i in np.flatnonzero(done.any(1))[:_LABELS]:
        first = analysis.grid(tree, label=labels[i], arms=[arm], columns=1)
        items += _items(first, [labels[i]])
    of = "" if len(items) == len(labels) else f", {len(items)} of {len(labels)} labels"
    note = f"{arm_words(arm)}: the first test image{of}; ✓ where it is read as the label"
    return [_part("What the labels look like", note, items)]


def _part(title: str, note: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"title": title, "note": note, "items": items} if items else {}


def _items(data: xr.Dataset, over: Sequence[str]) -> list[dict[str, Any]]:
    """Pictures of one row, each with its head; those that are not there are left out."""
    made = []
    for cell, head in zip(*cells(data, most=1), over, strict=True):
        if cell.image is not None:
            src, small = thumbnail(cell.image, 2 * _SIDE)
            about = {"head": head, "alt": head or "generated image", "hit": cell.hit}
            made.append({"src": src, "small": small, "says": percent(cell.p), **about})
    return made
