"""Estimators of a class token's gradient beside each other: ``python benchmarks/gradients.py``.

At the same tokens (starts, and those half-way to a known word) and on the same noises, each
policy's gradient is compared with the one through the whole sampling chain, on the pocket (six
steps) and on its quick U-Net (three steps, and one). *Re-noised* is DRaFT-LV's estimator (Clark et
al. 2024): a finished image gets fresh noise of the last step twice, and the mean of both gradients
through that one step is taken; no search here uses it. *Bias* is the angle, 1 - cosine, between the
mean gradients; *spread* is the norm of the standard deviation over noises by the norm of the mean:
how many images a step needs. Cost is counted an image: evaluations of the U-Net, and those that a
gradient went back through. Success is that of searches with the policy, after 20 updates.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer

import inversion_kit as ik
from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.counting import counted
from inversion_kit.generators.gradients import as_policy
from inversion_kit.search.optimise import check, optimise
from inversion_kit.seeds import TEST, TRAIN, noise_seeds

LABELS = {"stop": "stop", "keep right": "right", "30 km/h speed limit": "30"}
"""Classes, and a word on the way to each."""
RENOISED, AGAIN = "re-noised", 2
POLICIES = ("full", "last_2", "last_step", "late_step", RENOISED)
PROMPT = f"a photo of a {PLACEHOLDER}"


def slopes(
    classifier: Classifier,
    generator: Generator,
    target: int,
    vector: torch.Tensor,
    policy: str,
    n: int,
) -> torch.Tensor:
    """The gradient of each noise, ``(n, embed)``."""
    if policy == RENOISED:
        return renoised(classifier, generator, target, vector, n)
    rows = []
    steps = generator.num_inference_steps
    for i, seed in enumerate(noise_seeds(0, TRAIN, 0, n)):
        token = ClassToken(vector)
        image = generator.images(
            [PROMPT],
            seeds=[seed],
            token=token,
            gradient=as_policy(policy),
            estimate_at=steps // 2 + i % max(1, steps - steps // 2),
        )
        loss = F.cross_entropy(classifier.logits(image), torch.tensor([target]))
        rows.append(torch.autograd.grad(loss, token.vector)[0][0])
    return torch.stack(rows)


def renoised(
    classifier: Classifier, generator: Generator, target: int, vector: torch.Tensor, n: int
) -> torch.Tensor:
    """DRaFT-LV's gradient of each noise, ``(n, embed)``, of a pipeline that predicts the noise."""
    pipe, encoder, rows = generator.pipeline, generator.encoders[0], []
    scaling, guidance = pipe.vae.config.scaling_factor, generator.guidance_scale
    for seed in noise_seeds(0, TRAIN, 0, n):
        token = ClassToken(vector)
        clean = latents(generator, token, seed)
        last = pipe.scheduler.timesteps[-1]
        signal = pipe.scheduler.alphas_cumprod[int(last)]
        draw, slopes = torch.Generator().manual_seed(seed), []
        for _ in range(AGAIN):
            noise = torch.randn(clean.shape, generator=draw)
            noisy = signal.sqrt() * clean + (1 - signal).sqrt() * noise
            with token.placed_in(encoder.embedding, encoder.token_id):
                prompt = PROMPT.replace(PLACEHOLDER, generator.spelling)
                told, empty = pipe.encode_prompt(prompt, "cpu", 1, guidance > 1)
            guess = pipe.unet(noisy, last, told).sample
            if guidance > 1:
                with torch.no_grad():
                    plain = pipe.unet(noisy, last, empty).sample
                guess = plain + guidance * (guess - plain)
            finished = (noisy - (1 - signal).sqrt() * guess) / signal.sqrt()
            image = pipe.vae.decode(finished / scaling).sample / 2 + 0.5
            loss = F.cross_entropy(classifier.logits(image), torch.tensor([target]))
            slopes.append(torch.autograd.grad(loss, token.vector)[0][0])
        rows.append(torch.stack(slopes).mean(0))
    return torch.stack(rows)


@torch.no_grad()
def latents(generator: Generator, token: ClassToken, seed: int) -> torch.Tensor:
    """The finished latents of a noise, as the decoder gets them, times their scaling factor."""
    vae, seen = generator.pipeline.vae, []
    decode = vae.decode

    def watched(given: torch.Tensor, *rest: Any, **named: Any) -> Any:
        seen.append(given)
        return decode(given, *rest, **named)

    vae.decode = watched
    try:
        generator.images([PROMPT], seeds=[seed], token=token)
    finally:
        del vae.decode
    return seen[0] * vae.config.scaling_factor


def success(
    classifier: Classifier, generator: Generator, target: int, start: torch.Tensor, policy: str
) -> float:
    """Share of 32 images on test noise read as the target after 20 updates."""
    last = start
    for step in optimise(
        classifier,
        generator,
        target,
        [PROMPT],
        start=start,
        start_name="",
        seed=0,
        steps=20,
        batch=8,
        lr=0.3,
        gradient=as_policy(policy),
    ):
        last = step.token[0]
    seen = check(classifier, generator, last, [PROMPT], noise_seeds(0, TEST, 0, 32), target=target)
    return float((seen.probability.argmax(1) == target).float().mean())


def measured(
    classifier: Classifier,
    generator: Generator,
    policy: str,
    known: dict[tuple[str, str], torch.Tensor],
    images: int,
) -> dict[str, float | None]:
    """Bias, spread and cost of a policy; the first one asked is what ``known`` keeps as right."""
    bias, spread = [], []
    with counted(generator) as counts:
        for label, word in LABELS.items():
            target, neutral = classifier.index(label), generator.neutral_vector()
            half = (neutral + generator.vector_of(word)) / 2
            for at, vector in (("start", neutral), ("half-way", half)):
                each = slopes(classifier, generator, target, vector, policy, images)
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
    """Print the table."""
    classifier = ik.as_classifier("pocket:honest")
    made = {
        "pocket, 6 steps": ik.as_generator("pocket"),
        "quick, 3 steps": ik.as_generator("pocket:quick", num_inference_steps=3),
        "quick, 1 step": ik.as_generator("pocket:quick"),
    }
    rows: list[dict[str, Any]] = []
    typer.echo("| generator | policy | bias | spread | evaluations | backwards | success |")
    typer.echo("|---|---|---|---|---|---|---|")
    for name, generator in made.items():
        known: dict[tuple[str, str], torch.Tensor] = {}
        for policy in POLICIES if generator.num_inference_steps > 1 else POLICIES[:1]:
            found = measured(classifier, generator, policy, known, images)
            found["success"] = (
                None if policy == RENOISED else searched(classifier, generator, policy)
            )
            rows.append({"generator": name, "policy": policy, **found})
            typer.echo(
                f"| {name} | {policy} | {found['bias']:.2f} | {found['spread']:.1f} "
                f"| {found['evaluations']:.0f} | {found['backwards']:.0f} "
                f"| {'not run' if policy == RENOISED else format(found['success'], '.0%')} |"
            )
    if out is not None:
        out.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    typer.run(main)
