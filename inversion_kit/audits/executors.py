"""Where units are made: in this process, or by the workers of a dask cluster."""

from __future__ import annotations

import contextlib
import itertools
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from inversion_kit.audits.units import Bench, Outcome, make_and_store, stored
from inversion_kit.classifiers.base import as_classifier
from inversion_kit.generators.base import as_generator
from inversion_kit.search.search import Plan
from inversion_kit.storage.audit_store import AuditStore, Unit


@dataclass
class Spec:
    """What a worker is told: sources of the models, not the loaded models where they have a name.

    Parameters
    ----------
    key
        Equal specs have equal keys: a worker loads the models of a key once.
    """

    key: str
    model: Any
    generator: Any
    judges: Sequence[Any]
    views: Sequence[str]
    templates: dict[str, tuple[str, ...]]
    plan: Plan
    samples: int
    labels: Sequence[str] | None = None
    preprocess: Any = None
    loaded: Bench | None = field(default=None, repr=False)

    def load(self) -> Bench:
        """The loaded models; the same ones when asked again."""
        if self.loaded is None:
            self.loaded = Bench(
                classifier=as_classifier(
                    self.model, preprocess=self.preprocess, labels=self.labels
                ),
                generator=as_generator(self.generator),
                judges=[as_classifier(judge) for judge in self.judges],
                views=self.views,
                templates=self.templates,
                plan=self.plan,
                samples=self.samples,
            )
        return self.loaded

    @property
    def named(self) -> bool:
        """Whether all models have names, by which any machine can load them."""
        models = (self.model, self.generator, *self.judges)
        return all(x is None or isinstance(x, str) for x in models)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "loaded": None}


class Executor(Protocol):
    """Makes units and says what became of each, in any order."""

    def run(self, spec: Spec, store: AuditStore, units: Iterable[Unit]) -> Iterator[Outcome]:
        """Take units from the iterable as workers are free; commit each; yield outcomes."""
        ...


class InProcess:
    """One unit after the other, here."""

    def run(self, spec: Spec, store: AuditStore, units: Iterable[Unit]) -> Iterator[Outcome]:
        """See `Executor`."""
        for unit in units:
            yield make_and_store(spec.load(), store, unit)


class Dask:
    """The workers of a `dask.distributed.Client`: local, SSH, SLURM, Kubernetes, one a GPU.

    Tasks carry the unit; results go from the worker to the store, which all must see at the same
    path. A unit whose worker dies is made again elsewhere, from its checkpoint; one whose workers
    die more often than dask's ``distributed.scheduler.allowed-failures`` counts as failed.

    Models that have names are loaded by each worker; model objects are sent to each worker once,
    through the scheduler, which keeps them: give large models by name.
    """

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, spec: Spec, store: AuditStore, units: Iterable[Unit]) -> Iterator[Outcome]:
        """See `Executor`."""
        from distributed import KilledWorker, as_completed

        waiting = iter(units)
        path = str(Path(store.path).resolve())
        told = self._tell(spec)
        going: dict[Any, Unit] = {}
        queue = as_completed(raise_errors=False)

        def fill() -> None:
            """Two tasks a worker are under way; workers may come and go."""
            width = 2 * max(1, len(self.client.scheduler_info(n_workers=-1)["workers"]))
            for unit in itertools.islice(waiting, max(0, width - len(going))):
                submit(unit)

        def submit(unit: Unit) -> None:
            future = self.client.submit(_on_worker, told, path, unit, pure=False)
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
                elif getattr(told, "status", "") == "error":  # workers died while they were told
                    told = self._tell(spec)
                    submit(unit)
                elif store.state(unit) == "done":
                    yield stored(store, unit)
                else:
                    store.fail(unit, error, 0.0)
                    yield Outcome(unit, "failed", 0.0, reason=f"{type(error).__name__}: {error}")
                fill()
        finally:
            with contextlib.suppress(Exception):  # of a cluster that is gone
                self.client.cancel(list(going))

    def _tell(self, spec: Spec) -> Any:
        """What each task gets: the spec, or where it holds objects a task that gives it.

        A task can be done again where all workers that hold its result die; scattered data cannot.
        """
        if spec.named:
            return spec
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            return self.client.submit(_told, spec, pure=False)


_on_this_worker: dict[str, Bench] = {}
"""The models that this worker process has loaded: one set at a time."""
_at_work = threading.Lock()
"""Held while a unit is made: a worker with several threads still makes one after the other, for
the models are changed for a moment while they are sampled."""


def _told(spec: Spec) -> Spec:
    return spec


def _on_worker(spec: Spec, path: str, unit: Unit) -> Outcome:
    with _at_work:
        if spec.key not in _on_this_worker:
            _on_this_worker.clear()
            _on_this_worker[spec.key] = spec.load()
        store = AuditStore(path)
        if store.state(unit) == "done":  # by a worker that died before it could say so
            return stored(store, unit)
        return make_and_store(_on_this_worker[spec.key], store, unit)
