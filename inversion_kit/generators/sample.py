"""Images of prompts without a gradient, as many at once as fit into memory, and as bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.pictures import levels


@torch.no_grad()
def sample(
    generator: Generator,
    prompts: Sequence[str],
    *,
    seeds: Sequence[int],
    token: ClassToken | None = None,
    batch: int = 32,
    num_inference_steps: int | None = None,
) -> Tensor:
    """`Generator.images` without a gradient, at most ``batch`` at once, less where memory runs out.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> sample(as_generator("pocket"), ["a stop sign"] * 3, seeds=[0, 1, 2], batch=2).shape
    torch.Size([3, 3, 32, 32])
    """
    parts = MicroBatch(batch, of=generator, doing="images").parts(
        len(seeds),
        lambda part: generator.images(
            prompts[part], seeds=seeds[part], token=token, num_inference_steps=num_inference_steps
        ),
    )
    return torch.cat(parts)


def to_bytes(images: Tensor) -> np.ndarray:
    """Float ``(n, 3, y, x)`` in [0, 1], or uint8, to uint8 ``(n, y, x, 3)``."""
    if images.dtype != torch.uint8:
        images = levels(images)
    return images.permute(0, 2, 3, 1).cpu().numpy()


def from_bytes(images: np.ndarray) -> Tensor:
    """uint8 ``(n, y, x, 3)`` as float ``(n, 3, y, x)`` in [0, 1]."""
    return to_levels(images).float() / 255


def to_levels(images: np.ndarray) -> Tensor:
    """uint8 ``(n, y, x, 3)`` as uint8 ``(n, 3, y, x)``."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
