"""How sure the classifier grew along a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

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


def path(tree: xr.DataTree, *, label: str | None = None, arm: str = "token") -> xr.Dataset:
    """What `trajectory` draws: probabilities on validation noise, pooled over runs at each step.

    Returns
    -------
    xr.Dataset
        Along ``step`` (updates so far): ``target``, its mean over runs and noises, ``tenth`` and
        ``ninetieth`` percentile over both; ``runner_up``, the other class with the highest mean,
        and ``runner_up_probability``; ``images``, how many that is over; ``mean``
        ``(step, class)``. ``run`` ``(seed, check)``: the mean of each run, at ``run_step``;
        ``kept`` ``(seed, check)``: where its token was kept. NaN after a run's last check.

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
    mean = np.full((len(steps), len(classes)), np.nan)
    ends = np.full((2, len(steps)), np.nan)
    images = np.zeros(len(steps), int)
    for i, step in enumerate(steps):
        pooled = probability[updates == step].reshape(-1, len(classes))
        mean[i], images[i] = pooled.mean(0), len(pooled)
        ends[:, i] = np.quantile(pooled[:, target], (0.1, 0.9))
    others = mean.copy()
    others[:, target] = -1
    second = others.argmax(1) if len(steps) else np.zeros(0, int)
    run = np.full(there.shape, np.nan)
    run[there] = probability[there][..., target].mean(-1)
    selected = one["token"]["selected"].values
    kept = there & (np.arange(there.shape[1]) == selected[:, None])
    return xr.Dataset(
        {
            "target": ("step", mean[:, target]),
            "tenth": ("step", ends[0]),
            "ninetieth": ("step", ends[1]),
            "runner_up": ("step", np.array([classes[c] for c in second], dtype=object)),
            "runner_up_probability": ("step", others[np.arange(len(steps)), second]),
            "images": ("step", images),
            "mean": (("step", "class"), mean),
            "run": (("seed", "check"), run),
            "run_step": (("seed", "check"), updates),
            "kept": (("seed", "check"), kept),
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

    The band holds the middle 80 % of all images of all runs; thin lines are runs; a star marks
    the token that was kept. Other classes wait in the legend.

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
    for i, run in enumerate(table["seed"].values):
        row = table.isel(seed=i)
        done = np.isfinite(row["run"].values)
        if table.sizes["seed"] > 1 and done.any():
            figure.add_scatter(
                x=row["run_step"].values[done], y=row["run"].values[done], mode="lines",
                name="each run", legendgroup="runs", showlegend=i == 0,
                line={"color": GREY, "width": 1, "dash": "dot"},
                hovertemplate=f"%{{y:.1%}} after %{{x}} updates<extra>run {run}</extra>",
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
    if len(steps):
        note = (
            f"{text(table.attrs['classifier'])}, {arm_name(arm)}; starts at "
            f"{percent(float(table['target'][0]))}, ends at {percent(float(table['target'][-1]))}; "
            "click a class in the legend to see it"
        )
    else:
        note = "no run of this search is there"
    figure.update_layout(
        **layout(
            f"Probability of “{name}” along the search", note, height=460,
            xaxis={"title": {"text": "updates of the token"}, "range": [-0.02 * last, 1.03 * last]},
            yaxis=share_axis("mean probability, validation noise"),
        )
    )  # fmt: skip
    return figure
