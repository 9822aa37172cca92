"""Labels that a confirmed finding ties to a cue, and the proof of a finding by pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.words import rate, some
from inversion_kit.errors import InputError, nearest

ROWS = ("plain", "cue", "placebo")
"""Rows of a proof's pictures: as they were, with the cue done to them, with a placebo."""
OPINIONS = ("", "agree", "disagree")
"""A person's verdict on a finding; "" for none."""
_SAID = 2
"""Most cues of a label that are named."""
_RATE = ("effect", "low", "high")
_GAINS = ("brighter", "darker", "closer", "smaller")
_DOSES = ("dose", "rate", "low", "high", "placebo", "placebo_low", "placebo_high")
_SHOWN = ("picture", "read", "judged")


def tied(tree: xr.DataTree, labels: Sequence[str]) -> np.ndarray:
    """In words what is confirmed to be tied to each label; "" where nothing is.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> tied(synthetic(), ["sky"]).tolist()
    ['']
    """
    said: dict[str, list[tuple[float, str]]] = {label: [] for label in labels}
    if "findings" in tree.children:
        table = tree["findings"].to_dataset(inherit=False)
        for at in np.flatnonzero(table["confirmed"].values):
            one = table.isel(finding=at)
            if (label := str(one["of_label"].item())) in said:
                row = {name: one[name].item() for name in ("cue", "direction", "only", *_RATE)}
                row["label"] = label
                said[label].append((-abs(row["effect"]), tie(row)))
    made = np.empty(len(labels), object)
    for i, label in enumerate(labels):
        ties = [words for _, words in sorted(said[label])]
        more = [f"{len(ties) - _SAID} more"] if len(ties) > _SAID else []
        made[i] = "; ".join([*ties[:_SAID], *more])
    return made


def tie(one: Mapping[str, Any]) -> str:
    """What the cue of a finding does to its label, in words; ``one`` is a row of /findings.

    Examples
    --------
    >>> row = {"cue": "snow", "direction": "lack", "effect": 0.9, "low": 0.7, "high": 1.0}
    >>> tie(row)[-31:]
    ' of its own pictures are missed'
    """
    cue, share = some([str(one["cue"])]), rate(*(float(one[n]) for n in _RATE))
    if one["direction"] == "lack":
        return f"with {cue} {share} of its own pictures are missed"
    only = str(one.get("only", ""))
    if only and only == one.get("label"):
        return f"with {cue} {share} more of its own pictures are read as it than without"
    others = some(only.split("\n"), 3) if only else "other pictures"
    return f"with {cue} {share} of {others} are read as it"


def proof(tree: xr.DataTree, finding: int | None = None) -> xr.Dataset:
    """The proof of one finding: rates by dose beside a placebo's, and rows of pictures.

    Where nothing is added, or the judges make the same mistake, there are pictures alone.

    Parameters
    ----------
    tree
        A result with the groups ``/findings`` and ``/proof``.
    finding
        Its place in the result, as coordinate ``finding`` has it; where not given that of the
        confirmed with the largest effect, or else of the largest.

    Returns
    -------
    xr.Dataset
        ``dose``, ``rate``, ``low``, ``high``, ``placebo``, ``placebo_low`` and ``placebo_high``
        along ``place``, which is empty where nothing was done to pixels; ``picture`` uint8 ``(row,
        example, y, x, channel)``, and what the classifier and most of the judges read in each,
        ``read`` and ``judged`` ``(row, example)``, where ``row`` holds those of `ROWS` that there
        are. Attributes: ``label``, ``cue``, ``direction``, ``verdict``, ``sentence``,
        ``confirmed``, ``operator`` (what was done), and ``side``: pixels of a picture's shorter
        side, for `dose_words`.

    Raises
    ------
    InputError
        The result has no such finding, or it has neither.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic, synthetic_findings
    >>> data = proof(synthetic_findings(synthetic()))
    >>> data.attrs["cue"], data["picture"].sizes["row"]
    ('yellow sticker', 3)
    """
    places = proved(tree)
    if not places:
        raise InputError(
            "tree: it holds no proof of a finding; make one with inversion_kit.findings(tree)"
        )
    at = place_of(places, finding, "it has no proof")
    table = tree["findings"].to_dataset(inherit=False).sel(finding=at)
    data = tree["proof"].to_dataset(inherit=False).sel(finding=at).load()
    there = np.isfinite(data["dose"].values)
    black = ~data["picture"].values.any((2, 3, 4))
    at_all = {"row": ~black.all(1), "example": ~black.all(0)}
    kept = [name for name in (*_DOSES, *_SHOWN) if name in data]  # an older result has fewer
    data = data.isel(place=there, **at_all)[kept].drop_vars("finding")
    text = ("cue", "direction", "verdict", "sentence")
    operator = str(tree["proof"]["operator"].sel(finding=at).item())
    return data.assign_attrs(
        label=str(table["of_label"].item()),
        confirmed=bool(table["confirmed"]),
        operator=operator,
        side=min(data.sizes["y"], data.sizes["x"]),
        **{name: str(table[name].item()) for name in text},
    )


def proved(tree: xr.DataTree) -> list[int]:
    """Places of the findings with doses or pictures: the confirmed first, then by effect."""
    if "proof" not in tree.children or "findings" not in tree.children:
        return []
    data = tree["proof"].to_dataset(inherit=False)
    there = np.isfinite(data["dose"].values).any(1)
    if "read" in data:
        there |= (data["read"].values != "").any((1, 2))
    return in_order(tree, data["finding"].values[there])


def in_order(tree: xr.DataTree, places: np.ndarray) -> list[int]:
    """Those of some places that hold a finding: the confirmed first, then the largest effect."""
    table = tree["findings"].to_dataset(inherit=False)
    table = table.sel(finding=places[np.isin(places, table["finding"].values)])
    return [int(n) for n in table["finding"].values[ranked(table)]]


def place_of(places: Sequence[int], finding: int | None, lacks: str) -> int:
    """The place that is asked for; the first of them, which is the strongest's, where none is.

    Raises
    ------
    InputError
        It is none of them; ``lacks`` says what it has not.
    """
    at = next(iter(places), None) if finding is None else finding
    if at is None or at not in places:
        near = nearest(str(at), [str(n) for n in places])
        raise InputError(f"finding={finding!r}: {lacks}; try {near} of {list(places)}")
    return at


def ranked(table: xr.Dataset) -> np.ndarray:
    """Places of a table's findings: the confirmed first, then the largest effect."""
    effect = np.abs(table["effect"].values.astype(float))
    order: np.ndarray = np.lexsort((-effect, ~table["confirmed"].values))
    return order


def dose_words(dose: float, side: int, operator: str) -> str:
    """A dose as it is read: lengths of patches and frames in pixels, gains in times, tilts in °.

    Parameters
    ----------
    dose
        Of a length the share of a picture's shorter side.
    side
        That side in pixels.
    operator
        What was done.

    Returns
    -------
    str
        The number with its unit.

    Examples
    --------
    >>> dose_words(0.1875, 32, "yellow patch"), dose_words(1.5, 32, "brighter")
    ('6 px', '1.5 times')
    """
    if "patch" in operator or "frame" in operator:
        return f"{dose * side:.0f} px"
    unit = " times" if operator in _GAINS else "°" if operator.startswith("tilted") else ""
    return f"{dose:.2g}{unit}"


def judge_finding(tree: xr.DataTree, finding: int, opinion: str, note: str = "") -> None:
    """Keep a person's verdict on a finding in the result: `save` stores it, reports show it.

    Parameters
    ----------
    tree
        A result with findings; it is changed.
    finding
        Its place in the result, as coordinate ``finding`` has it.
    opinion
        One of `OPINIONS`; "" for none.
    note
        Why, in the person's own words.

    Raises
    ------
    InputError
        There is no such finding, or the opinion is another word.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic, synthetic_findings
    >>> tree = synthetic_findings(synthetic())
    >>> judge_finding(tree, 0, "agree", "seen on the road")
    >>> tree["findings"]["opinion"].values.tolist()
    ['agree', '']
    """
    if opinion not in OPINIONS:
        raise InputError(f"opinion={opinion!r}: must be one of {OPINIONS}")
    if "findings" not in tree.children:
        raise InputError("tree: it holds no findings; make them with inversion_kit.findings(tree)")
    node = tree["findings"]
    places = node["finding"].values.tolist()
    if finding not in places:
        raise InputError(f"finding={finding!r}: there is none; must be one of {places}")
    for name, value in (("opinion", opinion), ("note", note)):
        values = np.full(len(places), "", object)
        if name in node:
            values[:] = [str(v) for v in node[name].values]
        values[places.index(finding)] = value
        node[name] = xr.DataArray(values, dims="finding")
