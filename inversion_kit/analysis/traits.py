"""Which measurable traits the pictures of a label show, of every arm and of real ones.

The rule was set before any result was looked at. A property of `inversion_kit.analysis.measure`
that is 1 or 0 is a trait, shown where it is 1. Of any other one there are two, high and low: a
picture shows it where its value lies beyond 95 % of the plain name's pictures of the other labels,
and as far from their median as is seen at all (`properties.LEAST`).

A set of pictures, an arm or the real ones, *shows* a trait of a label where its share exceeds that
of the same set's pictures of the other labels by `GAP` or more, and by more than chance: Fisher's
exact test, one-sided, corrected over all traits (Holm 1979) and labels (Bonferroni). So what a
set has of itself, such as dark photographs, is in no label's traits.

A cue in words is a trait too where a CLIP says how much better a prompt with it fits a picture than
the plain one: a picture shows it where that lies above 95 % of the plain name's pictures of the
other labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import hypergeom

from inversion_kit.analysis import intervals
from inversion_kit.analysis.chance import corrected, sign_test
from inversion_kit.analysis.measure import PROPERTIES, YES_OR_NO
from inversion_kit.analysis.properties import CHANCE, LEAST
from inversion_kit.analysis.words import REAL
from inversion_kit.wilson import wilson

GAP = 0.3
"""Least difference of shares of a trait that is shown."""
OTHERS = 50
"""Other labels that a label is compared with, at most; of more a random choice."""
_WIDE = tuple(name for name in PROPERTIES if name not in YES_OR_NO)
_SINGLE = [PROPERTIES.index(name) for name in YES_OR_NO]
_DOUBLE = [PROPERTIES.index(name) for name in _WIDE]
TRAITS = (*YES_OR_NO, *(f"{end} {name}" for end in ("high", "low") for name in _WIDE))
"""What a picture may show."""
_ENDS = 0.05, 0.95


def limits(others: np.ndarray) -> np.ndarray:
    """From where on a value is low, and high: float ``(2, property)`` of `_WIDE`.

    Parameters
    ----------
    others
        The plain name's pictures of other labels, ``(n, property)`` of `PROPERTIES`.

    Examples
    --------
    >>> ends = limits(np.full((20, len(PROPERTIES)), 0.5))
    >>> ends[:, 0].tolist()
    [0.45, 0.55]
    """
    values = np.where(np.isfinite(others), others, np.nan)[:, _DOUBLE].astype(float)
    least = np.array([LEAST[name] for name in _WIDE])
    known = np.isfinite(values).any(0)
    ends = np.full((3, len(_WIDE)), np.nan)
    ends[:, known] = np.nanquantile(values[:, known], (*_ENDS, 0.5), axis=0)
    return np.array([np.minimum(ends[0], ends[2] - least), np.maximum(ends[1], ends[2] + least)])


def shown(values: np.ndarray, ends: np.ndarray, above: np.ndarray | None = None) -> np.ndarray:
    """Which of `TRAITS` pictures show: 1 or 0, NaN where nothing was measured, ``(..., trait)``.

    Parameters
    ----------
    values
        ``(..., property)`` of `PROPERTIES`, and after them the scores of cues.
    ends
        Of `limits`.
    above
        Above which a score shows its cue, ``(cue,)``, where there are any.
    """
    wide = values[..., _DOUBLE]
    known = np.isfinite(values).any(-1, keepdims=True)  # a picture of one colour has no tilt
    parts = [values[..., _SINGLE] > 0, wide >= ends[1], wide <= ends[0]]
    if above is not None:
        parts.append(values[..., len(PROPERTIES) :] > above)
    has = np.concatenate(parts, -1)
    made: np.ndarray = np.where(known, has, np.nan)
    return made


def trait_table(
    generated: np.ndarray,
    real: Sequence[np.ndarray],
    arms: Sequence[str],
    named: int,
    labels: Sequence[str],
    seed: int = 0,
    cues: Sequence[str] = (),
) -> xr.Dataset:
    """Shares of every trait in every set, and what shows it.

    Parameters
    ----------
    generated
        What was measured, ``(label, arm, seed, sample, property)``, NaN where is no picture; after
        the properties the scores of cues.
    real
        Of each label, ``(n, property)``, and scores.
    arms, named
        Their names, and the place of the plain name.
    labels
        At least two.
    seed
        Of the choice of other labels.
    cues
        Names of those that are scored.

    Returns
    -------
    xr.Dataset
        As of `inversion_kit.coverage`.
    """
    n, tests = len(labels), len(labels)
    sets = [*arms, REAL]
    names = (*TRAITS, *(f"“{cue}” in words" for cue in cues))
    shape = n, len(sets), len(names)
    table: dict[str, np.ndarray] = {
        name: np.full(shape, np.nan) for name in ("share", "low", "high", "elsewhere", "chance")
    }
    change = {name: np.full(shape, np.nan) for name in ("change", "change_low", "change_high")}
    change["change_chance"] = np.full(shape, np.nan)
    images = np.zeros(shape[:2], int)
    random = np.random.default_rng(seed)
    for i in range(n):
        others = np.sort(random.permutation([k for k in range(n) if k != i])[:OTHERS])
        plain = generated[others, named].reshape(-1, generated.shape[-1])
        ends = limits(plain), _above(plain)
        own = shown(generated[i], *ends)  # (arm, seed, sample, trait)
        far = shown(generated[others], *ends)
        beside = [shown(real[k], *ends) for k in others]
        hits = [*(one.reshape(-1, len(names)) for one in own), shown(real[i], *ends)]
        elsewhere = [far[:, a].reshape(-1, len(names)) for a in range(len(arms))]
        for s, (mine, theirs) in enumerate(
            zip(hits, [*elsewhere, np.concatenate(beside)], strict=True)
        ):
            images[i, s] = np.isfinite(mine[:, 0]).sum()
            for name, value in _shares(mine, theirs).items():
                table[name][i, s] = value
        for name, value in _changes(own, named).items():
            change[name][i, : len(arms)] = value
    for name, every in (("chance", table), ("change_chance", change)):
        every[name] = np.minimum(tests * _corrected(every[name]), 1.0)
    return _dataset(table | change, images, sets, named, labels, names)


def _above(others: np.ndarray) -> np.ndarray:
    """The score of each cue that 95 % of other pictures do not exceed, ``(cue,)``."""
    scores = others[np.isfinite(others).any(1), len(PROPERTIES) :]
    if not len(scores):
        return np.full(scores.shape[1], np.nan)
    return np.asarray(np.quantile(scores, _ENDS[1], axis=0))


def _shares(mine: np.ndarray, theirs: np.ndarray) -> Mapping[str, np.ndarray]:
    """Share of each trait with its interval, that of other labels, and its one-sided chance."""
    (hits, n), (other, m) = ((np.nansum(one, 0), np.isfinite(one).sum(0)) for one in (mine, theirs))
    low, high = wilson(hits, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        share, elsewhere = hits / n, other / m
    chance = hypergeom.sf(hits - 1, n + m, hits + other, n)
    chance = np.where((n > 0) & (m > 0), chance, np.nan)
    return {"share": share, "low": low, "high": high, "elsewhere": elsewhere, "chance": chance}


def _changes(own: np.ndarray, named: int) -> dict[str, np.ndarray]:
    """Share less the plain name's on the same noise, ``(arm, trait)``; NaN of the name itself."""
    hits = np.moveaxis(own, -1, 1)  # (arm, trait, seed, sample)
    theirs = np.broadcast_to(hits[named], hits.shape)
    ends = intervals.difference(hits, theirs)
    gaps = (hits - theirs).reshape(*hits.shape[:2], -1)
    chance = np.where(np.isfinite(gaps).any(-1), sign_test(gaps), np.nan)
    made = dict(zip(("change", "change_low", "change_high"), ends, strict=True))
    made["change_chance"] = chance
    for values in made.values():
        values[named] = np.nan
    return made


def _corrected(chances: np.ndarray) -> np.ndarray:
    """Holm's correction along the last axis, where there are chances."""
    there = np.isfinite(chances)
    return np.where(there, corrected(np.where(there, chances, 1.0)), np.nan)


def _dataset(
    table: dict[str, np.ndarray],
    images: np.ndarray,
    sets: Sequence[str],
    named: int,
    labels: Sequence[str],
    names: Sequence[str],
) -> xr.Dataset:
    with np.errstate(invalid="ignore"):
        shows = (table["share"] - table["elsewhere"] >= GAP) & (table["chance"] <= CHANCE)
        gained = (table["change"] >= GAP) & (table["change_chance"] <= CHANCE)
    reveals = shows & gained & ~shows[:, [named]]
    of_real = shows[:, [-1]]
    covered, traits = (shows & of_real).sum((0, 2)), int(of_real.sum())
    beyond = (reveals & of_real).sum((0, 2))
    low, high = wilson(covered, traits)
    share = covered / traits if traits else np.full(len(sets), np.nan)
    dims: Any = ("label", "set", "trait")
    return xr.Dataset(
        {
            **{name: (dims, values) for name, values in table.items()},
            "images": (dims[:2], images),
            "shows": (dims, shows),
            "reveals": (dims, reveals),
            "covered": ("set", share),
            "covered_low": ("set", low),
            "covered_high": ("set", high),
            "covered_traits": ("set", covered),
            "revealed_real": ("set", beyond),
        },
        coords={"label": list(labels), "set": list(sets), "trait": list(names)},
        attrs={"control": sets[named], "real_traits": traits, "interval": 0.95},
    )
