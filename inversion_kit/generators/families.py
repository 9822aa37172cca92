"""What families of pipelines want where the user says nothing: steps, guidance, a tiny decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Family:
    """A kind of pipeline, and how it samples.

    Parameters
    ----------
    name
        What people call it.
    steps, guidance
        Denoising steps and guidance scale that it was made for.
    known_by
        Whether a pipeline is one.
    """

    name: str
    steps: int
    guidance: float
    known_by: Callable[[Any], bool]


def _samples_with(*names: str, **settings: Any) -> Callable[[Any], bool]:
    """Whether a Stable Diffusion pipeline has one of these schedulers, with these settings."""

    def known(pipeline: Any) -> bool:
        scheduler: Any = getattr(pipeline, "scheduler", None)
        return (
            type(pipeline).__name__ in ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
            and type(scheduler).__name__ in names
            and all(scheduler.config.get(key) == value for key, value in settings.items())
        )

    return known


def _has_hyper_lora(pipeline: Any) -> bool:
    """Whether it samples with a LoRA on DDIM's trailing timesteps, as Hyper-SD's are made for."""
    denoiser = getattr(pipeline, "unet", None)
    sampled = _samples_with("DDIMScheduler", timestep_spacing="trailing")
    return sampled(pipeline) and bool(getattr(denoiser, "peft_config", None))


def _is_schnell(pipeline: Any) -> bool:
    """Whether it is a Flux without a guidance embedding, which the distilled one is."""
    config = getattr(getattr(pipeline, "transformer", None), "config", None)
    return type(pipeline).__name__ == "FluxPipeline" and not getattr(
        config, "guidance_embeds", True
    )


FAMILIES = (
    Family(
        "Stable Diffusion with an LCM LoRA", 4, 1.0, _samples_with("LCMScheduler", "TCDScheduler")
    ),
    Family(
        "SD-Turbo and SDXL-Turbo",
        1,
        0.0,
        _samples_with(
            "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", timestep_spacing="trailing"
        ),
    ),
    Family("Stable Diffusion with a Hyper LoRA", 4, 0.0, _has_hyper_lora),
    Family("Flux schnell", 4, 0.0, _is_schnell),
    Family(
        "Stable Diffusion, as in the paper",
        30,
        7.0,
        lambda pipeline: type(pipeline).__name__ == "StableDiffusionPipeline",
    ),
)
"""Known families, the first that fits. Others keep the defaults of their pipeline's call, which
those of SD3 and Sana-Sprint are made for."""


def family_of(pipeline: Any) -> Family | None:
    """The family of a pipeline, None where it is none of `FAMILIES`.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> family_of(as_generator("pocket").pipeline).name
    'Stable Diffusion, as in the paper'
    """
    return next((family for family in FAMILIES if family.known_by(pipeline)), None)


DECODERS = {
    (4, 0.18215, 0.0): "madebyollin/taesd",  # Stable Diffusion 1 and 2
    (4, 0.13025, 0.0): "madebyollin/taesdxl",
    (16, 1.5305, 0.0609): "madebyollin/taesd3",
    (16, 0.3611, 0.1159): "madebyollin/taef1",  # Flux
}
"""Hub ids of tiny decoders by the latents that they decode: channels, scale, shift."""
_SHRUNK = 8
"""Pixels to a latent, along a side, of all of them."""


def decoder_of(pipeline: Any) -> str | None:
    """The hub id of the tiny decoder that a pipeline's latents are made for, None where none is.

    The VAE says it, not the family: an LCM LoRA goes with several.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> decoder_of(as_generator("pocket").pipeline)  # its own is small
    """
    config: Any = getattr(getattr(pipeline, "vae", None), "config", None)
    if config is None or 2 ** (len(config.get("block_out_channels") or ()) - 1) != _SHRUNK:
        return None
    shape = config.get("latent_channels"), config.get("scaling_factor")
    return DECODERS.get((*shape, config.get("shift_factor") or 0.0))
