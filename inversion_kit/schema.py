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
                                                       ``check``
/token         seed, check, vector, embed, rank        embedding at every check; selected (the check
                                                       that was kept), nearest_word, nearest_cosine
/probe         word                                    log_probability of the label with each
                                                       vocabulary word in the token's place
/samples       arm, seed, sample, class, judge,        image, probability, judge_probability,
               y, x, channel, feature                  prompt, noise_seed, feature on test noise,
                                                       the same for every arm
=============  ======================================  ===========================================

Images are uint8 RGB. Probabilities are the whole softmax, float32. Every dimension but y, x,
channel, vector, embed, feature and rank has a coordinate; ``class`` holds the label names.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.errors import SchemaError

VERSION = 1
_PIXELS = ("y", "x", "channel")
BARE = (*_PIXELS, "vector", "embed", "feature", "rank")
"""Dimensions without a coordinate."""

GROUPS: dict[str, dict[str, tuple[tuple[str, ...], str]]] = {
    "trajectory": {
        "loss": (("seed", "step"), "f4"),
        "gradient_norm": (("seed", "step"), "f4"),
        "start": (("seed", "step"), "str"),
        "probability": (("seed", "step", "sample", "class"), "f4"),
        "image": (("seed", "step", "sample", *_PIXELS), "u1"),
        "prompt": (("seed", "step", "sample"), "str"),
        "noise_seed": (("seed", "step", "sample"), "i8"),
    },
    "validation": {
        "step": (("seed", "check"), "i8"),
        "start": (("seed", "check"), "str"),
        "probability": (("seed", "check", "sample", "class"), "f4"),
        "image": (("seed", "check", "sample", *_PIXELS), "u1"),
        "noise_seed": (("seed", "sample"), "i8"),
    },
    "token": {
        "embedding": (("seed", "check", "vector", "embed"), "f4"),
        "selected": (("seed",), "i8"),
        "nearest_word": (("seed", "rank"), "str"),
        "nearest_cosine": (("seed", "rank"), "f4"),
    },
    "probe": {"log_probability": (("seed", "word"), "f4")},
    "samples": {
        "image": (("arm", "seed", "sample", *_PIXELS), "u1"),
        "probability": (("arm", "seed", "sample", "class"), "f4"),
        "judge_probability": (("judge", "arm", "seed", "sample", "class"), "f4"),
        "prompt": (("arm", "seed", "sample"), "str"),
        "noise_seed": (("seed", "sample"), "i8"),
        "feature": (("arm", "seed", "sample", "feature"), "f4"),
    },
}
"""Group, variable, its dims and its kind: f4, u1, i8 or str."""
OPTIONAL = {("samples", "feature"), ("samples", "judge_probability")}

ATTRIBUTES: dict[str, type] = {
    "schema_version": int,
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
"""Root attributes and their types; judges, judge_hashes, settings and versions are JSON."""


def build(groups: dict[str, xr.Dataset], attributes: dict[str, Any]) -> xr.DataTree:
    """Put the groups and attributes together and validate them."""
    tree = xr.DataTree.from_dict({f"/{name}": data for name, data in groups.items()})
    tree.attrs = {"schema_version": VERSION, **attributes}
    return validate(tree)


def validate(tree: xr.DataTree) -> xr.DataTree:
    """Return the tree where it is a valid result.

    Raises
    ------
    SchemaError
        With every fault found, one a line.
    """
    faults = [*_attribute_faults(tree.attrs)]
    for group, variables in GROUPS.items():
        if group not in tree.children:
            faults.append(f"/{group}: missing")
            continue
        faults += _group_faults(group, tree[group].to_dataset(inherit=False), variables)
    if not faults:
        faults += _agreement_faults(tree)
    if faults:
        raise SchemaError("not a valid inversion_kit result:\n" + "\n".join(faults))
    return tree


def _attribute_faults(attributes: Any) -> list[str]:
    faults = []
    for name, kind in ATTRIBUTES.items():
        value = attributes.get(name)
        numbers = (int, np.integer) if kind is int else (float, np.floating, int)
        if not isinstance(value, str if kind is str else numbers):
            faults.append(f"attribute {name}: expected {kind.__name__}, found {value!r}")
    if not faults and attributes["schema_version"] != VERSION:
        faults.append(f"schema_version {attributes['schema_version']}: this reads {VERSION}")
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


def _agreement_faults(tree: xr.DataTree) -> list[str]:
    faults = []
    names = tree["samples"]["class"].values
    label, index = tree.attrs["label"], tree.attrs["label_index"]
    if not 0 <= index < len(names) or names[index] != label:
        faults.append(f"label {label!r} is not class {index}")
    for group in ("trajectory", "validation"):
        if not np.array_equal(tree[group]["class"].values, names):
            faults.append(f"/{group}: class names differ from those of /samples")
        if not np.array_equal(tree[group]["seed"].values, tree["samples"]["seed"].values):
            faults.append(f"/{group}: seeds differ from those of /samples")
    noise = [set(tree[g]["noise_seed"].values.ravel().tolist()) for g in
             ("trajectory", "validation", "samples")]  # fmt: skip
    if noise[1] & noise[2] or (noise[0] - {-1}) & (noise[1] | noise[2]):
        faults.append("noise seeds of training, validation and samples overlap")
    return faults
