"""Settings of a search and of its evidence: one frozen dataclass that checks itself.

`inversion_kit.invert`, `inversion_kit.audit`, the command line, the plan on disk, a result's
attributes and the code that makes it again all read the fields below. A new setting is one line.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, TypeVar

from inversion_kit.arms import NAME_FREE
from inversion_kit.errors import InputError, nearest

METHODS = ("gradient", "cma")
"""How a token is searched for: by the classifier's gradient, or by its scores alone."""
ITSELF = "itself"
"""In place of a quicker generator's name: the search asks the one that makes the evidence."""
TINY = "tiny"
"""In place of a decoder's name: the one that the generator's latents are made for."""
QUERIES = 4000
"""Images that a search without a gradient may ask the classifier about, unless told otherwise."""

_F = TypeVar("_F", bound=Callable[..., Any])
Check = Callable[[str, Any], Any]
"""From a setting's name and what was given to the value that is kept, or an `InputError`."""


def _whole(least: int) -> Check:
    def check(name: str, value: Any) -> int:
        whole = None if isinstance(value, bool) or not isinstance(value, Integral) else int(value)
        if whole is None or whole < least:
            raise InputError(f"{name}={value!r}: expected a whole number of at least {least}")
        return whole

    return check


def _number(most: float, words: str, *, zero: bool = False) -> Check:
    def check(name: str, value: Any) -> float:
        number = (
            math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
        )
        above = number > 0 or (zero and number == 0)
        if not math.isfinite(number) or not above or number > most:
            raise InputError(f"{name}={value!r}: expected {words}")
        return number

    return check


def _one_of(allowed: Iterable[str]) -> Check:
    known = tuple(allowed)

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in known:
            raise InputError(
                f"{name}={value!r:.80}: allowed are {', '.join(map(repr, known))}; "
                f"nearest: {nearest(str(value), known)}"
            )
        return str(value)

    return check


def _texts(name: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    listed = (value,) if isinstance(value, str) else value
    if not isinstance(listed, Iterable):
        raise InputError(f"{name}={value!r}: expected texts")
    kept = tuple(listed)
    if not all(isinstance(text, str) for text in kept):
        raise InputError(f"{name}={value!r}: expected texts")
    return kept


def _optional(check: Check) -> Check:
    return lambda name, value: None if value is None else check(name, value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name}={value!r}: expected a text")
    return value


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name}={value!r:.80}: expected True or False")
    return value


def _objective(name: str, value: Any) -> Any:
    if not callable(value):
        raise InputError(
            f"{name}={value!r}: expected a function (logits, target) -> (n,), for example "
            "inversion_kit.objectives.margin"
        )
    return value


def _setting(default: Any, check: Check, *, option: str | None = None, stored: bool = True) -> Any:
    """A field: its default, what it may be, its name on the command line ("" for none there)."""
    metadata = {"check": check, "option": option, "stored": stored}
    return dataclasses.field(default=default, metadata=metadata)


_PROBABILITY = _number(1, "a probability in (0, 1]")
_POSITIVE = _number(math.inf, "a number above 0, for example 0.3")
_NOT_NEGATIVE = _number(math.inf, "a number of at least 0, for example 1.0", zero=True)


@dataclass(frozen=True)
class Settings:
    """How tokens are searched for and what evidence is made, checked when it is made.

    Parameters
    ----------
    prompts
        Templates with ``{token}``, of the arms that have none of their own. The default names no
        class.
    steps
        Optimiser updates in all, at least 0.
    batch
        Images in each update, at least 1.
    lr
        Length of a step in units of the vocabulary's mean norm, above 0.
    gradient
        ``"last_step"`` (the paper's), ``"last_2"``, ``"late_step"``, ``"full"``: through which
        denoising steps.
    stop_at
        Mean target probability on held-out noise, in (0, 1], that is enough: once it is reached,
        the search ends with the first check that is not better by 0.05.
    check_every
        Steps between checks on held-out noise, at least 1. With a gradient one more is made the
        first time that the images of a step reach ``stop_at``.
    patience
        Checks without improvement before the next start, at least 1. By default 1, and 2 with
        ``method="cma"``; with a ``start`` of yours, after which no other comes, as many as there
        are steps.
    restarts
        Further starts where the neutral one does not reach it, at least 0 (the neutral start
        alone): the vocabulary probe's best word, then sums of two words. Where none reaches it,
        the best token goes on until the steps are over, if it is better than the first.
    start
        A word to start from in place of the neutral start; it is then the only start, and goes on
        until it is good enough or the steps are over.
    validation
        Images of a check, at least 1.
    samples
        Final images of each arm and seed, at least 1.
    views
        Changes of the image under which the classifier judges itself, of
        `inversion_kit.classifiers.views.VIEWS`. All by default; none with ``method="cma"``, which
        counts what it asks.
    method
        ``"gradient"``, or ``"cma"`` for a black box or any other classifier: the token is searched
        in directions of the vocabulary by the classifier's scores alone, see
        `inversion_kit.search.cma`. A step is a generation then, ``batch`` the images of each of
        its tokens, and ``lr`` how far from each other those are.
    queries
        With ``"cma"`` the most images, at least 1, that the classifier is asked about for a label
        and seed by an arm with a search; 4000 where not given. The final images of all arms count
        too. /ledger says what they were spent on.
    objective
        What the token is trained for: one of `inversion_kit.objectives`, or a function from logits
        ``(n, class)`` and target ``(n,)`` to a loss an image ``(n,)``. None is the cross-entropy.
        Another one has its mean on held-out noise restart and select in place of the target
        probability, ``stop_at`` does nothing, and all steps are made.
    search_generator
        A quicker generator that the search asks in place of the one that makes the final images:
        a name, folder or hub id, with the same text encoders, as distilled ones have. None is what
        comes with the generator (``"pocket:quick"`` for the pocket), ``"itself"`` no other. The
        result has the gap between the two on the same noise.
    search_steps
        Denoising steps of the search, at least 1; None for those of the generator that it asks.
    search_guidance
        Guidance scale of the search, at least 0; None for that of the generator that it asks.
    search_decoder
        Folder or hub id of a `diffusers.AutoencoderTiny` that decodes while searching, such as
        ``"madebyollin/taesd"``; ``"tiny"`` for the one that is known for the generator's latents,
        those of Stable Diffusion 1 to 3, XL and Flux.
    fast
        Several things at once, of which what you set yourself comes first: ``search_decoder`` is
        ``"tiny"`` where one is known, a generator that is given by name is loaded in bfloat16 on an
        accelerator that runs it, and for the pocket the quick one makes the evidence too. The
        result says all three.

    Raises
    ------
    InputError
        One is out of its range; the message names it and says what is allowed.

    Examples
    --------
    >>> Settings(steps=20).steps, Settings().prompts
    (20, ('a photo of a {token}',))
    """

    prompts: tuple[str, ...] = _setting(NAME_FREE, _texts, option="--prompt")
    steps: int = _setting(60, _whole(0))
    batch: int = _setting(8, _whole(1))
    lr: float = _setting(0.3, _POSITIVE)
    gradient: Any = _setting("last_step", lambda name, value: value)
    stop_at: float = _setting(0.75, _PROBABILITY)
    check_every: int = _setting(5, _whole(1))
    patience: int = _setting(None, _optional(_whole(1)))
    restarts: int = _setting(3, _whole(0))
    start: str | None = _setting(None, _optional(_text))
    validation: int = _setting(16, _whole(1))
    samples: int = _setting(32, _whole(1))
    views: tuple[str, ...] | None = _setting(None, _texts, option="--view")
    method: str = _setting("gradient", _one_of(METHODS))
    queries: int | None = _setting(None, _optional(_whole(1)))
    objective: Any = _setting(None, _optional(_objective), option="", stored=False)
    search_generator: str | None = _setting(None, _optional(_text))
    search_steps: int | None = _setting(None, _optional(_whole(1)))
    search_guidance: float | None = _setting(None, _optional(_NOT_NEGATIVE))
    search_decoder: str | None = _setting(None, _optional(_text))
    fast: bool = _setting(False, _switch)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = field.metadata["check"](field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, field.default if value is None else value)
        if self.method == "gradient" and self.queries is not None:
            raise InputError(f"queries={self.queries!r}: for method='cma' alone; leave it out")
        given: Any = self.patience
        if given is None:
            object.__setattr__(self, "patience", self._usual_patience())
        if self.method == "cma":
            if self.policy_name != "last_step":
                raise InputError(
                    f"gradient={self.policy_name!r}: method='cma' asks for no gradient; leave it "
                    "out"
                )
            object.__setattr__(self, "queries", self.queries or QUERIES)

    def _usual_patience(self) -> int:
        """The patience where none was given: a start that no other follows has all the steps."""
        usual = 1 if self.method == "gradient" else 2
        return usual if self.start is None else max(usual, self.steps)

    @property
    def policy_name(self) -> str:
        """The name of the gradient policy, such as ``"last_step"``."""
        return str(getattr(self.gradient, "name", self.gradient))

    @property
    def goal(self) -> float:
        """The value of a check that ends the search: ``stop_at``, in (0, 1].

        Infinite with an objective of the user's.
        """
        return self.stop_at if self.objective is None else math.inf

    def plain(self) -> dict[str, Any]:
        """The stored settings as JSON has them.

        Returns
        -------
        dict
            By name; tuples as lists, the gradient policy by its name. All but ``objective``.

        Examples
        --------
        >>> Settings().plain()["gradient"]
        'last_step'
        """
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.metadata["stored"]}
        listed = {k: list(v) if isinstance(v, tuple) else v for k, v in kept.items()}
        return {**listed, "gradient": self.policy_name}

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Settings:
        """Settings of what `plain` gave.

        Parameters
        ----------
        plain
            Every stored setting by its name; other keys are passed by.

        Returns
        -------
        Settings
            With the default ``objective``, which is not stored.

        Raises
        ------
        InputError
            One of them is out of its range.
        KeyError
            One of them is missing.
        """
        return cls(**{f.name: plain[f.name] for f in fields(cls) if f.metadata["stored"]})

    def changed(self) -> dict[str, Any]:
        """The stored settings that are not the defaults, as JSON has them.

        Returns
        -------
        dict
            By name, as of `plain`; the ``method`` first where it is another.

        Examples
        --------
        >>> Settings(steps=20).changed()
        {'steps': 20}
        """
        usual = type(self)(method=self.method).plain()
        usual["patience"] = self._usual_patience()
        mine = self.plain()
        asked = {name: value for name, value in mine.items() if value != usual[name]}
        return {**({"method": self.method} if self.method != "gradient" else {}), **asked}


def takes_settings(call: _F) -> _F:
    """Let a call with a keyword ``settings`` take each setting as a keyword of its own.

    Signature and docstring list them: ``{settings}`` in the docstring is where they stand.

    Examples
    --------
    >>> @takes_settings
    ... def steps_of(model, *, settings):
    ...     return settings.steps
    >>> steps_of("m", steps=3)
    3
    """

    @functools.wraps(call)
    def with_settings(*args: Any, **kwargs: Any) -> Any:
        own = {f.name: kwargs.pop(f.name) for f in fields(Settings) if f.name in kwargs}
        return call(*args, settings=Settings(**own), **kwargs)

    signature = inspect.signature(call)
    others = [p for p in signature.parameters.values() if p.name != "settings"]
    ours = [
        inspect.Parameter(
            f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type
        )
        for f in fields(Settings)
    ]
    with_settings.__signature__ = signature.replace(parameters=[*others, *ours])  # type: ignore[attr-defined]
    if call.__doc__:
        with_settings.__doc__ = call.__doc__.replace("{settings}", _documented())
    return with_settings  # type: ignore[return-value]


def documentation() -> dict[str, str]:
    """What each setting is, from the docstring of `Settings`, on one line.

    Examples
    --------
    >>> documentation()["batch"]
    'Images in each update, at least 1.'
    """
    lines: dict[str, list[str]] = {}
    for line in _documented().splitlines():
        if line.startswith("        "):
            lines[list(lines)[-1]].append(line.strip())
        else:
            lines[line.strip()] = []
    return {name: " ".join(parts) for name, parts in lines.items()}


def _documented() -> str:
    """The parameters in the docstring of `Settings`, as they stand there."""
    return str(Settings.__doc__).partition("----------\n")[2].partition("\n\n")[0].strip()
