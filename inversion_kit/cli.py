"""The command line: ``inversion-kit demo | invert | report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import inversion_kit
from inversion_kit.errors import InversionError

app = typer.Typer(
    help="Show what an image classifier has learned, honestly.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)

_Out = Annotated[Path, typer.Option(help="Folder for the result and the report.")]
_Seed = Annotated[list[int], typer.Option(help="Repeat for several seeds.")]
_Steps = Annotated[int, typer.Option(min=0, help="Optimiser updates in all.")]
_Prompt = Annotated[
    list[str] | None, typer.Option(help="Template with {token} and, if wanted, {name}.")
]


@app.command()
def demo(
    label: Annotated[str, typer.Option(help="A traffic sign.")] = "80 km/h speed limit",
    out: _Out = Path("runs/demo"),
    seed: _Seed = [0],  # noqa: B006 - typer reads the default and copies it
) -> None:
    """Invert a class of the embedded classifier through the embedded generator."""
    _run("pocket:honest", label, "pocket", ["pocket:judge"], None, out, seed, 60)


@app.command()
def invert(
    model: Annotated[str, typer.Argument(help="pocket:honest, timm/<name>, ...")],
    label: Annotated[str, typer.Argument(help="Class name, part of one, or index.")],
    generator: Annotated[
        str | None,
        typer.Option(help="pocket, a folder or a hub id; Stable Diffusion 1.5 by default."),
    ] = None,
    judge: Annotated[list[str] | None, typer.Option(help="Held-out classifiers.")] = None,
    prompt: _Prompt = None,
    out: _Out = Path("runs/invert"),
    seed: _Seed = [0],  # noqa: B006 - typer reads the default and copies it
    steps: _Steps = 60,
) -> None:
    """Invert one class of a classifier."""
    _run(model, label, generator, judge or [], prompt, out, seed, steps)


@app.command()
def report(
    result: Annotated[
        Path, typer.Argument(help="A stored result, for example runs/demo/run.zarr.")
    ],
    out: Annotated[Path, typer.Option(help="The HTML file.")] = Path("report.html"),
) -> None:
    """Write the self-contained HTML report of a stored result."""
    try:
        typer.echo(f"report: {inversion_kit.report(inversion_kit.open(result), out).resolve()}")
    except InversionError as error:
        _fail(error)


def _run(
    model: str, label: str, generator: str | None, judges: list[str], prompts: list[str] | None,
    out: Path, seed: list[int], steps: int,
) -> None:  # fmt: skip
    from inversion_kit.analysis import summary_sentences

    try:
        tree = inversion_kit.invert(
            model, int(label) if label.isdecimal() else label,
            generator=generator, judges=judges, prompts=prompts, seed=seed, steps=steps,
        )  # fmt: skip
        stored = inversion_kit.save(tree, out / "run.zarr", overwrite=True)
        page = inversion_kit.report(tree, out / "report.html")
    except InversionError as error:
        _fail(error)
    for sentence in summary_sentences(tree):
        typer.echo(sentence)
    typer.echo(f"result: {stored.resolve()}")
    typer.echo(f"report: {page.resolve()}")


def _fail(error: InversionError) -> None:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(2) from error
