"""A tiny random-weight pipeline of the real classes and a tiny classifier: offline and seeded."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub reads it: no test needs a network

import json
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.preprocess import Preprocess
from inversion_kit.generators import kept
from inversion_kit.generators.base import Generator

torch.set_num_threads(1)
_CACHE = tempfile.TemporaryDirectory(prefix="inversion-kit-cache-")
os.environ["INVERSION_KIT_CACHE"] = _CACHE.name  # no test writes into the user's folder

WORDS = ("photo", "of", "cat", "dog", "red", "stop", "big", "tiger")
LABELS = ("cat", "dog", "big dog", "stop")
EMBED, LENGTH = 16, 12
SCHEDULE = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "steps_offset": 1,
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _nothing_kept() -> None:
    kept._images.clear()  # what a test makes does not rest on the tests before it


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    """CLIP's byte-pair tokenizer over letters, with `WORDS` as single tokens."""
    letters = list("abcdefghijklmnopqrstuvwxyz")
    merges: dict[tuple[str, str], None] = {}
    for word in WORDS:
        left, *rest = [*word[:-1], f"{word[-1]}</w>"]
        for right in rest:
            merges[left, right] = None
            left += right
    tokens = [*letters, *(f"{a}</w>" for a in letters), *(a + b for a, b in merges)]
    vocab = {t: i for i, t in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "vocab.json").write_text(json.dumps(vocab), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    made = CLIPTokenizer.from_pretrained(folder, model_max_length=LENGTH)
    for word in WORDS:
        assert made.tokenize(word) == [f"{word}</w>"]
    return made


@pytest.fixture(scope="session")
def make_pipeline(tokenizer: CLIPTokenizer) -> Callable[..., StableDiffusionPipeline]:
    """A function that builds a `StableDiffusionPipeline` of 16 x 16 images, a new one each call.

    Its arguments are the networks' dtype, the scheduler's class and the scheduler's settings.
    """

    def make(
        dtype: torch.dtype = torch.float32, scheduler: Any = DDIMScheduler, **settings: Any
    ) -> StableDiffusionPipeline:
        torch.manual_seed(1)
        if scheduler is DDIMScheduler:
            settings = {"clip_sample": False, **settings}
        text = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=EMBED,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=LENGTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(16, 32),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=EMBED,
            attention_head_dim=2,
            norm_num_groups=4,
        )
        with torch.no_grad():
            for name, weight in unet.named_parameters():
                if "attn2.to_out.0.weight" in name:
                    weight *= 8  # so that the prompt makes a difference
        vae = AutoencoderKL(
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            sample_size=16,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            scaling_factor=0.5,
        )
        return StableDiffusionPipeline(
            tokenizer=tokenizer,
            text_encoder=CLIPTextModel(text).to(dtype),
            unet=nn.Module.to(unet, dtype),
            vae=nn.Module.to(vae, dtype),
            scheduler=scheduler(**{**SCHEDULE, **settings}),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    return make


@pytest.fixture(scope="session")
def make_generator(make_pipeline: Callable[..., Any]) -> Callable[..., Generator]:
    """A function that builds a `Generator` of four steps; arguments as of ``make_pipeline``."""

    def make(*args: Any, **settings: Any) -> Generator:
        pipeline = make_pipeline(*args, **settings)
        return Generator(pipeline, name="tiny", num_inference_steps=4, guidance_scale=2.0)

    return make


@pytest.fixture(scope="session")
def generator(make_generator: Callable[..., Generator]) -> Generator:
    """The tiny generator; tests do not change it."""
    return make_generator()


@pytest.fixture(scope="session")
def make_classifier() -> Callable[..., Classifier]:
    """A function that builds a classifier of `LABELS`, other weights for another seed."""

    def make(seed: int = 2, name: str = "tiny", labels: tuple[str, ...] = LABELS) -> Classifier:
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2),
            nn.GELU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, len(labels)),
        )
        with torch.no_grad():
            model[-1].weight *= 20  # so that tiny images make a difference
        look = Preprocess(size=(12, 12), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
        return Classifier(model, look, labels, name=name)

    return make


@pytest.fixture(scope="session")
def classifier(make_classifier: Callable[..., Classifier]) -> Classifier:
    """The tiny classifier; tests do not change it."""
    return make_classifier()
