"""What the pictures of a token have and those of its controls have not, in measured properties."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import t as student

from inversion_kit.analysis import intervals
from inversion_kit.analysis.chance import corrected, sign_test
from inversion_kit.analysis.measure import COLOURS, LEAST_SIDE, PROPERTIES, YES_OR_NO, measure
from inversion_kit.analysis.reading import (
    arm_place,
    arms_of,
    blocks,
    bootstrap,
    label_place,
    mean,
    reads,
    whole,
)
from inversion_kit.arm_roles import baseline_arm, name_arm
from inversion_kit.schema import LOOKS
from inversion_kit.wilson import wilson

CHANCE = 0.05
"""Largest corrected chance of a difference that stands out."""
EFFECT = 0.8
"""Its least size in standard deviations, Cohen's large."""
LEAST = {
    **dict.fromkeys(PROPERTIES, 0.05),
    **dict.fromkeys(YES_OR_NO, 0.3),
    "edges": 0.02,
    "tilt": 5.0,
}
"""Its least size in the property's own unit: less is not seen."""
PICTURES = 2**17
"""Pictures that are measured of a result, about; see `properties`."""
_FEW, _MANY = 32, 96
_MOST_EFFECT = 10.0
_BLOCK = 2**25


def properties(
    tree: xr.DataTree,
    label: str | None = None,
    *,
    arm: str | None = None,
    read: xr.Dataset | None = None,
    n_boot: int = intervals.N_BOOT,
    seed: int = 0,
) -> xr.Dataset:
    """Measured properties of an arm's pictures less those of its controls, on the same noise.

    A difference stands out where it does so from the plain name *and* from the control (without
    one the start), as far as the result holds them: what the control shares is the method's, not
    the classifier's. It is then more than chance (`CHANCE`), large (`EFFECT` and `LEAST`), and
    its interval, over runs where there are several, is on one side of 0.

    Pictures are the first ones of every run, of each label and arm from 32 to 96: the fewer, the
    more labels and arms there are, so that `PICTURES` are measured in all; a label at a time is
    read. The chance is that of a sign test over pairs, which takes the runs' pairs as independent;
    it is corrected for all properties (Holm 1979) and for all labels of the result (Bonferroni), so
    that a label alone and among others is said the same of.

    Parameters
    ----------
    tree
        A result of one label or of many.
    label
        Only this one; its chances are still corrected for all labels.
    arm
        The main one where not given.
    read
        What `reads` gave of the result.
    n_boot, seed
        How many resamples the intervals are made of, at least 1, and the seed of these.

    Returns
    -------
    xr.Dataset
        ``(label, comparison, property)``, where ``comparison`` is the arm compared with and
        properties are those of `measure`, in its units: ``difference``, ``low``, ``high``;
        ``ours`` and ``theirs``, the means over the pairs; ``effect``, the difference in standard
        deviations (the root of both arms' mean variance), at most 10 either way; ``chance``,
        corrected; ``pairs``.
        ``stands_out`` ``(label, property)``. ``patch``
        ``(label, colour, place)``: of the arm's pictures with a patch the median side, row and
        column, and ``spread`` the same for the middle half's width. NaN where there is nothing.
        Where findings saw real images, ``real`` ``(label, property)`` is the mean of those of the
        label, with ``real_low``, ``real_high`` (95 %: Wilson of what is 1 or 0, else Student's t;
        no pair with any picture) and ``real_images``; they decide nothing.
        Attributes: ``arm``, and ``side``, pixels of the pictures' shorter side.

    Raises
    ------
    InputError
        The label or arm is unknown.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> table = properties(synthetic(samples=32, seeds=1, size=16))
    >>> table["comparison"].values.tolist(), bool(table["difference"].sel(property="scale").any())
    (['name', 'start'], True)
    """
    tree = whole(tree)
    read = reads(tree) if read is None else read
    names, at = arms_of(read), arm_place(read, arm)
    wanted = (name_arm(names), baseline_arm(names, names[at]))
    others = [o for o in dict.fromkeys(wanted) if o is not None and o != names[at]]
    i = None if label is None else label_place(tree, label)
    labels = slice(None) if i is None else slice(i, i + 1)
    value, patch = _measured(tree, read, labels, [at, *map(names.index, others)])
    table = _differences(value, n_boot, seed)
    raw = sign_test(table["gaps"])
    table["chance"] = np.minimum(read.sizes["label"] * corrected(raw), 1.0)
    dims = ("label", "comparison", "property")
    out = _stands_out(table)
    del table["gaps"]
    return xr.Dataset(
        {
            **{name: (dims, values) for name, values in table.items()},
            "stands_out": (("label", "property"), out),
            **_patches(patch),
            **_real(tree, [str(n) for n in read["label"].values[labels]]),
        },
        coords={
            "label": read["label"].values[labels],
            "comparison": np.array(others, object),
            "property": list(PROPERTIES),
            "colour": list(COLOURS),
            "place": ["side", "row", "column"],
        },
        attrs={
            "arm": names[at],
            "side": min(tree["samples"].sizes["y"], tree["samples"].sizes["x"]),
            **bootstrap(n_boot, seed),
        },
    )


def _measured(
    tree: xr.DataTree, read: xr.Dataset, labels: slice, arms: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Values ``(label, arm, seed, sample, property)``, and patches of the first of the arms."""
    sizes = read.sizes
    most = PICTURES // (sizes["label"] * len(arms))
    each = -(-min(max(most, _FEW), _MANY) // sizes["seed"])
    part: dict[str, Any] = {"label": labels, "arm": arms, "sample": slice(0, each)}
    image = tree["samples"]["image"].isel(part)
    there = read["top"].isel({"scorer": 0, **part}).values >= 0
    noise = read["noise_seed"].isel(part).values
    there &= noise == noise[:, :1]  # of the same noise alone are they pairs
    value = np.full((*there.shape, len(PROPERTIES)), np.nan)
    patch = np.full((*there.shape, len(COLOURS), 3), np.nan)
    if min(image.sizes["y"], image.sizes["x"]) < LEAST_SIDE:  # nothing can be measured
        return value, patch[:, 0]
    for at, pixels in _read(image):
        have = there[at]
        if have.any():
            measured = measure(pixels[have])
            value[at][have], patch[at][have] = measured["value"].values, measured["patch"].values
    return value, patch[:, 0]


def _read(image: xr.DataArray) -> Iterator[tuple[Any, np.ndarray]]:
    """Places and pixels of a few labels at a time, of large pictures of a run alone."""
    outer, sizes = image.dims[:3], image.sizes
    if image.size <= _BLOCK * sizes["label"]:
        yield from blocks(image)
        return
    for at in np.ndindex(*(sizes[d] for d in outer)):
        yield at, image.isel(dict(zip(outer, at, strict=True))).values


def _differences(value: np.ndarray, n_boot: int, seed: int) -> dict[str, np.ndarray]:
    """Tables ``(label, comparison, property)``, and ``gaps``, with every pair behind that."""
    turned = np.moveaxis(value, -1, 2)  # (label, arm, property, seed, sample)
    ours, theirs = np.broadcast_arrays(turned[:, :1], turned[:, 1:])
    gaps = ours - theirs
    there = np.isfinite(gaps)
    ours, theirs = (np.where(there, v, np.nan) for v in (ours, theirs))
    means = [mean(v, (-2, -1)) for v in (ours, theirs)]
    spread = sum(
        mean((v - m[..., None, None]) ** 2, (-2, -1))
        for v, m in zip((ours, theirs), means, strict=True)
    )
    binary = np.isin(PROPERTIES, YES_OR_NO)
    ends = np.empty((3, *means[0].shape))
    for some, of in ((binary, intervals.difference), (~binary, intervals.mean_difference)):
        ends[..., some] = of(ours[:, :, some], theirs[:, :, some], n_boot=n_boot, seed=seed)
    deviation = np.maximum(np.sqrt(np.asarray(spread) / 2), 1e-6)
    return {
        **dict(zip(("difference", "low", "high"), ends, strict=True)),
        "ours": means[0],
        "theirs": means[1],
        "effect": np.clip(ends[0] / deviation, -_MOST_EFFECT, _MOST_EFFECT),
        "pairs": there.sum((-2, -1)),
        "gaps": gaps.reshape(*gaps.shape[:3], gaps.shape[3] * gaps.shape[4]),
    }


def _stands_out(table: dict[str, np.ndarray]) -> np.ndarray:
    """``(label, property)``: where the difference from every arm compared with stands out."""
    least = np.array([LEAST[name] for name in PROPERTIES])
    difference, low, high = (table[n] for n in ("difference", "low", "high"))
    out = (table["chance"] <= CHANCE) & (np.abs(table["effect"]) >= EFFECT)
    out &= np.abs(difference) >= least
    out &= (low > 0) | (high < 0)
    signs = np.sign(difference)
    same = (signs == signs[:, :1]).all(1)
    every: np.ndarray = out.all(1) & same & bool(out.shape[1])
    return every


def _real(tree: xr.DataTree, labels: list[str]) -> dict[str, Any]:
    """How real images of labels look, and the intervals; nothing where none were measured."""
    if "carriers" not in tree.children or not LOOKS.keys() <= tree["carriers"].data_vars.keys():
        return {}
    data = tree["carriers"].to_dataset(inherit=False)[[*LOOKS]].sel({"class": labels}).load()
    look, spread, n = (data.sel(property=list(PROPERTIES))[name].values for name in LOOKS)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = student.ppf(0.975, np.maximum(n - 1, 1)) * spread / np.sqrt(n)
    low, high = look - reach, look + reach
    hits = np.isin(PROPERTIES, YES_OR_NO)
    low[:, hits], high[:, hits] = wilson(np.rint(np.nan_to_num(look) * n)[:, hits], n[:, hits])
    values = {"real": look, "real_low": low, "real_high": high, "real_images": n}
    return {name: (("label", "property"), value) for name, value in values.items()}


def _patches(patch: np.ndarray) -> dict[str, Any]:
    """Where an arm's patches ``(label, seed, sample, colour, place)`` lie."""
    pictures = patch.shape[1] * patch.shape[2]
    flat = np.sort(patch.reshape(len(patch), pictures, *patch.shape[3:]), axis=1)  # NaN last
    n = np.isfinite(flat).sum(1, keepdims=True)

    def quantile(q: float) -> np.ndarray:
        if not pictures:
            return np.full((len(flat), *flat.shape[2:]), np.nan)
        at = np.maximum(np.round(q * (n - 1)).astype(int), 0)
        return np.take_along_axis(flat, at, 1)[:, 0]

    dims = ("label", "colour", "place")
    spread = quantile(0.75) - quantile(0.25)
    return {"patch": (dims, quantile(0.5)), "spread": (dims, spread)}
