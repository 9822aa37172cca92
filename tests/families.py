"""Tiny random-weight pipelines of every family, of the real classes: offline and seeded."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    IFPipeline,
    Kandinsky3Pipeline,
    Kandinsky3UNet,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    VQModel,
)
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizerFast,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

WORDS = ("photo", "of", "cat", "dog", "red", "stop", "big", "tiger")
MILD = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.002}
"""Little noise: Euler's steps are in float32, and finite differences see its last digits."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
DDPM = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def t5_tokenizer() -> T5TokenizerFast:
    """A unigram tokenizer over letters, with `WORDS` as single tokens."""
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    vocab += [(f"▁{word}", -1.0) for word in WORDS]
    vocab += [(letter, -8.0) for letter in (*LETTERS, *"<>-,.'")]
    return T5TokenizerFast(vocab=vocab, extra_ids=0, model_max_length=32)


def gemma_tokenizer() -> GemmaTokenizerFast:
    """A byte-pair tokenizer over letters, with `WORDS` after a space as single tokens."""
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *LETTERS, *"<>-,.'\n:"]
    merges = []
    for word in WORDS:
        left = "▁"
        for letter in word:
            merges.append((left, letter))
            left += letter
    merges = list(dict.fromkeys(merges))
    vocab = {token: i for i, token in enumerate([*tokens, *(a + b for a, b in merges)])}
    made = GemmaTokenizerFast(vocab=vocab, merges=merges, model_max_length=64)
    made.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", vocab["<bos>"])]
    )
    return made


def clip(tokenizer: CLIPTokenizer, width: int, *, projected: bool = True) -> nn.Module:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=tokenizer.model_max_length,
        projection_dim=width, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def t5(tokenizer: T5TokenizerFast, width: int) -> nn.Module:
    config = T5Config(
        vocab_size=len(tokenizer), d_model=width, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
        dropout_rate=0.0, feed_forward_proj="gated-gelu",
    )  # fmt: skip
    return T5EncoderModel(config)


def vae(channels: int = 4, **settings: Any) -> nn.Module:
    return AutoencoderKL(
        block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, sample_size=16,
        latent_channels=channels, down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, **{"scaling_factor": 0.5, **settings},
    )  # fmt: skip


def unet(width: int, **settings: Any) -> nn.Module:
    return UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=width, **{"attention_head_dim": 2, **settings},
    )  # fmt: skip


def stable_diffusion(tokenizer: CLIPTokenizer, **schedule: Any) -> StableDiffusionPipeline:
    return StableDiffusionPipeline(
        tokenizer=tokenizer, text_encoder=clip(tokenizer, 8, projected=False), unet=unet(8),
        vae=vae(), scheduler=DDIMScheduler(**DDPM, clip_sample=False, steps_offset=1, **schedule),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def v_prediction(tokenizer: CLIPTokenizer) -> StableDiffusionPipeline:
    return stable_diffusion(tokenizer, prediction_type="v_prediction")


def sdxl(tokenizer: CLIPTokenizer, scheduler: Any = None) -> StableDiffusionXLPipeline:
    return StableDiffusionXLPipeline(
        tokenizer=tokenizer, text_encoder=clip(tokenizer, 8, projected=False),
        tokenizer_2=copy.deepcopy(tokenizer), text_encoder_2=clip(tokenizer, 16),
        unet=unet(
            24, attention_head_dim=(2, 4), transformer_layers_per_block=(1, 1),
            use_linear_projection=True, addition_embed_type="text_time",
            addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + 16,
        ),
        vae=vae(), scheduler=scheduler or EulerDiscreteScheduler(**MILD, steps_offset=1),
        add_watermarker=False,
    )  # fmt: skip


def sdxl_turbo(tokenizer: CLIPTokenizer) -> StableDiffusionXLPipeline:
    return sdxl(tokenizer, EulerAncestralDiscreteScheduler(**MILD, timestep_spacing="trailing"))


def lcm(tokenizer: CLIPTokenizer) -> LatentConsistencyModelPipeline:
    return LatentConsistencyModelPipeline(
        tokenizer=tokenizer, text_encoder=clip(tokenizer, 8, projected=False),
        unet=unet(8, time_cond_proj_dim=8), vae=vae(), scheduler=LCMScheduler(**DDPM),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def sd3(tokenizer: CLIPTokenizer) -> StableDiffusion3Pipeline:
    second = t5_tokenizer()
    return StableDiffusion3Pipeline(
        tokenizer=tokenizer, text_encoder=clip(tokenizer, 8),
        tokenizer_2=copy.deepcopy(tokenizer), text_encoder_2=clip(tokenizer, 8),
        tokenizer_3=second, text_encoder_3=t5(second, 32),
        transformer=SD3Transformer2DModel(
            sample_size=8, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8,
            num_attention_heads=2, caption_projection_dim=16, joint_attention_dim=32,
            pooled_projection_dim=16, out_channels=4, pos_embed_max_size=8,
        ),
        vae=vae(shift_factor=0.0609), scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )  # fmt: skip


def flux(tokenizer: CLIPTokenizer) -> FluxPipeline:
    second = t5_tokenizer()
    made = FluxPipeline(
        tokenizer=tokenizer, text_encoder=clip(tokenizer, 8, projected=False),
        tokenizer_2=second, text_encoder_2=t5(second, 16),
        transformer=FluxTransformer2DModel(
            patch_size=1, in_channels=16, num_layers=1, num_single_layers=1,
            attention_head_dim=16, num_attention_heads=2, joint_attention_dim=16,
            pooled_projection_dim=8, axes_dims_rope=(4, 4, 8), guidance_embeds=True,
        ),
        vae=vae(shift_factor=0.1159), scheduler=FlowMatchEulerDiscreteScheduler(),
    )  # fmt: skip
    made.default_sample_size = 8
    return made


def pixart(_tokenizer: CLIPTokenizer) -> PixArtSigmaPipeline:
    tokenizer = t5_tokenizer()
    return PixArtSigmaPipeline(
        tokenizer=tokenizer, text_encoder=t5(tokenizer, 16),
        transformer=PixArtTransformer2DModel(
            sample_size=8, num_layers=2, patch_size=2, attention_head_dim=8,
            num_attention_heads=2, caption_channels=16, in_channels=4, out_channels=8,
            cross_attention_dim=16, norm_type="ada_norm_single", use_additional_conditions=False,
        ),
        vae=vae(), scheduler=DPMSolverMultistepScheduler(),
    )  # fmt: skip


def sana(_tokenizer: CLIPTokenizer) -> SanaPipeline:
    tokenizer = gemma_tokenizer()
    return SanaPipeline(
        tokenizer=tokenizer,
        text_encoder=Gemma2Model(Gemma2Config(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, head_dim=8,
            num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
            max_position_embeddings=128, pad_token_id=0, eos_token_id=1, bos_token_id=2,
        )),
        transformer=SanaTransformer2DModel(
            sample_size=2, patch_size=1, in_channels=4, out_channels=4, num_layers=1,
            num_attention_heads=2, attention_head_dim=8, num_cross_attention_heads=2,
            cross_attention_head_dim=8, cross_attention_dim=16, caption_channels=16,
        ),
        vae=AutoencoderDC(
            latent_channels=4, attention_head_dim=2, scaling_factor=0.41407,
            encoder_block_types=("ResBlock",) * 5, encoder_block_out_channels=(4,) * 5,
            encoder_layers_per_block=(1,) * 5, encoder_qkv_multiscales=((),) * 5,
            decoder_block_types=("ResBlock",) * 5, decoder_block_out_channels=(4,) * 5,
            decoder_layers_per_block=(1,) * 5, decoder_qkv_multiscales=((),) * 5,
            upsample_block_type="interpolate", downsample_block_type="stride_conv",
            decoder_norm_types="rms_norm", decoder_act_fns="silu",
        ),
        scheduler=DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0,
        ),
    )  # fmt: skip


def deepfloyd(_tokenizer: CLIPTokenizer) -> IFPipeline:
    tokenizer = t5_tokenizer()
    return IFPipeline(
        tokenizer=tokenizer, text_encoder=t5(tokenizer, 16),
        unet=unet(16, in_channels=3, out_channels=6, encoder_hid_dim=16),
        scheduler=DDPMScheduler(variance_type="learned_range"), safety_checker=None,
        feature_extractor=None, watermarker=None, requires_safety_checker=False,
    )  # fmt: skip


def kandinsky3(_tokenizer: CLIPTokenizer) -> Kandinsky3Pipeline:
    tokenizer = t5_tokenizer()
    return Kandinsky3Pipeline(
        tokenizer=tokenizer, text_encoder=t5(tokenizer, 16),
        unet=Kandinsky3UNet(
            in_channels=4, time_embedding_dim=4, groups=2, attention_head_dim=4,
            layers_per_block=3, block_out_channels=(32, 64), cross_attention_dim=4,
            encoder_hid_dim=16,
        ),
        movq=VQModel(
            block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            num_vq_embeddings=8, vq_embed_dim=4,
        ),
        scheduler=DDPMScheduler(),
    )  # fmt: skip


FAMILIES: dict[str, Callable[[CLIPTokenizer], Any]] = {
    "stable_diffusion": stable_diffusion,
    "v_prediction": v_prediction,
    "sdxl": sdxl,
    "sdxl_turbo": sdxl_turbo,
    "sd3": sd3,
    "flux": flux,
    "pixart": pixart,
    "sana": sana,
    "lcm": lcm,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "sdxl_turbo": {"guidance_scale": 0.0},
    "sd3": {"call": {"max_sequence_length": 16}},
    "flux": {"call": {"max_sequence_length": 16}},
    "pixart": {"call": {"max_sequence_length": 16}},
    "sana": {"call": {"max_sequence_length": 16, "complex_human_instruction": ["photo of:"]}},
    "lcm": {"guidance_scale": 8.0},
    "kandinsky3": {"height": 16, "width": 16},
}
"""What the tiny pipelines need that the real ones do not."""


def build(family: str, tokenizer: CLIPTokenizer, dtype: torch.dtype = torch.float32) -> Any:
    """A pipeline of a family, the same each time."""
    torch.manual_seed(1)
    made = {**FAMILIES, "deepfloyd": deepfloyd, "kandinsky3": kandinsky3}[family](
        copy.deepcopy(tokenizer)
    )
    for network in made.components.values():
        if isinstance(network, nn.Module):
            nn.Module.to(network, dtype)
            with torch.no_grad():
                for name, weight in network.named_parameters():
                    if "attn2.to_out.0.weight" in name or name == "add_embedding.linear_2.weight":
                        weight *= 8  # so that the prompt makes a difference
                    if name.startswith("decoder.conv_out."):
                        weight *= 0.3  # so that images stay within 0 and 1
    return made
