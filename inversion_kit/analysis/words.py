r"""How numbers, names and verdicts are written, in every view alike.

Examples
--------
>>> visible("stop\u202egpj")
'stop[U+202E]gpj'
>>> percent(0.997), percent(1.0)
('>99\xa0%', '100\xa0%')
>>> bracket(0.802, 0.978)
'[80,\xa098]'
>>> rate(0.91, 0.802, 0.978)
'91\xa0%\xa0[80,\xa098]'
>>> points(0.91), points(0.001)
('+91', '0')
>>> and_list(["a", "b", "c"])
'a, b and c'
>>> some(["a", "b", "c"], 1)
'“a” and 2 more'
>>> count(1, "label"), count(2, "label")
('1 label', '2 labels')
>>> arm_words("token+name"), arm_words("real"), arm_words("mine")
('token + name', 'real images', 'mine')
>>> start_says("neutral"), start_says("traffic light", 8)
('neutral start', '“traffic…”')
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from inversion_kit import arms
from inversion_kit.schema import NEUTRAL

VERDICTS = {
    "tied": "Tied to a cue",
    "confirmed": "Confirmed",
    "mixed": "Mixed up",
    "trick": "A trick",
    "control": "No better than the control",
    "never": "Never reached",
    "open": "Not settled",
    "none": "No images",
}
"""What can be said of a label, and its words."""
SIGNS = dict(zip(VERDICTS, "■●⇄▲◇○?–", strict=True))
"""The sign of every verdict. ✓ and ≠ are kept for what one image is read as."""
POINT_VERDICTS = (
    "confirmed",
    "not confirmed",
    "not judged",
    "not read as the label",
    "real",
    "token",
)
"""Verdict of a point on a map. An image that the classifier reads as its label is confirmed where
more than half of the held-out classifiers do too, and not judged where there is none."""
DRAWN = ("not read as the label", "real", "token", "not judged", "confirmed", "not confirmed")
"""The same from the bottom to the top: tricks must not be painted over."""
REAL = "real"
"""The arm of a point that is a real image."""
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


def visible(text: str) -> str:
    """Text whose control and direction characters, which nobody sees, are written out."""
    return _HIDDEN.sub(lambda hidden: f"[U+{ord(hidden.group()):04X}]", text)


def percent(share: float) -> str:
    """A share in percent; 100 and 0 are kept for exactly all and exactly none."""
    if math.isnan(share):
        return "\N{EN DASH}"
    rounded = round(share * 100)
    if rounded == 100 and share < 1:
        return ">99\N{NO-BREAK SPACE}%"
    if rounded == 0 and share > 0:
        return "<1\N{NO-BREAK SPACE}%"
    return f"{rounded}\N{NO-BREAK SPACE}%"


def bracket(low: float, high: float) -> str:
    """An interval in percent, rounded outwards."""
    if math.isnan(low):
        return "\N{EN DASH}"
    ends = [math.floor(low * 100 + 1e-9), math.ceil(high * 100 - 1e-9)]
    return f"[{ends[0]},\N{NO-BREAK SPACE}{ends[1]}]".replace("-", "\N{MINUS SIGN}")


def rate(value: float, low: float, high: float) -> str:
    """A share and its interval."""
    return f"{percent(value)}\N{NO-BREAK SPACE}{bracket(low, high)}"


def points(difference: float) -> str:
    """A difference of shares in percentage points, signed."""
    rounded = round(difference * 100)
    return f"{rounded:+d}".replace("-", "\N{MINUS SIGN}") if rounded else "0"


def and_list(parts: Sequence[str]) -> str:
    """Parts of a sentence, joined."""
    parts = list(parts)
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def some(names: Sequence[str], most: int = 5) -> str:
    """The first of some names, quoted, and how many there are more."""
    rest = len(names) - most
    return and_list([f"“{n}”" for n in names[:most]] + ([f"{rest} more"] if rest > 0 else []))


def count(n: int, word: str) -> str:
    """A number with its word."""
    return f"{n} {word}" if n == 1 else f"{n} {word}{'es' if word.endswith('s') else 's'}"


def arm_words(arm: str) -> str:
    """An arm in words, as data."""
    return "real images" if arm == REAL else visible(arms.words(arm))


def start_says(start: str, most: int = 40) -> str:
    """A start in words, cut to ``most`` characters."""
    if start == NEUTRAL:
        return "neutral start"
    return f"“{start if len(start) <= most else start[: most - 1] + '…'}”"


def start_again(said: str, known: bool) -> str:
    """What a search does at another start, in words: with one that is known it goes on.

    Examples
    --------
    >>> start_again("“snow”", False), start_again("“snow”", True)
    ('restart at “snow”', 'goes on with “snow”')
    """
    return f"{'goes on with' if known else 'restart at'} {said}"
