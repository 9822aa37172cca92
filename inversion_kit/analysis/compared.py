"""Numbers of two classifiers side by side: what each reads in the same pictures, and what moved.

A label moved where the two read its plain pictures differently by more than chance: the exact
test of paired shares (McNemar 1947) of every class that its pictures are read as, the smallest of
them corrected for how many classes there are (Bonferroni) and for all labels (Holm 1979).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy.stats import binom

from inversion_kit.analysis import intervals
from inversion_kit.analysis.chance import corrected
from inversion_kit.analysis.mixups import confusion, confusion_difference
from inversion_kit.analysis.rates import paired_effects, success
from inversion_kit.analysis.reading import hits_of, mean, reads, whole
from inversion_kit.arm_roles import main_arm, name_arm
from inversion_kit.errors import InputError
from inversion_kit.schema import settings_of

MODELS = ("a", "b")
"""The older and the newer model."""
CHANCE = 0.05
"""Largest corrected chance of a label that is said to have moved."""
_SAMPLER = ("num_inference_steps", "guidance_scale", "sampler", "wordings", "dtype")


def shared_reads(one: xr.DataTree, other: xr.DataTree) -> xr.Dataset:
    """What two classifiers read in the pictures that the same prompts and noise give.

    Parameters
    ----------
    one, other
        Results of the same labels, seeds, generator and noise, with an arm of the name alone.

    Returns
    -------
    xr.Dataset
        As `inversion_kit.analysis.reads` of one scorer has it, with the two models along ``arm``:
        "a" is ``one``, "b" is ``other``. What compares arms on shared noise compares them so. The
        pictures of all runs are one: nothing was searched for, so runs are other noise alone.

    Raises
    ------
    InputError
        Their pictures are not the same; the message says why.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> shared_reads(synthetic(), synthetic())["arm"].values.tolist()
    ['a', 'b']
    """
    trees = [whole(tree) for tree in (one, other)]
    both = [reads(tree) for tree in trees]
    arms = [name_arm([str(a) for a in read["arm"].values]) for read in both]
    if arms[0] is None or arms[0] != arms[1]:
        raise InputError(
            "arms: both results must have the arm of the name alone, whose pictures depend on "
            "no classifier; give arms=['name', ...]"
        )
    if why := _why_others(trees, both):
        raise InputError(f"model_a, model_b: their pictures are not the same: {why}")
    plain = [read.isel(scorer=[0]).sel(arm=[arms[0]]) for read in both]
    if not np.array_equal(plain[0]["noise_seed"].values, plain[1]["noise_seed"].values):
        raise InputError("model_a, model_b: their pictures are not the same: other noise")
    top = np.concatenate([read["top"].values for read in plain], 2)
    top = top.reshape(*top.shape[:3], 1, -1)
    dims = ("label", "arm", "seed", "sample")
    return xr.Dataset(
        {"top": (("scorer", *dims), top), "trained": (dims, top[0])},
        coords={
            **{n: plain[0][n] for n in ("label", "label_index", "class")},
            "arm": list(MODELS),
            "scorer": ["its own model"],
            "role": ("scorer", ["audited"]),
            "seed": [0],
            "sample": np.arange(top.shape[-1]),
        },
        attrs={"classifier": "its own model"},
    )


def _why_others(trees: Sequence[xr.DataTree], both: Sequence[xr.Dataset]) -> str:
    """In what two results differ that makes other pictures of the same prompts; "" in nothing."""
    for dim, words in (("class", "classes"), ("label", "labels"), ("seed", "seeds")):
        if not np.array_equal(both[0][dim].values, both[1][dim].values):
            return f"other {words}"
    if both[0].sizes["sample"] != both[1].sizes["sample"]:
        return "more samples of one"
    if trees[0].attrs["generator_hash"] != trees[1].attrs["generator_hash"]:
        return "another generator"
    settings = [settings_of(tree) for tree in trees]
    odd = [n for n in _SAMPLER if settings[0].get(n) != settings[1].get(n)]
    return f"another {odd[0]}" if odd else ""


def labels_compared(pair: xr.Dataset) -> xr.Dataset:
    """Success of both models on each label's plain pictures, and whether the label moved.

    Parameters
    ----------
    pair
        What `shared_reads` gave.

    Returns
    -------
    xr.Dataset
        ``success``, ``low``, ``high`` ``(label, model)`` in [0, 1]. Along ``label``:
        ``difference`` of b minus a in [-1, 1] with ``difference_low`` and ``difference_high``,
        paired; ``pictures``, how many; ``disagree``, the share that the two read as different
        classes; ``chance``, corrected; ``moved``. Attribute ``power``: the least share of a label's
        pictures, read otherwise by b alone, that is called moved 8 times of 10; NaN where there
        are too few.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> table = labels_compared(shared_reads(synthetic(), synthetic()))
    >>> bool(table["moved"].any()), float(table["difference"][0])
    (False, 0.0)
    """
    own, change = success(pair).isel(scorer=0), paired_effects(pair, "b", "a").isel(scorer=0)
    top = pair["top"].values[0]
    chance = corrected([_chance(*rows.reshape(2, -1)) for rows in top])
    apart = np.where((top >= 0).all(1), top[:, 0] != top[:, 1], np.nan)
    pictures = change["pairs"].values
    data = xr.Dataset(
        {
            **{
                name: (("label", "model"), own[value].sel(arm=list(MODELS)).values)
                for name, value in (("success", "share"), ("low", "low"), ("high", "high"))
            },
            "difference": ("label", change["difference"].values),
            "difference_low": ("label", change["low"].values),
            "difference_high": ("label", change["high"].values),
            "pictures": ("label", pictures),
            "disagree": ("label", mean(apart, (1, 2))),
            "chance": ("label", chance),
            "moved": ("label", chance < CHANCE),
        },
        coords={"label": pair["label"].values, "model": list(MODELS)},
    )
    data.attrs["power"] = power(int(pictures.min()), len(pictures))
    return data


def _chance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Chance that two models read pictures ``(n,)`` so differently; -1 is a gap.

    A class that both read in the same pictures alone cannot differ, and is not counted.
    """
    there = (ours >= 0) & (theirs >= 0) & (ours != theirs)
    ours, theirs = ours[there], theirs[there]
    classes = np.unique([ours, theirs])
    counts = np.array([[(read == c).sum() for c in classes] for read in (ours, theirs)])
    if not counts.size:
        return 1.0
    each = np.minimum(2 * binom.cdf(counts.min(0), counts.sum(0), 0.5), 1.0)
    return float(min(1.0, each.min() * len(classes)))


def power(pictures: int, labels: int) -> float:
    """Least share of a label's pictures that moves from one class to another and is seen.

    Seen is 8 times of 10, where no other picture of it is read differently and no other label
    moved. NaN where so few pictures cannot show it.

    Examples
    --------
    >>> round(power(96, 43), 2), power(6, 43)
    (0.15, nan)
    """
    two_classes = 2 * labels  # those that the pictures leave and go to, of every label
    least = next(n for n in itertools.count(1) if 2 * 0.5**n * two_classes < CHANCE)
    shares = np.linspace(0, 1, 201)
    seen = binom.sf(least - 1, pictures, shares) >= 0.8
    return float(shares[seen.argmax()]) if seen.any() else float("nan")


def confusion_compared(pair: xr.Dataset) -> xr.Dataset:
    """What both models read each label's plain pictures as, and the difference.

    Returns
    -------
    xr.Dataset
        ``share`` ``(model, label, class)`` in [0, 1]; ``difference`` ``(label, class)``, b minus a
        over the pictures that both read, in [-1, 1].

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> both = confusion_compared(shared_reads(synthetic(), synthetic()))
    >>> float(abs(both["difference"]).max())
    0.0
    """
    share = np.stack([confusion(pair, name)["share"].values for name in MODELS])
    change = confusion_difference(pair, "b", "a")["difference"].values
    return xr.Dataset(
        {"share": (("model", "label", "class"), share), "difference": (("label", "class"), change)},
        coords={
            "model": list(MODELS),
            "label": pair["label"].values,
            "class": pair["class"].values,
        },
    )


def crossed_compared(one: xr.DataTree, other: xr.DataTree, names: Sequence[str]) -> xr.Dataset:
    """Who reads whose tokens' images as the label.

    Parameters
    ----------
    names
        What the results call the two models, audited or judge.

    Returns
    -------
    xr.Dataset
        ``share``, ``low``, ``high`` ``(label, maker, reader)`` in [0, 1], of the main arm's images:
        the maker's token was trained against it. NaN where the reader was not asked.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> tables = [synthetic(judges=("other",)), synthetic()]
    >>> crossed_compared(*tables, ["synthetic", "other"])["share"].values[0].round(2).tolist()
    [[1.0, 1.0], [nan, 1.0]]
    """
    ends = np.full((3, len(MODELS), len(MODELS), one["samples"].sizes["label"]), np.nan)
    for maker, tree in enumerate((one, other)):
        read = reads(tree)
        arm = main_arm([str(a) for a in read["arm"].values])
        hits = hits_of(read.sel(arm=[arm]))[:, :, 0]
        ends[:, maker, maker] = intervals.share(hits[0])
        judges = [str(name) for name in read["scorer"].values[1:]]
        if names[1 - maker] in judges:
            theirs = hits[1 + judges.index(names[1 - maker])]
            ends[:, maker, 1 - maker] = intervals.share(theirs)
    dims = ("label", "maker", "reader")
    return xr.Dataset(
        {
            name: (dims, np.moveaxis(v, -1, 0))
            for name, v in zip(("share", "low", "high"), ends, strict=True)
        },
        coords={
            "label": one["samples"]["label"].values,
            "maker": list(MODELS),
            "reader": list(MODELS),
        },
    )


def disagreement(tree: xr.DataTree, other: str, judges: Sequence[str]) -> xr.Dataset:
    """How far the tokens of "this model says the label, the other does not" came.

    Parameters
    ----------
    tree
        A result of such tokens, with the other model among the judges.
    other
        What it calls the other model.
    judges
        Held-out classifiers that are neither.

    Returns
    -------
    xr.Dataset
        Along ``label``, with ``low`` and ``high`` after a stem: ``share`` of the images on test
        noise that this model reads as the label and the other does not; ``judged`` of those, how
        many the judges read as the label; NaN without judges or such images. ``images``.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> tree = synthetic(judges=("other", "judge"), outcomes=("trick",), samples=4)
    >>> made = disagreement(tree, "other", ["judge"])
    >>> float(made["share"][0]), float(made["judged"][0])
    (1.0, 0.0)
    """
    read = reads(tree)
    hits = hits_of(read.sel(arm=[main_arm([str(a) for a in read["arm"].values])]))[:, :, 0]
    names = [str(name) for name in read["scorer"].values[1:]]
    theirs = hits[1 + names.index(other)]
    apart = np.where(np.isfinite(theirs), (hits[0] > 0) & (theirs == 0), np.nan)
    asked = [hits[1 + names.index(name)] for name in judges]
    agree = mean(np.stack(asked), 0) if asked else np.full_like(apart, np.nan)
    share = intervals.share(apart)
    judged = intervals.ratio(agree * (apart > 0), apart)
    held = zip(("share", "low", "high"), share, strict=True)
    more = zip(("judged", "judged_low", "judged_high"), judged, strict=True)
    return xr.Dataset(
        {
            **{name: ("label", values) for name, values in (*held, *more)},
            "images": ("label", np.isfinite(apart).sum((1, 2))),
        },
        coords={"label": read["label"].values},
    )
