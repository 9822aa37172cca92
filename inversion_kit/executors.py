"""Where units are made: in this process, or by the workers of a dask cluster."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from inversion_kit.audit_store import AuditStore, Unit
from inversion_kit.classifiers import as_classifier
from inversion_kit.errors import StoreError
from inversion_kit.generators import as_generator
from inversion_kit.search import Plan
from inversion_kit.units import Bench, Outcome, make_and_store


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
    path. A unit whose worker dies is made again elsewhere, from its checkpoint.
    """

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, spec: Spec, store: AuditStore, units: Iterable[Unit]) -> Iterator[Outcome]:
        """See `Executor`."""
        from distributed import as_completed

        told = spec if _light(spec) else self.client.scatter(spec, broadcast=True, hash=False)
        waiting = iter(units)
        path = str(Path(store.path).resolve())

        def submit(unit: Unit) -> Any:
            return self.client.submit(
                _on_worker, told, path, unit, key=f"unit-{unit.id}-{spec.key[:12]}", pure=False,
                retries=2,
            )  # fmt: skip

        width = 2 * max(1, len(self.client.scheduler_info(n_workers=-1)["workers"]))
        going = {submit(unit): unit for unit in itertools.islice(waiting, width)}
        queue = as_completed(list(going), raise_errors=False)
        try:
            for future in queue:
                unit = going.pop(future)
                error = future.exception() if future.status == "error" else None
                if error is None:
                    yield future.result()
                elif isinstance(error, StoreError):
                    raise error
                elif store.state(unit) == "done":
                    yield Outcome(unit, "done", 0.0)
                else:  # the workers died of it, again and again
                    store.fail(unit, error, 0.0)
                    yield Outcome(unit, "failed", 0.0, reason=f"{type(error).__name__}: {error}")
                for unit in itertools.islice(waiting, 1):
                    fresh = submit(unit)
                    going[fresh] = unit
                    queue.add(fresh)
        finally:
            self.client.cancel(list(going))


_on_this_worker: dict[str, Bench] = {}
"""The models that this worker process has loaded: one set at a time."""


def _on_worker(spec: Spec, path: str, unit: Unit) -> Outcome:
    if spec.key not in _on_this_worker:
        _on_this_worker.clear()
        _on_this_worker[spec.key] = spec.load()
    store = AuditStore(path)
    if store.state(unit) == "done":  # by a worker that died before it could say so
        return Outcome(unit, "done", 0.0)
    return make_and_store(_on_this_worker[spec.key], store, unit)


def _light(spec: Spec) -> bool:
    return all(x is None or isinstance(x, str) for x in (spec.model, spec.generator, *spec.judges))
