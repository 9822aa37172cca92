"""Saving a result to a zarr store and opening it again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

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
from inversion_kit.storage.lazy import guarded, open_zarr
from inversion_kit.storage.sealed import ROOT, check_digest, read_seal, seal, strangers
from inversion_kit.storage.storable import storable, unpacked
from inversion_kit.storage.zarr_write import write_zarr


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
        write_zarr(tree, part)
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
            tree = open_zarr(source)
        else:
            raise StoreError(
                f"path={str(source)!r}: no stored result there (no zarr.json, no audit.json)"
            )
        groups = {
            f"/{name}": guarded(name, node.to_dataset(inherit=False), source)
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
