"""Saving a result to a zarr store and opening it again."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from inversion_kit import schema
from inversion_kit.errors import InputError, InversionError, StoreError
from inversion_kit.storage import durable
from inversion_kit.storage.audit_folder import PLAN
from inversion_kit.storage.lazy import open_audit
from inversion_kit.storage.sealed import FILES, OWN, check_digest, seal, sealed

_CODECS = {"bytes", "vlen-utf8", "zstd", "blosc", "gzip", "crc32c", "sharding_indexed", "transpose"}
_MOST_CHUNK = 2**28
"""The most values of a chunk, and of a coordinate."""


def save(tree: xr.DataTree, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a result as a zarr store; it appears whole or not at all.

    Parameters
    ----------
    tree
        A valid result.
    path
        Folder to make, by custom ending in ``.zarr``.
    overwrite
        Replace a result that is there. Anything that is not a result is never replaced.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    SchemaError
        The tree is not valid.
    InputError
        Something is at ``path`` already.
    StoreError
        The folder cannot be written.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> import tempfile
    >>> save(synthetic_run(), tempfile.mkdtemp() + "/run.zarr").name
    'run.zarr'
    """
    schema.validate(tree)
    target = Path(path)
    if os.path.lexists(target):
        if not overwrite:
            raise InputError(f"path={str(target)!r} exists; give another or overwrite=True")
        if not (target / "zarr.json").is_file():
            raise InputError(f"path={str(target)!r} is not a stored result and is not replaced")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".saving-", dir=target.parent))
    except OSError as error:
        raise StoreError(f"path={str(target)!r} cannot be written: {error}") from error
    try:
        _convert_text(tree, "U", _variable).to_zarr(part / "new", zarr_format=3, consolidated=False)
        seal(part / "new")
        if target.exists():
            os.replace(target, part / "old")
        os.replace(part / "new", target)
    except OSError as error:
        if (part / "old").exists() and not target.exists():
            os.replace(part / "old", target)
        raise StoreError(f"path={str(target)!r} cannot be written: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def open(path: str | os.PathLike[str]) -> xr.DataTree:
    """Open and validate a stored result; arrays are read, and checked, when they are used.

    Parameters
    ----------
    path
        What `save` or `inversion_kit.consolidate` wrote, or the folder of an audit, see
        `inversion_kit.storage.lazy.open_audit`.

    Raises
    ------
    StoreError
        No result at ``path``, or it cannot be read: a file that is missing or damaged is named,
        here or when it is first used.
    SchemaError
        What is there is not a valid result.
    """
    source = Path(path)
    if os.path.isfile(source / PLAN):
        return open_audit(source)
    if os.path.isfile(source):
        return _open_netcdf(source)
    if not os.path.isfile(source / "zarr.json"):
        raise StoreError(
            f"path={str(source)!r}: no stored result there (no zarr.json, no audit.json)"
        )
    known = sealed(source)
    if known is None:
        warnings.warn(
            f"path={str(source)!r} holds no checksums (an earlier version wrote it, or another "
            "program): a missing chunk would be read as zeros",
            RuntimeWarning,
            stacklevel=2,
        )
    _check_zarr(source)
    try:
        tree = xr.open_datatree(
            source if known is None else known,  # type: ignore[arg-type]
            engine="zarr",
            consolidated=False,
            chunks=None,
            zarr_format=3,
        )
        for own in (FILES, OWN):
            tree.attrs.pop(own, None)
        audit = tree.attrs.get("kind") == "audit"  # its texts are many: they stay on disk
        tree = _guarded(_convert_text(tree, "OT", _fixed, coordinates_only=audit), source)
        return schema.validate(tree)
    except InversionError:
        raise
    except Exception as error:  # zarr, its codecs and xarray raise of every kind on damage
        raise StoreError(f"path={str(source)!r} cannot be read: {error}") from error


def _check_zarr(source: Path) -> None:
    """Refuse what would make the libraries below take much memory or run what is no codec."""
    for path in [source / "zarr.json", *source.glob("*/zarr.json"), *source.glob("*/*/zarr.json")]:
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
    """A variable on disk whose trouble, when a part of it is used, is a `StoreError`."""

    def __init__(self, variable: xr.Variable, where: str) -> None:
        self.variable, self.where = variable, where
        self.shape, self.dtype = variable.shape, variable.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        try:
            return self.variable[key].values
        except InversionError:
            raise
        except Exception as error:  # zarr and its codecs raise of every kind on damage
            raise StoreError(f"path={self.where!r} cannot be read: {error!r}") from error


def _lazy(variable: xr.Variable, where: str) -> Any:
    """A variable's data behind `_Guarded`, kept once they are read, as xarray itself keeps them."""
    array: Any = indexing.LazilyIndexedArray(_Guarded(variable, where))
    return indexing.MemoryCachedArray(indexing.CopyOnWriteArray(array))


def _guarded(tree: xr.DataTree, source: Path) -> xr.DataTree:
    """The tree with variables that are still on disk behind `_Guarded`."""
    for node in tree.subtree:
        where = source / node.path.lstrip("/")
        data = node.to_dataset(inherit=False)
        there = {n: v for n, v in data.variables.items() if not v._in_memory}
        safe = {n: (v.dims, _lazy(v, str(where / str(n))), v.attrs) for n, v in there.items()}
        node.dataset = data.assign(
            {n: v for n, v in safe.items() if n in data.data_vars}
        ).assign_coords({n: v for n, v in safe.items() if n in data.coords})
    return tree


def _open_netcdf(source: Path) -> xr.DataTree:
    try:
        check_digest(source)
        tree = xr.open_datatree(source, engine="h5netcdf", chunks=None)
        return schema.validate(tree.map_over_datasets(_from_json_text))
    except ImportError as error:
        raise InputError("h5netcdf is missing: pip install 'inversion-kit[export]'") from error
    except InversionError:
        raise
    except Exception as error:  # HDF5 and xarray raise of every kind on what is none of ours
        raise StoreError(f"path={str(source)!r} cannot be read: {error}") from error


def _from_json_text(data: xr.Dataset) -> xr.Dataset:
    """Text that `inversion_kit.to_netcdf` wrote as JSON, since HDF5 holds no NUL."""
    changed = {}
    for name, variable in data.variables.items():
        if "json_text" in variable.attrs:
            texts = np.empty(variable.size, dtype=object)
            texts[:] = [json.loads(text) for text in variable.values.ravel()]
            changed[name] = (variable.dims, texts.reshape(variable.shape))
    return data.assign({n: v for n, v in changed.items() if n in data.data_vars}).assign_coords(
        {n: v for n, v in changed.items() if n in data.coords}
    )


def _convert_text(
    tree: xr.DataTree,
    kinds: str,
    convert: Callable[[np.ndarray], np.ndarray],
    *,
    coordinates_only: bool = False,
) -> xr.DataTree:
    """Convert every variable and coordinate whose dtype is of one of the kinds."""

    def on_dataset(data: xr.Dataset) -> xr.Dataset:
        text = {
            name: (v.dims, convert(v.values))
            for name, v in (data.coords if coordinates_only else data.variables).items()
            if v.dtype.kind in kinds
        }
        return data.assign({n: v for n, v in text.items() if n in data.data_vars}).assign_coords(
            {n: v for n, v in text.items() if n in data.coords}
        )

    return tree.map_over_datasets(on_dataset)


def _fixed(text: np.ndarray) -> np.ndarray:
    """Fixed-width text, as results hold it in memory; versions of zarr differ in what they give.

    Text with NULs at its end stays an object: fixed width would lose them.
    """
    listed = np.array(text.tolist(), dtype=object).reshape(text.shape)
    fixed = listed.astype(str)
    return fixed if (fixed == listed).all() else listed


def _variable(text: np.ndarray) -> np.ndarray:
    """Variable-length text, the one kind that zarr v3 specifies."""
    return text.astype(np.dtypes.StringDType())
