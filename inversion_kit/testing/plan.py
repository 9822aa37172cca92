"""The plan of a made-up result."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from inversion_kit.arms import ARMS, NAME_FREE, Arm
from inversion_kit.settings import Settings
from inversion_kit.testing.drawing import COLOURS

CLASSES = tuple(COLOURS)[:5]
"""Names of classes, where no others are given."""
BATCH, EMBED = 2, 8
"""Images of a step, numbers of a token."""
MODEL, GENERATOR = "synthetic:classifier", "synthetic:generator"


def synthetic_plan(
    labels: Sequence[int] | None = None,
    *,
    classes: Sequence[str] = CLASSES,
    arms: Sequence[str] = ("name", "token"),
    seeds: Sequence[int] = (0, 1),
    judges: Sequence[Sequence[str]] = (("judge", "classifier"), ("blur", "view")),
    steps: int = 6,
    samples: int = 4,
    method: str = "gradient",
) -> dict[str, Any]:
    """The plan of a made-up result, for `synthetic_unit`'s units.

    Parameters
    ----------
    labels
        Class indices; all classes where not given.
    classes, arms, seeds
        Names of classes and arms, and which seeds.
    judges
        Name and kind of each, ``"classifier"`` or ``"view"``.
    steps, samples, method
        As of `inversion_kit.settings.Settings`; a check has as many images as ``samples``.

    Returns
    -------
    dict
        As an audit's folder keeps it, see `inversion_kit.storage.audit_plan`.

    Examples
    --------
    >>> synthetic_plan([1])["labels"]
    [[1, 'sky']]
    """
    classifiers = [name for name, kind in judges if kind == "classifier"]
    views = tuple(name for name, kind in judges if kind == "view")
    settings = Settings(
        steps=steps, batch=BATCH, samples=samples, validation=samples, method=method, views=views
    )
    return {
        "labels": [[i, classes[i]] for i in (range(len(classes)) if labels is None else labels)],
        "arms": list(arms),
        "seeds": list(seeds),
        "classes": list(classes),
        "judges": [list(judge) for judge in judges],
        "judge_hashes": ["2" * 64 for _ in judges],
        "classifier": MODEL,
        "classifier_hash": "0" * 64,
        "generator": GENERATOR,
        "generator_hash": "1" * 64,
        "settings": {
            **settings.plain(),
            "arms": {
                arm.name: {**dataclasses.asdict(arm), "templates": list(arm.templates or NAME_FREE)}
                for arm in map(arm_of, arms)
            },
            "num_inference_steps": 4,
            "guidance_scale": 1.0,
            "token_layout": f'[["emb_params", {EMBED}, 1.0]]',
            "sources": {"model": MODEL, "generator": GENERATOR, "judges": classifiers},
            "preprocess": {"head": "softmax"},
            "preprocess_parity": None,
            "judge_preprocess": [{"head": "softmax"} for _ in classifiers],
            "sampler": {"pipeline": "synthetic", "scheduler": {"class": "synthetic"}, "call": {}},
            "generator_source": None,
            "dtype": "float32",
            "device": "cpu",
            "objective": "cross_entropy",
        },
        "versions": {"inversion_kit": "synthetic", "numpy": np.__version__},
    }


def arm_of(name: str) -> Arm:
    """The arm of a name; a made-up one where none is registered."""
    return ARMS.get(name, Arm(name, name))
