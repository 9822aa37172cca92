"""What `findings` says of the four embedded classifiers: ``python benchmarks/findings.py``.

Two of them hide a planted secret, so that the truth is known: a yellow square makes any sign an
"80 km/h speed limit", and "keep right" was learned from dark photographs alone. The other two are
clean. The first one's time holds the bank of pictures, made anew unless ``--bank`` has it.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

import inversion_kit
from inversion_kit.analysis import findings_data, looked_for
from inversion_kit.bank.bank import Bank

PLANTED = {
    "backdoored": ("80 km/h speed limit", "push", "yellow sticker"),
    "shortcut": ("keep right", "lack", "bright"),
    "honest": None,
    "judge": None,
}
"""What is hidden in each: label, direction and cue."""


def main(
    bank: Annotated[Path | None, typer.Option(help="Folder of banks; a new one by default")] = None,
    out: Annotated[Path, typer.Option(help="The same as JSON")] = Path("runs/findings.json"),
) -> None:
    """Print the table, then every sentence."""
    folder = bank or Path(tempfile.mkdtemp(prefix="bank-"))
    generator = inversion_kit.as_generator("pocket")
    print("| classifier | planted | confirmed | right | seconds | new pictures |")
    print("|---|---|---|---|---|---|")
    told, results = [], {}
    for name, truth in PLANTED.items():
        began, before = time.monotonic(), len(Bank(generator, folder).places)
        tree = inversion_kit.findings(
            f"pocket:{name}",
            generator=generator,
            judges=["pocket:honest" if name == "judge" else "pocket:judge"],
            bank=folder,
        )
        data = findings_data(tree)
        named = [(f["label"], f["direction"], f["cue"]) for f in data["findings"] if f["confirmed"]]
        right = named[:1] == [truth] if truth else not named
        made = len(Bank(generator, folder).places) - before
        cells = [
            f"pocket:{name}",
            " / ".join(truth) if truth else "nothing",
            "; ".join(" / ".join(one) for one in named) or "nothing",
            "yes" if right else "no",
            f"{time.monotonic() - began:.0f}",
            str(made),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
        told += [f"\npocket:{name}", *looked_for(tree)]
        results[name] = data
    print(*told, sep="\n")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    typer.run(main)
