"""Generators: a frozen diffusers text-to-image pipeline, sampled with a gradient."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import json
import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion_kit.errors import InputError, NumericalError
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken, Part, split
from inversion_kit.generators.families import family_of
from inversion_kit.generators.gradients import NONE, GradientPolicy
from inversion_kit.generators.loading import call_of, check_pipeline, check_whole, denoiser_of
from inversion_kit.generators.locks import alone_with
from inversion_kit.generators.sampling import (
    differentiated,
    parameters,
    without_rounding,
    without_upcast,
)
from inversion_kit.generators.text_encoders import find_encoders, lay_out, word_table
from inversion_kit.hashing import Prefixes, hash_module
from inversion_kit.plain import plain

_OWN = ("num_inference_steps", "guidance_scale")
_LEFT_OUT = ("safety_checker", "feature_extractor", "image_encoder", "watermark", "watermarker")
_NUMBER = (int, float, np.integer, np.floating)


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
        What results call this generator.
    num_inference_steps, guidance_scale
        diffusers' own, at least 1 and any finite number; used for every image. None for what its
        family wants (`inversion_kit.generators.families`), or else the pipeline's default: 30 and
        7 with Stable Diffusion, 1 and 0 with a Turbo model, 4 and 1 with an LCM LoRA.
    height, width
        Of the images, in pixels, at least 1; None for the pipeline's default.
    call
        Other arguments of the pipeline's call, such as ``{"max_sequence_length": 128}``.

    Raises
    ------
    InputError
        The pipeline cannot be used, or a setting cannot; said before any image is made.

    Notes
    -----
    The pipeline's networks are put in eval mode and stop asking for gradients of their weights.

    Threads may share it: one samples at a time, the others wait.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> as_generator("pocket").images(["a stop sign"], seeds=[0]).shape
    torch.Size([1, 3, 32, 32])
    """

    quick: Generator | str | None = None
    """A quicker one with the same text encoders, or its name, that searches ask unless told not
    to."""
    loaded_with: dict[str, Any] | None = None
    """Revision, variant and dtype that a folder or hub id was loaded with."""

    @torch.inference_mode(False)  # what it copies serves a gradient later
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
        default = {key: asked[key].default for key in _OWN if key in asked}
        if (family := family_of(pipeline)) is not None:
            default = dict(zip(_OWN, (family.steps, family.guidance), strict=True))
        steps, scale = num_inference_steps, guidance_scale
        steps = default.get("num_inference_steps") if steps is None else steps
        scale = default.get("guidance_scale", 1.0) if scale is None else scale
        self.name = name
        self.num_inference_steps = check_whole("num_inference_steps", steps, 1)
        if isinstance(scale, bool) or not isinstance(scale, _NUMBER) or not math.isfinite(scale):
            raise InputError(f"guidance_scale={scale!r}: expected a number, for example 7.0")
        self.guidance_scale = float(scale)
        self.call = call_of(pipeline, {} if call is None else call, height, width)
        self.pipeline = copy.copy(pipeline)
        limit = None  # of tokens that the call hands to an encoder that sets no bound itself
        if "max_sequence_length" in asked:
            limit = self.call.get("max_sequence_length", asked["max_sequence_length"].default)
        self.spelling, self.encoders = find_encoders(pipeline, limit=limit)
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
        self._hashed = Prefixes()  # shared by copies with another decoder
        self.own = uuid.uuid4().hex  # by it an object is known whose parts do not say what it is
        for module in self.modules:
            module.eval().requires_grad_(False)

    @property
    def denoiser(self) -> nn.Module:
        """The network that removes noise: the pipeline's U-Net or transformer."""
        return denoiser_of(self.pipeline)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The frozen networks: text encoders, U-Net or transformer, VAE."""
        first = [encoder.model for encoder in self.encoders] + [self.denoiser]
        parts = self.pipeline.components.values()
        rest = [p for p in parts if isinstance(p, nn.Module) and all(p is not f for f in first)]
        return (*first, *rest)

    @property
    def device(self) -> torch.device:
        """The device of the U-Net's or transformer's weights."""
        return next(self.denoiser.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the U-Net's or transformer's weights."""
        return next(self.denoiser.parameters()).dtype

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the images in pixels; None where only an image can tell."""
        config: Any = self.denoiser.config
        side = getattr(self.pipeline, "default_sample_size", None) or config.get("sample_size")
        sides = side if isinstance(side, (list, tuple)) else (side, side)
        scale = getattr(self.pipeline, "vae_scale_factor", 8)
        height = self.call.get("height") or (sides[0] and sides[0] * scale)
        width = self.call.get("width") or (sides[1] and sides[1] * scale)
        return (int(height), int(width)) if height and width else None

    @property
    def source(self) -> dict[str, Any] | None:
        """The settings with which `as_generator` loads it again by its name, sampling aside.

        None for a pipeline object, and where `call` holds what JSON does not.
        """
        try:
            again = json.loads(json.dumps(self.call))
        except (TypeError, ValueError):
            return None
        return self.loaded_with if again == self.call else None

    def sampler_facts(self) -> dict[str, Any]:
        """What images depend on beside the weights, in JSON's own types.

        Returns
        -------
        dict
            ``"pipeline"``, the name of its class; ``"scheduler"``, class and settings; ``"call"``.
        """
        scheduler = self.pipeline.scheduler
        settings = {k: v for k, v in dict(scheduler.config).items() if not str(k).startswith("_")}
        return {
            "pipeline": type(self.pipeline).__name__,
            "scheduler": {"class": type(scheduler).__name__, **plain(settings)},
            "call": plain(self.call),
        }

    @functools.cached_property
    def layout(self) -> tuple[Part, ...]:
        """The parts of a token's vector, one per text encoder, in their order."""
        return lay_out(self.encoders)

    @functools.cached_property
    def embedding(self) -> nn.Embedding:
        """The table whose rows `vocabulary` names, ``(row, embed)``.

        Of one text encoder its own; of several, one row per word, made up as a token's vector is.
        """
        if len(self.encoders) == 1:
            return self.encoders[0].embedding
        layout = self.layout
        with self._alone():
            return word_table(self.encoders, layout).to(self.device)

    @functools.cached_property
    def hash(self) -> str:
        """sha256 over the weights of all networks, 64 hexadecimal digits."""
        return self._hashed.hash(*self.modules)

    def fresh_hash(self) -> str:
        """`hash`, computed anew: equal to it as long as nothing has touched the weights.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        return hash_module(*self.modules)

    @functools.cached_property
    def vocabulary(self) -> dict[str, int]:
        """Whole words that are one token of the first text encoder, with rows of `embedding`."""
        words = self.encoders[0].vocabulary
        return words if len(self.encoders) == 1 else {word: i for i, word in enumerate(words)}

    def vector_of(self, word: str) -> Tensor:
        """The embedding of a word; the mean over its tokens where it has several.

        Parameters
        ----------
        word
            Any text that the tokenizers find a token in.

        Returns
        -------
        Tensor
            Float32 ``(embed,)``, in the space of a class token.

        Raises
        ------
        InputError
            A tokenizer finds no token in it.
        """
        pairs = zip(self.encoders, self.layout, strict=True)
        with self._alone():
            return torch.cat([encoder.vector_of(word) / part.scale for encoder, part in pairs])

    def nearest_words(self, vector: Tensor, n: int) -> tuple[list[str], Tensor]:
        """The words of `vocabulary` nearest to a vector, by the cosine.

        Parameters
        ----------
        vector
            Float ``(embed,)``, as of a class token.
        n
            How many, at least 1.

        Returns
        -------
        list of str
            The words, nearest first; all where there are fewer than ``n``.
        Tensor
            Their cosines, float32 ``(n,)`` in [-1, 1].
        """
        cosine = F.cosine_similarity(self._words(), vector.to(self.embedding.weight.device)[None])
        names = list(self.vocabulary)
        top = cosine.topk(min(n, len(names)))
        return [names[k] for k in top.indices.tolist()], top.values

    def _words(self) -> Tensor:
        """The embeddings of all whole words, float32 ``(word, embed)``."""
        return self.embedding.weight[list(self.vocabulary.values())].detach().float()

    def neutral_vector(self) -> Tensor:
        """The mean embedding of all whole words, float32 ``(embed,)``: it names no class."""
        return self._words().mean(0)

    def vocabulary_norm(self) -> float:
        """Mean Euclidean length of a word's embedding, above 0: the unit of a learning rate."""
        return float(self._words().norm(dim=1).mean())

    def check_prompt(self, prompt: str) -> None:
        """Refuse a prompt that is longer than a text encoder reads.

        Parameters
        ----------
        prompt
            With `PLACEHOLDER` or without.

        Raises
        ------
        InputError
            It is longer; the message says by how many tokens.
        """
        with self._alone():
            for encoder in self.encoders:
                encoder.check(prompt.replace(PLACEHOLDER, self.spelling))

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        """While open, no other thread uses the tokenizers, networks and scheduler."""
        return alone_with(*(encoder.model for encoder in self.encoders), self.denoiser)

    def check_gradient(self, gradient: GradientPolicy) -> None:
        """Refuse a gradient that the pipeline cannot give.

        Parameters
        ----------
        gradient
            Through which denoising steps it would go.

        Raises
        ------
        InputError
            The pipeline encodes its prompts without a gradient, and one is wanted.
        """
        encode = getattr(type(self.pipeline), "encode_prompt", None)
        if gradient.last != 0 and hasattr(encode, "__wrapped__"):
            raise self._no_gradient(gradient)

    def _no_gradient(self, gradient: GradientPolicy) -> InputError:
        return InputError(
            f"gradient={gradient.name!r}: {type(self.pipeline).__name__} encodes its prompts under "
            "torch.no_grad(), so no gradient reaches the class token; use another "
            "pipeline, or method='cma', a search without a gradient"
        )

    @torch.inference_mode(False)  # the policy alone says whether there is a gradient
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
        """Sample one image per prompt.

        Parameters
        ----------
        prompts
            ``n`` prompts; `PLACEHOLDER` in them stands for the class token.
        seeds
            ``n`` integers of at least 0: the start noise of each image. Equal seeds give equal
            images.
        token
            Needed where a prompt holds the placeholder.
        gradient
            Through which denoising steps the images depend on the token.
        estimate_at
            For a policy with ``estimate``: the denoising step (0 is the first) to stop at.
        num_inference_steps
            Fewer or more steps than the generator's own, for quick images.

        Returns
        -------
        Tensor
            Float32 ``(n, 3, y, x)``, RGB in [0, 1] (float64 of a generator of that dtype);
            clamped, with gradients passing straight through the clamp.

        Raises
        ------
        InputError
            There are not as many seeds as prompts; a placeholder has no token; the token is
            another generator's; the pipeline loses the placeholder, or gives no gradient.
        NumericalError
            The generator gave values that are not finite.
        """
        image = self._called(prompts, seeds, token, gradient, estimate_at, num_inference_steps)
        if not torch.isfinite(image).all():
            raise NumericalError(f"generator {self.name!r} gave images that are not finite")
        return image + (image.clamp(0, 1) - image).detach()

    @torch.inference_mode(False)
    def first_step(
        self,
        prompts: Sequence[str],
        *,
        seeds: Sequence[int],
        token: ClassToken | None = None,
        gradient: GradientPolicy = NONE,
    ) -> Tensor:
        """What is there of `images` after the first denoising step: a rehearsal of all else.

        Parameters
        ----------
        prompts, seeds, token
            As of `images`.
        gradient
            Its own number of steps does not matter: the gradient, if there is one, is that of the
            one step.

        Returns
        -------
        Tensor
            Float32 ``(n, 3, y, x)``, nearly noise: neither clamped nor always finite.

        Raises
        ------
        InputError
            As of `images`.
        """
        return self._called(prompts, seeds, token, gradient, 0, None, only_first=True)

    def _called(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        token: ClassToken | None,
        gradient: GradientPolicy,
        estimate_at: int | None,
        num_inference_steps: int | None,
        *,
        only_first: bool = False,
    ) -> Tensor:
        """What the pipeline's call gives, black at 0 and white at 1."""
        if len(prompts) != len(seeds):
            raise InputError(f"seeds: {len(seeds)} for {len(prompts)} prompts; give one each")
        holding = sum(PLACEHOLDER in p for p in prompts)
        if token is None and holding:
            raise InputError(f"token: needed, for a prompt holds {PLACEHOLDER}")
        self.check_gradient(gradient)
        arguments = {
            "prompt": [p.replace(PLACEHOLDER, self.spelling) for p in prompts],
            "num_inference_steps": num_inference_steps or self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
            "generator": [torch.Generator().manual_seed(int(s)) for s in seeds],
        }
        rows: list[list[Tensor]] = []

        def encoded() -> None:
            self._check_seen(rows, holding)

        with contextlib.ExitStack() as stack:
            stack.enter_context(self._alone())
            stack.enter_context(torch.set_grad_enabled(gradient.last != 0))
            if token is not None:
                rows += self._place(token, stack)
            stack.enter_context(
                differentiated(
                    self.pipeline,
                    self.denoiser,
                    gradient,
                    estimate_at,
                    encoded,
                    only_first=only_first,
                )
            )
            given = {key: value for key, value in arguments.items() if key in self._arguments}
            for key, value in self.call.items():  # a negative prompt is wanted for each
                repeat = key.startswith("negative_prompt") and isinstance(value, str)
                given[key] = [value] * len(prompts) if repeat else value
            call = inspect.unwrap(type(self.pipeline).__call__)  # without diffusers' no_grad
            try:
                image = call(self.pipeline, **given, output_type="pt").images
            except UnboundLocalError as error:  # what Sana makes of an OutOfMemoryError
                raise torch.OutOfMemoryError(
                    f"generator {self.name!r}: out of memory while decoding"
                ) from error
        if holding and gradient.last != 0 and not image.requires_grad:
            raise self._no_gradient(gradient)
        return image.to(torch.promote_types(image.dtype, torch.float32)) / 2 + 0.5

    def _check_seen(self, rows: list[list[Tensor]], holding: int) -> None:
        """Raise `InputError` where an encoder sees the token in fewer prompts than hold it."""
        for encoder, lookups in zip(self.encoders, rows, strict=False):
            seen = int(sum(lookups))  # read once: the host waits for the device here
            if seen < holding:
                also = ", or drop clean_caption from call"
                raise InputError(
                    f"prompts: {type(self.pipeline).__name__} cuts or rewrites them, so that "
                    f"text_encoder{encoder.slot} sees the class token in {seen} of "
                    f"{holding}; shorten them{also if self.call.get('clean_caption') else ''}"
                )

    def _place(self, token: ClassToken, stack: contextlib.ExitStack) -> list[list[Tensor]]:
        """Place its part of the token in each text encoder; the rows that each sees it in."""
        rows: list[list[Tensor]] = []
        pieces = split(token.vector[0], self.layout).values()
        for encoder, piece in zip(self.encoders, pieces, strict=True):
            rows.append([])
            own = piece * encoder.factor
            for table in encoder.lookups:
                placed = token.placed_in(table, encoder.token_id, vector=own, rows=rows[-1])
                stack.enter_context(placed)
        return rows

    def __repr__(self) -> str:
        return f"Generator({self.name!r}, {self.num_inference_steps} steps)"
