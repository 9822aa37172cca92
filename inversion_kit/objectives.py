"""Objectives: what a token is trained for, one loss per image from logits and target.

An objective is a plain function ``(logits, target) -> loss``: logits float ``(n, class)``, target
class indices int64 ``(n,)``, loss float ``(n,)``, lower is better. A function of your own serves
as well. Those that must see the images too (another classifier, a neuron) are made by `contrast`,
`feature` and `neuron`; `bind` turns any objective into the plain function for given images, and
checks what it gives. A training loop has one line for all of them::

    loss = bind(objective, images)(classifier.logits(images), target).mean()
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from inversion_kit.classifiers.adapter_parts import shape_of
from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import InputError, LabelError, NumericalError, nearest

Plain: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From logits ``(n, class)`` and target ``(n,)`` to one loss per image ``(n,)``."""


@dataclass(frozen=True)
class OfImages:
    """An objective that needs the images; `bind` makes a plain function of it.

    Parameters
    ----------
    of
        From images ``(n, 3, y, x)`` in [0, 1], logits and target to one loss per image.
    name
        What messages and results call it.
    others
        Classifiers that it asks, beside the one that is searched against.

    Examples
    --------
    >>> dark = OfImages(lambda images, logits, target: images.mean((1, 2, 3)), "dark")
    >>> bind(dark, torch.zeros(2, 3, 8, 8))(torch.zeros(2, 4), torch.tensor([0, 3]))
    tensor([0., 0.])
    """

    of: Callable[[Tensor, Tensor, Tensor], Tensor]
    name: str
    others: tuple[Classifier, ...] = ()

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """Refuse: there are no images here.

        Raises
        ------
        InputError
            Always; it says to use `bind`.
        """
        raise InputError(
            f"objective: {self.name} needs the images too; call "
            "objectives.bind(objective, images)(logits, target)"
        )


Objective: TypeAlias = Plain | OfImages


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Minus the log-probability of the target (Schwartz et al. 2023, equation 3): the default.

    Parameters
    ----------
    logits
        Float ``(n, class)``.
    target
        Class indices, int64 ``(n,)``.

    Returns
    -------
    Tensor
        Loss ``(n,)``, at least 0: nats.

    Raises
    ------
    InputError
        They are no logits, or there is not one target for each of them.

    Examples
    --------
    >>> cross_entropy(torch.zeros(2, 4), torch.tensor([0, 3]))
    tensor([1.3863, 1.3863])
    """
    _check(logits, target)
    return F.cross_entropy(logits, target, reduction="none")


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Minus the log of the target's own sigmoid: the default of a multi-label head.

    Parameters
    ----------
    logits
        Float ``(n, class)``.
    target
        Class indices, int64 ``(n,)``.

    Returns
    -------
    Tensor
        Loss ``(n,)``, at least 0: nats.

    Raises
    ------
    InputError
        They are no logits, or there is not one target for each of them.

    Examples
    --------
    >>> binary_cross_entropy(torch.zeros(1, 4), torch.tensor([2]))
    tensor([0.6931])
    """
    return -F.logsigmoid(_of_target(logits, target))


def margin(logits: Tensor, target: Tensor) -> Tensor:
    """The best other logit minus the target's; below 0 the target is on top.

    Parameters
    ----------
    logits
        Float ``(n, class)``.
    target
        Class indices, int64 ``(n,)``.

    Returns
    -------
    Tensor
        Loss ``(n,)``, of any sign.

    Raises
    ------
    InputError
        They are no logits, there is not one target for each of them, or there is only one class.

    Examples
    --------
    >>> margin(torch.tensor([[1.0, 5.0, 2.0]]), torch.tensor([1]))
    tensor([-3.])
    """
    _check(logits, target)
    if logits.shape[1] < 2:
        raise InputError("objective: margin needs at least two classes")
    own = F.one_hot(target, logits.shape[1]).bool()
    return logits.masked_fill(own, -torch.inf).amax(1) - _of_target(logits, target)


def activation(logits: Tensor, target: Tensor) -> Tensor:
    """Minus the target's logit, whatever the other classes say.

    Parameters
    ----------
    logits
        Float ``(n, class)``.
    target
        Class indices, int64 ``(n,)``.

    Returns
    -------
    Tensor
        Loss ``(n,)``, of any sign.

    Raises
    ------
    InputError
        They are no logits, or there is not one target for each of them.

    Examples
    --------
    >>> activation(torch.tensor([[1.0, 5.0]]), torch.tensor([1]))
    tensor([-5.])
    """
    return -_of_target(logits, target)


def default(classifier: Classifier) -> Plain:
    """The objective of a search that is told none.

    Parameters
    ----------
    classifier
        The classifier being trained against.

    Returns
    -------
    callable
        `cross_entropy`, or `binary_cross_entropy` for a multi-label head.

    Examples
    --------
    >>> from inversion_kit import as_classifier
    >>> default(as_classifier("pocket:honest")).__name__
    'cross_entropy'
    """
    return binary_cross_entropy if classifier.head == "sigmoid" else cross_entropy


def contrast(classifier: Classifier, other: Classifier, *, weight: float = 1.0) -> OfImages:
    """``classifier`` says the target and ``other`` does not.

    The default objective of the first, plus ``weight`` times minus the log of the probability
    that the second gives to anything else. Classes are matched by name.

    Parameters
    ----------
    classifier
        The classifier being trained against, whose logits and targets the objective gets.
    other
        The one that shall not agree; its label names may be in another order.
    weight
        Of the second part, at least 0.

    Returns
    -------
    OfImages
        Its loss is at least 0. Where the second classifier lacks the target's label, it raises
        `LabelError`.

    Raises
    ------
    InputError
        ``weight`` is below 0.

    Examples
    --------
    >>> from inversion_kit import as_classifier
    >>> a, b = as_classifier("pocket:honest"), as_classifier("pocket:shortcut")
    >>> images = torch.rand(2, 3, 32, 32)
    >>> bind(contrast(a, b), images)(a.logits(images), torch.tensor([14, 14])).shape
    torch.Size([2])
    """
    if not weight >= 0:
        raise InputError(f"weight={weight!r}: expected a number of at least 0")
    there = {label: i for i, label in enumerate(other.labels)}
    places = [there.get(label, -1) for label in classifier.labels]
    first = default(classifier)

    def of(images: Tensor, logits: Tensor, target: Tensor) -> Tensor:
        where = target.new_tensor(places)[target]
        if bool((where < 0).any()):
            label = classifier.labels[int(target[where < 0][0])]
            raise LabelError(
                f"other: {other.name!r} has no label {label!r}; "
                f"nearest: {nearest(label, other.labels)}"
            )
        theirs = other.logits(images).to(logits.device)
        if other.head == "sigmoid":
            agrees = -F.logsigmoid(-_of_target(theirs, where))
        else:
            own = F.one_hot(where, theirs.shape[1]).bool()
            rest = theirs.masked_fill(own, -torch.inf).logsumexp(1)
            agrees = theirs.logsumexp(1) - rest
        return first(logits, target) + weight * agrees

    weighed = "" if weight == 1 else f", weight={weight:g}"
    return OfImages(of, f"contrast({classifier.name!r}, {other.name!r}{weighed})", (other,))


def feature(classifier: Classifier, unit: int) -> OfImages:
    """Minus one number of the classifier's embedding, whatever the target is.

    Parameters
    ----------
    classifier
        Whose `Classifier.features` are read.
    unit
        Index into the embedding, from 0.

    Returns
    -------
    OfImages
        Its loss is of any sign.

    Raises
    ------
    InputError
        The classifier offers no features; on the first use, there is no such unit.

    Examples
    --------
    >>> from inversion_kit import as_classifier
    >>> honest = as_classifier("pocket:honest")
    >>> images = torch.rand(2, 3, 32, 32)
    >>> bind(feature(honest, 3), images)(honest.logits(images), torch.tensor([0, 0])).shape
    torch.Size([2])
    """
    if not classifier.has_features:
        raise InputError(
            f"objective: classifier {classifier.name!r} offers no features; name a layer: "
            "objectives.neuron(classifier, 'layer4', unit)"
        )

    def of(images: Tensor, logits: Tensor, target: Tensor) -> Tensor:
        seen = classifier.features(images)
        assert seen is not None
        return -_unit_of(seen, unit, "the features")

    return OfImages(of, f"feature({unit})", (classifier,))


def neuron(classifier: Classifier, layer: str, unit: int) -> OfImages:
    """Minus the mean activation of one channel of a layer, whatever the target is.

    Parameters
    ----------
    classifier
        The network's owner.
    layer
        Name of a module in ``classifier.model.named_modules()``. Its output is
        ``(n, channel, ...)``.
    unit
        Index of the channel, from 0.

    Returns
    -------
    OfImages
        Its loss is of any sign.

    Raises
    ------
    InputError
        There is no such layer; on the first use, there is no such channel.

    Examples
    --------
    >>> from inversion_kit import as_classifier
    >>> honest = as_classifier("pocket:honest")
    >>> images = torch.rand(2, 3, 32, 32)
    >>> bind(neuron(honest, "layer4", 7), images)(honest.logits(images), torch.tensor([0, 0])).shape
    torch.Size([2])
    """
    modules = dict(classifier.model.named_modules())
    if layer not in modules or not layer:
        raise InputError(f"layer={layer!r}: no such layer; nearest: {nearest(layer, modules)}")

    def of(images: Tensor, logits: Tensor, target: Tensor) -> Tensor:
        seen: list[Tensor] = []
        hook = modules[layer].register_forward_hook(lambda _m, _given, out: seen.append(out))
        try:
            classifier.logits(images)
        finally:
            hook.remove()
        if not seen or not isinstance(seen[-1], Tensor) or len(seen[-1]) != len(images):
            raise InputError(f"layer={layer!r}: it gives no tensor with one row per image")
        return -_unit_of(seen[-1], unit, f"layer {layer!r}")

    return OfImages(of, f"neuron({layer!r}, {unit})", (classifier,))


def weighted(*parts: tuple[float, Objective]) -> Objective:
    """The weighted sum of objectives, itself one.

    Parameters
    ----------
    *parts
        Pairs of a weight and an objective, of any kind.

    Returns
    -------
    callable or OfImages
        A plain function where every part is one; its name says weights and parts.

    Raises
    ------
    InputError
        There are no parts, or one is no such pair.

    Examples
    --------
    >>> both = weighted((1.0, cross_entropy), (0.1, margin))
    >>> both(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))
    tensor([0.6931])
    """
    if not parts:
        raise InputError("parts: give at least one (weight, objective)")
    for part in parts:
        if not (isinstance(part, tuple) and len(part) == 2 and callable(part[1])):
            raise InputError(f"parts: {part!r} is no (weight, objective)")

    def plain(logits: Tensor, target: Tensor) -> Tensor:
        return torch.stack([weight * part(logits, target) for weight, part in parts]).sum(0)

    def of(images: Tensor, logits: Tensor, target: Tensor) -> Tensor:
        losses = [weight * bind(part, images)(logits, target) for weight, part in parts]
        return torch.stack(losses).sum(0)

    name = " + ".join(f"{weight:g} * {describe(part)}" for weight, part in parts)
    seeing = [part for _, part in parts if isinstance(part, OfImages)]
    if seeing:
        return OfImages(of, name, tuple(other for part in seeing for other in part.others))
    plain.__name__ = plain.__qualname__ = name
    return plain


def describe(objective: Objective) -> str:
    """What results call an objective.

    Parameters
    ----------
    objective
        One of this module's, or a function of your own.

    Returns
    -------
    str
        Its name, or that of its class where it has none.

    Examples
    --------
    >>> describe(weighted((1.0, cross_entropy), (0.1, margin)))
    '1 * cross_entropy + 0.1 * margin'
    """
    if isinstance(objective, OfImages):
        return objective.name
    return str(getattr(objective, "__name__", type(objective).__name__))


def bind(objective: Objective, images: Tensor) -> Plain:
    """The plain function ``(logits, target) -> (n,)`` of any objective, for these images.

    Parameters
    ----------
    objective
        One of this module's, or a function of your own.
    images
        The images ``(n, 3, y, x)`` that the logits are of.

    Returns
    -------
    callable
        From logits ``(n, class)`` and target ``(n,)`` to the losses ``(n,)``, checked.

    Raises
    ------
    InputError
        The objective is no function; on the first use, it gives something else than one loss per
        image, or a loss without a gradient where the logits have one.
    NumericalError
        On the first use: a loss is not finite.

    Examples
    --------
    >>> bind(margin, torch.rand(1, 3, 8, 8))(torch.tensor([[1.0, 5.0]]), torch.tensor([1]))
    tensor([-4.])
    """
    if not callable(objective):
        raise InputError(
            f"objective={objective!r}: expected a function (logits, target) -> (n,), for example "
            "objectives.cross_entropy or objectives.margin"
        )

    def checked(logits: Tensor, target: Tensor) -> Tensor:
        if isinstance(objective, OfImages):
            loss = objective.of(images, logits, target)
        else:
            loss = objective(logits, target)
        if not isinstance(loss, Tensor) or loss.shape != (len(logits),):
            raise InputError(
                f"objective: gave {shape_of(loss)} for {len(logits)} images; expected one loss per "
                f"image, ({len(logits)},): leave out the mean over the batch"
            )
        if not torch.isfinite(loss).all():
            raise NumericalError("objective: gave a loss that is not finite")
        if logits.requires_grad and torch.is_grad_enabled() and not loss.requires_grad:
            raise InputError("objective: its loss carries no gradient; work on the logits in torch")
        return loss

    return checked


def _check(logits: Tensor, target: Tensor) -> None:
    """Refuse images in the place of logits, and targets of other images."""
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise InputError(
            f"logits: {shape_of(logits)}; expected (n, class), what classifier.logits(images) gives"
        )
    if not isinstance(target, Tensor) or target.shape != logits.shape[:1]:
        raise InputError(
            f"target: {shape_of(target)}; expected a class index for each of {len(logits)} images"
        )


def _of_target(logits: Tensor, target: Tensor) -> Tensor:
    _check(logits, target)
    return logits.gather(1, target[:, None])[:, 0]


def _unit_of(seen: Tensor, unit: int, where: str) -> Tensor:
    if isinstance(unit, bool) or not isinstance(unit, int) or not 0 <= unit < seen.shape[1]:
        raise InputError(f"unit={unit!r}: {where} has channels 0 to {seen.shape[1] - 1}")
    return seen[:, unit].flatten(1).mean(1) if seen.ndim > 2 else seen[:, unit]
