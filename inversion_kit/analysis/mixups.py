"""What images are read as that are not read as their label, and what a search passes by."""

from __future__ import annotations

import numpy as np
import xarray as xr

from inversion_kit.analysis import intervals
from inversion_kit.analysis.intervals import N_BOOT
from inversion_kit.analysis.reading import (
    arm_place,
    blocks,
    bootstrap,
    coords_of,
    first,
    hits_of,
    interval,
    mean,
    reads,
    shares,
    whole,
)
from inversion_kit.arms import before_arm, name_arm
from inversion_kit.errors import InputError


def confusion(tree: xr.DataTree | xr.Dataset, arm: str | None = None) -> xr.Dataset:
    """Share of each label's images that the audited classifier reads as each class.

    Parameters
    ----------
    tree
        A result, or its `reads`.
    arm
        The main arm where not given.

    Returns
    -------
    xr.Dataset
        ``share`` ``(label, class)`` in [0, 1], NaN without an image; ``images`` ``(label,)``;
        ``seeds`` ``(label, class)``, in how many runs an image or more is read so, of ``runs``
        ``(label,)``.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> confusion(synthetic(labels=3))["share"].sum("class").values.tolist()
    [1.0, 1.0, 1.0]
    """
    read = reads(tree)
    at = arm_place(read, arm)
    top = read["top"].values[0][:, at]
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
        coords=coords_of(read, *dims),
        attrs={"arm": str(read["arm"].values[at])},
    )


def confusion_difference(
    tree: xr.DataTree | xr.Dataset, arm: str | None = None, control: str | None = None
) -> xr.Dataset:
    """`confusion` of one arm minus that of another, over the noises that both have.

    Parameters
    ----------
    tree, arm
        As `confusion` takes them.
    control
        The name alone where not given, or else the start.

    Returns
    -------
    xr.Dataset
        ``difference`` ``(label, class)`` in [-1, 1], NaN without a pair; ``pairs`` ``(label,)``.

    Raises
    ------
    InputError
        The result holds no such arm, or nothing to compare with.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> float(confusion_difference(synthetic(labels=2), "token", "name")["difference"].max())
    0.0
    """
    read = reads(tree)
    names = [str(a) for a in read["arm"].values]
    at = arm_place(read, arm)
    control = control or name_arm(names) or before_arm(names)
    if control is None:
        raise InputError(f"control: nothing to compare {names[at]!r} with; give one of {names}")
    top = read["top"].values[0]
    ours, theirs = top[:, at], top[:, arm_place(read, control, name="control")]
    paired = (ours >= 0) & (theirs >= 0)
    one, pairs = shares(np.where(paired, ours, -1), read.sizes["class"])
    other, _ = shares(np.where(paired, theirs, -1), read.sizes["class"])
    return xr.Dataset(
        {"difference": (("label", "class"), one - other), "pairs": ("label", pairs)},
        coords=coords_of(read, "label", "class"),
        attrs={"arm": names[at], "control": control},
    )


def read_as(
    tree: xr.DataTree | xr.Dataset,
    arm: str | None = None,
    *,
    most: int = 5,
    n_boot: int = N_BOOT,
    seed: int = 0,
) -> xr.Dataset:
    """The classes that take most of each label's images, with intervals.

    Parameters
    ----------
    tree, arm
        As `confusion` takes them.
    most
        Classes of each label.
    n_boot, seed
        Resamples of the bootstrap, and its seed.

    Returns
    -------
    xr.Dataset
        ``(label, rank)``, the largest share first: ``share``, ``low``, ``high`` in [0, 1];
        ``of_class``, its name, "" where no image is read so; ``own``, whether it is the label.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> read_as(synthetic(), most=2)["of_class"].values.tolist()
    [['sky', '']]
    """
    read = reads(tree)
    at = arm_place(read, arm)
    top = read["top"].values[0][:, at]
    share, _ = shares(top, read.sizes["class"])
    order = np.argsort(-np.nan_to_num(share), axis=1, kind="stable")[:, :most]
    taken = np.where(top[:, None] < 0, np.nan, top[:, None] == order[..., None, None])
    value = intervals.share(taken, n_boot=n_boot, seed=seed)
    names = read["class"].values.astype(str).astype(object)
    dims = ("label", "rank")
    return xr.Dataset(
        {
            "of_class": (dims, np.where(value[0] > 0, names[order], "")),
            "own": (dims, order == read["label_index"].values[:, None]),
            **interval("share", dims, value),
        },
        coords=coords_of(read, "label"),
        attrs={"arm": str(read["arm"].values[at]), **bootstrap(n_boot, seed)},
    )


def crossed(tree: xr.DataTree, arm: str | None = None) -> xr.Dataset:
    """Classes that lead along each label's search: first by mean probability on validation noise.

    Parameters
    ----------
    tree
        A result.
    arm
        The main arm where not given.

    Returns
    -------
    xr.Dataset
        ``seeds`` ``(label, class)``: in how many runs the class leads at one check or more;
        ``share`` ``(label, class)`` in [0, 1]: of all checks, those at which it leads; ``runs``
        ``(label,)``: runs with checks; ``top`` int ``(label, seed, check)``: a place in
        coordinate ``class``, -1 after a run's last check. The label itself is among the classes.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> int(crossed(synthetic(seeds=3))["seeds"].sel(label="sky", **{"class": "sky"}))
    3
    """
    tree = whole(tree)
    at = arm_place(tree, arm)
    validation = tree["validation"].to_dataset(inherit=False)
    probability = validation["probability"].isel(arm=at)
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
        attrs={"arm": str(validation["arm"].values[at])},
    )


def never_reached(tree: xr.DataTree | xr.Dataset, arm: str | None = None) -> list[str]:
    """Labels that have images of the arm and none, in any run, that is read as the label.

    Parameters
    ----------
    tree, arm
        As `confusion` takes them.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> never_reached(synthetic(labels=2, outcomes=("meaning", "failure")))
    ['green']
    """
    read = reads(tree)
    hit = hits_of(read)[0][:, arm_place(read, arm)]
    never = np.isfinite(hit).any((1, 2)) & ~(hit > 0).any((1, 2))
    return [str(label) for label in read["label"].values[never]]
