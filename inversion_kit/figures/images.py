"""Pictures side by side, each with what the classifier reads in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit import analysis
from inversion_kit.arm_roles import before_arm, main_arm
from inversion_kit.figures import style
from inversion_kit.figures.cells import Cell, cells, heads
from inversion_kit.figures.style import GREY, Spec, arm_name, figure, hover, note, percent, text
from inversion_kit.pictures import thumbnail

_SIDE = 160
_GAP = 0.06
_CELL = 154
"""Width in pixels of a picture and the gap beside it."""
_MOST = 15
"""Characters of a name below an image, cut in its middle; all of it is shown on hover."""


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
    arm: str | None = None,
    run_seed: int | None = None,
    samples: int = 2,
    columns: int = 8,
) -> Any:
    """The same validation noises along the search, a column a check.

    Parameters
    ----------
    tree
        A result.
    label
        Whose search; may be left out where there is one label.
    arm
        Which search; that of the token where not given.
    run_seed
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
        The arm or the run is not there.
    LabelError
        The label is unknown, or was left out where there are several.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> len(strip(synthetic(), label="sky").layout.images)
    8
    """
    pictures = analysis.strip(
        tree, label=label, arm=arm, run_seed=run_seed, samples=samples, columns=columns
    )
    return figure(strip_spec(pictures))


def strip_spec(pictures: xr.Dataset) -> Spec:
    """The specification of `strip`, from `inversion_kit.analysis.strip`.

    Parameters
    ----------
    pictures
        Cells ``(sample, column)``.

    Returns
    -------
    dict
        A specification in plotly's JSON terms: ``data`` and ``layout``.
    """
    name, arm = text(pictures.attrs["label"]), arm_name(pictures.attrs["arm"])
    title = f"The search for “{name}”, on the same noises"
    if not pictures.sizes["column"]:
        return _nothing(title, "No run of this search is there")
    columns, rows = heads(pictures), []
    for k, line in enumerate(cells(pictures)):
        row = []
        for cell, head in zip(line, columns, strict=True):
            words = _hover(cell, f"noise {k + 1}, after {head.updates} updates")
            below = _reading("", cell.p, hit=cell.hit, own=True)
            row.append(Tile(cell.image, (below,), words))
        rows.append(row)
    over = [f"{head.updates} updates{f'{head.star} kept' * head.kept}" for head in columns]
    starts = [str(s) for s in pictures["start"].values]
    if len(set(starts)) > 1:
        begun = [f"from “{text(start, most=_MOST)}”" for start in starts]
        over = [f"{start}<br>{head}" for start, head in zip(begun, over, strict=True)]
    said = (
        f"{arm}, run {pictures.attrs['seed']}; below each image the probability of the label, ✓ "
        "where it is the first class"
    )
    return grid_spec(rows, over, [f"noise {k + 1}" for k in range(len(rows))], title, said)


def before_after(
    tree: xr.DataTree,
    *,
    label: str | None = None,
    arms: Sequence[str] | None = None,
    run_seed: int | None = None,
    columns: int = 6,
) -> Any:
    """The same test noises under two or more arms, each image with its top three classes.

    Parameters
    ----------
    tree
        A result.
    label
        Which; may be left out where there is one label.
    arms
        A row each; where not given the start, or the name prompt without one, and the token.
    run_seed
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
    LabelError
        The label is unknown, or was left out where there are several.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> len(before_after(synthetic(), label="sky").layout.images)
    12
    """
    if arms is None:
        known = [str(a) for a in tree["samples"]["arm"].values.ravel()]
        pair = (before_arm(known), main_arm(known))
        arms = list(dict.fromkeys(a for a in pair if a is not None))
    pictures = analysis.grid(tree, label=label, arms=arms, run_seed=run_seed, columns=columns)
    return figure(before_after_spec(pictures))


def before_after_spec(pictures: xr.Dataset) -> Spec:
    """The specification of `before_after`, from `inversion_kit.analysis.grid`.

    Parameters
    ----------
    pictures
        Cells ``(arm, noise)``.

    Returns
    -------
    dict
        A specification in plotly's JSON terms: ``data`` and ``layout``.
    """
    own = str(pictures.attrs["label"])
    title = f"“{text(own)}” on the same test noises"
    table = cells(pictures)
    if all(cell.gap for line in table for cell in line):
        return _nothing(title, "No test image is there")
    arms = [str(a) for a in pictures["arm"].values]
    runs, samples = (pictures[n].values.tolist() for n in ("run_seed", "sample"))
    several = len(set(runs)) > 1
    over = [f"run {r}, " * several + f"noise {k + 1}" for r, k in zip(runs, samples, strict=True)]
    rows: list[list[Tile]] = []
    for arm, line in zip(arms, table, strict=True):
        rows.append([])
        for cell, head in zip(line, over, strict=True):
            where = f"{arm_name(arm)}, {head}"
            if cell.gap:
                rows[-1].append(Tile(None, (cell.gap,), f"{where}: {cell.gap}"))
                continue
            best = [_reading(one.name, one.p, hit=cell.hit, own=one.own) for one in cell.top[:3]]
            rows[-1].append(Tile(cell.image, tuple(best), _hover(cell, where)))
    said = (
        f"{'several runs' if several else f'run {runs[0]}'}, first noises, not chosen by score; "
        f"top three classes of {text(pictures.attrs['classifier'])}, bold for the label, ✓ where "
        "it is the first"
    )
    return grid_spec(rows, over, [arm_name(a) for a in arms], title, said)


def _reading(name: str, probability: float, *, hit: bool, own: bool) -> str:
    """What an image is read as, short enough for the place below it."""
    said = percent(float(probability))
    if name:
        said = f"{text(name, most=_MOST - 2 * own)}: {said}"  # bold letters are wider
    return f"<b>{'✓ ' if hit else ''}{said}</b>" if own else said


def _hover(cell: Cell, where: str) -> str:
    return "<br>".join([where, *(f"{text(one.name)}: {percent(one.p)}" for one in cell.top)])


def grid_spec(
    rows: list[list[Tile]], heads: list[str], sides: list[str], title: str, said: str
) -> Spec:
    """Tiles in rows, with a word over every column and beside every row."""
    pitch = 1.06 + 0.13 * max((len(tile.lines) for row in rows for tile in row), default=0)
    spots = [(k + 0.5, i * pitch, tile) for i, row in enumerate(rows) for k, tile in enumerate(row)]
    across, up = [x for x, *_ in spots], [y + 0.5 for _, y, _ in spots]
    trace = style.marks(across, up, "pictures", GREY, "square", 60) | {"showlegend": False}
    trace |= hover([tile.hover for *_, tile in spots])
    trace["marker"]["opacity"] = 0
    side = 1 - _GAP
    images, shapes, notes = [], [], []
    for x, y, tile in spots:
        if tile.image is None:
            ends = {"x0": x - side / 2, "x1": x + side / 2, "y0": y, "y1": y + side}
            line = {"color": GREY, "width": 1, "dash": "dash"}
            shapes.append({**ends, "line": line, "fillcolor": "rgba(0, 0, 0, 0)"})
            notes.append(note(tile.lines[0], size=11, x=x, y=y + side / 2))
            continue
        source, pixelated = thumbnail(tile.image, _SIDE, quality=0, enlarge=True)
        place = {"xref": "x", "yref": "y", "x": x - side / 2, "y": y, "sizex": side, "sizey": side}
        kind = {"sizing": "contain", "layer": "below", "name": "pixelated" if pixelated else ""}
        images.append({"source": source, **place, **kind})
        if lines := "<br>".join(tile.lines):
            notes.append(note(lines, size=11, x=x, y=y + side, yanchor="top", align="center"))
    notes += [note(head, x=k + 0.5, y=-0.03, yanchor="bottom") for k, head in enumerate(heads)]
    left: Spec = {"x": 0, "xref": "paper", "xshift": -8, "xanchor": "right"}
    notes += [note(name, size=13, y=i * pitch + 0.5, **left) for i, name in enumerate(sides)]
    tall, columns = len(rows) * pitch, max(len(heads), 5)  # room for the title
    hidden: Spec = {"visible": False, "fixedrange": True}
    layouts: Spec = {"images": images, "shapes": shapes, "annotations": notes}
    layouts |= {"xaxis": {**hidden, "range": [0, columns]}, "width": 140 + _CELL * columns}
    layouts |= {"yaxis": {**hidden, "range": [tall, -0.12]}}
    layouts |= {
        "height": int(110 + _CELL * (tall + 0.12)),
        "margin": style.margin(120, 20, 100, 10),
    }
    return {"data": [trace], "layout": style.layout(title, said, **layouts)}


def _nothing(title: str, why: str) -> Spec:
    middle: Spec = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper"}
    said = note(f"{why}: it failed or was not run", size=15, **middle)
    axes: Spec = {"xaxis": {"visible": False}, "yaxis": {"visible": False}}
    return {"data": [], "layout": style.layout(title, annotations=[said], **axes)}
