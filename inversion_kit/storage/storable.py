"""What a file of a result can hold and give back equal; all else is refused by its name.

zarr and netCDF each have their own idea of an attribute: NaN makes a zarr store unreadable, netCDF
turns a list into an array. Plain text and finite numbers of a result stand in its file as they
are, so that other tools read them; all else is one JSON text beside them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from inversion_kit.errors import InputError
from inversion_kit.plain import in_utf8

CODED = "json_attributes"
"""Attribute of a root, group or variable: the JSON of its attributes that are not beside it."""
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TAKEN = {
    *("files", "files_sha256", "coordinates", CODED),
    *("CLASS", "NAME", "DIMENSION_LIST", "DIMENSION_LABELS", "REFERENCE_LIST"),
}
"""Names of attributes that the files, or xarray on reading them, use themselves."""
_KINDS = "biufMmOUT"
_NAME = re.compile(r"(?!__|\.{1,2}$|zarr\.json$)[^/\0]+")
_ADVICE = {
    "tuple": "list(...)",
    "set": "sorted(...)",
    "frozenset": "sorted(...)",
    "bytes": "text, .decode() or .hex()",
    "ndarray": ".tolist()",
    "datetime": ".isoformat()",
    "date": ".isoformat()",
    "Timestamp": ".isoformat()",
}


def storable(tree: xr.DataTree) -> xr.DataTree:
    """A result as its file has it: attributes packed, no encodings; the values are the same.

    Raises
    ------
    InputError
        An attribute, a variable, a name or a group that no file would give back equal; the
        message names it.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> tree = synthetic()
    >>> tree.attrs["accuracy"] = float("nan")
    >>> unpacked(storable(tree).attrs)["accuracy"]
    nan
    """
    if tree.to_dataset(inherit=False).variables:
        name = next(iter(tree.to_dataset(inherit=False).variables))
        raise InputError(f"/{name}: a variable beside the groups is not stored; put it in a group")
    groups = {}
    for group, node in tree.children.items():
        if node.children:
            raise InputError(
                f"/{group}/{next(iter(node.children))}: groups in a group are not stored; put it "
                "beside the others"
            )
        data = node.to_dataset(inherit=False).drop_encoding()
        _check_name(group, f"/{group}")
        for name in [*data.variables, *data.dims]:
            _check_name(name, f"/{group}/{name}")
        for name, variable in data.variables.items():
            _check_values(variable, f"/{group}/{name}")
            if isinstance(data.indexes.get(name), pd.MultiIndex):
                raise InputError(f"/{group}/{name}: a MultiIndex; use reset_index({name!r})")
            variable.attrs = packed(variable.attrs, f"/{group}/{name}", beside=False)
        data.attrs = packed(data.attrs, f"/{group}", beside=False)
        groups[f"/{group}"] = data
    made = xr.DataTree.from_dict(groups)
    made.attrs = packed(tree.attrs, "/")
    return made


def packed(attributes: Mapping[Any, Any], where: str, *, beside: bool = True) -> dict[str, Any]:
    """Attributes as zarr and netCDF both give them back.

    Parameters
    ----------
    where
        Whose they are, for messages.
    beside
        Whether plain text and numbers stand beside the JSON, for other tools: of variables
        xarray would take some for instructions.

    Raises
    ------
    InputError
        One would not come back equal.

    Examples
    --------
    >>> packed({"a": 1, "b": None}, "/")
    {'a': 1, 'json_attributes': '{"b": null}'}
    """
    plain, coded = {}, {}
    for name, value in attributes.items():
        if not isinstance(name, str):
            raise InputError(f"attribute {name!r} of {where}: its name must be text")
        called = f"attribute {name!r} of {where}"
        held = _json(value, called)
        if beside and _stands_beside(name, held):
            plain[name] = held
        else:
            coded[name] = held
    return {**plain, **({CODED: json.dumps(coded)} if coded else {})}


def unpacked(attributes: Mapping[Any, Any], *, beside: bool = True) -> dict[str, Any]:
    """The attributes that `packed` was given."""
    plain = {
        name: value.item() if isinstance(value, np.generic) else value  # numbers of netCDF
        for name, value in attributes.items()
        if beside and name not in _TAKEN
    }
    return {**plain, **json.loads(attributes.get(CODED, "{}"))}


def _stands_beside(name: str, value: Any) -> bool:
    if not _PLAIN_NAME.fullmatch(name) or name in _TAKEN or isinstance(value, bool):
        return False
    if isinstance(value, str):
        return bool(value) and "\0" not in value and in_utf8(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, float) and math.isfinite(value)


def _json(value: Any, called: str) -> Any:
    """The value as JSON gives it back equal; NaN and infinity are Python's own words in it."""
    try:
        held = _plain(value)
        json.dumps(held)  # Python has a limit of digits
    except (TypeError, ValueError, RecursionError) as error:
        kind = type(error.args[0] if isinstance(error, TypeError) else value).__name__
        raise InputError(
            f"{called}: {_shown(value)} of the kind {kind} would not come back equal; give "
            f"{_ADVICE.get(kind, 'text, such as str(...)')}; kept are text, numbers, True, False, "
            "None, and lists and dicts of these with text as keys"
        ) from error
    return held


def _shown(value: Any) -> str:
    try:
        return f"{value!r:.60}"
    except (ValueError, RecursionError):  # of a number of too many digits
        return "a value"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and not isinstance(value, np.generic):
        return float(value)
    if type(value) is list:
        return [_plain(part) for part in value]
    if type(value) is dict:
        if odd := [key for key in value if not isinstance(key, str)]:
            raise ValueError(odd[0])
        return {str.__str__(key): _plain(part) for key, part in value.items()}
    raise TypeError(value)


def _check_name(name: Any, where: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not in_utf8(name):
        raise InputError(
            f"{where!r}: groups, variables and dimensions are named by text without '/' and NUL "
            "that does not begin with '__'"
        )


def _check_values(variable: xr.Variable, where: str) -> None:
    """Refuse kinds that no file has, and objects that are no text; what is on disk is text."""
    kind = variable.dtype.kind
    if kind not in _KINDS or (variable.dtype.itemsize > 8 and kind == "f"):
        raise InputError(
            f"{where}: {variable.dtype} is not stored; give whole numbers, floats of at most 64 "
            "bits, booleans, times or text"
        )
    if kind not in "OUT" or not variable._in_memory:
        return
    for at, text in np.ndenumerate(variable.values):
        if not isinstance(text, str):
            raise InputError(
                f"{where}{list(at)}: {_shown(text)} of the kind {type(text).__name__} among text; "
                "give text alone, with .astype(str), or numbers alone, with .astype(float)"
            )
        if not in_utf8(text):
            raise InputError(f"{where}{list(at)}: {text!r:.60} holds what UTF-8 cannot")
