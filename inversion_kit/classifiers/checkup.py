"""The doctor: what is wrong with a classifier or its preprocessing, before minutes are spent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inversion_kit.classifiers.adapter_parts import way_out
from inversion_kit.classifiers.base import Classifier, as_classifier
from inversion_kit.classifiers.checkup_inputs import as_images, listed, read_folder, truth_of
from inversion_kit.classifiers.checkup_trials import trials_of
from inversion_kit.classifiers.diagnosis import Check, Diagnosis
from inversion_kit.classifiers.preprocess import Preprocess
from inversion_kit.errors import ClassifierUnavailableError, InputError, LabelError

__all__ = ["doctor", "read_folder"]

_BATCH = 16
_NORMS = nn.modules.batchnorm._BatchNorm
_DROPOUTS = nn.modules.dropout._DropoutNd

WHY = {
    "runs": "A model that cannot score an image cannot steer a generator.",
    "images": "An image outside [0, 1] is cut off at the ends before the model sees it.",
    "classes": "A name that stands at another output sends the search after another class.",
    "mode": "In train mode batch norm and dropout make a score depend on chance and neighbours.",
    "dtype and device": "Half precision rounds small gradients to nothing and is slow on a CPU.",
    "finite": "One NaN ends a search.",
    "logits": "A second softmax flattens the scores: no class gets a high probability.",
    "constant output": "A score that no image changes gives no direction.",
    "determinism": "A score that changes by itself cannot be told from progress.",
    "one at a time": "An image's score must not depend on the images next to it.",
    "gradient": "The gradient of the score with respect to the image is what trains the token.",
    "value range": "A model that sees values of another size answers, and is wrong.",
    "normalisation": "With another mean and deviation a model still answers, only worse.",
    "size": "At another size than in training objects are too large or too small for a model.",
    "channels": "With red and blue turned round a model still answers, only worse.",
    "label order": "A list of names that is off by one sends the search after another class.",
    "accuracy": "A classifier that is wrong on real images shows nothing about its classes.",
}


def doctor(
    model: Any,
    images: Any = None,
    labels: Any = None,
    *,
    preprocess: Any = None,
    class_names: Sequence[str] | None = None,
    head: str | None = None,
    most: int = 64,
) -> Diagnosis:
    """Check a classifier and its preprocessing.

    Takes about fifty forward passes, and with labelled images one look at all of them; of other
    ways to feed the classifier only those are looked at that could be clearly better. The modes
    of a module and which of its weights ask for gradients are left as they came; what a function
    calls is used as it is.

    Parameters
    ----------
    model
        Anything `as_classifier` takes.
    images
        A few images the model knows: paths, PIL images, uint8 arrays ``(n, y, x, 3)``, or floats
        ``(n, 3, y, x)`` in [0, 1]. None looks at made-up ones.
    labels
        Their classes, as indices or names: a list, an array or a tensor. With them the usual
        alternatives are tried (channels, ranges, normalisations, sizes, label orders), and the
        best is named.
    preprocess, class_names, head
        As ``preprocess``, ``labels`` and ``head`` of `as_classifier`.
    most
        Images looked at; of more, that many are taken evenly.

    Returns
    -------
    Diagnosis
        Print it; ``healthy`` says whether anything was found.

    Raises
    ------
    InputError
        ``images`` or ``labels`` are not usable themselves.

    Examples
    --------
    >>> found = doctor("pocket:honest")
    >>> print(found.verdict())
    pocket:honest: nothing found.
    """
    if labels is not None and images is None:
        raise InputError("labels: they need the images they belong to; give images=[...]")
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise InputError(f"most={most!r}: expected a number of images, 1 or more")
    each = listed(images)
    given, *its_range = as_images(each, most) if each else ([],)
    with _left_as_it_came(model) as training:
        try:
            classifier = as_classifier(model, preprocess=preprocess, labels=class_names, head=head)
        except (InputError, ClassifierUnavailableError) as error:
            labelled = isinstance(error, LabelError) or str(error).startswith("labels")
            called = model if isinstance(model, str) else type(model).__name__
            seen, _, do = str(error).rpartition("; ")
            check = _check(
                "classes" if labelled else "runs", "fail", seen or do, do if seen else ""
            )
            return Diagnosis(called, (check,))
        checks = [_check("images", *found) for found in its_range]
        checks += _without_labels(classifier, (given or _made_up(classifier))[:_BATCH], training)
        if labels is None:
            checks += _of_settings(classifier)
        elif any(c.status == "fail" and c.name in _NO_SCORES for c in checks):
            labels = None
        if labels is None:
            return Diagnosis(classifier.name, tuple(checks), images=len(given))
        truth = truth_of(classifier, labels, len(each), most)
        measured, trials, accuracy = trials_of(classifier, given, truth)
        told = _range(classifier)
        if told.status == "fail":  # the settings themselves say so: no measurement outweighs it
            measured = [found for found in measured if found[0] != told.name]
            checks.append(told)
        checks += [_check(*found) for found in measured]
    return Diagnosis(classifier.name, tuple(checks), tuple(trials), accuracy, len(given))


_NO_SCORES = ("runs", "classes", "finite")


def _check(name: str, status: str, seen: str, type_this: str = "") -> Check:
    return Check(name, status, seen, WHY[name], type_this)


@contextlib.contextmanager
def _left_as_it_came(model: Any) -> Iterator[list[str]]:
    """Names of layers that came in train mode; modes and gradients are put back at the end."""
    several = model if isinstance(model, (list, tuple)) else [model]
    modules = [m for one in several if isinstance(one, nn.Module) for m in one.modules()]
    modes = [(m, m.training) for m in modules]
    wants = [(p, p.requires_grad) for m in modules for p in m.parameters(recurse=False)]
    try:
        yield _in_training(modules)
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, wanted in wants:
            parameter.requires_grad_(wanted)


def _in_training(modules: Sequence[nn.Module]) -> list[str]:
    kinds = (_NORMS, _DROPOUTS)
    return sorted({type(m).__name__ for m in modules if isinstance(m, kinds) and m.training})


def _made_up(classifier: Classifier) -> list[Tensor]:
    """Soft blobs of colour in the classifier's size."""
    height, width = getattr(classifier.preprocess, "size", None) or (64, 64)
    random = torch.Generator().manual_seed(0)
    blobs = torch.rand(_BATCH, 3, 5, 5, generator=random)
    made = nn.functional.interpolate(blobs, (height, width), mode="bicubic").clamp(0, 1)
    return list(made)


# --- checks without labels --------------------------------------------------------------------


def _without_labels(
    classifier: Classifier, pictures: Sequence[Tensor], training: Sequence[str]
) -> list[Check]:
    weights = dict(classifier.model.named_parameters())
    broken = [name for name, w in weights.items() if not torch.isfinite(w).all()]
    checks = [_mode(classifier, training), _dtype(classifier)]
    shape = pictures[0].shape
    batch = torch.stack([p for p in pictures if p.shape == shape])
    extremes = torch.stack([torch.zeros(shape), torch.ones(shape)])
    try:
        with torch.no_grad():
            out, again = classifier.raw(batch), classifier.raw(batch)
            alone, ends = classifier.raw(batch[:1]), classifier.raw(extremes)
    except Exception as error:  # a user's model may raise anything
        seen = f"{type(error).__name__}: {str(error).strip() or 'no message'}"
        do = way_out(classifier.model, classifier.preprocess, error)
        return [*checks, _check("runs", "fail", seen.splitlines()[0], do)]
    checks.append(_classes(classifier, out, len(batch)))
    if checks[-1].status == "fail":
        return checks
    finite = bool(torch.isfinite(out).all() and torch.isfinite(ends).all())
    if not finite or broken:
        seen = f"weights {broken[0]!r} hold NaN or infinity" if broken else "scores hold NaN"
        do = "load the weights again, or model.float() where half precision overflows"
        return [*checks, _check("finite", "fail", seen, do)]
    checks.append(_check("finite", "ok", "all scores are finite, of black and white images too"))
    scale = max(float(out.abs().max()), 1e-6)
    checks.append(_logits(classifier, torch.cat([out, ends])))
    checks.append(_constant(torch.cat([out, ends]), scale))
    same = float((out - again).abs().max()) / scale
    if same > 1e-4:
        do = "model.eval(); F.dropout(x, training=self.training); no random transform in preprocess"
        checks.append(_check("determinism", "fail", f"apart by {same:.1%} on a second look", do))
    else:
        checks.append(_check("determinism", "ok", "the same scores on a second look"))
    near = float((out[:1] - alone).abs().max()) / scale
    if len(batch) > 1 and near > 1e-2 and same <= 1e-4:
        do = "model.eval(), and batch norm with track_running_stats=True"
        seen = f"a score changes by {near:.1%} with the images next to it"
        checks.append(_check("one at a time", "fail", seen, do))
    else:
        checks.append(_check("one at a time", "ok", "the same scores alone and in a batch"))
    checks.append(_gradient(classifier, batch[:2]))
    return checks


def _mode(classifier: Classifier, training: Sequence[str]) -> Check:
    still = _in_training(list(classifier.model.modules()))
    if still:
        seen = f"{', '.join(still)} in train mode"
        return _check("mode", "fail", seen, "classifier.model.eval()")
    if training:
        seen = f"{', '.join(training)} came in train mode; as_classifier puts it in eval mode"
        return _check("mode", "ok", seen)
    return _check("mode", "ok", "eval mode")


def _dtype(classifier: Classifier) -> Check:
    weights = [p for p in classifier.model.parameters() if p.is_floating_point()]
    kinds = sorted({str(p.dtype).removeprefix("torch.") for p in weights})
    places = sorted({str(p.device) for p in weights})
    seen = f"{', '.join(kinds) or 'no weights'} on {', '.join(places) or 'no device'}"
    if len(places) > 1:
        return _check("dtype and device", "fail", seen, "model.to('cuda')  # all of it")
    if kinds not in ([], ["float32"]):
        return _check("dtype and device", "warn", seen, "model.float()")
    return _check("dtype and device", "ok", seen)


def _classes(classifier: Classifier, out: Any, n: int) -> Check:
    names = len(classifier.labels)
    wide = 1 if classifier.head == "binary" else names
    if not isinstance(out, Tensor) or tuple(out.shape) not in ((n, wide), (n,) * (wide == 1)):
        came = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        seen = f"{names} label names; the model gives {came} for {n} images"
        do = "as_classifier(model, labels=[...])  # one name an output, in their order"
        return _check("classes", "fail", seen, do)
    return _check("classes", "ok", f"{names} label names, as many as the outputs need")


def _logits(classifier: Classifier, out: Tensor) -> Check:
    if classifier.head == "probability":
        return _check("logits", "ok", "declared to be probabilities")
    rows = out.float().reshape(len(out), -1)
    within = bool((rows >= 0).all() and (rows <= 1).all()) and float(rows.std()) > 1e-6
    no_relu = bool((rows > 0).all())  # a sigmoid gives no exact zeros, a ReLU does
    if within and rows.shape[1] > 1 and bool(((rows.sum(1) - 1).abs() < 1e-3).all()):
        seen = "every row lies in [0, 1] and sums to 1: a softmax is in the model"
        return _check("logits", "fail", seen, "as_classifier(model, head='probability')")
    if within and no_relu and len(rows) >= 8:
        seen = "every value lies in [0, 1]: a sigmoid is in the model"
        do = "as_classifier(lambda x: torch.logit(model(x), 1e-6), head='sigmoid', ...)"
        return _check("logits", "fail", seen, do)
    return _check("logits", "ok", f"values from {float(rows.min()):.3g} to {float(rows.max()):.3g}")


def _constant(out: Tensor, scale: float) -> Check:
    spread = float(out.float().std(0).max()) / scale
    if spread < 1e-5:
        seen = f"{len(out)} different images, one and the same answer"
        do = "check that the trained weights were loaded: model.load_state_dict(...), strict=True"
        return _check("constant output", "fail", seen, do)
    return _check("constant output", "ok", "different images get different scores")


def _gradient(classifier: Classifier, images: Tensor) -> Check:
    if not classifier.differentiable:
        return _check("gradient", "skip", "a black box gives none", 'search with method="cma"')
    do = (
        "take detach(), no_grad, argmax, round or numpy out of model and preprocess, or "
        'search without a gradient: method="cma"'
    )
    leaf = images.clone().requires_grad_()
    try:
        with torch.enable_grad():
            logits = classifier.logits(leaf)
            weight = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))
            (logits * weight.to(logits)).sum().backward()
    except Exception as error:  # a user's model may raise anything
        return _check("gradient", "fail", str(error).splitlines()[0], do)
    slope = leaf.grad
    if slope is None or not torch.isfinite(slope).all():
        return _check("gradient", "fail", "it is not finite", do)
    if not slope.any():
        return _check("gradient", "fail", "it reaches the image and is zero everywhere", do)
    return _check(
        "gradient", "ok", f"reaches {float((slope != 0).float().mean()):.0%} of the pixels"
    )


# --- settings, without labels -----------------------------------------------------------------


def _range(classifier: Classifier) -> Check:
    """The range that the model sees, as far as the settings alone tell it."""
    look = classifier.preprocess
    if not isinstance(look, Preprocess):
        return _check("value range", "skip", "the preprocessing is a function of its own")
    if max(look.mean) > 1.5 or max(look.std) > 2:
        seen = f"mean {look.mean} and std {look.std} are of values from 0 to 255"
        do = "Preprocess(mean=tuple(m / 255 for m in mean), std=tuple(s / 255 for s in std))"
        return _check("value range", "fail", seen, do)
    low = min(-m / s for m, s in zip(look.mean, look.std, strict=True))
    high = max((1 - m) / s for m, s in zip(look.mean, look.std, strict=True))
    return _check("value range", "ok", f"the model sees values from {low:.3g} to {high:.3g}")


def _of_settings(classifier: Classifier) -> list[Check]:
    """What can be told of range, normalisation, size and channels from the settings alone."""
    checks = [_range(classifier)]
    look, config = classifier.preprocess, getattr(classifier.model, "pretrained_cfg", None) or {}
    if isinstance(look, Preprocess) and {"mean", "std", "input_size"} <= set(config):
        norm = tuple(config["mean"]), tuple(config["std"])
        size = tuple(config["input_size"][1:])
        for name, here, own, same in (
            (
                "normalisation",
                (look.mean, look.std),
                norm,
                np.allclose(norm, (look.mean, look.std)),
            ),
            ("size", look.size, size, look.size in (size, None)),
        ):
            if same:
                checks.append(_check(name, "ok", f"{here}, as the model's own config says"))
            else:
                checks.append(_check(name, "warn", f"{here}; the model's own is {own}", _OWN))
    else:
        checks += [_check(name, "skip", _UNTOLD) for name in ("normalisation", "size")]
    return checks + [_check(name, "skip", _UNTOLD) for name in ("channels", "label order")]


_OWN = "as_classifier(model)  # reads the model's own; or give images and labels to measure it"
_UNTOLD = "only labelled images can tell: doctor(model, images, labels)"
