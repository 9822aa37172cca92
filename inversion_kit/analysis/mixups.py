"""What images are read as that are not read as their label."""

from __future__ import annotations

import numpy as np
import xarray as xr

from inversion_kit.analysis import intervals
from inversion_kit.analysis.reading import (
    Result,
    arm_pair,
    arm_place,
    arms_of,
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
from inversion_kit.arm_roles import name_arm, start_arm


def confusion(tree: Result, arm: str | None = None) -> xr.Dataset:
    """Share of each label's images that the audited classifier reads as each class.

    Parameters
    ----------
    tree
        A result, or what `reads` gave of it.
    arm
        The main one, see `inversion_kit.arm_roles.main_arm`, where not given.

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
    top, classes = read["top"].values[0][:, at], read.sizes["class"]
    share, images = shares(top, classes)
    labels, runs, _ = top.shape
    of_run, there = shares(top.reshape(labels * runs, -1), classes)
    dims = ("label", "class")
    return xr.Dataset(
        {
            "share": (dims, share),
            "images": ("label", images),
            "seeds": (dims, (of_run > 0).reshape(labels, runs, classes).sum(1)),
            "runs": ("label", (there > 0).reshape(labels, runs).sum(1)),
        },
        coords=coords_of(read, *dims),
        attrs={"arm": arms_of(read)[at]},
    )


def confusion_difference(
    tree: Result, arm: str | None = None, control: str | None = None
) -> xr.Dataset:
    """`confusion` of one arm minus that of another, over the noises that both have.

    Parameters
    ----------
    tree
        A result, or what `reads` gave of it.
    arm
        The main one, see `inversion_kit.arm_roles.main_arm`, where not given.
    control
        The name alone where not given, or else the start.

    Returns
    -------
    xr.Dataset
        ``difference`` ``(label, class)`` in [-1, 1], NaN without a pair; ``pairs`` ``(label,)``.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> float(confusion_difference(synthetic(labels=2), "token", "name")["difference"].max())
    0.0
    """
    read = reads(tree)
    at, other, attributes = arm_pair(
        read, arm, control, lambda names, _: name_arm(names) or start_arm(names)
    )
    top = read["top"].values[0][:, [at, other]]
    top = np.where((top >= 0).all(1, keepdims=True), top, -1)
    ours, pairs = shares(top[:, 0], read.sizes["class"])
    theirs, _ = shares(top[:, 1], read.sizes["class"])
    return xr.Dataset(
        {"difference": (("label", "class"), ours - theirs), "pairs": ("label", pairs)},
        coords=coords_of(read, "label", "class"),
        attrs=attributes,
    )


def read_as(tree: Result, arm: str | None = None, *, most: int = 5) -> xr.Dataset:
    """The ``most`` classes that take most of each label's images, with intervals.

    Parameters
    ----------
    tree
        A result, or what `reads` gave of it.
    arm
        The main one, see `inversion_kit.arm_roles.main_arm`, where not given.
    most
        Classes of each label, at least 1.

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
    value = intervals.share(taken)
    names = read["class"].values.astype(str).astype(object)
    dims = ("label", "rank")
    return xr.Dataset(
        {
            "of_class": (dims, np.where(value[0] > 0, names[order], "")),
            "own": (dims, order == read["label_index"].values[:, None]),
            **interval("share", dims, value),
        },
        coords=coords_of(read, "label"),
        attrs={"arm": arms_of(read)[at], **bootstrap(intervals.N_BOOT, 0)},
    )


def crossed(tree: xr.DataTree, arm: str | None = None) -> xr.Dataset:
    """Classes that lead along each label's search: first by mean probability on validation noise.

    Parameters
    ----------
    tree
        A result of one label or of many.
    arm
        The main one, see `inversion_kit.arm_roles.main_arm`, where not given.

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
    classes = probability.sizes["class"]
    share, _ = shares(top, classes)
    led = sum(np.nan_to_num(shares(run, classes)[0]) > 0 for run in np.moveaxis(top, 1, 0))
    dims = ("label", "class")
    return xr.Dataset(
        {
            "seeds": (dims, np.asarray(led).astype(int)),
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


def never_reached(tree: Result, arm: str | None = None) -> list[str]:
    """Labels that have images of the arm and none, in any run, that is read as the label.

    Parameters
    ----------
    tree
        A result, or what `reads` gave of it.
    arm
        The main one, see `inversion_kit.arm_roles.main_arm`, where not given.

    Returns
    -------
    list of str
        Their names, in the result's order.

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
