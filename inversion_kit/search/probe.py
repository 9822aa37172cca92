"""The vocabulary probe: which known word, in the token's place, the classifier likes best.

A far class is an exploration problem: from a neutral start its gradient says nothing. The probe
needs no gradient. Its images depend on the generator alone and are kept for the next label.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from inversion_kit import objectives
from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.generators.kept import kept
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.generators.sample import sample
from inversion_kit.search.history import Probe
from inversion_kit.seeds import PROBE, noise_seeds


@torch.no_grad()
def probe(
    classifier: Classifier,
    generator: Generator,
    target: int,
    prompts: Sequence[str],
    words: Sequence[str],
    *,
    seed: int,
    objective: objectives.Objective | None = None,
    shortlist: int = 24,
    noises: int = 3,
    num_inference_steps: int = 4,
) -> Probe:
    """Score every word in the token's place on the same noises.

    All words get one noise and few denoising steps; the best ``shortlist`` of them get
    ``noises`` more at the generator's own number of steps, and their mean over those alone. Words
    are ranked by what the search optimises.

    Parameters
    ----------
    target
        Class index.
    prompts
        With the placeholder, taken in turn over the words.
    words
        Candidates.
    objective
        One of the user's own; None is the default of the classifier's head.
    shortlist
        Words that are tried a second time.
    noises
        Start noises of the second try, shared by all words.
    num_inference_steps
        Denoising steps of the first try, at most.

    Returns
    -------
    Probe
        The shortlist, best first, then the other words, best first.
    """
    few = min(num_inference_steps, generator.num_inference_steps)
    first = noise_seeds(seed, PROBE, 0, 1)
    second = noise_seeds(seed, PROBE, 1, noises)

    def ranked(
        chosen: list[str], seeds: list[int], steps: int | None
    ) -> tuple[list[str], np.ndarray]:
        images = _painted(generator, prompts, chosen, seeds, steps)
        loss, log_probability = _scores(classifier, target, images, len(seeds), objective)
        order = np.argsort(loss, kind="stable")
        return [chosen[i] for i in order], log_probability[order]

    order, value = ranked(list(words), first, few)
    kept = [word for word in words if word in set(order[:shortlist])]
    best, again = ranked(kept, second, None)
    whole = np.concatenate([again, value[shortlist:]]).astype(np.float32)
    return Probe((*best, *order[shortlist:]), whole)


def _painted(
    generator: Generator,
    prompts: Sequence[str],
    words: Sequence[str],
    seeds: Sequence[int],
    steps: int | None,
    batch: int = 48,
) -> Tensor:
    """uint8 images of all words on all seeds, those of a word beside each other."""
    asked = [
        prompts[i % len(prompts)].replace(PLACEHOLDER, word)
        for word in words
        for i in range(len(seeds))
    ]

    def make() -> Tensor:
        return sample(
            generator, asked, seeds=[*seeds] * len(words), batch=batch, num_inference_steps=steps
        )

    return kept(generator, [asked, list(seeds), steps], make)


def _scores(
    classifier: Classifier,
    target: int,
    images: Tensor,
    noises: int,
    objective: objectives.Objective | None,
    batch: int = 48,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss, and mean log-probability of the target, of each word: ``(word,)``."""

    def score(part: slice) -> Tensor:
        pixels = images[part].float() / 255
        logits = classifier.logits(pixels)
        wanted = torch.full((len(logits),), target, device=logits.device)
        usual = objectives.default(classifier)(logits, wanted)
        loss = usual if objective is None else objectives.bind(objective, pixels)(logits, wanted)
        return torch.stack([loss, -usual])

    both = torch.cat(MicroBatch(batch, of=classifier, doing="scores").parts(len(images), score), 1)
    loss, log_probability = both.view(2, -1, noises).mean(-1).cpu().numpy()
    return loss, log_probability


def candidates(generator: Generator, name: str, *, seed: int, limit: int = 512) -> list[str]:
    """Words to probe.

    All of a small vocabulary; of a large one the words of the label's name, the nearest
    neighbours of the name, and a random sample.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> "roundabout" in candidates(as_generator("pocket"), "stop", seed=0)
    True
    """
    words = list(generator.vocabulary)
    if len(words) <= limit:
        return words
    table = generator.embedding.weight[list(generator.vocabulary.values())].detach().float()
    table = torch.nn.functional.normalize(table, dim=1)
    own = torch.nn.functional.normalize(generator.vector_of(name), dim=0)
    near = (table @ own).topk(limit // 2).indices.tolist()
    rest = np.random.default_rng(seed).permutation(len(words))[: limit // 2].tolist()
    named = [w for w in name.lower().split() if w in generator.vocabulary]
    return list(dict.fromkeys([*named, *(words[i] for i in near), *(words[i] for i in rest)]))
