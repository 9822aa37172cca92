"""What searches of each arm ask for: ``python -m benchmarks.typical``, from the repository's root.

Twelve labels of the pocket, three seeds, default settings. Updates, checks and rounds of the probe,
the same on every machine; `inversion_kit.audits.asked` takes its likely counts from here.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.speed import LABELS
from inversion_kit.arms import check_arms
from inversion_kit.audits.bench import Bench
from inversion_kit.audits.units import search
from inversion_kit.search.probe import is_sum
from inversion_kit.settings import Settings
from inversion_kit.storage.units import Unit

ARMS = ("token+name", "token", "shuffled")


def asked(bench: Bench, unit: Unit) -> dict[str, Any]:
    """What one search asked for."""
    history = search(bench, unit)
    assert history is not None
    probed = history.probe.words if history.probe else ()
    return {
        "arm": unit.arm,
        "label": bench.classifier.labels[unit.label_index],
        "seed": unit.seed,
        "updates": len(history.steps),
        "checks": len(history.checks),
        "probes": int(bool(probed)),
        "sums": int(any(is_sum(name) for name in probed)),
        "score": round(history.checks[history.selected].score, 3),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Mean, and median and range, of each count by arm."""
    counts = ("updates", "checks", "probes", "sums")
    lines = ["| arm | " + " | ".join(counts) + " |", "|---" * (1 + len(counts)) + "|"]
    for arm in dict.fromkeys(row["arm"] for row in rows):
        cells = [arm]
        for name in counts:
            mine = [row[name] for row in rows if row["arm"] == arm]
            cells.append(
                f"{statistics.mean(mine):.2f} ({statistics.median(mine):g}; {min(mine)} to "
                f"{max(mine)})"
            )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(
    label: Annotated[list[int] | None, typer.Option(help="Classes; twelve by default.")] = None,
    seeds: int = 3,
    arm: Annotated[list[str] | None, typer.Option(help="Arms with a search; three.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the counts as JSON.")] = None,
) -> None:
    """Print mean (median; range) of what searches ask for."""
    chosen = check_arms(arm or ARMS)
    bench = Bench.load("pocket:honest", "pocket", [], chosen, Settings())
    rows = []
    for one in chosen:
        for seed in range(seeds):
            for index in label or LABELS:
                rows.append(asked(bench, Unit(index, one.name, seed)))
                typer.echo(f"  {json.dumps(rows[-1])}", err=True)
    typer.echo(table(rows))
    if out is not None:
        out.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    typer.run(main)
