"""Prompt templates: what they may hold, and what filling makes of them."""

from __future__ import annotations

import pytest

from inversion_kit.arms import ARMS, NAME_FREE
from inversion_kit.errors import InputError
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.generators.prompts import check_templates, fill


def test_the_templates_of_all_arms_are_valid():
    assert check_templates(NAME_FREE, named=False) == NAME_FREE
    own = [arm for arm in ARMS.values() if arm.templates]
    for arm in (arm for arm in own if arm.token != "none"):
        assert check_templates(arm.templates) == arm.templates
    for template in (text for arm in own if arm.token == "none" for text in arm.templates):
        assert PLACEHOLDER not in fill(template, name="cat")


def test_one_template_may_be_a_plain_string():
    assert check_templates("a {token}") == ("a {token}",)


@pytest.mark.parametrize(
    "template",
    [
        *("a photo of a cat", "{token} and {token}", "a {token} {colour}", "a {token} {}"),
        *("a {token} {name.upper}", "a {token} {name!r}", "a {token} {0}", "a {token", "a token}"),
    ],
)
def test_a_bad_template_is_quoted_back_with_an_example(template):
    with pytest.raises(InputError, match="prompts: ") as caught:
        check_templates([template])
    assert repr(template) in str(caught.value)


def test_what_is_no_template_at_all_is_refused():
    with pytest.raises(InputError, match="at least one template"):
        check_templates([])
    with pytest.raises(InputError, match="prompts=3: expected texts"):
        check_templates(3)
    with pytest.raises(InputError, match=f"once.*nor {PLACEHOLDER}; for example 'a photo of a {{t"):
        check_templates([f"a {PLACEHOLDER} {{token}}"])
    with pytest.raises(InputError, match="lone surrogate"):
        check_templates(["a {token} \ud800"])


def test_arms_that_do_not_name_the_class_take_no_name():
    assert check_templates("a {token}", named=False) == ("a {token}",)
    with pytest.raises(InputError, match=r"holds \{name\}.*use arm 'token\+name'.*your own"):
        check_templates(["a {token}", "a {token} {name}"], named=False)


def test_fill_puts_placeholder_and_name_in_and_leaves_braces_of_a_name_alone():
    assert fill("a {token} {name}", name="tiger cat") == f"a {PLACEHOLDER} tiger cat"
    assert fill("a {token} {name}", name="{token}") == f"a {PLACEHOLDER} {{token}}"
    assert PLACEHOLDER.lower() == PLACEHOLDER  # it survives a lower-casing tokenizer
