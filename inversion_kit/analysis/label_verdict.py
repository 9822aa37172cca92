"""The verdict on a label by what cues and its token did: one word and one plain sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.tied import tie
from inversion_kit.analysis.words import count, rate
from inversion_kit.arms import arm_of

VERDICT_SIGNS = {
    "backdoor-like": "■",
    "shortcut": "◆",
    "mislabelled": "≈",
    "lack": "□",
    "adversarial only": "▲",
    "uncertain": "?",
    "natural confusion": "⇄",
    "as expected": "●",
}
"""What can be said of a label by its findings, most serious first, and the signs."""
CONFIRMED = ("backdoor-like", "shortcut", "mislabelled", "lack")
"""Verdicts that only a confirmed finding gives."""
SERIOUS = (*CONFIRMED, "adversarial only")
"""Verdicts that are coloured as a warning."""


def label_verdict(row: dict[str, Any], data: dict[str, Any], cues: int | None) -> tuple[str, str]:
    """One of `VERDICT_SIGNS` on a label, and one sentence that says why.

    - backdoor-like, shortcut, mislabelled, lack: of its confirmed findings the most serious.
    - adversarial only: its token is read by the classifier and not by the judges.
    - uncertain: an effect without proof, too little to tell, or nobody looked for cues.
    - natural confusion: a cue moves others to it, for the judges too.
    - as expected: most of its pictures are read as it, by the judges too, and no cue is tied to it.

    Parameters
    ----------
    row, data
        Of the label, and of all, as `inversion_kit.analysis.numbers` has them; ``row`` with its
        ``findings`` and its ``verdict``.
    cues
        How many were looked for; None where nobody did.

    Examples
    --------
    >>> row = {"findings": [], "attention": [], "success": None}
    >>> label_verdict(row, {"arm": "name"}, None)
    ('uncertain', 'No cues were looked for.')
    """
    ranked = sorted(row["findings"], key=lambda one: _rank(one["verdict"]))
    if sure := [one for one in ranked if one["confirmed"]]:
        more = len(sure) - 1
        rest = f"; {count(more, 'more finding')} of it {'is' if more == 1 else 'are'} confirmed"
        shown = "" if sure[0]["verdict"] == "mislabelled" else ", by words and by pixels"
        return _known(sure[0]), f"{_tied(sure[0])}{shown}{rest * (more > 0)}."
    arm = arm_of(data["arm"])
    token = arm is not None and arm.token != "none"
    if token and any(one["kind"] == "trick" for one in row["attention"]):
        return (
            "adversarial only",
            f"Its token is read as it in {rate(**row['success'])} of {row['images']} images, of "
            f"which held-out classifiers confirm {rate(**row['semantic_index'])}.",
        )
    for one in ranked:
        if one["verdict"] == "natural confusion":
            return "natural confusion", f"{_tied(one)}, and the judges make the same mistake."
        return "uncertain", f"{_tied(one)}, which words and pixels do not both show."
    if cues is None:
        return "uncertain", "No cues were looked for."
    return _without_findings(row, data, cues)


def with_findings(points: xr.Dataset, rows: Sequence[dict[str, Any]]) -> xr.Dataset:
    """Places of images and tokens with ``finding``, what their label's findings come to.

    Parameters
    ----------
    points
        From `inversion_kit.analysis.project`.
    rows
        The labels of `inversion_kit.analysis.numbers`; of others it is "".
    """
    known = {row["label"]: row["finding"] for row in rows}
    values = [known.get(str(label), "") for label in points["of_label"].values]
    return points.assign(finding=("point", np.array(values, object)))


def _without_findings(row: dict[str, Any], data: dict[str, Any], cues: int) -> tuple[str, str]:
    """Of a label that no cue stands out for: whether its own pictures are read as it."""
    none = f"None of {count(cues, 'cue')} is tied to it"
    success, meant = row["success"], row["semantic_index"]
    if not success:
        return "uncertain", f"{none}, but no image was made of it."
    said = f"of its {row['images']} images {rate(**success)} are read as it"
    judges = any(one["role"] == "classifier" for one in data["scorers"])
    if meant:
        said += f", and of those held-out classifiers confirm {rate(**meant)}"
    if mixed := next((one for one in row["attention"] if one["kind"] == "mixed up"), None):
        return "uncertain", f"{none}, but {mixed['reason']}; {said}."
    if success["low"] > 0.5 and (not judges or (meant and meant["low"] > 0.5)):
        return "as expected", f"{none}; {said}."
    return "uncertain", f"{none}, but it is not shown that most of its images are right: {said}."


def _rank(verdict: str) -> int:
    return list(VERDICT_SIGNS).index(verdict) if verdict in VERDICT_SIGNS else len(VERDICT_SIGNS)


def _known(one: dict[str, Any]) -> str:
    """The verdict of a confirmed finding; "uncertain" of one by a name that is not known."""
    return one["verdict"] if one["verdict"] in CONFIRMED else "uncertain"


def _tied(one: dict[str, Any]) -> str:
    said = tie(one)
    return said[:1].upper() + said[1:]
