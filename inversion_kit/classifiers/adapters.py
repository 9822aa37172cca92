"""What each library says about its classifiers, read into the one contract of `Classifier`."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from inversion_kit.classifiers.adapter_parts import (
    Options,
    distinct,
    head_input,
    head_of,
    is_from,
    loading,
    numbered,
    unprepared,
    width_of,
)
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.functions import Function
from inversion_kit.classifiers.modules import inner_of
from inversion_kit.classifiers.onnx_adapter import from_onnx
from inversion_kit.classifiers.preprocess_readers import as_preprocess, read_timm
from inversion_kit.classifiers.transformers_adapter import from_hub
from inversion_kit.errors import InputError

_POCKET = Path(__file__).parents[1] / "pocket" / "weights" / "classifiers"


def from_name(name: str, options: Options) -> Classifier:
    """A classifier by name: the pocket's, timm's, torchvision's, a hub id, a folder or a file."""
    asked = options.preprocess
    library, _, rest = name.partition("/")
    if name.startswith("pocket:"):
        model = _from_pocket(name)
    elif library == "timm":
        import timm

        if not rest.startswith("hf-hub:") and not timm.is_model(rest):
            raise InputError(f"model={name!r}: no such timm model; see timm.list_models()")
        with loading(name):
            model = timm.create_model(rest, pretrained=True)
    elif library == "torchvision":
        from torchvision import models

        if rest not in models.list_models(module=models):
            raise InputError(
                f"model={name!r}: no such torchvision classifier; see "
                "torchvision.models.list_models(module=torchvision.models)"
            )
        weights = models.get_model_weights(rest).DEFAULT
        with loading(name):
            model = models.get_model(rest, weights=weights)
        asked = asked or weights
    elif name.lower().endswith(".onnx"):
        return from_onnx(name, options)
    elif Path(name).is_dir() or re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return from_hub(name, options)
    else:
        raise InputError(
            f"model={name!r}: no such folder, and no hub id; allowed are 'timm/<name>', "
            "'torchvision/<name>', 'pocket:honest', a hub id ('owner/name'), a local folder or an "
            "'.onnx' file"
        )
    return from_module(model, replace(options, name=options.named(name), preprocess=asked))


def from_module(model: Any, options: Options) -> Classifier:
    """A module or callable with ``options.preprocess``; timm's modules bring their own."""
    says = inner_of(model)
    config: dict[str, Any] = dict(getattr(says, "pretrained_cfg", None) or {})
    if not {"input_size", "mean", "std"} <= config.keys():
        config = {}
    labels, called = options.labels, type(says).__name__
    if not isinstance(model, nn.Module):
        called = str(getattr(model, "__name__", called))
        model = Function(model)
    if options.preprocess is not None:
        prepare, official = as_preprocess(options.preprocess)
        if labels is None and "categories" in getattr(options.preprocess, "meta", {}):
            labels = distinct(options.preprocess.meta["categories"])
    elif config:
        prepare, official = read_timm(config)
    else:
        weights = ", or for torchvision its weights, as ResNet18_Weights.DEFAULT"
        example = "Preprocess(size=(224, 224), mean=..., std=...))"
        raise unprepared(called, example + weights * is_from(model, "torchvision"))
    if config and getattr(says, "num_classes", None) == 0:
        raise InputError(
            f"model: {called} gives features and no classes (num_classes=0); "
            "timm.create_model(..., num_classes=...) with the trained weights of its head"
        )
    wide: int | None = None
    try:
        wide = width_of(model, prepare)
    except InputError:  # where no size is known, it may be that of the image alone
        if labels is None or getattr(prepare, "size", None) is not None:
            raise
    if labels is None:
        labels = _timm_labels(says, config, wide) or numbered(wide)
    head, labels = head_of(options.head, labels, wide)
    features = None
    if says is model and is_from(model, "torchvision"):
        features = head_input(model, wide)
    if hasattr(says, "forward_features") and hasattr(says, "forward_head"):
        if _gives_pre_logits(says):
            features = partial(_timm_features, says)
        elif says is model:  # one that is named alike and is not timm's
            features = head_input(model, wide)
    name = options.named(called)
    return Classifier(
        model, prepare, labels, name=name, head=head, features=features, official=official
    )


def _timm_labels(model: Any, config: dict[str, Any], wide: int | None) -> list[str] | None:
    """The label names in a timm model's config, or ImageNet's where its tag says so."""
    if config.get("label_names"):
        names, words = list(config["label_names"]), config.get("label_descriptions")
        if isinstance(words, dict):
            names = [words.get(name, name) for name in names]
        return distinct(names) if len(names) == wide else None
    if config.get("num_classes") != wide or not re.search(r"in\d+k", config.get("tag") or ""):
        return None
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(model)
    if subset is None:
        return None
    info = ImageNetInfo(subset)
    return distinct([info.index_to_description(i) for i in range(info.num_classes())])


def _gives_pre_logits(model: Any) -> bool:
    """Whether a model's ``forward_head`` takes ``pre_logits``, as timm's do."""
    try:
        return "pre_logits" in inspect.signature(model.forward_head).parameters
    except (TypeError, ValueError):  # it is no function of Python's
        return False


def _timm_features(model: Any, images: Tensor) -> Tensor:
    return model.forward_head(model.forward_features(images), pre_logits=True)


def _from_pocket(name: str) -> nn.Module:
    """A timm model with this library's weights, which says what it has to as timm's own do."""
    import timm
    from safetensors.torch import load_file

    folder = _POCKET / name.removeprefix("pocket:")
    known = sorted(f"pocket:{p.name}" for p in _POCKET.iterdir() if p.is_dir())
    if name not in known:
        raise InputError(f"model={name!r}: allowed are {', '.join(map(repr, known))}")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    size = {"num_classes": config["num_classes"], **config["model_args"]}
    model = timm.create_model(config["architecture"], pretrained=False, **size)
    state = load_file(folder / "model.safetensors")
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    model.pretrained_cfg = {**config["pretrained_cfg"], "label_names": config["label_names"]}
    return model
