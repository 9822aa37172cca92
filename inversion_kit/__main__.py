"""``python -m inversion_kit``."""

from inversion_kit.cli import app

app(prog_name="inversion-kit")
