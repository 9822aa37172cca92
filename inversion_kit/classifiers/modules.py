"""A user's module of whatever kind: put at rest, copied, and asked what input it takes.

Only what every kind has is leaned on: scripted, exported, compiled and quantized modules, and those
with methods of their own, do not do all that a plain `nn.Module` does.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from inversion_kit.errors import InputError

_TAKEN = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Kinds of weights that images are given in; others (8 bits, packed) are not what a model takes."""
_Norm = nn.modules.batchnorm._NormBase
"""Layers that change their statistics in train mode."""


class AsItIs(nn.Module):
    """A module of this library that sees itself to the modes of what it calls."""

    def input_like(self) -> Tensor | None:
        """An empty tensor of the device and kind that the input must have; None: any will do."""
        return None

    def train(self, mode: bool = True) -> AsItIs:
        """What is called keeps its modes."""
        self.training = mode
        return self


def check_loaded(module: nn.Module) -> None:
    """Refuse a module whose weights hold no values.

    Raises
    ------
    InputError
        They are on the meta device, or not initialised.
    """
    for name, weight in chain(module.named_parameters(), module.named_buffers()):
        if nn.parameter.is_lazy(weight):
            raise InputError(
                f"model: its {name!r} is not initialised (a lazy module that has seen no batch); "
                "call it on a batch and load the trained weights, model.load_state_dict(...)"
            )
        if weight.is_meta:
            raise InputError(
                f"model: its {name!r} is on the meta device and holds no values; give "
                "model.to_empty(device='cpu') the trained weights, model.load_state_dict(...)"
            )


def to_eval(module: nn.Module) -> None:
    """Put a module in eval mode, whatever its own ``train`` does or gives back."""
    if isinstance(module, AsItIs):
        return
    try:
        module.eval()
    except Exception:  # exported programs refuse; a user's own method may raise anything
        for part in module.modules():
            part.training = False
    for part in module.modules():
        if isinstance(part, _Norm) and part.training:
            part.training = False


def freeze(module: nn.Module) -> None:
    """Put a module in eval mode and let its parameters stop asking for gradients.

    Raises
    ------
    InputError
        Its weights hold no values.
    """
    if isinstance(module, AsItIs):
        return
    check_loaded(module)
    make_ordinary(module)
    to_eval(module)
    for parameter in module.parameters():
        parameter.requires_grad_(False)


def make_ordinary(module: nn.Module) -> None:
    """Replace weights made in inference mode, through which no gradient can pass, by copies."""
    with torch.inference_mode(False), torch.no_grad():
        made: dict[int, Tensor] = {}
        for part in module.modules():
            for held in (part._parameters, part._buffers):
                for name, weight in list(held.items()):
                    if weight is None or not weight.is_inference():
                        continue
                    if id(weight) not in made:
                        other = weight.clone()
                        made[id(weight)] = (
                            nn.Parameter(other, False) if held is part._parameters else other
                        )
                    held[name] = made[id(weight)]  # type: ignore[assignment]


def input_like(module: Any) -> Tensor | None:
    """An empty tensor of the device and kind that a module's input must have; None: any will do."""
    if isinstance(module, AsItIs):
        return module.input_like()
    if not isinstance(module, nn.Module):
        return None
    first = next(chain(module.parameters(), module.buffers()), None)
    if first is None:
        return None
    kinds = (w.dtype for w in chain(module.parameters(), module.buffers()) if w.dtype in _TAKEN)
    return torch.empty(0, device=first.device, dtype=next(kinds, torch.float32))


def one_kind(module: nn.Module) -> Tensor | None:
    """As `input_like`, where all weights agree; None where they do not."""
    weights = (w for w in module.parameters() if w.dtype in _TAKEN)
    kinds = {(weight.device, weight.dtype) for weight in weights}
    if len(kinds) != 1:
        return None
    ((device, dtype),) = kinds
    return torch.empty(0, device=device, dtype=dtype)


def slow_in_half(module: nn.Module) -> bool:
    """Whether weights are float16 where a processor has to compute with them."""
    return any(w.dtype == torch.float16 and w.device.type == "cpu" for w in module.parameters())


def inner_of(model: Any) -> Any:
    """What ``torch.compile`` and ``DataParallel`` wrap: it says of itself what they do not."""
    while isinstance(model, nn.Module):
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, nn.parallel.DataParallel):
            inner = model.module
        if inner is None:
            break
        model = inner
    return model


def copy_of(module: nn.Module) -> nn.Module:
    """A copy with weights of its own; what cannot be copied (locks, open files) is shared.

    Raises
    ------
    InputError
        It cannot be copied.
    """
    try:
        other = copy.deepcopy(module)
    except Exception:  # anything may hang on a user's module
        shared: dict[int, Any] = {}
        _share(module, shared, set())
        try:
            other = copy.deepcopy(module, shared)
        except Exception as error:
            raise _uncopied(module, f"{type(error).__name__}: {error}") from error
    own = {id(p) for p in module.parameters()}
    if other is module or any(id(p) in own for p in other.parameters()):
        raise _uncopied(module, "its copy has the same weights")
    return other


def _uncopied(module: nn.Module, why: str) -> InputError:
    return InputError(
        f"arms: {type(module).__name__} cannot be copied to shuffle the weights of the copy "
        f"({why:.200}); leave out the arm 'shuffled'"
    )


def _share(thing: Any, memo: dict[int, Any], seen: set[int]) -> None:
    """Note in ``memo``, for `copy.deepcopy`, the smallest parts that cannot be copied."""
    if id(thing) in seen or _copies(thing, memo):
        return
    seen.add(id(thing))
    for part in _parts(thing):
        _share(part, memo, seen)
    if isinstance(thing, nn.Module) or _copies(thing, memo):
        return
    if isinstance(thing, Tensor):
        other = thing.detach().clone()
        memo[id(thing)] = nn.Parameter(other, False) if isinstance(thing, nn.Parameter) else other
    else:
        memo[id(thing)] = thing


def _copies(thing: Any, memo: dict[int, Any]) -> bool:
    try:
        copy.deepcopy(thing, dict(memo))
    except Exception:  # each kind has its own way to refuse
        return False
    return True


def _parts(thing: Any) -> Iterator[Any]:
    if isinstance(thing, Mapping):
        yield from thing.values()
    elif isinstance(thing, (list, tuple, set, frozenset)):
        yield from thing
    elif isinstance(thing, functools.partial):
        yield from (thing.func, thing.args, thing.keywords)
    else:
        yield from getattr(thing, "__dict__", {}).values()
        if owner := getattr(thing, "__self__", None):
            yield owner
