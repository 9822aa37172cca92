"""``doctor``: whether a classifier is wrapped as it was trained."""

from __future__ import annotations

from typing import Annotated

import typer

import inversion_kit
from inversion_kit.cli.app import app, fail
from inversion_kit.cli.options import Model
from inversion_kit.errors import InversionError


@app.command()
def doctor(
    model: Model,
    images: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="A folder of images, or with a folder a class (name or index)."
        ),
    ] = None,
) -> None:
    """Check a classifier in seconds; exit code 1 where something fails."""
    from inversion_kit.classifiers.doctor import read_folder

    try:
        pictures, truth = (None, None) if images is None else read_folder(images)
        diagnosis = inversion_kit.doctor(model, pictures, truth)
    except InversionError as error:
        fail(error)
    typer.echo(str(diagnosis))
    if any(check.status == "fail" for check in diagnosis.alarms):
        raise typer.Exit(1)
