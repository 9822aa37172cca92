"""Pictures side by side, each with what the classifier reads in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from PIL import Image

from inversion_kit.errors import InputError, nearest
from inversion_kit.figures.select import is_audit, one_label
from inversion_kit.figures.style import GREY, arm_name, graph_objects, layout, percent, text
from inversion_kit.pictures import data_address, image_of

_SIDE = 160
_GAP = 0.06
_CELL = 154
"""Width in pixels of a picture and the gap beside it."""
_MOST = 15
"""Characters of a name below an image, cut in its middle; all of it is shown on hover."""
_GAPS = {"failed": "failed", "missing": "not run", "done": "no finite probability"}
"""Why a picture is not there, by the status of its unit."""


@dataclass(frozen=True)
class Tile:
    """A picture and the lines below it, or None and what stands in its frame; text on hover."""

    image: np.ndarray | None
    lines: tuple[str, ...]
    hover: str


def strip(
    tree: xr.DataTree,
    *,
    label: str | None = None,
    arm: str = "token",
    seed: int | None = None,
    samples: int = 2,
    columns: int = 8,
) -> Any:
    """The same validation noises along the search, a column a check.

    Parameters
    ----------
    tree
        A run, or an audit with ``label``.
    seed
        Which run; the first that is there where not given.
    samples
        Noises, a row each: the first ones, not chosen by score.
    columns
        Checks at most, evenly spread, the first, the kept and the last among them.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        The run is not there.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> len(strip(synthetic_run()).layout.images)
    8
    """
    one = one_label(tree, label, arm)
    validation = one["validation"].to_dataset(inherit=False)
    probability = validation["probability"].transpose("seed", "check", "sample", "class").values
    there = np.isfinite(probability).all((-2, -1))
    run = _run(validation["seed"].values, there.any(1), seed)
    if run is None:
        return _nothing("No run of this search is there", one)
    checks = np.flatnonzero(there[run])
    selected = int(one["token"]["selected"].values[run])
    spread = checks[np.unique(np.linspace(0, len(checks) - 1, min(columns, len(checks))).round()
                              .astype(int))]  # fmt: skip
    if selected in checks and selected not in spread and len(spread) > 2:
        middle = np.abs(spread[1:-1] - selected).argmin() + 1
        spread[middle] = selected
        spread.sort()
    shown = min(samples, probability.shape[2])
    pictures = validation["image"].isel(seed=run, check=spread, sample=slice(0, shown))
    pixels = pictures.transpose("check", "sample", "y", "x", "channel").values
    steps = validation["step"].transpose("seed", "check").values[run]
    target = int(one.attrs["label_index"])
    names = [str(c) for c in validation["class"].values]
    rows = []
    for k in range(shown):
        row = []
        for i, check in enumerate(spread):
            p = probability[run, check, k]
            lines = (_reading("", p[target], hit=p.argmax() == target, target=True),)
            row.append(Tile(pixels[i, k], lines, _hover(names, p, f"noise {k + 1}, after "
                                                        f"{steps[check]} updates")))  # fmt: skip
        rows.append(row)
    heads = [f"{steps[c]} updates{' ★ kept' if c == selected else ''}" for c in spread]
    starts = [str(s) for s in validation["start"].transpose("seed", "check").values[run]]
    if len({starts[c] for c in spread}) > 1:
        heads = [f"from “{text(starts[c], most=_MOST)}”<br>{h}" for c, h in
                 zip(spread, heads, strict=True)]  # fmt: skip
    name = text(one.attrs["label"])
    return _grid(
        rows, heads, [f"noise {k + 1}" for k in range(shown)],
        f"The search for “{name}”, on the same noises",
        f"{arm_name(arm)}, run {validation['seed'].values[run]}; below each image the probability "
        "of the label, ✓ where it is the first class",
    )  # fmt: skip


def before_after(
    tree: xr.DataTree,
    *,
    label: str | None = None,
    arms: Sequence[str] | None = None,
    seed: int | None = None,
    columns: int = 6,
) -> Any:
    """The same test noises under two or more arms, each image with its top three classes.

    Parameters
    ----------
    tree
        A run, or an audit with ``label``.
    arms
        A row each; start and token of a run, name prompt and token of an audit where not given.
    seed
        Which run's noises; the first where not given.
    columns
        Noises at most: the first ones, not chosen by score.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        An arm or the run is not there.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> len(before_after(synthetic_audit(), label="sky").layout.images)
    12
    """
    one = one_label(tree, label)
    samples = one["samples"].to_dataset(inherit=False)
    known = [str(a) for a in samples["arm"].values]
    first = "name" if is_audit(tree) else "start"
    arms = [a for a in (first, "token") if a in known] if arms is None else list(arms)
    for arm in arms:
        if arm not in known:
            raise InputError(f"arms: {arm!r} is not in this result; try {nearest(arm, known)}")
    samples = samples.isel(arm=[known.index(a) for a in arms])
    probability = samples["probability"].transpose("arm", "seed", "sample", "class").values
    there = np.isfinite(probability).all(-1)
    run = _run(samples["seed"].values, there.any((0, 2)), seed)
    if run is None:
        return _nothing("No test image is there", one)
    shown = min(columns, probability.shape[2])
    pictures = samples["image"].isel(seed=run, sample=slice(0, shown))
    pixels = pictures.transpose("arm", "sample", "y", "x", "channel").values
    names = [str(c) for c in samples["class"].values]
    target = int(one.attrs["label_index"])
    rows = []
    for a, arm in enumerate(arms):
        row = []
        for k in range(shown):
            if not there[a, run, k]:
                why = _GAPS[_status(one, arm, run)]
                row.append(Tile(None, (why,), f"{arm_name(arm)}, noise {k + 1}: {why}"))
                continue
            p = probability[a, run, k]
            best = np.argsort(-p, kind="stable")[:3]
            hit = bool(best[0] == target)
            lines = tuple(_reading(names[c], p[c], hit=hit, target=bool(c == target)) for c in best)
            row.append(
                Tile(pixels[a, k], lines, _hover(names, p, f"{arm_name(arm)}, noise {k + 1}"))
            )
        rows.append(row)
    name = text(one.attrs["label"])
    return _grid(
        rows, [f"noise {k + 1}" for k in range(shown)], [arm_name(a) for a in arms],
        f"“{name}” on the same test noises",
        f"run {samples['seed'].values[run]}, first noises, not chosen by score; top three classes "
        f"of {text(one.attrs['classifier'])}, bold for the label, ✓ where it is the first",
    )  # fmt: skip


def thumbnail(image: np.ndarray, side: int = _SIDE) -> str:
    """A PNG as a data address: small images enlarged by whole pixels, large ones reduced.

    Parameters
    ----------
    image
        uint8 ``(y, x, 3)``.

    Examples
    --------
    >>> thumbnail(np.zeros((4, 4, 3), "u1"))[:22]
    'data:image/png;base64,'
    """
    picture = image_of(image)
    times = side // max(picture.size)
    if times > 1:
        picture = picture.resize(
            (picture.width * times, picture.height * times), Image.Resampling.NEAREST
        )
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return data_address(picture)


def _run(seeds: np.ndarray, there: np.ndarray, seed: int | None) -> int | None:
    """Place of the run: the one asked for, or the first that is there."""
    if seed is None:
        return int(there.argmax()) if there.any() else None
    if seed not in seeds:
        raise InputError(f"seed={seed!r}: this result holds {seeds.tolist()}")
    place = int(np.flatnonzero(seeds == seed)[0])
    return place if there[place] else None


def _reading(name: str, probability: float, *, hit: bool, target: bool) -> str:
    """What an image is read as, short enough for the place below it."""
    said = percent(float(probability))
    if name:
        said = f"{text(name, most=_MOST - 2 * target)}: {said}"  # bold letters are wider
    return f"<b>{'✓ ' if hit else ''}{said}</b>" if target else said


def _status(one: xr.DataTree, arm: str, run: int) -> str:
    """Of the unit that an image is of; a run is one that was done."""
    if "status" not in one.children:
        return "done"
    return str(one["status"]["status"].sel(arm=arm).isel(seed=run).values)


def _hover(names: list[str], probability: np.ndarray, where: str) -> str:
    best = np.argsort(-probability, kind="stable")[:5]
    said = [f"{text(names[c])}: {percent(float(probability[c]))}" for c in best]
    return "<br>".join([where, *said])


def _grid(rows: list[list[Tile]], heads: list[str], sides: list[str], title: str, note: str) -> Any:
    go = graph_objects()
    lines = max(len(t.lines) for row in rows for t in row)
    columns = len(heads)
    pitch = 1.06 + 0.13 * lines
    figure = go.Figure()
    spots = [(i, k, t) for i, row in enumerate(rows) for k, t in enumerate(row)]
    figure.add_scatter(
        x=[k + 0.5 for _, k, _ in spots], y=[i * pitch + 0.5 for i, _, _ in spots],
        mode="markers", marker={"symbol": "square", "size": 60, "opacity": 0},
        customdata=[t.hover for _, _, t in spots],
        hovertemplate="%{customdata}<extra></extra>", showlegend=False,
    )  # fmt: skip
    for i, k, tile in spots:
        if tile.image is None:
            figure.add_shape(
                x0=k + _GAP / 2, x1=k + 1 - _GAP / 2, y0=i * pitch, y1=i * pitch + 1 - _GAP,
                line={"color": GREY, "width": 1, "dash": "dash"}, fillcolor="rgba(0, 0, 0, 0)",
            )  # fmt: skip
        else:
            figure.add_layout_image(
                source=thumbnail(tile.image), xref="x", yref="y", x=k + _GAP / 2, y=i * pitch,
                sizex=1 - _GAP, sizey=1 - _GAP, sizing="contain", layer="below",
            )  # fmt: skip
        below = tile.image is not None
        figure.add_annotation(
            x=k + 0.5, y=i * pitch + (1 - _GAP) / (1 if below else 2), text="<br>".join(tile.lines),
            showarrow=False, yanchor="top" if below else "middle", font={"size": 11},
            align="center",
        )  # fmt: skip
    for k, head in enumerate(heads):
        figure.add_annotation(x=k + 0.5, y=-0.03, text=head, showarrow=False, yanchor="bottom",
                              font={"size": 12, "color": "#444444"})  # fmt: skip
    for i, side in enumerate(sides):
        figure.add_annotation(x=0, xref="paper", xshift=-8, y=i * pitch + 0.5, text=side,
                              showarrow=False, xanchor="right", font={"size": 13})  # fmt: skip
    hidden = {"visible": False, "fixedrange": True}
    tall, wide = len(rows) * pitch, max(columns, 5)  # room for the title
    figure.update_layout(
        **layout(
            title, note, width=140 + _CELL * wide, height=int(110 + _CELL * (tall + 0.12)),
            margin={"l": 120, "r": 20, "t": 100, "b": 10},
            xaxis={**hidden, "range": [0, wide]},
            yaxis={**hidden, "range": [tall, -0.12]},
        )
    )  # fmt: skip
    return figure


def _nothing(why: str, one: xr.DataTree) -> Any:
    figure = graph_objects().Figure()
    figure.add_annotation(text=f"{why}: it failed or was not run", showarrow=False, x=0.5, y=0.5,
                          xref="paper", yref="paper", font={"size": 15})  # fmt: skip
    hidden = {"visible": False}
    figure.update_layout(**layout(f"“{text(one.attrs['label'])}”", xaxis=hidden, yaxis=hidden))
    return figure
