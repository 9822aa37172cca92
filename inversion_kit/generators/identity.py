"""What a generator's images depend on beside prompts and noise: where it is equal, they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import diffusers
import torch
import transformers
from torch import nn

from inversion_kit.generators.base import Generator
from inversion_kit.plain import plain

_LIBRARIES = {"torch", "diffusers", "transformers", "peft"}
"""Whose parts are what their class, settings and weights say."""
_TORCH = {*vars(nn.Module()), "gradient_checkpointing"}
"""Attributes of modules that no image depends on."""
_ADAPTERS = {"_active_adapter", "_disable_adapters"}
"""Private attributes of modules with a LoRA that images depend on."""


def identity(generator: Generator) -> list[Any]:
    """What images depend on, as JSON has it, the number of steps aside.

    Beside the weights' hash what no hash of weights sees: settings of the sampler and of every
    part, the scale of a LoRA, the words of the tokenizers, the device and its arithmetic. Where
    that is not all, see `is_open`, the generator is like no other object.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> identity(as_generator("pocket")) == identity(as_generator("pocket"))
    True
    >>> identity(as_generator("pocket")) == identity(as_generator("pocket", guidance_scale=1.0))
    False
    """
    own = {name: part for name, part in vars(generator.pipeline).items() if name[:1] != "_"}
    return [
        None if is_open(generator) else generator.own,
        generator.hash,
        generator.sampler_facts(),
        generator.guidance_scale,
        str(generator.dtype),
        _kind(generator.pipeline),
        {name: plain(part) if _is_plain(part) else _facts(part) for name, part in own.items()},
        [encoder.vocabulary_hash for encoder in generator.encoders],
        _arithmetic(generator.device),
    ]


def is_open(generator: Generator) -> bool:
    """Whether all that images depend on can be read off.

    Not where arguments of the pipeline's call are objects, or where somebody has hooked a network,
    replaced one of its methods, or built it of classes of their own.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> pocket = as_generator("pocket")
    >>> hook = pocket.denoiser.register_forward_hook(print)
    >>> is_open(as_generator("pocket")), is_open(pocket)
    (True, False)
    """
    if not _is_plain(generator.call):
        return False
    return not any(_is_altered(one) for network in generator.modules for one in network.modules())


def _is_altered(module: nn.Module) -> bool:
    kind = type(module)
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    replaced = [v for name, v in vars(module).items() if callable(v) and hasattr(kind, name)]
    known = kind.__module__.split(".")[0] in _LIBRARIES
    return not (known and all(map(_is_ours, [*hooks, *replaced])))


def _is_ours(function: Any) -> bool:
    """Whether this library has put a function there, which changes no picture."""
    where = getattr(getattr(function, "__func__", function), "__globals__", {})
    return str(where.get("__name__")).startswith("inversion_kit.")


def _facts(part: Any) -> list[Any]:
    """What a part of a pipeline is, its weights aside."""
    facts: list[Any] = [_kind(part), _config(part)]
    if isinstance(part, nn.Module):
        facts += [[name, _kind(one), _settings(one)] for name, one in part.named_modules()]
    return facts


def _config(part: Any) -> dict[str, Any]:
    config = getattr(part, "config", {})
    config = config.to_dict() if hasattr(config, "to_dict") else config
    held = config if isinstance(config, Mapping) else {}
    return {key: plain(value) for key, value in sorted(held.items()) if key[:1] != "_"}


def _settings(module: nn.Module) -> dict[str, Any]:
    """The plain attributes of a module, and the kinds of its others."""
    return {
        name: plain(value) if _is_plain(value) else _kind(value)
        for name, value in sorted(vars(module).items())
        if name not in _TORCH and (name[:1] != "_" or name in _ADAPTERS)
    }


def _kind(part: Any) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


def _arithmetic(device: torch.device) -> list[Any]:
    """What the last bits of a sum depend on."""
    name = getattr(torch.get_device_module(device), "get_device_name", None)
    on_cpu = [torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()]
    return [
        [device.type, *(on_cpu if name is None else [name(device)])],
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
        [torch.__version__, diffusers.__version__, transformers.__version__],
    ]


def _is_plain(value: Any) -> bool:
    """Whether JSON tells a value from every other."""
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    known = value is None or isinstance(value, bool | int | str)
    return known or (isinstance(value, float) and math.isfinite(value))
