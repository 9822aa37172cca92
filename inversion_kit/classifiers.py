"""Classifiers: one small contract around any image classifier, and the converter to it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from inversion_kit.errors import InputError, LabelError, NumericalError, nearest
from inversion_kit.hashing import hash_module
from inversion_kit.preprocess import Preprocess, resize_matrix, whole_bytes

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["Classifier", "Preprocess", "as_classifier", "resize_matrix"]

_POCKET = Path(__file__).parent / "pocket" / "weights" / "classifiers"


class Classifier:
    """An image classifier with its preprocessing and label names.

    Parameters
    ----------
    model
        From the classifier's input to logits ``(n, class)``.
    preprocess
        From RGB float ``(n, 3, y, x)`` in [0, 1], any size, to the model's input.
    labels
        Name of each class.
    name
        How results call this classifier.
    features
        From the model's input to embeddings ``(n, feature)``; None where there are none.

    Notes
    -----
    The model is put in eval mode and its parameters stop asking for gradients.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocess: Callable[[Tensor], Tensor],
        labels: Sequence[str],
        *,
        name: str,
        features: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.preprocess = preprocess
        self.labels = tuple(str(label) for label in labels)
        self.name = name
        self._features = features
        if len(set(self.labels)) != len(self.labels):
            twice = next(a for a in self.labels if self.labels.count(a) > 1)
            raise LabelError(f"labels: {twice!r} names more than one class; names must differ")

    def logits(self, images: Tensor) -> Tensor:
        """Logits ``(n, class)`` of RGB images ``(n, 3, y, x)`` in [0, 1].

        They are those of an 8-bit file of the images: values are rounded to whole levels, and
        gradients pass straight through the rounding.

        Raises
        ------
        NumericalError
            The classifier gave NaN or infinity.
        InputError
            The classifier's output does not fit the label names.
        """
        out = self.model(self._prepared(images))
        if not isinstance(out, Tensor) or out.shape != (len(images), len(self.labels)):
            came = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise InputError(
                f"model: gave {came} for {len(images)} images and {len(self.labels)} labels; "
                f"expected logits ({len(images)}, {len(self.labels)})"
            )
        if not torch.isfinite(out).all():
            raise NumericalError(f"classifier {self.name!r} gave values that are not finite")
        return out.float()

    def features(self, images: Tensor) -> Tensor | None:
        """Embeddings ``(n, feature)``, or None where the classifier offers none."""
        if self._features is None:
            return None
        return self._features(self._prepared(images)).float()

    def _prepared(self, images: Tensor) -> Tensor:
        weight = next(self.model.parameters(), None)
        return self.preprocess(whole_bytes(images if weight is None else images.to(weight.device)))

    def index(self, label: int | str) -> int:
        """The class index of an index, a name, or a unique part of a name.

        Raises
        ------
        LabelError
            No such label, or several.

        Examples
        --------
        >>> as_classifier("pocket:honest").index("stop")
        14
        """
        if isinstance(label, bool) or not isinstance(label, (int, np.integer, str)):
            raise LabelError(f"label={label!r}: give an index or a name")
        if not isinstance(label, str):
            if not 0 <= label < len(self.labels):
                raise LabelError(
                    f"label={label}: allowed are 0 to {len(self.labels) - 1} or a label name"
                )
            return int(label)
        if label in self.labels:
            return self.labels.index(label)
        same = [i for i, name in enumerate(self.labels) if label.casefold() == name.casefold()]
        if len(same) == 1:
            return same[0]
        part = [i for i, name in enumerate(self.labels) if label.casefold() in name.casefold()]
        if len(part) == 1:
            return part[0]
        if part:
            several = ", ".join(repr(self.labels[i]) for i in part[:5])
            raise LabelError(f"label={label!r} fits several: {several}; give one of them whole")
        raise LabelError(
            f"label={label!r} is none of the {len(self.labels)} labels; "
            f"nearest: {nearest(label, self.labels)}"
        )

    @functools.cached_property
    def hash(self) -> str:
        """sha256 over the model's weights and buffers."""
        return hash_module(self.model)

    def __repr__(self) -> str:
        return f"Classifier({self.name!r}, {len(self.labels)} labels)"


def as_classifier(
    model: Classifier | nn.Module | str | PathLike[str],
    *,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    labels: Sequence[str] | None = None,
    name: str | None = None,
) -> Classifier:
    """Make a `Classifier` of what the user has; a Classifier passes through.

    Parameters
    ----------
    model
        A `Classifier`; ``"pocket:honest"``, ``"pocket:judge"``, ``"pocket:backdoored"`` or
        ``"pocket:shortcut"``; ``"timm/<name>"`` (pretrained, needs a network); a timm model;
        or any ``nn.Module`` from its input to logits, with ``preprocess``.
    preprocess
        From RGB ``(n, 3, y, x)`` in [0, 1] to the model's input: a `Preprocess` or a callable.
        Read from the model where it carries it (timm).
    labels
        Class names; "class 0", "class 1", ... where neither they nor the model say.
    name
        How results call it; by default the timm name or the class of the module.

    Raises
    ------
    InputError
        ``model`` is of no known kind, or carries no preprocessing and none is given.

    Examples
    --------
    >>> as_classifier("pocket:honest")
    Classifier('pocket:honest', 43 labels)
    """
    if isinstance(model, Classifier):
        return model
    if isinstance(model, str) and model.startswith("pocket:"):
        return _from_pocket(model)
    if isinstance(model, str) and model.startswith("timm/"):
        import timm

        architecture = model.removeprefix("timm/")
        if not timm.is_model(architecture):
            raise InputError(f"model={model!r}: no such timm model; see timm.list_models()")
        return _from_module(
            timm.create_model(architecture, pretrained=True), preprocess, labels, name or model
        )
    if isinstance(model, nn.Module):
        return _from_module(model, preprocess, labels, name or type(model).__name__)
    raise InputError(
        f"model={model!r}: expected an nn.Module, 'pocket:honest' (or judge, backdoored, "
        "shortcut) or 'timm/<name>'"
    )


def _from_module(
    model: nn.Module,
    preprocess: Callable[[Tensor], Tensor] | None,
    labels: Sequence[str] | None,
    name: str,
) -> Classifier:
    config: dict[str, Any] = getattr(model, "pretrained_cfg", None) or {}
    if preprocess is None:
        if not {"input_size", "mean", "std"} <= set(config):
            raise InputError(
                f"model: {type(model).__name__} does not say how images are prepared for it; "
                "pass preprocess=Preprocess(size=(224, 224), mean=..., std=...)"
            )
        preprocess = _read_config(config)
    if labels is None:
        count = getattr(model, "num_classes", None)
        if not isinstance(count, int):
            weight = next(model.parameters())
            with torch.no_grad():
                count = model.eval()(preprocess(torch.zeros(1, 3, 64, 64).to(weight))).shape[-1]
        labels = config.get("label_names") or [f"class {i}" for i in range(count)]
    return Classifier(model, preprocess, labels, name=name, features=_timm_features(model))


def _read_config(config: dict[str, Any]) -> Preprocess:
    return Preprocess(
        size=tuple(config["input_size"][1:]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config.get("interpolation", "bicubic"),
    )


def _timm_features(model: nn.Module) -> Callable[[Tensor], Tensor] | None:
    forward, head = getattr(model, "forward_features", None), getattr(model, "forward_head", None)
    if forward is None or head is None:
        return None
    return lambda x: head(forward(x), pre_logits=True)


def _from_pocket(name: str) -> Classifier:
    import timm
    from safetensors.torch import load_file

    folder = _POCKET / name.removeprefix("pocket:")
    known = sorted(f"pocket:{p.name}" for p in _POCKET.iterdir() if p.is_dir())
    if name not in known:
        raise InputError(f"model={name!r}: allowed are {', '.join(map(repr, known))}")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    model = timm.create_model(
        config["architecture"],
        pretrained=False,
        num_classes=config["num_classes"],
        **config["model_args"],
    )
    state = load_file(folder / "model.safetensors")
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return Classifier(
        model,
        _read_config(config["pretrained_cfg"]),
        config["label_names"],
        name=name,
        features=_timm_features(model),
    )
