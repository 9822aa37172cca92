"""Units: the atoms of work and of storage, and what is in one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from inversion_kit import schema
from inversion_kit.arms import ARM_NAME
from inversion_kit.errors import InputError, SchemaError

_ID = re.compile(rf"(\d{{6,9}})-({ARM_NAME.pattern})-(\d{{1,10}})")
KINDS = ("f4", "u1", "i8", "b1", "str")
"""Kinds of variables that files hold."""
Groups = Mapping[str, Mapping[Any, Any]]
"""Group, variable, and its values with their dims: datasets as `schema.UNIT` has them."""


@dataclass(frozen=True, order=True)
class Unit:
    """One label x arm x seed: the atom of work and of storage.

    Raises
    ------
    InputError
        A number is none of 0 to 2**31 - 1, or the arm's name is none.

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
        if not isinstance(self.arm, str) or not ARM_NAME.fullmatch(self.arm):
            raise InputError(
                f"arm={self.arm!r}: lower-case letters, digits, '+' and '_', at most 32"
            )
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
        match = _ID.fullmatch(text)
        if match is None or int(match[3]) >= 2**31:
            return None
        unit = Unit(int(match[1]), match[2], int(match[3]))
        return unit if unit.id == text else None


def digest(units: Iterable[Unit]) -> str:
    """Which units these are, in whatever order, as a sha256."""
    return hashlib.sha256("\n".join(sorted(unit.id for unit in units)).encode()).hexdigest()


class Variable(NamedTuple):
    """Dims, shape and kind of a variable of a unit; whether it is a coordinate."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    kind: str
    coordinate: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its values; of text ``object``."""
        return np.dtype(object if self.kind == "str" else self.kind)


Table = Mapping[str, Mapping[str, Variable]]
"""Group, variable, and its dims, shape and kind."""


def table(groups: Groups) -> dict[str, dict[str, Variable]]:
    """Dims, shapes and kinds of groups; with coordinates where they are datasets.

    Raises
    ------
    SchemaError
        A variable is of a kind that no result has.
    """
    return {
        group: {
            str(name): _about(
                f"/{group}/{name}", held, isinstance(data, xr.Dataset) and name in data.coords
            )
            for name, held in (data.variables if isinstance(data, xr.Dataset) else data).items()
        }
        for group, data in groups.items()
    }


def _about(where: str, held: Any, coordinate: bool) -> Variable:
    dtype = held.dtype
    kind = "str" if dtype.kind in "OUT" else f"{dtype.kind}{dtype.itemsize}"
    if kind not in KINDS:
        raise SchemaError(f"{where}: dtype {dtype}, expected one of {KINDS}")
    return Variable(tuple(map(str, held.dims)), held.shape, kind, coordinate)


def check_table(held: Table, plan: Mapping[str, Any], where: str) -> None:
    """Refuse what is no unit of a plan: /samples, a search, or both, and perhaps a ledger.

    A token beside /samples without the rest of a search was learned without a classifier.

    Raises
    ------
    SchemaError
        With every fault, one a line; ``where`` begins the message.
    """
    faults = []
    searched = held.keys() - {"samples", "ledger"}
    alone = "samples" in held and searched <= {"token"}
    if searched != set(schema.SEARCHED) and not alone:
        faults.append(
            f"groups {sorted(held)}, expected samples, {', '.join(schema.SEARCHED)}, or both, or "
            "samples and token, with or without ledger"
        )
    lengths = {"class": len(plan["classes"]), "judge": len(plan["judges"])}
    for group, variables in held.items():
        known = schema.UNIT.get(group, {})
        faults += schema.group_faults(group, variables, known)
        for name, variable in variables.items():
            if not variable.coordinate and name not in known:
                faults.append(f"/{group}/{name}: not in a unit")
            faults += [
                f"/{group}/{name}: {n} along {dim}, the plan has {lengths[dim]}"
                for dim, n in zip(variable.dims, variable.shape, strict=True)
                if lengths.get(dim, n) != n
            ]
    if faults:
        raise SchemaError(f"{where} is no unit of a result:\n" + "\n".join(faults))


def check_groups(groups: Mapping[str, xr.Dataset], plan: Mapping[str, Any], where: str) -> None:
    """Refuse what is no unit of a plan: what `check_table` refuses, and other names or noise.

    Raises
    ------
    SchemaError
        With every fault, one a line; ``where`` begins the message.
    """
    check_table(table(groups), plan, where)
    names = {"class": plan["classes"], "judge": [name for name, _ in plan["judges"]]}
    faults = []
    for group, data in groups.items():
        faults += schema.bare_faults(group, data)
        for name, variable in data.data_vars.items():
            texts = variable.values.flat if variable.dtype == object else ()
            if not all(isinstance(text, str) for text in texts):
                faults.append(f"/{group}/{name}: not all of it is text")
        for dim in set(map(str, data.dims)) & data.coords.keys() - {*schema.BARE}:
            wanted = names.get(dim, list(range(data.sizes[dim])))
            if data[dim].values.tolist() != wanted:
                faults.append(
                    f"/{group}: {dim} differs from the plan's"
                    if dim in names
                    else f"/{group}: coordinate {dim} does not count from 0"
                )
    seeds = [
        groups[group]["noise_seed"].values if group in groups else np.array([], "i8")
        for group in ("trajectory", "validation", "samples")
    ]
    if faults := faults or schema.noise_faults(*seeds):
        raise SchemaError(f"{where} is no unit of this result:\n" + "\n".join(faults))
