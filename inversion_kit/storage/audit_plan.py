"""What the plan of an audit must hold: labels, arms, seeds, models, settings."""

from __future__ import annotations

from typing import Any

from inversion_kit.arms import ARM_NAME
from inversion_kit.errors import InputError

_TEXT = ("classifier", "classifier_hash", "generator", "generator_hash")
_LISTS = ("labels", "arms", "seeds", "classes", "judges", "judge_hashes")
_KINDS = ("classifier", "view")
_MOST_UNITS = 2**24


def check_plan(plan: Any) -> dict[str, Any]:
    """Return the plan where an audit can be made of it.

    Parameters
    ----------
    plan
        labels ``[[index, name], ...]``, arms, seeds, classes, judges ``[[name, kind], ...]`` with
        kind "classifier" or "view", judge_hashes, classifier, classifier_hash, generator,
        generator_hash, settings, versions, and more if wished: all as JSON has it.

    Raises
    ------
    InputError
        Something is missing, repeated or of another kind; the message names it.
    """
    if not isinstance(plan, dict):
        raise InputError(f"plan: must be a dict, not {type(plan).__name__}")
    for names, fits, words in (
        (_TEXT, _is_text, "text"),
        (("settings", "versions"), lambda value: isinstance(value, dict), "a dict"),
        (_LISTS, lambda value: isinstance(value, list), "a list"),
    ):
        for name in names:
            if name not in plan:
                raise InputError(f"plan: {name} is missing")
            if not fits(plan[name]):
                raise InputError(f"plan: {name}={plan[name]!r} must be {words}")
    classes, labels, judges = plan["classes"], plan["labels"], plan["judges"]
    if not all(_is_text(name) for name in [*classes, *plan["judge_hashes"]]):
        raise InputError("plan: classes and judge_hashes must be lists of text that UTF-8 can hold")
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in [*labels, *judges]):
        raise InputError("plan: labels and judges must be lists of pairs")
    for index, name in labels:
        if type(index) is not int or not 0 <= index < len(classes) or classes[index] != name:
            raise InputError(f"plan: label {name!r} is not class {index!r}")
    for name, kind in judges:
        if not _is_text(name) or kind not in _KINDS:
            raise InputError(f"plan: judge {[name, kind]!r} must be a name and one of {_KINDS}")
    if len(plan["judge_hashes"]) != len(judges):
        raise InputError(f"plan: {len(judges)} judges, {len(plan['judge_hashes'])} judge_hashes")
    if not all(isinstance(arm, str) and ARM_NAME.fullmatch(arm) for arm in plan["arms"]):
        raise InputError(f"plan: arms={plan['arms']!r} must be lower-case names")
    if not all(type(seed) is int and 0 <= seed < 2**31 for seed in plan["seeds"]):
        raise InputError(f"plan: seeds={plan['seeds']!r} must be whole numbers from 0 below 2**31")
    for name in _LISTS[:5]:
        values = [v[0] for v in plan[name]] if name in ("labels", "judges") else plan[name]
        if len(set(values)) != len(values):
            raise InputError(f"plan: {name} holds something twice")
        if not values and name != "judges":
            raise InputError(f"plan: {name} is empty")
    if len(labels) * len(plan["arms"]) * len(plan["seeds"]) > _MOST_UNITS:
        raise InputError(f"plan: more than {_MOST_UNITS} units")
    return plan


def is_named(plan: dict[str, Any]) -> bool:
    """Whether a plan says by names alone what to load, so that the audit goes on from its folder.

    Examples
    --------
    >>> is_named({"settings": {"sources": None}})
    False
    """
    sources = plan["settings"].get("sources")
    return bool(sources) and not ("images" in sources and sources["images"] is None)


def _is_text(value: Any) -> bool:
    """Whether it is text that UTF-8 can hold: no lone surrogates."""
    try:
        return isinstance(value, str) and bool(value.encode() or True)
    except UnicodeEncodeError:
        return False
