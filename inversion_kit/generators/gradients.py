"""Gradient policies: through which denoising steps the image's gradient reaches the token."""

from __future__ import annotations

import re
from dataclasses import dataclass

from inversion_kit.errors import InputError


@dataclass(frozen=True)
class GradientPolicy:
    """Which denoising steps are differentiated.

    Parameters
    ----------
    name
        What settings and results call it.
    last
        How many of the last denoising steps, at least 0; None for all.
    estimate
        Whether sampling stops at a random step of the later half, where the one-step estimate of
        the finished latents is decoded, with the gradient of that step alone: Song et al. 2021,
        equation 12.
    """

    name: str
    last: int | None = 1
    estimate: bool = False


NONE = GradientPolicy("none", last=0)
"""Sampling only."""
LAST_STEP = GradientPolicy("last_step", last=1)
"""The paper's gradient skipping (Schwartz et al. 2023, section 3.2); DRaFT-1 elsewhere."""
FULL = GradientPolicy("full", last=None)
"""Through the whole sampling chain."""
LATE_STEP = GradientPolicy("late_step", last=1, estimate=True)
"""One random later step and its one-step image estimate: cheaper, other gradients each time."""


def last_k(k: int) -> GradientPolicy:
    """Through the last ``k`` denoising steps, at least 1 (DRaFT-K, Clark et al. 2024)."""
    if k < 1:
        raise InputError(f"k={k}: at least 1 step; give last_k(1) or more")
    return GradientPolicy(f"last_{k}", last=k)


def as_policy(policy: GradientPolicy | str) -> GradientPolicy:
    """A policy from its name: ``last_step``, ``last_2`` (any number), ``full``, ``late_step``.

    Examples
    --------
    >>> as_policy("full")
    GradientPolicy(name='full', last=None, estimate=False)
    """
    if isinstance(policy, GradientPolicy):
        return policy
    name = policy if isinstance(policy, str) else ""
    for known in (LAST_STEP, FULL, LATE_STEP):
        if name == known.name:
            return known
    if match := re.fullmatch(r"last_([1-9]\d*)", name):
        return last_k(int(match[1]))
    raise InputError(
        f"gradient={policy!r}: allowed are 'last_step', 'last_2' (any number), 'full', 'late_step'"
    )
