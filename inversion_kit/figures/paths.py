"""The probability of a label along its search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from inversion_kit import analysis
from inversion_kit.analysis.search_path import segments
from inversion_kit.analysis.words import bracket, start_again, start_says
from inversion_kit.figures import style
from inversion_kit.figures.style import COLOURS, GREY, Spec, curve, figure, hover, note, text

_MOST = 10
_LETTER = 0.0105
"""How wide a letter of a note is, of the width of the plot."""


def trajectory(
    tree: xr.DataTree,
    *,
    label: str | None = None,
    arm: str | None = None,
    classes: Sequence[str] | Literal["all"] | None = (),
) -> Any:
    """Probability of the label and of other classes along a search, on noise not trained on.

    Of several runs the thick line is the mean over the same runs all along: after its last check a
    run counts with the token that it kept. The band holds the middle 80 % of all these images; thin
    lines are runs, broken where one began anew; a star marks the token that was kept. Other classes
    wait in the legend. One run alone is drawn with its restarts.

    Parameters
    ----------
    tree
        A result.
    label
        Whose search; may be left out where there is one label.
    arm
        Which search; that of the token where not given.
    classes
        Classes to draw at once, or ``"all"`` to put every class in the legend; otherwise the ten
        that come highest are there. None for no other class.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        A class or arm is unknown, or plotly is missing.
    LabelError
        The label is unknown, or was left out where there are several.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> [t.name for t in trajectory(synthetic(), label="sky").data][:3]
    ['middle 80 % of images', 'runner-up', 'sky (target)']
    """
    return figure(trajectory_spec(analysis.trajectory(tree, label=label, arm=arm), classes=classes))


def trajectory_spec(
    path: xr.Dataset, *, classes: Sequence[str] | Literal["all"] | None = ()
) -> Spec:
    """The specification of `trajectory`, from `inversion_kit.analysis.trajectory`.

    ``customdata`` of the target's and the runner-up's points is the place along ``check`` where
    one run alone is drawn, else along ``step``.

    Parameters
    ----------
    path
        Of one label.
    classes
        Which classes are drawn beside the label, as of `trajectory`.

    Returns
    -------
    dict
        A specification in plotly's JSON terms: ``data`` and ``layout``.
    """
    known = [str(c) for c in path["class"].values]
    shown = [] if classes == "all" or classes is None else list(classes)
    first = style.places("classes", shown, known)
    label, runs = text(path.attrs["label"]), segments(path)
    alone = len({run for run, *_ in runs}) == 1
    at, starts, columns = _columns(path, alone)
    parts = _parts(starts)
    band = {"fill": "toself", "fillcolor": "rgba(0, 114, 178, 0.15)", **hover(None)}
    x = _joined(columns["updates"], [[*part, *part[::-1]] for part in parts])
    ends = zip(columns["tenth"], columns["ninetieth"], strict=True)
    both = [end for pair in ends for end in pair]
    y = _joined(both, [[2 * i + 1 for i in part] + [2 * i for i in part[::-1]] for part in parts])
    data = [curve(x, y, "middle 80 % of images", COLOURS[0], 0) | band]
    updates, target, low, high, second, names = (_joined(v, parts) for v in columns.values())
    after = [f"after {n} updates" for n in updates]
    of_second = [f"{text(c)}: {_said(p)} {a}" for c, p, a in zip(names, second, after, strict=True)]
    of_target = [
        f"{label}: {_said(p)} {a}<br>middle 80 %: {_said(lo)} to {_said(hi)}"
        for p, a, lo, hi in zip(target, after, low, high, strict=True)
    ]
    thin = curve(updates, second, "runner-up", COLOURS[1], 2, "dash") | _spots("square", 7)
    thick = curve(updates, target, f"{label} (target)", COLOURS[0], 3) | _spots("circle", 8)
    clicks = _joined(at, parts)
    data += [thin | hover(of_second, clicks), thick | hover(of_target, clicks)]
    for i, (run, steps, shares, start) in enumerate(() if alone else runs):
        of_run = f"run {run}, from “{text(start)}”"
        words = [f"{of_run}: {_after(p, n)}" for n, p in zip(steps, shares, strict=True)]
        listed = {"legendgroup": "runs", "showlegend": i == 0, **hover(words)}
        line = curve(steps.tolist(), shares.tolist(), "each run", GREY, 1, "dot")
        data.append(line | listed)
    kept = path["kept"].values
    if kept.any():
        kept_by, check = np.nonzero(kept)
        x, y = (path[name].values[kept].tolist() for name in ("run_step", "run"))
        words = [f"run {path['seed'].values[r]} kept this token" for r in kept_by]
        stars = style.marks(x, y, "token kept", COLOURS[0], "star", 14)
        data.append(stars | hover(words, check.tolist()))
    mean, steps = path["mean"].values, path["step"].values.tolist()
    order = np.argsort(-mean.max(0)).tolist() if steps else []
    others = [c for c in order if c != path.attrs["label_index"] and c not in first]
    most = 0 if classes is None else None if classes == "all" else _MOST
    for i, c in enumerate([*first, *others[:most]]):
        dash, colour = style.DASHES[i % len(style.DASHES)], COLOURS[2 + i % (len(COLOURS) - 2)]
        name, shares = text(known[c]), mean[:, c].tolist()
        words = [f"{name}: {_after(p, n)}" for n, p in zip(steps, shares, strict=True)]
        waiting = {"visible": c in first or "legendonly", "meta": known[c]}
        data.append(curve(steps, shares, name, colour, 1.5, dash) | waiting | hover(words))
    begun = [(starts[part[0]], columns["updates"][part[0]]) for part in parts]
    title = f"Probability of “{label}” along the search"
    return {"data": data, "layout": _along(title, _note(path), steps[-1:], begun)}


def live_spec(
    checks: Sequence[tuple[int, float, str]],
    training: Sequence[tuple[int, float]],
    *,
    last: int,
    goal: float,
) -> Spec:
    """The picture of a search that is under way: what its live view shows.

    Parameters
    ----------
    checks
        Updates, mean held-out probability and start of every check.
    training
        Updates and mean probability of the training images.
    last
        Updates at the right end.
    goal
        Held-out probability that ends the search.

    Returns
    -------
    dict
        A specification in plotly's JSON terms: ``data`` and ``layout``.

    Examples
    --------
    >>> spec = live_spec([(0, 0.1, "neutral"), (4, 0.6, "neutral")], [(1, 0.2)], last=8, goal=0.9)
    >>> [trace["name"] for trace in spec["data"]]
    ['training images', 'held-out noise']
    """
    parts = _parts([start for *_, start in checks])
    x, y = (_joined([row[k] for row in checks], parts) for k in (0, 1))
    words = ["" if p is None else _after(p, n) for n, p in zip(x, y, strict=True)]
    steps, shares = [n for n, _ in training], [p for _, p in training]
    data = [
        curve(steps, shares, "training images", GREY, 1.5, "dash"),
        curve(x, y, "held-out noise", COLOURS[0], 2.5) | _spots("circle", 8) | hover(words),
    ]
    said = f"last check {_said(checks[-1][1])}" if checks else ""
    starts = [(checks[part[0]][2], checks[part[0]][0]) for part in parts]
    made = _along("Probability of the label", said, [last], starts)
    made["shapes"].append(style.straight((0, 1), (goal, goal), xref="paper"))
    right: Spec = {"x": 1, "xref": "paper", "xanchor": "right", "yanchor": "bottom"}
    made["annotations"].append(note(f"enough: {style.percent(goal)}", y=goal, color=GREY, **right))
    return {"data": data, "layout": made}


def _columns(path: xr.Dataset, alone: bool) -> tuple[list[int], list[str], dict[str, list[Any]]]:
    """Places, starts and values of all runs at every step, or of the only one at its checks."""
    keys = ("tenth", "ninetieth", "runner_up_probability", "runner_up")
    if not alone:
        names = {"updates": "step", "target": "target"} | {key: key for key in keys}
        n = path.sizes["step"]
        rows = {key: path.variables[name].values.tolist() for key, name in names.items()}
        return list(range(n)), [""] * n, rows
    there = np.isfinite(path["run"].values)
    run, at = int(there.any(1).argmax()), np.flatnonzero(there.any(0))
    names = {"updates": "run_step", "target": "run"} | {key: f"run_{key}" for key in keys}
    rows = {key: path.variables[name].values[run, at].tolist() for key, name in names.items()}
    return at.tolist(), path["start"].values[run, at].astype(str).tolist(), rows


def _parts(starts: Sequence[str]) -> list[list[int]]:
    """Places of what has the same start, one list a stretch."""
    made: list[list[int]] = []
    for i, start in enumerate(starts):
        if not i or start != starts[i - 1]:
            made.append([])
        made[-1].append(i)
    return made


def _joined(values: Sequence[Any], parts: Sequence[Sequence[int]]) -> list[Any]:
    """The values of each stretch, with a gap between two."""
    made: list[Any] = []
    for part in parts:
        made += [*([None] if made else []), *(values[i] for i in part)]
    return made


def _said(share: float | None) -> str:
    return "" if share is None else style.percent(share)


def _after(share: float, updates: int) -> str:
    return f"{style.percent(share)} after {updates} updates"


def _spots(symbol: str, size: int) -> Spec:
    return {"mode": "lines+markers", "marker": {"symbol": symbol, "size": size}}


def _along(title: str, said: str, last: Sequence[int], starts: Sequence[tuple[str, int]]) -> Spec:
    """A layout with updates along x, and an upright line where a run begins anew."""
    end = max(float(last[-1]), 1.0) if last else 1.0
    updates = {"title": {"text": "updates of the token"}, "range": [-0.02 * end, 1.03 * end]}
    lines = [style.straight((n, n), (0, 1), "dot", yref="y domain") for _, n in starts[1:]]
    notes: list[Spec] = []
    ends: list[float] = []  # of the last text of each row
    names = [start for start, _ in starts]
    for i, (start, n) in enumerate(starts[1:], 1):
        words = start_again(text(start_says(start, most=22)), start in names[:i])
        long, to_the_left = len(words) * _LETTER * end, n > 0.55 * end
        left = n - long if to_the_left else n
        row = next((k for k, taken in enumerate(ends) if taken < left), len(ends))
        ends[row : row + 1] = [left + long]
        place: Spec = {"x": n, "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": -18 * row}
        side = "right" if to_the_left else "left"
        notes.append(note(words, color=GREY, xanchor=side, bgcolor=style.GLASS, **place))
    axes = {"xaxis": updates, "yaxis": style.share_axis("mean probability")}
    return style.layout(title, said, height=480, shapes=lines, annotations=notes, **axes)


def _note(path: xr.Dataset) -> str:
    if not path.sizes["step"]:
        return "no run of this search is there"
    runs = int(path["kept"].values.any(1).sum())
    start = style.percent(float(path["target"].values[0]))
    value, low, high = (float(path.variables[n].values) for n in ("value", "low", "high"))
    kept = f"the kept token{'s' * (runs > 1)} of {runs} run{'s' * (runs > 1)}"
    classifier, arm = text(path.attrs["classifier"]), style.arm_name(path.attrs["arm"])
    said = (
        f"{classifier}, {arm}; starts at {start}; {kept}: {style.percent(value)} "
        f"{bracket(low, high)}<br>on the noise that chose them; "
    )
    if path["ended"].values.any():
        said += "a run that has ended counts on with the token it kept; "
    return f"{said}click a class in the legend to see it"
