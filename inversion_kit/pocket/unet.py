"""The pocket's U-Net: trained on latents with v-prediction, against frozen text states."""

from __future__ import annotations

import random as chance
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor
from tqdm.auto import tqdm
from transformers import CLIPTextModel, CLIPTokenizer

from inversion_kit.pocket import clip, photos
from inversion_kit.pocket.captions import caption
from inversion_kit.pocket.fit import fit
from inversion_kit.pocket.vae import LATENT_CHANNELS

SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "rescale_betas_zero_snr": True,
    "steps_offset": 1,
}
"""Noise schedule for training and sampling: Stable Diffusion's, rescaled so that the last step is
pure noise (Lin et al. 2024), which dark and bright photographs need."""


def build() -> UNet2DConditionModel:
    """A small UNet2DConditionModel with random weights."""
    return UNet2DConditionModel(
        sample_size=photos.SIZE // 4,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(96, 192),
        layers_per_block=1,
        cross_attention_dim=clip.WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


@dataclass
class Latents:
    """Encoded photographs, scaled to unit spread, with what their captions may say."""

    latent: Tensor
    label: Tensor
    looks: list[tuple[str, ...]]
    added: list[dict[str, int]]


@torch.no_grad()
def encode(
    images: Tensor,
    label: Tensor,
    vae: AutoencoderKL,
    *,
    folder: Path,
    seed: int,
    rounds: int = 2,
    device: str,
) -> Latents:
    """Encode each photograph once as it is and ``rounds`` times decorated; cached on disk."""
    path = folder / "latents.pt"
    if path.is_file():
        return Latents(**torch.load(path, weights_only=True))
    vae = vae.to(device)
    parts: list[Tensor] = []
    out = Latents(torch.empty(0), torch.empty(0), [], [])
    labels = []
    for turn in range(rounds + 1):
        odds = (0.45, 0.15, 0.15, 0.16, 0.12) if turn else (0.0,) * 5
        for rows in tqdm(torch.arange(len(images)).split(256), desc=f"encode {turn}"):
            random = torch.Generator().manual_seed(seed * 1_000_003 + turn * 100_000 + int(rows[0]))
            x, y = photos.flip(images[rows], label[rows], random)
            names = ("sticker", "tint", "frame", "tilt", "small")
            what = photos.draw_decoration(len(x), random, **dict(zip(names, odds, strict=True)))
            out.looks += photos.looks(x)
            out.added += [what.row(i) for i in range(len(x))]
            x = photos.decorate(x, what, random).to(device) * 2 - 1
            with torch.autocast(device, torch.bfloat16):
                z = vae.encode(x).latent_dist.mean
            parts.append((z.float() * vae.config.scaling_factor).half().cpu())
            labels.append(y)
    out.latent, out.label = torch.cat(parts), torch.cat(labels)
    torch.save(vars(out), path)
    return out


def train(
    data: Latents,
    text: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    *,
    folder: Path,
    steps: int,
    seed: int,
    device: str,
    batch: int = 64,
    unet: UNet2DConditionModel | None = None,
) -> UNet2DConditionModel:
    """v-prediction (Salimans and Ho 2022), min-SNR weights (Hang et al. 2023), 10 % no caption."""
    torch.manual_seed(seed)
    unet = (unet or build()).to(device)
    text = text.to(device).eval().requires_grad_(False)
    noising = DDPMScheduler(**SCHEDULE)
    signal = noising.alphas_cumprod.clamp(min=1e-8)
    weight = (signal / (1 - signal)).clamp(max=5) / (signal / (1 - signal) + 1)
    weight = (weight / weight.mean()).to(device)
    odds = _odds(data)

    def loss(random: torch.Generator) -> Tensor:
        rows = torch.multinomial(odds, batch, replacement=True, generator=random)
        pick = chance.Random(int(torch.randint(2**31, (1,), generator=random)))
        texts = [
            ""
            if pick.random() < 0.1
            else caption(int(data.label[i]), data.looks[i], data.added[i], pick)
            for i in rows.tolist()
        ]
        with torch.no_grad():
            states = text(clip.encode(tokenizer, texts).to(device)).last_hidden_state
        z = data.latent[rows].float().to(device)
        noise = torch.randn(z.shape, generator=random).to(device)
        t = torch.randint(1000, (batch,), generator=random).to(device)
        noisy = noising.add_noise(z, noise, t)
        target = noising.get_velocity(z, noise, t)
        error = (unet(noisy, t, states).sample.float() - target).square().mean((1, 2, 3))
        return (weight[t] * error).mean()

    fit(
        unet,
        loss,
        checkpoint=folder / "unet.pt",
        steps=steps,
        lr=8e-4,
        seed=seed + 2,
        ema=0.998,
        weight_decay=0.01,
    )
    return unet


def _odds(data: Latents) -> Tensor:
    """Sampling weight of each row: classes mostly balanced, half of the rows undecorated.

    Frames (eight colours) are rarer a word than stickers and count double; tilts, the hardest to
    learn, count four times.
    """
    counts = torch.bincount(data.label, minlength=43)
    weight = 0.75 / counts[data.label] / 43 + 0.25 / len(data.label)
    weight = weight * torch.tensor(
        [4.0 if row["tilt"] >= 0 else 2.0 if row["frame"] >= 0 else 1.0 for row in data.added]
    )
    plain = torch.tensor(
        [
            all(row[k] < 0 for k in ("sticker", "tint", "frame", "tilt", "small"))
            for row in data.added
        ]
    )
    return weight * torch.where(plain, 0.5 / plain.double().mean(), 0.5 / (~plain).double().mean())
