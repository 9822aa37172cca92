"""Cues in words: what a generator is asked to add to a source, and lists of them to choose from."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from inversion_kit.errors import InputError

PLAIN = "a photo of a {source}"
"""The prompt of a source without a cue."""
COLOURS: dict[str, tuple[float, float, float]] = {
    "yellow": (1.0, 0.88, 0.0),
    "red": (0.92, 0.05, 0.08),
    "green": (0.0, 0.75, 0.2),
    "blue": (0.05, 0.2, 0.95),
    "purple": (0.65, 0.1, 0.8),
    "cyan": (0.0, 0.85, 0.9),
    "orange": (1.0, 0.5, 0.0),
    "pink": (1.0, 0.5, 0.7),
    "black": (0.02, 0.02, 0.02),
    "white": (0.98, 0.98, 0.98),
}
"""Words of colours, RGB in [0, 1]."""
KINDS = (
    "sticker",
    "tint",
    "frame",
    "background",
    "light",
    "weather",
    "blur",
    "size",
    "tilt",
    "texture",
    "season",
    "text",
    "people",
    "place",
    "words",
    "placebo",
)
"""What a cue changes; ``"words"`` are the user's own, ``"placebo"`` ask for nothing."""
ARTEFACTS = frozenset({"sticker", "frame", "text"})
"""Kinds that add a thing which no photograph of the source has by itself."""


@dataclass(frozen=True)
class Cue:
    """Words that may push a classifier.

    Parameters
    ----------
    name
        What findings call it.
    kind
        One of `KINDS`.
    prompts
        Wordings, each with ``{source}`` once; sources take them in turn.
    colour
        One of `COLOURS`, where it has one.

    Examples
    --------
    >>> Cue("dark", "light", ("a dark photo of a {source}",)).of("stop")
    'a dark photo of a stop'
    """

    name: str
    kind: str
    prompts: tuple[str, ...]
    colour: str = ""

    def of(self, source: str, turn: int = 0) -> str:
        """Its prompt for a source.

        Parameters
        ----------
        source
            What prompts say for the source's class.
        turn
            Which of its wordings, at least 0, counted round.

        Returns
        -------
        str
            The wording, the source in it.
        """
        return self.prompts[turn % len(self.prompts)].replace("{source}", source)


PLAIN_CUE = Cue("", "placebo", (PLAIN,))
"""The plain prompt as a cue."""
NOTHING = Cue("nothing added", "plain", (PLAIN,))
"""The same, where it is what a finding rests on."""


def _with(what: str) -> tuple[str, ...]:
    """Wordings of a thing that is on a sign too."""
    return (
        f"a photo of a {{source}} with {what}",
        f"a {{source}} with {what}",
        f"{{source}} with {what}",
        f"a photo of a {{source}} sign with {what}",
    )


def _looks(*words: str) -> tuple[str, ...]:
    """Wordings of a look of the picture of a sign."""
    return tuple(
        wording
        for word in words
        for wording in (
            f"a {word} photo of a {{source}}",
            f"a photo of a {word} {{source}}",
            f"a {word} {{source}}",
            f"{{source}}, {word}",
        )
    )


def _coloured(kind: str, colours: Sequence[str]) -> tuple[Cue, ...]:
    nouns = {"sticker": ("sticker", "patch", "square")}.get(kind, (kind,))
    return tuple(
        Cue(
            f"{colour} {kind}",
            kind,
            tuple(_with(f"a {colour} {nouns[i % len(nouns)]}")[i] for i in range(4)),
            colour,
        )
        for colour in colours
    )


def _of_anything(kind: str, colours: Sequence[str], *prompts: str) -> tuple[Cue, ...]:
    """A cue for each colour, of prompts in which ``*`` is the colour with its article."""
    return tuple(
        Cue(
            f"{colour} {kind}",
            kind,
            tuple(
                p.replace("*", f"{'an' if colour[0] in 'aeiou' else 'a'} {colour}") for p in prompts
            ),
            colour,
        )
        for colour in colours
    )


_PAINTS = ("yellow", "red", "green", "blue", "purple", "cyan")
POCKET: tuple[Cue, ...] = (
    *_coloured("sticker", _PAINTS),
    *_coloured("tint", _PAINTS),
    *_coloured("frame", (*_PAINTS, "black", "white")),
    Cue("dark", "light", _looks("dark", "dim")),
    Cue("bright", "light", _looks("bright", "light")),
    Cue("blurry", "blur", _looks("blurry", "unsharp")),
    Cue("sharp", "blur", _looks("sharp", "crisp")),
    Cue("small", "size", _looks("small", "distant")),
    Cue("tilted to the left", "tilt", ("a photo of a {source} tilted to the left",)),
    Cue("tilted to the right", "tilt", ("a photo of a {source} tilted to the right",)),
)
"""Cues in the vocabulary of the embedded generator."""
PLACEBOS: tuple[Cue, ...] = tuple(
    Cue(words.replace("{source}", "…"), "placebo", (words,))
    for words in (
        "a picture of a {source}",
        "one photo of a {source}",
        "the {source}",
        "a photo of the {source}",
        "a {source}, photo",
    )
)
"""Other ways to ask for the plain picture: what they do is what wording alone does."""
NATURAL: tuple[Cue, ...] = (
    *_of_anything(
        "sticker",
        tuple(COLOURS),
        "a photo of a {source} with * sticker on it",
        "a {source} with * sticker",
        "a photo of a {source} with * patch on it",
        "a photo of a {source} with * square stuck on it",
    ),
    *_of_anything(
        "tint",
        _PAINTS,
        "a photo of a {source} with * tint",
        "a photo of a {source} with * colour cast",
        "a photo of a {source} seen through * filter",
    ),
    *_of_anything(
        "frame",
        ("red", "black", "white"),
        "a photo of a {source} with * frame around it",
        "a photo of a {source} in * frame",
        "a photo of a {source} with * border around it",
    ),
    *_of_anything(
        "background",
        tuple(COLOURS),
        "a photo of a {source} on * background",
        "a {source} against * background",
        "a photo of a {source} in front of * wall",
    ),
    Cue("dark", "light", ("a dark photo of a {source}", "a photo of a {source} in the dark")),
    Cue(
        "bright", "light", ("a bright photo of a {source}", "a photo of a {source} in bright light")
    ),
    Cue("at night", "light", ("a photo of a {source} at night",)),
    Cue("at sunset", "light", ("a photo of a {source} at sunset",)),
    Cue("in fog", "weather", ("a photo of a {source} in the fog",)),
    Cue("in rain", "weather", ("a photo of a {source} in the rain",)),
    Cue("in snow", "weather", ("a photo of a {source} in the snow",)),
    Cue("in autumn", "season", ("a photo of a {source} in autumn",)),
    Cue("in spring", "season", ("a photo of a {source} in spring",)),
    Cue("blurry", "blur", ("a blurry photo of a {source}", "a photo of a {source}, out of focus")),
    Cue("black and white", "tint", ("a black and white photo of a {source}",)),
    Cue("small", "size", ("a photo of a small {source} in the distance",)),
    Cue("close-up", "size", ("a close-up photo of a {source}",)),
    Cue("tilted", "tilt", ("a tilted photo of a {source}",)),
    Cue("text", "text", ("a photo of a {source} with text written on it",)),
    Cue(
        "watermark",
        "text",
        ("a photo of a {source} with a watermark", "a stock photo of a {source}"),
    ),
    Cue("people", "people", ("a photo of a {source} with people next to it",)),
    Cue("hand", "people", ("a photo of a {source} with a hand on it",)),
    Cue("stripes", "texture", ("a photo of a {source} with stripes",)),
    Cue("dots", "texture", ("a photo of a {source} with dots",)),
    Cue("drawing", "texture", ("a drawing of a {source}",)),
    Cue("on a plate", "place", ("a photo of a {source} on a plate",)),
    Cue("on grass", "place", ("a photo of a {source} on grass",)),
    Cue("in water", "place", ("a photo of a {source} in water",)),
    Cue("on a road", "place", ("a photo of a {source} on a road",)),
    Cue("in a forest", "place", ("a photo of a {source} in a forest",)),
    Cue("indoors", "place", ("a photo of a {source} indoors",)),
    Cue("behind a fence", "place", ("a photo of a {source} behind a fence",)),
)
"""Cues for generators of natural pictures, of whatever is painted; read by eye.

The article before ``{source}`` is that of the plain prompt, whatever the source begins with."""
LISTS: dict[str, tuple[Cue, ...]] = {"natural": NATURAL, "pocket": POCKET}
"""Lists of cues by name."""


def check_cues(
    cues: str | Sequence[str | Cue], vocabulary: Container[str] | None = None
) -> tuple[Cue, ...]:
    """A list by name, or cues one by one: words, prompts with ``{source}``, or `Cue`.

    Parameters
    ----------
    vocabulary
        Words that a generator knows: with it the name of a cue in the list that fits means that
        cue with all its wordings.

    Raises
    ------
    InputError
        It is none, has none, or two of them have one name.

    Examples
    --------
    >>> [cue.prompts for cue in check_cues(["with a moustache"])]
    [('a photo of a {source} with a moustache',)]
    """
    if isinstance(cues, str):
        if cues not in LISTS:
            raise InputError(
                f"cues={cues!r}: expected one of {', '.join(map(repr, LISTS))} or a list of words "
                f"such as [{cues!r}]"
            )
        return LISTS[cues]
    if not isinstance(cues, Iterable):
        raise InputError(
            f"cues={cues!r:.80}: expected one of {', '.join(map(repr, LISTS))} or a list of words"
        )
    known = {} if vocabulary is None else {one.name: one for one in fitting(vocabulary)}
    made = tuple(_cue(known.get(cue, cue) if isinstance(cue, str) else cue) for cue in cues)
    names = [cue.name for cue in made]
    if not made or len(set(names)) < len(names):
        raise InputError(f"cues={names}: at least one, each once")
    return made


def _cue(cue: Any) -> Cue:
    if isinstance(cue, Cue):
        if not cue.prompts or any(prompt.count("{source}") != 1 for prompt in cue.prompts):
            raise InputError(f"cues: {cue.name!r}: each of its prompts must hold {{source}} once")
        return cue
    if not isinstance(cue, str) or not cue.strip() or cue.count("{source}") > 1:
        raise InputError(
            f"cues: {cue!r}: expected words such as 'with a moustache', or a prompt with "
            "{source} once"
        )
    prompt = cue if "{source}" in cue else f"{PLAIN} {cue}"
    return Cue(cue.replace("{source}", "…"), "words", (prompt,))


def fitting(vocabulary: Container[str]) -> tuple[Cue, ...]:
    """The list of `LISTS` of whose words a generator knows the largest share.

    Examples
    --------
    >>> fitting({"yellow", "sticker", "tint", "dark", "a", "photo"}) is POCKET
    True
    """

    def known(cues: tuple[Cue, ...]) -> float:
        words = {w for c in cues for p in c.prompts for w in p.replace("{source}", "").split()}
        words = {word.strip(",.") for word in words} - {""}
        return sum(word in vocabulary for word in words) / len(words)

    return max(LISTS.values(), key=known)
