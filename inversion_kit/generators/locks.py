"""One thread at a time in a network: hooks change it for a moment while it is sampled."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator

from torch import nn

_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
"""Kept beside the networks and not in a generator: several may share a network, and a lock can
neither be copied nor sent to a worker."""
_finding = threading.Lock()


@contextlib.contextmanager
def alone_with(*modules: nn.Module) -> Iterator[None]:
    """While open, other threads wait where they ask for one of the same modules.

    Examples
    --------
    >>> network = nn.Linear(2, 2)
    >>> with alone_with(network), alone_with(network):
    ...     "a thread does not wait for itself"
    'a thread does not wait for itself'
    """
    with _finding:
        locks = {id(lock): lock for lock in (_lock_of(module) for module in modules)}
    with contextlib.ExitStack() as stack:
        for _, lock in sorted(locks.items()):  # in one order: no two wait for each other
            stack.enter_context(lock)
        yield


def _lock_of(module: nn.Module) -> threading.RLock:
    return _locks.setdefault(module, threading.RLock())
