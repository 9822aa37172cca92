"""Measure the claims and print their tables: ``python -m benchmarks.claims --quick``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

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
from inversion_kit.storage import durable

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


def main(
    out: Annotated[Path, typer.Option(help="Folder of tables and measured cells")] = Path(
        "runs/claims"
    ),
    claim: Annotated[list[int] | None, typer.Option(help="Some of 1 to 8; all by default")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of real photographs")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few labels, one run")] = False,
    weak: Annotated[Path | None, typer.Option(help="Folder of an early checkpoint")] = None,
    planted: Annotated[
        Path | None, typer.Option(help="Folder of the classifiers of benchmarks.planted")
    ] = None,
    labels: Annotated[int, typer.Option(help="Classes of the full mode, evenly spaced")] = 43,
    classifier: Annotated[str, typer.Option(help="That tokens are searched for")] = "pocket:honest",
    seeds: Annotated[int, typer.Option(help="Runs of the full mode")] = 3,
) -> None:
    """Measure what is not measured yet; write ``claims.md`` and ``claims.json``."""
    asked = claim or list(CLAIMS)
    if unknown := sorted(set(asked) - set(CLAIMS)):
        raise typer.BadParameter(f"claim: {unknown}; allowed are {list(CLAIMS)}")
    bench = Bench(
        as_classifier(classifier),
        as_classifier("pocket:judge"),
        {"pocket": generators.strong(), "weak": generators.weak(weak)},
        Cells(out / "cells"),
        quick=quick,
        seeds=range(1 if quick else seeds),
        images=16 if quick else 32,
        data=data,
        planted=planted,
        many=labels,
    )
    for number in asked:
        began = time.monotonic()
        table = CLAIMS[number](bench)
        typer.echo(f"{table.markdown()}\n({time.monotonic() - began:.0f} s)\n")
        write(table, out)


def write(table: Table, out: Path) -> None:
    """Write a table as Markdown and JSON beside those that are there, and its pictures."""
    path = out / "claims.json"
    kept = durable.parse(durable.read_file(path), path) if path.is_file() else []
    mine = {k: v for k, v in vars(table).items() if k != "files"} | {"heads": list(table.heads)}
    mine["markdown"] = table.markdown()
    every = sorted([*(one for one in kept if one["claim"] != table.claim), mine], key=_number)
    durable.write_file(path, durable.dump(every))
    durable.write_file(out / "claims.md", "\n".join(one["markdown"] for one in every).encode())
    for name, content in table.files.items():
        durable.write_file(out / name, content)


def _number(table: dict[str, Any]) -> int:
    return int(table["claim"])


if __name__ == "__main__":
    typer.run(main)
