"""What stands with each picture of a result: read once, drawn by figures, reports and widgets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from inversion_kit.analysis.pictures import largest
from inversion_kit.analysis.words import start_again, start_says

_GAPS = {"missing": "not run", "done": "no finite probability"}
"""Why a picture is not there, by the status of its unit."""


@dataclass(frozen=True)
class Reading:
    """A class with its probability, or a judge's first class; whether it is the label."""

    name: str
    own: bool
    p: float = np.nan
    judge: str = ""


@dataclass(frozen=True)
class Cell:
    """A place of a table of pictures.

    Parameters
    ----------
    image
        uint8 ``(y, x, channel)``; None where there is no picture.
    p, hit
        The label's probability in [0, 1], and whether the label is the first class.
    top
        Classes by their probability, the largest first; none without a picture.
    gap, reason
        In words why there is no picture, and what its unit failed of; else "".
    judges
        What each held-out classifier reads, as far as they were asked.
    views_asked, views_agree
        Views that read it, and those of them that read what the classifier reads.
    """

    image: np.ndarray | None
    p: float
    hit: bool
    top: tuple[Reading, ...]
    gap: str = ""
    reason: str = ""
    judges: tuple[Reading, ...] = ()
    views_asked: int = 0
    views_agree: int = 0


@dataclass(frozen=True)
class Head:
    """A column of the pictures along a search: where it stands in it.

    Parameters
    ----------
    updates
        Made so far.
    start
        What the token began at, in words.
    begun
        Where the column before began elsewhere: "restart at …", or "goes on with …" of a start that
        an earlier column has; else "".
    kept
        Whether this token was kept.
    mean
        The label's probability in [0, 1] over all noises.
    """

    updates: int
    start: str
    begun: str
    kept: bool
    mean: float

    @property
    def star(self) -> str:
        """The mark of the token that was kept."""
        return " ★" if self.kept else ""


def cells(pictures: xr.Dataset, most: int = 5) -> list[list[Cell]]:
    """Rows of cells of what `inversion_kit.analysis.strip` or `grid` gave.

    Parameters
    ----------
    most
        Classes in ``top``.

    Examples
    --------
    >>> from inversion_kit import analysis
    >>> from inversion_kit.testing import synthetic
    >>> (first, *_), _ = cells(analysis.strip(synthetic()))
    >>> first.hit, first.top[0].name
    (False, 'orange')
    """
    names, own = pictures["class"].values.astype(str), int(pictures.attrs["label_index"])
    held = {name: pictures[name].values for name in ("image", "probability", "target", "hit")}
    of_grid = "gap" in pictures
    grid = (
        {n: pictures[n].values for n in ("gap", "reason", "views_asked", "views_agree")}
        if of_grid
        else {}
    )
    judges = _judges(pictures)
    made = []
    for row in range(held["hit"].shape[0]):
        line = []
        for at in ((row, column) for column in range(held["hit"].shape[1])):
            more = {name: values[at] for name, values in grid.items()}
            gap = str(more.pop("gap", ""))
            p, order = (
                held["probability"][at],
                [] if gap else largest(held["probability"][at], most),
            )
            line.append(
                Cell(
                    image=None if gap else held["image"][at],
                    p=float(held["target"][at]),
                    hit=bool(held["hit"][at]),
                    top=tuple(Reading(str(names[c]), c == own, float(p[c])) for c in order),
                    gap=_GAPS.get(gap, gap),
                    judges=tuple(
                        Reading(str(said[at]), said[at] == names[own], judge=judge)
                        for judge, said in judges
                        if said[at]
                    ),
                    **more,
                )
            )
        made.append(line)
    return made


def _judges(pictures: xr.Dataset) -> list[tuple[str, np.ndarray]]:
    """Held-out classifiers, and the first class of each in every cell."""
    if "judge" not in pictures.coords:
        return []
    asked = zip(pictures["judge"].values, pictures["judge_kind"].values, strict=True)
    return [
        (str(judge), pictures["judge_read_as"].values[j])
        for j, (judge, kind) in enumerate(asked)
        if kind == "classifier"
    ]


def heads(strip: xr.Dataset) -> list[Head]:
    """The columns of what `inversion_kit.analysis.strip` gave.

    Examples
    --------
    >>> from inversion_kit import analysis
    >>> from inversion_kit.testing import synthetic
    >>> [head.updates for head in heads(analysis.strip(synthetic(), columns=3))]
    [0, 4, 12]
    """
    each = [strip[n].values.tolist() for n in ("updates", "restart", "kept", "mean")]
    starts = strip["start"].values.tolist()
    said = [start_says(start) for start in starts]
    return [
        Head(n, said[i], start_again(said[i], starts[i] in starts[:i]) if restart else "", *rest)
        for i, (n, restart, *rest) in enumerate(zip(*each, strict=True))
    ]
