"""The names of a classifier's classes, read from whatever holds them: nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from inversion_kit.classifiers.adapter_parts import distinct, is_from
from inversion_kit.errors import InputError, LabelError, nearest

_IDENTIFIER = re.compile(r"[a-z]\d+")
"""A WordNet id, as ``n01440764``, which lists of ImageNet's names have before a name."""
_GIVE = "give a list of names in the order of the outputs"


def names_of(labels: Any) -> tuple[str, ...]:
    """Label names in the order of the outputs; those of a mapping (id2label) by its indices.

    A name is text, UTF-8 bytes, or a whole number. Of a pair of a WordNet id and a name, as in
    ImageNet's usual JSON file, it is the name; several texts, as in torchvision's ImageNet, are
    wordings of one name. Where a list has a name twice, the index is added, as timm does.

    Raises
    ------
    InputError
        There is no order, no name, or one that is none of these: NaN, for example.

    Examples
    --------
    >>> names_of({"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]})
    ('tench', 'goldfish')
    >>> names_of([b"crane", "cat", "crane"])
    ('crane (0)', 'cat', 'crane (2)')
    """
    if isinstance(labels, Mapping):
        labels = _by_index(dict(labels))
    elif is_from(labels, "pandas"):
        labels = _of_pandas(labels)
    if isinstance(labels, (str, bytes)) or not isinstance(labels, Iterable):
        raise InputError(f"labels={labels!r:.80}: expected a list of names, one a class")
    if isinstance(labels, (set, frozenset)):
        raise InputError(f"labels: a {type(labels).__name__} has no order; {_GIVE}")
    names = [_name(label, i) for i, label in enumerate(labels)]
    if not names:
        raise InputError("labels: there are none; expected a list of names, one a class")
    while len(set(names)) < len(names):
        names = distinct(names)
    return tuple(names)


def called(name: Any) -> str:
    """The name of a classifier, as results and files can hold it.

    Raises
    ------
    InputError
        It is no text, blank, or holds what UTF-8 cannot.

    Examples
    --------
    >>> called("mine")
    'mine'
    """
    try:
        if isinstance(name, str) and name.strip() and name.encode():
            return str.__str__(name)
    except UnicodeEncodeError:
        pass
    raise InputError(f"name={name!r:.80}: expected text that UTF-8 can hold, for example 'mine'")


def text_of(value: Any) -> str | None:
    """The text that a value is: itself, or of UTF-8 bytes or a whole number; None of others.

    Examples
    --------
    >>> text_of(b"cat"), text_of(np.int64(3)), text_of(float("nan"))
    ('cat', '3', None)
    """
    if isinstance(value, (Tensor, np.ndarray)) and value.ndim == 0:
        value = value.item()
    if isinstance(value, str):
        return str.__str__(value).strip()  # of an enumeration its value
    if isinstance(value, bytes):
        try:
            return value.decode().strip()
        except UnicodeDecodeError:
            return None
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return str(int(value)) if whole else None


def label_index(labels: Sequence[str], label: int | str) -> int:
    """The place of a label among names, see `inversion_kit.classifiers.base.Classifier.index`.

    Raises
    ------
    LabelError
        No such label, or several.

    Examples
    --------
    >>> label_index(["tiger cat", "tabby"], "tiger")
    0
    """
    last = len(labels) - 1
    if isinstance(label, bool) or not isinstance(label, (int, np.integer, str)):
        raise LabelError(f"label={label!r}: give an index or a name")
    if not isinstance(label, str):
        if not 0 <= label <= last:
            raise LabelError(f"label={label}: allowed are 0 to {last} or a label name")
        return int(label)
    if label in labels:
        return labels.index(label)
    same = [i for i, name in enumerate(labels) if label.casefold() == name.casefold()]
    if len(same) == 1:
        return same[0]
    part = [i for i, name in enumerate(labels) if label.casefold() in name.casefold()]
    if label in map(str, range(len(labels))):
        at = int(label)
        if not part or at in part:
            return at
        raise LabelError(
            f"label={label!r} is the index of {labels[at]!r} and a part of "
            f"{labels[part[0]]!r}; give the name whole"
        )
    if len(part) == 1:
        return part[0]
    if part:
        word = re.compile(rf"\b{re.escape(label)}\b", re.IGNORECASE)
        near = [labels[i] for i in part]
        near.sort(key=lambda name: (not word.search(name), len(name)))
        several = ", ".join(map(repr, near[:5]))
        raise LabelError(f"label={label!r} fits several: {several}; give one of them whole")
    raise LabelError(
        f"label={label!r} is none of the {len(labels)} labels; "
        f"nearest: {nearest(label, labels)}; or an index from 0 to {last}"
    )


def _by_index(labels: dict[Any, Any]) -> list[Any]:
    named = {text_of(index): label for index, label in labels.items()}
    order = [str(i) for i in range(len(labels))]
    if set(named) != set(order):
        missing = [i for i in order if i not in named]
        few = f" (there is none for {', '.join(missing[:3])})" if missing != order else ""
        raise InputError(
            f"labels: a mapping with the keys {', '.join(map(repr, list(labels)[:3]))}, ...{few}; "
            f"expected 0 to {len(labels) - 1}, each with its name, or a list of names in the "
            "order of the outputs; of a label2id give sorted(label2id, key=label2id.get)"
        )
    return [named[i] for i in order]


def _of_pandas(labels: Any) -> Any:
    """The values of a Series or Index in their order; its index must not say another one."""
    if getattr(labels, "ndim", 1) != 1:
        raise InputError(
            f"labels: a {type(labels).__name__}; give one of its columns, as frame['name'].tolist()"
        )
    index = getattr(labels, "index", None)
    if index is not None and is_from(index, "pandas") and [*index] != [*range(len(labels))]:
        raise InputError(
            "labels: a Series whose index is not 0, 1, 2, ...; give labels.tolist() if it stands "
            "in the order of the outputs, or labels.to_dict() if its index is that of the outputs"
        )
    return list(labels)


def _name(label: Any, index: int) -> str:
    parts = list(label) if isinstance(label, (tuple, list)) else [label]
    texts = [text_of(part) for part in parts]
    if len(texts) == 2 and _IDENTIFIER.fullmatch(texts[0] or ""):
        texts = texts[1:]
    if not texts or not all(texts):
        raise InputError(
            f"labels: class {index} is called {label!r:.60}; expected text, for example 'tiger "
            f"cat'; {_GIVE}"
        )
    return ", ".join(str(text) for text in texts)
