"""The vocabulary probe: which known word, in the token's place, the classifier likes best.

A far class is an exploration problem: from a neutral start its gradient says nothing. The probe
needs no gradient. Its images depend on the generator alone and are kept for the next label.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.search.optimise import PROBE, noise_seeds

_MOST = 2**26
"""Bytes of images kept of a generator; those used last stay, one set always."""
_images: weakref.WeakKeyDictionary[Generator, dict[tuple[object, ...], Tensor]] = (
    weakref.WeakKeyDictionary()
)


@dataclass(frozen=True)
class Probe:
    """Words, best first, and the mean log-probability of the label over shared noise."""

    words: tuple[str, ...]
    log_probability: np.ndarray


@torch.no_grad()
def probe(
    classifier: Classifier,
    generator: Generator,
    target: int,
    prompts: Sequence[str],
    words: Sequence[str],
    *,
    seed: int,
    shortlist: int = 24,
    noises: int = 3,
    num_inference_steps: int = 4,
) -> Probe:
    """Score every word in the token's place on the same noises.

    All words get one noise and few denoising steps; the best ``shortlist`` of them get
    ``noises`` more at the generator's own number of steps, and their mean over those alone.

    Parameters
    ----------
    words
        Candidates.
    shortlist
        Words looked at a second time.
    noises
        Start noises of the second look, shared by all words.
    num_inference_steps
        Denoising steps of the first look.

    Returns
    -------
    Probe
        The shortlist, best first, then the other words, best first.
    """
    first = noise_seeds(seed, PROBE, 0, 1)
    second = noise_seeds(seed, PROBE, 1, noises)
    glance = _scores(
        classifier, generator, target, prompts, words, first, num_inference_steps
    )  # fmt: skip
    order = np.argsort(-glance, kind="stable")
    kept, rest = np.sort(order[:shortlist]), order[shortlist:]
    look = _scores(classifier, generator, target, prompts, [words[i] for i in kept], second, None)
    kept = kept[np.argsort(-look, kind="stable")]
    value = np.concatenate([-np.sort(-look, kind="stable"), glance[rest]])
    return Probe(tuple(words[i] for i in (*kept, *rest)), value.astype(np.float32))


def _scores(
    classifier: Classifier, generator: Generator, target: int, prompts: Sequence[str],
    words: Sequence[str], seeds: Sequence[int], steps: int | None, batch: int = 48,
) -> np.ndarray:  # fmt: skip
    """Mean log-probability of the target over the seeds, ``(word,)``."""
    key = (tuple(prompts), tuple(words), tuple(seeds), steps)
    kept = _images.setdefault(generator, {})
    if key not in kept:
        asked = [
            prompts[i % len(prompts)].replace(PLACEHOLDER, word)
            for word in words
            for i in range(len(seeds))
        ]
        noise = [*seeds] * len(words)
        parts = MicroBatch(batch, of=generator, doing="images").parts(
            len(asked),
            lambda part: generator.images(
                asked[part], seeds=noise[part], num_inference_steps=steps
            ).mul(255).round().to(torch.uint8),
        )  # fmt: skip
        kept[key] = torch.cat(parts)
    kept[key] = images = kept.pop(key)  # the one used last stands last
    while len(kept) > 1 and sum(one.numel() for one in kept.values()) > _MOST:
        del kept[next(iter(kept))]
    parts = MicroBatch(batch, of=classifier, doing="scores").parts(
        len(images), lambda part: classifier.logits(images[part].float() / 255).log_softmax(1)
    )
    scores = torch.cat(parts)
    return scores[:, target].view(len(words), len(seeds)).mean(1).cpu().numpy()


def candidates(generator: Generator, name: str, *, seed: int, limit: int = 512) -> list[str]:
    """Words to probe.

    All of a small vocabulary; of a large one the words of the label's name, the nearest
    neighbours of the name, and a random sample.

    Examples
    --------
    >>> from inversion_kit.generators.base import as_generator
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
