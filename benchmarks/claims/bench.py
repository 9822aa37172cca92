"""What the claims share: models, noise, searched tokens, and what is read in pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.claims.cells import Cells
from benchmarks.claims.fixed_norm import fixed_norm
from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.quick import search_generator
from inversion_kit.generators.sample import sample
from inversion_kit.pocket.signs import COARSE, NAMES
from inversion_kit.search.search import search
from inversion_kit.seeds import TEST, noise_seeds
from inversion_kit.settings import Settings

PHOTO = "a photo of a {}"
FAR = "snow"
"""A word that names no class, to start from."""


@dataclass(frozen=True)
class Reading:
    """The most likely class of each picture, by the classifier and by the judge, int ``(n,)``."""

    classifier: np.ndarray
    judge: np.ndarray

    def hits(self, label: int, reader: str) -> np.ndarray:
        """Whether a reader, "classifier" or "judge", reads the label, bool ``(n,)``."""
        seen: np.ndarray = getattr(self, reader) == label
        return seen


@dataclass
class Bench:
    """Models and measured cells.

    Parameters
    ----------
    classifier
        That tokens are searched for.
    judge
        That has no part in any search.
    generators
        By the word that tables call them.
    cells
        What was measured before.
    quick
        Few labels, runs and pictures.
    seeds
        Of the runs: of each search and of the noise of its pictures.
    images
        Pictures of each prompt and run.
    data
        Folder of real photographs, or None.
    planted
        Folder of the classifiers of `benchmarks.planted`, or None.
    many
        Classes that are measured where not in quick mode, evenly spaced.
    """

    classifier: Classifier
    judge: Classifier
    generators: dict[str, Generator]
    cells: Cells
    quick: bool
    seeds: Sequence[int]
    images: int
    data: Path | None = None
    planted: Path | None = None
    many: int = len(NAMES)

    def labels(self, few: int, most: int = len(NAMES)) -> list[int]:
        """`many` classes, or in quick mode a few, evenly spaced; no more than some."""
        n = min(most, few if self.quick else self.many)
        return [i * len(NAMES) // n for i in range(n)]

    def read(self, images: Tensor) -> Reading:
        """What classifier and judge read in pictures ``(n, 3, y, x)``."""
        return Reading(*(most_likely(one, images) for one in (self.classifier, self.judge)))

    def token(
        self, generator: str, label: int, said: str, seed: int, *, way: str = "token"
    ) -> Tensor:
        """The token of a label that a search finds in a prompt, ``(1, embed)``; searched once.

        Parameters
        ----------
        said
            What follows the token in the prompt; "" for the token alone.
        way
            "token", "token from a far word", or "token of fixed norm".
        """
        made = self.generators[generator]
        prompt = PHOTO.format(f"{PLACEHOLDER} {said}".strip())

        settings = Settings(start=FAR if way == "token from a far word" else None)
        asked = search_generator(made, settings)
        of = (self.classifier, asked, label, [prompt], settings)
        what = {"label": label, "prompt": prompt, "seed": seed, **self.models(generator)}
        what |= {"settings": repr(settings), "search": asked.hash}

        def make() -> dict[str, Any]:
            history = search(*of, seed=seed)
            kept = history.checks[history.selected]
            return {"token": kept.token.tolist(), "start": kept.start, "steps": len(history.steps)}

        def of_fixed_norm() -> dict[str, Any]:
            start = self.cells.of("token", what, make)["start"]
            return {"token": fixed_norm(*of, start=start, seed=seed).tolist()}

        if way == "token of fixed norm":
            kept = self.cells.of("token", what | {"way": way}, of_fixed_norm)
        else:
            kept = self.cells.of("token", what, make)
        return torch.tensor(kept["token"])

    def reading(
        self, generator: str, prompt: str, seed: int, token: Tensor | None = None, n: int = 0
    ) -> Reading:
        """What is read in a prompt's pictures on a run's test noise, which all prompts share."""
        many = n or self.images
        what = {"prompt": prompt, "seed": seed, "n": many, "token": _plain(token)}

        def paint() -> Tensor:
            seeds = noise_seeds(seed, TEST, 0, many)
            placed = None if token is None else ClassToken(token)
            made = self.generators[generator]
            return sample(made, [prompt] * many, seeds=seeds, token=placed)

        return self.kept_reading("reading", what | self.models(generator), paint)

    def kept_reading(self, kind: str, what: dict[str, Any], paint: Callable[[], Tensor]) -> Reading:
        """What is read in pictures that are made only where no cell has it."""

        def make() -> dict[str, list[int]]:
            seen = self.read(paint())
            return {"classifier": seen.classifier.tolist(), "judge": seen.judge.tolist()}

        value = self.cells.of(kind, {**what, "judge": self.judge.hash}, make)
        return Reading(np.array(value["classifier"]), np.array(value["judge"]))

    def models(self, generator: str) -> dict[str, Any]:
        """What a cell depends on: the generator's weights and sampler, the classifier's weights."""
        made = self.generators[generator]
        return {
            "generator": made.hash,
            "steps": made.num_inference_steps,
            "guidance": made.guidance_scale,
            "classifier": self.classifier.hash,
        }


@torch.no_grad()
def most_likely(classifier: Classifier, images: Tensor) -> np.ndarray:
    """Class index of each picture, int ``(n,)``."""
    parts = [classifier.logits(part.contiguous()).argmax(1) for part in images.split(64)]
    return torch.cat(parts).numpy()


def coarse_name(label: int) -> str:
    """The ambiguous name of a class: of those that it shares, the one of fewest classes.

    Examples
    --------
    >>> coarse_name(5), coarse_name(33)
    ('speed limit sign', 'arrow sign')
    """
    shared = [name for name, members in COARSE.items() if label in members]
    return min(shared, key=lambda name: len(COARSE[name]))


def listed(labels: Sequence[int]) -> str:
    """The names of classes, or that they are all.

    Examples
    --------
    >>> listed([14, 17]), listed(range(43))
    ('2 labels (stop, no entry)', 'all 43 labels')
    """
    if len(labels) == len(NAMES):
        return f"all {len(NAMES)} labels"
    return f"{len(labels)} labels ({', '.join(NAMES[i] for i in labels)})"


def _plain(token: Tensor | None) -> list[Any] | None:
    return None if token is None else token.tolist()
