"""The lock of an audit's folder: one run at a time, and who that is."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from inversion_kit.errors import StoreLockedError
from inversion_kit.storage import durable
from inversion_kit.storage.audit_folder import HOLDER, LOCK, read_holder

_PATIENCE = 0.3
"""Seconds to wait for the lock: reading its state holds it for a moment."""


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold an audit's folder.

    Raises
    ------
    StoreLockedError
        Another run holds it; the message says who.
    StoreError
        The folder cannot be written.
    """
    lock = FileLock(root / LOCK)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout as error:
        who = read_holder(root)
        named = "process {pid} on {host} since {since}".format(**who) if who else "it says no name"
        raise StoreLockedError(
            f"path={str(root)!r}: another run works on it ({named}); wait for its end, end it, or "
            "use another folder"
        ) from error
    except OSError as error:
        raise durable.trouble(root / LOCK, error) from error
    try:
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        durable.write_file(root / HOLDER, durable.dump(holder))
        yield
    finally:
        with suppress(OSError):  # the holder's name is for the reader; the lock is what counts
            (root / HOLDER).unlink(missing_ok=True)
        lock.release()
