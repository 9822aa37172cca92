"""``report``: the page of a stored result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import inversion_kit
from inversion_kit.cli.app import app, end, fail
from inversion_kit.cli.options import FailIf
from inversion_kit.errors import InversionError
from inversion_kit.paths import file_to_write


@app.command()
def report(
    result: Annotated[
        Path, typer.Argument(help="A stored result or an audit's folder, for example runs/audit.")
    ],
    out: Annotated[str, typer.Option(metavar="PATH", help="The HTML file.")] = "report.html",
    json: Annotated[bool, typer.Option("--json", help="The numbers beside it, as .json.")] = False,
    fail_if: FailIf = None,
    max_mb: Annotated[float, typer.Option(help="The most megabytes of the HTML file.")] = 25.0,
) -> None:
    """Write the self-contained HTML report of a stored result.

    Ends with 0, with 1 where a label fails a gate, with 2 on bad input.
    """
    from inversion_kit.analysis import check_gates, keep_projection, numbers, reads
    from inversion_kit.analysis.held import held
    from inversion_kit.reports import write_json, write_report

    try:
        target = file_to_write(out, ".html", argument="--out")
        tree = held(inversion_kit.open(result))
        read = reads(tree)
        tree = keep_projection(tree, result, read=read)
        data = numbers(tree, read=read, pictures=True)
        verdicts = check_gates(fail_if or [], data)
        page = write_report(tree, target, data, read=read, max_mb=max_mb)
        typer.echo(f"report: {page.resolve()}")
        if json:
            typer.echo(f"numbers: {write_json(data, target.with_suffix('.json')).resolve()}")
    except InversionError as error:
        fail(error)
    end(verdicts)
