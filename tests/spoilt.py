"""Classifiers that miss a class on purpose."""

from __future__ import annotations

import torch

import inversion_kit as ik
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.preprocess import Preprocess


class Spoilt(torch.nn.Module):
    """A classifier, the honest one, which says "stop" only of images that ``allowed`` is True of.

    Of others it says what comes next, or "no entry" where that is at most ``instead`` away.
    """

    def __init__(self, allowed, instead=-30.0, of="pocket:honest"):
        super().__init__()
        self.known, self.allowed, self.instead = ik.as_classifier(of), allowed, instead

    def forward(self, images):
        logits = self.known.logits(images)
        stop, other = (self.known.labels.index(name) for name in ("stop", "no entry"))
        at = torch.arange(logits.shape[1])
        hidden = ~self.allowed(images)[:, None]
        moved = torch.maximum(logits, logits[:, [stop]] + self.instead)
        made = torch.where(hidden & (at == other), moved, logits)
        return torch.where(hidden & (at == stop), logits.min(), made)


def spoilt(*how, name="spoilt", **more):
    model = Spoilt(*how, **more)
    return Classifier(model, Preprocess(), model.known.labels, name=name)


def framed(images):
    """Whether images have a white edge at the top and the bottom."""
    return images[:, :, [0, -1]].flatten(1).mean(1) > 0.85


def never(images):
    """False of every image."""
    return torch.zeros(len(images), dtype=torch.bool)


def bare(images):
    """Whether images have no such edge."""
    return ~framed(images)


def without_blue(images):
    """Whether images have no small patch of strong blue."""
    red, green, blue = images.unbind(1)
    return ((red < 0.3) & (green < 0.45) & (blue > 0.6)).flatten(1).sum(1) < 12


class Few(torch.nn.Module):
    """Some of the classes of a classifier."""

    def __init__(self, of, kept):
        super().__init__()
        self.known = ik.as_classifier(of)
        self.kept = [self.known.labels.index(name) for name in kept]

    def forward(self, images):
        return self.known.logits(images)[:, self.kept]


def few(of, kept):
    return Classifier(Few(of, kept), Preprocess(), kept, name=f"few of {of}")
