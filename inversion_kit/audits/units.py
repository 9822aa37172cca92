"""One unit of an audit, from the loaded models to its datasets: the atom of work."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit import schema
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.controls import shuffled
from inversion_kit.classifiers.preprocess import whole_bytes
from inversion_kit.classifiers.views import View
from inversion_kit.errors import InputError, NumericalError, SchemaError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.prompts import NAME_ONLY, fill
from inversion_kit.search import datasets
from inversion_kit.search.arguments import METHODS
from inversion_kit.search.optimise import TEST, noise_seeds, sample
from inversion_kit.search.search import Found, Plan
from inversion_kit.search.search_state import pack, unpack
from inversion_kit.storage import durable, unit_files
from inversion_kit.storage.audit_store import AuditStore, Unit


@dataclass
class Bench:
    """What a process needs to make units: the loaded models and the settings.

    Parameters
    ----------
    templates
        Prompt templates of each arm with a token.
    samples
        Final images of a unit.
    """

    classifier: Classifier
    generator: Generator
    judges: Sequence[Classifier]
    views: Sequence[str]
    templates: dict[str, tuple[str, ...]]
    plan: Plan
    samples: int
    _shuffled: dict[int, Classifier] = field(default_factory=dict, repr=False)  # the last one

    @functools.cached_property
    def panel(self) -> list[Classifier]:
        """The judges and the views of the audited classifier."""
        return [*self.judges, *(View(self.classifier, view) for view in self.views)]

    def trained_against(self, unit: Unit) -> Classifier:
        """The classifier whose gradient a unit's token gets."""
        if unit.arm != "shuffled":
            return self.classifier
        if unit.seed not in self._shuffled:
            self._shuffled = {unit.seed: shuffled(self.classifier, unit.seed)}
        return self._shuffled[unit.seed]

    def prompts(self, unit: Unit) -> list[str]:
        """A unit's prompts, the placeholder in them."""
        name = self.classifier.labels[unit.label_index]
        if unit.arm == "name":
            return [NAME_ONLY.format(name=name)]
        return [fill(template, name=name) for template in self.templates[unit.arm]]

    def check_prompts(self, unit: Unit) -> None:
        """Refuse a unit whose prompts the generator would not read as they are meant.

        Raises
        ------
        InputError
            They are too long, or the label in them holds the placeholder.
        """
        label = self.classifier.labels[unit.label_index]
        where = f"label {label!r:.60}, arm {unit.arm!r}"
        advice = "give the class another name, as_classifier(model, labels=[...]), or leave it out"
        for prompt in self.prompts(unit):
            marks = sum(prompt.count(mark) for mark in {PLACEHOLDER, self.generator.spelling})
            if marks != (unit.arm != "name"):
                raise InputError(
                    f"{where}: its name holds {PLACEHOLDER!r}, which stands for the class token; "
                    f"{advice}"
                )
            try:
                self.generator.check_prompt(prompt)
            except InputError as error:
                if unit.arm in ("token", "shuffled"):  # no fault of the name
                    raise
                raise InputError(f"{where}: {error}, or {advice}") from error


@dataclass(frozen=True)
class Outcome:
    """What became of a unit; small, for it travels between machines."""

    unit: Unit
    status: str
    seconds: float
    success: float = float("nan")
    reason: str = ""


def make(
    bench: Bench,
    unit: Unit,
    *,
    watch: Callable[[Found], None] = lambda found: None,
    past: Found | None = None,
) -> dict[str, xr.Dataset]:
    """Search a unit's token, where its arm has one, and sample it on test noise.

    The noise depends on the seed alone: arms and labels of one seed share it.

    Returns
    -------
    dict
        Group to dataset, as `inversion_kit.schema.UNIT` has them.

    Raises
    ------
    InputError
        The generator does not read the prompts as they are meant.
    NumericalError
        Values are not finite, or every final image is of one colour.
    """
    bench.check_prompts(unit)
    groups: dict[str, xr.Dataset] = {}
    prompts, token = bench.prompts(unit), None
    trained = bench.trained_against(unit)
    if unit.arm != "name":
        found = METHODS[bench.plan.method](
            trained, bench.generator, unit.label_index, prompts, bench.plan,
            seed=unit.seed, watch=watch, past=past,
        )  # fmt: skip
        groups = {
            "trajectory": datasets.trajectory(found, trained.labels),
            "validation": datasets.validation(found, trained.labels),
            "token": datasets.token(found, bench.generator),
            "probe": datasets.probe(found),
        }
        token = ClassToken(found.looks[found.selected].check.token)
    seeds = noise_seeds(unit.seed, TEST, 0, bench.samples)
    texts = [prompts[i % len(prompts)] for i in range(bench.samples)]
    made = whole_bytes(sample(bench.generator, texts, seeds=seeds, token=token))  # as stored
    flat = (made.amax((2, 3)) - made.amin((2, 3))) < 1 / 255  # each channel of its own
    if flat.all():
        raise NumericalError("every final image is of one colour; was a safety checker at work?")
    final = datasets.samples(made, bench.classifier, prompts=texts, seeds=seeds)
    if token is not None:
        scored = datasets.probability(trained, made)
        final["trained_probability"] = (("sample", "class"), scored)
    if bench.panel:
        judged = np.stack([datasets.probability(judge, made) for judge in bench.panel])
        final["judge_probability"] = (("judge", "sample", "class"), judged)
        final = final.assign_coords(judge=[judge.name for judge in bench.panel])
    return {**groups, "samples": final}


def make_and_store(bench: Bench, store: AuditStore, unit: Unit) -> Outcome:
    """Make a unit, from its checkpoint where there is one, and commit it or why it failed.

    Whatever the models raise is recorded; what the store raises is not caught, unless another
    worker has committed the unit meanwhile and cleared its checkpoints away.
    """
    began = time.monotonic()
    past, before = past_of(store, unit)
    looks = 0 if past is None else len(past.looks)

    def spent() -> float:
        return before + time.monotonic() - began

    trouble: list[BaseException] = []

    def watch(found: Found) -> None:
        nonlocal looks
        if len(found.looks) > looks:
            looks = len(found.looks)
            tensors, meta = pack(found)
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
        "trained_against": bench.trained_against(unit).name,
        "seconds": round(spent(), 3),
    }
    store.commit(unit, groups, attributes)
    probability = groups["samples"]["probability"].values
    return Outcome(unit, "done", spent(), _success(unit, probability))


def past_of(store: AuditStore, unit: Unit) -> tuple[Found | None, float]:
    """What a run that was cut off had found of a unit, and the seconds that it took.

    A checkpoint that makes no sense counts as none: the unit begins anew.
    """
    kept = store.load_checkpoint(unit) if unit.arm != "name" else None
    if kept is None:
        return None, 0.0
    try:
        return unpack(*kept), unit_files.seconds(kept[1])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError):
        return None, 0.0


def stored(store: AuditStore, unit: Unit) -> Outcome:
    """The outcome of a unit that is done already; its images are not read."""
    folder = store.folder(unit)
    table = unit_files.read_table(folder, durable.manifest(folder))
    attributes, texts = unit_files.read_texts(folder)
    group, name = "samples", "probability"
    found = table.get(group, {}).get(name)
    if found is None or (found.dims, found.kind) != schema.UNIT[group][name]:
        raise SchemaError(f"path={str(folder)!r}: it holds no {name} of {group}")
    probability = unit_files.read_array(folder, group, name, found, texts, (slice(None),) * 2)
    return Outcome(unit, "done", unit_files.seconds(attributes), _success(unit, probability))


def _success(unit: Unit, probability: np.ndarray) -> float:
    return float((probability.argmax(1) == unit.label_index).mean())
