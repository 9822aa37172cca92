"""The command line: ``inversion-kit demo | doctor | invert | audit | resume | status | report``."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import inversion_kit
from inversion_kit.errors import InputError, InversionError

if TYPE_CHECKING:
    from inversion_kit.storage.audit_folder import AuditFolder, Unit

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
    label: Annotated[str, typer.Option(help="A traffic sign.")] = "30 km/h speed limit",
    out: _Out = Path("runs/demo"),
    seed: _Seed = [0],  # noqa: B006 - typer reads the default and copies it
) -> None:
    """Invert a class of the embedded classifier through the embedded generator.

    The token is looked at after every update, so that the report shows each of them.
    """
    _run(
        "pocket:honest", label, out, generator="pocket", judges=["pocket:judge"], seed=seed,
        check_every=1, patience=12, how={},
    )  # fmt: skip


@app.command()
def doctor(
    model: Annotated[str, typer.Argument(help="pocket:honest, timm/<name>, a folder, ...")],
    images: Annotated[
        Path | None,
        typer.Option(help="A folder of images, or with a folder a class (name or index)."),
    ] = None,
) -> None:
    """Check a classifier in seconds; exit code 1 where something fails."""
    from inversion_kit.classifiers.checkup import read_folder

    try:
        pictures, labels = read_folder(images) if images else (None, None)
        found = inversion_kit.doctor(model, pictures, labels)
    except InversionError as error:
        _fail(error)
    typer.echo(str(found))
    if any(check.status == "fail" for check in found.alarms):
        raise typer.Exit(1)


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
    method: Annotated[
        str, typer.Option(help="gradient, or cma: by the classifier's scores alone.")
    ] = "gradient",
    queries: Annotated[
        int | None, typer.Option(help="Images that cma may ask about; 4000 by default.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Where the networks go; the accelerator by default, pocket to the CPU."),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Of the generator: float32, float16 or bfloat16.")
    ] = None,
) -> None:
    """Invert one class of a classifier."""
    asked = {"device": device, "dtype": dtype}
    _run(
        model, label, out, generator=generator, judges=judge or [], prompts=prompt, seed=seed,
        steps=steps, method=method, queries=queries,
        how={name: value for name, value in asked.items() if value is not None},
    )  # fmt: skip


@app.command()
def audit(
    model: Annotated[str, typer.Argument(help="pocket:honest, timm/<name>, ...")],
    label: Annotated[list[str] | None, typer.Option(help="Labels; all by default.")] = None,
    generator: Annotated[
        str | None,
        typer.Option(help="pocket, a folder or a hub id; Stable Diffusion 1.5 by default."),
    ] = None,
    judge: Annotated[list[str] | None, typer.Option(help="Held-out classifiers.")] = None,
    view: Annotated[list[str] | None, typer.Option(help="Held-out views; all by default.")] = None,
    arm: Annotated[
        list[str] | None, typer.Option(help="name, token+name, token, shuffled; all by default.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Repeats of every label and arm.")] = 3,
    prompt: Annotated[
        list[str] | None, typer.Option(help="Template with {token}, of the arms without the name.")
    ] = None,
    out: _Out = Path("runs/audit"),
    budget: Annotated[
        str | None,
        typer.Option(help="Time there is, for example 15min; a unit that is begun is finished."),
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Time one step; say how long it takes.")] = False,
    steps: _Steps = 60,
    samples: Annotated[int, typer.Option(min=1, help="Final images of a unit.")] = 32,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes of a local dask cluster; 0: this one alone.")
    ] = 0,
) -> None:
    """Invert many labels with controls, seeds and judges. Call it again to go on.

    Ends with 0 where every unit is done, 1 where some failed or are missing, 2 on bad input.
    """
    from inversion_kit.classifiers.views import VIEWS
    from inversion_kit.storage.audit_store import ARMS

    try:
        with _cluster(workers) as client:
            found = inversion_kit.audit(
                model,
                label,
                generator=generator, judges=judge or [],
                views=tuple(VIEWS) if view is None else view,
                arms=ARMS if arm is None else arm, seeds=seeds, store=out, budget=budget,
                dry_run=dry_run, prompts=prompt, steps=steps, samples=samples, client=client,
            )  # fmt: skip
    except InversionError as error:
        _fail(error)
    if dry_run:
        typer.echo(str(found))
    else:
        _say_status(out)


@app.command()
def resume(
    path: Annotated[Path, typer.Argument(help="The folder of an audit.")],
    retry_failed: Annotated[bool, typer.Option(help="Make failed units again.")] = False,
    repair: Annotated[
        bool, typer.Option(help="Check every unit; set damaged ones aside and make them again.")
    ] = False,
    budget: Annotated[str | None, typer.Option(help="Time there is, for example 15min.")] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes of a local dask cluster; 0: this one alone.")
    ] = 0,
) -> None:
    """Go on with an audit that was stopped or killed.

    An audit of model objects goes on in Python alone; --repair sets its damaged units aside.
    """
    from inversion_kit.storage.audit_store import AuditStore

    try:
        if repair:
            store = AuditStore(path)
            with store.lock():
                aside = store.repair()
            for unit, why in aside.items():
                typer.echo(f"set aside: {_told(store, unit)}: {why}")
        with _cluster(workers) as client:
            inversion_kit.resume(path, retry_failed=retry_failed, budget=budget, client=client)
    except InversionError as error:
        _fail(error)
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
            _fail(error)
        for unit, why in damage.items():
            typer.echo(f"damaged: {_told(folder, unit)}: {why}")
        if damage:
            raise typer.Exit(1)
        typer.echo("verified: no unit is damaged")
    _say_status(path, end=False)


def _say_status(path: Path, *, end: bool = True) -> None:
    from inversion_kit.audits.schedule import clock
    from inversion_kit.storage.audit_folder import AuditFolder

    try:
        folder = AuditFolder(path)
        now = folder.progress()
        failures = [(unit, folder.failures(unit)[-1]) for unit in folder.failed()]
    except InversionError as error:
        _fail(error)
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
        if folder.plan["settings"].get("sources"):
            again = f"inversion-kit resume {shlex.quote(str(path))}"
        typer.echo(f"stopped{dead}; go on with: {again}")
    for unit, meta in now.working.items():
        steps = meta.get("steps")
        where = f"{len(steps) if isinstance(steps, list) else 0} updates"
        at = "begun" if now.running is False else "in work"
        typer.echo(f"{at}: {_told(folder, unit)}: {where}")
    for unit, record in failures:
        typer.echo(f"failed: {_told(folder, unit)}: {record['type']}: {record['message']}")
    typer.echo(f"audit: {folder.path.resolve()}")
    if end and (now.failed or now.missing):
        raise typer.Exit(1)


def _told(folder: AuditFolder, unit: Unit) -> str:
    return f"{folder.names[unit.label_index]}, {unit.arm}, seed {unit.seed}"


@contextlib.contextmanager
def _cluster(workers: int) -> Iterator[Any]:
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


@app.command()
def report(
    result: Annotated[
        Path, typer.Argument(help="A stored run or an audit's folder, for example runs/audit.")
    ],
    out: Annotated[Path, typer.Option(help="The HTML file.")] = Path("report.html"),
    json: Annotated[bool, typer.Option("--json", help="The numbers beside it, as .json.")] = False,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(help="For CI, of an audit: exit code 1 where a label has semantic_index<0.5."),
    ] = None,
    max_mb: Annotated[float, typer.Option(help="The most megabytes of the HTML file.")] = 25.0,
) -> None:
    """Write the self-contained HTML report of a stored run or audit.

    Ends with 0, with 1 where a label fails a gate, with 2 on bad input.
    """
    from inversion_kit.reports.gates import check_gates
    from inversion_kit.reports.html_report import write_json

    try:
        tree = inversion_kit.open(result)
        found = check_gates(fail_if or [], tree)
        typer.echo(f"report: {inversion_kit.report(tree, out, max_mb=max_mb).resolve()}")
        if json:
            typer.echo(f"numbers: {write_json(tree, out.with_suffix('.json')).resolve()}")
    except InversionError as error:
        _fail(error)
    for verdict in found:
        for line in verdict.lines():
            typer.echo(line)
    if any(verdict.failing for verdict in found):
        raise typer.Exit(1)


def _run(
    model: str,
    label: str,
    out: Path,
    *,
    generator: str | None,
    how: dict[str, str],
    **settings: Any,
) -> None:
    from inversion_kit.analysis.runs import summary_sentences

    try:
        made = inversion_kit.as_generator(generator, **how) if how else generator
        tree = inversion_kit.invert(model, label, generator=made, **settings)
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
