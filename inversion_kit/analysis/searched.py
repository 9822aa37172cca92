"""What a search for findings looked for, by which lens, and how much it would have seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.words import count, percent, some

_MANY = {
    "sticker": "stickers",
    "tint": "tints",
    "frame": "frames",
    "background": "backgrounds",
    "texture": "textures",
    "words": "words of your own",
}


def in_words(tree: xr.DataTree) -> str:
    """The cues, by kind, and the least effect of one that is confirmed."""
    about = tree["findings"].attrs
    kinds = _kinds(tree)
    named = f" ({', '.join(kinds)})" if kinds else ""
    return (
        f"Looked for {count(int(about['cues']), 'cue')} in words{named}, on pictures of "
        f"{count(int(about['sources']), 'source')}; {_power(about)}."
    )


def _kinds(tree: xr.DataTree) -> list[str]:
    """Kinds of the cues that were looked for, in their order."""
    if "effects" not in tree.children:
        return []
    held = tree["effects"]["kind"].values.astype(str).tolist()
    return [_MANY.get(kind, kind) for kind in dict.fromkeys(held) if kind != "placebo"]


def _power(about: Mapping[Any, Any]) -> str:
    """Of which share a cue is confirmed; of a result without, of which it is looked at again."""
    if "confirmed_from" not in about:
        return (
            f"a cue that moves {percent(float(about['power_push']))} of them to one class, or "
            f"makes {percent(float(about['power_lack']))} of a class's own be missed, is looked "
            "at again 8 times of 10"
        )
    least = json.loads(str(about["confirmed_from"]))
    missed = (
        f"makes {percent(least['lack'])} of a class's own be missed "
        f"({percent(least['coloured'])} with a colour added)"
    )
    end = "is confirmed 8 times of 10, if it works in pixels as it does painted"
    if least["push"] is None:
        few = "of so few sources no cue that moves several to one class can be confirmed"
        return f"{few}; one that {missed} {end}"
    return f"a cue that moves {percent(least['push'])} of them to one class, or {missed}, {end}"


def by_triggers(tree: xr.DataTree) -> list[str]:
    """For how many labels triggers were searched, or why for none; none where it is not known."""
    if why := str(tree["findings"].attrs["trigger"]):
        return [f"Without the lens of triggers, which finds what cannot be painted: {why}."]
    if "effects" not in tree.children:
        return []
    index = tree["effects"]["trigger"].values
    tried, labels = int(np.isfinite(index).sum()), len(index)
    if tried == labels:
        return [f"Looked for triggers, small changes of the pixels, of all {labels} labels."]
    which = "those that words lead to most and a random choice"
    return [
        f"Looked for triggers, small changes of the pixels, of {tried} of {labels} labels, {which}."
    ]


def by_learned_words(about: Mapping[Any, Any]) -> list[str]:
    """For which labels words were learned, for which they were not, and why."""
    tried = json.loads(str(about["learned"]))
    skipped = json.loads(str(about.get("not_learned", "{}")))
    said = [f"Words were learned for {some(tried, 3)}."] if tried else []
    said += [f"No word was learned for “{label}”: {why}." for label, why in skipped.items()]
    if said:
        return said
    why = str(about["token"]) or "no other label is suspicious"
    return [f"No words were learned: {why}."]
