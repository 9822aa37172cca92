"""Importing is light, and what views the results needs no model."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import inversion_kit

PACKAGE = Path(inversion_kit.__file__).parent
HEAVY = {"torch", "torchvision", "diffusers", "transformers", "timm"}
VIEWS = (
    "schema",
    "testing",
    *(
        f"{package}.{path.stem}"
        for package in ("analysis", "figures", "reports", "storage", "widgets")
        for path in sorted((PACKAGE / package).glob("*.py"))
        if path.stem not in ("__init__", "audit_store", "checkpoints", "hashing")  # they write
    ),
)


def source(module: str) -> Path:
    """The file of a module or package, named from the package's own folder on."""
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports(module: str) -> set[str]:
    """Dotted names of all that a module of the package imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(source(module).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def reached(module: str) -> set[str]:
    """Top-level names that a module imports, by way of the package's other modules too."""
    waiting, seen, outside = [module], set(), set()
    while waiting:
        now = waiting.pop()
        seen.add(now)
        for name in imports(now):
            top, *rest = name.split(".")
            if top != "inversion_kit":
                outside.add(top)
            for parts in range(1, len(rest) + 1):
                inner = ".".join(rest[:parts])
                if top == "inversion_kit" and inner not in seen and source(inner).is_file():
                    waiting.append(inner)
    return outside


def loaded(statement: str) -> set[str]:
    """The heavy packages that are loaded after a statement in a fresh interpreter."""
    code = f"import sys\n{statement}\nprint(*({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_bare_import_is_light():
    assert loaded("import inversion_kit") == set()


def test_every_public_name_is_there():
    for name in inversion_kit.__all__:
        assert getattr(inversion_kit, name).__doc__
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = inversion_kit.no_such_name


@pytest.mark.parametrize("module", VIEWS)
def test_a_view_imports_no_model_library(module):
    assert not reached(module) & HEAVY


def test_a_stored_result_is_read_without_a_model_library():
    statement = "import " + ", ".join(f"inversion_kit.{module}" for module in VIEWS)
    assert loaded(statement) == set()


def test_the_reader_of_imports_finds_a_model_library():
    assert HEAVY & reached("generators.base") >= {"torch", "diffusers"}
    assert "torch" in reached("search.search")
