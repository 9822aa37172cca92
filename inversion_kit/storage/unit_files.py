"""Groups as a folder of files that is never changed once it is there: a unit, for example.

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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.errors import InputError, SchemaError, StoreError
from inversion_kit.plain import in_utf8
from inversion_kit.storage import durable
from inversion_kit.storage.units import KINDS, Table, Variable, table

ARRAYS, TABLE, UNIT = "arrays.safetensors", "variables.json", "unit.json"
LIMITS = {ARRAYS: 8 * 2**30, TABLE: 2**20, UNIT: 256 * 2**20}
"""The most bytes that a file of a unit may have."""
_SAFETENSORS = {"f4": "F32", "u1": "U8", "i8": "I64", "b1": "BOOL", "str": "I32"}
_MOST_SIDES = 8


def write(
    parent: Path, name: str, groups: Mapping[str, xr.Dataset], attributes: Mapping[str, Any]
) -> bool:
    """Write groups as the folder ``parent / name``; it appears whole or not at all.

    What they are is not checked here, see `inversion_kit.storage.units.check_groups`.

    Returns
    -------
    bool
        False where the folder is there already; the new one is dropped.

    Raises
    ------
    SchemaError
        A variable is of a kind that no result has.
    InputError
        The attributes are not JSON, or a text is not UTF-8.
    StoreError
        The folder cannot be written.
    """
    from safetensors.numpy import save

    texts: dict[str, int] = {}
    arrays: dict[str, np.ndarray] = {}
    described = table(groups)
    for group, variables in described.items():
        for variable, about in variables.items():
            values = groups[group].variables[variable].values
            dtype: Any = np.dtype("<i4" if about.kind == "str" else about.kind).newbyteorder("<")
            if about.kind == "str":
                codes = [texts.setdefault(str(text), len(texts)) for text in values.ravel()]
                values = np.array(codes, dtype).reshape(values.shape)
            # ascontiguousarray makes one dimension of none
            arrays[f"{group}/{variable}"] = np.ascontiguousarray(values, dtype).reshape(about.shape)
    if not in_utf8(*texts):
        raise InputError(f"groups: a text of {name} holds what UTF-8 cannot (a lone surrogate)")
    durable.encode("attributes", dict(attributes))
    unit = durable.dump({"attributes": dict(attributes), "texts": list(texts)})
    entries = {g: {n: v._asdict() for n, v in each.items()} for g, each in described.items()}
    files = {ARRAYS: save(arrays), TABLE: durable.dump(entries), UNIT: unit}
    for file, limit in LIMITS.items():
        if len(files[file]) > limit:
            raise StoreError(f"{file} of {name} has {len(files[file])} bytes, at most {limit} fit")
    return durable.write_folder(parent, name, files, {"seconds": seconds(attributes)})


def read(folder: Path) -> tuple[dict[str, xr.Dataset], dict[str, Any]]:
    """The groups and attributes of a folder; every file is checked against its sha256 first.

    Raises
    ------
    StoreError
        A file is missing or damaged; the message names it.
    SchemaError
        Variables do not fit together.
    """
    verify(folder)
    held = read_table(folder, durable.manifest(folder))
    attributes, texts = read_texts(folder)
    groups = {}
    for group, variables in held.items():
        values = {
            name: (about.dims, read_array(folder, group, name, about, texts))
            for name, about in variables.items()
        }
        try:
            groups[group] = xr.Dataset(
                {name: v for name, v in values.items() if not variables[name].coordinate},
                coords={name: v for name, v in values.items() if variables[name].coordinate},
            )
        except (ValueError, TypeError) as error:
            raise SchemaError(f"path={str(folder / TABLE)!r}, /{group}: {error}") from error
    return groups, attributes


def verify(folder: Path) -> None:
    """Check the arrays of a unit against their sha256, without holding them in memory."""
    durable.verify(folder / ARRAYS, LIMITS[ARRAYS])


def read_table(folder: Path, manifest: dict[str, Any]) -> Table:
    """The table of variables of a unit; ``manifest`` is the folder's."""
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
    """The attributes and all texts of a unit, these as an object array."""
    path = folder / UNIT
    content = durable.parse(durable.read_folder(folder, {UNIT: LIMITS[UNIT]})[UNIT], path)
    parts = content if isinstance(content, dict) else {}
    listed, attributes = parts.get("texts"), parts.get("attributes")
    if (
        not isinstance(listed, list)
        or not all(isinstance(text, str) for text in listed)
        or not isinstance(attributes, dict)
        or not in_utf8(*listed)
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
    key: tuple[slice, ...] | None = None,
) -> np.ndarray:
    """A variable, or a block of it: ``key`` has a slice of step 1 for every dimension.

    Raises
    ------
    StoreError
        arrays.safetensors does not hold what ``variable`` says.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / ARRAYS
    try:
        with safe_open(path, "numpy") as file:
            block = file.get_slice(f"{group}/{name}")
            held = tuple(block.get_shape()), block.get_dtype()
            wanted = variable.shape, _SAFETENSORS[variable.kind]
            if held != wanted:
                raise StoreError(
                    f"path={str(path)!r}, {group}/{name}: holds {held}, {TABLE} says {wanted}"
                )
            whole = not key or 0 in variable.shape
            values: np.ndarray = file.get_tensor(f"{group}/{name}") if whole else block[key]
    except StoreError:
        raise
    except (OSError, SafetensorError, TypeError, ValueError, OverflowError) as error:
        raise StoreError(f"path={str(path)!r}, {group}/{name} cannot be read: {error}") from error
    values = values[key] if whole and key else values
    if variable.kind != "str":
        return values
    if values.size and not (values.min() >= 0 and values.max() < len(texts)):
        raise StoreError(f"path={str(path)!r}, {group}/{name}: a text that {UNIT} does not hold")
    return np.asarray(texts[values], dtype=object)


def _variable(entry: Any) -> Variable:
    about = Variable(**entry)
    dims: Any = about.dims
    shape: Any = about.shape
    fits = (
        isinstance(dims, list)
        and isinstance(shape, list)
        and len(dims) == len(shape) <= _MOST_SIDES
        and len(set(dims)) == len(dims)
        and all(isinstance(dim, str) for dim in dims)
        and all(type(n) is int and 0 <= n < 2**31 for n in shape)
        and math.prod(shape) < 2**40
        and about.kind in KINDS
        and isinstance(about.coordinate, bool)
    )
    if not fits:
        raise ValueError(f"no variable: {str(entry)[:200]}")
    return about._replace(dims=tuple(dims), shape=tuple(shape))
