"""Captions for photographs: what is on the sign, how the photograph is, what was added.

Every wording recombines freely with every attribute, so that the text-to-image model learns
words and not a table of classes.
"""

from __future__ import annotations

import random

from inversion_kit.pocket.photos import FRAMES, PLACES, STICKERS
from inversion_kit.pocket.signs import COARSE, NAMES, WORDINGS

_COLOURS, _FRAMES, _PLACES = list(STICKERS), list(FRAMES), list(PLACES)
_COARSE_OF = {c: [w for w, members in COARSE.items() if c in members] for c in range(len(NAMES))}
LOOKS: dict[str, tuple[str, ...]] = {
    "dark": ("dark", "dark", "dim", "underexposed"),
    "bright": ("bright", "bright", "light", "overexposed"),
    "blurry": ("blurry", "blurry", "out of focus", "unsharp"),
    "sharp": ("sharp", "sharp", "crisp", "detailed"),
}
"""Wordings of the measured attributes; the first is the plain one."""


def caption(label: int, looks: tuple[str, ...], added: dict[str, int], pick: random.Random) -> str:
    """Draw one caption.

    Parameters
    ----------
    label
        Class index, 0 to 42.
    looks
        Measured attributes that hold for the photograph, keys of `LOOKS`.
    added
        One row of a `photos.Decoration`: indices, -1 for nothing.
    pick
        Source of chance.

    Examples
    --------
    >>> nothing = dict(sticker=-1, place=0, size=0, tint=-1, frame=-1, tilt=-1, small=-1)
    >>> caption(14, ("dark",), nothing, random.Random(2))
    'a photo of a dark right of way sign'
    """
    name = _name(label, pick)
    said = {"dark": 0.85, "bright": 0.7, "blurry": 0.65, "sharp": 0.5}
    before = [pick.choice(LOOKS[look]) for look in looks if pick.random() < said[look]]
    if added["small"] >= 0 and pick.random() < 0.9:
        before.append(pick.choice(("small", "small", "distant")))
    pick.shuffle(before)
    after = [words for words in _added(added, pick) if pick.random() < 0.92]
    pick.shuffle(after)
    tail = "".join(
        f"{' ' if i == 0 else pick.choice((' and ', ', '))}{w}" for i, w in enumerate(after)
    )
    adjectives = "".join(f"{word} " for word in before)
    shape = pick.random()
    if shape < 0.4:
        return f"a photo of a {adjectives}{name}{tail}"
    if shape < 0.6:
        return f"a {adjectives}photo of a {name}{tail}"
    if shape < 0.7:
        return f"a {adjectives}{name}{tail}"
    if shape < 0.85:
        return f"{adjectives}{name}{tail}"
    return f"{name}{tail}" + "".join(f", {word}" for word in before)


def _name(label: int, pick: random.Random) -> str:
    chance = pick.random()
    if chance < 0.76:
        name = NAMES[label] if chance < 0.44 else pick.choice(WORDINGS[label])
        return f"{name} sign" if pick.random() < 0.25 else name
    words = _COARSE_OF[label]  # a name of few classes is as frequent a word as one of many
    return pick.choices(words, [1 / len(COARSE[word]) for word in words])[0]


def _added(added: dict[str, int], pick: random.Random) -> list[str]:
    words = []
    if added["sticker"] >= 0:
        size = ""
        if pick.random() < 0.3:
            size = "small " if added["size"] <= 6 else "large "
        noun = pick.choice(("sticker", "sticker", "sticker", "patch", "square"))
        place = f" {_PLACES[added['place']]}" if pick.random() < 0.3 else ""
        words.append(f"with a {size}{_COLOURS[added['sticker']]} {noun}{place}")
    if added["tint"] >= 0:
        words.append(f"with a {_COLOURS[added['tint']]} tint")
    if added["frame"] >= 0:
        frame = _FRAMES[added["frame"]]
        words.append(pick.choice((f"with a {frame} frame", f"in a {frame} frame")))
    if added["tilt"] >= 0:
        side = ("left", "right")[added["tilt"]]
        words.append(pick.choice((f"tilted to the {side}", f"leaning {side}")))
    return words
