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
        vae, loss, checkpoint=folder / "vae.pt", steps=steps, lr=2e-3, seed=seed, ema=0.995,
        weight_decay=1e-4,
    )  # fmt: skip
    with torch.no_grad():
        latents = vae.encode(images[:: len(images) // 1024].to(device) * 2 - 1).latent_dist.mean
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))
    return vae


@torch.no_grad()
def psnr(vae: AutoencoderKL, images: Tensor, batch: int = 256) -> Tensor:
    """Peak signal-to-noise ratio of each image after encode and decode, ``(n,)`` in dB."""
    values = []
    for x in images.split(batch):
        y = (vae.decode(vae.encode(x * 2 - 1).latent_dist.mean).sample / 2 + 0.5).clamp(0, 1)
        values.append(-10 * torch.log10(F.mse_loss(y, x, reduction="none").mean((1, 2, 3))))
    return torch.cat(values)
