"""Seeds: which a caller asks for, and the noise that is drawn from each. No hidden state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from inversion_kit.errors import InputError

TRAIN, VALIDATE, TEST, PROBE, FREE = 1, 2, 3, 4, 5
"""Streams of noise: training, stopping and selecting, reporting, probing, free prompts. They never
meet."""


def noise_seeds(seed: int, stream: int, step: int, n: int) -> list[int]:
    """``n`` integer seeds of one step of one stream: fresh for every step, the same every run.

    Parameters
    ----------
    seed
        Of the run, at least 0.
    stream
        `TRAIN`, `VALIDATE`, `TEST`, `PROBE` or `FREE`.
    step
        Number of the step within the stream, from 0.
    n
        How many.

    Returns
    -------
    list of int
        ``n`` integers in [0, 2**63).

    Examples
    --------
    >>> noise_seeds(0, TRAIN, 0, 2) == noise_seeds(0, TRAIN, 0, 2)
    True
    >>> set(noise_seeds(0, TRAIN, 0, 8)) & set(noise_seeds(0, TRAIN, 1, 8))
    set()
    """
    state = np.random.SeedSequence([seed, stream, step]).generate_state(n, np.uint64)
    return [int(s >> np.uint64(1)) for s in state]


def check_seeds(seeds: int | Sequence[int]) -> list[int]:
    """Run seeds as a list of different integers of at least 0.

    Parameters
    ----------
    seeds
        How many (0, 1, ...), or which.

    Raises
    ------
    InputError
        They are not.

    Examples
    --------
    >>> check_seeds(3), check_seeds([3])
    ([0, 1, 2], [3])
    """
    many: Any = seeds
    if _whole(many):
        if many < 1:
            raise InputError(f"seeds={seeds}: at least 1; one run of seed 5 is seeds=[5]")
        return list(range(int(many)))
    one = isinstance(many, (str, bytes)) or not isinstance(many, Iterable)
    listed = [many] if one else list(many)
    if (
        not listed
        or not all(_whole(s) and s >= 0 for s in listed)
        or len(set(listed)) < len(listed)
    ):
        raise InputError(
            f"seeds={seeds!r}: expected how many, or a list of different integers of at least 0"
        )
    return [int(s) for s in listed]


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
