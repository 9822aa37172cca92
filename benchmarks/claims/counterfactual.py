"""7: a given photograph, changed as little as makes the classifier read another class.

Image-to-image by diffusers (SDEdit, Meng et al. 2022) from a photograph of one class with the token
of another, at several strengths, beside the names of both and an attack on the pixels alone.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from captum.robust import PGD
from diffusers import StableDiffusionImg2ImgPipeline
from torch import Tensor

from benchmarks.claims.bench import PHOTO, Bench
from benchmarks.claims.photographs import of_class, photographs
from benchmarks.claims.table import Estimate, Table, share
from inversion_kit.classifiers.preprocess import whole_bytes
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.locks import alone_with
from inversion_kit.generators.sample import from_bytes
from inversion_kit.pocket.signs import NAMES
from inversion_kit.seeds import TEST, noise_seeds

PAIRS = ((14, 17), (4, 5), (33, 34), (38, 39), (12, 13))
"""Class of the photograph and the other class: two far apart in colour, kin, mirrored, shape."""
STRENGTHS = tuple(k / 6 for k in range(1, 7))
"""Of image-to-image: the share of the noise that is put on the photograph, 1 for all of it."""
STEPS = 12
"""Denoising steps at full strength."""
RADII = tuple(2.0**k for k in range(-2, 6))
"""Of the pixel attack: root mean square of the change, in grey levels of 255."""
WAYS = ("token", "name", "own name", "pixel attack")


def measure(bench: Bench) -> Table:
    """What flips a photograph, how much of it changes, and what the judge says."""
    heads = ["from", "to", "by", "flipped", "strength", "change", "judge: the other class"]
    table = Table(7, "A counterfactual of a given picture", [*heads, "judge: still the first"])
    if bench.data is None:
        table.notes.append("Skipped: it needs real photographs (`--data`).")
        return table
    pairs = PAIRS[:2] if bench.quick else PAIRS
    found = {
        way: [[_flips(bench, pair, way, s) for s in bench.seeds] for pair in pairs] for way in WAYS
    }
    for at, pair in [*enumerate(pairs), (slice(None), None)]:
        names = ["all", ""] if pair is None else [NAMES[i] for i in pair]
        for way in WAYS:
            one = np.array(found[way], float)[at].reshape(
                -1, len(bench.seeds), 4, bench.images // 2
            )
            row, data = _row(one, pair, by_strength=way != "pixel attack")
            table.rows.append([*names, way, *row])
            table.data.append({"from": names[0], "to": names[1], "by": way, **data})
    table.notes.append(
        f"{bench.images // 2} test photographs of different signs a pair, read right by both "
        f"networks, runs {', '.join(map(str, bench.seeds))}. Image-to-image with the other "
        "class's token, its name, or (the control) the photograph's own name; strength "
        f"{STRENGTHS[0]:.2f} to 1 in {len(STRENGTHS)} steps, the first at which the classifier "
        "reads the other class. "
        f"Pixel attack: captum's targeted PGD, L2, the first of {len(RADII)} radii. Strength and "
        "change (root mean square, grey levels of 255) are medians of what flipped; "
        "the judge's columns are shares of what flipped."
    )
    return table


def _row(found: np.ndarray, pair: Any, *, by_strength: bool) -> tuple[list[str], dict[str, Any]]:
    """Cells and data of flips ``(pair, seed, 4, n)``: strength, change, judge's two answers."""
    strength, change, other, still = (found[:, :, k] for k in range(4))
    flipped = share(np.isfinite(strength))
    if not np.isfinite(strength).any():
        return [flipped.share(), "-", "-", "-", "-"], {"flipped": flipped.plain()}
    judged = [_pooled(other), _pooled(still)]
    middle = [float(np.nanmedian(strength)), float(np.nanmedian(change))]
    row = [flipped.share(), f"{middle[0]:.2f}" if by_strength else "-", f"{middle[1]:.1f}"]
    data = {"strength": middle[0] if by_strength else None, "change": middle[1]}
    data |= {"other": judged[0].plain(), "first": judged[1].plain(), "flipped": flipped.plain()}
    return [*row, *(one.share() for one in judged)], data


def _pooled(hits: np.ndarray) -> Estimate:
    """Share of hits that are there, by run where every photograph counts as one."""
    return share(hits[np.isfinite(hits)].reshape(1, 1, -1))


def _flips(bench: Bench, pair: tuple[int, int], way: str, seed: int) -> list[list[float | None]]:
    """Strength, change and the judge's two answers of each photograph, ``(4, n)``; made once."""
    images = _read_right(bench, pair[0], seed)
    said = {"token": PLACEHOLDER, "name": NAMES[pair[1]], "own name": NAMES[pair[0]]}
    token = bench.token("pocket", pair[1], "", seed) if way == "token" else None
    digest = hashlib.sha256(images.numpy().tobytes()).hexdigest()
    what = {"photographs": digest, "to": pair[1], "way": way, "seed": seed, "steps": STEPS}
    what |= {
        "doses": list(RADII if way == "pixel attack" else STRENGTHS),
        "judge": bench.judge.hash,
    }
    what |= {"token": None if token is None else token.tolist(), **bench.models("pocket")}

    def changed(dose: float) -> Tensor:
        if way == "pixel attack":
            return attacked(bench, images, pair[1], dose)
        prompt = PHOTO.format(said[way])
        return redrawn(bench.generators["pocket"], images, prompt, dose, seed, token)

    def make() -> list[list[float | None]]:
        return _first_flip(bench, images, pair, what["doses"], changed)

    return bench.cells.of("counterfactual", what, make)


def _first_flip(
    bench: Bench,
    images: Tensor,
    pair: tuple[int, int],
    doses: list[float],
    changed: Callable[[float], Tensor],
) -> list[list[float | None]]:
    """Of each picture the first dose at which the classifier reads the other class."""
    found = np.full((4, len(images)), np.nan)
    for dose in doses:
        made = whole_bytes(changed(dose))
        seen = bench.read(made)
        new = (seen.classifier == pair[1]) & np.isnan(found[0])
        change = 255 * (made - images).square().flatten(1).mean(1).sqrt().numpy()
        values = [np.full(len(images), dose), change, seen.judge == pair[1], seen.judge == pair[0]]
        found[:, new] = np.array(values, float)[:, new]
    return np.where(np.isfinite(found), found, None).tolist()


def _read_right(bench: Bench, label: int, seed: int) -> Tensor:
    """Test photographs of a class, of different signs, that classifier and judge read right."""
    assert bench.data is not None
    data = photographs(bench.data, "test")
    images = from_bytes(data.image[of_class(data, label, 200, seed)])
    seen = bench.read(images)
    right = seen.hits(label, "classifier") & seen.hits(label, "judge")
    return images[torch.from_numpy(right)][: bench.images // 2]


@torch.no_grad()
def redrawn(
    generator: Generator,
    images: Tensor,
    prompt: str,
    strength: float,
    seed: int,
    token: Tensor | None = None,
) -> Tensor:
    """Pictures ``(n, 3, y, x)`` in [0, 1], noised as far as ``strength`` and denoised for a prompt.

    The noise of a picture is the same for every prompt and strength.
    """
    pipeline, encoder = generator.pipeline, generator.encoders[0]
    parts = ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
    again = StableDiffusionImg2ImgPipeline(
        **{part: pipeline.components[part] for part in parts},
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    again.set_progress_bar_config(disable=True)
    placed = ClassToken(generator.neutral_vector() if token is None else token)
    random = [torch.Generator().manual_seed(s) for s in noise_seeds(seed, TEST, 0, len(images))]
    with (
        alone_with(encoder.model, generator.denoiser),
        placed.placed_in(encoder.embedding, encoder.token_id),
    ):
        made: Tensor = again(
            prompt=[prompt.replace(PLACEHOLDER, generator.spelling)] * len(images),
            image=images,
            strength=strength,
            num_inference_steps=STEPS,
            guidance_scale=generator.guidance_scale,
            generator=random,
            output_type="pt",
        ).images
    return made


def attacked(bench: Bench, images: Tensor, target: int, radius: float) -> Tensor:
    """Pictures moved towards a class pixel by pixel, by ``radius`` grey levels in the mean."""
    far = radius / 255 * images[0].numel() ** 0.5
    attack = PGD(
        bench.classifier.logits,
        lambda scores, wanted: F.cross_entropy(scores, wanted, reduction="none"),
        lower_bound=0.0,
        upper_bound=1.0,
    )
    wanted = torch.full((len(images),), target)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Input Tensor 0 did not already")  # of its own steps
        made: Tensor = attack.perturb(images, far, far / 5, 20, wanted, targeted=True, norm="L2")
    return made.detach()
