"""Two class tokens in one prompt: the second one in place of a word that is not used otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from benchmarks.claims.bench import PHOTO, Bench
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.sample import sample
from inversion_kit.seeds import TEST, noise_seeds

WORD = "snow"
"""Stands in the prompt for the second token."""


def both_painted(bench: Bench, tokens: Sequence[Tensor], seed: int) -> np.ndarray:
    """What the judge reads in pictures of two tokens, int ``(n,)``."""
    made, n = bench.generators["pocket"], bench.images
    prompt = PHOTO.format(f"{PLACEHOLDER} and a {WORD}")
    encoder = made.encoders[0]
    (place,) = encoder.tokenizer(WORD, add_special_tokens=False).input_ids

    def paint() -> Tensor:
        with ClassToken(tokens[1]).placed_in(encoder.embedding, place):
            seeds = noise_seeds(seed, TEST, 0, n)
            return sample(made, [prompt] * n, seeds=seeds, token=ClassToken(tokens[0]))

    what = {"prompt": prompt, "tokens": [one.tolist() for one in tokens], "seed": seed, "n": n}
    return bench.kept_reading("beside", what | bench.models("pocket"), paint).judge
