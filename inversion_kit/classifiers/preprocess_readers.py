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
    """How to prepare tensors as ``given`` prepares files, and its own path from a PIL image.

    Parameters
    ----------
    given
        A `Preprocess`; torchvision weights or a torchvision transform; a transformers processor;
        or a callable from RGB ``(n, 3, y, x)`` in [0, 1], which is used as it is.

    Notes
    -----
    A torchvision transform that is more than a `Preprocess` is called on tensors, where it gives
    there what it gives for files.
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
    look, official = _read_torchvision(given), _path_of_files(given)
    if look is not None and official is not None and parity(look, official) <= _MOST_APART:
        return look, official
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
            what = f"gives a result {_told(apart)} what it gives for files"
        else:
            return
    raise InputError(
        f"preprocess: {type(given).__name__} of torchvision does more than Preprocess can, and on "
        f"float tensors in [0, 1] it {what}; {_OWN}"
    )


def _told(apart: float) -> str:
    return "of another size than" if math.isinf(apart) else f"{apart:.0f} of 255 levels off"


def _read_torchvision(given: Any) -> Preprocess | None:
    """A torchvision preset or chain of transforms as a `Preprocess`; None if it does more."""
    if hasattr(given, "resize_size") and hasattr(given, "crop_size"):
        edges = list(given.resize_size)
        return Preprocess(
            size=_pair(given.crop_size),
            resize=edges[0] if len(edges) == 1 else (edges[0], edges[1]),
            crop_mode="center" if len(edges) == 1 else "squash",
            mean=tuple(given.mean),
            std=tuple(given.std),
            interpolation=_filter(given.interpolation),
        )
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
            edges = [step.size] if isinstance(step.size, int) else list(step.size)
            settings["resize"] = edges[0] if len(edges) == 1 else (edges[0], edges[1])
            settings["crop_mode"] = "center" if len(edges) == 1 else "squash"
            settings["size"] = None if len(edges) == 1 else (edges[0], edges[1])
            settings["interpolation"] = _filter(step.interpolation)
        elif kind == "CenterCrop" and "resize" in settings and "mean" not in settings:
            settings["size"] = _pair(step.size)
        elif kind == "Normalize" and "mean" not in settings:
            settings |= {"mean": _three(step.mean), "std": _three(step.std)}
        elif kind not in _NO_GEOMETRY:
            return None
        if kind == "ToDtype" and not step.scale:
            white = 255.0
        before.add(kind)
    if "resize" in settings and settings["size"] is None:
        return None  # the size would depend on the image's
    settings["mean"] = tuple(m / white for m in settings.get("mean", (0.0,) * 3))
    settings["std"] = tuple(s / white for s in settings.get("std", (1.0,) * 3))
    return Preprocess(**settings)


_NO_GEOMETRY = {
    "RGB", "ToImage", "PILToTensor", "ToTensor", "MaybeToTensor", "ToDtype", "ToPureTensor",
    "ConvertImageDtype", "Lambda", "function",
}  # fmt: skip
"""Steps that leave an RGB image's pixels alone; of the last two `parity` tells whether they do."""
_TO_FLOAT = {"ToTensor", "MaybeToTensor", "ToDtype", "ConvertImageDtype"}
"""Steps after which a resize no longer rounds to whole levels."""


def _three(values: Any) -> tuple[float, ...]:
    """A number a channel of a Normalize, which may be one for all."""
    found = np.asarray(values, float).reshape(-1)
    return tuple(float(v) for v in (np.repeat(found, 3) if len(found) == 1 else found))


def _filter(interpolation: Any) -> str:
    """An InterpolationMode or its name as PIL's filter."""
    return str(getattr(interpolation, "value", interpolation)).removesuffix("-exact")


def _pair(size: Any) -> tuple[int, int]:
    edges = [size] if isinstance(size, int) else list(size)
    return (edges[0], edges[0]) if len(edges) == 1 else (edges[0], edges[1])


def _read_image_processor(given: Any) -> tuple[Preprocess, Official]:
    """A transformers image processor; what cannot be followed exactly is refused."""

    def official(image: Image.Image) -> Tensor:
        return torch.as_tensor(given(images=image, return_tensors="pt")["pixel_values"][0])

    called = type(given).__name__
    official.__name__ = f"{called} of transformers"
    try:
        if hasattr(given, "data_config"):
            look, _ = read_timm(given.data_config)
        else:
            look = _read_settings(given, called)
        apart = parity(look, official)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"preprocess: {called} cannot be followed ({error}); {_OWN}") from error
    if apart > _MOST_APART:
        raise InputError(
            f"preprocess: {called} cannot be followed (ours is {_told(apart)} its own); {_OWN}"
        )
    return look, official


_OWN = (
    "give preprocess=Preprocess(size=..., mean=..., std=...), or a function of your own from float "
    "tensors (n, 3, y, x) in [0, 1] to the model's input"
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
    look = Preprocess(
        size=tuple(data["input_size"][1:]),
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        interpolation=data["interpolation"],
        crop_pct=data["crop_pct"],
        crop_mode=data["crop_mode"],
    )
    return look, create_transform(**data)
