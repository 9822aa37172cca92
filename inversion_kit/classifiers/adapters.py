"""What each library says about its classifiers, read into the one contract of `Classifier`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion_kit.classifiers.adapter_parts import (
    Options,
    distinct,
    head_input,
    head_of,
    is_from,
    loading,
    numbered,
    width_of,
)
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.black_box import from_black_box, unchanged
from inversion_kit.classifiers.preprocess_readers import as_preprocess, read_timm
from inversion_kit.classifiers.transformers_adapter import from_hub, from_transformers
from inversion_kit.errors import InputError

_POCKET = Path(__file__).parents[1] / "pocket" / "weights" / "classifiers"


def build(model: Any, options: Options, *, black_box: bool) -> Classifier:
    """The `Classifier` of anything that `as_classifier` takes and that is none yet."""
    if black_box:
        return from_black_box(model, options)
    if isinstance(model, (list, tuple)):
        return _ensemble(model, options)
    if isinstance(model, (str, Path)):
        return _by_name(str(model), options)
    if isinstance(model, nn.Module):
        if is_from(model, "transformers"):
            return from_transformers(model, options)
        return _from_module(model, options)
    if callable(model):
        if options.preprocess is None:
            raise InputError(
                f"model={model!r}: a function does not say how images are prepared for it; give "
                "as_classifier(function, preprocess=Preprocess(size=...)), or labels=[...] and "
                "black_box=True if it takes uint8 images and gives no gradient"
            )
        return _from_module(model, options)
    raise InputError(
        f"model={model!r}: expected an nn.Module, 'pocket:honest' (or judge, backdoored, "
        "shortcut), 'timm/<name>', 'torchvision/<name>', a hub id or a local folder"
    )


def _by_name(name: str, options: Options) -> Classifier:
    if name.startswith("pocket:"):
        return _from_pocket(name, options)
    library, _, rest = name.partition("/")
    if library == "timm":
        import timm

        if not rest.startswith("hf-hub:") and not timm.is_model(rest):
            raise InputError(f"model={name!r}: no such timm model; see timm.list_models()")
        with loading(name):
            model = timm.create_model(rest, pretrained=True)
        return _from_module(model, replace(options, name=options.named(name)))
    if library == "torchvision":
        from torchvision import models

        if rest not in models.list_models(module=models):
            raise InputError(
                f"model={name!r}: no such torchvision classifier; see "
                "torchvision.models.list_models(module=torchvision.models)"
            )
        weights = models.get_model_weights(rest).DEFAULT
        with loading(name):
            model = models.get_model(rest, weights=weights)
        asked = options.preprocess or weights
        return _from_module(model, replace(options, name=options.named(name), preprocess=asked))
    if Path(name).is_dir() or re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return from_hub(name, options)
    raise InputError(
        f"model={name!r}: no such folder, and no hub id; allowed are 'timm/<name>', "
        "'torchvision/<name>', 'pocket:honest', a hub id ('owner/name') or a local folder"
    )


# --- modules and callables --------------------------------------------------------------------


def _from_module(model: nn.Module | Callable[[Tensor], Tensor], options: Options) -> Classifier:
    """A module or callable; timm's say themselves how images are prepared for them."""
    config: dict[str, Any] = {}
    if {"input_size", "mean", "std"} <= set(getattr(model, "pretrained_cfg", None) or {}):
        config = dict(model.pretrained_cfg)  # type: ignore[union-attr, arg-type]
    labels = options.labels
    called = type(model).__name__ if isinstance(model, nn.Module) else _called(model)
    if options.preprocess is not None:
        prepare, official = as_preprocess(options.preprocess)
        if labels is None and "categories" in getattr(options.preprocess, "meta", {}):
            labels = distinct(options.preprocess.meta["categories"])
    elif config:
        prepare, official = read_timm(config)
    else:
        weights = ", or for torchvision its weights, as ResNet18_Weights.DEFAULT"
        raise InputError(
            f"model: {called} does not say how images are prepared for it; "
            "pass preprocess=Preprocess(size=(224, 224), mean=..., std=...)"
            f"{weights if is_from(model, 'torchvision') else ''}"
        )
    if config and getattr(model, "num_classes", None) == 0:
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
        labels = _timm_labels(model, config, wide) or numbered(wide)
    head, labels = head_of(options.head, labels, wide)
    features = None
    if hasattr(model, "forward_features") and hasattr(model, "forward_head"):
        features = _timm_features(model)
    elif is_from(model, "torchvision"):
        features = head_input(model, wide)
    return Classifier(
        model, prepare, labels, name=options.named(called), features=features, head=head,
        official=official,
    )  # fmt: skip


def _called(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


# --- timm and the pocket ----------------------------------------------------------------------


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


def _timm_features(model: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: model.forward_head(model.forward_features(x), pre_logits=True)


def _from_pocket(name: str, options: Options) -> Classifier:
    import timm
    from safetensors.torch import load_file

    folder = _POCKET / name.removeprefix("pocket:")
    known = sorted(f"pocket:{p.name}" for p in _POCKET.iterdir() if p.is_dir())
    if name not in known:
        raise InputError(f"model={name!r}: allowed are {', '.join(map(repr, known))}")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    model = timm.create_model(
        config["architecture"],
        pretrained=False,
        num_classes=config["num_classes"],
        **config["model_args"],
    )
    state = load_file(folder / "model.safetensors")
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    model.pretrained_cfg = {**config["pretrained_cfg"], "label_names": config["label_names"]}
    prepare, official = read_timm(model.pretrained_cfg)
    if options.preprocess is not None:
        prepare, official = as_preprocess(options.preprocess)  # type: ignore[assignment]
    return Classifier(
        model,
        prepare,
        options.labels or config["label_names"],
        name=options.named(name),
        features=_timm_features(model),
        official=official,
    )


# --- ensembles --------------------------------------------------------------------------------


class _Mean(nn.Module):
    """The mean of several classifiers' probabilities, of RGB images in [0, 1]."""

    def __init__(self, members: Sequence[Classifier]) -> None:
        super().__init__()
        self.members = tuple(members)
        self.models = nn.ModuleList(member.model for member in members)

    def forward(self, images: Tensor) -> Tensor:
        each = torch.stack([member.logits(images).to(images.device) for member in self.members])
        if self.members[0].head == "sigmoid":
            return F.logsigmoid(each).logsumexp(0) - F.logsigmoid(-each).logsumexp(0)
        return each.log_softmax(2).logsumexp(0) - math.log(len(each))


def _ensemble(models: Sequence[Any], options: Options) -> Classifier:
    from inversion_kit.classifiers.base import as_classifier

    given = {"preprocess": options.preprocess, "labels": options.labels, "head": options.head}
    members = [
        m if isinstance(m, Classifier)
        else as_classifier(m, **given, template=options.template, revision=options.revision)
        for m in models
    ]  # fmt: skip
    if not members:
        raise InputError("model=[]: an ensemble needs at least one classifier")
    first = members[0]
    for member in members[1:]:
        if member.labels != first.labels:
            raise InputError(
                f"model: {member.name!r} has other label names than {first.name!r}; the members "
                "of an ensemble must name the same classes in the same order"
            )
        if (member.head == "sigmoid") != (first.head == "sigmoid"):
            raise InputError(
                f"model: {member.name!r} has the head {member.head!r}, {first.name!r} has "
                f"{first.head!r}; one label an image and several do not mix"
            )
    return Classifier(
        _Mean(members),
        unchanged,
        first.labels,
        name=options.named(" + ".join(member.name for member in members)),
        head="sigmoid" if first.head == "sigmoid" else "softmax",
        differentiable=all(member.differentiable for member in members),
    )
