"""Scores alone against the gradient, with 4,000 queries: ``python benchmarks/black_box.py``.

The first eight of the 43 traffic signs, the speed limits, are searched three times with the default
settings and one seed: by the gradient of ``pocket:honest``, by ``method="cma"`` from its
probabilities, and by ``method="cma"`` from its top class alone. All share their noise. Success is
the share of images on test noise whose most likely class is the label, with its 95 % interval; the
judge has given neither gradient nor scores. Each is an audit in a folder: interrupted, it goes on.
``--gradient`` may be any audit of the same models that has the arm ``token`` in default settings.
``--restarts 0`` leaves out the vocabulary probe: all begin at the neutral vector and have nothing
but their own steps, as where no word fits.

The numbers of the method itself (population, directions, spread) were not tuned; looks were taken
on other signs with another seed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
import xarray as xr

import inversion_kit as ik
from inversion_kit.analysis import intervals

QUERIES = 4000
SAMPLES = 32
SHARE, ENOUGH, LABELS = 0.8, 6, 8
Rows = dict[str, dict[str, Any]]
"""Label to what its token gave."""


def box_of(classifier: ik.Classifier, *, top: bool) -> ik.Classifier:
    """A black box around a classifier."""

    def answer(images: np.ndarray) -> np.ndarray:
        given = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
        scores = classifier.probability(classifier.logits(given)).numpy()
        return scores.argmax(1) if top else scores

    name = "top-1" if top else "probabilities"
    return ik.as_classifier(answer, black_box=True, labels=classifier.labels, name=name)


def rows_of(tree: xr.DataTree) -> Rows:
    """Label to what its first seed's token gave, of the labels that are done."""
    rows = {}
    for label in tree["samples"]["label"].values[:LABELS]:
        at = {"label": label, "arm": "token", "seed": 0}
        if str(tree["status"]["status"].sel(at).values) != "done":
            continue
        one = tree["samples"].to_dataset().sel(at)
        starts = tree["validation"]["start"].sel(at).values
        row: dict[str, Any] = {
            "from": str(starts[int(tree["token"]["selected"].sel(at))]),
            "steps": int(tree["trajectory"]["loss"].sel(at).notnull().sum()),
        }
        judged = one["judge_probability"].sel(judge="pocket:judge")
        for who, scores in (("success", one["probability"]), ("judge", judged)):
            hit = (scores.values.argmax(-1) == int(one["label_index"])).astype(float)[None, None]
            row[who] = [float(x.item()) for x in intervals.share(hit, n_boot=2000, seed=0)]
        rows[str(label)] = row
    return rows


def main(
    store: Annotated[Path, typer.Option(help="Folder of the audits.")] = Path("runs/black_box"),
    gradient: Annotated[Path | None, typer.Option(help="An audit to read instead.")] = None,
    only: Annotated[str, typer.Option(help="Search by this alone; read the others.")] = "",
    restarts: Annotated[int, typer.Option(help="As of invert; 0 leaves out the probe.")] = 3,
) -> None:
    """Print a row a label and method, and how often the target was met."""
    honest = ik.as_classifier("pocket:honest")
    cma = {"method": "cma", "queries": QUERIES}
    asked = {
        "gradient": (honest, {}),
        "probabilities": (box_of(honest, top=False), cma),
        "top-1": (box_of(honest, top=True), cma),
    }
    folders = {method: store / method for method in asked}
    folders["gradient"] = gradient or folders["gradient"]
    for method, (classifier, search) in asked.items():
        if only in ("", method) and not (method == "gradient" and gradient):
            audit_of(classifier, folders[method], restarts=restarts, **search)
    trees = {
        m: ik.open(folder) for m, folder in folders.items() if (folder / "audit.json").exists()
    }
    if len({tree.attrs["generator_hash"] for tree in trees.values()}) > 1:
        raise typer.BadParameter("the audits are of different generators; begin in a new folder")
    rows = {method: rows_of(tree) for method, tree in trees.items()}
    print_labels(rows)
    for method, there in rows.items():
        print_target(method, there, rows["gradient"])
        queries = json.loads(trees[method].attrs["settings"])["queries"]
        if queries and rows["gradient"].keys() & there.keys():
            print(f"queries: at most {queries} a label")


def audit_of(classifier: ik.Classifier, folder: Path, **settings: object) -> None:
    """Search the labels by one method, or go on with it."""
    ik.audit(
        classifier,
        list(range(LABELS)),
        generator="pocket",
        judges=["pocket:judge"],
        arms=["token"],
        views=[],
        seeds=1,
        samples=SAMPLES,
        store=folder,
        **settings,
    )


def print_labels(rows: dict[str, Rows]) -> None:
    """A row a label and method."""
    print("| label | method | success | judge | kept start | updates or generations |")
    print("|---" * 6 + "|")
    for label in rows["gradient"]:
        for method, there in rows.items():
            if label in there:
                row = there[label]
                print(
                    f"| {label} | {method} | {said(row['success'])} | {said(row['judge'])} "
                    f"| {row['from']} | {row['steps']} |"
                )


def print_target(method: str, there: Rows, gradient: Rows) -> None:
    """How often a method comes near the gradient, over the labels that both have."""
    both = [label for label in gradient if label in there]
    if not both:
        return
    ours, theirs = (np.array([r[label]["success"][0] for label in both]) for r in (there, gradient))
    judged = np.mean([there[label]["judge"][0] for label in both])
    print(
        f"\n{method}: mean success {ours.mean():.0%}, judge {judged:.0%}; at least {SHARE:.0%} "
        f"of the gradient's on {(ours >= SHARE * theirs).sum()} of {len(both)} labels "
        f"(target: {ENOUGH} of {LABELS})"
    )


def said(share: list[float]) -> str:
    """A share with its interval."""
    return f"{share[0]:.0%} [{share[1]:.0%}, {share[2]:.0%}]"


if __name__ == "__main__":
    typer.run(main)
