"""The examination: every check of a classifier, in the order in which a fault would show."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from inversion_kit.classifiers.adapter_parts import first_line, size_of
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.classifiers.doctor.checks import (
    check_answers,
    check_range,
    check_settings,
    in_training,
)
from inversion_kit.classifiers.doctor.diagnosis import Check, Diagnosis
from inversion_kit.classifiers.doctor.inputs import as_images, truth_of
from inversion_kit.classifiers.doctor.trials import trials_of
from inversion_kit.classifiers.functions import at_rest
from inversion_kit.errors import InputError, InversionError, LabelError

_BATCH = 16
_NO_SCORES = ("runs", "classes", "finite")
"""Checks without which there is nothing to measure on labelled images."""


@torch.inference_mode(False)  # gradients come with it, whatever the caller has set
def doctor(
    model: Any,
    images: Any = None,
    truth: Any = None,
    *,
    preprocess: Any = None,
    labels: Sequence[str] | None = None,
    head: str | None = None,
    most: int = 64,
) -> Diagnosis:
    """Check a classifier and its preprocessing.

    Takes about fifty forward passes, and with labelled images one pass over all of them; of other
    ways to prepare images only those are tried that could be clearly better. The modes of a
    module and which of its weights ask for gradients are left as they came, those of networks that
    a function calls too. Whatever a model raises is reported.

    Parameters
    ----------
    model
        Anything `as_classifier` takes.
    images
        A few images the model knows: paths, PIL images, uint8 arrays ``(n, y, x, 3)``, or floats
        ``(n, 3, y, x)`` in [0, 1]. None takes made-up ones.
    truth
        Their classes, as indices or names: a list, an array or a tensor. With them the usual
        alternatives are tried (channels, ranges, normalisations, sizes, label orders), and the
        best is named.
    preprocess, labels, head
        As for `as_classifier`; ``labels`` are the names of the classifier's classes.
    most
        Images examined, at least 1; of more, that many are taken evenly.

    Returns
    -------
    Diagnosis
        Print it; ``healthy`` says whether no check raised an alarm.

    Raises
    ------
    InputError
        ``images`` or ``truth`` are not usable themselves.

    Examples
    --------
    >>> diagnosis = doctor("pocket:honest")
    >>> print(diagnosis.verdict())
    pocket:honest: nothing found.
    """
    if truth is not None and images is None:
        raise InputError("truth: it needs the images it belongs to; give images=[...]")
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise InputError(f"most={most!r}: expected a number of images, 1 or more")
    given, checks, count = as_images(images, most)
    with _left_as_it_came(model) as training:
        try:
            classifier = as_classifier(model, preprocess=preprocess, labels=labels, head=head)
        except Exception as error:  # a user's model may raise anything
            return _refused(model, error)
        try:
            checks += check_answers(classifier, (given or _made_up(classifier))[:_BATCH], training)
            if truth is None:
                checks += check_settings(classifier)
            if truth is None or any(c.status == "fail" and c.name in _NO_SCORES for c in checks):
                return Diagnosis(classifier.name, tuple(checks), images=len(given))
            classes = truth_of(classifier, truth, count, most)
            measured, trials, accuracy = trials_of(classifier, given, classes)
        except InversionError:
            raise
        except Exception as error:  # the same
            checks.append(_raised(error))
            return Diagnosis(classifier.name, tuple(checks), images=len(given))
        by_settings = check_range(classifier)
        if by_settings.status == "fail":  # no measurement outweighs it
            measured = [check for check in measured if check.name != by_settings.name]
            checks.append(by_settings)
    return Diagnosis(classifier.name, tuple(checks + measured), tuple(trials), accuracy, len(given))


def _refused(model: Any, error: Exception) -> Diagnosis:
    """The diagnosis of what `as_classifier` does not take: its message says what to type."""
    if not isinstance(error, InversionError):
        return Diagnosis(_called(model), (_raised(error),))
    of_labels = isinstance(error, LabelError) or str(error).startswith("labels")
    seen, _, do = str(error).rpartition("; ")
    check = Check("classes" if of_labels else "runs", "fail", seen or do, do if seen else "")
    return Diagnosis(_called(model), (check,))


def _called(model: Any) -> str:
    return model if isinstance(model, str) else type(model).__name__


def _raised(error: Exception) -> Check:
    seen = f"{type(error).__name__}: {first_line(error)}"
    return Check("runs", "fail", seen, "check the model: it raised this when it was looked at")


@contextlib.contextmanager
def _left_as_it_came(model: Any) -> Iterator[list[str]]:
    """Kinds of layers that came in train mode; modes and gradients are put back at the end."""
    several = model if isinstance(model, (list, tuple)) else [model]
    modules = [one for one in several if isinstance(one, nn.Module)]
    came = in_training([part for module in modules for part in module.modules()])
    with at_rest(modules):
        yield came


def _made_up(classifier: Classifier) -> list[Tensor]:
    """Soft blobs of colour in the classifier's size."""
    blobs = torch.rand(_BATCH, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    size = size_of(classifier.preprocess)
    return list(nn.functional.interpolate(blobs, size, mode="bicubic").clamp(0, 1))
