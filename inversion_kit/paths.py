"""Where files and folders are: what a user gave as a path, checked before any work."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from inversion_kit.errors import InputError, StoreError

_ADDRESS = re.compile(r"(?:[\w.+-]+::)*[A-Za-z][\w.+-]+:/")
"""How an address begins: ``s3://``, ``memory://``, ``zip::https://``, and what a Path makes of
it, ``s3:/``. One letter and a colon is a drive."""
_LONGEST = 255
"""Bytes of a name in a folder, of all usual file systems."""


def local_path(path: Any, argument: str = "path") -> Path:
    """A path of this machine's file system, ``~`` expanded.

    Parameters
    ----------
    path
        Text or `os.PathLike`.
    argument
        What the call calls it.

    Raises
    ------
    InputError
        It is an address such as ``s3://...``, empty, no text, or no name of a file.

    Examples
    --------
    >>> local_path("runs/audit").name, local_path("~/audit") == Path.home() / "audit"
    ('audit', True)
    """
    text = _text(path, argument)
    if _ADDRESS.match(text):
        raise InputError(
            f"{argument}={text!r}: an address, and only folders and files of this machine are "
            "read and written; give a local path, and copy from or to there by its own tool"
        )
    if text.startswith("~"):
        try:
            return Path(text).expanduser()
        except RuntimeError as error:
            raise InputError(
                f"{argument}={text!r}: there is no such user; give the whole path, or "
                f"{'./' + text!r} for a file of that name"
            ) from error
    return Path(text)


def name_or_path(source: Any, argument: str) -> str:
    """What may be a model's name or a folder, as text: ``~`` expanded, addresses refused.

    Raises
    ------
    InputError
        As of `local_path`.

    Examples
    --------
    >>> name_or_path("pocket:honest", "model")
    'pocket:honest'
    """
    local = local_path(source, argument)
    text = os.fspath(source)
    return str(local) if text.startswith("~") or not isinstance(source, str) else str(text)


def file_to_write(path: Any, ending: str, *, argument: str = "path", makes: bool = False) -> Path:
    """The path of a file that can be written, in place of one that is there.

    Parameters
    ----------
    ending
        How its name must end, for example ``".html"``.
    makes
        Whether its folder is made where it is missing.

    Raises
    ------
    InputError
        As of `local_path`; or it ends in something else, or is a folder.
    StoreError
        Its folder does not exist, or cannot be written.

    Examples
    --------
    >>> file_to_write(tempfile.gettempdir() + "/sky.html", ".html").name
    'sky.html'
    """
    target = local_path(path, argument)
    if target.suffix.lower() != ending:
        stem = target.stem or "file"
        raise InputError(
            f"{argument}={str(target)!r}: must end in {ending}, such as {stem + ending!r}"
        )
    _check_place(target, argument)
    if target.is_dir():
        raise InputError(
            f"{argument}={str(target)!r}: a folder is there; give a file, as "
            f"{str(target / ('file' + ending))!r}"
        )
    if not makes and not target.parent.exists():
        raise StoreError(
            f"{argument}={str(target)!r} cannot be written: the folder {str(target.parent)!r} does "
            "not exist; create it first"
        )
    if target.exists() and not os.access(target, os.W_OK):
        raise StoreError(f"{argument}={str(target)!r} cannot be written: the file is read-only")
    return target


def place_to_write(path: Any, *, argument: str = "path") -> Path:
    """The path of a file or folder that can be made, its folders too.

    Raises
    ------
    InputError
        As of `local_path`.
    StoreError
        Nothing can be written there.

    Examples
    --------
    >>> place_to_write(tempfile.gettempdir() + "/runs/run.zarr").name
    'run.zarr'
    """
    target = local_path(path, argument)
    _check_place(target, argument)
    return target


def folder_to_write(path: Any, *, argument: str = "path") -> Path:
    """The path of a folder to write into, there or to be made.

    Raises
    ------
    InputError
        As of `local_path`.
    StoreError
        A file is there, or nothing can be written there.

    Examples
    --------
    >>> folder_to_write(tempfile.gettempdir() + "/runs").name
    'runs'
    """
    target = local_path(path, argument)
    _check_place(target, argument, inside=True)
    return target


def _text(path: Any, argument: str) -> str:
    """A path as text that can be the name of a file."""
    if not isinstance(path, (str, os.PathLike)) or isinstance(text := os.fspath(path), bytes):
        advice = "os.fsdecode(...) makes text of bytes" if isinstance(path, bytes) else "give text"
        raise InputError(
            f"{argument}={path!r:.80}: expected a path as text or pathlib.Path; {advice}"
        )
    text = str(text)
    if not text.strip() or "\0" in text:
        what = "a NUL cannot be in the name of a file" if "\0" in text else "empty"
        raise InputError(f"{argument}={text!r}: {what}; give for example 'runs/mine'")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise InputError(f"{argument}={text!r}: no name of a file ({error.reason})") from error
    return text


def _check_place(target: Path, argument: str, *, inside: bool = False) -> None:
    """Refuse a place whose nearest folder that is there, itself if ``inside``, is closed."""
    where = f"{argument}={str(target)!r} cannot be written: "
    if any(len(os.fsencode(part)) > _LONGEST for part in target.parts):
        raise StoreError(f"{where}a name in it is too long; give a shorter path")
    whole = target.absolute()
    try:
        folders = [whole, *whole.parents] if inside else whole.parents
        there = next(folder for folder in folders if os.path.lexists(folder))
        if not there.is_dir():
            raise StoreError(
                f"{where}{str(there)!r} is a file, and a file is where a folder is wanted: give "
                "another path"
            )
        with tempfile.TemporaryFile(dir=there):
            return
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"{where}nothing can be written into {str(there)!r} ({error.strerror or error}); make "
            "it writable, or give another path"
        ) from error
