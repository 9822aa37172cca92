"""Saving a result to a zarr store and opening it again."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from inversion_kit import schema
from inversion_kit.arms import remember
from inversion_kit.errors import InputError, InversionError, StoreError
from inversion_kit.paths import local_path, place_to_write
from inversion_kit.storage import durable
from inversion_kit.storage.assemble import open_audit
from inversion_kit.storage.audit_folder import PLAN
from inversion_kit.storage.comparison import (
    RESULTS,
    TABLES,
    build_comparison,
    is_comparison,
    keep_tables,
    read_tables,
)
from inversion_kit.storage.sealed import (
    ROOT,
    check_digest,
    read_seal,
    seal,
    sealed,
    strangers,
)
from inversion_kit.storage.storable import storable, unpacked

_CODECS = {"bytes", "vlen-utf8", "zstd", "blosc", "gzip", "crc32c", "sharding_indexed", "transpose"}
_MOST_CHUNK = 2**28
"""The most values of a chunk, and of a coordinate."""
_BLOCK = 8 * 2**20
"""Bytes that are read and written at once, where a unit is not larger."""
_PIECE = 16 * 2**20
"""The most bytes of a chunk of zarr, where a row is not larger."""
_TEXT_BYTES = 64
JSON_TEXT = "json_text"
"""Attribute of a netCDF variable whose texts are JSON, since one of them holds a NUL."""


def save(tree: xr.DataTree, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a result as a zarr v3 store; it appears whole or not at all.

    Memory does not grow with the result: it is read and written one block after the other.

    Parameters
    ----------
    tree
        A valid result, or what ``sel`` left of one; or what `inversion_kit.compare` gave, of which
        each result is then a folder of its own.
    path
        Folder to make, by custom ending in ``.zarr``.
    overwrite
        Replace a result that is there. A folder that is no result of this library's, or that
        holds anything else beside one, is never replaced.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    SchemaError
        The tree is not valid.
    InputError
        Something is at ``path`` already, or it must not be replaced; ``path`` is no folder of
        this machine; or an attribute or variable would not come back equal, and is named.
    StoreError
        The folder cannot be written.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> import tempfile
    >>> save(synthetic(), tempfile.mkdtemp() + "/run.zarr").name
    'run.zarr'
    """
    target = free_place(path, overwrite=overwrite)
    if is_comparison(tree):
        return write_new(target, lambda part: _write_comparison(tree, part), overwrite=overwrite)
    tree = storable(schema.validate(tree))

    def fill(part: Path) -> None:
        _write_zarr(tree, part)
        seal(part)

    return write_new(target, fill, overwrite=overwrite)


def open(path: str | os.PathLike[str]) -> xr.DataTree:
    """Open and validate a stored result; arrays are read, and checked, when they are used.

    Parameters
    ----------
    path
        What `save`, `inversion_kit.consolidate` or `inversion_kit.to_netcdf` wrote, or the folder
        of an audit, see `inversion_kit.storage.assemble.open_audit`, or of a comparison.

    Returns
    -------
    xr.DataTree
        The result, lazily: values are read where they are asked for. Of a comparison, its two
        results and what differs.

    Raises
    ------
    StoreError
        No result at ``path``, or it cannot be read: a file that is missing or damaged is named,
        here or when it is first used.
    SchemaError
        What is there is not a valid result, or one of another version.
    InputError
        The path is none of this machine, or h5netcdf is missing, which reads ``.nc`` files.
    """
    source = local_path(path)
    if os.path.isfile(source / PLAN):
        return open_audit(source)
    if os.path.isdir(source / TABLES):
        tables, about = read_tables(source)
        there = {name: open(source / name) for name in RESULTS if (source / name).exists()}
        return build_comparison(there, {}, tables, about)
    try:
        if os.path.isfile(source):
            check_digest(source)
            tree = xr.open_datatree(source, engine="h5netcdf", chunks=None)
        elif os.path.isfile(source / ROOT):
            tree = _open_zarr(source)
        else:
            raise StoreError(
                f"path={str(source)!r}: no stored result there (no zarr.json, no audit.json)"
            )
        groups = {
            f"/{name}": _guarded(name, node.to_dataset(inherit=False), source)
            for name, node in tree.children.items()
        }
        made = xr.DataTree.from_dict(groups)
        made.attrs = unpacked(tree.attrs)
        made = schema.validate(made)
        remember(schema.settings_of(made).get("arms"))
        return made
    except ImportError as error:
        raise InputError("h5netcdf is missing: pip install 'inversion-kit[export]'") from error
    except InversionError:
        raise
    except Exception as error:  # zarr, HDF5, codecs and xarray raise of every kind on damage
        raise StoreError(f"path={str(source)!r} cannot be read: {error}") from error


def free_place(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """The place of a result that is to be written: before any work is done for it.

    Raises
    ------
    InputError
        It is no path of this machine, something is there, or what is there is not replaced.
    StoreError
        Nothing can be written there.
    """
    target = place_to_write(path)
    said: Any = overwrite
    if not isinstance(said, bool):
        raise InputError(f"overwrite={said!r:.80}: expected True or False")
    _check_free(target, overwrite)
    return target


def write_new(target: Path, fill: Callable[[Path], None], *, overwrite: bool = False) -> Path:
    """Let ``fill`` write a file or folder under a temporary name and make that visible.

    Raises
    ------
    InputError
        Something is at ``target`` already; with ``overwrite`` only where it is no result that
        `save` wrote, or holds anything else.
    """
    _check_free(target, overwrite)
    part, old = durable.part_of(target), durable.part_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fill(part)
        _check_free(target, overwrite)
        if target.exists():
            os.rename(target, old)
        os.rename(part, target)
    except StoreError:
        raise
    except OSError as error:
        if old.exists() and not target.exists():
            os.rename(old, target)
        raise durable.trouble(target, error) from error
    finally:
        durable.drop(part)
        durable.drop(old)
    return target


def blocks(variable: xr.Variable) -> Iterator[tuple[slice, ...]]:
    """Keys of the blocks of labels, arms and seeds that are read and written at once."""
    outer = _outer(variable)
    shape = variable.shape[:3]
    for at in np.ndindex(*(math.ceil(n / b) for n, b in zip(shape, outer, strict=True))):
        yield tuple(
            slice(i * b, min((i + 1) * b, n)) for i, b, n in zip(at, outer, shape, strict=True)
        )


def _write_comparison(tree: xr.DataTree, path: Path) -> None:
    """Each result of a comparison as one of its own, and the tables beside them."""
    path.mkdir()
    tables = {
        name: node.to_dataset(inherit=False)
        for name, node in tree.children.items()
        if name not in RESULTS
    }
    for name in tree.children.keys() - tables.keys():
        save(tree[name], path / name)
    keep_tables(path, tables, json.loads(tree.attrs["comparison"]))


def _check_free(target: Path, overwrite: bool) -> None:
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise InputError(f"path={str(target)!r} exists; give another or overwrite=True")
    _check_replaceable(target)


def _check_replaceable(target: Path) -> None:
    """Refuse to replace what is no result of ours, or holds what is none of its files."""
    refused = f"path={str(target)!r} is not a stored result and is not replaced"
    if target.is_symlink() or not (target / ROOT).is_file():
        raise InputError(refused)
    try:
        attributes, files = read_seal(target)
    except StoreError as error:
        raise InputError(f"{refused}: {error}") from error
    if files is None or not {"schema_version", "classifier_hash"} <= attributes.keys():
        raise InputError(f"{refused}: another program wrote it")
    if others := strangers(target, files):
        raise InputError(f"{refused}: it holds {others[0]!r} too; move that away, or give another")


def _write_zarr(tree: xr.DataTree, path: Path) -> None:
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


def _open_zarr(source: Path) -> xr.DataTree:
    known = sealed(source)
    if known is None:
        warnings.warn(
            f"path={str(source)!r} holds no checksums (another program wrote it): a missing chunk "
            "would be read as zeros",
            RuntimeWarning,
            stacklevel=3,
        )
    _check_zarr(source)
    return xr.open_datatree(
        source if known is None else known,  # type: ignore[arg-type]
        engine="zarr",
        consolidated=False,
        chunks=None,
        zarr_format=3,
    )


def _check_zarr(source: Path) -> None:
    """Refuse what would make the libraries below take much memory or run what is no codec."""
    for path in [source / ROOT, *source.glob(f"*/{ROOT}"), *source.glob(f"*/*/{ROOT}")]:
        node = durable.parse(durable.read_file(path, 2**28), path)
        try:
            if node["node_type"] == "array":
                _check_array(node)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise StoreError(f"path={str(path)!r} describes no array: {error!r}") from error


def _check_array(node: dict[str, Any]) -> None:
    shape, chunk = node["shape"], node["chunk_grid"]["configuration"]["chunk_shape"]
    for name, sides in (("shape", shape), ("chunk_shape", chunk)):
        if not all(type(n) is int and 0 <= n < 2**31 for n in sides):
            raise ValueError(f"{name}={sides}")
    if math.prod(chunk) > _MOST_CHUNK or (len(shape) == 1 and shape[0] > _MOST_CHUNK):
        raise ValueError(f"shape={shape}, chunk_shape={chunk}: too large")
    waiting = [*node["codecs"]]
    while waiting:
        codec = waiting.pop()
        if codec["name"] not in _CODECS:
            raise ValueError(f"codec {codec['name']!r}, allowed {sorted(_CODECS)}")
        inner = codec.get("configuration") or {}
        waiting += [*inner.get("codecs", []), *inner.get("index_codecs", [])]


class _Guarded(BackendArray):
    """A variable on disk: text is ``object``, and trouble when a part is used a `StoreError`."""

    def __init__(self, variable: xr.Variable, where: str) -> None:
        self.variable, self.where = variable, where
        self.text = variable.dtype.kind in "OUT"
        self.shape = variable.shape
        self.dtype = np.dtype(object) if self.text else variable.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self.read
        )

    def read(self, key: tuple[Any, ...] = ()) -> np.ndarray:
        """A part of it, or all."""
        try:
            values: np.ndarray = self.variable[key].values
            if not self.text:
                return values
            texts = np.empty(values.shape, dtype=object)
            json_text = JSON_TEXT in self.variable.attrs
            for at, text in np.ndenumerate(values):
                texts[at] = json.loads(text) if json_text else str(text)
            return texts
        except InversionError:
            raise
        except Exception as error:  # zarr, HDF5 and codecs raise of every kind on damage
            raise StoreError(f"path={self.where!r} cannot be read: {error!r}") from error


def _guarded(group: str, data: xr.Dataset, source: Path) -> xr.Dataset:
    """A group with what is of units still on disk, and all else in memory."""
    held: dict[str, Any] = {}
    for name, variable in data.variables.items():
        array = _Guarded(variable, str(source / group / str(name)))
        if name not in schema.UNIT.get(group, {}) or group == "status":
            held[str(name)] = (variable.dims, array.read(), unpacked(variable.attrs, beside=False))
        else:  # kept once it is read, as xarray itself keeps it
            lazy: Any = indexing
            lazy = lazy.MemoryCachedArray(lazy.CopyOnWriteArray(lazy.LazilyIndexedArray(array)))
            held[str(name)] = (variable.dims, lazy, unpacked(variable.attrs, beside=False))
    return xr.Dataset(
        {name: v for name, v in held.items() if name in data.data_vars},
        {name: v for name, v in held.items() if name in data.coords},
        unpacked(data.attrs, beside=False),
    )
