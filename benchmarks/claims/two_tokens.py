"""Two class tokens in one prompt: the second one in place of a word that is not used otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from benchmarks.claims.bench import PHOTO, Bench
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.sample import sample
from inversion_kit.seeds import TEST, noise_seeds

WORD = "snow"
"""Stands in the prompt for the second token."""
PROMPT = PHOTO.format(f"{PLACEHOLDER} and a {WORD}")


def both_painted(bench: Bench, tokens: Sequence[Tensor], seed: int) -> np.ndarray:
    """What the judge reads in pictures of two tokens, int ``(n,)``."""
    seeds = noise_seeds(seed, TEST, 0, bench.images)
    what = {"prompt": PROMPT, "tokens": [one.tolist() for one in tokens], "seed": seed}
    what |= {"n": bench.images, **bench.models("pocket")}
    made = bench.generators["pocket"]
    return bench.kept_reading("beside", what, lambda: painted(made, tokens, seeds)).judge


def painted(generator: Generator, tokens: Sequence[Tensor], seeds: Sequence[int]) -> Tensor:
    """Pictures ``(n, 3, y, x)`` of two tokens, each ``(1, embed)``."""
    encoder = generator.encoders[0]
    (place,) = encoder.tokenizer(WORD, add_special_tokens=False).input_ids
    with ClassToken(tokens[1]).placed_in(encoder.embedding, place):
        prompts = [PROMPT] * len(seeds)
        return sample(generator, prompts, seeds=seeds, token=ClassToken(tokens[0]))
