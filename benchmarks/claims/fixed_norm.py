"""A search whose token keeps the mean norm of the words, as in Directional Textual Inversion.

Its direction alone is learned (arXiv 2512.13672): after each of Adam's updates the token is brought
back to that norm.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.gradients import as_policy
from inversion_kit.search.optimise import check, optimise
from inversion_kit.search.probe import start_vector
from inversion_kit.search.search import NEUTRAL, ends
from inversion_kit.seeds import VALIDATE, noise_seeds
from inversion_kit.settings import Settings


@torch.inference_mode(False)
def fixed_norm(
    classifier: Classifier,
    generator: Generator,
    label: int,
    prompts: Sequence[str],
    settings: Settings,
    *,
    start: str,
    seed: int,
) -> Tensor:
    """The best token on held-out noise of one start, ``(1, embed)``; ends as other searches do."""
    norm = generator.vocabulary_norm()
    held_out = noise_seeds(seed, VALIDATE, 0, settings.validation)
    token = generator.neutral_vector() if start == NEUTRAL else start_vector(generator, start)
    token = token * (norm / token.norm())
    best, kept, state = -1.0, token, None
    for step in range(settings.steps):
        (made,) = optimise(
            classifier,
            generator,
            label,
            prompts,
            start=token,
            start_name=start,
            seed=seed,
            first_step=step,
            steps=1,
            batch=settings.batch,
            lr=settings.lr,
            gradient=as_policy(settings.gradient),
            optimizer_state=state,
        )
        state, token = made.optimizer, made.token[0]
        token = token * (norm / token.norm())
        if (step + 1) % settings.check_every:
            continue
        value = check(classifier, generator, token, prompts, held_out, target=label).value
        over = ends(value, best, settings.goal)
        if value > best:
            best, kept = value, token
        if over:
            break
    return kept[None]
