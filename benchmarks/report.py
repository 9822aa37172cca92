"""How long an audit's report takes, and how large it is: ``python benchmarks/report.py``.

Makes audits' folders on disk (four arms, one run, 8 images of 32 x 32 a unit, six other
scorers; of 20 labels everything is made, the others are links to them), then writes the report
of each in a fresh process. Pictures are blurred noise, about as hard to compress as photographs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit
from inversion_kit.testing import synthetic_plan, synthetic_unit

ARMS = ("name", "token+name", "token", "shuffled")
VIEWS = ("jpeg", "blur", "crop", "noise", "resize")
JUDGES = [("judge", "classifier"), *((name, "view") for name in VIEWS)]
MADE, SIZE = 20, 32
MEASURE = """
import json, sys, time
began = time.monotonic()
import inversion_kit
path = inversion_kit.report(sys.argv[1], sys.argv[2])
seconds = time.monotonic() - began
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps({"s": seconds, "cpu_s": time.process_time(),
                  "peak_mb": int(peak[0].split()[1]) / 1024, "mb": path.stat().st_size / 1e6}))
"""


def picture(rng: np.random.Generator) -> np.ndarray:
    """Something with the statistics of a photograph: coarse shapes and a little grain."""
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype="u1"))
    smooth = np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC)).astype(int)
    return (smooth + rng.integers(-6, 7, smooth.shape)).clip(0, 255).astype("u1")


def fill(root: Path, labels: int) -> Path:
    """The folder of an audit in which every unit is there."""
    classes = [f"class number {i}" for i in range(labels)]
    plan = synthetic_plan(range(labels), classes=classes, arms=ARMS, seeds=[0], judges=JUDGES)
    store = AuditStore.create(root, plan)
    names = [name for name, _ in JUDGES]
    sizes = {"classes": classes, "judges": names, "samples": 8, "checks": 5, "features": 64}
    for arm in ARMS:
        for label in range(min(MADE, labels)):
            groups, attributes = synthetic_unit(label, arm, 0, size=SIZE, **sizes)
            rng = np.random.default_rng((label, len(arm)))
            for group in groups.values():
                if "image" in group:
                    shape = group["image"].shape[:-3]
                    made = [picture(rng) for _ in range(int(np.prod(shape)))]
                    group["image"].values[:] = np.reshape(made, (*shape, SIZE, SIZE, 3))
            reads = groups["samples"]["probability"].values
            reads[: 4 + label % 5] = np.eye(labels, dtype="f4")[label]
            store.commit(Unit(label, arm, 0), groups, attributes)
        for label in range(MADE, labels):
            like, unit = Unit(label % MADE, arm, 0), Unit(label, arm, 0)
            shutil.copytree(store.folder(like), store.folder(unit), copy_function=os.link)
    return store.path


def main(
    labels: Annotated[str, typer.Option(help="Comma-separated")] = "43,1000",
    keep: Annotated[Path | None, typer.Option(help="A folder for the reports")] = None,
) -> None:
    """Print seconds, megabytes, and what the page says it left out."""
    for many in map(int, labels.split(",")):
        root = Path(tempfile.mkdtemp(prefix="report-"))
        try:
            page = (keep or root) / f"report-{many}.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            path = fill(root / "audit", many)
            command = [sys.executable, "-c", MEASURE, str(path), str(page)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            result = json.loads(done.stdout)
            typer.echo(
                f"{many} labels: {result['s']:.1f} s ({result['cpu_s']:.1f} s of CPU), "
                f"{result['mb']:.1f} MB, peak memory {result['peak_mb']:.0f} MB"
            )
            text = page.read_text(encoding="utf-8")
            said = text.split("What this page leaves out</h3>")[1].split("</ul>")[0]
            for line in said.split("<li>")[1:]:
                typer.echo(f"  left out: {line.split('</li>')[0]}")
        finally:
            shutil.rmtree(root)


if __name__ == "__main__":
    typer.run(main)
