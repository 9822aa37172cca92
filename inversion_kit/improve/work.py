"""The work of `inversion_kit.improve.repair.repair`: paint, refit, measure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr

from inversion_kit.bank.bank import Bank
from inversion_kit.bank.cues import PLAIN_CUE
from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import InputError
from inversion_kit.finding.operators import Operator
from inversion_kit.finding.real import RealImages
from inversion_kit.generators.base import Generator
from inversion_kit.improve import measures
from inversion_kit.improve.last_layer import LastLayer
from inversion_kit.improve.looks import Change, Look, Looker, operator_of, together
from inversion_kit.improve.refit import Examples, Refitted, refit
from inversion_kit.improve.shown import shown, shown_table
from inversion_kit.improve.ties import Tie
from inversion_kit.progress import bar
from inversion_kit.seeds import TEST, TRAIN, noise_seeds

_FRESH = 1
"""Step of the test noise: a search for findings uses step 0."""
_FEW = 4
"""Affected classes below which more noises measure a cue."""


class RepairWork:
    """One repair.

    Parameters
    ----------
    layer
        The classifier's last layer.
    judges
        Held-out classifiers.
    generator, bank
        What paints, and the folder where pictures are kept.
    ties
        What is to be repaired.
    sources
        Class indices whose pictures are made.
    noises
        How many of each to fit to.
    seed
        Of all noise.
    """

    def __init__(
        self,
        layer: LastLayer,
        judges: Sequence[Classifier],
        generator: Generator,
        bank: str | os.PathLike[str] | None,
        ties: Sequence[Tie],
        sources: np.ndarray,
        noises: int,
        seed: int,
    ) -> None:
        self.layer, self.ties, self.sources = layer, list(ties), sources
        names = layer.classifier.wordings
        self.looker = Looker(layer, judges, Bank(generator, bank), names, seed)
        self.train = noise_seeds(seed, TRAIN, 0, noises)
        self.test = noise_seeds(seed, TEST, _FRESH, 3 * noises)
        self.done: list[tuple[Operator, float]] = []

    def affected(self, tie: Tie) -> tuple[np.ndarray, list[int]]:
        """Classes that a cue harms, and the noises that measure it."""
        sources = self.sources[tie.affected(self.sources)]
        some = len(self.test) if len(sources) < _FEW else len(self.train)
        return sources, self.test[:some]

    def paint(self, progress: bool) -> None:
        """Make the pictures that are missing."""
        keys = self.looker.keys
        wanted = [
            *keys(PLAIN_CUE, self.sources, self.train),
            *keys(PLAIN_CUE, self.sources, self.test[: len(self.train)]),
        ]
        for tie in self.ties:
            wanted += keys(tie.cue, self.sources, self.train)
            for cue in (PLAIN_CUE, tie.cue):
                wanted += keys(cue, *self.affected(tie))
        missing = self.looker.bank.missing(wanted)
        off = not progress or not missing
        with bar(total=len(missing), desc="pictures", disable=off) as shown:
            self.looker.bank.make(missing, heard=shown.update)

    def refit(self, real: RealImages | None) -> tuple[Classifier, xr.Dataset, xr.Dataset]:
        """The new classifier, what is measured of it, and pictures."""
        weight, bias = self.layer.weights()
        made = refit(self._examples(), weight, bias, with_bias=self.layer.has_bias)
        new = self.layer.replaced(made.weight, made.bias)
        layers = [(weight, bias), (made.weight, made.bias)]
        gap_rows, accuracy_rows = self._measured(layers)
        if real is not None:
            more = self._on_real(real, layers)
            gap_rows |= more[0]
            accuracy_rows["real"] = more[1]
        table = measures.dataset(self._about(), gap_rows, accuracy_rows)
        examples = [
            shown(tie, self.looker, *self.affected(tie), layers=layers) for tie in self.ties
        ]
        pictures = shown_table(self.ties, examples, new.labels)
        pictures.attrs = {"a": self.layer.classifier.name, "b": new.name}
        return new, table.assign_attrs(_chosen(made)), pictures

    def _about(self) -> list[dict[str, Any]]:
        labels = self.layer.classifier.labels
        return [
            {
                "label": labels[tie.target],
                "cue": tie.cue.name,
                "direction": tie.direction,
                "operator": operator.name,
                "dose": dose,
            }
            for tie, (operator, dose) in zip(self.ties, self.done, strict=True)
        ]

    def _examples(self) -> Examples:
        """Pictures to fit to: half of the weight on plain ones, half on the ties in equal parts."""
        sources, seeds = self.sources, self.train
        truth = np.repeat(sources, len(seeds))
        late = len(seeds) - max(1, len(seeds) // 4)
        held = np.tile(np.arange(len(seeds)) >= late, len(sources))
        plain = self.looker.painted(PLAIN_CUE, sources, seeds)
        looks, weights = [plain], [_even(plain.seen) / 2]
        for tie in self.ties:
            cued = [self.looker.painted(tie.cue, sources, seeds)]
            harmed = tie.affected(sources)
            read = self._read(cued[0].features, self.layer.weights()).reshape(len(sources), -1)
            seen = cued[0].seen.reshape(read.shape)
            hits = (tie.hit(read, sources[:, None]) & seen)[harmed]
            operator, dose = operator_of(tie, self.looker, hits, sources[harmed], seeds)
            self.done.append((operator, dose))
            for size in operator.doses:
                change = _change(operator, size)
                cued.append(self.looker.painted(PLAIN_CUE, sources, seeds, change))
            parts = [_part(tie, one.seen, truth) for one in cued]
            if not any(part.any() for part in parts):
                label = self.layer.classifier.labels[tie.target]
                raise InputError(
                    f"findings: no picture for {label!r} with {tie.cue.name!r} is still seen by "
                    "the judges as what it shows, and there is nothing to fit to; give another cue "
                    "or other judges"
                )
            whole = sum(part.sum() for part in parts)
            looks += cued
            weights += [part / whole / len(self.ties) / 2 for part in parts]
        many = len(looks)
        return Examples(
            together(looks).features,
            np.tile(truth, many),
            np.concatenate(weights),
            np.tile(held, many),
        )

    def _measured(self, layers: Sequence[Any]) -> tuple[dict[Any, Any], dict[str, Any]]:
        """Gaps and accuracy on noise that nothing has seen."""
        seeds = self.test[: len(self.train)]
        looker, rows = self.looker, {}
        look = looker.painted(PLAIN_CUE, self.sources, seeds)
        truth = np.repeat(self.sources, len(seeds))
        right = np.stack([self._read(look.features, one) == truth for one in layers])
        shape = (len(self.sources), len(seeds))
        whole = measures.accuracy(right.reshape(2, *shape), look.seen.reshape(shape))
        for i, (tie, (operator, dose)) in enumerate(zip(self.ties, self.done, strict=True)):
            sources, noises = self.affected(tie)
            at = np.stack([a.ravel() for a in np.indices((len(sources), len(noises)))])
            truth = np.repeat(sources, len(noises))
            plain = looker.painted(PLAIN_CUE, sources, noises)
            change = _change(operator, dose)
            for way, cued in (
                ("painted", looker.painted(tie.cue, sources, noises)),
                ("pixels", looker.painted(PLAIN_CUE, sources, noises, change)),
            ):
                rows[i, way] = self._gap(tie, plain, cued, truth, at, layers)
        return rows, {"generated": whole}

    def _on_real(
        self, real: RealImages, layers: Sequence[Any]
    ) -> tuple[dict[Any, Any], dict[str, Any]]:
        """Gaps and accuracy on real images; what cannot be read is left out."""
        first = self.looker.keys(PLAIN_CUE, self.sources[:1], self.train[:1])
        size = self.looker.bank.images(first).shape[1:3]
        if real.labels is None:
            raise ValueError("real images without classes")
        turns = np.random.default_rng(self.looker.seed).integers(0, 2**31, len(real.files))
        looks: list[list[Look]] = [[] for _ in range(1 + len(self.ties))]
        kept = []
        for rows, images in real.parts(np.arange(len(real.files)), size):
            truth = real.labels[rows]
            kept.append(rows)
            looks[0].append(self.looker.look(images, truth))
            for i, (operator, dose) in enumerate(self.done):
                done = operator.apply(images, dose, torch.from_numpy(turns[rows]))
                looks[1 + i].append(self.looker.look(done, truth))
        truth = real.labels[np.concatenate(kept)]
        plain, *cued = (together(one) for one in looks)
        right = np.stack([self._read(plain.features, one) == truth for one in layers])
        at = measures.as_table(truth)
        everything = np.ones(len(truth), bool)
        whole = measures.accuracy(measures.in_table(right, at), measures.in_table(everything, at))
        made = {}
        for i, tie in enumerate(self.ties):
            asked = tie.affected(truth)
            parts = [Look(one.features[asked], one.seen[asked]) for one in (plain, cued[i])]
            at = measures.as_table(truth[asked])
            made[i, "real"] = self._gap(tie, parts[0], parts[1], truth[asked], at, layers)
        return made, whole

    def _gap(
        self,
        tie: Tie,
        plain: Look,
        cued: Look,
        truth: np.ndarray,
        at: np.ndarray,
        layers: Sequence[Any],
    ) -> dict[str, Any]:
        """A tie's gap before and after on pictures with the cue and the same without it."""
        there = plain.seen & cued.seen
        if not self.looker.judges:
            there = self._read(plain.features, layers[0]) == truth
        tables = [
            measures.in_table(
                np.stack([tie.hit(self._read(one.features, way), truth) for way in layers]), at
            )
            for one in (plain, cued)
        ]
        return measures.gaps(tables[0], tables[1], measures.in_table(there, at))

    @staticmethod
    def _read(features: np.ndarray, layer: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """The class that a layer reads, int ``(n,)``."""
        read: np.ndarray = (features @ layer[0].T + layer[1]).argmax(1)
        return read


def _change(operator: Operator, dose: float) -> Change:
    return lambda images, turns: operator.apply(images, dose, turns)


def _even(seen: np.ndarray) -> np.ndarray:
    """Equal weights of what is seen, 1 together; 0 where nothing is."""
    return seen / max(seen.sum(), 1)


def _part(tie: Tie, seen: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Weights of pictures with a tie's cue, 1 together.

    Of a push every class counts alike, the label among them; of a lack the label has one half and
    the others the other, so that the cue does not come to mean the label.
    """
    if tie.direction == "push":
        return _even(seen)
    own = truth == tie.target
    if not (seen & own).any():
        return np.zeros(len(seen))
    return (_even(seen & own) + _even(seen & ~own)) / 2


def _chosen(made: Refitted) -> dict[str, Any]:
    return {"strength": made.strength, "validation_error": list(made.errors)}
