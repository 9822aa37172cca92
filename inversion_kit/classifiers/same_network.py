"""Whether two classifiers are one network: by their weights, or by what they answer."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.ensemble import Ensemble
from inversion_kit.errors import InputError, NumericalError
from inversion_kit.hashing import hash_weights

_APART = 0.05
"""So far apart, as a share of how they vary from image to image, the answers of one network in
another precision may be; those of two networks are as far apart as they vary."""


def same_network(one: Classifier, other: Classifier) -> str | None:
    """Why two classifiers cannot be held against each other; None where they are two networks.

    Members of ensembles are compared each.

    Examples
    --------
    >>> from torch import nn
    >>> from inversion_kit import Preprocess, as_classifier
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    >>> look = Preprocess(size=(4, 4))
    >>> audited, judge = (as_classifier(m, preprocess=look) for m in (net, nn.Sequential(net)))
    >>> same_network(audited, judge)
    'has the same weights as'
    """
    if one.hash == other.hash:
        return "has the same weights as"
    for first in networks_of(one):
        for second in networks_of(other):
            mine, theirs = hash_weights(first.model), hash_weights(second.model)
            if mine and mine == theirs:
                return "has the same weights as"
            if mine and mine < theirs:
                return "holds the network of"
            if theirs and theirs < mine:
                return "lies in the network of"
            if _same_answers(first, second):
                return "gives the same answers as"
    return None


def networks_of(classifier: Classifier) -> Iterator[Classifier]:
    """The classifier, or the members of an ensemble, of ensembles in it too."""
    if not isinstance(classifier, Ensemble):
        yield classifier
        return
    for member in classifier.members:
        yield from networks_of(member)


def _same_answers(one: Classifier, other: Classifier) -> bool:
    """Whether two classifiers vary alike over the images that both are asked about.

    Answers that say the top class alone, or the same of every image, tell no networks apart; nor do
    models that do not take these images, but take others.
    """
    try:
        first, second = (_logs(classifier) for classifier in (one, other))
    except (InputError, NumericalError):
        return False
    if any(len(answers.unique()) <= 2 for answers in (first, second)):
        return False
    vary = (first - first.mean(0)).square().mean().sqrt()
    apart = (first - second).square().mean().sqrt()
    return bool(apart < _APART * vary)


def _logs(classifier: Classifier) -> Tensor:
    """Logarithms of the probabilities of the fixed images, ``(n, class)``."""
    answers = classifier.answers.double()
    if classifier.head == "sigmoid":
        return torch.nn.functional.logsigmoid(answers)
    return answers.log_softmax(1)
