"""What an audit will cost on this machine: its parts are timed once, and its units counted."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from inversion_kit.audits.bench import Bench
from inversion_kit.audits.estimate import Estimate, Parts, price
from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.generators.gradients import as_policy
from inversion_kit.generators.sample import sample
from inversion_kit.search.guidance import guided
from inversion_kit.search.optimise import optimise
from inversion_kit.search.probe import FEW, first_noises
from inversion_kit.search.search import first_start
from inversion_kit.seeds import PROBE, noise_seeds
from inversion_kit.storage.units import Unit

_REPEATS = 5
_ENOUGH = 4.0
"""Seconds after which a timing is not repeated again."""
_IMAGES = 4
"""Made and read at once, to time one."""


def estimate(
    bench: Bench, units: Sequence[Unit], *, budget: float | None = None, seed: int = 0
) -> Estimate:
    """Time an update and a few images, and count from there; no units take no time.

    Parameters
    ----------
    bench
        Models, arms and settings.
    units
        Those that are to be made, in their order.
    budget
        Seconds there are.
    seed
        Of the noise of what is timed.

    Returns
    -------
    Estimate
        For one worker that has kept no images yet.
    """
    if not units:
        return Estimate({}, {}, {}, {}, budget)
    parts = timed_parts(bench, units, seed)
    guess = price(parts, units, bench.arms, bench.search_settings, prompts=bench.prompts)
    return replace(guess, budget=budget)


def timed_parts(bench: Bench, units: Sequence[Unit], seed: int) -> Parts:
    """The parts of units, timed with the models of a bench."""
    searched = [u for u in units if bench.arms[u.arm].searched]
    generator = bench.generator
    searcher = bench.searcher if searched else generator
    plain = bench.prompts(units[0])[0].replace(PLACEHOLDER, "thing")
    noise = noise_seeds(seed, PROBE, 9, _IMAGES)

    def draw(one: Generator, steps: int | None = None, n: int = _IMAGES) -> Tensor:
        return sample(one, [plain] * n, seeds=noise[:n], num_inference_steps=steps)

    def image(one: Generator, steps: int | None = None) -> float:
        draw(one, steps, 1)
        return _timed(functools.partial(draw, one, steps)) / _IMAGES

    def reading(one: Classifier) -> float:
        return _timed(functools.partial(one.logits, images)) / _IMAGES

    images = draw(generator)
    own = image(generator)
    search = image(searcher) if searcher is not generator else own
    quick = search
    if searched and searcher.num_inference_steps > FEW:
        quick = image(searcher, FEW)
    read = reading(bench.classifier)
    return Parts(
        update=_update(bench, searched[0]) if searched else 0.0,
        image=own,
        reading=read + sum(map(reading, bench.panel)),
        search_image=search,
        search_reading=read,
        quick_image=quick,
        words=len(searcher.vocabulary),
        noises=first_noises(searcher),
        apart=searcher is not generator,
        pixels=math.prod(images.shape[2:]),
        baselines=_baselines(bench, units, seed),
    )


@torch.inference_mode(False)
def _update(bench: Bench, unit: Unit) -> float:
    """Seconds of an update of a unit's search; none without a gradient or steps."""
    settings = bench.settings
    if not settings.steps or settings.method != "gradient":
        return 0.0
    start, vector = first_start(bench.generator, settings)
    updates = optimise(
        bench.classifier,
        bench.searcher,
        unit.label_index,
        bench.prompts(unit),
        start=vector,
        start_name=start,
        seed=unit.seed,
        steps=1 + _REPEATS,
        batch=settings.batch,
        lr=settings.lr,
        gradient=as_policy(settings.gradient),
        objective=settings.objective,
    )
    next(updates)
    return _timed(functools.partial(next, updates))


def _baselines(bench: Bench, units: Sequence[Unit], seed: int) -> dict[str, float]:
    """Seconds that a unit of each baseline learns its token from photographs, or is guided."""
    settings, label = bench.settings, units[0].label_index
    took: dict[str, float] = {}
    for name in dict.fromkeys(unit.arm for unit in units):
        arm, unit = bench.arms[name], Unit(label, name, seed)
        if arm.inverted:
            one = replace(bench, settings=replace(settings, steps=1))
            took[name] = _timed(functools.partial(one.inverted, unit)) * settings.steps
        if arm.guided:
            texts = [prompt.replace(PLACEHOLDER, "thing") for prompt in bench.prompts(unit)[:1]]
            noise = noise_seeds(seed, PROBE, 9, 2)
            asked = bench.generator, bench.classifier, label, texts * 2, noise
            took[name] = _timed(functools.partial(guided, *asked)) / 2 * settings.samples
    return took


def _timed(work: Callable[[], object]) -> float:
    """Median seconds; what is quick is repeated, as a busy moment of the machine falls on one."""
    took: list[float] = []
    while len(took) < _REPEATS and sum(took) < _ENOUGH:
        began = time.perf_counter()
        work()
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()  # or only the asking would be timed
        took.append(time.perf_counter() - began)
    return float(np.median(took))
