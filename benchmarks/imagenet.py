"""What an audit of ImageNet would take: ``python -m benchmarks.imagenet``. Computed, not run.

A thousand labels with four arms and three seeds, by the planner of ``--dry-run`` from seconds of
updates: those of one H100 by default, or the rows that ``python -m benchmarks.speed --size sd15
--out FILE`` has measured (``--rows FILE``). An image without a gradient is priced at an eighth of
the update of eight that makes it too: at most that. Reading images by judges is left out, and so
are images that other runs have kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from inversion_kit.arms import ARMS
from inversion_kit.audits.asked import asked_likely
from inversion_kit.audits.estimate import Parts, price
from inversion_kit.audits.run import AUDITED
from inversion_kit.audits.schedule import in_order
from inversion_kit.settings import Settings
from inversion_kit.storage.units import Unit

LABELS, SEEDS, BATCH, WORDS = 1000, 3, 8, 30_000
MARK = 24.0
"""Hours that the audit should take at most."""
FOUR, FOUR_TINY, ONE_TINY = (
    "4 steps, no guidance",
    "4 steps, no guidance, tiny decoder",
    "1 step, no guidance, tiny decoder",
)
H100 = {FOUR: 0.46, FOUR_TINY: 0.27, ONE_TINY: 0.18}
"""Seconds of an update of eight images of 512 x 512, SD-1.5's networks in bfloat16, one H100."""
CLAIMS = ("name", "token+name", "token")


@dataclass(frozen=True)
class Plan:
    """What is audited: arms, labels and seeds, each combination in its turn."""

    says: str
    audits: tuple[tuple[Sequence[str], int, int], ...]


PLANS = (
    Plan("four arms, three seeds", ((AUDITED, LABELS, SEEDS),)),
    Plan("the control on 100 labels", ((CLAIMS, LABELS, SEEDS), (("shuffled",), 100, SEEDS))),
    Plan("the same, two seeds", ((CLAIMS, LABELS, 2), (("shuffled",), 100, 2))),
    Plan("the same, one seed", ((CLAIMS, LABELS, 1), (("shuffled",), 100, 1))),
)


def parts(search: float, evidence: float, noises: int = 1) -> Parts:
    """The planner's parts, from seconds of an update as searches make it and as evidence would."""
    return Parts(
        update=search,
        image=evidence / BATCH,
        reading=0.0,
        search_image=search / BATCH,
        search_reading=0.0,
        quick_image=search / BATCH,
        words=WORDS,
        noises=noises,
        apart=True,
    )


def hours(plan: Plan, of: Parts, settings: Settings) -> dict[str, dict[str, float]]:
    """Hours of each arm of a plan: at least, likely, at most."""
    spent: dict[str, dict[str, float]] = {}
    for names, labels, seeds in plan.audits:
        units = [Unit(k, arm, s) for k in range(labels) for arm in names for s in range(seeds)]
        arms = {name: ARMS[name] for name in names}

        def prompts(unit: Unit) -> Iterator[str]:
            for template in ARMS[unit.arm].prompts(settings.prompts):
                yield template.replace("{name}", f"class {unit.label_index}")

        made = price(
            of, in_order(units, names), arms, settings, prompts=lambda u: tuple(prompts(u))
        )
        for arm, n in made.units.items():
            each = {"least": made.least, "likely": made.likely, "most": made.most}
            spent[arm] = {bound: n * seconds[arm] / 3600 for bound, seconds in each.items()}
    return spent


def pieces(of: Parts, settings: Settings) -> dict[str, float]:
    """Likely hours of the first plan by what they go into."""
    spent = hours(PLANS[0], of, settings)
    whole = sum(one["likely"] for one in spent.values())
    units = LABELS * SEEDS / 3600
    asked = [asked_likely(ARMS[name], settings) for name in spent if ARMS[name].searched]
    made = {
        "updates": units * sum(one.updates for one in asked) * of.update,
        "checks": units * sum(one.checks for one in asked) * settings.validation * of.one,
        "final images": units * settings.samples * (len(spent) * of.image + len(asked) * of.one),
    }
    return {**made, "probes": whole - sum(made.values())}


def table(seconds: Mapping[str, float], settings: Settings) -> str:
    """Hours of each plan and way to search, and what of them is whose."""
    lines = [
        "| audit | search | at least | likely | at most | likely, by arm |",
        "|---|---|---|---|---|---|",
    ]
    ways = ((FOUR_TINY, 1), (ONE_TINY, 2)) if FOUR in seconds else ()
    ways = tuple(way for way in ways if way[0] in seconds)
    for plan in PLANS:
        for search, noises in ways:
            spent = hours(plan, parts(seconds[search], seconds[FOUR], noises), settings)
            bounds = ("least", "likely", "most")
            whole = [sum(arm[bound] for arm in spent.values()) for bound in bounds]
            by_arm = ", ".join(f"{arm} {one['likely']:.1f}" for arm, one in spent.items())
            cells = [plan.says, search, *(f"{h:.1f} h" for h in whole), by_arm]
            lines.append("| " + " | ".join(cells) + " |")
    for search, noises in ways:
        made = pieces(parts(seconds[search], seconds[FOUR], noises), settings)
        said = ", ".join(f"{name} {h:.1f}" for name, h in made.items())
        lines.append(f"\n{PLANS[0].says}; {search}: hours of {said}")
    return "\n".join(lines)


def said(seconds: Mapping[str, float], settings: Settings | None = None) -> str:
    """The tables, or why there are none."""
    if not {FOUR, FOUR_TINY} <= seconds.keys():
        return f"An audit of ImageNet: no estimate without the rows {FOUR!r} and {FOUR_TINY!r}."
    head = f"An audit of ImageNet, {LABELS:,} labels: computed, not run. The mark is {MARK:g} h."
    return f"{head}\n{table(seconds, settings or Settings())}"


def measured(rows: Sequence[Mapping[str, Any]], size: str) -> dict[str, float]:
    """Seconds of updates of eight, by setting, of rows that `benchmarks.large` has measured."""
    return {
        row["setting"]: row["update"]
        for row in rows
        if row["size"] == size and row.get("batch") == BATCH and "update" in row
    }


def main(
    rows: Annotated[Path | None, typer.Option(help="JSON of benchmarks.speed --size.")] = None,
    size: Annotated[str, typer.Option(help="Of the rows.")] = "sd15",
    restarts: Annotated[int, typer.Option(help="Further starts of a search.")] = 3,
) -> None:
    """Print hours of one GPU, least, likely and most."""
    seconds: Mapping[str, float] = H100
    if rows is not None:
        seconds = measured(json.loads(rows.read_text("utf-8"))["sizes"], size)
    typer.echo(said(seconds, Settings(restarts=restarts)))


if __name__ == "__main__":
    typer.run(main)
