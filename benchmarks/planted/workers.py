"""What the commands' worker processes do: they alone wait for the imports."""

from __future__ import annotations

from pathlib import Path

from benchmarks.planted.definitions import Definition


def train_one(one: Definition, data: Path, out: Path, steps: int, device: str) -> str:
    """See `benchmarks.planted.training.make`."""
    from benchmarks.planted.training import make

    return make(one, data, out, steps, device)


def ask_one(one: Definition, method: str, out: Path, bank: Path, seed: int, device: str) -> str:
    """See `benchmarks.planted.methods.ask`."""
    from benchmarks.planted.methods import ask

    return ask(one, method, out, bank, seed, device)
