"""What one seed's search has seen so far: steps, checks, probed words and queries."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """One optimiser update: the images and scores that drove it, and the token after it.

    Of a generation of `cma.evolve`: images and scores of its best token, the middle of the tokens
    after it, and the ``losses`` of all.

    Parameters
    ----------
    step
        Number of the update, at least 0; an update is counted once, over all starts.
    start
        Name of the start that the token began at.
    loss
        Mean objective over the batch, before the update; cross-entropy in nats by default.
    gradient_norm
        Euclidean, of the loss by the token's vector, before it was clipped: loss a unit of the
        embedding. NaN without a gradient.
    token
        Float32 ``(vector, embed)``, after the update.
    images
        ``(n, 3, y, x)``, float in [0, 1] or uint8 thumbnails.
    probability
        Float32 ``(n, class)`` in [0, 1], of the token before the update.
    prompts
        ``n`` prompts with the placeholder.
    seeds
        ``n`` noise seeds, integers in [0, 2**63).
    optimizer
        Adam's state after it, to go on from.
    losses
        Float32 ``(token,)``, of a generation; empty of others.
    """

    step: int
    start: str
    loss: float
    gradient_norm: float
    token: Tensor
    images: Tensor
    probability: Tensor
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    optimizer: dict[str, Tensor] = field(default_factory=dict, repr=False)
    losses: Tensor = field(default_factory=lambda: torch.empty(0), repr=False)

    def mean(self, target: int) -> float:
        """Mean probability of a class on the images, in [0, 1]; the same on every device.

        Parameters
        ----------
        target
            Class index.

        Returns
        -------
        float
            Not rounded on the way, so that a search that goes on decides as before.

        Examples
        --------
        >>> seen = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
        >>> Step(0, "neutral", 0.0, 0.0, seen[0], seen, seen, ("", ""), (0, 1)).mean(1)
        0.625
        """
        each = self.probability[:, target].tolist()
        return math.fsum(each) / len(each)


@dataclass(frozen=True)
class Check:
    """The token on held-out noise.

    Parameters
    ----------
    step
        Updates so far.
    start
        Name of the start that the token began at.
    token
        Float ``(vector, embed)``.
    images
        ``(n, 3, y, x)``, float in [0, 1] or uint8 thumbnails.
    probability
        Float ``(n, class)`` in [0, 1].
    score
        Mean probability of the target, in [0, 1].
    loss
        Mean of an objective of the user's own, where there is one; else NaN.
    """

    step: int
    start: str
    token: Tensor
    images: Tensor
    probability: Tensor
    score: float
    loss: float = math.nan

    @property
    def value(self) -> float:
        """What stops, restarts and selects; higher is better.

        The mean target probability, or minus the mean of an objective of the user's own.
        """
        return self.score if math.isnan(self.loss) else -self.loss


@dataclass(frozen=True)
class Probe:
    """Words in the token's place, best first, with the label's mean log-probability ``(word,)``."""

    words: tuple[str, ...]
    log_probability: np.ndarray


@dataclass(frozen=True)
class Query:
    """A line of the ledger: what queries were spent on, and what that gave.

    Parameters
    ----------
    kind
        "check", "probe", "generation"; in results "rehearsal", "identity" and "samples" too.
    step
        Generations done.
    queries
        Images that the classifier has scored so far, this line's included.
    score
        Mean target probability: of the check, of the probe's best word, of the generation's best
        token.
    best
        Highest score of a check so far.
    """

    kind: str
    step: int
    queries: int
    score: float
    best: float


@dataclass
class History:
    """All that one seed's search saw.

    Parameters
    ----------
    seed
        Of the run.
    held_out
        Noise seeds of its checks.
    steps, checks
        In the order in which they were made; images are uint8 thumbnails ``(n, 3, y, x)``.
    probe
        What the vocabulary probe gave, where it was asked.
    ledger
        What queries were spent on, where they are counted.
    """

    seed: int
    held_out: list[int]
    steps: list[Step] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    probe: Probe | None = None
    ledger: list[Query] = field(default_factory=list)

    @property
    def selected(self) -> int:
        """Index of the check with the highest `Check.value`: the best on held-out noise."""
        return max(range(len(self.checks)), key=lambda i: self.checks[i].value)

    @property
    def token(self) -> Tensor:
        """The token that is kept, ``(vector, embed)``."""
        return self.checks[self.selected].token

    @property
    def spent(self) -> int:
        """Queries in the ledger so far."""
        return self.ledger[-1].queries if self.ledger else 0

    def book(self, kind: str, queries: int, score: float) -> None:
        """Write a line into the ledger."""
        best = max((check.score for check in self.checks), default=math.nan)
        self.ledger.append(Query(kind, len(self.steps), self.spent + queries, score, best))
