"""What a process of its own does: a module that can be imported, as `__main__` cannot."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.claims import (
    accuracy,
    ambiguity,
    augmentation,
    counterfactual,
    detail,
    generators,
    imagenet,
    reuse,
    training_data,
)
from benchmarks.claims.bench import Bench
from benchmarks.claims.cells import Cells
from benchmarks.claims.table import Table
from inversion_kit.classifiers.convert import as_classifier

CLAIMS: dict[int, Callable[[Bench], Table]] = {
    1: accuracy.measure,
    2: ambiguity.measure,
    3: detail.measure,
    4: augmentation.measure,
    5: training_data.measure,
    6: reuse.measure,
    7: counterfactual.measure,
    8: imagenet.measure,
}


def measured(number: int, given: dict[str, Any]) -> tuple[Table, float]:
    """A claim's table, and the seconds that it took."""
    began = time.monotonic()
    quick, seeds = given["quick"], given["seeds"]
    weak = "early" if given["weak"] else "noisy words"
    bench = Bench(
        as_classifier(given["classifier"]),
        as_classifier("pocket:judge"),
        {"pocket": generators.strong(), weak: generators.weak(given["weak"])},
        Cells(given["out"] / "cells"),
        quick=quick,
        seeds=range(1 if quick else seeds),
        images=16 if quick else 32,
        data=given["data"],
        planted=given["planted"],
        many=given["labels"],
    )
    return CLAIMS[number](bench), time.monotonic() - began


def alone() -> None:
    """A process of several takes one core."""
    torch.set_num_threads(1)
