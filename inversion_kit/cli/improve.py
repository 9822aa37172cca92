"""``augment`` and ``repair``: better training images and a mended classifier."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

import inversion_kit
from inversion_kit.cli.app import app, fail
from inversion_kit.cli.options import (
    Bank,
    Device,
    Dtype,
    Generator,
    Judge,
    Labels,
    Model,
    NoiseSeed,
    Real,
    bank_of,
    generator_of,
)
from inversion_kit.errors import InversionError
from inversion_kit.paths import file_to_write, folder_to_write


@app.command()
def augment(
    tokens: Annotated[
        str, typer.Argument(help="A stored result, an audit's folder, or a token's .safetensors.")
    ],
    n: Annotated[int, typer.Argument(min=1, help="Images of each label.")],
    *,
    out: Annotated[str, typer.Option(metavar="PATH", help="Folder for the images.")],
    generator: Generator = None,
    judge: Judge = None,
    label: Labels = None,
    prompt: Annotated[
        list[str] | None, typer.Option(help="Such as 'a {token} in the snow', taken in turn.")
    ] = None,
    arm: Annotated[
        str, typer.Option(help="For {token}: token, name, token+name, or another of the result.")
    ] = "token",
    agreement: Annotated[float, typer.Option(help="Least share of judges that agree.")] = 1.0,
    page: Annotated[
        str | None, typer.Option(metavar="PATH", help="Page of what came of each label, .html.")
    ] = None,
    seed: NoiseSeed = 0,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Make training images of each label, sifted by judges; call it again to go on.

    Ends with 0, with 1 where a label could not be filled, with 2 on bad input.
    """
    try:
        place = None if page is None else file_to_write(page, ".html", argument="--page")
        source = tokens if Path(tokens).suffix == ".safetensors" else inversion_kit.open(tokens)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the lines below say it
            table = inversion_kit.augment(
                source,
                n,
                out=out,
                generator=generator_of(generator, device, dtype),
                judges=judge or [],
                labels=label,
                prompts=prompt,
                arm=arm,
                agreement=agreement,
                seed=seed,
            )
        if place is not None:
            inversion_kit.report(table, place)
    except InversionError as error:
        fail(error)
    from inversion_kit.analysis.improve_words import augmented_says

    for line in augmented_says(table):
        typer.echo(line)
    typer.echo(f"images: {Path(out).resolve()}")
    if place is not None:
        typer.echo(f"report: {place.resolve()}")
    if not table["full"].all():
        raise typer.Exit(1)


@app.command("textual-inversion")
def learn(
    images: Annotated[list[Path], typer.Argument(help="1 to 16 image files.")],
    *,
    out: Annotated[str, typer.Option(metavar="PATH", help="The token's .safetensors file.")],
    generator: Generator = None,
    label: Annotated[
        str | None, typer.Option(help="What it stands for; augment and its judges ask for it.")
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option(help="Such as 'a photo of a {token}', drawn at random.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="A word to start from.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Updates.")] = 200,
    batch: Annotated[int, typer.Option(min=1, help="Noised images of each.")] = 8,
    lr: Annotated[float, typer.Option(help="Length of a step.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn.")] = 0,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Learn a token from a few images, without a classifier, and write it as a file."""
    try:
        place = file_to_write(out, ".safetensors", argument="--out")
        made = inversion_kit.as_generator(generator_of(generator, device, dtype))
        given: dict[str, Any] = {"start": start, "steps": steps, "batch": batch}
        if prompt:
            given["prompts"] = prompt
        token = inversion_kit.textual_inversion(images, generator=made, lr=lr, seed=seed, **given)
        inversion_kit.save_token(token, place, label=label, generator=made)
    except InversionError as error:
        fail(error)
    typer.echo(f"token: {place.resolve()}")


@app.command()
def repair(
    model: Model,
    result: Annotated[
        Path,
        typer.Argument(help="A stored result of findings, as runs/findings/run.zarr."),
    ],
    *,
    out: Annotated[str, typer.Option(metavar="PATH", help="Folder for the layer and the table.")],
    generator: Generator = None,
    judge: Judge = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Classes whose pictures are made; all by default.")
    ] = None,
    noises: Annotated[int, typer.Option(min=4, help="Pictures of each class and cue.")] = 8,
    real: Real = None,
    seed: NoiseSeed = 0,
    bank: Bank = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Refit a classifier's last layer, so that it no longer listens to the cues of its findings."""
    try:
        place = folder_to_write(out, argument="--out")
        made = inversion_kit.repair(
            model,
            inversion_kit.open(result),
            generator=generator_of(generator, device, dtype),
            judges=judge or [],
            labels=label,
            noises=noises,
            real=real,
            seed=seed,
            bank=bank_of(bank),
        )
        made.save(place)
        page = inversion_kit.report(made, place / "report.html")
    except InversionError as error:
        fail(error)
    for sentence in made.sentences:
        typer.echo(sentence)
    typer.echo(f"layer and table: {place.resolve()}")
    typer.echo(f"report: {page.resolve()}")
