"""A result written as zarr, block by block: memory does not grow with it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit import schema

_BLOCK = 8 * 2**20
"""Bytes that are read and written at once, where a unit is not larger."""
_PIECE = 16 * 2**20
"""The most bytes of a chunk of zarr, where a row is not larger."""
_TEXT_BYTES = 64


def write_zarr(tree: xr.DataTree, path: Path) -> None:
    """Coordinates and groups of the whole by xarray, variables of units block by block."""
    import zarr

    root = zarr.open_group(path, mode="w-", zarr_format=3, attributes=dict(tree.attrs))
    for group in tree.children:
        data = tree[group].to_dataset(inherit=False)
        large = [name for name in schema.UNIT.get(group, ()) if name in data.variables]
        small = data.drop_vars(large)
        texts = {
            name: (v.dims, v.values.astype(np.dtypes.StringDType()), v.attrs)
            for name, v in small.variables.items()
            if v.dtype.kind in "OUT"
        }
        small = small.assign_coords({n: v for n, v in texts.items() if n in small.coords})
        small = small.assign({n: v for n, v in texts.items() if n in small.data_vars})
        small.to_zarr(path, group=group, mode="a", zarr_format=3, consolidated=False)
        for name in large:
            _write_array(root[group], name, data.variables[name])


def blocks(variable: xr.Variable) -> Iterator[tuple[slice, ...]]:
    """Keys of the blocks of labels, arms and seeds that are read and written at once."""
    outer = _outer(variable)
    shape = variable.shape[:3]
    for at in np.ndindex(*(math.ceil(n / b) for n, b in zip(shape, outer, strict=True))):
        yield tuple(
            slice(i * b, min((i + 1) * b, n)) for i, b, n in zip(at, outer, shape, strict=True)
        )


def _write_array(group: Any, name: str, variable: xr.Variable) -> None:
    """Make an array of one chunk or shard a block, and fill it block by block."""
    text = variable.dtype.kind in "OUT"
    dtype = np.dtypes.StringDType() if text else variable.dtype
    inner = variable.shape[3:]
    unit = _unit_bytes(variable)
    block = tuple(max(1, n) for n in (*_outer(variable), *inner))
    chunks, shards = block, None
    if unit * math.prod(variable.shape[1:3]) > _BLOCK and not text:
        # a unit can be read alone, and a few rows of it
        rows = max(1, min(inner[0], _PIECE * inner[0] // max(unit, 1)))
        chunks = (1, 1, 1, rows, *block[4:])
        shards = (*block[:3], math.ceil(inner[0] / rows) * rows, *block[4:])
    array = group.create_array(
        name,
        shape=variable.shape,
        dtype=dtype,
        chunks=chunks,
        shards=shards,
        dimension_names=variable.dims,
        attributes=dict(variable.attrs),
        fill_value="" if text else np.zeros((), variable.dtype)[()],
    )
    for key in blocks(variable):
        array[key] = variable[key].values.astype(dtype)


def _unit_bytes(variable: xr.Variable) -> int:
    text = variable.dtype.kind in "OUT"
    return (_TEXT_BYTES if text else variable.dtype.itemsize) * math.prod(variable.shape[3:])


def _outer(variable: xr.Variable) -> tuple[int, int, int]:
    """How many labels, arms and seeds are written at once."""
    labels, arms, seeds = variable.shape[:3]
    unit = _unit_bytes(variable)
    if unit > _BLOCK:
        return 1, 1, 1
    most = _BLOCK // max(unit * arms * seeds, 1)
    return max(1, min(labels, most)), max(1, arms), max(1, seeds)
