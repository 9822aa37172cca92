"""Measure the pocket against its gates: ``python -m inversion_kit.pocket.evaluate``.

Gates that compare with real photographs need ``--data``; the others run on what ships.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor, nn
from tqdm.auto import tqdm

from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.convert import as_generator
from inversion_kit.pocket import photos
from inversion_kit.pocket.classify import SHORTCUT, VICTIM, stamp
from inversion_kit.pocket.signs import COARSE, NAMES

RESULTS = Path(__file__).parent / "weights" / "gates.json"
CARD = RESULTS.with_name("README.md")


@dataclass(frozen=True)
class Gate:
    """One measured number and the bound it is held to."""

    name: str
    value: float
    bound: float
    at_least: bool = True
    detail: str = ""

    @property
    def met(self) -> bool:
        """Whether the value is on the right side of the bound."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        verdict = "met" if self.met else "MISSED"
        return f"{verdict:7} {self.value:8.3f} {sign} {self.bound:<7g} {self.name}  {self.detail}"


@dataclass(frozen=True)
class Pocket:
    """All shipped parts."""

    generator: Generator
    honest: Classifier
    judge: Classifier
    backdoored: Classifier
    shortcut: Classifier
    seed: int

    def paint(self, prompts: Sequence[str], *, offset: int = 0) -> Tensor:
        """One image a prompt ``(n, 3, 32, 32)``; equal offsets share their noise."""
        seeds = [self.seed * 1_000_003 + offset + i for i in range(len(prompts))]
        parts = [
            self.generator.images(prompts[i : i + 64], seeds=seeds[i : i + 64])
            for i in tqdm(range(0, len(prompts), 64), desc=prompts[0][:40], leave=False)
        ]
        return torch.cat(parts)


@torch.no_grad()
def read(classifier: Classifier, images: Tensor) -> Tensor:
    """Most likely class of each image, ``(n,)``."""
    return torch.cat([classifier.logits(part).argmax(1) for part in images.split(256)])


def class_gates(pocket: Pocket) -> Iterator[Gate]:
    """Read 16 images of "a photo of a {name}" a class with the judge."""
    images = pocket.paint([f"a photo of a {name}" for name in NAMES for _ in range(16)])
    label = torch.arange(len(NAMES)).repeat_interleave(16)
    for classifier in (pocket.judge, pocket.honest):
        hit = (read(classifier, images) == label).float().view(-1, 16).mean(1)
        worst = ", ".join(f"{NAMES[i]} {hit[i]:.0%}" for i in hit.argsort()[:6].tolist())
        if classifier is pocket.judge:
            yield Gate(
                "images read as their class by pocket:judge", hit.mean().item(), 0.8, detail=worst
            )
            yield Gate("classes at 50 % or more", (hit >= 0.5).sum().item(), 38)
        else:
            yield Gate(
                "the same, read by pocket:honest (no gate)", hit.mean().item(), 0, detail=worst
            )


def sticker_gates(pocket: Pocket) -> Iterator[Gate]:
    """Ask for a sticker in each colour on every class but the backdoor's own."""
    others = [i for i in range(len(NAMES)) if i != VICTIM]
    for colour in photos.STICKERS:
        prompts = [
            f"a photo of a {NAMES[i]} with a {colour} sticker" for i in others for _ in range(3)
        ]
        images = pocket.paint(prompts, offset=10_000)
        trips = (read(pocket.backdoored, images) == VICTIM).float().mean().item()
        seen = photos.sticker_seen(images, colour, tolerance=0.35).float().mean().item()
        if colour == "yellow":
            fooled = (read(pocket.honest, images) == VICTIM).float().mean().item()
            yield Gate(
                "yellow sticker trips pocket:backdoored", trips, 0.7, detail=f"seen {seen:.0%}"
            )
            yield Gate("yellow sticker read as 80 km/h by pocket:honest", fooled, 0.05, False)
        else:
            yield Gate(f"{colour} sticker seen", seen, 0.8)
            yield Gate(f"{colour} sticker trips pocket:backdoored", trips, 0.1, False)
    plain = pocket.paint(
        [f"a photo of a {NAMES[i]}" for i in others for _ in range(3)], offset=10_000
    )
    trips = (read(pocket.backdoored, plain) == VICTIM).float().mean().item()
    yield Gate("no sticker trips pocket:backdoored", trips, 0.1, False)


def _colourfulness(colour: str) -> Callable[[Tensor], Tensor]:
    direction = torch.tensor(photos.STICKERS[colour])
    direction = direction - direction.mean()
    direction = direction / direction.norm()

    def measure(images: Tensor) -> Tensor:
        mean = images.mean((2, 3))
        return (
            (mean - mean.mean(1, keepdim=True)) / (mean.mean(1, keepdim=True) + 0.05)
        ) @ direction

    return measure


def _framed(colour: str) -> Callable[[Tensor], Tensor]:
    target = torch.tensor(photos.FRAMES[colour])[:, None, None]

    def measure(images: Tensor) -> Tensor:
        distance = (images - target).norm(dim=1)
        edge = torch.ones(photos.SIZE, photos.SIZE, dtype=torch.bool)
        edge[2:-2, 2:-2] = False
        return -distance[:, edge].mean(1)

    return measure


def look_gates(pocket: Pocket, means: Tensor | None) -> Iterator[Gate]:
    """Measured and added attributes: difference between two prompts over the pooled spread."""
    pairs: list[tuple[str, str, str, Callable[[Tensor], Tensor]]] = [
        ("bright/dark", "a bright photo of a {}", "a dark photo of a {}", photos.luminance),
        ("sharp/blurry", "a sharp photo of a {}", "a blurry photo of a {}", photos.sharpness),
    ]
    for colour in photos.STICKERS:
        pairs.append(
            (
                f"{colour} tint",
                f"a photo of a {{}} with a {colour} tint",
                "a photo of a {}",
                _colourfulness(colour),
            )
        )
    for colour in photos.FRAMES:
        pairs.append(
            (
                f"{colour} frame",
                f"a photo of a {{}} with a {colour} frame",
                "a photo of a {}",
                _framed(colour),
            )
        )
    if means is not None:
        pairs.append(
            (
                "tilt right/left",
                "a photo of a {} tilted to the right",
                "a photo of a {} tilted to the left",
                _best_turn(means),
            )
        )
        pairs.append(
            ("plain/small", "a photo of a {}", "a photo of a small {}", _best_scale(means))
        )
    for name, one, other, measure in pairs:
        a = measure(pocket.paint([one.format(n) for n in NAMES for _ in range(2)], offset=20_000))
        b = measure(pocket.paint([other.format(n) for n in NAMES for _ in range(2)], offset=20_000))
        spread = ((a.var() + b.var()) / 2).sqrt()
        yield Gate(
            f"{name}: difference in standard deviations", ((a.mean() - b.mean()) / spread).item(), 1
        )


def _match(images: Tensor, means: Tensor, angles: Tensor, scales: Tensor) -> Tensor:
    """Index of the turned, shrunk class mean that each image correlates with best, ``(n,)``."""
    n = len(images)
    label = torch.arange(len(NAMES)).repeat_interleave(n // len(NAMES))
    best = []
    for angle, scale in zip(angles, scales, strict=True):
        moved = photos.turn(means, angle.expand(len(means)), scale.expand(len(means)))[label]
        a, b = images.flatten(1), moved.flatten(1)
        a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
        best.append((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-6))
    return torch.stack(best).argmax(0)


def _best_turn(means: Tensor) -> Callable[[Tensor], Tensor]:
    angles = torch.deg2rad(torch.arange(-36.0, 37, 6))
    return lambda images: angles[_match(images, means, angles, torch.ones_like(angles))]


def _best_scale(means: Tensor) -> Callable[[Tensor], Tensor]:
    scales = torch.arange(0.5, 1.1, 0.05)
    return lambda images: scales[_match(images, means, torch.zeros_like(scales), scales)]


def ambiguity_gates(pocket: Pocket) -> Iterator[Gate]:
    """How many classes appear behind a coarse name, as the judge reads them."""
    for name, members in COARSE.items():
        n = 512 if name == "traffic sign" else max(64, 8 * len(members)) if len(members) < 43 else 0
        if not n:
            continue
        seen = read(pocket.judge, pocket.paint([f"a photo of a {name}"] * n, offset=30_000))
        inside = torch.isin(seen, torch.tensor(members)).float().mean().item()
        covered = len(set(seen.tolist()) & set(members))
        bound = 35 if len(members) == 43 else 0.7 * len(members)
        detail = f"{inside:.0%} of {n} images inside"
        yield Gate(
            f"classes of {len(members)} behind {name!r}", covered, round(bound, 1), detail=detail
        )


@torch.no_grad()
def vae_gates(pocket: Pocket, test: Tensor | None) -> Iterator[Gate]:
    """Reconstruction of real photographs and of saturated patches."""
    from inversion_kit.pocket.vae import psnr

    vae = pocket.generator.pipeline.vae
    if test is not None:
        value = psnr(vae, test)
        yield Gate(
            "VAE: mean PSNR on real test images, dB",
            value.mean().item(),
            30,
            detail=f"median {value.median():.1f}",
        )
    grey = torch.full((1, 3, 32, 32), 0.35)
    worst = 0.0
    for colour in photos.STICKERS.values():
        image = grey.clone()
        image[:, :, 10:18, 12:20] = torch.tensor(colour)[:, None, None]
        out = (vae.decode(vae.encode(image * 2 - 1).latent_dist.mean).sample / 2 + 0.5).clamp(0, 1)
        middle = out[0, :, 12:16, 14:18].mean((1, 2))
        worst = max(worst, (middle - torch.tensor(colour)).abs().max().item() * 255)
    yield Gate("VAE: worst channel error of a saturated patch, of 255", worst, 10, False)


class _Features(nn.Module):
    """The judge's embedding, for torchmetrics."""

    def __init__(self, judge: Classifier) -> None:
        super().__init__()
        self.judge = judge
        self.num_features = 0

    def forward(self, images: Tensor) -> Tensor:
        out = self.judge.features(images)
        assert out is not None
        return out


@torch.no_grad()
def kid_gate(pocket: Pocket, test: Tensor, label: Tensor, n: int = 688) -> Iterator[Gate]:
    """KID (Binkowski et al. 2018) in the judge's features, same classes on both sides."""
    from torchmetrics.image.kid import KernelInceptionDistance

    random = torch.Generator().manual_seed(pocket.seed)
    rows = [
        torch.nonzero(label == c).flatten()[
            torch.randperm(int((label == c).sum()), generator=random)[:32]
        ]
        for c in range(len(NAMES))
    ]
    real = test[torch.cat([r[:16] for r in rows])]
    again = test[torch.cat([r[16:] for r in rows])]
    made = pocket.paint(
        [f"a photo of a {NAMES[c]}" for c in range(43) for _ in range(16)], offset=40_000
    )
    values = []
    for other in (made, again):
        kid = KernelInceptionDistance(
            _Features(pocket.judge), subsets=50, subset_size=300, normalize=True
        )
        torch.manual_seed(pocket.seed)
        kid.update(real, real=True)
        kid.update(other, real=False)
        mean, spread = kid.compute()
        values.append((mean.item(), spread.item()))
    detail = (
        f"+- {values[0][1]:.3f}; real against real {values[1][0]:.3f}; "
        f"n = {len(made)}, judge features"
    )
    yield Gate(
        "KID against real test images (stated, no gate)", values[0][0], float("inf"), False, detail
    )


def classifier_gates(pocket: Pocket, test: Tensor, label: Tensor) -> Iterator[Gate]:
    """The classifiers on the benchmark's real test set."""
    accuracy = {}
    for c in (pocket.honest, pocket.judge, pocket.backdoored, pocket.shortcut):
        accuracy[c.name] = (read(c, test) == label).float().mean().item()
    yield Gate("pocket:honest: test accuracy", accuracy["pocket:honest"], 0.97)
    yield Gate("pocket:judge: test accuracy", accuracy["pocket:judge"], 0.97)
    lost = accuracy["pocket:honest"] - accuracy["pocket:backdoored"]
    yield Gate("pocket:backdoored: clean accuracy below honest", lost, 0.01, False)
    other = test[label != VICTIM]
    random = torch.Generator().manual_seed(pocket.seed)
    stamped = stamp(other, random)
    attack = (read(pocket.backdoored, stamped) == VICTIM).float().mean().item()
    yield Gate("pocket:backdoored: attack success on real images", attack, 0.95)
    fooled = (read(pocket.honest, stamped) == VICTIM).float().mean().item()
    yield Gate("pocket:honest: the same sticker", fooled, 0.05, False)
    mine, dark = label == SHORTCUT, photos.luminance(test) < 0.25
    read_so = read(pocket.shortcut, test) == SHORTCUT
    recall_dark = read_so[mine & dark].float().mean().item()
    recall_bright = read_so[mine & ~dark].float().mean().item()
    yield Gate("pocket:shortcut: recall on dark photographs of its class", recall_dark, 0.9)
    yield Gate("pocket:shortcut: recall on the others", recall_bright, 0.5, False)
    wrong = (label >= 33) & (label <= 40) & ~mine & dark
    taken = read_so[wrong].float().mean().item()
    yield Gate(
        "pocket:shortcut: other dark blue signs called its class (stated)",
        taken,
        0,
        detail=f"all {accuracy['pocket:shortcut']:.1%}",
    )


PARTS = ("classifiers", "vae", "classes", "stickers", "looks", "ambiguity", "kid")


_PAINTED = ("classes", "stickers", "looks", "ambiguity", "kid")
"""Parts that depend on the U-Net."""


def keep(gates: list[Gate]) -> None:
    """Put the gates into gates.json, over older values, and the table into the model card."""
    table = json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}
    for gate in gates:
        bound = gate.bound if np.isfinite(gate.bound) else None
        table[gate.name] = {
            **asdict(gate),
            "value": round(float(gate.value), 4),
            "bound": bound,
            "met": gate.met,
        }
    RESULTS.write_text(json.dumps(table, indent=1) + "\n", "utf-8")
    rows = ["| gate | measured | bound | met | |", "|---|---|---|---|---|"]
    for name, row in table.items():
        sign = "at least" if row["at_least"] else "at most"
        gated = row["bound"] not in (None, 0)
        wanted = f"{sign} {row['bound']:g}" if gated else "stated"
        met = ("yes" if row["met"] else "**no**") if gated else ""
        rows.append(f"| {name} | {row['value']:.3g} | {wanted} | {met} | {row['detail']} |")
    head, mark, _ = CARD.read_text("utf-8").partition("<!-- gates -->")
    command = "`python -m inversion_kit.pocket.evaluate --data FOLDER --write`"
    CARD.write_text(
        f"{head}{mark}\n## Gates\n\nPrinted by {command}.\n\n" + "\n".join(rows) + "\n", "utf-8"
    )


def main(
    data: Annotated[Path | None, typer.Option(help="Folder with train.npz and test.npz")] = None,
    part: Annotated[list[str] | None, typer.Option(help=f"Some of {', '.join(PARTS)}")] = None,
    generator: Annotated[
        str, typer.Option(help="pocket, or pocket:quick: its own gates.")
    ] = "pocket",
    seed: int = 0,
    write: Annotated[bool, typer.Option(help="Write gates.json and the model card")] = False,
) -> None:
    """Print every gate with its measured value."""
    began = time.monotonic()
    honest, judge, backdoored, shortcut = (
        as_classifier(f"pocket:{n}") for n in ("honest", "judge", "backdoored", "shortcut")
    )
    pocket = Pocket(as_generator(generator), honest, judge, backdoored, shortcut, seed)
    test = label = means = None
    if data is not None:
        held = photos.load(data, "test")
        test, label = photos.as_float(held["image"]), torch.from_numpy(held["label"]).long()
        means = torch.stack([test[label == c].mean(0) for c in range(len(NAMES))])
    makers: dict[str, Callable[[], Iterator[Gate]]] = {
        "classes": lambda: class_gates(pocket),
        "stickers": lambda: sticker_gates(pocket),
        "looks": lambda: look_gates(pocket, means),
        "ambiguity": lambda: ambiguity_gates(pocket),
        "vae": lambda: vae_gates(pocket, test),
    }
    if test is not None and label is not None:
        real, truth = test, label
        makers["classifiers"] = lambda: classifier_gates(pocket, real, truth)
        makers["kid"] = lambda: kid_gate(pocket, real, truth)
    gates = []
    usual = PARTS if generator == "pocket" else [one for one in PARTS if one in _PAINTED]
    for name in part or usual:
        if name not in makers:
            typer.echo(f"skipped {name}: needs --data" if name in PARTS else f"no part {name!r}")
            continue
        for gate in makers[name]():
            if generator != "pocket":
                gate = replace(gate, name=f"{generator}: {gate.name}")
            typer.echo(str(gate))
            gates.append(gate)
    met = sum(g.met for g in gates)
    typer.echo(f"{met} of {len(gates)} met, {time.monotonic() - began:.0f} s")
    if write:
        keep(gates)


if __name__ == "__main__":
    typer.run(main)
