"""A pipeline's own call, with a gradient through some of its steps and its image left unclamped."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from inversion_kit.errors import InputError
from inversion_kit.generators.gradients import GradientPolicy


def parameters(pipeline: Any) -> dict[str, inspect.Parameter]:
    """The arguments of a pipeline's call."""
    named = dict(inspect.signature(type(pipeline).__call__).parameters)
    named.pop("self")
    return named


def without_rounding(pipeline: Any) -> None:
    """Make a pipeline hand out what its decoder gives: about -1 to 1, with a gradient."""
    if getattr(pipeline, "image_processor", None) is not None:
        pipeline.image_processor = copy.copy(pipeline.image_processor)
        pipeline.image_processor.postprocess = lambda image, *_, **__: image


def without_upcast(pipeline: Any) -> None:
    """Put a half-precision decoder that overflows in float32, once and for all.

    diffusers switches it there and back around the decoding, which a backward pass that comes
    later does not survive. The pipeline gets a copy of its own.
    """
    vae = getattr(pipeline, "vae", None)
    if vae is None or vae.dtype != torch.float16 or not getattr(vae.config, "force_upcast", False):
        return
    vae = copy.deepcopy(vae)
    nn.Module.float(vae)
    decode = vae.decode

    @functools.wraps(decode)
    def cast(latents: Tensor, *rest: Any, **named: Any) -> Any:
        return decode(latents.float(), *rest, **named)

    vae.decode = cast
    pipeline.vae = vae


def _first(policy: GradientPolicy, calls: int, estimate_at: int | None) -> int:
    """The first of ``calls`` denoising steps that a policy differentiates, or estimates at."""
    if policy.estimate:
        return calls - 1 if estimate_at is None else min(estimate_at, calls - 1)
    return 0 if policy.last is None else max(0, calls - policy.last)


@contextlib.contextmanager
def differentiated(
    pipeline: Any,
    denoiser: nn.Module,
    policy: GradientPolicy,
    estimate_at: int | None,
    encoded: Callable[[], None],
    *,
    only_first: bool = False,
) -> Iterator[None]:
    """Switch the gradient on and off between denoising steps, around the pipeline's call.

    The scheduler counts the steps, and is as it was afterwards. ``encoded`` is called once, when
    the prompts are encoded and nothing is denoised yet; ``estimate_at`` is by default the last.
    With ``only_first`` the pipeline stops after the first step and decodes what is there.
    """
    scheduler = pipeline.scheduler
    step, set_timesteps = scheduler.step, scheduler.set_timesteps
    done = 0
    started = False
    timesteps: Any = None

    def first() -> int:
        calls = len(scheduler.timesteps)  # some schedules make more calls than steps
        return 0 if only_first else _first(policy, calls, estimate_at)

    def switch(_module: nn.Module, _inputs: tuple[Any, ...]) -> None:
        nonlocal started
        if not started:
            started = True
            if timesteps is not None:
                scheduler.timesteps = timesteps
            encoded()
        if policy.last != 0:
            torch.set_grad_enabled(done >= first())

    @functools.wraps(set_timesteps)
    def shorten(*rest: Any, **named: Any) -> None:
        nonlocal timesteps
        set_timesteps(*rest, **named)
        timesteps = scheduler.timesteps  # the pipeline sees those up to the last one wanted
        scheduler.timesteps = timesteps[: first() + 1]

    @functools.wraps(step)
    def count(model_output: Tensor, timestep: Any, sample: Tensor, *rest: Any, **named: Any) -> Any:
        nonlocal done
        if policy.estimate and done == first():
            scale = getattr(scheduler, "scale_model_input", lambda latents, _: latents)
            clean = estimate(scheduler, model_output, timestep, scale(sample, timestep), done)
            return (clean, clean)
        done += 1
        return step(model_output, timestep, sample, *rest, **named)

    before = dict(vars(scheduler))
    handle = denoiser.register_forward_pre_hook(switch)
    if policy.last != 0:
        scheduler.step = count
    if policy.estimate or only_first:
        scheduler.set_timesteps = shorten
    try:
        yield
    finally:
        handle.remove()
        for name in ("step", "set_timesteps"):
            vars(scheduler).pop(name, None)
            vars(scheduler).update({name: before[name]} if name in before else {})


def estimate(
    scheduler: Any, model_output: Tensor, timestep: Any, sample: Tensor, index: int
) -> Tensor:
    """The finished latents as seen from step ``index``, whose denoiser saw ``sample``.

    Song et al. 2021, equation 12; for flow matching Lipman et al. 2023, section 4.1.
    """
    kind = scheduler.config.get("prediction_type")
    if kind == "flow_prediction" or "FlowMatch" in type(scheduler).__name__:
        return sample - scheduler.sigmas[index].to(sample) * model_output
    if kind not in ("epsilon", "v_prediction", "sample") or not hasattr(
        scheduler, "alphas_cumprod"
    ):
        raise InputError(
            f"generator: {type(scheduler).__name__} with prediction_type={kind!r} has no one-step "
            "estimate; use gradient='last_step'"
        )
    signal = scheduler.alphas_cumprod.to(sample)[int(timestep)]
    a, s = signal.sqrt(), (1 - signal).sqrt()
    if kind == "v_prediction":
        return a * sample - s * model_output
    if kind == "epsilon":
        return (sample - s * model_output) / a
    return model_output
