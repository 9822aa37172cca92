"""Whether the generator paints what a cue's words say: pictures change, and a CLIP sees the words.

The change counts where that kind of cue should make it, for a small thing changes a whole picture
no more than other words do. It still cannot tell a cue that is painted from one that only disturbs
the picture. A CLIP reads the very prompts of the bank: of each picture it says whether the prompt
with the cue fits better than the plain one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inversion_kit.analysis.intervals import difference
from inversion_kit.bank.bank import Bank, Key
from inversion_kit.bank.cues import PLAIN_CUE, Cue
from inversion_kit.classifiers.adapter_parts import Options
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.modules import inner_of
from inversion_kit.classifiers.transformers_adapter import (
    compares_words,
    from_transformers,
    load_hub,
)
from inversion_kit.errors import InputError
from inversion_kit.finding import pixels
from inversion_kit.finding.operators import SHARES, WIDTHS
from inversion_kit.finding.screen import Sources
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.generators.sample import from_bytes
from inversion_kit.paths import name_or_path

REGIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sticker": lambda plain, painted: pixels.most(pixels.change(plain, painted), SHARES[0]),
    "frame": lambda plain, painted: pixels.border(plain, WIDTHS[0])[None, None],
    "background": lambda plain, painted: pixels.outside(plain)[None, None],
}
"""Where a kind of cue should change a picture, bool ``(n, 1, y, x)``; other kinds all of it."""
CHANGED, COMPARED = 6, 24
"""Sources on which the change is measured, and on which a CLIP is asked, at most."""
_GIVE = "give a CLIP or SigLIP: its hub id or folder, or (model, processor)"


@dataclass(frozen=True)
class Clip:
    """A CLIP or SigLIP and its processor.

    Parameters
    ----------
    model, processor
        Of transformers.
    name
        What results call it.
    """

    model: Any
    processor: Any
    name: str

    def reads(self, text: str) -> bool:
        """Whether it reads a text whole."""
        tokens = self.processor.tokenizer(text)["input_ids"]
        return len(tokens) <= int(self.model.config.text_config.max_position_embeddings)

    def of(self, texts: Sequence[str]) -> Classifier:
        """A classifier whose classes are texts."""
        options = Options(self.processor, texts, self.name, template="{}")
        return from_transformers(self.model, options)


def as_clip(clip: Any, device: Any = None) -> Clip:
    """A CLIP of what a user gave: a hub id or folder, or a model with its processor.

    Parameters
    ----------
    device
        Where a model that is given by its name goes.

    Raises
    ------
    InputError
        It is neither, or compares no words with pictures.
    ClassifierUnavailableError
        It could not be loaded.
    """
    if isinstance(clip, (tuple, list)) and len(clip) == 2:
        model, processor = inner_of(clip[0]), clip[1]
        name = type(model).__name__
    elif isinstance(clip, (tuple, list)) or hasattr(clip, "parameters"):
        raise InputError(f"clip: {type(clip).__name__} given; {_GIVE}")
    else:
        name = name_or_path(clip, "clip")
        model, processor = load_hub(name, argument="clip")
        if device is not None:
            model.to(device)
    if not compares_words(model):
        raise InputError(f"clip: {name} compares no words with pictures; {_GIVE}")
    made = Clip(model, processor, name)
    try:
        made.of(["a photo", "a drawing"]).logits(torch.zeros(1, 3, 32, 32))
    except InputError as error:
        raise InputError(f"clip: {error}") from error
    return made


@dataclass(frozen=True)
class Reach:
    """How far cues are painted, ``(cue,)`` each.

    Parameters
    ----------
    painted
        Mean difference from the plain picture on the same noise, in [0, 1], where the kind of cue
        should change it (`REGIONS`).
    reworded
        What other words for the plain picture change there, the median of them; NaN without any.
    clip, clip_plain
        Share of the pictures of which a CLIP says that the prompt with the cue fits better than
        the plain one: of those with the cue, and of the plain ones on the same noise; NaN without
        a CLIP, and of prompts that it does not read whole.
    low, high
        The 95 % interval of their difference, paired, over sources.
    """

    painted: np.ndarray
    reworded: np.ndarray
    clip: np.ndarray
    clip_plain: np.ndarray
    low: np.ndarray
    high: np.ndarray


def reach(bank: Bank, cues: Sequence[Cue], sources: Sources, clip: Clip | None = None) -> Reach:
    """Measure cues on the pictures of the screening."""
    at = np.flatnonzero(sources.chosen >= 0)
    painted, reworded = _changed(bank, cues, sources, at[:CHANGED])
    if clip is None or not len(at):
        none = np.full(len(cues), np.nan)
        return Reach(painted, reworded, none, none, none, none)
    few = np.linspace(0, len(at) - 1, min(COMPARED, len(at))).round().astype(int)
    ours, theirs = compared(clip, bank, cues, sources, at[few])
    low, high = difference(ours[:, :, None], theirs[:, :, None])[1:]
    read = np.isfinite(ours).any(1)
    shares = [np.nanmean(np.where(read[:, None], v, 0.0), 1) for v in (ours, theirs)]
    return Reach(
        painted, reworded, *(np.where(read, value, np.nan) for value in (*shares, low, high))
    )


def _changed(
    bank: Bank, cues: Sequence[Cue], sources: Sources, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far each cue's pictures are from plain ones on the same noise, and other words' there."""
    painted, reworded = (np.full(len(cues), np.nan) for _ in range(2))
    if not len(at):
        return painted, reworded
    plain = bank.images([sources.plain(s, sources.chosen[s]) for s in at])
    others = [bank.images(_keys(cue, sources, at)) for cue in cues if cue.kind == "placebo"]
    null = {
        kind: np.median([changed(kind, plain, made) for made in others]) if others else np.nan
        for kind in {cue.kind for cue in cues}
    }
    for c, cue in enumerate(cues):
        painted[c] = changed(cue.kind, plain, bank.images(_keys(cue, sources, at)))
        reworded[c] = null[cue.kind]
    return painted, reworded


def changed(kind: str, plain: np.ndarray, painted: np.ndarray) -> float:
    """Mean difference of pictures where a kind of cue should change them, in [0, 1].

    Parameters
    ----------
    plain, painted
        uint8 ``(n, y, x, 3)``.

    Examples
    --------
    >>> plain = np.zeros((1, 32, 32, 3), "u1")
    >>> painted = plain.copy()
    >>> painted[:, 13:19, 13:19] = 255
    >>> changed("sticker", plain, painted), round(changed("weather", plain, painted), 3)
    (1.0, 0.035)
    """
    before, after = from_bytes(plain), from_bytes(painted)
    apart = (after - before).abs()
    where = REGIONS[kind](before, after) if kind in REGIONS else torch.ones_like(apart[:, :1])
    return float(apart[where.bool().expand_as(apart)].mean())


def compared(
    clip: Clip, bank: Bank, cues: Sequence[Cue], sources: Sources, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Whether a CLIP prefers the prompt with the cue, 1 or 0, of pictures with it and plain ones.

    Parameters
    ----------
    at
        Places of the sources.

    Returns
    -------
    tuple of numpy.ndarray
        ``(cue, source)`` each; NaN where it does not read one of the prompts whole.
    """
    plain = [PLAIN_CUE.of(sources.names[s]) for s in at]
    asked = [[prompt for prompt, _ in _keys(cue, sources, at)] for cue in cues]
    every = dict.fromkeys([*plain, *(prompt for row in asked for prompt in row)])
    place = {text: i for i, text in enumerate(text for text in every if clip.reads(text))}
    ours, theirs = (np.full((len(cues), len(at)), np.nan) for _ in range(2))
    if len(place) < 2:
        return ours, theirs
    scorer = clip.of(list(place))
    of_plain = _scores(scorer, bank, [sources.plain(s, sources.chosen[s]) for s in at])
    for c, cue in enumerate(cues):
        of_cue = _scores(scorer, bank, _keys(cue, sources, at))
        for s, pair in enumerate(zip(asked[c], plain, strict=True)):
            if not set(pair) <= place.keys():
                continue
            words, without = (place[text] for text in pair)
            ours[c, s] = of_cue[s, words] > of_cue[s, without]
            theirs[c, s] = of_plain[s, words] > of_plain[s, without]
    return ours, theirs


def _keys(cue: Cue, sources: Sources, at: np.ndarray) -> list[Key]:
    """A cue's pictures on the noises of the screening."""
    return [(cue.of(sources.names[s], s), sources.seeds[sources.chosen[s]]) for s in at]


@torch.no_grad()
def _scores(scorer: Classifier, bank: Bank, keys: Sequence[Key]) -> np.ndarray:
    """Scores of pictures ``(n, text)``."""
    images = from_bytes(bank.images(keys))
    parts = MicroBatch(32, of=scorer, doing="scores").parts(
        len(images), lambda part: scorer.logits(images[part]).cpu()
    )
    return torch.cat(parts).numpy()
