"""Measure the claims and print their tables: ``python -m benchmarks.claims --quick``."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.claims.table import Table
from benchmarks.claims.workers import CLAIMS, alone, measured
from inversion_kit.storage import durable


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
    jobs: Annotated[int, typer.Option(help="Claims at once, a process each", min=1)] = 1,
) -> None:
    """Measure what is not measured yet; write ``claims.md`` and ``claims.json``."""
    asked = claim or list(CLAIMS)
    if unknown := sorted(set(asked) - set(CLAIMS)):
        raise typer.BadParameter(f"claim: {unknown}; allowed are {list(CLAIMS)}")
    given = {"out": out, "data": data, "quick": quick, "weak": weak, "planted": planted}
    given |= {"classifier": classifier, "seeds": seeds, "labels": labels}
    durable.sweep(out / "cells")  # here, where no other process writes yet
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=alone) as pool:
        work = [pool.submit(measured, number, given) for number in asked]
        for done in as_completed(work):
            table, seconds = done.result()
            typer.echo(f"{table.markdown()}\n({seconds:.0f} s)\n")
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
