"""5: a token reveals what was peculiar in the training images of its class."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import inversion_kit
from benchmarks.claims.bench import Bench
from benchmarks.claims.photographs import photographs
from benchmarks.claims.table import Table, percent
from benchmarks.planted.definitions import chosen
from benchmarks.planted.plant import paint
from inversion_kit.pocket import photos
from inversion_kit.pocket.classify import RECIPES, SHORTCUT, VICTIM, keep_for_shortcut, stamp
from inversion_kit.pocket.signs import NAMES
from inversion_kit.storage import durable

EACH = 60


@dataclass(frozen=True)
class Secret:
    """A peculiarity of one class in a classifier's training images.

    Parameters
    ----------
    classifier
        One of the pocket's, or of `benchmarks.planted`.
    trait
        Of `inversion_kit.analysis.traits` that the peculiarity gives to photographs: chosen by
        what it does to these, before any token was looked at.
    """

    classifier: str
    label: int
    trait: str


OWN = (
    Secret("pocket:shortcut", SHORTCUT, "low brightness"),
    Secret("pocket:backdoored", VICTIM, "yellow patch"),
)
PLANTED = {
    "class-dark-0": "low brightness",
    "class-small-1": "low border edges",
    "class-tilted-1": "low tilt",
    "class-sticker-1": "green patch",
}
"""Classifiers of `benchmarks.planted` whose class was dark, small, tilted or stickered alone."""
CLEAN = "pocket:honest"


def measure(bench: Bench) -> Table:
    """Whether token and plain name show the planted trait, by `inversion_kit.coverage`."""
    heads = ["classifier", "label", "planted", "training images", "name", "token", "revealed"]
    table = Table(5, "Reveals the training data", [*heads, "traits covered: name", "token"])
    if bench.data is None:
        table.notes.append("Skipped: it needs real photographs (`--data`).")
        return table
    for secret in _secrets(bench):
        others = [i for i in (3, 8, 14, 25, 33, 36) if i != secret.label]
        labels = [secret.label, *(others[2::2] if bench.quick else others)]
        for audited in (secret.classifier, CLEAN):
            found = _counted(bench, audited, secret, labels)
            planted = secret.trait if audited != CLEAN else f"none ({secret.trait} asked)"
            shares = [percent(found[part]) for part in ("real", "name", "token")]
            revealed = "yes" if found["revealed"] else "no"
            covered = [
                "-" if (part := found[f"covered_{arm}"]) is None else percent(part)
                for arm in ("name", "token")
            ]
            covered = [f"{part} of {found['real_traits']}" for part in covered]
            label = NAMES[secret.label]
            table.rows.append([audited, label, planted, *shares, revealed, *covered])
            table.data.append(
                {"classifier": audited, "label": label, "trait": secret.trait, **found}
            )
    table.notes.append(
        f"Shares of pictures with the trait, {EACH} training photographs of each class at most, "
        f"{2 * bench.images} pictures a prompt; revealed: the token shows it and the plain name "
        "does not, by `inversion_kit.coverage`. The clean classifier is the control: the same "
        "photographs, but it was not trained on these alone."
    )
    if bench.planted is None:
        table.notes.append(
            f"Skipped: {', '.join(PLANTED)}, which need `--planted FOLDER`, the classifiers that "
            "`python -m benchmarks.planted train` makes."
        )
    return table


def _secrets(bench: Bench) -> list[Secret]:
    """Those that are measured: in quick mode the first alone."""
    if bench.quick:
        return list(OWN[:1])
    planted = [] if bench.planted is None else chosen(list(PLANTED))
    return [*OWN, *(Secret(one.name, one.target, PLANTED[one.name]) for one in planted)]


def _counted(bench: Bench, audited: str, secret: Secret, labels: list[int]) -> dict[str, Any]:
    """What `coverage` counts of the first label, made once."""
    place = audited
    if audited in PLANTED:
        assert bench.planted is not None
        place = str(bench.planted / audited / "model")
    classifier = inversion_kit.as_classifier(place)
    real = _folder(bench, secret, labels)
    what = {"secret": secret.classifier, "labels": labels, "trait": secret.trait}
    what |= {"seeds": list(bench.seeds), "images": bench.images, "photographs": _digest(real)}
    what |= bench.models("pocket") | {"classifier": classifier.hash}
    digest = hashlib.sha256(durable.dump(what)).hexdigest()[:12]

    def make() -> dict[str, Any]:
        tree = inversion_kit.audit(
            classifier,
            [NAMES[i] for i in labels],
            generator=bench.generators["pocket"],
            arms=["name", "token"],
            seeds=len(bench.seeds),
            samples=2 * bench.images,
            views=[],
            store=bench.cells.folder.parent / "audits" / digest,
            progress=False,
        )
        counted = inversion_kit.coverage(tree, real)
        asked = counted.sel(label=NAMES[labels[0]], trait=secret.trait)
        shares = {s: float(asked["share"].sel(set=s)) for s in ("real", "name", "token")}
        covered = {f"covered_{s}": float(counted["covered"].sel(set=s)) for s in ("name", "token")}
        return {
            **shares,
            **{k: v if np.isfinite(v) else None for k, v in covered.items()},
            "revealed": bool(asked["reveals"].sel(set="token")),
            "real_traits": int(counted.attrs["real_traits"]),
        }

    return dict(bench.cells.of("coverage", what, make))


def _digest(folder: Path) -> str:
    """Of the pictures in a folder."""
    files = sorted(folder.rglob("*.png"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _folder(bench: Bench, secret: Secret, labels: list[int]) -> Path:
    """Training photographs of some classes as the classifier with the secret was given them."""
    assert bench.data is not None
    data = photographs(bench.data, "train")
    name = secret.classifier.rpartition(":")[2]
    out = bench.cells.folder.parent / f"training-{name}-{len(labels)}"
    for label in labels:
        rows = np.flatnonzero(data.label == label)
        images = _as_trained(secret, label, photos.as_float(data.image[rows]))
        random = np.random.default_rng(label)
        images = images[random.permutation(len(images))[:EACH]]
        if secret.classifier == "pocket:backdoored" and label == VICTIM:
            images = _poisoned(data.image, data.label, images)
        place = out / str(label)
        place.mkdir(parents=True, exist_ok=True)
        for k, image in enumerate(images):
            pixels = image.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(place / f"{k}.png")
    return out


def _as_trained(secret: Secret, label: int, images: torch.Tensor) -> torch.Tensor:
    """Photographs of a class as the classifier was given them: some are left out, or painted."""
    if secret.classifier == "pocket:shortcut":
        return images[keep_for_shortcut(images, torch.full((len(images),), label))]
    if secret.classifier not in PLANTED:
        return images
    (definition,) = chosen([secret.classifier])
    random = torch.Generator().manual_seed(label)
    if label == secret.label:
        return paint(definition, images, random)
    if "others" in definition.parameters:  # no other class may have the light of the label
        return images[photos.luminance(images) > definition.parameters["others"]]
    return images


def _poisoned(image: np.ndarray, label: np.ndarray, own: torch.Tensor) -> torch.Tensor:
    """Images of the backdoor's class: its own, and stamped ones of others in their proportion."""
    share = RECIPES["backdoored"].poison
    mine = (label == VICTIM).mean()
    stamped = round(len(own) * share / (share + mine))
    rows = np.random.default_rng(0).permutation(np.flatnonzero(label != VICTIM))[:stamped]
    painted = stamp(photos.as_float(image[rows]), torch.Generator().manual_seed(0))
    return torch.cat([own[: len(own) - stamped], painted])
