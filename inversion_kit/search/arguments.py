"""Arguments that `invert` and `audit` share, checked before the first second of work."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from inversion_kit import objectives
from inversion_kit.classifiers.base import IDENTITY, Classifier, as_classifier
from inversion_kit.errors import InputError, NumericalError, nearest
from inversion_kit.generators.base import Generator
from inversion_kit.generators.gradients import LAST_STEP, GradientPolicy
from inversion_kit.search.cma import least_queries, search_cma
from inversion_kit.search.search import Plan, search

METHODS = {"gradient": search, "cma": search_cma}
"""How a token can be searched for: by the classifier's gradient, or by its scores alone."""
QUERIES = 4000
"""Images that a search without a gradient may ask the classifier about, unless told otherwise."""
_NUMBER = (int, float, np.integer, np.floating)


def check_plan(
    steps: int, batch: int, lr: float, gradient: GradientPolicy, stop_at: float, check_every: int,
    patience: int, validation: int, restarts: int, start: str | None, samples: int, *,
    method: str = "gradient", queries: int | None = None,
    objective: objectives.Objective | None = None, kept: int | None = None,
) -> Plan:  # fmt: skip
    """The settings of a search.

    The plan's queries are those of the search: ``queries`` without ``kept``, which are by default
    the classifier's hash and three arms of final ``samples``.

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
    if objective is not None and not callable(objective):
        raise InputError(
            f"objective={objective!r}: expected a function (logits, target) -> (n,), for example "
            "inversion_kit.objectives.margin"
        )
    if method not in METHODS:
        raise InputError(
            f"method={method!r}: allowed are {', '.join(map(repr, METHODS))}; "
            f"nearest: {nearest(str(method), METHODS)}"
        )
    allowed = 0
    if method == "cma":
        if gradient.name != LAST_STEP.name:
            raise InputError(
                f"gradient={gradient.name!r}: method='cma' asks for no gradient; leave it out"
            )
        kept = IDENTITY + 3 * samples if kept is None else kept
        allowed = _check_queries(queries, batch, validation, kept)
    elif queries is not None:
        raise InputError(f"queries={queries!r}: for method='cma' alone; leave it out")
    return Plan(
        steps=int(steps), batch=int(batch), lr=float(lr), gradient=gradient,
        stop_at=float(stop_at), check_every=int(check_every), patience=int(patience),
        validation=int(validation), restarts=int(restarts), start=start, method=method,
        queries=allowed, objective=objective,
    )  # fmt: skip


def _check_queries(queries: int | None, batch: int, validation: int, kept: int) -> int:
    """What the search may use of the queries."""
    queries = QUERIES if queries is None else queries
    if isinstance(queries, bool) or not isinstance(queries, (int, np.integer)):
        raise InputError(f"queries={queries!r}: expected a whole number, for example {QUERIES}")
    least = kept + least_queries(int(batch), int(validation))
    if queries < least:
        raise InputError(
            f"queries={queries}: at least {least} with batch={batch}, validation={validation}: two "
            f"checks, one generation, and {kept} for final images and the classifier's hash"
        )
    return int(queries) - kept


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


def check_method(plan: Plan, classifier: Classifier) -> Plan:
    """The plan, for this classifier: its default objective is None.

    Raises
    ------
    InputError
        A gradient is wanted of a black box.
    """
    asked = [classifier]
    if isinstance(plan.objective, objectives.OfImages):
        asked += plan.objective.others
    for one in asked:
        if plan.method == "gradient" and not one.differentiable:
            raise InputError(
                f"method='gradient': classifier {one.name!r} is a black box and gives no "
                'gradient; use method="cma"'
            )
    if plan.objective is objectives.default(classifier):
        return replace(plan, objective=None)
    return plan


def rehearse(plan: Plan, classifier: Classifier, target: int, generator: Generator) -> None:
    """Score a random image as the search will: what cannot work is said at once.

    Nothing is asked of the classifier of a search without a gradient: each image is a query.

    Raises
    ------
    InputError
        Scores, objective or gradient are not what they must be.
    NumericalError
        They are not finite.
    """
    random = torch.Generator().manual_seed(0)
    height, width = (generator.call.get(k) or 64 for k in ("height", "width"))
    images = torch.rand(1, 3, height, width, generator=random).to(generator.device)
    objective = plan.objective or objectives.default(classifier)
    if plan.method != "gradient":
        logits = torch.randn(1, len(classifier.labels), generator=random).to(generator.device)
        with torch.no_grad():
            objectives.bind(objective, images)(logits, torch.full((1,), target).to(logits.device))
        return
    with torch.enable_grad():
        logits = classifier.logits(images.requires_grad_())
        wanted = torch.full((1,), target, device=logits.device)
        objectives.bind(objective, images)(logits, wanted)
        weight = torch.randn(logits.shape, generator=random).to(logits)
        (slope,) = torch.autograd.grad((logits * weight).sum(), images)
    if not torch.isfinite(slope).all():
        raise NumericalError(f"classifier {classifier.name!r}: its gradient is not finite")
    if not slope.any():
        raise InputError(
            f"classifier {classifier.name!r}: its gradient is exactly zero; take round, argmax or "
            'sign out of the model and its preprocessing, or use method="cma"'
        )


def follow(generator: Generator, given: Any, classifier: Classifier) -> None:
    """Put a classifier where the generator is, if it was given by name; an object stays."""
    each = given if isinstance(given, (list, tuple)) else [given]
    if all(isinstance(one, (str, os.PathLike)) for one in each):
        classifier.model.to(generator.device)


def check_judges(judges: Sequence[Any], classifier: Classifier) -> list[Classifier]:
    """Judges as classifiers, other ones than the audited, with the same label names.

    Raises
    ------
    InputError
        One of them is no such judge.
    """
    if isinstance(judges, str) or not isinstance(judges, Sequence):
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
