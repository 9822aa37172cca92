"""A made-up result of made-up units."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import xarray as xr

from inversion_kit.errors import InputError
from inversion_kit.seeds import check_seeds
from inversion_kit.storage.assemble import State, assemble
from inversion_kit.storage.units import Unit
from inversion_kit.testing.drawing import COLOURS
from inversion_kit.testing.plan import synthetic_plan
from inversion_kit.testing.unit import OUTCOMES, Units

_BLOCK = 64
"""Labels that are made at once."""
_CREATED = "2026-01-01T00:00:00+00:00"
_LEAST = {"checks": 2, "classes": 2, "size": 2}
"""Least lengths that are not 1."""


def synthetic(
    *,
    labels: int = 1,
    arms: Sequence[str] = ("name", "start", "token"),
    seeds: int | Sequence[int] = 2,
    steps: int = 12,
    checks: int = 4,
    samples: int = 6,
    classes: int = 5,
    size: int = 8,
    judges: Sequence[str] = ("judge",),
    views: Sequence[str] = (),
    outcomes: Sequence[str] = ("meaning",),
    failed: Sequence[tuple[str, str, int]] = (),
    missing: Sequence[tuple[str, str, int]] = (),
    stopped: Sequence[tuple[str, str, int]] = (),
    names: Sequence[str] | None = None,
    method: str = "gradient",
    seed: int = 0,
) -> xr.DataTree:
    """A made-up result of colours: images drift from noise to a disc, probabilities rise.

    Arms and labels share the noise of a seed. The run of seed 0 stalls at the neutral start, asks
    the vocabulary probe and restarts at a word; those of other seeds stay at the neutral start,
    stop one check early and have no probe, so that the padding of a real result is there too. The
    first class is no label: it is what images of noise are read as.

    Parameters
    ----------
    labels, steps, checks, samples, size
        Lengths of the dimensions; ``size`` is y and x. At least 1, ``checks`` and ``size`` 2. The
        labels are "sky", "green", "yellow", ...
    arms
        Names of arms, of `inversion_kit.arms.ARMS` or others, in the order that they shall have.
    seeds
        How many, or which.
    classes
        At least; two more than ``labels`` where that is more.
    judges, views
        Names of held-out classifiers and of views; either may be empty.
    outcomes
        Of each label's token, repeated as often as needed; an arm whose prompt names the class, and
        a control, come to what they always do. ``"meaning"``: read as the label by all.
        ``"trick"``: by the audited classifier and its views alone, on noise. ``"failure"``: by
        none. ``"mixed"``: every other image is the next class.
    failed, missing, stopped
        Units (label, arm, seed) that failed, were not run, or have a search without final images.
    names
        Class names in place of the colours, at least two more than ``labels``.
    method
        With ``"cma"`` searches have a /ledger.
    seed
        Of all that is random here.

    Returns
    -------
    xr.DataTree
        A valid result, see `inversion_kit.schema`.

    Raises
    ------
    InputError
        A length is too small, or an outcome is unknown.

    Examples
    --------
    >>> tree = synthetic(labels=3, failed=[("sky", "token", 0)])
    >>> tree["samples"]["probability"].dims
    ('label', 'arm', 'seed', 'sample', 'class')
    >>> str(tree["status"]["reason"].sel(label="sky", arm="token", seed=0).item())
    'NumericalError: made up'
    """
    _check_lengths(
        labels=labels, steps=steps, checks=checks, samples=samples, classes=classes, size=size
    )
    if unknown := set(outcomes) - set(OUTCOMES):
        raise InputError(f"outcome {min(unknown)!r}: must be one of {OUTCOMES}")
    listed = _names(names, max(classes, labels + 2), labels)
    plan = synthetic_plan(
        range(1, labels + 1),
        classes=listed,
        arms=arms,
        seeds=check_seeds(seeds),
        judges=[*((j, "classifier") for j in judges), *((v, "view") for v in views)],
        steps=steps,
        samples=samples,
        method=method,
    ) | {"created": _CREATED}
    ends = {"failed": failed, "missing": missing, "stopped": stopped}
    chosen = {
        Unit(listed.index(label), arm, one): state
        for state, units in ends.items()
        for label, arm, one in units
    }
    lengths = steps, checks, samples, size, 8
    made: dict[Unit, Any] = {}
    states: dict[Unit, State] = {}
    for unit, groups in _units_of(plan, outcomes, lengths, seed):
        state = chosen.get(unit, "done")
        if state == "missing":
            continue
        states[unit] = state, "NumericalError: made up" * (state == "failed"), 1.5
        if state == "stopped":
            del groups["samples"]
        if state != "failed":
            made[unit] = groups
    return assemble(plan, made, states)


def _check_lengths(**lengths: int) -> None:
    for name, value in lengths.items():
        if value < _LEAST.get(name, 1):
            raise InputError(f"{name}={value}: must be at least {_LEAST.get(name, 1)}")


def _names(names: Sequence[str] | None, n: int, labels: int) -> list[str]:
    """Class names: those given, or ``n`` colours."""
    listed = list(names or [*COLOURS, *(f"colour {i}" for i in range(n))][:n])
    if len(set(listed)) != len(listed) or len(listed) < labels + 2:
        raise InputError(f"names: must be {labels + 2} different ones for labels={labels}")
    return listed


def _units_of(
    plan: Mapping[str, Any], outcomes: Sequence[str], lengths: Sequence[int], variant: int
) -> Iterator[tuple[Unit, dict[str, dict[Any, Any]]]]:
    """Every unit of a plan and its groups, an arm and a block of labels at a time."""
    indices = [index for index, _ in plan["labels"]]
    method = plan["settings"]["method"]
    for arm, seed, low in itertools.product(
        plan["arms"], plan["seeds"], range(0, len(indices), _BLOCK)
    ):
        block = indices[low : low + _BLOCK]
        tokens = [outcomes[(index - 1) % len(outcomes)] for index in block]
        made = Units(block, tokens, arm, seed, plan["classes"], plan["judges"], lengths, variant)
        for index, groups in zip(block, made.units(method), strict=True):
            yield Unit(index, arm, seed), groups
