"""`audit`: many labels of one classifier, with controls, seeds and judges, into a folder."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from inversion_kit.arm_roles import main_arm
from inversion_kit.arms import Arm, arm_of, check_arms
from inversion_kit.audits.estimate import Estimate, clock
from inversion_kit.audits.executors import Dask, Executor, InProcess
from inversion_kit.audits.plan import Task, key_of, plan_of, same_plan, task_of
from inversion_kit.audits.schedule import in_order, seconds_of, within
from inversion_kit.audits.timing import estimate
from inversion_kit.audits.units import Outcome, stored
from inversion_kit.paths import folder_to_write
from inversion_kit.progress import bar
from inversion_kit.search.checks import check_settings
from inversion_kit.seeds import check_seeds
from inversion_kit.settings import Settings, takes_settings
from inversion_kit.storage import unit_files
from inversion_kit.storage.audit_folder import PLAN
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.store import open as open_result
from inversion_kit.storage.units import Unit

AUDITED = ("name", "token+name", "token", "shuffled")
"""The arms of an audit by default."""


@takes_settings
@torch.inference_mode(False)  # gradients come with it, whatever the caller has set
def audit(
    model: Any,
    labels: Sequence[int | str] | int | str | None = None,
    *,
    generator: Any = None,
    judges: Sequence[Any] = (),
    arms: Sequence[str | Arm] = AUDITED,
    images: str | os.PathLike[str] | Mapping[int | str, Sequence[Any]] | None = None,
    seeds: int | Sequence[int] = 3,
    store: str | os.PathLike[str] | None = None,
    client: Any = None,
    bank: str | os.PathLike[str] | None = None,
    budget: float | str | None = None,
    dry_run: bool = False,
    progress: bool = True,
    settings: Settings,
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
    arms
        Conditions, by name or as `inversion_kit.arms.Arm`. ``"name"``: the plain prompt with the
        class's name. ``"start"``: the token before any update. ``"token+name"``: the token beside
        the name. ``"token"``: the token alone. ``"shuffled"``: a token trained against a copy of
        the classifier with shuffled weights, the control. Two baselines more: ``"inverted"``, a
        token learned from ``images`` without the classifier; ``"guided"``, the name prompt pushed
        by the classifier while it is sampled.
    images
        Real images for the arm ``"inverted"``, 1 to 16 of each label: a folder with a folder a
        class, called by its label or index, or a dict of labels and lists of paths or PIL images.
    seeds
        How many runs (of seed 0, 1, ...), or which.
    store
        Folder; None keeps the result in memory alone.
    client
        A `dask.distributed.Client`; None makes units here, one after the other. All its workers
        must see the folder at the same path.
    bank
        As of `inversion_kit.invert`. A worker on another machine has its own at the same path,
        unless they share it.
    budget
        Seconds, or a text such as ``"15min"``: one seed of every label first, arm by arm and the
        control last, then the labels whose success is known least. A unit is begun where it is
        expected to end in time; one that takes longer is finished.
    dry_run
        Time one step and a few images on this machine and return an `Estimate` of what the folder
        lacks: least, likely and most; nothing is stored.
    progress
        Show labels done, time left and success so far, earlier runs on the folder included.
    {settings}

    Returns
    -------
    xarray.DataTree or Estimate
        See `inversion_kit.schema`; read from the folder as it is used. An interrupt gives what is
        there.

    Raises
    ------
    InputError
        An argument is not usable, or the folder holds another audit; before any image is made.
    StoreLockedError
        Another run works on the folder.
    StoreError
        The folder, or the bank's, cannot be written.

    Examples
    --------
    >>> tree = audit(
    ...     "pocket:honest", ["stop", "yield"], generator="pocket", judges=["pocket:judge"],
    ...     arms=["name"], views=["blur"], seeds=1, samples=2, progress=False,
    ... )
    >>> tree["samples"]["judge_probability"].dims
    ('label', 'arm', 'seed', 'judge', 'sample', 'class')
    """
    place = None if store is None else folder_to_write(store, argument="store")
    limit, runs, chosen = seconds_of(budget), check_seeds(seeds), check_arms(arms)
    for arm in chosen:
        arm.prompts(settings.prompts)
    checked = check_settings(settings, len(chosen))
    task = Task(model, generator, judges, chosen, checked, images=images, bank=bank)
    indices = task.load().labels(labels)
    task.load().check(indices)
    plan = plan_of(task, indices, runs)
    task.key = key_of(plan)
    if dry_run:
        units = [Unit(i, arm.name, s) for i in indices for arm in chosen for s in runs]
        if place is not None and (place / PLAN).is_file():
            units = AuditStore.create(place, plan).missing()  # it is there: nothing is written
        return estimate(task.load(), in_order(units, plan["arms"]), budget=limit)
    if place is None:
        with tempfile.TemporaryDirectory(prefix="inversion-kit-") as temporary:
            folder = AuditStore.create(Path(temporary) / "audit", plan)
            _run(task, folder, client, limit, progress)
            return open_result(folder.path).load()
    folder = AuditStore.create(place, plan)
    _run(task, folder, client, limit, progress)
    return open_result(folder.path)


@torch.inference_mode(False)
def resume(
    path: str | os.PathLike[str],
    *,
    retry_failed: bool = False,
    repair: bool = False,
    client: Any = None,
    bank: str | os.PathLike[str] | None = None,
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
    client, bank, budget, progress
        See `audit`.

    Returns
    -------
    xr.DataTree
        The audit as far as it is made, opened lazily.

    Raises
    ------
    InputError
        The audit was made of objects, or the models, their preprocessing, or the libraries are no
        longer the same.
    StoreError, StoreLockedError
        The folder cannot be read, or another run works on it.

    Warns
    -----
    RuntimeWarning
        With ``repair``: what was damaged and is set aside.
    """
    folder = AuditStore(path)
    limit = seconds_of(budget)
    if repair:  # before the models: without them the rest can be read at least
        with folder.lock():
            aside = folder.repair()
        if aside:
            lines = [f"path={str(path)!r}: damaged and set aside:", *aside.values()]
            warnings.warn("\n".join(lines), RuntimeWarning, stacklevel=2)
    task = replace(task_of(folder), bank=bank)
    AuditStore.create(path, same_plan(task, folder.plan))  # or refuse
    task.key = key_of(folder.plan)
    _run(task, folder, client, limit, progress, retry_failed=retry_failed)
    return open_result(folder.path)


def _run(
    task: Task,
    folder: AuditStore,
    client: Any,
    budget: float | None,
    progress: bool,
    *,
    retry_failed: bool = False,
) -> None:
    """Make the units under the folder's lock; an interrupt ends it with what is there."""
    began = time.monotonic()
    arms, seeds = folder.plan["arms"], folder.plan["seeds"]
    executor: Executor = InProcess() if client is None else Dask(client)
    total = len(list(folder.units()))
    with folder.lock():
        ordered = in_order(folder.missing() + (folder.failed() if retry_failed else []), arms)
        outcomes = _before(folder, ordered)
        queue: Iterable[Unit | None] = ordered
        title = f"audit of {folder.plan['classifier']}"
        try:
            if budget is not None and ordered:
                queue = within(
                    ordered,
                    arms,
                    seeds,
                    samples=task.settings.samples,
                    guess=estimate(task.load(), ordered),
                    results=lambda: outcomes,
                    budget=budget - (time.monotonic() - began),
                    workers=lambda: executor.width,
                )
            shown = bar(
                total=total,
                initial=total - len(ordered),
                desc=title,
                disable=not progress,
                timed=budget is None,
            )
            if client is not None and task.named:
                task.release()  # workers load their own: one GPU need not hold two sets
            with shown, contextlib.closing(executor.run(task, folder, queue)) as made:
                for outcome in made:
                    outcomes.append(outcome)
                    over = None if budget is None else budget - (time.monotonic() - began)
                    shown.set_postfix_str(_so_far(outcomes, folder.plan, over))
                    shown.update(1)
        except KeyboardInterrupt:
            missing = len(folder.missing())
            warnings.warn(
                f"interrupted: {missing} of {total} units are missing; the others are kept",
                RuntimeWarning,
                stacklevel=3,
            )


def _before(folder: AuditStore, ordered: Sequence[Unit]) -> list[Outcome]:
    """The outcomes of earlier runs on the folder, without those that are made again."""
    outcomes = [stored(folder, unit) for unit in folder.done()]
    for unit in set(folder.failed()) - set(ordered):
        record = folder.failures(unit)[-1]
        outcomes.append(Outcome(unit, "failed", unit_files.seconds(record)))
    return outcomes


def _so_far(outcomes: Sequence[Outcome], plan: dict[str, Any], over: float | None) -> str:
    """Labels of which all is done, success so far, failures, and what is left of a budget."""
    done = Counter(o.unit.label_index for o in outcomes if o.status == "done")
    whole = sum(n == len(plan["arms"]) * len(plan["seeds"]) for n in done.values())
    main = main_arm(plan["arms"])
    known = arm_of(main)
    success = [o.success for o in outcomes if o.unit.arm == main and o.status == "done"]
    failed = sum(o.status == "failed" for o in outcomes)
    parts = [f"{whole} of {len(plan['labels'])} labels done"]
    if success and known is not None and known.searched:
        parts.append(f"{main} success {sum(success) / len(success):.0%}")
    parts += [f"failed units: {failed}"] if failed else []
    parts += [f"{clock(max(0.0, over))} of the budget left"] if over is not None else []
    return ", ".join(parts)
