"""Results for other tools that know their own hashes: damage is named, and never read.

zarr itself takes a missing chunk for one of fill values: `seal` writes the size and the sha256 of
every file of a store into the attributes of its root. HDF5 may crash on a damaged file:
`end_with_digest` writes the sha256 of a netCDF file behind it. Other readers pass both by.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

from inversion_kit.errors import StoreError
from inversion_kit.storage import durable

ROOT = "zarr.json"
FILES, OWN = "files", "files_sha256"
"""Attributes of the root: size and sha256 of all other files; the sha256 of the root's own file."""
_MOST_FILE, _MOST_ROOT = 2**34, 2**28
_END = b"\ninversion_kit sha256 "
_DIGEST = 64


def seal(path: Path) -> None:
    """Write size and sha256 of every file of a zarr store into its root's attributes.

    Raises
    ------
    OSError, StoreError
        The store cannot be read or written.
    """
    files = {}
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.is_file() and name != ROOT:
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            files[name] = [file.stat().st_size, digest]
    node = json.loads((path / ROOT).read_bytes())
    node["attributes"] = node.get("attributes", {}) | {FILES: files}
    node["attributes"].pop(OWN, None)
    node["attributes"][OWN] = _own(node)
    durable.write_file(path / ROOT, json.dumps(node).encode())


def sealed(path: Path) -> SealedStore | None:
    """The store at ``path``, every file of it there and of its size; None where it has no seal.

    Raises
    ------
    StoreError
        The root is damaged, or a file is missing or of another size; the message names it.
    """
    root = path / ROOT
    data = durable.read_file(root, _MOST_ROOT)
    node: Any = durable.parse(data, root)
    attributes = node.get("attributes") if isinstance(node, dict) else None
    if not isinstance(attributes, dict) or not {FILES, OWN} & attributes.keys():
        return None
    try:
        good = attributes.pop(OWN) == _own(node)
        files = {
            str(name): (int(n), str(digest)) for name, (n, digest) in attributes[FILES].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        good, files = False, {}
    if not good or any(".." in name.split("/") or name.startswith("/") for name in files):
        raise durable.damaged(root)
    found = {
        file.relative_to(path).as_posix(): file.stat().st_size
        for file in path.rglob("*")
        if file.is_file()
    }
    for name, (size, _) in files.items():
        if found.get(name) != size:
            what = "it is missing" if name not in found else f"{found[name]} bytes, not {size}"
            raise StoreError(f"path={str(path / name)!r} is damaged: {what}; {durable.REPAIR}")
    return SealedStore(path, files, data)


class SealedStore(Store):
    """A zarr store, to read: each file is checked against its sha256 when it is first used."""

    supports_writes = supports_deletes = False
    supports_listing = True

    def __init__(self, path: Path, files: dict[str, tuple[int, str]], root: bytes) -> None:
        super().__init__(read_only=True)
        self.path, self.files, self.root = path, files, root
        self._checked: set[str] = set()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SealedStore) and (other.path, other.root) == (self.path, self.root)

    __hash__ = None  # type: ignore[assignment]

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The bytes of a file, or a part of them; None where the store has no such file.

        Raises
        ------
        StoreError
            It is missing or damaged.
        """
        if key == ROOT:
            return prototype.buffer.from_bytes(_cut(self.root, byte_range))
        if key not in self.files:
            return None
        size, wanted = self.files[key]
        data = durable.read_file(self.path / key, _MOST_FILE, size)
        if key not in self._checked:
            if hashlib.sha256(data).hexdigest() != wanted:
                raise durable.damaged(self.path / key)
            self._checked.add(key)
        return prototype.buffer.from_bytes(_cut(data, byte_range))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """`get` of each."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether the store has such a file."""
        return key == ROOT or key in self.files

    async def set(self, key: str, value: Buffer) -> None:
        """Refused: the store is for reading."""
        self._check_writable()

    async def delete(self, key: str) -> None:
        """Refused: the store is for reading."""
        self._check_writable()

    async def list(self) -> AsyncIterator[str]:
        """All files."""
        for name in (ROOT, *self.files):
            yield name

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """All files whose names begin so."""
        for name in (ROOT, *self.files):
            if name.startswith(prefix):
                yield name

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Names in a folder of the store."""
        folder = f"{prefix.rstrip('/')}/" if prefix else ""
        inside = (n.removeprefix(folder) for n in (ROOT, *self.files) if n.startswith(folder))
        for name in dict.fromkeys(rest.partition("/")[0] for rest in inside):
            yield name


def end_with_digest(path: Path) -> None:
    """Write a file's sha256 behind its content, where HDF5 does not look."""
    digest = _digest(path, path.stat().st_size)
    with path.open("ab") as file:
        file.write(_END + digest.encode())


def check_digest(path: Path) -> None:
    """Refuse a file that does not end with its sha256.

    Raises
    ------
    StoreError
        It is damaged, or nobody wrote its sha256 behind it.
    """
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


def _cut(data: bytes, part: ByteRequest | None) -> bytes:
    if isinstance(part, RangeByteRequest):
        return data[part.start : part.end]
    if isinstance(part, OffsetByteRequest):
        return data[part.offset :]
    if isinstance(part, SuffixByteRequest):
        return data[-part.suffix :] if part.suffix else b""
    return data
