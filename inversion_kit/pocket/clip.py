"""The pocket's CLIP: a byte-pair tokenizer, a text tower for the U-Net, an image tower."""

from __future__ import annotations

import json
import random as chance
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from inversion_kit.pocket import photos
from inversion_kit.pocket.captions import caption
from inversion_kit.pocket.fit import fit
from inversion_kit.pocket.photos import Decoration, draw_decoration

MAX_LENGTH = 26
WIDTH = 128


def build_tokenizer(folder: Path, *, seed: int, captions: int = 20_000) -> CLIPTokenizer:
    """Learn CLIP's byte-pair encoding from drawn captions; ordinary words become one token."""
    pick = chance.Random(seed)
    random = torch.Generator().manual_seed(seed)
    drawn = draw_decoration(captions, random, sticker=0.5, tint=0.3, frame=0.3, tilt=0.3, small=0.3)
    looks = [("dark",), ("bright",), ("blurry",), ("sharp",), ()]
    corpus = [
        caption(pick.randrange(43), pick.choice(looks), drawn.row(i), pick) for i in range(captions)
    ]
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    words = r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    from tokenizers import Regex

    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=2000,
            initial_alphabet=alphabet,
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    tokens = [*alphabet, *(f"{a}</w>" for a in alphabet), *("".join(pair) for pair in merges)]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    vocab = {token: i for i, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=MAX_LENGTH)
    tokenizer.save_pretrained(folder)
    return tokenizer


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    """A small CLIPModel with random weights."""
    shared = {
        "hidden_size": WIDTH,
        "intermediate_size": 3 * WIDTH,
        "num_attention_heads": 4,
        "projection_dim": WIDTH,
    }
    text = {
        **shared,
        "num_hidden_layers": 3,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": MAX_LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**shared, "num_hidden_layers": 4, "image_size": photos.SIZE, "patch_size": 4}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))


def encode(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Token ids ``(n, MAX_LENGTH)``, padded as diffusers pads."""
    return tokenizer(
        texts, padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt"
    ).input_ids


def train(
    images: Tensor,
    label: Tensor,
    tokenizer: CLIPTokenizer,
    *,
    folder: Path,
    steps: int,
    seed: int,
    device: str,
    batch: int = 128,
) -> CLIPModel:
    """Contrastive training on drawn captions (Radford et al. 2021); equal captions all count.

    Each photograph comes twice in a batch, mirrored and decorated anew, so that only the words
    for what differs tell the two apart: this binds a colour to its frame, and left and right.
    Noise on the token embeddings, a third of their size, makes the space between words mean
    something: a learned class token lives there.
    """
    torch.manual_seed(seed)
    clip = build(tokenizer).to(device)
    embedding = clip.text_model.get_input_embeddings()
    noise = torch.Generator().manual_seed(seed)

    def blur(_module: torch.nn.Module, _inputs: object, output: Tensor) -> Tensor:
        size = output.detach().square().mean().sqrt() / 3
        return output + size * torch.randn(output.shape, generator=noise).to(output)

    def loss(random: torch.Generator) -> Tensor:
        rows = photos.balanced(label, batch // 2, random).repeat(2)
        x, y = photos.flip(images[rows], label[rows], random)
        seen = photos.looks(x)
        what: Decoration = draw_decoration(
            batch, random, sticker=0.3, tint=0.12, frame=0.24, tilt=0.24, small=0.1
        )
        x = photos.decorate(x, what, random)
        pick = chance.Random(int(torch.randint(2**31, (1,), generator=random)))
        texts = [caption(int(y[i]), seen[i], what.row(i), pick) for i in range(batch)]
        same = torch.tensor([[a == b for b in texts] for a in texts], device=device).float()
        target = same / same.sum(1, keepdim=True)
        ids = encode(tokenizer, texts).to(device)
        out = clip(input_ids=ids, pixel_values=x.to(device) * 2 - 1)
        logits = out.logits_per_text.float()
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    handle = embedding.register_forward_hook(blur)
    fit(
        clip,
        loss,
        checkpoint=folder / "clip.pt",
        steps=steps,
        lr=1e-3,
        seed=seed + 1,
        weight_decay=0.02,
    )
    handle.remove()
    return clip
