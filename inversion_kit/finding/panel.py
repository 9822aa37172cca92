"""What a classifier and its judges say of images of a bank: their first classes, and no more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from inversion_kit.bank.bank import Bank, Key
from inversion_kit.classifiers.adapter_parts import first_line
from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import InputError
from inversion_kit.generators.memory import MicroBatch, is_full
from inversion_kit.generators.sample import from_bytes


class Panel:
    """The audited classifier and its judges, asked about images.

    Parameters
    ----------
    classifier
        The audited one, model 0.
    judges
        Held-out ones; may be empty.
    """

    def __init__(self, classifier: Classifier, judges: Sequence[Classifier]) -> None:
        self.classifier, self.judges = classifier, list(judges)
        self.models = [classifier, *judges]

    def read(self, images: np.ndarray) -> np.ndarray:
        """First class of each model, int ``(model, n)``, of uint8 ``(n, y, x, 3)``."""
        if not len(images):
            return np.zeros((len(self.models), 0), int)
        return np.stack([first_class(model, from_bytes(images)) for model in self.models])

    def read_bank(self, bank: Bank, keys: Sequence[Key]) -> np.ndarray:
        """`read` of a bank's images, some at a time."""
        rows = [self.read(images) for _, images in bank.parts(keys)]
        return np.concatenate(rows, 1) if rows else np.zeros((len(self.models), 0), int)

    def sees(self, read: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Whether more than half of the judges read the source, bool; True without judges.

        Parameters
        ----------
        read
            As `read` gives it, ``(model, ...)``.
        source
            Class of each image, a shape that fits ``(...)``.
        """
        return _most(read[1:] == source)

    def judges_see(self, images: Tensor, source: np.ndarray) -> np.ndarray:
        """The same of images float ``(n, 3, y, x)`` that the classifier is not asked about."""
        if not self.judges:
            return np.ones(len(images), bool)
        return _most(np.stack([first_class(judge, images) == source for judge in self.judges]))


def _most(seen: np.ndarray) -> np.ndarray:
    """Whether more than half of the first axis say so; True of none."""
    return np.asarray(2 * seen.sum(0) > len(seen)) | (len(seen) == 0)


def first_class(classifier: Classifier, images: Tensor, *, batch: int = 128) -> np.ndarray:
    """The class with the highest score of each image, int ``(n,)``."""
    return _ranked(classifier, images, batch, 0)


def second_class(classifier: Classifier, images: Tensor, *, batch: int = 128) -> np.ndarray:
    """The class with the second highest score of each image, int ``(n,)``."""
    return _ranked(classifier, images, batch, 1)


@torch.no_grad()
def _ranked(classifier: Classifier, images: Tensor, batch: int, rank: int) -> np.ndarray:
    """The class of a rank, counted from 0."""

    def work(part: slice) -> Tensor:
        logits = classifier.logits(images[part])
        return (logits.topk(rank + 1).indices[:, rank] if rank else logits.argmax(1)).cpu()

    parts = MicroBatch(batch, of=classifier, doing="scores").parts(len(images), work)
    return torch.cat(parts).numpy()


def why_no_gradient(classifier: Classifier, image: Tensor) -> str:
    """Why no gradient comes back to an image ``(1, 3, y, x)``; empty where one does."""
    if not classifier.differentiable:
        return f"{classifier.name!r} is a black box and gives no gradient"
    try:
        with torch.enable_grad():
            one = image.detach().clone().requires_grad_()
            torch.autograd.grad(classifier.logits(one).sum(), one)
    except (InputError, RuntimeError) as error:
        if is_full(error):
            raise
        return f"{classifier.name!r} gives no gradient: {first_line(error)}"
    return ""
