"""An audit's folder as one DataTree of which only the units that are used are read."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from inversion_kit import schema
from inversion_kit.errors import SchemaError
from inversion_kit.storage import durable, unit_files
from inversion_kit.storage.audit_folder import AuditFolder, Unit

_TEXTS = 32
"""Units whose texts are kept in memory."""


def open_audit(path: str | os.PathLike[str]) -> xr.DataTree:
    """Open an audit's folder as a valid audit (`schema.AUDIT`).

    Every unit is as long as the longest: `schema.FILL` stands after the end of a shorter one and
    where a unit is failed or missing, as ``/status`` says. Arrays are read when they are used,
    and a unit's sha256 is checked when it is first used. What is committed later is not seen.

    Raises
    ------
    StoreError
        No audit is there, or the description of a unit is damaged.
    SchemaError
        What is there does not fit together.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit.storage.audit_store import AuditStore, Unit
    >>> from inversion_kit.testing import synthetic_plan, synthetic_unit
    >>> store = AuditStore.create(tempfile.mkdtemp(), synthetic_plan())
    >>> store.commit(Unit(1, "token", 0), *synthetic_unit(1, "token", 0))
    True
    >>> tree = open_audit(store.path)
    >>> tree["samples"]["image"].sizes["label"], int((tree["status"]["status"] == "done").sum())
    (5, 1)
    """
    folder = AuditFolder(path)
    plan = folder.plan
    outer = {
        "label": _text(folder.names.values()),
        "arm": _text(plan["arms"]),
        "seed": np.array(plan["seeds"], dtype="i8"),
    }
    fixed = {"class": _text(plan["classes"]), "judge": _text(name for name, _ in plan["judges"])}
    indices = ("label", np.array(list(folder.names), dtype="i8"))

    units, status = _read_units(folder)
    groups = {"status": xr.Dataset(status, outer | {"label_index": indices})}
    for group, variables in schema.UNIT.items():
        there = [table[group] for table in units.tables if group in table]
        sizes = _sizes(there, {name: len(values) for name, values in fixed.items()})
        arrays = {
            name: xr.Variable(
                (*schema.OUTER, *dims),
                indexing.LazilyIndexedArray(
                    _UnitArray(units, group, name, kind, tuple(sizes.get(d, 0) for d in dims))
                ),
            )
            for name, (dims, kind) in variables.items()
            if (group, name) not in schema.OPTIONAL or any(name in table for table in there)
        }
        inner = {dim for variable in arrays.values() for dim in variable.dims} - {*schema.BARE}
        coordinates: dict[str, Any] = outer | {"label_index": indices}
        for dim in sorted(str(dim) for dim in inner - {*schema.OUTER}):
            coordinates[dim] = fixed[dim] if dim in fixed else np.arange(sizes.get(dim, 0))
        if "judge" in inner:
            coordinates["judge_kind"] = ("judge", _text(kind for _, kind in plan["judges"]))
        groups[group] = xr.Dataset(arrays, coordinates)
    attributes = {
        name: plan[name]
        for name in ("classifier", "classifier_hash", "generator", "generator_hash", "created")
    } | {
        "judges": json.dumps([name for name, _ in plan["judges"]]),
        "judge_hashes": json.dumps(plan["judge_hashes"]),
        "settings": json.dumps(plan["settings"]),
        "versions": json.dumps(plan["versions"]),
        "seconds": float(np.nansum(status["seconds"][1])),
    }
    return schema.build(groups, attributes, kind="audit")


class _Units:
    """The units of an audit that are there, and how to read them."""

    def __init__(self, root: Path, shape: tuple[int, ...]) -> None:
        self.root = root
        self.at = np.full(shape, -1, dtype="i4")
        self.ids: list[str] = []
        self.tables: list[unit_files.Table] = []
        self.verified: set[int] = set()
        self.texts: OrderedDict[int, np.ndarray] = OrderedDict()

    def block(self, number: int, group: str, name: str, key: tuple[slice, ...]) -> np.ndarray:
        """A block of a variable of a unit; the first one checks the unit's arrays."""
        folder = self.root / self.ids[number]
        variable = self.tables[number][group][name]
        if number not in self.verified:
            unit_files.verify(folder)
            self.verified.add(number)
        texts = self._texts(number, folder) if variable.kind == "str" else np.empty(0, object)
        return unit_files.read_array(folder, group, name, variable, texts, key)

    def _texts(self, number: int, folder: Path) -> np.ndarray:
        if number not in self.texts:
            self.texts[number] = unit_files.read_texts(folder)[1]
            while len(self.texts) > _TEXTS:
                self.texts.popitem(last=False)
        return self.texts[number]


class _UnitArray(BackendArray):
    """One variable of all units, of which xarray asks for parts."""

    def __init__(
        self, units: _Units, group: str, name: str, kind: str, inner: tuple[int, ...]
    ) -> None:
        self.units, self.group, self.name = units, group, name
        self.shape = (*units.at.shape, *inner)
        self.dtype = np.dtype(object if kind == "str" else kind)
        self.fill = schema.FILL[kind]

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        """What ``key`` (a number, slice or array a dimension) selects, read unit by unit."""
        wanted = [np.atleast_1d(np.arange(n)[k]) for k, n in zip(key, self.shape, strict=True)]
        result = np.full([len(w) for w in wanted], self.fill, dtype=self.dtype)
        numbers = self.units.at[np.ix_(*wanted[:3])]
        for place in np.argwhere(numbers >= 0):
            number = int(numbers[tuple(place)])
            variable = self.units.tables[number].get(self.group, {}).get(self.name)
            if variable is not None:
                self._fill(result[(*place, ...)], number, variable.shape, wanted[3:])
        whole: np.ndarray = result[
            tuple(0 if isinstance(k, int | np.integer) else slice(None) for k in key)
        ]
        return whole

    def _fill(
        self,
        target: np.ndarray,
        number: int,
        shape: tuple[int, ...],
        wanted: list[np.ndarray],
    ) -> None:
        """Put what a unit has of the wanted block into its place."""
        inside = [np.flatnonzero(w < n) for w, n in zip(wanted, shape, strict=True)]
        if any(len(i) == 0 for i in inside):
            return
        picked = [w[i] for w, i in zip(wanted, inside, strict=True)]
        key = tuple(slice(int(p.min()), int(p.max()) + 1) for p in picked)
        block = self.units.block(number, self.group, self.name, key)
        if any(len(p) != n for p, n in zip(picked, block.shape, strict=True)) or any(
            (np.diff(p) != 1).any() for p in picked
        ):
            block = block[np.ix_(*[p - k.start for p, k in zip(picked, key, strict=True)])]
        if target.shape == block.shape:
            target[...] = block
        else:
            target[np.ix_(*inside)] = block


def _read_units(folder: AuditFolder) -> tuple[_Units, dict[str, Any]]:
    """The tables of all units that are done, and the variables of /status."""
    plan = folder.plan
    shape = len(plan["labels"]), len(plan["arms"]), len(plan["seeds"])
    units = _Units(folder.folder(Unit(0, "name", 0)).parent, shape)
    status = np.full(shape, "missing", dtype=object)
    reason = np.full(shape, "", dtype=object)
    seconds = np.full(shape, np.nan, dtype="f4")
    lengths = {"class": len(plan["classes"]), "judge": len(plan["judges"])}
    same: dict[str, unit_files.Table] = {}
    for place, (unit, state) in zip(np.ndindex(shape), folder.states().items(), strict=True):
        status[place] = state
        if state == "failed":
            failures = folder.failures(unit)
            reason[place] = f"{failures[-1]['type']}: {failures[-1]['message']}"
            seconds[place] = sum(unit_files.seconds(failure) for failure in failures)
        if state == "done":
            path = units.root / unit.id
            manifest = durable.manifest(path)
            digest = str(manifest["files"].get(unit_files.TABLE))
            if digest not in same:
                same[digest] = unit_files.read_table(path, manifest)
                _check(same[digest], lengths, path)
            units.at[place] = len(units.ids)
            units.ids.append(unit.id)
            units.tables.append(same[digest])
            seconds[place] = unit_files.seconds(manifest["note"])
    return units, {
        "status": (schema.OUTER, status),
        "reason": (schema.OUTER, reason),
        "seconds": (schema.OUTER, seconds),
    }


def _check(table: unit_files.Table, lengths: dict[str, int], folder: Path) -> None:
    """Refuse a unit whose variables are not those of `schema.UNIT`, or of another plan."""
    faults = []
    for group, variables in table.items():
        for name, (dims, kind) in schema.UNIT.get(group, {}).items():
            found = variables.get(name)
            if found is None:
                if (group, name) not in schema.OPTIONAL:
                    faults.append(f"/{group}/{name}: missing")
            elif (found.dims, found.kind) != (dims, kind):
                faults.append(f"/{group}/{name}: {found.dims} of {found.kind}")
            else:
                faults += [
                    f"/{group}/{name}: {n} along {d}, the plan has {lengths[d]}"
                    for d, n in zip(dims, found.shape, strict=True)
                    if d in lengths and n != lengths[d]
                ]
    if faults or set(table) not in ({"samples"}, set(schema.UNIT)):
        raise SchemaError(
            f"path={str(folder / unit_files.TABLE)!r} is no unit of this audit; groups "
            f"{sorted(table)}\n" + "\n".join(faults)
        )


def _sizes(there: list[dict[str, unit_files.Variable]], fixed: dict[str, int]) -> dict[str, int]:
    """The greatest length of every dimension."""
    sizes: dict[str, int] = {}
    for table in {id(table): table for table in there}.values():
        for variable in table.values():
            for dim, length in zip(variable.dims, variable.shape, strict=True):
                sizes[dim] = max(length, sizes.get(dim, 0))
    return sizes | fixed


def _text(values: Any) -> np.ndarray:
    """Text as an object array: fixed-width text loses NULs at the end."""
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array
