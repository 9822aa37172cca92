"""Kill a process at every operation on files, one after the other."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable

OPERATIONS = ("open", "write", "fsync", "close", "mkdir", "rename", "replace", "unlink", "rmdir")
EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}


def kill_at(number: int, scenario: Callable[[Callable[[], None]], None]) -> tuple[bool, int]:
    """Run the scenario in a process that kills itself at its ``number``-th operation.

    A write is cut in half. The scenario calls what it is given after each of its stages.

    Returns
    -------
    tuple of bool and int
        Whether it was killed, and the stages that it had finished.
    """
    return _forked(lambda: _arm(number), scenario)


def kill_at_event(number: int, scenario: Callable[[Callable[[], None]], None]) -> tuple[bool, int]:
    """The same for libraries that write by themselves: at the interpreter's own audit events."""
    return _forked(lambda: _arm_events(number), scenario)


def _forked(
    arm: Callable[[], None], scenario: Callable[[Callable[[], None]], None]
) -> tuple[bool, int]:
    read, write = os.pipe()
    tell = os.write
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child uses no other thread
        child = os.fork()
    if child == 0:
        try:
            arm()
            scenario(lambda: tell(write, b"."))
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
            os._exit(1)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        stages = len(pipe.read())
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True, stages
    assert os.WEXITSTATUS(status) == 0
    return False, stages


def _arm(number: int) -> None:
    count = 0

    def hook(name: str) -> None:
        real = getattr(os, name)

        def hooked(*args, **keywords):
            nonlocal count
            count += 1
            if count == number:
                if name == "write":
                    real(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **keywords)

        setattr(os, name, hooked)

    for name in OPERATIONS:
        hook(name)


def _arm_events(number: int) -> None:
    count = 0

    def hooked(event: str, args: tuple) -> None:
        nonlocal count
        if event not in EVENTS or (event == "open" and not _writes(args)):
            return
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hooked)


def _writes(args: tuple) -> bool:
    _, mode, flags = args
    wanted = os.O_WRONLY | os.O_RDWR
    return any(c in (mode or "") for c in "wax+") or bool((flags or 0) & wanted)
