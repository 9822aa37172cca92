"""Preprocessing: resize, crop and normalise as the libraries do to image files, with gradients."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from inversion_kit.errors import InputError

_TENSORS = ("torchvision-tensors", "transformers")  # paths that resize by torch, not by PIL
_PILLOW = int(PIL.__version__.split(".")[0])


@dataclass(frozen=True)
class Preprocess:
    """What a classifier wants done to an RGB image in [0, 1]: resize, crop, normalise.

    The pixels are those that PIL gives for an 8-bit file of the image; gradients pass straight
    through the rounding to whole levels.

    Parameters
    ----------
    size
        Height and width in pixels that the classifier takes; None keeps the image's own.
    mean, std
        Per-channel normalisation of values in [0, 1], in the order red, green, blue.
    interpolation
        "nearest", "bilinear", "bicubic", "lanczos", "box" or "hamming": PIL's filters.
    crop_pct
        Part of the resized image that the crop keeps, in (0, 1].
    crop_mode
        "squash" resizes both edges and loses the aspect ratio; "center" resizes the shorter edge
        and cuts the longer one; "border" resizes the longer edge and fills up with the mean
        colour. The names are timm's.
    resize
        Height and width before the crop, or one number for both; None is ``size / crop_pct``.
    path
        Whose path to follow where they part by a pixel or a few levels: "pil" (timm and
        torchvision on files), "torchvision-tensors" (its transforms of uint8 tensors),
        "transformers" (its image processors, which resize tensors) or "transformers-pil" (its
        processors of that name).
    channels
        "rgb", or "bgr" to turn the channels round after the normalisation.

    Raises
    ------
    InputError
        A setting is out of its range, or ``resize`` is given without ``size``.

    Examples
    --------
    >>> Preprocess(size=(64, 64))(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 3, 64, 64])
    >>> Preprocess(size=(64, 64), crop_pct=0.875, crop_mode="center").resized(32, 48)
    (73, 109)
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    interpolation: str = "bilinear"
    crop_pct: float = 1.0
    crop_mode: str = "squash"
    resize: int | tuple[int, int] | None = None
    path: str = "pil"
    channels: str = "rgb"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("interpolation", tuple(_FILTERS)),
            ("crop_mode", ("squash", "center", "border")),
            ("path", ("pil", "transformers-pil", *_TENSORS)),
            ("channels", ("rgb", "bgr")),
        ):
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"{name}={getattr(self, name)!r}: allowed are {', '.join(map(repr, allowed))}"
                )
        if self.size is not None and not _edges(self.size):
            raise InputError(
                f"size={self.size!r}: expected (height, width), for example (224, 224)"
            )
        if self.resize is not None and not _edges(self.resize) and not _edges((self.resize,) * 2):
            raise InputError(
                f"resize={self.resize!r}: expected pixels, one number or (height, width), for "
                "example 256"
            )
        if self.resize is not None and self.size is None:
            raise InputError(
                f"resize={self.resize!r}: needs size too, for example size=(224, 224); without it "
                "an image keeps its own"
            )
        if not _numbers(self.mean) or not _numbers(self.std):
            raise InputError(f"mean={self.mean}, std={self.std}: expected three values each, RGB")
        if any(s <= 0 for s in self.std):
            raise InputError(f"std={self.std}: every value must be above 0")
        if not isinstance(self.crop_pct, (int, float, np.floating)) or not 0 < self.crop_pct <= 1:
            raise InputError(f"crop_pct={self.crop_pct!r}: expected a part in (0, 1]")

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of an image after the resize, before the crop.

        Parameters
        ----------
        height, width
            Of the image that comes, in pixels, at least 1.

        Returns
        -------
        tuple of int
            Height and width in pixels; those that came where ``size`` is None.
        """
        if self.size is None:
            return height, width
        given = self.resize or [math.floor(edge / self.crop_pct) for edge in self.size]
        wanted = (given, given) if isinstance(given, (int, np.integer)) else (given[0], given[1])
        if self.crop_mode == "squash":
            return wanted
        if self.crop_mode == "center" and wanted[0] == wanted[1]:
            if width <= height:
                return int(wanted[0] * height / width), wanted[0]
            return wanted[0], int(wanted[0] * width / height)
        of_edges = height / wanted[0], width / wanted[1]
        ratio = max(of_edges) if self.crop_mode == "border" else min(of_edges)
        return round(height / ratio), round(width / ratio)

    def __call__(self, images: Tensor) -> Tensor:
        """From RGB float ``(n, 3, y, x)`` in [0, 1] to the model's input ``(n, 3, *size)``.

        It is float32, or float64 where the images are.
        """
        images = images.to(torch.promote_types(images.dtype, torch.float32))
        if self.size is not None:
            height, width = images.shape[-2:]
            resized = self.resized(height, width)
            if (height, width) != resized or resized != tuple(self.size):
                images = self._fit(_Whole.apply(images * 255), resized) / 255
        mean = images.new_tensor(self.mean)[:, None, None]
        images = (images - mean) / images.new_tensor(self.std)[:, None, None]
        return images.flip(1) if self.channels == "bgr" else images

    def _fit(self, levels: Tensor, resized: tuple[int, int]) -> Tensor:
        """Resize 8-bit levels to ``resized``, of which only what the crop keeps is computed."""
        assert self.size is not None
        top, left = (
            _offset(old - new, self.path) for old, new in zip(resized, self.size, strict=True)
        )
        rows = slice(max(top, 0), min(top + self.size[0], resized[0]))
        columns = slice(max(left, 0), min(left + self.size[1], resized[1]))
        passes = [(-1, resized[1], columns), (-2, resized[0], rows)]
        if self.path not in _TENSORS and _rows_first(levels.shape[-2:], resized):
            passes.reverse()
        for dim, new, keep in passes:
            levels = _along(levels, dim, new, keep, self.interpolation, self.path)
        if tuple(levels.shape[-2:]) == tuple(self.size):
            return levels
        above, before = max(-top, 0), max(-left, 0)
        below = self.size[0] - levels.shape[-2] - above
        after = self.size[1] - levels.shape[-1] - before
        fill = levels.new_zeros(3, 1, 1)
        if self.crop_mode == "border":
            fill += levels.new_tensor([round(255 * m) for m in self.mean])[:, None, None]
        return F.pad(levels - fill, (before, after, above, below)) + fill


def _edges(value: Any) -> bool:
    """Whether a value is a height and a width in pixels."""
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(isinstance(n, (int, np.integer)) and n > 0 for n in value)
    )


def _numbers(value: Any) -> bool:
    """Whether a value is three finite numbers."""
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        return False
    return len(numbers) == 3 and all(map(math.isfinite, numbers))


def whole_bytes(images: Tensor) -> Tensor:
    """Float images clamped to [0, 1] and rounded to whole 8-bit levels; gradients pass through."""
    return _Byte.apply(images)


class _StraightThrough(torch.autograd.Function):
    """The gradient of no change at all."""

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> Tensor:
        return gradient[0]


class _Byte(_StraightThrough):
    """Images as an 8-bit file holds them."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        return images.clamp(0, 1).mul_(255).round_().div_(255)


class _Whole(_StraightThrough):
    """Levels rounded as PIL rounds them: halves go up."""

    @staticmethod
    def forward(ctx: Any, levels: Tensor) -> Tensor:
        return levels.add(0.5).floor_().clamp_(0, 255)


def _along(
    levels: Tensor, dim: int, new: int, keep: slice, interpolation: str, path: str
) -> Tensor:
    """One pass of the resize along ``dim`` to ``new`` pixels, of which ``keep`` are wanted."""
    old = levels.shape[dim]
    if old == new:
        return levels[..., keep] if dim == -1 else levels[..., keep, :]
    matrix = _matrix(old, new, interpolation, path, levels.device, levels.dtype)[keep]
    return _Whole.apply(levels @ matrix.T if dim == -1 else matrix @ levels)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)  # kept for later backward passes
def _matrix(
    old: int, new: int, interpolation: str, path: str, device: torch.device, dtype: torch.dtype
) -> Tensor:
    return resize_matrix(old, new, interpolation, path).to(device, dtype)


def _offset(excess: int, path: str) -> int:
    """First pixel that a centred crop keeps of ``excess`` too many; below 0 it is a border."""
    if path == "transformers-pil":
        return excess // 2
    if path == "transformers" or excess < 0:
        return int(excess / 2)
    return round(excess / 2)


def _rows_first(old: Sequence[int], new: Sequence[int]) -> bool:
    """Whether PIL shrinks the height before it touches the width.

    Pillow 13 does where the height loses more than twice what the width loses; before, never.
    """
    loses = old[0] - new[0]
    return _PILLOW >= 13 and loses > 0 and loses > 2 * (old[1] - new[1])


def _bicubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


_FILTERS: dict[str, tuple[float, Callable[[np.ndarray], np.ndarray]]] = {
    "nearest": (0.0, np.zeros_like),
    "bilinear": (1.0, lambda x: np.clip(1 - np.abs(x), 0, None)),
    "bicubic": (2.0, _bicubic),
    "lanczos": (3.0, lambda x: np.where((x >= -3) & (x < 3), np.sinc(x) * np.sinc(x / 3), 0)),
    "box": (0.5, lambda x: np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)),
    "hamming": (
        1.0,
        lambda x: np.where(np.abs(x) < 1, np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x)), 0),
    ),
}
"""Reach in pixels and weight at a distance, of each of PIL's filters."""


def resize_matrix(old: int, new: int, interpolation: str, path: str = "pil") -> Tensor:
    """PIL's resize of a line of ``old`` pixels to ``new``: a float32 matrix, rows that sum to 1.

    Two matrix products, rounded to whole levels after each, are PIL's two passes, and their
    backward is deterministic on every device. On a path of tensors the nearest pixel is torch's,
    which takes another where two are as near.

    Examples
    --------
    >>> resize_matrix(2, 1, "bilinear")
    tensor([[0.5000, 0.5000]])
    """
    if interpolation == "nearest" and path in _TENSORS:
        return F.interpolate(torch.eye(old)[None], new, mode="nearest-exact")[0].T
    scale = old / new
    matrix = np.zeros((new, old))
    if interpolation == "nearest":
        steps = np.full(new, scale)
        steps[0] /= 2
        matrix[np.arange(new), np.minimum(steps.cumsum(), old - 1).astype(int)] = 1
    else:
        reach, weight_at = _FILTERS[interpolation]
        wide = max(scale, 1.0)
        for row in range(new):
            centre = (row + 0.5) * scale
            first = max(int(centre - reach * wide + 0.5), 0)
            last = min(int(centre + reach * wide + 0.5), old)
            weight = weight_at((np.arange(first, last) - centre + 0.5) / wide)
            matrix[row, first:last] = weight / weight.sum()
    return torch.from_numpy(matrix).float()


def parity(
    preprocess: Callable[[Tensor], Tensor],
    official: Callable[[Image.Image], Any],
    pictures: Sequence[Image.Image] | None = None,
) -> float:
    """The largest difference from a library's own path, in levels of 255.

    A level is a 255th of what lies between its black and its white; infinity where theirs is no
    tensor of our shape. The pictures are by default six made-up ones of several sizes.
    """
    worst = 0.0
    black, white = (official(Image.new("RGB", (64, 64), colour)) for colour in ("black", "white"))
    for picture in pictures or _pictures():
        pixels = np.array(picture.convert("RGB"))
        images = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
        ours, theirs = preprocess(images)[0], official(picture)
        if not isinstance(theirs, Tensor) or theirs.ndim != 3 or ours.shape != theirs.shape:
            return math.inf
        span = (white.float() - black).abs().amax((1, 2), keepdim=True)
        apart = (ours - theirs).abs() / span * 255
        worst = max(worst, float(apart.nan_to_num(math.inf).max()))
    return worst


@functools.cache
def _pictures() -> tuple[Image.Image, ...]:
    """Noise and edges on a gradient, in six sizes."""
    random = np.random.default_rng(0)
    made = []
    for height, width in ((47, 61), (90, 40), (300, 301), (263, 410), (256, 256), (512, 512)):
        ramp = np.linspace(0, 255, width)[None, :, None] * np.ones((height, 1, 3))
        ramp[height // 3 : height // 2] = (255, 0, 120)
        noise = random.integers(-80, 80, (height, width, 3))
        made.append(Image.fromarray(np.clip(ramp + noise, 0, 255).astype(np.uint8)))
    return tuple(made)
