"""The generator that a search asks: quicker than the one that makes the evidence."""

from __future__ import annotations

import copy
import os
import re
from dataclasses import replace
from typing import Any

import torch

from inversion_kit.errors import GeneratorUnavailableError, InputError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.families import decoder_of
from inversion_kit.paths import name_or_path
from inversion_kit.settings import ITSELF, TINY, Settings


def settled(settings: Settings, generator: Generator) -> Settings:
    """Settings with the tiny decoder named that ``fast`` or ``"tiny"`` stands for.

    Parameters
    ----------
    settings
        Where they are ``fast`` and name no decoder, they get one if one fits.
    generator
        Its latents say which.

    Raises
    ------
    InputError
        ``search_decoder="tiny"``, and none is known for these latents.

    Examples
    --------
    >>> settled(Settings(fast=True), as_generator("pocket")).search_decoder
    """
    if settings.search_decoder != TINY and (settings.search_decoder or not settings.fast):
        return settings
    named = decoder_of(generator.pipeline)
    if named is None and settings.search_decoder == TINY:
        vae = type(getattr(generator.pipeline, "vae", None)).__name__
        raise InputError(
            f"search_decoder={TINY!r}: none is known for the latents of {generator.name!r} "
            f"({vae}); give the folder or hub id of an AutoencoderTiny that decodes them, or leave "
            "it out to search with the generator's own decoder"
        )
    return replace(settings, search_decoder=named)


def search_generator(generator: Generator, settings: Settings) -> Generator:
    """The generator that the settings let a search ask; ``generator`` itself where they name none.

    Parameters
    ----------
    generator
        What makes the evidence. Its ``quick`` is asked unless the settings name another.
    settings
        ``search_generator``, ``search_steps``, ``search_guidance`` and ``search_decoder``.

    Raises
    ------
    InputError
        The other generator has other text encoders, or makes images of another size.
    GeneratorUnavailableError
        It, or the decoder, could not be loaded.

    Examples
    --------
    >>> pocket = as_generator("pocket")
    >>> search_generator(pocket, Settings())
    Generator('pocket:quick', 1 steps)
    >>> search_generator(pocket, Settings(search_generator="itself", search_steps=3))
    Generator('pocket', 3 steps)
    """
    settings = settled(settings, generator)
    named: Any = settings.search_generator or generator.quick or ITSELF
    other = generator
    if isinstance(named, Generator):
        other = named
    elif named != ITSELF:
        place = {"device": str(generator.device), "dtype": generator.dtype}
        other = as_generator(named, **place)
    if other is not generator:
        _check_same(other, generator)
        if named == generator.quick:
            generator.quick = other  # loaded once
    steps, guidance = settings.search_steps, settings.search_guidance
    if steps is None and guidance is None and settings.search_decoder is None:
        return other
    changed = copy.copy(other)
    changed.num_inference_steps = steps or other.num_inference_steps
    changed.guidance_scale = other.guidance_scale if guidance is None else guidance
    if settings.search_decoder is not None:
        vars(changed).pop("hash", None)  # of its own decoder; the other networks are known by it
        changed.pipeline = copy.copy(other.pipeline)
        changed.pipeline.vae = load_decoder(settings.search_decoder, other)
    return changed


def load_decoder(source: str | os.PathLike[str], generator: Generator) -> Any:
    """A decoder of the same latents, such as ``"madebyollin/taesd"`` for Stable Diffusion.

    Parameters
    ----------
    source
        Folder or hub id of a `diffusers.AutoencoderTiny`.
    generator
        Where it goes: its device and dtype.

    Raises
    ------
    GeneratorUnavailableError
        It could not be loaded.
    InputError
        It decodes latents of another number of channels.
    """
    from diffusers import AutoencoderTiny

    named = name_or_path(source, "search_decoder")
    try:
        decoder = AutoencoderTiny.from_pretrained(
            named, use_safetensors=True, dtype=generator.dtype
        )
    except Exception as error:
        said = str(error).splitlines()[0]
        raise GeneratorUnavailableError(
            f"search_decoder={named!r} could not be loaded ({type(error).__name__}: {said}). Give "
            "a folder that AutoencoderTiny.save_pretrained(...) wrote, or a hub id: where there is "
            f"a network type `hf download {_hub_id(named)}`, and give the folder that it prints; "
            "leave it out, and fast=True too, to search with the generator's own decoder"
        ) from error
    channels = generator.pipeline.vae.config.latent_channels
    if decoder.config.latent_channels != channels:
        raise InputError(
            f"search_decoder={str(source)!r}: it decodes {decoder.config.latent_channels} "
            f"channels; the latents of {generator.name!r} have {channels}"
        )
    return decoder.to(generator.device).eval().requires_grad_(False)


def _hub_id(named: str) -> str:
    """The name where it is one of a hub, else an example."""
    return named if re.fullmatch(r"[\w.-]+/[\w.-]+", named) else "madebyollin/taesd"


def _check_same(other: Generator, generator: Generator) -> None:
    """Raise `InputError` where a token of one generator means nothing to the other."""
    pairs = list(zip(other.encoders, generator.encoders, strict=False))
    same = len(other.encoders) == len(generator.encoders) and all(
        a.vocabulary == b.vocabulary
        and a.embedding.weight.shape == b.embedding.weight.shape
        and torch.equal(a.embedding.weight.cpu(), b.embedding.weight.to(a.embedding.weight).cpu())
        for a, b in pairs
    )
    if not same:
        raise InputError(
            f"search_generator={other.name!r}: its text encoders have other word embeddings than "
            f"those of {generator.name!r}, so a token of one says nothing to the other; give one "
            f"that was distilled from it, or {ITSELF!r}"
        )
    if other.size != generator.size:
        raise InputError(
            f"search_generator={other.name!r}: its images are {other.size}, those of "
            f"{generator.name!r} {generator.size}; give one of the same size, or {ITSELF!r}"
        )
