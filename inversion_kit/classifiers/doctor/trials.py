"""The usual alternatives, tried on labelled images: which one the model was made for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.doctor.diagnosis import Check, Trial
from inversion_kit.classifiers.preprocess import Preprocess

Prepare = Callable[[Tensor], Tensor]
_Norm = tuple[Any, Any]
FAMILIES = ("value range", "normalisation", "size", "channels", "label order")
"""Checks that alternatives belong to, in the order of the diagnosis."""
_NORMS: dict[str, _Norm] = {
    "no normalisation: values in [0, 1]": ((0.0,) * 3, (1.0,) * 3),
    "values from 0 to 255": ((0.0,) * 3, (1 / 255,) * 3),
    "values in [-1, 1]": ((0.5,) * 3, (0.5,) * 3),
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
_MORE = " (give more labelled images to be sure)"


def trials_of(
    classifier: Classifier, images: Sequence[Tensor], truth: Tensor
) -> tuple[list[Check], list[Trial], float]:
    """Accuracy with each of the usual alternatives that could be clearly better.

    Where the classifier is better than chance, an alternative must win images that are wrong now:
    it is asked for those first, and for the others only if it wins enough of them. A class index
    of ``truth`` may be one past the last, which is right only for a shifted order. The result is
    one check of each of `FAMILIES` and that of the accuracy, the alternatives that were asked for
    all images, best first, and the accuracy as it is.
    """
    top = _top(classifier, images, classifier.preprocess)
    assert top is not None
    right, guess = top == truth, 1 / len(classifier.labels)
    changes, orders = _other_ways(classifier), _other_orders(classifier)
    count = len(changes) + len(orders)
    by_chance = _above(right, guess) > _SURE

    def hopeless(wins: int) -> bool:
        return not by_chance and 0.5**wins * count >= _SURE  # the sign test, if it loses nothing

    def hits(prepare: Prepare) -> Tensor | None:
        if hopeless(int((~right).sum())):
            return None
        hit = torch.zeros_like(right)
        for where in [torch.ones_like(right)] if by_chance else [~right, right]:
            asked = [images[i] for i in where.nonzero().flatten().tolist()]
            if (seen := _top(classifier, asked, prepare)) is None:
                return None
            hit[where] = seen == truth[where]
            if hopeless(int((hit & ~right).sum())):
                return None
        return hit

    tried: list[tuple[Trial, Tensor]] = []
    for family, change, do, prepare in changes:
        if (hit := hits(prepare)) is not None:
            tried.append((Trial(family, change, _share(hit), do), hit))
    for change, do, place in orders:
        hit = place[top] == truth
        tried.append((Trial("label order", change, _share(hit), do), hit))
    tried.sort(key=lambda pair: -pair[0].accuracy)
    trials = [trial for trial, _ in tried]
    status = _status(tried[0][1], right, guess, count)
    best = None if status == "ok" else trials[0]
    now = f"{_share(right):.1%} right as it is"
    checks = []
    for family in FAMILIES:
        other = next((trial for trial in trials if trial.check == family), None)
        if other is not None:
            seen = f"{now}, {other.accuracy:.1%} with {other.change}"
            mends = (status, seen, other.type_this) if other is best else ("ok", seen)
            checks.append(Check(family, *mends))
        elif any(family == one for one, *_ in changes):
            checks.append(Check(family, "ok", f"{now}; no alternative could be clearly better"))
        else:
            settings = isinstance(classifier.preprocess, Preprocess)
            why = "no other to try" if settings else "the preprocessing is a function of its own"
            checks.append(Check(family, "skip", why))
    checks.append(_of_accuracy(right, guess, best, status))
    return checks, trials, _share(right)


def _status(hit: Tensor, right: Tensor, guess: float, count: int) -> str:
    """Whether the best alternative is what the model was made for: by a sign test, or perhaps."""
    wins, losses = int((hit & ~right).sum()), int((right & ~hit).sum())
    chance = stats.binomtest(wins, wins + losses, alternative="greater").pvalue if wins else 1.0
    if _above(hit, guess) * count >= _SURE:
        return "ok"
    if chance * count < _SURE:
        return "fail"
    return "warn" if _above(right, guess) > _SURE else "ok"


def _of_accuracy(right: Tensor, guess: float, best: Trial | None, status: str) -> Check:
    """The accuracy, with the best alternative where there is one, against that of guessing."""
    seen = f"{int(right.sum())} of {len(right)} right"
    if best is not None:
        do = best.type_this + (_MORE if status == "warn" else "")
        return Check("accuracy", status, f"{seen}; {best.accuracy:.1%} with {best.change}", do)
    if len(right) >= 8 and (_above(right, guess) > _SURE or _share(right) <= 0.1):
        do = "check weights and labels; none of the usual alternatives is clearly better"
        half = (1 + guess) / 2
        fewer = stats.binomtest(int(right.sum()), len(right), half, alternative="less").pvalue
        if fewer < _SURE:
            return Check("accuracy", "fail", f"{seen}: hardly more than chance", do)
        return Check("accuracy", "warn", f"{seen}: it may be chance", do + _MORE)
    if len(right) >= 3 and not right.any():
        do = "check weights, labels and preprocessing, or give more labelled images"
        return Check("accuracy", "warn", seen, do)
    return Check("accuracy", "ok", seen)


def _above(hit: Tensor, guess: float) -> float:
    """Probability of so many hits or more by guessing."""
    return float(stats.binomtest(int(hit.sum()), len(hit), guess, alternative="greater").pvalue)


def _share(hit: Tensor) -> float:
    return float(hit.double().mean())


@torch.no_grad()
def _top(classifier: Classifier, images: Sequence[Tensor], prepare: Prepare) -> Tensor | None:
    """Top class of each image; None where the model cannot take what is prepared so."""
    other = copy.copy(classifier)
    other.preprocess = prepare
    top = torch.zeros(len(images), dtype=torch.long)
    for shape in sorted({image.shape for image in images}, key=tuple):
        where = [i for i, image in enumerate(images) if image.shape == shape]
        for some in (where[i : i + 16] for i in range(0, len(where), 16)):
            try:
                out = other.raw(torch.stack([images[i] for i in some]))
            except (RuntimeError, ValueError, AssertionError):  # another size than the model takes
                return None
            one = classifier.head == "binary"
            top[some] = (out.reshape(-1) > 0).long().cpu() if one else out.argmax(1).cpu()
    return top


def _other_ways(classifier: Classifier) -> list[tuple[str, str, str, Prepare]]:
    """Family, change, what to type and the changed preprocessing."""
    own = classifier.preprocess
    if not isinstance(own, Preprocess):
        turned = "preprocess(images.flip(1))"
        larger, smaller = "preprocess(images) * 255", "preprocess(images) / 255"
        return [
            ("channels", "red and blue turned round", turned, lambda x: own(x.flip(1))),
            ("value range", "values 255 times larger", larger, lambda x: own(x) * 255),
            ("value range", "values 255 times smaller", smaller, lambda x: own(x) / 255),
        ]
    ways: list[tuple[str, str, str, Prepare]] = []
    norms: dict[str, _Norm] = {}
    if max(own.mean) > 1.5 or max(own.std) > 2:
        small = tuple(m / 255 for m in own.mean), tuple(s / 255 for s in own.std)
        norms["mean and std divided by 255"] = small
    config = getattr(classifier.model, "pretrained_cfg", None) or {}
    if {"mean", "std"} <= set(config):
        norms["the model's own normalisation"] = (tuple(config["mean"]), tuple(config["std"]))
    norms |= _NORMS
    for change, (mean, std) in norms.items():
        if np.allclose((mean, std), (own.mean, own.std), rtol=1e-2, atol=1e-4):
            continue
        ratio = np.mean(own.std) / np.mean(std)
        wide = max(ratio, 1 / ratio) > _ANOTHER_RANGE
        short = [tuple(round(v, 4) for v in values) for values in (mean, std)]
        do = f"Preprocess(..., mean={short[0]}, std={short[1]})"
        family = "value range" if wide else "normalisation"
        ways.append((family, change, do, replace(own, mean=mean, std=std)))
    turned = "rgb" if own.channels == "bgr" else "bgr"
    do = f"Preprocess(..., channels={turned!r})"
    ways.append(("channels", f"channels {turned}", do, replace(own, channels=turned)))
    for size in _other_sizes(own, config):
        part = own if own.resize is None else replace(own, resize=None, crop_pct=1.0)
        do = f"Preprocess(size={size}, ...)"
        ways.append(("size", f"size {size[0]} x {size[1]}", do, replace(part, size=size)))
    return ways


def _other_sizes(own: Preprocess, config: dict[str, object]) -> list[tuple[int, int]]:
    if own.size is None:
        return []
    height, width = own.size
    sizes = [(height * 2, width * 2), (max(height // 2, 8), max(width // 2, 8))]
    of_model = config.get("input_size")
    if isinstance(of_model, (tuple, list)):
        sizes.append((of_model[1], of_model[2]))
    return [s for s in dict.fromkeys(sizes) if s != own.size]


def _other_orders(classifier: Classifier) -> list[tuple[str, str, Tensor]]:
    """Change, what to type, and for each output the class that it would stand for."""
    count = len(classifier.labels)
    outputs = torch.arange(count)
    by_name = sorted(range(count), key=lambda i: classifier.labels[i])
    as_text = torch.tensor(sorted(range(count), key=str))
    in_text = "[labels[i] for i in sorted(range(len(labels)), key=str)])"
    orders = [
        ("names one place later", "['background', *labels[:-1]]), or labels + 1", outputs - 1),
        ("names one place earlier", "[*labels[1:], 'other']), or labels - 1", outputs + 1),
        (
            "outputs in the alphabetical order of the names",
            "sorted(labels))",
            torch.tensor(by_name),
        ),
        ("outputs in the order of the numbers as text (0, 1, 10, 11, ..., 2)", in_text, as_text),
    ]
    if count == 2:  # there is one other order of two
        do = "[labels[1], labels[0]])  # or 1 - labels, if indices"
        orders[2:] = [("the two names the other way round", do, torch.tensor([1, 0]))]
    return [
        (change, f"as_classifier(model, labels={do}", order)
        for change, do, order in orders
        if not torch.equal(order, outputs)
    ]
