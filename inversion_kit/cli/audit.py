"""``audit``, ``resume`` and ``status``: many classes, into a folder."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import inversion_kit
from inversion_kit.cli.app import app, fail
from inversion_kit.cli.keep import add_findings, check_asked
from inversion_kit.cli.options import (
    Arm,
    Budget,
    Cue,
    Device,
    Dtype,
    Generator,
    Images,
    Judge,
    Kept,
    Labels,
    Lens,
    Model,
    Out,
    Real,
    Seed,
    Seeds,
    Workers,
    bank_of,
    generator_of,
    with_settings,
)
from inversion_kit.errors import InputError, InversionError
from inversion_kit.paths import folder_to_write, local_path

if TYPE_CHECKING:
    from inversion_kit.storage.audit_folder import AuditFolder
    from inversion_kit.storage.units import Unit


@app.command()
@with_settings
def audit(
    model: Model,
    *,
    label: Labels = None,
    generator: Generator = None,
    judge: Judge = None,
    arm: Arm = None,
    images: Images = None,
    seeds: Seeds = 3,
    seed: Seed = None,
    out: Out = "runs/audit",
    budget: Budget = None,
    dry_run: Annotated[bool, typer.Option(help="Time one step; say how long it takes.")] = False,
    findings: Annotated[
        bool, typer.Option("--findings", help="Look for what is tied to its classes too.")
    ] = False,
    real: Real = None,
    cue: Cue = None,
    lens: Lens = None,
    bank: Kept = None,
    workers: Workers = 0,
    device: Device = None,
    dtype: Dtype = None,
    settings: dict[str, Any],
) -> None:
    """Invert many labels with controls, seeds and judges. Call it again to go on.

    Ends with 0 where every unit is done, 1 where some failed or are missing, 2 on bad input.
    """
    from inversion_kit.analysis import keep_projection
    from inversion_kit.audits.run import AUDITED

    try:
        place = folder_to_write(out, argument="--out")
        asked = {"real": real, "cue": cue, "lens": lens}
        check_asked(asked, findings)
        pictures = bank_of(bank)
        with cluster(workers) as client:
            result = inversion_kit.audit(
                model,
                label,
                generator=generator_of(generator, device, dtype, fast=settings.get("fast", False)),
                judges=judge or [],
                arms=arm or AUDITED,
                images=images,
                seeds=seed or seeds,
                store=place,
                bank=pictures,
                budget=budget,
                dry_run=dry_run,
                client=client,
                **settings,
            )
        if not dry_run:
            keep_projection(result, place)
        said = add_findings(place, **asked, bank=pictures) if findings and not dry_run else []
    except InversionError as error:
        fail(error)
    for line in said:
        typer.echo(line)
    if dry_run:
        typer.echo(str(result))
    else:
        _say_status(place)


@app.command()
def resume(
    path: Annotated[Path, typer.Argument(help="The folder of an audit.")],
    retry_failed: Annotated[bool, typer.Option(help="Make failed units again.")] = False,
    repair: Annotated[
        bool, typer.Option(help="Check every unit; set damaged ones aside and make them again.")
    ] = False,
    bank: Kept = None,
    budget: Budget = None,
    workers: Workers = 0,
) -> None:
    """Go on with an audit that was stopped or killed.

    An audit of model objects goes on in Python alone; --repair sets its damaged units aside.
    """
    from inversion_kit.analysis import keep_projection
    from inversion_kit.storage.audit_store import AuditStore

    try:
        path = local_path(path)
        if repair:
            store = AuditStore(path)
            with store.lock():
                aside = store.repair()
            for unit, why in aside.items():
                typer.echo(f"set aside: {_name(store, unit)}: {why}")
        with cluster(workers) as client:
            tree = inversion_kit.resume(
                path,
                retry_failed=retry_failed,
                bank=bank_of(bank),
                budget=budget,
                client=client,
            )
        keep_projection(tree, path)
    except InversionError as error:
        fail(error)
    _say_status(path)


@app.command()
def status(
    path: Annotated[Path, typer.Argument(help="The folder of an audit.")],
    verify: Annotated[
        bool, typer.Option(help="Check every unit too; exit code 1 where one is damaged.")
    ] = False,
) -> None:
    """Say where an audit stands, running or not."""
    from inversion_kit.storage.audit_folder import AuditFolder

    if verify:
        try:
            folder = AuditFolder(path)
            damage = folder.damage()
        except InversionError as error:
            fail(error)
        for unit, why in damage.items():
            typer.echo(f"damaged: {_name(folder, unit)}: {why}")
        if damage:
            raise typer.Exit(1)
        typer.echo("verified: no unit is damaged")
    _say_status(path, end=False)


def _say_status(path: Path, *, end: bool = True) -> None:
    from inversion_kit.audits.estimate import clock
    from inversion_kit.storage.audit_folder import AuditFolder
    from inversion_kit.storage.audit_plan import is_named

    try:
        folder = AuditFolder(path)
        now = folder.progress()
        failures = [(unit, folder.failures(unit)[-1]) for unit in folder.failed()]
    except InversionError as error:
        fail(error)
    typer.echo(f"{now.done} of {now.total} units done, {now.failed} failed, {now.missing} missing")
    typer.echo(f"spent: {clock(now.seconds)}")
    if now.missing and now.left is not None:
        guess = f"; no unit of {', '.join(now.guessed)} is done yet" if now.guessed else ""
        typer.echo(f"left: about {clock(now.left)}, by one worker{guess}")
    who = f"process {now.holder['pid']} on {now.holder['host']}" if now.holder else ""
    if now.running and who:
        typer.echo(f"running: {who}")
    if now.running is False and now.missing:
        dead = f" ({who} no longer runs)" if who else ""
        again = "audit(...) called again as it was, with this store"
        if is_named(folder.plan):
            again = f"inversion-kit resume {shlex.quote(str(path))}"
        typer.echo(f"stopped{dead}; go on with: {again}")
    for unit, meta in now.working.items():
        steps = meta.get("steps")
        where = f"{len(steps) if isinstance(steps, list) else 0} updates"
        at = "begun" if now.running is False else "in work"
        typer.echo(f"{at}: {_name(folder, unit)}: {where}")
    for unit, record in failures:
        typer.echo(f"failed: {_name(folder, unit)}: {record['type']}: {record['message']}")
    typer.echo(f"audit: {folder.path.resolve()}")
    if end and (now.failed or now.missing):
        raise typer.Exit(1)


def _name(folder: AuditFolder, unit: Unit) -> str:
    return f"{folder.names[unit.label_index]}, {unit.arm}, seed {unit.seed}"


@contextlib.contextmanager
def cluster(workers: int) -> Iterator[Any]:
    """A client of a local cluster of one-thread workers; None for 0."""
    if not workers:
        yield None
        return
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise InputError(
            f"workers={workers}: needs dask; pip install 'inversion-kit[cluster]'"
        ) from error
    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client
