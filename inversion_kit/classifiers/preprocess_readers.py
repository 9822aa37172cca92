"""Preprocessing objects of timm, torchvision and transformers, read into a `Preprocess`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from inversion_kit.classifiers.adapter_parts import is_from
from inversion_kit.classifiers.preprocess import Preprocess, parity
from inversion_kit.errors import InputError

_MOST_APART = 2.01
"""Levels of 255 that a library's own path may differ from ours before it counts as another."""
Official = Callable[[Image.Image], Tensor]
"""A library's own path from a PIL image to a model's input ``(3, y, x)``."""


def as_preprocess(given: Any) -> tuple[Callable[[Tensor], Tensor], Official | None]:
    """What prepares tensors as ``given`` prepares files, and its own path from a PIL image.

    A `Preprocess` and a function of the user's own are used as they are and have no such path. A
    torchvision transform that is more than a `Preprocess` is called on tensors, where it gives
    there what it gives for files; `InputError` for what cannot be followed to two levels of 255.
    """
    if isinstance(given, Preprocess):
        return given, None
    if is_from(given, "transformers"):
        return _read_image_processor(getattr(given, "image_processor", given))
    if hasattr(given, "transforms") and callable(given.transforms) and hasattr(given, "meta"):
        given = given.transforms()  # a member of a torchvision weights enum
    if not callable(given):
        raise InputError(
            f"preprocess={given!r}: expected a Preprocess, torchvision weights or transforms, a "
            "transformers processor, or a callable"
        )
    if not is_from(given, "torchvision"):
        return given, None
    read, official = _read_torchvision(given), _path_of_files(given)
    if read is not None and official is not None and parity(read, official) <= _MOST_APART:
        return read, official
    _check_on_tensors(given, official)
    return given, official


def _path_of_files(given: Any) -> Official | None:
    """A torchvision transform's own path from a PIL image; None if it takes float tensors alone.

    One that takes no PIL image is given the uint8 tensor that torchvision reads a file to.
    """

    def decoded(image: Image.Image) -> Tensor:
        return given(torch.from_numpy(np.array(image)).permute(2, 0, 1))

    decoded.__name__ = "torchvision on uint8 tensors"
    image = Image.new("RGB", (64, 64))
    with contextlib.suppress(Exception):  # each transform has its own way to refuse PIL images
        if isinstance(given(image), Tensor):
            return given
    with contextlib.suppress(Exception):
        if decoded(image).is_floating_point():
            return decoded
    return None


def _check_on_tensors(given: Any, official: Official | None) -> None:
    """Refuse a torchvision transform that does to float tensors another thing than to files."""
    try:
        shown = given(torch.zeros(1, 3, 64, 64))
        apart = 0.0 if official is None else parity(given, official)
    except Exception as error:  # a transform may raise anything
        what = f"raises {type(error).__name__} ({error})"
    else:
        if not isinstance(shown, Tensor):
            what = f"gives a {type(shown).__name__}, no tensor"
        elif apart > _MOST_APART:
            what = f"gives a result {_distance(apart)} what it gives for files"
        else:
            return
    raise InputError(
        f"preprocess: {type(given).__name__} of torchvision does more than Preprocess can, and on "
        f"float tensors in [0, 1] it {what}; {_OWN}"
    )


def _distance(apart: float) -> str:
    return "of another size than" if math.isinf(apart) else f"{apart:.0f} of 255 levels off"


def _read_torchvision(given: Any) -> Preprocess | None:
    """A torchvision preset or chain of transforms as a `Preprocess`; None if it does more."""
    if hasattr(given, "resize_size") and hasattr(given, "crop_size"):
        edges = _pair(given.crop_size)
        norm = {"mean": tuple(given.mean), "std": tuple(given.std)}
        return Preprocess(**{**_resize(given.resize_size, given), **norm, "size": edges})
    steps = getattr(given, "transforms", None)
    if not isinstance(steps, (list, tuple)):
        return None
    settings: dict[str, Any] = {}
    white = 1.0
    before: set[str] = set()
    for step in steps:
        kind = type(step).__name__
        if kind == "ToDtype" and step.dtype == torch.uint8:
            continue  # an image is of it already
        if kind == "Resize" and not settings and step.max_size is None:
            if before & {"ToImage", "PILToTensor"}:
                settings["path"] = "torchvision-tensors"
            if before & _TO_FLOAT or ("path" in settings and not step.antialias):
                return None
            settings |= _resize(step.size, step)
        elif kind == "CenterCrop" and "resize" in settings and "mean" not in settings:
            settings["size"] = _pair(step.size)
        elif kind == "Normalize" and "mean" not in settings:
            settings |= {"mean": _three(step.mean), "std": _three(step.std)}
        elif kind not in _NO_GEOMETRY:
            return None
        if kind == "ToDtype" and not step.scale:
            white = 255.0
        before.add(kind)
    if "resize" in settings and "size" not in settings:
        return None  # the size would depend on the image's
    settings["mean"] = tuple(m / white for m in settings.get("mean", (0.0,) * 3))
    settings["std"] = tuple(s / white for s in settings.get("std", (1.0,) * 3))
    return Preprocess(**settings)


_TO_FLOAT = {"ToTensor", "MaybeToTensor", "ToDtype", "ConvertImageDtype"}
"""Steps after which a resize no longer rounds to whole levels."""
_NO_GEOMETRY = {*_TO_FLOAT, "RGB", "ToImage", "PILToTensor", "ToPureTensor", "Lambda", "function"}
"""Steps that leave an RGB image's pixels alone; of the last two `parity` shows whether they do."""


def _three(values: Any) -> tuple[float, ...]:
    """One number per channel of a Normalize, which may have one for all."""
    numbers = tuple(np.asarray(values, float).reshape(-1).tolist())
    return numbers * 3 if len(numbers) == 1 else numbers


def _pair(size: Any) -> tuple[int, int]:
    """Height and width of a size, which may be one number for both."""
    edges = [size] if isinstance(size, int) else list(size)
    return edges[0], edges[-1]


def _resize(size: Any, given: Any) -> dict[str, Any]:
    """The settings of a resize to one edge or two, with the filter that ``given`` has."""
    filtered = str(getattr(given.interpolation, "value", given.interpolation))
    settings = {"interpolation": filtered.removesuffix("-exact")}
    if isinstance(size, int) or len(size) == 1:
        return {**settings, "resize": _pair(size)[0], "crop_mode": "center"}
    return {**settings, "resize": _pair(size), "crop_mode": "squash", "size": _pair(size)}


def _read_image_processor(given: Any) -> tuple[Preprocess, Official]:
    """A transformers image processor; what cannot be followed exactly is refused."""

    def official(image: Image.Image) -> Tensor:
        return torch.as_tensor(given(images=image, return_tensors="pt")["pixel_values"][0])

    called = type(given).__name__
    official.__name__ = f"{called} of transformers"
    try:
        if hasattr(given, "data_config"):
            read, _ = read_timm(given.data_config)
        else:
            read = _read_settings(given, called)
        apart = parity(read, official)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"preprocess: {called} cannot be followed ({error}); {_OWN}") from error
    if apart > _MOST_APART:
        raise InputError(
            f"preprocess: {called} cannot be followed (ours is {_distance(apart)} its own); {_OWN}"
        )
    return read, official


_OWN = (
    "give as_classifier(model, preprocess=Preprocess(size=..., mean=..., std=...)), or a function "
    "of your own from float tensors (n, 3, y, x) in [0, 1] to the model's input"
)


def _read_settings(given: Any, called: str) -> Preprocess:
    """The settings of a transformers image processor as a `Preprocess`."""
    if getattr(given, "crop_to_patches", False):
        raise ValueError("it cuts large images into patches")
    settings: dict[str, Any] = {
        "path": "transformers-pil" if given.backend == "pil" else "transformers"
    }
    if given.do_resize:
        size = {k: v for k, v in dict(given.size).items() if v is not None}
        resample = 2 if given.resample is None else int(given.resample)
        settings["interpolation"] = Image.Resampling(resample).name.lower()
        if set(size) == {"shortest_edge"}:
            edge = size["shortest_edge"]
            settings |= {"resize": edge, "crop_mode": "center"}
            if called.startswith("ConvNext"):
                squashed = edge >= 384
                settings["size"] = (edge, edge)
                settings["resize"] = edge if squashed else int(edge / given.crop_pct)
                settings["crop_mode"] = "squash" if squashed else "center"
            elif called.startswith("Levit"):
                settings["resize"] = int(256 / 224 * edge)
            elif called.startswith("PoolFormer") and given.crop_pct is not None:
                settings["resize"] = int(edge / given.crop_pct)
        elif set(size) != {"height", "width"}:
            raise ValueError(f"the size of its result depends on the image's: size={size}")
        else:
            settings |= {"resize": (size["height"], size["width"]), "crop_mode": "squash"}
            settings["size"] = settings["resize"]
    if getattr(given, "do_center_crop", False):
        crop = dict(given.crop_size)
        settings["size"] = (crop["height"], crop["width"])
    if settings.get("size") is None and "resize" in settings:
        raise ValueError("the size of its result depends on the image's")
    # value * factor (- 1), then (value - mean) / std, perhaps over std again: folded into one
    factor = given.rescale_factor * 255 if given.do_rescale else 255.0
    mean, std = np.zeros(3), np.ones(3)
    if getattr(given, "rescale_offset", False):
        mean += 1
    if given.do_normalize:
        mean, std = mean + np.array(given.image_mean), np.array(given.image_std) * std
    if getattr(given, "include_top", False):
        std = std * np.array(given.image_std)
    settings["mean"] = tuple(float(m) for m in mean / factor)
    settings["std"] = tuple(float(s) for s in std / factor)
    if getattr(given, "do_flip_channel_order", False):
        settings["channels"] = "bgr"
    return Preprocess(**settings)


def read_timm(config: dict[str, Any]) -> tuple[Preprocess, Official]:
    """A timm model's ``pretrained_cfg``, and the transform that timm makes of it."""
    from timm.data import create_transform, resolve_data_config

    data = resolve_data_config(pretrained_cfg=config)
    read = Preprocess(
        size=tuple(data["input_size"][1:]),
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        interpolation=data["interpolation"],
        crop_pct=data["crop_pct"],
        crop_mode=data["crop_mode"],
    )
    return read, create_transform(**data)
