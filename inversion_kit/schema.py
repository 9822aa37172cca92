"""The shape of a result: what groups, variables, dimensions and attributes a DataTree holds.

`inversion_kit.invert` and `inversion_kit.audit` give the same shape: every variable of a unit
stands along ``(label, arm, seed)`` and then along dimensions of its own.

=============  ===========================  =======================================================
group          own dims                     variables
=============  ===========================  =======================================================
/trajectory    step, sample, class,         loss, gradient_norm, start, probability, image, prompt,
               y, x, channel                noise_seed: the training images of every step
/validation    check, sample, class,        probability, image on the same held-out noise at every
               y, x, channel                check, after ``step`` updates from ``start``;
                                            objective: its mean, where it is not the default one
/token         check, vector, embed, rank   embedding at every check; selected (the check that was
                                            kept), nearest_word, nearest_cosine
/probe         rank                         word, log_probability: known words in the token's place,
                                            best first
/samples       sample, class, judge,        image, probability, judge_probability, prompt,
               y, x, channel, feature       noise_seed, feature on test noise, the same noise for
                                            every arm; trained_probability, the softmax of what gave
                                            the gradient: of the control the shuffled copy;
                                            search_probability, the classifier's of what the search
                                            generator makes of the same prompts and noise, where it
                                            is another one
/ledger        entry                        only with ``method="cma"``: what the images that the
                                            classifier scored (queries) were spent on: kind
                                            ("rehearsal", "identity", "check", "probe",
                                            "generation", "samples"), step, queries so far, score,
                                            best check
/status                                     status: "done", "failed", "stopped" (searched, without
                                            final images) or "missing"; reason; seconds
/projection    point                        where images and tokens lie; in an audit's folder once
                                            the audit was looked at, elsewhere only where
                                            `inversion_kit.analysis.projected` made it
/findings      finding                      only where `inversion_kit.findings` looked: what
                                            the classifier has tied to a label; attributes say what
                                            was looked for
/proof         finding; place, row, example a cue done to the pixels: rates by dose, with those of a
                                            placebo, and pictures; `WHERE` the cue acts
/carriers      finding; class, example,     with real images: share of each class that carries a
               property                     finding's cue, the images that look most as if they did,
                                            and how far the detector that says so can be trusted;
                                            `LOOKS`, measured properties of each class's images
/effects       cue, class, source           the screening: share of sources that a cue moves to each
                                            class, and which sources it makes be missed; how far the
                                            trigger and the last layer's row of a class stand out
=============  ===========================  =======================================================

An arm without a search has /samples alone; one whose token was learned from real images /token too,
with one check. What a unit does not have is filled: NaN, 0, -1 or "".
With ``method="cma"`` a step of /trajectory is a generation: its loss, images and probabilities are
those of its best token, its noise that of all of them, and it has no gradient norm (NaN).

Images are uint8 RGB. Probabilities are the whole softmax, float32. Every dimension but y, x,
channel, vector, embed, feature and rank has a coordinate; ``class`` holds the label names,
``label_index`` along label their places, ``judge_kind`` along judge "classifier" or "view".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from inversion_kit.errors import SchemaError

VERSION = 4
OUTER = ("label", "arm", "seed")
"""Dimensions in front of every variable of a unit."""
_PIXELS = ("y", "x", "channel")
NEUTRAL = "neutral"
"""Name of the start at the mean of the vocabulary."""
BARE = (*_PIXELS, "map_y", "map_x", "vector", "embed", "feature", "rank")
"""Dimensions without a coordinate."""
STATES = ("done", "failed", "stopped", "missing")
"""What can have become of a unit."""

Table = dict[str, tuple[tuple[str, ...], str]]
"""Variable, its own dims and its kind: f4, f8, u1, i8, b1 or str."""
UNIT: dict[str, Table] = {
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
    "probe": {"word": (("rank",), "str"), "log_probability": (("rank",), "f4")},
    "samples": {
        "image": (("sample", *_PIXELS), "u1"),
        "probability": (("sample", "class"), "f4"),
        "trained_probability": (("sample", "class"), "f4"),
        "search_probability": (("sample", "class"), "f4"),
        "judge_probability": (("judge", "sample", "class"), "f4"),
        "prompt": (("sample",), "str"),
        "noise_seed": (("sample",), "i8"),
        "feature": (("sample", "feature"), "f4"),
    },
    "ledger": {
        "kind": (("entry",), "str"),
        "step": (("entry",), "i8"),
        "queries": (("entry",), "i8"),
        "score": (("entry",), "f4"),
        "best": (("entry",), "f4"),
    },
    "status": {"status": ((), "str"), "reason": ((), "str"), "seconds": ((), "f4")},
}
"""One unit (label x arm x seed): group, variable, its own dims and its kind."""
_MAP = ("finding", "map_y", "map_x")
WHERE: Table = {
    "difference": ((*_MAP, "channel"), "f4"),
    "attribution": (_MAP, "f4"),
    "attributed_by": (("finding",), "str"),
    "attributed": (("finding",), "i8"),
    "share_of_change": (("finding",), "f4"),
    "share_of_attribution": (("finding",), "f4"),
}
"""Of /proof: what a cue changes in pictures and how much of the score's change comes from where,
means over ``attributed`` pictures, at most 128 pixels a side; and the shares of both that lie in
the tenth of each picture that changed most."""
ON_REAL: Table = {
    "real_rate": (("finding",), "f4"),
    "real_low": (("finding",), "f4"),
    "real_high": (("finding",), "f4"),
    "real_placebo": (("finding",), "f4"),
    "real_images": (("finding",), "i8"),
}
"""Of /proof: what the chosen dose and its placebo do to ``real_images`` real images; NaN and 0
without any."""
VARIED = ("elsewhere", "scattered", "recoloured")
"""Other ways to do a cue to the pixels: at another place; with its pixels in a random order over
the picture; in opposite colours."""
VARIED_RATES: Table = {
    f"{name}{end}": (("finding",), "f4") for name in VARIED for end in ("", "_low", "_high")
}
"""Of /proof: share of the pictures that hit when the chosen dose is done in each of these ways,
with its 95 % interval; NaN where it is not. Patches have another place, triggers all three."""
LOOKS: Table = {
    "look": (("class", "property"), "f4"),
    "look_spread": (("class", "property"), "f4"),
    "look_images": (("class", "property"), "i8"),
}
"""Of /carriers: mean and standard deviation of what `inversion_kit.analysis.measure` gives of the
real images of each class, at the size of the generator's pictures, and of how many."""
BY_CLIP: Table = {
    "clip_cued": (("cue",), "f4"),
    "clip_plain": (("cue",), "f4"),
    "clip_low": (("cue",), "f4"),
    "clip_high": (("cue",), "f4"),
}
"""Of /effects, where a CLIP was given: share of a cue's pictures of which it says that the prompt
with the cue fits better than the plain one, the same share of the plain pictures on the same noise,
and the 95 % interval of the difference."""
WHOLE: dict[str, Table] = {
    "projection": {
        "space": (("point",), "str"),
        "x": (("point",), "f4"),
        "y": (("point",), "f4"),
        "of_label": (("point",), "str"),
        "of_arm": (("point",), "str"),
        "of_seed": (("point",), "i8"),
        "of_sample": (("point",), "i8"),
        "verdict": (("point",), "str"),
        "read_as": (("point",), "str"),
    },
    "findings": {
        "of_label": (("finding",), "str"),
        "direction": (("finding",), "str"),
        "cue": (("finding",), "str"),
        "lens": (("finding",), "str"),
        "effect": (("finding",), "f4"),
        "low": (("finding",), "f4"),
        "high": (("finding",), "f4"),
        "sources": (("finding",), "i8"),
        "of": (("finding",), "i8"),
        "placebo": (("finding",), "f4"),
        "confirmed": (("finding",), "b1"),
        "verdict": (("finding",), "str"),
        "sentence": (("finding",), "str"),
        "only": (("finding",), "str"),
        "judges": (("finding",), "f4"),
        "chance": (("finding",), "f4"),
        "opinion": (("finding",), "str"),
        "note": (("finding",), "str"),
    },
    "proof": {
        "operator": (("finding",), "str"),
        "undone": (("finding",), "f4"),
        "undone_of": (("finding",), "i8"),
        "dose": (("finding", "place"), "f4"),
        "rate": (("finding", "place"), "f4"),
        "low": (("finding", "place"), "f4"),
        "high": (("finding", "place"), "f4"),
        "placebo": (("finding", "place"), "f4"),
        "placebo_low": (("finding", "place"), "f4"),
        "placebo_high": (("finding", "place"), "f4"),
        "picture": (("finding", "row", "example", *_PIXELS), "u1"),
        "read": (("finding", "row", "example"), "str"),
        "judged": (("finding", "row", "example"), "str"),
        **VARIED_RATES,
        **WHERE,
        **ON_REAL,
    },
    "carriers": {
        "why": (("finding",), "str"),
        "auc": (("finding",), "f4"),
        "false": (("finding",), "f4"),
        "passed": (("finding",), "f4"),
        "recall": (("finding",), "f4"),
        "share": (("finding", "class"), "f4"),
        "low": (("finding", "class"), "f4"),
        "high": (("finding", "class"), "f4"),
        "images": (("finding", "class"), "i8"),
        "file": (("finding", "example"), "str"),
        "of_label": (("finding", "example"), "str"),
        "score": (("finding", "example"), "f4"),
        "picture": (("finding", "example", *_PIXELS), "u1"),
        **LOOKS,
    },
    "effects": {
        "kind": (("cue",), "str"),
        "painted": (("cue",), "f4"),
        "reworded": (("cue",), "f4"),
        **BY_CLIP,
        "seen": (("cue",), "f4"),
        "push": (("cue", "class"), "f4"),
        "trigger": (("class",), "f4"),
        "scan": (("class",), "f4"),
        "lost": (("cue", "source"), "f4"),
    },
}
"""Groups of a result as a whole, without a unit's dimensions, and only where they were made."""
WHOLE_ATTRIBUTES: dict[str, dict[str, type]] = {
    "projection": {"image_method": str, "token_method": str, "left_out": int},
    "carriers": {"labelled": int, "images": int, "files": int, "unread": int},
}
"""Attributes that such a group must have."""
SEARCHED = ("trajectory", "validation", "token", "probe")
"""Groups that only a unit with a search has."""
STORED = tuple(group for group in UNIT if group != "status")
"""Groups that the files of a unit may hold."""
FILL: dict[str, Any] = {"f4": np.nan, "u1": 0, "i8": -1, "str": ""}
"""What stands where a unit has nothing: after its last step, or where it is missing."""
OPTIONAL = {
    *(("proof", name) for name in (*WHERE, *ON_REAL, *VARIED_RATES)),
    *(("proof", name) for name in ("undone_of", "placebo_low", "placebo_high", "read", "judged")),
    *(("effects", name) for name in (*BY_CLIP, "reworded")),
    *(("carriers", name) for name in LOOKS),
    ("findings", "opinion"),
    ("findings", "note"),
    ("validation", "objective"),
    ("samples", "feature"),
    ("samples", "judge_probability"),
    ("samples", "trained_probability"),
    ("samples", "search_probability"),
}
OPTIONAL_GROUPS = {"ledger", *WHOLE}
"""Groups that some results have no use for."""

ATTRIBUTES: dict[str, type] = {
    "schema_version": int,
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
"""Root attributes and their types. ``judges`` (names along judge, views among them),
``judge_hashes``, ``settings`` and ``versions`` are JSON. Settings are those of
`inversion_kit.settings.Settings`, and what else makes the result what it is: sources of the models,
sampler, token layout, preprocessing and its measured parity, the objective. Where the user stopped
it, ``stopped`` says after what; where a gradient did not fit into memory,
``gradient_checkpointing`` names the networks that computed their activations twice for it."""


def build(groups: dict[str, xr.Dataset], attributes: dict[str, Any]) -> xr.DataTree:
    """Put the groups and attributes of a result together and validate them."""
    tree = xr.DataTree.from_dict({f"/{name}": data for name, data in groups.items()})
    tree.attrs = {"schema_version": VERSION, **attributes}
    return validate(tree)


def validate(tree: xr.DataTree) -> xr.DataTree:
    """Return a valid result with label, arm and seed as dimensions. Pixels are not read.

    Parameters
    ----------
    tree
        A result, or what ``sel`` or ``isel`` left of one: a label, arm or seed that was picked
        by itself becomes a dimension of length 1 again.

    Returns
    -------
    xr.DataTree
        The same values, along all dimensions.

    Raises
    ------
    SchemaError
        With every fault found, one a line.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> validate(synthetic().sel(label="sky"))["samples"].sizes["label"]
    1
    """
    given: Any = tree
    if not isinstance(given, xr.DataTree):
        raise SchemaError(
            f"tree: {type(given).__name__} given; expected the DataTree that invert, audit or open "
            "returned"
        )
    faults = [*_attribute_faults(tree.attrs)]
    if not faults:
        tree = _with_outer(tree)
        faults += [fault for group in UNIT for fault in _unit_group_faults(tree, group)]
        for group in WHOLE:
            if group in tree.children:
                data = tree[group].to_dataset(inherit=False)
                faults += whole_faults(group, data)
    if not faults:
        faults += [*_class_faults(tree), *_outer_faults(tree), *_noise_faults(tree)]
        if "ledger" in tree.children:
            faults += _ledger_faults(tree["ledger"].to_dataset(inherit=False))
    if faults:
        raise SchemaError("not a valid inversion_kit result:\n" + "\n".join(faults))
    return tree


def is_result(tree: xr.DataTree) -> bool:
    """Whether a DataTree says that it is a result of this library.

    Examples
    --------
    >>> is_result(xr.DataTree())
    False
    """
    given: Any = tree
    return (
        isinstance(given, xr.DataTree)
        and tree.attrs.get("schema_version") == VERSION
        and "classifier_hash" in tree.attrs
        and "samples" in tree.children
    )


def group_faults(
    group: str, variables: Mapping[Any, Any], table: Table, outer: tuple[str, ...] = ()
) -> list[str]:
    """A line for everything in which a group is not as its table has it.

    Parameters
    ----------
    variables
        By name, each with its ``dims`` and ``dtype``: those of a dataset, for example.
    outer
        Dimensions in front of each variable's own: `OUTER`, or none of one unit alone.
    """
    faults = []
    for name, (dims, kind) in table.items():
        if name not in variables:
            if (group, name) not in OPTIONAL:
                faults.append(f"/{group}/{name}: missing")
            continue
        variable = variables[name]
        if variable.dims != (*outer, *dims):
            faults.append(f"/{group}/{name}: dims {variable.dims}, expected {(*outer, *dims)}")
        fits = variable.dtype.kind in "OUT" if kind == "str" else variable.dtype == np.dtype(kind)
        if not fits:
            faults.append(f"/{group}/{name}: dtype {variable.dtype}, expected {kind}")
    return faults


def settings_of(tree: xr.DataTree) -> dict[str, Any]:
    """The settings that a result was made with, as it keeps them; none of what is no result.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> settings_of(synthetic())["steps"]
    12
    """
    kept: dict[str, Any] = json.loads(tree.attrs.get("settings", "{}"))
    return kept


def whole_faults(group: str, data: xr.Dataset) -> list[str]:
    """A line for everything in which a group of `WHOLE` is not as the schema has it."""
    faults = group_faults(group, data.variables, WHOLE[group]) + bare_faults(group, data)
    for name, kind in WHOLE_ATTRIBUTES.get(group, {}).items():
        if not isinstance(data.attrs.get(name), kind):
            value = data.attrs.get(name)
            faults.append(f"/{group}: attribute {name}: expected {kind.__name__}, found {value!r}")
    return faults


def bare_faults(group: str, data: xr.Dataset) -> list[str]:
    """A line for every dimension that should have a coordinate and has none."""
    bare = {str(d) for d in data.dims} - set(BARE) - set(data.coords)
    return [f"/{group}: dimension {d} has no coordinate" for d in sorted(bare)]


def version_fault(version: Any) -> str | None:
    """What to do about a result of another version; None of this one, or where none is given."""
    if version is None or version == VERSION:
        return None
    return (
        f"schema_version {version}: this version reads {VERSION}; make the result again, or open "
        "it with the inversion_kit that wrote it"
    )


def _attribute_faults(attributes: Any) -> list[str]:
    if fault := version_fault(attributes.get("schema_version")):
        return [fault]
    faults = []
    for name, kind in ATTRIBUTES.items():
        value = attributes.get(name)
        numbers = (int, np.integer) if kind is int else (float, np.floating, int)
        if not isinstance(value, str if kind is str else numbers):
            faults.append(f"attribute {name}: expected {kind.__name__}, found {value!r}")
    for name in ("settings", "versions", "judges", "judge_hashes"):
        try:
            json.loads(attributes.get(name, ""))
        except (TypeError, ValueError):
            faults.append(f"attribute {name}: not JSON")
    return faults


def _unit_group_faults(tree: xr.DataTree, group: str) -> list[str]:
    if group not in tree.children:
        return [] if group in OPTIONAL_GROUPS else [f"/{group}: missing"]
    data = tree[group].to_dataset(inherit=False)
    return [*group_faults(group, data.variables, UNIT[group], OUTER), *bare_faults(group, data)]


def _with_outer(tree: xr.DataTree) -> xr.DataTree:
    """The tree with dimensions that a selection took away; as it is where none is."""
    data_of = {name: tree[name].to_dataset(inherit=False) for name in tree.children}
    gone = {name for name, data in data_of.items() if name in UNIT and set(OUTER) - set(data.dims)}
    if not gone:
        return tree
    for name in gone:
        data = data_of[name]
        kept = [dim for dim in OUTER if dim in data.coords]
        held: dict[str, Any] = {
            str(n): (v.dims, v.values) for n, v in data.coords.items() if n not in UNIT[name]
        }
        held |= {dim: (dim, np.atleast_1d(data[dim].values)) for dim in kept}
        if "label_index" in data.coords:
            held["label_index"] = ("label", np.atleast_1d(data["label_index"].values))
        for n, variable in data.variables.items():  # /samples/feature is a coordinate to xarray
            dims = UNIT[name][str(n)][0] if n in UNIT[name] else ()
            if n not in UNIT[name] or not set(variable.dims) <= {*kept, *dims}:
                continue
            restored = (*kept, *(dim for dim in dims if dim in variable.dims))
            variable = variable.transpose(*(d for d in restored if d in variable.dims))
            if not variable._in_memory:
                array = indexing.LazilyIndexedArray(_Restored(variable, restored))
                held[str(n)] = xr.Variable(restored, array)
            else:
                held[str(n)] = variable.set_dims(restored)
        data_of[name] = xr.Dataset(held).set_coords([n for n in held if n in data.coords])
    made = xr.DataTree.from_dict({f"/{name}": data for name, data in data_of.items()})
    made.attrs = dict(tree.attrs)
    return made


class _Restored(BackendArray):
    """A variable on disk with dimensions of length 1 that it had before a selection."""

    def __init__(self, variable: xr.Variable, dims: tuple[str, ...]) -> None:
        self.variable, self.dims = variable, dims
        self.shape = tuple(variable.sizes.get(dim, 1) for dim in dims)
        self.dtype = variable.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        both = list(zip(self.dims, key, strict=True))
        values = self.variable[{d: k for d, k in both if d in self.variable.dims}].values
        axis = 0
        for dim, k in both:
            if isinstance(k, int | np.integer):
                continue
            if dim not in self.variable.dims:
                values = np.expand_dims(values, axis)[(slice(None),) * axis + (k,)]
            axis += 1
        return values


def _class_faults(tree: xr.DataTree) -> list[str]:
    names = tree["samples"]["class"].values
    return [
        f"/{group}: class names differ from those of /samples"
        for group in UNIT
        if group in tree.children
        if "class" in tree[group].dims and not np.array_equal(tree[group]["class"].values, names)
    ]


def _outer_faults(tree: xr.DataTree) -> Iterator[str]:
    """Labels, arms and seeds are the same in every group, and labels are classes."""
    names = tree["samples"]["class"].values
    for group in UNIT:
        if group not in tree.children:
            continue
        data = tree[group].to_dataset(inherit=False)
        if "label_index" not in data.coords or data["label_index"].dims != ("label",):
            yield f"/{group}: no coordinate label_index along label"
            continue
        at = data["label_index"].values
        inside = (at >= 0) & (at < len(names))
        if not inside.all() or not np.array_equal(names[at], data["label"].values):
            yield f"/{group}: labels are not the classes at their label_index"
        for dim in OUTER:
            if not np.array_equal(data[dim].values, tree["samples"][dim].values):
                yield f"/{group}: {dim} differs from that of /samples"


def _noise_faults(tree: xr.DataTree) -> list[str]:
    """Training, validation and samples share no noise; only results in memory are looked at."""
    seeds = [
        tree[group]["noise_seed"].variable for group in ("trajectory", "validation", "samples")
    ]
    if not all(variable._in_memory for variable in seeds):
        return []  # each unit's own were checked when it was stored
    return noise_faults(*(variable.values for variable in seeds))


def noise_faults(train: np.ndarray, held_out: np.ndarray, test: np.ndarray) -> list[str]:
    """A line where noise seeds of training, validation and final samples overlap; -1 is none."""
    a, b, c = ({int(v) for v in np.unique(part)} - {-1} for part in (train, held_out, test))
    return (
        ["noise seeds of training, validation and samples overlap"]
        if a & b or a & c or b & c
        else []
    )


def _ledger_faults(data: xr.Dataset) -> Iterator[str]:
    """Queries only grow, and a unit's entries end where the filling up begins."""
    queries = data["queries"].values
    for place in np.ndindex(queries.shape[:3]):
        row = queries[place]
        used = row[row >= 0]
        if (row[: len(used)] < 0).any() or (np.diff(used) <= 0).any():
            where = ", ".join(str(data[d].values[i]) for d, i in zip(OUTER, place, strict=True))
            yield f"/ledger/queries: those of {where} do not grow"
