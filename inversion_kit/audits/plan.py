"""What an audit is asked to do: as its workers get it, and as its folder keeps it."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from accelerate.utils.memory import clear_device_cache

from inversion_kit.arms import Arm, check_arms, read_arm
from inversion_kit.audits.bench import Bench
from inversion_kit.audits.photographs import digest
from inversion_kit.bank.batches import BatchBank
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.errors import InputError, StoreError
from inversion_kit.generators.token_file import layout_json
from inversion_kit.paths import folder_to_write
from inversion_kit.search.checks import check_settings, listed
from inversion_kit.search.facts import objective_facts
from inversion_kit.search.guidance import LENGTH
from inversion_kit.settings import Settings
from inversion_kit.storage.audit_folder import PLAN, AuditFolder
from inversion_kit.storage.audit_plan import is_named
from inversion_kit.wordings import wordings_of

_LIBRARIES = (
    "inversion-kit",
    "torch",
    "diffusers",
    "transformers",
    "timm",
    "cmaes",
    "xarray",
    "zarr",
    "numpy",
)


@dataclass
class Task:
    """What a worker gets: sources of the models, not the loaded models where they have a name.

    Parameters
    ----------
    model, generator, judges
        As they were given.
    arms, settings
        What is made of each label and seed.
    key
        Equal tasks have equal keys: a worker loads the models of a key once.
    wordings
        What prompts say for some classes of a model that is given by name, by their names.
    images
        Real images that tokens are learned from, as `photographs` takes them.
    bank
        Folder of banks, where images that depend on the generator alone lie for other processes.

    Raises
    ------
    InputError
        ``judges`` are no sequence, or ``bank`` no folder of this machine.
    StoreError
        Nothing can be written into the bank.
    """

    model: Any
    generator: Any
    judges: Sequence[Any]
    arms: tuple[Arm, ...]
    settings: Settings
    key: str = ""
    wordings: Mapping[str, str] | None = None
    images: Any = None
    bank: Any = None
    _bench: Bench | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.judges = listed(self.judges)
        if self.bank is not None:
            self.bank = folder_to_write(self.bank, argument="bank").absolute()

    @property
    def asked(self) -> Any:
        """The model with its wordings, where they were given beside its name."""
        return as_classifier(self.model, wordings=self.wordings) if self.wordings else self.model

    def load(self) -> Bench:
        """The loaded models; the same ones when asked again."""
        if self._bench is None:
            self._bench = Bench.load(
                self.asked, self.generator, self.judges, self.arms, self.settings, self.images
            )
            self.settings = self._bench.settings
            self._bench.batches = None if self.bank is None else BatchBank(self.bank)
        return self._bench

    def release(self) -> None:
        """Let go of the loaded models; `load` loads them again."""
        self._bench = None
        clear_device_cache(garbage_collection=True)

    @property
    def named(self) -> bool:
        """Whether models and images stand by their names, and the objective is the default one."""
        pictures = self.images is None or isinstance(self.images, (str, os.PathLike))
        return self.models_named and pictures

    @property
    def models_named(self) -> bool:
        """Whether every model stands by its name, and the objective is the default one."""
        named = [_source(one) for one in (self.model, *self.judges)]
        generator = self.generator is None or isinstance(self.generator, (str, os.PathLike))
        return self.settings.objective is None and generator and None not in named

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_bench": None}


def plan_of(task: Task, indices: Sequence[int], seeds: Sequence[int]) -> dict[str, Any]:
    """All that makes the units what they are, as a result and its folder keep it.

    Parameters
    ----------
    indices
        Of the labels.
    seeds
        Of the runs.

    Returns
    -------
    dict
        As `inversion_kit.storage.audit_plan.check_plan` has it: plain JSON.
    """
    bench = task.load()
    classifier, generator = bench.classifier, bench.generator
    views = bench.panel[len(bench.judges) :]
    return {
        "labels": [[i, classifier.labels[i]] for i in indices],
        "arms": [arm.name for arm in task.arms],
        "seeds": list(seeds),
        "classes": list(classifier.labels),
        "judges": [
            *([judge.name, "classifier"] for judge in bench.judges),
            *([view.name, "view"] for view in views),
        ],
        "judge_hashes": [judge.hash for judge in bench.panel],
        "classifier": classifier.name,
        "classifier_hash": classifier.hash,
        "generator": generator.name,
        "generator_hash": generator.hash,
        "settings": {
            **bench.settings.plain(),
            "arms": {
                arm.name: {**dataclasses.asdict(arm), "templates": list(arm.templates)}
                for arm in task.arms
            },
            "num_inference_steps": generator.num_inference_steps,
            "guidance_scale": generator.guidance_scale,
            "token_layout": layout_json(generator.layout),
            "sources": sources(task),
            "wordings": {
                label: wording
                for label, wording in (
                    (classifier.labels[i], classifier.wordings[i]) for i in indices
                )
                if label != wording
            },
            **objective_facts(
                bench.settings.objective, classifier, indices, device=generator.device
            ),
            "preprocess": classifier.preprocess_facts(),
            "preprocess_parity": classifier.parity_facts(),
            "judge_preprocess": [judge.preprocess_facts() for judge in bench.judges],
            "sampler": generator.sampler_facts(),
            "search": _search_facts(bench),
            **_baseline_facts(bench, indices),
            "generator_source": generator.source,
            "dtype": str(generator.dtype).removeprefix("torch."),
        },
        "versions": versions(),
    }


def _baseline_facts(bench: Bench, indices: Sequence[int]) -> dict[str, Any]:
    """What arms learn from beside the classifier, and how far it pushes those that it guides."""
    facts: dict[str, Any] = {}
    if any(arm.inverted for arm in bench.arms.values()):
        labels = bench.classifier.labels
        facts["photographs"] = {labels[i]: digest(bench.images[i]) for i in indices}
    if any(arm.guided for arm in bench.arms.values()):
        facts["guidance_length"] = LENGTH
    return facts


def _search_facts(bench: Bench) -> dict[str, Any] | None:
    """What searches ask, where it is not the generator that makes the evidence."""
    if bench.searcher is bench.generator or not any(arm.searched for arm in bench.arms.values()):
        return None
    searcher = bench.searcher
    return {
        "generator": searcher.name,
        "hash": searcher.hash,
        "num_inference_steps": searcher.num_inference_steps,
        "guidance_scale": searcher.guidance_scale,
        "sampler": searcher.sampler_facts(),
    }


def key_of(plan: dict[str, Any]) -> str:
    """A sha256 by which equal plans are known."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def same_plan(task: Task, plan: dict[str, Any]) -> dict[str, Any]:
    """`plan_of` with the labels and seeds of a plan, of what loads here and now.

    Raises
    ------
    InputError
        The classifier has other classes than the plan.
    """
    if list(task.load().classifier.labels) != plan["classes"]:
        raise InputError(f"model={task.model!r:.80}: the classifier has other classes now")
    return plan_of(task, [index for index, _ in plan["labels"]], plan["seeds"])


def task_of(folder: AuditFolder) -> Task:
    """What the plan of an audit says to load and to do; nothing is loaded yet.

    Raises
    ------
    InputError
        The audit was made of objects, not of models' names alone.
    StoreError
        Its settings are not those of an audit.
    """
    stored = folder.plan["settings"]
    if not is_named(folder.plan):
        raise InputError(
            f"path={str(folder.path)!r}: this audit was made of objects, not of models' and "
            "folders' names alone; call audit(...) again with the same arguments and this store"
        )
    try:
        names = stored["sources"]
        model, generator, judges = names["model"], names["generator"], names["judges"]
        if not all(isinstance(name, str) for name in [model, *judges]):
            raise TypeError("models must be text")
        if not (generator is None or isinstance(generator, str)) or isinstance(judges, str):
            raise TypeError("generator must be text, judges a list")
        wordings = names.get("wordings")
        if wordings is not None and not all(isinstance(w, str) for w in dict(wordings).values()):
            raise TypeError("wordings must be text")
        arms = check_arms([read_arm(stored["arms"][name]) for name in folder.plan["arms"]])
        settings = check_settings(Settings.read(stored), len(arms))
        images = names.get("images")
        if not (images is None or isinstance(images, str)):
            raise TypeError("images must be text")
        return Task(model, generator, judges, arms, settings, wordings=wordings, images=images)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, InputError) as error:
        raise StoreError(
            f"path={str(folder.path / PLAN)!r}: its settings are not those of an audit: {error!r}"
        ) from error


def sources(task: Task) -> dict[str, Any] | None:
    """The models' names, where they say all, and of a folder of images its own.

    With them the audit goes on from its folder; not where images were given themselves (None).
    """
    if not task.models_named:
        return None
    generator = None if task.generator is None else str(task.generator)
    if generator is not None and task.settings.fast:
        generator = task.load().generator.name  # the pocket's quick one, where the pocket was given
    named = isinstance(task.images, (str, os.PathLike))
    classifier = task.load().classifier
    usual = wordings_of(classifier.labels)
    given = {
        label: said
        for label, said, known in zip(classifier.labels, classifier.wordings, usual, strict=True)
        if said != known
    }
    return {
        "model": _source(task.model),
        "generator": generator,
        "judges": [_source(judge) for judge in task.judges],
        **({"wordings": given} if given else {}),
        **({} if task.images is None else {"images": os.fspath(task.images) if named else None}),
    }


def _source(model: Any) -> str | None:
    """The name of a model that has one."""
    return (
        model.source
        if isinstance(model, Classifier)
        else (os.fspath(model) if isinstance(model, (str, os.PathLike)) else None)
    )


def versions() -> dict[str, str]:
    """Versions of the libraries that a result depends on."""
    return {name: _version(name) for name in _LIBRARIES}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed as a package"
