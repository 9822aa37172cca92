"""What a search asks for: updates, checks and rounds of the probe, at most and likely."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from inversion_kit.arms import Arm
from inversion_kit.settings import Settings


@dataclass(frozen=True)
class Asked:
    """What a search asks for; of many searches the mean.

    Parameters
    ----------
    updates
        Of the token.
    checks
        On held-out noise.
    probes, sums
        How often the vocabulary probe is asked, and how often for sums of two words too: 0 to 1.
    """

    updates: float
    checks: float
    probes: float
    sums: float


NAME_FREE = Asked(9.3, 4.4, 0.75, 0.08)
NAMED = Asked(5.2, 3.1, 0.11, 0.08)
"""Means over 36 searches, 12 labels of the pocket and 3 seeds, default settings, of prompts that do
not name the class and that do: printed by ``python -m benchmarks.typical``."""
FIRST_CHECK = Asked(0, 1, 0, 0)
"""Of a search that ends where it begins."""


def asked_at_most(settings: Settings) -> Asked:
    """What a search asks for that makes every update and begins at every start.

    Parameters
    ----------
    settings
        Of the search.

    Returns
    -------
    Asked
        Counts that no search by the gradient exceeds.

    Examples
    --------
    >>> asked_at_most(Settings())
    Asked(updates=60, checks=20, probes=1, sums=1)
    """
    starts = _starts(settings)
    if not starts:
        return FIRST_CHECK
    early = starts if settings.check_every > 1 and settings.objective is None else 0
    checks = starts + early + math.ceil(settings.steps / settings.check_every)
    return Asked(settings.steps, checks, int(starts > 1), int(starts > 2))


def asked_likely(arm: Arm, settings: Settings) -> Asked:
    """What a search of an arm is likely to ask for, never more than at most.

    A control gets nowhere: each of its starts is left after ``patience`` checks, and none goes on.
    With an objective of the user's own a search makes all its updates. Others ask for what is usual
    on the pocket, `NAME_FREE` or `NAMED`.

    Parameters
    ----------
    arm
        One with a search.
    settings
        Of the search.

    Returns
    -------
    Asked
        Means.

    Examples
    --------
    >>> from inversion_kit.arms import ARMS
    >>> asked_likely(ARMS["shuffled"], Settings())
    Asked(updates=20, checks=8, probes=1, sums=1)
    """
    most, starts = asked_at_most(settings), _starts(settings)
    if settings.objective is not None or not starts:
        return most
    if arm.control:
        made = min(settings.steps, starts * settings.patience * settings.check_every)
        return replace(most, updates=made, checks=starts + math.ceil(made / settings.check_every))
    named = all("{name}" in template for template in arm.prompts(settings.prompts))
    usual = NAMED if named else NAME_FREE
    updates = min(settings.steps, usual.updates)
    others = usual.checks - 1 - usual.updates / Settings().check_every  # early, of later starts
    checks = 1 + updates / settings.check_every + others * (starts > 1)
    probes, sums = usual.probes * most.probes, usual.sums * most.sums
    return Asked(updates, min(most.checks, checks), probes, sums)


def _starts(settings: Settings) -> int:
    """Starts that are updated, at most: each takes ``patience`` checks before the next begins."""
    allowed = 1 if settings.start is not None else 1 + settings.restarts
    return min(allowed, math.ceil(settings.steps / (settings.patience * settings.check_every)))
