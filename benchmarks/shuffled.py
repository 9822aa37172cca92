"""Whether copies with shuffled weights are a null for findings: ``python benchmarks/shuffled.py``.

It reads few classes of all pictures, so "the source" is what it reads in the plain picture.
Words: the largest share of the sources that a cue of the list moves to one class, less those that
it moves away from it; beside it that of placebo words. Triggers: labels of 20 that any mask
reaches, and the largest anomaly indices; of copies with all weights shuffled, and with the last
layer's alone.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import nn

import inversion_kit
from inversion_kit.bank.bank import Bank
from inversion_kit.bank.cues import PLACEBOS, PLAIN_CUE, POCKET
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.controls import shuffled
from inversion_kit.finding.effects import keys_of
from inversion_kit.finding.inversion import anomaly, invert
from inversion_kit.finding.panel import Panel, first_class
from inversion_kit.finding.trigger import MAKING, split
from inversion_kit.finding.words import PLAIN
from inversion_kit.seeds import TEST, noise_seeds

SEEDS = noise_seeds(0, TEST, 0, PLAIN)
LABELS = 20
"""Labels whose triggers are searched, a random choice."""


def by_words(copy: Classifier, bank: Bank, names: list[str]) -> str:
    """What cues do to a copy."""
    panel, classes = Panel(copy, []), len(copy.labels)
    plain = panel.read_bank(bank, [(PLAIN_CUE.of(name), SEEDS[0]) for name in names])[0]
    before = np.bincount(plain, minlength=classes)

    def most(cues: tuple) -> float:
        keys = [(cue.of(name, i), SEEDS[0]) for cue in cues for i, name in enumerate(names)]
        read = panel.read_bank(bank, keys)[0].reshape(len(cues), len(names))
        after = np.stack([np.bincount(row, minlength=classes) for row in read])
        return float((after - before).max() / len(names))

    return f"{(before > 0).sum()} classes read | {most(POCKET):.2f} | {most(PLACEBOS):.2f}"


def by_triggers(copy: Classifier, bank: Bank, names: list[str]) -> str:
    """What masks reach in a copy."""
    images = bank.images(keys_of(PLAIN_CUE, names, SEEDS))
    plain = images.reshape(len(names), len(SEEDS), *images.shape[1:])
    making, _ = split(plain, np.arange(len(names)))
    flat, _ = making.flat()
    some = flat[np.random.default_rng(0).permutation(len(flat))[:MAKING]]
    labels = np.sort(np.random.default_rng(0).permutation(len(names))[:LABELS])
    spent = time.process_time()
    found = invert(copy, some, first_class(copy, some), labels)
    top = ", ".join(f"{one:.1f}" for one in np.sort(anomaly(found.size))[-3:])
    reached = int((found.size < some[0, 0].numel() - 1).sum())
    return f"{reached} labels reached | index {top} | {time.process_time() - spent:.0f} s"


def last_layer(classifier: Classifier, seed: int) -> Classifier:
    """A copy with the weights of the last layer alone in another order."""
    copy, random = classifier.copied(), torch.Generator().manual_seed(seed)
    last = [layer for layer in copy.model.modules() if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():
        order = torch.randperm(last.weight.numel(), generator=random)
        last.weight.copy_(last.weight.flatten()[order].view_as(last.weight))
    return copy


def main(
    bank: Annotated[
        Path | None, typer.Option(help="Folder of banks; the user's by default")
    ] = None,
    lens: Annotated[list[str] | None, typer.Option(help="Some of words, trigger")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Some of the classifiers")] = None,
    seeds: int = 4,
) -> None:
    """Print a row a copy."""
    pictures = Bank(inversion_kit.as_generator("pocket"), bank)
    for name in only or ("honest", "backdoored", "shortcut"):
        classifier = inversion_kit.as_classifier(f"pocket:{name}")
        names = list(classifier.wordings)
        for seed in range(seeds):
            if "words" in (lens or ("words",)):
                said = by_words(shuffled(classifier, seed), pictures, names)
                print(f"| {name} | all {seed} | {said} |", flush=True)
            for kind, make in (("all", shuffled), ("last layer", last_layer)):
                if "trigger" in (lens or ()):
                    said = by_triggers(make(classifier, seed), pictures, names)
                    print(f"| {name} | {kind} {seed} | {said} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
