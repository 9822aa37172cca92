"""What makes two audits the same beside the weights: how models are fed, and how images are made.

Every part is JSON, so that the plan of an audit holds it and says what differs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.preprocess import Preprocess
from inversion_kit.generators.base import Generator

_PLACES = 64
"""Values of a prepared image by which a preprocessing that is a function is told."""


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
def _gives(classifier: Classifier) -> list[Any]:
    """Shape and some values of what a fixed image becomes; its type where that is no tensor."""
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of a preprocessing with chance in it
        coarse = torch.rand(1, 3, 8, 10, generator=torch.Generator().manual_seed(0))
        given: Any = classifier.prepared(F.interpolate(coarse, (48, 60)))
    if not isinstance(given, Tensor):
        return [type(given).__name__]
    flat = given.detach().double().cpu().flatten()
    at = torch.linspace(0, flat.numel() - 1, min(_PLACES, flat.numel())).long()
    return [list(given.shape), _plain([round(value, 2) + 0.0 for value in flat[at].tolist()])]


def _plain(value: Any) -> Any:
    """The value as JSON has it; what JSON has no word for is told by its ``repr``."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else repr(value)
