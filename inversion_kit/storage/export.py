"""A result as other tools read it: one zarr, one netCDF file, a folder of images with a table."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit import schema
from inversion_kit.errors import InputError
from inversion_kit.storage import store
from inversion_kit.storage.assemble import open_audit
from inversion_kit.storage.lazy import JSON_TEXT
from inversion_kit.storage.sealed import end_with_digest
from inversion_kit.storage.storable import storable
from inversion_kit.storage.zarr_write import blocks


def consolidate(result: str | os.PathLike[str], path: str | os.PathLike[str]) -> Path:
    """Write an audit's folder as one zarr v3 store; it appears whole or not at all.

    Memory does not grow with the audit: units are read and written one block after the other.

    Parameters
    ----------
    result
        The folder of an audit, complete or not.
    path
        Folder to make, by custom ending in ``.zarr``; `inversion_kit.open` reads it.

    Returns
    -------
    Path
        The store, at ``path``.

    Raises
    ------
    InputError
        Something is at ``path`` already.
    StoreError
        The audit cannot be read, or the store cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit.storage.audit_store import AuditStore
    >>> from inversion_kit.storage.units import Unit
    >>> from inversion_kit.testing import synthetic_plan, synthetic_unit
    >>> store = AuditStore.create(tempfile.mkdtemp(), synthetic_plan())
    >>> store.commit(Unit(1, "token", 0), *synthetic_unit(1, "token", 0))
    True
    >>> consolidate(store.path, tempfile.mkdtemp() + "/audit.zarr").name
    'audit.zarr'
    """
    place = store.free_place(path)
    return store.save(open_audit(result), place)


def to_netcdf(result: str | os.PathLike[str], path: str | os.PathLike[str]) -> Path:
    """Write a stored result as one netCDF file; it appears whole or not at all.

    Memory does not grow with the result: it is written one block after the other. The file ends
    with its own sha256, after what HDF5 reads. Needs the extra ``export``.

    Parameters
    ----------
    result
        What `inversion_kit.open` opens.
    path
        File to make, by custom ending in ``.nc``; `inversion_kit.open` reads it.

    Returns
    -------
    Path
        The file, at ``path``.

    Raises
    ------
    InputError
        Something is at ``path`` already, or h5netcdf is missing.
    StoreError
        The result cannot be read, or the file cannot be written.
    """
    _need("h5netcdf")
    place = store.free_place(path)
    tree = storable(store.open(result))

    def fill(part: Path) -> None:
        _write_netcdf(tree, part)
        end_with_digest(part)

    return store.write_new(place, fill)


def export_images(result: str | os.PathLike[str], path: str | os.PathLike[str]) -> Path:
    """Write the test images of a stored result as ``images/`` and ``metadata.parquet``.

    Hugging Face reads the folder with ``load_dataset("imagefolder", data_dir=path)``. The
    table's columns: file_name, label, label_index, arm, seed, sample, prompt, predicted (the most
    likely class), probability (of the label), for the i-th judge judge_i_name, judge_i_kind,
    judge_i_predicted and judge_i_probability, and feature (the vector that the audited classifier
    makes of the image, where it gives one). Needs the extra ``export``.

    Parameters
    ----------
    result
        What `inversion_kit.open` opens.
    path
        Folder to make. File names are made of indices, never of text.

    Returns
    -------
    Path
        The folder, at ``path``.

    Raises
    ------
    InputError
        Something is at ``path`` already, there are no images, or pyarrow is missing.
    StoreError
        The result cannot be read, or the images cannot be written.
    """
    _need("pyarrow.parquet")
    place = store.free_place(path)
    tree = store.open(result)
    return store.write_new(place, lambda part: _write_images(tree, part))


def _need(module: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"{module} is missing: pip install 'inversion-kit[export]'") from error


def _write_netcdf(tree: xr.DataTree, path: Path) -> None:
    """Coordinates and small variables by xarray, those of units block by block."""
    import h5netcdf
    import h5py

    groups = {name: node.to_dataset(inherit=False) for name, node in tree.children.items()}
    large = {
        g: [n for n in data.data_vars if n in schema.UNIT.get(g, ())]
        for g, data in groups.items()
        if g != "status"
    }
    rest = xr.DataTree.from_dict(
        {f"/{g}": _netcdf_text(data.drop_vars(large.get(g, []))) for g, data in groups.items()}
    )
    rest.attrs = tree.attrs
    rest.to_netcdf(path, engine="h5netcdf")
    with h5netcdf.File(path, "a") as file:
        for group, names in large.items():
            for dim, n in groups[group].sizes.items():
                if dim not in file[group].dimensions:
                    file[group].dimensions[dim] = n
            for name in names:
                _write_variable(file[group], name, groups[group].variables[name], h5py)


def _write_variable(group: Any, name: Any, variable: xr.Variable, h5py: Any) -> None:
    text = variable.dtype.kind in "OUT"
    escaped = text and any(_has_nul(variable[key].values) for key in blocks(variable))
    dtype = h5py.string_dtype() if text else variable.dtype
    made = group.create_variable(name, variable.dims, dtype)
    made.attrs.update(variable.attrs)
    if escaped:
        made.attrs[JSON_TEXT] = 1
    for key in blocks(variable):
        values = variable[key].values
        if values.size:
            made[key] = _escaped(values) if escaped else values


def _netcdf_text(data: xr.Dataset) -> xr.Dataset:
    """Texts as JSON where HDF5 could not hold one of them."""
    changed = {
        name: xr.Variable(v.dims, _escaped(v.values), {**v.attrs, JSON_TEXT: 1})
        for name, v in data.variables.items()
        if v.dtype.kind in "OUT" and _has_nul(v.values)
    }
    return data.assign({n: v for n, v in changed.items() if n in data.data_vars}).assign_coords(
        {n: v for n, v in changed.items() if n in data.coords}
    )


def _has_nul(texts: np.ndarray) -> bool:
    return any("\0" in text for text in texts.ravel())


def _escaped(texts: np.ndarray) -> np.ndarray:
    listed = np.empty(texts.size, dtype=object)
    listed[:] = [json.dumps(str(text)) for text in texts.ravel()]
    return listed.reshape(texts.shape)


def _write_images(tree: xr.DataTree, part: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    (part / "images").mkdir(parents=True)
    rows = list(_rows(tree, part))
    if not rows:
        raise InputError("no unit of this result is done: there are no images to export")
    parquet.write_table(pyarrow.Table.from_pylist(rows), part / "metadata.parquet")


def _rows(tree: xr.DataTree, part: Path) -> Iterator[dict[str, Any]]:
    """Write each image; what the table says of it."""
    from PIL import Image

    samples = tree["samples"].to_dataset(inherit=False)
    classes = samples["class"].values
    names = [samples[dim].values for dim in schema.OUTER]
    for at in zip(*np.nonzero(tree["status"]["status"].values == "done"), strict=True):
        unit = samples.isel(dict(zip(schema.OUTER, at, strict=True))).load()
        label, arm, seed = (values[i] for values, i in zip(names, at, strict=True))
        index = int(unit["label_index"])
        for j in np.flatnonzero(unit["noise_seed"].values >= 0):
            probability = unit["probability"].values[j]
            file = f"images/{index:06d}-{at[1]}-{seed}-{j:06d}.png"
            Image.fromarray(unit["image"].values[j]).save(part / file)
            row = {
                "file_name": file,
                "label": str(label),  # a scalar of xarray loses NULs at the end
                "label_index": index,
                "arm": str(arm),
                "seed": int(seed),
                "sample": int(j),
                "prompt": str(unit["prompt"].values[j]),
                "predicted": str(classes[probability.argmax()]),
                "probability": float(probability[index]),
            }
            for k in range(unit.sizes["judge"] if "judge_probability" in unit else 0):
                read = unit["judge_probability"].values[k, j]
                row |= {
                    f"judge_{k}_name": str(unit["judge"].values[k]),
                    f"judge_{k}_kind": str(unit["judge_kind"].values[k]),
                    f"judge_{k}_predicted": str(classes[read.argmax()]),
                    f"judge_{k}_probability": float(read[index]),
                }
            feature = unit.variables["feature"].values[j] if "feature" in unit.variables else None
            if feature is not None and np.isfinite(feature).all():
                row["feature"] = feature.astype("f4")
            yield row
