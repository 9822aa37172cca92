"""The last layer of a classifier: found by its output, asked for its input, and replaced."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.modules import AsItIs
from inversion_kit.errors import InputError
from inversion_kit.generators.memory import MicroBatch

_ASKED = 2
"""Images by which the layer is found."""


@dataclass(frozen=True)
class LastLayer:
    """The linear layer whose output is a classifier's logits.

    Parameters
    ----------
    classifier
        Whose layer.
    name
        Of the layer in ``classifier.model``, as ``named_modules`` has it.
    """

    classifier: Classifier
    name: str

    @property
    def module(self) -> nn.Linear:
        """The layer itself."""
        return _linear(self.classifier.model, self.name)

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Its weights ``(class, feature)`` and bias ``(class,)``, float64; 0 where it has none."""
        layer = self.module
        weight = layer.weight.detach().double().cpu().numpy()
        bias = _bias(layer)
        if bias is None:
            return weight, np.zeros(len(weight))
        return weight, bias.detach().double().cpu().numpy()

    @property
    def has_bias(self) -> bool:
        """Whether the layer has one."""
        return _bias(self.module) is not None

    @torch.no_grad()
    def features(self, images: Tensor, *, batch: int = 64) -> np.ndarray:
        """What goes into the layer for images ``(n, 3, y, x)`` in [0, 1]: ``(n, feature)``."""

        def given(part: slice) -> np.ndarray:
            seen: list[Tensor] = []
            hook = self.module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
            try:
                self.classifier.raw(images[part])
            finally:
                hook.remove()
            return seen[-1].float().cpu().numpy()

        parts = MicroBatch(batch, of=self.classifier, doing="features").parts(len(images), given)
        return np.concatenate(parts)

    @torch.no_grad()
    def replaced(self, weight: np.ndarray, bias: np.ndarray) -> Classifier:
        """A copy of the classifier with other weights in this layer.

        The features of the copy are the classifier's own: what is before the layer is the same.
        """
        try:
            other = self.classifier.copied()
        except InputError as error:
            raise _refused(self.classifier, "its module cannot be copied") from error
        other._features, other.source = self.classifier._features, None
        other.name = f"{self.classifier.name}, repaired"
        layer = _linear(other.model, self.name)
        layer.weight.copy_(torch.from_numpy(weight))
        if (shift := _bias(layer)) is not None:
            shift.copy_(torch.from_numpy(bias))
        return other


@torch.no_grad()
def last_layer(classifier: Classifier) -> LastLayer:
    """The layer of a classifier, found by hooks: its output is the model's own.

    Raises
    ------
    InputError
        The classifier is a black box, a function or an ensemble, does not give a softmax's logits,
        or does not end in an ``nn.Linear``.

    Examples
    --------
    >>> from inversion_kit.classifiers.convert import as_classifier
    >>> last_layer(as_classifier("pocket:honest")).name
    'fc'
    """
    model = classifier.model
    if not classifier.differentiable:
        raise _refused(classifier, "it is a black box, whose weights are not there to be changed")
    if isinstance(model, AsItIs):
        raise _refused(classifier, "it is a function or an ensemble; give the network itself")
    if classifier.head != "softmax":
        raise _refused(classifier, f"its head is {classifier.head!r}; the refit is for a softmax")
    gave: dict[str, tuple[Any, Any]] = {}
    with contextlib.ExitStack() as stack:
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear) and module.weight.is_floating_point():
                hook = module.register_forward_hook(
                    lambda _, given, out, name=name: gave.update({name: (given[0], out)})
                )
                stack.callback(hook.remove)
        images = torch.rand(_ASKED, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        logits = classifier.raw(images)
    for name, (given, out) in reversed(gave.items()):
        if given.ndim == 2 and out.shape == logits.shape and torch.equal(out, logits):
            return LastLayer(classifier, name)
    raise _refused(classifier, "no nn.Linear in it gives its logits")


def _linear(model: nn.Module, name: str) -> nn.Linear:
    layer = model.get_submodule(name)
    if not isinstance(layer, nn.Linear):
        raise TypeError(f"{name} is a {type(layer).__name__}")
    return layer


def _bias(layer: nn.Linear) -> Tensor | None:
    return layer.bias  # torch's types say that there always is one


def _refused(classifier: Classifier, why: str) -> InputError:
    return InputError(
        f"classifier: {classifier.name!r} cannot be repaired, {why}; a repair refits the last "
        "layer: give an nn.Module that ends in an nn.Linear from features to the logits of all "
        "labels"
    )
