"""Typed exceptions: callers may catch `InversionError` for anything that this library raises."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InversionError(Exception):
    """Base of every exception that inversion_kit raises on its own account."""


class InputError(InversionError, ValueError):
    """An argument is not usable; the message says what came, what is allowed, what to type."""


class LabelError(InputError):
    """A label is unknown or ambiguous."""


class ClassifierUnavailableError(InversionError, RuntimeError):
    """A classifier could not be loaded, most often for want of a network."""


class GeneratorUnavailableError(InversionError, RuntimeError):
    """A generator could not be loaded, most often for want of a network."""


class NumericalError(InversionError, ArithmeticError):
    """The classifier or the generator gave values that are not finite."""


class SchemaError(InversionError, ValueError):
    """A DataTree is not a valid inversion_kit result."""


class StoreError(InversionError, OSError):
    """A result cannot be written or read."""


class StoreLockedError(StoreError):
    """Another run works on the same folder."""


def nearest(word: str, known: Iterable[str], n: int = 3) -> str:
    """The known words most like ``word``, quoted and comma-separated, for error messages."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=n, cutoff=0.3) or known[:n]
    return ", ".join(repr(k) for k in near)
