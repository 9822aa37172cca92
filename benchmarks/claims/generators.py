"""The two generators of the claims: the pocket, which knows its names, and one that confuses them.

`weak` is the pocket with noise in the matrices of its text encoder, as much as makes its pictures
of a name be read as the name in about two of three: it paints as well as before, and mixes up what
it is asked for. It is no early checkpoint; one may be given in its place, as a folder.
"""

from __future__ import annotations

from pathlib import Path

import torch

from inversion_kit.generators.base import Generator
from inversion_kit.generators.convert import QUICK, as_generator
from inversion_kit.generators.loading import load_pipeline
from inversion_kit.pocket.distil import GUIDANCE, STEPS

NOISE = 1.3
"""Of the noise in units of each matrix's root mean square. Read as their name by classifier and
judge, 43 names at 4 noises: 92 % at 1.1, 85 % at 1.2, 68 % at 1.3. Sampling without guidance or in
fewer steps, from 6 to 1, leaves 90 to 98 %."""


def strong() -> Generator:
    """The pocket as it is shipped."""
    return as_generator("pocket")


def weak(folder: Path | None = None, *, noise: float = NOISE, seed: int = 0) -> Generator:
    """A generator that confuses its names: a folder's, or the pocket with a noisy text encoder.

    The quick generator, which searches ask, has the same text encoder.

    Parameters
    ----------
    folder
        What ``inversion_kit.pocket.train --out`` wrote, with its quick generator where it is
        there, or any pipeline.
    noise, seed
        Of the pocket's text encoder where no folder is given.
    """
    if folder is not None:
        return _of_folder(folder)
    made, quick = as_generator("pocket"), as_generator(QUICK)
    for one in (made, quick):
        one.name = f"{one.name} with noise {noise:g} in its text encoder"
        _disturb(one, noise, seed)
    made.quick = quick
    return made


def _of_folder(folder: Path) -> Generator:
    """Sampled as the pocket is."""
    place = folder / "generator"
    sampling = {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE}
    if not place.is_dir():
        return as_generator(folder, **sampling)
    made = as_generator(place, **sampling, device="cpu")
    parts = {part: folder / "quick" / part for part in ("unet", "scheduler")}
    if all(path.is_dir() for path in parts.values()):
        pipeline = load_pipeline(place, parts=parts, device="cpu")
        name = str(folder / "quick")
        made.quick = Generator(pipeline, name=name, num_inference_steps=1, guidance_scale=1.0)
    return made


@torch.no_grad()
def _disturb(generator: Generator, noise: float, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    for weight in generator.encoders[0].model.parameters():
        if weight.ndim > 1:
            spread = noise * weight.square().mean().sqrt()
            weight.add_(spread * torch.randn(weight.shape, generator=random))
