"""The pocket's quick U-Net: learns where the pocket's own sampling ends, from every step of it.

The teacher is the pocket at its defaults (six steps, guidance 3). A lesson is one sampling: its
latents before each step, and those at the end. The student sees the latents of one step and
predicts the end, so that one step of it, without guidance, gives the picture that the teacher
makes of the same noise (knowledge distillation, Luhman and Luhman 2021; guidance folded in, Meng
et al. 2023). No photograph is needed.
"""

from __future__ import annotations

import json
import random as chance
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    UNet2DConditionModel,
)
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm.auto import trange
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from inversion_kit.pocket import clip
from inversion_kit.pocket.captions import LOOKS, caption
from inversion_kit.pocket.fit import fit
from inversion_kit.pocket.photos import draw_decoration
from inversion_kit.pocket.unet import SCHEDULE

STEPS, GUIDANCE = 6, 3.0
"""Of the teacher: the pocket's defaults."""
SHARD = 256
"""Lessons a file."""
MIXED = 0.2
"""Share of the lessons whose prompt lies between two captions, as those of a class token may."""
FIRST = 0.5
"""Share of the training on the first step, from pure noise."""


Lesson = dict[str, list[Any]]
"""Of a few lessons: caption, the other caption, and how far between the two the prompt lies."""


def build(teacher: UNet2DConditionModel) -> UNet2DConditionModel:
    """The teacher without its middle and the attention after it; weights are the teacher's."""
    config = dict(teacher.config)
    config |= {"mid_block_type": None, "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
    student = UNet2DConditionModel.from_config(config)
    student.load_state_dict(
        {k: v for k, v in teacher.state_dict().items() if k in student.state_dict()}
    )
    return student


def draw_captions(n: int, seed: int) -> list[str]:
    """Captions of all classes alike, with everything that a caption may say."""
    pick, random = chance.Random(seed), torch.Generator().manual_seed(seed)
    drawn = draw_decoration(n, random, sticker=0.3, tint=0.15, frame=0.15, tilt=0.15, small=0.12)
    looks: list[tuple[str, ...]] = [*((look,) for look in LOOKS), *([()] * len(LOOKS))]
    return [caption(pick.randrange(43), pick.choice(looks), drawn.row(i), pick) for i in range(n)]


@torch.no_grad()
def states(text: CLIPTextModel, tokenizer: CLIPTokenizer, lesson: Lesson) -> Tensor:
    """Text states of lessons, mixed where they are, ``(n, token, width)``."""
    one, two = (
        text(clip.encode(tokenizer, lesson[key])).last_hidden_state for key in ("caption", "other")
    )
    return torch.lerp(one, two, torch.tensor(lesson["mix"])[:, None, None])


@torch.no_grad()
def teach(
    unet: UNet2DConditionModel,
    text: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    *,
    folder: Path,
    lessons: int,
    seed: int,
) -> None:
    """Write lessons that are missing: latents ``(step + 1, n, channel, y, x)`` and captions."""
    folder.mkdir(parents=True, exist_ok=True)
    sampler = DPMSolverMultistepScheduler(**SCHEDULE)
    shape = (SHARD, unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
    for shard in trange(-(-lessons // SHARD), desc="lessons"):
        path = folder / f"{shard:04d}.safetensors"
        if path.is_file():
            continue
        number = seed * 1_000_003 + shard
        random = torch.Generator().manual_seed(number)
        mix = torch.rand(SHARD, generator=random)
        mixed = torch.rand(SHARD, generator=random) < MIXED
        lesson = {
            "caption": draw_captions(SHARD, 2 * number),
            "other": draw_captions(SHARD, 2 * number + 1),
            "mix": torch.where(mixed, mix, 0.0).tolist(),
        }
        text_states = states(text, tokenizer, lesson)
        plain = states(text, tokenizer, {"caption": [""], "other": [""], "mix": [0.0]})
        text_states = torch.cat([plain.expand_as(text_states), text_states])
        sampler.set_timesteps(STEPS)
        latents = torch.randn(shape, generator=random)
        path_taken = [latents]
        for t in sampler.timesteps:
            free, named = unet(torch.cat([latents] * 2), t, text_states).sample.chunk(2)
            guided = free + GUIDANCE * (named - free)
            latents = sampler.step(guided, t, latents).prev_sample
            path_taken.append(latents)
        part = path.with_suffix(".part")
        save_file({"latents": torch.stack(path_taken).half()}, part, {"lesson": json.dumps(lesson)})
        part.rename(path)


def train(
    teacher: UNet2DConditionModel,
    text: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    *,
    folder: Path,
    lessons: Path,
    steps: int,
    seed: int,
    batch: int = 32,
    lr: float = 4e-4,
) -> UNet2DConditionModel:
    """Train the student on all lessons that are there."""
    latents, lesson = read_lessons(lessons)
    sampler = DPMSolverMultistepScheduler(**SCHEDULE)
    sampler.set_timesteps(STEPS)
    signal = sampler.alphas_cumprod[sampler.timesteps]
    a, s = signal.sqrt()[:, None, None, None], (1 - signal).sqrt()[:, None, None, None]
    odds = torch.tensor([FIRST, *[(1 - FIRST) / (STEPS - 1)] * (STEPS - 1)])
    torch.manual_seed(seed)
    student = build(teacher)

    def loss(random: torch.Generator) -> Tensor:
        rows = torch.randint(latents.shape[1], (batch,), generator=random)
        at = torch.multinomial(odds, batch, replacement=True, generator=random)
        noisy, end = latents[at, rows].float(), latents[-1, rows].float()
        text_states = states(text, tokenizer, {k: [v[i] for i in rows] for k, v in lesson.items()})
        velocity = student(noisy, sampler.timesteps[at], text_states).sample
        return (a[at] * noisy - s[at] * velocity - end).square().mean()

    fit(
        student,
        loss,
        checkpoint=folder / "quick.pt",
        steps=steps,
        lr=lr,
        seed=seed + 2,
        ema=0.998,
        weight_decay=0.01,
    )
    return student


def read_lessons(folder: Path) -> tuple[Tensor, Lesson]:
    """All lessons of a folder: latents ``(step + 1, n, channel, y, x)``, captions and mixes."""
    latents: list[Tensor] = []
    lesson: Lesson = {"caption": [], "other": [], "mix": []}
    for path in sorted(folder.glob("*.safetensors")):
        latents.append(load_file(path)["latents"])
        with safe_open(path, "pt") as file:
            for key, values in json.loads(file.metadata()["lesson"]).items():
                lesson[key] += values
    return torch.cat(latents, 1), lesson


def scheduler() -> DDIMScheduler:
    """What samples with the student: a step from pure noise, or a few, each to its own end."""
    return DDIMScheduler(**SCHEDULE, clip_sample=False)


def quick(
    parts: tuple[AutoencoderKL, CLIPModel, CLIPTokenizer, UNet2DConditionModel],
    *,
    folder: Path,
    lessons: int,
    steps: int,
    seed: int,
) -> UNet2DConditionModel:
    """Make the lessons that are missing, and a student of them; both go on where they stopped."""
    _, both, tokenizer, teacher = parts
    for part in (both, teacher):
        part.eval().requires_grad_(False)
    given = (teacher, both.text_model, tokenizer)
    teach(*given, folder=folder / "lessons", lessons=lessons, seed=seed)
    return train(*given, folder=folder, lessons=folder / "lessons", steps=steps, seed=seed)
