"""``demo`` and ``invert``: one class."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import inversion_kit
from inversion_kit.cli.app import app, fail
from inversion_kit.cli.keep import keep, place_of
from inversion_kit.cli.options import (
    Arm,
    Device,
    Dtype,
    Generator,
    Images,
    Judge,
    Kept,
    Model,
    Out,
    Seed,
    Seeds,
    bank_of,
    generator_of,
    with_settings,
)
from inversion_kit.errors import InversionError


@app.command()
def demo(
    label: Annotated[str, typer.Option(help="A traffic sign.")] = "30 km/h speed limit",
    out: Out = "runs/demo",
    seed: Seed = None,
) -> None:
    """Invert a class of the embedded classifier through the embedded generator.

    The token is checked after every update, so that the report shows each of them.
    """
    _run(
        "pocket:honest",
        label,
        out,
        generator="pocket",
        judges=["pocket:judge"],
        seeds=seed or 1,
        check_every=1,
        patience=30,
    )


@app.command()
@with_settings
def invert(
    model: Model,
    label: Annotated[str, typer.Argument(help="Class name, part of one, or index.")],
    *,
    generator: Generator = None,
    judge: Judge = None,
    arm: Arm = None,
    images: Images = None,
    seeds: Seeds = 1,
    seed: Seed = None,
    out: Out = "runs/invert",
    bank: Kept = None,
    device: Device = None,
    dtype: Dtype = None,
    settings: dict[str, Any],
) -> None:
    """Invert one class of a classifier."""
    try:
        folder = bank_of(bank)
        made = generator_of(generator, device, dtype, fast=settings.get("fast", False))
    except InversionError as error:
        fail(error)
    _run(
        model,
        label,
        out,
        generator=made,
        judges=judge or [],
        arms=arm,
        images=images,
        seeds=seed or seeds,
        bank=folder,
        **settings,
    )


def _run(model: str, label: str, out: str, **arguments: Any) -> None:
    from inversion_kit.analysis import projected, sentences

    try:
        place = place_of(out)
        tree = projected(inversion_kit.invert(model, label, **arguments), method="neighbours")
        stored, page = keep(tree, place)
    except InversionError as error:
        fail(error)
    for sentence in sentences(tree):
        typer.echo(sentence)
    typer.echo(f"result: {stored}")
    typer.echo(f"report: {page}")
