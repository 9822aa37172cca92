"""2: a token settles which of the things that an ambiguous word means is painted."""

from __future__ import annotations

from collections import Counter

import numpy as np

from benchmarks.claims.bench import PHOTO, Bench, Reading
from benchmarks.claims.table import Table, gain, percent, share
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.pocket.signs import COARSE, NAMES, WORDINGS

WORDS = (
    "curve",
    "speed limit sign",
    "truck",
    "arrow sign",
    "people sign",
    "overtaking sign",
    "right of way sign",
    "snow",
    "children",
    "circle",
)
"""Ambiguous words, and one of one class alone ("snow") as a control."""


def members_of(word: str) -> tuple[int, ...]:
    """The classes that training captions call so.

    Examples
    --------
    >>> [NAMES[i] for i in members_of("curve")]
    ['curve to the left', 'curve to the right', 'double curve']
    """
    if word in COARSE:
        return COARSE[word]
    names = [(name, *others) for name, others in zip(NAMES, WORDINGS, strict=True)]
    return tuple(i for i, row in enumerate(names) if any(word in said.split() for said in row))


def measure(bench: Bench) -> Table:
    """What a word paints alone, and with the token of the meaning that it paints least."""
    (generator, *_) = bench.generators
    heads = [
        "word",
        "meanings",
        "the word paints",
        "wanted",
        "word",
        "token + word",
        "gain",
    ]
    table = Table(2, "An ambiguous word, settled", heads)
    for word in WORDS[:3] if bench.quick else WORDS:
        prompt, meanings = PHOTO.format(word), members_of(word)
        before = [bench.reading(generator, prompt, seed) for seed in bench.seeds]
        painted = Counter(np.concatenate([seen.judge for seen in before]).tolist())
        total = sum(painted.values())
        wanted = min(meanings, key=lambda i: (painted[i], i))
        after = [_settled(bench, generator, word, wanted, seed) for seed in bench.seeds]
        hits = [np.array([[s.hits(wanted, "judge") for s in seen]]) for seen in (before, after)]
        most = painted.most_common(3)
        said = ", ".join(f"{NAMES[i]} {percent(n / total)}" for i, n in most)
        one, other, more = share(hits[0]), share(hits[1]), gain(hits[1], hits[0])
        row = [f'"{word}"', str(len(meanings)), said, NAMES[wanted]]
        table.rows.append([*row, one.share(), other.share(), more.change()])
        table.data.append(
            {"word": word, "painted": {NAMES[i]: n for i, n in painted.items()}}
            | {"wanted": NAMES[wanted], "before": one.plain(), "after": other.plain()}
            | {"gain": more.plain()}
        )
    table.notes.append(
        f"Read by the judge, {bench.images} pictures a run; generator {generator}. Wanted is, of "
        "the classes that training captions call so, the one that the word paints least."
    )
    return table


def _settled(bench: Bench, generator: str, word: str, wanted: int, seed: int) -> Reading:
    token = bench.token(generator, wanted, word, seed)
    prompt = PHOTO.format(f"{PLACEHOLDER} {word}")
    return bench.reading(generator, prompt, seed, token)
