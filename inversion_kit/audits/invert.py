"""`invert`: the units of one label of one classifier, in memory."""

from __future__ import annotations

import datetime
import functools
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import xarray as xr

from inversion_kit.arms import Arm, check_arms
from inversion_kit.audits.bench import Bench
from inversion_kit.audits.plan import Task, plan_of
from inversion_kit.audits.units import Groups, sampled, search, searched
from inversion_kit.generators.checkpointing import checkpointed
from inversion_kit.generators.sample import to_bytes
from inversion_kit.progress import Bars, Seen, StopAsked, view_of
from inversion_kit.search.checks import check_settings
from inversion_kit.search.history import History
from inversion_kit.seeds import check_seeds
from inversion_kit.settings import Settings, takes_settings
from inversion_kit.storage.assemble import State, assemble
from inversion_kit.storage.units import Unit


@takes_settings
@torch.inference_mode(False)  # gradients come with it, whatever the caller has set
def invert(
    model: Any,
    label: int | str,
    *,
    generator: Any = None,
    judges: Sequence[Any] = (),
    arms: Sequence[str | Arm] | None = None,
    images: Any = None,
    seeds: int | Sequence[int] = 1,
    bank: str | os.PathLike[str] | None = None,
    progress: bool | Literal["widget"] = True,
    settings: Settings,
) -> xr.DataTree:
    """Train the class token of one label and return all that was seen on the way.

    Each step samples fresh noise, scores the images and moves the token; every ``check_every``
    steps the token is checked on held-out noise, which alone stops, restarts and selects. The
    images of every arm are then made on test noise that nothing before has seen. For control use
    the parts: `as_classifier`, `as_generator`, `search.search`, `optimise.optimise`.

    Parameters
    ----------
    model
        Anything `as_classifier` takes, for example ``"pocket:honest"`` or a timm model.
    label
        The class: an index, a name, or a unique part of a name.
    generator
        Anything `as_generator` takes. None is Stable Diffusion 1.5 from its hub, which needs a
        network or a cache; ``"pocket"`` ships with the library. A folder or hub id goes to the
        accelerator that torch finds. Classifiers that are given by name go where the generator
        is; objects stay where they are.
    judges
        Held-out classifiers with the same label names; they score the final images and give no
        gradient.
    arms
        Conditions of the final images, see `inversion_kit.arms`. By default the plain prompt with
        the name, the start and the token; where ``prompts`` hold ``{name}``, the token beside it.
    images
        1 to 16 real images for the arm ``"inverted"``, a baseline: a list of paths or PIL images,
        or as `inversion_kit.audit` takes them.
    seeds
        How many runs (of seed 0, 1, ...), or which; every random draw derives from its seed.
    bank
        Folder of pictures for other processes, as of `inversion_kit.findings`: the images of the
        prompt with the name and of the probe's words, which depend on the generator alone, are
        taken from it, and kept there. The result is the same to the last bit, and does not say it.
        None keeps them in memory, for this process.
    progress
        Show a progress bar with the time left. ``"widget"``: in a notebook, the images, the
        confidence and a Stop button. What was seen before Stop, or before the notebook's
        interrupt button, is kept: final images are made of it, and a second Stop skips those that
        are left.
    {settings}

    Returns
    -------
    xarray.DataTree
        See `inversion_kit.schema` for its groups: those of `inversion_kit.audit`, with one label.
        Where the user stopped it, the attribute ``stopped`` says after what; where memory was
        short for the gradient of one image, ``gradient_checkpointing`` names the networks that
        computed it in less.

    Raises
    ------
    InputError
        An argument is not usable; raised before any image is made.
    GeneratorUnavailableError
        The generator could not be loaded; nothing else is used in its place.
    NumericalError
        The classifier or the generator gave values that are not finite.
    StoreError
        The bank's folder cannot be written.

    References
    ----------
    Schwartz et al., "Discriminative Class Tokens for Text-to-Image Diffusion Models", ICCV 2023.

    Examples
    --------
    >>> tree = invert(
    ...     "pocket:honest", "stop", generator="pocket", judges=["pocket:judge"],
    ...     steps=2, samples=2, validation=2, restarts=0, progress=False,
    ... )
    >>> tree["samples"]["image"].dims
    ('label', 'arm', 'seed', 'sample', 'y', 'x', 'channel')
    """
    began = time.monotonic()
    runs = check_seeds(seeds)
    named = all("{name}" in prompt for prompt in settings.prompts)
    usual = ("name", "start", "token+name" if named else "token")
    chosen = check_arms(usual if arms is None else arms)
    for arm in chosen:
        arm.prompts(settings.prompts)
    several = images is None or isinstance(images, (str, os.PathLike, Mapping))
    given = images if several else {label: images}
    checked = check_settings(settings, len(chosen))
    task = Task(model, generator, judges, chosen, checked, images=given, bank=bank)
    bench = task.load()
    (index,) = bench.labels([label])
    bench.check([index])
    plan = plan_of(task, [index], runs)
    plan["created"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

    cma = settings.method == "cma"
    view = view_of(
        progress,
        label=bench.classifier.labels[index],
        classifier=bench.classifier.name,
        seeds=runs,
        goal=settings.stop_at,
        unit="queries" if cma else "updates",
        total=bench.search_settings.queries or 0 if cma else settings.steps,
    )
    units = [Unit(index, arm.name, seed) for seed in runs for arm in chosen]
    with view:
        work = _Work(bench, units, view)
        work.search()
        work.sample()
        stopped = "; ".join(work.stopped)
        view.finish(f"Stopped by you {stopped}. The result is kept." if stopped else "Done.")
    more: dict[str, Any] = {"stopped": f"by the user {stopped}"} if stopped else {}
    more |= {"device": bench.generator.device.type, "seconds": round(time.monotonic() - began, 2)}
    twice = checkpointed(bench.searcher) if any(arm.searched for arm in chosen) else ()
    more |= {"gradient_checkpointing": ", ".join(twice)} if twice else {}
    return assemble(plan, work.groups, work.states, attributes=more)


class _Work:
    """The searches and final images of one label, while someone watches and may stop them.

    Parameters
    ----------
    bench
        Models, arms and settings.
    units
        All that are wanted.
    view
        Shows them.
    """

    def __init__(self, bench: Bench, units: list[Unit], view: Any) -> None:
        self.bench, self.units, self.view = bench, units, view
        self.histories: dict[Unit, History | None] = {}
        self.groups: dict[Unit, Groups] = {}
        self.states: dict[Unit, State] = {}
        self.seconds: dict[Unit, float] = {}
        self.training: dict[Unit, list[float]] = {}
        self.stopped: list[str] = []

    def search(self) -> None:
        """Search every unit whose arm has one; a stop ends the one under way and all after it.

        Raises
        ------
        KeyboardInterrupt
            Before the first check, when there is nothing to keep, and where only bars are shown:
            Ctrl-C ends a script.
        """
        searches = [unit for unit in self.units if self.bench.arms[unit.arm].searched]
        for at, unit in enumerate(searches):
            began = time.monotonic()
            try:
                search(self.bench, unit, watch=functools.partial(self._watch, unit))
            except (StopAsked, KeyboardInterrupt):
                if isinstance(self.view, Bars) or not self.histories:
                    raise
                begun = unit in self.histories
                history = self.histories.get(unit)
                said = f"after {len(history.steps) if history else 0} updates of run {unit.seed}"
                left = list(dict.fromkeys(str(u.seed) for u in searches[at + begun :]))
                self.stopped.append(said + (f"; without run {', '.join(left)}" if left else ""))
                return
            finally:
                self.seconds[unit] = time.monotonic() - began

    def sample(self) -> None:
        """Make the final images of every unit whose run was searched, the tokens' first on a stop.

        Raises
        ------
        KeyboardInterrupt
            Where only bars are shown: Ctrl-C ends a script.
        """
        arms, units = self.bench.arms, self.units
        if any(arm.searched for arm in arms.values()):
            begun = {unit.seed for unit in self.histories}
            units = [
                unit
                for unit in units
                if unit in self.histories or (unit.seed in begun and not arms[unit.arm].searched)
            ]
        if self.stopped:
            units = sorted(units, key=lambda unit: not arms[unit.arm].searched)
        before = {"rehearsal": self.bench.rehearsed, "identity": self.bench.identity}
        for done, unit in enumerate(units):
            history, began = self.histories.get(unit), time.monotonic()
            final: Groups = {}
            if not self.skipping:
                try:
                    if self.view.stop:
                        raise StopAsked
                    self.view.sampling(done, len(units), unit.arm, bool(self.stopped))
                    final = sampled(self.bench, unit, history)
                except (StopAsked, KeyboardInterrupt):
                    if isinstance(self.view, Bars):
                        raise
                    left = dict.fromkeys(u.arm for u in units[done:])
                    self.stopped.append(f"without final images of {', '.join(left)}")
            n = self.bench.settings.samples if final else 0
            if final or history is not None:
                own = searched(self.bench, unit, history, before=before, samples=n)
                before = {}
                self.groups[unit] = {**own, **final}
                spent = self.seconds.get(unit, 0.0) + time.monotonic() - began
                self.states[unit] = "done" if final else "stopped", "", spent

    @property
    def skipping(self) -> bool:
        """Whether the user does not want the final images that are left."""
        return any(said.startswith("without final images") for said in self.stopped)

    def _watch(self, unit: Unit, history: History) -> None:
        self.histories[unit] = history
        means = self.training.setdefault(unit, [])
        for step in history.steps[len(means) :]:
            means.append(step.mean(unit.label_index))
        self.view.show(seen(history, unit.label_index, means))
        if self.view.stop:
            raise StopAsked


def seen(history: History, target: int, training: Sequence[float]) -> Seen:
    """The newest step or check as plain data, for a view.

    Parameters
    ----------
    target
        Class index.
    training
        Mean probability of the target on each step's images, in [0, 1].
    """
    steps, checks = history.steps, history.checks
    checked = bool(checks) and checks[-1].step == len(steps)
    newest = checks[-1] if checked else steps[-1]
    probability = newest.probability.detach().cpu().numpy()
    return Seen(
        seed=history.seed,
        updates=len(steps),
        done=history.spent if history.ledger else len(steps),
        checked=checked,
        checks=[(check.step, check.score, check.start) for check in checks],
        training=[(i + 1, mean) for i, mean in enumerate(training)],
        images=to_bytes(newest.images),
        probability=probability[:, target],
        hit=probability.argmax(1) == target,
    )
