"""The usual alternatives, tried on labelled images: which one the model was made for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.diagnosis import Trial
from inversion_kit.classifiers.preprocess import Preprocess

Prepare = Callable[[Tensor], Tensor]
_Three = tuple[float, float, float]
FAMILIES = ("value range", "normalisation", "size", "channels", "label order")
_NORMS: dict[str, tuple[_Three, _Three]] = {
    "no normalisation: values in [0, 1]": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "values from 0 to 255": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
    "values in [-1, 1]": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "ImageNet's normalisation": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "CLIP's normalisation": (
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    ),
}
_ANOTHER_RANGE = 10.0
"""So many times wider or narrower, a normalisation is a matter of the range."""
_SURE = 0.05
"""Level of the sign test, over all alternatives together."""


def trials_of(
    classifier: Classifier, images: Sequence[Tensor], truth: Tensor
) -> tuple[list[tuple[str, str, str, str]], list[Trial], float]:
    """Accuracy with each of the usual alternatives that could be clearly better.

    Where the classifier is better than chance, an alternative must win images that are wrong now:
    it is asked for those first, and for the others only if it wins enough of them.

    Parameters
    ----------
    images
        Float ``(3, y, x)`` in [0, 1] each.
    truth
        Class index ``(n,)``; one past the last is allowed and right only for a shifted order.

    Returns
    -------
    found
        Name, status, what was seen and what to type, a check.
    trials
        The alternatives that were asked for all images, best first.
    accuracy
        As it is.
    """
    top = _top(classifier, images, classifier.preprocess)
    assert top is not None
    right = top == truth
    guess = 1 / len(classifier.labels)
    looks, orders = _other_looks(classifier), _other_orders(classifier)
    count = len(looks) + len(orders)
    tried: list[tuple[Trial, Tensor]] = []
    families = {family for family, *_ in looks} | {"label order"}
    for family, change, do, prepare in looks:
        hit = _hits(classifier, images, truth, prepare, right, count)
        if hit is not None:
            tried.append((Trial(family, change, _share(hit), do), hit))
    for change, do, place in orders:
        hit = place[top] == truth
        tried.append((Trial("label order", change, _share(hit), do), hit))
    tried.sort(key=lambda pair: -pair[0].accuracy)
    hit = tried[0][1]
    wins, losses = int((hit & ~right).sum()), int((right & ~hit).sum())
    chance = stats.binomtest(wins, wins + losses, alternative="greater").pvalue if wins else 1.0
    real = _above(hit, guess) * count < _SURE
    status = "ok"
    if real and chance * count < _SURE:
        status = "fail"
    elif real and _above(right, guess) > _SURE:
        status = "warn"
    return (
        _verdicts(classifier, families, tried, right, status),
        [trial for trial, _ in tried],
        _share(right),
    )


def _hits(
    classifier: Classifier, images: Sequence[Tensor], truth: Tensor, prepare: Prepare,
    right: Tensor, count: int,
) -> Tensor | None:  # fmt: skip
    """Where another preprocessing is right.

    None where the model cannot take it, or where it cannot be clearly better, being one of
    ``count``.
    """

    def hits(where: Tensor) -> Tensor | None:
        top = _top(classifier, [images[i] for i in where.nonzero().flatten().tolist()], prepare)
        return None if top is None else top == truth[where]

    def hopeless(wins: int) -> bool:
        return 0.5**wins * count >= _SURE  # the sign test, if it loses nothing

    if _above(right, 1 / len(classifier.labels)) > _SURE:
        return hits(torch.ones_like(right))
    if hopeless(int((~right).sum())):
        return None
    won = hits(~right)
    if won is None or hopeless(int(won.sum())):
        return None
    kept = hits(right)
    assert kept is not None
    hit = torch.empty_like(right)
    hit[~right], hit[right] = won, kept
    return hit


def _verdicts(
    classifier: Classifier, families: set[str], tried: Sequence[tuple[Trial, Tensor]],
    right: Tensor, status: str,
) -> list[tuple[str, str, str, str]]:  # fmt: skip
    """``status`` is that of the best alternative: whether it is what the model was made for."""
    now, found = _share(right), []
    best = None if status == "ok" else tried[0][0]
    for family in FAMILIES:
        of_family = [trial for trial, _ in tried if trial.check == family]
        if not of_family and family in families:
            seen = f"{now:.1%} right as it is; no alternative could be clearly better"
            found.append((family, "ok", seen, ""))
            continue
        if not of_family:
            spec = isinstance(classifier.preprocess, Preprocess)
            why = "no other to try" if spec else "the preprocessing is a function of its own"
            found.append((family, "skip", why, ""))
            continue
        other = of_family[0]
        seen = f"{now:.1%} right as it is, {other.accuracy:.1%} with {other.change}"
        bad = best is not None and best.check == family
        found.append((family, status if bad else "ok", seen, other.type_this if bad else ""))
    seen = f"{int(right.sum())} of {len(right)} right"
    if best is not None:
        seen += f"; {best.accuracy:.1%} with {best.change}"
        more = " (give more labelled images to be sure)" if status == "warn" else ""
        found.append(("accuracy", status, seen, best.type_this + more))
    elif len(right) >= 8 and (_above(right, 1 / len(classifier.labels)) > _SURE or now <= 0.1):
        found.append(_of_chance(right, len(classifier.labels)))
    elif len(right) >= 3 and not right.any():
        do = "check weights, labels and preprocessing, or give more labelled images"
        found.append(("accuracy", "warn", seen, do))
    else:
        found.append(("accuracy", "ok", seen, ""))
    return found


def _of_chance(right: Tensor, classes: int) -> tuple[str, str, str, str]:
    """The accuracy of a model that guessing, or little more, explains."""
    seen = f"{int(right.sum())} of {len(right)} right"
    do = "check weights and labels; none of the usual alternatives is clearly better"
    half = (1 + 1 / classes) / 2
    fewer = stats.binomtest(int(right.sum()), len(right), half, alternative="less").pvalue
    if fewer < _SURE:
        return "accuracy", "fail", f"{seen}: hardly more than chance", do
    do += " (give more labelled images to be sure)"
    return "accuracy", "warn", f"{seen}: it may be chance", do


def _above(hit: Tensor, guess: float) -> float:
    """How probable so many hits or more are by guessing."""
    return float(stats.binomtest(int(hit.sum()), len(hit), guess, alternative="greater").pvalue)


def _share(hit: Tensor) -> float:
    return float(hit.double().mean())


@torch.no_grad()
def _top(classifier: Classifier, images: Sequence[Tensor], prepare: Prepare) -> Tensor | None:
    """Top class of each image; None where the model cannot take what is prepared so."""
    other = copy.copy(classifier)
    other.preprocess = prepare
    top = torch.zeros(len(images), dtype=torch.long)
    shapes = {image.shape for image in images}
    for shape in sorted(shapes, key=tuple):
        where = [i for i, image in enumerate(images) if image.shape == shape]
        for some in (where[i : i + 16] for i in range(0, len(where), 16)):
            try:
                out = other.raw(torch.stack([images[i] for i in some]))
            except (RuntimeError, ValueError, AssertionError):  # another size than the model takes
                return None
            if classifier.head == "binary":
                top[some] = (out.reshape(-1) > 0).long().cpu()
            else:
                top[some] = out.argmax(1).cpu()
    return top


def _other_looks(classifier: Classifier) -> list[tuple[str, str, str, Prepare]]:
    """Family, change, what to type and the changed preprocessing."""
    look = classifier.preprocess
    if not isinstance(look, Preprocess):
        return [
            ("channels", "red and blue turned round", "preprocess(images.flip(1))",
             lambda images: look(images.flip(1))),
            ("value range", "values 255 times larger", "preprocess(images) * 255",
             lambda images: look(images) * 255),
            ("value range", "values 255 times smaller", "preprocess(images) / 255",
             lambda images: look(images) / 255),
        ]  # fmt: skip
    found: list[tuple[str, str, str, Prepare]] = []
    norms: dict[str, tuple[_Three, _Three]] = {}
    if max(look.mean) > 1.5 or max(look.std) > 2:
        small = [_three([v / 255 for v in values]) for values in (look.mean, look.std)]
        norms["mean and std divided by 255"] = small[0], small[1]
    config = getattr(classifier.model, "pretrained_cfg", None) or {}
    if {"mean", "std"} <= set(config):
        norms["the model's own normalisation"] = (_three(config["mean"]), _three(config["std"]))
    norms |= _NORMS
    for change, (mean, std) in norms.items():
        if np.allclose((mean, std), (look.mean, look.std), rtol=1e-2, atol=1e-4):
            continue
        ratio = np.mean(look.std) / np.mean(std)
        wide = max(ratio, 1 / ratio) > _ANOTHER_RANGE
        family = "value range" if wide else "normalisation"
        short = [tuple(round(v, 4) for v in values) for values in (mean, std)]
        do = f"Preprocess(..., mean={short[0]}, std={short[1]})"
        found.append((family, change, do, replace(look, mean=mean, std=std)))
    turned = "rgb" if look.channels == "bgr" else "bgr"
    do = f"Preprocess(..., channels={turned!r})"
    found.append(("channels", f"channels {turned}", do, replace(look, channels=turned)))
    for size in _other_sizes(look, config):
        part = look if look.resize is None else replace(look, resize=None, crop_pct=1.0)
        do = f"Preprocess(size={size}, ...)"
        found.append(("size", f"size {size[0]} x {size[1]}", do, replace(part, size=size)))
    return found


def _three(values: Sequence[float]) -> _Three:
    red, green, blue = values
    return red, green, blue


def _other_sizes(look: Preprocess, config: dict[str, object]) -> list[tuple[int, int]]:
    if look.size is None:
        return []
    height, width = look.size
    sizes = [(height * 2, width * 2), (max(height // 2, 8), max(width // 2, 8))]
    own = config.get("input_size")
    if isinstance(own, (tuple, list)):
        sizes.append((own[1], own[2]))
    return [s for s in dict.fromkeys(sizes) if s != look.size]


def _other_orders(classifier: Classifier) -> list[tuple[str, str, Tensor]]:
    """Change, what to type, and for each output the class that it would stand for."""
    count = len(classifier.labels)
    outputs = torch.arange(count)
    turned = (
        "the two names the other way round",
        "as_classifier(model, labels=[labels[1], labels[0]])  # or 1 - labels, if they are indices",
        torch.tensor([1, 0]),
    )
    found = [
        (
            "names one place later",
            "as_classifier(model, labels=['background', *labels[:-1]]), or labels - 1",
            outputs - 1,
        ),
        (
            "names one place earlier",
            "as_classifier(model, labels=[*labels[1:], 'other']), or labels + 1",
            outputs + 1,
        ),
        (
            "outputs in the alphabetical order of the names",
            "as_classifier(model, labels=sorted(labels))",
            torch.tensor(sorted(range(count), key=lambda i: classifier.labels[i])),
        ),
        (
            "outputs in the order of the numbers as text (0, 1, 10, 11, ..., 2)",
            "as_classifier(model, labels=[labels[i] for i in sorted(range(len(labels)), key=str)])",
            torch.tensor(sorted(range(count), key=str)),
        ),
    ]
    if count == 2:  # there is one other order of two
        found[2:] = [turned]
    return [one for one in found if not torch.equal(one[2], outputs)]
