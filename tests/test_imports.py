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
    "analysis", "audit_analysis", "html_report", "intervals", "projection", "schema", "store",
)  # fmt: skip


def imports(module: str) -> set[str]:
    """Dotted names of all that a module of the package imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))):
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
            elif rest and (PACKAGE / f"{rest[0]}.py").is_file() and rest[0] not in seen:
                waiting.append(rest[0])
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
    assert HEAVY & reached("generators") >= {"torch", "diffusers"}
    assert "torch" in reached("search")
