"""The converter: anything that scores images becomes a `Classifier`."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from inversion_kit.classifiers.adapter_parts import Options, is_from, names_of
from inversion_kit.classifiers.adapters import from_module, from_name
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.black_box import from_black_box
from inversion_kit.classifiers.ensemble import Ensemble
from inversion_kit.classifiers.transformers_adapter import from_transformers
from inversion_kit.errors import InputError


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

    Raises
    ------
    InputError
        ``model`` is of no known kind, carries no preprocessing and none is given, or does not
        give one score per label.
    ClassifierUnavailableError
        Weights could not be loaded, most often for want of a network.

    Examples
    --------
    >>> as_classifier("pocket:honest")
    Classifier('pocket:honest', 43 labels)
    >>> as_classifier(["pocket:honest", "pocket:judge"])
    Classifier('pocket:honest + pocket:judge', 43 labels)
    """
    if isinstance(model, Classifier):
        if preprocess is not None or labels is not None or head is not None or black_box:
            raise InputError(
                f"model: {model!r} is a Classifier already and keeps its own preprocess, labels "
                "and head; give them where it is made"
            )
        if name is None:
            return model
        renamed = copy.copy(model)
        renamed.name = name
        return renamed
    names = None if labels is None else names_of(labels)
    options = Options(preprocess, names, name, head, template, revision)
    if black_box:
        return from_black_box(model, options)
    if isinstance(model, (list, tuple)):
        given: dict[str, Any] = {"preprocess": preprocess, "labels": names, "head": head}
        given |= {"template": template, "revision": revision}
        members = [m if isinstance(m, Classifier) else as_classifier(m, **given) for m in model]
        return Ensemble(members, name=name)
    if isinstance(model, (str, Path)):
        return from_name(str(model), options)
    if isinstance(model, nn.Module) and is_from(model, "transformers"):
        return from_transformers(model, options)
    if not callable(model):
        raise InputError(
            f"model={model!r}: expected an nn.Module, 'pocket:honest' (or judge, backdoored, "
            "shortcut), 'timm/<name>', 'torchvision/<name>', a hub id or a local folder"
        )
    if preprocess is None and not isinstance(model, nn.Module):
        raise InputError(
            f"model={model!r}: a function does not say how images are prepared for it; give "
            "as_classifier(function, preprocess=Preprocess(size=...)), or labels=[...] and "
            "black_box=True if it takes uint8 images and gives no gradient"
        )
    return from_module(model, options)
