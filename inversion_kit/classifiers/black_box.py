"""Black boxes: classifiers that score files and give no gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inversion_kit.classifiers.adapter_parts import Options, unchanged
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.functions import Function
from inversion_kit.errors import InputError
from inversion_kit.pictures import levels


class _BlackBox(Function):
    """A callable from uint8 images ``(n, y, x, 3)`` to probabilities or the top class."""

    def __init__(self, function: Callable[[np.ndarray], Any], labels: Sequence[str]) -> None:
        super().__init__(function)
        self.labels = [str(label) for label in labels]

    def input_like(self) -> None:
        """It takes whole bytes, whatever its networks' weights are."""

    def forward(self, images: Tensor) -> Tensor:
        files = levels(images).permute(0, 2, 3, 1)
        out = self.ask(files.cpu().contiguous().numpy())
        out = out.detach().cpu().numpy() if isinstance(out, Tensor) else np.asarray(out)
        if out.shape == (len(images), len(self.labels)) and out.dtype.kind in "fiub":
            return torch.from_numpy(out.astype(np.float32)).to(images.device)
        if out.shape == (len(images),) and out.dtype.kind in "iuUO":
            top = torch.tensor([self._index(one) for one in out.tolist()], device=images.device)
            return nn.functional.one_hot(top, len(self.labels)).float()
        raise InputError(
            f"model: the black box gave {out.dtype} {out.shape} for {len(images)} images and "
            f"{len(self.labels)} labels; expected probabilities ({len(images)}, "
            f"{len(self.labels)}), or the top class as indices or names ({len(images)},)"
        )

    def _index(self, one: int | str) -> int:
        if isinstance(one, str) and one in self.labels:
            return self.labels.index(one)
        if isinstance(one, int) and 0 <= one < len(self.labels):
            return one
        raise InputError(
            f"model: the black box answered {one!r}; expected a label name or an index from 0 to "
            f"{len(self.labels) - 1}"
        )


def from_black_box(model: Any, options: Options) -> Classifier:
    """A callable from uint8 images ``(n, y, x, 3)`` to probabilities or the top class alone."""
    if not callable(model) or isinstance(model, nn.Module):
        raise InputError(
            f"model={type(model).__name__}: black_box=True takes a function from uint8 images "
            "(n, y, x, 3) to probabilities or to the top class"
        )
    if options.labels is None:
        raise InputError("labels: a black box does not name its classes; give labels=[...]")
    if options.preprocess is not None or options.head is not None:
        raise InputError("preprocess, head: a black box takes uint8 images as they are")
    return Classifier(
        _BlackBox(model, options.labels),
        unchanged,
        options.labels,
        name=options.named(str(getattr(model, "__name__", type(model).__name__))),
        head="probability",
        differentiable=False,
    )
