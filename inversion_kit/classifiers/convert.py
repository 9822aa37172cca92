"""The converter: anything that scores images becomes a `Classifier`."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from inversion_kit.classifiers.adapter_parts import Options, is_from
from inversion_kit.classifiers.adapters import from_module, from_name
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.black_box import from_black_box
from inversion_kit.classifiers.ensemble import Ensemble
from inversion_kit.classifiers.label_names import called, names_of, text_of
from inversion_kit.classifiers.modules import slow_in_half
from inversion_kit.classifiers.transformers_adapter import from_transformers
from inversion_kit.errors import InputError
from inversion_kit.paths import name_or_path


def as_classifier(
    model: Any,
    *,
    preprocess: Any = None,
    labels: Sequence[str] | Mapping[int, str] | None = None,
    name: str | None = None,
    head: str | None = None,
    black_box: bool = False,
    template: str = "a photo of a {}",
    revision: str | None = None,
    wordings: Sequence[str] | Mapping[int, str] | Mapping[str, str] | None = None,
) -> Classifier:
    """Make a `Classifier` of what the user has; a Classifier passes through.

    Parameters
    ----------
    model
        - a `Classifier`, or ``"pocket:honest"`` (judge, backdoored, shortcut);
        - a timm model, or ``"timm/<name>"``;
        - a torchvision model with ``preprocess=`` its weights, or ``"torchvision/<name>"``;
        - a transformers image classifier with ``preprocess=`` its image processor, or a hub id or
          local folder;
        - a CLIP or SigLIP model with ``preprocess=`` its processor, or its hub id or folder, and
          the classes as ``labels``;
        - any ``nn.Module`` or callable from its input to logits, with ``preprocess``;
        - a path that ends in ".onnx": a black box through onnxruntime (``pip install
          'inversion-kit[onnx]'``); ``preprocess`` and ``labels`` may stand in its metadata, as
          JSON under ``preprocess`` (settings of `Preprocess`) or ``pretrained_cfg`` (timm's), and
          under ``labels``, ``names`` or ``id2label``;
        - a list of any of these: an ensemble, the mean of their probabilities;
        - with ``black_box=True`` a callable from uint8 images ``(n, y, x, 3)`` to probabilities
          ``(n, class)``, or to the top class alone as indices or names ``(n,)``.
    preprocess
        A `Preprocess`, torchvision weights, a torchvision transform, a transformers processor, or
        a callable from RGB ``(n, 3, y, x)`` in [0, 1] to the model's input. Read from the model
        where it carries it (timm, hub ids, folders).
    labels
        Class names in the order of the outputs, or a mapping from index to name; "class 0",
        "class 1", ... where neither they nor the model say.
    name
        What results call it; by default the name given as ``model``, or the class of the module.
    head
        "softmax", "sigmoid", "binary" or "probability", as in `Classifier`; None is "softmax", or
        "binary" for a model with one output.
    black_box
        ``model`` is asked for scores of files and never for a gradient.
    template
        Text of a class for CLIP and SigLIP, with ``{}`` for its name.
    revision
        Branch, tag or commit of a hub id.
    wordings
        What prompts say for a class: a text for each, or a mapping from some names or indices. By
        default the first wording of its name, see `inversion_kit.wordings.wordings_of`. A note on
        the sense of the word may follow: ``{"crane (134)": "crane, a large wading bird"}``.

    Returns
    -------
    Classifier
        One that was given is returned as it is.

    Raises
    ------
    InputError
        ``model`` is of no known kind, carries no preprocessing and none is given, or does not
        give one score per label; or ``labels`` or ``wordings`` are not as they must be.
    ClassifierUnavailableError
        Weights could not be loaded, most often for want of a network.

    Examples
    --------
    >>> as_classifier("pocket:honest")
    Classifier('pocket:honest', 43 labels)
    >>> as_classifier(["pocket:honest", "pocket:judge"])
    Classifier('pocket:honest + pocket:judge', 43 labels)
    """
    names = None if labels is None else names_of(labels)
    own = None if name is None else called(name)
    options = Options(preprocess, names, own, head, template, revision)
    made = _made(model, options, black_box=black_box)
    if made is not model and slow_in_half(made.model):
        warnings.warn(
            "model: its weights are float16 on a processor, which computes that many times slower "
            "than float32; give model.float()",
            RuntimeWarning,
            stacklevel=2,
        )
    if isinstance(model, (str, os.PathLike)) and not black_box and options == Options():
        made.source = os.fspath(model)
    if wordings is not None:
        made = copy.copy(made)
        made.wordings = _worded(made, wordings)
    return made


def _made(model: Any, options: Options, *, black_box: bool) -> Classifier:
    """The classifier, with the usual wordings of its names."""
    if isinstance(model, Classifier):
        if black_box or (options.preprocess, options.labels, options.head) != (None, None, None):
            raise InputError(
                f"model: {model!r} is a Classifier already and keeps its own preprocess, labels "
                "and head; give them where it is made"
            )
        if options.name is None:
            return model
        renamed = copy.copy(model)
        renamed.name, renamed.source = options.name, None
        return renamed
    if black_box:
        return from_black_box(model, options)
    if isinstance(model, (list, tuple)):
        own = replace(options, name=None)
        members = [
            m if isinstance(m, Classifier) else _made(m, own, black_box=False) for m in model
        ]
        return Ensemble(members, name=options.name)
    if isinstance(model, (str, os.PathLike)):
        return from_name(name_or_path(model, "model"), options)
    if isinstance(model, torch.export.ExportedProgram):
        model = model.module()
    if isinstance(model, nn.Module) and is_from(model, "transformers"):
        return from_transformers(model, options)
    if not callable(model):
        raise InputError(
            f"model={model!r}: expected an nn.Module, 'pocket:honest' (or judge, backdoored, "
            "shortcut), 'timm/<name>', 'torchvision/<name>', a hub id or a local folder"
        )
    if options.preprocess is None and not isinstance(model, nn.Module):
        raise InputError(
            f"model={model!r}: a function does not say how images are prepared for it; give "
            "as_classifier(function, preprocess=Preprocess(size=...)), or labels=[...] and "
            "black_box=True if it takes uint8 images and gives no gradient"
        )
    return from_module(model, options)


def _worded(classifier: Classifier, wordings: Any) -> tuple[str, ...]:
    """What prompts say for each class where some wordings are given."""
    said = list(classifier.wordings)
    if isinstance(wordings, Mapping):
        given = [(classifier.index(label), text) for label, text in wordings.items()]
    elif isinstance(wordings, Iterable) and not isinstance(wordings, (str, bytes, set, frozenset)):
        given = list(enumerate(wordings))
        if len(given) != len(said):
            raise InputError(
                f"wordings: {len(given)} for {len(said)} classes; give one each, or a mapping from "
                "the names of some"
            )
    else:
        raise InputError(
            f"wordings={wordings!r:.60}: expected a text a class, or a mapping from names or "
            "indices, for example {'crane (134)': 'crane, a large wading bird'}"
        )
    for index, text in given:
        said[index] = text_of(text) or ""
        if not said[index]:
            raise InputError(
                f"wordings: {text!r:.60} for {classifier.labels[index]!r}; expected text, for "
                "example 'tiger cat'"
            )
    return tuple(said)
