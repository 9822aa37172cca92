"""Which arm plays which part among those of a result: subject, control, name, start, baseline."""

from __future__ import annotations

from collections.abc import Iterable

from inversion_kit.arms import Arm, arm_of


def main_arm(names: Iterable[str]) -> str:
    """The arm that a verdict is about: a learned token, alone where it is there.

    Examples
    --------
    >>> main_arm(["name", "token+name", "token"]), main_arm(["name"])
    ('token', 'name')
    """
    names = list(names)
    subjects = [arm for arm in _known(names) if arm.searched and not arm.control]
    alone = [arm for arm in subjects if not any("{name}" in text for text in arm.templates)]
    first = [arm.name for arm in (*sorted(alone, key=lambda arm: arm.turn), *subjects)]
    return [*first, *names][0]


def control_arm(names: Iterable[str]) -> str | None:
    """The control among some arms: a token trained against what knows no class; None without one.

    Examples
    --------
    >>> control_arm(["name", "token", "shuffled"])
    'shuffled'
    """
    return next((arm.name for arm in _known(names) if arm.control), None)


def name_arm(names: Iterable[str]) -> str | None:
    """The arm of the class's name alone among some arms; None without one.

    Examples
    --------
    >>> name_arm(["start", "token", "guided", "name"])
    'name'
    """
    plain = (arm.name for arm in _known(names) if arm.token == "none" and not arm.guided)
    return next(plain, None)


def start_arm(names: Iterable[str]) -> str | None:
    """The arm of the token before any update among some arms; None without one.

    Examples
    --------
    >>> start_arm(["start", "token", "name"])
    'start'
    """
    return next((arm.name for arm in _known(names) if arm.token == "start"), None)


def controls(names: Iterable[str], arm: str) -> list[str]:
    """The other arms without a token of the classifier's: what ``arm`` is compared with.

    Examples
    --------
    >>> controls(["name", "token+name", "token", "shuffled", "inverted"], "token")
    ['name', 'shuffled', 'inverted']
    """
    others = [one for one in _known(names) if one.name != arm]
    return [one.name for one in others if one.control or not one.searched]


def baseline_arm(names: Iterable[str], arm: str) -> str | None:
    """What ``arm`` has to beat: the control, or else the start; None without either.

    Examples
    --------
    >>> baseline_arm(["name", "start", "token"], "token")
    'start'
    """
    others = controls(names, arm)
    return control_arm(others) or start_arm(others)


def before_arm(names: Iterable[str]) -> str | None:
    """What pictures show beside a token's: the start, or else the name alone.

    Examples
    --------
    >>> before_arm(["name", "token"])
    'name'
    """
    names = list(names)
    return start_arm(names) or name_arm(names)


def _known(names: Iterable[str]) -> list[Arm]:
    """The arms of those names that are known."""
    return [arm for arm in map(arm_of, names) if arm is not None]
