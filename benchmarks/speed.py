"""What a class token costs: ``python -m benchmarks.speed``, from the repository's root.

Three recipes on the pocket, for easy and hard labels: the paper's (`benchmarks.paper`; with the
class name in its prompts, and with updates as long as this library's, so that it is no straw man),
this library's search through the whole pocket (``search_generator="itself"``), and
its default. Counted are evaluations of the U-Net by an image until 70 % and 90 % of 32 images on
test noise are read as the label; those images are made by the whole pocket and are not counted.
What never gets there stands as "never". Then the overhead of an update over its bare model calls,
a whole `invert` with its evidence, and (``--size``) updates of networks as large as Stable
Diffusion's, with random weights, for which computing time does not depend on the values.
"""

from __future__ import annotations

import dataclasses
import json
import math
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DPMSolverMultistepScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel

import inversion_kit as ik
from benchmarks.paper import as_in_the_paper, paper
from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.counting import Counts, counted
from inversion_kit.generators.gradients import LAST_STEP
from inversion_kit.generators.quick import search_generator
from inversion_kit.generators.sample import sample
from inversion_kit.search.history import History
from inversion_kit.search.optimise import optimise
from inversion_kit.search.search import search
from inversion_kit.seeds import TEST, noise_seeds
from inversion_kit.settings import ITSELF, NAME_FREE, Settings

LABELS = (2, 5, 12, 13, 14, 17, 19, 25, 27, 33, 38, 40)
"""Classes: speed limits, signs with a shape of their own, pictograms, arrows."""
MARKS = (0.7, 0.9)
"""Shares of test images."""
IMAGES = 32


@dataclasses.dataclass
class Run:
    """One search: what it had cost when a mark was reached, and where it ended."""

    recipe: str
    label: str
    seed: int
    evaluations: dict[float, int | None]
    backwards: dict[float, int | None]
    seconds: dict[float, float | None]
    whole: int
    success: float
    judge: float


class Watch:
    """Measures tokens of a search on test noise, beside the count."""

    def __init__(self, classifier: Classifier, judge: Classifier, target: int, seed: int) -> None:
        self.models, self.target = (classifier, judge), target
        self.generator = ik.as_generator("pocket")
        self.seeds = noise_seeds(seed, TEST, 0, IMAGES)
        self.beside = 0.0

    def shares(self, token: torch.Tensor) -> list[float]:
        """Share of test images that classifier and judge read as the label."""
        began = time.process_time()
        prompts = [f"a photo of a {PLACEHOLDER}"] * IMAGES
        images = sample(self.generator, prompts, seeds=self.seeds, token=ClassToken(token))
        with torch.no_grad():
            read = [(m.logits(images).argmax(1) == self.target) for m in self.models]
        self.beside += time.process_time() - began
        return [float(hits.float().mean()) for hits in read]


def followed(
    recipe: str,
    tokens: Iterator[torch.Tensor],
    counts: Counts,
    watch: Watch,
    label: str,
    seed: int,
) -> Run:
    """Take a recipe's tokens one by one and write down what each mark had cost."""
    marks: dict[str, dict[float, Any]] = {
        name: dict.fromkeys(MARKS) for name in ("evaluations", "backwards", "seconds")
    }
    began, best = time.process_time(), [0.0, 0.0]
    for token in tokens:
        spent = time.process_time() - began - watch.beside
        best = watch.shares(token)
        for mark in MARKS:
            if best[0] >= mark and marks["evaluations"][mark] is None:
                marks["evaluations"][mark] = counts.evaluations
                marks["backwards"][mark] = counts.backwards
                marks["seconds"][mark] = round(spent, 2)
    return Run(
        recipe, label, seed, **marks, whole=counts.evaluations, success=best[0], judge=best[1]
    )


def of_the_paper(
    classifier: Classifier, generator: Generator, target: int, seed: int, **how: Any
) -> Iterator[torch.Tensor]:
    """The tokens of the paper's recipe: every fifth, and the last."""
    for i, update in enumerate(paper(classifier, generator, target, seed=seed, **how)):
        if update.last or i % 5 == 4:
            yield update.token


def of_ours(
    classifier: Classifier, generator: Generator, target: int, seed: int, settings: Settings
) -> Iterator[torch.Tensor]:
    """The token kept at the end of a search by this library; what it reached before is not told."""
    prompts = [NAME_FREE[0].format(token=PLACEHOLDER)]
    history: History = search(classifier, generator, target, prompts, settings, seed=seed)
    yield history.token


def compare(labels: list[int], seeds: int, recipes: list[str]) -> list[Run]:
    """All recipes on all labels and seeds."""
    classifier, judge = ik.as_classifier("pocket:honest"), ik.as_classifier("pocket:judge")
    whole = ik.as_generator("pocket")
    old, new = Settings(search_generator=ITSELF), Settings()
    as_published = as_in_the_paper(whole.pipeline)
    words = whole.embedding.weight.shape[1]
    ours = new.lr * whole.vocabulary_norm() / math.sqrt(words)  # as `optimise` has it
    ways: dict[str, tuple[Generator, Callable[..., Iterator[torch.Tensor]], dict[str, Any]]] = {
        "paper": (as_published, of_the_paper, {}),
        "paper, class name in the prompt": (as_published, of_the_paper, {"named": True}),
        "paper, updates as long as ours": (as_published, of_the_paper, {"rate": ours}),
        "search through the whole pocket": (whole, of_ours, {"settings": old}),
        "default": (search_generator(whole, new), of_ours, {"settings": new}),
    }
    runs = []
    for recipe in recipes or list(ways):
        generator, tokens, how = ways[recipe]
        for target in labels:
            for seed in range(seeds):
                given = dict(how)
                if given.pop("named", False):
                    given["name"] = classifier.wordings[target]
                watch = Watch(classifier, judge, target, seed)
                with counted(generator) as counts:
                    made = tokens(classifier, generator, target, seed, **given)
                    name = classifier.labels[target]
                    runs.append(followed(recipe, made, counts, watch, name, seed))
                typer.echo(f"  {recipe}: {runs[-1]}", err=True)
    return runs


def table(runs: list[Run]) -> str:
    """A line a recipe: medians over labels and seeds."""
    lines = [
        "| recipe | reach 70 % | evaluations until then | reach 90 % | evaluations until then | "
        "processor seconds | whole search | success | judge |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for recipe in dict.fromkeys(run.recipe for run in runs):
        mine = [run for run in runs if run.recipe == recipe]
        cells = [recipe]
        for mark in MARKS:
            cost = [run.evaluations[mark] for run in mine]
            reached = sorted(c for c in cost if c is not None)
            cells += [f"{len(reached)} of {len(cost)}"]
            cells += [f"{statistics.median(reached):,.0f}" if reached else "never"]
        took = [run.seconds[MARKS[0]] for run in mine if run.seconds[MARKS[0]] is not None]
        cells += [f"{statistics.median(took):.1f}" if took else "never"]
        cells += [f"{statistics.median(run.whole for run in mine):,.0f}"]
        cells += [f"{statistics.mean(run.success for run in mine):.0%}"]
        cells += [f"{statistics.mean(run.judge for run in mine):.0%}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def timed(work: Callable[[], object], repeats: int) -> float:
    """Median seconds, after one that is not counted."""
    work()
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def overhead(
    generator: Generator, classifier: Classifier, batch: int = 8, repeats: int = 5
) -> dict[str, float]:
    """Seconds of an update, and of its model calls alone: encoder, U-Net, decoder, classifier."""
    pipe, steps = generator.pipeline, generator.num_inference_steps
    vector = generator.neutral_vector()
    updates = optimise(
        classifier,
        generator,
        0,
        [f"a photo of a {PLACEHOLDER}"],
        start=vector,
        start_name="",
        seed=0,
        steps=repeats + 1,
        batch=batch,
        lr=0.3,
        gradient=LAST_STEP,
    )
    update = timed(lambda: next(updates), repeats)
    place = {"device": generator.device, "dtype": generator.dtype}
    side = pipe.unet.config.sample_size
    latents = torch.randn(batch, pipe.unet.config.in_channels, side, side, **place)
    ids = torch.zeros(
        batch, pipe.tokenizer.model_max_length, dtype=torch.long, device=generator.device
    )
    guided = generator.guidance_scale > 1
    target = torch.zeros(batch, dtype=torch.long, device=generator.device)

    def bare() -> None:
        told = pipe.text_encoder(ids)[0].detach().requires_grad_()
        if guided:
            told = torch.cat([pipe.text_encoder(ids)[0].detach(), told])
        x = torch.cat([latents] * 2) if guided else latents
        with torch.no_grad():
            for _ in range(steps - 1):
                pipe.unet(x, 500, told)
        out = pipe.unet(x, 500, told).sample[:batch]
        image = pipe.vae.decode(out / pipe.vae.config.scaling_factor).sample
        logits = classifier.logits(image.float().clamp(0, 1))
        torch.nn.functional.cross_entropy(logits, target).backward()

    return {"update": update, "bare": timed(bare, repeats)}


def of_size(size: str, device: str, tiny: bool) -> StableDiffusionPipeline:
    """A pipeline with networks as large as SD 1.5's or 2.1's, random weights, 512 px."""
    pocket = ik.as_generator("pocket").pipeline
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    width = {"sd15": 768, "sd21": 1024}[size]
    words = CLIPTextConfig(
        vocab_size=len(pocket.tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=12,
        num_attention_heads=width // 64,
        max_position_embeddings=77,
    )
    heads: Any = 8 if size == "sd15" else (5, 10, 20, 20)
    unet = UNet2DConditionModel(
        sample_size=64,
        cross_attention_dim=width,
        attention_head_dim=heads,
        block_out_channels=(320, 640, 1280, 1280),
    )
    vae: Any = (
        AutoencoderTiny()
        if tiny
        else AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            sample_size=512,
        )
    )
    made = StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(words),
        tokenizer=pocket.tokenizer,
        unet=unet,
        scheduler=DPMSolverMultistepScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return made.to(device, dtype)


def sizes(size: str, device: str, batch: int, repeats: int) -> list[dict[str, Any]]:
    """Updates at that size: today's default sampling, few steps, and those with a tiny decoder."""
    import timm

    net = timm.create_model("resnet18", num_classes=10).to(device)
    classifier = ik.as_classifier(net)
    rows = []
    for name, steps, guidance, tiny in (
        ("30 PNDM steps, guidance 7", 30, 7.0, False),
        ("4 steps, no guidance", 4, 1.0, False),
        ("4 steps, no guidance, tiny decoder", 4, 1.0, True),
        ("1 step, no guidance, tiny decoder", 1, 1.0, True),
    ):
        pipe = of_size(size, device, tiny)
        if steps == 30:
            pipe.scheduler = PNDMScheduler(skip_prk_steps=True)
        generator = Generator(pipe, name=size, num_inference_steps=steps, guidance_scale=guidance)
        if device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        took = overhead(generator, classifier, batch, repeats)
        peak = (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            if device == "cpu"
            else torch.cuda.max_memory_allocated() / 2**30
        )
        rows.append(
            {"size": size, "setting": name, "batch": batch, **took, "peak_gib": round(peak, 1)}
        )
        typer.echo(json.dumps(rows[-1]))
        del pipe, generator
    return rows


def whole_invert(label: str, generator: str) -> dict[str, Any]:
    """Seconds and evaluations of `invert` with all its evidence; models are loaded already."""
    made, judge = ik.as_generator(generator), ik.as_classifier("pocket:judge")
    classifier = ik.as_classifier("pocket:honest")
    inside = [made] if made.quick is None else [made, search_generator(made, Settings())]
    with counted(*inside) as counts:
        began = time.perf_counter()
        tree = ik.invert(classifier, label, generator=made, judges=[judge], progress=False)
        seconds = time.perf_counter() - began
    shares = ik.success(tree)["share"].sel(arm="token", scorer=[classifier.name, judge.name])
    return {
        "label": label,
        "generator": generator,
        "seconds": round(seconds, 2),
        **dataclasses.asdict(counts),
        "success": shares.values.ravel().tolist(),
    }


def main(
    label: Annotated[list[int] | None, typer.Option(help="Classes; twelve by default.")] = None,
    seeds: int = 3,
    recipe: Annotated[list[str] | None, typer.Option(help="Recipes; all by default.")] = None,
    size: Annotated[list[str] | None, typer.Option(help="sd15, sd21: measure these alone.")] = None,
    device: str = "cpu",
    batch: int = 8,
    out: Annotated[Path | None, typer.Option(help="Write the numbers as JSON.")] = None,
) -> None:
    """Print the tables."""
    found: dict[str, Any] = {}
    if size:
        found["sizes"] = [
            row for one in size for row in sizes(one, device, batch, 1 if device == "cpu" else 5)
        ]
    else:
        runs = compare(list(label or LABELS), seeds, list(recipe or []))
        found["runs"] = [dataclasses.asdict(run) for run in runs]
        typer.echo(table(runs))
        generator, classifier = ik.as_generator("pocket"), ik.as_classifier("pocket:honest")
        found["overhead"] = {
            one.name: overhead(one, classifier)
            for one in (generator, search_generator(generator, Settings()))
        }
        for name, took in found["overhead"].items():
            typer.echo(
                f"\n{name}: an update takes {took['update']:.3f} s, its model calls alone "
                f"{took['bare']:.3f} s: {took['update'] / took['bare']:.2f} times"
            )
        found["invert"] = [
            whole_invert(name, one)
            for one in ("pocket", "pocket:quick")
            for name in ("stop", "30 km/h speed limit", "keep right")
        ]
        for row in found["invert"]:
            typer.echo(json.dumps(row))
    if out is not None:
        out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    typer.run(main)
