"""The public calls: one thing has one name in all of them, and every one is described."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import inversion_kit
from inversion_kit import analysis, figures

OTHER_NAMES = {
    "class_names": "labels",
    "folder": "path",
    "target": "path",
    "place": "path",
    "run": "run_seed",
    "judge": "judges",
    "n_steps": "steps",
    "batch_size": "batch",
    "n_samples": "samples",
    "random_state": "seed",
    "verbose": "progress",
}
"""What no public parameter is called, and the one name of that thing."""


def exported(*modules: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Public functions, and the public methods of public classes, by what they are called."""
    for module in modules:
        for name in module.__all__:
            one = getattr(module, name)
            own = vars(one).items() if inspect.isclass(one) else [("", one)]
            for method, call in own:
                if inspect.isfunction(call) and not method.startswith("_"):
                    yield f"{module.__name__}.{name}.{method}".rstrip("."), call


MODULES = {module.__name__: module for module in (inversion_kit, analysis, figures)}
CALLS = dict(exported(*MODULES.values()))


def test_one_thing_has_one_name_in_every_public_call() -> None:
    assert len(CALLS) > 80
    asked = {where: inspect.signature(call).parameters for where, call in CALLS.items()}
    named = {
        (where, n, OTHER_NAMES[n]) for where, of in asked.items() for n in of.keys() & OTHER_NAMES
    }
    assert named == set()
    for where, of in asked.items():  # one draws chance, the other says which search of a result
        assert "seed" not in of or of["seed"].annotation == "int", where
        assert "run_seed" not in of or of["run_seed"].annotation == "int | None", where


SECTION = re.compile(r"^(\w+)\n-{3,}\n(.*?)(?=^\w+\n-{3,}\n|\Z)", re.DOTALL | re.MULTILINE)
"""A section of a numpydoc docstring: its head and its lines."""


def entries(lines: str) -> set[str]:
    """Parameters that a section describes, several on a line among them."""
    heads = [line for line in lines.splitlines() if line and not line.startswith(" ")]
    return {name.strip().lstrip("*") for head in heads for name in head.split(",")}


def test_every_parameter_and_what_comes_back_is_documented() -> None:
    functions = {
        where: call for where, call in CALLS.items() if where.rpartition(".")[0] in MODULES
    }
    assert len(functions) > 60
    for where, call in functions.items():
        sections = dict(SECTION.findall(inspect.getdoc(call) or ""))
        signature = inspect.signature(call)
        assert signature.parameters.keys() <= entries(sections.get("Parameters", "")), where
        gives = signature.return_annotation not in ("None", None)
        assert not gives or sections.keys() & {"Returns", "Yields"}, where
