"""A classifier, a generator and a diagnosis as a notebook shows them. Nothing is run or hashed."""

from __future__ import annotations

import html
from typing import Any

from inversion_kit.widgets.summary import facts_html

_STATUSES = {"ok": "#1a7f37", "warn": "#9a6700", "fail": "#cf222e", "skip": "#57606a"}
"""Colours of a check's statuses."""


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


def diagnosis_html(diagnosis: Any) -> str:
    """Every check of a `Diagnosis`, and what the trials gave."""
    left = ' style="text-align:left"'
    rows = "".join(
        f'<tr><td style="color:{_STATUSES[c.status]};font-weight:bold">{c.status}</td>'
        f"<td>{html.escape(c.name)}</td><td{left}>{html.escape(c.seen)}</td>"
        f"<td{left}>{html.escape(c.why)}</td>"
        f"<td{left}><code>{html.escape(c.type_this)}</code></td></tr>"
        for c in diagnosis.checks
    )
    head = "".join(f"<th>{h}</th>" for h in ("", "check", "seen", "why", "type this"))
    page = (
        f"<p><b>{html.escape(diagnosis.verdict())}</b></p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )
    if tried := diagnosis.tried():
        body = "".join(f"<tr><td>{a}</td><td>{html.escape(c)}</td></tr>" for a, c in tried)
        page += f"<p>Accuracy on {diagnosis.images} labelled images</p>"
        page += f"<table><tbody>{body}</tbody></table>"
    return page


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
