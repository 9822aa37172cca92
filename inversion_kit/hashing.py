"""Hashes of weights, so that a result says what it was made with."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def hash_module(*modules: nn.Module) -> str:
    """sha256 over names, dtypes, shapes and bytes of all parameters and buffers.

    Whatever else a state dict holds (an extra state, packed weights) counts too, and so do weights
    that it leaves out.

    Examples
    --------
    >>> len(hash_module(nn.Linear(2, 2)))
    64
    """
    digest = hashlib.sha256()
    for module in modules:
        _read(module, digest)
    return digest.hexdigest()


class Prefixes:
    """`hash_module` of lists of modules that begin alike: what they begin with is read once.

    The weights must not change meanwhile. A copy for another process begins anew.

    Examples
    --------
    >>> large, small, other = nn.Linear(9, 9), nn.Linear(2, 2), nn.Linear(2, 2)
    >>> known = Prefixes()
    >>> known.hash(large, small) == hash_module(large, small)
    True
    >>> known.hash(large, other) == hash_module(large, other)  # the large one is not read again
    True
    """

    def __init__(self) -> None:
        self._known: list[tuple[list[weakref.ref[nn.Module]], Any]] = []

    def hash(self, *modules: nn.Module) -> str:
        """`hash_module` of modules.

        Parameters
        ----------
        modules
            In their order.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        known = [one for one in self._known if all(ref() is not None for ref in one[0])]
        digest = hashlib.sha256()
        for n in range(1, len(modules) + 1):
            first = [before for refs, before in known if _are(refs, modules[:n])]
            if first:
                digest = first[0].copy()
                continue
            _read(modules[n - 1], digest)
            known.append(([weakref.ref(module) for module in modules[:n]], digest.copy()))
        self._known = known
        return digest.hexdigest()

    def __reduce__(self) -> Any:
        return Prefixes, ()


def _are(refs: Sequence[weakref.ref[nn.Module]], modules: Sequence[nn.Module]) -> bool:
    same = (ref() is module for ref, module in zip(refs, modules, strict=False))
    return len(refs) == len(modules) and all(same)


def _read(module: nn.Module, digest: Any) -> None:
    """Let a digest take in what a module holds."""
    for name, value in sorted(state_of(module).items()):
        for piece in _pieces(name, value):
            digest.update(piece)


def hash_weights(module: nn.Module) -> frozenset[str]:
    """sha256 of each weight of two dimensions or more, whatever its name.

    Those of a network are among those of every module that holds it or a copy of it.

    Examples
    --------
    >>> inner = nn.Linear(2, 2)
    >>> hash_weights(inner) == hash_weights(nn.Sequential(inner, nn.ReLU()))
    True
    """
    weights = [v for v in state_of(module).values() if isinstance(v, Tensor) and v.dim() > 1]
    return frozenset(hashlib.sha256(b"".join(_pieces("", w))).hexdigest() for w in weights)


def state_of(module: nn.Module) -> dict[str, Any]:
    """The state dict of a module and the weights that it leaves out, by name.

    Examples
    --------
    >>> sorted(state_of(nn.Linear(2, 2)))
    ['bias', 'weight']
    """
    try:
        state = {str(name): value for name, value in module.state_dict().items()}
    except Exception:  # a user's own hooks may raise anything
        state = {f"{name} buffer": buffer for name, buffer in module.named_buffers()}
    for name, weight in module.named_parameters():
        state.setdefault(name, weight)
    return state


def _pieces(name: str, value: Any) -> Iterator[bytes | memoryview]:
    """Name, kind and content of what a state dict holds."""
    if isinstance(value, Tensor):
        yield from _pieces_of_tensor(name, value)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        yield f"{name} {value.dtype} {value.shape}".encode()
        yield value.tobytes()
    elif isinstance(value, Mapping):
        yield f"{name} {len(value)}".encode()
        for key in sorted(value, key=str):
            yield from _pieces(f"{name}.{key}", value[key])
    elif isinstance(value, (list, tuple)):
        yield f"{name} {len(value)}".encode()
        for place, one in enumerate(value):
            yield from _pieces(f"{name}.{place}", one)
    elif isinstance(value, (set, frozenset)):
        yield from _pieces(name, sorted(value, key=repr))
    else:
        text = repr(value)  # it says where it lies if its kind has no text of its own
        yield f"{name} {type(value).__qualname__ if ' at 0x' in text else text}".encode()


def _pieces_of_tensor(name: str, tensor: Tensor) -> Iterator[bytes | memoryview]:
    if hasattr(tensor, "__tensor_flatten__"):  # a subclass that is made of other tensors
        parts, rest = tensor.__tensor_flatten__()
        yield from _pieces(f"{name} {type(tensor).__qualname__}", rest)
        for part in parts:
            yield from _pieces(f"{name}.{part}", getattr(tensor, part))
        return
    yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
    plain = tensor.detach()
    if plain.is_quantized:
        plain = plain.dequantize()
    if plain.layout != torch.strided:
        plain = plain.to_dense()
    raw = plain.cpu().contiguous().reshape(-1).view(torch.uint8)
    yield raw.numpy().data
