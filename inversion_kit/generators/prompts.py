"""Prompt templates with ``{token}`` and ``{name}``."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence

from inversion_kit.errors import InputError
from inversion_kit.generators.class_token import PLACEHOLDER

NAME_FREE: tuple[str, ...] = ("a photo of a {token}",)
"""Default templates: the class's name is not in them, so that what the images show comes from the
classifier and not from what the generator knows of the name."""
WITH_NAME: tuple[str, ...] = ("a photo of a {token} {name}",)
"""The paper's template: the token beside the name."""
NAME_ONLY = "a photo of a {name}"
"""The control without a token."""


def check_templates(templates: Sequence[str], *, named: bool = True) -> tuple[str, ...]:
    """The templates as a tuple, each holding ``{token}`` once and nothing but ``{name}`` beside.

    Parameters
    ----------
    templates
        One or several.
    named
        Whether ``{name}`` is allowed: not in an audit's arms that must not name the class.

    Raises
    ------
    InputError
        A template has no ``{token}``, several, an unknown field, a ``{name}`` that is not
        allowed, or what UTF-8 cannot hold.

    Examples
    --------
    >>> check_templates(["a photo of a {token}"])
    ('a photo of a {token}',)
    """
    if isinstance(templates, str):
        templates = (templates,)
    if not isinstance(templates, Iterable):
        raise InputError(f"prompts={templates!r}: expected texts such as 'a photo of a {{token}}'")
    if not templates:
        raise InputError(
            "prompts: empty; give at least one template such as 'a photo of a {token}'"
        )
    for template in templates:
        try:
            parts = [part for part in string.Formatter().parse(template) if part[1] is not None]
            fields = [f"{field}{':' if spec else ''}{how or ''}" for _, field, spec, how in parts]
        except (ValueError, TypeError) as error:
            raise InputError(f"prompts: {template!r} cannot be read ({error})") from error
        unknown = set(fields) - {"token", "name"}
        if fields.count("token") != 1 or unknown or PLACEHOLDER in template:
            raise InputError(
                f"prompts: {template!r} must hold {{token}} once, may hold {{name}}, and nothing "
                f"else in braces nor {PLACEHOLDER}; for example 'a photo of a {{token}}'"
            )
        if not named and "name" in fields:
            raise InputError(
                f"prompts: {template!r} holds {{name}}, but they are those of the arms 'token' and "
                "'shuffled', which do not name the class; leave it out, or use "
                "arms=['token+name'], the token beside the name"
            )
        if not in_utf8(template):
            raise InputError(f"prompts: {template!r} holds what UTF-8 cannot (a lone surrogate)")
    return tuple(templates)


def in_utf8(text: str) -> bool:
    r"""Whether UTF-8 can hold a text, as tokenizers and files want it: no lone surrogates.

    Examples
    --------
    >>> in_utf8("chat"), in_utf8("\ud800")
    (True, False)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def fill(template: str, *, name: str) -> str:
    """The template with the placeholder token and the class's name in it.

    Examples
    --------
    >>> fill("a photo of a {token} {name}", name="tiger cat")
    'a photo of a <ik-class> tiger cat'
    """
    return template.format(token=PLACEHOLDER, name=name)
