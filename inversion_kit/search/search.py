"""From a neutral start to a selected token: checks, early stop and restarts around the loop."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.checkpointing import checkpoint_next
from inversion_kit.generators.gradients import as_policy
from inversion_kit.generators.kept import Batches
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.pictures import levels
from inversion_kit.schema import NEUTRAL
from inversion_kit.search.history import History, Probe, Step
from inversion_kit.search.optimise import check, optimise
from inversion_kit.search.probe import (
    candidates,
    first_noises,
    is_sum,
    probe,
    probe_pairs,
    shared_first,
    start_vector,
)
from inversion_kit.seeds import VALIDATE, noise_seeds
from inversion_kit.settings import Settings

THUMBNAIL = 128
"""Longest side in pixels of the images that are kept of steps and checks."""
IMPROVED = 0.05
"""How much higher than the best so far a check must be to count as better."""
Watch = Callable[[History], None]
"""Called after every step and check with what has been seen so far."""


def checker(
    classifier: Classifier,
    generator: Generator,
    target: int,
    prompts: Sequence[str],
    settings: Settings,
    history: History,
    *,
    past: History | None,
    watch: Watch,
) -> Callable[[Tensor, str], float]:
    """A function that checks a vector on held-out noise, keeps the check and gives its value.

    Checks that ``past`` had are taken from there. Where queries count, each goes into the ledger.
    """

    def checked(vector: Tensor, start: str) -> float:
        known = past is not None and len(history.checks) < len(past.checks)
        if past is not None and known:
            made = past.checks[len(history.checks)]
        else:
            made = check(
                classifier,
                generator,
                vector,
                prompts,
                history.held_out,
                target=target,
                step=len(history.steps),
                start=start,
                objective=settings.objective,
            )
            made = replace(made, images=thumbnails(made.images))
        history.checks.append(made)
        if settings.method == "cma":
            history.book("check", settings.validation, made.score)
        if not known:
            watch(history)
        return made.value

    return checked


@torch.inference_mode(False)  # gradients come with it, whatever the caller has set
def search(
    classifier: Classifier,
    generator: Generator,
    target: int,
    prompts: Sequence[str],
    settings: Settings,
    *,
    seed: int,
    watch: Watch = lambda history: None,
    past: History | None = None,
    bank: Batches | None = None,
) -> History:
    """Search one seed's token.

    One criterion, the mean probability of the target on held-out noise, stops, restarts and
    selects; with an objective of the user's own its mean restarts and selects, and only the steps
    end the search. It is taken every ``check_every`` updates, and the first time that an update's
    own images reach the goal, which costs nothing to see. A start that does not improve it over
    ``patience`` of the former gives way to the next: first the neutral one, then the vocabulary
    probe's best word, then its best sums of two words. Where none reaches the goal, the best
    token goes on with a new Adam until the updates are over, if it is better than the first one.

    Parameters
    ----------
    target
        Class index.
    prompts
        With the placeholder of the class token.
    seed
        Every random draw derives from it.
    watch
        Called after every step and check with what has been seen so far.
    past
        What a search with the same arguments had seen when it was cut off after a check: its
        steps and checks are taken as they are, and it goes on as if it had never stopped.
    bank
        Where images of the probe's words lie for other processes.

    Raises
    ------
    NumericalError
        The classifier or the generator gave values that are not finite, or no gradient.
    """
    held_out = noise_seeds(seed, VALIDATE, 0, settings.validation)
    history = History(seed, held_out, probe=None if past is None else past.probe)
    spare = functools.partial(checkpoint_next, generator)
    micro_batch = MicroBatch(settings.batch, of=classifier, doing="updates", spare=spare)
    asked = (classifier, generator, target, prompts)
    checked = checker(*asked, settings, history, past=past, watch=watch)

    updates = functools.partial(
        _updates, *asked, settings, history, micro_batch=micro_batch, past=past
    )
    follow = functools.partial(_follow, settings, history, target, checked=checked, watch=watch)
    for start, vector in _starts(*asked, settings, history, bank):
        value = checked(vector, start)
        if ends(value, -math.inf, settings.goal) or len(history.steps) >= settings.steps:
            return history
        if follow(updates(start, vector), start, value, patience=settings.patience):
            return history
    first, best = history.checks[0], history.checks[history.selected]
    if settings.restarts and settings.start is None and best.value > first.value + IMPROVED:
        again = updates(best.start, best.token[0])
        follow(again, best.start, best.value, patience=math.inf, early=True)
    return history


def _follow(
    settings: Settings,
    history: History,
    target: int,
    updates: Iterator[Step],
    start: str,
    best: float,
    *,
    patience: float,
    checked: Callable[[Tensor, str], float],
    watch: Watch,
    early: bool = False,
) -> bool:
    """Take a start's updates until it gives way or the search ends; whether the latter.

    Parameters
    ----------
    best
        Value of its best check so far.
    early
        Whether its first update that reached the goal has been checked.
    """
    stale = 0
    for step in updates:
        history.steps.append(step)
        watch(history)
        done = len(history.steps)
        due = done % settings.check_every == 0 or done == settings.steps
        first = not early and step.mean(target) >= settings.goal
        early = early or first
        if not (due or first):
            continue
        score = checked(step.token[0], start)
        if ends(score, best, settings.goal):
            return True
        stale = 0 if score > best + IMPROVED else stale + due
        best = max(best, score)
        if stale >= patience:
            break
    return len(history.steps) >= settings.steps


def _updates(
    classifier: Classifier,
    generator: Generator,
    target: int,
    prompts: Sequence[str],
    settings: Settings,
    history: History,
    start: str,
    vector: Tensor,
    *,
    micro_batch: MicroBatch,
    past: History | None,
) -> Iterator[Step]:
    """The updates of a start, those that ``past`` had taken as they are; images are thumbnails."""
    last = None
    while past is not None and len(history.steps) < len(past.steps):
        last = past.steps[len(history.steps)]
        yield last
    for step in optimise(
        classifier,
        generator,
        target,
        prompts,
        start=vector if last is None else last.token[0],
        start_name=start,
        seed=history.seed,
        first_step=len(history.steps),
        steps=settings.steps - len(history.steps),
        batch=settings.batch,
        lr=settings.lr,
        gradient=as_policy(settings.gradient),
        objective=settings.objective,
        micro_batch=micro_batch,
        optimizer_state=None if last is None else last.optimizer,
    ):
        yield replace(step, images=thumbnails(step.images))


def ends(score: float, before: float, goal: float) -> bool:
    """Whether a check ends a search: the goal is reached, and another one can hardly be better.

    Parameters
    ----------
    score
        Value of the check.
    before
        The best value of this start's earlier checks; ``-inf`` for none.
    goal
        `inversion_kit.settings.Settings.goal`.

    Examples
    --------
    >>> ends(0.8, 0.2, 0.75), ends(0.82, 0.8, 0.75), ends(0.97, 0.2, 0.75)
    (False, True, True)
    """
    reached = max(score, before) >= goal
    return reached and (score > 1 - IMPROVED or score <= before + IMPROVED)


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
    return levels(images)


def _starts(
    classifier: Classifier,
    generator: Generator,
    target: int,
    prompts: Sequence[str],
    settings: Settings,
    history: History,
    bank: Batches | None,
) -> Iterator[tuple[str, Tensor]]:
    """Name and vector of each start, the probe asked only where the first was not enough."""
    yield first_start(generator, settings)
    if settings.start is not None or not settings.restarts:
        return
    words = candidates(generator, classifier.wordings[target], seed=history.seed)
    words = shared_first(generator, words, seed=history.seed)
    if history.probe is None:
        history.probe = probe(
            classifier,
            generator,
            target,
            prompts,
            words,
            seed=history.seed,
            objective=settings.objective,
            first_noises=first_noises(generator),
            bank=bank,
        )
    best = [name for name in history.probe.words if not is_sum(name)]
    yield best[0], start_vector(generator, best[0])
    if settings.restarts == 1:
        return
    sums = [name for name in history.probe.words if is_sum(name)]
    if not sums:
        pairs = probe_pairs(
            classifier,
            generator,
            target,
            prompts,
            words,
            best,
            seed=history.seed,
            objective=settings.objective,
            first_noises=first_noises(generator),
            bank=bank,
        )
        sums = list(pairs.words)
        history.probe = Probe(
            (*pairs.words, *history.probe.words),
            np.concatenate([pairs.log_probability, history.probe.log_probability]),
        )
    for name in sums[: settings.restarts - 1]:
        yield name, start_vector(generator, name)


def first_start(generator: Generator, settings: Settings) -> tuple[str, Tensor]:
    """Name and vector ``(embed,)`` of the start that a search begins at.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> first_start(as_generator("pocket"), Settings())[0]
    'neutral'
    """
    if settings.start is not None:
        return settings.start, generator.vector_of(settings.start)
    return NEUTRAL, generator.neutral_vector()
