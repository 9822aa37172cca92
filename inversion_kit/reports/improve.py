"""What `repair` and `augment` gave as one self-contained HTML page each."""

from __future__ import annotations

import json
from typing import Any, Protocol, runtime_checkable

import xarray as xr
from markupsafe import Markup

from inversion_kit import analysis
from inversion_kit.analysis.improve_words import augmented_says
from inversion_kit.analysis.words import visible
from inversion_kit.errors import InputError
from inversion_kit.figures.both_read import both_read_spec
from inversion_kit.figures.static import svg
from inversion_kit.reports.still import ends, still_page

_MORE = """
.numbers tbody th { min-width: 120px; }
figure svg.figure { width: 100%; max-width: 760px; }
"""
_DONE = {"painted": "painted", "pixels": "done to pixels", "real": "done to real images"}


@runtime_checkable
class HasRepair(Protocol):
    """What a page reads of what `inversion_kit.repair` gave."""

    @property
    def table(self) -> xr.Dataset:
        """Gaps and accuracy."""

    @property
    def pictures(self) -> xr.Dataset:
        """Of each cue, and what is read in them before and after."""

    @property
    def layer(self) -> str:
        """The refitted one."""

    @property
    def sentences(self) -> list[str]:
        """The table in words."""


def is_augmented(result: Any) -> bool:
    """Whether it is what `inversion_kit.augment` gave.

    Examples
    --------
    >>> is_augmented(xr.Dataset())
    False
    """
    return isinstance(result, xr.Dataset) and {"tried", "agreed", "kept"} <= set(result)


def repaired_html(repaired: HasRepair, *, max_mb: float = 25.0) -> str:
    """What `inversion_kit.repair` gave, as the text of a page without a script.

    Gaps and accuracy before and after with their intervals, and pictures of each cue with what
    both classifiers read in them.

    Raises
    ------
    InputError
        The page would be larger than ``max_mb`` megabytes.
    """
    table = repaired.table
    rows = [
        {
            "label": str(one["label"].item()),
            "cue": str(one["cue"].item()),
            "missed": str(one["direction"].item()) == "lack",
            "way": _DONE[str(way)],
            "gaps": [ends(one.sel(way=way, when=when), "gap") for when in ("before", "after")],
            "change": ends(one.sel(way=way), "gap_change"),
            "closed": float(one["closed"].sel(way=way)),
            "pictures": int(one["pictures"].sel(way=way)),
        }
        for one in (table.sel(finding=i) for i in table["finding"].values)
        for way in table["way"].values
    ]
    accuracy = [
        {
            "images": str(kind),
            "values": [
                ends(table.sel(images=kind, when=when), "accuracy") for when in ("before", "after")
            ],
            "change": ends(table.sel(images=kind), "accuracy_change"),
            "read": int(table["images_read"].sel(images=kind)),
        }
        for kind in table["images"].values
    ]
    return still_page(
        "repair.html.j2",
        _MORE,
        max_mb=max_mb,
        shown=[],
        about=table.attrs,
        rows=rows,
        accuracy=accuracy,
        drawn=_drawn(repaired.pictures),
        sentences=repaired.sentences,
        judges=json.loads(table.attrs["judges"]),
        facts=[
            *((n, f"sha256 {table.attrs[f'{n}_hash']}") for n in ("classifier", "generator")),
            ("layer", visible(repaired.layer)),
        ],
    )


def augmented_html(table: xr.Dataset, *, max_mb: float = 25.0) -> str:
    """What `inversion_kit.augment` gave, as the text of a page without a script.

    Raises
    ------
    InputError
        It is something else, or the page would be larger than ``max_mb`` megabytes.

    Examples
    --------
    >>> one = {"tried": 4, "agreed": 3, "kept": 2, "full": True, "share": 0.75}
    >>> ends = {"low": 0.3, "high": 0.95}
    >>> made = xr.Dataset({k: ("label", [v]) for k, v in {**one, **ends}.items()})
    >>> about = {"n": 2, "arm": "token", "seed": 0, "judges": "[]", "generator": "pocket"}
    >>> made = made.assign_coords(label=["stop"]).assign_attrs(no_token="{}", **about)
    >>> augmented_html(made)[:15]
    '<!doctype html>'
    """
    if not is_augmented(table):
        raise InputError(f"result: {type(table).__name__}; expected what augment(...) gave")
    rows = [
        {
            "label": str(name),
            "share": ends(one, ""),
            **{n: int(one[n]) for n in ("tried", "agreed", "kept")},
            "full": bool(one["full"]),
        }
        for name, one in ((n, table.sel(label=n)) for n in table["label"].values)
    ]
    return still_page(
        "augment.html.j2",
        _MORE,
        max_mb=max_mb,
        shown=[],
        about=table.attrs,
        rows=rows,
        sentences=augmented_says(table),
        judges=json.loads(table.attrs["judges"]),
        facts=[("seed", str(table.attrs["seed"]))],
    )


def _drawn(pictures: xr.Dataset) -> list[Markup]:
    """A figure of each finding that has pictures."""
    made = []
    for finding in pictures["finding"].values:
        try:
            spec = both_read_spec(analysis.both_read(pictures, int(finding)))
        except InputError:  # none of its pictures counts; the table says of how many
            continue
        made.append(Markup(svg(spec, title=True)))
    return made
