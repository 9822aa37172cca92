"""A search as plain tensors and JSON, to go on from after a kill: bit for bit what it was."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inversion_kit.search.optimise import Check, Step
from inversion_kit.search.probe import Probe
from inversion_kit.search.search import Entry, Found, Look


def pack(found: Found) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and JSON of all that a search has found.

    Returns
    -------
    tensors, meta
        For `inversion_kit.storage.audit_store.AuditStore.save_checkpoint`.
    """
    steps, looks = found.steps, found.looks
    tensors = {
        "held_out": torch.tensor(found.held_out),
        "look_token": torch.stack([look.check.token for look in looks]),
        "look_images": torch.stack([look.check.images for look in looks]),
        "look_probability": torch.stack([look.check.probability for look in looks]),
    }
    meta: dict[str, Any] = {
        "seed": found.seed,
        "looks": [
            [
                look.step,
                look.start,
                look.score,
                None if math.isnan(look.check.loss) else look.check.loss,
            ]
            for look in looks
        ],
        "steps": [
            [
                s.step,
                s.start,
                s.loss,
                None if math.isnan(s.gradient_norm) else s.gradient_norm,
                list(s.prompts),
            ]
            for s in steps
        ],  # JSON has no NaN
        "probe": None if found.probe is None else list(found.probe.words),
        "ledger": [dataclasses.astuple(entry) for entry in found.ledger],
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
    if found.probe is not None:
        tensors["probe"] = torch.from_numpy(found.probe.log_probability)
    return {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, meta


def unpack(tensors: dict[str, Tensor], meta: dict[str, Any]) -> Found:
    """The search that `pack` was given; only its last step has an optimiser's state."""
    found = Found(int(meta["seed"]), tensors["held_out"].tolist())
    for i, (at, start, score, loss) in enumerate(meta["looks"]):
        token, images, scores = (
            tensors[f"look_{k}"][i] for k in ("token", "images", "probability")
        )  # fmt: skip
        seen = Check(token, images, scores, math.nan if loss is None else loss)
        found.looks.append(Look(at, start, score, seen))
    for i, (at, start, loss, norm, prompts) in enumerate(meta["steps"]):
        last = i == len(meta["steps"]) - 1
        found.steps.append(
            Step(
                step=at,
                start=start,
                loss=loss,
                gradient_norm=math.nan if norm is None else norm,
                token=tensors["step_token"][i],
                images=tensors["step_images"][i],
                probability=tensors["step_probability"][i],
                prompts=tuple(prompts),
                seeds=tuple(tensors["step_seeds"][i].tolist()),
                optimizer={
                    k.removeprefix("optimizer."): v
                    for k, v in tensors.items()
                    if last and k.startswith("optimizer.")
                },
                losses=tensors["step_losses"][i] if "step_losses" in tensors else torch.empty(0),
            )
        )
    if meta["probe"] is not None:
        found.probe = Probe(tuple(meta["probe"]), np.asarray(tensors["probe"]))
    found.ledger = [Entry(*entry) for entry in meta.get("ledger", ())]
    return found
