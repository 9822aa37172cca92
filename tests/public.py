"""What users meet of the library: public names, and the classes that are reached from them."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import griffe

import inversion_kit

BESIDE = ("settings.Settings", "search.history.Step", "search.history.Check", "bank.bank.Bank")
"""Classes that pages name, or that readers of the code meet first, but no public call."""


def names_of(module: ModuleType) -> list[str]:
    """What a module exports, or else what it defines under a public name."""
    own = [n for n, o in vars(module).items() if getattr(o, "__module__", "") == module.__name__]
    return getattr(module, "__all__", [name for name in own if not name.startswith("_")])


@functools.cache
def public_classes() -> dict[str, type]:
    """Classes that are exported, that a public call or class takes or gives, and kinds of those.

    Annotations are read by griffe: it knows names that are imported for type checkers alone.
    """
    root = Path(inversion_kit.__file__).parents[1]
    package = griffe.load("inversion_kit", search_paths=[root])
    kinds = list(_classes(package))
    homes = [f"{home}.{name}" for name, home in inversion_kit._HOME.items()]
    for module in inversion_kit._MODULES:
        homes += [f"{module}.{name}" for name in names_of(getattr(inversion_kit, module))]
    todo = [f"inversion_kit.{path}" for path in (*homes, *BESIDE)]
    seen: dict[str, Any] = {}
    while todo:
        one = _resolved(package, todo.pop())
        if one is None or one.path in seen:
            continue
        seen[one.path] = one
        if one.is_class:
            members = [n for n in one.members if not n.startswith("_") or n == "__init__"]
            todo += [f"{one.path}.{name}" for name in members]
            todo += [k.path for k in kinds if any(one.path in _paths(base) for base in k.bases)]
        elif one.is_function:
            todo += [p for a in one.parameters for p in _paths(a.annotation)] + _paths(one.returns)
        elif one.is_attribute:
            todo += _paths(one.annotation)
    classes = [one for one in seen.values() if one.is_class]
    return {k.path: getattr(importlib.import_module(k.module.path), k.name) for k in classes}


def _classes(package: Any) -> Iterator[Any]:
    """All classes with a public name, below a package."""
    for one in package.members.values():
        if not one.is_alias and one.is_module:
            yield from _classes(one)
        elif not one.is_alias and one.is_class and not one.name.startswith("_"):
            yield one


def _resolved(package: Any, path: str) -> Any:
    """The object of a path in the package, wherever it was imported; None of what is elsewhere."""
    try:
        one = package.modules_collection[path]
        return one.final_target if one.is_alias else one
    except (KeyError, griffe.AliasResolutionError):
        return None


def _paths(annotation: Any) -> list[str]:
    """Where what an annotation names is from."""
    flat = annotation.iterate(flat=True) if isinstance(annotation, griffe.Expr) else ()
    return [one.canonical_path for one in flat if isinstance(one, griffe.ExprName)]


def methods(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """A class's own public methods and properties, each as its function."""
    for name, one in vars(kind).items():
        for way in ("fget", "func", "__func__"):  # of a property, a cached one, a class method
            one = getattr(one, way, one)
        if inspect.isfunction(one) and not name.startswith("_"):
            yield name, one
