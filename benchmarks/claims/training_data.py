"""5: a token reveals what was peculiar in the training images of its class."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from PIL import Image

import inversion_kit
from benchmarks.claims.bench import Bench
from benchmarks.claims.photographs import photographs
from benchmarks.claims.pictures import sheet
from benchmarks.claims.table import Table, percent
from benchmarks.planted.definitions import chosen
from benchmarks.planted.plant import paint
from inversion_kit.analysis.properties import properties
from inversion_kit.pocket import photos
from inversion_kit.pocket.classify import RECIPES, SHORTCUT, VICTIM, keep_for_shortcut, stamp
from inversion_kit.pocket.signs import NAMES
from inversion_kit.storage import durable

EACH = 60
MOST = 4
"""Properties that are named, at most."""
SHOWN = 16
"""Pictures of each prompt in the figure."""


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
    heads += ["traits covered: name", "token", "stands out"]
    table, rows = Table(5, "Reveals the training data", heads), []
    if bench.data is None:
        table.notes.append("Skipped: it needs real photographs (`--data`).")
        return table
    for secret in _secrets(bench):
        others = [i for i in (3, 8, 14, 25, 33, 36) if i != secret.label]
        labels = [secret.label, *(others[2::2] if bench.quick else others)]
        for audited in (secret.classifier, CLEAN):
            asked = _Asked(bench, audited, secret, labels)
            found = {**_counted(asked), "stands_out": _standing_out(asked)}
            rows += _pictures(asked, ("name", "token") if audited != CLEAN else ("token",))
            planted = secret.trait if audited != CLEAN else f"none ({secret.trait} asked)"
            shares = [percent(found[part]) for part in ("real", "name", "token")]
            revealed = "yes" if found["revealed"] else "no"
            covered = [
                "-" if (part := found[f"covered_{arm}"]) is None else percent(part)
                for arm in ("name", "token")
            ]
            covered = [f"{part} of {found['real_traits']}" for part in covered]
            label = NAMES[secret.label]
            most = ", ".join(found["stands_out"][:MOST]) or "nothing"
            table.rows.append([audited, label, planted, *shares, revealed, *covered, most])
            table.data.append(
                {"classifier": audited, "label": label, "trait": secret.trait, **found}
            )
    table.files["claim-5.webp"] = sheet(rows, each=3, scale=2)
    table.notes.append(
        f"Figure: for each class {SHOWN} pictures of the plain name, below on the same noise of "
        "the token, and of the clean classifier's token."
    )
    table.notes.append(
        f"Shares of pictures with the trait, {EACH} training photographs of each class at most, "
        f"{2 * bench.images} pictures a prompt; revealed: the token shows it and the plain name "
        "does not, by `inversion_kit.coverage`. The clean classifier is the control: the same "
        "photographs, but it was not trained on these alone. Stands out: the token's pictures on "
        f"the whole less the name's, by `analysis.properties`, the {MOST} largest at most; this "
        "looks at no photograph and is asked for nothing."
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


@dataclass
class _Asked:
    """A classifier that is audited, and the secret that is asked for, of the first label."""

    bench: Bench
    audited: str
    secret: Secret
    labels: list[int]

    def __post_init__(self) -> None:
        place, bench = self.audited, self.bench
        if self.audited in PLANTED:
            assert bench.planted is not None
            place = str(bench.planted / self.audited / "model")
        self.classifier = inversion_kit.as_classifier(place)
        self.real = _folder(bench, self.secret, self.labels)
        self.what: dict[str, Any] = {"secret": self.secret.classifier, "labels": self.labels}
        self.what |= {"trait": self.secret.trait, "seeds": list(bench.seeds)}
        self.what |= {"images": bench.images, "photographs": _digest(self.real)}
        self.what |= bench.models("pocket") | {"classifier": self.classifier.hash}

    def audit(self) -> xr.DataTree:
        """Names and tokens of the labels, searched and painted once."""
        digest = hashlib.sha256(durable.dump(self.what)).hexdigest()[:12]
        return inversion_kit.audit(
            self.classifier,
            [NAMES[i] for i in self.labels],
            generator=self.bench.generators["pocket"],
            arms=["name", "token"],
            seeds=len(self.bench.seeds),
            samples=2 * self.bench.images,
            views=[],
            store=self.bench.cells.folder.parent / "audits" / digest,
            progress=False,
        )


def _counted(asked: _Asked) -> dict[str, Any]:
    """What `coverage` counts of the first label, made once."""

    def make() -> dict[str, Any]:
        counted = inversion_kit.coverage(asked.audit(), asked.real)
        one = counted.sel(label=NAMES[asked.labels[0]], trait=asked.secret.trait)
        shares = {s: float(one["share"].sel(set=s)) for s in ("real", "name", "token")}
        covered = {f"covered_{s}": float(counted["covered"].sel(set=s)) for s in ("name", "token")}
        return {
            **shares,
            **{k: v if np.isfinite(v) else None for k, v in covered.items()},
            "revealed": bool(one["reveals"].sel(set="token")),
            "real_traits": int(counted.attrs["real_traits"]),
        }

    return dict(asked.bench.cells.of("coverage", asked.what, make))


def _standing_out(asked: _Asked) -> list[str]:
    """What the token's pictures have more or less of than the name's, the largest first."""

    def make() -> list[str]:
        return named(properties(asked.audit(), NAMES[asked.labels[0]]))

    return list(asked.bench.cells.of("properties", asked.what, make))


def named(table: xr.Dataset) -> list[str]:
    """What stands out of one label's `analysis.properties`, such as "less edges", largest first."""
    one = table.squeeze()
    found = one.isel(property=np.flatnonzero(one["stands_out"]))
    found = found.isel(property=np.argsort(-np.abs(found["effect"].values)))
    names, more = found["property"].values.tolist(), found["difference"].values > 0
    return [f"{'more' if up else 'less'} {name}" for name, up in zip(names, more, strict=True)]


def _pictures(asked: _Asked, arms: tuple[str, ...]) -> list[np.ndarray]:
    """Pictures of the first label's arms, the first of its first run, uint8 ``(n, y, x, 3)``."""
    samples = asked.audit()["samples"]["image"].sel(label=NAMES[asked.labels[0]])
    return [samples.sel(arm=arm).isel(seed=0, sample=slice(SHOWN)).values for arm in arms]


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
