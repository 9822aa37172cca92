"""The folder of an audit, to write: units appear whole, exactly once, and are never changed."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from inversion_kit import schema
from inversion_kit.errors import InputError, StoreError
from inversion_kit.paths import folder_to_write
from inversion_kit.storage import checkpoints, durable, unit_files
from inversion_kit.storage.audit_folder import (
    DAMAGED,
    FAILED,
    FAILURE,
    HOLDER,
    LOCK,
    PLAN,
    UNITS,
    WHOLE,
    WORKING,
    AuditFolder,
    names_in,
)
from inversion_kit.storage.audit_plan import check_plan
from inversion_kit.storage.lock import locked
from inversion_kit.storage.units import Unit, check_groups
from inversion_kit.storage.whole import write_whole

_STAMPS = ("schema_version", "created")
_MESSAGE, _TRACEBACK = 4_000, 16_000
_SHOWN = 80
"""The most letters of a value that a difference shows."""


class AuditStore(AuditFolder):
    """An audit's folder, to read and write.

    Only one run may `lock` it. `commit`, `fail` and the checkpoints need no lock, so that workers
    on other machines write for the run that holds it.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit.testing import synthetic_plan, synthetic_unit
    >>> store = AuditStore.create(tempfile.mkdtemp(), synthetic_plan([1], seeds=[0]))
    >>> with store.lock():
    ...     store.commit(Unit(1, "token", 0), *synthetic_unit(1, "token", 0))
    True
    >>> store.missing()
    [Unit(label_index=1, arm='name', seed=0)]
    """

    @classmethod
    def create(cls, path: str | os.PathLike[str], plan: Mapping[str, Any]) -> AuditStore:
        """Make the folder, or open one that holds the same plan.

        Parameters
        ----------
        path
            Folder to make; it may exist if it is empty or holds this audit.
        plan
            As `inversion_kit.storage.audit_plan.check_plan` has it, without ``created``.

        Raises
        ------
        InputError
            The plan is not usable, or the folder holds something else.
        StoreLockedError
            Another process makes it just now.
        StoreError
            It cannot be written.
        """
        root = folder_to_write(path)
        wanted = check_plan(dict(plan))
        durable.encode("plan", wanted)
        if clash := set(wanted) & set(_STAMPS):
            raise InputError(f"plan: {sorted(clash)} are written by the store; leave them out")
        if not os.path.exists(root / PLAN):
            if os.path.exists(root) and (foreign := _foreign(root)):
                raise InputError(
                    f"path={str(root)!r} holds no audit but {foreign!r}; give an empty folder"
                )
            stamped = {
                "schema_version": schema.VERSION,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            try:
                for name in (UNITS, FAILED, WORKING):
                    (root / name).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise durable.trouble(root, error) from error
            with locked(root):
                if not (root / PLAN).exists():
                    durable.write_file(root / PLAN, durable.dump(stamped | wanted))
        store = cls(root)
        if differing := store.differences(wanted):
            raise InputError(
                f"path={str(root)!r} holds an audit of other models, settings or libraries; make "
                "them the same, or begin in another folder. It differs in " + "; ".join(differing)
            )
        return store

    def differences(self, plan: Mapping[str, Any]) -> list[str]:
        """A line for every value in which a plan differs from the folder's."""
        own = {name: value for name, value in self.plan.items() if name not in _STAMPS}
        return _differences(own, dict(plan))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one run, and sweep what killed runs left.

        Raises
        ------
        StoreLockedError
            Another run holds it; the message says who.
        StoreError
            The folder cannot be written.
        """
        with locked(self.path):
            self._sweep()
            yield

    def commit(
        self, unit: Unit, groups: Mapping[str, xr.Dataset], attributes: Mapping[str, Any]
    ) -> bool:
        """Store a unit, and drop its checkpoints; nothing of it is visible if that goes wrong.

        Parameters
        ----------
        groups
            Datasets as `schema.UNIT` has them: /samples, a search, or both.
        attributes
            Whatever JSON can hold, with ``seconds``.

        Returns
        -------
        bool
            False where it was there already: the first one stays.

        Raises
        ------
        InputError
            The unit is not in the plan, or the attributes are not JSON.
        SchemaError
            The groups are not those of a unit with the plan's classes and judges.
        StoreError
            It cannot be written.
        """
        self.check(unit)
        check_groups(groups, self.plan, f"unit {unit.id}")
        new = unit_files.write(self.path / UNITS, unit.id, groups, attributes)
        durable.discard(self.path / WORKING / unit.id)
        return new

    def fail(self, unit: Unit, error: BaseException, seconds: float) -> Path:
        """Record a failed attempt and return its folder; its checkpoints are dropped."""
        self.check(unit)
        trace = "".join(traceback.format_exception(error))
        record = {
            "type": type(error).__name__,
            "message": _clean(str(error))[:_MESSAGE],
            "traceback": _clean(trace)[-_TRACEBACK:],
            "seconds": float(seconds),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        number = len(self.attempts(unit)) + 1
        while not durable.write_folder(
            self.path / FAILED, f"{unit.id}-{number}", {FAILURE: durable.dump(record)}
        ):
            number += 1
        durable.discard(self.path / WORKING / unit.id)
        return self.path / FAILED / f"{unit.id}-{number}"

    def save_checkpoint(
        self,
        unit: Unit,
        tensors: Mapping[str, torch.Tensor | np.ndarray],
        meta: Mapping[str, Any],
    ) -> None:
        """Keep the state of a unit in progress; the newest two are kept.

        Parameters
        ----------
        tensors
            Of any device and dtype that safetensors knows.
        meta
            Whatever else, as JSON has it.

        Raises
        ------
        InputError
            The unit is not in the plan, or something cannot be stored.
        StoreError
            It cannot be written; the earlier ones are still there.
        """
        self.check(unit)
        before = self.checkpoints(unit)
        number = int(before[-1].name) + 1 if before else 1
        checkpoints.save(self.path / WORKING / unit.id, number, tensors, meta)
        for old in before[: len(before) + 1 - checkpoints.KEPT]:
            durable.discard(old)

    def load_checkpoint(self, unit: Unit) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Tensors and meta of the newest checkpoint that is whole; None where there is none."""
        self.check(unit)
        for folder in reversed(self.checkpoints(unit)):
            try:
                return checkpoints.load(folder)
            except StoreError:
                continue  # damaged: the generation before it
        return None

    def write_whole(self, group: str, data: xr.Dataset) -> None:
        """Keep a group of the whole result, in the place of an earlier one; it is opened with it.

        An attribute ``units`` says of which units it was made (`units.digest`): it is no longer
        opened once others are done.

        Parameters
        ----------
        group
            One of `schema.WHOLE`: ``"projection"``, for example.

        Raises
        ------
        SchemaError
            It is not as the schema has it.
        StoreError
            It cannot be written.
        """
        write_whole(self.path, group, data)

    def set_aside(self, unit: Unit) -> Path:
        """Move a unit out of the way, for example a damaged one, so that it is made again."""
        self.check(unit)
        return self._move_aside(self.folder(unit))

    def repair(self) -> dict[Unit, str]:
        """Set aside every unit and every record of a failure that is damaged; what is wrong.

        They are kept in ``damaged/``, and the units are missing: whoever runs next makes them
        again. Hold the lock.
        """
        damage = list(self.damaged())
        for _, folder, _ in damage:
            self._move_aside(folder)
        return {unit: why for unit, _, why in damage}

    def _move_aside(self, source: Path) -> Path:
        target = self.path / DAMAGED / f"{source.name}-{time.time_ns()}"
        try:
            target.parent.mkdir(exist_ok=True)
            os.rename(source, target)
        except OSError as error:
            raise durable.trouble(source, error) from error
        return target

    def _sweep(self) -> None:
        for folder in (self.path, *(self.path / n for n in (UNITS, FAILED, WORKING, WHOLE))):
            durable.sweep(folder)
        states = self.states()
        for name in names_in(self.path / WORKING):
            folder, unit = self.path / WORKING / name, Unit.parse(name)
            if folder.is_symlink() or (unit is not None and states.get(unit) == "done"):
                durable.discard(folder)  # of a link that no run made what it leads to stays
            else:
                durable.sweep(folder)


def _foreign(root: Path) -> str | None:
    """The name of something in the folder that no audit put there."""
    own = {UNITS, FAILED, WORKING, WHOLE, DAMAGED, LOCK, HOLDER}
    try:
        names = sorted(os.listdir(root))
    except OSError as error:
        raise durable.trouble(root, error) from error
    return next(
        (n for n in names if n not in own and not n.startswith((durable.PART, durable.SWEPT))),
        None,
    )


def _differences(there: dict[str, Any], wanted: dict[str, Any], within: str = "") -> list[str]:
    """A line for every value that differs, with its name in both."""
    lines = []
    for name in sorted(there.keys() | wanted.keys()):
        old, new = there.get(name), wanted.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += _differences(old, new, f"{within}{name}.")
        elif old != new:
            lines.append(f"{within}{name}: {_first_difference(old, new)}")
    return lines


def _first_difference(old: Any, new: Any) -> str:
    """Both values; of long ones their lengths and where they begin to differ."""
    short = max(len(repr(old)), len(repr(new))) <= _SHOWN
    if short or type(old) is not type(new) or not isinstance(old, list | str):
        return f"there {old!r:.{_SHOWN}}, here {new!r:.{_SHOWN}}"
    pairs = zip(old, new, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(old), len(new)))
    n = 1 if isinstance(old, list) else 20
    return (
        f"there {len(old)} long, here {len(new)}; from {at} on there {old[at : at + n]!r:.{_SHOWN}}"
        f", here {new[at : at + n]!r:.{_SHOWN}}"
    )


def _clean(text: str) -> str:
    """Text that UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode()
