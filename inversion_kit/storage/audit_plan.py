"""What the plan of an audit must hold: labels, arms, seeds, models, settings."""

from __future__ import annotations

from typing import Any

from inversion_kit.errors import InputError

ARMS = ("name", "token+name", "token", "shuffled")
_TEXT = ("classifier", "classifier_hash", "generator", "generator_hash")
_KINDS = ("classifier", "view")
_MOST_UNITS = 2**24


def check_plan(plan: Any) -> dict[str, Any]:
    """Return the plan where an audit can be made of it.

    Raises
    ------
    InputError
        Something is missing, repeated or of another kind; the message names it.
    """
    if not isinstance(plan, dict):
        raise InputError(f"plan: must be a dict, not {type(plan).__name__}")
    for name in (*_TEXT, "labels", "arms", "seeds", "classes", "judges", "judge_hashes",
                 "settings", "versions"):  # fmt: skip
        if name not in plan:
            raise InputError(f"plan: {name} is missing")
    for name in _TEXT:
        if not _is_text(plan[name]):
            raise InputError(f"plan: {name}={plan[name]!r} must be text")
    for name in ("settings", "versions"):
        if not isinstance(plan[name], dict):
            raise InputError(f"plan: {name} must be a dict")
    for name in ("labels", "arms", "seeds", "classes", "judges", "judge_hashes"):
        if not isinstance(plan[name], list):
            raise InputError(f"plan: {name} must be a list")
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
    if not all(isinstance(arm, str) and arm in ARMS for arm in plan["arms"]):
        raise InputError(f"plan: arms={plan['arms']!r} must be of {ARMS}")
    if not all(type(seed) is int and 0 <= seed < 2**31 for seed in plan["seeds"]):
        raise InputError(f"plan: seeds={plan['seeds']!r} must be whole numbers from 0 below 2**31")
    for name, values in (
        ("labels", [index for index, _ in labels]),
        ("arms", plan["arms"]),
        ("seeds", plan["seeds"]),
        ("classes", classes),
        ("judges", [name for name, _ in judges]),
    ):
        if len(set(values)) != len(values):
            raise InputError(f"plan: {name} holds something twice")
        if not values and name != "judges":
            raise InputError(f"plan: {name} is empty")
    if len(labels) * len(plan["arms"]) * len(plan["seeds"]) > _MOST_UNITS:
        raise InputError(f"plan: more than {_MOST_UNITS} units")
    return plan


def _is_text(value: Any) -> bool:
    """Whether it is text that UTF-8 can hold: no lone surrogates."""
    try:
        return isinstance(value, str) and bool(value.encode() or True)
    except UnicodeEncodeError:
        return False
