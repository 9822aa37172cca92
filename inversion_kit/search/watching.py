"""A search that someone watches and may stop: what was found before that is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import xarray as xr

from inversion_kit.errors import InputError
from inversion_kit.progress import Bars, Seen, StopAsked
from inversion_kit.search import datasets
from inversion_kit.search.search import Found
from inversion_kit.widgets.sources import notebook_module


class View(Protocol):
    """What shows a search while it runs: `inversion_kit.progress.Bars` or a live view."""

    @property
    def stop(self) -> bool:
        """Whether the user asked to stop since this was last read."""
        ...

    def show(self, seen: Seen) -> None:
        """Draw a step or a check."""
        ...

    def sampling(self, done: int, total: int, arm: str, stopped: bool) -> None:
        """Say that test images are made."""
        ...

    def finish(self, message: str) -> None:
        """Say how it ended."""
        ...


def view_of(
    progress: bool | str, *, label: str, classifier: str, total: int, unit: str,
    seeds: list[int], goal: float,
) -> Any:  # fmt: skip
    """The view that ``progress`` asks for, a context manager.

    Raises
    ------
    InputError
        There is no such view, or it cannot be drawn here.
    """
    if progress == "widget":
        return notebook_module("live").LiveView(
            label=label, classifier=classifier, total=total, unit=unit, seeds=seeds, goal=goal
        )
    if not isinstance(progress, bool):
        raise InputError(f"progress={progress!r}: must be True, False or 'widget'")
    return Bars(label=label, total=total, disable=not progress)


def search_all(
    one: Callable[[int, Callable[[Found], None]], Found], seeds: Sequence[int], target: int,
    view: View,
) -> tuple[list[Found], str]:  # fmt: skip
    """What the search of each seed found, and after what the user stopped it, "" where not.

    Parameters
    ----------
    one
        The search of a seed; calls its second argument after every step and check.
    target
        Index of the label.

    Raises
    ------
    KeyboardInterrupt
        Before the first check, when there is nothing to keep, and where only bars are shown:
        Ctrl-C ends a script.
    """
    found: dict[int, Found] = {}

    def watch(now: Found) -> None:
        found[now.seed] = now
        view.show(seen(now, target))
        if view.stop:
            raise StopAsked

    for at, seed in enumerate(seeds):
        try:
            one(seed, watch)
        except (StopAsked, KeyboardInterrupt):
            if isinstance(view, Bars) or not found:
                raise
            begun = seed in found
            updates = len(found[seed].steps) if begun else 0
            left = [str(s) for s in seeds[at + begun :]]
            said = f"after {updates} updates of run {seed}"
            return list(found.values()), said + (f"; without run {', '.join(left)}" if left else "")
    return list(found.values()), ""


def sample_all(
    one: Callable[[str, Found], xr.Dataset], arms: Sequence[str], found: Sequence[Found],
    view: View, *, stopped: bool,
) -> tuple[dict[str, list[xr.Dataset]], str]:  # fmt: skip
    """Test images of every arm and run, and which of them the user did not wait for.

    Parameters
    ----------
    one
        Makes those of an arm and a run.
    stopped
        Whether the search was stopped: then the token's images, which say most, are made first.

    Raises
    ------
    KeyboardInterrupt
        Where only bars are shown: Ctrl-C ends a script.
    """
    order = sorted(arms, key=lambda arm: arm != "token") if stopped else list(arms)
    made: dict[str, list[xr.Dataset]] = {arm: [] for arm in arms}
    skipped = ""
    try:
        for arm in order:
            for run in found:
                if view.stop:
                    raise StopAsked
                view.sampling(sum(map(len, made.values())), len(arms) * len(found), arm, stopped)
                made[arm].append(one(arm, run))
    except (StopAsked, KeyboardInterrupt):
        if isinstance(view, Bars):
            raise
        missing = [arm for arm in arms if len(made[arm]) < len(found)]
        skipped = f"without test images of {', '.join(missing)}"
    return {arm: runs for arm, runs in made.items() if len(runs) == len(found)}, skipped


def seen(found: Found, target: int) -> Seen:
    """The newest step or check as plain data."""
    steps, looks = found.steps, found.looks
    checked = bool(looks) and looks[-1].step == len(steps)
    newest = looks[-1].check if checked else steps[-1]
    probability = newest.probability.detach().cpu().numpy()
    return Seen(
        seed=found.seed,
        updates=len(steps),
        done=found.ledger[-1].queries if found.ledger else len(steps),
        checked=checked,
        checks=[(look.step, look.score, look.start) for look in looks],
        training=[(i + 1, float(s.probability[:, target].mean())) for i, s in enumerate(steps)],
        images=datasets.to_bytes(newest.images),
        probability=probability[:, target],
        hit=probability.argmax(1) == target,
    )
