"""Once words have shown a colour: its patch in nine places and its cast, tried in pixels.

A generator paints a sticker where it likes, and a frame where a patch was asked for, so words tell
the colour of a trigger better than its shape. What does as much in pixels is checked as a trigger
is: on other pictures, beside placebos, and without any gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from inversion_kit.analysis.chance import corrected
from inversion_kit.bank.cues import COLOURS, Cue
from inversion_kit.finding.operators import PLACES, Operator, patch, tint
from inversion_kit.finding.panel import Panel, first_class
from inversion_kit.finding.screen import POOLED
from inversion_kit.finding.trigger import split
from inversion_kit.finding.trigger_check import Pictures, pasted
from inversion_kit.finding.verdicts import Finding
from inversion_kit.generators.sample import from_bytes

MOST = 4
"""Pairs of a label and a colour at most, the largest effect first."""
CHECKED = 0.3
"""Least share of the choosing pictures that are read as the label, for a look at others."""
CHOOSING = 2
"""Pictures of each source that choose a place and a dose."""


def same_colour(
    panel: Panel,
    plain: np.ndarray,
    sources: Sequence[int] | np.ndarray,
    findings: Sequence[Finding],
    *,
    seed: int = 0,
) -> list[Finding]:
    """Patches and casts in the colours of findings, for their labels.

    Parameters
    ----------
    panel
        The classifier and its judges.
    plain
        Pictures without any cue, uint8 ``(source, noise, y, x, 3)``, as of
        `inversion_kit.finding.trigger.look_for_triggers`.
    sources
        Class index of each source.
    findings
        Of words and triggers. Asked for are pushes of several classes with a coloured cue, of
        labels for which no trigger is confirmed yet.
    seed
        Of the choice of pictures and of placebos.

    Returns
    -------
    list of Finding
        The best patch and the best cast of each, where it moves `CHECKED` of the pictures that
        choose it; measured on others.
    """
    making, checking = split(plain, np.asarray(sources))
    few = Pictures(making.images[:, :CHOOSING], making.sources)
    made = []
    for label, colour in _asked(findings):
        target = panel.classifier.labels.index(label)
        choosing = few.without(target)
        for ways in (patches(colour), casts(colour)):
            tried = [
                (_share(panel, choosing, way, dose, target), dose, cue, way)
                for cue, way in ways
                for dose in way.doses
            ]
            share, dose, cue, way = max(tried, key=lambda one: one[0])
            if share >= CHECKED:
                made.append(pasted(panel, checking, target, cue, way, dose, seed=seed))
    chances = corrected([one.chance for one in made])
    made = [replace(one, chance=float(c)) for one, c in zip(made, chances, strict=True)]
    return [one for one in made if one.stands]


def patches(colour: str) -> Iterator[tuple[Cue, Operator]]:
    """Squares of a colour in three by three places, with what findings call them.

    Examples
    --------
    >>> [cue.name for cue, _ in patches("red")][:2]
    ['red patch, top left', 'red patch, top middle']
    """
    for place, corner in PLACES.items():
        name = f"{colour} patch, {place}"
        way = patch(name, COLOURS[colour], torch.tensor([corner]))
        yield Cue(name, "sticker", (), colour), way


def casts(colour: str) -> Iterator[tuple[Cue, Operator]]:
    """The cast of a colour."""
    name = f"{colour} tint over the whole picture"
    yield Cue(name, "tint", (), colour), tint(name, COLOURS[colour])


def _asked(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """Labels and colours, each once, the largest effect first."""
    known = {one.label for one in findings if one.lens == "trigger" and one.confirmed}
    several = [
        one
        for one in findings
        if one.direction == "push"
        and one.lens == "words"
        and one.cue.colour
        and one.stands
        and not one.natural
        and (not one.only or len(one.only) >= POOLED)
        and one.label not in known
    ]
    ordered = sorted(several, key=lambda one: -one.effect.value)
    return list(dict.fromkeys((one.label, one.cue.colour) for one in ordered))[:MOST]


def _share(panel: Panel, pictures: Pictures, way: Operator, dose: float, target: int) -> float:
    """Share of pictures that are read as the label, and still as their source by judges."""
    changed = pictures.changed(way.apply, dose)
    images = from_bytes(changed.reshape(-1, *changed.shape[2:]))
    rows = np.repeat(pictures.sources, pictures.images.shape[1])
    hit = first_class(panel.classifier, images) == target
    return float((hit & panel.judges_see(images, rows)).mean())
