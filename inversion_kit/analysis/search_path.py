"""How sure the classifier grew along a search, on noise that was not trained on."""

from __future__ import annotations

import numpy as np
import xarray as xr

from inversion_kit.analysis import intervals
from inversion_kit.analysis.reading import arm_place, arms_of, label_place, taker, whole
from inversion_kit.arm_roles import main_arm
from inversion_kit.arms import arm_of


def trajectory(
    tree: xr.DataTree, *, label: str | None = None, arm: str | None = None
) -> xr.Dataset:
    """The path of one label's searches by one arm, over its checks on validation noise.

    A run counts at a step with its newest check, and after its last one with the token that it
    kept: one that stops early, because it is sure, does not leave the mean to the others.

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
        Along ``step`` (updates so far): ``target``, the label's mean probability over runs and
        noises, ``tenth`` and ``ninetieth`` percentile over both; ``runner_up``, the other class
        with the highest mean, and ``runner_up_probability``; ``images``, how many that is over;
        ``ended``, runs that count with what they kept; ``mean`` ``(step, class)``.
        ``(seed, check)``, each run by itself: ``run``, the label's mean over noises, with
        ``run_tenth``, ``run_ninetieth``, ``run_runner_up`` and ``run_runner_up_probability``, at
        ``run_step`` from ``start``; ``kept``, where its token was kept. After a run's last check:
        NaN, "", -1 and False. ``value``, ``low``, ``high``: the kept tokens' mean with its 95 %
        interval, on the noise that chose them. Attributes ``label``, ``label_index``, ``arm``,
        ``classifier``. No step where no run is there.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> trajectory(synthetic())["step"].values.tolist()
    [0, 4, 8, 12]
    """
    tree = whole(tree)
    at, place = label_place(tree, label), searched_place(tree, arm)
    take = taker(tree, "validation", label=at, arm=place)
    selected = taker(tree, "token", label=at, arm=place)("selected").values
    target = int(take("label_index"))
    names = take("class").values.astype(str).astype(object)
    probability = take("probability").values
    there = np.isfinite(probability).all((-2, -1))
    updates = np.where(there, take("step").values, -1)
    kept = there & (np.arange(there.shape[1]) == selected[:, None])

    steps = np.unique(updates[there])
    runs = np.flatnonzero(there.any(1))
    standing, ended = _standing(updates[runs], there[runs], selected[runs], steps)
    shape = (len(steps), len(runs) * probability.shape[2], len(names))
    pooled = np.moveaxis(probability[runs[:, None], standing], 1, 0).reshape(shape)
    chosen = np.flatnonzero(kept.any(1))
    last = probability[chosen, selected[chosen]][..., target]
    value, low, high = intervals.share(last[None] if len(chosen) else np.full((1, 1, 1), np.nan))
    alone = ("seed", "check")
    each = _moments(probability, target, names, there)
    return xr.Dataset(
        {
            **{n: ("step", v) for n, v in _moments(pooled, target, names).items()},
            "images": ("step", np.full(len(steps), shape[1])),
            "ended": ("step", ended.sum(0)),
            "mean": (("step", "class"), pooled.sum(1) / max(shape[1], 1)),
            "run": (alone, each.pop("target")),
            **{f"run_{n}": (alone, v) for n, v in each.items()},
            "run_step": (alone, updates),
            "start": (alone, np.where(there, take("start").values.astype(str).astype(object), "")),
            "kept": (alone, kept),
            "value": value[0],
            "low": low[0],
            "high": high[0],
        },
        coords={"step": steps, "class": names, "seed": take("seed"), "check": take("check")},
        attrs={
            "label": str(take("label").values),
            "label_index": target,
            "arm": str(take("arm").values),
            "classifier": str(tree.attrs["classifier"]),
        },
    )


def segments(path: xr.Dataset) -> list[tuple[int, np.ndarray, np.ndarray, str]]:
    """Each run of a `trajectory` from each of its starts: run, updates, probability, start.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> [(run, start) for run, _, _, start in segments(trajectory(synthetic()))]
    [(0, 'neutral'), (0, 'round'), (1, 'neutral')]
    """
    parts = []
    run, step, start = (path[n].values for n in ("run", "run_step", "start"))
    for i, seed in enumerate(path["seed"].values):
        done = np.flatnonzero(np.isfinite(run[i]))
        cuts = np.flatnonzero(start[i, done[1:]] != start[i, done[:-1]]) + 1
        for part in np.split(done, cuts) if len(done) else []:
            parts.append((int(seed), step[i, part], run[i, part], str(start[i, part[0]])))
    return parts


def searched_place(tree: xr.DataTree, arm: str | None = None) -> int:
    """Place of an arm; where none is given, of the main one that has a search."""
    names = arms_of(tree)
    known = {name: arm_of(name) for name in names}
    searched = [name for name, known_arm in known.items() if not known_arm or known_arm.searched]
    return arm_place(tree, main_arm(searched or names) if arm is None else arm)


def own_updates(starts: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Updates ``(run, check)`` since the start was last changed, of ``steps`` so far.

    Examples
    --------
    >>> own_updates(np.array([["a", "a", "b", "b"]]), np.array([[0, 4, 4, 8]])).tolist()
    [[0, 4, 0, 4]]
    """
    begun = steps.copy()
    for check in range(1, steps.shape[1]):
        same = starts[:, check] == starts[:, check - 1]
        begun[:, check] = np.where(same, begun[:, check - 1], steps[:, check])
    return np.asarray(steps - begun)


def _moments(
    probability: np.ndarray, target: int, names: np.ndarray, there: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Of softmaxes ``(..., sample, class)`` the mean and ends of the label, and the runner-up."""
    if not probability.shape[-2]:
        probability = np.full((*probability.shape[:-2], 1, len(names)), np.nan)
    mean = probability.mean(-2)
    others = mean.copy()
    others[..., target] = -1
    second = others.argmax(-1)
    there = np.isfinite(mean[..., target]) if there is None else there
    tenth, ninetieth = np.quantile(probability[..., target], (0.1, 0.9), axis=-1)
    values = {
        "target": mean[..., target],
        "tenth": tenth,
        "ninetieth": ninetieth,
        "runner_up_probability": np.take_along_axis(others, second[..., None], -1)[..., 0],
    }
    return {
        **{name: np.where(there, value, np.nan) for name, value in values.items()},
        "runner_up": np.where(there, names[second], ""),
    }


def _standing(
    updates: np.ndarray, there: np.ndarray, selected: np.ndarray, steps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The check of each run that stands at each step ``(run, step)``, and whether it has ended."""
    at, ended = (np.zeros((len(updates), len(steps)), kind) for kind in (int, bool))
    for i, row in enumerate(updates):
        own = row[there[i]]
        newest = np.flatnonzero(there[i])[np.searchsorted(own, steps, side="right") - 1]
        ended[i] = steps > own[-1]
        at[i] = np.where(ended[i] & (selected[i] >= 0), selected[i], newest)
    return at, ended
