"""One result of many units: of units in memory, or of an audit's folder, lazily.

Every unit is as long as the longest: `schema.FILL` stands after the end of a shorter one and where
a unit has nothing, as ``/status`` says.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from inversion_kit import schema
from inversion_kit.arms import remember
from inversion_kit.storage import durable, unit_files
from inversion_kit.storage.audit_folder import AuditFolder
from inversion_kit.storage.units import Groups, Table, Unit, check_table, table

_TEXTS = 32
"""Units whose texts are kept in memory."""
State = tuple[str, str, float]
"""What became of a unit: one of `schema.STATES`, why, and its seconds."""
_Read = Callable[[int, str, str, tuple[slice, ...]], np.ndarray]


def assemble(
    plan: Mapping[str, Any],
    units: Mapping[Unit, Groups],
    states: Mapping[Unit, State],
    *,
    attributes: Mapping[str, Any] | None = None,
    whole: Mapping[str, xr.Dataset] | None = None,
) -> xr.DataTree:
    """Make one result of units in memory.

    Parameters
    ----------
    plan
        As `inversion_kit.storage.audit_plan.check_plan` has it, with ``created``.
    units
        Group, variable, values with dims as `schema.UNIT` has them (datasets, for example) of the
        units that there are: /samples, a search, or both.
    states
        Status ("done", "failed", "stopped" or "missing"), reason and seconds of each; "missing"
        where not given.
    attributes
        More root attributes, for example ``stopped``.
    whole
        Groups of `schema.WHOLE`.

    Raises
    ------
    SchemaError
        The units do not fit the schema or the plan.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_plan, synthetic_unit
    >>> plan = synthetic_plan([1], arms=["token"], seeds=[0]) | {"created": "2026-01-01T00:00:00"}
    >>> tree = assemble(plan, {Unit(1, "token", 0): synthetic_unit(1)[0]},
    ...                 {Unit(1, "token", 0): ("done", "", 2.0)})
    >>> tree["samples"]["image"].dims
    ('label', 'arm', 'seed', 'sample', 'y', 'x', 'channel')
    """
    layout = _Layout(plan)
    held: list[Groups] = []
    for unit, groups in units.items():
        layout.add(unit, table(groups), f"unit {unit.id}")
        held.append(groups)

    def read(number: int, group: str, name: str, key: tuple[slice, ...]) -> np.ndarray:
        return np.asarray(held[number][group][name].values)[key]

    arrays = layout.arrays(read, lambda array: array.whole())
    return _tree(layout, arrays, states, attributes or {}, whole or {})


def open_audit(path: str | os.PathLike[str]) -> xr.DataTree:
    """Open an audit's folder as a result; arrays are read when they are used.

    A unit's sha256 is checked when it is first used. What is committed later is not seen.

    Raises
    ------
    StoreError
        No audit is there, or the description of a unit is damaged.
    SchemaError
        What is there does not fit together.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit.storage.audit_store import AuditStore
    >>> from inversion_kit.testing import synthetic_plan, synthetic_unit
    >>> store = AuditStore.create(tempfile.mkdtemp(), synthetic_plan())
    >>> store.commit(Unit(1, "token", 0), *synthetic_unit(1, "token", 0))
    True
    >>> tree = open_audit(store.path)
    >>> tree["samples"]["image"].sizes["label"], int((tree["status"]["status"] == "done").sum())
    (5, 1)
    """
    folder = AuditFolder(path)
    layout = _Layout(folder.plan)
    paths: list[Path] = []
    states: dict[Unit, State] = {}
    same: dict[str, Table] = {}
    for unit, state in folder.states().items():
        states[unit] = state, "", np.nan
        if state == "failed":
            failures = folder.failures(unit)
            reason = f"{failures[-1]['type']}: {failures[-1]['message']}"
            states[unit] = state, reason, sum(map(unit_files.seconds, failures))
        if state == "done":
            at = folder.folder(unit)
            manifest = durable.manifest(at)
            digest = str(manifest["files"].get(unit_files.TABLE))
            if digest not in same:
                same[digest] = unit_files.read_table(at, manifest)
            layout.add(unit, same[digest], f"path={str(at / unit_files.TABLE)!r}")
            paths.append(at)
            ended = "done" if "samples" in same[digest] else "stopped"
            states[unit] = ended, "", unit_files.seconds(manifest["note"])
    arrays = layout.arrays(_Files(paths, layout.tables).block, indexing.LazilyIndexedArray)
    return _tree(layout, arrays, states, {}, folder.whole())


class _Layout:
    """Where the units of a plan stand in a result, and their dims and shapes."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.plan = plan
        self.outer = [index for index, _ in plan["labels"]], plan["arms"], plan["seeds"]
        self.places = [{value: i for i, value in enumerate(values)} for values in self.outer]
        self.at = np.full([len(values) for values in self.outer], -1, dtype="i4")
        self.lengths = {"class": len(plan["classes"]), "judge": len(plan["judges"])}
        self.tables: list[Table] = []
        self._same: dict[str, Table] = {}

    def place(self, unit: Unit) -> tuple[int, ...]:
        values = unit.label_index, unit.arm, unit.seed
        return tuple(place[value] for place, value in zip(self.places, values, strict=True))

    def add(self, unit: Unit, held: Table, where: str) -> None:
        """Give a unit the next number; tables that are the same are checked and kept once."""
        key = repr(held)
        if key not in self._same:
            check_table(held, self.plan, where)
            self._same[key] = held
        self.at[self.place(unit)] = len(self.tables)
        self.tables.append(self._same[key])

    def arrays(self, read: _Read, hold: Callable[[_Array], Any]) -> dict[str, dict[str, Any]]:
        """Group, variable, and its dims and values."""
        made: dict[str, dict[str, Any]] = {}
        different = list(self._same.values())
        for group in schema.STORED:
            there = [held[group] for held in different if group in held]
            if group == "ledger" and not there:
                continue
            sizes: dict[str, int] = dict(self.lengths)
            for variable in (v for variables in there for v in variables.values()):
                for dim, length in zip(variable.dims, variable.shape, strict=True):
                    sizes[dim] = max(length, sizes.get(dim, 0))
            made[group] = {}
            for name, (dims, kind) in schema.UNIT[group].items():
                if (group, name) in schema.OPTIONAL and not any(name in held for held in there):
                    continue
                inner = tuple(sizes.get(dim, 0) for dim in dims)
                array = _Array(self.at, self.tables, read, (group, name), kind, inner)
                made[group][name] = ((*schema.OUTER, *dims), hold(array))
        return made


class _Array(BackendArray):
    """One variable of all units; xarray asks for parts of it."""

    def __init__(
        self,
        at: np.ndarray,
        tables: Sequence[Table],
        read: _Read,
        name: tuple[str, str],
        kind: str,
        inner: tuple[int, ...],
    ) -> None:
        self.at, self.tables, self.read, self.name = at, tables, read, name
        self.shape = (*at.shape, *inner)
        self.dtype = np.dtype(object if kind == "str" else kind)
        self.fill = schema.FILL[kind]

    def whole(self) -> np.ndarray:
        """All of it, in memory."""
        group, name = self.name
        result = np.full(self.shape, self.fill, dtype=self.dtype)
        for place in np.ndindex(self.at.shape):
            number = int(self.at[place])
            held = self.tables[number].get(group, {}).get(name) if number >= 0 else None
            if held is not None:
                result[(*place, *map(slice, held.shape))] = self.read(number, group, name, ())
        return result

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._part
        )

    def _part(self, key: tuple[Any, ...]) -> np.ndarray:
        """What ``key`` (a number, slice or array a dimension) selects, read unit by unit."""
        wanted = [np.atleast_1d(np.arange(n)[k]) for k, n in zip(key, self.shape, strict=True)]
        result = np.full([len(w) for w in wanted], self.fill, dtype=self.dtype)
        if result.size:
            numbers = self.at[np.ix_(*wanted[:3])]
            spans = [slice(int(w.min()), int(w.max()) + 1) for w in wanted[3:]]
            straight = all((np.diff(w) == 1).all() for w in wanted[3:])
            for place in np.argwhere(numbers >= 0):
                number = int(numbers[tuple(place)])
                held = self.tables[number].get(self.name[0], {}).get(self.name[1])
                if held is not None:
                    target = result[(*place, ...)]
                    self._fill(target, number, held.shape, spans, None if straight else wanted[3:])
        part: np.ndarray = result[
            tuple(0 if isinstance(k, int | np.integer) else slice(None) for k in key)
        ]
        return part

    def _fill(
        self,
        target: np.ndarray,
        number: int,
        shape: tuple[int, ...],
        spans: Sequence[slice],
        wanted: Sequence[np.ndarray] | None,
    ) -> None:
        """Put what a unit has of the spans, or of what is wanted within them, into its place."""
        key = tuple(slice(s.start, min(s.stop, n)) for s, n in zip(spans, shape, strict=True))
        if any(k.start >= k.stop for k in key):
            return
        block = self.read(number, *self.name, key)
        if wanted is None:
            target[tuple(map(slice, block.shape))] = block
            return
        inside = [np.flatnonzero(w < k.stop) for w, k in zip(wanted, key, strict=True)]
        picked = [w[i] - k.start for w, i, k in zip(wanted, inside, key, strict=True)]
        target[np.ix_(*inside)] = block[np.ix_(*picked)]


class _Files:
    """The files of units, read by parts; each unit's arrays are checked when first used."""

    def __init__(self, paths: Sequence[Path], tables: Sequence[Table]) -> None:
        self.paths, self.tables = paths, tables
        self.verified: set[int] = set()
        self.texts: OrderedDict[int, np.ndarray] = OrderedDict()

    def block(self, number: int, group: str, name: str, key: tuple[slice, ...]) -> np.ndarray:
        folder, variable = self.paths[number], self.tables[number][group][name]
        if number not in self.verified:
            unit_files.verify(folder)
            self.verified.add(number)
        if variable.kind == "str" and number not in self.texts:
            self.texts[number] = unit_files.read_texts(folder)[1]
            while len(self.texts) > _TEXTS:
                self.texts.popitem(last=False)
        texts = self.texts[number] if variable.kind == "str" else np.empty(0, object)
        return unit_files.read_array(folder, group, name, variable, texts, key)


def _tree(
    layout: _Layout,
    arrays: Mapping[str, Mapping[str, Any]],
    states: Mapping[Unit, State],
    attributes: Mapping[str, Any],
    whole: Mapping[str, xr.Dataset],
) -> xr.DataTree:
    plan = layout.plan
    remember(plan["settings"].get("arms"))
    outer: dict[str, Any] = {
        "label": texts(name for _, name in plan["labels"]),
        "label_index": ("label", np.array(layout.outer[0], dtype="i8")),
        "arm": texts(plan["arms"]),
        "seed": np.array(plan["seeds"], dtype="i8"),
    }
    names = {
        "class": texts(plan["classes"]),
        "judge": texts(name for name, _ in plan["judges"]),
        "judge_kind": ("judge", texts(kind for _, kind in plan["judges"])),
    }
    groups = {}
    for group, variables in arrays.items():
        data = xr.Dataset(dict(variables))
        own = [d for d in map(str, data.dims) if d not in (*schema.OUTER, *schema.BARE)]
        at = {dim: names.get(dim, np.arange(data.sizes[dim])) for dim in own}
        if "judge" in at:
            at["judge_kind"] = names["judge_kind"]
        groups[group] = data.assign_coords(outer | at)
    shape = layout.at.shape
    status = {
        "status": np.full(shape, "missing", dtype=object),
        "reason": np.full(shape, "", dtype=object),
        "seconds": np.full(shape, np.nan, dtype="f4"),
    }
    for unit, state in states.items():
        for values, value in zip(status.values(), state, strict=True):
            values[layout.place(unit)] = value
    groups["status"] = xr.Dataset({n: (schema.OUTER, v) for n, v in status.items()}, outer)
    same = ("classifier", "classifier_hash", "generator", "generator_hash", "created")
    root = {name: plan[name] for name in same} | {
        "judges": json.dumps([name for name, _ in plan["judges"]]),
        "judge_hashes": json.dumps(plan["judge_hashes"]),
        "settings": json.dumps(plan["settings"]),
        "versions": json.dumps(plan["versions"]),
        "seconds": float(np.nansum(status["seconds"])),
    }
    return schema.build({**groups, **whole}, {**root, **attributes})


def texts(values: Iterable[str]) -> np.ndarray:
    """Text as an object array: fixed-width text loses NULs at the end."""
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array
