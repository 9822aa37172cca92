"""Meaning or trick: what others confirm of the images that the audited classifier reads so."""

from __future__ import annotations

import numpy as np
import xarray as xr

from inversion_kit.analysis import intervals
from inversion_kit.analysis.intervals import N_BOOT
from inversion_kit.analysis.rates import held
from inversion_kit.analysis.reading import (
    arm_place,
    bootstrap,
    coords_of,
    hits_of,
    interval,
    mean,
    reads,
)


def semantic_index(
    tree: xr.DataTree | xr.Dataset, arm: str | None = None, *, n_boot: int = N_BOOT, seed: int = 0
) -> xr.Dataset:
    """Of the images that the audited classifier reads as the label, what held-out classifiers do.

    Parameters
    ----------
    tree
        A result, or its `reads`.
    arm
        The main arm where not given.
    n_boot, seed
        Resamples of the bootstrap, and its seed.

    Returns
    -------
    xr.Dataset
        ``(label,)``: ``index``, the mean over judges of the share that each confirms, ``low``,
        ``high``, all in [0, 1]; ``adversarial``, 1 - ``index``; ``images``, how many the
        audited classifier reads as the label. ``per_judge``, ``per_judge_low`` and
        ``per_judge_high`` ``(label, judge)``. ``per_seed`` ``(label, seed)``, each run's own
        index, ``seeds``, runs that have one, and ``seeds_holding``, those where it is half or more.
        Scalars ``overall_index``, ``overall_low``, ``overall_high`` and ``overall_images``, over
        the images of all labels. NaN where no image is read so, or there is no held-out classifier.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> semantic_index(synthetic(labels=2, outcomes=("meaning", "trick")))["index"].values.tolist()
    [1.0, 0.0]
    """
    return _confirmed(tree, arm, "classifier", n_boot=n_boot, seed=seed)


def view_index(
    tree: xr.DataTree | xr.Dataset, arm: str | None = None, *, n_boot: int = N_BOOT, seed: int = 0
) -> xr.Dataset:
    """`semantic_index` over views: what the audited classifier still reads so after JPEG and such.

    Parameters
    ----------
    tree, arm, n_boot, seed
        As `semantic_index` takes them.

    Returns
    -------
    xr.Dataset
        As `semantic_index` gives it.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> tree = synthetic(labels=2, outcomes=("meaning", "trick"), views=("jpeg",))
    >>> view_index(tree)["index"].values.tolist()
    [1.0, 1.0]
    """
    return _confirmed(tree, arm, "view", n_boot=n_boot, seed=seed)


def _confirmed(
    tree: xr.DataTree | xr.Dataset, arm: str | None, kind: str, *, n_boot: int, seed: int
) -> xr.Dataset:
    read = reads(tree)
    at = arm_place(read, arm)
    hit = hits_of(read)[:, :, at]
    asked = read["role"].values == kind
    audited, said = hit[0], hit[asked]
    value = mean(said, 0) if len(said) else np.full_like(audited, np.nan)
    part = np.where(audited > 0, value, np.where(np.isfinite(audited), 0.0, np.nan))
    index = intervals.ratio(part, audited, n_boot=n_boot, seed=seed)
    overall = intervals.pooled_ratio(part, audited, n_boot=n_boot, seed=seed)
    each = intervals.ratio(
        said * (audited > 0), np.broadcast_to(audited, said.shape), n_boot=n_boot, seed=seed
    )
    images = (audited > 0).sum((1, 2))
    per_seed = mean(np.where(audited > 0, part, np.nan), -1)
    return xr.Dataset(
        {
            **held(per_seed, per_seed >= 0.5, ("label",)),
            **interval("index", "label", index),
            "adversarial": ("label", 1 - index[0]),
            "images": ("label", images),
            **interval("per_judge", ("label", "judge"), [v.T for v in each], "per_judge_"),
            **interval("overall_index", (), overall, "overall_"),
            "overall_images": ((), int(images.sum())),
        },
        coords={**coords_of(read, "label", "seed"), "judge": read["scorer"].values[asked]},
        attrs={"arm": str(read["arm"].values[at]), "judge_kind": kind, **bootstrap(n_boot, seed)},
    )
