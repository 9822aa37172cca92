"""The two models of a comparison, from whatever was given, and who judges whom."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from inversion_kit import schema
from inversion_kit.analysis.reading import model_names
from inversion_kit.audits.run import audit
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.classifiers.same_network import same_network
from inversion_kit.errors import InputError
from inversion_kit.settings import Settings
from inversion_kit.storage.audit_folder import PLAN
from inversion_kit.storage.sealed import ROOT
from inversion_kit.storage.store import open as open_result


@dataclass(frozen=True)
class Sides:
    """The older and the newer model.

    Parameters
    ----------
    given
        As audits take them: names where they have one.
    models
        The same, loaded.
    generator, judges
        As audits take them; the judges are neither of the two.
    same
        Why they are one network, and cannot judge each other; "" where they are two.
    results
        Finished audits of both; None where they are to be made.
    """

    given: tuple[Any, Any]
    models: tuple[Classifier, Classifier]
    generator: Any
    judges: tuple[Any, ...]
    same: str
    results: tuple[xr.DataTree, xr.DataTree] | None

    @property
    def names(self) -> tuple[str, str]:
        """What their results call them."""
        return self.models[0].name, self.models[1].name

    @property
    def shown(self) -> tuple[str, str]:
        """What readers are told: two names, of equal ones too."""
        a, b = self.names
        return (a, b) if a != b else (f"{a} (a)", f"{b} (b)")

    def judges_of(self, side: int) -> list[Any]:
        """Who judges the images of one side: the other model, if it is another, and the judges."""
        return [*([] if self.same else [self.given[1 - side]]), *self.judges]


def audited(sides: Sides, side: int, labels: Any, settings: Settings, **more: Any) -> xr.DataTree:
    """The audit of one side, the other among its judges; ``more`` as `audit` takes it."""
    own = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    judges = sides.judges_of(side)
    tree: xr.DataTree = audit(
        sides.given[side], labels, generator=sides.generator, judges=judges, **more, **own
    )
    return tree


def sides_of(model_a: Any, model_b: Any, generator: Any, judges: Sequence[Any]) -> Sides:
    """Both models, or what their finished audits were made of.

    Raises
    ------
    InputError
        Only one is a result, a result was made of objects, or the label names differ.
    """
    trees = [_result(model) for model in (model_a, model_b)]
    if (trees[0] is None) != (trees[1] is None):
        raise InputError(
            "model_a, model_b: one is a result and the other a model; give two results, or two "
            "models: audits that lie in the store already are not made again"
        )
    given, results = [model_a, model_b], None
    if trees[0] is not None and trees[1] is not None:
        results = trees[0], trees[1]
        facts = [_facts(tree) for tree in results]
        given = [as_classifier(f["model"], wordings=f.get("wordings")) for f in facts]
        generator = facts[0]["generator"] if generator is None else generator
        own = {fact["model"] for fact in facts}
        judges = judges or [judge for judge in facts[0]["judges"] if judge not in own]
    a, b = (as_classifier(model) for model in given)
    if list(a.labels) != list(b.labels):
        raise InputError(
            f"model_a, model_b: {a.name!r} and {b.name!r} have other label names; both must name "
            "the same classes in the same order, as_classifier(model, labels=[...])"
        )
    same = same_network(a, b) or ""
    if a.name == b.name and not same:
        given[1] = b = as_classifier(b, name=f"{b.name} (b)")
    return Sides((given[0], given[1]), (a, b), generator, tuple(judges), same, results)


def _result(model: Any) -> xr.DataTree | None:
    """A finished audit, given or stored; None of a model."""
    if isinstance(model, xr.DataTree):
        return schema.validate(model)
    if isinstance(model, (str, os.PathLike)):
        place = Path(model)
        if (place / PLAN).is_file() or (place / ROOT).is_file():
            return open_result(place)
    return None


def _facts(tree: xr.DataTree) -> dict[str, Any]:
    """The names of a result's models."""
    facts = model_names(tree)
    if not facts:
        raise InputError(
            f"model: the result of {tree.attrs['classifier']!r} was made of objects, not of "
            "models' names alone; give the models themselves, with store="
        )
    return facts
