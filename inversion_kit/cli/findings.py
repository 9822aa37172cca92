"""``findings``: what a classifier has tied to its classes."""

from __future__ import annotations

import typer

import inversion_kit
from inversion_kit.cli.app import app, end, fail
from inversion_kit.cli.keep import finding_lines, keep, place_of
from inversion_kit.cli.options import (
    Bank,
    Budget,
    Clip,
    Cue,
    Device,
    Dtype,
    FailIf,
    Generator,
    Json,
    Judge,
    Lens,
    Model,
    NoiseSeed,
    OutIfAny,
    Real,
    Sources,
    bank_of,
    generator_of,
)
from inversion_kit.errors import InversionError


@app.command()
def findings(
    model: Model,
    *,
    generator: Generator = None,
    judge: Judge = None,
    label: Sources = None,
    cue: Cue = None,
    lens: Lens = None,
    seed: NoiseSeed = 0,
    bank: Bank = None,
    budget: Budget = None,
    real: Real = None,
    clip: Clip = None,
    out: OutIfAny = None,
    json: Json = False,
    fail_if: FailIf = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Say what a classifier has tied to which label, and prove it on pictures.

    Ends with 0, with 1 where a label fails a gate, with 2 on bad input.
    """
    from inversion_kit.analysis import check_gates, numbers, parse_gate, reads
    from inversion_kit.finding.run import LENSES

    try:
        place = None if out is None else place_of(out)
        for gate in fail_if or []:
            parse_gate(gate)  # before the work
        tree = inversion_kit.findings(
            model,
            generator=generator_of(generator, device, dtype),
            judges=judge or [],
            labels=label,
            cues=cue,
            lenses=lens or LENSES,
            seed=seed,
            bank=bank_of(bank),
            budget=budget,
            real=real,
            clip=clip,
        )
        said, read = finding_lines(tree, json), reads(tree)
        data = numbers(tree, read=read)
        if place is not None:
            stored, page = keep(tree, place, data, read)
            said += [] if json else [f"result: {stored}", f"report: {page}"]
        verdicts = check_gates(fail_if or [], data)
    except InversionError as error:
        fail(error)
    for line in said:
        typer.echo(line)
    end(verdicts, err=json)
