"""Conditions under which a report fails, for CI: ``semantic_index<0.5``."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inversion_kit.errors import InputError, nearest

_ENDS = {"": "value", "_low": "low", "_high": "high"}
METRICS: dict[str, tuple[str, str]] = {
    f"{name}{end}": (name, part)
    for name in ("success", "name_success", "semantic_index", "view_index", "gain")
    for end, part in _ENDS.items()
} | {name: (name, "") for name in ("failed", "missing", "confirmed")}
"""What a gate may name: a share of a label in [0, 1] (the gain over the control, or else over the
start, in [-1, 1]), the lower or upper end of its 95 % interval, how many units failed or are
missing, or how many findings are confirmed."""
_COMPARE = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(
    rf"\s*([A-Za-z_]+)\s*({'|'.join(_COMPARE)})\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*",
    re.ASCII,
)


@dataclass(frozen=True)
class Gate:
    """A condition; a label for which it is true fails.

    Parameters
    ----------
    metric
        A name of `METRICS`, or of the metrics that `parse_gate` was given.
    compare
        ``"<"``, ``"<="``, ``">"``, ``">="``, ``"=="`` or ``"!="``.
    number
        The bound, in the metric's own unit: a share in [0, 1], or a count.
    """

    metric: str
    compare: str
    number: float

    def __str__(self) -> str:
        return f"{self.metric}{self.compare}{self.number:g}"


@dataclass(frozen=True)
class Outcome:
    """What a gate gave.

    Parameters
    ----------
    gate
        The gate.
    failing
        The value of each label for which its condition is true.
    unknown
        Labels without a value.
    """

    gate: Gate
    failing: dict[str, float]
    unknown: list[str]

    def lines(self) -> list[str]:
        """What to say of it.

        Returns
        -------
        list of str
            A line for the gate, then one for each label that fails or is unknown.
        """
        head = f"gate {self.gate}: {len(self.failing)} fail, {len(self.unknown)} have no value"
        fails = [f"  fails: {label} ({value:.3g})" for label, value in self.failing.items()]
        return [head, *fails, *(f"  no value: {label}" for label in self.unknown)]


def parse_gate(text: str, metrics: Mapping[str, tuple[str, str]] = METRICS) -> Gate:
    """Read ``metric op number``; nothing in it is run.

    Parameters
    ----------
    text
        The condition.
    metrics
        What it may name, and where `check_gates` finds that: a key of a label's numbers, and a key
        in it or "".

    Returns
    -------
    Gate
        The metric, the comparison and the bound, a float.

    Raises
    ------
    InputError
        The text has another form, or the metric is unknown.

    Examples
    --------
    >>> parse_gate("semantic_index < 0.5")
    Gate(metric='semantic_index', compare='<', number=0.5)
    """
    match = _FORM.fullmatch(text)
    if not match:
        raise InputError(
            f"fail_if={text!r}: must be a metric, one of {', '.join(_COMPARE)} and a number, "
            "such as 'semantic_index<0.5'"
        )
    metric, compare, number = match.groups()
    if metric not in metrics:
        raise InputError(
            f"fail_if={text!r}: {metric!r} is no metric; try {nearest(metric, metrics)} of "
            f"{', '.join(metrics)}"
        )
    return Gate(metric, compare, float(number))


def check_gates(
    texts: Sequence[str],
    numbers: dict[str, Any],
    metrics: Mapping[str, tuple[str, str]] = METRICS,
) -> list[Outcome]:
    r"""The labels for which each gate's condition is true, of what `numbers` gave.

    A label without a value is neither: it is listed as unknown.

    Parameters
    ----------
    texts
        The conditions.
    numbers
        Its ``labels`` are dicts, each with its ``label``. Findings are counted of classes without
        images in the result too.
    metrics
        As of `parse_gate`: `inversion_kit.analysis.compared_data.GATES` of a comparison.

    Returns
    -------
    list of Outcome
        One of each gate, in their order: which labels fail it, with their values, and which are
        unknown.

    Raises
    ------
    InputError
        A gate cannot be read, or no label has a value, so that it would guard nothing.

    Examples
    --------
    >>> from inversion_kit.analysis import numbers
    >>> from inversion_kit.testing import synthetic
    >>> data = numbers(synthetic(outcomes=["failure"]))
    >>> print(*check_gates(["success<0.5"], data)[0].lines(), sep="\n")
    gate success<0.5: 1 fail, 0 have no value
      fails: sky (0)
    """
    outcomes = []
    for gate in [parse_gate(text, metrics) for text in texts]:
        key, part = metrics[gate.metric]
        failing, unknown = {}, []
        for row in numbers["labels"]:
            value = row[key][part] if part and row[key] is not None else row[key]
            if value is None:
                unknown.append(row["label"])
            elif _COMPARE[gate.compare](value, gate.number):
                failing[row["label"]] = value
        if gate.metric == "confirmed":
            other = numbers["confirmed_elsewhere"].items()
            failing |= {n: v for n, v in other if _COMPARE[gate.compare](v, gate.number)}
        if len(unknown) == len(numbers["labels"]):
            raise InputError(
                f"fail_if={str(gate)!r}: no label of this result has {gate.metric!r} (no such "
                "images, no held-out classifier, no control or no findings), so nothing would be "
                "checked"
            )
        outcomes.append(Outcome(gate, failing, unknown))
    return outcomes
