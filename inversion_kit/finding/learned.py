"""The lens of a token: a word is learned that no list has, and its pictures are looked at.

For the labels that are most suspicious and not explained yet. The word is learned behind the name
of each source ("a photo of a stop sign with a ..."): the classifier shall read the label, the
judges the source. It starts at the best cue's words and stays near them, so that the source is not
lost.
What it does is measured like any cue, on sources and noises on which it was not learned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inversion_kit.bank.bank import Bank, Key
from inversion_kit.bank.cues import Cue
from inversion_kit.finding.effects import measure, placebo
from inversion_kit.finding.panel import Panel, first_class
from inversion_kit.finding.screen import SCREENED, Candidate, Sources
from inversion_kit.finding.words import REPORTED, Measured, most_pushed
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.gradients import LAST_STEP
from inversion_kit.generators.sample import sample, to_bytes
from inversion_kit.seeds import TRAIN, VALIDATE, noise_seeds

LABELS = 2
"""Labels at most for which a word is learned."""
STEPS, BATCH, CHECK = 40, 8, 8
"""Updates at most, images of each, and updates between checks."""
ENOUGH = 0.75
"""Share of a check's pictures from which learning ends."""
RATE, RADIUS = 0.15, 1.0
"""Length of an update, and the farthest that the word goes from its start, in mean word norms."""
FEWEST = 4
"""Sources to learn on, and as many to measure on."""
CUE = Cue(
    "a learned word",
    "words",
    tuple(
        wording.replace("<>", PLACEHOLDER)
        for wording in ("a photo of a {source} with a <>", "a {source} with a <>")
    ),
)
"""The word behind a source's name."""


@dataclass(frozen=True)
class Learned:
    """A word and how it did on held-out noise.

    Parameters
    ----------
    vector
        Float32 ``(embed,)``.
    share
        Pictures of the last check that the classifier reads as the label and most judges as their
        source, in [0, 1].
    near
        The nearest word of the vocabulary.
    """

    vector: Tensor
    share: float
    near: str


class Painted(Bank):
    """A bank in which prompts that hold a learned word are painted with it, each time anew.

    Parameters
    ----------
    bank
        Whose other pictures it shows.
    vector
        The word, float ``(embed,)``.
    """

    def __init__(self, bank: Bank, vector: Tensor) -> None:
        vars(self).update(vars(bank))  # the same pictures
        self.token = ClassToken(vector)

    def images(self, keys: Sequence[Key]) -> np.ndarray:
        """As of `Bank.images`; those that hold the word are not kept.

        Parameters
        ----------
        keys
            ``n`` prompts, at least 1, each with its noise seed; `PLACEHOLDER` stands for the word.

        Returns
        -------
        np.ndarray
            RGB, uint8 ``(n, y, x, 3)``, in the order of the keys.
        """
        mine = [i for i, (prompt, _) in enumerate(keys) if PLACEHOLDER in prompt]
        if not mine:
            return super().images(keys)
        prompts, seeds = zip(*(keys[i] for i in mine), strict=True)
        made = to_bytes(sample(self.generator, prompts, seeds=seeds, token=self.token))
        rest = [key for i, key in enumerate(keys) if i not in set(mine)]
        others = iter(super().images(rest)) if rest else iter(())
        ours = iter(made)
        return np.stack([next(ours if PLACEHOLDER in prompt else others) for prompt, _ in keys])


def suspicious(
    push: np.ndarray, cues: Sequence[Cue], explained: Sequence[int], standing_out: Sequence[int]
) -> list[tuple[int, str]]:
    """Labels to learn a word for, and the words to start from.

    Parameters
    ----------
    push
        Share of sources that each cue moves to each class, ``(cue, class)``; NaN is none.
    explained
        Class indices that a confirmed finding explains.
    standing_out
        Class indices that triggers single out; they come first.

    Examples
    --------
    >>> cues = [Cue("dark", "light", ("dark {source}",)), Cue("", "placebo", ("{source}",))]
    >>> suspicious(np.array([[0.1, 0.3, 0.0], [0.9, 0.0, 0.0]]), cues, [], [2])
    [(2, ''), (1, 'dark')]
    """
    real = [i for i, cue in enumerate(cues) if cue.kind != "placebo"]
    table = np.nan_to_num(push[real])
    most = table.max(0)
    ranked = dict.fromkeys([*(int(i) for i in standing_out), *most_pushed(push, cues)])
    chosen = [label for label in ranked if label not in explained][:LABELS]
    return [
        (label, cues[real[int(table[:, label].argmax())]].name if most[label] > 0 else "")
        for label in chosen
    ]


@torch.inference_mode(False)
def learn(
    panel: Panel,
    generator: Generator,
    target: int,
    names: Sequence[str],
    index: np.ndarray,
    *,
    words: str,
    seed: int,
    steps: int = STEPS,
    heard: Callable[[int], None] = lambda n: None,
) -> Learned:
    """Learn a word that makes pictures of sources be read as the target, but not by the judges.

    Parameters
    ----------
    generator
        What paints while learning.
    target
        Class index.
    names, index
        Wordings and class indices of the sources.
    words
        What to start from; "" for the mean of the vocabulary.
    seed
        Of all noise.
    steps
        Updates at most.
    heard
        Called with updates done.
    """
    start = generator.vector_of(words) if words else generator.neutral_vector()
    norm = generator.vocabulary_norm()
    token = ClassToken(start)
    rate = RATE * norm / math.sqrt(start.numel())
    optimizer = torch.optim.Adam([token.vector], lr=rate, betas=(0.8, 0.99))
    best = _checked(panel, generator, target, names, index, token.vector, seed)
    for step in range(steps):
        at = (step * BATCH + np.arange(BATCH)) % len(names)
        asked = [CUE.of(names[int(s)], step + i) for i, s in enumerate(at)]
        images = generator.images(
            asked, seeds=noise_seeds(seed, TRAIN, step, BATCH), token=token, gradient=LAST_STEP
        )
        loss = _loss(panel, images, target, index[at])
        (token.vector.grad,) = torch.autograd.grad(loss, token.vector)
        torch.nn.utils.clip_grad_norm_([token.vector], 1.0)
        optimizer.step()
        with torch.no_grad():
            away = token.vector - start
            far = away.norm() / (RADIUS * norm)
            token.vector.copy_(start + away / far.clamp(min=1))
        heard(1)
        if (step + 1) % CHECK == 0 or step + 1 == steps:
            now = _checked(panel, generator, target, names, index, token.vector, seed)
            best = max(best, now, key=lambda one: one.share)
            if best.share >= ENOUGH:
                break
    heard(steps - step - 1)
    return best


def _loss(panel: Panel, images: Tensor, target: int, sources: np.ndarray) -> Tensor:
    """Cross-entropy of the classifier to the target, and of the judges to the sources."""
    n = len(images)
    logits = panel.classifier.logits(images)
    loss = F.cross_entropy(logits, torch.full((n,), target, device=logits.device))
    seen = torch.from_numpy(sources).to(logits.device)
    judged = [F.cross_entropy(judge.logits(images), seen) for judge in panel.judges]
    return loss + torch.stack(judged).mean() if judged else loss


def _checked(
    panel: Panel,
    generator: Generator,
    target: int,
    names: Sequence[str],
    index: np.ndarray,
    vector: Tensor,
    seed: int,
) -> Learned:
    """A word on held-out noise: one picture a source."""
    vector = vector.detach().clone().flatten()
    seeds = noise_seeds(seed, VALIDATE, 0, len(names))
    asked = [CUE.of(name) for name in names]
    images = sample(generator, asked, seeds=seeds, token=ClassToken(vector))
    read = np.stack([first_class(model, images) for model in panel.models])
    share = ((read[0] == target) & panel.sees(read, index)).mean()
    return Learned(vector, float(share), generator.nearest_words(vector, 1)[0][0])


def halves(sources: Sources, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of sources to learn on, and others to measure on; those that are read right."""
    there = np.flatnonzero((sources.chosen >= 0) & (sources.index != target))
    return there[::2], there[1::2]


def why_not(sources: Sources, target: int) -> str:
    """Why no word can be learned for a class: too few sources; empty where one can."""
    fewest = min(len(half) for half in halves(sources, target))
    if fewest >= FEWEST:
        return ""
    return f"{fewest} sources to learn on or to measure on, of {FEWEST} that it takes"


def look_for_words(
    panel: Panel,
    bank: Bank,
    searcher: Generator,
    sources: Sources,
    chosen: Sequence[tuple[int, str]],
    *,
    seed: int,
    heard: Callable[[int], None] = lambda n: None,
) -> list[tuple[Measured, Painted]]:
    """Learn a word for labels, and measure it as a cue on other sources and other noise.

    Parameters
    ----------
    searcher
        What paints while learning; the bank's generator paints what is measured.
    chosen
        As of `suspicious`; for each a word must be learnable (`why_not`).
    """
    made = []
    for target, words in chosen:
        making, measuring = halves(sources, target)
        names = [sources.names[s] for s in making]
        learned = learn(
            panel,
            searcher,
            target,
            names,
            sources.index[making],
            words=words,
            seed=seed,
            heard=heard,
        )
        painted = Painted(bank, learned.vector)
        cue = replace(CUE, name=f"{CUE.name} near {learned.near}")
        one = Candidate(-1, "push", target, tuple(measuring[:REPORTED].tolist()))
        seeds = sources.seeds[SCREENED:]
        effect = measure(panel, painted, cue, one, sources, seeds)
        other = placebo(panel, bank, one, sources, seeds)
        made.append((Measured(one, cue, effect, other, only=False), painted))
    return made
