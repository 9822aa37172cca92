"""Pipelines as large as Stable Diffusion's, with random weights, made where they compute.

Widths and depths are those of the published configurations; nothing is downloaded. Computing time
does not depend on the values. The tokenizers are the pocket's, padded to 77 tokens as CLIP's are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from inversion_kit.generators.convert import POCKET

SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
"""Of Stable Diffusion, XL too."""
TOKENS, WORDS = 77, 49408
"""Tokens that CLIP reads, and rows of its table."""


@dataclass(frozen=True)
class Size:
    """A published architecture: arguments of its configurations."""

    encoders: tuple[dict[str, Any], ...]
    unet: dict[str, Any]
    vae: dict[str, Any] = field(default_factory=dict)
    tiny: dict[str, Any] = field(default_factory=dict)


_CLIP_L = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
_CLIP_G = {
    "hidden_size": 1280,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
    "projection_dim": 1280,
}
_XL_BLOCKS = {
    "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2),
    "up_block_types": (*("CrossAttnUpBlock2D",) * 2, "UpBlock2D"),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
}
_TOY_CLIP = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
_TOY_VAE = {"block_out_channels": (8,) * 4, "norm_num_groups": 4}
_TOY_DECODER = {
    "encoder_block_out_channels": (8,) * 4,
    "decoder_block_out_channels": (8,) * 4,
    "num_decoder_blocks": (1,) * 4,
    "num_encoder_blocks": (1,) * 4,
}

SIZES = {
    "sd15": Size(
        (_CLIP_L,),
        {
            "sample_size": 64,
            "cross_attention_dim": 768,
            "attention_head_dim": 8,
            "block_out_channels": (320, 640, 1280, 1280),
        },
    ),
    "sdxl": Size(
        (_CLIP_L, _CLIP_G),
        {
            **_XL_BLOCKS,
            "sample_size": 128,
            "cross_attention_dim": 2048,
            "attention_head_dim": (5, 10, 20),
            "block_out_channels": (320, 640, 1280),
            "transformer_layers_per_block": (1, 2, 10),
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 6 * 256 + 1280,
        },
        {"scaling_factor": 0.13025, "sample_size": 1024},
    ),
    "tiny": Size(
        (_TOY_CLIP,),
        {
            "sample_size": 4,
            "cross_attention_dim": 16,
            "attention_head_dim": 2,
            "block_out_channels": (8, 8, 16, 16),
            "norm_num_groups": 4,
        },
        _TOY_VAE,
        _TOY_DECODER,
    ),
    "tiny-xl": Size(
        (_TOY_CLIP, {**_TOY_CLIP, "projection_dim": 16}),
        {
            **_XL_BLOCKS,
            "sample_size": 4,
            "cross_attention_dim": 32,
            "attention_head_dim": (1, 2, 4),
            "block_out_channels": (8, 16, 16),
            "norm_num_groups": 4,
            "transformer_layers_per_block": (1, 1, 2),
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + 16,
        },
        _TOY_VAE,
        _TOY_DECODER,
    ),
}
"""By name; the tiny ones have the same parts in toy widths, to try all of it anywhere."""


@contextlib.contextmanager
def made_on(device: str, dtype: torch.dtype) -> Iterator[None]:
    """Modules that are built while this is open are built there and of that dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def tokenizer() -> CLIPTokenizer:
    """The pocket's, padded as Stable Diffusion's is."""
    return CLIPTokenizer.from_pretrained(POCKET / "tokenizer", model_max_length=TOKENS)


def encoder(kind: Any, ids: CLIPTokenizer, settings: dict[str, Any]) -> nn.Module:
    """A text encoder of CLIP."""
    return kind(
        CLIPTextConfig(
            vocab_size=WORDS,
            max_position_embeddings=TOKENS,
            intermediate_size=4 * settings["hidden_size"],
            bos_token_id=ids.bos_token_id,
            eos_token_id=ids.eos_token_id,
            pad_token_id=ids.pad_token_id,
            **settings,
        )
    )


def built(size: str, device: str, dtype: torch.dtype) -> tuple[Any, AutoencoderTiny]:
    """A pipeline of a size in `SIZES`, and a tiny decoder of its latents."""
    shape = SIZES[size]
    torch.manual_seed(0)
    ids = tokenizer()
    with made_on(device, dtype):
        kinds = (CLIPTextModel, CLIPTextModelWithProjection)
        encoders = [encoder(*one) for one in zip(kinds, (ids,) * 2, shape.encoders, strict=False)]
        unet = UNet2DConditionModel(**shape.unet)
        vae: dict[str, Any] = {"block_out_channels": (128, 256, 512, 512), "sample_size": 512}
        vae |= shape.vae
        decoder = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            **vae,
        )
        tiny = AutoencoderTiny(**shape.tiny)
    parts = {"unet": unet, "vae": decoder, "text_encoder": encoders[0], "tokenizer": ids}
    parts["scheduler"] = PNDMScheduler(**SCHEDULE, skip_prk_steps=True, steps_offset=1)
    if len(encoders) == 1:
        none = {"safety_checker": None, "feature_extractor": None}
        pipeline = StableDiffusionPipeline(**parts, **none, requires_safety_checker=False)
    else:
        second = {"text_encoder_2": encoders[1], "tokenizer_2": tokenizer()}
        pipeline = StableDiffusionXLPipeline(**parts, **second, add_watermarker=False)
    return pipeline, tiny.eval().requires_grad_(False)
