"""Where units are made: in this process, or by the workers of a dask cluster."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import warnings
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, Protocol

from inversion_kit.audits.bench import Bench
from inversion_kit.audits.plan import Task, same_plan
from inversion_kit.audits.units import Outcome, make_and_store, stored
from inversion_kit.errors import InputError, StoreError
from inversion_kit.storage.audit_folder import PLAN
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit


class Executor(Protocol):
    """Makes units and says what became of each, in any order."""

    @property
    def width(self) -> int:
        """How many units are made at a time."""
        ...

    def run(
        self, task: Task, store: AuditStore, units: Iterable[Unit | None]
    ) -> Generator[Outcome, None, None]:
        """Take units from the iterable as workers are free; commit each; yield outcomes.

        None from the iterable: none as long as those under way are not done.
        """
        ...


class InProcess:
    """One unit after the other, here."""

    width = 1

    def run(
        self, task: Task, store: AuditStore, units: Iterable[Unit | None]
    ) -> Generator[Outcome, None, None]:
        """See `Executor`."""
        for unit in filter(None, units):
            yield make_and_store(task.load(), store, unit)


class Dask:
    """The workers of a `dask.distributed.Client`: local, SSH, SLURM, Kubernetes, one a GPU.

    Tasks carry the unit; results go from the worker to the store, which all must see at the same
    path. A unit whose worker dies is made again elsewhere, from its checkpoint; one whose workers
    die more often than dask's ``distributed.scheduler.allowed-failures`` counts as failed.

    Models that have names are loaded by each worker, which must get the weights, settings and
    libraries of the audit's plan; model objects are sent to each worker once, through the
    scheduler, which keeps them: give large models by name.

    Where it ends early, by an interrupt or an error, units that workers have begun are finished
    first, so that nobody writes to a folder that is no longer locked.
    """

    def __init__(self, client: Any) -> None:
        self.client = client

    @property
    def width(self) -> int:
        """One unit a worker; workers may come and go."""
        return max(1, len(self.client.scheduler_info(n_workers=-1)["workers"]))

    def run(
        self, task: Task, store: AuditStore, units: Iterable[Unit | None]
    ) -> Generator[Outcome, None, None]:
        """See `Executor`."""
        from distributed import Event, KilledWorker, as_completed

        waiting = iter(units)
        path = str(Path(store.path).resolve())
        handed = self._handed(task)
        stop = Event(client=self.client)
        going: dict[Any, Unit] = {}
        queue = as_completed(raise_errors=False)

        def fill() -> None:
            """Two tasks a worker are under way."""
            for unit in itertools.islice(waiting, max(0, 2 * self.width - len(going))):
                if unit is None:
                    break
                submit(unit)

        def submit(unit: Unit) -> None:
            future = self.client.submit(_on_worker, handed, path, unit, stop, pure=False)
            going[future] = unit
            queue.add(future)

        try:
            fill()
            for future in queue:
                unit = going.pop(future)
                error = future.exception() if future.status == "error" else None
                if error is None:
                    yield future.result()
                elif not isinstance(error, KilledWorker):
                    raise error  # the store's, or of loading the models: no fault of the unit
                elif (
                    getattr(handed, "status", "") == "error"
                ):  # workers died while they got the task
                    handed = self._handed(task)
                    submit(unit)
                elif store.state(unit) == "done":
                    yield stored(store, unit)
                else:
                    store.fail(unit, error, 0.0)
                    yield Outcome(unit, "failed", 0.0, reason=f"{type(error).__name__}: {error}")
                fill()
        finally:
            if going:
                self._end(stop, list(going))

    def _end(self, stop: Any, going: list[Any]) -> None:
        """Let nothing begin any more, and wait for what has begun."""
        from distributed import wait

        try:
            warnings.warn(
                "the workers finish the units that they have begun, and the folder is locked until "
                "then; interrupt again to leave at once",
                RuntimeWarning,
                stacklevel=2,
            )
        finally:
            with contextlib.suppress(Exception):  # of a cluster that is gone
                stop.set()
                try:
                    wait(going)
                finally:
                    self.client.cancel(going)
                stop.clear()  # the scheduler forgets it

    def _handed(self, task: Task) -> Any:
        """What each unit gets: the task, or where it holds objects something that gives it.

        It can be made again where all workers that hold it die; scattered data cannot.
        """
        if task.named:
            return task
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            return self.client.submit(_given, task, pure=False)


_loaded: dict[str, Bench] = {}
"""The models that this worker process has loaded: one set at a time."""
_at_work = threading.Lock()
"""Held while a unit is made: a worker with several threads still makes one after the other, for
the models are changed for a moment while they are sampled."""


def _given(task: Task) -> Task:
    return task


def _on_worker(task: Task, path: str, unit: Unit, stop: Any) -> Outcome | None:
    """Make a unit; None where ``stop`` was set before it was begun."""
    with _at_work:
        if stop.is_set():
            return None
        store = _seen_here(path)
        if task.key not in _loaded:
            _loaded.clear()
            _loaded[task.key] = _checked(task, store)
        if store.state(unit) == "done":  # by a worker that died before it could say so
            return stored(store, unit)
        return make_and_store(_loaded[task.key], store, unit)


def _seen_here(path: str) -> AuditStore:
    """The audit's folder as this worker sees it."""
    if not (Path(path) / PLAN).is_file():
        raise StoreError(
            f"path={path!r}: the worker on host {socket.gethostname()!r} does not see the audit's "
            "folder. With client= the folder must be at the same path on all machines: give "
            "store= a folder that they share"
        )
    return AuditStore(path)


def _checked(task: Task, store: AuditStore) -> Bench:
    """The models as this worker loads them, where they are those of the audit."""
    bench = task.load()
    try:
        differing = store.differences(same_plan(task, store.plan))
    except InputError as error:
        differing = [str(error)]
    if differing:
        raise InputError(
            f"the worker on host {socket.gethostname()!r} has other models, settings or libraries "
            f"than the audit in path={str(store.path)!r}; make them the same there, or leave that "
            f"worker out. They differ in {'; '.join(differing)}"
        )
    return bench
