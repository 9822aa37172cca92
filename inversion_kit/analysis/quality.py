"""Tables of what pictures of each arm are worth: success, and features against real pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.clouds import LEAST, MEASURES, SHARES, clouds
from inversion_kit.analysis.left_out import LeftOut, leave_out, over_labels
from inversion_kit.analysis.rates import N_BOOT, overall_success, paired_effects, success
from inversion_kit.analysis.reading import Result, arms_of, coords_of, reads
from inversion_kit.analysis.words import REAL
from inversion_kit.arm_roles import name_arm
from inversion_kit.wilson import wilson

MOST = 100
"""Pictures of a set at most, and of a reference."""
_ENDS, _SHARE = ("", "_low", "_high"), ("share", "low", "high")


@dataclass(frozen=True)
class Seen:
    """Features of a label's pictures.

    Parameters
    ----------
    features
        Of each set, an arm or `REAL`: float ``(n, feature)``.
    noise, run
        Of each picture of a set, int ``(n,)``.
    reference
        Features of other real pictures, ``(m, feature)``; none where m is 0.
    """

    features: Mapping[str, np.ndarray]
    noise: Mapping[str, np.ndarray]
    run: Mapping[str, np.ndarray]
    reference: np.ndarray

    def even(self) -> Seen:
        """The first pictures of every set, as many of each, and of the reference at most `MOST`.

        A set without a picture is left out, and all where a set has too few to be measured.
        """
        there = [name for name, values in self.features.items() if len(values)]
        least = min([MOST, *(len(self.features[name]) for name in there)])
        if least < (LEAST if len(self.reference) else 2):
            there = []
        features, noise, run = (
            {name: values[name][:least] for name in there}
            for values in (self.features, self.noise, self.run)
        )
        return Seen(features, noise, run, self.reference[:MOST])


def successes(tree: Result, against: str | None = None, *, n_boot: int = N_BOOT) -> dict[str, Any]:
    """Variables of success under every scorer, and of its paired difference to another arm's.

    ``success`` ``(label, arm, scorer)`` and ``overall_success`` ``(arm, scorer)``, with their
    ``images``; ``gain`` and ``overall_gain`` over ``against``, the arm of the plain name where not
    given, with ``pairs``.
    """
    read = reads(tree)
    arms = arms_of(read)
    named = name_arm(arms) if against is None else against
    made: dict[str, Any] = {}
    for stem, pooled, table in (
        ("", "", success(read, n_boot=n_boot)),
        ("overall_", "pooled_", overall_success(read, n_boot=n_boot)),
    ):
        dims = table["share"].dims
        made |= _variables(f"{stem}success", dims, [table[n].values for n in _SHARE])
        made[f"{stem}images"] = dims, table["images"].values
        gain, pairs = np.full((3, *table["share"].shape), np.nan), np.zeros(table["share"].shape)
        for at, arm in enumerate(arms):
            if named is None or arm == named:
                continue
            effects = paired_effects(read, arm, named, n_boot=n_boot)
            ends = (effects[f"{pooled}{name}"].values for name in ("difference", "low", "high"))
            gain[..., at, :] = list(ends)
            pairs[..., at, :] = effects[f"{pooled}pairs"].values
        made |= _variables(f"{stem}gain", dims, gain) | {f"{stem}pairs": (dims, pairs.astype(int))}
    return made


def cloud_tables(
    seen: Sequence[Mapping[str, Seen]],
    networks: Sequence[str],
    arms: Sequence[str],
    noises: int,
    against: str | None = None,
) -> dict[str, Any]:
    """Variables of every measure of every set, and of differences to those of another arm.

    Parameters
    ----------
    seen
        Of each label, by network.
    networks, arms
        In the order that they shall have.
    noises
        How many there are of all runs.
    against
        The arm compared with; that of the plain name where not given.

    Returns
    -------
    dict
        ``value`` ``(label, set, network, measure)`` and ``overall_value``
        ``(set, network, measure)``, the mean over the labels that have one; ``change`` and
        ``overall_change`` less that arm; each with ``_low`` and ``_high``; ``pictures``
        ``(label, set)`` of each set and ``reference`` ``(label,)``; ``overall_labels``
        ``(set, network)``, of how many labels the mean is.
    """
    sets, named = [*arms, REAL], name_arm(list(arms)) if against is None else against
    even = [{network: one[network].even() for network in networks} for one in seen]
    left = [{n: _left(one, noises) for n, one in by.items()} for by in even]
    pictures = np.array([[len(one.features.get(s, ())) for s in sets] for one in _firsts(even)])
    reference = np.array([len(one.reference) for one in _firsts(even)])
    shape = len(seen), len(sets), len(networks), len(MEASURES)
    tables = {
        f"{stem}{name}": np.full((3, *size), np.nan)
        for stem, size in (("", shape), ("overall_", shape[1:]))
        for name in ("value", "change")
    }
    labels = np.zeros(shape[1:3], int)
    for s, w in np.ndindex(*shape[1:3]):
        there = [i for i in range(len(seen)) if sets[s] in left[i][networks[w]]]
        labels[s, w] = len(there)
        for stem, group in (*(("", [i]) for i in there), ("overall_", there)):
            if not group:
                continue
            at = (slice(None), *(group if not stem else ()), s, w)
            parts = [left[i][networks[w]] for i in group]
            sizes = int(pictures[group, s].sum()), int(reference[group].sum())
            value, change = _measured(parts, sets[s], named, sizes)
            tables[f"{stem}value"][at], tables[f"{stem}change"][at] = value, change
    dims = ("label", "set", "network", "measure")
    made: dict[str, Any] = {}
    for name, table in tables.items():
        made |= _variables(name, dims[5 - table.ndim :], table)
    made |= {"pictures": (dims[:2], pictures), "reference": ("label", reference)}
    return made | {"overall_labels": (dims[1:3], labels)}


def coords(tree: Result) -> dict[str, Any]:
    """Coordinates of `successes`."""
    return dict(coords_of(reads(tree), "label", "arm", "scorer"))


def _firsts(even: Sequence[Mapping[str, Seen]]) -> list[Seen]:
    """What the first network saw of each label: all see the same pictures."""
    return [next(iter(one.values())) for one in even]


def _measured(
    parts: Sequence[Mapping[str, LeftOut]], one: str, named: str | None, sizes: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Value of a set over some labels, and its change from the plain name, ``(3, measure)``."""
    value = _value([part[one] for part in parts], *sizes)
    if named is None or one in (named, REAL) or not all(named in part for part in parts):
        return value, np.full_like(value, np.nan)
    other = _value([part[named] for part in parts], *sizes)
    return value, _change([part[one].less(part[named]) for part in parts], value, other)


def _left(seen: Seen, noises: int) -> dict[str, LeftOut]:
    """Each set's measures, and without each part."""
    runs = 1 + max((int(r.max()) for r in seen.run.values()), default=0)
    made = {}
    for name, points in seen.features.items():
        noise, run = seen.noise[name], seen.run[name]
        pair = clouds(points, seen.reference)
        made[name] = leave_out(
            pair, noise, run, noises=max(noises, MOST), runs=1 if len(np.unique(run)) < 2 else runs
        )
    return made


def _value(parts: Sequence[LeftOut], n: int, m: int) -> np.ndarray:
    """Mean over labels, ``(3, measure)``: a share's interval is no narrower than Wilson's."""
    value, low, high = over_labels(parts)
    for i, name in enumerate(MEASURES):
        if name in SHARES and np.isfinite(value[i]):
            count = n if name == "precision" else m
            ends = wilson(value[i] * count, count)
            low[i] = max(0.0, np.fmin(low[i], ends[0]))
            high[i] = min(1.0, np.fmax(high[i], ends[1]))
    return np.array([value, low, high])


def _change(gaps: Sequence[LeftOut], ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Mean difference, ``(3, measure)``; where all or none are hit, from the intervals of both."""
    value, low, high = over_labels(gaps)
    down = np.hypot(ours[0] - ours[1], theirs[2] - theirs[0])
    up = np.hypot(ours[2] - ours[0], theirs[0] - theirs[1])
    point = (high - low) == 0
    low, high = np.where(point, value - down, low), np.where(point, value + up, high)
    return np.array([value, low, high])


def _variables(name: str, dims: Any, table: Any) -> dict[str, Any]:
    return {f"{name}{end}": (dims, part) for end, part in zip(_ENDS, table, strict=True)}


def dataset(variables: dict[str, Any], tree: Result, **more: Any) -> xr.Dataset:
    """The variables with their coordinates."""
    return xr.Dataset(variables, coords={**coords(tree), **more})
