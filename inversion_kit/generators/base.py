"""Generators: a frozen diffusers text-to-image pipeline, sampled with a gradient."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inversion_kit.errors import InputError, NumericalError
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken, Part
from inversion_kit.generators.gradients import NONE, GradientPolicy
from inversion_kit.generators.loading import (
    check_call,
    check_pipeline,
    check_size,
    check_whole,
    load_pipeline,
)
from inversion_kit.generators.sampling import (
    differentiated,
    own_call,
    parameters,
    without_rounding,
    without_upcast,
)
from inversion_kit.generators.text_encoders import find_encoders, lay_out, word_table
from inversion_kit.storage.hashing import hash_module

POCKET = Path(__file__).parents[1] / "pocket" / "weights" / "generator"
DEFAULT_HUB_ID = "stable-diffusion-v1-5/stable-diffusion-v1-5"
"""The default generator: Stable Diffusion 1.5, the family of the paper's experiments, under the
CreativeML OpenRAIL-M licence (use allowed, commercial too, with use restrictions)."""

_PAPER = {"num_inference_steps": 30, "guidance_scale": 7.0}
_LEFT_OUT = (
    "safety_checker", "feature_extractor", "image_encoder", "watermark", "watermarker",
)  # fmt: skip
_NUMBER = (int, float, np.integer, np.floating)
_PLAIN = {"clean_caption": False, "use_resolution_binning": False}


class Generator:
    """A frozen text-to-image pipeline of diffusers.

    Sampling is the pipeline's own call, decoding included. The class token is learned in every
    text encoder that the pipeline has.

    Parameters
    ----------
    pipeline
        A text-to-image `diffusers.DiffusionPipeline`: Stable Diffusion 1, 2, XL and 3, Flux,
        PixArt-Sigma, Sana, latent consistency models and others built alike, with or without a
        LoRA. Its own object is left as it is: the placeholder token goes to copies of its
        tokenizers, and safety checker and watermark are off in a copy.
    name
        How results call this generator.
    num_inference_steps, guidance_scale
        diffusers' own; used for every image. None for the pipeline's default, and for 30 and 7
        with Stable Diffusion. A Turbo model wants ``num_inference_steps=1, guidance_scale=0``.
    height, width
        Of the images, in pixels; None for the pipeline's default.
    call
        Other arguments of the pipeline's call, such as ``{"max_sequence_length": 128}``.

    Raises
    ------
    InputError
        The pipeline cannot be used, or a setting cannot; said before any image is made.

    Notes
    -----
    The pipeline's networks are put in eval mode and stop asking for gradients of their weights.
    """

    _loaded: dict[str, Any] | None = None
    """What a folder or hub id was loaded with."""

    def __init__(
        self,
        pipeline: Any,
        *,
        name: str,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        height: int | None = None,
        width: int | None = None,
        call: Mapping[str, Any] | None = None,
    ) -> None:
        check_pipeline(pipeline)
        asked = parameters(pipeline)
        default = {key: asked[key].default for key in _PAPER if key in asked}
        if type(pipeline).__name__ == "StableDiffusionPipeline":
            default = _PAPER
        steps = (
            default.get("num_inference_steps")
            if num_inference_steps is None
            else num_inference_steps
        )
        scale = default.get("guidance_scale", 1.0) if guidance_scale is None else guidance_scale
        self.name = name
        self.num_inference_steps = check_whole("num_inference_steps", steps, 1)
        if isinstance(scale, bool) or not isinstance(scale, _NUMBER) or not math.isfinite(scale):
            raise InputError(f"guidance_scale={scale!r}: expected a number, for example 7.0")
        self.guidance_scale = float(scale)
        given = {} if call is None else call
        check_call(pipeline, given)
        height = None if height is None else check_whole("height", height, 1)
        width = None if width is None else check_whole("width", width, 1)
        check_size(pipeline, height, width)
        self.call = {key: value for key, value in _PLAIN.items() if key in asked}
        self.call |= _size(pipeline, height, width) | dict(given)
        self.pipeline = copy.copy(pipeline)
        self.spelling, self.encoders = find_encoders(pipeline, limit=self._prompt_limit(asked))
        for encoder in self.encoders:
            setattr(self.pipeline, f"tokenizer{encoder.slot}", encoder.tokenizer)
        self.pipeline.scheduler = copy.deepcopy(pipeline.scheduler)
        for part in _LEFT_OUT:
            if getattr(pipeline, part, None) is not None:
                setattr(self.pipeline, part, None)
        self.pipeline.set_progress_bar_config(disable=True)
        without_rounding(self.pipeline)
        without_upcast(self.pipeline)
        self._arguments = set(asked)
        for module in self.modules:
            module.eval().requires_grad_(False)

    def _prompt_limit(self, asked: Mapping[str, Any]) -> int | None:
        """How many tokens of a prompt the call hands to an encoder that sets no bound itself."""
        if "max_sequence_length" not in asked:
            return None
        return int(self.call.get("max_sequence_length", asked["max_sequence_length"].default))

    @property
    def denoiser(self) -> nn.Module:
        """The U-Net or transformer."""
        return _denoiser(self.pipeline)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The frozen networks: text encoders, U-Net or transformer, VAE."""
        first = [encoder.model for encoder in self.encoders] + [self.denoiser]
        parts = self.pipeline.components.values()
        rest = [p for p in parts if isinstance(p, nn.Module) and all(p is not f for f in first)]
        return (*first, *rest)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.denoiser.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Of the U-Net or transformer."""
        return next(self.denoiser.parameters()).dtype

    @property
    def source(self) -> dict[str, Any] | None:
        """With which settings `as_generator` loads it again by its name, beside those of sampling.

        None for a pipeline object, and where `call` holds what JSON does not.

        Examples
        --------
        >>> as_generator("pocket").source
        {'revision': None, 'variant': None, 'dtype': 'float32'}
        """
        try:
            plain = json.loads(json.dumps(self.call)) == self.call
        except (TypeError, ValueError):
            return None
        return self._loaded if plain else None

    @functools.cached_property
    def layout(self) -> tuple[Part, ...]:
        """How a token's vector is made up of what each text encoder sees."""
        return lay_out(self.encoders)

    @functools.cached_property
    def embedding(self) -> nn.Embedding:
        """The table that `vocabulary` counts in: of one text encoder its own.

        Of several it holds one row a word, made up as a token's vector is.
        """
        if len(self.encoders) == 1:
            return self.encoders[0].embedding
        return word_table(self.encoders, self.layout).to(self.device)

    @functools.cached_property
    def hash(self) -> str:
        """sha256 over the weights of all networks."""
        return self.fresh_hash()

    def fresh_hash(self) -> str:
        """`hash`, computed again: equal to it as long as nothing has touched the weights."""
        return hash_module(*self.modules)

    @functools.cached_property
    def vocabulary(self) -> dict[str, int]:
        """Whole words that are one token of the first text encoder, with rows of `embedding`."""
        words = self.encoders[0].vocabulary
        return words if len(self.encoders) == 1 else {word: i for i, word in enumerate(words)}

    def vector_of(self, word: str) -> Tensor:
        """The embedding ``(embed,)`` of a word; the mean over its tokens where it has several."""
        return torch.cat([
            encoder.vector_of(word) / part.scale
            for encoder, part in zip(self.encoders, self.layout, strict=True)
        ])  # fmt: skip

    def neutral_vector(self) -> Tensor:
        """The mean embedding of all whole words, ``(embed,)``: a start that names no class."""
        return self.embedding.weight[list(self.vocabulary.values())].detach().float().mean(0)

    def vocabulary_norm(self) -> float:
        """Mean length of a word's embedding."""
        ids = list(self.vocabulary.values())
        return float(self.embedding.weight[ids].detach().float().norm(dim=1).mean())

    def check_prompt(self, prompt: str) -> None:
        """Raise `InputError` where the prompt is longer than a text encoder reads."""
        for encoder in self.encoders:
            encoder.check(prompt.replace(PLACEHOLDER, self.spelling))

    def check_gradient(self, gradient: GradientPolicy) -> None:
        """Raise `InputError` where the pipeline cannot give such a gradient."""
        encode = getattr(type(self.pipeline), "encode_prompt", None)
        if gradient.last != 0 and hasattr(encode, "__wrapped__"):
            raise self._no_gradient(gradient)

    def _no_gradient(self, gradient: GradientPolicy) -> InputError:
        return InputError(
            f"gradient={gradient.name!r}: {type(self.pipeline).__name__} encodes its prompts under "
            "torch.no_grad(), so no gradient reaches the class token; use another "
            "pipeline, or method='cma', a search without a gradient"
        )

    def images(
        self,
        prompts: Sequence[str],
        *,
        seeds: Sequence[int],
        token: ClassToken | None = None,
        gradient: GradientPolicy = NONE,
        estimate_at: int | None = None,
        num_inference_steps: int | None = None,
    ) -> Tensor:
        """Sample one image a prompt.

        Parameters
        ----------
        prompts
            ``n`` prompts; `PLACEHOLDER` in them stands for the class token.
        seeds
            ``n`` integers: the start noise of each image. Equal seeds give equal images.
        token
            Needed where a prompt holds the placeholder.
        gradient
            Through which denoising steps the images depend on the token.
        estimate_at
            For a policy with ``estimate``: the denoising step (0 is the first) to stop at.
        num_inference_steps
            Fewer or more steps than the generator's own, for a cheap look.

        Returns
        -------
        Tensor
            Float ``(n, 3, y, x)``, RGB in [0, 1]; clamped, with gradients passing straight
            through the clamp.

        Raises
        ------
        InputError
            As many seeds as prompts are needed; a placeholder needs a token; the pipeline loses
            the placeholder from a prompt, or gives no gradient.
        NumericalError
            The generator gave values that are not finite.
        """
        if len(prompts) != len(seeds):
            raise InputError(f"seeds: {len(seeds)} for {len(prompts)} prompts; give one each")
        shown = sum(PLACEHOLDER in p for p in prompts)
        if token is None and shown:
            raise InputError(f"token: needed, for a prompt holds {PLACEHOLDER}")
        self.check_gradient(gradient)
        noise = [torch.Generator().manual_seed(int(s)) for s in seeds]
        arguments: dict[str, Any] = {
            "prompt": [p.replace(PLACEHOLDER, self.spelling) for p in prompts],
            "num_inference_steps": num_inference_steps or self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
            "generator": noise,
        }  # fmt: skip
        rows: list[list[int]] = []

        def encoded() -> None:
            for encoder, seen in zip(self.encoders, rows, strict=False):
                if sum(seen) < shown:
                    raise InputError(
                        f"prompts: {type(self.pipeline).__name__} cuts or rewrites them, so that "
                        f"text_encoder{encoder.slot} sees the class token in {sum(seen)} of "
                        f"{shown}; shorten them{self._cleaning()}"
                    )

        with contextlib.ExitStack() as stack:
            if token is not None:
                rows += self._show(token, stack)
            stack.enter_context(torch.set_grad_enabled(gradient.last != 0))
            stack.enter_context(
                differentiated(self.pipeline, self.denoiser, gradient, estimate_at, encoded)
            )
            given = {key: value for key, value in arguments.items() if key in self._arguments}
            for key, value in self.call.items():  # a negative prompt is wanted for each
                repeat = key.startswith("negative_prompt") and isinstance(value, str)
                given[key] = [value] * len(prompts) if repeat else value
            try:
                image = own_call(self.pipeline, **given, output_type="pt").images
            except UnboundLocalError as error:  # what Sana makes of an OutOfMemoryError
                raise torch.OutOfMemoryError(
                    f"generator {self.name!r}: out of memory while decoding"
                ) from error
        if shown and gradient.last != 0 and not image.requires_grad:
            raise self._no_gradient(gradient)
        image = image.to(torch.promote_types(image.dtype, torch.float32)) / 2 + 0.5
        if not torch.isfinite(image).all():
            raise NumericalError(f"generator {self.name!r} gave images that are not finite")
        return image + (image.clamp(0, 1) - image).detach()

    def _show(self, token: ClassToken, stack: contextlib.ExitStack) -> list[list[int]]:
        """Show each text encoder its part of the token; the rows that each sees it in."""
        width = sum(part.width for part in self.layout)
        if token.vector.shape[1] != width:
            raise InputError(
                f"token: a vector of {token.vector.shape[1]} numbers; the text encoders of "
                f"{self.name!r} take {width}"
            )
        rows: list[list[int]] = []
        at = 0
        for encoder, part in zip(self.encoders, self.layout, strict=True):
            here = slice(at, at + part.width)
            at += part.width
            rows.append([])
            scale = part.scale * encoder.factor
            for table in encoder.lookups:
                stack.enter_context(
                    token.shown_to(table, encoder.token_id, part=here, scale=scale, rows=rows[-1])
                )
        return rows

    def _cleaning(self) -> str:
        return ", or drop clean_caption from call" if self.call.get("clean_caption") else ""

    def __repr__(self) -> str:
        return f"Generator({self.name!r}, {self.num_inference_steps} steps)"

    def _repr_html_(self) -> str:
        from inversion_kit.widgets.model_facts import generator_html

        return generator_html(self)


def _denoiser(pipeline: Any) -> nn.Module:
    for name in ("unet", "transformer"):
        if isinstance(found := getattr(pipeline, name, None), nn.Module):
            return found
    raise InputError(
        f"generator: {type(pipeline).__name__} has neither a unet nor a transformer; give a "
        "text-to-image pipeline such as StableDiffusionPipeline"
    )


def _size(pipeline: Any, height: int | None, width: int | None) -> dict[str, int]:
    """The pipeline's ``height`` and ``width``: ours, or what its networks were made for."""
    asked = parameters(pipeline)
    given = {"height": height, "width": width}
    config: Any = _denoiser(pipeline).config
    chosen = {}
    for key, value in given.items():
        if key not in asked:
            continue
        made_for: int | None = config.get("sample_size")
        if value is None and asked[key].default is not None and made_for is not None:
            value = made_for * pipeline.vae_scale_factor
        if value is not None:
            chosen[key] = value
    return chosen


def as_generator(generator: Any = None, **settings: Any) -> Generator:
    """Make a `Generator` of what the user has; a Generator passes through.

    Parameters
    ----------
    generator
        A `Generator`; ``"pocket"`` (shipped with this library); a pipeline object; a folder or
        hub id of a diffusers text-to-image pipeline; None for `DEFAULT_HUB_ID`. A folder or hub
        id goes to the accelerator that torch finds, a pipeline object and the pocket stay where
        they are.
    **settings
        ``num_inference_steps``, ``guidance_scale``, ``height``, ``width`` and ``call`` of
        `Generator`; for a folder or hub id ``revision``, ``variant``, ``dtype`` and ``device`` of
        `inversion_kit.generators.loading.load_pipeline` too.

    Raises
    ------
    InputError
        The pipeline or a setting cannot be used.
    GeneratorUnavailableError
        The pipeline could not be loaded; nothing else is used in its place.

    Examples
    --------
    >>> as_generator("pocket")
    Generator('pocket', 6 steps)
    """
    sampled = {"num_inference_steps", "guidance_scale", "height", "width", "call"}
    loaded = {"revision", "variant", "dtype", "device"}
    if unknown := sorted(settings.keys() - sampled - loaded):
        raise InputError(
            f"{unknown[0]}: no such setting; allowed are {', '.join(sorted(sampled | loaded))}"
        )
    ours = {key: value for key, value in settings.items() if key in sampled}
    how = {key: value for key, value in settings.items() if key in loaded}
    named = generator is None or isinstance(generator, (str, os.PathLike))
    if how and not named:
        raise InputError(
            f"{', '.join(how)}: for a hub id or folder alone; set them on the pipeline itself, "
            "for example pipe.to(device)"
        )
    if isinstance(generator, Generator):
        if ours:
            raise InputError(f"{', '.join(ours)}: this Generator has its own; make another one")
        return generator
    if isinstance(generator, str) and generator == "pocket":
        ours = {"num_inference_steps": 6, "guidance_scale": 3.0, **ours}
        how["device"] = how.get("device") or "cpu"  # it is small
        return _by_name(POCKET, "pocket", how, ours)
    if named:
        source = DEFAULT_HUB_ID if generator is None else generator
        return _by_name(source, str(source), how, ours)
    return Generator(generator, name=type(generator).__name__, **ours)


def _by_name(
    source: str | os.PathLike[str], name: str, how: Mapping[str, Any], ours: Mapping[str, Any]
) -> Generator:
    made = Generator(load_pipeline(source, **how), name=name, **ours)
    dtype = str(how.get("dtype", "float32")).removeprefix("torch.")
    made._loaded = {"revision": how.get("revision"), "variant": how.get("variant"), "dtype": dtype}
    return made
