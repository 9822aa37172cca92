"""Progress for notebooks and terminals, and plain lines where there is neither."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from inversion_kit.errors import InputError

if TYPE_CHECKING:
    import numpy as np

VIEWS: dict[str, Callable[[], Any]] = {}
"""What else can show a search, by the name that ``progress`` takes: a function that loads it. The
package's top fills it, so that nothing below knows of widgets."""


class Lines:
    """A progress bar's calls, answered by a line every few seconds: for logs.

    Parameters
    ----------
    total
        Things to do.
    desc
        What is being done.
    every
        Least seconds between two lines.
    timed
        Whether a line says how many seconds are left.

    Examples
    --------
    >>> with Lines(total=2, desc="audit", file=sys.stdout) as bar:
    ...     bar.update(2)
    audit: 2/2, 0 s left
    """

    def __init__(
        self,
        *,
        total: int,
        desc: str,
        initial: int = 0,
        every: float = 10.0,
        timed: bool = True,
        file: TextIO | None = None,
    ) -> None:
        self.total, self.desc, self.n, self.first = total, desc, initial, initial
        self.every, self.timed, self.file = every, timed, file
        self.began = self.said = time.monotonic()
        self.note = ""

    def update(self, n: int = 1) -> None:
        """Count ``n`` more."""
        self.n += n
        now = time.monotonic()
        if self.n < self.total and now - self.said < self.every:
            return
        self.said = now
        rate = (now - self.began) / max(1, self.n - self.first)
        parts = [f"{self.n}/{self.total}"]
        parts += [f"{rate * (self.total - self.n):.0f} s left"] if self.timed else []
        parts += [self.note] if self.note else []
        print(f"{self.desc}: {', '.join(parts)}", file=self.file or sys.stderr)

    def set_postfix_str(self, note: str, refresh: bool = True) -> None:
        """Keep what the next line says beside the count."""
        self.note = note

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        return None


def bar(
    *, total: int, desc: str, initial: int = 0, disable: bool = False, timed: bool = True
) -> Any:
    """A `tqdm.auto` bar where someone can see it move, else `Lines`; nothing where disabled.

    Without ``timed`` it says nothing of the time left.
    """
    from tqdm.auto import tqdm

    seen = "ipykernel" in sys.modules or sys.stderr.isatty()
    if disable or seen:
        looks = None if timed else "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
        return tqdm(total=total, desc=desc, initial=initial, disable=disable, bar_format=looks)
    return Lines(total=total, desc=desc, initial=initial, timed=timed)


@dataclass(frozen=True)
class Seen:
    """A look at a search while it runs: plain numbers and pixels.

    Parameters
    ----------
    seed
        Of the run.
    updates
        Of the token so far.
    done
        What the total counts: updates, or images that the classifier was asked about.
    checked
        Whether this is a check on held-out noise; otherwise it is an update.
    checks
        Of every check so far: updates, mean probability of the label, name of the start.
    training
        Of every update so far: its number, from 1, and the mean probability on its images.
    images
        The newest, uint8 ``(n, y, x, 3)``.
    probability, hit
        Of the newest images ``(n,)``: that of the label, and whether it is the first class.
    """

    seed: int
    updates: int
    done: int
    checked: bool
    checks: Sequence[tuple[int, float, str]]
    training: Sequence[tuple[int, float]]
    images: np.ndarray
    probability: np.ndarray
    hit: np.ndarray


class StopAsked(Exception):  # noqa: N818 - a wish, no error
    """The user wants the search to end; what has been seen so far is kept."""


class View(Protocol):
    """What shows a search while it runs: `Bars`, or one of `VIEWS`."""

    @property
    def stop(self) -> bool:
        """Whether the user asked to stop since this was last read."""
        ...

    def show(self, seen: Seen) -> None:
        """Draw a step or a check."""
        ...

    def sampling(self, done: int, total: int, arm: str, stopped: bool) -> None:
        """Say that final images are made."""
        ...

    def finish(self, message: str) -> None:
        """Say how it ended."""
        ...


def view_of(
    progress: bool | str,
    *,
    label: str,
    classifier: str,
    total: int,
    unit: str,
    seeds: list[int],
    goal: float,
) -> Any:
    """The `View` that ``progress`` asks for, a context manager.

    Parameters
    ----------
    progress
        True or False for bars or nothing, or a name in `VIEWS`.
    label, classifier
        What is searched.
    total, unit
        How many updates, or queries, a run has at most.
    seeds
        All runs.
    goal
        Held-out probability that ends a run.

    Raises
    ------
    InputError
        There is no such view, or it cannot be drawn here.
    """
    if isinstance(progress, bool):
        return Bars(label=label, total=total, disable=not progress)
    given: Any = progress
    if not isinstance(given, str) or given not in VIEWS:
        known = ", ".join(["True", "False", *map(repr, VIEWS)])
        raise InputError(f"progress={given!r:.80}: must be one of {known}")
    return VIEWS[progress]()(
        label=label, classifier=classifier, total=total, unit=unit, seeds=seeds, goal=goal
    )


class Bars:
    """A search as `tqdm` bars, one a run; nothing where disabled."""

    stop = False

    def __init__(self, *, label: str, total: int, disable: bool) -> None:
        self.label, self.total, self.disable = label, total, disable
        self.seed: int | None = None
        self.bar: Any = None

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def show(self, seen: Seen) -> None:
        """Move the bar of the run."""
        from tqdm.auto import tqdm

        if seen.seed != self.seed:
            self.__exit__()
            self.seed = seen.seed
            self.bar = tqdm(
                total=self.total, desc=f"{self.label} (seed {seen.seed})", disable=self.disable
            )
        self.bar.update(seen.done - self.bar.n)
        if seen.checks:
            _, score, start = seen.checks[-1]
            self.bar.set_postfix_str(f"held-out {score:.0%} from {start!r}")

    def sampling(self, done: int, total: int, arm: str, stopped: bool) -> None:
        """Test images have no bar."""

    def finish(self, message: str) -> None:
        """Nothing is said at the end."""
