"""Make a `Generator` of what the user has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from inversion_kit.errors import InputError, nearest
from inversion_kit.generators.base import Generator
from inversion_kit.generators.loading import fast_dtype, load_pipeline
from inversion_kit.paths import name_or_path

_WEIGHTS = Path(__file__).parents[1] / "pocket" / "weights"
POCKET = _WEIGHTS / "generator"
"""The folder of the generator that this library ships."""
QUICK = "pocket:quick"
"""The pocket with another U-Net: a step without guidance gives what the pocket's six give."""
DEFAULT_HUB_ID = "stable-diffusion-v1-5/stable-diffusion-v1-5"
"""The default generator: Stable Diffusion 1.5, the family of the paper's experiments, under the
CreativeML OpenRAIL-M licence (use allowed, commercial too, with use restrictions)."""

_LATER = {"quick", "fast"}
_SAMPLING = {"num_inference_steps", "guidance_scale", "height", "width", "call"}
_LOADING = {"revision", "variant", "dtype", "device"}


@torch.inference_mode(False)  # what is loaded serves a gradient later
def as_generator(generator: Any = None, **settings: Any) -> Generator:
    """Make a `Generator` of what the user has; a Generator passes through.

    Parameters
    ----------
    generator
        A `Generator`; ``"pocket"`` or ``"pocket:quick"`` (shipped with this library); a pipeline
        object; a folder or hub id of a diffusers text-to-image pipeline; None for
        `DEFAULT_HUB_ID`. A folder or hub id goes to the accelerator that torch finds, a pipeline
        object and the pocket stay where they are.
    **settings
        ``num_inference_steps``, ``guidance_scale``, ``height``, ``width`` and ``call`` of
        `Generator`; for a folder or hub id ``revision``, ``variant``, ``dtype`` and ``device`` of
        `inversion_kit.generators.loading.load_pipeline` too. ``quick``: a quicker `Generator` with
        the same text encoders, or its name, which searches ask in its place. ``fast=True`` loads
        a folder or hub id in bfloat16 on an accelerator that runs it, unless ``dtype`` is given,
        and ``"pocket:quick"`` for ``"pocket"``; an object stays what it is.

    Returns
    -------
    Generator
        Called by its name, folder or hub id, or by the class of the pipeline object.

    Raises
    ------
    InputError
        The pipeline or a setting cannot be used.
    GeneratorUnavailableError
        The pipeline could not be loaded; nothing else is used in its place.

    Examples
    --------
    >>> as_generator("pocket")
    Generator('pocket', 6 steps)
    """
    allowed = sorted(_SAMPLING | _LOADING | _LATER)
    if unknown := sorted(settings.keys() - set(allowed)):
        raise InputError(
            f"{unknown[0]}: no such setting; nearest {nearest(unknown[0], allowed, 1)}; allowed "
            f"are {', '.join(allowed)}"
        )
    fast = bool(settings.pop("fast", False))
    quick = settings.pop("quick", None)
    if quick is not None:
        made = as_generator(generator, fast=fast, **settings)
        made.quick = quick if isinstance(quick, Generator) else name_or_path(quick, "quick")
        return made
    sampling = {key: value for key, value in settings.items() if key in _SAMPLING}
    loading = {key: value for key, value in settings.items() if key in _LOADING}
    if generator is not None and not isinstance(generator, (str, os.PathLike)):
        if loading:
            raise InputError(
                f"{', '.join(loading)}: for a hub id or folder alone; set them on the pipeline "
                "itself, for example pipe.to(device)"
            )
        if not isinstance(generator, Generator):
            return Generator(generator, name=type(generator).__name__, **sampling)
        if sampling:
            raise InputError(f"{', '.join(sampling)}: this Generator has its own; make another one")
        return generator
    if fast and isinstance(generator, str) and generator == "pocket":
        generator = QUICK
    source = DEFAULT_HUB_ID if generator is None else name_or_path(generator, "generator")
    place: str | os.PathLike[str] = source
    parts: dict[str, Path] = {}
    if isinstance(generator, str) and source in ("pocket", QUICK):
        place = POCKET
        usual: dict[str, Any] = {"num_inference_steps": 6, "guidance_scale": 3.0}
        if source == QUICK:
            usual = {"num_inference_steps": 1, "guidance_scale": 1.0}
            parts = {part: _WEIGHTS / "quick" / part for part in ("unet", "scheduler")}
        sampling = {**usual, **sampling}
        loading["device"] = loading.get("device") or "cpu"  # it is small
    elif fast and loading.get("dtype") is None:
        loading["dtype"] = fast_dtype(loading.get("device"))
    made = Generator(load_pipeline(place, parts=parts, **loading), name=source, **sampling)
    made.quick = QUICK if place == POCKET and not parts else None
    made.loaded_with = {key: loading.get(key) for key in ("revision", "variant")}
    made.loaded_with["dtype"] = str(loading.get("dtype", "float32")).removeprefix("torch.")
    return made
