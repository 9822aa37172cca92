"""Generators: a frozen diffusers text-to-image pipeline, sampled with a gradient."""

from __future__ import annotations

import contextlib
import copy
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inversion_kit.class_token import PLACEHOLDER, ClassToken
from inversion_kit.errors import GeneratorUnavailableError, InputError, NumericalError
from inversion_kit.gradients import NONE, GradientPolicy
from inversion_kit.hashing import hash_module

POCKET = Path(__file__).parent / "pocket" / "weights" / "generator"
DEFAULT_HUB_ID = "stable-diffusion-v1-5/stable-diffusion-v1-5"
"""The default generator: Stable Diffusion 1.5, the family of the paper's experiments, under the
CreativeML OpenRAIL-M licence (use allowed, commercial too, with use restrictions)."""


class _EstimateReached(Exception):
    """Leaves a pipeline's loop once the one-step estimate is at hand."""

    def __init__(self, latents: Tensor) -> None:
        self.latents = latents


class Generator:
    """A frozen text-to-image pipeline of the Stable Diffusion kind.

    Parameters
    ----------
    pipeline
        A `diffusers.StableDiffusionPipeline`. Its own object is left as it is: the placeholder
        token goes to a copy of its tokenizer.
    name
        How results call this generator.
    num_inference_steps, guidance_scale
        diffusers' own; used for every image.

    Notes
    -----
    The pipeline's networks are put in eval mode and stop asking for gradients of their weights.
    """

    def __init__(
        self,
        pipeline: Any,
        *,
        name: str,
        num_inference_steps: int = 30,
        guidance_scale: float = 7.0,
    ) -> None:
        missing = [
            part
            for part in ("tokenizer", "text_encoder", "unet", "vae", "scheduler")
            if getattr(pipeline, part, None) is None
        ]
        if missing:
            raise InputError(
                f"generator: {type(pipeline).__name__} has no {', '.join(missing)}; expected a "
                "StableDiffusionPipeline"
            )
        if num_inference_steps < 1:
            raise InputError(f"num_inference_steps={num_inference_steps}: at least 1")
        self.name = name
        self.num_inference_steps = num_inference_steps
        self.guidance_scale = float(guidance_scale)
        tokenizer = copy.deepcopy(pipeline.tokenizer)
        tokenizer.add_tokens([PLACEHOLDER])
        self.token_id: int = tokenizer.convert_tokens_to_ids(PLACEHOLDER)
        parts = dict(pipeline.components)
        parts |= {"tokenizer": tokenizer, "scheduler": copy.deepcopy(pipeline.scheduler)}
        parts |= {"safety_checker": None, "feature_extractor": None, "image_encoder": None}
        self.pipeline = type(pipeline)(**parts, requires_safety_checker=False)
        self.pipeline.set_progress_bar_config(disable=True)
        for module in self.modules:
            module.eval().requires_grad_(False)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The frozen networks: text encoder, U-Net, VAE."""
        return (self.pipeline.text_encoder, self.pipeline.unet, self.pipeline.vae)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.pipeline.unet.parameters()).device

    @property
    def embedding(self) -> nn.Embedding:
        """The text encoder's table of token embeddings."""
        return self.pipeline.text_encoder.get_input_embeddings()

    @functools.cached_property
    def hash(self) -> str:
        """sha256 over the weights of all three networks."""
        return self.fresh_hash()

    def fresh_hash(self) -> str:
        """`hash`, computed again: equal to it as long as nothing has touched the weights."""
        return hash_module(*self.modules)

    @functools.cached_property
    def vocabulary(self) -> dict[str, int]:
        """Whole words that are one token, with their ids."""
        words = {}
        for token, i in self.pipeline.tokenizer.get_vocab().items():
            word = token.removesuffix("</w>")
            if token.endswith("</w>") and word.isascii() and word.isalpha() and len(word) > 1:
                words[word] = i
        return dict(sorted(words.items()))

    def vector_of(self, word: str) -> Tensor:
        """The embedding ``(embed,)`` of a word; the mean over its tokens where it has several."""
        ids = self.pipeline.tokenizer(word, add_special_tokens=False).input_ids
        if not ids:
            raise InputError(f"start={word!r}: the tokenizer finds no token in it")
        return self.embedding.weight[ids].detach().float().mean(0)

    def neutral_vector(self) -> Tensor:
        """The mean embedding of all whole words, ``(embed,)``: a start that names no class."""
        return self.embedding.weight[list(self.vocabulary.values())].detach().float().mean(0)

    def vocabulary_norm(self) -> float:
        """Mean length of a word's embedding."""
        ids = list(self.vocabulary.values())
        return float(self.embedding.weight[ids].detach().float().norm(dim=1).mean())

    def check_prompt(self, prompt: str) -> None:
        """Raise `InputError` where the prompt is longer than the text encoder reads."""
        tokenizer = self.pipeline.tokenizer
        count = len(tokenizer(prompt, truncation=False).input_ids)
        if count > tokenizer.model_max_length:
            raise InputError(
                f"prompts: {prompt!r} has {count} tokens, the text encoder reads "
                f"{tokenizer.model_max_length}; shorten it"
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
            As many seeds as prompts are needed; a placeholder needs a token.
        NumericalError
            The generator gave values that are not finite.
        """
        if len(prompts) != len(seeds):
            raise InputError(f"seeds: {len(seeds)} for {len(prompts)} prompts; give one each")
        if token is None and any(PLACEHOLDER in p for p in prompts):
            raise InputError(f"token: needed, for a prompt holds {PLACEHOLDER}")
        steps = num_inference_steps or self.num_inference_steps
        noise = [torch.Generator().manual_seed(int(s)) for s in seeds]
        with contextlib.ExitStack() as stack:
            if token is not None:
                stack.enter_context(token.shown_to(self.embedding, self.token_id))
            stack.enter_context(torch.set_grad_enabled(gradient.last != 0))
            stack.enter_context(self._differentiated(gradient, estimate_at))
            try:
                # diffusers decorates __call__ with no_grad; its own function is beneath
                call: Any = type(self.pipeline).__call__
                latents = call.__wrapped__(
                    self.pipeline,
                    prompt=list(prompts),
                    num_inference_steps=steps,
                    guidance_scale=self.guidance_scale,
                    generator=noise,
                    output_type="latent",
                ).images
            except _EstimateReached as reached:
                latents = reached.latents
            return self._decode(latents)

    @contextlib.contextmanager
    def _differentiated(self, gradient: GradientPolicy, estimate_at: int | None) -> Iterator[None]:
        """Switch the gradient on and off between denoising steps, around the pipeline's call."""
        if gradient.last == 0:
            yield
            return
        scheduler, unet = self.pipeline.scheduler, self.pipeline.unet
        done = 0
        step = type(scheduler).step

        def first() -> int:
            calls = len(scheduler.timesteps)  # some schedules make more calls than steps
            if gradient.estimate:
                return calls - 1 if estimate_at is None else estimate_at
            return 0 if gradient.last is None else max(0, calls - gradient.last)

        def switch(_module: nn.Module, _inputs: tuple[Any, ...]) -> None:
            torch.set_grad_enabled(done >= first())

        def count(model_output: Tensor, timestep: Any, sample: Tensor, *a: Any, **k: Any) -> Any:
            nonlocal done
            if gradient.estimate and done == first():
                seen = scheduler.scale_model_input(sample, timestep)
                raise _EstimateReached(_estimate(scheduler, model_output, timestep, seen))
            done += 1
            return step(scheduler, model_output, timestep, sample, *a, **k)

        count.__signature__ = _signature(step)  # type: ignore[attr-defined]
        scheduler.step = count
        handle = unet.register_forward_pre_hook(switch)
        try:
            yield
        finally:
            handle.remove()
            del scheduler.step

    def _decode(self, latents: Tensor) -> Tensor:
        vae = self.pipeline.vae
        image = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor).sample.float()
        if not torch.isfinite(image).all():
            raise NumericalError(f"generator {self.name!r} gave images that are not finite")
        image = image / 2 + 0.5
        return image + (image.clamp(0, 1) - image).detach()

    def __repr__(self) -> str:
        return f"Generator({self.name!r}, {self.num_inference_steps} steps)"


def _signature(step: Any) -> Any:
    """The scheduler's own step signature without ``self``: pipelines look at it."""
    import inspect

    own = inspect.signature(step)
    return own.replace(parameters=list(own.parameters.values())[1:])


def _estimate(scheduler: Any, model_output: Tensor, timestep: Any, sample: Tensor) -> Tensor:
    """The finished latents as seen from one step (Song et al. 2021, equation 12)."""
    signal = scheduler.alphas_cumprod.to(sample)[int(timestep)]
    a, s = signal.sqrt(), (1 - signal).sqrt()
    kind = scheduler.config.prediction_type
    if kind == "v_prediction":
        return a * sample - s * model_output
    if kind == "epsilon":
        return (sample - s * model_output) / a
    if kind == "sample":
        return model_output
    raise InputError(f"generator: prediction_type={kind!r} has no one-step estimate; use last_step")


def as_generator(generator: Any = None, **settings: Any) -> Generator:
    """Make a `Generator` of what the user has; a Generator passes through.

    Parameters
    ----------
    generator
        A `Generator`; ``"pocket"`` (shipped with this library); a pipeline object; a folder or
        hub id of a Stable Diffusion pipeline; None for `DEFAULT_HUB_ID`.
    **settings
        ``num_inference_steps`` and ``guidance_scale`` of `Generator`.

    Raises
    ------
    GeneratorUnavailableError
        The pipeline could not be loaded; nothing else is used in its place.

    Examples
    --------
    >>> as_generator("pocket")
    Generator('pocket', 6 steps)
    """
    if isinstance(generator, Generator):
        return generator
    if isinstance(generator, str) and generator == "pocket":
        pipeline = _load(POCKET)
        return Generator(
            pipeline, name="pocket", **{"num_inference_steps": 6, "guidance_scale": 3.0, **settings}
        )
    if generator is None:
        generator = DEFAULT_HUB_ID
    if isinstance(generator, (str, os.PathLike)):
        return Generator(_load(generator), name=str(generator), **settings)
    return Generator(generator, name=type(generator).__name__, **settings)


def _load(source: str | os.PathLike[str]) -> Any:
    from diffusers import StableDiffusionPipeline

    try:
        return StableDiffusionPipeline.from_pretrained(
            source,
            use_safetensors=True,
            dtype=torch.float32,
            safety_checker=None,
            requires_safety_checker=False,
        )
    except Exception as error:
        raise GeneratorUnavailableError(
            f"generator={str(source)!r} could not be loaded ({type(error).__name__}: {error}). "
            "A hub id needs a network or a cached copy; generator='pocket' works without either"
        ) from error
