"""A few pictures of each cue, and what is read in them before and after a repair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.bank.cues import PLAIN_CUE
from inversion_kit.improve.looks import Looker
from inversion_kit.improve.ties import Tie

SHOWN = 8
"""Pictures of each cue."""
_ROWS = ("plain", "cue")
_MODELS = ("before", "after")


def shown(
    tie: Tie, looker: Looker, sources: np.ndarray, seeds: Sequence[int], layers: Sequence[Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures in which the judges see the source both ways, and the class that each layer reads.

    They are not chosen by what is read: each is of another source and noise as far as they last.

    Returns
    -------
    tuple
        uint8 ``(row, n, y, x, 3)``, plain and with the cue, and int ``(model, row, n)``.
    """
    sources = sources[: 2 * SHOWN]
    seeds = seeds[: -(-3 * SHOWN // max(1, len(sources)))]
    looks = [looker.painted(cue, sources, seeds) for cue in (PLAIN_CUE, tie.cue)]
    read = [[(look.features @ w.T + b).argmax(1) for look in looks] for w, b in layers]
    row, column = np.indices((len(sources), len(seeds))).reshape(2, -1)
    order = np.lexsort((row, (column - row) % len(seeds)))
    at = order[np.logical_and(*(look.seen[order] for look in looks))][:SHOWN]
    pictures = [
        looker.bank.images(looker.keys(cue, sources, seeds))[at] for cue in (PLAIN_CUE, tie.cue)
    ]
    return np.stack(pictures), np.array(read)[:, :, at]


def shown_table(
    ties: Sequence[Tie], made: Sequence[tuple[np.ndarray, np.ndarray]], labels: Sequence[str]
) -> xr.Dataset:
    """Pictures of all ties, as `inversion_kit.analysis.both_read` takes them.

    A place without a picture is black, and nothing is read there.
    """
    size = next((images.shape[2:] for images, _ in made if images.shape[1]), (1, 1, 3))
    pictures = np.zeros((len(ties), len(_ROWS), SHOWN, *size), "u1")
    read = np.full((len(ties), len(_MODELS), len(_ROWS), SHOWN), "", object)
    for i, (images, classes) in enumerate(made):
        there = images.shape[1]
        if there:
            pictures[i, :, :there] = images
            read[i, :, :, :there] = np.array(labels, object)[classes]
    texts = {
        "of_label": [labels[tie.target] for tie in ties],
        "cue": [tie.cue.name for tie in ties],
        "direction": [tie.direction for tie in ties],
    }
    return xr.Dataset(
        {
            **{name: ("finding", np.array(values, object)) for name, values in texts.items()},
            "picture": (("finding", "row", "example", "y", "x", "channel"), pictures),
            "read": (("finding", "model", "row", "example"), read),
        },
        coords={"finding": np.arange(len(ties)), "model": list(_MODELS), "row": list(_ROWS)},
    )
