"""A stored result opened lazily: what files claim is checked first, trouble is a `StoreError`."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from inversion_kit import schema
from inversion_kit.errors import InversionError, StoreError
from inversion_kit.storage import durable
from inversion_kit.storage.sealed import ROOT, sealed
from inversion_kit.storage.storable import unpacked

_CODECS = {"bytes", "vlen-utf8", "zstd", "blosc", "gzip", "crc32c", "sharding_indexed", "transpose"}
_MOST_CHUNK = 2**28
"""The most values of a chunk, and of a coordinate."""
JSON_TEXT = "json_text"
"""Attribute of a netCDF variable whose texts are JSON, since one of them holds a NUL."""


def open_zarr(source: Path) -> xr.DataTree:
    """A zarr store, its chunks held by its checksums; one without any is opened with a warning."""
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


def guarded(group: str, data: xr.Dataset, source: Path) -> xr.Dataset:
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
