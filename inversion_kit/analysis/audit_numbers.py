"""Numbers of an audit: success, effects, meaning or trick, mix-ups; see `audits`."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis import intervals
from inversion_kit.analysis.audit_reads import (
    arm_place,
    blocks,
    coords_of,
    first,
    hits_of,
    how,
    mean,
    reads,
    shares,
)

_BOOT = 2000


def label_success(
    tree: xr.DataTree | xr.Dataset, *, threshold: float = 0.5, n_boot: int = _BOOT, seed: int = 0
) -> xr.Dataset:
    """Share of each label's test images that are read as the label, for every arm and scorer.

    Parameters
    ----------
    tree
        An audit, or its `reads`.
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
    >>> from inversion_kit.testing import synthetic_audit
    >>> table = label_success(synthetic_audit(outcomes=("meaning", "failure")))
    >>> table["seeds_holding"].sel(arm="token").isel(scorer=0).values.tolist()
    [2, 0, 2, 0, 2]
    """
    read = reads(tree)
    hit = hits_of(read)
    trained = np.where(
        read["trained"].values < 0,
        np.nan,
        read["trained"].values == read["label_index"].values[:, None, None, None],
    )
    values = np.moveaxis(hit, 0, 2)
    share, low, high = intervals.share(values, n_boot=n_boot, seed=seed)
    per_seed = mean(values, -1)
    dims = ("label", "arm", "scorer")
    return xr.Dataset(
        {
            "share": (dims, share),
            "low": (dims, low),
            "high": (dims, high),
            **_held(per_seed, per_seed >= threshold, dims),
            "images": (dims, np.isfinite(values).sum((-2, -1))),
            "trained": (("label", "arm"), mean(trained, (-2, -1))),
        },
        coords=coords_of(read, "label", "arm", "scorer", "seed"),
        attrs={"threshold": threshold, **how(n_boot, seed)},
    )


def paired_effects(
    tree: xr.DataTree | xr.Dataset,
    arm: str = "token",
    control: str = "shuffled",
    *,
    n_boot: int = _BOOT,
    seed: int = 0,
) -> xr.Dataset:
    """Success of ``arm`` minus success of ``control`` on the same noise, a label and pooled.

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
        The audit holds no such arm.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> paired_effects(synthetic_audit())["pooled_difference"].values.round(2).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    read = reads(tree)
    hit = hits_of(read)
    ours = hit[:, :, arm_place(read, arm)]
    theirs = hit[:, :, arm_place(read, control, name="control")]
    value, low, high = intervals.difference(ours, theirs, n_boot=n_boot, seed=seed)
    pooled = intervals.pooled_difference(ours, theirs, n_boot=n_boot, seed=seed)
    pairs = np.isfinite(ours - theirs).sum((-2, -1)).T
    per_seed = mean(ours - theirs, -1).swapaxes(0, 1)
    dims = ("label", "scorer")
    return xr.Dataset(
        {
            **_held(per_seed, per_seed > 0, dims),
            "difference": (dims, value.T),
            "low": (dims, low.T),
            "high": (dims, high.T),
            "pairs": (dims, pairs),
            "pooled_difference": ("scorer", pooled[0]),
            "pooled_low": ("scorer", pooled[1]),
            "pooled_high": ("scorer", pooled[2]),
            "pooled_pairs": ("scorer", pairs.sum(0)),
        },
        coords=coords_of(read, *dims, "seed"),
        attrs={"arm": arm, "control": control, **how(n_boot, seed)},
    )


def overall_success(
    tree: xr.DataTree | xr.Dataset, *, n_boot: int = _BOOT, seed: int = 0
) -> xr.Dataset:
    """Share of the test images of all labels that are read as their label.

    Returns
    -------
    xr.Dataset
        ``share``, ``low``, ``high`` and ``images`` ``(arm, scorer)``; ``per_seed`` ``(arm, scorer,
        seed)``, the share of each seed.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> overall_success(synthetic_audit())["images"].sel(arm="token").values.tolist()
    [60, 60, 60, 60]
    """
    read = reads(tree)
    hit = np.moveaxis(hits_of(read), (2, 0), (0, 1))
    share, low, high = intervals.pooled_ratio(hit, np.ones_like(hit), n_boot=n_boot, seed=seed)
    dims = ("arm", "scorer")
    return xr.Dataset(
        {
            "share": (dims, share),
            "low": (dims, low),
            "high": (dims, high),
            "images": (dims, np.isfinite(hit).sum((2, 3, 4))),
            "per_seed": ((*dims, "seed"), mean(hit, (2, 4))),
        },
        coords=coords_of(read, *dims, "seed"),
        attrs=how(n_boot, seed),
    )


def semantic_index(
    tree: xr.DataTree | xr.Dataset, arm: str = "token", *, n_boot: int = _BOOT, seed: int = 0
) -> xr.Dataset:
    """Of the images that the audited classifier reads as the label, what held-out classifiers do.

    Returns
    -------
    xr.Dataset
        ``(label,)``: ``index``, the mean over judges of the share that each confirms, ``low``,
        ``high``, all in [0, 1]; ``adversarial``, 1 - ``index``; ``images``, how many the
        audited classifier reads as the label. ``per_judge`` ``(label, judge)``. ``per_seed``
        ``(label, seed)``, each run's own index, ``seeds``, runs that have one, and
        ``seeds_holding``, those where it is half or more. Scalars
        ``overall_index``, ``overall_low``, ``overall_high`` and ``overall_images``, over the
        images of all labels. NaN where no image is read so, or there is no held-out classifier.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> semantic_index(synthetic_audit(outcomes=("meaning", "trick")))["index"].values.tolist()
    [1.0, 0.0, 1.0, 0.0, 1.0]
    """
    return _confirmed(tree, arm, "classifier", n_boot=n_boot, seed=seed)


def view_index(
    tree: xr.DataTree | xr.Dataset, arm: str = "token", *, n_boot: int = _BOOT, seed: int = 0
) -> xr.Dataset:
    """`semantic_index` over views: what the audited classifier still reads so after JPEG and such.

    Returns
    -------
    xr.Dataset
        As `semantic_index` gives it.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> view_index(synthetic_audit(outcomes=("meaning", "trick")))["index"].values.tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    return _confirmed(tree, arm, "view", n_boot=n_boot, seed=seed)


def confusion(tree: xr.DataTree | xr.Dataset, arm: str = "token") -> xr.Dataset:
    """Share of each label's images that the audited classifier reads as each class.

    Returns
    -------
    xr.Dataset
        ``share`` ``(label, class)`` in [0, 1], NaN without an image; ``images`` ``(label,)``;
        ``seeds`` ``(label, class)``, in how many runs an image or more is read so, of ``runs``
        ``(label,)``.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> confusion(synthetic_audit())["share"].sum("class").values.tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    read = reads(tree)
    top = read["top"].values[0][:, arm_place(read, arm)]
    classes = read.sizes["class"]
    share, images = shares(top, classes)
    each = [shares(top[:, run], classes)[0] for run in range(top.shape[1])]
    dims = ("label", "class")
    return xr.Dataset(
        {
            "share": (dims, share),
            "images": ("label", images),
            "seeds": (dims, sum((own > 0).astype(int) for own in each)),
            "runs": ("label", (top >= 0).any(-1).sum(-1)),
        },
        coords=coords_of(read, "label", "class"),
        attrs={"arm": arm},
    )


def confusion_difference(
    tree: xr.DataTree | xr.Dataset, arm: str = "token", control: str = "name"
) -> xr.Dataset:
    """`confusion` of one arm minus that of another, over the noises that both have.

    Returns
    -------
    xr.Dataset
        ``difference`` ``(label, class)`` in [-1, 1], NaN without a pair; ``pairs`` ``(label,)``.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> float(confusion_difference(synthetic_audit())["difference"].max())
    0.0
    """
    read = reads(tree)
    ours, theirs = (
        read["top"].values[0][:, arm_place(read, a, name=name)]
        for a, name in ((arm, "arm"), (control, "control"))
    )
    paired = (ours >= 0) & (theirs >= 0)
    one, pairs = shares(np.where(paired, ours, -1), read.sizes["class"])
    other, _ = shares(np.where(paired, theirs, -1), read.sizes["class"])
    return xr.Dataset(
        {"difference": (("label", "class"), one - other), "pairs": ("label", pairs)},
        coords=coords_of(read, "label", "class"),
        attrs={"arm": arm, "control": control},
    )


def crossed(tree: xr.DataTree, arm: str = "token") -> xr.Dataset:
    """Classes that lead along each label's search: first by mean probability on validation noise.

    Returns
    -------
    xr.Dataset
        ``seeds`` ``(label, class)``: in how many runs the class leads at one check or more;
        ``share`` ``(label, class)`` in [0, 1]: of all checks, those at which it leads; ``runs``
        ``(label,)``: runs with checks; ``top`` int ``(label, seed, check)``: a place in
        coordinate ``class``, -1 after a run's last check. The label itself is among the classes.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> crossed(synthetic_audit(seeds=3))["seeds"].sel(label="sky").values.tolist()
    [3, 3, 0, 0, 0, 0, 0]
    """
    validation = tree["validation"].to_dataset(inherit=False)
    probability = validation["probability"].isel(arm=arm_place(validation, arm))
    top = np.full(tuple(probability.sizes[d] for d in ("label", "seed", "check")), -1, "i4")
    for part, block in blocks(probability):
        top[part] = first(mean(block, -2))
    labels, _, checks = top.shape
    classes = probability.sizes["class"]
    seeds = np.zeros((labels, classes), int)
    for run in range(top.shape[1]):
        led = np.zeros((labels, classes + 1), bool)
        led[np.repeat(np.arange(labels), checks), top[:, run].ravel()] = True
        seeds += led[:, :-1]
    share, _ = shares(top, classes)
    dims = ("label", "class")
    return xr.Dataset(
        {
            "seeds": (dims, seeds),
            "share": (dims, share),
            "runs": ("label", (top >= 0).any(-1).sum(-1)),
            "top": (("label", "seed", "check"), top),
        },
        coords={
            "label_index": ("label", validation["label_index"].values),
            **{d: validation[d].values for d in (*dims, "seed", "check")},
        },
        attrs={"arm": arm},
    )


def never_reached(tree: xr.DataTree | xr.Dataset, arm: str = "token") -> list[str]:
    """Labels that have images of the arm and none, in any run, that is read as the label.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> never_reached(synthetic_audit(outcomes=("meaning", "failure")))
    ['green', 'blue']
    """
    read = reads(tree)
    hit = hits_of(read)[0][:, arm_place(read, arm)]
    never = np.isfinite(hit).any((1, 2)) & ~(hit > 0).any((1, 2))
    return [str(label) for label in read["label"].values[never]]


def _confirmed(
    tree: xr.DataTree | xr.Dataset, arm: str, kind: str, *, n_boot: int, seed: int
) -> xr.Dataset:
    read = reads(tree)
    hit = hits_of(read)[:, :, arm_place(read, arm)]
    asked = read["role"].values == kind
    audited, said = hit[0], hit[asked]
    value = mean(said, 0) if len(said) else np.full_like(audited, np.nan)
    part = np.where(audited > 0, value, np.where(np.isfinite(audited), 0.0, np.nan))
    index, low, high = intervals.ratio(part, audited, n_boot=n_boot, seed=seed)
    overall = intervals.pooled_ratio(part, audited, n_boot=n_boot, seed=seed)
    judged = np.where(audited > 0, said, np.nan)
    images = (audited > 0).sum((1, 2))
    per_seed = mean(np.where(audited > 0, part, np.nan), -1)
    return xr.Dataset(
        {
            **_held(per_seed, per_seed >= 0.5, ("label",)),
            "index": ("label", index),
            "low": ("label", low),
            "high": ("label", high),
            "adversarial": ("label", 1 - index),
            "images": ("label", images),
            "per_judge": (("label", "judge"), mean(judged, (-2, -1)).T),
            "overall_index": ((), float(overall[0])),
            "overall_low": ((), float(overall[1])),
            "overall_high": ((), float(overall[2])),
            "overall_images": ((), int(images.sum())),
        },
        coords={**coords_of(read, "label", "seed"), "judge": read["scorer"].values[asked]},
        attrs={"arm": arm, "judge_kind": kind, **how(n_boot, seed)},
    )


def _held(per_seed: np.ndarray, holds: np.ndarray, dims: tuple[str, ...]) -> dict[str, Any]:
    """Variables that say what each run gave, and in how many it holds."""
    return {
        "per_seed": ((*dims, "seed"), per_seed),
        "seeds": (dims, np.isfinite(per_seed).sum(-1)),
        "seeds_holding": (dims, holds.sum(-1)),
    }
