"""Pipelines from a folder or a hub, and what can be said against one before any image is made."""

from __future__ import annotations

import contextlib
import json
import operator
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from inversion_kit.errors import GeneratorUnavailableError, InputError
from inversion_kit.generators.sampling import parameters

_DTYPES = {
    "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}  # fmt: skip


def load_pipeline(
    source: str | os.PathLike[str],
    *,
    revision: str | None = None,
    variant: str | None = None,
    dtype: torch.dtype | str = torch.float32,
    device: torch.device | str | None = None,
) -> Any:
    """A diffusers pipeline of a folder or hub id: safetensors alone, and no code that comes along.

    Parameters
    ----------
    source
        A folder, or a hub id such as ``"stabilityai/sdxl-turbo"``.
    revision
        A branch, tag or commit of the hub's repository; pin a commit for results that last.
    variant
        Which weights of several, such as ``"fp16"``.
    dtype
        Of the networks: a floating torch dtype or its name.
    device
        Where they go; by default to the accelerator that torch finds, else the CPU.

    Raises
    ------
    InputError
        No such device, or a dtype that it does not run.
    GeneratorUnavailableError
        The pipeline could not be loaded.
    """
    kind = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if kind is None or not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise InputError(f"dtype={dtype!r}: expected one of {', '.join(_DTYPES)}")
    place = check_device(_fastest() if device is None else device)
    check_dtype(kind, place)
    from diffusers import DiffusionPipeline
    from huggingface_hub import hf_hub_download

    name = str(source)
    folder = Path(source)
    local = folder.is_dir()
    if local:
        if not (folder / "model_index.json").is_file():
            raise GeneratorUnavailableError(
                f"generator={name!r}: the folder has no model_index.json; give the folder that "
                "pipe.save_pretrained(...) wrote"
            )
    elif not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise GeneratorUnavailableError(
            f"generator={name!r}: no such folder, and no hub id such as "
            "'stable-diffusion-v1-5/stable-diffusion-v1-5'"
        )
    try:
        listed = "model_index.json"
        file = folder / listed if local else hf_hub_download(name, listed, revision=revision)
        index = json.loads(Path(file).read_text("utf-8"))
        unused: dict[str, Any] = {
            part: None for part in ("safety_checker", "watermarker") if part in index
        }
        if "safety_checker" in unused:
            unused["requires_safety_checker"] = False
        with without_bars() if local else contextlib.nullcontext():
            pipeline = DiffusionPipeline.from_pretrained(
                source,
                revision=revision,
                variant=variant,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=kind,
                **unused,
            )
    except Exception as error:
        pinned = f" --revision {revision}" if revision else ""
        way = (
            "A folder holds what pipe.save_pretrained(...) wrote: safetensors alone are read, and "
            "code that comes along is not run"
            if local
            else "A hub id needs a network or a cached copy: where there is a network type "
            f"`hf download {name}{pinned}`, and give the folder that it prints"
        )
        raise GeneratorUnavailableError(
            f"generator={name!r} could not be loaded ({type(error).__name__}: {error}). {way}; "
            "generator='pocket' works without either"
        ) from error
    return pipeline.to(place)


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Leave out the bars of diffusers and transformers, which fill a terminal for a second's work.

    Examples
    --------
    >>> from diffusers.utils import logging
    >>> with without_bars():
    ...     logging.is_progress_bar_enabled()
    False
    """
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    shown = [x for x in (of_diffusers, of_transformers) if x.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


def _fastest() -> torch.device:
    """The accelerator that torch finds, or the CPU."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return found or torch.device("cpu")


def check_device(device: torch.device | str) -> torch.device:
    """The device, if there is such a one.

    Examples
    --------
    >>> check_device("cpu")
    device(type='cpu')
    """
    try:
        place = torch.device(device)
        torch.empty(1, device=place).add_(1)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        found = ["'cpu'"]
        if torch.accelerator.is_available():
            kind = torch.accelerator.current_accelerator()
            found += [f"'{kind}:{i}'" for i in range(torch.accelerator.device_count())]
        raise InputError(
            f"device={str(device)!r} cannot be used here; there is {', '.join(found)}"
        ) from error
    return place


def check_dtype(dtype: torch.dtype, device: torch.device) -> None:
    """Raise `InputError` where a device does not run a dtype: small layers, there and back."""
    try:
        with torch.enable_grad():
            image = torch.ones(1, 2, 4, 4, device=device, dtype=dtype, requires_grad=True)
            weight = torch.ones(2, 2, 3, 3, device=device, dtype=dtype)
            out = F.group_norm(F.conv2d(image, weight, padding=1), 1).flatten(2)
            out = F.layer_norm(F.scaled_dot_product_attention(out, out, out), out.shape[-1:])
            F.gelu(out @ out.mT).softmax(-1).sum().backward()
    except (RuntimeError, NotImplementedError) as error:
        raise InputError(
            f"dtype={str(dtype).removeprefix('torch.')!r} does not run on {str(device)!r} "
            f"({error}); give dtype='float32'"
        ) from error


def check_pipeline(pipeline: Any) -> None:
    """Raise `InputError` where a pipeline makes no images of prompts, or cannot be trained in."""
    from diffusers import DiffusionPipeline

    name = type(pipeline).__name__
    if not isinstance(pipeline, DiffusionPipeline):
        raise InputError(
            f"generator: {name} is no diffusers pipeline; give one, a hub id, a folder, or 'pocket'"
        )
    asked = parameters(pipeline)
    needed = [
        argument.name
        for argument in asked.values()
        if argument.default is argument.empty
        and argument.kind not in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL)
        and argument.name != "prompt"
    ]
    if "prompt" not in asked or "strength" in asked or needed:
        raise InputError(
            f"generator: {name} does not make an image of a prompt alone"
            f"{' (it needs ' + ', '.join(needed) + ')' if needed else ''}; give a text-to-image "
            "pipeline such as StableDiffusionPipeline"
        )
    if getattr(pipeline, "scheduler", None) is None:
        raise InputError(f"generator: {name} has no scheduler")
    if moved := _offloaded(pipeline):
        raise InputError(
            f"generator: {name} moves its weights while it works (CPU offload of {moved}), which "
            "a gradient does not survive; load the pipeline again without enable_*_offload(), in "
            "dtype='bfloat16' if memory is short"
        )
    networks = {n: m for n, m in pipeline.components.items() if isinstance(m, nn.Module)}
    weights = {n: next(m.parameters(), None) for n, m in networks.items()}
    kinds = {(w.dtype, w.device) for w in weights.values() if w is not None}
    for dtype, device in kinds:
        if device.type == "cpu" and dtype.is_floating_point and dtype != torch.float32:
            check_dtype(dtype, device)


def _offloaded(pipeline: Any) -> str:
    """The names of a pipeline's networks that hooks carry to and fro."""
    from accelerate.hooks import (
        AlignDevicesHook,
        CpuOffload,
        SequentialHook,
    )
    from diffusers.hooks.group_offloading import _is_group_offload_enabled

    def carries(hook: Any) -> bool:
        if isinstance(hook, SequentialHook):
            return any(carries(h) for h in hook.hooks)
        return isinstance(hook, CpuOffload) or (isinstance(hook, AlignDevicesHook) and hook.offload)

    return ", ".join(
        name
        for name, network in pipeline.components.items()
        if isinstance(network, nn.Module)
        and (
            any(carries(getattr(m, "_hf_hook", None)) for m in network.modules())
            or _is_group_offload_enabled(network)
        )
    )


def check_whole(argument: str, value: Any, least: int) -> int:
    """The value as an int, numpy's too, where it is a whole number of at least ``least``.

    Examples
    --------
    >>> check_whole("n", 3, 1)
    3
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise InputError(f"{argument}={value!r}: a whole number of at least {least}")
    return number


def check_call(pipeline: Any, call: Mapping[str, Any]) -> None:
    """Raise `InputError` for arguments that a pipeline's call does not have, or that we set."""
    if not isinstance(call, Mapping):
        raise InputError(f"call={call!r}: expected arguments, as {{'negative_prompt': 'blurred'}}")
    own = {"prompt", "generator", "output_type", "return_dict", "latents", "prompt_embeds",
           "num_images_per_prompt", "num_inference_steps", "guidance_scale"}  # fmt: skip
    allowed = sorted(parameters(pipeline).keys() - own)
    if wrong := sorted(call.keys() - set(allowed)):
        raise InputError(
            f"call: {', '.join(map(repr, wrong))} cannot be given to {type(pipeline).__name__}; "
            f"allowed are {', '.join(allowed)}"
        )


def check_size(pipeline: Any, height: int | None, width: int | None) -> None:
    """Raise `InputError` for an image size that the pipeline cannot make."""
    denoiser = getattr(pipeline, "transformer", None)
    patch = 1
    if denoiser is not None:
        packed = hasattr(pipeline, "_pack_latents")  # Flux and its kin: two by two latents
        patch = 2 if packed else int(denoiser.config.get("patch_size", 1) or 1)
    unit = int(getattr(pipeline, "vae_scale_factor", 8)) * patch
    for name, value in (("height", height), ("width", width)):
        if value is not None and value % unit:
            raise InputError(
                f"{name}={value!r}: {type(pipeline).__name__} makes sizes that {unit} divides; "
                f"give {max(unit, round(value / unit) * unit)}"
            )
