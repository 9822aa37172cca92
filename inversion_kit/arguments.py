"""Arguments that `invert` and `audit` share, checked before the first second of work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from inversion_kit.classifiers import Classifier, as_classifier
from inversion_kit.errors import InputError
from inversion_kit.gradients import GradientPolicy
from inversion_kit.search import Plan


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
    if not lr > 0:
        raise InputError(f"lr={lr!r}: expected a number above 0, for example 0.3")
    if not 0 < stop_at <= 1:
        raise InputError(f"stop_at={stop_at!r}: expected a probability in (0, 1]")
    return Plan(
        steps=steps, batch=batch, lr=lr, gradient=gradient, stop_at=stop_at,
        check_every=check_every, patience=patience, validation=validation, restarts=restarts,
        start=start,
    )  # fmt: skip


def check_seeds(seed: int | Sequence[int]) -> list[int]:
    """Seeds as a list of different integers of at least 0.

    Examples
    --------
    >>> check_seeds(3)
    [3]
    """
    seeds = [seed] if isinstance(seed, (int, np.integer)) else list(seed)
    good = all(
        isinstance(s, (int, np.integer)) and not isinstance(s, bool) and s >= 0 for s in seeds
    )
    if not seeds or not good or len(set(seeds)) != len(seeds):
        raise InputError(f"seed={seed!r}: expected one or several different integers of at least 0")
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
