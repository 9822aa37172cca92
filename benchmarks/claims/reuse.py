"""6: a token is a word: it obeys sentences, and there is something between two tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.claims.bench import PHOTO, Bench
from benchmarks.claims.table import Estimate, Table, percent
from inversion_kit.analysis import intervals
from inversion_kit.evaluation.sentences import SENTENCES, obedience
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.pocket.signs import NAMES
from inversion_kit.seeds import FREE, noise_seeds

READERS = ("classifier", "judge")
PAIRS = ((0, 14), (4, 5), (19, 20), (34, 37), (38, 39))
"""Classes to go between; the first pair is far apart, the others are kin."""
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)


def measure(bench: Bench) -> Table:
    """How many pictures of each sentence are the class, and how many what the sentence asks."""
    labels = bench.labels(4)
    sentences = SENTENCES[:: 3 if bench.quick else 1]
    heads = ["sentence", "token: is the class", "name", "token: obeys", "name"]
    table = Table(6, "A token is a word", heads)
    pairs = (False, True)
    hits = {
        named: np.array(
            [
                [_obeyed(bench, label, named, seed, sentences) for seed in bench.seeds]
                for label in labels
            ]
        )
        for named in pairs
    }
    every = [*enumerate(sentences), (slice(None), "all")]
    for at, sentence in every:
        row, data = [str(sentence).replace("{token}", "…")], {"sentence": str(sentence)}
        for kind, name in ((0, "class"), (1, "obeys")):
            for named in pairs:
                one = _share(hits[named][:, :, kind, at])
                row.append(one.share())
                data[f"{'name' if named else 'token'}_{name}"] = one.plain()
        table.rows.append(row)
        table.data.append(data)
    n = hits[False].shape[-1]
    table.notes.append(
        f"{len(labels)} labels, {n} pictures of each sentence and run; the class by the judge, "
        'tokens learned without a name in the one sentence "a photo of a …". A sentence is '
        "obeyed where the picture has more of what it asks for than that of the plain sentence on "
        "the same noise, by what can be seen."
    )
    table.notes += [_between(bench, *pair, table) for pair in PAIRS[: 1 if bench.quick else None]]
    table.notes.append("Two tokens in one prompt: not measured, a prompt holds one class token.")
    return table


def _obeyed(
    bench: Bench, label: int, named: bool, seed: int, sentences: tuple[str, ...]
) -> np.ndarray:
    """Whether the judge reads the class, and whether it obeys: ``(2, sentence, n)``."""
    token = None if named else bench.token("pocket", label, "", seed)
    n = bench.images // 2

    def make() -> list[Any]:
        classes, shown = obedience(
            bench.generators["pocket"],
            [bench.judge],
            label,
            token=token,
            name=NAMES[label],
            sentences=sentences,
            seeds=noise_seeds(seed, FREE, 0, n),
        )
        both = np.stack([classes[0], shown])
        return np.where(np.isfinite(both), both, None).tolist()

    what = {"label": label, "named": named, "seed": seed, "n": n, "sentences": list(sentences)}
    token_of = None if token is None else token.tolist()
    what |= {"token": token_of, "judge": bench.judge.hash, **bench.models("pocket")}
    return np.array(bench.cells.of("sentences", what, make), float)  # None is NaN


def _share(hits: np.ndarray) -> Estimate:
    """Of hits ``(label, seed, n)`` or ``(label, seed, sentence, n)``, over everything."""
    flat = hits.reshape(*hits.shape[:2], -1)
    return Estimate(*(float(v) for v in intervals.share(flat, pooled=True)))


def _between(bench: Bench, one: int, other: int, table: Table) -> str:
    """What is read between the tokens of two classes, and how alike the classifier finds them."""
    seed = bench.seeds[0]
    ends: list[Tensor] = [bench.token("pocket", label, "", seed) for label in (one, other)]
    read = {}
    for weight in WEIGHTS:
        mixed = (1 - weight) * ends[0] + weight * ends[1]
        seen = bench.reading("pocket", PHOTO.format(PLACEHOLDER), seed, mixed).judge
        read[str(weight)] = [float((seen == label).mean()) for label in (one, other)]
    table.data.append({"between": [NAMES[one], NAMES[other]], "judge": read})
    steps = "; ".join(f"{w}: {percent(a)} and {percent(b)}" for w, (a, b) in read.items())
    return (
        f'Between the tokens of "{NAMES[one]}" and "{NAMES[other]}" the judge reads the one and '
        f"the other, by weight: {steps} (run {seed}, {bench.images} pictures)."
    )
