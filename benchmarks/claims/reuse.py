"""6: a token is a word: it obeys sentences, stands beside another one, and others lie between."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from benchmarks.claims.bench import PHOTO, Bench, listed
from benchmarks.claims.photographs import digest, of_class, photographs
from benchmarks.claims.table import Estimate, Table, gain, percent
from benchmarks.claims.two_tokens import both_painted
from inversion_kit.analysis import intervals
from inversion_kit.evaluation.sentences import SENTENCES, obedience
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.generators.sample import from_bytes
from inversion_kit.pocket.signs import NAMES
from inversion_kit.seeds import FREE, noise_seeds

WAYS = ("token", "token from a far word", "token of fixed norm", "name")
"""How a class stands in a sentence."""
PAIRS = ((0, 14), (4, 5), (19, 20), (34, 37), (38, 39), (1, 2), (7, 8), (11, 30), (25, 22), (9, 10))
"""Classes to go between; the first pair is far apart, the others are kin."""
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
OTHERS = 12
"""Classes, at most, whose tokens are searched from a far word and of fixed norm too."""
REAL = 100
"""Test photographs of a class, at most, that a confusion is read in."""


def measure(bench: Bench) -> Table:
    """How many pictures of each sentence are the class, and how many what the sentence asks."""
    labels, sentences = bench.labels(2), SENTENCES[:: 3 if bench.quick else 1]
    ways = (WAYS[0], WAYS[-1])
    heads = ["sentence", *(f"{way}: {what}" for what in ("is the class", "obeys") for way in ways)]
    table = Table(6, "A token is a word", heads)
    hits = _hits(bench, labels, ways, sentences)
    for at, sentence in [*enumerate(sentences), (slice(None), "all")]:
        shares = _shares(hits, at)
        said = str(sentence).replace("{token}", "…")
        table.rows.append([said, *(one.share() for one in shares.values())])
        table.data.append({"sentence": str(sentence)} | {k: v.plain() for k, v in shares.items()})
    n = hits["name"].shape[-1]
    less = [gain(*(_flat(hits[way][:, :, kind]) for way in ways)) for kind in (0, 1)]
    table.data.append({"token less name": [one.plain() for one in less]})
    table.notes.append(
        f"{listed(labels)}, {n} pictures of each sentence and run; the class by the judge, "
        'tokens learned without a name in the one sentence "a photo of a …". A sentence is '
        "obeyed where the picture has more of what it asks for than that of the plain sentence on "
        "the same noise, by what can be seen. Token less name, paired by noise, over all "
        f"sentences: the class {less[0].change()} points, obeyed {less[1].change()}."
    )
    if not bench.quick:
        table.notes.append(_other_tokens(bench, sentences, table))
    pairs = PAIRS[: 1 if bench.quick else None]
    table.notes += [_between(bench, *pair, table) for pair in pairs]
    if not bench.quick:
        table.notes.append(_as_confused(table))
    table.notes += [_beside(bench, *pair, table) for pair in pairs]
    return table


def _hits(
    bench: Bench, labels: list[int], ways: tuple[str, ...], sentences: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Ones and zeros ``(label, seed, 2, sentence, n)`` of `_obeyed`, by way."""
    return {
        way: np.array([[_obeyed(bench, i, way, s, sentences) for s in bench.seeds] for i in labels])
        for way in ways
    }


def _shares(hits: dict[str, np.ndarray], at: int | slice) -> dict[str, Estimate]:
    """Of one sentence, or of all: which are the class, by way, then which obey, by way."""
    return {
        f"{way}: {name}": _share(one[:, :, kind, at])
        for kind, name in ((0, "class"), (1, "obeys"))
        for way, one in hits.items()
    }


def _other_tokens(bench: Bench, sentences: tuple[str, ...], table: Table) -> str:
    """How tokens from a far word and of fixed norm do over all sentences, beside the usual ones."""
    labels = bench.labels(2, OTHERS)
    shares = _shares(_hits(bench, labels, WAYS, sentences), slice(None))
    table.data.append({"labels": labels} | {k: v.plain() for k, v in shares.items()})
    each = [
        f"{way} {shares[f'{way}: class'].share()} and {shares[f'{way}: obeys'].share()}"
        for way in WAYS
    ]
    return (
        f"Over all sentences, of {listed(labels)}, the class and obeyed: {'; '.join(each)}. The "
        'far word is "snow"; of fixed norm: after each update the token is brought back to the '
        "mean norm of the words (as in Directional Textual Inversion)."
    )


def _obeyed(
    bench: Bench, label: int, way: str, seed: int, sentences: tuple[str, ...]
) -> np.ndarray:
    """Whether the judge reads the class, and whether it obeys: ``(2, sentence, n)``."""
    token = None if way == "name" else bench.token("pocket", label, "", seed, way=way)
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

    named = token is None
    what = {"label": label, "named": named, "seed": seed, "n": n, "sentences": list(sentences)}
    token_of = None if token is None else token.tolist()
    what |= {"token": token_of, "judge": bench.judge.hash, **bench.models("pocket")}
    return np.array(bench.cells.of("sentences", what, make), float)  # None is NaN


def _share(hits: np.ndarray) -> Estimate:
    """Of hits ``(label, seed, n)`` or ``(label, seed, sentence, n)``, over everything."""
    return Estimate(*(float(v) for v in intervals.share(_flat(hits), pooled=True)))


def _flat(hits: np.ndarray) -> np.ndarray:
    """Every picture of a label and run as a sample: ``(label, seed, sample)``."""
    return hits.reshape(*hits.shape[:2], -1)


def _between(bench: Bench, one: int, other: int, table: Table) -> str:
    """What the judge reads between the tokens of two classes, and how the classifier mixes them."""
    seed = bench.seeds[0]
    ends: list[Tensor] = [bench.token("pocket", label, "", seed) for label in (one, other)]
    read = {}
    for weight in WEIGHTS:
        mixed = (1 - weight) * ends[0] + weight * ends[1]
        seen = bench.reading("pocket", PHOTO.format(PLACEHOLDER), seed, mixed).judge
        read[str(weight)] = [float((seen == label).mean()) for label in (one, other)]
    mixed_up = None if bench.data is None else _confusion(bench, one, other)
    table.data.append({"between": [NAMES[one], NAMES[other]], "judge": read, "confusion": mixed_up})
    steps = "; ".join(f"{w}: {percent(a)} and {percent(b)}" for w, (a, b) in read.items())
    real = (
        ""
        if mixed_up is None
        else (
            f" On real photographs the classifier gives the other class {100 * mixed_up:.2f} % of "
            "its probability."
        )
    )
    return (
        f'Between the tokens of "{NAMES[one]}" and "{NAMES[other]}" the judge reads the one and '
        f"the other, by weight: {steps} (run {seed}, {bench.images} pictures).{real}"
    )


def _confusion(bench: Bench, one: int, other: int) -> float:
    """Mean probability of the other class in real test photographs of each of two classes."""
    assert bench.data is not None
    data = photographs(bench.data, "test")
    rows = [of_class(data, label, REAL, 0) for label in (one, other)]

    def make() -> float:
        shares = []
        for places, wrong in zip(rows, (other, one), strict=True):
            with torch.no_grad():
                scores = bench.classifier.probability(
                    bench.classifier.logits(from_bytes(data.image[places]))
                )
            shares.append(float(scores[:, wrong].mean()))
        return sum(shares) / 2

    what = {"photographs": digest(data.image[np.concatenate(rows)]), "pair": [one, other]}
    what["classifier"] = bench.classifier.hash
    return float(bench.cells.of("confusion", what, make))


def _as_confused(table: Table) -> str:
    """Whether pairs that the classifier mixes up keep to the two classes half way."""
    rows = [row for row in table.data if row.get("confusion") is not None]
    if len(rows) < 4:
        return "Interpolation against the real confusion: skipped, it needs `--data`."
    within = [sum(row["judge"]["0.5"]) for row in rows]
    found = spearmanr([row["confusion"] for row in rows], within)
    return (
        f"Over {len(rows)} pairs, how much the classifier mixes up two classes on real "
        "photographs and how many pictures half way between their tokens are one of the two: "
        f"Spearman's rho {found.statistic:+.2f} (p {found.pvalue:.2f})."
    )


def _beside(bench: Bench, one: int, other: int, table: Table) -> str:
    """What is read in pictures of a prompt with two tokens, beside one with two names."""
    seed = bench.seeds[0]
    tokens = [bench.token("pocket", label, "", seed) for label in (one, other)]
    seen = both_painted(bench, tokens, seed)
    said = PHOTO.format(f"{NAMES[one]} and a {NAMES[other]}")
    named = bench.reading("pocket", said, seed).judge
    shares = [[float((read == i).mean()) for i in (one, other)] for read in (seen, named)]
    table.data.append(
        {"beside": [NAMES[one], NAMES[other]], "tokens": shares[0], "names": shares[1]}
    )
    ours, theirs = (f"{percent(a)} and {percent(b)}" for a, b in shares)
    return (
        f'"a photo of a … and a …" with the tokens of "{NAMES[one]}" and "{NAMES[other]}" is read '
        f"as the one in {ours} as the other; with their names {theirs}."
    )
