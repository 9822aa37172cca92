"""1: the pictures of a token are more accurate than those of a name."""

from __future__ import annotations

import numpy as np

from benchmarks.claims.bench import PHOTO, Bench, Reading, coarse_name, listed
from benchmarks.claims.guidance import guided_reading
from benchmarks.claims.photographs import inverted
from benchmarks.claims.table import Table, gain, share
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.pocket.signs import NAMES

READERS = ("classifier", "judge")
TITLE = "More accurate pictures"


def measure(bench: Bench) -> Table:
    """Success of every arm on the same noise, and what it gains over the plain and coarse name."""
    labels = bench.labels(2)
    heads = ["generator", "prompt", *READERS, "judge, less name", "judge, less ambiguous name"]
    table = Table(1, TITLE, heads)
    for generator in bench.generators:
        arms: dict[str, list[list[Reading]]] = {}
        for label in labels:
            of_label: dict[str, list[Reading]] = {}
            for seed in bench.seeds:
                for arm, seen in _arms(bench, generator, label, seed).items():
                    of_label.setdefault(arm, []).append(seen)
            for arm, readings in of_label.items():
                arms.setdefault(arm, []).append(readings)
        hits = {arm: _hits(labels, readings) for arm, readings in arms.items()}
        for arm, by in hits.items():
            success = {reader: share(by[reader]) for reader in READERS}
            less = [gain(by["judge"], hits[other]["judge"]) for other in ("name", "ambiguous name")]
            changes = [
                "" if arm == other else one.change()
                for one, other in zip(less, ("name", "ambiguous name"), strict=True)
            ]
            table.rows.append([generator, arm, *(s.share() for s in success.values()), *changes])
            table.data.append(
                {"generator": generator, "arm": arm, "images": int(by["judge"].size)}
                | {reader: one.plain() for reader, one in success.items()}
                | {"less_name": less[0].plain(), "less_ambiguous": less[1].plain()}
            )
    runs = ", ".join(map(str, bench.seeds))
    table.notes += [
        f"{listed(labels)}, runs {runs}, {bench.images} pictures each; every prompt on "
        "the same noise. 95 % intervals over labels, runs and noises, paired where two prompts are "
        "compared.",
        "The ambiguous name is the one that the class shares with the fewest others, such as "
        '"speed limit sign".',
    ]
    if bench.data is None:
        table.notes.append("Textual inversion: skipped, it needs real photographs (`--data`).")
    return table


def _arms(bench: Bench, generator: str, label: int, seed: int) -> dict[str, Reading]:
    """What is read in the pictures of every prompt of a label."""
    name, coarse = NAMES[label], coarse_name(label)

    def plain(said: str) -> Reading:
        return bench.reading(generator, PHOTO.format(said), seed)

    def with_token(said: str) -> Reading:
        token = bench.token(generator, label, said, seed)
        prompt = PHOTO.format(f"{PLACEHOLDER} {said}".strip())
        return bench.reading(generator, prompt, seed, token)

    arms = {
        "name": plain(name),
        "ambiguous name": plain(coarse),
        "token + name": with_token(name),
        "token + ambiguous name": with_token(coarse),
        "token": with_token(""),
        "ambiguous name, classifier guidance": guided_reading(
            bench, generator, label, PHOTO.format(coarse), seed
        ),
    }
    if bench.data is not None:
        token = inverted(bench, generator, label, seed)
        prompt = PHOTO.format(PLACEHOLDER)
        arms["textual inversion"] = bench.reading(generator, prompt, seed, token)
    return arms


def _hits(labels: list[int], readings: list[list[Reading]]) -> dict[str, np.ndarray]:
    """Ones and zeros ``(label, seed, sample)`` of each reader."""
    pairs = list(zip(labels, readings, strict=True))
    return {
        reader: np.array([[seen.hits(label, reader) for seen in runs] for label, runs in pairs])
        for reader in READERS
    }
