"""Results for other tools that know their own hashes: damage is named, and never read.

zarr itself takes a missing chunk for one of fill values: `seal` writes the size and the sha256 of
every file of a store into the attributes of its root. HDF5 may crash on a damaged file:
`end_with_digest` writes the sha256 of a netCDF file behind it. Other readers pass both by.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

from inversion_kit.errors import StoreError
from inversion_kit.storage import durable

ROOT = "zarr.json"
FILES, OWN = "files", "files_sha256"
"""Attributes of the root: size and sha256 of all other files; the sha256 of the root's own file."""
_MOST_FILE, _MOST_ROOT = 2**34, 2**28
_END = b"\ninversion_kit sha256 "
_DIGEST = 64
Seal = dict[str, tuple[int, str]]
"""File, its size and its sha256."""


def seal(path: Path) -> None:
    """Write size and sha256 of every file of a zarr store into its root's attributes."""
    files = {
        name: [file.stat().st_size, _digest(file, file.stat().st_size)]
        for name, file in sorted(_files(path).items())
        if name != ROOT
    }
    node = json.loads((path / ROOT).read_bytes())
    node["attributes"] = {**node.get("attributes", {}), FILES: files}
    node["attributes"].pop(OWN, None)
    node["attributes"][OWN] = _own(node)
    durable.write_file(path / ROOT, json.dumps(node).encode())


def read_seal(path: Path) -> tuple[dict[str, Any], Seal | None]:
    """The attributes of a store's root, and what its seal says of all other files.

    The seal is None where there is none: another program wrote the store.

    Raises
    ------
    StoreError
        The root is damaged; the message names it.
    """
    root = path / ROOT
    node: Any = durable.parse(durable.read_file(root, _MOST_ROOT), root)
    attributes = node.get("attributes") if isinstance(node, dict) else None
    if not isinstance(attributes, dict) or not {FILES, OWN} & attributes.keys():
        return attributes if isinstance(attributes, dict) else {}, None
    try:
        good = attributes.pop(OWN) == _own(node)
        files = {
            str(name): (int(n), str(digest)) for name, (n, digest) in attributes[FILES].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        good, files = False, {}
    if not good or any(".." in name.split("/") or name.startswith("/") for name in files):
        raise durable.damaged(root)
    return attributes, files


def sealed(path: Path) -> MemoryStore | None:
    """The zarr store at ``path``, to read; None where it has no seal.

    Each file is checked against its sha256 when it is first used.

    Raises
    ------
    StoreError
        The root is damaged, or a file is missing or of another size; the message names it.
    """
    _, files = read_seal(path)
    if files is None:
        return None
    there = {name: file.stat().st_size for name, file in _files(path).items()}
    for name, (size, _) in files.items():
        if there.get(name) != size:
            what = "it is missing" if name not in there else f"{there[name]} bytes, not {size}"
            raise StoreError(f"path={str(path / name)!r} is damaged: {what}; {durable.REPAIR}")
    return MemoryStore(_Checked(path, files), read_only=True)


def strangers(path: Path, files: Seal) -> list[str]:
    """What lies in a store's folder and is none of its files."""
    own = {path / name for name in (ROOT, *files)}
    folders = {folder for file in own for folder in file.parents}
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if p not in own | folders)


class _Checked(MutableMapping[str, Buffer]):
    """The files of a sealed store by name, read when they are asked for."""

    def __init__(self, path: Path, files: Seal) -> None:
        self.path, self.files = path, files
        self.root = durable.read_file(path / ROOT, _MOST_ROOT)  # `read_seal` has checked it
        self._checked: set[str] = set()

    def __getitem__(self, key: str) -> Buffer:
        if key == ROOT:
            return default_buffer_prototype().buffer.from_bytes(self.root)
        size, wanted = self.files[key]
        data = durable.read_file(self.path / key, _MOST_FILE, size)
        if key not in self._checked:
            if hashlib.sha256(data).hexdigest() != wanted:
                raise durable.damaged(self.path / key)
            self._checked.add(key)
        return default_buffer_prototype().buffer.from_bytes(data)

    def __contains__(self, key: object) -> bool:
        return key == ROOT or key in self.files

    def __iter__(self) -> Iterator[str]:
        return iter((ROOT, *self.files))

    def __len__(self) -> int:
        return 1 + len(self.files)

    def __setitem__(self, key: str, value: Buffer) -> None:
        raise StoreError(f"path={str(self.path)!r} is for reading alone")

    def __delitem__(self, key: str) -> None:
        raise StoreError(f"path={str(self.path)!r} is for reading alone")


def end_with_digest(path: Path) -> None:
    """Write a file's sha256 behind its content, where HDF5 does not look."""
    digest = _digest(path, path.stat().st_size)
    with path.open("ab") as file:
        file.write(_END + digest.encode())


def check_digest(path: Path) -> None:
    """Refuse a file that does not end with its sha256 by a StoreError."""
    size = path.stat().st_size - len(_END) - _DIGEST
    with path.open("rb") as file:
        file.seek(max(size, 0))
        end = file.read()
    if size < 0 or not end.startswith(_END):
        raise StoreError(
            f"path={str(path)!r} does not end as inversion_kit.to_netcdf ends a file: it was cut "
            f"or changed, or another program wrote it; {durable.REPAIR}. What you trust "
            "xarray.open_datatree reads"
        )
    if end[len(_END) :] != _digest(path, size).encode():
        raise durable.damaged(path)


def _files(path: Path) -> dict[str, Path]:
    return {p.relative_to(path).as_posix(): p for p in path.rglob("*") if p.is_file()}


def _digest(path: Path, size: int) -> str:
    """The sha256 of a file's first ``size`` bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size and (chunk := file.read(min(size, 2**22))):
            digest.update(chunk)
            size -= len(chunk)
    return digest.hexdigest()


def _own(node: dict[str, Any]) -> str:
    """The sha256 of the root's content without its own."""
    return hashlib.sha256(json.dumps(node, sort_keys=True).encode()).hexdigest()
