"""The command line: ``inversion-kit demo | doctor | invert | audit | findings | resume | ...``."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

import inversion_kit
from inversion_kit.arms import ARMS
from inversion_kit.errors import InputError, InversionError
from inversion_kit.paths import file_to_write, folder_to_write, local_path
from inversion_kit.settings import Settings, documentation

if TYPE_CHECKING:
    from inversion_kit.storage.audit_folder import AuditFolder
    from inversion_kit.storage.units import Unit

_F = TypeVar("_F", bound=Callable[..., Any])

app = typer.Typer(
    help="Show what an image classifier has learned, honestly.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)

_Model = Annotated[str, typer.Argument(help="pocket:honest, timm/<name>, a folder, ...")]
_Out = Annotated[str, typer.Option(metavar="PATH", help="Folder for the result and the report.")]
_Generator = Annotated[
    str | None, typer.Option(help="pocket, a folder or a hub id; Stable Diffusion 1.5 by default.")
]
_Judge = Annotated[list[str] | None, typer.Option(help="Held-out classifiers.")]
_Arm = Annotated[list[str] | None, typer.Option(help=f"Some of {', '.join(ARMS)}.")]
_Seeds = Annotated[int, typer.Option(min=1, help="How many runs: of seed 0, 1, ...")]
_Seed = Annotated[list[int] | None, typer.Option(help="Which runs, in place of --seeds.")]
_Budget = Annotated[
    str | None,
    typer.Option(help="Time there is, for example 15min; a unit that is begun is finished."),
]
_Real = Annotated[
    str | None,
    typer.Option(
        metavar="PATH", help="Real images, with a folder a class (name or index) or all in one."
    ),
]
_Workers = Annotated[
    int, typer.Option(min=0, help="Processes of a local dask cluster; 0: this one alone.")
]
_Device = Annotated[
    str | None,
    typer.Option(help="Where the networks go; the accelerator by default, pocket to the CPU."),
]
_FailIf = Annotated[
    list[str] | None,
    typer.Option(help="For CI: exit code 1 where a label has, say, semantic_index<0.5."),
]
_Dtype = Annotated[str | None, typer.Option(help="Of the generator: float32, float16 or bfloat16.")]


def _with_settings(command: _F) -> _F:
    """Give a command an option for each of `inversion_kit.settings.Settings`; see its fields."""

    @functools.wraps(command)
    def called(*args: Any, **kwargs: Any) -> Any:
        names = [f.name for f in dataclasses.fields(Settings) if f.name in kwargs]
        own = {name: kwargs.pop(name) for name in names}
        chosen = {name: value for name, value in own.items() if value is not None}
        return command(*args, settings=chosen, **kwargs)

    hints = get_type_hints(command, include_extras=True)
    parameters = [
        p.replace(annotation=hints[p.name])
        for p in inspect.signature(command).parameters.values()
        if p.name != "settings"
    ]
    said, kinds = documentation(), get_type_hints(Settings)
    for field in dataclasses.fields(Settings):
        name = field.metadata["option"]
        if name == "":
            continue
        usual = "" if field.default is None else f" Default: {_plain(field.default)}."
        option = typer.Option(
            *([name] if name else []), help=f"{_unmarked(said[field.name])}{usual}"
        )
        kind = list[str] if "tuple" in str(field.type) else type(field.default)
        if kind is type(None):
            kind = kinds[field.name]
        parameters.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[kind | None, option],
            )
        )
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in parameters}
    return called  # type: ignore[return-value]


def _plain(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _unmarked(doc: str) -> str:
    """A setting's documentation without its markup."""
    return doc.replace("`", "").replace('"', "")


@app.command()
def demo(
    label: Annotated[str, typer.Option(help="A traffic sign.")] = "30 km/h speed limit",
    out: _Out = "runs/demo",
    seed: _Seed = None,
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
        patience=12,
    )


@app.command()
def doctor(
    model: _Model,
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
        pictures, labels = (None, None) if images is None else read_folder(images)
        diagnosis = inversion_kit.doctor(model, pictures, labels)
    except InversionError as error:
        _fail(error)
    typer.echo(str(diagnosis))
    if any(check.status == "fail" for check in diagnosis.alarms):
        raise typer.Exit(1)


@app.command()
@_with_settings
def invert(
    model: _Model,
    label: Annotated[str, typer.Argument(help="Class name, part of one, or index.")],
    *,
    generator: _Generator = None,
    judge: _Judge = None,
    arm: _Arm = None,
    seeds: _Seeds = 1,
    seed: _Seed = None,
    out: _Out = "runs/invert",
    device: _Device = None,
    dtype: _Dtype = None,
    settings: dict[str, Any],
) -> None:
    """Invert one class of a classifier."""
    try:
        made = _generator(generator, device, dtype)
    except InversionError as error:
        _fail(error)
    _run(
        model,
        label,
        out,
        generator=made,
        judges=judge or [],
        arms=arm,
        seeds=seed or seeds,
        **settings,
    )


@app.command()
@_with_settings
def audit(
    model: _Model,
    *,
    label: Annotated[list[str] | None, typer.Option(help="Labels; all by default.")] = None,
    generator: _Generator = None,
    judge: _Judge = None,
    arm: _Arm = None,
    seeds: _Seeds = 3,
    seed: _Seed = None,
    out: _Out = "runs/audit",
    budget: _Budget = None,
    dry_run: Annotated[bool, typer.Option(help="Time one step; say how long it takes.")] = False,
    findings: Annotated[
        bool, typer.Option("--findings", help="Look for what is tied to its classes too.")
    ] = False,
    real: _Real = None,
    workers: _Workers = 0,
    device: _Device = None,
    dtype: _Dtype = None,
    settings: dict[str, Any],
) -> None:
    """Invert many labels with controls, seeds and judges. Call it again to go on.

    Ends with 0 where every unit is done, 1 where some failed or are missing, 2 on bad input.
    """
    from inversion_kit.analysis import keep_projection
    from inversion_kit.audits.run import AUDITED

    try:
        place = folder_to_write(out, argument="--out")
        if real is not None:
            _check_real(real, findings)
        with _cluster(workers) as client:
            result = inversion_kit.audit(
                model,
                label,
                generator=_generator(generator, device, dtype),
                judges=judge or [],
                arms=arm or AUDITED,
                seeds=seed or seeds,
                store=place,
                budget=budget,
                dry_run=dry_run,
                client=client,
                **settings,
            )
        if not dry_run:
            keep_projection(result, place)
        said = _tied(place, real) if findings and not dry_run else []
    except InversionError as error:
        _fail(error)
    for line in said:
        typer.echo(line)
    if dry_run:
        typer.echo(str(result))
    else:
        _say_status(place)


def _check_real(real: str, findings: bool) -> None:
    """Refuse a folder of real images that nothing would look at, or that holds none."""
    from inversion_kit.classifiers.doctor import read_folder

    if not findings:
        raise InputError(f"--real={real!r}: real images are for findings; give --findings too")
    read_folder(real, "--real")


def _tied(path: Path, real: str | None) -> list[str]:
    """Look for an audit's findings and keep them in its folder; what they come to."""
    from inversion_kit.schema import WHOLE
    from inversion_kit.storage.audit_store import AuditStore
    from inversion_kit.storage.whole import drop_whole

    tree = inversion_kit.findings(inversion_kit.open(path), real=real)
    folder = AuditStore(path)
    with folder.lock():
        for group in WHOLE.keys() - {"projection"}:
            if group in tree.children:
                folder.write_whole(group, tree[group].to_dataset(inherit=False))
            else:
                drop_whole(folder.path, group)
    return _found(tree, json=False)


def _generator(name: str | None, device: str | None, dtype: str | None) -> Any:
    """The generator by its name, loaded here where more is asked of it than its name says."""
    asked = {"device": device, "dtype": dtype}
    settings = {key: value for key, value in asked.items() if value is not None}
    return inversion_kit.as_generator(name, **settings) if settings else name


@app.command()
def resume(
    path: Annotated[Path, typer.Argument(help="The folder of an audit.")],
    retry_failed: Annotated[bool, typer.Option(help="Make failed units again.")] = False,
    repair: Annotated[
        bool, typer.Option(help="Check every unit; set damaged ones aside and make them again.")
    ] = False,
    budget: _Budget = None,
    workers: _Workers = 0,
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
        with _cluster(workers) as client:
            tree = inversion_kit.resume(
                path, retry_failed=retry_failed, budget=budget, client=client
            )
        keep_projection(tree, path)
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
            typer.echo(f"damaged: {_name(folder, unit)}: {why}")
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
        typer.echo(f"{at}: {_name(folder, unit)}: {where}")
    for unit, record in failures:
        typer.echo(f"failed: {_name(folder, unit)}: {record['type']}: {record['message']}")
    typer.echo(f"audit: {folder.path.resolve()}")
    if end and (now.failed or now.missing):
        raise typer.Exit(1)


def _name(folder: AuditFolder, unit: Unit) -> str:
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
        Path, typer.Argument(help="A stored result or an audit's folder, for example runs/audit.")
    ],
    out: Annotated[str, typer.Option(metavar="PATH", help="The HTML file.")] = "report.html",
    json: Annotated[bool, typer.Option("--json", help="The numbers beside it, as .json.")] = False,
    fail_if: _FailIf = None,
    max_mb: Annotated[float, typer.Option(help="The most megabytes of the HTML file.")] = 25.0,
) -> None:
    """Write the self-contained HTML report of a stored result.

    Ends with 0, with 1 where a label fails a gate, with 2 on bad input.
    """
    from inversion_kit.analysis import check_gates, keep_projection, numbers, reads
    from inversion_kit.reports import write_json, write_report

    try:
        target = file_to_write(out, ".html", argument="--out")
        tree = inversion_kit.open(result)
        read = reads(tree)
        tree = keep_projection(tree, result, read=read)
        data = numbers(tree, read=read, pictures=True)
        verdicts = check_gates(fail_if or [], data)
        page = write_report(tree, target, data, read=read, max_mb=max_mb)
        typer.echo(f"report: {page.resolve()}")
        if json:
            typer.echo(f"numbers: {write_json(data, target.with_suffix('.json')).resolve()}")
    except InversionError as error:
        _fail(error)
    _end(verdicts)


@app.command()
def findings(
    model: _Model,
    *,
    generator: _Generator = None,
    judge: _Judge = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Classes whose pictures get cues; all by default.")
    ] = None,
    cue: Annotated[
        list[str] | None, typer.Option(help="Words of your own, such as 'with a moustache'.")
    ] = None,
    lens: Annotated[
        list[str] | None, typer.Option(help="words, trigger, token; all by default.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all noise.")] = 0,
    bank: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Folder of the pictures; your cache folder by default."),
    ] = None,
    budget: _Budget = None,
    real: _Real = None,
    out: Annotated[
        str | None, typer.Option(metavar="PATH", help="Folder for the result and the report.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON alone.")] = False,
    fail_if: _FailIf = None,
    device: _Device = None,
    dtype: _Dtype = None,
) -> None:
    """Say what a classifier has tied to which label, and prove it on pictures.

    Ends with 0, with 1 where a label fails a gate, with 2 on bad input.
    """
    from inversion_kit.analysis import check_gates, numbers, parse_gate, reads
    from inversion_kit.finding.run import LENSES

    try:
        place = None if out is None else _place(out)
        for gate in fail_if or []:
            parse_gate(gate)  # before the work
        tree = inversion_kit.findings(
            model,
            generator=_generator(generator, device, dtype),
            judges=judge or [],
            labels=label,
            cues=cue,
            lenses=lens or LENSES,
            seed=seed,
            bank=None if bank is None else folder_to_write(bank, argument="--bank"),
            budget=budget,
            real=real,
        )
        said, read = _found(tree, json), reads(tree)
        data = numbers(tree, read=read)
        if place is not None:
            stored, page = _kept(tree, place, data, read)
            said += [] if json else [f"result: {stored}", f"report: {page}"]
        verdicts = check_gates(fail_if or [], data)
    except InversionError as error:
        _fail(error)
    for line in said:
        typer.echo(line)
    _end(verdicts, err=json)


def _found(tree: Any, json: bool) -> list[str]:
    """What findings come to: sentences, or one text of JSON."""
    from json import dumps

    from inversion_kit.analysis import findings_data, looked_for
    from inversion_kit.analysis.carried import real_words

    data = findings_data(tree)
    if not json:
        real = [(one["cue"], real_words(one.get("real"))) for one in data["findings"]]
        return looked_for(tree) + [f"“{cue}”: {words}" for cue, words in real if words]
    return [dumps(data, ensure_ascii=False, indent=1, allow_nan=False)]


def _run(model: str, label: str, out: str, **arguments: Any) -> None:
    from inversion_kit.analysis import projected, sentences

    try:
        place = _place(out)
        tree = projected(inversion_kit.invert(model, label, **arguments), method="neighbours")
        stored, page = _kept(tree, place)
    except InversionError as error:
        _fail(error)
    for sentence in sentences(tree):
        typer.echo(sentence)
    typer.echo(f"result: {stored}")
    typer.echo(f"report: {page}")


def _place(out: str) -> Path:
    """The folder for a result and its report; before any work is done for them."""
    from inversion_kit.storage.store import free_place

    folder = folder_to_write(out, argument="--out")
    free_place(folder / "run.zarr", overwrite=True)
    file_to_write(folder / "report.html", ".html", makes=True)
    return folder


def _kept(tree: Any, out: Path, data: Any = None, read: Any = None) -> tuple[Path, Path]:
    """Where a result and its report are written, of numbers that are there already or of none."""
    from inversion_kit.reports import write_report

    stored = inversion_kit.save(tree, out / "run.zarr", overwrite=True)
    page = write_report(tree, out / "report.html", data, read=read)
    return stored.resolve(), page.resolve()


def _end(verdicts: Sequence[Any], *, err: bool = False) -> None:
    """Say what the gates gave; exit code 1 where one fails."""
    for verdict in verdicts:
        for line in verdict.lines():
            typer.echo(line, err=err)
    if any(verdict.failing for verdict in verdicts):
        raise typer.Exit(1)


def _fail(error: InversionError) -> None:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(2) from error
