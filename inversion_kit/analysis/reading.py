"""What each image of a result is read as, and the small parts that every table needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from inversion_kit import schema
from inversion_kit.analysis.tied import tied
from inversion_kit.arm_roles import main_arm
from inversion_kit.arms import remember
from inversion_kit.errors import InputError, LabelError, nearest

Result: TypeAlias = xr.DataTree | xr.Dataset
"""A result, or what `reads` gave of it."""
_BLOCK = 2**25


def reads(tree: Result) -> xr.Dataset:
    """Each test image's first class, as every scorer reads it; a few labels are read at a time.

    Parameters
    ----------
    tree
        A result, or what `reads` gave of it.

    Returns
    -------
    xr.Dataset
        ``top`` int32 ``(scorer, label, arm, seed, sample)``, a place in coordinate ``class``, -1
        where there is no image or its softmax is not finite; ``trained`` int32
        ``(label, arm, seed, sample)``, the same for the classifier that gave the gradient;
        ``noise_seed`` along the same; ``status`` and ``reason`` ``(label, arm, seed)``; ``tied``
        ``(label)``, what a confirmed finding ties to it in words.
        Coordinate ``scorer`` holds the audited classifier's name, then the judges'; ``role``
        along it is "audited", "classifier" or "view". A Dataset that came from here is returned
        as it is.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> reads(synthetic(labels=3))["top"].dims
    ('scorer', 'label', 'arm', 'seed', 'sample')
    """
    if isinstance(tree, xr.Dataset) and "top" in tree:
        return tree
    tree = whole(tree)
    samples = tree["samples"].to_dataset(inherit=False)
    names, roles = [str(tree.attrs["classifier"])], ["audited"]
    top = firsts(samples["probability"])[None]
    if "judge_probability" in samples:
        names += [str(name) for name in samples["judge"].values]
        roles += [str(kind) for kind in samples["judge_kind"].values]
        judged = np.moveaxis(firsts(samples["judge_probability"]), 3, 0)
        top = np.concatenate([top, judged])
    trained = np.full_like(top[0], -1)
    if "trained_probability" in samples:
        trained = firsts(samples["trained_probability"])
    quick = np.full_like(top[0], -1)
    if "search_probability" in samples:
        quick = firsts(samples["search_probability"])
    status = tree["status"].to_dataset(inherit=False)
    dims = (*schema.OUTER, "sample")
    return xr.Dataset(
        {
            "top": (("scorer", *dims), top),
            "trained": (dims, trained),
            "quick": (dims, quick),
            "noise_seed": (dims, samples["noise_seed"].values),
            **{n: (schema.OUTER, status[n].values) for n in ("status", "reason")},
            "tied": ("label", tied(tree, [str(n) for n in samples["label"].values])),
        },
        coords={
            "scorer": names,
            "role": ("scorer", roles),
            "label_index": ("label", samples["label_index"].values),
            **{d: samples[d].values for d in (*dims, "class")},
        },
        attrs={"classifier": names[0]},
    )


def whole(tree: xr.DataTree) -> xr.DataTree:
    """A result with label, arm and seed as dimensions, also of ``tree.sel(label="stop")``.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> whole(synthetic().sel(label="sky"))["samples"].sizes["label"]
    1
    """
    if schema.is_result(tree) and set(schema.OUTER) <= set(tree["samples"].dims):
        _remember(tree)
        return tree
    return schema.validate(tree)


def model_names(tree: xr.DataTree) -> dict[str, Any]:
    """Names of the models that a result was made of; empty where they were objects.

    Returns
    -------
    dict
        ``model``, ``generator``, ``judges``, and ``wordings`` where they were given.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> model_names(synthetic())["model"]
    'synthetic:classifier'
    """
    return schema.settings_of(tree).get("sources") or {}


def label_place(tree: xr.DataTree, label: str | None = None) -> int:
    """Place of a label along its dimension; of one label alone it need not be given."""
    known = [str(n) for n in tree["samples"]["label"].values]
    if label is None and len(known) != 1:
        raise LabelError(f"label: there are {len(known)}; give one, such as label={known[0]!r}")
    if label is not None and label not in known:
        raise LabelError(f"label={label!r}: not in this result; try {nearest(label, known)}")
    return 0 if label is None else known.index(label)


def arm_place(data: Result, arm: str | None = None, *, name: str = "arm") -> int:
    """Place of an arm along its dimension, of the main one without; ``name`` is the argument's."""
    known = arms_of(data)
    arm = main_arm(known) if arm is None else arm
    if arm not in known:
        raise InputError(f"{name}={arm!r}: not in this result; try {nearest(arm, known)}")
    return known.index(arm)


def arms_of(data: Result) -> list[str]:
    """Names along ``arm``; what they are is known from here on."""
    if isinstance(data, xr.DataTree):
        _remember(data)
    return [str(a) for a in data.get("samples", data)["arm"].values]


def _remember(tree: xr.DataTree) -> None:
    """Know the arms that a result keeps in its settings."""
    remember(schema.settings_of(tree).get("arms"))


def arm_pair(
    read: xr.Dataset,
    arm: str | None,
    control: str | None,
    usual: Callable[[list[str], str], str | None],
) -> tuple[int, int, dict[str, str]]:
    """Places of an arm and of what it is compared with, and attributes that say which they are."""
    names, at = arms_of(read), arm_place(read, arm)
    control = usual(names, names[at]) if control is None else control
    if control is None:
        raise InputError(f"control: nothing to compare {names[at]!r} with; give one of {names}")
    other = arm_place(read, control, name="control")
    return at, other, {"arm": names[at], "control": control}


def taker(tree: xr.DataTree, group: str, **at: Any) -> Callable[[str], xr.Variable]:
    """A function that gives a group's variables at some places, still to be read.

    A Dataset would index all of them, with their coordinates, which takes ten times as long.
    """
    variables = tree[group].variables

    def take(name: str) -> xr.Variable:
        variable = variables[name]
        return variable.isel({d: place for d, place in at.items() if d in variable.dims})

    return take


def hits_of(read: xr.Dataset, name: str = "top") -> np.ndarray:
    """float32 ``(..., label, arm, seed, sample)``: 1 read as the label, 0 not, NaN a gap."""
    top, target = read[name].values, read["label_index"].values[:, None, None, None]
    hit: np.ndarray = np.where(top < 0, np.float32(np.nan), (top == target).astype("f4"))
    return hit


def blocks(data: xr.DataArray) -> Iterator[tuple[slice, np.ndarray]]:
    """Values of a few labels at a time, and which; ``label`` is the first dimension."""
    labels = data.sizes["label"]
    step = max(1, _BLOCK // max(1, data.size // max(1, labels)))
    for start in range(0, labels, step):
        part = slice(start, min(start + step, labels))
        yield part, data.isel(label=part).values


def first(probability: np.ndarray) -> np.ndarray:
    """Place of the largest in the last axis, -1 where it is not finite throughout."""
    finite = np.isfinite(probability.sum(-1))
    return np.where(finite, probability.argmax(-1), -1).astype("i4")


def firsts(data: xr.DataArray) -> np.ndarray:
    """`first` of softmaxes ``(label, ..., class)`` that are read a few labels at a time."""
    top = np.full(data.shape[:-1], -1, "i4")
    for part, block in blocks(data):
        top[part] = first(block)
    return top


def mean(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Mean of what is finite; NaN, without a warning, where nothing is."""
    there = np.isfinite(values)
    n = there.sum(axis)
    total = np.where(there, values, 0).sum(axis)
    return np.divide(total, n, out=np.full(np.shape(total), np.nan), where=n > 0)


def shares(top: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Share ``(row, class)`` of each class among what is not -1, and how many that is."""
    rows = len(top)
    flat = top.reshape(rows, -1)
    at = (np.arange(rows)[:, None] * classes + flat)[flat >= 0]
    counts = np.bincount(at, minlength=rows * classes).reshape(rows, classes)
    n = counts.sum(1)
    share = np.divide(counts, n[:, None], out=np.full(counts.shape, np.nan), where=n[:, None] > 0)
    return share, n


def coords_of(read: xr.Dataset, *dims: str) -> dict[str, xr.Variable]:
    """Coordinates of the dims, with ``label_index`` along label and ``role`` along scorer."""
    along = {"label": ["label_index"], "scorer": ["role"]}
    return {name: read[name].variable for d in dims for name in (d, *along.get(d, []))}


def interval(
    name: str, dims: str | tuple[str, ...], values: Sequence[np.ndarray], stem: str = ""
) -> dict[str, Any]:
    """Variables of a value and its ends, which are called ``low`` and ``high`` after a stem."""
    return {n: (dims, v) for n, v in zip((name, f"{stem}low", f"{stem}high"), values, strict=True)}


def holding(per_seed: np.ndarray, holds: np.ndarray, *dims: str) -> dict[str, Any]:
    """Variables that say what each run gave, how many gave anything, and in how many it holds."""
    return {
        "per_seed": ((*dims, "seed"), per_seed),
        "seeds": (dims, np.isfinite(per_seed).sum(-1)),
        "seeds_holding": (dims, holds.sum(-1)),
    }


def bootstrap(n_boot: int, seed: int) -> dict[str, float]:
    """Attributes that say how an interval was made."""
    return {"interval": 0.95, "n_boot": n_boot, "bootstrap_seed": seed}
