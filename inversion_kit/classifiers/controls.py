"""The control that has learned nothing: a copy of the classifier with shuffled weights."""

from __future__ import annotations

import torch

from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import InputError


@torch.no_grad()
def shuffled(classifier: Classifier, seed: int) -> Classifier:
    """The same architecture with the entries of each weight in another order.

    The shuffle keeps the size and spread of every weight and destroys what was learned (in the
    spirit of the randomisation tests of Adebayo et al. 2018); biases and norms stay. What a token
    finds under it is what the method finds where there is nothing to find. The copy offers no
    features; ``seed`` is of the order.

    Examples
    --------
    >>> from inversion_kit.classifiers.convert import as_classifier
    >>> shuffled(as_classifier("pocket:honest"), seed=0).name
    'pocket:honest, weights shuffled'
    """
    if not any(p.dim() > 1 for p in classifier.model.parameters()):
        raise InputError(
            f"arms: {classifier.name!r} has no weights to shuffle; leave out the arm 'shuffled'"
        )
    random = torch.Generator().manual_seed(seed)
    other = classifier.copied()
    other.name = f"{classifier.name}, weights shuffled"
    for parameter in other.model.parameters():
        if parameter.dim() > 1:
            order = torch.randperm(parameter.numel(), generator=random).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return other
