"""What a class token costs: ``python -m benchmarks.speed``, from the repository's root.

Three recipes on the pocket, for easy and hard labels: the paper's (`benchmarks.paper`; with the
class name in its prompts, and with updates as long as this library's, so that it is no straw man),
this library's search through the whole pocket (``search_generator="itself"``), and
its default. Counted are evaluations of the U-Net by an image until 70 % and 90 % of 32 images on
test noise are read as the label; those images are made by the whole pocket and are not counted.
What never gets there stands as "never". Then the overhead of an update over its bare model calls,
a whole `invert` with its evidence, and (``--size``, `benchmarks.large`) updates and inversions with
networks as large as Stable Diffusion's.

With ``--out`` every row is written as soon as it is there, and one that the file holds already is
not made again: a benchmark that was stopped goes on.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

import inversion_kit as ik
from benchmarks import imagenet
from benchmarks.large import measure
from benchmarks.networks import SIZES
from benchmarks.paper import as_in_the_paper, paper
from benchmarks.peak import Peak
from benchmarks.updates import overhead
from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.counting import Counts, counted
from inversion_kit.generators.quick import search_generator
from inversion_kit.generators.sample import sample
from inversion_kit.search.history import History
from inversion_kit.search.search import search
from inversion_kit.seeds import TEST, noise_seeds
from inversion_kit.settings import ITSELF, NAME_FREE, Settings

LABELS = (2, 5, 12, 13, 14, 17, 19, 25, 27, 33, 38, 40)
"""Classes: speed limits, signs with a shape of their own, pictograms, arrows."""
MARKS = (0.7, 0.9)
"""Shares of test images."""
IMAGES = 32


@dataclasses.dataclass
class Run:
    """One search: what it had cost when a mark was reached, and where it ended.

    Parameters
    ----------
    evaluations, backwards
        Of the U-Net by an image, until each of `MARKS`; None where it was never reached.
    seconds
        Of the processor.
    peak
        Memory of the process in MB.
    whole, whole_backwards, whole_peak
        The same for the whole search.
    success, judge
        Shares of the last token's test images that classifier and judge read as the label.
    """

    recipe: str
    label: str
    seed: int
    evaluations: dict[float, int | None]
    backwards: dict[float, int | None]
    seconds: dict[float, float | None]
    peak: dict[float, float | None]
    whole: int
    whole_backwards: int
    whole_peak: float
    success: float
    judge: float

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Run:
        """What JSON made of it, whose keys are texts."""
        by_mark = ("evaluations", "backwards", "seconds", "peak")
        return cls(
            **{
                name: {float(mark): v for mark, v in value.items()} if name in by_mark else value
                for name, value in plain.items()
            }
        )

    @property
    def row(self) -> tuple[str, str, int]:
        """What it is a run of."""
        return self.recipe, self.label, self.seed


class Watch:
    """Measures tokens of a search on test noise, beside the count."""

    def __init__(self, classifier: Classifier, judge: Classifier, target: int, seed: int) -> None:
        self.models, self.target = (classifier, judge), target
        self.generator = ik.as_generator("pocket")
        self.seeds = noise_seeds(seed, TEST, 0, IMAGES)
        self.beside = 0.0

    def shares(self, token: torch.Tensor) -> list[float]:
        """Share of test images that classifier and judge read as the label."""
        began = time.process_time()
        prompts = [f"a photo of a {PLACEHOLDER}"] * IMAGES
        images = sample(self.generator, prompts, seeds=self.seeds, token=ClassToken(token))
        with torch.no_grad():
            read = [(m.logits(images).argmax(1) == self.target) for m in self.models]
        self.beside += time.process_time() - began
        return [float(hits.float().mean()) for hits in read]


def followed(
    recipe: str,
    tokens: Iterator[torch.Tensor],
    counts: Counts,
    watch: Watch,
    label: str,
    seed: int,
) -> Run:
    """Take a recipe's tokens one by one and write down what each mark had cost."""
    marks: dict[str, dict[float, Any]] = {
        name: dict.fromkeys(MARKS) for name in ("evaluations", "backwards", "seconds", "peak")
    }
    began, best, most = time.process_time(), [0.0, 0.0], 0.0
    peak = Peak(watch.generator.device)
    for token in tokens:
        spent, most = time.process_time() - began - watch.beside, max(most, peak.mb())
        best = watch.shares(token)
        peak.restart()  # the test images are no part of it
        for mark in MARKS:
            if best[0] >= mark and marks["evaluations"][mark] is None:
                marks["evaluations"][mark] = counts.evaluations
                marks["backwards"][mark] = counts.backwards
                marks["seconds"][mark] = round(spent, 2)
                marks["peak"][mark] = most
    return Run(
        recipe,
        label,
        seed,
        **marks,
        whole=counts.evaluations,
        whole_backwards=counts.backwards,
        whole_peak=most,
        success=best[0],
        judge=best[1],
    )


def of_the_paper(
    classifier: Classifier, generator: Generator, target: int, seed: int, **how: Any
) -> Iterator[torch.Tensor]:
    """The tokens of the paper's recipe: every fifth, and the last."""
    for i, update in enumerate(paper(classifier, generator, target, seed=seed, **how)):
        if update.last or i % 5 == 4:
            yield update.token


def of_ours(
    classifier: Classifier, generator: Generator, target: int, seed: int, settings: Settings
) -> Iterator[torch.Tensor]:
    """The token kept at the end of a search by this library; what it reached before is not told."""
    prompts = [NAME_FREE[0].format(token=PLACEHOLDER)]
    history: History = search(classifier, generator, target, prompts, settings, seed=seed)
    yield history.token


def compare(
    labels: list[int],
    seeds: int,
    recipes: list[str],
    *,
    done: Sequence[Run] = (),
    keep: Callable[[list[Run]], None] = lambda runs: None,
) -> list[Run]:
    """All recipes on all labels and seeds.

    Parameters
    ----------
    done
        Runs that are not made again.
    keep
        Gets all runs that there are, after each.
    """
    classifier, judge = ik.as_classifier("pocket:honest"), ik.as_classifier("pocket:judge")
    whole = ik.as_generator("pocket")
    old, new = Settings(search_generator=ITSELF), Settings()
    as_published = as_in_the_paper(whole.pipeline)
    words = whole.embedding.weight.shape[1]
    ours = new.lr * whole.vocabulary_norm() / math.sqrt(words)  # as `optimise` has it
    ways: dict[str, tuple[Generator, Callable[..., Iterator[torch.Tensor]], dict[str, Any]]] = {
        "paper": (as_published, of_the_paper, {}),
        "paper, class name in the prompt": (as_published, of_the_paper, {"named": True}),
        "paper, updates as long as ours": (as_published, of_the_paper, {"rate": ours}),
        "search through the whole pocket": (whole, of_ours, {"settings": old}),
        "default": (search_generator(whole, new), of_ours, {"settings": new}),
    }
    runs = list(done)
    known = {run.row for run in runs}
    for recipe in recipes or list(ways):
        generator, tokens, how = ways[recipe]
        for target in labels:
            for seed in range(seeds):
                name = classifier.labels[target]
                if (recipe, name, seed) in known:
                    continue
                given = dict(how)
                if given.pop("named", False):
                    given["name"] = classifier.wordings[target]
                watch = Watch(classifier, judge, target, seed)
                with counted(generator) as counts:
                    made = tokens(classifier, generator, target, seed, **given)
                    runs.append(followed(recipe, made, counts, watch, name, seed))
                typer.echo(f"  {recipe}: {runs[-1]}", err=True)
                keep(runs)
    return runs


def table(runs: list[Run]) -> str:
    """A line a recipe: medians over labels and seeds."""
    lines = [
        "| recipe | reach 70 % | evaluations until then | gradients | reach 90 % | evaluations "
        "until then | gradients | processor seconds to 70 % | peak MB | whole search | success | "
        "judge |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for recipe in dict.fromkeys(run.recipe for run in runs):
        mine = [run for run in runs if run.recipe == recipe]
        cells = [recipe]
        for mark in MARKS:
            reached = [run for run in mine if run.evaluations[mark] is not None]
            cells += [f"{len(reached)} of {len(mine)}"]
            cells += [median([run.evaluations[mark] for run in mine])]
            cells += [median([run.backwards[mark] for run in mine])]
        cells += [median([run.seconds[MARKS[0]] for run in mine], ".1f")]
        cells += [median([run.peak[MARKS[0]] for run in mine])]
        cells += [f"{statistics.median(run.whole for run in mine):,.0f}"]
        cells += [f"{statistics.mean(run.success for run in mine):.0%}"]
        cells += [f"{statistics.mean(run.judge for run in mine):.0%}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def median(values: Sequence[float | None], form: str = ",.0f") -> str:
    """Of those that are no None."""
    known = [value for value in values if value is not None]
    return format(statistics.median(known), form) if known else "never"


def whole_invert(label: str, generator: str) -> dict[str, Any]:
    """Seconds and evaluations of `invert` with all its evidence; models are loaded already."""
    made, judge = ik.as_generator(generator), ik.as_classifier("pocket:judge")
    classifier = ik.as_classifier("pocket:honest")
    inside = [made] if made.quick is None else [made, search_generator(made, Settings())]
    with counted(*inside) as counts:
        began = time.perf_counter()
        tree = ik.invert(classifier, label, generator=made, judges=[judge], progress=False)
        seconds = time.perf_counter() - began
    shares = ik.success(tree)["share"].sel(arm="token", scorer=[classifier.name, judge.name])
    return {
        "label": label,
        "generator": generator,
        "seconds": round(seconds, 2),
        **dataclasses.asdict(counts),
        "success": shares.values.ravel().tolist(),
    }


def write(out: Path | None, found: dict[str, Any]) -> None:
    """Write the numbers, where a file for them was given, so that a kill leaves the old ones."""
    if out is not None:
        part = out.with_suffix(".part")
        part.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        part.replace(out)


def main(
    label: Annotated[list[int] | None, typer.Option(help="Classes; twelve by default.")] = None,
    seeds: int = 3,
    recipe: Annotated[list[str] | None, typer.Option(help="Recipes; all by default.")] = None,
    size: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(SIZES)}: these alone.")
    ] = None,
    device: str = "cpu",
    within: Annotated[float | None, typer.Option(help="Seconds that --size may take.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="JSON, written after every row; rows that it holds are not made again."),
    ] = None,
) -> None:
    """Print the tables."""
    kept: dict[str, Any] = {}
    if out is not None and out.is_file():
        kept = json.loads(out.read_text("utf-8"))

    def keep(name: str, rows: Any) -> None:
        kept[name] = rows
        write(out, kept)

    if size:
        done = kept.get("sizes", [])
        rows = measure(
            size, device, within=within, done=done, keep=lambda rows: keep("sizes", rows)
        )
        for one in (one for one in size if not one.endswith("xl")):
            typer.echo(f"\n{one}: {imagenet.said(imagenet.measured(rows, one))}")
        return
    runs = compare(
        list(label or LABELS),
        seeds,
        list(recipe or []),
        done=[Run.read(run) for run in kept.get("runs", [])],
        keep=lambda runs: keep("runs", [dataclasses.asdict(run) for run in runs]),
    )
    typer.echo(table(runs))
    beside(kept, keep)


def beside(kept: dict[str, Any], keep: Callable[[str, Any], None]) -> None:
    """What an update costs beside its model calls, and whole inversions; print and keep them.

    Parameters
    ----------
    kept
        What is there already, under ``"overhead"`` and ``"invert"``.
    keep
        Takes a name and all its rows.
    """
    generator, classifier = ik.as_generator("pocket"), ik.as_classifier("pocket:honest")
    over = dict(kept.get("overhead", {}))
    for one in (generator, search_generator(generator, Settings())):
        if one.name not in over:
            over[one.name] = overhead(one, classifier)
            keep("overhead", over)
        took = over[one.name]
        typer.echo(
            f"\n{one.name}: an update takes {took['update']:.3f} s, its model calls alone "
            f"{took['bare']:.3f} s: {took['update'] / took['bare']:.2f} times"
        )
    whole = list(kept.get("invert", []))
    known = {(row["generator"], row["label"]) for row in whole}
    for by in ("pocket", "pocket:quick"):
        for name in ("stop", "30 km/h speed limit", "keep right"):
            if (by, name) not in known:
                whole.append(whole_invert(name, by))
                keep("invert", whole)
    for row in whole:
        typer.echo(json.dumps(row))


if __name__ == "__main__":
    typer.run(main)
