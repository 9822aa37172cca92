"""What stands out in a token's pictures, in sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.measure import YES_OR_NO
from inversion_kit.analysis.words import and_list, arm_words, bracket, count, percent, points
from inversion_kit.plain import as_data

MOST = 3
"""Sentences of a label."""
_SCATTERED = 1 / 3
"""Width of the middle half of places from which a patch is at no one place."""
_WORDS = {
    "brightness": ("brighter", "darker", "mean brightness"),
    "contrast": ("richer in contrast", "poorer in contrast", "contrast"),
    "sharpness": ("sharper", "more blurred", "fine detail's share of the contrast"),
    "saturation": ("more colourful", "paler in colour", "mean saturation"),
    "warmth": ("redder", "bluer", "mean red less blue"),
    "greenness": ("greener", "more magenta", "mean green less red and blue"),
    "edges": ("busier", "smoother", "mean edge"),
    "border edges": ("busier at the border", "calmer at the border", "the border's share of edges"),
    "scale": ("filled further to the border", "smaller in what they show", "its diameter"),
    "row": ("lower in what they show", "higher in what they show", "its middle from the top"),
    "column": ("shifted to the right", "shifted to the left", "its middle from the left"),
    "tilt": ("turned clockwise", "turned anticlockwise", "degrees"),
}
"""How pictures are that have more of it, less of it, and what is measured."""
_NUMBERS = ("difference", "low", "high", "ours", "theirs", "effect", "chance", "pairs")
_REAL = ("real", "real_low", "real_high", "real_images")
_ROWS, _COLUMNS = ("top", "", "bottom"), ("left", "", "right")


def stands_out(table: xr.Dataset) -> dict[str, list[str]]:
    """Sentences on what stands out in the pictures of every label; none where nothing does.

    Parameters
    ----------
    table
        What `inversion_kit.analysis.properties` gave.

    Returns
    -------
    dict
        By label at most `MOST` sentences: patches first, then a frame, then the largest effects. A
        colour's share is not said again beside its patch.

    Examples
    --------
    >>> from inversion_kit.analysis import properties
    >>> from inversion_kit.testing import synthetic
    >>> table = properties(synthetic(samples=32, seeds=1, size=16))
    >>> stands_out(table)["sky"][0][:34]
    "The token's pictures are smoother:"
    """
    said = {}
    for i, label in enumerate(table["label"].values):
        one = table.isel(label=i)
        out = [str(n) for n in one["property"].values[one["stands_out"].values]]
        size = np.abs(one["effect"].sel(property=out).values).min(0, initial=np.inf)
        order = [n for _, n in sorted(zip(-size, out, strict=True))]
        order.sort(key=lambda name: (not name.endswith(" patch"), name != "frame"))
        doubled = {n.replace(" patch", " share") for n in out if n.endswith(" patch")}
        order = [n for n in order if n not in doubled]
        said[str(label)] = [_sentence(one, name) for name in order[:MOST]]
    return said


def pictures_data(table: xr.Dataset, *, detail: bool = True) -> dict[str, dict[str, Any]]:
    """What `stands_out` says, and the numbers behind it, as data that JSON can hold.

    Parameters
    ----------
    table
        What `inversion_kit.analysis.properties` gave.
    detail
        Keep every property, not only those that stand out.

    Returns
    -------
    dict
        By label ``says``, ``stands_out`` (names of properties) and ``properties``: by the arm
        compared with and the property, each number by its name, and of real images, where findings
        saw some, under the name ``"real images"``; what is not finite is None.

    Examples
    --------
    >>> from inversion_kit.analysis import properties
    >>> from inversion_kit.testing import synthetic
    >>> table = properties(synthetic(samples=32, seeds=1, size=16))
    >>> data = pictures_data(table)["sky"]
    >>> sorted(data["properties"]), data["properties"]["name"]["brightness"]["pairs"]
    (['name', 'start'], 32)
    """
    said = stands_out(table)
    columns = {n: table[n].values for n in _NUMBERS}
    names, arms = (table[n].values.tolist() for n in ("property", "comparison"))
    real = {n: table[n].values for n in _REAL if n in table}
    data = {}
    for i, label in enumerate(said):
        out = table["stands_out"].values[i]
        kept = [p for p in range(len(names)) if detail or out[p]]
        by_arm = {
            arm: {names[p]: {n: as_data(v[i, c, p]) for n, v in columns.items()} for p in kept}
            for c, arm in enumerate(arms)
        }
        if real:
            by_arm["real images"] = {
                names[p]: {n: as_data(v[i, p]) for n, v in real.items()} for p in kept
            }
        data[label] = {
            "says": said[label],
            "stands_out": [names[p] for p in np.flatnonzero(out)],
            "properties": by_arm,
        }
    return data


def _sentence(one: xr.Dataset, name: str) -> str:
    """A sentence on a property that stands out in a label's pictures."""
    table = one.sel(property=name)
    more = bool(table["difference"][0] > 0)
    share = name in YES_OR_NO or name.endswith(" share")
    ours, theirs = (percent if share else _number)(float(table["ours"][0])), []
    for comparison in range(table.sizes["comparison"]):
        against = table.isel(comparison=comparison)
        value, difference, low, high = (
            float(against[n]) for n in ("theirs", "difference", "low", "high")
        )
        arm = arm_words(str(against["comparison"].item()))
        if share:
            change = f"{points(difference)} points {bracket(low, high)}"
            theirs.append(f"{percent(value)} of the {arm}'s ({change})")
        else:
            change = f"{_number(difference, sign=True)} [{_number(low)}, {_number(high)}]"
            theirs.append(f"{_number(value)} of the {arm}'s (difference {change})")
    subject = f"The {arm_words(one.attrs['arm'])}'s pictures"
    said = _has(one, name, more)
    of = " of them" if name in YES_OR_NO else ""
    return f"{subject} {said} {ours}{of} against {and_list(theirs)}.{_of_real(table, share)}"


def _of_real(table: xr.Dataset, share: bool) -> str:
    """How real images of the label are in a property; "" where none were measured."""
    if "real" not in table or not int(table["real_images"]):
        return ""
    value, *ends = (float(table[n]) for n in ("real", "real_low", "real_high"))
    low, high = ends
    said = percent(value) if share else _number(value)
    if np.isfinite(ends).all():
        said += f" {bracket(low, high)}" if share else f" [{_number(low)}, {_number(high)}]"
    return f" Of {count(int(table['real_images']), 'real image')} of it: {said}."


def _has(one: xr.Dataset, name: str, more: bool) -> str:
    """The verb of a sentence, and what is measured."""
    if name == "frame":
        return f"{'have' if more else 'lack'} a frame of one colour:"
    if name.endswith(" share"):
        colour = name.removesuffix(" share")
        return f"have {'more' if more else 'less'} {colour}: share of the pixels"
    if name in _WORDS:
        rise, fall, measured = _WORDS[name]
        return f"are {rise if more else fall}: {measured}"
    if not more:
        return f"lack a uniform {name}:"
    return f"have a uniform {name}{_where(one, name.removesuffix(' patch'))}:"


def _where(one: xr.Dataset, colour: str) -> str:
    """Size and place of a colour's patches."""
    side, row, column = (float(v) for v in one["patch"].sel(colour=colour))
    wide = one["spread"].sel(colour=colour).values
    pixels = one.attrs["side"]
    size = f" of about {side * pixels:.0f} px (of {pixels})"
    if max(wide[1], wide[2]) > _SCATTERED:
        return f"{size} in changing places"
    named = [words[min(int(3 * at), 2)] for words, at in ((_ROWS, row), (_COLUMNS, column))]
    place = " ".join(n for n in named if n)
    return f"{size} {f'at the {place}' if place else 'in the middle'}"


def _number(value: float, *, sign: bool = False) -> str:
    text = f"{value:+.2f}" if sign else f"{value:.2f}"
    return text.replace("-", "\N{MINUS SIGN}")
