"""How fast a large audit opens and how much memory that takes: ``python benchmarks/store.py``.

Makes the folder of an audit of 1,000 labels with small arrays, opens it in a fresh process, reads
one unit, and consolidates it; every number is printed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit
from inversion_kit.testing import synthetic_plan, synthetic_unit

MEASURE = """
import json, sys, time
def peak():
    measured = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(measured[0].split()[1]) / 1024
path, task = sys.argv[1:]
began = time.monotonic()
import inversion_kit
inversion_kit.open
imported = time.monotonic(); before = peak()
if task == "open":
    busy = time.process_time()
    tree = inversion_kit.open(path)
    opened = time.monotonic(); memory = peak(); busy = time.process_time() - busy
    tree["samples"]["image"][-1, -1, -1].values
    read = time.monotonic()
    print(json.dumps({"import_s": imported - began, "open_s": opened - imported,
                      "unit_s": read - opened, "busy_s": busy,
                      "imported_mb": before, "opened_mb": memory}))
else:
    from inversion_kit.storage.export import consolidate
    consolidate(path, task)
    print(json.dumps({"s": time.monotonic() - imported, "mb": peak()}))
"""


def measure(path: Path, task: str) -> dict[str, float]:
    """Run the task in a fresh process and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), task], capture_output=True, text=True, check=True
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def fill(root: Path, labels: int, arms: list[str], seeds: int) -> AuditStore:
    """An audit of which every unit is there, each hashed but made of few arrays.

    A unit is copied from one of the same arm: files of 12,000 units are not flushed one by one.
    """
    classes = [f"class {i}" for i in range(max(labels, 5))]
    plan = synthetic_plan(range(labels), classes=classes, arms=arms, seeds=range(seeds))
    store = AuditStore.create(root, plan)
    for arm in arms:
        first = Unit(0, arm, 0)
        store.commit(first, *synthetic_unit(0, arm, 0, classes=classes, samples=2, checks=2))
        for unit in store.units():
            if unit.arm == arm and unit != first:
                shutil.copytree(store.folder(first), store.folder(unit))
    return store


def main(
    labels: int = 1000,
    seeds: int = 1,
    arms: Annotated[str, typer.Option(help="Comma-separated")] = "token",
    consolidate: bool = False,
) -> None:
    """Print seconds and megabytes."""
    root = Path(tempfile.mkdtemp(prefix="store-"))
    try:
        store = fill(root / "audit", labels, arms.split(","), seeds)
        size = sum(p.stat().st_size for p in store.path.rglob("*") if p.is_file()) / 2**20
        units = len(store.done())
        typer.echo(f"{labels} labels, {units} units, {size:.0f} MB on disk")
        measured = measure(store.path, "open")
        typer.echo(
            f"import {measured['import_s']:.2f} s, {measured['imported_mb']:.0f} MB; "
            f"open {measured['open_s']:.2f} s ({measured['busy_s']:.2f} s of processor time), "
            f"peak {measured['opened_mb']:.0f} MB; "
            f"first image of a unit {1000 * measured['unit_s']:.1f} ms"
        )
        if consolidate:
            measured = measure(store.path, str(root / "audit.zarr"))
            typer.echo(f"consolidate {measured['s']:.1f} s, peak {measured['mb']:.0f} MB")
            measured = measure(root / "audit.zarr", "open")
            typer.echo(
                f"open the zarr {measured['open_s']:.2f} s, peak {measured['opened_mb']:.0f} MB"
            )
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    typer.run(main)
