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
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64)
}
_SET_HERE = {
    *("prompt", "generator", "output_type", "return_dict", "latents", "prompt_embeds"),
    *("num_images_per_prompt", "num_inference_steps", "guidance_scale"),
}
"""Arguments of a pipeline's call that are not the user's to give."""
_BESIDE = ("clean_caption", "use_resolution_binning")
"""What a pipeline does beside sampling unless its call says not to."""
_GIVE = "give a text-to-image pipeline such as StableDiffusionPipeline"


@torch.inference_mode(False)  # the weights serve a gradient later
def load_pipeline(
    source: str | os.PathLike[str],
    *,
    revision: str | None = None,
    variant: str | None = None,
    dtype: torch.dtype | str = torch.float32,
    device: torch.device | str | None = None,
    parts: Mapping[str, str | os.PathLike[str]] | None = None,
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
    parts
        Folders of networks and a scheduler in place of the source's own.

    Returns
    -------
    diffusers.DiffusionPipeline
        On the device, without its safety checker and watermarker.

    Raises
    ------
    InputError
        No such device, or a dtype that it does not run.
    GeneratorUnavailableError
        The pipeline could not be loaded.

    Examples
    --------
    >>> from inversion_kit.generators.convert import POCKET
    >>> type(load_pipeline(POCKET, device="cpu")).__name__
    'StableDiffusionPipeline'
    """
    kind = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if kind is None or not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise InputError(f"dtype={dtype!r}: expected one of {', '.join(_DTYPES)}")
    place = place_for(device)
    check_dtype(kind, place)
    from diffusers import DiffusionPipeline
    from huggingface_hub import hf_hub_download

    name, listed = str(source), "model_index.json"
    folder = Path(source)
    local = folder.is_dir()
    if local and not (folder / listed).is_file():
        raise GeneratorUnavailableError(
            f"generator={name!r}: the folder has no {listed}; give the folder that "
            "pipe.save_pretrained(...) wrote"
        )
    if not local and not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise GeneratorUnavailableError(
            f"generator={name!r}: no such folder, and no hub id such as "
            "'stable-diffusion-v1-5/stable-diffusion-v1-5'"
        )
    try:
        file = folder / listed if local else hf_hub_download(name, listed, revision=revision)
        index = json.loads(Path(file).read_text("utf-8"))
        given: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False}
        given |= dict.fromkeys({"safety_checker", "watermarker"} & index.keys())
        if "safety_checker" in given:
            given["requires_safety_checker"] = False
        with without_bars() if local else contextlib.nullcontext():
            given |= {name: _part(folder, kind) for name, folder in (parts or {}).items()}
            pipeline = DiffusionPipeline.from_pretrained(
                source, revision=revision, variant=variant, dtype=kind, **given
            )
    except Exception as error:
        pinned = f" --revision {revision}" if revision else ""
        advice = (
            "A folder holds what pipe.save_pretrained(...) wrote: safetensors alone are read, and "
            "code that comes along is not run"
            if local
            else "A hub id needs a network or a cached copy: where there is a network type "
            f"`hf download {name}{pinned}`, and give the folder that it prints"
        )
        raise GeneratorUnavailableError(
            f"generator={name!r} could not be loaded ({type(error).__name__}: {error}). {advice}; "
            "generator='pocket' works without either"
        ) from error
    return pipeline.to(place)


def _part(folder: str | os.PathLike[str], dtype: torch.dtype) -> Any:
    """A network or a scheduler of a folder, of the class of diffusers that the folder names."""
    import diffusers

    network = Path(folder) / "config.json"
    listed = network if network.is_file() else Path(folder) / "scheduler_config.json"
    made_by = getattr(diffusers, json.loads(listed.read_text("utf-8"))["_class_name"])
    if listed is network:
        return made_by.from_pretrained(folder, use_safetensors=True, dtype=dtype)
    return made_by.from_pretrained(folder)


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Leave out the bars of diffusers and transformers: a screenful for a second's work."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    with_bars = [x for x in (of_diffusers, of_transformers) if x.is_progress_bar_enabled()]
    for library in with_bars:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in with_bars:
            library.enable_progress_bar()


def place_for(device: torch.device | str | None) -> torch.device:
    """The device; by default the accelerator that torch finds, else the CPU."""
    if device is None:
        device = torch.accelerator.current_accelerator(check_available=True) or "cpu"
    return check_device(device)


def fast_dtype(device: torch.device | str | None) -> torch.dtype:
    """bfloat16 on an accelerator that runs it, else float32.

    Examples
    --------
    >>> fast_dtype("cpu")
    torch.float32
    """
    place = place_for(device)
    if place.type == "cpu":
        return torch.float32
    try:
        check_dtype(torch.bfloat16, place)
    except InputError:
        return torch.float32
    return torch.bfloat16


def check_device(device: torch.device | str) -> torch.device:
    """The device; `InputError` with those that there are where there is no such one."""
    try:
        place = torch.device(device)
        torch.empty(1, device=place).add_(1)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        there = ["'cpu'"]
        if torch.accelerator.is_available():
            kind = torch.accelerator.current_accelerator()
            there += [f"'{kind}:{i}'" for i in range(torch.accelerator.device_count())]
        raise InputError(
            f"device={str(device)!r} cannot be used here; there is {', '.join(there)}"
        ) from error
    return place


@torch.inference_mode(False)  # gradients come with it
def check_dtype(dtype: torch.dtype, device: torch.device) -> None:
    """Raise `InputError` where a device does not run a dtype: small layers, there and back."""
    try:
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
    named = [a for a in asked.values() if a.kind not in (a.VAR_KEYWORD, a.VAR_POSITIONAL)]
    needed = ", ".join(a.name for a in named if a.default is a.empty and a.name != "prompt")
    if "prompt" not in asked or "strength" in asked or needed:
        raise InputError(
            f"generator: {name} does not make an image of a prompt alone"
            f"{f' (it needs {needed})' if needed else ''}; {_GIVE}"
        )
    if getattr(pipeline, "scheduler", None) is None:
        raise InputError(f"generator: {name} has no scheduler")
    if moved := _offloaded(pipeline):
        raise InputError(
            f"generator: {name} moves its weights while it works (CPU offload of {moved}), which "
            "a gradient does not survive; load the pipeline again without enable_*_offload(), in "
            "dtype='bfloat16' if memory is short"
        )
    networks = [m for m in pipeline.components.values() if isinstance(m, nn.Module)]
    weights = [next(m.parameters(), None) for m in networks]
    for dtype, device in {(w.dtype, w.device) for w in weights if w is not None}:
        if device.type == "cpu" and dtype.is_floating_point and dtype != torch.float32:
            check_dtype(dtype, device)


def _offloaded(pipeline: Any) -> str:
    """The names of a pipeline's networks that hooks carry to and fro."""
    from accelerate.hooks import AlignDevicesHook, CpuOffload, SequentialHook
    from diffusers.hooks.group_offloading import _is_group_offload_enabled

    def carries(hook: Any) -> bool:
        if isinstance(hook, SequentialHook):
            return any(carries(h) for h in hook.hooks)
        return isinstance(hook, CpuOffload) or (isinstance(hook, AlignDevicesHook) and hook.offload)

    def moved(network: Any) -> bool:
        hooks = [getattr(m, "_hf_hook", None) for m in network.modules()]
        return any(map(carries, hooks)) or _is_group_offload_enabled(network)

    networks = {k: n for k, n in pipeline.components.items() if isinstance(n, nn.Module)}
    return ", ".join(name for name, network in networks.items() if moved(network))


def check_whole(argument: str, value: Any, least: int) -> int:
    """A whole number, numpy's too, as an int; `InputError` where it is none or below ``least``."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise InputError(f"{argument}={value!r}: a whole number of at least {least}")
    return number


def denoiser_of(pipeline: Any) -> nn.Module:
    """The U-Net or transformer of a pipeline."""
    for name in ("unet", "transformer"):
        if isinstance(network := getattr(pipeline, name, None), nn.Module):
            return network
    raise InputError(
        f"generator: {type(pipeline).__name__} has neither a unet nor a transformer; {_GIVE}"
    )


def call_of(
    pipeline: Any, call: Mapping[str, Any], height: int | None, width: int | None
) -> dict[str, Any]:
    """The arguments of a pipeline's call beside the prompt and those that are set here.

    Where no size is given it is what the networks were made for; `InputError` for a size that the
    pipeline cannot make, and for arguments that it does not have or that are set here.
    """
    if not isinstance(call, Mapping):
        raise InputError(f"call={call!r}: expected arguments, as {{'negative_prompt': 'blurred'}}")
    asked, name = parameters(pipeline), type(pipeline).__name__
    allowed = sorted(asked.keys() - _SET_HERE)
    if wrong := sorted(call.keys() - set(allowed)):
        raise InputError(
            f"call: {', '.join(map(repr, wrong))} cannot be given to {name}; allowed are "
            f"{', '.join(allowed)}"
        )
    config: Any = denoiser_of(pipeline).config
    scale = int(getattr(pipeline, "vae_scale_factor", 8))
    packed = hasattr(pipeline, "_pack_latents")  # Flux and its kin: two by two latents
    unit = scale * (2 if packed else int(config.get("patch_size") or 1))
    chosen: dict[str, Any] = {key: False for key in _BESIDE if key in asked}
    for key, value in (("height", height), ("width", width)):
        if value is not None:
            value = check_whole(key, value, 1)
            if value % unit:
                raise InputError(
                    f"{key}={value!r}: {name} makes sizes that {unit} divides; give "
                    f"{max(unit, round(value / unit) * unit)}"
                )
        elif key in asked and asked[key].default is not None and config.get("sample_size"):
            value = config["sample_size"] * scale
        if key in asked and value is not None:
            chosen[key] = value
    return chosen | dict(call)
