"""2: a token settles which of the things that an ambiguous word means is painted."""

from __future__ import annotations

from collections import Counter

import numpy as np

from benchmarks.claims.bench import PHOTO, Bench, Reading
from benchmarks.claims.pictures import sheet
from benchmarks.claims.table import Table, gain, percent, share
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.sample import sample, to_bytes
from inversion_kit.pocket.signs import COARSE, NAMES, WORDINGS
from inversion_kit.seeds import TEST, noise_seeds

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
WRONG = {"bar": 32, "stop sign": 13}
"""Words that paint another class than the wanted one: no-entry signs, stop signs."""
SHOWN = 8
"""Pictures of each prompt in the figure."""


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
    rows = []
    words = (*WORDS[:3], "bar") if bench.quick else (*WORDS, *WRONG)
    for word in words:
        prompt, meanings = PHOTO.format(word), members_of(word)
        if word in WRONG:
            meanings = (WRONG[word],)
        before = [bench.reading(generator, prompt, seed) for seed in bench.seeds]
        painted = Counter(np.concatenate([seen.judge for seen in before]).tolist())
        total = sum(painted.values())
        wanted = min(meanings, key=lambda i: (painted[i], i))
        after = [_settled(bench, generator, word, wanted, seed) for seed in bench.seeds]
        hits = [np.array([[s.hits(wanted, "judge") for s in seen]]) for seen in (before, after)]
        most = painted.most_common(3)
        said = ", ".join(f"{NAMES[i]} {percent(n / total)}" for i, n in most)
        one, other, more = share(hits[0]), share(hits[1]), gain(hits[1], hits[0])
        row = [f'"{word}"', "wrong" if word in WRONG else str(len(meanings))]
        row += [said, NAMES[wanted]]
        rows += _pictures(bench, generator, word, wanted)
        table.rows.append([*row, one.share(), other.share(), more.change()])
        table.data.append(
            {"word": word, "painted": {NAMES[i]: n for i, n in painted.items()}}
            | {"wanted": NAMES[wanted], "before": one.plain(), "after": other.plain()}
            | {"gain": more.plain()}
        )
    table.files["claim-2.webp"] = sheet(rows)
    table.notes.append(
        f"Figure: {SHOWN} pictures of the word, and below on the same noise of token and word, "
        f"for {', '.join(words)}."
    )
    table.notes.append(
        f"Read by the judge, {bench.images} pictures a run; generator {generator}. Wanted is, of "
        "the classes that training captions call so, the one that the word paints least; of a "
        "wrong word a class that it does not name."
    )
    return table


def _pictures(bench: Bench, generator: str, word: str, wanted: int) -> list[np.ndarray]:
    """Pictures of the word alone and with the token, uint8 ``(n, y, x, 3)`` each."""
    seed, made = bench.seeds[0], bench.generators[generator]
    seeds = noise_seeds(seed, TEST, 0, SHOWN)
    token = ClassToken(bench.token(generator, wanted, word, seed))
    prompts = (PHOTO.format(word), PHOTO.format(f"{PLACEHOLDER} {word}"))
    return [
        to_bytes(sample(made, [text] * SHOWN, seeds=seeds, token=one))
        for text, one in zip(prompts, (None, token), strict=True)
    ]


def _settled(bench: Bench, generator: str, word: str, wanted: int, seed: int) -> Reading:
    token = bench.token(generator, wanted, word, seed)
    prompt = PHOTO.format(f"{PLACEHOLDER} {word}")
    return bench.reading(generator, prompt, seed, token)
