"""Rules of the code itself that no tool of the lint step knows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST = 60
"""Lines of a function without its docstring."""


def functions(*folders: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function below some folders, and where it is."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end, those of its docstring not counted."""
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def asserts(test: ast.AST) -> bool:
    """Whether a test asserts, itself or by what is named so (``assert_same``, ``raises``)."""
    called = [c.func for c in ast.walk(test) if isinstance(c, ast.Call)]
    names = [f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in called]
    return any(isinstance(node, ast.Assert) for node in ast.walk(test)) or any(
        name.startswith("assert_") or name in ("raises", "warns") for name in names
    )


def test_no_function_is_long() -> None:
    lengths = {where: length(node) for where, node in functions("inversion_kit", "benchmarks")}
    assert len(lengths) > 500
    assert {where: n for where, n in lengths.items() if n > LONGEST} == {}


def test_every_test_asserts() -> None:
    tests = [(where, node) for where, node in functions("tests") if node.name.startswith("test_")]
    assert len(tests) > 500
    assert [where for where, node in tests if not asserts(node)] == []
