"""Where images and class tokens lie, in two dimensions: UMAP, its like in NumPy, or PCA.

Images are placed by the audited classifier's features, tokens by the direction of their embedding.
These are two spaces, projected apart; distances between an image and a token mean nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import warnings
from typing import Any, Literal

import numpy as np
import xarray as xr

from inversion_kit import schema
from inversion_kit.analysis.neighbours import neighbour_map
from inversion_kit.analysis.reading import arms_of, hits_of, reads, whole
from inversion_kit.analysis.repeat import kept_tokens
from inversion_kit.analysis.words import REAL
from inversion_kit.errors import InputError, StoreError
from inversion_kit.paths import local_path
from inversion_kit.storage.audit_folder import PLAN
from inversion_kit.storage.lock import locked
from inversion_kit.storage.units import Unit, digest
from inversion_kit.storage.whole import write_whole

METHODS = ("umap", "neighbours", "pca")
"""How points are placed."""
FEW = 15
"""Below this many points UMAP has no neighbourhoods to keep, and PCA is used."""
KEPT = 5_000
"""Images that `keep_projection` places, the first of each unit; one of each where units are more.
"""
_AXES = 30
"""Principal axes in which ``"neighbours"`` looks for near ones."""
_TABLE = ("of_label", "of_arm", "of_seed", "of_sample", "read_as", "verdict")
Points = tuple[np.ndarray, dict[str, np.ndarray]]
"""Features or tokens ``(point, number)``, and the columns `_TABLE` of each."""


def project(
    tree: xr.DataTree,
    *,
    real: xr.Dataset | None = None,
    method: Literal["umap", "neighbours", "pca"] = "umap",
    most: int = 10_000,
    samples: int | None = None,
    seed: int = 0,
    read: xr.Dataset | None = None,
) -> xr.Dataset:
    """Place a result's test images and tokens, and real images where given, in two dimensions.

    Parameters
    ----------
    tree
        A result of one label or of many.
    real
        Features of real images, ``feature`` ``(image, feature)`` of the audited classifier, with
        coordinate ``label`` along image. They are placed together with the generated ones.
    method
        ``"umap"`` (McInnes et al. 2018, arXiv 1802.03426) by umap-learn; ``"neighbours"``, the
        same graph and forces in NumPy, in a second and not in twenty
        (`inversion_kit.analysis.neighbours`); both with PCA below `FEW` points; or ``"pca"``.
    most
        Images to place at most; of more, a random choice. Tokens are all placed.
    samples
        Only the first so many images of each unit; all by default.
    seed
        Of the choice and of UMAP.
    read
        What `reads` gave of it; made here where not given.

    Returns
    -------
    xr.Dataset
        As `inversion_kit.schema.WHOLE` has it, along ``point``: ``x``, ``y``; ``space``, "image"
        or "token"; ``of_label``, ``of_arm`` ("real" for real images), ``of_seed``, ``of_sample``
        (-1 where there is none; for a real image its place in ``real``); ``read_as``, the audited
        classifier's first class, "" where there is none; ``verdict``, one of
        `inversion_kit.analysis.words.POINT_VERDICTS`. Attributes ``image_method`` and
        ``token_method`` (the method, "pca" or "none") and ``left_out``, images that were made
        and are not placed.

    Raises
    ------
    InputError
        The method is unknown, features differ in length, or umap-learn is missing.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> points = project(synthetic(labels=2, seeds=2, samples=6), method="pca")
    >>> points.sizes["point"], points.attrs["token_method"]
    (76, 'pca')
    """
    if method not in METHODS:
        raise InputError(f"method={method!r}: must be 'umap', 'neighbours' or 'pca'")
    tree = whole(tree)
    read = reads(tree if read is None else read)
    feature, table = _images(tree, read, samples)
    made = int((read["top"].values[0] >= 0).sum())
    if real is not None:
        feature, table = _with_real(feature, table, real)
        made += real.sizes["image"]
    if len(feature) > most:
        kept = np.sort(np.random.default_rng(seed).choice(len(feature), most, replace=False))
        feature, table = feature[kept], {name: column[kept] for name, column in table.items()}
    token, token_table = _tokens(tree)
    image_at, image_method = _place(feature, method, seed)
    token_at, token_method = _place(token, method, seed)
    spaces = np.repeat(np.array(["image", "token"], object), [len(feature), len(token)])
    at = np.concatenate([image_at, token_at]).astype("f4")
    return xr.Dataset(
        {
            "space": ("point", spaces),
            "x": ("point", at[:, 0]),
            "y": ("point", at[:, 1]),
            **{n: ("point", np.concatenate([table[n], token_table[n]])) for n in _TABLE},
        },
        coords={"point": np.arange(len(at))},
        attrs={
            "image_method": image_method,
            "token_method": token_method,
            "left_out": made - len(feature),
        },
    )


def stored(tree: xr.DataTree) -> xr.Dataset | None:
    """The projection that a result holds, of its own units and of real images; None without one.

    Parameters
    ----------
    tree
        A result of one label or of many.

    Returns
    -------
    xr.Dataset or None
        As `project` gives it.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> tree = projected(synthetic(labels=2), method="pca")
    >>> sorted(set(stored(tree.sel(label="sky"))["of_label"].values))
    ['sky']
    """
    if "projection" not in tree.children:
        return None
    points = tree["projection"].to_dataset(inherit=False)
    samples, mine = whole(tree)["samples"], np.ones(points.sizes["point"], bool)
    for dim in schema.OUTER:
        mine &= np.isin(points[f"of_{dim}"].values.astype(str), samples[dim].values.astype(str))
    return points.isel(point=mine | (points["of_arm"].values == REAL)).load()


def keep_projection(
    tree: xr.DataTree, path: str | os.PathLike[str], *, read: xr.Dataset | None = None
) -> xr.DataTree:
    """The result with a /projection where it is an audit of which every unit was tried.

    It is made once and stored in the audit's folder, so that all views show the same map; where
    units are done since then, it is made anew. In a folder that cannot be written, or that a run
    holds, nothing is stored.

    Parameters
    ----------
    tree, path
        A result and where it was opened from.
    read
        What `reads` gave of it; read where not given.

    Returns
    -------
    xr.DataTree
        With the map, which was there or is new; else the tree itself.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit.storage.audit_store import AuditStore
    >>> from inversion_kit.storage.store import open as open_result
    >>> from inversion_kit.testing import synthetic_plan, synthetic_unit
    >>> plan = synthetic_plan([1], arms=["token"], seeds=[0])
    >>> store = AuditStore.create(tempfile.mkdtemp(), plan)
    >>> store.commit(Unit(1, "token", 0), *synthetic_unit(1))
    True
    >>> tree = keep_projection(open_result(store.path), store.path)
    >>> stored(open_result(store.path)).identical(stored(tree))
    True
    """
    root, state = local_path(path), tree["status"]["status"]
    tried = not (state.values == "missing").any()
    if "projection" in tree.children or not tried or not (root / PLAN).is_file():
        return tree
    samples = max(1, KEPT // state.size)
    points = project(tree, method="neighbours", samples=samples, read=read)
    points.attrs["units"] = digest(_done(tree))
    with contextlib.suppress(StoreError), locked(root):
        write_whole(root, "projection", points)
    return _with_projection(tree, points)


def _done(tree: xr.DataTree) -> list[Unit]:
    """The units that are there, with final images or without."""
    status = tree["status"].to_dataset(inherit=False)
    there = np.isin(status["status"].values.astype(str), ["done", "stopped"])
    index, arm, seed = (status[n].values for n in ("label_index", "arm", "seed"))
    return [
        Unit(int(index[i]), str(arm[a]), int(seed[s]))
        for i, a, s in zip(*np.nonzero(there), strict=True)
    ]


def projected(tree: xr.DataTree, **options: Any) -> xr.DataTree:
    """The result with a /projection (``options`` of `project`): all views show the same map.

    Parameters
    ----------
    tree
        A result of one label or of many.
    **options
        Of `project`.

    Returns
    -------
    xr.DataTree
        With `/projection`, in place of one that was there.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> projected(synthetic(), method="pca")["projection"].attrs["image_method"]
    'pca'
    """
    return schema.validate(_with_projection(tree, project(tree, **options)))


def _with_projection(tree: xr.DataTree, points: xr.Dataset) -> xr.DataTree:
    groups = {f"/{name}": node.to_dataset(inherit=False) for name, node in tree.children.items()}
    made = xr.DataTree.from_dict({**groups, "/projection": points})
    made.attrs = dict(tree.attrs)
    return made


def _images(tree: xr.DataTree, read: xr.Dataset, most: int | None) -> Points:
    """The test images that exist."""
    samples = tree["samples"].to_dataset(inherit=False)
    if "feature" not in samples:
        return np.zeros((0, 0), "f4"), _columns(0)
    feature = samples["feature"].isel(sample=slice(0, most)).values
    read = read.isel(sample=slice(0, most))
    top, hit = read["top"].values[0], hits_of(read)
    there = np.isfinite(feature).all(-1) & (top >= 0)
    label, arm, seed, sample = np.nonzero(there)
    judges = hit[read["role"].values == "classifier"]
    asked, agree = np.isfinite(judges).sum(0), (judges == 1).sum(0)
    verdict = np.select(
        [hit[0] != 1, asked == 0, 2 * agree > asked],
        ["not read as the label", "not judged", "confirmed"],
        "not confirmed",
    ).astype(object)
    return feature[there], {
        "of_label": _text(read["label"].values[label]),
        "of_arm": _text(read["arm"].values[arm]),
        "of_seed": read["seed"].values[seed].astype("i8"),
        "of_sample": read["sample"].values[sample].astype("i8"),
        "read_as": _text(read["class"].values[top[there]]),
        "verdict": verdict[there],
    }


def _with_real(feature: np.ndarray, table: dict[str, np.ndarray], real: xr.Dataset) -> Points:
    values = real["feature"].transpose("image", "feature").values
    if feature.size and values.shape[1] != feature.shape[1]:
        raise InputError(
            f"real: its features have length {values.shape[1]}, those of the result "
            f"{feature.shape[1]}; take both from the audited classifier"
        )
    n = len(values)
    new = {
        **_columns(n),
        "of_label": _text(real["label"].values),
        "of_arm": np.full(n, REAL, dtype=object),
        "of_sample": np.arange(n),
        "verdict": np.full(n, REAL, dtype=object),
    }
    joined = np.concatenate([feature.reshape(-1, values.shape[1]), values])
    return joined, {name: np.concatenate([table[name], new[name]]) for name in table}


def _tokens(tree: xr.DataTree) -> Points:
    """The kept tokens of every arm that has any."""
    samples, arms = tree["samples"], arms_of(tree)
    tokens = np.stack([kept_tokens(tree, arm) for arm in arms], 1)
    # Directions, as nearest words have them: a few long vectors would press all others together.
    length = np.linalg.norm(tokens, axis=-1, keepdims=True)
    tokens = tokens / np.where(length > 0, length, 1)
    there = np.isfinite(tokens).all(-1)
    label, arm, seed = np.nonzero(there)
    n = len(label)
    return tokens[there], {
        **_columns(n),
        "of_label": _text(samples["label"].values[label]),
        "of_arm": _text(np.array(arms, dtype=object)[arm]),
        "of_seed": samples["seed"].values[seed].astype("i8"),
        "verdict": np.full(n, "token", dtype=object),
    }


def _columns(n: int) -> dict[str, np.ndarray]:
    text, number = np.full(n, "", dtype=object), np.full(n, -1, "i8")
    return {name: number if name in ("of_seed", "of_sample") else text for name in _TABLE}


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
    left, size, _ = np.linalg.svd(values.astype(float) - values.mean(0), full_matrices=False)
    at = (left * size)[:, :axes]
    at = np.pad(at, ((0, 0), (0, axes - at.shape[1])))
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
    near, start = min(15, len(values) - 1), start.astype("f4")
    fit = umap.UMAP(n_neighbors=near, init=start, random_state=seed, n_jobs=1)
    at: np.ndarray = fit.fit_transform(values)
    return at


def _text(values: np.ndarray) -> np.ndarray:
    return np.array([str(v) for v in values], dtype=object)
