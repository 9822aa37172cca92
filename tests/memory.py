"""The most memory that a piece of work takes, whatever the process took before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def peak() -> Iterator[list[float]]:
    """A list; at the end the MiB by which the process grew at most, above its size at the start."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("this system keeps no high-water mark that can be set back")
    Path("/proc/self/clear_refs").write_text("5")  # see proc_pid_clear_refs(5)
    before, grown = _high_water(), []
    yield grown
    grown.append(_high_water() - before)


def _high_water() -> float:
    line = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert line
    return int(line[1]) / 1024
