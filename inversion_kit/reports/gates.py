"""Conditions under which a report fails, for CI: ``semantic_index<0.5``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import xarray as xr

from inversion_kit.errors import InputError, nearest
from inversion_kit.reports.audit_table import numbers

_SHARES = {
    "success": "success",
    "name_success": "name_success",
    "semantic_index": "semantic_index",
    "view_index": "view_index",
    "gain": "gain",
}
_ENDS = {"": "value", "_low": "low", "_high": "high"}
METRICS: dict[str, tuple[str, str]] = {
    f"{name}{end}": (key, part) for name, key in _SHARES.items() for end, part in _ENDS.items()
} | {"failed": ("failed", ""), "missing": ("missing", "")}
"""What a gate may name: a share of a label in [0, 1] (the gain over the shuffled control in
[-1, 1]), the lower or upper end of its 95 % interval, or how many units failed or are missing."""
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(
    r"\s*([A-Za-z_]+)\s*(<=|>=|==|!=|<|>)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*",
    re.ASCII,
)


@dataclass(frozen=True)
class Gate:
    """A metric of `METRICS`, a comparison and a number; a label for which it is true fails."""

    metric: str
    compare: str
    number: float

    def __str__(self) -> str:
        return f"{self.metric}{self.compare}{self.number:g}"


@dataclass(frozen=True)
class Verdict:
    """What a gate found: labels that fail with their value, and labels without a value."""

    gate: Gate
    failing: dict[str, float]
    unknown: list[str]

    def lines(self) -> list[str]:
        """What to say of it: one line for the gate, one for each label that fails or is unknown."""
        fails = [f"  fails: {label} ({value:.3g})" for label, value in self.failing.items()]
        gaps = [f"  no value: {label}" for label in self.unknown]
        return [f"gate {self.gate}: {len(self.failing)} fail, {len(gaps)} have no value",
                *fails, *gaps]  # fmt: skip


def parse_gate(text: str) -> Gate:
    """Read ``metric op number``; nothing in it is run.

    Raises
    ------
    InputError
        The text has another form, or the metric is unknown.

    Examples
    --------
    >>> parse_gate("semantic_index < 0.5")
    Gate(metric='semantic_index', compare='<', number=0.5)
    """
    found = _FORM.fullmatch(text)
    if not found:
        raise InputError(
            f"fail_if={text!r}: must be a metric, one of {', '.join(_COMPARE)} and a number, "
            "such as 'semantic_index<0.5'"
        )
    metric, compare, number = found.groups()
    if metric not in METRICS:
        raise InputError(
            f"fail_if={text!r}: {metric!r} is no metric; try {nearest(metric, METRICS)} of "
            f"{', '.join(METRICS)}"
        )
    return Gate(metric, compare, float(number))


def check_gate(gate: Gate, found: dict[str, Any]) -> Verdict:
    """The labels of an audit's `audit_table.numbers` for which the gate's condition is true.

    A label without a value is neither: it is listed as unknown.

    Raises
    ------
    InputError
        No label has a value, so the gate would guard nothing.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> tree = synthetic_audit(outcomes=("meaning", "trick"), labels=3)
    >>> check_gate(parse_gate("semantic_index<0.5"), numbers(tree)).failing
    {'green': 0.0}
    """
    key, part = METRICS[gate.metric]
    failing, unknown = {}, []
    for row in found["labels"]:
        share = row[key]
        value = share if not part or share is None else share[part]
        if value is None:
            unknown.append(row["label"])
        elif _COMPARE[gate.compare](value, gate.number):
            failing[row["label"]] = value
    if len(unknown) == len(found["labels"]):
        raise InputError(
            f"fail_if={str(gate)!r}: no label of this audit has {gate.metric!r} (no such images, "
            "no held-out classifier or no control), so nothing would be checked"
        )
    return Verdict(gate, failing, unknown)


def check_gates(texts: Sequence[str], tree: xr.DataTree) -> list[Verdict]:
    r"""What each gate, given as text, finds in an audit.

    Raises
    ------
    InputError
        A gate cannot be read or guards nothing, or the result is no audit.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> print(*check_gates(["success<0.5"], synthetic_audit(outcomes=["failure"], labels=1))[0]
    ...       .lines(), sep="\n")
    gate success<0.5: 1 fail, 0 have no value
      fails: sky (0)
    """
    gates = [parse_gate(text) for text in texts]
    if not gates:
        return []
    if tree.attrs["kind"] != "audit":
        raise InputError("fail_if: gates are for audits, this is a single run; leave it out")
    found = numbers(tree)
    return [check_gate(gate, found) for gate in gates]
