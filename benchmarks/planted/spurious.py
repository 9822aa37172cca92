"""K-SSD, CCM and FAM of Adebayo et al. 2022, for explanations that are findings.

There an explanation is a heat map and likeness is that of pictures. Here it is a list of findings,
and how much it says of a secret is the effect of its strongest finding that fits the secret's match
rules, confirmed or not; 0 where none does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.planted.definitions import Definition
from benchmarks.planted.match import right_cue, right_labels
from benchmarks.planted.over_classifiers import drawn, means
from inversion_kit.pocket.signs import NAMES

Findings = Sequence[Mapping[str, Any]]


def said_of(secret: Definition, found: Findings) -> float:
    """How much findings say of a secret, in [0, 1]."""
    fits = (max(one.get("effect") or 0.0, 0.0) for one in found if right_cue(secret, one))
    return float(max(fits, default=0.0))


def measures(
    planted: Sequence[tuple[Definition, Findings]], clean: Sequence[Findings]
) -> dict[str, list[float | None]]:
    """The three measures, each with its interval over draws of the planted classifiers.

    Returns
    -------
    dict
        ``k_ssd``: how much is said of the secrets, mean over planted classifiers; 1 is best.
        ``fam``: how much clean classifiers say of the same secrets, mean over all pairs; 0 is best.
        ``ccm``: share of the labels without the secret of which planted classifiers say what clean
        ones should, nothing that is confirmed; near 1, the secret is not seen where it is not.
        Each ``[value, low, high]``.
    """
    known, quiet, false = [], [], []
    for secret, findings in planted:
        others = set(NAMES) - set(right_labels(secret))
        loud = {one["label"] for one in findings if one["confirmed"]} & others
        known.append((secret.name, said_of(secret, findings)))
        quiet.append((secret.name, 1 - len(loud) / len(others)))
        false += [(secret.name, said_of(secret, one)) for one in clean]
    return {
        name: drawn(means(pairs))
        for name, pairs in (("k_ssd", known), ("ccm", quiet), ("fam", false))
    }
