"""Prompt templates: what they may hold, and how they are filled."""

from __future__ import annotations

import pytest

from inversion_kit.errors import InputError
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.generators.prompts import NAME_FREE, NAME_ONLY, WITH_NAME, check_templates, fill


def test_defaults_are_valid():
    assert check_templates(NAME_FREE) == NAME_FREE
    assert check_templates(WITH_NAME) == WITH_NAME


def test_the_default_does_not_name_the_class():
    assert all("{name}" not in template for template in NAME_FREE)


def test_one_template_may_be_a_plain_string():
    assert check_templates("a {token}") == ("a {token}",)


@pytest.mark.parametrize(
    "template",
    [
        "a photo of a cat",
        "{token} and {token}",
        "a {token} {colour}",
        "a {token} {}",
        "a {token} {name.upper}",
        "a {token} {0}",
        "a {token",
        "a token}",
    ],
)
def test_a_bad_template_is_quoted_back_with_an_example(template):
    with pytest.raises(InputError, match="prompts: ") as caught:
        check_templates([template])
    assert repr(template) in str(caught.value)


def test_no_template_at_all():
    with pytest.raises(InputError, match="at least one template"):
        check_templates([])


def test_fill_puts_placeholder_and_name_in():
    assert fill("a {token} {name}", name="tiger cat") == f"a {PLACEHOLDER} tiger cat"


def test_braces_in_a_name_are_left_alone():
    assert fill(WITH_NAME[0], name="{token}") == f"a photo of a {PLACEHOLDER} {{token}}"


def test_the_control_has_no_token():
    assert PLACEHOLDER not in fill(NAME_ONLY, name="cat")


def test_the_placeholder_survives_a_lowercasing_tokenizer():
    assert PLACEHOLDER.lower() == PLACEHOLDER


def test_arms_that_do_not_name_the_class_take_no_name():
    assert check_templates("a {token}", named=False) == ("a {token}",)
    with pytest.raises(InputError, match=r"holds \{name\}.* arms=\['token\+name'\]"):
        check_templates(["a {token}", "a {token} {name}"], named=False)


def test_the_placeholder_itself_and_what_no_tokenizer_reads_are_refused():
    with pytest.raises(InputError, match=f"once.*nor {PLACEHOLDER}; for example 'a photo of a {{t"):
        check_templates([f"a {PLACEHOLDER} {{token}}"])
    with pytest.raises(InputError, match="lone surrogate"):
        check_templates(["a {token} \ud800"])
