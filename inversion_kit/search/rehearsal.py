"""The rehearsal: all that a run asks of a classifier, done once in small before any work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from inversion_kit import objectives
from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import InputError, NumericalError
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.generators.rehearsal import blaming
from inversion_kit.settings import Settings

REHEARSED = 3
"""Images that a classifier scores in a rehearsal: one alone and two at once."""
_ONE = "look at its forward and as_classifier(model, preprocess=...); it gets RGB (n, 3, y, x)"
_SEVERAL = (
    "one image alone it scores; let it take any number, or give "
    "as_classifier(lambda x: torch.cat([model(one) for one in x.split(1)]), ...)"
)
_FEATURES = (
    "where a model has forward_features and forward_head, forward_head(x, pre_logits=True) must "
    "give (n, feature) as timm's does; as_classifier(lambda x: model(x), ...) offers no features"
)


def rehearse(
    classifier: Classifier,
    like: Tensor,
    *,
    settings: Settings,
    target: int,
    panel: Sequence[Classifier] = (),
    searched: bool = True,
) -> None:
    """Let a classifier and its judges do once what a run will ask of them.

    Scores of one image and of two, features, the objective, and its gradient where the method
    takes one.

    Parameters
    ----------
    like
        Images ``(2, 3, y, x)`` of the generator: those of the rehearsal are as large, on the same
        device, of the same dtype and laid out alike in memory.
    target
        Class index.
    panel
        Judges and views.
    searched
        Whether a token is trained against the classifier.

    Raises
    ------
    InputError
        Scores, features, objective or gradient are not what they must be; the message says whose.
    NumericalError
        They are not finite.

    Examples
    --------
    >>> from inversion_kit import as_classifier
    >>> rehearse(
    ...     as_classifier("pocket:honest"), torch.zeros(2, 3, 32, 32),
    ...     settings=Settings(), target=14, panel=[as_classifier("pocket:judge")],
    ... )
    """
    images = _pictures(like)
    logits = _score(classifier, images, f"classifier {classifier.name!r}")
    if searched:
        with torch.no_grad():
            _loss(classifier, images, logits, settings, target)
        if settings.method == "gradient":
            _differentiate(classifier, images, settings, target)
    if classifier.has_features:
        _embed(classifier, images)
    for judge in panel:
        who = f"judges: {judge.name!r}"
        try:
            _score(judge, images, who)
        except InputError as error:
            if str(error).startswith(who):
                raise
            raise InputError(f"{who}: {error}") from error


def _pictures(like: Tensor) -> Tensor:
    """A soft picture and one of noise, in [0, 1]."""
    random = torch.Generator().manual_seed(0)
    soft = F.interpolate(torch.rand(1, 3, 5, 5, generator=random), like.shape[2:], mode="bicubic")
    noise = torch.rand(1, 3, *like.shape[2:], generator=random)
    return torch.empty_like(like).copy_(torch.cat([soft.clamp(0, 1), noise]))


@torch.no_grad()
def _score(classifier: Classifier, images: Tensor, who: str) -> Tensor:
    """Logits of the images; one image is scored alone before."""
    scored: list[Tensor] = []
    for part, do in ((images[:1], _ONE), (images, _SEVERAL)):
        with blaming(f"{who}: it could not score {_of(part)}", do):
            scored.append(_in_parts(classifier, part, "scores", classifier.logits))
            classifier.probability(scored[-1])
    return scored[-1]


def _of(images: Tensor) -> str:
    """What images they are."""
    count, height, width = len(images), *images.shape[2:]
    return f"{count} image{'s' * (count > 1)} of {height} x {width} pixels"


def _in_parts(
    classifier: Classifier, images: Tensor, doing: str, work: Callable[[Tensor], Tensor]
) -> Tensor:
    """All images at once, or one by one where memory runs out."""
    fitting = MicroBatch(len(images), of=classifier, doing=doing)
    return torch.cat(fitting.parts(len(images), lambda part: work(images[part])))


def _loss(
    classifier: Classifier, images: Tensor, logits: Tensor, settings: Settings, target: int
) -> Tensor:
    """The objective's loss of each image."""
    objective = settings.objective or objectives.default(classifier)
    wanted = torch.full((len(logits),), target, device=logits.device)
    who = f"objective {objectives.describe(objective)!r}: it gives no loss"
    with blaming(who, "it gets logits (n, class) and targets (n,), and gives losses (n,)"):
        return objectives.bind(objective, images)(logits, wanted)


def _differentiate(classifier: Classifier, images: Tensor, settings: Settings, target: int) -> None:
    """The gradient of the scores, and that of the objective, with respect to the images."""
    random = torch.Generator().manual_seed(0)
    who = f"classifier {classifier.name!r}: it gives no gradient"
    do = 'mend its forward or its preprocess, or use method="cma", a search without a gradient'

    def differentiate(part: Tensor) -> Tensor:
        leaf = part.clone().requires_grad_()
        with blaming(who, do):
            logits = classifier.logits(leaf)
            weight = torch.randn(logits.shape, generator=random).to(logits)
            (slope,) = torch.autograd.grad((logits * weight).sum(), leaf, retain_graph=True)
        loss = _loss(classifier, leaf, logits, settings, target)
        with blaming("objective: its loss gives no gradient", "work on the logits in torch"):
            torch.autograd.grad(loss.sum(), leaf)
        return slope

    with torch.enable_grad():
        slope = _in_parts(classifier, images, "updates", differentiate)
    if not torch.isfinite(slope).all():
        raise NumericalError(f"classifier {classifier.name!r}: its gradient is not finite")
    if not slope.any():
        raise InputError(
            f"classifier {classifier.name!r}: its gradient is exactly zero; take round, argmax or "
            'sign out of the model and its preprocessing, or use method="cma"'
        )


@torch.no_grad()
def _embed(classifier: Classifier, images: Tensor) -> None:
    """The features of one image and of two."""

    def features(part: Tensor) -> Tensor:
        seen = classifier.features(part)
        assert seen is not None
        return seen.flatten(1)

    for part in (images[:1], images):
        with blaming(f"classifier {classifier.name!r}: no features of {_of(part)}", _FEATURES):
            seen = _in_parts(classifier, part, "features", features)
        if not torch.isfinite(seen).all():
            raise NumericalError(f"classifier {classifier.name!r}: features are not finite")
