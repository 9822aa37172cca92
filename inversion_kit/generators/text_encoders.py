"""The text encoders of a pipeline: each with its tokenizer, its words and its place in a token."""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import AddedToken
from torch import Tensor, nn

from inversion_kit.errors import InputError
from inversion_kit.generators.class_token import PLACEHOLDER, Part


class TextEncoder:
    """One text encoder of a pipeline and a copy of its tokenizer that knows the placeholder.

    The names of both in the pipeline end with ``slot``: ``""``, ``"_2"``, ``"_3"``. ``limit`` are
    the tokens of a prompt that the pipeline hands on where the encoder sets no bound itself.
    """

    def __init__(
        self, slot: str, tokenizer: Any, model: Any, *, spelling: str, limit: int | None
    ) -> None:
        self.slot = slot
        self.tokenizer = copy.deepcopy(tokenizer)
        # as a word after its space is one token, so is the placeholder
        self.tokenizer.add_tokens([AddedToken(spelling, lstrip=True, normalized=False)])
        self.token_id: int = self.tokenizer.convert_tokens_to_ids(spelling)
        self.model = model
        longest = int(self.tokenizer.model_max_length)
        is_clip = model.config.model_type.startswith("clip")
        given = model.config.max_position_embeddings if is_clip else limit
        self.limit = longest if given is None else min(longest, int(given))
        if not self.vocabulary:
            raise InputError(
                f"generator: tokenizer{slot} has no whole word as one token to start from; "
                "this pipeline cannot carry a class token"
            )
        if self.ids(f"a {spelling} b").count(self.token_id) != 1:
            raise InputError(
                f"generator: tokenizer{slot} does not keep {spelling!r} together, so this "
                "pipeline cannot carry a class token"
            )

    @property
    def kind(self) -> str:
        """The encoder's name in token files of pipelines with several."""
        family = str(self.model.config.model_type)
        if family.startswith("clip"):
            return "clip_g" if self.slot == "_2" else "clip_l"
        return "t5xxl" if "t5" in family else family

    @property
    def embedding(self) -> nn.Embedding:
        """The table of token embeddings."""
        return self.model.get_input_embeddings()

    @property
    def lookups(self) -> list[nn.Embedding]:
        """The modules that look embeddings up: T5 has two, with one weight."""
        table = self.embedding
        at = table.weight.data_ptr()
        return [
            m
            for m in self.model.modules()
            if m is table or (isinstance(m, nn.Embedding) and m.weight.data_ptr() == at)
        ]

    @functools.cached_property
    def factor(self) -> float:
        """The ratio of a looked-up embedding to its row in the table: some encoders scale it."""
        table = self.embedding
        word = next(iter(self.vocabulary.values()))
        row = table.weight[word].detach()
        with torch.no_grad():
            seen = table(torch.tensor([word], device=row.device))[0]
        ratio = float((seen.double() @ row.double()) / row.double().square().sum())
        if not torch.allclose(seen, row * ratio, rtol=0.02, atol=1e-6):
            raise InputError(
                f"generator: text_encoder{self.slot} looks its embeddings up in a way of its own "
                f"({type(table).__name__}), which a class token cannot follow"
            )
        return 1.0 if abs(ratio - 1) < 1e-6 else ratio

    @functools.cached_property
    def vocabulary(self) -> dict[str, int]:
        """Whole lowercase words that are one token, with their ids."""
        words = {}
        for token, i in self.tokenizer.get_vocab().items():
            word = token.removesuffix("</w>").removeprefix("▁").removeprefix("Ġ")
            whole = word != token  # the mark of a word's end or start
            if whole and word.isascii() and word.isalpha() and word.islower() and len(word) > 1:
                words[word] = i
        return dict(sorted(words.items()))

    @functools.cached_property
    def vocabulary_hash(self) -> str:
        """sha256 of all tokens with their ids, the placeholder among them."""
        tokens = sorted(self.tokenizer.get_vocab().items())
        return hashlib.sha256(repr(tokens).encode("utf-8", "replace")).hexdigest()

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, without those that mark its start and end."""
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def vector_of(self, word: str) -> Tensor:
        """The embedding ``(embed,)`` of a word; the mean over its tokens where it has several."""
        if not word.strip() or not self.ids(f" {word}"):
            raise InputError(f"start={word!r}: the tokenizer finds no token in it")
        return self.vectors_of([word])[0].to(self.embedding.weight.device)

    def vectors_of(self, words: Sequence[str]) -> Tensor:
        """`vector_of` of many words, ``(word, embed)`` on the CPU."""
        texts = [f" {word}" for word in words]
        ids = self.tokenizer(texts, add_special_tokens=False).input_ids
        count = torch.tensor([len(one) for one in ids])
        rows = self.embedding.weight[list(itertools.chain(*ids))].detach().float().cpu()
        owner = torch.arange(len(words)).repeat_interleave(count)
        total = torch.zeros(len(words), rows.shape[1]).index_add_(0, owner, rows)
        return total / count[:, None]

    def check(self, prompt: str) -> None:
        """Raise `InputError` where the prompt is longer than the encoder reads."""
        count = len(self.tokenizer(prompt, truncation=False).input_ids)
        if count > self.limit:
            raise InputError(
                f"prompts: {prompt!r} has {count} tokens, the text encoder reads {self.limit}; "
                "shorten it"
            )


def find_encoders(pipeline: Any, *, limit: int | None) -> tuple[str, list[TextEncoder]]:
    """The spelling of the placeholder in a pipeline's prompts, and its text encoders in order."""
    pairs: list[tuple[str, Any, Any]] = []
    for slot in ("", "_2", "_3", "_4"):
        parts = [getattr(pipeline, f"{part}{slot}", None) for part in ("tokenizer", "text_encoder")]
        if None not in parts:
            pairs.append((slot, parts[0], parts[1]))
    if not pairs:
        raise InputError(
            f"generator: {type(pipeline).__name__} has no tokenizer with a text encoder; a class "
            "token needs both. Load the pipeline with them: text_encoder=None leaves them out"
        )
    for slot, tokenizer, model in pairs:
        if not hasattr(tokenizer, "add_tokens") or not hasattr(model, "get_input_embeddings"):
            raise InputError(
                f"generator: tokenizer{slot} is a {type(tokenizer).__name__} and text_encoder"
                f"{slot} a {type(model).__name__}; expected a transformers tokenizer and model"
            )
    # diffusers replaces added tokens in the text of a prompt, wherever their letters stand
    added = {token for _, tokenizer, _ in pairs for token in tokenizer.get_added_vocab()}
    for spelling in (PLACEHOLDER, *(f"<ik-{i}>" for i in range(100))):
        if not any(t != spelling and (t in spelling or spelling in t) for t in added):
            return spelling, [TextEncoder(*p, spelling=spelling, limit=limit) for p in pairs]
    raise InputError(
        f"generator: the tokens added to its tokenizer, {sorted(added)[:8]} ..., are parts of "
        f"{PLACEHOLDER!r} and of every other spelling tried; load the pipeline without them"
    )


def lay_out(encoders: Sequence[TextEncoder]) -> tuple[Part, ...]:
    """The parts of a class token, one per encoder."""
    if len(encoders) == 1:
        return (Part("emb_params", encoders[0].embedding.weight.shape[1]),)
    tables = [e.embedding.weight[list(e.vocabulary.values())].detach().float() for e in encoders]
    sizes = [float(table.square().mean().sqrt()) for table in tables]
    return tuple(
        Part(encoder.kind, table.shape[1], size / sizes[0])
        for encoder, table, size in zip(encoders, tables, sizes, strict=True)
    )


def word_table(encoders: Sequence[TextEncoder], layout: Sequence[Part]) -> nn.Embedding:
    """One row per word of the first encoder's vocabulary: its embedding in all, as a token's."""
    words = list(encoders[0].vocabulary)
    columns = [e.vectors_of(words) / part.scale for e, part in zip(encoders, layout, strict=True)]
    return nn.Embedding.from_pretrained(torch.cat(columns, dim=1), freeze=True)
