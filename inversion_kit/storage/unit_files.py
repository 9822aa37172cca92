"""One unit (label x arm x seed) as a folder of files that is never changed once it is there.

====================  ============================================================================
file                  content
====================  ============================================================================
arrays.safetensors    every variable as ``group/variable``; of text the index into the texts
variables.json        dims, shape and kind of every variable; the same in units of the same shape
unit.json             attributes, and every text once
manifest.json         size and sha256 of the other files; the seconds that the unit took
====================  ============================================================================
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from inversion_kit import schema
from inversion_kit.errors import InputError, SchemaError, StoreError
from inversion_kit.storage import durable

ARRAYS, TABLE, UNIT = "arrays.safetensors", "variables.json", "unit.json"
LIMITS = {ARRAYS: 8 * 2**30, TABLE: 2**20, UNIT: 256 * 2**20}
"""The most bytes that a file of a unit may have."""
NAME_ARM = "name"
"""The arm without a token: its units have /samples alone."""
_COUNTED = ("step", "check", "sample")
"""Dimensions whose coordinate counts from 0."""
_DTYPES = {"f4": "<f4", "u1": "|u1", "i8": "<i8", "str": "<i4"}
_MOST_SIDES = 8


class Variable(NamedTuple):
    """What variables.json says of a variable."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    kind: str
    coordinate: bool


Table = dict[str, dict[str, Variable]]
"""Group, variable, and what variables.json says of it."""


def write(
    parent: Path, name: str, groups: Mapping[str, xr.Dataset], attributes: Mapping[str, Any]
) -> bool:
    """Write a unit; it appears whole or not at all.

    Parameters
    ----------
    parent, name
        The folder is ``parent / name``.
    groups
        Datasets as `schema.UNIT` has them.
    attributes
        Whatever JSON can hold.

    Returns
    -------
    bool
        False where the unit is there already; the new one is dropped.

    Raises
    ------
    SchemaError
        The groups are not those of a unit.
    InputError
        The attributes are not JSON.
    StoreError
        The folder cannot be written.
    """
    validate(groups)
    texts: dict[str, int] = {}
    arrays: dict[str, np.ndarray] = {}
    table: dict[str, dict[str, Any]] = {}
    for group, data in groups.items():
        table[group] = {}
        for variable, found in data.variables.items():
            values = np.asarray(found.values)
            kind = _kind(values)
            if kind == "str":
                codes = [texts.setdefault(str(text), len(texts)) for text in values.ravel()]
                values = np.array(codes, dtype="<i4").reshape(values.shape)
            arrays[f"{group}/{variable}"] = np.ascontiguousarray(
                values, dtype=_DTYPES[kind]
            ).reshape(values.shape)
            table[group][str(variable)] = {
                "dims": list(found.dims),
                "shape": list(found.shape),
                "kind": kind,
                "coordinate": variable in data.coords,
            }
    from safetensors.numpy import save

    if not _in_utf8(texts):
        raise InputError(
            f"groups: a text of unit {name} holds what UTF-8 cannot (a lone surrogate)"
        )
    try:
        described = durable.dump({"attributes": dict(attributes), "texts": list(texts)})
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"attributes={dict(attributes)!r}: not JSON ({error})") from error
    if durable.parse(described, parent / name)["attributes"] != dict(attributes):
        raise InputError(f"attributes={dict(attributes)!r}: keys must be text, sequences lists")
    files = {ARRAYS: save(arrays), TABLE: durable.dump(table), UNIT: described}
    for file, limit in LIMITS.items():
        if len(files[file]) > limit:
            raise StoreError(f"{file} of {name} has {len(files[file])} bytes, at most {limit} fit")
    return durable.write_folder(parent, name, files, {"seconds": seconds(attributes)})


def read(folder: Path) -> tuple[dict[str, xr.Dataset], dict[str, Any]]:
    """The groups and attributes of a unit; every file is checked against its sha256 first.

    Raises
    ------
    StoreError
        A file is missing or damaged; the message names it.
    SchemaError
        What is there is not a unit.
    """
    verify(folder)
    table = read_table(folder, durable.manifest(folder))
    attributes, texts = read_texts(folder)
    groups = {}
    for group, variables in table.items():
        values = {
            name: (
                variable.dims,
                read_array(
                    folder, group, name, variable, texts, (slice(None),) * len(variable.dims)
                ),
            )
            for name, variable in variables.items()
        }
        try:
            groups[group] = xr.Dataset(
                {name: v for name, v in values.items() if not variables[name].coordinate},
                coords={name: v for name, v in values.items() if variables[name].coordinate},
            )
        except (ValueError, TypeError) as error:
            raise SchemaError(f"path={str(folder / TABLE)!r}, /{group}: {error}") from error
    validate(groups)
    return groups, attributes


def verify(folder: Path) -> None:
    """Check the arrays of a unit against their sha256, without holding them in memory.

    Raises
    ------
    StoreError
        They are missing or damaged.
    """
    durable.verify_file(folder, ARRAYS, LIMITS[ARRAYS])


def read_table(folder: Path, manifest: dict[str, Any]) -> Table:
    """The table of variables of a unit; ``manifest`` is the folder's.

    Raises
    ------
    StoreError
        variables.json is missing or damaged.
    """
    path = folder / TABLE
    content = durable.parse(durable.checked(path, manifest, LIMITS[TABLE]), path)
    try:
        return {
            str(group): {str(name): _variable(entry) for name, entry in variables.items()}
            for group, variables in content.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StoreError(f"path={str(path)!r} describes no variables: {error!r}") from error


def read_texts(folder: Path) -> tuple[dict[str, Any], np.ndarray]:
    """The attributes and all texts of a unit, these as an object array.

    Raises
    ------
    StoreError
        unit.json is missing or damaged.
    """
    path = folder / UNIT
    content = durable.parse(durable.read_folder(folder, {UNIT: LIMITS[UNIT]})[UNIT], path)
    table = content if isinstance(content, dict) else {}
    listed, attributes = table.get("texts"), table.get("attributes")
    if (
        not isinstance(listed, list)
        or not all(isinstance(text, str) for text in listed)
        or not isinstance(attributes, dict)
        or not _in_utf8(listed)
    ):
        raise StoreError(f"path={str(path)!r} has no attributes and texts")
    texts: np.ndarray = np.empty(len(listed), dtype=object)
    texts[:] = listed
    return attributes, texts


def seconds(note: Mapping[str, Any]) -> float:
    """Seconds that a unit took, by its attributes or its manifest's note; 0 where it has none."""
    value = note.get("seconds")
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e12 else 0.0


def read_array(
    folder: Path,
    group: str,
    name: str,
    variable: Variable,
    texts: np.ndarray,
    key: tuple[slice, ...],
) -> np.ndarray:
    """A block of a variable; ``key`` has a slice of step 1 for every dimension.

    Raises
    ------
    StoreError
        arrays.safetensors does not hold what unit.json says.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / ARRAYS
    try:
        with safe_open(path, "numpy") as file:
            block = file.get_slice(f"{group}/{name}")
            found = tuple(block.get_shape()), block.get_dtype()
            wanted = variable.shape, _SAFETENSORS[variable.kind]
            if found != wanted:
                raise StoreError(
                    f"path={str(path)!r}, {group}/{name}: holds {found}, {TABLE} says {wanted}"
                )
            whole = not key or 0 in variable.shape
            values: np.ndarray = file.get_tensor(f"{group}/{name}") if whole else block[key]
    except (OSError, SafetensorError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"path={str(path)!r}, {group}/{name} cannot be read: {error}") from error
    values = values[key] if whole and key else values
    if variable.kind != "str":
        return values
    if values.size and not (values.min() >= 0 and values.max() < len(texts)):
        raise StoreError(f"path={str(path)!r}, {group}/{name}: a text that {UNIT} does not hold")
    return np.asarray(texts[values], dtype=object)


def validate(groups: Mapping[str, xr.Dataset]) -> None:
    """Check that the groups are those of a unit: `schema.UNIT`, or /samples alone.

    Raises
    ------
    SchemaError
        With every fault found, one a line.
    """
    faults = []
    if set(groups) not in ({"samples"}, set(schema.UNIT)):
        raise SchemaError(
            f"not a unit: groups {sorted(groups)}, expected {sorted(schema.UNIT)} or ['samples']"
        )
    for group, data in groups.items():
        variables = schema.UNIT[group]
        for name, (dims, kind) in variables.items():
            if name not in data:
                if (group, name) not in schema.OPTIONAL:
                    faults.append(f"/{group}/{name}: missing")
                continue
            if data[name].dims != dims:
                faults.append(f"/{group}/{name}: dims {data[name].dims}, expected {dims}")
            if (found := _kind(data[name].values)) != kind:
                faults.append(f"/{group}/{name}: {found}, expected {kind}")
        faults += [f"/{group}/{n}: not in a unit" for n in data.data_vars if n not in variables]
        faults += _coordinate_faults(group, data)
    if not faults:
        faults += _noise_faults(groups)
    if faults:
        raise SchemaError("not a unit of inversion_kit:\n" + "\n".join(faults))


def _coordinate_faults(group: str, data: xr.Dataset) -> list[str]:
    faults = []
    for dim, length in data.sizes.items():
        if dim in schema.BARE:
            continue
        if dim not in data.coords:
            faults.append(f"/{group}: dimension {dim} has no coordinate")
        elif dim in _COUNTED and data[dim].values.tolist() != list(range(length)):
            faults.append(f"/{group}: coordinate {dim} does not count from 0")
    for name, coordinate in data.coords.items():
        if name in schema.UNIT[group]:  # feature has a dimension of its own name
            continue
        if _kind(coordinate.values) not in ("i8", "str"):
            faults.append(f"/{group}: coordinate {name} is {coordinate.dtype}")
        if not set(coordinate.dims) <= set(data.dims) or coordinate.ndim > 1:
            faults.append(f"/{group}: coordinate {name} has dims {coordinate.dims}")
    return faults


def _noise_faults(groups: Mapping[str, xr.Dataset]) -> list[str]:
    train, check, test = (
        set(groups[group]["noise_seed"].values.ravel().tolist()) if group in groups else set()
        for group in ("trajectory", "validation", "samples")
    )
    if check & test or (train - {-1}) & (check | test):
        return ["noise seeds of training, validation and samples overlap"]
    return []


def _in_utf8(texts: Iterable[str]) -> bool:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(values: np.ndarray) -> str:
    """Kind of an array as `schema.UNIT` names them; the dtype's own name where it is none."""
    if values.dtype.kind in "OUT":
        texts = values.ravel().tolist()
        return "str" if all(isinstance(text, str) for text in texts) else str(values.dtype)
    name = f"{values.dtype.kind}{values.dtype.itemsize}"
    return name if name in _DTYPES else str(values.dtype)


def _variable(entry: Any) -> Variable:
    dims, shape, kind = entry["dims"], entry["shape"], entry["kind"]
    fits = (
        isinstance(dims, list)
        and isinstance(shape, list)
        and len(dims) == len(shape) <= _MOST_SIDES
        and len(set(dims)) == len(dims)
        and all(isinstance(dim, str) for dim in dims)
        and all(type(n) is int and 0 <= n < 2**31 for n in shape)
        and math.prod(shape) < 2**40
        and kind in _DTYPES
        and isinstance(entry["coordinate"], bool)
    )
    if not fits:
        raise ValueError(f"no variable: {str(entry)[:200]}")
    return Variable(tuple(dims), tuple(shape), kind, entry["coordinate"])


_SAFETENSORS = {"f4": "F32", "u1": "U8", "i8": "I64", "str": "I32"}
