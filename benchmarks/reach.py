"""How many of the 43 traffic signs a name-free class token reaches: ``python benchmarks/reach.py``.

An audit of ``pocket:honest`` in the arms ``name`` and ``token`` with the default settings and one
seed; interrupted, it goes on. Every label starts from the same neutral vector. Success is the share
of images on test noise whose most likely class is the label. ``--store`` may be any audit of the
same classifier that has both arms: then its first seed is read and nothing is made.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated

import typer
import xarray as xr

import inversion_kit


def row(tree: xr.DataTree, at: int) -> dict[str, object]:
    """What the audit says of one label."""
    samples = tree["samples"].to_dataset().isel(label=at, seed=0)
    checks = tree["validation"].to_dataset().isel(label=at, seed=0).sel(arm="token")
    target = int(samples["label_index"])
    result: dict[str, object] = {"label": str(samples["label"].values)}
    for arm in ("token", "name"):
        one = samples.sel(arm=arm)
        result[arm] = float((one["probability"].argmax("class") == target).mean())
        judged = one["judge_probability"].isel(judge=0)
        result[f"{arm}_judge"] = float((judged.argmax("class") == target).mean())
    first = checks["probability"].isel(check=0)
    result["start"] = float((first.argmax("class") == target).mean())
    token = tree["token"].to_dataset().isel(label=at, seed=0).sel(arm="token")
    kept = int(token["selected"])
    result["from"] = str(checks["start"].values[kept])
    steps = tree["trajectory"]["loss"].isel(label=at, seed=0).sel(arm="token")
    result["updates"] = int(steps.notnull().sum())
    begun = checks["step"].values[list(checks["start"].values).index(result["from"])]
    result["own"] = int(checks["step"].values[kept] - begun)
    status = tree["status"]["seconds"].isel(label=at, seed=0)
    result["seconds"] = float(status.sel(arm="token"))
    return result


def main(
    store: Annotated[Path, typer.Option(help="Folder of the audit")] = Path("runs/reach"),
    label: Annotated[list[str] | None, typer.Option(help="Labels; all by default.")] = None,
    seed: int = 0,
) -> None:
    """Print the table and its summary."""
    if not (store / "audit.json").is_file():
        inversion_kit.audit(
            "pocket:honest",
            label,
            generator="pocket",
            judges=["pocket:judge"],
            arms=["name", "token"],
            views=[],
            seeds=[seed],
            store=store,
        )
    tree = inversion_kit.open(store)
    done = (tree["status"]["status"].isel(seed=0).sel(arm=["name", "token"]) == "done").all("arm")
    rows = [row(tree, at) for at in range(tree["samples"].sizes["label"]) if bool(done[at])]
    typer.echo("| label | kept start | updates | start | token | judge | name | judge | seconds |")
    typer.echo("|---|---|---|---|---|---|---|---|---|")
    keys = ("start", "token", "token_judge", "name", "name_judge")
    for one in rows:
        shares = " | ".join(f"{one[key]:.0%}" for key in keys)
        typer.echo(
            f"| {one['label']} | {one['from']} | {one['updates']} | {shares} "
            f"| {one['seconds']:.0f} |"
        )
    reached = [one for one in rows if one["token"] >= 0.7]
    agreed = [one for one in reached if one["token_judge"] >= 0.6]
    typer.echo(
        f"\n{len(reached)} of {len(rows)} labels at 70 % or more; {len(agreed)} of them at 60 % "
        f"or more under {tree['samples']['judge'].values[0]}; "
        f"median {statistics.median(one['seconds'] for one in rows):.0f} s a label"
    )
    means = ", ".join(f"{key} {statistics.mean(one[key] for one in rows):.0%}" for key in keys)
    words = [one for one in reached if one["from"] != "neutral"]
    typer.echo(
        f"means: {means}\n{len(reached) - len(words)} reached from the neutral start, {len(words)} "
        f"from a probed word, {sum(one['own'] == 0 for one in words)} of these without an update"
    )


if __name__ == "__main__":
    typer.run(main)
