"""Whether class tokens obey sentences: their pictures are the class, and as the sentence asks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from inversion_kit.analysis import intervals
from inversion_kit.analysis.measure import COLOURS, PROPERTIES, measure
from inversion_kit.analysis.properties import LEAST
from inversion_kit.analysis.reading import model_names
from inversion_kit.arms import arm_of
from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import InputError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.prompts import check_templates, fill
from inversion_kit.generators.sample import sample, to_bytes
from inversion_kit.generators.token_file import selected_token
from inversion_kit.schema import settings_of
from inversion_kit.seeds import FREE, noise_seeds
from inversion_kit.settings import Settings

PLAIN = "a photo of a {token}"
"""What every sentence is compared with, on the same noise."""
SENTENCES = (
    "a dark photo of a {token}",
    "a bright photo of a {token}",
    "a blurry photo of a {token}",
    "a sharp photo of a {token}",
    "a photo of a small {token}",
    "a photo of a {token} tilted to the left",
    "a photo of a {token} tilted to the right",
    "a photo of a {token} with a blue sticker",
    "a photo of a {token} with a green sticker",
    "a photo of a {token} with a red tint",
    "a photo of a {token} with a blue tint",
    "a photo of a {token} with a white frame",
)
"""Sentences whose attribute can be measured, to give to `evaluate`."""
PICTURES = 8
"""Pictures of each label, arm and sentence."""
_SCALES = {
    r"dark|dim|underexposed": ("brightness", -1),
    r"bright|light|overexposed": ("brightness", 1),
    r"blurry|unsharp|out of focus": ("sharpness", -1),
    r"sharp|crisp": ("sharpness", 1),
    r"small|distant|tiny": ("scale", -1),
    r"(tilted|leaning)( to the)? left": ("tilt", -1),
    r"(tilted|leaning)( to the)? right": ("tilt", 1),
}
_NOUNS = {"sticker": "patch", "patch": "patch", "square": "patch", "tint": "share"}


def attribute_of(sentence: str) -> tuple[str, int] | None:
    """The measured property that a sentence asks for, and whether more or less of it; or None.

    Examples
    --------
    >>> attribute_of("a dark photo of a {token}"), attribute_of("a {token} with a blue sticker")
    (('brightness', -1), ('blue patch', 1))
    >>> attribute_of("a {token} in Paris") is None
    True
    """
    for word in COLOURS:
        for noun, part in _NOUNS.items():
            name = f"{word} {part}"
            if re.search(rf"\b{word} {noun}\b", sentence) and name in PROPERTIES:
                return name, 1
    if re.search(r"\b(frame|border)\b", sentence):
        return "frame", 1
    for words, asked in _SCALES.items():
        if re.search(rf"\b({words})\b", sentence):
            return asked
    return None


def obeyed(sentence: str, images: Tensor, plain: Tensor) -> np.ndarray:
    """Whether pictures ``(n, 3, y, x)`` have what a sentence asks for, ``(n,)``: 1, 0, or NaN.

    A picture obeys where its property is further on the asked side than that of the plain
    sentence's picture on the same noise, by what can be seen (`properties.LEAST`). NaN where
    nothing measurable is asked.

    Examples
    --------
    >>> grey = torch.full((1, 3, 16, 16), 0.6)
    >>> obeyed("a dark {token}", grey / 3, grey), obeyed("a bright {token}", grey / 3, grey)
    (array([1.]), array([0.]))
    """
    asked = attribute_of(sentence)
    if asked is None:
        return np.full(len(images), np.nan)
    name, sign = asked
    at = PROPERTIES.index(name)
    ours, theirs = (measure(to_bytes(some))["value"].values[:, at] for some in (images, plain))
    shown: np.ndarray = np.where(
        np.isfinite(ours) & np.isfinite(theirs), sign * (ours - theirs) >= LEAST[name], np.nan
    )
    return shown


@torch.no_grad()
def obedience(
    generator: Generator,
    readers: Sequence[Classifier],
    label: int,
    *,
    token: Tensor | None,
    name: str,
    sentences: Sequence[str],
    seeds: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """What becomes of every sentence with a token, or with a name in its place.

    Parameters
    ----------
    label
        Class index.
    token
        ``(1, embed)``, or None for the name.
    name
        What prompts say for the class.
    seeds
        Noise of the pictures, which sentences share.

    Returns
    -------
    tuple of numpy.ndarray
        Whether each reader reads the label, ``(reader, sentence, n)``, and whether the attribute is
        there, ``(sentence, n)``, as `obeyed` gives it.
    """
    placed = None if token is None else ClassToken(token)

    def said(sentence: str) -> str:
        return fill(sentence, name=name) if placed else sentence.format(token=name)

    def paint(sentence: str) -> Tensor:
        return sample(generator, [said(sentence)] * len(seeds), seeds=seeds, token=placed)

    for sentence in (PLAIN, *sentences):
        generator.check_prompt(said(sentence))
    plain = paint(PLAIN)
    classes = np.zeros((len(readers), len(sentences), len(seeds)))
    shown = np.zeros((len(sentences), len(seeds)))
    for at, sentence in enumerate(sentences):
        images = paint(sentence)
        shown[at] = obeyed(sentence, images, plain)
        for of, reader in enumerate(readers):
            read = reader.logits(images).argmax(1)
            classes[of, at] = (read == label).float().cpu().numpy()
    return classes, shown


def check_sentences(sentences: Any) -> tuple[str, ...]:
    """Sentences, each once and with ``{token}``, where they can be used.

    Raises
    ------
    InputError
        They cannot.
    """
    checked = check_templates(sentences, named=False)
    if len(set(checked)) < len(checked):
        raise InputError(f"sentences={list(checked)}: each once")
    return checked


def generator_of(tree: xr.DataTree, generator: Any) -> Generator:
    """The generator that paints sentences: the given one, or that of the result by its name.

    Raises
    ------
    InputError
        None is given and the result was made of an object, or the weights are not the result's.
    """
    kept = model_names(tree)
    if generator is None and "generator" not in kept:
        raise InputError(
            "generator: this result was made with an object, not with a generator's name; give "
            "it, as evaluate(result, sentences=[...], generator=...)"
        )
    made = as_generator(kept["generator"] if generator is None else generator)
    if made.hash != tree.attrs["generator_hash"]:
        raise InputError(
            f"generator: {made.name!r} has other weights than {tree.attrs['generator']!r}, in "
            "which the tokens of this result were learned"
        )
    return made


def sentence_tables(
    tree: xr.DataTree,
    sentences: Sequence[str],
    generator: Generator,
    readers: Sequence[Classifier],
    seed: int,
) -> dict[str, Any]:
    """Variables of `inversion_kit.evaluate` on sentences.

    Parameters
    ----------
    tree
        A result, whole.
    sentences
        Of `check_sentences`.
    readers
        The classifier and the judges.
    seed
        Of the noise, which labels, arms and sentences share.
    """
    samples = tree["samples"].to_dataset(inherit=False)
    arms = [str(a) for a in samples["arm"].values]
    runs = [int(s) for s in samples["seed"].values]
    settings = Settings.read(settings_of(tree))
    names = settings_of(tree).get("wordings") or {}
    noise = noise_seeds(seed, FREE, 0, PICTURES)
    sizes = samples.sizes["label"], len(arms), len(runs)
    read = np.full((*sizes, len(readers), len(sentences), PICTURES), np.nan)
    shown = np.full((*sizes, len(sentences), PICTURES), np.nan)
    for i, label in enumerate(str(n) for n in samples["label"].values):
        target = int(samples["label_index"].values[i])
        for a, r in np.ndindex(len(arms), len(runs)):
            arm = arm_of(arms[a])
            if arm is None or arm.guided or arm.token == "start" or (arm.token == "none" and r):
                continue
            if arm.token == "learned" and any("{name}" in t for t in arm.prompts(settings.prompts)):
                continue
            try:
                kept = None
                if arm.token == "learned":
                    kept = selected_token(tree, label=label, arm=arm.name, run_seed=runs[r])
            except InputError:  # this run found none
                continue
            read[i, a, r], shown[i, a, r] = obedience(
                generator,
                readers,
                target,
                token=None if kept is None else kept.vector,
                name=str(names.get(label, label)),
                sentences=sentences,
                seeds=noise,
            )
    return _variables(read, shown)


def _variables(read: np.ndarray, shown: np.ndarray) -> dict[str, Any]:
    """Shares with intervals of hits ``(label, arm, seed, [reader,] sentence, noise)``."""
    made: dict[str, Any] = {}
    classes = np.moveaxis(read, 2, -2)  # label, arm, reader, sentence, seed, noise
    there = np.moveaxis(shown, 2, -2)
    rows = ("arm", "reader", "sentence"), ("arm", "sentence")
    for name, hits, dims in zip(("is_class", "obeys"), (classes, there), rows, strict=True):
        each = intervals.share(hits)
        over = intervals.share(np.moveaxis(hits, 0, -3), pooled=True)
        for end, one, all_labels in zip(("", "_low", "_high"), each, over, strict=True):
            made[f"{name}{end}"] = ("label", *dims), one
            made[f"overall_{name}{end}"] = dims, all_labels
    return made
