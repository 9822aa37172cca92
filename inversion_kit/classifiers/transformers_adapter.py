"""Image classifiers of transformers, CLIP and SigLIP among them, as `Classifier`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion_kit.classifiers.adapter_parts import (
    Options,
    head_input,
    head_of,
    loading,
    numbered,
    unprepared,
    width_of,
)
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.label_names import names_of
from inversion_kit.classifiers.modules import inner_of, to_eval
from inversion_kit.classifiers.preprocess_readers import as_preprocess
from inversion_kit.errors import InputError


class _Logits(nn.Module):
    """A transformers image classifier that gives its logits alone."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixels: Tensor) -> Tensor:
        return self.inner(pixel_values=pixels).logits


class _ZeroShot(nn.Module):
    """CLIP or SigLIP with the embeddings of its class texts: logits as the model scales them."""

    def __init__(self, inner: Any, texts: Tensor) -> None:
        super().__init__()
        self.inner = inner
        self.texts: Tensor
        self.register_buffer("texts", texts)

    def embed(self, pixels: Tensor) -> Tensor:
        """Image embeddings ``(n, feature)`` of length 1."""
        return F.normalize(_embedding(self.inner.get_image_features(pixel_values=pixels)), dim=-1)

    def forward(self, pixels: Tensor) -> Tensor:
        logits = self.embed(pixels) @ self.texts.T * self.inner.logit_scale.exp()
        bias = getattr(self.inner, "logit_bias", None)
        return logits if bias is None else logits + bias


def _embedding(out: Any) -> Tensor:
    return out if isinstance(out, Tensor) else out.pooler_output


def from_hub(name: str, options: Options) -> Classifier:
    """A hub id or local folder."""
    model, processor = load_hub(name, revision=options.revision, processor=options.preprocess)
    return from_transformers(
        model, replace(options, preprocess=processor, name=options.named(name))
    )


def load_hub(
    name: str, *, revision: str | None = None, processor: Any = None, argument: str = "model"
) -> tuple[Any, Any]:
    """Model and processor of a hub id or local folder: safetensors only, and no code from it.

    The model is in float32 whatever its file holds: a processor is slow in float16.

    Parameters
    ----------
    processor
        In place of its own.
    argument
        What the call calls ``name``.

    Raises
    ------
    ClassifierUnavailableError
        It could not be loaded.
    """
    import transformers
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES as ZERO_SHOT,
    )

    safe: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    with loading(name, argument):
        config = transformers.AutoConfig.from_pretrained(name, **safe)
        kinds = (transformers.AutoModelForImageClassification, transformers.AutoImageProcessor)
        plain = any("ImageClassification" in a for a in config.architectures or ())
        if config.model_type in ZERO_SHOT and not plain:
            zero_shot = transformers.AutoModelForZeroShotImageClassification
            kinds = (zero_shot, transformers.AutoProcessor)
        model = kinds[0].from_pretrained(name, use_safetensors=True, dtype=torch.float32, **safe)
        return model, processor or kinds[1].from_pretrained(name, **safe)


def from_transformers(model: Any, options: Options) -> Classifier:
    """A loaded image classifier, CLIP or SigLIP, with its processor as ``preprocess``."""
    says = inner_of(model)
    called = type(says).__name__
    if options.preprocess is None:
        example = "AutoImageProcessor.from_pretrained(...)) (CLIP and SigLIP: AutoProcessor)"
        raise unprepared(called, example)
    if compares_words(says):
        return _zero_shot(says, options)
    prepare, official = as_preprocess(options.preprocess)
    wrapped = _Logits(model)
    wide = width_of(wrapped, prepare)
    labels = options.labels
    if labels is None:
        names = says.config.id2label
        fits = sorted(map(int, names)) == list(range(wide))
        labels = names_of(names) if fits else numbered(wide)
    several = getattr(says.config, "problem_type", None) == "multi_label_classification"
    head, labels = head_of(options.head or ("sigmoid" if several else None), labels, wide)
    name, features = options.named(called), head_input(wrapped, wide) if says is model else None
    return Classifier(
        wrapped, prepare, labels, name=name, head=head, features=features, official=official
    )


def compares_words(model: Any) -> bool:
    """Whether a model compares pictures with texts, as CLIP and SigLIP do."""
    return hasattr(model, "get_text_features") and hasattr(model, "logit_scale")


def _zero_shot(model: Any, options: Options) -> Classifier:
    called = type(model).__name__
    if not options.labels:
        raise InputError(
            f"labels: {called} has no classes of its own; give their names, as "
            "as_classifier(model, labels=['cat', 'dog']), and template= for the text around them"
        )
    tokenizer = getattr(options.preprocess, "tokenizer", None)
    if tokenizer is None:
        raise InputError(
            f"preprocess={type(options.preprocess).__name__}: {called} needs its tokenizer too; "
            "give as_classifier(model, preprocess=AutoProcessor.from_pretrained(...))"
        )
    if "{}" not in options.template:
        raise InputError(f"template={options.template!r}: '{{}}' must stand for the class")
    prepare, official = as_preprocess(options.preprocess)
    texts = [options.template.replace("{}", str(label)) for label in options.labels]
    longest = model.config.text_config.max_position_embeddings
    bias = getattr(model, "logit_bias", None)
    fixed: dict[str, Any] = {"padding": "max_length", "max_length": longest}
    given = tokenizer(texts, return_tensors="pt", **({"padding": True} if bias is None else fixed))
    if (count := given["input_ids"].shape[1]) > longest:
        raise InputError(
            f"labels: a text has {count} tokens, {called} reads {longest}; shorten the labels or "
            "template"
        )
    keys = {k: v.to(model.device) for k, v in given.items() if k in ("input_ids", "attention_mask")}
    to_eval(model)
    with torch.no_grad():
        wrapped = _ZeroShot(model, F.normalize(_embedding(model.get_text_features(**keys)), dim=-1))
    head = options.head or ("softmax" if bias is None else "sigmoid")
    name, labels, features = options.named(called), options.labels, wrapped.embed
    return Classifier(
        wrapped, prepare, labels, name=name, head=head, features=features, official=official
    )
