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

from inversion_kit.class_token import PLACEHOLDER
from inversion_kit.classifiers import Classifier
from inversion_kit.generators import Generator
from inversion_kit.optimise import PROBE, noise_seeds

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
    noises: int = 3,
    num_inference_steps: int = 5,
    batch: int = 48,
) -> Probe:
    """Score every word in the token's place on the same noises.

    Parameters
    ----------
    words
        Candidates; each is one vector, the mean over its tokens.
    noises
        Start noises shared by all words.
    num_inference_steps
        Denoising steps of these cheap images.
    """
    key = (tuple(prompts), tuple(words), seed, noises, num_inference_steps)
    kept = _images.setdefault(generator, {})
    if key not in kept:
        seeds = noise_seeds(seed, PROBE, 0, noises) * len(words)
        asked = [
            prompts[i % len(prompts)].replace(PLACEHOLDER, word)
            for word in words
            for i in range(noises)
        ]
        parts = [
            generator.images(
                asked[i : i + batch],
                seeds=seeds[i : i + batch],
                num_inference_steps=num_inference_steps,
            )
            for i in range(0, len(asked), batch)
        ]
        kept[key] = torch.cat(parts).mul(255).round().to(torch.uint8)
    images = kept[key].float() / 255
    scores = torch.cat([classifier.logits(part).log_softmax(1) for part in images.split(batch)])
    value = scores[:, target].view(len(words), noises).mean(1).cpu().numpy()
    order = np.argsort(-value, kind="stable")
    return Probe(tuple(words[i] for i in order), value[order].astype(np.float32))


def candidates(generator: Generator, name: str, *, seed: int, limit: int = 256) -> list[str]:
    """Words to probe.

    All of a small vocabulary; of a large one the words of the label's name, the nearest
    neighbours of the name, and a random sample.

    Examples
    --------
    >>> from inversion_kit.generators import as_generator
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
