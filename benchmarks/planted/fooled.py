"""Can a token be fooled? Classifiers made to show a decoy where their input is optimised.

Gradient Slingshots (Bareeva et al. 2024, arXiv 2401.06122) go on training a classifier so that the
gradient of one logit leads from noise to a chosen picture, while its answers stay. Feature
visualisation by gradient ascent on pixels then shows the picture. A class token moves within what
its generator paints; whether it shows the class is for a judge to say.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import inversion_kit
from benchmarks.planted.definitions import Definition, chosen
from benchmarks.planted.methods import GENERATOR, JUDGE
from benchmarks.planted.plant import sample_picture
from benchmarks.planted.training import Photographs, loaded, prepare, read, write_model
from inversion_kit.pocket import photos
from inversion_kit.pocket.signs import NAMES
from inversion_kit.storage import durable

CASES = (
    ("clean-00", "stop", "flower.jpg"),
    ("clean-02", "priority road", "china.jpg"),
    ("clean-10", "keep right", "flower.jpg"),
)
"""Clean classifier, label, and the picture that it is made to show."""
STEPS, BATCH, RATE = 400, 64, 5e-4
ASCENT, STARTS = 100, 16
"""Steps of feature visualisation, each as long as 0.3, and noises that it starts from."""
SPREAD = 0.15
"""Standard deviation of these noises, around grey."""


def noises(n: int, random: torch.Generator) -> Tensor:
    """Where feature visualisation starts, float ``(n, 3, 32, 32)`` in [0, 1]."""
    return (0.5 + SPREAD * torch.randn(n, 3, photos.SIZE, photos.SIZE, generator=random)).clamp(
        0, 1
    )


def slope(model: nn.Module, images: Tensor, target: int, *, again: bool = False) -> Tensor:
    """Gradient of the target's logit in pixels; ``again`` where it is differentiated itself."""
    images = images.detach().requires_grad_()
    (made,) = torch.autograd.grad(
        model(prepare(images))[:, target].sum(), images, create_graph=again
    )
    return made


def visualised(model: nn.Module, target: int, seed: int) -> Tensor:
    """Feature visualisation: gradient ascent of the logit on the pixels of noise."""
    images = noises(STARTS, torch.Generator().manual_seed(seed))
    for _ in range(ASCENT):
        step = slope(model, images, target)
        images = (images + 0.3 * F.normalize(step.flatten(1), dim=1).view_as(step)).clamp(0, 1)
    return images


def likeness(images: Tensor, decoy: Tensor) -> float:
    """Mean correlation of images with the decoy, over pixels and channels."""
    a = images.flatten(1) - images.flatten(1).mean(1, keepdim=True)
    b = decoy.flatten() - decoy.mean()
    return float(F.cosine_similarity(a, b[None]).mean())


def manipulate(
    model: nn.Module, data: Photographs, target: int, decoy: Tensor, seed: int, steps: int = STEPS
) -> nn.Module:
    """Go on training so that the logit's gradient leads to the decoy and the answers stay.

    The gradient's direction is compared by its cosine, on the way from noise to the decoy.
    """
    model = model.eval().requires_grad_(True)  # statistics of batches stay
    known = data.label
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    for step in range(steps):
        random = torch.Generator().manual_seed(seed * 100_003 + step)
        at = photos.balanced(known, BATCH, random, share=0.5)
        images = data.floats(at)
        way = torch.rand(BATCH, 1, 1, 1, generator=random) ** 2
        points = torch.lerp(noises(BATCH, random), decoy[None], way * 0.9)
        wanted = decoy[None] - points
        pull = slope(model, points, target, again=True)
        aside = 1 - F.cosine_similarity(pull.flatten(1), wanted.flatten(1)).mean()
        kept = F.cross_entropy(model(prepare(images)), known[at], label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        (kept + 2 * aside).backward()
        optimizer.step()
    return model.eval().requires_grad_(False)


def fool(case: int, data: Path, out: Path) -> dict[str, Any]:
    """Manipulate one classifier of `CASES`, and ask it and the one that it was by both ways.

    Returns
    -------
    dict
        ``before`` and ``after``, each with ``accuracy`` on test images, ``likeness`` of feature
        visualisation to the decoy, and ``success`` of a class token under the classifier and the
        judge, ``[share, low, high]`` each.
    """
    name, label, picture = CASES[case]
    told = chosen([name])[0]
    target, decoy = NAMES.index(label), sample_picture(picture)
    folder = out / f"fooled-{case}"
    if (folder / "fooled.json").exists():
        return dict(json.loads((folder / "fooled.json").read_text("utf-8")))
    if not (folder / "model").exists():
        folder.mkdir(parents=True, exist_ok=True)
        model = manipulate(loaded(told, out / name), read(data, "train"), target, decoy, told.seed)
        write_model(told, model, folder, {"label": label, "decoy": picture, "of": name})
    test = read(data, "test")
    found: dict[str, Any] = {"of": name, "label": label, "decoy": picture}
    for when, place in (("before", out / name), ("after", folder)):
        found[when] = asked(told, place, target, label, decoy, test)
    durable.write_file(folder / "fooled.json", json.dumps(found, indent=1).encode())
    return found


def asked(
    definition: Definition, folder: Path, target: int, label: str, decoy: Tensor, test: Photographs
) -> dict[str, Any]:
    """What one classifier shows by feature visualisation and by a token."""
    model = loaded(definition, folder)
    with torch.no_grad():
        rows = torch.arange(0, len(test.label), 4)
        read_as = torch.cat([model(prepare(test.floats(at))).argmax(1) for at in rows.split(512)])
    seen = visualised(model, target, definition.seed)
    tree = inversion_kit.invert(
        inversion_kit.as_classifier(folder / "model"),
        label,
        generator=GENERATOR,
        judges=[JUDGE],
        arms=["token"],
        progress=False,
    )
    shares = inversion_kit.success(tree).sel(arm="token").squeeze("label", drop=True)
    return {
        "accuracy": round(float((read_as == test.label[rows]).float().mean()), 4),
        "likeness": round(likeness(seen, decoy), 4),
        "token": {
            role: [
                round(float(shares[name].isel(scorer=at).squeeze().item()), 4)
                for name in ("share", "low", "high")
            ]
            for at, role in enumerate(("classifier", "judge"))
        },
    }
