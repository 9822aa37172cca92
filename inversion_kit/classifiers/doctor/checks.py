"""What can be seen without labels: whether a classifier runs, and what its settings say."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inversion_kit.classifiers.adapter_parts import first_line, remedy, shape_of
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.doctor.diagnosis import Check
from inversion_kit.classifiers.functions import Function
from inversion_kit.classifiers.preprocess import Preprocess

_SETTLED = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
"""Layers that answer otherwise in train mode."""
_OWN = "as_classifier(model)  # reads the model's own; or give images and truth to measure it"
_NEEDS_LABELS = "only labelled images can tell: doctor(model, images, truth)"


def in_training(modules: Sequence[nn.Module]) -> list[str]:
    """Kinds of layers in train mode that answer otherwise there."""
    return sorted({type(m).__name__ for m in modules if isinstance(m, _SETTLED) and m.training})


def check_answers(
    classifier: Classifier, pictures: Sequence[Tensor], training: Sequence[str]
) -> list[Check]:
    """Mode, scores and gradient; checks after one that makes them pointless are left out.

    Of the pictures, ``(3, y, x)`` in [0, 1] each, those of the first one's size are used;
    ``training`` are the kinds of layers that came in train mode.
    """
    broken = _broken(classifier.model)
    checks = [_mode(classifier, training), _dtype(classifier)]
    shape = pictures[0].shape
    batch = torch.stack([p for p in pictures if p.shape == shape])
    extremes = torch.stack([torch.zeros(shape), torch.ones(shape)])
    try:
        with torch.no_grad():
            out, again = classifier.raw(batch), classifier.raw(batch)
            alone, ends = classifier.raw(batch[:1]), classifier.raw(extremes)
    except Exception as error:  # a user's model may raise anything
        seen = f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0]
        do = remedy(classifier.model, classifier.preprocess, error)
        return [*checks, Check("runs", "fail", seen, do)]
    checks.append(_classes(classifier, out, len(batch)))
    if checks[-1].status == "fail":
        return checks
    every = torch.cat([out, ends])
    if broken or not torch.isfinite(every).all():
        seen = f"weights {broken[0]!r} hold NaN or infinity" if broken else "scores hold NaN"
        do = "load the weights again, or model.float() where half precision overflows"
        return [*checks, Check("finite", "fail", seen, do)]
    checks.append(Check("finite", "ok", "all scores are finite, of black and white images too"))
    scale = max(float(out.abs().max()), 1e-6)
    checks.append(_logits(classifier, every))
    constant = float(every.float().std(0).max()) / scale < 1e-5
    fault = f"{len(every)} different images, one and the same answer" if constant else ""
    do = "check that the trained weights were loaded: model.load_state_dict(...), strict=True"
    checks.append(_verdict("constant output", fault, do, "different images get different scores"))
    same = float((out - again).abs().max()) / scale
    fault = f"apart by {same:.1%} on a second look" if same > 1e-4 else ""
    do = "model.eval(); F.dropout(x, training=self.training); no random transform in preprocess"
    checks.append(_verdict("determinism", fault, do, "the same scores on a second look"))
    near = float((out[:1] - alone).abs().max()) / scale
    depends = len(batch) > 1 and near > 1e-2 and same <= 1e-4
    fault = f"a score changes by {near:.1%} with the images next to it" if depends else ""
    do = "model.eval(), and batch norm with track_running_stats=True"
    checks.append(_verdict("one at a time", fault, do, "the same scores alone and in a batch"))
    steady = None if same > 1e-4 else scale
    checks.append(_gradient(classifier, batch[:2], steady))
    return [*checks, *_features(classifier, batch[:2])]


def _verdict(name: str, fault: str, do: str, fine: str) -> Check:
    """A failure where there is a fault."""
    return Check(name, "fail", fault, do) if fault else Check(name, "ok", fine)


def _broken(model: nn.Module) -> list[str]:
    """Names of weights that hold NaN or infinity."""
    broken = []
    for name, weight in model.named_parameters():
        with contextlib.suppress(RuntimeError, TypeError):  # of a kind that cannot be asked
            if not torch.isfinite(weight).all():
                broken.append(name)
    return broken


def _mode(classifier: Classifier, training: Sequence[str]) -> Check:
    functions = [part for part in classifier.model.modules() if isinstance(part, Function)]
    resting = {id(part) for function in functions for part in function.modules()}
    still = in_training([part for part in classifier.model.modules() if id(part) not in resting])
    fault = f"{', '.join(still)} in train mode" if still else ""
    fine = f"{', '.join(training)} came in train mode; as_classifier puts it in eval mode"
    return _verdict("mode", fault, "classifier.model.eval()", fine if training else "eval mode")


def _dtype(classifier: Classifier) -> Check:
    weights = [p for p in classifier.model.parameters() if p.is_floating_point()]
    kinds = sorted({str(p.dtype).removeprefix("torch.") for p in weights})
    places = sorted({str(p.device) for p in weights})
    status, do = "ok", ""
    if len(places) > 1:
        status, do = "fail", "model.to('cuda')  # all of it"
    elif kinds not in ([], ["float32"]):
        status, do = "warn", "model.float()"
    seen = f"{', '.join(kinds) or 'no weights'} on {', '.join(places) or 'no device'}"
    return Check("dtype and device", status, seen, do)


def _classes(classifier: Classifier, out: Any, n: int) -> Check:
    names = len(classifier.labels)
    wide = 1 if classifier.head == "binary" else names
    fault = ""
    if not isinstance(out, Tensor) or tuple(out.shape) not in ((n, wide), (n,) * (wide == 1)):
        fault = f"{names} label names; the model gives {shape_of(out)} for {n} images"
    do = "as_classifier(model, labels=[...])  # one name per output, in their order"
    return _verdict("classes", fault, do, f"{names} label names, as many as the outputs need")


def _logits(classifier: Classifier, out: Tensor) -> Check:
    if classifier.head == "probability":
        return Check("logits", "ok", "declared to be probabilities")
    rows = out.float().reshape(len(out), -1)
    within = bool((rows >= 0).all() and (rows <= 1).all()) and float(rows.std()) > 1e-6
    no_relu = bool((rows > 0).all())  # a sigmoid gives no exact zeros, a ReLU does
    if within and rows.shape[1] > 1 and bool(((rows.sum(1) - 1).abs() < 1e-3).all()):
        seen = "every row lies in [0, 1] and sums to 1: a softmax is in the model"
        return Check("logits", "fail", seen, "as_classifier(model, head='probability')")
    if within and no_relu and len(rows) >= 8:
        seen = "every value lies in [0, 1]: a sigmoid is in the model"
        do = "as_classifier(lambda x: torch.logit(model(x), 1e-6), head='sigmoid', ...)"
        return Check("logits", "fail", seen, do)
    return Check("logits", "ok", f"values from {float(rows.min()):.3g} to {float(rows.max()):.3g}")


def _gradient(classifier: Classifier, images: Tensor, steady: float | None) -> Check:
    """The gradient; and where scores are steady, of so large values, whether they stay so."""
    if not classifier.differentiable:
        return Check("gradient", "skip", "a black box gives none", 'search with method="cma"')
    leaf = images.clone().requires_grad_()
    seen = ""
    try:
        with torch.enable_grad():
            logits = classifier.logits(leaf)
            weight = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))
            (logits * weight.to(logits)).sum().backward()
        with torch.no_grad():
            apart = float((classifier.logits(images) - logits).abs().max())
    except Exception as error:  # a user's model may raise anything
        seen = first_line(error)
    else:
        if leaf.grad is None or not torch.isfinite(leaf.grad).all():
            seen = "it is not finite"
        elif not leaf.grad.any():
            seen = "it reaches the image and is zero everywhere"
        elif steady is not None and apart > steady * 1e-2:
            seen = (
                f"scores change by {apart / steady:.1%} where one is taken (requires_grad asked?)"
            )
        else:
            share = (leaf.grad != 0).float().mean()
            return Check("gradient", "ok", f"reaches {share:.0%} of the pixels")
    do = (
        "take detach(), no_grad, argmax, round or numpy out of model and preprocess, or "
        'search without a gradient: method="cma"'
    )
    return Check("gradient", "fail", seen, do)


def _features(classifier: Classifier, images: Tensor) -> list[Check]:
    """Whether the features come, of one image and of several; no check where there are none."""
    if not classifier.has_features:
        return []
    fault, wide = "", 0
    try:
        with torch.no_grad():
            for part in (images[:1], images):
                seen = classifier.features(part)
                assert seen is not None
                wide = seen[0].numel()
                if not torch.isfinite(seen).all():
                    fault = "they are not finite"
    except Exception as error:  # a user's model may raise anything
        fault = first_line(error)
    do = (
        "let forward_head(x, pre_logits=True) give (n, feature), as timm's does; or "
        "as_classifier(lambda x: model(x), ...)  # offers no features"
    )
    return [_verdict("features", fault, do, f"{wide} numbers an image")]


def check_range(classifier: Classifier) -> Check:
    """The range of values that the model sees, as far as the settings alone say."""
    prepare = classifier.preprocess
    if not isinstance(prepare, Preprocess):
        return Check("value range", "skip", "the preprocessing is a function of its own")
    if max(prepare.mean) > 1.5 or max(prepare.std) > 2:
        seen = f"mean {prepare.mean} and std {prepare.std} are of values from 0 to 255"
        do = "Preprocess(mean=tuple(m / 255 for m in mean), std=tuple(s / 255 for s in std))"
        return Check("value range", "fail", seen, do)
    low = min(-m / s for m, s in zip(prepare.mean, prepare.std, strict=True))
    high = max((1 - m) / s for m, s in zip(prepare.mean, prepare.std, strict=True))
    return Check("value range", "ok", f"the model sees values from {low:.3g} to {high:.3g}")


def check_settings(classifier: Classifier) -> list[Check]:
    """Range, normalisation, size, channels and label order, as far as the settings alone say."""
    checks = [check_range(classifier)]
    prepare = classifier.preprocess
    config = getattr(classifier.model, "pretrained_cfg", None) or {}
    unknown = ["channels", "label order"]
    if isinstance(prepare, Preprocess) and {"mean", "std", "input_size"} <= set(config):
        here, own = (prepare.mean, prepare.std), (tuple(config["mean"]), tuple(config["std"]))
        size = tuple(config["input_size"][1:])
        for name, mine, theirs, same in (
            ("normalisation", here, own, np.allclose(here, own)),
            ("size", prepare.size, size, prepare.size in (size, None)),
        ):
            if same:
                checks.append(Check(name, "ok", f"{mine}, as the model's own config says"))
            else:
                checks.append(Check(name, "warn", f"{mine}; the model's own is {theirs}", _OWN))
    else:
        unknown = ["normalisation", "size", *unknown]
    return checks + [Check(name, "skip", _NEEDS_LABELS) for name in unknown]
