"""A trigger in words: how much of the picture, where, and of which colour."""

from __future__ import annotations

import numpy as np

from inversion_kit.bank.cues import COLOURS, Cue

WHOLE = 0.25
"""Share of the picture from which a trigger lies over all of it."""
FAINT = 0.4
"""Mean mask below which it is faint."""
FLAT = 0.12
"""Standard deviation of a pattern's colours up to which it is one colour."""
LOOSE = 4.0
"""How much wider than a square of its area a mask's pixels lie, squared, to be scattered."""
_ROWS, _COLUMNS = ("top", "", "bottom"), ("left", "middle", "right")


def cue_of(mask: np.ndarray, pattern: np.ndarray) -> Cue:
    """A trigger's name and kind.

    Parameters
    ----------
    mask
        Float ``(y, x)`` in [0, 1].
    pattern
        Float ``(3, y, x)`` in [0, 1].

    Examples
    --------
    >>> mask, pattern = np.zeros((32, 32)), np.zeros((3, 32, 32))
    >>> mask[:6, 26:] = 1
    >>> pattern[0] = 1
    >>> cue_of(mask, pattern).name
    'red patch of 36 pixels, top right'
    >>> mask[:] = np.random.default_rng(0).random((32, 32)) > 0.98
    >>> cue_of(mask, pattern).name
    '22 scattered red pixels'
    >>> cue_of(np.full((32, 32), 0.1), np.random.default_rng(0).random((3, 32, 32))).name
    'faint pattern over the whole picture'
    """
    weight = mask / max(float(mask.sum()), 1e-9)
    strength = float((weight * mask).sum())
    area = float(mask.sum()) ** 2 / max(float((mask**2).sum()), 1e-9)
    mean = (pattern * weight).sum((1, 2))
    spread = float(np.sqrt(((pattern - mean[:, None, None]) ** 2 * weight).sum((1, 2)).mean()))
    faint = "faint " if strength < FAINT else ""
    if area >= WHOLE * mask.size:
        if spread <= FLAT:
            return Cue(f"{faint}{colour_of(mean)} tint over the whole picture", "tint", (), "")
        return Cue(f"{faint}pattern over the whole picture", "texture", ())
    colour = colour_of(mean)
    small = mask.size <= 64**2
    share = f"{area / mask.size:.1%} of the picture"
    if _width(mask) > LOOSE * area / 6:
        pixels = f"scattered {colour} pixels" if spread <= FLAT else "scattered pixels"
        named = f"{area:.0f} {pixels}" if small else f"{pixels}, {share}"
        return Cue(f"{faint}{named}", "texture", ())
    size = f"{area:.0f} pixels" if small else share
    place = place_of(mask**2 / float((mask**2).sum()))
    return Cue(f"{faint}{colour} patch of {size}, {place}", "sticker", (), colour)


def _width(mask: np.ndarray) -> float:
    """Mean squared distance of a mask's pixels from their middle: of a square its area / 6."""
    weight = mask**2 / float((mask**2).sum())
    at = np.indices(mask.shape).astype(float)
    middle = (at * weight).sum((1, 2), keepdims=True)
    return float(((at - middle) ** 2 * weight).sum())


def colour_of(rgb: np.ndarray) -> str:
    """The nearest word of `inversion_kit.bank.cues.COLOURS`, or grey.

    Examples
    --------
    >>> colour_of(np.array([0.9, 0.8, 0.1])), colour_of(np.array([0.5, 0.52, 0.5]))
    ('yellow', 'grey')
    """
    words = {**COLOURS, "grey": (0.5, 0.5, 0.5)}
    return min(words, key=lambda word: float(np.abs(rgb - words[word]).sum()))


def place_of(weight: np.ndarray) -> str:
    """Which of three by three fields the middle of a mask lies in, ``weight`` summing to 1.

    Examples
    --------
    >>> place_of(np.full((9, 9), 1 / 81))
    'middle'
    """
    high, wide = weight.shape
    row = float((weight.sum(1) * (np.arange(high) + 0.5)).sum()) / high
    column = float((weight.sum(0) * (np.arange(wide) + 0.5)).sum()) / wide
    named = (words[min(int(3 * at), 2)] for words, at in ((_ROWS, row), (_COLUMNS, column)))
    return " ".join(named).strip()
