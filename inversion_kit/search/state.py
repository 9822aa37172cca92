"""A search as plain tensors and JSON, to go on from after a kill: bit for bit what it was."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inversion_kit.search.history import Check, History, Probe, Query, Step

_KEPT = ("token", "images", "probability")


def pack(history: History) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and JSON of all that a search has seen.

    Returns
    -------
    tensors, meta
        For `inversion_kit.storage.audit_store.AuditStore.save_checkpoint`.
    """
    steps, checks = history.steps, history.checks
    tensors = {
        "held_out": torch.tensor(history.held_out),
        "check_token": torch.stack([check.token for check in checks]),
        "check_images": torch.stack([check.images for check in checks]),
        "check_probability": torch.stack([check.probability for check in checks]),
    }
    meta: dict[str, Any] = {
        "seed": history.seed,
        "checks": [[c.step, c.start, c.score, _number(c.loss)] for c in checks],
        "steps": [
            [s.step, s.start, s.loss, _number(s.gradient_norm), list(s.prompts)] for s in steps
        ],
        "probe": None if history.probe is None else list(history.probe.words),
        "ledger": [dataclasses.astuple(query) for query in history.ledger],
    }
    if steps:
        tensors |= {
            "step_token": torch.stack([s.token for s in steps]),
            "step_images": torch.stack([s.images for s in steps]),
            "step_probability": torch.stack([s.probability for s in steps]),
            "step_seeds": torch.tensor([s.seeds for s in steps]),
        }
        tensors |= {f"optimizer.{k}": v for k, v in steps[-1].optimizer.items()}
        if len(steps[0].losses):
            tensors["step_losses"] = torch.stack([s.losses for s in steps])
    if history.probe is not None:
        tensors["probe"] = torch.from_numpy(history.probe.log_probability)
    return {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, meta


def unpack(tensors: dict[str, Tensor], meta: dict[str, Any]) -> History:
    """The search that `pack` was given; only its last step has an optimiser's state."""
    history = History(int(meta["seed"]), tensors["held_out"].tolist())
    for i, (at, start, score, loss) in enumerate(meta["checks"]):
        token, images, scores = (tensors[f"check_{k}"][i] for k in _KEPT)
        history.checks.append(Check(at, start, token, images, scores, score, _or_nan(loss)))
    last = {
        k.removeprefix("optimizer."): v for k, v in tensors.items() if k.startswith("optimizer.")
    }
    for i, (at, start, loss, norm, prompts) in enumerate(meta["steps"]):
        token, images, scores = (tensors[f"step_{k}"][i] for k in _KEPT)
        step = Step(
            at,
            start,
            loss,
            _or_nan(norm),
            token,
            images,
            scores,
            tuple(prompts),
            tuple(tensors["step_seeds"][i].tolist()),
            optimizer=last if i == len(meta["steps"]) - 1 else {},
            losses=tensors["step_losses"][i] if "step_losses" in tensors else torch.empty(0),
        )
        history.steps.append(step)
    if meta["probe"] is not None:
        history.probe = Probe(tuple(meta["probe"]), np.asarray(tensors["probe"]))
    history.ledger = [Query(*query) for query in meta["ledger"]]
    return history


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
