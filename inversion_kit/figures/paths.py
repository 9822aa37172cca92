"""How sure the classifier grew along a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from inversion_kit.analysis import intervals
from inversion_kit.analysis.runs import bracket
from inversion_kit.errors import InputError, nearest
from inversion_kit.figures.select import one_label
from inversion_kit.figures.style import (
    COLOURS,
    DASHES,
    GREY,
    arm_name,
    graph_objects,
    layout,
    percent,
    share_axis,
    text,
)

_MOST = 10
_BOOT = 2000


def path(tree: xr.DataTree, *, label: str | None = None, arm: str = "token") -> xr.Dataset:
    """What `trajectory` draws: probabilities on validation noise, over the same runs at each step.

    A run counts at a step with its newest check, and after its last one with the token that it
    kept: one that stops early, because it is sure, does not leave the mean to the others.

    Returns
    -------
    xr.Dataset
        Along ``step`` (updates so far): ``target``, its mean over runs and noises, ``tenth`` and
        ``ninetieth`` percentile over both; ``runner_up``, the other class with the highest mean,
        and ``runner_up_probability``; ``images``, how many that is over; ``ended``, runs that
        count with what they kept; ``mean`` ``(step, class)``. ``run`` ``(seed, check)``: the mean
        of each run, at ``run_step``, from ``start``; ``kept`` ``(seed, check)``: where its token
        was kept. NaN after a run's last check. ``value``, ``low``, ``high``: the kept tokens'
        mean with its 95 % interval.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> path(synthetic_run())["step"].values.tolist()
    [0, 4, 8, 12]
    """
    one = one_label(tree, label, arm)
    validation = one["validation"].to_dataset(inherit=False)
    probability = validation["probability"].transpose("seed", "check", "sample", "class").values
    target = int(one.attrs["label_index"])
    there = np.isfinite(probability).all((-2, -1))
    updates = np.where(there, validation["step"].transpose("seed", "check").values, -1)
    steps = np.unique(updates[there])
    classes = [str(c) for c in validation["class"].values]
    selected = one["token"]["selected"].values
    runs = np.flatnonzero(there.any(1))
    at, ended = _standing(updates, there, selected, steps)
    # (step, run and sample, class)
    shape = (len(steps), len(runs) * probability.shape[2], len(classes))
    pooled = np.moveaxis(probability[runs[:, None], at], 1, 0).reshape(shape)
    mean = pooled.mean(1) if len(runs) else np.zeros((0, len(classes)))
    ends = np.quantile(pooled[..., target], (0.1, 0.9), axis=1) if len(runs) else np.zeros((2, 0))
    others = mean.copy()
    others[:, target] = -1
    second = others.argmax(1)
    run = np.full(there.shape, np.nan)
    run[there] = probability[there][..., target].mean(-1)
    kept = there & (np.arange(there.shape[1]) == selected[:, None])
    value, low, high = intervals.share(
        probability[runs, selected[runs]][None, ..., target], n_boot=_BOOT, seed=0
    )
    return xr.Dataset(
        {
            "target": ("step", mean[:, target]),
            "tenth": ("step", ends[0]),
            "ninetieth": ("step", ends[1]),
            "runner_up": ("step", np.array([classes[c] for c in second], dtype=object)),
            "runner_up_probability": ("step", others[np.arange(len(steps)), second]),
            "images": ("step", np.full(len(steps), shape[1])),
            "ended": ("step", ended.sum(0)),
            "mean": (("step", "class"), mean),
            "run": (("seed", "check"), run),
            "run_step": (("seed", "check"), updates),
            "start": (("seed", "check"), validation["start"].transpose("seed", "check").values),
            "kept": (("seed", "check"), kept),
            "value": value[0],
            "low": low[0],
            "high": high[0],
        },
        coords={"step": steps, "class": classes, "seed": validation["seed"].values},
        attrs={"label": str(one.attrs["label"]), "label_index": target, "arm": arm,
               "classifier": str(one.attrs["classifier"])},
    )  # fmt: skip


def trajectory(
    tree: xr.DataTree,
    *,
    label: str | None = None,
    arm: str = "token",
    classes: Sequence[str] | Literal["all"] = (),
) -> Any:
    """How sure the classifier grew of the label, and of what else, on noise not trained on.

    The thick line is the mean over the same runs all along: after its last check a run counts
    with the token that it kept. The band holds the middle 80 % of all these images; thin lines are
    runs, broken where one began anew; a star marks the token that was kept. Other classes wait in
    the legend.

    Parameters
    ----------
    tree
        A run, or an audit with ``label``.
    classes
        Classes to draw at once, or ``"all"`` to put every class in the legend; otherwise the ten
        that come highest are there.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        A class is unknown, or plotly is missing.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> [t.name for t in trajectory(synthetic_run()).data][:3]
    ['middle 80 % of images', 'runner-up', 'sky (target)']
    """
    go = graph_objects()
    table = path(tree, label=label, arm=arm)
    known = [str(c) for c in table["class"].values]
    shown = [] if classes == "all" else list(classes)
    for name in shown:
        if name not in known:
            raise InputError(f"classes: {name!r} is not a class; try {nearest(name, known)}")
    name = text(table.attrs["label"])
    steps = table["step"].values
    figure = go.Figure()
    figure.add_scatter(
        x=np.concatenate([steps, steps[::-1]]),
        y=np.concatenate([table["ninetieth"].values, table["tenth"].values[::-1]]),
        fill="toself", fillcolor="rgba(0, 114, 178, 0.15)", line={"width": 0}, hoverinfo="skip",
        name="middle 80 % of images", mode="lines",
    )  # fmt: skip
    figure.add_scatter(
        x=steps, y=table["runner_up_probability"].values, name="runner-up", mode="lines+markers",
        line={"color": COLOURS[1], "dash": "dash", "width": 2},
        marker={"symbol": "square", "size": 7},
        customdata=[text(c) for c in table["runner_up"].values],
        hovertemplate="%{customdata}: %{y:.1%} after %{x} updates<extra>runner-up</extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=steps, y=table["target"].values, name=f"{name} (target)", mode="lines+markers",
        line={"color": COLOURS[0], "width": 3}, marker={"symbol": "circle", "size": 8},
        customdata=np.stack([table["tenth"], table["ninetieth"], table["images"]], -1),
        hovertemplate="%{y:.1%} after %{x} updates<br>middle 80 %: %{customdata[0]:.0%} to "
        "%{customdata[1]:.0%} of %{customdata[2]} images<extra>target</extra>",
    )  # fmt: skip
    parts = _parts(table)
    for i, (run, x, y, start) in enumerate(parts if len(parts) > 1 else []):
        figure.add_scatter(
            x=x, y=y, mode="lines", name="each run", legendgroup="runs", showlegend=i == 0,
            line={"color": GREY, "width": 1, "dash": "dot"},
            hovertemplate=f"%{{y:.1%}} after %{{x}} updates, from “{text(start)}”"
            f"<extra>run {run}</extra>",
        )  # fmt: skip
    kept = table["kept"].values
    if kept.any():
        figure.add_scatter(
            x=table["run_step"].values[kept], y=table["run"].values[kept], mode="markers",
            name="token kept",
            marker={"symbol": "star", "size": 14, "color": COLOURS[0],
                    "line": {"width": 1, "color": "white"}},
            customdata=np.broadcast_to(table["seed"].values[:, None], kept.shape)[kept],
            hovertemplate="run %{customdata} kept this token<extra></extra>",
        )  # fmt: skip
    mean = table["mean"].values
    order = [int(c) for c in np.argsort(-mean.max(0)) if c != table.attrs["label_index"]] \
        if len(steps) else []  # fmt: skip
    wait = order if classes == "all" else order[:_MOST]
    others = [known.index(c) for c in shown] + [c for c in wait if known[c] not in shown]
    for i, c in enumerate(others):
        figure.add_scatter(
            x=steps, y=mean[:, c], name=text(known[c]), mode="lines", meta=known[c],
            visible=True if known[c] in shown else "legendonly",
            line={"color": COLOURS[2 + i % (len(COLOURS) - 2)], "width": 1.5,
                  "dash": DASHES[i % len(DASHES)]},
            hovertemplate=f"{text(known[c])}: %{{y:.1%}} after %{{x}} updates<extra></extra>",
        )  # fmt: skip
    last = max(float(steps[-1]), 1.0) if len(steps) else 1.0
    figure.update_layout(
        **layout(
            f"Probability of “{name}” along the search", _note(table), height=480,
            margin={"l": 70, "r": 30, "t": 110, "b": 60},
            xaxis={"title": {"text": "updates of the token"}, "range": [-0.02 * last, 1.03 * last]},
            yaxis=share_axis("mean probability, validation noise"),
        )
    )  # fmt: skip
    return figure


def _standing(
    updates: np.ndarray, there: np.ndarray, selected: np.ndarray, steps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The check that stands for each run at each step, and whether the run has ended by then.

    Both are ``(run, step)``, of the runs that are there.
    """
    runs = np.flatnonzero(there.any(1))
    at, ended = (np.zeros((len(runs), len(steps)), kind) for kind in (int, bool))
    for i, r in enumerate(runs):
        own = updates[r, there[r]]
        ended[i] = steps > own[-1]
        newest = np.searchsorted(own, steps, side="right") - 1
        at[i] = np.where(ended[i], selected[r], newest)
    return at, ended


def _parts(table: xr.Dataset) -> list[tuple[int, np.ndarray, np.ndarray, str]]:
    """Each run from each of its starts: run, updates, probability, start."""
    found = []
    for i, run in enumerate(table["seed"].values):
        row = table.isel(seed=i)
        done = np.flatnonzero(np.isfinite(row["run"].values))
        starts = row["start"].values.astype(str)[done]
        cuts = np.flatnonzero(starts[1:] != starts[:-1]) + 1
        for part in np.split(done, cuts) if len(done) else []:
            x, y = row["run_step"].values[part], row["run"].values[part]
            found.append((int(run), x, y, str(row["start"].values[part[0]])))
    return found


def _note(table: xr.Dataset) -> str:
    if not table.sizes["step"]:
        return "no run of this search is there"
    runs = int(table["kept"].any("check").sum())
    value, low, high = (float(table[n]) for n in ("value", "low", "high"))
    kept = f"the kept token{'s' if runs > 1 else ''} of {runs} run{'s' if runs > 1 else ''}"
    note = (
        f"{text(table.attrs['classifier'])}, {arm_name(table.attrs['arm'])}; starts at "
        f"{percent(float(table['target'][0]))}; {kept}: {percent(value)} {bracket(low, high)}"
        "<br>on the noise that chose them; "
    )
    if table["ended"].any():
        note += "a run that has ended counts on with the token it kept; "
    return f"{note}click a class in the legend to see it"
