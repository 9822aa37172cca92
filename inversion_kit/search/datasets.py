"""From what a search found to xarray: one dataset a group, as `schema.UNIT` has it."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from inversion_kit import schema
from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.search.search import Entry, Found

WORDS = 10
"""Nearest words and probed words kept of a unit."""
_PIXELS = ("y", "x", "channel")


def to_bytes(images: Tensor) -> np.ndarray:
    """Float ``(n, 3, y, x)`` in [0, 1], or uint8, to uint8 ``(n, y, x, 3)``."""
    if images.dtype != torch.uint8:
        images = images.detach().clamp(0, 1).mul(255).round().to(torch.uint8)
    return images.permute(0, 2, 3, 1).cpu().numpy()


def trajectory(found: Found, classes: Sequence[str]) -> xr.Dataset:
    """Every update: loss, gradient norm, softmax, images, prompts and noise."""
    steps = found.steps
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
                ("step", "sample"), _stack([np.array(s.seeds) for s in steps], (batch,), "i8"),
            ),
        },
        {"step": np.arange(len(steps)), "sample": np.arange(batch), "class": list(classes)},
    )  # fmt: skip


def validation(found: Found, classes: Sequence[str]) -> xr.Dataset:
    """Every check on held-out noise."""
    looks = found.looks
    losses = np.array([look.check.loss for look in looks], np.float32)
    own = {} if np.isnan(losses).all() else {"objective": ("check", losses)}
    return xr.Dataset(
        {
            **own,
            "step": ("check", np.array([look.step for look in looks], np.int64)),
            "start": ("check", np.array([look.start for look in looks], dtype=str)),
            "probability": (
                ("check", "sample", "class"),
                np.stack([look.check.probability.cpu().numpy() for look in looks]),
            ),
            "image": (
                ("check", "sample", *_PIXELS),
                np.stack([to_bytes(look.check.images) for look in looks]),
            ),
            "noise_seed": ("sample", np.array(found.held_out, np.int64)),
        },
        {
            "check": np.arange(len(looks)), "sample": np.arange(len(found.held_out)),
            "class": list(classes),
        },
    )  # fmt: skip


def token(found: Found, generator: Generator) -> xr.Dataset:
    """The token at every check, the selected one, and the words nearest to that."""
    chosen = found.looks[found.selected].check.token
    table = generator.embedding.weight[list(generator.vocabulary.values())].detach().float()
    names = list(generator.vocabulary)
    width = table.shape[1]  # of several text encoders, words are compared in the first
    cosine = torch.nn.functional.cosine_similarity(table, chosen[..., :width].to(table))
    top = cosine.topk(min(WORDS, len(names)))
    return xr.Dataset(
        {
            "embedding": (
                ("check", "vector", "embed"),
                np.stack([look.check.token.cpu().numpy() for look in found.looks]),
            ),
            "selected": ((), np.int64(found.selected)),
            "nearest_word": ("rank", np.array([names[k] for k in top.indices], dtype=str)),
            "nearest_cosine": ("rank", top.values.cpu().numpy().astype(np.float32)),
        },
        {"check": np.arange(len(found.looks))},
    )


def probe(found: Found, *, most: int | None = WORDS) -> xr.Dataset:
    """The words that the vocabulary probe liked best, best first; empty where it was not asked."""
    words = found.probe.words[:most] if found.probe else ()
    value = found.probe.log_probability[:most] if found.probe else np.empty(0)
    return xr.Dataset(
        {
            "word": ("rank", np.array(words, dtype=str)),
            "log_probability": ("rank", np.asarray(value, np.float32)),
        }
    )


def ledger(found: Found, *, identity: int, samples: int) -> xr.Dataset:
    """What every query of a search without a gradient was spent on.

    Parameters
    ----------
    identity
        Queries for the classifier's hash, before the search.
    samples
        Queries for the final images, after it.
    """
    best = max(look.score for look in found.looks)
    entries = [Entry(e.kind, e.step, e.queries + identity, e.score, e.best) for e in found.ledger]
    if identity:
        entries.insert(0, Entry("identity", 0, identity, math.nan, math.nan))
    total = entries[-1].queries + samples
    entries.append(Entry("samples", len(found.steps), total, math.nan, best))
    return xr.Dataset(
        {
            "kind": ("entry", np.array([e.kind for e in entries], dtype=str)),
            "step": ("entry", np.array([e.step for e in entries], np.int64)),
            "queries": ("entry", np.array([e.queries for e in entries], np.int64)),
            "score": ("entry", np.array([e.score for e in entries], np.float32)),
            "best": ("entry", np.array([e.best for e in entries], np.float32)),
        },
        {"entry": np.arange(len(entries))},
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


def along(dim: str, values: Sequence[Hashable], parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Put datasets of one group side by side along a new first dimension.

    A shorter one is filled up at its end with what `inversion_kit.schema.FILL` has for its kind.

    Examples
    --------
    >>> a = xr.Dataset({"loss": ("step", np.ones(2, "f4"))}, {"step": [0, 1]})
    >>> both = along("seed", [0, 1], [a, a.isel(step=[0])])
    >>> both["loss"].values
    array([[ 1.,  1.],
           [ 1., nan]], dtype=float32)
    """
    data: dict[str, Any] = {}
    coords = [c for c in parts[0].variables if parts[0][c].dims == (c,)]
    for name in parts[0].variables:
        if name in coords or not all(name in part.variables for part in parts):
            continue
        arrays = [part[name].values for part in parts]
        text = arrays[0].dtype.kind in "OUT"
        longest = [max(a.shape[i] for a in arrays) for i in range(arrays[0].ndim)]
        fill = schema.FILL["str" if text else arrays[0].dtype.str[1:]]
        whole = np.full((len(parts), *longest), fill, object if text else arrays[0].dtype)
        for i, array in enumerate(arrays):
            at: Any = (i, *(slice(n) for n in array.shape))
            whole[at] = array
        data[str(name)] = ((dim, *parts[0][name].dims), whole.astype(str) if text else whole)
    most = {str(c): max((part[c].values for part in parts), key=len) for c in coords}
    return xr.Dataset(data, {dim: list(values), **most})


def versions() -> dict[str, str]:
    """Versions of the libraries that a result depends on."""
    names = (
        "inversion-kit", "torch", "diffusers", "transformers", "timm", "cmaes", "xarray", "zarr",
        "numpy",
    )  # fmt: skip
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found


def _stack(rows: Sequence[np.ndarray], shape: tuple[int, ...], kind: str) -> np.ndarray:
    if not rows:
        return np.empty((0, *shape), kind)
    return np.stack(rows).astype(kind)
