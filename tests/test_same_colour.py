"""A colour that words have shown, tried in pixels: on toys whose trigger is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inversion_kit.bank.cues import Cue
from inversion_kit.classifiers.base import Classifier
from inversion_kit.finding.effects import Effect
from inversion_kit.finding.panel import Panel
from inversion_kit.finding.same_colour import same_colour
from inversion_kit.finding.verdicts import Finding
from tests.test_trigger import CLASSES, corner, pictures, toy

FRAME = Finding(
    label="band 3",
    direction="push",
    cue=Cue("purple frame", "frame", (), "purple"),
    lens="words",
    effect=Effect(0.9, 0.7, 1.0, 6, 7, 0.01, 0.0, 40),
    placebo=0.0,
    chance=0.01,
    proof=None,
)


def tried(*known: Finding, classifier: Classifier | None = None) -> list[Finding]:
    panel = Panel(toy(corner()) if classifier is None else classifier, [toy(seed=1)])
    return same_colour(panel, pictures(), np.arange(CLASSES), known)


def test_a_frame_leads_to_the_patch_that_was_planted() -> None:
    (found,) = tried(FRAME)
    assert found.cue.name == "purple patch, bottom left"
    assert (found.label, found.direction, found.lens) == ("band 3", "push", "trigger")
    assert found.confirmed
    assert found.effect.value > 0.8
    assert found.effect.of == CLASSES - 1
    assert found.proof is not None
    assert found.proof.varied["elsewhere"][0] < 0.2
    said = found.sentence.replace("\xa0", " ")
    assert "in another colour 0 %). Done to the pixels (purple patch, bottom left): " in said


def test_a_classifier_without_the_patch_has_none() -> None:
    assert tried(FRAME, classifier=toy()) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"cue": Cue("green frame", "frame", (), "green")},  # another colour
        {"cue": Cue("dark", "light", ())},  # no colour
        {"direction": "lack"},
        {"only": ("band 1",)},  # one class alone: a look-alike, not a trigger
        {"chance": 0.5},  # does not stand
        {"effect": replace(FRAME.effect, judges=0.9)},  # natural
    ],
)
def test_only_colours_that_push_several_classes_are_tried(changed: dict[str, object]) -> None:
    assert tried(replace(FRAME, **changed)) == []


def test_a_label_with_a_proved_trigger_needs_no_other() -> None:
    (found,) = tried(FRAME)
    assert tried(FRAME, found) == []
