"""Measure the claims and print their tables: ``python -m benchmarks.claims --quick``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.claims import (
    accuracy,
    ambiguity,
    augmentation,
    detail,
    generators,
    reuse,
    skipped,
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
    7: skipped.counterfactual,
    8: skipped.imagenet,
}


def main(
    out: Annotated[Path, typer.Option(help="Folder of tables and measured cells")] = Path(
        "runs/claims"
    ),
    claim: Annotated[list[int] | None, typer.Option(help="Some of 1 to 8; all by default")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of real photographs")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few labels, one run")] = False,
    weak: Annotated[Path | None, typer.Option(help="Folder of an early checkpoint")] = None,
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
    )
    tables = []
    for number in asked:
        began = time.monotonic()
        tables.append(CLAIMS[number](bench))
        text = tables[-1].markdown()
        typer.echo(f"{text}\n({time.monotonic() - began:.0f} s)\n")
    write(tables, out)


def write(tables: list[Table], out: Path) -> None:
    """Write the tables as Markdown and as JSON."""
    text = "\n".join(table.markdown() for table in tables)
    durable.write_file(out / "claims.md", text.encode())
    plain = [vars(table) | {"heads": list(table.heads)} for table in tables]
    durable.write_file(out / "claims.json", durable.dump(plain))


if __name__ == "__main__":
    typer.run(main)
