"""What a process needs to make units: the loaded models, the arms and the settings."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from inversion_kit.arms import Arm
from inversion_kit.audits.photographs import Photographs, photographs
from inversion_kit.bank.bank import Bank
from inversion_kit.classifiers.base import IDENTITY, Classifier
from inversion_kit.classifiers.controls import shuffled
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.classifiers.modules import freeze
from inversion_kit.classifiers.same_network import networks_of
from inversion_kit.classifiers.views import View
from inversion_kit.errors import InputError, LabelError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.gradients import NONE, as_policy
from inversion_kit.generators.kept import Batches
from inversion_kit.generators.memory import is_full
from inversion_kit.generators.prompts import fill
from inversion_kit.generators.quick import search_generator, settled
from inversion_kit.generators.rehearsal import rehearse_call
from inversion_kit.plain import in_utf8
from inversion_kit.search.checks import check_judges, check_method, check_queries
from inversion_kit.search.guidance import check_guidance
from inversion_kit.search.rehearsal import REHEARSED, rehearse
from inversion_kit.search.search import first_start
from inversion_kit.search.textual_inversion import check_learner, textual_inversion
from inversion_kit.settings import Settings
from inversion_kit.storage.units import Unit


@dataclass
class Bench:
    """Loaded models, arms and settings.

    Parameters
    ----------
    classifier
        The audited one.
    generator
        What makes the images.
    judges
        Held-out classifiers.
    arms
        Those that are made, by name.
    settings
        Of every search and of the evidence.
    identity
        Queries that its hash and the comparison with judges take: 0 where neither asks.
    rehearsed
        Images that the classifier has scored in `check`.
    bank
        Where final images of prompts without a token are kept, if anywhere.
    images
        Real images that tokens are learned from, by class index.
    batches
        Where images that depend on a generator alone lie for other processes, if anywhere.
    """

    classifier: Classifier
    generator: Generator
    judges: Sequence[Classifier]
    arms: dict[str, Arm]
    settings: Settings
    identity: int = 0
    rehearsed: int = 0
    bank: Bank | None = None
    images: Photographs = field(default_factory=dict)
    batches: Batches | None = None
    _shuffled: dict[int, Classifier] = field(default_factory=dict, repr=False)  # the last one

    @classmethod
    def load(
        cls,
        model: Any,
        generator: Any,
        judges: Sequence[Any],
        arms: Sequence[Arm],
        settings: Settings,
        images: Any = None,
    ) -> Bench:
        """Models from whatever was given; classifiers given by name go where the generator is.

        Raises
        ------
        InputError
            One cannot be used, or they do not go together.
        """
        classifier = as_classifier(model)
        given = photographs(images, classifier)
        if given and not any(arm.inverted for arm in arms):
            raise InputError("images: no arm learns from them; give arms=[..., 'inverted']")
        searched = any(arm.searched for arm in arms)
        settings = check_method(settings, classifier, searched=searched)
        asks = classifier.asks_for_hash or (bool(judges) and "answers" not in vars(classifier))
        panel = check_judges(judges, classifier)
        for network in chain.from_iterable(map(networks_of, [classifier, *panel])):
            freeze(network.model)  # it may have been trained on since it was made a classifier
        pipeline = as_generator(generator, fast=settings.fast)
        settings = settled(settings, pipeline)
        for source, one in zip([model, *judges], [classifier, *panel], strict=True):
            parts = source if isinstance(source, (list, tuple)) else [source]
            if all(isinstance(part, (str, os.PathLike)) for part in parts):
                one.model.to(pipeline.device)
        named = {arm.name: arm for arm in arms}
        bench = cls(classifier, pipeline, panel, named, settings, IDENTITY if asks else 0)
        bench.images = given
        views = {view.name for view in bench.panel[len(panel) :]}
        if same := next((judge.name for judge in panel if judge.name in views), None):
            raise InputError(
                f"judges: {same!r} has the name of one of the views={list(settings.views or ())}; "
                "give as_classifier(judge, name=...)"
            )
        return bench

    @functools.cached_property
    def panel(self) -> list[Classifier]:
        """The judges and the views of the audited classifier."""
        views = [View(self.classifier, view) for view in self.settings.views or ()]
        return [*self.judges, *views]

    @functools.cached_property
    def searcher(self) -> Generator:
        """The generator that searches ask."""
        return search_generator(self.generator, self.settings)

    @functools.cached_property
    def search_settings(self) -> Settings:
        """The settings with the queries that a search may use in place of all."""
        if self.settings.method != "cma":
            return self.settings
        return replace(self.settings, queries=check_queries(self.settings, len(self.arms)))

    def labels(self, asked: Sequence[int | str] | int | str | None) -> list[int]:
        """Class indices of labels, each once and sorted; all classes for None.

        Raises
        ------
        LabelError
            One is unknown, or no file can hold a class's name.
        InputError
            None is given, or one twice.
        """
        known = self.classifier.labels
        if odd := next((label for label in known if not in_utf8(label)), None):
            raise LabelError(
                f"class {known.index(odd)}, {odd!r}: it holds what UTF-8 cannot (a lone "
                "surrogate), so that no file can name it; give names without it, "
                "as_classifier(model, labels=[...])"
            )
        if asked is None:
            return list(range(len(known)))
        one = isinstance(asked, str) or not isinstance(asked, Iterable)
        listed: list[Any] = [asked] if one else list(asked)  # type: ignore[arg-type]
        indices = [self.classifier.index(label) for label in listed]
        if not indices or len(set(indices)) != len(indices):
            raise InputError(f"labels={listed}: at least one, each once")
        return sorted(indices)

    def trained_against(self, unit: Unit) -> Classifier:
        """The classifier whose scores a unit's token is trained by."""
        if not self.arms[unit.arm].control:
            return self.classifier
        if unit.seed not in self._shuffled:
            self._shuffled = {unit.seed: shuffled(self.classifier, unit.seed)}
        return self._shuffled[unit.seed]

    def teacher(self, unit: Unit) -> str:
        """What a unit's token is trained by, as its files say it."""
        inverted = self.arms[unit.arm].inverted
        return "photographs" if inverted else self.trained_against(unit).name

    def inverted(self, unit: Unit) -> Tensor:
        """A token ``(vector, embed)`` that is learned from the images of a unit's label.

        As many updates as a search may take, of textual inversion's own length and batch.
        """
        settings, name = self.settings, self.classifier.wordings[unit.label_index]
        templates = self.arms[unit.arm].prompts(settings.prompts)
        return textual_inversion(
            self.images[unit.label_index],
            generator=self.generator,
            prompts=[template.replace("{name}", name) for template in templates],
            start=settings.start,
            steps=settings.steps,
            seed=unit.seed,
        ).vector.detach()

    def prompts(self, unit: Unit) -> list[str]:
        """A unit's prompts, the placeholder in them."""
        name = self.classifier.wordings[unit.label_index]
        templates = self.arms[unit.arm].prompts(self.settings.prompts)
        return [fill(template, name=name) for template in templates]

    def check_prompts(self, unit: Unit) -> None:
        """Refuse a unit whose prompts the generator would not read as they are meant.

        Raises
        ------
        InputError
            They are too long, or the label in them holds the placeholder.
        """
        label, arm = self.classifier.labels[unit.label_index], self.arms[unit.arm]
        templates = arm.prompts(self.settings.prompts)
        where = f"label {label!r:.60}, arm {unit.arm!r}"
        advice = (
            f"give it another wording, as_classifier(model, wordings={{{unit.label_index}: ...}}), "
            "or leave it out"
        )
        for template, prompt in zip(templates, self.prompts(unit), strict=True):
            marks = sum(prompt.count(mark) for mark in {PLACEHOLDER, self.generator.spelling})
            if marks != (arm.token != "none"):
                raise InputError(
                    f"{where}: its name holds {PLACEHOLDER!r}, which stands for the class token; "
                    f"{advice}"
                )
            try:
                self.generator.check_prompt(prompt)
            except InputError as error:
                if "{name}" not in template:  # no fault of the name
                    raise
                raise InputError(f"{where}: {error}, or {advice}") from error

    def check(self, indices: Sequence[int]) -> None:
        """Let what would fail in every unit fail now; an odd label fails in its own units alone.

        Raises
        ------
        InputError
            A gradient, a prompt, a start word, the generator's call, or what a classifier or a
            judge gives cannot be used.
        NumericalError
            The classifier gives values that are not finite.
        """
        self._check_baselines(indices)
        searched = [arm for arm in self.arms.values() if arm.searched]
        if searched and self.settings.method == "gradient":
            self.searcher.check_gradient(as_policy(self.settings.gradient))
        for arm in self.arms.values():
            troubles = []
            for index in indices:
                try:
                    self.check_prompts(Unit(index, arm.name, 0))
                except InputError as error:
                    troubles.append(error)
            if len(troubles) == len(indices):
                raise troubles[0]
        if self.settings.start is not None:
            self.generator.vector_of(self.settings.start)
        try:
            self._rehearse(indices, (searched or list(self.arms.values()))[0])
        except RuntimeError as error:
            if not is_full(error):  # whether a single image fits is seen unit by unit
                raise

    def _check_baselines(self, indices: Sequence[int]) -> None:
        """Refuse arms that need images of every label, or a pipeline that can be opened."""
        if any(arm.guided for arm in self.arms.values()):
            check_guidance(self.generator, self.classifier)
        for arm in (one for one in self.arms.values() if one.inverted):
            without = [self.classifier.labels[i] for i in indices if i not in self.images]
            if without:
                more = f" and {len(without) - 3} more" if len(without) > 3 else ""
                raise InputError(
                    f"arms: {arm.name!r} learns from real images, and there are none of "
                    f"{', '.join(map(repr, without[:3]))}{more}; give images=, a folder with a "
                    "folder a class or {label: [files]}, with 1 to 16 of each label"
                )
            check_learner(self.generator)
            if not self.settings.steps:
                raise InputError(f"steps=0: arm {arm.name!r} learns nothing; give 1 or more")

    def _rehearse(self, indices: Sequence[int], arm: Arm) -> None:
        """Do once in small what a unit of an arm does, with the first label that can be said."""
        unit = next(unit for i in indices if self._can_say(unit := Unit(i, arm.name, 0)))
        size, generator = self.generator.size, self.generator
        dtype = torch.promote_types(generator.dtype, torch.float32)
        if size is not None:  # a fault of the classifier is said before any image
            self._ask(unit, torch.zeros(2, 3, *size, device=generator.device, dtype=dtype))
        by_gradient = arm.searched and self.settings.method == "gradient"
        vector = first_start(generator, self.settings)[1]
        token = None if arm.token == "none" else ClassToken(vector)
        policy = as_policy(self.settings.gradient) if by_gradient else NONE
        prompts = self.prompts(unit)
        if arm.searched and self.searcher is not generator:
            rehearse_call(self.searcher, prompts, token=token, gradient=policy)
            policy = NONE
        images = rehearse_call(generator, prompts, token=token, gradient=policy)
        if size != images.shape[2:]:
            self._ask(unit, images)

    def _ask(self, unit: Unit, like: Tensor) -> None:
        """Let classifier, judges and controls do once what they will be asked of such images."""
        arm, settings, target = self.arms[unit.arm], self.settings, unit.label_index
        given: dict[str, Any] = {"settings": settings, "target": target, "panel": self.panel}
        differentiated = arm.searched or any(one.guided for one in self.arms.values())
        rehearse(self.classifier, like, searched=differentiated, **given)
        self.rehearsed += REHEARSED
        for control in (one for one in self.arms.values() if one.control):
            copy = self.trained_against(Unit(target, control.name, 0))
            rehearse(copy, like, settings=settings, target=target, searched=False)

    def _can_say(self, unit: Unit) -> bool:
        try:
            self.check_prompts(unit)
        except InputError:
            return False
        return True
