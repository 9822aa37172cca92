"""The exceptions and the words that messages suggest."""

from __future__ import annotations

import pytest

from inversion_kit import errors


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.InputError, ValueError),
        (errors.LabelError, errors.InputError),
        (errors.ClassifierUnavailableError, RuntimeError),
        (errors.GeneratorUnavailableError, RuntimeError),
        (errors.NumericalError, ArithmeticError),
        (errors.SchemaError, ValueError),
        (errors.StoreError, OSError),
    ],
)
def test_one_base_catches_all_and_each_is_a_builtin_kind(kind, builtin):
    assert issubclass(kind, errors.InversionError)
    assert issubclass(kind, builtin)


def test_nearest_puts_the_likely_word_first():
    assert errors.nearest("yeild", ["stop", "yield", "bumpy road"]).split(", ")[0] == "'yield'"


def test_nearest_still_lists_words_where_none_is_alike():
    assert errors.nearest("qqq", ["a", "b", "c", "d"]) == "'a', 'b', 'c'"
