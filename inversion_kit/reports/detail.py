"""How much of each label a page shows, so that it keeps its size."""

from __future__ import annotations

from dataclasses import dataclass, replace

import xarray as xr


@dataclass(frozen=True)
class Detail:
    """How much of a label is shown, and how."""

    images: int
    """Test noises of every arm."""
    strips: tuple[int, ...]
    """Noises along the search, of each run that is shown."""
    checks: int
    """Checks along the search at most."""
    pixels: int
    """Side of a picture."""
    charts: int
    """Runs whose chart is drawn."""
    quality: int
    """Of WebP; 0 is without loss."""
    tables: bool = True
    """Whether numbers under charts, words of runs and what is said on hover are there."""
    views: bool = True
    """Whether judges and views stand under pictures."""
    labels: int = 1_000_000
    """Labels of a result at most."""
    proofs: int = 24
    """Findings with pictures."""
    examples: int = 6
    """Pictures of each kind of a finding."""


LEVELS = (
    Detail(6, (6, 3, 3, 3, 3, 3), 9, 192, 6, 0, labels=1),
    Detail(6, (6, 3, 3, 3, 3, 3), 9, 192, 6, 85, labels=1),
    Detail(6, (6, 2, 2, 2), 7, 128, 4, 80, labels=1),
    Detail(8, (4, 2, 2), 9, 96, 8, 86),
    Detail(6, (3,), 8, 96, 3, 80),
    Detail(6, (2,), 6, 64, 1, 75, tables=False),
    Detail(4, (1,), 6, 48, 1, 70, tables=False, proofs=12),
    Detail(3, (1,), 4, 32, 1, 60, tables=False, views=False, proofs=6, examples=4),
    Detail(2, (), 0, 32, 0, 55, tables=False, views=False, proofs=3, examples=4),
)
"""From most to least; the first that fits the size is taken."""


def levels(tree: xr.DataTree) -> list[Detail]:
    """The levels for a result, each cut to what it has.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> [levels(synthetic(labels=n))[0].images for n in (1, 2)]
    [6, 8]
    """
    sizes, held = tree["samples"].sizes, tree["validation"].sizes
    return [
        replace(
            level,
            images=min(level.images, sizes["sample"] * sizes["seed"]),
            strips=tuple(min(n, held["sample"]) for n in level.strips[: sizes["seed"]]),
            checks=min(level.checks, held["check"]),
            pixels=min(level.pixels, max(sizes["y"], sizes["x"])),
            charts=min(level.charts, sizes["seed"]),
        )
        for level in LEVELS
        if sizes["label"] <= level.labels
    ]


def left_out(tree: xr.DataTree, detail: Detail, of_map: list[str] | None) -> list[str]:
    """In words, what of the result is not in the page.

    Parameters
    ----------
    of_map
        What the map leaves out; None where there is no map.
    """
    sizes, held = tree["samples"].sizes, tree["validation"].sizes
    made = sizes["sample"] * sizes["seed"]
    said = []
    if detail.images < made:
        said.append(
            f"Of {made} test images of each label and arm the first {detail.images} are shown, in "
            "stored order; every number is over all of them"
        )
    if detail.strips:
        noises = " or ".join(str(n) for n in dict.fromkeys(detail.strips))
        said.append(
            f"Pictures along the search are shown of {len(detail.strips)} of {sizes['seed']} runs, "
            f"{noises} of {held['sample']} noises and at most {detail.checks} of {held['check']} "
            "checks"
        )
    else:
        said.append("The pictures along the search are left out")
    if not detail.charts:
        said.append("The charts of confidence are left out")
    elif detail.charts < sizes["seed"]:
        said.append(f"The chart of confidence is of {detail.charts} of {sizes['seed']} runs")
    if not detail.tables:
        said.append("The tables of numbers beneath the charts are left out")
    stored = max(sizes["y"], sizes["x"])
    if detail.pixels < stored:
        said.append(f"Pictures are {detail.pixels} pixels wide, stored are {stored}")
    said += of_map or []
    if detail.quality:
        said.append("Pictures are compressed with loss")
    return [
        *said,
        "Training images are not shown, embeddings and features "
        + ("not either" if of_map is None else "only as places in the map"),
    ]
