"""From a neutral start to a selected token: checks, early stop and restarts around the loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.gradients import GradientPolicy
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.objectives import Objective
from inversion_kit.search.optimise import VALIDATE, Check, Step, check, noise_seeds, optimise
from inversion_kit.search.probe import Probe, candidates, probe

NEUTRAL = "neutral"
"""Name of the start at the mean of the vocabulary."""
THUMBNAIL = 128
"""Longest side in pixels of the images that are kept of steps and checks."""


@dataclass(frozen=True)
class Plan:
    """How a token is searched for; the settings of `inversion_kit.invert` of the same names."""

    steps: int
    batch: int
    lr: float
    gradient: GradientPolicy
    stop_at: float
    check_every: int
    patience: int
    validation: int
    restarts: int
    start: str | None
    method: str = "gradient"
    queries: int = 0
    objective: Objective | None = None

    @property
    def goal(self) -> float:
        """The value of a look that ends the search."""
        return self.stop_at if self.objective is None else math.inf


@dataclass(frozen=True)
class Look:
    """One check of a search: after how many updates, from which start, what it gave."""

    step: int
    start: str
    score: float
    check: Check

    @property
    def value(self) -> float:
        """What stops, restarts and selects; higher is better.

        The mean target probability, or minus the mean of an objective of the user's own.
        """
        return self.score if math.isnan(self.check.loss) else -self.check.loss


@dataclass(frozen=True)
class Entry:
    """A line of the ledger: what queries were spent on, and what that gave.

    Parameters
    ----------
    kind
        "check", "probe", "generation"; in results "identity" and "samples" too.
    step
        Generations done.
    queries
        Images that the classifier has scored so far, this line's included.
    score
        Mean target probability: of the check, of the probe's best word, of the generation's best
        token.
    best
        Highest score of a check so far.
    """

    kind: str
    step: int
    queries: int
    score: float
    best: float


@dataclass
class Found:
    """All that one seed's search saw; images as uint8 thumbnails ``(n, 3, y, x)``."""

    seed: int
    held_out: list[int]
    steps: list[Step] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    probe: Probe | None = None
    ledger: list[Entry] = field(default_factory=list)

    @property
    def selected(self) -> int:
        """Index of the look with the highest `Look.value`: the best on held-out noise."""
        return max(range(len(self.looks)), key=lambda i: self.looks[i].value)

    @property
    def spent(self) -> int:
        """Queries in the ledger so far."""
        return self.ledger[-1].queries if self.ledger else 0

    def book(self, kind: str, queries: int, score: float) -> None:
        """Write a line into the ledger."""
        best = max((look.score for look in self.looks), default=math.nan)
        self.ledger.append(Entry(kind, len(self.steps), self.spent + queries, score, best))


def looker(
    classifier: Classifier,
    generator: Generator,
    target: int,
    prompts: Sequence[str],
    plan: Plan,
    found: Found,
    *,
    past: Found | None,
    watch: Callable[[Found], None],
) -> Callable[[Tensor, str], float]:
    """A function that looks at a vector on held-out noise, keeps the look and gives its value.

    Looks that ``past`` had are taken from there. Where queries count, each goes into the ledger.
    """

    def look(vector: Tensor, start: str) -> float:
        known = past is not None and len(found.looks) < len(past.looks)
        if past is not None and known:
            taken = past.looks[len(found.looks)]
        else:
            seen = check(
                classifier, generator, vector, prompts, found.held_out, objective=plan.objective,
                target=target,
            )  # fmt: skip
            score = float(seen.probability[:, target].mean())
            seen = replace(seen, images=thumbnails(seen.images))
            taken = Look(len(found.steps), start, score, seen)
        found.looks.append(taken)
        if plan.method == "cma":
            found.book("check", plan.validation, taken.score)
        if not known:
            watch(found)
        return taken.value

    return look


def search(
    classifier: Classifier,
    generator: Generator,
    target: int,
    prompts: Sequence[str],
    plan: Plan,
    *,
    seed: int,
    watch: Callable[[Found], None] = lambda found: None,
    past: Found | None = None,
) -> Found:
    """Search one seed's token.

    One criterion, the mean probability of the target on held-out noise, stops, restarts and
    selects; with an objective of the user's own its mean restarts and selects, and only the steps
    end the search. A start that does not improve it over ``patience`` checks gives way to the next:
    first the neutral one, then the vocabulary probe's best words.

    Parameters
    ----------
    watch
        Called after every step and check with what has been found so far.
    past
        What a search with the same arguments had found when it was cut off after a check: its
        steps and checks are taken as they are, and it goes on as if it had never stopped.
    """
    held_out = noise_seeds(seed, VALIDATE, 0, plan.validation)
    found = Found(seed, held_out, probe=None if past is None else past.probe)
    fitting = MicroBatch(plan.batch, of=classifier, doing="updates")

    look = looker(
        classifier, generator, target, prompts, plan, found, past=past, watch=watch
    )  # fmt: skip

    def updates(vector: Tensor, start: str) -> Iterator[Step]:
        last = None
        while past is not None and len(found.steps) < len(past.steps):
            last = past.steps[len(found.steps)]
            yield last
        for taken in optimise(
            classifier, generator, target, prompts,
            start=vector if last is None else last.token[0], start_name=start, seed=seed,
            first_step=len(found.steps), steps=plan.steps - len(found.steps), batch=plan.batch,
            lr=plan.lr, gradient=plan.gradient, objective=plan.objective, micro_batch=fitting,
            optimizer_state=None if last is None else last.optimizer,
        ):  # fmt: skip
            yield replace(taken, images=thumbnails(taken.images))

    goal = plan.goal
    starts = _starts(classifier, generator, target, prompts, plan, found)
    for start, vector in starts:
        best, stale = look(vector, start), 0
        left = plan.steps - len(found.steps)
        if best >= goal or left <= 0:
            break
        for taken in updates(vector, start):
            found.steps.append(taken)
            watch(found)
            done = len(found.steps)
            if done % plan.check_every and done < plan.steps:
                continue
            score = look(taken.token[0], start)
            if score >= goal:
                return found
            stale = 0 if score > best + 0.05 else stale + 1
            best = max(best, score)
            if stale >= plan.patience:
                break
        if len(found.steps) >= plan.steps:
            break
    return found


def thumbnails(images: Tensor) -> Tensor:
    """Images ``(n, 3, y, x)`` in [0, 1] as uint8, no side longer than `THUMBNAIL`.

    Examples
    --------
    >>> thumbnails(torch.rand(2, 3, 512, 256)).shape
    torch.Size([2, 3, 128, 64])
    """
    scale = THUMBNAIL / max(images.shape[-2:])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in images.shape[-2:]]
        images = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
    return images.clamp(0, 1).mul(255).round().to(torch.uint8)


def _starts(
    classifier: Classifier,
    generator: Generator,
    target: int,
    prompts: Sequence[str],
    plan: Plan,
    found: Found,
) -> Iterator[tuple[str, Tensor]]:
    if plan.start is not None:
        yield plan.start, generator.vector_of(plan.start)
        return
    yield NEUTRAL, generator.neutral_vector()
    if plan.restarts:
        if found.probe is None:
            words = candidates(generator, classifier.labels[target], seed=found.seed)
            found.probe = probe(classifier, generator, target, prompts, words, seed=found.seed)
        for word in found.probe.words[: plan.restarts]:
            yield word, generator.vector_of(word)
