"""The command line: a module a group of commands, in the order that ``--help`` shows."""

from __future__ import annotations

from inversion_kit.cli import invert, doctor, audit, findings, compare, improve, evaluate, report  # noqa: F401  isort:skip
from inversion_kit.cli.app import app

__all__ = ["app"]
