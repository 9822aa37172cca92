"""Values in JSON's own terms, so that plans and results can hold and compare them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """The value as JSON has it.

    Mappings become dicts with text keys, tuples become lists, and what JSON has no word for
    becomes its ``repr``: NaN and infinity too.

    Examples
    --------
    >>> plain({"size": (224, 224), 0: float("inf")})
    {'size': [224, 224], '0': 'inf'}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else repr(value)


def in_utf8(*texts: str) -> bool:
    """Whether UTF-8 can hold texts, as tokenizers and files want them: no lone surrogates.

    Examples
    --------
    >>> in_utf8("stop", "étoile"), in_utf8(chr(0xD800))
    (True, False)
    """
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def as_data(value: Any) -> Any:
    """Numbers as JSON has them: NumPy's as Python's own, and None where one is not finite.

    Examples
    --------
    >>> as_data({"share": np.float32("nan"), "images": [np.int64(3)]})
    {'share': None, 'images': [3]}
    """
    if isinstance(value, Mapping):
        return {key: as_data(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_data(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
