"""The folder of an audit, to read: its plan, what became of each unit, who works on it.

=======================================  =========================================================
path                                     content
=======================================  =========================================================
audit.json                               the plan; never changed
units/<label index>-<arm>-<seed>/        a unit that is done, see `inversion_kit.storage.unit_files`
failed/<label index>-<arm>-<seed>-<n>/   failure.json: why the n-th attempt came to nothing
working/<label index>-<arm>-<seed>/<n>/  checkpoints of a unit in progress, the newest two
damaged/                                 units that were set aside
lock, lock.json                          held by the run; who that is
=======================================  =========================================================

Labels are text in audit.json and nowhere in a path.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import xarray as xr

from inversion_kit import schema
from inversion_kit.errors import InputError, SchemaError, StoreError
from inversion_kit.storage import durable, unit_files
from inversion_kit.storage.audit_plan import ARMS, check_plan

PLAN, FAILURE, META = "audit.json", "failure.json", "meta.json"
LOCK, HOLDER = "lock", "lock.json"
UNITS, FAILED, WORKING, DAMAGED = "units", "failed", "working", "damaged"
_ID = re.compile(r"(\d{6,9})-([a-z+]+)-(\d{1,10})")


@dataclass(frozen=True, order=True)
class Unit:
    """One label x arm x seed: the atom of work and of storage.

    Examples
    --------
    >>> Unit(7, "token", 0).id
    '000007-token-0'
    >>> Unit.parse("000007-token-0")
    Unit(label_index=7, arm='token', seed=0)
    """

    label_index: int
    arm: str
    seed: int

    def __post_init__(self) -> None:
        if self.arm not in ARMS:
            raise InputError(f"arm={self.arm!r}: must be one of {ARMS}")
        for name, value in (("label_index", self.label_index), ("seed", self.seed)):
            if type(value) is not int or not 0 <= value < 2**31:
                raise InputError(f"{name}={value!r}: must be a whole number from 0 below 2**31")

    @property
    def id(self) -> str:
        """The name of its folder."""
        return f"{self.label_index:06d}-{self.arm}-{self.seed}"

    @staticmethod
    def parse(text: str) -> Unit | None:
        """The unit of an `id`; None where the text is none."""
        found = _ID.fullmatch(text)
        if found is None or found[2] not in ARMS:
            return None
        unit = Unit(int(found[1]), found[2], int(found[3])) if int(found[3]) < 2**31 else None
        return unit if unit is not None and unit.id == text else None


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

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    StoreError
        No audit is there, or its plan cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        file = self.path / PLAN
        if not os.path.isfile(file):
            raise StoreError(f"path={str(self.path)!r}: no audit there (no {PLAN})")
        content = durable.parse(durable.read_file(file), file)
        try:
            self.plan: dict[str, Any] = check_plan(content)
            if content.get("schema_version") != schema.VERSION:
                raise InputError(
                    f"schema_version {content.get('schema_version')!r}: this reads {schema.VERSION}"
                )
            if not isinstance(content.get("created"), str):
                raise InputError("created: must be text")
        except InputError as error:
            raise StoreError(f"path={str(file)!r} is no plan of an audit: {error}") from error

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

    def __contains__(self, unit: Unit) -> bool:
        return (
            unit.label_index in self.names
            and unit.arm in self.plan["arms"]
            and unit.seed in self.plan["seeds"]
        )

    def folder(self, unit: Unit) -> Path:
        """Where a unit is once it is done."""
        return self.path / UNITS / unit.id

    def state(self, unit: Unit) -> str:
        """``"done"``, ``"failed"`` (an attempt failed and none succeeded) or ``"missing"``.

        Raises
        ------
        InputError
            The unit is not in the plan.
        """
        self.check(unit)
        if self.folder(unit).is_dir():
            return "done"
        return "failed" if self.attempts(unit) else "missing"

    def states(self) -> dict[Unit, str]:
        """The state of every unit of the plan, from two listings."""
        done = set(_names(self.path / UNITS))
        failed = {name.rpartition("-")[0] for name in _names(self.path / FAILED)}
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
        found = [n for n in _names(self.path / FAILED) if n.rpartition("-")[0] == unit.id]
        return [self.path / FAILED / name for name in sorted(found, key=_number)]

    def failures(self, unit: Unit) -> list[dict[str, Any]]:
        """Why each attempt failed: type, message, traceback, seconds, time; first to last.

        Raises
        ------
        StoreError
            A record is damaged.
        """
        return [read_failure(folder) for folder in self.attempts(unit)]

    def load(self, unit: Unit) -> tuple[dict[str, xr.Dataset], dict[str, Any]]:
        """Groups and attributes of a unit that is done.

        Raises
        ------
        StoreError
            It is not done, or a file of it is damaged.
        """
        if self.state(unit) != "done":
            raise StoreError(f"unit {unit.id} is {self.state(unit)} in path={str(self.path)!r}")
        return unit_files.read(self.folder(unit))

    def damage(self) -> dict[Unit, str]:
        """What is wrong with units that are done or failed, by reading every byte of all."""
        return {unit: why for unit, _, why in self.damaged()}

    def damaged(self) -> Iterator[tuple[Unit, Path, str]]:
        """Each folder of a unit, or of a failed attempt, that is damaged, and what is wrong."""
        for unit, state in self.states().items():
            folders = [self.folder(unit)] if state == "done" else []
            for folder in self.attempts(unit) if state == "failed" else folders:
                try:
                    if state == "failed":
                        read_failure(folder)
                    else:
                        self.check_groups(unit, unit_files.read(folder)[0])
                except (StoreError, SchemaError) as error:
                    yield unit, folder, str(error)

    def progress(self) -> Progress:
        """Where the audit stands, whether a run is on it or not.

        Raises
        ------
        StoreError
            A record is damaged.
        """
        states = self.states()
        count = Counter(states.values())
        took: dict[str, list[float]] = {}
        seconds = 0.0
        for unit, state in states.items():
            if state == "done":
                note = durable.manifest(self.folder(unit))["note"]
                took.setdefault(unit.arm, []).append(unit_files.seconds(note))
            elif state == "failed":
                seconds += sum(unit_files.seconds(failure) for failure in self.failures(unit))
        working = {}
        for name in _names(self.path / WORKING):
            unit_ = Unit.parse(name)
            if unit_ is not None and states.get(unit_) != "done":
                working[unit_] = self._meta(unit_)
        missing = Counter(unit.arm for unit, state in states.items() if state == "missing")
        means = {arm: sum(each) / len(each) for arm, each in took.items()}
        slowest = max(means.values(), default=0.0)
        return Progress(
            done=count["done"],
            failed=count["failed"],
            missing=count["missing"],
            running=self.running(),
            holder=self.holder(),
            seconds=seconds
            + sum(sum(each) for each in took.values())
            + sum(unit_files.seconds(meta) for meta in working.values()),
            left=sum(n * means.get(a, slowest) for a, n in missing.items()) if means else None,
            guessed=sorted(missing.keys() - means.keys(), key=ARMS.index) if means else [],
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
        path = self.path / HOLDER
        try:
            content = durable.parse(durable.read_file(path, 2**16), path)
        except StoreError:
            return None  # gone, which is a clean end
        if not isinstance(content, dict) or type(content.get("pid")) is not int:
            return None
        texts = (content.get("host"), content.get("since"))
        return content if all(isinstance(text, str) for text in texts) else None

    def checkpoints(self, unit: Unit) -> list[Path]:
        """Folders of a unit's checkpoints, oldest to newest."""
        folder = self.path / WORKING / unit.id
        names = [name for name in _names(folder) if name.isascii() and name.isdigit()]
        return [folder / name for name in sorted(names, key=int)]

    def check(self, unit: Unit) -> None:
        """Refuse a unit that is not in the plan.

        Raises
        ------
        InputError
            It is not.
        """
        if unit not in self:
            raise InputError(
                f"unit {unit.id} is not in the plan: label indices {sorted(self.names)[:9]}..., "
                f"arms {self.plan['arms']}, seeds {self.plan['seeds']}"
            )

    def check_groups(self, unit: Unit, groups: Mapping[str, xr.Dataset]) -> None:
        """Refuse groups that are another unit's: of another arm, or other classes or judges.

        Raises
        ------
        SchemaError
            They are.
        """
        alone = unit.arm == unit_files.NAME_ARM
        if (set(groups) == {"samples"}) != alone:
            raise SchemaError(f"unit {unit.id}: groups {sorted(groups)} do not go with its arm")
        wanted = {
            "class": self.plan["classes"],
            "judge": [name for name, _ in self.plan["judges"]],
        }
        for group, data in groups.items():
            for dim, names in wanted.items():
                if dim in data.dims and data[dim].values.tolist() != names:
                    raise SchemaError(f"unit {unit.id}, /{group}: {dim} differs from the plan's")

    def _meta(self, unit: Unit) -> dict[str, Any]:
        for folder in reversed(self.checkpoints(unit)):
            try:
                read = durable.read_folder(folder, {META: 2**20})[META]
                content = durable.parse(read, folder / META)
            except StoreError:
                continue  # the run that goes on takes the one before it too
            if isinstance(content, dict):
                return content
        return {}


def read_failure(folder: Path) -> dict[str, Any]:
    """The record of a failed attempt.

    Raises
    ------
    StoreError
        It is damaged.
    """
    content = durable.parse(durable.read_folder(folder, {FAILURE: 2**20})[FAILURE], folder)
    texts = ("type", "message", "traceback", "time")
    if not isinstance(content, dict) or not all(isinstance(content.get(n), str) for n in texts):
        raise StoreError(f"path={str(folder / FAILURE)!r} is no record of a failure")
    return content


def _names(folder: Path) -> list[str]:
    """Names in a folder but those of temporary files; none where it is not there."""
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise durable.trouble(folder, error, reading=True) from error


def _number(name: str) -> int:
    end = name.rpartition("-")[2]
    return int(end) if end.isascii() and end.isdigit() and len(end) < 10 else 0
