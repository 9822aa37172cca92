"""The folder of an audit, to read: its plan, what became of each unit, who works on it.

=======================================  =========================================================
path                                     content
=======================================  =========================================================
audit.json                               the plan; never changed
units/<label index>-<arm>-<seed>/        a unit that is done, see `inversion_kit.storage.unit_files`
failed/<label index>-<arm>-<seed>-<n>/   failure.json: why the n-th attempt came to nothing
working/<label index>-<arm>-<seed>/<n>/  checkpoints of a unit in progress, the newest two
whole/<group>/                           a group of the whole result, see `write_whole`
damaged/                                 units that were set aside
lock, lock.json                          held by the run; who that is
=======================================  =========================================================

Labels are text in audit.json and nowhere in a path. A record that cannot be read is a `StoreError`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit import schema
from inversion_kit.errors import InputError, SchemaError, StoreError
from inversion_kit.paths import local_path
from inversion_kit.storage import durable, unit_files
from inversion_kit.storage.audit_plan import check_plan
from inversion_kit.storage.units import Unit, check_groups, digest

PLAN, FAILURE, META = "audit.json", "failure.json", "meta.json"
LOCK, HOLDER = "lock", "lock.json"
UNITS, FAILED, WORKING, WHOLE, DAMAGED = "units", "failed", "working", "whole", "damaged"


@dataclass(frozen=True)
class Progress:
    """Where an audit stands.

    Attributes
    ----------
    done, failed, missing
        Units.
    running
        Whether a run holds the lock; None where the system cannot tell.
    holder
        Who that is or was last, if killed: pid, host, since. None after a clean end.
    seconds
        Spent on the units that are done or failed, and on those in progress up to their
        checkpoints.
    left
        Seconds that the missing units may take, by one worker: the mean of the units of each arm
        that are done. None where none is done at all.
    guessed
        Arms with missing units of which none is done: ``left`` takes the slowest other arm for
        them.
    working
        Meta data of the newest checkpoint of every unit in progress.
    """

    done: int
    failed: int
    missing: int
    running: bool | None
    holder: dict[str, Any] | None
    seconds: float
    left: float | None
    guessed: list[str]
    working: dict[Unit, dict[str, Any]]

    @property
    def total(self) -> int:
        """All units of the plan."""
        return self.done + self.failed + self.missing


class AuditFolder:
    """An audit's folder, to read; needs no lock.

    Raises
    ------
    StoreError
        No audit is at ``path``, its plan cannot be read, or another version wrote it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = local_path(path)
        file = self.path / PLAN
        if not os.path.isfile(file):
            raise StoreError(f"path={str(self.path)!r}: no audit there (no {PLAN})")
        content = durable.parse(durable.read_file(file), file)
        version = content.get("schema_version", "missing") if isinstance(content, dict) else None
        if fault := schema.version_fault(version):
            raise StoreError(f"path={str(file)!r}: {fault}")
        try:
            self.plan: dict[str, Any] = check_plan(content)
        except InputError as error:
            raise StoreError(f"path={str(file)!r} is no plan of an audit: {error}") from error
        if not isinstance(content.get("created"), str):
            raise StoreError(f"path={str(file)!r} is no plan of an audit: created must be text")

    @cached_property
    def names(self) -> dict[int, str]:
        """Label names by index."""
        return dict(self.plan["labels"])

    def units(self) -> Iterator[Unit]:
        """All units of the plan, label by label."""
        for index in self.names:
            for arm in self.plan["arms"]:
                for seed in self.plan["seeds"]:
                    yield Unit(index, arm, seed)

    def check(self, unit: Unit) -> None:
        """Refuse a unit that is not in the plan, by an InputError."""
        if not (
            unit.label_index in self.names
            and unit.arm in self.plan["arms"]
            and unit.seed in self.plan["seeds"]
        ):
            raise InputError(
                f"unit {unit.id} is not in the plan: label indices {sorted(self.names)[:9]}..., "
                f"arms {self.plan['arms']}, seeds {self.plan['seeds']}"
            )

    def folder(self, unit: Unit) -> Path:
        """Where a unit is once it is done."""
        return self.path / UNITS / unit.id

    def state(self, unit: Unit) -> str:
        """``"done"``, ``"failed"`` (an attempt failed and none succeeded) or ``"missing"``."""
        self.check(unit)
        if self.folder(unit).is_dir():
            return "done"
        return "failed" if self.attempts(unit) else "missing"

    def states(self) -> dict[Unit, str]:
        """The state of every unit of the plan, from two listings."""
        done = set(names_in(self.path / UNITS))
        failed = {name.rpartition("-")[0] for name in names_in(self.path / FAILED)}
        return {
            unit: "done" if unit.id in done else "failed" if unit.id in failed else "missing"
            for unit in self.units()
        }

    def missing(self) -> list[Unit]:
        """Units that were neither done nor failed yet."""
        return [unit for unit, state in self.states().items() if state == "missing"]

    def failed(self) -> list[Unit]:
        """Units of which every attempt failed."""
        return [unit for unit, state in self.states().items() if state == "failed"]

    def done(self) -> list[Unit]:
        """Units that are there."""
        return [unit for unit, state in self.states().items() if state == "done"]

    def attempts(self, unit: Unit) -> list[Path]:
        """Folders of a unit's failed attempts, first to last."""
        own = [n for n in names_in(self.path / FAILED) if n.rpartition("-")[0] == unit.id]
        return [self.path / FAILED / name for name in sorted(own, key=lambda n: (len(n), n))]

    def failures(self, unit: Unit) -> list[dict[str, Any]]:
        """Why each attempt failed: type, message, traceback, seconds, time; first to last."""
        return [read_failure(folder) for folder in self.attempts(unit)]

    def load(self, unit: Unit) -> tuple[dict[str, xr.Dataset], dict[str, Any]]:
        """Groups and attributes of a unit that is done.

        Raises
        ------
        StoreError
            It is not done, or a file of it is damaged.
        SchemaError
            It is no unit of this audit.
        """
        if self.state(unit) != "done":
            raise StoreError(f"unit {unit.id} is {self.state(unit)} in path={str(self.path)!r}")
        groups, attributes = unit_files.read(self.folder(unit))
        check_groups(groups, self.plan, f"path={str(self.folder(unit))!r}")
        return groups, attributes

    def probability(self, unit: Unit) -> tuple[np.ndarray, float]:
        """The softmax of a unit's final images, float32 ``(sample, class)``, and its seconds.

        Nothing else of the unit is read, and its sha256 is not checked.

        Raises
        ------
        StoreError
            A file of it is damaged, or it has no final images.
        """
        folder = self.folder(unit)
        manifest = durable.manifest(folder)
        about = unit_files.read_table(folder, manifest).get("samples", {}).get("probability")
        if about is None or (about.dims, about.kind) != schema.UNIT["samples"]["probability"]:
            raise StoreError(f"path={str(folder)!r}: it holds no probability of samples")
        values = unit_files.read_array(folder, "samples", "probability", about, np.empty(0, object))
        return values, unit_files.seconds(manifest["note"])

    def damage(self) -> dict[Unit, str]:
        """What is wrong with units that are done or failed, by reading every byte of all."""
        return {unit: why for unit, _, why in self.damaged()}

    def damaged(self) -> Iterator[tuple[Unit, Path, str]]:
        """Each folder of a unit, or of a failed attempt, that is damaged, and what is wrong."""
        for unit, state in self.states().items():
            if state == "done":
                try:
                    self.load(unit)
                except (StoreError, SchemaError) as error:
                    yield unit, self.folder(unit), str(error)
            for folder in self.attempts(unit) if state == "failed" else []:
                try:
                    read_failure(folder)
                except StoreError as error:
                    yield unit, folder, str(error)

    def progress(self) -> Progress:
        """Where the audit stands, whether a run is on it or not."""
        states = self.states()
        count = Counter(states.values())
        took: dict[str, list[float]] = {}
        spent = 0.0
        for unit, state in states.items():
            if state == "done":
                note = durable.manifest(self.folder(unit))["note"]
                took.setdefault(unit.arm, []).append(unit_files.seconds(note))
            elif state == "failed":
                spent += sum(unit_files.seconds(failure) for failure in self.failures(unit))
        parsed = [Unit.parse(name) for name in names_in(self.path / WORKING)]
        working = {u: self._meta(u) for u in parsed if u is not None and states.get(u) != "done"}
        missing = Counter(unit.arm for unit, state in states.items() if state == "missing")
        means = {arm: sum(each) / len(each) for arm, each in took.items()}
        slowest = max(means.values(), default=0.0)
        return Progress(
            done=count["done"],
            failed=count["failed"],
            missing=count["missing"],
            running=self.running(),
            holder=self.holder(),
            seconds=spent
            + sum(sum(each) for each in took.values())
            + sum(unit_files.seconds(meta) for meta in working.values()),
            left=sum(n * means.get(a, slowest) for a, n in missing.items()) if means else None,
            guessed=[a for a in self.plan["arms"] if means and a in missing and a not in means],
            working=working,
        )

    def running(self) -> bool | None:
        """Whether a run holds the lock; None where the system cannot tell without taking it."""
        try:
            import fcntl
        except ImportError:
            return None
        try:
            file = os.open(self.path / LOCK, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return None
        finally:
            os.close(file)
        return False

    def holder(self) -> dict[str, Any] | None:
        """Who holds the lock, or held it when killed: pid, host, since; None if unknown."""
        return read_holder(self.path)

    def checkpoints(self, unit: Unit) -> list[Path]:
        """Folders of a unit's checkpoints, oldest to newest."""
        folder = self.path / WORKING / unit.id
        names = [name for name in names_in(folder) if name.isascii() and name.isdigit()]
        return [folder / name for name in sorted(names, key=int)]

    def whole(self) -> dict[str, xr.Dataset]:
        """The groups of the whole result that `AuditStore.write_whole` stored.

        One that says of which units it was made is there only while these, and no others, are done.
        """
        groups: dict[str, xr.Dataset] = {}
        for name in set(names_in(self.path / WHOLE)) & schema.WHOLE.keys():
            held, attributes = unit_files.read(self.path / WHOLE / name)
            if name in held and attributes.get("units") in (None, digest(self.done())):
                groups[name] = held[name].assign_attrs(attributes)
        return groups

    def _meta(self, unit: Unit) -> dict[str, Any]:
        for folder in reversed(self.checkpoints(unit)):
            try:
                data = durable.read_folder(folder, {META: 2**20})[META]
                content = durable.parse(data, folder / META)
            except StoreError:
                continue  # the run that goes on takes the one before it too
            if isinstance(content, dict):
                return content
        return {}


def read_failure(folder: Path) -> dict[str, Any]:
    """The record of a failed attempt."""
    content = durable.parse(durable.read_folder(folder, {FAILURE: 2**20})[FAILURE], folder)
    texts = ("type", "message", "traceback", "time")
    if not isinstance(content, dict) or not all(isinstance(content.get(n), str) for n in texts):
        raise StoreError(f"path={str(folder / FAILURE)!r} is no record of a failure")
    return content


def read_holder(root: Path) -> dict[str, Any] | None:
    """Who holds the lock of an audit: pid, host, since; None where that is not known."""
    path = root / HOLDER
    try:
        content = durable.parse(durable.read_file(path, 2**16), path)
    except StoreError:
        return None  # gone, which is a clean end
    if not isinstance(content, dict) or type(content.get("pid")) is not int:
        return None
    texts = (content.get("host"), content.get("since"))
    return content if all(isinstance(text, str) for text in texts) else None


def names_in(folder: Path) -> list[str]:
    """Names in a folder but those of temporary files; none where it is not there."""
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise durable.trouble(folder, error, reading=True) from error
