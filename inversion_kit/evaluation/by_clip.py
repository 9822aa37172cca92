"""What a CLIP says of pictures: how well they agree with their prompt, and which cues they show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr

from inversion_kit.analysis.intervals import mean_difference
from inversion_kit.analysis.reading import arms_of
from inversion_kit.bank.cues import PLAIN_CUE, Cue, check_cues, fitting
from inversion_kit.errors import InputError
from inversion_kit.finding.reach import Clip
from inversion_kit.generators.sample import from_bytes
from inversion_kit.schema import settings_of

_BATCH = 64
_ENDS = ("", "_low", "_high")


@torch.no_grad()
def cosines(clip: Clip, texts: Sequence[str], images: np.ndarray) -> np.ndarray:
    """Cosine of every picture uint8 ``(n, y, x, 3)`` and every text, float ``(n, text)``."""
    scorer = clip.of(texts if len(texts) > 1 else [*texts, "a photo"])
    scale = float(clip.model.logit_scale.exp())
    bias = getattr(clip.model, "logit_bias", None)
    parts = [
        scorer.logits(from_bytes(images[at : at + _BATCH])).float().cpu()
        for at in range(0, len(images), _BATCH)
    ]
    logits = torch.cat(parts) if parts else torch.zeros(0, len(scorer.labels))
    made = (logits - (0.0 if bias is None else float(bias))) / scale
    return made[:, : len(texts)].numpy()


def names_of(tree: xr.DataTree) -> list[str]:
    """What prompts say for each label of a result."""
    said = settings_of(tree).get("wordings") or {}
    return [str(said.get(str(n), n)) for n in tree["samples"]["label"].values]


def agreement(tree: xr.DataTree, clip: Clip, against: str | None) -> dict[str, Any]:
    """Cosine of every picture and its label's plain prompt, and the change from an arm."""
    samples, arms = tree["samples"].to_dataset(inherit=False), arms_of(tree)
    prompts = [PLAIN_CUE.of(name) for name in names_of(tree)]
    _check_read(clip, prompts)
    values = np.full(samples["noise_seed"].shape, np.nan)
    for i, prompt in enumerate(prompts):
        images = samples["image"].isel(label=i).values
        likeness = cosines(clip, [prompt], images.reshape(-1, *images.shape[3:]))[:, 0]
        there = np.isfinite(samples["probability"].isel(label=i).values).all(-1)
        values[i] = np.where(there, likeness.reshape(images.shape[:3]), np.nan)
    dims = ("label", "arm")
    own = mean_difference(values, np.zeros_like(values))
    made = {f"agreement{end}": (dims, part) for end, part in zip(_ENDS, own, strict=True)}
    if against is not None:
        other = np.repeat(values[:, [arms.index(against)]], len(arms), 1)
        change = mean_difference(values, other)
        for end, part in zip(_ENDS, change, strict=True):
            made[f"agreement_change{end}"] = dims, np.where(np.array(arms) == against, np.nan, part)
    return made


def cues_for(clip: Clip, cues: str | Sequence[str | Cue] | None) -> tuple[Cue, ...]:
    """The cues that were asked for, or the list that fits the words of the CLIP.

    Raises
    ------
    InputError
        They are none, see `inversion_kit.bank.cues.check_cues`.
    """
    words = {
        token.removesuffix("</w>").lstrip("\N{LOWER ONE EIGHTH BLOCK}")
        for token in clip.processor.tokenizer.get_vocab()
    }
    return fitting(words) if cues is None else check_cues(cues, words)


def cue_scores(
    clip: Clip, cues: Sequence[Cue], names: Sequence[str]
) -> Callable[[int, np.ndarray], np.ndarray]:
    """How much better a prompt with a cue fits than the plain one, of pictures of a label.

    Returns
    -------
    Callable
        From a label's place and pictures uint8 ``(n, y, x, 3)`` to ``(n, cue)``: the cosine of
        picture and prompt with the cue, less that of picture and plain prompt.
    """
    texts = [[PLAIN_CUE.of(name), *(cue.of(name) for cue in cues)] for name in names]
    _check_read(clip, [text for row in texts for text in row])

    def score(label: int, images: np.ndarray) -> np.ndarray:
        likeness = cosines(clip, texts[label], images)
        return likeness[:, 1:] - likeness[:, :1]

    return score


def _check_read(clip: Clip, texts: Sequence[str]) -> None:
    """Refuse texts that a CLIP would cut."""
    if cut := next((text for text in texts if not clip.reads(text)), None):
        raise InputError(
            f"clip: {clip.name} does not read {cut!r} whole; give a shorter cue or name"
        )
