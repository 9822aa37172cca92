"""Where images and class tokens lie, in two dimensions: UMAP, its like in NumPy, or PCA.

Images are placed by the audited classifier's features, tokens by the direction of their embedding.
These are two spaces, projected apart; distances between an image and a token mean nothing.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Literal

import numpy as np
import xarray as xr

from inversion_kit.analysis.audit_reads import reads
from inversion_kit.analysis.audit_repeat import kept_tokens
from inversion_kit.analysis.neighbours import neighbour_map
from inversion_kit.errors import InputError

FEW = 15
"""Below this many points UMAP has no neighbourhoods to keep, and PCA is used."""
_AXES = 30
"""Principal axes in which ``"neighbours"`` looks for near ones."""
VERDICTS = (
    "confirmed",
    "not confirmed",
    "not judged",
    "not read as the label",
    "real",
    "token",
)
"""Verdict of a point. An image that the classifier reads as its label is confirmed where more than
half of the held-out classifiers do too, and not judged where there is none."""


def project(
    tree: xr.DataTree,
    *,
    real: xr.Dataset | None = None,
    method: Literal["umap", "neighbours", "pca"] = "umap",
    most: int = 10_000,
    seed: int = 0,
) -> xr.Dataset:
    """Place an audit's test images and tokens, and real images where given, in two dimensions.

    Parameters
    ----------
    tree
        An audit. No pixel is read.
    real
        Features of real images, ``feature`` ``(image, feature)`` of the audited classifier, with
        coordinate ``label`` along image. They are placed together with the generated ones.
    method
        ``"umap"`` (McInnes et al. 2018, arXiv 1802.03426) by umap-learn; ``"neighbours"``, the
        same graph and forces in NumPy, in a second and not in twenty
        (`inversion_kit.analysis.neighbours`); both with PCA below `FEW` points; or ``"pca"``.
    most
        Images to place at most; of more, a random choice. Tokens are all placed.
    seed
        Of the choice and of UMAP.

    Returns
    -------
    xr.Dataset
        Along ``point``: ``x``, ``y``; ``space``, "image" or "token"; ``label``, ``arm`` ("real"
        for real images), ``seed``, ``sample`` (-1 where there is none; for a real image its place
        in ``real``); ``read_as``, the audited classifier's first class, "" where there is none;
        ``verdict``, one of `VERDICTS`. Attributes ``image_method``, ``token_method`` (the
        method, "pca" or "none"), ``left_out``, images that were not placed, ``projection_seed``.

    Raises
    ------
    InputError
        Features differ in length, or umap-learn is missing.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> points = project(synthetic_audit(labels=2), method="pca")
    >>> points.sizes["point"], points.attrs["token_method"]
    (108, 'pca')
    """
    if method not in ("umap", "neighbours", "pca"):
        raise InputError(f"method={method!r}: must be 'umap', 'neighbours' or 'pca'")
    rng = np.random.default_rng(seed)
    feature, table = _images(tree)
    if real is not None:
        feature, table = _with_real(feature, table, real)
    left_out = max(len(feature) - most, 0)
    if left_out:
        kept = np.sort(rng.choice(len(feature), most, replace=False))
        feature, table = feature[kept], {name: column[kept] for name, column in table.items()}
    token, token_table = _tokens(tree)
    image_at, image_method = _place(feature, method, seed)
    token_at, token_method = _place(token, method, seed)
    spaces = ["image"] * len(feature) + ["token"] * len(token)
    at = np.concatenate([image_at, token_at])
    return xr.Dataset(
        {
            "x": ("point", at[:, 0]),
            "y": ("point", at[:, 1]),
            "space": ("point", np.array(spaces, dtype=object)),
            **{
                name: ("point", np.concatenate([table[name], token_table[name]]))
                for name in ("label", "arm", "seed", "sample", "read_as", "verdict")
            },
        },
        coords={"point": np.arange(len(at))},
        attrs={
            "image_method": image_method,
            "token_method": token_method,
            "left_out": left_out,
            "projection_seed": seed,
        },
    )


def _images(tree: xr.DataTree) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Features ``(point, feature)`` of the test images that exist, and their columns."""
    samples = tree["samples"].to_dataset(inherit=False)
    if "feature" not in samples:
        return np.zeros((0, 0), "f4"), _columns(0)
    feature = samples["feature"].transpose("label", "arm", "seed", "sample", "feature").values
    read = reads(tree)
    top = read["top"].values
    there = np.isfinite(feature).all(-1) & (top[0] >= 0)
    label, arm, seed, sample = np.nonzero(there)
    target = read["label_index"].values[:, None, None, None]
    judges = top[1:][read["role"].values[1:] == "classifier"]
    asked, agree = (judges >= 0).sum(0), (judges == target).sum(0)
    verdict = np.select(
        [top[0] != target, asked == 0, 2 * agree > asked],
        ["not read as the label", "not judged", "confirmed"],
        "not confirmed",
    ).astype(object)
    return feature[there], {
        "label": _text(read["label"].values[label]),
        "arm": _text(read["arm"].values[arm]),
        "seed": read["seed"].values[seed].astype("i8"),
        "sample": read["sample"].values[sample].astype("i8"),
        "read_as": _text(read["class"].values[top[0][there]]),
        "verdict": verdict[there],
    }


def _with_real(
    feature: np.ndarray, table: dict[str, np.ndarray], real: xr.Dataset
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    values = real["feature"].transpose("image", "feature").values
    if feature.size and values.shape[1] != feature.shape[1]:
        raise InputError(
            f"real: its features have length {values.shape[1]}, those of the audit "
            f"{feature.shape[1]}; take both from the audited classifier"
        )
    n = len(values)
    new = {
        **_columns(n),
        "label": _text(real["label"].values),
        "arm": np.full(n, "real", dtype=object),
        "sample": np.arange(n),
        "verdict": np.full(n, "real", dtype=object),
    }
    joined = np.concatenate([feature.reshape(-1, values.shape[1]), values])
    return joined, {name: np.concatenate([table[name], new[name]]) for name in table}


def _tokens(tree: xr.DataTree) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Kept tokens ``(point, number)`` of every arm that has any, and their columns."""
    samples = tree["samples"]
    arms = [str(a) for a in samples["arm"].values]
    tokens = np.stack([kept_tokens(tree, arm) for arm in arms], 1)
    # Directions, as nearest words have them: a few long vectors would press all others together.
    length = np.linalg.norm(tokens, axis=-1, keepdims=True)
    tokens = tokens / np.where(length > 0, length, 1)
    there = np.isfinite(tokens).all(-1)
    label, arm, seed = np.nonzero(there)
    n = len(label)
    return tokens[there], {
        **_columns(n),
        "label": _text(samples["label"].values[label]),
        "arm": _text(np.array(arms, dtype=object)[arm]),
        "seed": samples["seed"].values[seed].astype("i8"),
        "verdict": np.full(n, "token", dtype=object),
    }


def _columns(n: int) -> dict[str, np.ndarray]:
    text, number = np.full(n, "", dtype=object), np.full(n, -1, "i8")
    return {"label": text, "arm": text, "seed": number, "sample": number, "read_as": text,
            "verdict": text}  # fmt: skip


def _place(values: np.ndarray, method: str, seed: int) -> tuple[np.ndarray, str]:
    if not len(values):
        return np.zeros((0, 2)), "none"
    many = len(values) >= FEW and bool(np.ptp(values, axis=0).any())
    if method == "umap" and many:
        return _umap(values, seed), "umap"
    if method == "neighbours" and many:
        near = _pca(values, _AXES)
        return neighbour_map(near, near[:, :2], seed=seed), "neighbours"
    return _pca(values, 2), "pca"


def _pca(values: np.ndarray, axes: int) -> np.ndarray:
    centred = values.astype(float) - values.mean(0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    at = np.zeros((len(values), axes))
    found = (left * size)[:, :axes]
    at[:, : found.shape[1]] = found
    # The sign of an axis is arbitrary: the largest coordinate is positive.
    largest = at[np.abs(at).argmax(0), range(axes)]
    signed: np.ndarray = at * np.where(largest < 0, -1, 1)
    return signed


def _umap(values: np.ndarray, seed: int) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            # umap says on import that its TensorFlow part, which is not used, is not there.
            warnings.simplefilter("ignore", ImportWarning)
            umap = importlib.import_module("umap")
    except ImportError as error:
        raise InputError(
            "umap-learn is missing: pip install 'inversion-kit[notebook]', or pass method='pca'"
        ) from error
    # A fixed seed allows one thread only. A spectral start fails where copies split the graph.
    start = _pca(values, 2)
    start *= 10 / np.abs(start).max()
    fit = umap.UMAP(
        n_neighbors=min(15, len(values) - 1),
        init=start.astype("f4"),
        random_state=seed,
        n_jobs=1,
    )
    at: np.ndarray = fit.fit_transform(values)
    return at


def _text(values: np.ndarray) -> np.ndarray:
    return np.array([str(v) for v in values], dtype=object)
