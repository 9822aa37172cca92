"""Arms: the conditions under which the images of a class are made, in one registry.

An arm says what its prompt is, whether a token stands in it and against what that was trained.
Everything that shows results reads names, order and words from here. A result keeps its own arms:
those that nobody has registered are known from there, once it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from inversion_kit.errors import InputError, nearest

NAME_FREE: tuple[str, ...] = ("a photo of a {token}",)
"""Default prompts: the class's name is not in them, so that what the images show comes from the
classifier and not from what the generator knows of the name."""
ARM_NAME = re.compile(r"[a-z][a-z0-9+_]{0,31}")
"""How arms are named: in calls, results and files."""


@dataclass(frozen=True)
class Arm:
    """A condition: prompt, token, what the token was trained against, and words for readers.

    Parameters
    ----------
    name
        How results and files call it: lower-case letters, digits, ``+`` and ``_``.
    words
        A few words for axes and legends.
    says
        One line for readers: what the arm shows.
    templates
        Prompt templates.
    token
        ``"learned"``: a token is searched for; ``"start"``: the token that a search starts from,
        without any update; ``"none"``: no token.
    against
        ``"classifier"``: the audited one; ``"shuffled"``: a copy with shuffled weights, a control;
        ``"photographs"``: no classifier but real images, by textual inversion, a baseline.
    takes
        Which prompts of the settings the arm takes: ``"free"``, those without the name, and it
        refuses others; ``"any"``; ``"named"``, those with the name, and its own templates where
        there are none; ``""``, always its own templates.
    turn
        In which turn a budget of time gets to the arm, the lowest first; of several tokens a
        verdict is about that of the lowest.
    guided
        Whether the classifier pushes every image while it is sampled, see
        `inversion_kit.search.guidance.guided`: a baseline.

    Raises
    ------
    InputError
        A name or value is none of these, or a template does not fit ``token``.

    Examples
    --------
    >>> ARMS["token"].searched, ARMS["shuffled"].control, ARMS["name"].token
    (True, True, 'none')
    >>> ARMS["inverted"].searched, ARMS["guided"].guided
    (False, True)
    """

    name: str
    words: str
    says: str = ""
    templates: tuple[str, ...] = NAME_FREE
    token: Literal["learned", "start", "none"] = "learned"
    against: Literal["classifier", "shuffled", "photographs"] = "classifier"
    takes: Literal["free", "any", "named", ""] = ""
    turn: int = 2
    guided: bool = False

    def __post_init__(self) -> None:
        if not ARM_NAME.fullmatch(self.name):
            raise InputError(
                f"arm name={self.name!r}: lower-case letters, digits, '+' and '_', at most 32"
            )
        if self.token not in ("learned", "start", "none"):
            raise InputError(f"arm token={self.token!r}: 'learned', 'start' or 'none'")
        if self.against not in ("classifier", "shuffled", "photographs"):
            raise InputError(
                f"arm against={self.against!r}: 'classifier', 'shuffled' or 'photographs'"
            )
        for template in self.templates:
            if ("{token}" in template) != (self.token != "none"):
                need = "needs {token}" if self.token != "none" else "must not hold {token}"
                raise InputError(f"arm templates: {template!r} {need} in arm {self.name!r}")

    def prompts(self, given: Sequence[str]) -> tuple[str, ...]:
        """The arm's templates.

        Parameters
        ----------
        given
            The prompts of the settings.

        Returns
        -------
        tuple of str
            Those, or its own, as ``takes`` says; at least one, with ``{token}`` or ``{name}``.

        Raises
        ------
        InputError
            They name the class, and the arm must not.

        Examples
        --------
        >>> ARMS["token+name"].prompts(["a {token}"]), ARMS["token"].prompts(["a {token}"])
        (('a photo of a {token} {name}',), ('a {token}',))
        """
        named = [template for template in given if "{name}" in template]
        if self.takes == "free" and named:
            raise InputError(
                f"prompts: {named[0]!r} holds {{name}}, but they are those of the arm "
                f"{self.name!r}, which does not name the class; leave it out, or use "
                "arms=['token+name'], the token beside the name"
            )
        if self.takes in ("free", "any") or (self.takes == "named" and len(named) == len(given)):
            return tuple(given)
        return self.templates

    @property
    def searched(self) -> bool:
        """Whether a token is searched for by the scores of a classifier."""
        return self.token == "learned" and self.against != "photographs"

    @property
    def inverted(self) -> bool:
        """Whether its token is learned from photographs, without a classifier."""
        return self.token == "learned" and self.against == "photographs"

    @property
    def control(self) -> bool:
        """Whether its token was trained against something that knows no class."""
        return self.searched and self.against != "classifier"


ARMS: dict[str, Arm] = {}
"""All known arms by name, in the order in which they are shown."""


def register(arm: Arm) -> Arm:
    """Add an arm of your own, so that ``arms=[...]`` takes its name.

    Parameters
    ----------
    arm
        The arm; the same one may come again.

    Returns
    -------
    Arm
        The arm.

    Raises
    ------
    InputError
        There is another arm of that name.

    Examples
    --------
    >>> snow = Arm("snow", "token in the snow", templates=("a photo of a {token} in the snow",))
    >>> register(snow).name
    'snow'
    >>> del ARMS["snow"]
    """
    if ARMS.get(arm.name, arm) != arm:
        raise InputError(f"arm name={arm.name!r}: there is one already, {ARMS[arm.name]}")
    ARMS[arm.name] = arm
    return arm


register(
    Arm(
        "name",
        "name prompt",
        "what the generator paints for the class's name alone",
        ("a photo of a {name}",),
        token="none",
        turn=0,
    )
)
register(Arm("start", "start", "the token before any update", token="start", takes="any", turn=0))
register(
    Arm(
        "token+name",
        "token + name",
        "the token beside the name: the paper's prompt",
        ("a photo of a {token} {name}",),
        takes="named",
    )
)
register(Arm("token", "token", "the classifier's push alone: no name helps", takes="free", turn=1))
register(
    Arm(
        "shuffled",
        "shuffled control",
        "a token trained against a copy of the classifier with shuffled weights: what the method "
        "finds where there is nothing to find",
        against="shuffled",
        takes="free",
        turn=3,
    )
)


register(
    Arm(
        "inverted",
        "textual inversion",
        "a token learned from real images of the class, without the classifier",
        against="photographs",
        takes="free",
        turn=3,
    )
)
register(
    Arm(
        "guided",
        "classifier guidance",
        "the name prompt, each picture pushed by the classifier while it is sampled",
        ("a photo of a {name}",),
        token="none",
        turn=3,
        guided=True,
    )
)
_READ: dict[str, Arm] = {}
"""Arms of results that were read here and that are not registered: known to readers alone."""


def arm_of(name: str) -> Arm | None:
    """The registered arm of a name, else that of the result that was read last.

    Parameters
    ----------
    name
        As results have it along ``arm``.

    Returns
    -------
    Arm or None
        None where neither knows the name.

    Examples
    --------
    >>> arm_of("token").takes, arm_of("nobody's") is None
    ('free', True)
    """
    return ARMS.get(name) or _READ.get(name)


def read_arm(stored: Mapping[str, Any]) -> Arm:
    """An arm as a plan or a result keeps it.

    Parameters
    ----------
    stored
        Parameters of `Arm` by name, its templates in a list.

    Returns
    -------
    Arm
        The arm, registered or not.

    Raises
    ------
    InputError, KeyError, TypeError
        It is none.

    Examples
    --------
    >>> read_arm({"name": "mine", "words": "my own", "templates": ["a {token}"]}).words
    'my own'
    """
    arm = Arm(**{**stored, "templates": tuple(stored["templates"])})
    if not all(isinstance(text, str) for text in (arm.words, arm.says, *arm.templates)):
        raise TypeError("words, says and templates must be text")
    return arm


def remember(stored: Any) -> None:
    """Know the arms that a result keeps, for its readers: where they were made does not matter.

    A registered arm of the same name goes first, and nothing makes images of these. What is no arm
    is left out.

    Parameters
    ----------
    stored
        Name to arm, as ``arms`` in the settings of a result.

    Examples
    --------
    >>> remember({"of_mine": {"name": "of_mine", "words": "my own", "templates": ["a {token}"]}})
    >>> words("of_mine")
    'my own'
    """
    for name, kept in stored.items() if isinstance(stored, Mapping) else ():
        if name in ARMS:
            continue
        try:
            arm = read_arm(kept)
        except (InputError, KeyError, TypeError, ValueError, AttributeError):
            continue
        if arm.name == name:
            _READ[name] = arm


def words(name: str) -> str:
    """What readers are told an arm is.

    Parameters
    ----------
    name
        As results have it along ``arm``.

    Returns
    -------
    str
        A few words; of an unknown arm its name.

    Examples
    --------
    >>> words("shuffled")
    'shuffled control'
    """
    arm = arm_of(name)
    return name if arm is None else arm.words


def check_arms(arms: Sequence[str | Arm]) -> tuple[Arm, ...]:
    """Arms by their names or themselves, each once, in the registry's order.

    Parameters
    ----------
    arms
        Names of `ARMS`, or arms, which need not be registered.

    Returns
    -------
    tuple of Arm
        At least one; those that are not registered come last, in their order.

    Raises
    ------
    InputError
        One is unknown or there twice, or there is none.

    Examples
    --------
    >>> [arm.name for arm in check_arms(["token", "name"])]
    ['name', 'token']
    """
    if isinstance(arms, (str, Arm)) or not isinstance(arms, Iterable):
        raise InputError(f"arms={arms!r}: expected a sequence; give [{arms!r}]")
    chosen = []
    for arm in arms:
        if not isinstance(arm, Arm) and not (isinstance(arm, str) and arm in ARMS):
            known = ", ".join(map(repr, ARMS))
            raise InputError(
                f"arms: {arm!r:.80} is unknown; nearest {nearest(str(arm), ARMS, 1)}; "
                f"known are {known}"
            )
        chosen.append(arm if isinstance(arm, Arm) else ARMS[arm])
    if not chosen or len({arm.name for arm in chosen}) != len(chosen):
        raise InputError(f"arms={[arm.name for arm in chosen]}: at least one, each once")
    order = list(ARMS)
    return tuple(
        sorted(chosen, key=lambda a: order.index(a.name) if a.name in ARMS else len(order))
    )
