"""The app that commands are added to, and how each of them ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from inversion_kit.errors import InversionError

app = typer.Typer(
    help="Show what an image classifier has learned, honestly.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)


def end(verdicts: Sequence[Any], *, err: bool = False) -> None:
    """Say what the gates gave; exit code 1 where one fails."""
    for verdict in verdicts:
        for line in verdict.lines():
            typer.echo(line, err=err)
    if any(verdict.failing for verdict in verdicts):
        raise typer.Exit(1)


def as_json(data: Any) -> str:
    """Data as one text of JSON, without what is not finite."""
    return json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False)


def fail(error: InversionError) -> NoReturn:
    """Say what is wrong with the input; exit code 2."""
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(2) from error
