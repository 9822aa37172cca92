"""One unit (label x arm x seed), from the loaded models to its datasets: the atom of work."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from inversion_kit.audits.bench import Bench
from inversion_kit.classifiers.preprocess import whole_bytes
from inversion_kit.errors import NumericalError
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.kept import kept
from inversion_kit.generators.sample import from_bytes, sample
from inversion_kit.search import datasets
from inversion_kit.search.checks import SEARCHES
from inversion_kit.search.guidance import guided
from inversion_kit.search.history import History
from inversion_kit.search.search import first_start
from inversion_kit.search.state import pack, unpack
from inversion_kit.seeds import TEST, noise_seeds
from inversion_kit.storage import unit_files
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit

Groups = dict[str, xr.Dataset]
"""Group to dataset, as `inversion_kit.schema.UNIT` has them."""


@dataclass(frozen=True)
class Outcome:
    """What became of a unit; small, for it travels between machines.

    Parameters
    ----------
    unit
        Which.
    status
        "done" or "failed".
    seconds
        Spent on it.
    success
        Share of its final images that are read as the label, in [0, 1]; NaN where it failed.
    reason
        Why it failed.
    """

    unit: Unit
    status: str
    seconds: float
    success: float = float("nan")
    reason: str = ""


def make(
    bench: Bench,
    unit: Unit,
    *,
    watch: Callable[[History], None] = lambda history: None,
    past: History | None = None,
) -> Groups:
    """Search a unit's token, where its arm has one, and sample it on test noise.

    The noise depends on the seed alone: arms and labels of one seed share it.

    Raises
    ------
    InputError
        The generator does not read the prompts as they are meant.
    NumericalError
        Values are not finite, or every final image is of one colour.
    """
    bench.check_prompts(unit)
    history = search(bench, unit, watch=watch, past=past)
    return {**searched(bench, unit, history), **sampled(bench, unit, history)}


def search(
    bench: Bench,
    unit: Unit,
    *,
    watch: Callable[[History], None] = lambda history: None,
    past: History | None = None,
) -> History | None:
    """What the search of a unit has seen; None for an arm without one."""
    if not bench.arms[unit.arm].searched:
        return None
    return SEARCHES[bench.settings.method](
        bench.trained_against(unit),
        bench.searcher,
        unit.label_index,
        bench.prompts(unit),
        bench.search_settings,
        seed=unit.seed,
        watch=watch,
        past=past,
        bank=bench.batches,
    )


def searched(
    bench: Bench,
    unit: Unit,
    history: History | None,
    *,
    before: Mapping[str, int] | None = None,
    samples: int | None = None,
) -> Groups:
    """The groups of a unit's search, and its ledger where queries are counted.

    Parameters
    ----------
    before
        Queries before the search, by kind, where they are counted with this unit.
    samples
        Final images that are made of it: all by default.
    """
    groups: Groups = {}
    if history is not None:
        classes = bench.trained_against(unit).labels
        groups = {
            "trajectory": datasets.trajectory(history, classes),
            "validation": datasets.validation(history, classes),
            "token": datasets.token(history, bench.generator),
            "probe": datasets.probe(history),
        }
    if bench.settings.method == "cma":
        asked = bench.settings.samples if samples is None else samples
        groups["ledger"] = datasets.ledger(history, before=before or {}, samples=asked)
    return groups


def sampled(bench: Bench, unit: Unit, history: History | None) -> Groups:
    """The final images of a unit on test noise, scored by the classifier and the whole panel.

    Raises
    ------
    NumericalError
        Values are not finite, or every image is of one colour.
    """
    arm, n = bench.arms[unit.arm], bench.settings.samples
    prompts, seeds = bench.prompts(unit), noise_seeds(unit.seed, TEST, 0, n)
    texts = [prompts[i % len(prompts)] for i in range(n)]
    vector: Tensor | None = None if history is None else history.token
    groups: Groups = {}
    if arm.token == "start":
        vector = first_start(bench.generator, bench.settings)[1]
    if arm.inverted:
        vector = bench.inverted(unit)
        groups["token"] = datasets.tokens([vector], 0, bench.generator)
    token = None if vector is None else ClassToken(vector)

    def paint() -> Tensor:
        if arm.guided:
            asked = bench.generator, bench.classifier, unit.label_index
            return guided(*asked, texts, seeds, token=token)
        return sample(bench.generator, texts, seeds=seeds, token=token)

    if token is None and bench.bank is not None and not arm.guided:
        images = from_bytes(bench.bank.images(list(zip(texts, seeds, strict=True))))
    elif arm.guided or arm.token == "learned":
        images = whole_bytes(paint())  # as stored
    else:
        made = kept(bench.generator, texts, seeds=seeds, token=token, bank=bench.batches)
        images = made.float() / 255
    flat = (images.amax((2, 3)) - images.amin((2, 3))) < 1 / 255  # each channel of its own
    if flat.all():
        raise NumericalError("every final image is of one colour; was a safety checker at work?")
    final = datasets.samples(images, bench.classifier, prompts=texts, seeds=seeds)
    if history is not None:
        scores = final["probability"].values
        if (trained := bench.trained_against(unit)) is not bench.classifier:
            scores = datasets.probability(trained, images)
        final["trained_probability"] = (("sample", "class"), scores)
        if bench.searcher is not bench.generator and bench.settings.method != "cma":
            seen = whole_bytes(sample(bench.searcher, texts, seeds=seeds, token=token))
            said = datasets.probability(bench.classifier, seen)
            final["search_probability"] = (("sample", "class"), said)
    if bench.panel:
        judged = np.stack([datasets.probability(judge, images) for judge in bench.panel])
        final["judge_probability"] = (("judge", "sample", "class"), judged)
        final = final.assign_coords(judge=[judge.name for judge in bench.panel])
    return {**groups, "samples": final}


def make_and_store(bench: Bench, store: AuditStore, unit: Unit) -> Outcome:
    """Make a unit, from its checkpoint where there is one, and commit it or why it failed.

    Whatever the models raise is recorded; what the store raises is not caught, unless another
    worker has committed the unit meanwhile and cleared its checkpoints away.
    """
    began = time.monotonic()
    past, before = past_of(store, unit) if bench.arms[unit.arm].searched else (None, 0.0)
    checks = 0 if past is None else len(past.checks)

    def spent() -> float:
        return before + time.monotonic() - began

    trouble: list[BaseException] = []

    def watch(history: History) -> None:
        nonlocal checks
        if len(history.checks) > checks:
            checks = len(history.checks)
            tensors, meta = pack(history)
            try:
                store.save_checkpoint(unit, tensors, {**meta, "seconds": spent()})
            except Exception as error:
                trouble.append(error)
                raise

    try:
        groups = make(bench, unit, watch=watch, past=past)
    except Exception as error:
        if error in trouble:
            if store.state(unit) == "done":
                return stored(store, unit)
            raise
        store.fail(unit, error, spent())
        return Outcome(unit, "failed", spent(), reason=f"{type(error).__name__}: {error}")
    attributes: dict[str, Any] = {
        "label": bench.classifier.labels[unit.label_index],
        "arm": unit.arm,
        "seed": unit.seed,
        "trained_against": bench.teacher(unit),
        "seconds": round(spent(), 3),
    }
    store.commit(unit, groups, attributes)
    return Outcome(unit, "done", spent(), _success(unit, groups["samples"]["probability"].values))


def past_of(store: AuditStore, unit: Unit) -> tuple[History | None, float]:
    """What a run that was cut off had seen of a unit, and the seconds that it took.

    A checkpoint that makes no sense counts as none: the unit begins anew.
    """
    kept = store.load_checkpoint(unit)
    if kept is None:
        return None, 0.0
    try:
        return unpack(*kept), unit_files.seconds(kept[1])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError):
        return None, 0.0


def stored(store: AuditStore, unit: Unit) -> Outcome:
    """The outcome of a unit that is done already; its images are not read."""
    probability, seconds = store.probability(unit)
    return Outcome(unit, "done", seconds, _success(unit, probability))


def _success(unit: Unit, probability: np.ndarray) -> float:
    return float((probability.argmax(1) == unit.label_index).mean())
