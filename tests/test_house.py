"""Rules of the code itself that no tool of the lint step knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import jinja2
import pytest

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


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the product, by its path."""
    for path in sorted((ROOT / "inversion_kit").rglob("*.py")):
        yield (
            path.relative_to(ROOT / "inversion_kit").as_posix(),
            ast.parse(path.read_text("utf-8")),
        )


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


FIELD_WORDS = {"fed", "way_out", "written_again", "told", "how", "found"}
"""What nothing in the product is called: a reader cannot guess what it holds."""


def names_in(tree: ast.AST) -> Iterator[str]:
    """Every identifier that a module's own code chooses or uses."""
    for node in ast.walk(tree):
        for field in ("id", "arg", "attr", "name"):
            if isinstance(name := getattr(node, field, None), str):
                yield name


def names_in_template(source: str) -> Iterator[str]:
    """Every identifier of a Jinja template, and what its HTML names so."""
    yield from (word for _, kind, word in jinja2.Environment().lex(source) if kind == "name")
    for said in re.findall(r'\s(?:id|for|class|name|data-[\w-]+)="([^"{]*)', source):
        yield from said.split()


def names_in_script(source: str) -> Iterator[str]:
    """Every word of a script outside its comments and strings, and what its selectors name."""
    comment, string = r"//[^\n]*|/\*.*?\*/", r'"(?:\\.|[^"\\\n])*"'
    for found in re.finditer(f"{comment}|({string})|([A-Za-z_$][\\w$]*)", source, re.DOTALL):
        text, name = found.groups()
        yield from [name] if name else re.findall(r"[#.]([\w-]+)", text or "")


def unwanted(name: str) -> bool:
    """Whether a name is one of `FIELD_WORDS`, or made with one: ``foundSigns``, ``found_signs``.

    ``FileNotFoundError`` and its like are Python's own.
    """
    parts = "_".join(re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)).lower()
    words = "|".join(FIELD_WORDS)
    return bool(re.search(rf"(^|_)({words})s?(_|$)", parts.removesuffix("not_found_error")))


def test_names_are_words_of_the_field() -> None:
    for path, tree in modules():
        named = {name for name in names_in(tree) if unwanted(name)}
        assert not named, f"{path}: {named}"


@pytest.mark.parametrize(
    ("suffix", "names_of", "known"),
    [("j2", names_in_template, "finding_sign"), ("js", names_in_script, "finding_kinds")],
)
def test_names_in_pages_are_words_of_the_field(
    suffix: str, names_of: Callable[[str], Iterator[str]], known: str
) -> None:
    every: set[str] = set()
    for path in sorted((ROOT / "inversion_kit").rglob(f"*.{suffix}")):
        names = set(names_of(path.read_text("utf-8")))
        assert not (named := {name for name in names if unwanted(name)}), f"{path}: {named}"
        every |= names
    assert known in every
    assert "finding" in every  # of a selector, or an id


STATE = {
    "__init__.py VIEWS": "the widgets' live view under its name, set once at import",
    "arms.py ARMS": "users register arms; a result keeps those it was made with",
    "arms.py _READ": "the arms that opened results were made with, by name",
    "audits/executors.py _loaded": "the task of a worker process, loaded once",
    "generators/kept.py _images": "images by generator and prompts: made again, they are equal",
    "generators/locks.py _locks": "a lock for each pipeline object",
}
"""Module-level objects that code changes, and why that changes no result."""
MUTATORS = {
    *("append", "extend", "insert", "remove", "pop", "clear", "sort"),
    *("add", "discard", "update", "setdefault", "popitem"),
}


def changed_globals(tree: ast.Module) -> set[str]:
    """Names bound at a module's level whose objects its code rebinds, fills or empties."""
    own = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    imported = [a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names]
    own |= {name for name in imported if name.isupper()}  # others are functions and modules
    changed: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            changed |= set(node.names)
        held = [getattr(node, "target", None), *getattr(node, "targets", ())]
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in MUTATORS:
            held.append(node.func)
        for one in held:
            if isinstance(one, ast.Subscript | ast.Attribute) and isinstance(one.value, ast.Name):
                changed |= {one.value.id} & own
    return changed


def test_no_module_level_state_changes_results() -> None:
    changed = {f"{path} {name}" for path, tree in modules() for name in changed_globals(tree)}
    assert changed == STATE.keys()


def test_few_lines_are_kept_from_the_formatter() -> None:
    kept = [
        path
        for folder in ("inversion_kit", "tests", "benchmarks", "notebooks")
        for path in (ROOT / folder).rglob("*.py")
        for _ in range(path.read_text("utf-8").count("# fmt" + ":"))
    ]
    assert len(kept) < 20
