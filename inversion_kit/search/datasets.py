"""From what a search saw to xarray: one dataset a group, as `schema.UNIT` has it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.generators.sample import to_bytes
from inversion_kit.search.history import History, Query

WORDS = 10
"""Nearest words and probed words that are kept of a unit."""
_PIXELS = ("y", "x", "channel")


def trajectory(history: History, classes: Sequence[str]) -> xr.Dataset:
    """Every update: loss, gradient norm, softmax, images, prompts and noise."""
    steps = history.steps
    batch = len(steps[0].seeds) if steps else 0
    image = [to_bytes(s.images) for s in steps]
    return xr.Dataset(
        {
            "loss": ("step", np.array([s.loss for s in steps], np.float32)),
            "gradient_norm": ("step", np.array([s.gradient_norm for s in steps], np.float32)),
            "start": ("step", np.array([s.start for s in steps], dtype=str)),
            "probability": (
                ("step", "sample", "class"),
                _stack([s.probability.cpu().numpy() for s in steps], (batch, len(classes)), "f4"),
            ),
            "image": (("step", "sample", *_PIXELS), _stack(image, (batch, 0, 0, 3), "u1")),
            "prompt": (
                ("step", "sample"),
                np.array([s.prompts for s in steps], dtype=str).reshape(len(steps), batch),
            ),
            "noise_seed": (
                ("step", "sample"),
                _stack([np.array(s.seeds) for s in steps], (batch,), "i8"),
            ),
        },
        {"step": np.arange(len(steps)), "sample": np.arange(batch), "class": list(classes)},
    )


def validation(history: History, classes: Sequence[str]) -> xr.Dataset:
    """Every check on held-out noise."""
    checks = history.checks
    losses = np.array([check.loss for check in checks], np.float32)
    own = {} if np.isnan(losses).all() else {"objective": ("check", losses)}
    return xr.Dataset(
        {
            **own,
            "step": ("check", np.array([check.step for check in checks], np.int64)),
            "start": ("check", np.array([check.start for check in checks], dtype=str)),
            "probability": (
                ("check", "sample", "class"),
                np.stack([check.probability.cpu().numpy() for check in checks]),
            ),
            "image": (
                ("check", "sample", *_PIXELS),
                np.stack([to_bytes(check.images) for check in checks]),
            ),
            "noise_seed": ("sample", np.array(history.held_out, np.int64)),
        },
        {
            "check": np.arange(len(checks)),
            "sample": np.arange(len(history.held_out)),
            "class": list(classes),
        },
    )


def token(history: History, generator: Generator) -> xr.Dataset:
    """The token at every check, the selected one, and the words nearest to that."""
    return tokens([check.token for check in history.checks], history.selected, generator)


def tokens(each: Sequence[Tensor], selected: int, generator: Generator) -> xr.Dataset:
    """Tokens ``(vector, embed)`` one after the other, and the words nearest to the selected one.

    Of a search they are those of its checks; a token that was learned without any stands alone.
    """
    words, cosines = generator.nearest_words(each[selected].flatten(), WORDS)
    return xr.Dataset(
        {
            "embedding": (
                ("check", "vector", "embed"),
                np.stack([token.cpu().numpy() for token in each]),
            ),
            "selected": ((), np.int64(selected)),
            "nearest_word": ("rank", np.array(words, dtype=str)),
            "nearest_cosine": ("rank", cosines.cpu().numpy().astype(np.float32)),
        },
        {"check": np.arange(len(each))},
    )


def probe(history: History) -> xr.Dataset:
    """The words that the vocabulary probe liked best, best first; empty where it was not asked."""
    words = history.probe.words[:WORDS] if history.probe else ()
    value = history.probe.log_probability[:WORDS] if history.probe else np.empty(0)
    return xr.Dataset(
        {
            "word": ("rank", np.array(words, dtype=str)),
            "log_probability": ("rank", np.asarray(value, np.float32)),
        }
    )


def ledger(history: History | None, *, before: Mapping[str, int], samples: int) -> xr.Dataset:
    """What every query of a unit was spent on.

    Parameters
    ----------
    history
        Of its search; None without one.
    before
        Kind to number of the queries before the search: "rehearsal", "identity" (the hash).
    samples
        Queries for the final images, after it; 0 where there are none.
    """
    lines = [Query(kind, 0, n, math.nan, math.nan) for kind, n in before.items() if n]
    queries = list(itertools.accumulate(line.queries for line in lines))
    already = queries[-1] if queries else 0
    lines += history.ledger if history else []
    queries += [line.queries + already for line in lines[len(queries) :]]
    if samples:
        best = max(check.score for check in history.checks) if history else math.nan
        step = len(history.steps) if history else 0
        queries.append((queries[-1] if queries else 0) + samples)
        lines.append(Query("samples", step, 0, math.nan, best))
    return xr.Dataset(
        {
            "kind": ("entry", np.array([line.kind for line in lines], dtype=str)),
            "step": ("entry", np.array([line.step for line in lines], np.int64)),
            "queries": ("entry", np.array(queries, np.int64)),
            "score": ("entry", np.array([line.score for line in lines], np.float32)),
            "best": ("entry", np.array([line.best for line in lines], np.float32)),
        },
        {"entry": np.arange(len(lines))},
    )


@torch.no_grad()
def samples(
    images: Tensor,
    classifier: Classifier,
    *,
    prompts: Sequence[str],
    seeds: Sequence[int],
    batch: int = 64,
) -> xr.Dataset:
    """Final images, the classifier's softmax and, where it has them, its features."""
    seen = MicroBatch(batch, of=classifier, doing="features").parts(
        len(images), lambda part: classifier.features(images[part])
    )
    data: dict[str, Any] = {
        "image": (("sample", *_PIXELS), to_bytes(images)),
        "probability": (("sample", "class"), probability(classifier, images, batch=batch)),
        "prompt": ("sample", np.array(prompts, dtype=str)),
        "noise_seed": ("sample", np.array(seeds, np.int64)),
    }
    if all(part is not None for part in seen):
        whole = torch.cat([part.flatten(1) for part in seen if part is not None])
        data["feature"] = (("sample", "feature"), whole.cpu().numpy())
    return xr.Dataset(data, {"sample": np.arange(len(images)), "class": list(classifier.labels)})


@torch.no_grad()
def probability(classifier: Classifier, images: Tensor, *, batch: int = 64) -> np.ndarray:
    """The classifier's probabilities, float32 ``(n, class)``."""
    parts = MicroBatch(batch, of=classifier, doing="scores").parts(
        len(images), lambda part: classifier.probability(classifier.logits(images[part]))
    )
    return torch.cat(parts).float().cpu().numpy()


def _stack(rows: Sequence[np.ndarray], shape: tuple[int, ...], kind: str) -> np.ndarray:
    if not rows:
        return np.empty((0, *shape), kind)
    return np.stack(rows).astype(kind)
