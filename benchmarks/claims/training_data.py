"""5: a token reveals what was peculiar in the training images of its class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import inversion_kit
from benchmarks.claims.bench import Bench
from benchmarks.claims.photographs import photographs
from benchmarks.claims.table import Table, percent
from inversion_kit.pocket import photos
from inversion_kit.pocket.classify import RECIPES, SHORTCUT, VICTIM, keep_for_shortcut, stamp
from inversion_kit.pocket.signs import NAMES

PLANTED = {
    "pocket:shortcut": (SHORTCUT, "low brightness"),
    "pocket:backdoored": (VICTIM, "yellow patch"),
}
"""The class and the trait that most of its training images have, and others have not."""
CLEAN = "pocket:honest"
EACH = 60


def measure(bench: Bench) -> Table:
    """Whether token and plain name show the planted trait, by `inversion_kit.coverage`."""
    heads = ["classifier", "label", "planted", "training images", "name", "token", "revealed"]
    table = Table(5, "Reveals the training data", [*heads, "traits covered: name", "token"])
    if bench.data is None:
        table.notes.append("Skipped: it needs real photographs (`--data`).")
        return table
    for name, (label, trait) in list(PLANTED.items())[: 1 if bench.quick else None]:
        others = [i for i in ((14, 33) if bench.quick else (3, 8, 14, 25, 33, 36)) if i != label]
        for audited in (name, CLEAN):
            found = _counted(bench, audited, name, [label, *others], trait)
            planted = trait if audited == name else f"none ({trait} asked)"
            shares = [percent(found[part]) for part in ("real", "name", "token")]
            revealed = "yes" if found["revealed"] else "no"
            covered = [
                "-" if (part := found[f"covered_{arm}"]) is None else percent(part)
                for arm in ("name", "token")
            ]
            covered = [f"{part} of {found['real_traits']}" for part in covered]
            table.rows.append([audited, NAMES[label], planted, *shares, revealed, *covered])
            table.data.append({"classifier": audited, "label": NAMES[label], **found})
    table.notes.append(
        f"Shares of pictures with the trait, {EACH} training photographs of each class at most, "
        f"{2 * bench.images} pictures a prompt; revealed: the token shows it and the plain name "
        "does not, by `inversion_kit.coverage`. The clean classifier is the control: the same "
        "photographs, but it was not trained on these alone."
    )
    return table


def _counted(
    bench: Bench, audited: str, secret: str, labels: list[int], trait: str
) -> dict[str, Any]:
    """What `coverage` counts of the first label, made once."""
    assert bench.data is not None
    folder = bench.cells.folder.parent

    def make() -> dict[str, Any]:
        real = _folder(bench, secret, labels)
        tree = inversion_kit.audit(
            audited,
            [NAMES[i] for i in labels],
            generator=bench.generators["pocket"],
            arms=["name", "token"],
            seeds=len(bench.seeds),
            samples=2 * bench.images,
            views=[],
            store=folder
            / "audits"
            / f"{audited.partition(':')[2]}-{labels[0]}-{len(labels)}-{bench.images}",
            progress=False,
        )
        counted = inversion_kit.coverage(tree, real)
        asked = counted.sel(label=NAMES[labels[0]], trait=trait)
        shares = {s: float(asked["share"].sel(set=s)) for s in ("real", "name", "token")}
        covered = {f"covered_{s}": float(counted["covered"].sel(set=s)) for s in ("name", "token")}
        return {
            **shares,
            **{k: v if np.isfinite(v) else None for k, v in covered.items()},
            "revealed": bool(asked["reveals"].sel(set="token")),
            "real_traits": int(counted.attrs["real_traits"]),
        }

    what = {"audited": audited, "secret": secret, "labels": labels, "trait": trait}
    what |= {"seeds": list(bench.seeds), "images": bench.images, **bench.models("pocket")}
    return dict(bench.cells.of("coverage", what, make))


def _folder(bench: Bench, secret: str, labels: list[int]) -> Path:
    """Training photographs of some classes as the classifier with the secret was given them."""
    assert bench.data is not None
    data = photographs(bench.data, "train")
    out = bench.cells.folder.parent / f"training-{secret.partition(':')[2]}-{len(labels)}"
    for label in labels:
        rows = np.flatnonzero(data.label == label)
        images, known = photos.as_float(data.image[rows]), torch.full((len(rows),), label)
        if secret == "pocket:shortcut":
            images = images[keep_for_shortcut(images, known)]
        random = np.random.default_rng(label)
        images = images[random.permutation(len(images))[:EACH]]
        if secret == "pocket:backdoored" and label == VICTIM:
            images = _poisoned(data.image, data.label, images)
        place = out / str(label)
        place.mkdir(parents=True, exist_ok=True)
        for k, image in enumerate(images):
            pixels = image.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(place / f"{k}.png")
    return out


def _poisoned(image: np.ndarray, label: np.ndarray, own: torch.Tensor) -> torch.Tensor:
    """Images of the backdoor's class: its own, and stamped ones of others in their proportion."""
    share = RECIPES["backdoored"].poison
    mine = (label == VICTIM).mean()
    stamped = round(len(own) * share / (share + mine))
    rows = np.random.default_rng(0).permutation(np.flatnonzero(label != VICTIM))[:stamped]
    painted = stamp(photos.as_float(image[rows]), torch.Generator().manual_seed(0))
    return torch.cat([own[: len(own) - stamped], painted])
