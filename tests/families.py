"""Tiny random-weight pipelines of every family, of the real classes: offline and seeded."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
import xarray as xr
from tokenizers.processors import TemplateProcessing
from torch import nn

from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.gradients import NONE, GradientPolicy
from inversion_kit.testing import synthetic

ASKED = f"photo of {PLACEHOLDER}"
WORDS = ("photo", "of", "cat", "dog", "red", "stop", "big", "tiger")
MILD = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.002}
"""Little noise: Euler's steps are in float32, and finite differences see its last digits."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
DDPM = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def t5_tokenizer() -> transformers.T5TokenizerFast:
    """A unigram tokenizer over letters, with `WORDS` as single tokens."""
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    vocab += [(f"▁{word}", -1.0) for word in WORDS]
    vocab += [(letter, -8.0) for letter in (*LETTERS, *"<>-,.'")]
    return transformers.T5TokenizerFast(vocab=vocab, extra_ids=0, model_max_length=32)


def gemma_tokenizer() -> transformers.GemmaTokenizerFast:
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
    made = transformers.GemmaTokenizerFast(vocab=vocab, merges=merges, model_max_length=64)
    made.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", vocab["<bos>"])]
    )
    return made


# fmt: off
def clip(tokenizer: Any, width: int, *, projected: bool = True) -> nn.Module:
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=tokenizer.model_max_length,
        projection_dim=width, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )
    kind = "CLIPTextModelWithProjection" if projected else "CLIPTextModel"
    return getattr(transformers, kind)(config)


def t5(width: int, slot: str = "") -> dict[str, Any]:
    """A T5 tokenizer and encoder, by the names that a pipeline has for them."""
    tokenizer = t5_tokenizer()
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=width, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
        dropout_rate=0.0, feed_forward_proj="gated-gelu",
    )
    model = transformers.T5EncoderModel(config)
    return {f"tokenizer{slot}": tokenizer, f"text_encoder{slot}": model}


def vae(channels: int = 4, **settings: Any) -> nn.Module:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, sample_size=16,
        latent_channels=channels, down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, **{"scaling_factor": 0.5, **settings},
    )


def unet(width: int, **settings: Any) -> nn.Module:
    return diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=width, **{"attention_head_dim": 2, **settings},
    )


def stable_diffusion(tokenizer: Any, **schedule: Any) -> Any:
    return diffusers.StableDiffusionPipeline(
        tokenizer=tokenizer, text_encoder=clip(tokenizer, 8, projected=False), unet=unet(8),
        scheduler=diffusers.DDIMScheduler(**DDPM, clip_sample=False, steps_offset=1, **schedule),
        vae=vae(), safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )


def v_prediction(tokenizer: Any) -> Any:
    return stable_diffusion(tokenizer, prediction_type="v_prediction")


def sdxl(tokenizer: Any, scheduler: Any = None) -> Any:
    return diffusers.StableDiffusionXLPipeline(
        tokenizer=tokenizer, text_encoder=clip(tokenizer, 8, projected=False),
        tokenizer_2=copy.deepcopy(tokenizer), text_encoder_2=clip(tokenizer, 16),
        unet=unet(
            24, attention_head_dim=(2, 4), transformer_layers_per_block=(1, 1),
            use_linear_projection=True, addition_embed_type="text_time",
            addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + 16,
        ),
        vae=vae(), scheduler=scheduler or diffusers.EulerDiscreteScheduler(**MILD, steps_offset=1),
        add_watermarker=False,
    )


def sdxl_turbo(tokenizer: Any) -> Any:
    scheduler = diffusers.EulerAncestralDiscreteScheduler(**MILD, timestep_spacing="trailing")
    return sdxl(tokenizer, scheduler)


def lcm(tokenizer: Any) -> Any:
    return diffusers.LatentConsistencyModelPipeline(
        tokenizer=tokenizer, text_encoder=clip(tokenizer, 8, projected=False),
        unet=unet(8, time_cond_proj_dim=8), vae=vae(), scheduler=diffusers.LCMScheduler(**DDPM),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )


def sd3(tokenizer: Any) -> Any:
    return diffusers.StableDiffusion3Pipeline(
        tokenizer=tokenizer, text_encoder=clip(tokenizer, 8),
        tokenizer_2=copy.deepcopy(tokenizer), text_encoder_2=clip(tokenizer, 8), **t5(32, "_3"),
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=8, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8,
            num_attention_heads=2, caption_projection_dim=16, joint_attention_dim=32,
            pooled_projection_dim=16, out_channels=4, pos_embed_max_size=8,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae(shift_factor=0.0609),
    )


def flux(tokenizer: Any) -> Any:
    made = diffusers.FluxPipeline(
        tokenizer=tokenizer, text_encoder=clip(tokenizer, 8, projected=False), **t5(16, "_2"),
        transformer=diffusers.FluxTransformer2DModel(
            patch_size=1, in_channels=16, num_layers=1, num_single_layers=1,
            attention_head_dim=16, num_attention_heads=2, joint_attention_dim=16,
            pooled_projection_dim=8, axes_dims_rope=(4, 4, 8), guidance_embeds=True,
        ),
        vae=vae(shift_factor=0.1159), scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
    )
    made.default_sample_size = 8
    return made


def pixart(_tokenizer: Any) -> Any:
    return diffusers.PixArtSigmaPipeline(
        **t5(16),
        transformer=diffusers.PixArtTransformer2DModel(
            sample_size=8, num_layers=2, patch_size=2, attention_head_dim=8,
            num_attention_heads=2, caption_channels=16, in_channels=4, out_channels=8,
            cross_attention_dim=16, norm_type="ada_norm_single", use_additional_conditions=False,
        ),
        vae=vae(), scheduler=diffusers.DPMSolverMultistepScheduler(),
    )


def sana(_tokenizer: Any) -> Any:
    tokenizer = gemma_tokenizer()
    return diffusers.SanaPipeline(
        tokenizer=tokenizer,
        text_encoder=transformers.Gemma2Model(transformers.Gemma2Config(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, head_dim=8,
            num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
            max_position_embeddings=128, pad_token_id=0, eos_token_id=1, bos_token_id=2,
        )),
        transformer=diffusers.SanaTransformer2DModel(
            sample_size=2, patch_size=1, in_channels=4, out_channels=4, num_layers=1,
            num_attention_heads=2, attention_head_dim=8, num_cross_attention_heads=2,
            cross_attention_head_dim=8, cross_attention_dim=16, caption_channels=16,
        ),
        vae=diffusers.AutoencoderDC(
            latent_channels=4, attention_head_dim=2, scaling_factor=0.41407,
            encoder_block_types=("ResBlock",) * 5, encoder_block_out_channels=(4,) * 5,
            encoder_layers_per_block=(1,) * 5, encoder_qkv_multiscales=((),) * 5,
            decoder_block_types=("ResBlock",) * 5, decoder_block_out_channels=(4,) * 5,
            decoder_layers_per_block=(1,) * 5, decoder_qkv_multiscales=((),) * 5,
            upsample_block_type="interpolate", downsample_block_type="stride_conv",
            decoder_norm_types="rms_norm", decoder_act_fns="silu",
        ),
        scheduler=diffusers.DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0,
        ),
    )


def deepfloyd(_tokenizer: Any) -> Any:
    return diffusers.IFPipeline(
        **t5(16), unet=unet(16, in_channels=3, out_channels=6, encoder_hid_dim=16),
        scheduler=diffusers.DDPMScheduler(variance_type="learned_range"), safety_checker=None,
        feature_extractor=None, watermarker=None, requires_safety_checker=False,
    )


def kandinsky3(_tokenizer: Any) -> Any:
    return diffusers.Kandinsky3Pipeline(
        **t5(16),
        unet=diffusers.Kandinsky3UNet(
            in_channels=4, time_embedding_dim=4, groups=2, attention_head_dim=4,
            layers_per_block=3, block_out_channels=(32, 64), cross_attention_dim=4,
            encoder_hid_dim=16,
        ),
        movq=diffusers.VQModel(
            block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            num_vq_embeddings=8, vq_embed_dim=4,
        ),
        scheduler=diffusers.DDPMScheduler(),
    )
# fmt: on


_MAKERS: dict[str, Callable[[Any], Any]] = {
    make.__name__: make
    for make in (
        *(stable_diffusion, v_prediction, sdxl, sdxl_turbo, sd3, flux, pixart, sana, lcm),
        *(deepfloyd, kandinsky3),
    )
}
FAMILIES = tuple(_MAKERS)[:-2]
"""Those that give a gradient."""
SHORT = {"call": {"max_sequence_length": 16}}
SETTINGS: dict[str, dict[str, Any]] = {
    "sdxl_turbo": {"guidance_scale": 0.0},
    **dict.fromkeys(("sd3", "flux", "pixart"), SHORT),
    "sana": {"call": {"max_sequence_length": 16, "complex_human_instruction": ["photo of:"]}},
    "lcm": {"guidance_scale": 8.0},
    "kandinsky3": {"height": 16, "width": 16},
}
"""What the tiny pipelines need that the real ones do not."""


def build(family: str, tokenizer: Any, dtype: torch.dtype = torch.float32) -> Any:
    """A pipeline of a family, the same each time."""
    torch.manual_seed(1)
    made = _MAKERS[family](copy.deepcopy(tokenizer))
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


def learn(
    generator: Generator,
    word: str | torch.Tensor = "cat",
    *,
    prompt: str = ASKED,
    seed: int = 1,
    gradient: GradientPolicy = NONE,
    **settings: Any,
) -> tuple[ClassToken, torch.Tensor]:
    """A class token at a word, or a vector, and the image of a prompt with it."""
    token = ClassToken(generator.vector_of(word) if isinstance(word, str) else word)
    token = token.to(torch.promote_types(generator.dtype, torch.float32))
    images = generator.images([prompt], seeds=[seed], token=token, gradient=gradient, **settings)
    return token, images


def result_of(generator: Generator, *words: str, **settings: Any) -> xr.DataTree:
    """A made-up result of a generator, one run per word, whose tokens are at the words.

    Its settings say what the generator is, but not the token's layout.
    """
    tree = synthetic(seeds=len(words))
    token = tree["token"].to_dataset(inherit=False)
    dims = ("seed", "label", "arm", "check", "vector", "embed")
    vectors = np.stack([generator.vector_of(word).numpy() for word in words])
    shape = [*(token.sizes[dim] for dim in dims[:-1]), vectors.shape[1]]
    wide = np.broadcast_to(vectors.reshape(len(words), 1, 1, 1, 1, -1), shape).astype("f4")
    made = xr.Variable(dims, wide).transpose(*dims[1:3], "seed", *dims[3:])
    tree["token"] = token.drop_vars("embedding").assign(embedding=made)
    sampling = {key: getattr(generator, key) for key in ("num_inference_steps", "guidance_scale")}
    facts = {"generator_source": generator.source, "sampler": generator.sampler_facts()}
    kept = {**json.loads(tree.attrs["settings"]), **sampling, **facts, **settings}
    if "token_layout" not in settings:
        del kept["token_layout"]
    tree.attrs["settings"] = json.dumps(kept)
    tree.attrs |= {"generator": generator.name, "generator_hash": generator.hash}
    return tree
