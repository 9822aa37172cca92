"""The vocabulary probe: which known word, in the token's place, the classifier likes best.

A far class is an exploration problem: from a neutral start its gradient says nothing. The probe
needs no gradient. Its images depend on the generator alone and are kept for the next label. Where
no word is near, the sum of two often is: "left" and "or" paint what neither paints alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from inversion_kit import objectives
from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.kept import Batches, kept
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.generators.sample import sample
from inversion_kit.pictures import levels
from inversion_kit.search.history import Probe
from inversion_kit.seeds import PROBE, noise_seeds

MOST_WORDS = 512
"""Words of a vocabulary that are all probed; of a larger one half as many are the same for every
label."""
FEW, BATCH = 4, 48
"""Denoising steps of a first try, at most, and images of it that are made together."""
SHORTLIST, SUMS, NOISES = 24, 8, 3
"""Words, and sums of two, that are tried a second time, and the start noises of that."""
FIRST, SECOND = 3, 64
"""Probed words that sums begin with, and those that are added to each of them, at most."""
PLUS = " + "
"""Between the words of a sum."""


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
    shortlist: int = SHORTLIST,
    first_noises: int = 1,
    noises: int = NOISES,
    num_inference_steps: int = FEW,
    bank: Batches | None = None,
) -> Probe:
    """Score every word in the token's place on the same noises.

    All words get ``first_noises`` and few denoising steps; the best ``shortlist`` of them get
    ``noises`` more at the generator's own number of steps, and their mean over those alone.

    Words are ranked by the label's log-probability above the mean over all labels. (Far from a
    class its probability alone is highest for pictures of nothing, which a classifier is not sure
    of.) With a multi-label head or an objective of the user's own they are ranked by the objective.

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
    first_noises, noises
        Start noises of the first and of the second try, shared by all words.
    num_inference_steps
        Denoising steps of the first try, at most.
    bank
        Where the words' images lie for other processes.

    Returns
    -------
    Probe
        The shortlist, best first, then the other words, best first.
    """
    few = min(num_inference_steps, generator.num_inference_steps)

    def paint(chosen: Sequence[str], seeds: Sequence[int], steps: int | None) -> Tensor:
        return _painted(generator, prompts, chosen, seeds, steps, bank=bank)

    score = functools.partial(_scores, classifier, target, objective=objective)
    return _in_two_rounds(words, paint, score, seed, shortlist, (first_noises, noises), few)


@torch.no_grad()
def probe_pairs(
    classifier: Classifier,
    generator: Generator,
    target: int,
    prompts: Sequence[str],
    words: Sequence[str],
    best: Sequence[str],
    *,
    seed: int,
    objective: objectives.Objective | None = None,
    shortlist: int = SUMS,
    first_noises: int = 1,
    noises: int = NOISES,
    num_inference_steps: int = FEW,
    bank: Batches | None = None,
) -> Probe:
    """Score sums of two words in the token's place, as `probe` scores words.

    The best `FIRST` words of a probe are each added to the `SECOND` words whose pictures are read
    most surely, as whatever: the other half of a class may be what paints another class.

    Parameters
    ----------
    words
        All that were probed, in the order in which `probe` was given them.
    best
        The same, best first.
    shortlist, first_noises, noises, num_inference_steps, bank
        See `probe`; for the rest too.

    Returns
    -------
    Probe
        The sums on the shortlist, best first, as names that `start_vector` reads ("left + or");
        none of fewer than two words.
    """
    few = min(num_inference_steps, generator.num_inference_steps)
    seeds = noise_seeds(seed, PROBE, 0, first_noises)
    images = _painted(generator, prompts, words, seeds, few, bank=bank)
    surest = [words[i] for i in np.argsort(-_sureness(classifier, images, len(seeds)))[:SECOND]]
    first = list(best[:FIRST])
    sums = [
        PLUS.join((a, b))
        for i, a in enumerate(first)
        for b in [*first[i + 1 :], *(w for w in surest if w not in first)]
    ]
    if not sums:
        return Probe((), np.empty(0, np.float32))

    def paint(chosen: Sequence[str], seeds: Sequence[int], steps: int | None) -> Tensor:
        images = []
        for turn, name in enumerate(chosen):
            start = turn * len(seeds)
            asked = [prompts[(start + i) % len(prompts)] for i in range(len(seeds))]
            token = ClassToken(start_vector(generator, name))
            images.append(
                sample(generator, asked, seeds=seeds, token=token, num_inference_steps=steps)
            )
        return levels(torch.cat(images))

    score = functools.partial(_scores, classifier, target, objective=objective)
    whole = _in_two_rounds(sums, paint, score, seed, shortlist, (first_noises, noises), few)
    return Probe(whole.words[:shortlist], whole.log_probability[:shortlist])


def first_noises(generator: Generator) -> int:
    """Start noises of a word's first try: two where one step makes the whole image.

    One step on one noise tells too little.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> first_noises(as_generator("pocket:quick")), first_noises(as_generator("pocket"))
    (2, 1)
    """
    return 2 if generator.num_inference_steps == 1 else 1


def start_vector(generator: Generator, name: str) -> Tensor:
    """The vector ``(embed,)`` of a word, or of a sum of words, as long as one of them.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> start_vector(as_generator("pocket"), "left + or").shape
    torch.Size([128])
    """
    parts = [generator.vector_of(word) for word in name.split(PLUS)]
    return torch.stack(parts).sum(0) / math.sqrt(len(parts))


def is_sum(name: str) -> bool:
    """Whether a start is named as a sum of words.

    Examples
    --------
    >>> is_sum("left + or"), is_sum("left")
    (True, False)
    """
    return PLUS in name


def _in_two_rounds(
    names: Sequence[str],
    paint: Callable[[Sequence[str], Sequence[int], int | None], Tensor],
    score: Callable[[Tensor, int], tuple[np.ndarray, np.ndarray]],
    seed: int,
    shortlist: int,
    noises: tuple[int, int],
    few: int,
) -> Probe:
    """All on a first few noises and steps, the best of them again on more; best first."""

    def ranked(
        chosen: Sequence[str], seeds: list[int], steps: int | None
    ) -> tuple[list[str], np.ndarray]:
        rank, log_probability = score(paint(chosen, seeds, steps), len(seeds))
        order = np.argsort(rank, kind="stable")
        return [chosen[i] for i in order], log_probability[order]

    order, value = ranked(names, noise_seeds(seed, PROBE, 0, noises[0]), few)
    kept = [name for name in names if name in set(order[:shortlist])]
    best, again = ranked(kept, noise_seeds(seed, PROBE, 1, noises[1]), None)
    whole = np.concatenate([again, value[shortlist:]]).astype(np.float32)
    return Probe((*best, *order[shortlist:]), whole)


def _painted(
    generator: Generator,
    prompts: Sequence[str],
    words: Sequence[str],
    seeds: Sequence[int],
    steps: int | None,
    *,
    bank: Batches | None,
    batch: int = BATCH,
) -> Tensor:
    """uint8 images of all words on all seeds, those of a word beside each other."""
    asked = [
        prompts[i % len(prompts)].replace(PLACEHOLDER, word)
        for word in words
        for i in range(len(seeds))
    ]
    noises = [*seeds] * len(words)
    return kept(generator, asked, seeds=noises, steps=steps, batch=batch, bank=bank)


def _scores(
    classifier: Classifier,
    target: int,
    images: Tensor,
    noises: int,
    *,
    objective: objectives.Objective | None,
    batch: int = BATCH,
) -> tuple[np.ndarray, np.ndarray]:
    """What ranks each word, lowest first, and the target's mean log-probability: ``(word,)``."""

    def score(part: slice) -> Tensor:
        pixels = images[part].float() / 255
        logits = classifier.logits(pixels)
        wanted = torch.full((len(logits),), target, device=logits.device)
        usual = objectives.default(classifier)(logits, wanted)
        if objective is not None:
            rank = objectives.bind(objective, pixels)(logits, wanted)
        elif classifier.head == "sigmoid":
            rank = usual
        else:
            rank = usual + logits.log_softmax(1).mean(1)
        return torch.stack([rank, -usual])

    both = torch.cat(MicroBatch(batch, of=classifier, doing="scores").parts(len(images), score), 1)
    rank, log_probability = both.view(2, -1, noises).mean(-1).cpu().numpy()
    return rank, log_probability


def _sureness(
    classifier: Classifier, images: Tensor, noises: int, batch: int = BATCH
) -> np.ndarray:
    """The highest probability that each word's pictures get, mean over noises: ``(word,)``."""

    def score(part: slice) -> Tensor:
        return classifier.probability(classifier.logits(images[part].float() / 255)).amax(1)

    parts = MicroBatch(batch, of=classifier, doing="scores").parts(len(images), score)
    return torch.cat(parts).view(-1, noises).mean(1).cpu().numpy()


def candidates(generator: Generator, name: str, *, seed: int, limit: int = MOST_WORDS) -> list[str]:
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
    named = [w for w in name.lower().split() if w in generator.vocabulary]
    return list(dict.fromkeys([*named, *(words[i] for i in near), *_drawn(words, seed, limit)]))


def shared_first(
    generator: Generator, words: Sequence[str], *, seed: int, limit: int = MOST_WORDS
) -> list[str]:
    """`candidates` of a label, those before the others that all labels have.

    In one order they are painted in the same batches, so that they are painted once.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> pocket = as_generator("pocket")
    >>> len(shared_first(pocket, candidates(pocket, "stop", seed=0), seed=0))
    296
    """
    known = list(generator.vocabulary)
    if len(known) <= limit:
        return list(words)
    return list(dict.fromkeys([*_drawn(known, seed, limit), *words]))


def _drawn(words: Sequence[str], seed: int, limit: int) -> list[str]:
    """A random sample of words, which no label decides."""
    rest = np.random.default_rng(seed).permutation(len(words))[: limit // 2]
    return [words[i] for i in rest.tolist()]
