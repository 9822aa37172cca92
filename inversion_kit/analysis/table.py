"""Every number of a result that views show, as plain data: dicts, lists, numbers, text, None."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.again import code
from inversion_kit.analysis.cues import confirmed_elsewhere, finding_data, findings
from inversion_kit.analysis.label_verdict import label_verdict
from inversion_kit.analysis.looks import KINDS
from inversion_kit.analysis.properties import properties
from inversion_kit.analysis.property_words import pictures_data
from inversion_kit.analysis.rates import search_gap
from inversion_kit.analysis.reading import reads, whole
from inversion_kit.analysis.rows import known
from inversion_kit.analysis.search_path import trajectory
from inversion_kit.analysis.summary import say, say_label
from inversion_kit.plain import as_data
from inversion_kit.schema import settings_of

DETAILED = 12
"""Labels up to which numbers hold every search and every scorer's difference."""
_SAME = (
    "schema_version",
    "classifier",
    "classifier_hash",
    "generator",
    "generator_hash",
    "created",
)
_JSON = ("judges", "judge_hashes", "settings", "versions")


def numbers(
    tree: xr.DataTree,
    *,
    detail: bool | None = None,
    read: xr.Dataset | None = None,
    pictures: bool = False,
) -> dict[str, Any]:
    """What a result says, as data that JSON can hold; NaN is None. Each softmax is read once.

    Parameters
    ----------
    tree
        A result of one label or of many.
    detail
        Add every check of the searches and every scorer's differences; up to `DETAILED` labels
        where not given.
    pictures
        Add what is measured in the pictures themselves, which are read for it: ``pictures`` of
        every label, see `properties`; None where not asked for.
    read
        What `reads` gave of it; made here where not given.

    Returns
    -------
    dict
        ``sentences``; ``attention``; ``labels``, one dict each with its verdict, the success of
        every arm under every scorer, the semantic and view index, gains over the controls, what
        else it is read as, its findings, what they come to (`label_verdicts`), and its failed and
        missing units; ``confirmed_elsewhere``, findings of classes that are no labels of the
        result; ``overall``; ``code`` that makes the result again; and its attributes. A
        share is a dict of ``value``, ``low`` and ``high`` in [0, 1], None without an image.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> data = numbers(synthetic(labels=2, outcomes=("meaning", "trick"), samples=24))
    >>> [(row["label"], row["verdict"]) for row in data["labels"]]
    [('sky', 'confirmed'), ('green', 'trick')]
    """
    tree = whole(tree)
    read = reads(tree) if read is None else read
    labels = read.sizes["label"]
    detail = labels <= DETAILED if detail is None else detail
    data = known(read, detail=detail or labels == 1)
    data["sentences"] = say(tree, data)
    cues = findings(tree).to_dataframe().to_dict("records") if "findings" in tree.children else None
    looked = None if cues is None else int(tree["findings"].attrs.get("cues", 0))
    measured = pictures_data(properties(tree, read=read), detail=detail) if pictures else None
    for row in data["labels"]:
        row["pictures"] = None if measured is None else measured[row["label"]]
        mine = [finding_data(cue) for cue in cues or [] if cue["of_label"] == row["label"]]
        row["findings"] = mine
        row["confirmed"] = None if cues is None else sum(cue["confirmed"] for cue in mine)
        row["finding"], row["finding_says"] = label_verdict(row, data, looked)
        row["says"] = say_label(row, data)
        if detail:
            row["trajectory"] = checks(trajectory(tree, label=row["label"]))
        else:
            del row["per_seed"], row["differences"]
    return {
        **{name: tree.attrs[name] for name in _SAME},
        **{name: json.loads(tree.attrs[name]) for name in _JSON},
        "seconds": float(tree.attrs["seconds"]),
        "stopped": tree.attrs.get("stopped"),
        "search": _search(tree, read),
        "confirmed_elsewhere": confirmed_elsewhere(tree),
        "code": code(tree),
        "kinds": [k for k in KINDS if any(one["kind"] == k for one in data["attention"])],
        **data,
    }


def _search(tree: xr.DataTree, read: xr.Dataset) -> dict[str, Any] | None:
    """The quicker generator that the search asked, and how far its images were from the whole."""
    facts = settings_of(tree).get("search")
    if facts is None:
        return None
    gap: dict[str, Any] = as_data({str(n): v.values[()] for n, v in search_gap(read).items()})
    names = ("generator", "num_inference_steps", "guidance_scale")
    return {**{name: facts[name] for name in names}, **gap}


def label_verdicts(tree: xr.DataTree, *, data: dict[str, Any] | None = None) -> xr.Dataset:
    """What findings, and the images of its token, say of every label.

    Parameters
    ----------
    tree
        A result; without findings no label is said to be as expected.
    data
        What `numbers` gave of it; made here where not given.

    Returns
    -------
    xr.Dataset
        Along ``label``: ``verdict``, one of
        `inversion_kit.analysis.label_verdict.VERDICT_SIGNS`, and ``sentence``.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic, synthetic_findings
    >>> tree = synthetic_findings(synthetic(labels=3, samples=24), confirmed=1, unsure=1)
    >>> label_verdicts(tree)["verdict"].values.tolist()
    ['shortcut', 'uncertain', 'as expected']
    """
    rows = (numbers(tree, detail=False) if data is None else data)["labels"]
    columns = {"verdict": "finding", "sentence": "finding_says"}
    return xr.Dataset(
        {n: ("label", np.array([row[k] for row in rows], object)) for n, k in columns.items()},
        coords={"label": np.array([row["label"] for row in rows], object)},
    )


def checks(path: xr.Dataset) -> list[dict[str, Any]]:
    """The checks of each run of a `trajectory`, as data.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> checks(trajectory(synthetic()))[0]["checks"][0]["updates"]
    0
    """
    names = {
        "updates": "run_step",
        "start": "start",
        "target": "run",
        "tenth": "run_tenth",
        "ninetieth": "run_ninetieth",
        "runner_up": "run_runner_up",
        "second": "run_runner_up_probability",
        "kept": "kept",
    }
    data = {key: path[name].values.tolist() for key, name in names.items()}
    there = np.isfinite(path["run"].values)
    return [
        {
            "seed": int(seed),
            "checks": [
                {key: data[key][run][check] for key in names}
                for check in np.flatnonzero(there[run])
            ],
        }
        for run, seed in enumerate(path["seed"].values)
    ]
