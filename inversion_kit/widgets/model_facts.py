"""A classifier and a generator as a notebook shows them. Nothing is run or hashed."""

from __future__ import annotations

from typing import Any

from inversion_kit.widgets.summary import facts_html


def classifier_html(classifier: Any) -> str:
    """Name, labels, input, answers and network of a `Classifier`."""
    labels = classifier.labels
    named = ", ".join(labels[:12]) + (f" and {len(labels) - 12} more" if len(labels) > 12 else "")
    rows = [
        (f"{len(labels)} labels", named),
        ("input", _input(classifier.preprocess)),
        ("answers", f"{classifier.head}; {_gradient(classifier.differentiable)}"),
        ("network", _network(classifier.model)),
    ]
    return facts_html(classifier.name, "a frozen classifier", rows)


def generator_html(generator: Any) -> str:
    """Name, sampling, text encoders and networks of a `Generator`."""
    scheduler = type(generator.pipeline.scheduler).__name__
    rows = [
        ("pipeline", type(generator.pipeline).__name__),
        (
            "sampling",
            f"{generator.num_inference_steps} steps of {scheduler}, guidance "
            f"{generator.guidance_scale:g}",
        ),
        ("image network", _network(generator.denoiser)),
        *(
            (f"text encoder {number}", _network(encoder.model))
            for number, encoder in enumerate(generator.encoders, start=1)
        ),
        ("vocabulary", f"{len(generator.vocabulary):,} whole words"),
    ]
    return facts_html(generator.name, "a frozen text-to-image generator", rows)


def _input(preprocess: Any) -> str:
    size = getattr(preprocess, "size", None)
    if not hasattr(preprocess, "crop_mode"):
        return type(preprocess).__name__
    shape = "any size" if size is None else f"{size[0]} × {size[1]} pixels"
    mean, std = (
        ", ".join(f"{v:g}" for v in values) for values in (preprocess.mean, preprocess.std)
    )
    return (
        f"{shape}, {preprocess.interpolation}, {preprocess.crop_mode}, {preprocess.channels}; "
        f"mean {mean}; std {std}"
    )


def _gradient(differentiable: bool) -> str:
    return "gives a gradient" if differentiable else "a black box, no gradient"


def _network(module: Any) -> str:
    parameters = list(module.parameters())
    n = sum(p.numel() for p in parameters)
    where = f", on {parameters[0].device}, {parameters[0].dtype}" if parameters else ""
    return f"{type(module).__name__}, {n:,} parameters{where}".replace("torch.", "")
