"""What a comparison of two models comes to: as data, in sentences, and as numbers of gates."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.compared import MODELS
from inversion_kit.analysis.words import bracket, count, percent, points, rate, some
from inversion_kit.errors import SchemaError
from inversion_kit.plain import as_data

STATUS = ("new", "gone", "stronger", "weaker", "stayed", "unsure", "not measured")
"""What became of a finding from the older to the newer model. *New* and *gone*: confirmed in one
alone, and the same pictures show that its cue acts on that one more. *Stronger* and *weaker*:
confirmed in one at least, and it acts on both differently. *Stayed*: confirmed in one at least, and
no difference is shown. *Unsure*: confirmed in none. *Not measured*: no picture counts."""
LEAST = 0.3
"""Least difference that counts, in shares of the pictures: each of several cues has a 95 % interval
of its own, and half of the pictures make a finding."""
DIFFERS = ("new", "gone", "stronger", "weaker")
"""What is said to differ."""
GATES = {
    "new_findings": ("new_findings", ""),
    "gone_findings": ("gone_findings", ""),
    "moved": ("moved", ""),
    "difference": ("difference", "value"),
    "difference_low": ("difference", "low"),
    "difference_high": ("difference", "high"),
}
"""What a gate on a comparison may name, for every label: how many findings are new or gone, whether
the label moved (1 or 0), and its success in the newer model less that in the older, with its 95 %
interval, in [-1, 1]."""


def status_of(older: bool, newer: bool, value: float, low: float, high: float) -> str:
    """What became of a finding that is confirmed in the older or the newer model.

    Parameters
    ----------
    value, low, high
        The newer model's effect less the older's on the same pictures, and its 95 % interval.

    Examples
    --------
    >>> status_of(False, True, 0.9, 0.8, 1.0), status_of(False, True, 0.1, -0.1, 0.3)
    ('new', 'stayed')
    >>> status_of(True, True, -0.4, -0.6, -0.2), status_of(False, False, 0.2, 0.1, 0.3)
    ('weaker', 'unsure')
    """
    if not math.isfinite(low):
        return "not measured"
    if not (older or newer):
        return "unsure"
    more, less = low > 0 and value >= LEAST, high < 0 and value <= -LEAST
    if newer and not older and more:
        return "new"
    if older and not newer and less:
        return "gone"
    return "stronger" if more else "weaker" if less else "stayed"


def comparison_data(tree: xr.DataTree) -> dict[str, Any]:
    """What `inversion_kit.compare` found, as data that JSON can hold.

    Parameters
    ----------
    tree
        Its result.

    Returns
    -------
    dict
        ``models``, the names of a and b; ``same``, whether nothing differs; ``sentences``;
        ``labels``, a dict each with ``success`` of both, ``difference``, ``moved``,
        ``new_findings``, ``gone_findings``: of those audited and of those that findings are about,
        which have no success unless audited; ``findings``, a dict each with ``status`` (one of
        `STATUS`), ``differs``, ``confirmed`` and ``rate`` of both and ``difference`` on the same
        pictures, those that differ most first; ``disagreement``, what tokens came to that one model
        reads and the other does not; ``power``. A share is a dict of ``value``, ``low`` and
        ``high``.

    Raises
    ------
    SchemaError
        ``tree`` is no such result.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_comparison
    >>> data = comparison_data(synthetic_comparison())
    >>> data["same"], [one["status"] for one in data["findings"]]
    (False, ['new', 'stayed'])
    """
    check_comparison(tree)
    about = json.loads(tree.attrs["comparison"])
    cues = [_cue(row) for row in _along(tree["cues"].to_dataset(), "finding")]
    cues.sort(key=lambda one: (not one["differs"], -abs(one["difference"]["value"] or 0)))
    rows = [_label(row) for row in _along(tree["labels"].to_dataset(), "label")]
    known = {row["label"] for row in rows}
    more = dict.fromkeys(one["label"] for one in cues if one["label"] not in known)
    bare = {"success": None, "difference": None, "disagree": None, "chance": None, "moved": None}
    rows += [{"label": name, "pictures": 0, **bare} for name in more]
    for row in rows:
        mine = [one["status"] for one in cues if one["label"] == row["label"]]
        row["new_findings"], row["gone_findings"] = mine.count("new"), mine.count("gone")
    data: dict[str, Any] = {
        "models": dict(zip(MODELS, about["models"], strict=True)),
        "generator": about["generator"],
        "judges": about["judges"],
        "labels": rows,
        "findings": cues,
        "left": int(tree["cues"].attrs["left"]),
        "crossed": _crossed(tree),
        "disagreement": _disagreement(tree),
        "why_no_tokens": about["why_no_tokens"],
        "power": as_data(
            {"label": float(tree["labels"].attrs["power"]), **{n: about[n] for n in _POWER}}
        ),
        "one_network": about["same"],
        "seconds": about["seconds"],
    }
    data["same"] = not any(row["moved"] for row in rows) and not any(c["differs"] for c in cues)
    data["sentences"] = sentences_of(data)
    return data


_POWER = ("cues", "sources", "power_push", "power_lack", "pictures")


def check_comparison(tree: Any) -> None:
    """Refuse what is no comparison.

    Raises
    ------
    SchemaError
        It is none.
    """
    if not isinstance(tree, xr.DataTree) or "comparison" not in tree.attrs:
        raise SchemaError("tree: no comparison; expected the DataTree that compare returned")


def _along(data: xr.Dataset, dim: str) -> list[xr.Dataset]:
    return [data.isel({dim: i}) for i in range(data.sizes[dim])]


def _share(data: xr.Dataset, name: str, low: str, high: str) -> dict[str, float | None]:
    made: dict[str, float | None] = as_data(
        {key: float(data[n]) for key, n in (("value", name), ("low", low), ("high", high))}
    )
    return made


def _both(data: xr.Dataset, name: str, low: str, high: str) -> dict[str, dict[str, float | None]]:
    return {m: _share(data.sel(model=m), name, low, high) for m in MODELS}


def _label(row: xr.Dataset) -> dict[str, Any]:
    return {
        "label": str(row["label"].values),
        "pictures": int(row["pictures"]),
        "success": _both(row, "success", "low", "high"),
        "difference": _share(row, "difference", "difference_low", "difference_high"),
        "disagree": as_data(float(row["disagree"])),
        "chance": as_data(float(row["chance"])),
        "moved": int(row["moved"]),
    }


def _cue(row: xr.Dataset) -> dict[str, Any]:
    status = str(row["status"].values)
    flags = {n: {m: bool(row[n].sel(model=m)) for m in MODELS} for n in ("named", "confirmed")}
    return {
        "n": int(row["finding"]),
        "label": str(row["of_label"].values),
        **{n: str(row[n].values) for n in ("direction", "cue", "lens")},
        "status": status,
        "differs": status in DIFFERS,
        **flags,
        "rate": _both(row, "rate", "rate_low", "rate_high"),
        "placebo": {m: as_data(float(row["placebo"].sel(model=m))) for m in MODELS},
        "difference": _share(row, "difference", "low", "high"),
        "sources": int(row["sources"]),
        "pictures": int(row["pictures"]),
    }


def _crossed(tree: xr.DataTree) -> list[dict[str, Any]]:
    return [
        {
            "label": str(row["label"].values),
            "maker": maker,
            "reader": reader,
            **_share(row.sel(maker=maker, reader=reader), "share", "low", "high"),
        }
        for row in _along(tree["crossed"].to_dataset(), "label")
        for maker in MODELS
        for reader in MODELS
    ]


def _disagreement(tree: xr.DataTree) -> list[dict[str, Any]]:
    if "disagreement" not in tree.children:
        return []
    data = tree["disagreement"].to_dataset()
    return [
        {
            "label": str(row["label"].values),
            "says": says,
            "share": _share(row.sel(says=says), "share", "low", "high"),
            "judged": _share(row.sel(says=says), "judged", "judged_low", "judged_high"),
            "images": int(row["images"].sel(says=says)),
        }
        for row in _along(data, "label")
        for says in MODELS
    ]


def sentences_of(data: dict[str, Any]) -> list[str]:
    """What a comparison comes to in sentences, the first of them what differs."""
    differs = [one for one in data["findings"] if one["differs"]]
    moved = [row for row in data["labels"] if row["moved"]]
    a, b = data["models"]["a"], data["models"]["b"]
    said = [cue_says(one, data["models"]) for one in differs]
    said += [_moved_says(row, data["models"]) for row in moved]
    if not said:
        said = [f"No difference was found between “{a}” and “{b}”."]
    if data["one_network"]:
        said.append(f"“{b}” {data['one_network']} “{a}”.")
    stayed = [one for one in data["findings"] if one["status"] == "stayed"]
    if stayed:
        names = some([f"{one['cue']} → {one['label']}" for one in stayed], 3)
        said.append(f"Stayed, no difference is shown: {names}.")
    said.append(power_says(data))
    if not moved and differs:
        said.insert(len(differs), "No label's plain pictures are read differently.")
    said += [token_says(one, data["models"]) for one in data["disagreement"]]
    if data["why_no_tokens"]:
        said.append(f"No tokens of disagreement: {data['why_no_tokens']}.")
    if data["left"]:
        said.append(f"{count(data['left'], 'finding')} more, the weaker ones, were not measured.")
    return said


def cue_says(one: dict[str, Any], models: dict[str, str]) -> str:
    """A cue's effect on both models, the one that it acts on more first."""
    first, other = ("b", "a") if (one["difference"]["value"] or 0) >= 0 else ("a", "b")
    rates = {m: rate(*one["rate"][m].values()) for m in MODELS}
    lack = one["direction"] == "lack"
    what = "its own pictures as another class" if lack else "the pictures of other classes as it"
    change = one["difference"]
    gap = f"{points(change['value'])} points {bracket(change['low'], change['high'])}"
    return (
        f"“{one['label']}”, {one['status']}: with “{one['cue']}” “{models[first]}” reads "
        f"{rates[first]} of {what}, “{models[other]}” {rates[other]} of the same "
        f"{count(one['pictures'], 'picture')} ({gap}; placebo {_placebo(one)})."
    )


def _placebo(one: dict[str, Any]) -> str:
    known = [v for v in one["placebo"].values() if v is not None]
    return percent(max(known, default=np.nan))


def _moved_says(row: dict[str, Any], models: dict[str, str]) -> str:
    rates = {m: rate(*row["success"][m].values()) for m in MODELS}
    change = row["difference"]
    gap = f"{points(change['value'])} points {bracket(change['low'], change['high'])}"
    return (
        f"“{row['label']}” moved: “{models['a']}” reads {rates['a']} of its plain pictures as it, "
        f"“{models['b']}” {rates['b']} of the same {count(row['pictures'], 'picture')} ({gap}; "
        f"{percent(row['disagree'])} are read as different classes)."
    )


def power_says(data: dict[str, Any]) -> str:
    """What would have been seen 8 times of 10, had it been there."""
    power, labels = data["power"], [row for row in data["labels"] if row["success"]]
    of = f"{count(len(labels), 'label')} with {count(power['pictures'], 'plain picture')} each"
    if power["label"] is None:
        said = f"Of {of} no change could be shown: these are too few pictures"
    else:
        said = (
            f"Of {of} a change of {percent(power['label'])} of a label's pictures or more would "
            "have been seen 8 times of 10"
        )
    return (
        f"{said}; of {count(power['cues'], 'cue')} in words on {count(power['sources'], 'class')} "
        f"one that moves {percent(power['power_push'])} of the classes to one label, or makes "
        f"{percent(power['power_lack'])} of a class's own pictures be missed."
    )


def token_says(one: dict[str, Any], models: dict[str, str]) -> str:
    """How far a token of disagreement came."""
    other = "b" if one["says"] == "a" else "a"
    judged = one["judged"]
    said = ""
    if judged["value"] is not None:
        said = f"; of those the judges confirm {rate(*judged.values())}"
    return (
        f"A token for what “{models[one['says']]}” calls “{one['label']}” and “{models[other]}” "
        f"does not: {rate(*one['share'].values())} of {count(one['images'], 'image')}{said}."
    )
