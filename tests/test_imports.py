"""Importing is light; which floor may import which is a contract in pyproject.toml."""

from __future__ import annotations

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
        if path.stem not in ("__init__", "audit_store", "checkpoints")  # they write
    ),
)


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


def test_a_stored_result_is_read_without_a_model_library():
    statement = "import " + ", ".join(f"inversion_kit.{module}" for module in VIEWS)
    assert loaded(statement) == set()
