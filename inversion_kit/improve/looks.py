"""Pictures of a cue, painted or done to pixels, as the classifier's last layer is given them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inversion_kit.bank.bank import Bank, Key
from inversion_kit.bank.cues import PLAIN_CUE, Cue
from inversion_kit.classifiers.base import Classifier
from inversion_kit.finding.cue_operators import operators_for
from inversion_kit.finding.effects import keys_of
from inversion_kit.finding.operators import Operator, Pairs
from inversion_kit.finding.panel import Panel
from inversion_kit.finding.proof import DONORS, FEWEST, prove
from inversion_kit.generators.sample import from_bytes
from inversion_kit.improve.last_layer import LastLayer
from inversion_kit.improve.ties import Tie

_BLOCK = 64
_TRIED = 8
"""Sources of a proof that chooses an operator, at most."""
Change = Callable[[Tensor, Tensor], Tensor]
"""From images float ``(n, 3, y, x)`` and turns int ``(n,)`` to images."""


@dataclass(frozen=True)
class Look:
    """What was seen of pictures, one a row.

    Parameters
    ----------
    features
        What goes into the last layer, float32 ``(n, feature)``.
    seen
        Whether most of the judges read the source, bool ``(n,)``; True without judges.
    """

    features: np.ndarray
    seen: np.ndarray


class Looker:
    """Asks the features and the judges about pictures, a few at a time.

    Parameters
    ----------
    layer
        The classifier's last layer.
    judges
        Held-out classifiers; may be empty.
    bank
        Where the generator's pictures come from.
    names
        Wording of each class in prompts.
    seed
        Of the places and donors that operators take.
    """

    def __init__(
        self,
        layer: LastLayer,
        judges: Sequence[Classifier],
        bank: Bank,
        names: Sequence[str],
        seed: int,
    ) -> None:
        self.layer, self.judges, self.bank = layer, list(judges), bank
        self.panel = Panel(layer.classifier, judges)
        self.names, self.seed = names, seed

    def keys(self, cue: Cue, sources: np.ndarray, seeds: Sequence[int]) -> list[Key]:
        """Pictures of a cue on classes and noises, source by source."""
        return keys_of(cue, [self.names[i] for i in sources], seeds)

    def painted(
        self,
        cue: Cue,
        sources: np.ndarray,
        seeds: Sequence[int],
        change: Change | None = None,
    ) -> Look:
        """Pictures of `keys`, with a change of their pixels where one is given."""
        truth = np.repeat(sources, len(seeds))
        chance = np.random.default_rng([self.seed, *[s % 2**32 for s in seeds]])
        turns = torch.from_numpy(chance.integers(0, 2**31, len(truth)))
        made = []
        for part, pixels in self.bank.parts(self.keys(cue, sources, seeds), _BLOCK):
            images = from_bytes(pixels)
            done = images if change is None else change(images, turns[part])
            made.append(self.look(done, truth[part]))
        return together(made)

    def look(self, images: Tensor, truth: np.ndarray) -> Look:
        """Any pictures, of which the classes are known."""
        return Look(self.layer.features(images), self.panel.judges_see(images, truth))


def together(looks: Sequence[Look]) -> Look:
    """Looks one after the other."""
    return Look(*(np.concatenate([getattr(x, f) for x in looks]) for f in ("features", "seen")))


def operator_of(
    tie: Tie, looker: Looker, hits: np.ndarray, sources: np.ndarray, seeds: Sequence[int]
) -> tuple[Operator, float]:
    """What does a tie's cue to pixels, and the dose that it is measured at.

    A finding's own operator where it has one, else the one that a proof on these pictures, which
    are for training, chooses.

    Parameters
    ----------
    hits
        Whether the painted picture of each source and noise is read as the cue would have it, bool
        ``(source, noise)``: those are the donors.
    """
    rows = np.argwhere(hits if hits.sum() >= FEWEST else np.ones_like(hits))[:DONORS]
    plain, painted = (
        looker.bank.images([keys[s * len(seeds) + n] for s, n in rows])
        for keys in (looker.keys(cue, sources, seeds) for cue in (PLAIN_CUE, tie.cue))
    )
    operators = operators_for(tie.cue, Pairs(from_bytes(plain), from_bytes(painted)))
    known = {one.name: one for one in operators}
    if tie.operator in known:
        chosen = known[tie.operator]
        return chosen, tie.dose if tie.dose in chosen.doses else chosen.doses[-1]
    tried = sources[np.argsort(-hits.sum(1), kind="stable")[:_TRIED]]
    tables = [
        images.reshape(len(tried), len(seeds), *images.shape[1:])
        for images in (
            looker.bank.images(looker.keys(cue, tried, seeds)) for cue in (PLAIN_CUE, tie.cue)
        )
    ]
    proof = prove(
        tie.cue,
        direction=tie.direction,
        target=tie.target,
        classifier=looker.layer.classifier,
        judges=looker.judges,
        plain=tables[0],
        painted=tables[1],
        sources=tried,
        seed=looker.seed,
        operators=operators,
    )
    return known[proof.operator], proof.doses[proof.best]
