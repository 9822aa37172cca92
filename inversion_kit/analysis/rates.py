"""How many test images are read as their label: shares, differences, and who confirms them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from inversion_kit.analysis import intervals
from inversion_kit.analysis.reading import (
    Result,
    arm_pair,
    arm_place,
    arms_of,
    bootstrap,
    coords_of,
    hits_of,
    holding,
    interval,
    mean,
    reads,
)
from inversion_kit.arm_roles import baseline_arm

N_BOOT = intervals.N_BOOT


def success(
    tree: Result, *, threshold: float = 0.5, n_boot: int = N_BOOT, seed: int = 0
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
    per_seed = mean(hit, -1)
    dims = ("label", "arm", "scorer")
    return xr.Dataset(
        {
            **interval("share", dims, intervals.share(hit, n_boot=n_boot, seed=seed)),
            **holding(per_seed, per_seed >= threshold, *dims),
            "images": (dims, np.isfinite(hit).sum((-2, -1))),
            "trained": (dims[:2], mean(hits_of(read, "trained"), (-2, -1))),
        },
        coords=coords_of(read, *dims, "seed"),
        attrs={"threshold": threshold, **bootstrap(n_boot, seed)},
    )


def overall_success(tree: Result, *, n_boot: int = N_BOOT, seed: int = 0) -> xr.Dataset:
    """Share of the test images of all labels that are read as their label.

    Parameters
    ----------
    tree
        A result, or what `reads` gave of it.
    n_boot, seed
        How many resamples the intervals are made of, at least 1, and the seed of these.

    Returns
    -------
    xr.Dataset
        ``share``, ``low``, ``high`` in [0, 1] and ``images`` ``(arm, scorer)``.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> overall = overall_success(synthetic(labels=5, seeds=2, samples=6))
    >>> int(overall["images"].sel(arm="token")[0])
    60
    """
    read = reads(tree)
    hit = np.moveaxis(hits_of(read), (2, 0), (0, 1))
    dims = ("arm", "scorer")
    pooled = intervals.share(hit, pooled=True, n_boot=n_boot, seed=seed)
    return xr.Dataset(
        {
            **interval("share", dims, pooled),
            "images": (dims, np.isfinite(hit).sum((2, 3, 4))),
        },
        coords=coords_of(read, *dims),
        attrs=bootstrap(n_boot, seed),
    )


def paired_effects(
    tree: Result,
    arm: str | None = None,
    control: str | None = None,
    *,
    n_boot: int = N_BOOT,
    seed: int = 0,
) -> xr.Dataset:
    """Success of ``arm`` minus success of ``control`` on the same noise, for each label and pooled.

    Parameters
    ----------
    tree
        A result, or what `reads` gave of it.
    arm
        The main one, see `inversion_kit.arm_roles.main_arm`, where not given.
    control
        What the arm has to beat where not given: `inversion_kit.arm_roles.baseline_arm`.
    n_boot, seed
        How many resamples the intervals are made of, at least 1, and the seed of these.

    Returns
    -------
    xr.Dataset
        ``difference``, ``low``, ``high`` in [-1, 1] and ``pairs`` ``(label, scorer)``;
        ``per_seed`` ``(label, scorer, seed)``, ``seeds``, runs with pairs, and ``seeds_holding``,
        those whose own difference is above 0; ``pooled_difference``, ``pooled_low``,
        ``pooled_high`` and ``pooled_pairs`` ``(scorer,)`` over the pairs of all labels. NaN where
        there is no pair.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> effects = paired_effects(synthetic(), "token", "name")
    >>> effects["difference"].dims, effects.attrs["control"]
    (('label', 'scorer'), 'name')
    """
    read = reads(tree)
    at, other, attributes = arm_pair(read, arm, control, baseline_arm)
    hit = hits_of(read)
    ours, theirs = hit[:, :, at], hit[:, :, other]
    change = intervals.difference(ours, theirs, n_boot=n_boot, seed=seed)
    pooled = intervals.difference(ours, theirs, pooled=True, n_boot=n_boot, seed=seed)
    pairs = np.isfinite(ours - theirs).sum((-2, -1)).T
    per_seed = mean(ours - theirs, -1).swapaxes(0, 1)
    dims = ("label", "scorer")
    return xr.Dataset(
        {
            **interval("difference", dims, [v.T for v in change]),
            **holding(per_seed, per_seed > 0, *dims),
            "pairs": (dims, pairs),
            **interval("pooled_difference", "scorer", pooled, "pooled_"),
            "pooled_pairs": ("scorer", pairs.sum(0)),
        },
        coords=coords_of(read, *dims, "seed"),
        attrs={**attributes, **bootstrap(n_boot, seed)},
    )


def search_gap(
    tree: Result, arm: str | None = None, *, n_boot: int = N_BOOT, seed: int = 0
) -> xr.Dataset:
    """Success of the whole generator minus that of the quicker one that the search asked.

    The classifier reads what both make of the kept tokens, the same prompts and the same noise.

    Parameters
    ----------
    tree
        A result, or what `reads` gave of it.
    arm
        The main one, see `inversion_kit.arm_roles.main_arm`, where not given.
    n_boot, seed
        How many resamples the intervals are made of, at least 1, and the seed of these.

    Returns
    -------
    xr.Dataset
        Scalars over the images of all labels: ``whole`` and ``quick``, shares in [0, 1];
        ``difference``, ``low`` and ``high`` in [-1, 1], paired; ``pairs``. NaN and 0 where one
        generator did both.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> int(search_gap(synthetic())["pairs"])
    0
    """
    read = reads(tree)
    at = arm_place(read, arm)
    ours, quick = hits_of(read)[0, :, at], hits_of(read, "quick")[:, at]
    ours = np.where(np.isfinite(quick), ours, np.nan)
    change = intervals.difference(ours[None], quick[None], pooled=True, n_boot=n_boot, seed=seed)
    return xr.Dataset(
        {
            "whole": ((), mean(ours, (0, 1, 2))),
            "quick": ((), mean(quick, (0, 1, 2))),
            **interval("difference", (), [np.ravel(v)[0] for v in change]),
            "pairs": ((), int(np.isfinite(ours - quick).sum())),
        },
        attrs={"arm": arms_of(read)[at], **bootstrap(n_boot, seed)},
    )


def compare(one: Result, other: Result) -> xr.Dataset:
    """Success of another result's main arm minus that of one's, of every label that both have.

    Parameters
    ----------
    one, other
        Results, or what `reads` gave of them.

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
    both = reads(one), reads(other)
    hits, noises = [], []
    for read in both:
        at = arm_place(read)
        hits.append(hits_of(read)[0][:, at])
        noises.append(read["noise_seed"].values[:, at])
    known = [str(n) for n in both[1]["label"].values]
    pairs = [(i, known.index(n)) for i, n in enumerate(both[0]["label"].values) if n in known]
    change = np.full((3, len(pairs)), np.nan)
    paired = np.zeros(len(pairs), bool)
    for row, (i, k) in enumerate(pairs):
        change[0, row] = mean(hits[1][k], (0, 1)) - mean(hits[0][i], (0, 1))
        same = np.array_equal(noises[0][i], noises[1][k])
        paired[row] = same and np.isfinite(change[0, row])
        if paired[row]:
            change[:, row] = np.ravel(intervals.difference(hits[1][[k]], hits[0][[i]]))
    return xr.Dataset(
        {**interval("difference", "label", list(change)), "paired": ("label", paired)},
        coords={"label": both[0]["label"].values[[i for i, _ in pairs]]},
        attrs=bootstrap(N_BOOT, 0),
    )


def semantic_index(
    tree: Result, arm: str | None = None, *, n_boot: int = N_BOOT, seed: int = 0
) -> xr.Dataset:
    """Of the images that the audited classifier reads as the label, what held-out classifiers do.

    Parameters
    ----------
    tree
        A result, or what `reads` gave of it.
    arm
        The main one, see `inversion_kit.arm_roles.main_arm`, where not given.
    n_boot, seed
        How many resamples the intervals are made of, at least 1, and the seed of these.

    Returns
    -------
    xr.Dataset
        ``(label,)``: ``index``, the mean over judges of the share that each confirms, ``low``,
        ``high``, all in [0, 1]; ``images``, how many the audited classifier reads as the label.
        ``per_judge``, ``per_judge_low`` and ``per_judge_high`` ``(label, judge)``. ``per_seed``
        ``(label, seed)``, each run's own index, ``seeds``, runs that have one, and
        ``seeds_holding``, those where it is half or more. Scalars ``overall_index``,
        ``overall_low``, ``overall_high`` and ``overall_images``, over the images of all labels.
        NaN where no image is read so, or there is no held-out classifier.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> semantic_index(synthetic(labels=2, outcomes=("meaning", "trick")))["index"].values.tolist()
    [1.0, 0.0]
    """
    return _confirmed(tree, arm, "classifier", n_boot, seed)


def view_index(
    tree: Result, arm: str | None = None, *, n_boot: int = N_BOOT, seed: int = 0
) -> xr.Dataset:
    """`semantic_index` over views: what the audited classifier still reads so after JPEG and such.

    Parameters
    ----------
    tree
        A result, or what `reads` gave of it.
    arm
        The main one, see `inversion_kit.arm_roles.main_arm`, where not given.
    n_boot, seed
        How many resamples the intervals are made of, at least 1, and the seed of these.

    Returns
    -------
    xr.Dataset
        As of `semantic_index`, with views in place of judges.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> tree = synthetic(labels=2, outcomes=("meaning", "trick"), views=("jpeg",))
    >>> view_index(tree)["index"].values.tolist()
    [1.0, 1.0]
    """
    return _confirmed(tree, arm, "view", n_boot, seed)


def _confirmed(tree: Result, arm: str | None, kind: str, n_boot: int, seed: int) -> xr.Dataset:
    read = reads(tree)
    at = arm_place(read, arm)
    hit = hits_of(read)[:, :, at]
    asked = read["role"].values == kind
    audited, said = hit[0], hit[asked]
    value = mean(said, 0) if len(said) else np.full_like(audited, np.nan)
    part = np.where(audited > 0, value, np.where(np.isfinite(audited), 0.0, np.nan))
    index, overall = (
        intervals.ratio(part, audited, pooled=pooled, n_boot=n_boot, seed=seed)
        for pooled in (False, True)
    )
    each = intervals.ratio(
        said * (audited > 0), np.broadcast_to(audited, said.shape), n_boot=n_boot, seed=seed
    )
    images = (audited > 0).sum((1, 2))
    per_seed = mean(np.where(audited > 0, part, np.nan), -1)
    return xr.Dataset(
        {
            **interval("index", "label", index),
            **holding(per_seed, per_seed >= 0.5, "label"),
            "images": ("label", images),
            **interval("per_judge", ("label", "judge"), [v.T for v in each], "per_judge_"),
            **interval("overall_index", (), overall, "overall_"),
            "overall_images": ((), int(images.sum())),
        },
        coords={**coords_of(read, "label", "seed"), "judge": read["scorer"].values[asked]},
        attrs={"arm": arms_of(read)[at], "judge_kind": kind, **bootstrap(n_boot, seed)},
    )
