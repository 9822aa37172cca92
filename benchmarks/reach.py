"""How many of the 43 traffic signs a name-free class token reaches: ``python benchmarks/reach.py``.

Every label starts from the same neutral vector, with the default settings of `invert`. Success is
the share of images on test noise whose most likely class is the label. Results are kept in a JSON
lines file as they come, so that an interrupted run goes on.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Annotated

import typer

import inversion_kit


def measure(label: str, generator: inversion_kit.Generator, seed: int) -> dict[str, object]:
    """Invert one label and read off its row of the table."""
    began = time.monotonic()
    tree = inversion_kit.invert(
        "pocket:honest",
        label,
        generator=generator,
        judges=["pocket:judge"],
        seed=seed,
        progress=False,
    )
    seconds = time.monotonic() - began
    target = tree.attrs["label_index"]
    arms = tree["samples"].to_dataset().isel(seed=0)
    row: dict[str, object] = {"label": label, "seed": seed, "seconds": round(seconds, 1)}
    for arm in ("start", "token", "name"):
        one = arms.sel(arm=arm)
        row[arm] = float((one["probability"].argmax("class") == target).mean())
        row[f"{arm}_judge"] = float((one["judge_probability"][0].argmax("class") == target).mean())
    checks = tree["validation"].to_dataset().isel(seed=0)
    chosen = int(tree["token"]["selected"][0])
    row["from"] = str(checks["start"].values[chosen])
    row["updates"] = int((tree["trajectory"]["loss"][0].notnull()).sum())
    return row


def main(
    out: Annotated[Path, typer.Option(help="JSON lines file to keep and continue")] = Path(
        "runs/reach.jsonl"
    ),
    seed: int = 0,
    label: Annotated[list[str] | None, typer.Option(help="Only these labels")] = None,
) -> None:
    """Print the table and its summary."""
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = (
        [json.loads(line) for line in out.read_text("utf-8").splitlines()] if out.is_file() else []
    )
    done = {row["label"] for row in rows if row["seed"] == seed}
    generator = inversion_kit.as_generator("pocket")
    names = inversion_kit.as_classifier("pocket:honest").labels
    for name in label or names:
        if name in done:
            continue
        row = measure(name, generator, seed)
        rows.append(row)
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        typer.echo(_line(row))
    rows = [row for row in rows if row["seed"] == seed]
    typer.echo("\n| label | kept start | updates | start | token | judge | name | seconds |")
    typer.echo("|---|---|---|---|---|---|---|---|")
    for row in rows:
        typer.echo(_line(row))
    reached = [row for row in rows if row["token"] >= 0.7]
    agreed = [row for row in reached if row["token_judge"] >= 0.6]
    typer.echo(
        f"\n{len(reached)} of {len(rows)} labels at 70 % or more; {len(agreed)} of them at 60 % "
        f"or more under the judge; "
        f"median {statistics.median(row['seconds'] for row in rows):.0f} s a label"
    )


def _line(row: dict[str, object]) -> str:
    shares = " | ".join(f"{row[key]:.0%}" for key in ("start", "token", "token_judge", "name"))
    return (
        f"| {row['label']} | {row['from']} | {row['updates']} | {shares} | {row['seconds']:.0f} |"
    )


if __name__ == "__main__":
    typer.run(main)
