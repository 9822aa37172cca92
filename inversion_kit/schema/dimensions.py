"""Dimensions that a selection took away, put back: label, arm and seed of one unit alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from inversion_kit.schema.tables import OUTER, UNIT


def with_outer(tree: xr.DataTree) -> xr.DataTree:
    """The tree with dimensions that a selection took away; as it is where none is."""
    data_of = {name: tree[name].to_dataset(inherit=False) for name in tree.children}
    gone = {name for name, data in data_of.items() if name in UNIT and set(OUTER) - set(data.dims)}
    if not gone:
        return tree
    for name in gone:
        data = data_of[name]
        kept = [dim for dim in OUTER if dim in data.coords]
        held: dict[str, Any] = {
            str(n): (v.dims, v.values) for n, v in data.coords.items() if n not in UNIT[name]
        }
        held |= {dim: (dim, np.atleast_1d(data[dim].values)) for dim in kept}
        if "label_index" in data.coords:
            held["label_index"] = ("label", np.atleast_1d(data["label_index"].values))
        for n, variable in data.variables.items():  # /samples/feature is a coordinate to xarray
            dims = UNIT[name][str(n)][0] if n in UNIT[name] else ()
            if n not in UNIT[name] or not set(variable.dims) <= {*kept, *dims}:
                continue
            restored = (*kept, *(dim for dim in dims if dim in variable.dims))
            variable = variable.transpose(*(d for d in restored if d in variable.dims))
            if not variable._in_memory:
                array = indexing.LazilyIndexedArray(_Restored(variable, restored))
                held[str(n)] = xr.Variable(restored, array)
            else:
                held[str(n)] = variable.set_dims(restored)
        data_of[name] = xr.Dataset(held).set_coords([n for n in held if n in data.coords])
    made = xr.DataTree.from_dict({f"/{name}": data for name, data in data_of.items()})
    made.attrs = dict(tree.attrs)
    return made


class _Restored(BackendArray):
    """A variable on disk with dimensions of length 1 that it had before a selection."""

    def __init__(self, variable: xr.Variable, dims: tuple[str, ...]) -> None:
        self.variable, self.dims = variable, dims
        self.shape = tuple(variable.sizes.get(dim, 1) for dim in dims)
        self.dtype = variable.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        both = list(zip(self.dims, key, strict=True))
        values = self.variable[{d: k for d, k in both if d in self.variable.dims}].values
        axis = 0
        for dim, k in both:
            if isinstance(k, int | np.integer):
                continue
            if dim not in self.variable.dims:
                values = np.expand_dims(values, axis)[(slice(None),) * axis + (k,)]
            axis += 1
        return values
