"""Denoising steps and guidance that families of pipelines want where the user says nothing."""

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
