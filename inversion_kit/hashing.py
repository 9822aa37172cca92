"""Hashes of weights, so that a result says what it was made with."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def hash_module(*modules: nn.Module) -> str:
    """sha256 over names, dtypes, shapes and bytes of all parameters and buffers.

    Examples
    --------
    >>> len(hash_module(nn.Linear(2, 2)))
    64
    """
    digest = hashlib.sha256()
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(memoryview(raw.numpy()))
    return digest.hexdigest()
