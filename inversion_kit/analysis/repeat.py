"""How alike the runs of a label are: their tokens, and what their images show."""

from __future__ import annotations

import numpy as np
import xarray as xr

from inversion_kit.analysis import intervals
from inversion_kit.analysis.reading import (
    arm_place,
    arms_of,
    blocks,
    bootstrap,
    coords_of,
    interval,
    mean,
    whole,
)

_BLOCK = 2**25


def repeatability(
    tree: xr.DataTree, arm: str | None = None, *, n_boot: int = intervals.N_BOOT, seed: int = 0
) -> xr.Dataset:
    """How alike the runs of a label are: their tokens, and what their images show.

    Embeddings and features of the arm are held in memory.

    Parameters
    ----------
    tree
        A result of one label or of many.
    arm
        The main one, see `inversion_kit.arm_roles.main_arm`, where not given.
    n_boot, seed
        How many resamples the intervals are made of, at least 1, and the seed of these.

    Returns
    -------
    xr.Dataset
        ``(label,)``: ``cosine``, mean over pairs of runs of the cosine of the kept tokens, with
        ``lowest`` and ``highest`` pair (pairs share runs, so no interval is given); ``control``,
        the same between this label's tokens and other labels' of other runs; ``runs``, those
        with a token. ``overlap``, ``low``, ``high`` in [0, 1] and ``images``: of the images,
        those whose nearest among the mean features of every label in every other run is of the
        same label; by chance one in about the number of labels. Scalars
        ``overall_cosine``, ``overall_control``, ``overall_gain`` with ``overall_gain_low`` and
        ``overall_gain_high`` (cosine minus control, mean over labels, bootstrap over labels) and
        ``overall_overlap``, ``overall_overlap_low``, ``overall_overlap_high``. NaN with fewer than
        two runs, and for the overlap without stored features.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> same = repeatability(synthetic(labels=3, seeds=3))
    >>> bool(same["overall_cosine"] > same["overall_control"]), float(same["overall_overlap"])
    (True, 1.0)
    """
    tree = whole(tree)
    at = arm_place(tree, arm)
    samples = tree["samples"].to_dataset(inherit=False)
    cosines = _token_cosines(kept_tokens(tree, arm))
    near = _nearest_is_own(samples.isel(arm=at))
    overlap, overall = (
        intervals.share(near, pooled=pooled, n_boot=n_boot, seed=seed) for pooled in (False, True)
    )
    gains = cosines["cosine"] - cosines["control"]
    gain = gains[np.isfinite(gains)]
    drawn = np.random.default_rng(seed).integers(0, max(len(gain), 1), (n_boot, len(gain)))
    ends = np.quantile(gain[drawn].mean(1), intervals.ENDS) if len(gain) > 1 else [np.nan, np.nan]
    return xr.Dataset(
        {
            **{name: ("label", values) for name, values in cosines.items()},
            **interval("overlap", "label", overlap),
            "images": ("label", np.isfinite(near).sum((1, 2))),
            "overall_cosine": ((), mean(cosines["cosine"], 0)),
            "overall_control": ((), mean(cosines["control"], 0)),
            **interval("overall_gain", (), [mean(gains, 0), *ends], "overall_gain_"),
            **interval("overall_overlap", (), overall, "overall_overlap_"),
        },
        coords=coords_of(samples, "label"),
        attrs={"arm": arms_of(tree)[at], **bootstrap(n_boot, seed)},
    )


def kept_tokens(tree: xr.DataTree, arm: str | None = None) -> np.ndarray:
    """float32 ``(label, seed, number)``: the tokens that were kept, NaN where there is none."""
    tree = whole(tree)
    token = tree["token"].to_dataset(inherit=False).isel(arm=arm_place(tree, arm))
    kept, embedding = token["selected"].values, token["embedding"]
    length = embedding.sizes["vector"] * embedding.sizes["embed"]
    tokens = np.full((*kept.shape, max(length, 1)), np.nan, "f4")
    for part, block in blocks(embedding) if length else ():
        label, seed = np.nonzero(kept[part] >= 0)
        chosen = block[label, seed, kept[part][label, seed]]
        tokens[part][label, seed] = chosen.reshape(len(label), length)
    return tokens


def _token_cosines(tokens: np.ndarray) -> dict[str, np.ndarray]:
    """Mean, lowest and highest cosine within each label, and mean with other labels' other runs."""
    norm = np.linalg.norm(tokens, axis=-1, keepdims=True)
    tokens = np.divide(tokens, norm, out=np.full_like(tokens, np.nan), where=norm > 0)
    there = np.isfinite(tokens).all(-1)
    own = np.einsum("lsd,ltd->lst", tokens, tokens)
    one, two = np.triu_indices(tokens.shape[1], 1)
    pairs = own[:, one, two]
    # Sums make every pair of labels cheap: all other runs' tokens, less those of the own label.
    zeroed = np.where(there[..., None], tokens, 0.0).astype(float)
    others = zeroed.sum((0, 1)) - zeroed.sum(0) - (zeroed.sum(1, keepdims=True) - zeroed)
    total = np.einsum("lsd,lsd->l", zeroed, others)
    count = there.sum() - there.sum(0) - (there.sum(1, keepdims=True) - there)
    n = (count * there).sum(1)
    return {
        "cosine": mean(pairs, 1),
        "lowest": np.fmin.reduce(pairs, axis=1, initial=np.nan),
        "highest": np.fmax.reduce(pairs, axis=1, initial=np.nan),
        "control": np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0),
        "runs": there.sum(-1),
    }


def _nearest_is_own(samples: xr.Dataset) -> np.ndarray:
    """Float ``(label, seed, sample)``: 1 where the nearest unit of another run is of the label."""
    units = tuple(samples.sizes[d] for d in ("label", "seed", "sample"))
    near = np.full(units, np.nan)
    if not samples.sizes.get("feature"):
        return near
    feature = samples["feature"].values
    means = mean(feature, 2)
    there = np.isfinite(means).all(-1)
    for run in range(units[1]):
        known = there.copy()
        known[:, run] = False
        # A label that no other run has cannot come again: its images say nothing.
        rows = np.isfinite(feature[:, run]).all(-1) & known.any(1)[:, None]
        if not rows.any():
            continue
        centres, owner = means[known], np.nonzero(known)[0]
        label, sample = np.nonzero(rows)
        half = (centres**2).sum(1) / 2
        for part in np.array_split(
            np.arange(len(label)), max(1, len(label) * len(centres) // _BLOCK + 1)
        ):
            close = feature[label[part], run, sample[part]] @ centres.T - half
            near[label[part], run, sample[part]] = owner[close.argmax(1)] == label[part]
    return near
