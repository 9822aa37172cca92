"""The control that has learned nothing: a copy of the classifier with shuffled weights."""

from __future__ import annotations

import torch
from torch import nn

from inversion_kit.classifiers.adapter_parts import first_line
from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import InputError


@torch.no_grad()
def shuffled(classifier: Classifier, seed: int) -> Classifier:
    """The same architecture with the entries of each weight in another order.

    The shuffle keeps the size and spread of every weight and destroys what was learned (in the
    spirit of the randomisation tests of Adebayo et al. 2018); biases and norms stay. What a token
    finds under it is what the method finds where there is nothing to find. The copy offers no
    features; ``seed`` is of the order.

    Raises
    ------
    InputError
        The classifier has no weights that can be shuffled, or a shuffle changes no answer.

    Examples
    --------
    >>> from inversion_kit.classifiers.convert import as_classifier
    >>> shuffled(as_classifier("pocket:honest"), seed=0).name
    'pocket:honest, weights shuffled'
    """
    leave = "leave out the arm 'shuffled'"
    other = classifier.copied()
    if not any(p.dim() > 1 for p in other.model.parameters()):
        raise InputError(f"arms: {classifier.name!r} has no weights to shuffle; {leave}")
    other.name = f"{classifier.name}, weights shuffled"
    try:
        _shuffle(other.model, torch.Generator().manual_seed(seed))
    except Exception as error:  # weights may be of a kind of their own
        raise InputError(
            f"arms: the weights of {classifier.name!r} cannot be shuffled "
            f"({type(error).__name__}: {first_line(error)}); {leave}"
        ) from error
    if classifier.differentiable and torch.equal(other.answers, classifier.answers):
        raise InputError(
            f"arms: {classifier.name!r} answers the same with its weights shuffled; {leave}"
        )
    return other


def _shuffle(model: nn.Module, random: torch.Generator) -> None:
    for parameter in model.parameters():
        if parameter.dim() > 1:
            order = torch.randperm(parameter.numel(), generator=random).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
