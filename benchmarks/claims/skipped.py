"""Claims that are not measured here, and why."""

from __future__ import annotations

from benchmarks.claims.bench import Bench
from benchmarks.claims.table import Table


def counterfactual(bench: Bench) -> Table:
    """7: the smallest change of a given picture that flips the classifier."""
    why = "Skipped: a given picture cannot be started from yet."
    return Table(7, "A counterfactual of a given picture", notes=[why])


def imagenet(bench: Bench) -> Table:
    """8: a real ImageNet classifier against the pocket."""
    why = (
        "Skipped: the weights of EfficientNet-Lite0 are not part of this library. An earlier look "
        'by hand: its "street sign" and "traffic light" were reached in 0 of 32 pictures each.'
    )
    return Table(8, "A real ImageNet classifier", notes=[why])
