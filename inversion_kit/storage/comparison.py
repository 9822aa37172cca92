"""Two results and what was compared of them: one tree, and its tables in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit import schema
from inversion_kit.plain import as_data
from inversion_kit.storage import durable, unit_files

RESULTS = ("a", "b", "a_not_b", "b_not_a")
"""Groups that are results each; the first two are always there."""
TABLES = "tables"
"""Folder of the other groups."""
_KIND = {"f": "f4", "i": "i8", "u": "u1", "b": "?"}


def build_comparison(
    results: Mapping[str, xr.DataTree],
    groups: Mapping[str, Mapping[str, xr.Dataset]],
    tables: Mapping[str, xr.Dataset],
    about: Mapping[str, Any],
) -> xr.DataTree:
    """One tree of them all.

    Parameters
    ----------
    results
        By their names of `RESULTS`.
    groups
        More groups of some results: their findings.
    tables
        What was compared.
    about
        Attribute ``comparison``, as JSON.
    """
    parts = {f"/{name}": _plain(data) for name, data in tables.items()}
    for name, tree in results.items():
        held = {group: node.to_dataset(inherit=False) for group, node in tree.children.items()}
        held |= dict(groups.get(name, {}))
        parts |= {f"/{name}/{group}": data for group, data in held.items()}
    made = xr.DataTree.from_dict(parts)
    made.attrs = {"schema_version": schema.VERSION, "comparison": json.dumps(about)}
    for name, tree in results.items():
        made[name].attrs = dict(tree.attrs)
    return made


def is_comparison(tree: Any) -> bool:
    """Whether a tree is one of `build_comparison`.

    Examples
    --------
    >>> is_comparison(xr.DataTree())
    False
    """
    return isinstance(tree, xr.DataTree) and "comparison" in tree.attrs


def keep_tables(place: Path, tables: Mapping[str, xr.Dataset], about: Mapping[str, Any]) -> None:
    """Write what was compared into the folder of the results, in the place of an earlier one.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    attributes = {name: as_data(dict(data.attrs)) for name, data in tables.items()}
    small = {name: _plain(data) for name, data in tables.items()}
    durable.discard(place / TABLES)
    unit_files.write(place, TABLES, small, {"comparison": dict(about), "attributes": attributes})


def read_tables(place: Path) -> tuple[dict[str, xr.Dataset], dict[str, Any]]:
    """What `keep_tables` wrote: the tables and what is said about them.

    Raises
    ------
    StoreError
        A file is missing or damaged.
    """
    tables, kept = unit_files.read(place / TABLES)
    for name, attributes in kept["attributes"].items():
        known = {key: np.nan if value is None else value for key, value in attributes.items()}
        tables[name].attrs = known
    return tables, kept["comparison"]


def _plain(data: xr.Dataset) -> xr.Dataset:
    """With numbers of the kinds that files have; images and texts are so already."""
    return data.map(_as, keep_attrs=True).assign_coords({n: _as(v) for n, v in data.coords.items()})


def _as(values: xr.DataArray) -> xr.DataArray:
    kind = values.dtype.kind
    return values.astype(_KIND[kind]) if kind in _KIND else values.astype(np.dtype(object))
