"""``evaluate`` and ``coverage``: what pictures of tokens are worth, and what they show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import xarray as xr

import inversion_kit
from inversion_kit.cli.app import app, as_json, fail
from inversion_kit.cli.options import Clip, Cue, Generator, Json, Judge, Real
from inversion_kit.errors import InversionError
from inversion_kit.paths import file_to_write
from inversion_kit.plain import as_data

Result = Annotated[str, typer.Argument(help="A stored result, or an audit's folder.")]
Photographs = Annotated[
    str, typer.Option(metavar="PATH", help="Real images, with a folder a class (name or index).")
]
Page = Annotated[str | None, typer.Option(metavar="PATH", help="An HTML page of it.")]
Seed = Annotated[int, typer.Option(min=0, help="Of what is drawn.")]


@app.command()
def evaluate(
    result: Result,
    *,
    real: Real = None,
    model: Annotated[
        str | None, typer.Option(help="The classifier, where the result does not name it.")
    ] = None,
    judge: Judge = None,
    clip: Clip = None,
    against: Annotated[
        str | None, typer.Option(help="The arm compared with; the name prompt by default.")
    ] = None,
    sentence: Annotated[
        list[str] | None,
        typer.Option(help='To paint with each token, such as "a dark photo of a {token}".'),
    ] = None,
    generator: Generator = None,
    seed: Seed = 0,
    out: Page = None,
    json: Json = False,
) -> None:
    """Measure the pictures of every arm: who reads them, how real and how varied they are."""
    try:
        page = page_of(out)
        table = inversion_kit.evaluate(
            inversion_kit.open(result),
            real,
            classifier=model,
            judges=judge,
            clip=clip,
            against=against,
            sentences=sentence,
            generator=generator,
            seed=seed,
        )
    except InversionError as error:
        fail(error)
    from inversion_kit.analysis.quality_words import evaluation_says

    _say(table, evaluation_says(table), json, page)


@app.command()
def coverage(
    result: Result,
    *,
    real: Photographs,
    clip: Clip = None,
    cue: Cue = None,
    seed: Seed = 0,
    out: Page = None,
    json: Json = False,
) -> None:
    """Count which measurable traits real pictures, tokens and plain prompts show."""
    try:
        page = page_of(out)
        tree = inversion_kit.open(result)
        table = inversion_kit.coverage(tree, real, clip=clip, cues=cue, seed=seed)
    except InversionError as error:
        fail(error)
    from inversion_kit.analysis.quality_words import coverage_says

    _say(table, coverage_says(table), json, page)


def page_of(out: str | None) -> Path | None:
    """The page that is asked for, if any: whether it can be written is known before the work."""
    return None if out is None else file_to_write(out, ".html", argument="--out")


def _say(table: xr.Dataset, sentences: list[str], json: bool, page: Path | None) -> None:
    if page is not None:
        try:
            inversion_kit.report(table, page)
        except InversionError as error:
            fail(error)
    if json:
        numbers = table.drop_vars(["picture", "pictured", "shown"])
        data = {"sentences": sentences, **as_data(numbers.to_dict())}
        typer.echo(as_json(data))
        return
    for sentence in sentences:
        typer.echo(sentence)
    if page is not None:
        typer.echo(f"report: {page.resolve()}")
