"""The public calls: one thing has one name in all of them, and every one is described."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import inversion_kit
from inversion_kit import analysis, arms, errors, figures, objectives, testing
from tests.public import methods, names_of, public_classes

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
        for name in names_of(module):
            one = getattr(module, name)
            own = vars(one).items() if inspect.isclass(one) else [("", one)]
            for method, call in own:
                if inspect.isfunction(call) and not method.startswith("_"):
                    yield f"{module.__name__}.{name}.{method}".rstrip("."), call


CALLS = dict(exported(inversion_kit, analysis, figures))
MORE = dict(exported(arms, objectives, testing))
"""Of modules in which things have their fields' own names: the target of a loss."""


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


OWN_ERRORS = {name for name, one in vars(errors).items() if inspect.isclass(one)}
ARRAY = re.compile(r"\b(Tensor|ndarray|Embedding)\b")
"""What has a shape, in an annotation."""


def raised(call: Callable[..., Any]) -> set[str]:
    """The library's own exceptions that a function raises in its own lines, outside inner ones."""
    todo: list[ast.AST] = ast.parse(textwrap.dedent(inspect.getsource(call))).body[0].body
    names = set()
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Raise):
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & OWN_ERRORS
        if not isinstance(node, ast.FunctionDef):
            todo += ast.iter_child_nodes(node)
    return names


def undescribed(call: Callable[..., Any], text: str) -> list[str]:
    """What a docstring does not say of its call: parameters, what comes back, errors.

    A call without parameters may say in one line what comes back; an array has its shape anyway.
    """
    sections, signature = dict(SECTION.findall(text)), inspect.signature(call)
    described = entries(sections.get("Parameters", "") + sections.get("Attributes", ""))
    asks = signature.parameters.keys() - {"self", "cls"}
    wrong = [f"parameter {name}" for name in sorted(asks - described)]
    gives = str(signature.return_annotation)
    if asks and gives not in ("None", "Iterator[None]"):
        wrong += ["what comes back"] * (not sections.keys() & {"Returns", "Yields"})
    if ARRAY.search(gives) and not re.search(r"``\(.*\)``", text):
        wrong.append("the shape of what comes back")
    if "<string>" not in call.__code__.co_filename:  # where dataclasses make theirs
        wrong += [f"error {name}" for name in raised(call) - entries(sections.get("Raises", ""))]
    return wrong


def test_every_parameter_and_what_comes_back_is_documented() -> None:
    wrong = {
        where: undescribed(call, inspect.getdoc(call) or "")
        for where, call in (CALLS | MORE).items()
    }
    assert len(wrong) > 90
    assert {where: what for where, what in wrong.items() if what} == {}


def test_the_classes_that_users_meet_are_public() -> None:
    names = {path.rpartition(".")[2] for path in public_classes()}
    assert names >= {"Classifier", "Ensemble", "Generator", "ClassToken", "Preprocess", "Settings"}
    assert names >= {"Diagnosis", "Repaired", "Arm", "Cue", "Estimate", "Step", "Bank"}


def test_every_method_of_a_public_class_is_documented() -> None:
    wrong = {
        f"{path}.{name}": undescribed(call, inspect.getdoc(call) or "")
        for path, kind in public_classes().items()
        for name, call in methods(kind)
    }
    assert len(wrong) > 70
    assert {where: what for where, what in wrong.items() if what} == {}


def test_every_public_class_says_what_it_is_made_of() -> None:
    wrong = {}
    for path, kind in public_classes().items():
        if issubclass(kind, Exception) or getattr(kind, "_is_protocol", False):
            continue
        text = inspect.getdoc(kind) or ""
        checks = [call for name, call in vars(kind).items() if name == "__post_init__"]
        wrong[path] = [what for c in (kind.__init__, *checks) for what in undescribed(c, text)]
    assert {path: what for path, what in wrong.items() if what} == {}
