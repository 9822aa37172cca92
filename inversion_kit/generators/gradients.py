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
        How results call the policy.
    last
        The number of last denoising steps with a gradient; None for all of them.
    estimate
        Stop at a random step of the later half and decode the one-step estimate of the finished
        latents there, with the gradient of that step alone.
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
    """Through the last ``k`` denoising steps (DRaFT-K, Clark et al. 2024).

    Examples
    --------
    >>> last_k(2)
    GradientPolicy(name='last_2', last=2, estimate=False)
    """
    if k < 1:
        raise InputError(f"k={k}: at least 1 step; give last_k(1) or more")
    return GradientPolicy(f"last_{k}", last=k)


def as_policy(policy: GradientPolicy | str) -> GradientPolicy:
    """A policy from its name: ``last_step``, ``last_2`` (any number), ``full``, ``late_step``.

    Raises
    ------
    InputError
        No such policy.
    """
    if isinstance(policy, GradientPolicy):
        return policy
    named = {p.name: p for p in (LAST_STEP, FULL, LATE_STEP)}
    if policy in named:
        return named[policy]
    if match := re.fullmatch(r"last_([1-9]\d*)", str(policy)):
        return last_k(int(match[1]))
    raise InputError(
        f"gradient={policy!r}: allowed are 'last_step', 'last_2' (any number), 'full', 'late_step'"
    )
