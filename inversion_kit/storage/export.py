"""A result as other tools read it: one zarr, one netCDF file, a folder of images with a table."""

from __future__ import annotations

import importlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit import schema
from inversion_kit.errors import InputError, StoreError
from inversion_kit.storage import durable, store
from inversion_kit.storage.lazy import open_audit
from inversion_kit.storage.sealed import end_with_digest, seal

_BLOCK = 8 * 2**20
"""Bytes that are read and written at once, where a unit is not larger."""
_PIECE = 16 * 2**20
"""The most bytes of a chunk of zarr, where a row is not larger."""
_TEXT_BYTES = 64
JSON_TEXT = "json_text"
"""Attribute of a netCDF variable whose texts are JSON, since one of them holds a NUL."""


def consolidate(path: str | os.PathLike[str], target: str | os.PathLike[str]) -> Path:
    """Write an audit's folder as one zarr v3 store; it appears whole or not at all.

    Memory does not grow with the audit: units are read and written one block after the other.

    Parameters
    ----------
    path
        The folder of an audit, complete or not.
    target
        Folder to make, by custom ending in ``.zarr``; `inversion_kit.open` reads it.

    Raises
    ------
    InputError
        Something is at ``target`` already.
    StoreError
        The audit cannot be read, or the store cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit.storage.audit_store import AuditStore, Unit
    >>> from inversion_kit.testing import synthetic_plan, synthetic_unit
    >>> store = AuditStore.create(tempfile.mkdtemp(), synthetic_plan())
    >>> store.commit(Unit(1, "token", 0), *synthetic_unit(1, "token", 0))
    True
    >>> consolidate(store.path, tempfile.mkdtemp() + "/audit.zarr").name
    'audit.zarr'
    """
    tree = open_audit(path)

    def fill(part: Path) -> None:
        _write_zarr(tree, part)
        seal(part)

    return _whole(Path(target), fill)


def to_netcdf(path: str | os.PathLike[str], target: str | os.PathLike[str]) -> Path:
    """Write a stored result as one netCDF file; it appears whole or not at all.

    Memory does not grow with an audit: it is written one block after the other. The file ends with
    its own sha256, after what HDF5 reads. Needs the extra ``export``.

    Parameters
    ----------
    path
        What `inversion_kit.open` opens.
    target
        File to make, by custom ending in ``.nc``; `inversion_kit.open` reads it.

    Raises
    ------
    InputError
        Something is at ``target`` already, or h5netcdf is missing.
    StoreError
        The result cannot be read, or the file cannot be written.
    """
    _need("h5netcdf")
    tree = store.open(path)

    def fill(part: Path) -> None:
        _write_netcdf(tree, part)
        end_with_digest(part)

    return _whole(Path(target), fill)


def export_images(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """Write the test images of an audit as ``images/`` and ``metadata.parquet``.

    Hugging Face reads the folder with ``load_dataset("imagefolder", data_dir=folder)``. The
    table's columns: file_name, label, label_index, arm, seed, sample, prompt, predicted (the most
    likely class), probability (of the label), for the i-th judge judge_i_name, judge_i_kind,
    judge_i_predicted and judge_i_probability, and feature (the vector that the audited classifier
    makes of the image, where it gives one). Needs the extra ``export``.

    Parameters
    ----------
    path
        The folder of an audit, or what `consolidate` made of it.
    folder
        Folder to make. File names are made of indices, never of text.

    Raises
    ------
    InputError
        Something is at ``folder`` already, the result is no audit, or pyarrow is missing.
    StoreError
        The audit cannot be read, or the images cannot be written.
    """
    _need("pyarrow.parquet")
    tree = store.open(path)
    if tree.attrs["kind"] != "audit":
        raise InputError(f"path={str(path)!r} is a single run; images are exported of an audit")

    def fill(part: Path) -> None:
        _write_images(tree, part)

    return _whole(Path(folder), fill)


def _whole(target: Path, fill: Callable[[Path], None]) -> Path:
    """Let ``fill`` write under a temporary name and make that visible."""
    if os.path.lexists(target):
        raise InputError(f"path={str(target)!r} exists; give another")
    part = target.parent / f"{durable.PART}{os.getpid()}-{secrets.token_hex(8)}{target.suffix}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fill(part)
        if hasattr(os, "sync"):
            os.sync()
        if os.path.lexists(target):
            raise InputError(f"path={str(target)!r} exists by now; give another")
        os.rename(part, target)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise durable.trouble(target, error) from error
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        elif part.exists():
            part.unlink()
    return target


def _need(module: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"{module} is missing: pip install 'inversion-kit[export]'") from error


def _write_zarr(tree: xr.DataTree, path: Path) -> None:
    import zarr

    root = zarr.open_group(path, mode="w-", zarr_format=3, attributes=dict(tree.attrs))
    for group, variables in schema.AUDIT.items():
        data = tree[group].to_dataset()
        large = [name for name in variables if name in data.variables]
        coordinates = data.drop_vars(large)
        texts = {
            name: (c.dims, c.values.astype(np.dtypes.StringDType()))
            for name, c in coordinates.coords.items()
            if c.dtype.kind in "OUT"
        }
        coordinates.assign_coords(texts).to_zarr(
            path, group=group, mode="a", zarr_format=3, consolidated=False
        )
        for name in large:
            _write_array(root[group], name, data.variables[name])


def _write_array(group: Any, name: str, variable: xr.Variable) -> None:
    """Make an array of one chunk or shard a block, and fill it block by block."""
    text = variable.dtype.kind in "OUT"
    inner = variable.shape[3:]
    unit = _unit_bytes(variable)
    label = unit * math.prod(variable.shape[1:3])
    outer = _outer(variable)
    block = tuple(max(1, n) for n in (*outer, *inner))
    chunks, shards = block, None
    if label > _BLOCK and not text:  # a unit can be read alone, and a few rows of it
        rows = max(1, min(inner[0], _PIECE * inner[0] // max(unit, 1)))
        chunks = (1, 1, 1, rows, *block[4:])
        shards = (*block[:3], math.ceil(inner[0] / rows) * rows, *block[4:])
    array = group.create_array(
        name,
        shape=variable.shape,
        dtype=np.dtypes.StringDType() if text else variable.dtype,
        chunks=chunks,
        shards=shards,
        dimension_names=variable.dims,
        fill_value="" if text else np.zeros((), variable.dtype)[()],
    )
    for key in _blocks(variable.shape[:3], outer):
        values = variable[key].values
        array[key] = values.astype(np.dtypes.StringDType()) if text else values


def _unit_bytes(variable: xr.Variable) -> int:
    text = variable.dtype.kind in "OUT"
    return (_TEXT_BYTES if text else variable.dtype.itemsize) * math.prod(variable.shape[3:])


def _outer(variable: xr.Variable) -> tuple[int, int, int]:
    """How many labels, arms and seeds are written at once."""
    labels, arms, seeds = variable.shape[:3]
    unit = _unit_bytes(variable)
    if unit > _BLOCK:
        return 1, 1, 1
    return max(1, min(labels, _BLOCK // max(unit * arms * seeds, 1))), arms, seeds


def _blocks(shape: tuple[int, ...], block: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    for at in np.ndindex(*(math.ceil(n / b) for n, b in zip(shape, block, strict=True))):
        yield tuple(
            slice(i * b, min((i + 1) * b, n)) for i, b, n in zip(at, block, shape, strict=True)
        )


def _write_netcdf(tree: xr.DataTree, path: Path) -> None:
    """Coordinates and small variables by xarray; the large ones of an audit block by block."""
    audit = tree.attrs["kind"] == "audit"
    large = {g: list(tree[g].data_vars) for g in schema.AUDIT if audit and g != "status"}
    small = {g: tree[g].to_dataset().drop_vars(large.get(g, [])) for g in tree.children}
    rest = xr.DataTree.from_dict({f"/{g}": _netcdf_text(data) for g, data in small.items()})
    rest.attrs = tree.attrs
    rest.to_netcdf(path, engine="h5netcdf")
    if not audit:
        return
    import h5netcdf
    import h5py

    with h5netcdf.File(path, "a") as file:
        for group, names in large.items():
            for name in names:
                variable = tree[group].to_dataset().variables[name]
                for dim, n in variable.sizes.items():
                    if dim not in file[group].dimensions:
                        file[group].dimensions[dim] = n
                _write_variable(file[group], name, variable, h5py.string_dtype())


def _write_variable(group: Any, name: Any, variable: xr.Variable, text_type: Any) -> None:
    text = variable.dtype.kind in "OUT"
    blocks = list(_blocks(variable.shape[:3], _outer(variable)))
    escaped = text and any("\0" in t for key in blocks for t in variable[key].values.ravel())
    made = group.create_variable(name, variable.dims, text_type if text else variable.dtype)
    if escaped:
        made.attrs[JSON_TEXT] = 1
    for key in blocks:
        values = variable[key].values
        if escaped:
            listed = np.empty(values.size, dtype=object)
            listed[:] = [json.dumps(one) for one in values.ravel()]
            values = listed.reshape(values.shape)
        if values.size:
            made[key] = values


def _netcdf_text(data: xr.Dataset) -> xr.Dataset:
    """Text as objects; as JSON where HDF5 could not hold it."""
    changed = {}
    for name, variable in data.variables.items():
        if variable.dtype.kind not in "OUT":
            continue
        texts = np.array(variable.values.tolist(), dtype=object).reshape(variable.shape)
        attributes = dict(variable.attrs)
        if any("\0" in text for text in texts.ravel()):
            escaped = np.empty(texts.shape, dtype=object)
            escaped.ravel()[:] = [json.dumps(text) for text in texts.ravel()]
            texts, attributes[JSON_TEXT] = escaped, 1
        changed[name] = xr.Variable(variable.dims, texts, attributes)
    return data.assign({n: v for n, v in changed.items() if n in data.data_vars}).assign_coords(
        {n: v for n, v in changed.items() if n in data.coords}
    )


def _write_images(tree: xr.DataTree, part: Path) -> None:
    import pyarrow
    from PIL import Image
    from pyarrow import parquet

    (part / "images").mkdir(parents=True)
    samples = tree["samples"].to_dataset()
    status = tree["status"]["status"].values
    classes, labels = samples["class"].values, samples["label"].values
    arms = samples["arm"].values
    judged = "judge_probability" in samples
    rows: list[dict[str, Any]] = []
    for i, a, s in np.ndindex(status.shape):
        if status[i, a, s] != "done":
            continue
        unit = samples.isel(label=i, arm=a, seed=s).load()
        index, seed = int(unit["label_index"]), int(unit["seed"])
        for j in np.flatnonzero(unit["noise_seed"].values >= 0):
            one = unit.isel(sample=j)
            probability = one["probability"].values
            file = f"images/{index:06d}-{a}-{seed}-{j:06d}.png"
            Image.fromarray(one["image"].values).save(part / file)
            row = {
                "file_name": file,
                "label": str(labels[i]),  # a scalar of xarray loses NULs at the end
                "label_index": index,
                "arm": str(arms[a]),
                "seed": seed,
                "sample": int(j),
                "prompt": str(unit["prompt"].values[j]),
                "predicted": str(classes[probability.argmax()]),
                "probability": float(probability[index]),
            }
            for k in range(unit.sizes["judge"] if judged else 0):
                read = one["judge_probability"].values[k]
                row |= {
                    f"judge_{k}_name": str(unit["judge"].values[k]),
                    f"judge_{k}_kind": str(unit["judge_kind"].values[k]),
                    f"judge_{k}_predicted": str(classes[read.argmax()]),
                    f"judge_{k}_probability": float(read[index]),
                }
            if "feature" in unit and np.isfinite(one["feature"]).all():
                row["feature"] = one["feature"].values.astype("f4")
            rows.append(row)
    if not rows:
        raise InputError("no unit of this audit is done: there are no images to export")
    parquet.write_table(pyarrow.Table.from_pylist(rows), part / "metadata.parquet")
