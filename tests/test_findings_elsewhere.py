"""Findings with generators built like Stable Diffusion and its kin, and of a thousand classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from families import SETTINGS, build

import inversion_kit as ik
from inversion_kit.bank.cues import NATURAL
from inversion_kit.finding.run import SOURCES


def by_colour(labels):
    """A classifier whose class is told by the strongest channel and its level."""

    def read(images):
        means = images.mean((1, 2))
        level = means.max(1) / 256 * len(labels) / 3
        return (np.asarray(means).argmax(1) * (len(labels) // 3) + level).astype(int)

    return ik.as_classifier(read, labels=labels, black_box=True)


@pytest.mark.parametrize("family", ["stable_diffusion", "sdxl", "sd3", "sana"])
def test_natural_cues_are_painted_by_every_family(family, tokenizer, tmp_path):
    generator = ik.as_generator(
        build(family, tokenizer), num_inference_steps=1, **SETTINGS.get(family, {})
    )
    tree = ik.findings(
        by_colour(["cat", "dog", "stop"]),
        generator=generator,
        labels=["cat", "dog"],
        cues="natural",
        lenses=["words"],
        bank=tmp_path,
        progress=False,
    )
    effects, left = tree["effects"], json.loads(tree["findings"].attrs["unpainted"])
    names = [str(cue) for cue in effects["cue"].values[effects["kind"].values != "placebo"]]
    assert sorted([*names, *left]) == sorted(cue.name for cue in NATURAL)
    assert effects.sizes["class"] == 3
    ik.validate(tree)


def test_a_thousand_classes_cost_no_more_than_the_sources_that_are_taken(generator, tmp_path):
    labels = [f"thing {i}" for i in range(1000)]
    tree = ik.findings(
        by_colour(labels), generator=generator, cues=["red"], bank=tmp_path, progress=False
    )
    assert tree["effects"].sizes["source"] == SOURCES
    assert tree["effects"].sizes["class"] == 1000
    assert tree["samples"].sizes["label"] <= SOURCES + tree["findings"].sizes["finding"]
    assert "black box" in str(tree["findings"].attrs["trigger"])
    ik.validate(tree)
