"""Made-up results whose images are read as a test says."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import dask.array
import numpy as np
import xarray as xr

from inversion_kit import analysis, figures
from inversion_kit.reports.page import to_html
from inversion_kit.testing import synthetic

AUDIT = ("name", "token+name", "token", "shuffled")
"""The arms of an audit."""
OUTCOMES = ("meaning", "trick", "failure", "mixed")
_CLOCK = r'[0-9-]{10}T[0-9:+.]+|in [^<]* seconds?</dd>|"seconds": [0-9.]+'
"""What of a page says when a result was made, and how long it took."""
OF_FINDINGS = {"svg", "findings", "proof", "doses", "where", "both_read"}
"""Figures of a specification, or of what `inversion_kit.findings` and `compare` give."""
Places = list[list[list[int]]]
"""Places of classes ``(label, seed, sample)``, -1 for a gap."""


def audit(**options: Any) -> xr.DataTree:
    """A result of five labels with the arms of an audit and two views."""
    return synthetic(**{"labels": 5, "arms": AUDIT, "views": ("jpeg", "blur"), **options})


def with_reads(top: dict[str, Places], **options: Any) -> xr.DataTree:
    """Labels (classes 1, 2, ...) whose images are read as ``top`` says of some arms."""
    labels, seeds, samples = np.shape(next(iter(top.values())))
    sizes = {"labels": labels, "seeds": seeds, "samples": samples, "classes": labels + 2}
    tree = audit(**{**sizes, **options})
    put(tree["samples"]["probability"], top)
    return tree


def with_hits(
    hits: dict[str, list[list[int]]], judged: dict[str, list[list[int]]] | None = None
) -> xr.DataTree:
    """One label (class 1) whose images are read as it where ``hits`` ``(seed, sample)`` is 1."""
    top = {arm: [rows] for arm, rows in hits.items()}
    tree = with_reads(
        top, arms=("name", "start", "token"), views=(), judges=() if judged is None else ("judge",)
    )
    if judged is not None:
        put(tree["samples"]["judge_probability"].isel(judge=0), {a: [r] for a, r in judged.items()})
    return tree


def put(variable: xr.DataArray, top: dict[str, Places]) -> None:
    """Let softmaxes ``(label, arm, seed, sample or check, class)`` be all of one class."""
    arms = variable["arm"].values.tolist()
    for arm, places in top.items():
        where = np.array(places)
        value = np.eye(variable.sizes["class"], dtype="f4")[where]
        value[where < 0] = np.nan
        variable.values[:, arms.index(arm)] = value


def counted(tree: xr.DataTree) -> tuple[xr.DataTree, Counter[str]]:
    """The result with softmaxes and pictures read late, and how often each label's were read."""
    times: Counter[str] = Counter()

    def late(data: xr.DataArray, name: str) -> xr.DataArray:
        def load(block: np.ndarray) -> np.ndarray:
            times[name] += 1
            return block

        chunks = (1, *data.shape[1:])
        lazy = dask.array.from_array(data.values, chunks=chunks)
        meta = np.zeros(0, data.dtype)
        return data.copy(data=lazy.map_blocks(load, dtype=data.dtype, meta=meta))

    groups = {}
    for group, node in tree.children.items():
        data = node.to_dataset(inherit=False)
        kept = [n for n in data.data_vars if str(n).endswith("probability") or n == "image"]
        kept = [n for n in kept if n != "log_probability"]
        groups[f"/{group}"] = data.assign({n: late(data[n], f"{group}/{n}") for n in kept})
    made = xr.DataTree.from_dict(groups)
    made.attrs = dict(tree.attrs)
    return made, times


def views(tree: xr.DataTree) -> dict[str, str]:
    """Every figure of a result, its map and its page, by name; times of the clock are left out."""
    drawn = {
        name: getattr(figures, name)(tree).to_json()
        for name in figures.__all__
        if not name.endswith("_spec") and name not in {"projection", *OF_FINDINGS}
    }
    drawn["projection"] = figures.projection(analysis.project(tree, method="pca")).to_json()
    return {**drawn, "page": re.sub(_CLOCK, "", to_html(tree))}
