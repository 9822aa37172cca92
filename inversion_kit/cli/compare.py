"""``compare``: what differs between two classifiers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import inversion_kit
from inversion_kit.cli.app import app, as_json, end, fail
from inversion_kit.cli.options import (
    Arm,
    Bank,
    Cue,
    Device,
    Dtype,
    Generator,
    Json,
    Judge,
    Labels,
    Model,
    Out,
    Seed,
    Seeds,
    Sources,
    bank_of,
    generator_of,
    with_settings,
)
from inversion_kit.errors import InversionError
from inversion_kit.paths import file_to_write, folder_to_write

Newer = Annotated[str, typer.Argument(help="The newer one; or both are stored audits.")]
Lenses = Annotated[list[str] | None, typer.Option(help="words, trigger; both by default.")]
Tokens = Annotated[
    int, typer.Option(min=0, help="Labels for which tokens of disagreement are learned.")
]
Gates = Annotated[
    list[str] | None,
    typer.Option(help="For CI: exit code 1 where a label has, say, new_findings>0."),
]


@app.command()
@with_settings
def compare(
    model_a: Model,
    model_b: Newer,
    *,
    label: Labels = None,
    generator: Generator = None,
    judge: Judge = None,
    arm: Arm = None,
    seeds: Seeds = 1,
    seed: Seed = None,
    source: Sources = None,
    cue: Cue = None,
    lens: Lenses = None,
    bank: Bank = None,
    tokens: Tokens = 3,
    out: Out = "runs/compare",
    json: Json = False,
    fail_if: Gates = None,
    device: Device = None,
    dtype: Dtype = None,
    settings: dict[str, Any],
) -> None:
    """Say what differs between two classifiers: one, and the same one trained again.

    Ends with 0, with 1 where a label fails a gate, with 2 on bad input. Call it again to go on
    after a kill.
    """
    from inversion_kit.analysis import check_gates, comparison_data, parse_gate
    from inversion_kit.analysis.compared_data import GATES
    from inversion_kit.comparing.run import ARMS, LENSES
    from inversion_kit.reports import report

    try:
        place = folder_to_write(out, argument="--out")
        file_to_write(place / "report.html", ".html", makes=True)
        for gate in fail_if or []:
            parse_gate(gate, GATES)  # before the work
        tree = inversion_kit.compare(
            model_a,
            model_b,
            label,
            generator=generator_of(generator, device, dtype, fast=settings.get("fast", False)),
            judges=judge or [],
            arms=arm or ARMS,
            seeds=seed or seeds,
            store=place,
            sources=source,
            cues=cue,
            lenses=lens or LENSES,
            bank=bank_of(bank),
            tokens=tokens,
            **settings,
        )
        data = comparison_data(tree)
        place.mkdir(parents=True, exist_ok=True)  # of two results nothing was stored
        page = report(tree, place / "report.html")
        verdicts = check_gates(fail_if or [], data, GATES)
    except InversionError as error:
        fail(error)
    if json:
        typer.echo(as_json(data))
    else:
        for line in [*data["sentences"], f"result: {place.resolve()}", f"report: {page.resolve()}"]:
            typer.echo(line)
    end(verdicts, err=json)
