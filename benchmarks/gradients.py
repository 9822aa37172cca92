"""Estimators of a class token's gradient beside each other: ``python benchmarks/gradients.py``.

At the same tokens (starts, and those half-way to a known word) and on the same noises, each
policy's gradient is compared with the one through the whole sampling chain, on the pocket (six
steps and twelve) and on its quick U-Net (three steps, and one). *Re-noised* is DRaFT-LV's estimator
(Clark et al. 2024): a finished image gets fresh noise of the last step twice, and the mean of both
gradients through that one step is taken; no search of the library uses it. *Bias* is the angle,
1 - cosine, between the mean gradients; *spread* is the norm of the standard deviation over noises
by the norm of the mean: how many images a step needs. Cost is counted an image: evaluations of the
U-Net, and those that a gradient went back through. Success is that of searches with the policy,
after 20 updates. *Full, checkpointed* is the full gradient with a network that keeps only the
inputs of its blocks and works the rest out again on the way back.
"""

from __future__ import annotations

import contextlib
import json
import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

import inversion_kit as ik
from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.counting import counted
from inversion_kit.generators.gradients import as_policy
from inversion_kit.generators.sampling import estimate
from inversion_kit.search.optimise import check, optimise
from inversion_kit.seeds import TEST, TRAIN, noise_seeds

LABELS = {"stop": "stop", "keep right": "right", "30 km/h speed limit": "30"}
"""Classes, and a word on the way to each."""
RENOISED, AGAIN = "re-noised", 2
CHECKPOINTED = "full, checkpointed"
POLICIES = ("full", CHECKPOINTED, "last_2", "last_step", "late_step", RENOISED)
PROMPT = f"a photo of a {PLACEHOLDER}"
UPDATES, BATCH, RATE = 20, 8, 0.3


def one_each(vector: Tensor, n: int) -> ClassToken:
    """A token with a copy of its vector for each of ``n`` images: one backward gives all slopes."""
    token = ClassToken(vector)
    token.vector = nn.Parameter(vector.repeat(1, n, 1, 1))
    return token


@contextlib.contextmanager
def recomputed(network: Any, wanted: bool) -> Iterator[None]:
    """While open, the network keeps no more than its blocks' inputs for the way back."""
    if wanted:
        network.enable_gradient_checkpointing()
    try:
        yield
    finally:
        if wanted:
            network.disable_gradient_checkpointing()


def slopes(
    classifier: Classifier,
    generator: Generator,
    target: int,
    vector: Tensor,
    policy: str,
    seeds: Sequence[int],
) -> Tensor:
    """The gradient of each noise, ``(n, embed)``."""
    if policy == RENOISED:
        return renoised(classifier, generator, target, vector, seeds)
    steps, rows = generator.num_inference_steps, torch.empty(len(seeds), len(vector))
    late = steps // 2
    turns = steps - late if policy == "late_step" else 1
    way = as_policy("full" if policy == CHECKPOINTED else policy)
    for turn in range(min(turns, len(seeds))):
        chosen = seeds[turn::turns]
        token = one_each(vector, len(chosen))
        with recomputed(generator.denoiser, policy == CHECKPOINTED):
            images = generator.images(
                [PROMPT] * len(chosen),
                seeds=chosen,
                token=token,
                gradient=way,
                estimate_at=late + turn,
            )
            rows[turn::turns] = slopes_of(images, token, classifier, target)
    return rows


def slopes_of(images: Tensor, token: ClassToken, classifier: Classifier, target: int) -> Tensor:
    """The gradient of each image's own loss by its own vector, ``(n, embed)``."""
    wanted = torch.full((len(images),), target)
    loss = F.cross_entropy(classifier.logits(images), wanted, reduction="sum")
    return torch.autograd.grad(loss, token.vector)[0].reshape(len(images), -1)


def renoised(
    classifier: Classifier,
    generator: Generator,
    target: int,
    vector: Tensor,
    seeds: Sequence[int],
) -> Tensor:
    """DRaFT-LV's gradient of each noise, ``(n, embed)``."""
    clean, each = latents(generator, ClassToken(vector), seeds), []
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    for _ in range(AGAIN):
        noise = torch.stack([torch.randn(clean.shape[1:], generator=draw) for draw in draws])
        token = one_each(vector, len(seeds))
        finished = last_step(generator, token, clean, noise)
        image = generator.pipeline.vae.decode(finished / scaling_of(generator)).sample / 2 + 0.5
        image = image + (image.clamp(0, 1) - image).detach()  # as `Generator.images` has it
        each.append(slopes_of(image, token, classifier, target))
    return torch.stack(each).mean(0)


def last_step(generator: Generator, token: ClassToken, clean: Tensor, noise: Tensor) -> Tensor:
    """Finished latents ``(n, channel, y, x)`` once more: noise of the last step, and that step."""
    pipe, encoder, guidance = generator.pipeline, generator.encoders[0], generator.guidance_scale
    last = pipe.scheduler.timesteps[-1]
    signal = pipe.scheduler.alphas_cumprod[int(last)]
    noisy = signal.sqrt() * clean + (1 - signal).sqrt() * noise
    prompts = [PROMPT.replace(PLACEHOLDER, generator.spelling)] * len(clean)
    with token.placed_in(encoder.embedding, encoder.token_id, vector=token.vector[0]):
        prompt, empty = pipe.encode_prompt(prompts, "cpu", 1, guidance > 1)
    guess = pipe.unet(noisy, last, prompt).sample
    if guidance > 1:
        with torch.no_grad():
            plain = pipe.unet(noisy, last, empty).sample
        guess = plain + guidance * (guess - plain)
    steps = generator.num_inference_steps
    return estimate(pipe.scheduler, guess, last, noisy, steps - 1)


def scaling_of(generator: Generator) -> float:
    """What the decoder's input is divided by."""
    return float(generator.pipeline.vae.config.scaling_factor)


@torch.no_grad()
def latents(generator: Generator, token: ClassToken, seeds: Sequence[int]) -> Tensor:
    """The finished latents of noises ``(n, channel, y, x)``, as the last step gives them."""
    vae, seen = generator.pipeline.vae, []
    decode = vae.decode

    def watched(given: Tensor, *rest: Any, **named: Any) -> Any:
        seen.append(given)
        return decode(given, *rest, **named)

    vae.decode = watched
    try:
        generator.images([PROMPT] * len(seeds), seeds=seeds, token=token)
    finally:
        del vae.decode
    return torch.cat(seen) * scaling_of(generator)


def by_renoised(classifier: Classifier, generator: Generator, target: int, start: Tensor) -> Tensor:
    """The token ``(embed,)`` after a search by re-noised gradients, as `optimise` makes its own."""
    vector = nn.Parameter(start.clone())
    rate = RATE * generator.vocabulary_norm() / math.sqrt(len(start))
    adam = torch.optim.Adam([vector], lr=rate, betas=(0.8, 0.99))
    for step in range(UPDATES):
        seeds = noise_seeds(0, TRAIN, step, BATCH)
        vector.grad = renoised(classifier, generator, target, vector.detach(), seeds).mean(0)
        nn.utils.clip_grad_norm_([vector], 1.0)
        adam.step()
    return vector.detach()


def by_policy(
    classifier: Classifier, generator: Generator, target: int, start: Tensor, policy: str
) -> Tensor:
    """The token after a search with one of the library's policies."""
    *_, last = optimise(
        classifier,
        generator,
        target,
        [PROMPT],
        start=start,
        start_name="",
        seed=0,
        steps=UPDATES,
        batch=BATCH,
        lr=RATE,
        gradient=as_policy(policy),
    )
    return last.token[0]


def success(
    classifier: Classifier, generator: Generator, target: int, start: Tensor, policy: str
) -> float:
    """Share of 32 images on test noise read as the target after 20 updates."""
    asked = (classifier, generator, target, start)
    last = by_renoised(*asked) if policy == RENOISED else by_policy(*asked, policy)
    seen = check(classifier, generator, last, [PROMPT], noise_seeds(0, TEST, 0, 32), target=target)
    return float((seen.probability.argmax(1) == target).float().mean())


def measured(
    classifier: Classifier,
    generator: Generator,
    policy: str,
    known: dict[tuple[str, str], Tensor],
    images: int,
) -> dict[str, Any]:
    """Bias, spread and cost of a policy; the first one asked is what ``known`` keeps as right."""
    bias, spread = [], []
    seeds = noise_seeds(0, TRAIN, 0, images)
    with counted(generator) as counts:
        for label, word in LABELS.items():
            target, neutral = classifier.index(label), generator.neutral_vector()
            half = (neutral + generator.vector_of(word)) / 2
            for at, vector in (("start", neutral), ("half-way", half)):
                each = slopes(classifier, generator, target, vector, policy, seeds)
                mean = known.setdefault((label, at), each.mean(0))
                bias.append(1 - float(F.cosine_similarity(each.mean(0), mean, dim=0)))
                spread.append(float(each.std(0).norm() / each.mean(0).norm()))
    n = images * 2 * len(LABELS)
    return {
        "bias": statistics.mean(bias),
        "spread": statistics.median(spread),
        "evaluations": counts.evaluations / n,
        "backwards": counts.backwards / n,
    }


def searched(classifier: Classifier, generator: Generator, policy: str) -> float:
    """Mean success of searches from half-way to a known word."""
    starts = {
        label: (generator.neutral_vector() + generator.vector_of(word)) / 2
        for label, word in LABELS.items()
    }
    return statistics.mean(
        success(classifier, generator, classifier.index(label), start, policy)
        for label, start in starts.items()
    )


def main(
    images: Annotated[int, typer.Option(help="Noises of a gradient.")] = 24,
    out: Annotated[Path | None, typer.Option(help="Write the numbers as JSON.")] = None,
) -> None:
    """Print the table, a row as soon as it is there."""
    classifier = ik.as_classifier("pocket:honest")
    made = {
        "quick, 1 step": ik.as_generator("pocket:quick"),
        "quick, 3 steps": ik.as_generator("pocket:quick", num_inference_steps=3),
        "pocket, 6 steps": ik.as_generator("pocket"),
        "pocket, 12 steps": ik.as_generator("pocket", num_inference_steps=12),
    }
    rows: list[dict[str, Any]] = []
    typer.echo("| generator | gradient | bias | spread | evaluations | backwards | success |")
    typer.echo("|---|---|---|---|---|---|---|")
    for name, generator in made.items():
        known: dict[tuple[str, str], Tensor] = {}
        several = generator.num_inference_steps > 1  # with one step all are the full one
        for policy in POLICIES if several else (POLICIES[0], RENOISED):
            row = {"generator": name, "gradient": policy}
            row |= measured(classifier, generator, policy, known, images)
            same = policy == CHECKPOINTED  # as the full one, which was searched with
            share = rows[-1]["success"] if same else searched(classifier, generator, policy)
            rows.append({**row, "success": share})
            typer.echo(
                f"| {name} | {policy} | {abs(row['bias']):.2f} | {row['spread']:.1f} "
                f"| {row['evaluations']:.0f} | {row['backwards']:.0f} | {share:.0%} |"
            )
            if out is not None:
                out.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    typer.run(main)
