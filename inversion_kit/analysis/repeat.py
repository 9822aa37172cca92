"""How alike the runs of a label are: their tokens, and what their images show."""

from __future__ import annotations

import numpy as np
import xarray as xr

from inversion_kit.analysis import intervals
from inversion_kit.analysis.intervals import N_BOOT
from inversion_kit.analysis.reading import arm_place, blocks, bootstrap, interval, mean, whole

_BLOCK = 2**25


def repeatability(
    tree: xr.DataTree, arm: str | None = None, *, n_boot: int = N_BOOT, seed: int = 0
) -> xr.Dataset:
    """How alike the runs of a label are: their tokens, and what their images show.

    Parameters
    ----------
    tree
        A result. Embeddings and features of the arm are held in memory.
    arm
        The main arm where not given.
    n_boot, seed
        Resamples of the bootstrap, and its seed.

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
    tokens = _unit_length(kept_tokens(tree, arm))
    cosine, lowest, highest, control = _token_cosines(tokens)
    near = _nearest_is_own(samples.isel(arm=at))
    overlap = intervals.share(near, n_boot=n_boot, seed=seed)
    overall = intervals.pooled_ratio(near, np.ones_like(near), n_boot=n_boot, seed=seed)
    gain = (cosine - control)[np.isfinite(cosine - control)]
    drawn = np.random.default_rng(seed).integers(0, max(len(gain), 1), (n_boot, len(gain)))
    ends = np.quantile(gain[drawn].mean(1), intervals.ENDS) if len(gain) > 1 else [np.nan, np.nan]
    return xr.Dataset(
        {
            "cosine": ("label", cosine),
            "lowest": ("label", lowest),
            "highest": ("label", highest),
            "control": ("label", control),
            "runs": ("label", np.isfinite(tokens).all(-1).sum(-1)),
            **interval("overlap", "label", overlap),
            "images": ("label", np.isfinite(near).sum((1, 2))),
            "overall_cosine": ((), float(mean(cosine, 0))),
            "overall_control": ((), float(mean(control, 0))),
            "overall_gain": ((), float(mean(cosine - control, 0))),
            "overall_gain_low": ((), float(ends[0])),
            "overall_gain_high": ((), float(ends[1])),
            **interval("overall_overlap", (), overall, "overall_overlap_"),
        },
        coords={
            "label": samples["label"].values,
            "label_index": ("label", samples["label_index"].values),
        },
        attrs={"arm": str(samples["arm"].values[at]), **bootstrap(n_boot, seed)},
    )


def kept_tokens(tree: xr.DataTree, arm: str | None = None) -> np.ndarray:
    """float32 ``(label, seed, number)``: the tokens that were kept, NaN where there is none."""
    tree = whole(tree)
    token = tree["token"].to_dataset(inherit=False)
    at = arm_place(token, arm)
    kept = token["selected"].isel(arm=at).values
    embedding = token["embedding"].isel(arm=at)
    length = embedding.sizes["vector"] * embedding.sizes["embed"]
    tokens = np.full((*kept.shape, max(length, 1)), np.nan, "f4")
    for part, block in blocks(embedding) if length else ():
        label, seed = np.nonzero(kept[part] >= 0)
        chosen = block[label, seed, kept[part][label, seed]]
        tokens[part][label, seed] = chosen.reshape(len(label), length)
    return tokens


def _unit_length(vectors: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, norm, out=np.full_like(vectors, np.nan), where=norm > 0)


def _token_cosines(
    tokens: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, lowest and highest cosine within each label, and mean with other labels' other runs."""
    there = np.isfinite(tokens).all(-1)
    own = np.einsum("lsd,ltd->lst", tokens, tokens)
    one, two = np.triu_indices(tokens.shape[1], 1)
    pairs = own[:, one, two]
    some = np.isfinite(pairs).any(1)
    lowest, highest = (
        np.where(
            some, ends(np.where(np.isfinite(pairs), pairs, empty), axis=1, initial=empty), np.nan
        )
        for ends, empty in ((np.min, np.inf), (np.max, -np.inf))
    )
    # Sums make every pair of labels cheap: all other runs' tokens, less those of the own label.
    zeroed = np.where(there[..., None], tokens, 0.0).astype(float)
    others = zeroed.sum((0, 1)) - zeroed.sum(0) - (zeroed.sum(1, keepdims=True) - zeroed)
    total = np.einsum("lsd,lsd->l", zeroed, others)
    count = there.sum() - there.sum(0) - (there.sum(1, keepdims=True) - there)
    n = (count * there).sum(1)
    control = np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
    return mean(pairs, 1), lowest, highest, control


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
