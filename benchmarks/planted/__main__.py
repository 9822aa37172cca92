"""The commands ``train``, ``run`` and ``table``: see `benchmarks.planted`."""

from __future__ import annotations

import json
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.planted.definitions import METHODS, STEPS, Half, chosen
from benchmarks.planted.outcomes import counted, counts, result_of
from benchmarks.planted.table import markdown
from benchmarks.planted.workers import ask_one, train_one
from inversion_kit.paths import folder_to_write
from inversion_kit.storage import durable

app = typer.Typer(no_args_is_help=True, add_completion=False)
Out = Annotated[Path, typer.Option(help="Folder of the classifiers and of what is said of them")]
Only = Annotated[list[str] | None, typer.Option(help="Names of classifiers; all by default")]
Device = Annotated[str, typer.Option(help="cpu or cuda")]
Jobs = Annotated[int, typer.Option(help="Processes at once, of one thread each", min=1)]


@app.callback()
def main() -> None:
    """Train classifiers with known secrets, look for them, and count."""


@app.command()
def train(
    data: Annotated[Path, typer.Option(help="Folder with train.npz and test.npz")],
    out: Out = Path(".planted"),
    only: Only = None,
    steps: Annotated[int, typer.Option(help="Of training", min=1)] = STEPS,
    jobs: Jobs = 1,
    device: Device = "cpu",
) -> None:
    """Train what is missing; several commands may run at once."""
    out = folder_to_write(out, argument="out")
    wanted = chosen(only)
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        work = [pool.submit(train_one, one, data, out, steps, device) for one in wanted]
        _told(work)


@app.command()
def run(
    half: Annotated[Half, typer.Option(help="The sealed one is for the end, once")],
    bank: Annotated[Path, typer.Option(help="Folder of banks of pictures")],
    out: Out = Path(".planted"),
    only: Only = None,
    method: Annotated[
        list[str] | None, typer.Option(help=f"Some of {', '.join(METHODS)}; all by default")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bank's noise")] = 0,
    jobs: Jobs = 1,
    device: Device = "cpu",
) -> None:
    """Ask each method about each trained classifier that counts, where it was not asked yet."""
    if unknown := set(method or ()) - set(METHODS):
        raise typer.BadParameter(f"method {sorted(unknown)}: expected some of {list(METHODS)}")
    wanted = [
        (one, name)
        for name in method or METHODS
        for one in chosen(only, half)
        if counted(out, one) and not result_of(out, one, name, seed).exists()
    ]
    # a process of its own for each: its peak of memory is nobody else's; imports are made once
    context = get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.planted.methods", "diffusers.loaders.peft"])
    with ProcessPoolExecutor(jobs, context, max_tasks_per_child=1) as pool:
        work = [pool.submit(ask_one, one, name, out, bank, seed, device) for one, name in wanted]
        _told(work)


@app.command()
def fooled(
    data: Annotated[Path, typer.Option(help="Folder with train.npz and test.npz")],
    out: Out = Path(".planted"),
) -> None:
    """Make three clean classifiers show a decoy in feature visualisation, and learn their token."""
    from benchmarks.planted.fooled import CASES, fool

    for case in range(len(CASES)):
        typer.echo(json.dumps(fool(case, data, out)))


@app.command()
def table(
    out: Out = Path(".planted"),
    half: Annotated[Half | None, typer.Option(help="Both by default")] = None,
) -> None:
    """Count what is there, and write it as Markdown and JSON beside the classifiers."""
    data = counts(out, chosen(half=half))
    words = markdown(data)
    durable.write_file(out / f"table-{half or 'both'}.json", json.dumps(data, indent=1).encode())
    durable.write_file(out / f"table-{half or 'both'}.md", words.encode())
    typer.echo(words)


def _told(work: list[Future[str]]) -> None:
    """Say what came of each; one that failed does not stop the others."""
    failed = 0
    for n, done in enumerate(as_completed(work), 1):
        error = done.exception()
        failed += error is not None
        typer.echo(f"{n}/{len(work)} {done.result() if error is None else f'FAILED: {error!r}'}")
    if failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
