"""Textual inversion: a token that stands for what given images show, without any classifier."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from inversion_kit.errors import InputError, NumericalError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.loading import check_whole
from inversion_kit.generators.locks import alone_with
from inversion_kit.generators.prompts import check_templates, fill
from inversion_kit.generators.sample import from_bytes
from inversion_kit.pictures import read_image

MOST = 16
"""Images that a token is learned from, at most: the method is for a few."""


@torch.inference_mode(False)  # gradients come with it, whatever the caller has set
def textual_inversion(
    images: Any,
    *,
    generator: Any = None,
    prompts: Sequence[str] | str = ("a photo of a {token}",),
    start: str | None = None,
    steps: int = 200,
    batch: int = 8,
    lr: float = 0.1,
    seed: int = 0,
) -> ClassToken:
    """Learn a token from 1 to 16 images: the baseline that no classifier has a part in.

    The objective is that of diffusers' ``examples/textual_inversion``: an image's latents are
    noised to a random step, and the denoiser predicts the noise (or the velocity) with the token in
    the prompt. The token's vector alone is trained.

    Parameters
    ----------
    images
        A list of 1 to 16 images: paths, PIL images, or one float tensor ``(n, 3, y, x)`` in
        [0, 1]. The middle of each is brought to the generator's size.
    generator
        Anything `inversion_kit.as_generator` takes, of one text encoder and a U-Net: Stable
        Diffusion 1 and 2, the pocket. None is Stable Diffusion 1.5.
    prompts
        Templates with ``{token}``, drawn at random.
    start
        A word to start from; None for the mean of the vocabulary.
    steps
        Adam's updates, at least 1.
    batch
        Noised images in each, at least 1.
    lr
        Length of a step in units of the vocabulary's mean norm, above 0.
    seed
        Of every random draw, at least 0.

    Returns
    -------
    ClassToken
        Its ``vector`` is float32 ``(1, embed)``, for `inversion_kit.generate` and, as
        ``{"label": token}``, `inversion_kit.augment`.

    Raises
    ------
    InputError
        An argument is not usable, or the pipeline has several text encoders or no U-Net.
    NumericalError
        The loss is not finite.

    References
    ----------
    Gal et al., "An Image is Worth One Word: Personalizing Text-to-Image Generation using Textual
    Inversion", ICLR 2023.

    Examples
    --------
    >>> blue = Image.new("RGB", (32, 32), "blue")
    >>> token = textual_inversion([blue], generator="pocket", steps=1, batch=1)
    >>> token.vector.shape
    torch.Size([1, 128])
    """
    steps, batch = check_whole("steps", steps, 1), check_whole("batch", batch, 1)
    seed = check_whole("seed", seed, 0)
    if isinstance(lr, bool) or not isinstance(lr, (int, float)) or not 0 < lr < math.inf:
        raise InputError(f"lr={lr!r}: expected a number above 0, for example 0.1")
    if not (start is None or isinstance(start, str)):
        raise InputError(f"start={start!r:.40}: expected a word such as 'stop', or None")
    templates = check_templates(prompts, named=False)
    listed = check_images(images)
    made = as_generator(generator)
    pipeline, size = made.pipeline, check_learner(made)
    texts = [fill(template, name="") for template in templates]
    for text in texts:
        made.check_prompt(text)
    random = torch.Generator().manual_seed(seed)
    pixels = _pixels(listed, size).to(made.device, made.dtype)
    begun = made.neutral_vector() if start is None else made.vector_of(start)
    token = ClassToken(begun.to(made.device))
    rate = lr * made.vocabulary_norm() / math.sqrt(begun.numel())
    optimizer = torch.optim.Adam([token.vector], lr=rate)
    with torch.no_grad():
        latents = pipeline.vae.encode(pixels * 2 - 1).latent_dist
    for step in range(steps):
        loss = _loss(made, token, latents, texts, batch, random)
        if not torch.isfinite(loss):
            raise NumericalError(f"step {step}: the loss of textual inversion is not finite")
        (token.vector.grad,) = torch.autograd.grad(loss, [token.vector])
        optimizer.step()
    return ClassToken(token.vector.detach())


def check_learner(generator: Generator) -> tuple[int, int]:
    """The sides y and x of a generator that a token can be learned with.

    Raises
    ------
    InputError
        It has several text encoders, no U-Net, or no size of its own.

    Examples
    --------
    >>> check_learner(as_generator("pocket"))
    (32, 32)
    """
    pipeline, size = generator.pipeline, generator.size
    if len(generator.encoders) != 1 or not hasattr(pipeline, "unet") or size is None:
        raise InputError(
            f"generator: {type(pipeline).__name__} has {len(generator.encoders)} text encoders; "
            "textual inversion needs one and a U-Net, as Stable Diffusion 1 and 2 have"
        )
    return size


def _loss(
    generator: Generator,
    token: ClassToken,
    images: Any,
    texts: Sequence[str],
    batch: int,
    random: torch.Generator,
) -> Tensor:
    """Mean squared error of the denoiser on noised images, with the token in their prompts."""
    from diffusers import DDPMScheduler

    pipeline, encoder = generator.pipeline, generator.encoders[0]
    noising = DDPMScheduler.from_config(pipeline.scheduler.config)
    rows = torch.randint(len(images.mean), (batch,), generator=random)
    said = [texts[i] for i in torch.randint(len(texts), (batch,), generator=random).tolist()]
    mean, spread = images.mean[rows], images.std[rows]
    drawn = torch.randn(mean.shape, generator=random).to(mean)
    clean = (mean + spread * drawn) * pipeline.vae.config.scaling_factor
    noise = torch.randn(clean.shape, generator=random).to(clean)
    times = torch.randint(noising.config.num_train_timesteps, (batch,), generator=random)
    times = times.to(clean.device)
    noisy = noising.add_noise(clean, noise, times)
    wanted = clean if noising.config.prediction_type == "sample" else noise
    if noising.config.prediction_type == "v_prediction":
        wanted = noising.get_velocity(clean, noise, times)
    spelled = [text.replace(PLACEHOLDER, generator.spelling) for text in said]
    with (
        alone_with(encoder.model, generator.denoiser),
        token.placed_in(encoder.embedding, encoder.token_id),
    ):
        words, _ = pipeline.encode_prompt(spelled, clean.device, 1, False)
        predicted = pipeline.unet(noisy, times, encoder_hidden_states=words).sample
    return F.mse_loss(predicted.float(), wanted.float())


def check_images(images: Any, where: str = "images", *, tensors: bool = True) -> Any:
    """Images as a list of paths or PIL images, or a tensor where that is taken: 1 to `MOST`.

    Parameters
    ----------
    where
        What messages call them.

    Raises
    ------
    InputError
        They are not, or too few or too many.

    Examples
    --------
    >>> check_images(["stop.png"])
    ['stop.png']
    """
    if tensors and isinstance(images, Tensor):
        fits = images.ndim == 4 and images.shape[1] == 3 and images.is_floating_point()
        if not fits or not bool(((images >= 0) & (images <= 1)).all()):
            raise InputError(
                f"{where}: a tensor {tuple(images.shape)} of {images.dtype}; expected float "
                "(n, 3, y, x) in [0, 1]"
            )
        listed: Tensor | list[Any] = images
    elif isinstance(images, (str, os.PathLike, Image.Image)) or not isinstance(images, Iterable):
        raise InputError(
            f"{where}: {type(images).__name__}; expected a list, such as [Image.open('stop.png')]"
        )
    else:
        listed = list(images)
        for one in listed:
            if not isinstance(one, (str, os.PathLike, Image.Image)):
                raise InputError(
                    f"{where}: {type(one).__name__} in the list; expected paths or PIL images"
                )
    if not 1 <= len(listed) <= MOST:
        raise InputError(f"{where}: {len(listed)}; expected 1 to {MOST}")
    return listed


def _pixels(images: Tensor | list[Any], size: tuple[int, int]) -> Tensor:
    """Images at a size, float ``(n, 3, y, x)`` in [0, 1]."""
    if isinstance(images, Tensor):
        given = images.detach().float().cpu()
        if tuple(given.shape[-2:]) == size:
            return given
        return F.interpolate(given, size, mode="bilinear", antialias=True).clamp(0, 1)
    read = [read_image(one, "images") for one in images]
    fitted = [ImageOps.fit(one, size[::-1], Image.Resampling.BICUBIC) for one in read]
    return from_bytes(np.stack([np.asarray(one) for one in fitted]))
