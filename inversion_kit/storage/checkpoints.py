"""Checkpoints of a unit in progress: two generations, so that a damaged one costs little."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inversion_kit.errors import InputError, StoreError
from inversion_kit.storage import durable
from inversion_kit.storage.audit_folder import META

TENSORS = "tensors.safetensors"
KEPT = 2
_LIMIT = 8 * 2**30


def save(
    parent: Path,
    number: int,
    tensors: Mapping[str, torch.Tensor | np.ndarray],
    meta: Mapping[str, Any],
) -> None:
    """Write the checkpoint ``parent / number``; an InputError where something cannot be kept."""
    from safetensors.torch import save

    try:
        held = {
            name: (torch.from_numpy(t.copy()) if isinstance(t, np.ndarray) else t)
            .detach()
            .to("cpu", copy=True)
            .contiguous()
            for name, t in tensors.items()
        }
        data = save(held)
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"tensors: cannot be stored: {error}") from error
    files = {TENSORS: data, META: durable.encode("meta", dict(meta), exact=False)}
    durable.write_folder(parent, f"{number:08d}", files)


def load(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and meta data of a checkpoint; arrays come back as tensors, bit by bit the same."""
    from safetensors import SafetensorError
    from safetensors.torch import load as parse

    files = durable.read_folder(folder, {TENSORS: _LIMIT, META: 2**20})
    meta = durable.parse(files[META], folder / META)
    try:
        tensors = parse(files[TENSORS])
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise StoreError(f"path={str(folder / TENSORS)!r} cannot be read: {error}") from error
    if not isinstance(meta, dict):
        raise StoreError(f"path={str(folder / META)!r} is no table")
    return tensors, meta
