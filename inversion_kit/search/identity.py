"""What makes two results the same beside the weights: how models are fed, how images are made.

Every part is JSON, so that the plan of an audit holds it and says what differs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.preprocess import Preprocess
from inversion_kit.generators.base import Generator
from inversion_kit.objectives import Objective, OfImages, bind, describe

_PLACES = 64
"""Values of a prepared image by which a preprocessing that is a function is told."""
_LOSSES = 8
"""Losses by which an objective is told."""


def fed(classifier: Classifier) -> dict[str, Any]:
    """How a classifier is fed and read: its preprocessing and its head.

    A `Preprocess` is told by its settings. Any other callable is told by its name and by some
    values that it gives for a fixed image, to two decimals.

    Examples
    --------
    >>> from inversion_kit.classifiers.base import as_classifier
    >>> fed(as_classifier("pocket:honest"))["head"]
    'softmax'
    """
    told: dict[str, Any] = {"head": classifier.head}
    if members := getattr(classifier.model, "members", ()):
        return told | {"members": [fed(member) for member in members]}
    look = classifier.preprocess
    if isinstance(look, Preprocess):
        return told | _plain(dataclasses.asdict(look))
    called = getattr(look, "__qualname__", type(look).__qualname__)
    return told | {"function": called, "gives": _gives(classifier)}


def sampler(generator: Generator) -> dict[str, Any]:
    """How a generator makes images: its pipeline, its scheduler with all settings, its call.

    Examples
    --------
    >>> from inversion_kit.generators.base import as_generator
    >>> sampler(as_generator("pocket"))["pipeline"]
    'StableDiffusionPipeline'
    """
    scheduler = generator.pipeline.scheduler
    settings = {k: v for k, v in dict(scheduler.config).items() if not str(k).startswith("_")}
    return {
        "pipeline": type(generator.pipeline).__name__,
        "scheduler": {"class": type(scheduler).__name__, **_plain(settings)},
        "call": _plain(generator.call),
    }


@torch.no_grad()
def aim(
    objective: Objective, classifier: Classifier, targets: Sequence[int], *, device: torch.device
) -> dict[str, Any]:
    """What a token is trained for: the objective's name and its loss of fixed logits and images.

    The losses are told to two decimals, those of the first `_LOSSES` targets in turn.

    Examples
    --------
    >>> from inversion_kit.classifiers.base import as_classifier
    >>> from inversion_kit.objectives import margin
    >>> told = aim(margin, as_classifier("pocket:honest"), [14], device=torch.device("cpu"))
    >>> told["objective"], len(told["objective_gives"])
    ('margin', 8)
    """
    fixed = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(_LOSSES, len(classifier.labels), generator=fixed)
    images = _images(_LOSSES)
    target = torch.tensor([targets[i % len(targets)] for i in range(_LOSSES)])
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of an objective with chance in it
        loss = bind(objective, images.to(device))(logits.to(device), target.to(device))
    told: dict[str, Any] = {"objective": describe(objective), "objective_gives": _rounded(loss)}
    if isinstance(objective, OfImages):
        told["objective_hashes"] = {one.name: one.hash for one in objective.others}
    return told


@torch.no_grad()
def _gives(classifier: Classifier) -> list[Any]:
    """Shape and some values of what a fixed image becomes; its type where that is no tensor."""
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of a preprocessing with chance in it
        given: Any = classifier.prepared(_images(1))
    if not isinstance(given, Tensor):
        return [type(given).__name__]
    flat = given.flatten()
    at = torch.linspace(0, flat.numel() - 1, min(_PLACES, flat.numel())).long()
    return [list(given.shape), _rounded(flat[at.to(flat.device)])]


def _images(n: int) -> Tensor:
    """The same images ``(n, 3, 48, 60)`` whenever asked."""
    coarse = torch.rand(n, 3, 8, 10, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, (48, 60))


def _rounded(values: Tensor) -> Any:
    """Values to two decimals: the rounding of another machine is no difference."""
    return _plain([round(value, 2) + 0.0 for value in values.detach().double().cpu().tolist()])


def _plain(value: Any) -> Any:
    """The value as JSON has it; what JSON has no word for is told by its ``repr``."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else repr(value)
