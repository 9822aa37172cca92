"""Prompt templates with ``{token}`` and ``{name}``."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence

from inversion_kit.errors import InputError
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.plain import in_utf8


def check_templates(templates: Sequence[str], *, named: bool = True) -> tuple[str, ...]:
    """One template or several as a tuple, each with ``{token}`` once, and ``{name}`` if ``named``.

    `InputError` for any other field, for none at all, and for what UTF-8 cannot hold; arms that
    must not name the class are not ``named``.

    Examples
    --------
    >>> check_templates(["a photo of a {token}"])
    ('a photo of a {token}',)
    """
    if isinstance(templates, str):
        templates = (templates,)
    if not isinstance(templates, Iterable):
        raise InputError(f"prompts={templates!r}: expected texts such as 'a photo of a {{token}}'")
    templates = tuple(templates)
    if not templates:
        raise InputError(
            "prompts: empty; give at least one template such as 'a photo of a {token}'"
        )
    for template in templates:
        try:
            parts = [part for part in string.Formatter().parse(template) if part[1] is not None]
            fields = [f"{name}{':' if spec else ''}{turn or ''}" for _, name, spec, turn in parts]
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
                f"prompts: {template!r} holds {{name}}, but the arms of these prompts do not name "
                "the class; leave it out, or use arm 'token+name', the token beside the name, or "
                "an arm of your own (inversion_kit.arms)"
            )
        if not in_utf8(template):
            raise InputError(f"prompts: {template!r} holds what UTF-8 cannot (a lone surrogate)")
    return tuple(templates)


def fill(template: str, *, name: str) -> str:
    """The template with the placeholder token and the class's name in it, where it has them.

    Examples
    --------
    >>> fill("a photo of a {token} {name}", name="tiger cat")
    'a photo of a <ik-class> tiger cat'
    """
    return template.format(token=PLACEHOLDER, name=name)
