"""The public calls: one thing has one name in all of them."""

from __future__ import annotations

import inspect
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


CALLS = dict(exported(inversion_kit, analysis, figures))


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
