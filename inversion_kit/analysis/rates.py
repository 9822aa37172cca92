"""How many test images are read as their label: shares, and differences on the same noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis import intervals
from inversion_kit.analysis.reading import (
    arm_place,
    bootstrap,
    coords_of,
    hits_of,
    interval,
    mean,
    reads,
)
from inversion_kit.arms import baseline_arm
from inversion_kit.errors import InputError

N_BOOT = intervals.N_BOOT


def success(
    tree: xr.DataTree | xr.Dataset, *, threshold: float = 0.5, n_boot: int = N_BOOT, seed: int = 0
) -> xr.Dataset:
    """Share of each label's test images that are read as the label, for every arm and scorer.

    Parameters
    ----------
    tree
        A result, or its `reads`.
    threshold
        A run holds where its share is at least this.
    n_boot, seed
        Resamples of the bootstrap, and its seed.

    Returns
    -------
    xr.Dataset
        ``(label, arm, scorer)``: ``share``, ``low``, ``high`` in [0, 1], NaN without an image;
        ``images``, how many the share is over; ``seeds``, runs with images; ``seeds_holding``,
        those whose share is at least ``threshold``. ``per_seed`` ``(label, arm, scorer, seed)``,
        each run's own share. ``trained`` ``(label, arm)``: the share under the classifier that
        gave the gradient, so that a control that was not trained well is seen.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> table = success(synthetic(labels=2, outcomes=("meaning", "failure")))
    >>> table["seeds_holding"].sel(arm="token").isel(scorer=0).values.tolist()
    [2, 0]
    """
    read = reads(tree)
    hit = np.moveaxis(hits_of(read), 0, 2)
    share = intervals.share(hit, n_boot=n_boot, seed=seed)
    trained = np.where(
        read["trained"].values < 0,
        np.nan,
        read["trained"].values == read["label_index"].values[:, None, None, None],
    )
    per_seed = mean(hit, -1)
    dims = ("label", "arm", "scorer")
    return xr.Dataset(
        {
            **interval("share", dims, share),
            **held(per_seed, per_seed >= threshold, dims),
            "images": (dims, np.isfinite(hit).sum((-2, -1))),
            "trained": (("label", "arm"), mean(trained, (-2, -1))),
        },
        coords=coords_of(read, *dims, "seed"),
        attrs={"threshold": threshold, **bootstrap(n_boot, seed)},
    )


def overall_success(
    tree: xr.DataTree | xr.Dataset, *, n_boot: int = N_BOOT, seed: int = 0
) -> xr.Dataset:
    """Share of the test images of all labels that are read as their label.

    Parameters
    ----------
    tree, n_boot, seed
        As `success` takes them.

    Returns
    -------
    xr.Dataset
        ``share``, ``low``, ``high`` and ``images`` ``(arm, scorer)``; ``per_seed`` ``(arm, scorer,
        seed)``, the share of each seed.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> overall = overall_success(synthetic(labels=5, seeds=2, samples=6))
    >>> int(overall["images"].sel(arm="token")[0])
    60
    """
    read = reads(tree)
    hit = np.moveaxis(hits_of(read), (2, 0), (0, 1))
    share = intervals.pooled_ratio(hit, np.ones_like(hit), n_boot=n_boot, seed=seed)
    dims = ("arm", "scorer")
    return xr.Dataset(
        {
            **interval("share", dims, share),
            "images": (dims, np.isfinite(hit).sum((2, 3, 4))),
            "per_seed": ((*dims, "seed"), mean(hit, (2, 4))),
        },
        coords=coords_of(read, *dims, "seed"),
        attrs=bootstrap(n_boot, seed),
    )


def paired_effects(
    tree: xr.DataTree | xr.Dataset,
    arm: str | None = None,
    control: str | None = None,
    *,
    n_boot: int = N_BOOT,
    seed: int = 0,
) -> xr.Dataset:
    """Success of ``arm`` minus success of ``control`` on the same noise, for each label and pooled.

    Parameters
    ----------
    tree, n_boot, seed
        As `success` takes them.
    arm
        The main arm where not given.
    control
        What the arm has to beat where not given: `inversion_kit.arms.baseline_arm`.

    Returns
    -------
    xr.Dataset
        ``difference``, ``low``, ``high`` in [-1, 1] and ``pairs`` ``(label, scorer)``;
        ``per_seed`` ``(label, scorer, seed)``, ``seeds``, runs with pairs, and ``seeds_holding``,
        those whose own difference is above 0;
        ``pooled_difference``, ``pooled_low``, ``pooled_high`` and ``pooled_pairs`` ``(scorer,)``
        over the pairs of all labels. NaN where there is no pair.

    Raises
    ------
    InputError
        The result holds no such arm, or nothing to compare with.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> effects = paired_effects(synthetic(), "token", "name")
    >>> effects["difference"].dims, effects.attrs["control"]
    (('label', 'scorer'), 'name')
    """
    read = reads(tree)
    names = [str(a) for a in read["arm"].values]
    at = arm_place(read, arm)
    control = baseline_arm(names, names[at]) if control is None else control
    if control is None:
        raise InputError(f"control: nothing to compare {names[at]!r} with; give one of {names}")
    hit = hits_of(read)
    ours, theirs = hit[:, :, at], hit[:, :, arm_place(read, control, name="control")]
    change = intervals.difference(ours, theirs, n_boot=n_boot, seed=seed)
    pooled = intervals.pooled_difference(ours, theirs, n_boot=n_boot, seed=seed)
    pairs = np.isfinite(ours - theirs).sum((-2, -1)).T
    per_seed = mean(ours - theirs, -1).swapaxes(0, 1)
    dims = ("label", "scorer")
    return xr.Dataset(
        {
            **held(per_seed, per_seed > 0, dims),
            **interval("difference", dims, [v.T for v in change]),
            "pairs": (dims, pairs),
            **interval("pooled_difference", "scorer", pooled, "pooled_"),
            "pooled_pairs": ("scorer", pairs.sum(0)),
        },
        coords=coords_of(read, *dims, "seed"),
        attrs={"arm": names[at], "control": control, **bootstrap(n_boot, seed)},
    )


def compare(
    one: xr.DataTree | xr.Dataset,
    other: xr.DataTree | xr.Dataset,
    *,
    n_boot: int = N_BOOT,
    seed: int = 0,
) -> xr.Dataset:
    """Success of another result's main arm minus that of one's, of every label that both have.

    Parameters
    ----------
    one, other
        Results, or their `reads`.
    n_boot, seed
        As `success` takes them.

    Returns
    -------
    xr.Dataset
        Along ``label``: ``difference`` in [-1, 1], NaN where either has no image; ``paired``,
        whether both used the same noise; ``low`` and ``high``, NaN where not.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> compare(synthetic(), synthetic(outcomes=("failure",)))["difference"].values.tolist()
    [-1.0]
    """
    first, second = reads(one), reads(other)
    known = [str(n) for n in second["label"].values]
    both = [(i, known.index(n)) for i, n in enumerate(first["label"].values) if n in known]
    change = np.full((3, len(both)), np.nan)
    paired = np.zeros(len(both), bool)
    a, b = (hits_of(read)[0][:, arm_place(read)] for read in (first, second))
    noise = [read["noise_seed"].values[:, arm_place(read)] for read in (first, second)]
    for row, (i, k) in enumerate(both):
        change[0, row] = mean(b[k], (0, 1)) - mean(a[i], (0, 1))
        paired[row] = np.isfinite(change[0, row]) and np.array_equal(noise[0][i], noise[1][k])
        if paired[row]:
            pair = intervals.difference(b[[k]], a[[i]], n_boot=n_boot, seed=seed)
            change[:, row] = [v[0] for v in pair]
    return xr.Dataset(
        {
            **interval("difference", "label", list(change)),
            "paired": ("label", paired),
        },
        coords={"label": first["label"].values[[i for i, _ in both]]},
        attrs=bootstrap(n_boot, seed),
    )


def held(per_seed: np.ndarray, holds: np.ndarray, dims: tuple[str, ...]) -> dict[str, Any]:
    """Variables that say what each run gave, and in how many it holds."""
    return {
        "per_seed": ((*dims, "seed"), per_seed),
        "seeds": (dims, np.isfinite(per_seed).sum(-1)),
        "seeds_holding": (dims, holds.sum(-1)),
    }
