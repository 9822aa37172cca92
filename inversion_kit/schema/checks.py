"""In what a result, or a part of one, is not as the tables have it: a line for every fault."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.schema.tables import (
    ATTRIBUTES,
    BARE,
    OPTIONAL,
    OPTIONAL_GROUPS,
    OUTER,
    UNIT,
    VERSION,
    WHOLE,
    WHOLE_ATTRIBUTES,
    Table,
)


def version_fault(version: Any) -> str | None:
    """What to do about a result of another version; None of this one, or where none is given."""
    if version is None or version == VERSION:
        return None
    return (
        f"schema_version {version}: this version reads {VERSION}; make the result again, or open "
        "it with the inversion_kit that wrote it"
    )


def attribute_faults(attributes: Any) -> list[str]:
    """A line for every attribute of the root that is missing or of another type."""
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


def bare_faults(group: str, data: xr.Dataset) -> list[str]:
    """A line for every dimension that should have a coordinate and has none."""
    bare = {str(d) for d in data.dims} - set(BARE) - set(data.coords)
    return [f"/{group}: dimension {d} has no coordinate" for d in sorted(bare)]


def unit_group_faults(tree: xr.DataTree, group: str) -> list[str]:
    """A line for everything in which a group of `UNIT` is not as the schema has it."""
    if group not in tree.children:
        return [] if group in OPTIONAL_GROUPS else [f"/{group}: missing"]
    data = tree[group].to_dataset(inherit=False)
    return [*group_faults(group, data.variables, UNIT[group], OUTER), *bare_faults(group, data)]


def whole_faults(group: str, data: xr.Dataset) -> list[str]:
    """A line for everything in which a group of `WHOLE` is not as the schema has it."""
    faults = group_faults(group, data.variables, WHOLE[group]) + bare_faults(group, data)
    for name, kind in WHOLE_ATTRIBUTES.get(group, {}).items():
        if not isinstance(data.attrs.get(name), kind):
            value = data.attrs.get(name)
            faults.append(f"/{group}: attribute {name}: expected {kind.__name__}, found {value!r}")
    return faults


def agreement_faults(tree: xr.DataTree) -> Iterator[str]:
    """A line for everything in which groups, each right by itself, do not fit each other."""
    yield from _class_faults(tree)
    yield from _outer_faults(tree)
    yield from _noise_faults(tree)
    if "ledger" in tree.children:
        yield from _ledger_faults(tree["ledger"].to_dataset(inherit=False))


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
