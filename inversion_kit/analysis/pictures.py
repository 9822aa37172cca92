"""Which pictures of a label stand for the others, and what each is read as.

Pictures are taken in stored order, never by their score. Their pixels are read when ``image`` is
touched, and not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from inversion_kit.analysis.reading import arm_place, first, label_place, taker, whole
from inversion_kit.analysis.search_path import searched_place
from inversion_kit.errors import InputError


def strip(
    tree: xr.DataTree,
    *,
    label: str | None = None,
    arm: str | None = None,
    seed: int | None = None,
    samples: int | Sequence[int] = 2,
    columns: int | None = 8,
    group: Literal["validation", "trajectory"] = "validation",
) -> xr.Dataset:
    """The same noises (rows) along the search of one run (columns).

    Parameters
    ----------
    tree
        A result.
    label
        Which, where there are several.
    arm
        The main arm with a search where not given.
    seed
        Which run; the first that is there where not given.
    samples
        How many noises, the first ones, or which places.
    columns
        At most, evenly spread, the first, the kept and the last among them; None for all.
    group
        ``"validation"``: held-out noise, a column a check. ``"trajectory"``: training images, whose
        noise is new in every column, a column an update.

    Returns
    -------
    xr.Dataset
        ``(sample, column)``: ``image`` uint8 ``(.., y, x, channel)``; ``probability`` float32
        ``(.., class)``; ``target``, that of the label; ``read_as``, the first class; ``hit``,
        whether that is the label; ``noise_seed``; ``prompt``, "" on validation noise. Along
        ``column``: ``updates`` so far; ``start``; ``restart``, whether that is another than in the
        column before; ``kept``; ``mean``, of ``target`` over all noises. Coordinate ``column`` is
        the place along check or step. Attributes ``label``, ``label_index``, ``arm``,
        ``classifier``, ``seed``, ``of_columns`` and ``of_samples``, how many there are. No column
        where the run is not there.

    Raises
    ------
    LabelError, InputError
        The result holds no such label, arm or run.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> shown = strip(synthetic(), columns=3)
    >>> shown["image"].dims, shown["updates"].values.tolist()
    (('sample', 'column', 'y', 'x', 'channel'), [0, 4, 12])
    """
    tree = whole(tree)
    at, place = label_place(tree, label), searched_place(tree, arm)
    take = taker(tree, group, label=at, arm=place)
    probability, seeds = take("probability").values, take("seed").values
    there = np.isfinite(probability).all((-2, -1))
    run = _run(seeds, there.any(1), seed)
    checks = np.flatnonzero(there[run])
    selected = int(taker(tree, "token", label=at, arm=place, seed=run)("selected"))
    kept = selected if group == "validation" and selected in checks else None
    shown = checks if columns is None else spread(checks, columns, kept)
    rows = _places(samples, probability.shape[2])
    along = "check" if group == "validation" else "step"
    take = taker(tree, group, label=at, arm=place, seed=run, sample=rows, **{along: shown})
    turned = (len(shown), len(rows))
    noise = np.broadcast_to(take("noise_seed").values, turned).T
    prompt = np.broadcast_to(take("prompt").values if along == "step" else "", turned).T
    starts = take("start").values.astype(str).astype(object)
    about = _about(tree, at)
    scores = probability[run, shown]
    cells = ("sample", "column")
    return xr.Dataset(
        {
            "image": _pixels(take("image"), {along: "column"}, cells),
            **_read(np.swapaxes(scores[:, rows], 0, 1), tree, about, cells),
            "noise_seed": (cells, noise),
            "prompt": (cells, prompt.astype(object)),
            "updates": ("column", take("step").values + (along == "step")),
            "start": ("column", starts),
            "restart": ("column", np.append(False, starts[1:] != starts[:-1])[: len(shown)]),
            "kept": ("column", shown == (-1 if kept is None else kept)),
            "mean": ("column", scores[..., about["label_index"]].mean(-1)),
        },
        coords={"sample": rows, "column": shown, "class": take("class")},
        attrs={
            **about,
            "arm": str(tree[group]["arm"].values[place]),
            "seed": int(seeds[run]),
            "of_columns": len(checks),
            "of_samples": probability.shape[2],
        },
    )


def grid(
    tree: xr.DataTree,
    *,
    label: str | None = None,
    arms: Sequence[str] | None = None,
    seed: int | None = None,
    columns: int = 6,
    every_run: bool = False,
) -> xr.Dataset:
    """Final pictures of one label: each arm (row) on the same test noises (columns).

    Parameters
    ----------
    tree
        A result.
    label
        Which, where there are several.
    arms
        All where not given.
    seed
        Which run's noises; of the first run that has a picture where not given.
    columns
        Noises at most.
    every_run
        Take the first noises of every run in turn.

    Returns
    -------
    xr.Dataset
        ``(arm, noise)``: ``image`` uint8 ``(.., y, x, channel)``; ``probability`` float32
        ``(.., class)``; ``target``, that of the label; ``read_as``, the first class, ``hit``,
        whether that is the label; ``prompt``; ``noise_seed``; ``gap``, "" where there is a picture,
        else its unit's status ("done": without finite probabilities), and ``reason``;
        ``judges_asked`` and ``judges_agree``, how many held-out classifiers read it as the label;
        ``views_asked`` and ``views_agree``, how many views as the classifier does.
        ``judge_read_as`` ``(judge, arm, noise)``. Coordinates ``run_seed`` and ``sample`` along
        noise. Attributes ``label``, ``label_index``, ``classifier`` and ``of_noises``.

    Raises
    ------
    LabelError, InputError
        The result holds no such label, arm or run.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> shown = grid(synthetic(), arms=["start", "token"], columns=3)
    >>> shown["read_as"].values.tolist()
    [['orange', 'orange', 'orange'], ['sky', 'sky', 'sky']]
    """
    tree = whole(tree)
    at = label_place(tree, label)
    known = [str(a) for a in tree["samples"]["arm"].values]
    places = [arm_place(tree, a, name="arms") for a in (known if arms is None else arms)]
    take = taker(tree, "samples", label=at, arm=places)
    seeds, each = take("seed").values, tree["samples"].sizes["sample"]
    if every_run:
        pairs = [(r, k) for k in range(each) for r in range(len(seeds))]
    else:
        done = np.isfinite(take("probability").isel({"class": 0}).values).any((0, 2))
        run = _run(seeds, done, seed)
        pairs = [(run, k) for k in range(each)]
    runs, samples = np.array(sorted(pairs[:columns])).T
    cells = ("arm", "noise")
    take = taker(tree, "samples", label=at, arm=places, sample=slice(0, int(samples.max()) + 1))
    picked = {n: take(n).values[:, runs, samples] for n in ("probability", "prompt", "noise_seed")}
    pixels = take("image").isel(
        seed=xr.Variable("noise", runs), sample=xr.Variable("noise", samples)
    )
    about = _about(tree, at)
    read = _read(picked.pop("probability"), tree, about, cells)
    judged = None
    if "judge_probability" in tree["samples"].variables:
        judged = np.moveaxis(take("judge_probability").values, 2, 0)[:, :, runs, samples]
    units = taker(tree, "status", label=at, arm=places, seed=runs)
    there = np.isfinite(read["target"][1])
    along = tree["samples"].variables
    return xr.Dataset(
        {
            "image": _pixels(pixels, {}, cells),
            **read,
            **{n: (cells, values) for n, values in picked.items()},
            "gap": (cells, np.where(there, "", units("status").values)),
            "reason": (cells, np.where(there, "", units("reason").values)),
            **_judged(judged, tree, read["read_as"][1], about, cells),
        },
        coords={
            "arm": take("arm"),
            "class": take("class"),
            "run_seed": ("noise", seeds[runs]),
            "sample": ("noise", samples),
            **{n: along[n] for n in ("judge", "judge_kind") if n in along},
        },
        attrs={**about, "of_noises": len(pairs)},
    )


def nearest_words(
    tree: xr.DataTree, *, label: str | None = None, arm: str | None = None
) -> xr.Dataset:
    """Words of the vocabulary that are near to each run's kept token, or that were probed.

    Parameters
    ----------
    tree
        A result.
    label
        Which, where there are several.
    arm
        The main arm with a search where not given.

    Returns
    -------
    xr.Dataset
        ``nearest_word`` and ``nearest_cosine`` ``(seed, rank)``; ``probe_word`` and
        ``probe_log_probability`` ``(seed, probe)``, best first; ``asked`` ``(seed,)``, how many
        words were probed. "" and NaN where there is none.

    Raises
    ------
    LabelError, InputError
        The result holds no such label or arm.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> nearest_words(synthetic())["asked"].values.tolist()
    [5, 0]
    """
    tree = whole(tree)
    at, place = label_place(tree, label), searched_place(tree, arm)
    token, probe = (taker(tree, n, label=at, arm=place) for n in ("token", "probe"))
    value = probe("log_probability").values
    order = np.argsort(-value, axis=-1, kind="stable")
    probed = ("seed", "probe")
    return xr.Dataset(
        {
            "nearest_word": (("seed", "rank"), token("nearest_word").values),
            "nearest_cosine": (("seed", "rank"), token("nearest_cosine").values),
            "probe_word": (probed, np.take_along_axis(probe("word").values, order, -1)),
            "probe_log_probability": (probed, np.take_along_axis(value, order, -1)),
            "asked": ("seed", np.isfinite(value).sum(-1)),
        },
        coords={"seed": token("seed")},
        attrs={**_about(tree, at), "arm": str(tree["token"]["arm"].values[place])},
    )


def spread(places: Sequence[int] | np.ndarray, most: int, kept: int | None = None) -> np.ndarray:
    """At most ``most`` of some places, evenly spread, ends included, and ``kept`` always.

    Examples
    --------
    >>> spread(range(10), 3).tolist(), spread(range(10), 3, kept=3).tolist()
    ([0, 4, 9], [0, 3, 9])
    """
    places = np.asarray(places, int)
    picked = {
        int(places[i])
        for i in np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int)
    }
    if kept is not None and kept not in picked:
        inner = picked - {int(places[0]), int(places[-1])} or picked - {int(places[0])} or picked
        picked.discard(min(inner, key=lambda place: abs(place - kept)))
        picked.add(kept)
    return np.array(sorted(picked), int)


def largest(probability: np.ndarray, n: int = 3) -> list[int]:
    """Places of the ``n`` largest of a softmax ``(class,)``, the first of equals first.

    Examples
    --------
    >>> largest(np.array([0.1, 0.6, 0.3]), 2)
    [1, 2]
    """
    return [int(c) for c in np.argsort(-probability, kind="stable")[:n]]


def _run(seeds: np.ndarray, there: np.ndarray, seed: int | None) -> int:
    """Place of a run: the one asked for, or the first that is there, or the first."""
    if seed is None:
        return int(there.argmax())
    if seed not in seeds:
        raise InputError(f"seed={seed!r}: this result holds {seeds.tolist()}")
    return int(np.flatnonzero(seeds == seed)[0])


def _places(samples: int | Sequence[int], of: int) -> np.ndarray:
    rows = np.arange(of)[:samples] if isinstance(samples, int) else np.array(samples, int)
    if ((rows < 0) | (rows >= of)).any():
        raise InputError(f"samples={list(rows)!r}: there are {of}, from 0")
    return rows


def _pixels(image: xr.Variable, renamed: dict[str, str], cells: tuple[str, str]) -> xr.DataArray:
    """Pictures without coordinates, still to be read."""
    return xr.DataArray(image).rename(renamed).transpose(*cells, "y", "x", "channel")


def _names(tree: xr.DataTree, top: np.ndarray) -> np.ndarray:
    """Names of classes, "" for -1."""
    return np.where(top < 0, "", tree["samples"]["class"].values.astype(str).astype(object)[top])


def _read(
    probability: np.ndarray, tree: xr.DataTree, about: dict[str, Any], cells: tuple[str, str]
) -> dict[str, Any]:
    """Variables of softmaxes ``(*cells, class)``: what the pictures are read as."""
    top = first(probability)
    return {
        "probability": ((*cells, "class"), probability),
        "target": (cells, probability[..., about["label_index"]]),
        "read_as": (cells, _names(tree, top)),
        "hit": (cells, top == about["label_index"]),
    }


def _judged(
    probability: np.ndarray | None,
    tree: xr.DataTree,
    read_as: np.ndarray,
    about: dict[str, Any],
    cells: tuple[str, str],
) -> dict[str, Any]:
    """What judges and views ``(judge, *cells, class)`` read each picture as; how many agree."""
    said, kinds = np.zeros((0, *read_as.shape), object), np.zeros(0, str)
    if probability is not None:
        said = _names(tree, first(probability))
        kinds = tree["samples"]["judge_kind"].values.astype(str)
    counts = {}
    for name, kind, right in (
        ("judges", "classifier", about["label"]),
        ("views", "view", read_as),
    ):
        ours = said[kinds == kind]
        counts[f"{name}_asked"] = (cells, (ours != "").sum(0).astype(int))
        counts[f"{name}_agree"] = (cells, ((ours == right) & (ours != "")).sum(0).astype(int))
    return {"judge_read_as": (("judge", *cells), said), **counts}


def _about(tree: xr.DataTree, at: int) -> dict[str, Any]:
    samples = tree["samples"].variables
    return {
        "label": str(samples["label"].values[at]),
        "label_index": int(samples["label_index"].values[at]),
        "classifier": str(tree.attrs["classifier"]),
    }
