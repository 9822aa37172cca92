"""A whole result: put together, checked, and recognised."""

from __future__ import annotations

import json
from typing import Any

import xarray as xr

from inversion_kit.errors import SchemaError
from inversion_kit.schema.checks import (
    agreement_faults,
    attribute_faults,
    unit_group_faults,
    whole_faults,
)
from inversion_kit.schema.dimensions import with_outer
from inversion_kit.schema.tables import UNIT, VERSION, WHOLE


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
    faults = attribute_faults(tree.attrs)
    if not faults:
        tree = with_outer(tree)
        faults += [fault for group in UNIT for fault in unit_group_faults(tree, group)]
        for group in WHOLE:
            if group in tree.children:
                data = tree[group].to_dataset(inherit=False)
                faults += whole_faults(group, data)
    if not faults:
        faults += agreement_faults(tree)
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
