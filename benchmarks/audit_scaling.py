"""Seconds a unit and peak memory of audits of 10, 40 and 160 units, each in a fresh process.

Tiny random-weight models, so that what an audit adds itself is seen: python -m
benchmarks.audit_scaling, from the repository's root. ``--labels 1000``: of a hundredth of the
labels, a tenth and all of them instead, a unit each.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer


def measure(labels: int, seeds: int, queue: Any) -> None:
    """Audit labels in one arm; tell units, seconds and peak bytes before and after."""
    from inversion_kit import audit
    from inversion_kit.generators.base import Generator
    from tests import conftest

    names = tuple(f"class {i}" for i in range(labels))
    with tempfile.TemporaryDirectory() as folder:

        class Factory:
            def mktemp(self, name: str) -> Path:
                return Path(tempfile.mkdtemp(dir=folder))

        tokenizer = conftest.tokenizer.__wrapped__(Factory())
        pipeline = conftest.make_pipeline.__wrapped__(tokenizer)()
        generator = Generator(pipeline, name="tiny", num_inference_steps=2, guidance_scale=2.0)
        classifier = conftest.make_classifier.__wrapped__()(labels=names)
        settings = {
            "generator": generator,
            "views": ["blur"],
            "arms": ["token"],
            "steps": 1,
            "batch": 1,
            "restarts": 0,
            "validation": 1,
            "samples": 2,
            "progress": False,
        }
        audit(classifier, [0], seeds=[99], **settings)  # imports and first calls
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        began, cpu = time.perf_counter(), time.process_time()
        audit(classifier, seeds=seeds, store=Path(folder) / "audit", **settings)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        spent = time.process_time() - cpu
    queue.put((labels * seeds, time.perf_counter() - began, spent, before, after))


def main(
    labels: Annotated[int | None, typer.Option(help="Of the largest audit, at least 100.")] = None,
) -> None:
    """Print a line an audit."""
    audits = [(10, seeds) for seeds in (1, 4, 16)]
    if labels is not None:
        audits = [(labels // part, 1) for part in (100, 10, 1)]
    print(
        f"{'units':>6} {'seconds':>8} {'s/unit':>8} {'CPU s/unit':>11} {'MiB before':>11} "
        f"{'peak MiB':>9}"
    )
    context = multiprocessing.get_context("spawn")
    for audit in audits:
        queue = context.Queue()
        process = context.Process(target=measure, args=(*audit, queue))
        process.start()
        units, wall, cpu, before, after = queue.get()
        process.join()
        print(
            f"{units:6d} {wall:8.1f} {wall / units:8.3f} {cpu / units:11.3f} {before:11.0f} "
            f"{after:9.0f}",
            flush=True,
        )


if __name__ == "__main__":
    typer.run(main)
