"""What is read in pictures that the classifier pushed while they were sampled."""

from __future__ import annotations

from torch import Tensor

from benchmarks.claims.bench import Bench, Reading
from inversion_kit.search.guidance import LENGTH, guided
from inversion_kit.seeds import TEST, noise_seeds


def guided_reading(bench: Bench, generator: str, label: int, prompt: str, seed: int) -> Reading:
    """What is read in guided pictures of a prompt, on the same noise as without guidance."""
    what = {"prompt": prompt, "label": label, "seed": seed, "n": bench.images, "length": LENGTH}

    def paint() -> Tensor:
        made = bench.generators[generator]
        seeds = noise_seeds(seed, TEST, 0, bench.images)
        return guided(made, bench.classifier, label, [prompt] * bench.images, seeds)

    return bench.kept_reading("guided", what | bench.models(generator), paint)
