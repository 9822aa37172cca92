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


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """The templates as a tuple, each holding ``{token}`` once and nothing but ``{name}`` beside.

    Raises
    ------
    InputError
        A template has no ``{token}``, several, or an unknown field.

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
        if fields.count("token") != 1 or set(fields) - {"token", "name"}:
            raise InputError(
                f"prompts: {template!r} must hold {{token}} once, may hold {{name}}, and nothing "
                "else in braces; for example 'a photo of a {token}'"
            )
    return tuple(templates)


def fill(template: str, *, name: str) -> str:
    """The template with the placeholder token and the class's name in it.

    Examples
    --------
    >>> fill("a photo of a {token} {name}", name="tiger cat")
    'a photo of a <ik-class> tiger cat'
    """
    return template.format(token=PLACEHOLDER, name=name)
