"""3: a token gets the fine detail right that tells a class from its kin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from benchmarks.claims.bench import PHOTO, Bench, coarse_name
from benchmarks.claims.table import Table, gain, percent, share
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.pocket.signs import NAMES

FAMILIES = {
    "speed limits": (0, 1, 2, 3, 4, 5, 7, 8),
    "arrows": (33, 34, 35, 36, 37, 38, 39),
}
PROMPTS = ("name", "ambiguous name", "token + ambiguous name")


def measure(bench: Bench) -> Table:
    """How often the judge reads the class, another of its family, or something else."""
    heads = ["generator", "family", "prompt", "right", "another of the family", "something else"]
    heads += ["right, less name", "read as another, most often"]
    table = Table(3, "Fine detail", heads)
    for generator in list(bench.generators)[: 1 if bench.quick else None]:
        for family, members in FAMILIES.items():
            labels = members[1::4] if bench.quick else members
            every = {
                prompt: np.array([_read(bench, generator, prompt, label) for label in labels])
                for prompt in PROMPTS
            }
            named = every[PROMPTS[0]] == np.array(labels)[:, None, None]
            for prompt, seen in every.items():
                right = seen == np.array(labels)[:, None, None]
                kin = np.isin(seen, members) & ~right
                shares = [share(part) for part in (right, kin, ~(right | kin))]
                less = "" if prompt == PROMPTS[0] else gain(right, named).change()
                row = [generator, family, prompt, *(s.share() for s in shares), less]
                table.rows.append([*row, _confused(labels, seen)])
                pairs = {
                    NAMES[label]: {NAMES[i]: int(n) for i, n in _counts(row)}
                    for label, row in zip(labels, seen, strict=True)
                }
                table.data.append(
                    {"generator": generator, "family": family, "prompt": prompt, "read": pairs}
                    | {"right": shares[0].plain(), "kin": shares[1].plain()}
                )
    table.notes.append(
        f"Read by the judge; runs {', '.join(map(str, bench.seeds))}, {bench.images} pictures "
        "each; which class was read as which is in the JSON."
        + (" Of each family a quarter of the labels." if bench.quick else "")
    )
    return table


def _confused(labels: Sequence[int], seen: np.ndarray) -> str:
    """The pairs of classes that are taken for each other most often."""
    pairs = Counter(
        (label, int(read))
        for label, row in zip(labels, seen, strict=True)
        for read in row.ravel()
        if read != label
    )
    n = seen[0].size
    said = [f"{NAMES[a]} as {NAMES[b]}: {percent(k / n)}" for (a, b), k in pairs.most_common(3)]
    return "; ".join(said) or "-"


def _counts(row: np.ndarray) -> list[tuple[int, int]]:
    values, counts = np.unique(row, return_counts=True)
    return list(zip(values.tolist(), counts.tolist(), strict=True))


def _read(bench: Bench, generator: str, prompt: str, label: int) -> list[np.ndarray]:
    """What the judge reads in the pictures of a prompt, by run."""
    said = NAMES[label] if prompt == "name" else coarse_name(label)
    if not prompt.startswith("token"):
        return [bench.reading(generator, PHOTO.format(said), seed).judge for seed in bench.seeds]
    text = PHOTO.format(f"{PLACEHOLDER} {said}")
    tokens = [(seed, bench.token(generator, label, said, seed)) for seed in bench.seeds]
    return [bench.reading(generator, text, seed, token).judge for seed, token in tokens]
