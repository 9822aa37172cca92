"""The live view of a search: images, confidence, time left, and a button that stops it."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import anywidget
import traitlets

from inversion_kit.analysis.words import arm_words, percent, start_says, visible
from inversion_kit.errors import InputError
from inversion_kit.figures.paths import live_spec
from inversion_kit.figures.static import svg
from inversion_kit.pictures import thumbnail
from inversion_kit.progress import Seen
from inversion_kit.widgets.elements import source, with_html
from inversion_kit.widgets.summary import live_html

EVERY = 0.25
"""Least seconds between two pictures sent to the browser."""


class LivePanel(anywidget.AnyWidget):
    """What the browser draws: plain data, no logic. ``checks`` is what its summary says."""

    _esm = source("dom.js", "live.js")
    _css = source("base.css", "live.css")
    title = traitlets.Unicode().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)
    phase = traitlets.Unicode("search").tag(sync=True)
    done = traitlets.Int(0).tag(sync=True)
    total = traitlets.Int(1).tag(sync=True)
    left = traitlets.Float(-1).tag(sync=True)
    images = traitlets.List().tag(sync=True)
    chart = traitlets.Unicode().tag(sync=True)
    checks = traitlets.List()
    asked = traitlets.Int(0).tag(sync=True)
    heard = traitlets.Int(0).tag(sync=True)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return with_html(super()._repr_mimebundle_(**options), live_html(self))


class LiveView:
    """Shows a search in the notebook while it runs; `inversion_kit.invert` makes one.

    The browser's click reaches the kernel while the cell runs because its message is left to a
    subshell of the kernel (ipykernel 7). `stop` is how often it was clicked.

    Parameters
    ----------
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
        This is no notebook.
    """

    def __init__(
        self, *, label: str, classifier: str, total: int, unit: str, seeds: list[int], goal: float
    ) -> None:
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        if not hasattr(shell, "kernel"):
            raise InputError(
                "progress='widget': this is no notebook, so nothing can be drawn; give "
                "progress=True or False"
            )
        self.panel = LivePanel(
            title=visible(f"Searching the token of “{label}”"),
            note=visible(classifier),
            total=max(1, total * len(seeds)),
            message="First check on held-out noise …",
        )
        self.total, self.unit, self.seeds, self.goal = total, unit, seeds, goal
        self.clicked = threading.Event()
        self.panel.observe(self._click, "asked")
        # ipykernel 7.4 sends replies to the busy main thread; the browser asked for a subshell.
        self.panel.comm._reply_subshell_for = lambda data, default: default
        self.began = time.monotonic()
        self.sent = 0.0
        self.place: Any = None

    @property
    def stop(self) -> bool:
        """Whether Stop was clicked since it was last asked; asking takes it back."""
        if not self.clicked.is_set():
            return False
        self.clicked.clear()
        return True

    def __enter__(self) -> LiveView:
        from IPython.display import display

        self.place = display(self.panel, display_id=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None:
            self.finish("Ended by an error; nothing is kept.")

    def show(self, seen: Seen) -> None:
        """Draw a step or a check of a run."""
        run = self.seeds.index(seen.seed)
        done = run * self.total + seen.done
        taken = time.monotonic() - self.began
        message = f"{seen.done} of {self.total} {self.unit}"
        if len(self.seeds) > 1:
            message = f"run {run + 1} of {len(self.seeds)} · {message}"
        if seen.checks:
            _, score, start = seen.checks[-1]
            message += f" · held-out probability {percent(score)}, from {start_says(start)}"
        now = time.monotonic()
        if not seen.checked and now - self.sent < EVERY:
            return
        self.sent = now
        self.panel.set_trait("done", done)
        self.panel.set_trait("left", taken / done * (self.panel.total - done) if done else -1.0)
        self.panel.set_trait("message", visible(message))
        self.panel.set_trait("images", _images(seen))
        self.panel.set_trait("checks", [list(check) for check in seen.checks])
        # Counted in queries the chart ends at the updates so far.
        last = self.total if self.unit == "updates" else max(seen.updates, 10)
        spec = live_spec(list(seen.checks), list(seen.training), last=last, goal=self.goal)
        self.panel.set_trait("chart", svg(spec, width=480, height=300, css="chart"))

    def sampling(self, done: int, total: int, arm: str, stopped: bool) -> None:
        """Say that the search is over and final images are made."""
        before = "Stopped by you. " if stopped else "The search is over. "
        if done == 0:
            self.began = time.monotonic()
        taken = time.monotonic() - self.began
        self.panel.set_trait("phase", "samples")
        self.panel.set_trait("total", total)
        self.panel.set_trait("done", done)
        self.panel.set_trait("left", taken / done * (total - done) if done else -1.0)
        self.panel.set_trait("message", f"{before}Making test images: {arm_words(arm)}")

    def finish(self, message: str) -> None:
        """Say how it ended and leave that in the notebook's saved output."""
        self.panel.set_trait("message", message)
        self.panel.set_trait("phase", "done")
        self.panel.set_trait("heard", self.panel.asked)
        if self.place is not None:
            self.place.update(self.panel)

    def _click(self, change: Any) -> None:
        self.clicked.set()
        self.panel.heard = change["new"]


def _images(seen: Seen) -> list[dict[str, Any]]:
    made = []
    for image, p, hit in list(zip(seen.images, seen.probability, seen.hit, strict=True))[:8]:
        src, small = thumbnail(image, 160)
        made.append({"src": src, "small": small, "says": percent(float(p)), "hit": bool(hit)})
    return made
