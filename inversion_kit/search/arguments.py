"""Arguments that `invert` and `audit` share, checked before the first second of work."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from inversion_kit.classifiers.base import Classifier, as_classifier
from inversion_kit.errors import InputError
from inversion_kit.generators.gradients import GradientPolicy
from inversion_kit.search.search import Plan

_NUMBER = (int, float, np.integer, np.floating)


def check_plan(
    steps: int, batch: int, lr: float, gradient: GradientPolicy, stop_at: float, check_every: int,
    patience: int, validation: int, restarts: int, start: str | None, samples: int,
) -> Plan:  # fmt: skip
    """The settings of a search.

    Raises
    ------
    InputError
        One of them is out of its range.
    """
    whole = {
        "steps": (steps, 0), "batch": (batch, 1), "check_every": (check_every, 1),
        "patience": (patience, 1), "validation": (validation, 1), "restarts": (restarts, 0),
        "samples": (samples, 1),
    }  # fmt: skip
    for argument, (value, least) in whole.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise InputError(f"{argument}={value!r}: expected a whole number of at least {least}")
    if isinstance(lr, bool) or not isinstance(lr, _NUMBER) or not 0 < lr < math.inf:
        raise InputError(f"lr={lr!r}: expected a number above 0, for example 0.3")
    if isinstance(stop_at, bool) or not isinstance(stop_at, _NUMBER) or not 0 < stop_at <= 1:
        raise InputError(f"stop_at={stop_at!r}: expected a probability in (0, 1]")
    return Plan(
        steps=int(steps), batch=int(batch), lr=float(lr), gradient=gradient,
        stop_at=float(stop_at), check_every=int(check_every), patience=int(patience),
        validation=int(validation), restarts=int(restarts), start=start,
    )  # fmt: skip


def check_seeds(seed: int | Sequence[int], argument: str = "seed") -> list[int]:
    """Seeds as a list of different integers of at least 0.

    Raises
    ------
    InputError
        They are not; the message calls them ``argument``.

    Examples
    --------
    >>> check_seeds(3)
    [3]
    """
    one = not isinstance(seed, Iterable) or isinstance(seed, str)
    seeds: list[Any] = [seed] if one else list(seed)  # type: ignore[arg-type]
    good = all(
        isinstance(s, (int, np.integer)) and not isinstance(s, bool) and s >= 0 for s in seeds
    )
    if not seeds or not good or len(set(seeds)) != len(seeds):
        raise InputError(
            f"{argument}={seed!r}: expected one or several different integers of at least 0"
        )
    return [int(s) for s in seeds]


def check_judges(judges: Sequence[Any], classifier: Classifier) -> list[Classifier]:
    """Judges as classifiers, other ones than the audited, with the same label names.

    Raises
    ------
    InputError
        One of them is no such judge.
    """
    if isinstance(judges, str):
        raise InputError(f"judges={judges!r}: expected a sequence; give [{judges!r}]")
    panel = [as_classifier(judge) for judge in judges]
    for judge in panel:
        if judge.labels != classifier.labels:
            raise InputError(
                f"judges: {judge.name!r} has other label names than {classifier.name!r}; a judge "
                "must name the same classes in the same order"
            )
        if judge.hash == classifier.hash:
            raise InputError(
                f"judges: {judge.name!r} has the same weights as the audited classifier; a judge "
                "must be another one"
            )
    names = [judge.name for judge in panel]
    if len(set(names)) != len(names):
        raise InputError(f"judges: names {names} must differ; give as_classifier(judge, name=...)")
    return panel
