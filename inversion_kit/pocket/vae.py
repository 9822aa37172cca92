"""The pocket's AutoencoderKL: 32 x 32 x 3 pixels to 8 x 8 x 10 latents and back."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from inversion_kit.pocket import photos
from inversion_kit.pocket.fit import fit

LATENT_CHANNELS = 10


def build() -> AutoencoderKL:
    """A small AutoencoderKL with random weights."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(24, 48, 96),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=photos.SIZE,
    )


def train(images: Tensor, *, folder: Path, steps: int, seed: int, device: str) -> AutoencoderKL:
    """Train on decorated photographs and set ``scaling_factor`` to one over the latents' spread.

    Loss: squared error, squared error of neighbour differences (edges), and a small KL.
    """
    torch.manual_seed(seed)
    vae = build().to(device)

    def loss(random: torch.Generator) -> Tensor:
        pick = torch.randint(len(images), (32,), generator=random)
        what = photos.draw_decoration(32, random, sticker=0.4, tint=0.12, frame=0.12)
        x = photos.decorate(images[pick], what, random).to(device) * 2 - 1
        posterior = vae.encode(x).latent_dist
        z = posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=random).to(
            device
        )
        error = vae.decode(z).sample.float() - x
        edges = error.diff(dim=2).square().mean() + error.diff(dim=3).square().mean()
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        return error.square().mean() + 0.25 * edges + 2e-5 * kl

    fit(
        vae,
        loss,
        checkpoint=folder / "vae.pt",
        steps=steps,
        lr=2e-3,
        seed=seed,
        ema=0.995,
        weight_decay=1e-4,
    )
    with torch.no_grad():
        latents = vae.encode(images[:: len(images) // 1024].to(device) * 2 - 1).latent_dist.mean
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))
    return vae


def polish(
    vae: AutoencoderKL, images: Tensor, *, folder: Path, steps: int, seed: int, device: str
) -> AutoencoderKL:
    """Train the decoder alone on saturated colours, so that the latents stay what they are.

    Every image has a patch of a full colour, a quarter of them on a flat grey; colour counts more
    than texture by an added absolute error where the image is saturated.
    """
    vae = vae.to(device).requires_grad_(False)
    vae.decoder.requires_grad_(True)
    vae.post_quant_conv.requires_grad_(True)

    def loss(random: torch.Generator) -> Tensor:
        x = images[torch.randint(len(images), (32,), generator=random)]
        grey = torch.rand(32, 1, 1, 1, generator=random).expand_as(x)
        flat = torch.rand(32, 1, 1, 1, generator=random) < 0.25
        what = photos.draw_decoration(32, random, sticker=0.5, tint=0.1, frame=0.15)
        x = photos.decorate(torch.where(flat, grey, x), what, random)
        x = _patch(x, random).to(device)
        vivid = (x.amax(1, keepdim=True) - x.amin(1, keepdim=True)) > 0.5
        with torch.no_grad():
            posterior = vae.encode(x * 2 - 1).latent_dist
            std = posterior.std * torch.randn(posterior.std.shape, generator=random).to(device)
        error = vae.decode(posterior.mean + 0.5 * std).sample.float() - (x * 2 - 1)
        edges = error.diff(dim=2).square().mean() + error.diff(dim=3).square().mean()
        return error.square().mean() + 0.25 * edges + (error.abs() * vivid).mean()

    fit(
        vae,
        loss,
        checkpoint=folder / "vae_decoder.pt",
        steps=steps,
        lr=5e-4,
        seed=seed + 3,
        ema=0.99,
        weight_decay=1e-4,
    )
    return vae


def _patch(images: Tensor, random: torch.Generator) -> Tensor:
    """Paint a rectangle of 5 to 10 pixels a side, in a sticker's full colour, on each image."""
    palette = torch.tensor(list(photos.STICKERS.values()))
    colour = palette[torch.randint(len(palette), (len(images),), generator=random)]
    side = torch.randint(5, 11, (len(images), 2), generator=random)
    first = (torch.rand(len(images), 2, generator=random) * (photos.SIZE - side)).long()
    at = torch.arange(photos.SIZE)
    rows, columns = (
        (at >= first[:, i : i + 1]) & (at < first[:, i : i + 1] + side[:, i : i + 1])
        for i in (0, 1)
    )
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.where(inside, colour[:, :, None, None], images)


@torch.no_grad()
def psnr(vae: AutoencoderKL, images: Tensor, batch: int = 256) -> Tensor:
    """Peak signal-to-noise ratio of each image after encode and decode, ``(n,)`` in dB."""
    values = []
    for x in images.split(batch):
        y = (vae.decode(vae.encode(x * 2 - 1).latent_dist.mean).sample / 2 + 0.5).clamp(0, 1)
        values.append(-10 * torch.log10(F.mse_loss(y, x, reduction="none").mean((1, 2, 3))))
    return torch.cat(values)
