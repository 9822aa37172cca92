"""`audit`: many labels of one classifier, with controls, seeds and judges, into a folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from torch import Tensor

from inversion_kit.audits.executors import Dask, Executor, InProcess
from inversion_kit.audits.schedule import (
    Estimate,
    clock,
    estimate,
    in_order,
    seconds_of,
    within,
)
from inversion_kit.audits.spec import Spec, spec_of, templates_of, written, written_again
from inversion_kit.audits.units import Bench, Outcome, stored
from inversion_kit.classifiers.views import VIEWS, check_views
from inversion_kit.errors import InputError, LabelError
from inversion_kit.generators.gradients import GradientPolicy, as_policy
from inversion_kit.generators.prompts import NAME_FREE, check_templates, in_utf8
from inversion_kit.objectives import Objective
from inversion_kit.progress import bar
from inversion_kit.search.arguments import (
    check_judges,
    check_method,
    check_plan,
    check_seeds,
    rehearse,
)
from inversion_kit.storage import unit_files
from inversion_kit.storage.audit_folder import PLAN
from inversion_kit.storage.audit_store import ARMS, AuditStore, Unit
from inversion_kit.storage.store import open as open_result

__all__ = ["ARMS", "audit", "resume"]


def audit(
    model: Any,
    labels: Sequence[int | str] | int | str | None = None,
    *,
    generator: Any = None,
    judges: Sequence[Any] = (),
    views: Sequence[str] = tuple(VIEWS),
    arms: Sequence[str] = ARMS,
    seeds: int | Sequence[int] = 3,
    store: str | Path | None = None,
    client: Any = None,
    budget: float | str | None = None,
    dry_run: bool = False,
    prompts: Sequence[str] | str | None = None,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    class_names: Sequence[str] | None = None,
    steps: int = 60,
    batch: int = 8,
    lr: float = 0.3,
    gradient: GradientPolicy | str = "last_step",
    stop_at: float = 0.75,
    check_every: int = 5,
    patience: int = 2,
    restarts: int = 3,
    validation: int = 16,
    samples: int = 32,
    method: str = "gradient",
    queries: int | None = None,
    objective: Objective | None = None,
    progress: bool = True,
) -> xr.DataTree | Estimate:
    """Invert many labels, each in several arms and seeds on shared noise.

    Every label x arm x seed is a unit. Units are committed to the folder one by one and are never
    changed; a unit that fails is recorded with its reason and the others go on. Call it again
    with the same arguments, or `resume`, to go on where it stopped.

    Parameters
    ----------
    model
        Anything `as_classifier` takes.
    labels
        Names, unique parts of names, or indices; None for all classes.
    generator
        Anything `as_generator` takes; None is Stable Diffusion 1.5 from its hub.
    judges
        Held-out classifiers with the same label names.
    views
        Changes of the image under which the audited classifier judges itself, of
        `inversion_kit.classifiers.views.VIEWS`.
    arms
        ``"name"``: the plain prompt with the class's name. ``"token+name"``: the token beside the
        name. ``"token"``: the token alone. ``"shuffled"``: a token trained against a copy of the
        classifier with shuffled weights, the control.
    seeds
        How many (0, 1, ...), or which.
    store
        Folder; None keeps the result in memory alone.
    client
        A `dask.distributed.Client`; None makes units here, one after the other. All its workers
        must see the folder at the same path.
    budget
        Seconds, or a text such as ``"15min"``: one seed of every label first, arm by arm and the
        control last, then the labels whose success is known least. A unit is begun where it is
        expected to end in time; one that takes longer is finished.
    dry_run
        Time one step on this machine and return an `Estimate` of what the folder lacks; nothing
        is stored.
    prompts
        Templates of the arms ``"token"`` and ``"shuffled"``; with ``{token}``, without ``{name}``.
    preprocess, class_names
        For a bare ``nn.Module``: ``preprocess`` and ``labels`` of `as_classifier`.
    steps, batch, lr, gradient, stop_at, check_every, patience, restarts, validation, samples
        See `inversion_kit.invert`.
    method, queries, objective
        See `inversion_kit.invert`; the queries are those of each unit's search, and judges, views
        and final images are asked beside them.
    progress
        Show labels done, time left and success so far, earlier runs on the folder included.

    Returns
    -------
    xarray.DataTree or Estimate
        See `inversion_kit.schema.AUDIT`; read from the folder as it is used. An interrupt gives
        what is there.

    Raises
    ------
    InputError
        An argument is not usable, or the folder holds another audit; before any image is made.
    StoreLockedError
        Another run works on the folder.
    StoreError
        The folder cannot be written.

    Examples
    --------
    >>> tree = audit(
    ...     "pocket:honest", ["stop", "yield"], generator="pocket", judges=["pocket:judge"],
    ...     arms=["name"], views=["blur"], seeds=1, samples=2, progress=False,
    ... )
    >>> tree["samples"]["judge_probability"].dims
    ('label', 'arm', 'seed', 'judge', 'sample', 'class')
    """
    plan = check_plan(
        steps, batch, lr, as_policy(gradient), stop_at, check_every, patience, validation,
        restarts, None, samples, method=method, queries=queries, objective=objective, kept=0,
    )  # fmt: skip
    limit = seconds_of(budget)
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        if seeds < 1:
            raise InputError(f"seeds={seeds}: at least 1")
        seeds = range(seeds)
    chosen_seeds = check_seeds(seeds, "seeds")
    chosen_arms = _check_arms(arms)
    free = check_templates(NAME_FREE if prompts is None else prompts, named=False)
    if isinstance(judges, str) or not isinstance(judges, Iterable):
        raise InputError(f"judges={judges!r}: expected a sequence; give [{judges!r}]")
    spec = Spec(
        key="", model=model, generator=generator, judges=tuple(judges), views=check_views(views),
        templates=templates_of(free, chosen_arms),
        plan=plan, samples=int(samples), labels=class_names, preprocess=preprocess,
    )  # fmt: skip
    bench = spec.load()
    spec.plan = bench.plan = check_method(plan, bench.classifier)
    indices = _check_labels(labels, bench)
    _check_panel(bench)
    _check_units(bench, indices, chosen_arms)
    if set(chosen_arms) - {"name"}:
        rehearse(bench.plan, bench.classifier, indices[0], bench.generator)
    told = written(spec, indices, chosen_arms, chosen_seeds, free)
    spec.key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    if dry_run:
        units = [Unit(i, arm, s) for i in indices for arm in chosen_arms for s in chosen_seeds]
        if store is not None and (Path(store) / PLAN).is_file():
            units = AuditStore.create(store, told).missing()  # it is there: nothing is written
        return estimate(bench, units, budget=limit)
    if store is None:
        with tempfile.TemporaryDirectory(prefix="inversion-kit-") as folder:
            made = AuditStore.create(Path(folder) / "audit", told)
            _run(spec, made, client, limit, progress)
            return open_result(made.path).load()
    _refuse_old(Path(store))
    made = AuditStore.create(store, told)
    _run(spec, made, client, limit, progress)
    return open_result(made.path)


def resume(
    path: str | Path,
    *,
    retry_failed: bool = False,
    repair: bool = False,
    client: Any = None,
    budget: float | str | None = None,
    progress: bool = True,
) -> xr.DataTree:
    """Go on with an audit whose models have names: ``"pocket:..."``, ``"timm/..."``, hub ids.

    An audit of a model object goes on by calling `audit` again with the same arguments; where a
    unit of it is damaged, call ``resume(path, repair=True)`` before: it sets the unit aside, then
    refuses as always.

    Parameters
    ----------
    path
        The folder.
    retry_failed
        Make the units that failed again.
    repair
        First read every byte of every unit. What is damaged is moved into ``damaged/`` of the
        folder, a warning names it, and it is made again.
    client, budget, progress
        See `audit`.

    Raises
    ------
    InputError
        The audit was made of objects, or the models, how they are fed, or the libraries are no
        longer the same.
    StoreError, StoreLockedError
        The folder cannot be read, or another run works on it.

    Warns
    -----
    RuntimeWarning
        With ``repair``: what was damaged and is set aside.
    """
    store = AuditStore(path)
    limit = seconds_of(budget)
    if repair:  # before the models: without them the rest can be read at least
        with store.lock():
            aside = store.repair()
        if aside:
            lines = [f"path={str(path)!r}: damaged and set aside:", *aside.values()]
            warnings.warn("\n".join(lines), RuntimeWarning, stacklevel=2)
    spec = spec_of(store)
    _refuse_old(store.path)
    AuditStore.create(path, written_again(spec, store.plan))  # or refuse
    spec.key = hashlib.sha256(json.dumps(store.plan, sort_keys=True).encode()).hexdigest()
    _run(spec, store, client, limit, progress, retry_failed=retry_failed)
    return open_result(store.path)


def _refuse_old(path: Path) -> None:
    """Refuse to go on with a folder that does not say how its models were fed."""
    if os.path.isfile(path / PLAN) and "preprocess" not in AuditStore(path).plan["settings"]:
        raise InputError(
            f"path={str(path)!r}: an earlier version began this audit and did not write down how "
            "images are prepared for the classifier. It can be opened and exported as it is; for "
            "more units begin a new folder"
        )


def _run(
    spec: Spec, store: AuditStore, client: Any, budget: float | None, progress: bool,
    *, retry_failed: bool = False,
) -> None:  # fmt: skip
    """Make the units under the folder's lock; an interrupt ends it with what is there."""
    began = time.monotonic()
    arms, seeds = store.plan["arms"], store.plan["seeds"]
    executor: Executor = InProcess() if client is None else Dask(client)
    total = len(list(store.units()))
    with store.lock():
        ordered = in_order(store.missing() + (store.failed() if retry_failed else []), arms)
        outcomes = _before(store, ordered)
        queue: Iterable[Unit | None] = ordered
        title = f"audit of {store.plan['classifier']}"
        try:
            if budget is not None and ordered:
                guess = estimate(spec.load(), ordered)
                queue = within(
                    ordered, arms, seeds, samples=spec.samples, guess=guess,
                    budget=budget - (time.monotonic() - began), results=lambda: outcomes,
                    workers=lambda: executor.width,
                )  # fmt: skip
            with (
                bar(
                    total=total, initial=total - len(ordered), desc=title, disable=not progress,
                    timed=budget is None,
                ) as shown,
                contextlib.closing(executor.run(spec, store, queue)) as made,
            ):  # fmt: skip
                for outcome in made:
                    outcomes.append(outcome)
                    over = None if budget is None else budget - (time.monotonic() - began)
                    shown.set_postfix_str(_so_far(outcomes, store.plan, over))
                    shown.update(1)
        except KeyboardInterrupt:
            missing = len(store.missing())
            warnings.warn(
                f"interrupted: {missing} of {total} units are missing; the others are kept",
                RuntimeWarning,
                stacklevel=3,
            )


def _before(store: AuditStore, ordered: Sequence[Unit]) -> list[Outcome]:
    """The outcomes of earlier runs on the folder, without those that are made again."""
    found = [stored(store, unit) for unit in store.done()]
    for unit in set(store.failed()) - set(ordered):
        record = store.failures(unit)[-1]
        found.append(Outcome(unit, "failed", unit_files.seconds(record)))
    return found


def _so_far(outcomes: Sequence[Outcome], plan: dict[str, Any], over: float | None) -> str:
    """Labels of which all is done, success so far, failures, and what is left of a budget."""
    done = Counter(o.unit.label_index for o in outcomes if o.status == "done")
    whole = sum(n == len(plan["arms"]) * len(plan["seeds"]) for n in done.values())
    token = [o.success for o in outcomes if o.unit.arm == "token" and o.status == "done"]
    failed = sum(o.status == "failed" for o in outcomes)
    parts = [f"{whole} of {len(plan['labels'])} labels done"]
    parts += [f"token success {sum(token) / len(token):.0%}"] if token else []
    parts += [f"failed units: {failed}"] if failed else []
    parts += [f"{clock(max(0.0, over))} of the budget left"] if over is not None else []
    return ", ".join(parts)


def _check_arms(arms: Sequence[str]) -> tuple[str, ...]:
    if isinstance(arms, str):
        raise InputError(f"arms={arms!r}: expected a sequence; give [{arms!r}]")
    if not arms or set(arms) - set(ARMS) or len(set(arms)) != len(arms):
        raise InputError(f"arms={list(arms)}: some of {', '.join(map(repr, ARMS))}, each once")
    return tuple(arm for arm in ARMS if arm in arms)


def _check_labels(labels: Sequence[int | str] | int | str | None, bench: Bench) -> list[int]:
    known = bench.classifier.labels
    if odd := next((label for label in known if not in_utf8(label)), None):
        raise LabelError(
            f"class {known.index(odd)}, {odd!r}: it holds what UTF-8 cannot (a lone surrogate), so "
            "that no file can name it; give names without it, as_classifier(model, labels=[...])"
        )
    if labels is None:
        return list(range(len(known)))
    one = isinstance(labels, str) or not isinstance(labels, Iterable)
    asked: list[Any] = [labels] if one else list(labels)  # type: ignore[arg-type]
    found = [bench.classifier.index(label) for label in asked]
    if not found or len(set(found)) != len(found):
        raise InputError(f"labels={asked}: at least one, each once")
    return sorted(found)


def _check_panel(bench: Bench) -> None:
    check_judges(bench.judges, bench.classifier)
    views = {view.name for view in bench.panel[len(bench.judges) :]}
    if same := next((judge.name for judge in bench.judges if judge.name in views), None):
        raise InputError(
            f"judges: {same!r} has the name of one of the views={list(bench.views)}; give "
            "as_classifier(judge, name=...)"
        )


def _check_units(bench: Bench, indices: Sequence[int], arms: Sequence[str]) -> None:
    """What would fail in every unit fails now; an odd label fails in its own units alone."""
    if set(arms) - {"name"} and bench.plan.method == "gradient":
        bench.generator.check_gradient(bench.plan.gradient)
    if "shuffled" in arms:
        bench.trained_against(Unit(indices[0], "shuffled", 0))
    for arm in arms:
        troubles = []
        for index in indices:
            try:
                bench.check_prompts(Unit(index, arm, 0))
            except InputError as error:
                troubles.append(error)
        if len(troubles) == len(indices):
            raise troubles[0]
