"""A run, an audit, a model as a few lines of HTML: what notebooks show and what they save.

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

from inversion_kit import schema
from inversion_kit.analysis.audits import audit_sentences
from inversion_kit.analysis.runs import percent, summary_sentences
from inversion_kit.analysis.words import ARMS
from inversion_kit.reports.audit_table import main_arm
from inversion_kit.reports.report_parts import environment
from inversion_kit.widgets.sources import picture, small, source

_LABELS, _COLUMNS, _SIDE = 18, 8, 96
_MOST_SCORES = 4_000_000
"""Probabilities of an audit up to which its summary holds sentences: more take too long."""


def to_html(tree: xr.DataTree, *, inside: bool = True) -> str:
    """What a run or an audit found, as HTML.

    Parameters
    ----------
    tree
        A result. Of an audit one picture a label is read, of at most 18 labels.
    inside
        Add xarray's own view of the tree, folded.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> "Audit of synthetic:classifier" in to_html(synthetic_audit())
    True
    """
    found = _audit(tree) if tree.attrs["kind"] == "audit" else _run(tree)
    within = xr.DataTree._repr_html_(tree) if inside else ""
    return _template().render({**_NOTHING, **found, "inside": Markup(within)})


def facts_html(title: str, about: str, rows: Sequence[tuple[str, str]]) -> str:
    """A model as HTML: its name, what it is, and names with values.

    Examples
    --------
    >>> "&lt;b&gt;" in facts_html("<b>", "a classifier", [("labels", "43")])
    True
    """
    return _template().render({**_NOTHING, "title": title, "about": about, "rows": rows})


def live_html(panel: Any) -> str:
    """The last state of a live view."""
    items = [
        {"src": src, "says": percent(p), "hit": hit, "head": "", "alt": "generated image",
         "small": fine}
        for src, p, hit, fine in panel.images
    ]  # fmt: skip
    checks = [
        f"{percent(p)} after {n} updates, from “{start}”" for n, p, start in panel.curve["checks"]
    ]
    return _template().render(
        {
            **_NOTHING,
            "title": panel.title,
            "about": panel.note,
            "rows": [("state", panel.message), ("held-out checks", "; ".join(checks))],
            "parts": [{"title": "Latest images", "note": "", "items": items, "side": _SIDE}]
            if items
            else [],
        }
    )


def ours(tree: xr.DataTree) -> bool:
    """Whether a DataTree says that it is a result of this library.

    Examples
    --------
    >>> ours(xr.DataTree())
    False
    """
    attributes = tree.attrs
    return (
        attributes.get("kind") in ("run", "audit")
        and attributes.get("schema_version") == schema.VERSION
        and "classifier_hash" in attributes
        and "samples" in tree.children
    )


def shown(tree: xr.DataTree) -> str:
    """A result's summary, or xarray's view of any other tree or of one that is damaged.

    Examples
    --------
    >>> "inversion" in shown(xr.DataTree())
    False
    """
    if not ours(tree):
        return xr.DataTree._repr_html_(tree)
    try:
        schema.validate(tree)
        return to_html(tree)
    except Exception as error:  # a repr must not raise
        view = xr.DataTree._repr_html_(tree)
        why = facts_html("Not a whole result", f"{type(error).__name__}: {error}", [])
        return why + view


_NOTHING: dict[str, Any] = {
    "title": "", "about": "", "warning": "", "sentences": [], "parts": [], "rows": [],
    "hint": "", "inside": "",
}  # fmt: skip


@cache
def _template() -> Template:
    return environment().from_string(source("summary.html.j2"))


def _run(tree: xr.DataTree) -> dict[str, Any]:
    attributes = tree.attrs
    target = int(attributes["label_index"])
    seeds = tree["samples"]["seed"].values.tolist()
    updates = int((tree["trajectory"]["noise_seed"].values[:, :, 0] >= 0).sum())
    runs = _count(len(seeds), "run")
    about = (
        f"{attributes['classifier']} through {attributes['generator']} · {runs}"
        f", {_count(updates, 'update')} · {attributes['seconds']:.0f} s · {attributes['created']}"
    )
    stopped = attributes.get("stopped")
    hint = 'explore(tree) shows every step; report(tree, "run.html") writes a page to send.'
    return {
        "title": f"Class token of “{attributes['label']}”",
        "about": about,
        "warning": f"Stopped {stopped}." if stopped else "",
        "sentences": summary_sentences(tree),
        "parts": [_search_part(tree, target), *_arm_parts(tree, target)],
        "hint": hint,
    }  # fmt: skip


def _search_part(tree: xr.DataTree, target: int) -> dict[str, Any]:
    """The first run's first noise along its checks."""
    validation = tree["validation"].to_dataset(inherit=False).isel(seed=0, sample=0)
    probability = validation["probability"].values
    there = np.flatnonzero(np.isfinite(probability).all(-1))
    kept = int(tree["token"]["selected"].values[0])
    chosen = there[np.unique(np.linspace(0, len(there) - 1, _COLUMNS).round().astype(int))]
    pixels = validation["image"].isel(check=chosen).values
    starts = validation["start"].values.astype(str)
    items = []
    for i, c in enumerate(chosen):
        head = _count(int(validation["step"][c]), "update") + (" ★" if c == kept else "")
        if c and starts[c] != starts[c - 1]:
            head = f"restart from “{starts[c]}”"
        items.append(_item(pixels[i], probability[c], target, head=head))
    return {
        "title": "The search",
        "note": f"one held-out noise of run {int(tree['validation']['seed'][0])}, with the label's "
        "probability; ✓ where it is the first class, ★ the token that was kept",
        "items": items,
        "side": _SIDE,
    }


def _arm_parts(tree: xr.DataTree, target: int) -> list[dict[str, Any]]:
    samples = tree["samples"].to_dataset(inherit=False)
    arms = [str(a) for a in samples["arm"].values]
    if "token" not in arms:
        return []
    one = samples.isel(arm=arms.index("token"), seed=0, sample=slice(0, _COLUMNS))
    pixels, probability = one["image"].values, one["probability"].values
    items = [_item(pixels[k], probability[k], target) for k in range(len(pixels))]
    note = "noise that nothing before has seen; the first ones, not chosen"
    return [{"title": "The token on test noise", "note": note, "items": items, "side": _SIDE}]


def _audit(tree: xr.DataTree) -> dict[str, Any]:
    attributes, arm = tree.attrs, main_arm(tree)
    status = tree["status"]["status"].values
    samples = tree["samples"].to_dataset(inherit=False)
    labels = [str(n) for n in samples["label"].values]
    counts = {word: int((status == word).sum()) for word in ("done", "failed", "missing")}
    units = " · ".join(f"{n} {word}" for word, n in counts.items() if n or word == "done")
    arms = [str(a) for a in samples["arm"].values]
    about = (
        f"through {attributes['generator']} · {_count(len(labels), 'label')}, "
        f"{_count(len(arms), 'arm')}, {_count(samples.sizes['seed'], 'run')} · units: {units} · "
        f"{attributes['created']}"
    )
    judges = samples.sizes.get("judge", 0)
    quick = samples["probability"].size * (1 + judges) <= _MOST_SCORES
    there = np.argwhere(status[:, arms.index(arm)] == "done")
    first = {int(i): int(s) for i, s in there[::-1]}
    items = []
    for i in sorted(first)[:_LABELS]:
        one = samples.isel(label=i, arm=arms.index(arm), seed=first[i], sample=0)
        target = int(samples["label_index"].values[i])
        items.append(_item(one["image"].values, one["probability"].values, target, head=labels[i]))
    arm_words = ARMS.get(arm, arm)
    shown_of = "" if len(items) == len(labels) else f", {len(items)} of {len(labels)} labels"
    note = f"{arm_words}: the first test image{shown_of}; ✓ where it is read as the label"
    return {
        "title": f"Audit of {attributes['classifier']}",
        "about": about,
        "warning": f"{_count(counts['failed'], 'unit')} failed." if counts["failed"] else "",
        "sentences": audit_sentences(tree, arm) if quick and there.size else [],
        "parts": [{"title": "What the labels look like", "note": note, "items": items,
                   "side": _SIDE}] if items else [],
        "rows": [("judges", ", ".join(json.loads(attributes["judges"])) or "none")],
        "hint": "explore(tree) links the labels to all images; report(tree, \"audit.html\") writes "
        "a page to send.",
    }  # fmt: skip


def _item(image: np.ndarray, scores: np.ndarray, target: int, head: str = "") -> dict[str, Any]:
    finite = bool(np.isfinite(scores).all())
    return {
        "src": picture(image, 2 * _SIDE),
        "says": percent(float(scores[target])) if finite else "not there",
        "hit": finite and int(scores.argmax()) == target,
        "head": head,
        "alt": head or "generated image",
        "small": small(image),
    }


def _count(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"
