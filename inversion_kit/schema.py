"""The shape of a result: what groups, variables, dimensions and attributes a DataTree holds.

=============  ======================================  ===========================================
group          dims                                    variables
=============  ======================================  ===========================================
``/``                                                  attributes only, see `ATTRIBUTES`
/trajectory    seed, step, sample, class, y, x,        loss, gradient_norm, start, probability,
               channel                                 image, prompt, noise_seed: the training
                                                       images of every step; NaN, 0 or "" after
                                                       the last step of a seed (noise_seed: -1)
/validation    seed, check, sample, class, y, x,       probability, image on the same held-out
               channel                                 noise at every check, after ``step`` updates
                                                       from ``start``: the class appears along
                                                       ``check``; objective: its mean, where it is
                                                       not the default one
/token         seed, check, vector, embed, rank        embedding at every check; selected (the check
                                                       that was kept), nearest_word, nearest_cosine
/probe         word                                    log_probability of the label with each
                                                       vocabulary word in the token's place
/samples       arm, seed, sample, class, judge,        image, probability, judge_probability,
               y, x, channel, feature                  prompt, noise_seed, feature on test noise,
                                                       the same for every arm
/ledger        seed, entry                             only with ``method="cma"``: what the images
                                                       that the classifier scored (queries) were
                                                       spent on: kind ("identity", "check", "probe",
                                                       "generation", "samples"), step, queries so
                                                       far, score, best held-out score so far
=============  ======================================  ===========================================

With ``method="cma"`` a step of /trajectory is a generation: its loss, images and probabilities are
those of its best token, its noise that of all of them, and it has no gradient norm (NaN).

An audit (`AUDIT`) holds the same groups with dims label, arm, seed in front of what one unit has
(`UNIT`), the coordinate ``label_index`` along label, ``judge_kind`` ("classifier" or "view") along
judge, and /status. Its /samples also holds ``trained_probability``, the softmax of the classifier
that gave the gradient: the weight-shuffled copy in the arm ``shuffled``; NaN in the arm ``name``.

Images are uint8 RGB. Probabilities are the whole softmax, float32. Every dimension but y, x,
channel, vector, embed, feature and rank has a coordinate; ``class`` holds the label names.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.errors import SchemaError

VERSION = 2
_PIXELS = ("y", "x", "channel")
BARE = (*_PIXELS, "vector", "embed", "feature", "rank")
"""Dimensions without a coordinate."""

UNIT: dict[str, dict[str, tuple[tuple[str, ...], str]]] = {
    "trajectory": {
        "loss": (("step",), "f4"),
        "gradient_norm": (("step",), "f4"),
        "start": (("step",), "str"),
        "probability": (("step", "sample", "class"), "f4"),
        "image": (("step", "sample", *_PIXELS), "u1"),
        "prompt": (("step", "sample"), "str"),
        "noise_seed": (("step", "sample"), "i8"),
    },
    "validation": {
        "step": (("check",), "i8"),
        "start": (("check",), "str"),
        "objective": (("check",), "f4"),
        "probability": (("check", "sample", "class"), "f4"),
        "image": (("check", "sample", *_PIXELS), "u1"),
        "noise_seed": (("sample",), "i8"),
    },
    "token": {
        "embedding": (("check", "vector", "embed"), "f4"),
        "selected": ((), "i8"),
        "nearest_word": (("rank",), "str"),
        "nearest_cosine": (("rank",), "f4"),
    },
    "probe": {
        "word": (("rank",), "str"),
        "log_probability": (("rank",), "f4"),
    },
    "samples": {
        "image": (("sample", *_PIXELS), "u1"),
        "probability": (("sample", "class"), "f4"),
        "trained_probability": (("sample", "class"), "f4"),
        "judge_probability": (("judge", "sample", "class"), "f4"),
        "prompt": (("sample",), "str"),
        "noise_seed": (("sample",), "i8"),
        "feature": (("sample", "feature"), "f4"),
    },
}
"""One unit (label x arm x seed): group, variable, its dims and its kind: f4, u1, i8 or str.

A unit of an arm without a token (``name``) has ``samples`` alone."""
FILL: dict[str, Any] = {"f4": np.nan, "u1": 0, "i8": -1, "str": ""}
"""What stands where a unit has nothing: after its last step, or where it is missing."""
OUTER = ("label", "arm", "seed")
"""Dimensions that an audit adds in front of every variable of a unit."""
STATUS: dict[str, tuple[tuple[str, ...], str]] = {
    "status": (OUTER, "str"),
    "reason": (OUTER, "str"),
    "seconds": (OUTER, "f4"),
}
"""Group ``/status`` of an audit: "done", "failed" (with the reason) or "missing"; seconds spent."""


def _in_run(group: str, name: str, dims: tuple[str, ...]) -> tuple[str, ...]:
    """Dims of a unit's variable in a run: seed in front, arm too among the samples."""
    if group != "samples" or name == "noise_seed":
        return ("seed", *dims)
    return ("judge", "arm", "seed", *dims[1:]) if "judge" in dims else ("arm", "seed", *dims)


GROUPS = {
    group: {name: (_in_run(group, name, dims), kind) for name, (dims, kind) in table.items()}
    for group, table in UNIT.items()
}
"""A run (`inversion_kit.invert`): group, variable, its dims and its kind."""
GROUPS["probe"] = {"log_probability": (("seed", "word"), "f4")}
del GROUPS["samples"]["trained_probability"]
GROUPS["ledger"] = {
    "kind": (("seed", "entry"), "str"),
    "step": (("seed", "entry"), "i8"),
    "queries": (("seed", "entry"), "i8"),
    "score": (("seed", "entry"), "f4"),
    "best": (("seed", "entry"), "f4"),
}
AUDIT = {
    group: {name: ((*OUTER, *dims), kind) for name, (dims, kind) in table.items()}
    for group, table in UNIT.items()
}
"""An audit (`inversion_kit.audit`): the same for label, arm and seed at once."""
AUDIT["status"] = STATUS
OPTIONAL = {
    ("validation", "objective"),
    ("samples", "feature"),
    ("samples", "judge_probability"),
    ("samples", "trained_probability"),
}
OPTIONAL_GROUPS = {"ledger"}
"""Groups that some results have no use for."""

ATTRIBUTES: dict[str, type] = {
    "schema_version": int,
    "kind": str,
    "label": str,
    "label_index": int,
    "classifier": str,
    "classifier_hash": str,
    "generator": str,
    "generator_hash": str,
    "judges": str,
    "judge_hashes": str,
    "settings": str,
    "versions": str,
    "created": str,
    "seconds": float,
}
"""Root attributes of a run and their types; judges, judge_hashes, settings and versions are JSON.
A run also has ``objective``, what it was trained for, and ``preprocess_parity``: JSON of the
largest difference between our preprocessing and the library's own path, measured, in levels of 255,
or of why there is none; an audit has it among its settings. A run with ``method="cma"`` has
``queries`` too: the images that the classifier has scored in all.
An audit has the same but ``label`` and ``label_index``, which are along its dimension label."""


def build(
    groups: dict[str, xr.Dataset], attributes: dict[str, Any], *, kind: str = "run"
) -> xr.DataTree:
    """Put the groups and attributes of a run or an audit together and validate them."""
    tree = xr.DataTree.from_dict({f"/{name}": data for name, data in groups.items()})
    tree.attrs = {"schema_version": VERSION, "kind": kind, **attributes}
    return validate(tree)


def validate(tree: xr.DataTree) -> xr.DataTree:
    """Return the tree where it is a valid run or audit. Pixels are not read.

    Raises
    ------
    SchemaError
        With every fault found, one a line.
    """
    audit = tree.attrs.get("kind") == "audit"
    faults = [*_attribute_faults(tree.attrs, audit)]
    for group, variables in (AUDIT if audit else GROUPS).items():
        if group not in tree.children:
            if group not in OPTIONAL_GROUPS:
                faults.append(f"/{group}: missing")
            continue
        faults += _group_faults(group, tree[group].to_dataset(inherit=False), variables)
    if not faults:
        faults += [
            *_class_faults(tree, AUDIT if audit else GROUPS),
            *(_label_faults(tree) if audit else _run_faults(tree)),
        ]
    if faults:
        raise SchemaError("not a valid inversion_kit result:\n" + "\n".join(faults))
    return tree


def _attribute_faults(attributes: Any, audit: bool) -> list[str]:
    faults = []
    for name, kind in ATTRIBUTES.items():
        if audit and name in ("label", "label_index"):
            continue
        value = attributes.get(name)
        numbers = (int, np.integer) if kind is int else (float, np.floating, int)
        if not isinstance(value, str if kind is str else numbers):
            faults.append(f"attribute {name}: expected {kind.__name__}, found {value!r}")
    if not faults and attributes["schema_version"] != VERSION:
        faults.append(f"schema_version {attributes['schema_version']}: this reads {VERSION}")
    if not faults and attributes["kind"] not in ("run", "audit"):
        faults.append(f"attribute kind: expected 'run' or 'audit', found {attributes['kind']!r}")
    for name in ("settings", "versions", "judges", "judge_hashes"):
        try:
            json.loads(attributes.get(name, ""))
        except (TypeError, ValueError):
            faults.append(f"attribute {name}: not JSON")
    return faults


def _group_faults(
    group: str, data: xr.Dataset, variables: dict[str, tuple[tuple[str, ...], str]]
) -> list[str]:
    faults = []
    for name, (dims, kind) in variables.items():
        if name not in data:
            if (group, name) not in OPTIONAL:
                faults.append(f"/{group}/{name}: missing")
            continue
        found = data[name]
        if found.dims != dims:
            faults.append(f"/{group}/{name}: dims {found.dims}, expected {dims}")
        fits = found.dtype.kind in "OUT" if kind == "str" else found.dtype == np.dtype(kind)
        if not fits:
            faults.append(f"/{group}/{name}: dtype {found.dtype}, expected {kind}")
    bare = {str(d) for d in data.dims} - set(BARE) - set(data.coords)
    faults += [f"/{group}: dimension {d} has no coordinate" for d in sorted(bare)]
    return faults


def _class_faults(tree: xr.DataTree, groups: Any) -> list[str]:
    names = tree["samples"]["class"].values
    return [
        f"/{group}: class names differ from those of /samples"
        for group in groups
        if group in tree.children
        if "class" in tree[group].dims and not np.array_equal(tree[group]["class"].values, names)
    ]


def _run_faults(tree: xr.DataTree) -> list[str]:
    faults = []
    names = tree["samples"]["class"].values
    label, index = tree.attrs["label"], tree.attrs["label_index"]
    if not 0 <= index < len(names) or names[index] != label:
        faults.append(f"label {label!r} is not class {index}")
    for group in ("trajectory", "validation"):
        if not np.array_equal(tree[group]["seed"].values, tree["samples"]["seed"].values):
            faults.append(f"/{group}: seeds differ from those of /samples")
    if "ledger" in tree.children:
        faults += _ledger_faults(tree["ledger"].to_dataset(inherit=False))
    noise = [set(tree[g]["noise_seed"].values.ravel().tolist()) for g in
             ("trajectory", "validation", "samples")]  # fmt: skip
    if noise[1] & noise[2] or (noise[0] - {-1}) & (noise[1] | noise[2]):
        faults.append("noise seeds of training, validation and samples overlap")
    return faults


def _ledger_faults(data: xr.Dataset) -> list[str]:
    """Queries only grow, and a seed's entries end where the filling up begins."""
    faults = []
    for seed, row in zip(data["seed"].values, data["queries"].values, strict=True):
        used = row[: len(row) - np.argmax(row[::-1] >= 0)]
        if not len(used) or used.min() < 0 or (np.diff(used) <= 0).any():
            faults.append(f"/ledger/queries: those of seed {seed} do not grow")
    return faults


def _label_faults(tree: xr.DataTree) -> list[str]:
    faults = []
    names = tree["samples"]["class"].values
    for group in AUDIT:
        data = tree[group].to_dataset()
        if "label_index" not in data.coords or data["label_index"].dims != ("label",):
            faults.append(f"/{group}: no coordinate label_index along label")
            continue
        at = data["label_index"].values
        inside = (at >= 0) & (at < len(names))
        if not inside.all() or not np.array_equal(names[at], data["label"].values):
            faults.append(f"/{group}: labels are not the classes at their label_index")
        for dim in OUTER:
            if not np.array_equal(data[dim].values, tree["samples"][dim].values):
                faults.append(f"/{group}: {dim} differs from that of /samples")
    return faults
