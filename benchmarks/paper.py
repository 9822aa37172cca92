"""The paper's own recipe on this library's parts, for comparison (Schwartz et al., ICCV 2023).

As its published code has it: 30 PNDM steps, guidance 7, five images one by one for an update, the
same five noises in every update, three templates in turn, AdamW with learning rate 1.25e-3 and
weight decay 1e-2, start at the word "a"; it stops when more than 0.7 of an update's images are
read as the class, or after 15 updates without a better one, at 50 updates at the latest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import PNDMScheduler
from torch import Tensor

from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.gradients import LAST_STEP
from inversion_kit.seeds import TRAIN, noise_seeds

TEMPLATES = ("a photo of a {}", "a {}", "{}")  # three that the pocket was trained with
IMAGES, UPDATES, PATIENCE, ENOUGH = 5, 50, 15, 0.7
RATE, DECAY = 1.25e-3, 1e-2


@dataclass(frozen=True)
class Update:
    """The token after an update, and whether the recipe ends there."""

    token: Tensor
    share: float
    last: bool


def as_in_the_paper(pipeline: object) -> Generator:
    """A pipeline with the sampler of the paper."""
    generator = Generator(pipeline, name="paper", num_inference_steps=30, guidance_scale=7.0)
    sampler = generator.pipeline.scheduler.config
    generator.pipeline.scheduler = PNDMScheduler.from_config(sampler, skip_prk_steps=True)
    return generator


def paper(
    classifier: Classifier,
    generator: Generator,
    target: int,
    *,
    seed: int,
    name: str = "",
    rate: float = RATE,
) -> Iterator[Update]:
    """The updates of the paper's recipe.

    Parameters
    ----------
    name
        Class name behind the token in every prompt; "" for none.
    rate
        Learning rate, in units of the embedding table.
    """
    token = ClassToken(generator.vector_of("a"))
    optimizer = torch.optim.AdamW([token.vector], lr=rate, weight_decay=DECAY)
    seeds = noise_seeds(seed, TRAIN, 0, IMAGES)
    said = f"{PLACEHOLDER} {name}".strip()
    best, stale = -1.0, 0
    for update in range(UPDATES):
        hits = 0
        for i, noise in enumerate(seeds):
            prompt = TEMPLATES[(update + i) % len(TEMPLATES)].format(said)
            image = generator.images([prompt], seeds=[noise], token=token, gradient=LAST_STEP)
            logits = classifier.logits(image)
            (F.cross_entropy(logits, torch.tensor([target])) / IMAGES).backward()
            hits += int(logits.argmax(1).item() == target)
        optimizer.step()
        optimizer.zero_grad()
        share = hits / IMAGES
        stale = 0 if share > best else stale + 1
        best = max(best, share)
        last = share > ENOUGH or stale >= PATIENCE or update == UPDATES - 1
        yield Update(token.vector.detach().clone(), share, last)
        if last:
            return
