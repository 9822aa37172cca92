"""Files and folders that are on disk whole or not at all, and reading them back with suspicion.

A folder is written under a temporary name and one rename makes it visible: a process killed at any
point leaves the old state or the new one. Whatever cannot be written, or is missing, damaged, too
large or no regular file is a `StoreError` that names the file and says what to do.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from inversion_kit.errors import InputError, StoreError

MANIFEST = "manifest.json"
PART, SWEPT = ".part-", ".swept-"
"""How the names of what is being written, and of what is being deleted, begin."""
REPAIR = (
    "restore it from a copy, or make it again; units of an audit by: "
    "inversion-kit resume FOLDER --repair"
)
"""What to do about a damaged file."""
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_CHUNK = 2**22
_JSON_LIMIT = 64 * 2**20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, in the place of one that is there."""
    part = part_of(path)
    try:
        _write(part, data)
        os.replace(part, path)
    except OSError as error:
        drop(part)
        raise trouble(path, error) from error


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are missing; `StoreError` where that fails.

    Examples
    --------
    >>> import tempfile
    >>> make_folder(Path(tempfile.mkdtemp()) / "a" / "b")
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise trouble(path, error) from error


def write_folder(
    parent: Path, name: str, files: Mapping[str, bytes], note: Mapping[str, Any] | None = None
) -> bool:
    """Write a folder of files and their manifest whole or not at all.

    Parameters
    ----------
    note
        A little JSON that the manifest holds too.

    Returns
    -------
    bool
        False where a folder of the name is there already: it stays and the new one is dropped.

    Examples
    --------
    >>> import tempfile
    >>> parent = Path(tempfile.mkdtemp())
    >>> write_folder(parent, "a", {"b.json": b"[]"}), write_folder(parent, "a", {"b.json": b"{}"})
    (True, False)
    >>> read_folder(parent / "a", {"b.json": 100})
    {'b.json': b'[]'}
    """
    target = parent / name
    part = part_of(target)
    try:
        if target.exists():
            return False
        parent.mkdir(parents=True, exist_ok=True)
        os.mkdir(part)
        for file, data in files.items():
            _write(part / file, data)
        _write(part / MANIFEST, describe(files, note or {}))
        os.rename(part, target)
    except OSError as error:
        drop(part)
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY) and target.exists():
            return False
        raise trouble(target, error) from error
    return True


def read_folder(folder: Path, limits: Mapping[str, int]) -> dict[str, bytes]:
    """The named files of a folder that `write_folder` wrote, of at most so many bytes each."""
    entries = manifest(folder)
    return {name: checked(folder / name, entries, limit) for name, limit in limits.items()}


def checked(path: Path, manifest: dict[str, Any], limit: int) -> bytes:
    """One file's bytes, checked against its folder's manifest."""
    size, wanted = _entry(path, manifest)
    data = read_file(path, limit, size)
    if hashlib.sha256(data).hexdigest() != wanted:
        raise damaged(path)
    return data


def verify(path: Path, limit: int) -> None:
    """Check one file against its folder's manifest without holding it in memory."""
    size, wanted = _entry(path, manifest(path.parent))
    digest = hashlib.sha256()
    with _opened(path, limit, size) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != wanted:
        raise damaged(path)


def manifest(folder: Path) -> dict[str, Any]:
    """A folder's manifest: its ``files`` and its ``note``."""
    path = folder / MANIFEST
    content: Any = parse(read_file(path, 2**20), path)
    check = content.pop("sha256", None) if isinstance(content, dict) else None
    if check != hashlib.sha256(dump(content)).hexdigest():
        raise damaged(path)
    if not all(isinstance(content.get(name), dict) for name in ("files", "note")):
        raise StoreError(f"path={str(path)!r} is no manifest; {REPAIR}")
    return dict(content)


def describe(files: Mapping[str, bytes], note: Mapping[str, Any]) -> bytes:
    """The manifest of files; it holds its own sha256 too."""
    entries = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    }
    content = {"files": entries, "note": dict(note)}
    return dump(content | {"sha256": hashlib.sha256(dump(content)).hexdigest()})


def read_file(path: Path, limit: int = _JSON_LIMIT, size: int | None = None) -> bytes:
    """A regular file's bytes: at most ``limit`` of them, and just ``size`` where that is given."""
    with _opened(path, limit, size) as file:
        there = os.fstat(file.fileno()).st_size  # read(limit) would take memory for the limit
        data = file.read(there + 1)
    if len(data) > there:
        raise StoreError(f"path={str(path)!r} grew while it was read; read it again")
    return data


def parse(data: bytes, path: Path) -> Any:
    """JSON, strictly: UTF-8, no NaN and no number that is too large for a float."""
    try:
        return _DECODER.decode(data.decode())
    except (ValueError, RecursionError) as error:
        raise StoreError(f"path={str(path)!r} is damaged: not JSON ({error}); {REPAIR}") from error


def dump(content: Any) -> bytes:
    """JSON as `parse` reads it; a value that JSON does not have is a ValueError or TypeError."""
    return _ENCODER.encode(content).encode()


def encode(name: str, content: dict[str, Any], *, exact: bool = True) -> bytes:
    """JSON of what a caller gave as ``name``, an InputError where it is none.

    With ``exact`` JSON must give back the same: keys that are text, and lists, not tuples.
    """
    try:
        data = dump(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{name}={content!r:.400}: not JSON ({error})") from error
    if exact and parse(data, Path(name)) != content:
        raise InputError(f"{name}={content!r:.400}: keys must be text, sequences lists, as in JSON")
    return data


def sweep(parent: Path) -> None:
    """Delete what killed writers left in a folder.

    Each is renamed first, so that a writer that is alive after all fails as a whole.
    """
    try:
        paths = list(parent.iterdir()) if parent.is_dir() else []
    except OSError as error:
        raise trouble(parent, error) from error
    for path in paths:
        if path.name.startswith((PART, SWEPT)):
            discard(path)


def discard(path: Path) -> None:
    """Delete a file or folder that others may look at: it goes as a whole, by a rename."""
    swept = path.with_name(f"{SWEPT}{secrets.token_hex(8)}")
    try:
        os.rename(path, swept)
    except FileNotFoundError:
        return
    except OSError as error:
        raise trouble(path, error) from error
    drop(swept)


def drop(path: Path) -> None:
    """Delete a file or a folder that nobody looks at; what stays is for the next run's sweep."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def part_of(target: Path) -> Path:
    """The temporary name beside a target under which it is written."""
    return target.with_name(f"{PART}{os.getpid()}-{secrets.token_hex(8)}")


def trouble(path: Path, error: OSError, *, reading: bool = False) -> StoreError:
    """The error of the system in words: what cannot be done where, and what to do."""
    if reading:
        advice = "check the path and the disk"
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            advice = f"it is missing; {REPAIR}"
    elif error.errno in _FULL:
        advice = "the disk or a quota is full: free some space and resume; what was stored is kept"
    elif error.errno == errno.ENAMETOOLONG:
        advice = "give a shorter path"
    elif isinstance(error, NotADirectoryError | FileExistsError):
        advice = "a file is where a folder is wanted: give another path"
    elif error.errno in _CLOSED:
        advice = "no permission to write there: make it writable or use another folder, and resume"
    else:
        advice = "check the disk and resume; what was stored is kept"
    verb = "read" if reading else "written"
    return StoreError(f"path={str(path)!r} cannot be {verb}: {error.strerror or error}; {advice}")


def damaged(path: Path) -> StoreError:
    """The error of a file that is not what its sha256 says."""
    return StoreError(f"path={str(path)!r} is damaged: its sha256 is another; {REPAIR}")


def _write(path: Path, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
    try:
        rest = memoryview(data)
        while len(rest):
            rest = rest[os.write(file, rest[:_CHUNK]) :]
        os.fsync(file)  # a network's disk says only here that it is full
    finally:
        os.close(file)


@contextmanager
def _opened(path: Path, limit: int, size: int | None) -> Iterator[BinaryIO]:
    """A regular file to read; never a link, a device or a pipe, which could wait forever."""
    flags = os.O_RDONLY | _NO_LINK | getattr(os, "O_NONBLOCK", 0) | _BINARY
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise StoreError(f"path={str(path)!r} is no regular file")
            if size is not None and about.st_size != size:
                raise StoreError(
                    f"path={str(path)!r} is damaged: {about.st_size} bytes, expected {size}; "
                    f"{REPAIR}"
                )
            if about.st_size > limit:
                raise StoreError(f"path={str(path)!r} is larger than {limit} bytes")
            yield file
    except StoreError:
        raise
    except OSError as error:
        raise trouble(path, error, reading=True) from error


def _entry(path: Path, manifest: dict[str, Any]) -> tuple[int, str]:
    entry = manifest["files"].get(path.name)
    size, digest = (entry.get("size"), entry.get("sha256")) if isinstance(entry, dict) else (0, 0)
    if type(size) is not int or not isinstance(digest, str):
        raise StoreError(
            f"path={str(path.parent / MANIFEST)!r} is damaged: no size and sha256 of "
            f"{path.name}; {REPAIR}"
        )
    return size, digest


def _finite(word: str) -> float:
    if math.isinf(value := float(word)):
        raise ValueError(f"{word} is too large")
    return value


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
