"""Options that commands share, one for each setting among them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

import inversion_kit
from inversion_kit.arms import ARMS
from inversion_kit.paths import folder_to_write
from inversion_kit.settings import Settings, documentation

_F = TypeVar("_F", bound=Callable[..., Any])

Model = Annotated[str, typer.Argument(help="pocket:honest, timm/<name>, a folder, ...")]
Out = Annotated[str, typer.Option(metavar="PATH", help="Folder for the result and the report.")]
OutIfAny = Annotated[
    str | None, typer.Option(metavar="PATH", help="Folder for the result and the report.")
]
Bank = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="Folder of the pictures; your cache folder by default."),
]
Kept = Annotated[
    str | None,
    typer.Option(
        "--bank",
        metavar="PATH",
        help="Folder of pictures that no later run makes again; that of --findings is in your "
        "cache folder by default.",
    ),
]
Cue = Annotated[
    list[str] | None, typer.Option(help="Words of your own, such as 'with a moustache'.")
]
Lens = Annotated[list[str] | None, typer.Option(help="words, trigger, token; all by default.")]
Labels = Annotated[list[str] | None, typer.Option(help="Labels; all by default.")]
Sources = Annotated[
    list[str] | None, typer.Option(help="Classes whose pictures get cues; all by default.")
]
NoiseSeed = Annotated[int, typer.Option(min=0, help="Of all noise.")]
Json = Annotated[bool, typer.Option("--json", help="Print the numbers as JSON alone.")]
Clip = Annotated[
    str | None, typer.Option(help="A CLIP or SigLIP that says what is painted: folder, hub id.")
]
Generator = Annotated[
    str | None, typer.Option(help="pocket, a folder or a hub id; Stable Diffusion 1.5 by default.")
]
Judge = Annotated[list[str] | None, typer.Option(help="Held-out classifiers.")]
Arm = Annotated[list[str] | None, typer.Option(help=f"Some of {', '.join(ARMS)}.")]
Seeds = Annotated[int, typer.Option(min=1, help="How many runs: of seed 0, 1, ...")]
Seed = Annotated[list[int] | None, typer.Option(help="Which runs, in place of --seeds.")]
Budget = Annotated[
    str | None,
    typer.Option(help="Time there is, for example 15min; a unit that is begun is finished."),
]
Real = Annotated[
    str | None,
    typer.Option(
        metavar="PATH", help="Real images, with a folder a class (name or index) or all in one."
    ),
]
Images = Annotated[
    str | None,
    typer.Option(
        metavar="PATH", help="Real images for --arm inverted, with a folder a class (name, index)."
    ),
]
Workers = Annotated[
    int, typer.Option(min=0, help="Processes of a local dask cluster; 0: this one alone.")
]
Device = Annotated[
    str | None,
    typer.Option(help="Where the networks go; the accelerator by default, pocket to the CPU."),
]
FailIf = Annotated[
    list[str] | None,
    typer.Option(help="For CI: exit code 1 where a label has, say, semantic_index<0.5."),
]
Dtype = Annotated[str | None, typer.Option(help="Of the generator: float32, float16 or bfloat16.")]


def bank_of(path: str | None) -> Path | None:
    """The folder that is said to hold the banks, if it can."""
    return None if path is None else folder_to_write(path, argument="--bank")


def with_settings(command: _F) -> _F:
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


def generator_of(
    name: str | None, device: str | None, dtype: str | None, *, fast: bool = False
) -> Any:
    """The generator by its name, loaded here where more is asked of it than its name says.

    With ``fast`` it is loaded as that setting has it.
    """
    asked = {"device": device, "dtype": dtype}
    settings = {key: value for key, value in asked.items() if value is not None}
    return inversion_kit.as_generator(name, fast=fast, **settings) if settings else name
