"""What a prompt says for a class: one clean wording of its name, which itself stays whole."""

from __future__ import annotations

import re
from collections.abc import Sequence

_IDENTIFIER = re.compile(r"^n\d{8}[-_ ]+")


def wordings_of(labels: Sequence[str]) -> list[str]:
    """The wording of each label, in their order.

    Lists such as ImageNet's hold several wordings of a name, and the index where two classes
    share one: the wording is the first, without a WordNet id, an index or underscores. Where
    labels that differ would share it, each is said whole.

    Examples
    --------
    >>> wordings_of(["great white shark, white shark, man-eater", "crane (1)", "crane (2)"])
    ['great white shark', 'crane', 'crane']
    >>> wordings_of(["maillot", "maillot, tank suit", "n02110185-Siberian_husky"])
    ['maillot', 'maillot, tank suit', 'Siberian husky']
    """
    whole = [_clean(label.removesuffix(f" ({i})")) or label for i, label in enumerate(labels)]
    first = [name.partition(",")[0].strip() or name for name in whole]
    known: dict[str, str] = {}
    shared = {
        short
        for short, name in zip(first, whole, strict=True)
        if known.setdefault(short.casefold(), name.casefold()) != name.casefold()
    }
    taken = {short.casefold() for short in shared}
    return [
        name if short.casefold() in taken else short
        for short, name in zip(first, whole, strict=True)
    ]


def _clean(name: str) -> str:
    return " ".join(_IDENTIFIER.sub("", name).replace("_", " ").split())
