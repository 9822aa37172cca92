"""Scores alone against the gradient, with 4,000 queries: ``python benchmarks/black_box.py``.

Eight of the 43 traffic signs, every fifth one from the third on, are inverted three times with the
default settings and one seed: by the gradient of ``pocket:honest``, by ``method="cma"`` from its
probabilities, and by ``method="cma"`` from its top class alone. The black boxes count themselves
what they are asked. Success is the share of images on test noise whose most likely class is the
label, with its 95 % interval; the judge has given neither gradient nor scores.

The method's own numbers (population, directions, spread) were set on other signs and another seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
import typer

import inversion_kit as ik

QUERIES = 4000
SHARE, ENOUGH = 0.8, 6


def box_of(classifier: ik.Classifier, *, top: bool) -> tuple[ik.Classifier, list[int]]:
    """A black box around a classifier, and how many images it was asked about each time."""
    asked: list[int] = []

    def answer(images: np.ndarray) -> np.ndarray:
        asked.append(len(images))
        given = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
        scores = classifier.probability(classifier.logits(given)).numpy()
        return scores.argmax(1) if top else scores

    name = "top-1" if top else "probabilities"
    return ik.as_classifier(answer, black_box=True, labels=classifier.labels, name=name), asked


def main(
    seed: Annotated[int, typer.Option(help="Seed of every search.")] = 0,
    first: Annotated[int, typer.Option(help="Index of the first sign.")] = 2,
    top: Annotated[bool, typer.Option(help="From the top class alone, too.")] = True,
) -> None:
    """Print a row a label and method, and how often the target was met."""
    honest = ik.as_classifier("pocket:honest")
    judge, generator = ik.as_classifier("pocket:judge"), ik.as_generator("pocket")
    makers: dict[str, Callable[[], tuple[ik.Classifier, list[int]]]] = {
        "gradient": lambda: (honest, []),
        "cma, probabilities": lambda: box_of(honest, top=False),
    }
    if top:
        makers["cma, top-1"] = lambda: box_of(honest, top=True)
    labels = list(range(first, len(honest.labels), 5))[:8]
    found: dict[str, list[float]] = {method: [] for method in makers}
    print("| label | method | success | judge | queries | from | seconds |\n" + "|---" * 7 + "|")
    for label in labels:
        for method, make in makers.items():
            classifier, asked = make()
            began = time.monotonic()
            search = {} if method == "gradient" else {"method": "cma", "queries": QUERIES}
            tree = ik.invert(
                classifier, label, generator=generator, judges=[judge], seed=seed, progress=False,
                **search,
            )  # fmt: skip
            seconds = time.monotonic() - began
            table = ik.success(tree).sel(arm="token")
            own, judged = (table.sel(scorer=name) for name in (classifier.name, judge.name))
            found[method].append(float(own["success"]))
            checks = tree["validation"]["start"].values[0]
            queries = str(tree.attrs["queries"]) if search else ""
            if search and not sum(asked) == tree.attrs["queries"] <= QUERIES:
                raise AssertionError(f"asked {sum(asked)} times, the ledger says {queries}")
            print(
                f"| {honest.labels[label]} | {method} | {said(own)} | {said(judged)} | {queries} "
                f"| {checks[int(tree['token']['selected'][0])]} | {seconds:.0f} |",
                flush=True,
            )
    for method, shares in found.items():
        met = sum(a >= SHARE * b for a, b in zip(shares, found["gradient"], strict=True))
        print(
            f"\n{method}: mean success {np.mean(shares):.0%}; at least {SHARE:.0%} of the "
            f"gradient's on {met} of {len(labels)} labels (target: {ENOUGH})"
        )


def said(row: object) -> str:
    """A share with its interval."""
    return f"{float(row['success']):.0%} [{float(row['low']):.0%}, {float(row['high']):.0%}]"


if __name__ == "__main__":
    typer.run(main)
