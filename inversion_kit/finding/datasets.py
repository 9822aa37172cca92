"""Findings as the groups of a result: ``/findings``, ``/proof`` and ``/effects``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from statistics import mode
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.measure import PROPERTIES
from inversion_kit.analysis.tied import ROWS
from inversion_kit.audits.bench import Bench
from inversion_kit.bank.cues import Cue
from inversion_kit.classifiers.base import Classifier
from inversion_kit.finding.carriers import SHOWN, Look
from inversion_kit.finding.panel import Panel
from inversion_kit.finding.reach import Reach
from inversion_kit.finding.scan import scan_last_layer
from inversion_kit.finding.screen import Sources
from inversion_kit.finding.trigger import Look as TriggerLook
from inversion_kit.finding.verdicts import Finding, OnReal
from inversion_kit.finding.where import resized, where_variables
from inversion_kit.finding.words import Screened
from inversion_kit.schema import BY_CLIP, LOOKS, ON_REAL, VARIED_RATES
from inversion_kit.wilson import wilson

_BY_DOSE = ("rate", "low", "high", "placebo", "placebo_low", "placebo_high")


def whole_groups(
    findings: Sequence[Finding],
    screened: Screened,
    cues: Sequence[Cue],
    bench: Bench,
    sources: Sources,
    trigger: TriggerLook,
) -> dict[str, xr.Dataset]:
    """The groups, see `inversion_kit.schema.WHOLE`."""
    effects = xr.Dataset(
        {
            "kind": ("cue", _texts([cue.kind for cue in cues])),
            **reach_variables(screened.reach),
            "seen": ("cue", screened.seen.astype("f4")),
            "push": (("cue", "class"), screened.push.astype("f4")),
            "trigger": ("class", _trigger(trigger, len(bench.classifier.labels))),
            "scan": ("class", _scan(bench.classifier)),
            "lost": (("cue", "source"), screened.lost.astype("f4")),
        },
        coords={
            "cue": _texts([cue.name for cue in cues]),
            "class": _texts(bench.classifier.labels),
            "source": _texts([bench.classifier.labels[i] for i in sources.index]),
        },
    )
    proofs = proof_table(findings, Panel(bench.classifier, bench.judges))
    return {"findings": findings_table(findings), "proof": proofs, "effects": effects}


def reach_variables(reach: Reach) -> dict[str, Any]:
    """Variables of how far cues are painted; those of a CLIP only where one was asked."""
    columns = {"painted": reach.painted, "reworded": reach.reworded}
    if np.isfinite(reach.clip).any():
        values = (reach.clip, reach.clip_plain, reach.low, reach.high)
        columns |= dict(zip(BY_CLIP, values, strict=True))
    return {name: ("cue", values.astype("f4")) for name, values in columns.items()}


def _trigger(look: TriggerLook, classes: int) -> np.ndarray:
    """How far each label's trigger is smaller than usual, above the judges'; NaN if not tried."""
    index = np.full(classes, np.nan, "f4")
    index[look.labels] = look.excess
    return index


def _scan(classifier: Classifier) -> np.ndarray:
    indices = scan_last_layer(classifier)
    return (
        np.full(len(classifier.labels), np.nan, "f4") if indices is None else indices.astype("f4")
    )


def findings_table(findings: Sequence[Finding]) -> xr.Dataset:
    """A row a finding."""
    text: dict[str, list[str]] = {
        "of_label": [one.label for one in findings],
        "direction": [one.direction for one in findings],
        "cue": [one.cue.name for one in findings],
        "lens": [one.lens for one in findings],
        "only": ["\n".join(one.only) for one in findings],
        "verdict": [one.verdict for one in findings],
        "sentence": [one.sentence for one in findings],
    }
    number: dict[str, Any] = {
        "effect": [one.effect.value for one in findings],
        "low": [one.effect.low for one in findings],
        "high": [one.effect.high for one in findings],
        "placebo": [one.placebo for one in findings],
        "judges": [one.effect.judges for one in findings],
        "chance": [one.chance for one in findings],
    }
    whole = {
        "sources": [one.effect.held for one in findings],
        "of": [one.effect.of for one in findings],
    }
    return xr.Dataset(
        {
            **{name: ("finding", _texts(values)) for name, values in text.items()},
            **{name: ("finding", np.array(values, "f4")) for name, values in number.items()},
            **{name: ("finding", np.array(values, "i8")) for name, values in whole.items()},
            "confirmed": ("finding", np.array([one.confirmed for one in findings], bool)),
        },
        coords={"finding": np.arange(len(findings))},
    )


def proof_table(findings: Sequence[Finding], panel: Panel | None = None) -> xr.Dataset:
    """Doses and pictures of each finding, all of one size; NaN and black where it has none.

    Without a panel nobody reads the pictures.
    """
    proofs = [(i, one.proof) for i, one in enumerate(findings) if one.proof is not None]
    doses = max((len(proof.doses) for _, proof in proofs), default=1)
    columns = {name: np.full((len(findings), doses), np.nan, "f4") for name in ("dose", *_BY_DOSE)}
    ways = {name: np.full(len(findings), np.nan, "f4") for name in VARIED_RATES}
    operator = ["" for _ in findings]
    undone, undone_of = np.full(len(findings), np.nan, "f4"), np.zeros(len(findings), "i8")
    for i, proof in proofs:
        n = len(proof.doses)
        columns["dose"][i, :n] = proof.doses
        for name in _BY_DOSE:
            columns[name][i, :n] = getattr(proof, name)
        for name, shares in proof.varied.items():
            for end, value in zip(("", "_low", "_high"), shares, strict=True):
                ways[name + end][i] = value
        operator[i] = proof.operator
        undone[i] = np.nan if proof.undone is None else proof.undone
        undone_of[i] = proof.undone_of
    shown = shown_variables(findings, panel)
    return xr.Dataset(
        {
            **where_variables([one.where for one in findings]),
            **real_variables(findings),
            "operator": ("finding", _texts(operator)),
            "undone": ("finding", undone),
            "undone_of": ("finding", undone_of),
            **{name: (("finding", "place"), values) for name, values in columns.items()},
            **{name: ("finding", values) for name, values in ways.items()},
            **shown,
        },
        coords={
            "finding": np.arange(len(findings)),
            "place": np.arange(doses),
            "row": _texts(ROWS),
            "example": np.arange(shown["picture"][1].shape[2]),
        },
    )


def shown_variables(findings: Sequence[Finding], panel: Panel | None) -> dict[str, Any]:
    """Each finding's pictures, all of one size, and what the classifier and most judges read."""
    there = [(i, one.shown) for i, one in enumerate(findings) if one.shown is not None]
    shapes = [(len(ROWS), 1, 1, 1, 3), *(of.shape for _, of in there)]
    most = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
    pictures = np.zeros((len(findings), *most), "u1")
    read, judged = (np.full(pictures.shape[:3], "", object) for _ in range(2))
    for i, rows in there:
        for place in np.ndindex(*rows.shape[:2]):  # those of triggers may be smaller
            pictures[(i, *place)] = np.rint(resized(rows[place].astype("f4"), most[2:4]))
        if panel is not None:
            named = _named(panel, rows)
            read[i, : len(rows), : rows.shape[1]] = named[0]
            judged[i, : len(rows), : rows.shape[1]] = named[1]
    dims = ("finding", "row", "example")
    return {
        "picture": ((*dims, "y", "x", "channel"), pictures),
        "read": (dims, read),
        "judged": (dims, judged),
    }


def _named(panel: Panel, rows: np.ndarray) -> np.ndarray:
    """Labels that the classifier and most judges read, str ``(2, row, n)``; "" without judges."""
    models = panel.read(rows.reshape(-1, *rows.shape[2:]))
    labels = panel.classifier.labels
    most = [labels[mode(read)] if len(read) else "" for read in models[1:].T.tolist()]
    made = np.array([[labels[i] for i in models[0]], most], object)
    return made.reshape(2, *rows.shape[:2])


def real_variables(findings: Sequence[Finding]) -> dict[str, Any]:
    """Variables of `inversion_kit.schema.ON_REAL`; NaN and 0 where a finding saw no real image."""
    nothing = OnReal(np.nan, np.nan, np.nan, np.nan, 0)
    rows = [astuple(one.real or nothing) for one in findings]
    columns = np.array(rows, float).reshape(len(rows), len(ON_REAL)).T
    return {
        name: (dims, column.astype(kind))
        for (name, (dims, kind)), column in zip(ON_REAL.items(), columns, strict=True)
    }


def carriers_table(look: Look, labels: Sequence[str]) -> xr.Dataset:
    """Which real images carry each finding's cue, see `inversion_kit.schema.WHOLE`."""
    carried, real = look.carriers, look.real
    hits, images = (
        np.array([getattr(one, name) for one in carried], "i8").reshape(len(carried), len(labels))
        for name in ("hits", "images")
    )
    ranked = np.array([not one.why for one in carried], bool)[:, None]
    low, high = wilson(hits, images)
    shares = np.divide(hits, images, out=np.full(hits.shape, np.nan), where=images > 0)
    every = [images.sum(1), hits.sum(1)]
    passed = np.divide(every[1], every[0], out=np.full(len(carried), np.nan), where=every[0] > 0)
    names = np.full((len(carried), SHOWN), "", object)
    of, scores = names.copy(), np.full(names.shape, np.nan, "f4")
    for i, one in enumerate(carried):
        for k, row in enumerate(one.rows):
            names[i, k], of[i, k] = real.name(row), labels[look.labels[row]]
        scores[i, : len(one.rows)] = one.scores
    per_finding = {
        "auc": [one.fitted.auc for one in carried],
        "false": [one.fitted.false for one in carried],
        "recall": [one.recall for one in carried],
        "passed": passed,
    }
    per_class = {"share": shares, "low": low, "high": high}
    return xr.Dataset(
        {
            "why": ("finding", _texts([one.why for one in carried])),
            **{n: ("finding", np.array(v, "f4")) for n, v in per_finding.items()},
            **{
                n: (("finding", "class"), np.where(ranked, v, np.nan).astype("f4"))
                for n, v in per_class.items()
            },
            "images": (("finding", "class"), images),
            "file": (("finding", "example"), names),
            "of_label": (("finding", "example"), of),
            "score": (("finding", "example"), scores),
            "picture": (("finding", "example", "y", "x", "channel"), look.pictures),
            **looks_variables(look.measured, look.labels, len(labels)),
        },
        coords={
            "finding": np.arange(len(carried)),
            "property": list(PROPERTIES),
            "class": _texts(labels),
            "example": np.arange(SHOWN),
        },
        attrs={
            "labelled": int(real.labels is not None),
            "images": int((look.labels >= 0).sum()),
            "files": real.there,
            "unread": int((look.labels < 0).sum()),
        },
    )


def looks_variables(measured: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, Any]:
    """Variables of `inversion_kit.schema.LOOKS`: how the images of each class look.

    Parameters
    ----------
    measured
        ``(image, property)``, NaN is a gap.
    labels
        Class index of each image; -1 of those that do not count.
    """
    shape = (classes, measured.shape[1])
    mean, spread, images = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, int)
    for label in np.unique(labels[labels >= 0]):
        own = measured[labels == label]
        there = np.isfinite(own)
        images[label] = n = there.sum(0)
        mean[label] = np.divide(np.where(there, own, 0).sum(0), n, out=mean[label], where=n > 0)
        gaps = np.where(there, own - mean[label], 0)
        squares = np.divide((gaps**2).sum(0), n - 1, out=spread[label], where=n > 1)
        spread[label] = np.sqrt(squares)
    columns = zip(LOOKS.items(), (mean, spread, images), strict=True)
    return {name: (dims, values.astype(kind)) for (name, (dims, kind)), values in columns}


def _texts(values: Sequence[str]) -> np.ndarray:
    made = np.empty(len(values), object)
    made[:] = list(values)
    return made
