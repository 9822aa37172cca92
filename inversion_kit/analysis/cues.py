"""Findings that a result holds: which cues push its classifier towards or from a label."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.carried import real_data
from inversion_kit.analysis.reading import label_place, whole
from inversion_kit.analysis.searched import by_learned_words, by_triggers, in_words
from inversion_kit.analysis.tied import ranked
from inversion_kit.analysis.words import count, some
from inversion_kit.plain import as_data
from inversion_kit.schema import WHOLE

HALF = 0.5
"""Share of pictures below which a CLIP is said not to see a cue."""


def findings(tree: xr.DataTree, label: str | None = None) -> xr.Dataset:
    """Findings of a result's labels, or of one: the confirmed first, then the largest effect.

    Parameters
    ----------
    tree
        A result of `inversion_kit.findings`, or an audit whose folder holds findings.
    label
        Only those on this one; all where not given.

    Returns
    -------
    xr.Dataset
        As `inversion_kit.schema.WHOLE` has it, along ``finding``, those with a finite effect; none
        where the result holds no such group. ``finding`` is the place in the result.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> findings(synthetic()).sizes["finding"]
    0
    """
    labels = [str(n) for n in whole(tree)["samples"]["label"].values]
    labels = labels if label is None else [labels[label_place(whole(tree), label)]]
    if "findings" not in tree.children:
        kinds = {"str": object, "b1": bool}
        empty = {
            n: (dims, np.zeros(0, kinds.get(k, k))) for n, (dims, k) in WHOLE["findings"].items()
        }
        return xr.Dataset(empty, coords={"finding": np.arange(0)})
    table = tree["findings"].to_dataset(inherit=False).load()
    effect = np.abs(table["effect"].values.astype(float))
    mine = np.isin(table["of_label"].values.astype(str), labels) & np.isfinite(effect)
    order = ranked(table)
    return table.isel(finding=order[mine[order]])


def findings_data(tree: xr.DataTree) -> dict[str, Any]:
    """The findings of a result as data that JSON can hold.

    Parameters
    ----------
    tree
        A result of `inversion_kit.findings`, or an audit whose folder holds findings.

    Returns
    -------
    dict
        ``classifier``; ``findings``, one dict each, with ``real`` where real images were given;
        ``clean``, whether none is confirmed;
        ``seconds`` that the search for them took.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> findings_data(synthetic())["clean"]
    True
    """
    table = findings(tree)
    rows = [
        finding_data(row) | ({"real": real} if (real := real_data(tree, int(n))) else {})
        for n, row in table.to_dataframe().to_dict("index").items()
    ]
    return {
        "classifier": tree.attrs["classifier"],
        "findings": rows,
        "clean": not any(row["confirmed"] for row in rows),
        "seconds": float(table.attrs.get("seconds", 0.0)),
    }


def finding_data(row: dict[str, Any]) -> dict[str, Any]:
    """A row of /findings as data; what is not finite is None."""
    data: dict[str, Any] = as_data(row)
    return {"label": data.pop("of_label"), **data}


def looked_for(tree: xr.DataTree) -> list[str]:
    """What the search for findings comes to, in sentences; none where there was no search.

    Parameters
    ----------
    tree
        A result of `inversion_kit.findings`, or an audit whose folder holds findings.

    Returns
    -------
    list of str
        Sentences, those on what is confirmed first.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> looked_for(synthetic())
    []
    """
    if "findings" not in tree.children:
        return []
    about, table = tree["findings"].attrs, findings(tree)
    confirmed = [str(s) for s in table["sentence"].values[table["confirmed"].values]]
    elsewhere = list(confirmed_elsewhere(tree))
    nothing = "Nothing is confirmed that the classifier has tied to a class."
    if elsewhere:
        nothing = "Nothing is confirmed that the classifier has tied to a label of this result."
    said = confirmed or [nothing]
    if elsewhere:
        said.append(f"Confirmed of classes without images in this result: {some(elsewhere, 3)}.")
    if "cues" not in about:
        return said
    unsure = table.sizes["finding"] - len(confirmed)
    others = f" {count(unsure, 'more effect')} could not be confirmed." if unsure else ""
    said.append(f"{in_words(tree)}{others}")
    if "carriers" in tree.children:
        said.append(_seen(tree["carriers"].attrs))
    if more := int(about["left"]):
        said.append(
            f"{count(more, 'effect')} of the screening, the smaller ones and a choice of those on "
            "one class alone, had no second look: there were too many."
        )
    said.append(" ".join([*by_triggers(tree), *by_learned_words(about)]))
    if hard := json.loads(str(about["hard"])):
        said.append(
            f"Hard for this classifier whatever the class, and so tied to none: {', '.join(hard)}."
        )
    little, unseen = _out_of_reach(tree)
    clip = f"the CLIP “{about.get('clip', '')}”"
    if little:
        either = f" ({clip} does not surely see the words either)" if about.get("clip") else ""
        said.append(
            "Outside the generator's reach, for pictures changed no more than by other words for "
            f"the plain one{either}: {', '.join(little)}."
        )
    if unseen:
        said.append(
            f"Outside the generator's reach, for pictures changed but {clip} sees the words in "
            f"fewer than half of them more than in plain ones: {', '.join(unseen)}."
        )
    if left := json.loads(str(about["unpainted"])):
        said.append(f"Not looked for: {', '.join(left)}.")
    return said


def confirmed_elsewhere(tree: xr.DataTree) -> dict[str, int]:
    """How many findings are confirmed of each class that is no label of a result.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic, synthetic_findings
    >>> confirmed_elsewhere(synthetic_findings(synthetic(labels=3)).sel(label=["green"]))
    {'sky': 1}
    """
    if "findings" not in tree.children:
        return {}
    every = tree["findings"].to_dataset(inherit=False)
    other = every["of_label"].values[every["confirmed"].values].astype(str)
    labels = set(whole(tree)["samples"]["label"].values.astype(str))
    return dict(Counter(label for label in other.tolist() if label not in labels))


def _out_of_reach(tree: xr.DataTree) -> tuple[list[str], list[str]]:
    """Cues that the generator does not paint: that change too little, and that a CLIP does not see.

    Too little is no more than the median of placebo words changes at the same places. Where a CLIP
    was asked, a cue is within reach if it surely sees the words in more of its pictures than in
    plain ones; and outside, if it surely does so in fewer than `HALF` of them, unless it reads the
    words in most plain pictures.
    """
    if "effects" not in tree.children:
        return [], []
    effects = tree["effects"].to_dataset(inherit=False)
    painted, placebo = effects["painted"].values, effects["kind"].values == "placebo"
    if "reworded" in effects:
        least = np.nan_to_num(effects["reworded"].values, nan=-np.inf)
    else:  # an older result, of whole pictures alone
        least = np.nanmedian(painted[placebo]) if np.isfinite(painted[placebo]).any() else -np.inf
    little, unseen = painted <= least, np.zeros(len(painted), bool)
    if "clip_cued" in effects:
        seen = effects["clip_low"].values > 0
        unseen = (effects["clip_high"].values < HALF) & (effects["clip_plain"].values <= HALF)
        unseen &= ~little & ~seen
        little &= ~seen
    named = ([str(cue) for cue in effects["cue"].values[~placebo & of]] for of in (little, unseen))
    return next(named), next(named)


def _seen(about: Mapping[Any, Any]) -> str:
    """How many real images were looked at."""
    unread = int(about["unread"])
    return f"Real images: {about['images']} of the {about['files']} in the folder" + (
        f"; {unread} could not be read." if unread else "."
    )
