"""Which pictures of a label stand for the others, and what each is read as.

Pictures are taken in stored order, never by their score. A table of them has two dimensions of
cells; along both stand ``image`` uint8 ``(.., y, x, channel)``, whose pixels are read when it is
touched and not before; ``probability`` float32 ``(.., class)``; ``target``, that of the label;
``read_as``, the first class, "" without a picture; ``hit``, whether that is the label;
``noise_seed``; ``prompt``, "" on validation noise. Attributes are ``label``, ``label_index`` and
``classifier``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    run_seed: int | None = None,
    samples: int | Sequence[int] = 2,
    columns: int | None = 8,
    group: Literal["validation", "trajectory"] = "validation",
) -> xr.Dataset:
    """The same noises (rows) along the search of one run (columns).

    Parameters
    ----------
    tree
        A result of one label or of many.
    label
        Its name; needed where the result has several.
    arm, run_seed
        The main arm of those with a search, and its first run that is there, where not given.
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
        Cells ``(sample, column)`` as `inversion_kit.analysis.pictures` has them. Along ``column``,
        whose coordinate is the place along check or step: ``updates`` so far; ``start``;
        ``restart``, whether that is another than in the column before; ``kept``; ``mean``, of
        ``target`` over all noises. Attributes ``arm``, ``seed``, ``of_columns`` and
        ``of_samples``, how many there are. No column where the run is not there.

    Raises
    ------
    InputError
        ``samples`` names a noise that is not there, or the label, arm or run is unknown.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> shown = strip(synthetic(), columns=3)
    >>> shown["image"].dims, shown["updates"].values.tolist()
    (('sample', 'column', 'y', 'x', 'channel'), [0, 4, 12])
    """
    tree = whole(tree)
    places = {"label": label_place(tree, label), "arm": searched_place(tree, arm)}
    take = taker(tree, group, **places)
    probability, seeds = take("probability").values, take("seed").values
    there = np.isfinite(probability).all((-2, -1))
    places["seed"] = run = _run(seeds, there.any(1), run_seed)
    of_samples = probability.shape[2]
    rows = np.arange(of_samples)[:samples] if isinstance(samples, int) else np.array(samples, int)
    if ((rows < 0) | (rows >= of_samples)).any():
        raise InputError(f"samples={list(rows)!r}: there are {of_samples}, from 0")
    checked, every = group == "validation", np.flatnonzero(there[run])
    selected = int(taker(tree, "token", **places)("selected"))
    kept = selected if checked and selected in every else None
    shown = every if columns is None else spread(every, columns, kept)
    along = "check" if checked else "step"
    take = taker(tree, group, **places, sample=rows, **{along: shown})
    cells, turned = ("sample", "column"), (len(shown), len(rows))
    prompt = np.array("", object) if checked else take("prompt").values.astype(object)
    starts = take("start").values.astype(str).astype(object)
    scores, about = probability[run, shown], _about(tree, **places)
    return xr.Dataset(
        {
            "image": _pixels(take("image"), cells, along),
            **_read(tree, np.swapaxes(scores[:, rows], 0, 1), about, cells),
            "noise_seed": (cells, np.broadcast_to(take("noise_seed").values, turned).T),
            "prompt": (cells, np.broadcast_to(prompt, turned).T),
            "updates": ("column", take("step").values + (not checked)),
            "start": ("column", starts),
            "restart": ("column", np.append(False, starts[1:] != starts[:-1])[: len(shown)]),
            "kept": ("column", shown == (-1 if kept is None else kept)),
            "mean": ("column", scores[..., about["label_index"]].mean(-1)),
        },
        coords={"sample": rows, "column": shown, "class": take("class")},
        attrs={**about, "of_columns": len(every), "of_samples": of_samples},
    )


def grid(
    tree: xr.DataTree,
    *,
    label: str | None = None,
    arms: Sequence[str] | None = None,
    run_seed: int | None = None,
    columns: int = 6,
    every_run: bool = False,
) -> xr.Dataset:
    """Final pictures of one label: each arm (row) on the same test noises (columns).

    Parameters
    ----------
    tree
        A result of one label or of many.
    label
        Its name; needed where the result has several.
    arms
        All where not given.
    run_seed
        Which run's noises; of the first run that has a picture where not given.
    columns, every_run
        Noises at most; the first ones of every run in turn.

    Returns
    -------
    xr.Dataset
        Cells ``(arm, noise)`` as `inversion_kit.analysis.pictures` has them, and ``gap``, "" where
        there is a picture, else its unit's status ("done": without finite probabilities), and
        ``reason``; ``views_asked`` and ``views_agree``, how many views read it as the classifier
        does; ``judge_read_as`` ``(judge, arm, noise)``, the first class of every judge and view.
        Coordinates ``run_seed`` and ``sample`` along noise.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> shown = grid(synthetic(), arms=["start", "token"], columns=3)
    >>> shown["read_as"].values.tolist()
    [['orange', 'orange', 'orange'], ['sky', 'sky', 'sky']]
    """
    tree = whole(tree)
    at = label_place(tree, label)
    places = slice(None) if arms is None else [arm_place(tree, a, name="arms") for a in arms]
    take = taker(tree, "samples", label=at, arm=places)
    seeds = take("seed").values
    runs = list(range(len(seeds)))
    if not every_run:
        done = np.isfinite(take("probability").isel({"class": 0}).values).any((0, 2))
        runs = [_run(seeds, done, run_seed)]
    pairs = shown_noises(tree["samples"].sizes["sample"], runs, columns)
    run, sample = np.array(pairs, int).reshape(-1, 2).T
    cells, about = ("arm", "noise"), _about(tree, at)
    take = taker(
        tree, "samples", label=at, arm=places, sample=slice(0, int(sample.max(initial=-1)) + 1)
    )
    image, along = take("image"), "noise"
    if len(set(run.tolist())) == 1:  # the common case, without slow indexing by pairs
        image, along = image.isel(seed=int(run[0])), "sample"
    else:
        image = image.isel(seed=xr.Variable("noise", run), sample=xr.Variable("noise", sample))
    read = _read(tree, take("probability").values[:, run, sample], about, cells)
    said, kinds = np.zeros((0, *read["hit"][1].shape), object), np.zeros(0, str)
    if "judge_probability" in tree["samples"].variables:
        judged = np.moveaxis(take("judge_probability").values, 2, 0)[:, :, run, sample]
        said, kinds = _names(tree, first(judged)), take("judge_kind").values.astype(str)
    views = said[kinds == "view"]
    there = np.isfinite(read["target"][1])
    status = taker(tree, "status", label=at, arm=places, seed=run)
    return xr.Dataset(
        {
            "image": _pixels(image, cells, along),
            **read,
            **{n: (cells, take(n).values[:, run, sample]) for n in ("prompt", "noise_seed")},
            "gap": (cells, np.where(there, "", status("status").values)),
            "reason": (cells, np.where(there, "", status("reason").values)),
            "views_asked": (cells, (views != "").sum(0)),
            "views_agree": (cells, ((views == read["read_as"][1]) & (views != "")).sum(0)),
            "judge_read_as": (("judge", *cells), said),
        },
        coords={
            "arm": take("arm"),
            "class": take("class"),
            "run_seed": ("noise", seeds[run]),
            "sample": ("noise", sample),
            **({"judge": take("judge"), "judge_kind": take("judge_kind")} if len(said) else {}),
        },
        attrs=about,
    )


def shown_noises(samples: int, runs: Iterable[int], most: int) -> list[tuple[int, int]]:
    """Run and noise of at most so many columns: the first noises of every run in turn, sorted.

    Examples
    --------
    >>> shown_noises(4, [0, 1], 3)
    [(0, 0), (0, 1), (1, 0)]
    """
    runs = list(runs)
    return sorted([(run, k) for k in range(samples) for run in runs][:most])


def nearest_words(
    tree: xr.DataTree, *, label: str | None = None, arm: str | None = None
) -> xr.Dataset:
    """Words of the vocabulary that are near to each run's kept token, or that were probed.

    Parameters
    ----------
    tree
        A result of one label or of many.
    label
        Its name; needed where the result has several.
    arm
        The main one of those with a search where not given.

    Returns
    -------
    xr.Dataset
        ``nearest_word`` and ``nearest_cosine`` ``(seed, rank)``; ``probe_word`` and
        ``probe_log_probability`` ``(seed, probe)``, best first; ``asked`` ``(seed,)``, how many
        words were probed. "" and NaN where there is none.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> nearest_words(synthetic())["asked"].values.tolist()
    [5, 0]
    """
    tree = whole(tree)
    places = {"label": label_place(tree, label), "arm": searched_place(tree, arm)}
    token, probe = (taker(tree, group, **places) for group in ("token", "probe"))
    value = probe("log_probability").values
    order = np.argsort(-value, axis=-1, kind="stable")
    nearest, probed = ("seed", "rank"), ("seed", "probe")
    return xr.Dataset(
        {
            "nearest_word": (nearest, token("nearest_word").values),
            "nearest_cosine": (nearest, token("nearest_cosine").values),
            "probe_word": (probed, np.take_along_axis(probe("word").values, order, -1)),
            "probe_log_probability": (probed, np.take_along_axis(value, order, -1)),
            "asked": ("seed", np.isfinite(value).sum(-1)),
        },
        coords={"seed": token("seed")},
        attrs=_about(tree, **places),
    )


def spread(places: Sequence[int] | np.ndarray, most: int, kept: int | None = None) -> np.ndarray:
    """At most ``most`` of some places, evenly spread, ends included, and ``kept`` always.

    Examples
    --------
    >>> spread(range(10), 3).tolist(), spread(range(10), 3, kept=3).tolist()
    ([0, 4, 9], [0, 3, 9])
    """
    places = np.asarray(places, int)
    even = np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int)
    picked = set(places[even].tolist())
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


def _run(seeds: np.ndarray, there: np.ndarray, run_seed: int | None) -> int:
    """Place of a run: the one asked for, or the first that is there, or the first."""
    if run_seed is None:
        return int(there.argmax())
    if run_seed not in seeds:
        raise InputError(f"run_seed={run_seed!r}: this result holds {seeds.tolist()}")
    return int(np.flatnonzero(seeds == run_seed)[0])


def _pixels(image: xr.Variable, cells: tuple[str, str], along: str = "noise") -> xr.DataArray:
    """Pictures without coordinates, still to be read; ``along`` becomes the second of the cells."""
    renamed = xr.DataArray(image).rename({along: cells[1]})
    return renamed.transpose(*cells, "y", "x", "channel")


def _names(tree: xr.DataTree, top: np.ndarray) -> np.ndarray:
    """Names of classes, "" for -1."""
    return np.where(top < 0, "", tree["samples"]["class"].values.astype(str).astype(object)[top])


def _read(
    tree: xr.DataTree, probability: np.ndarray, about: dict[str, Any], cells: tuple[str, str]
) -> dict[str, Any]:
    """Variables of softmaxes ``(*cells, class)``: what the pictures are read as."""
    top = first(probability)
    return {
        "probability": ((*cells, "class"), probability),
        "target": (cells, probability[..., about["label_index"]]),
        "read_as": (cells, _names(tree, top)),
        "hit": (cells, top == about["label_index"]),
    }


def _about(tree: xr.DataTree, label: int, **places: int) -> dict[str, Any]:
    """Attributes: which label, and which arm and run."""
    samples, places = tree["samples"].variables, {"label": label, **places}
    return {
        **{dim: np.asarray(samples[dim].values[i]).item() for dim, i in places.items()},
        "label_index": int(samples["label_index"].values[label]),
        "classifier": str(tree.attrs["classifier"]),
    }
