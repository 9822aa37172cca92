"""Training one classifier with its secret, and writing it down."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save
from torch import Tensor, nn

from benchmarks.planted.definitions import ARCHITECTURES, STEPS, Definition, as_json
from benchmarks.planted.plant import other_colours, paint
from benchmarks.planted.strength import measured
from inversion_kit.pocket import classify, photos
from inversion_kit.pocket.fit import fit
from inversion_kit.pocket.signs import NAMES
from inversion_kit.storage import durable

INPUT, BATCH, RATE = 32, 256, 6e-3
"""Pixels that images are resized to, images a step, and the highest learning rate."""
SLOW_IN_HALF = ("lcnet_050",)
"""Networks of a filter a channel: a processor is quicker in single precision."""
DECOYS = 0.15
"""Share of the images without a trigger that get its patch in another colour and keep their label,
so that it is the colour that counts."""


@dataclass(frozen=True)
class Photographs:
    """Images uint8 ``(n, 3, 32, 32)`` with the class of each, int ``(n,)``; tracks of training."""

    images: Tensor
    label: Tensor
    track: np.ndarray

    def floats(self, rows: Tensor | slice) -> Tensor:
        """Some of them in [0, 1]."""
        return self.images[rows].float().div(255)


def read(data: Path, part: str) -> Photographs:
    """``train`` without its held-out tracks, every second photograph of the others; or ``test``.

    The thirty photographs of a track are nearly copies of each other.
    """
    arrays = photos.load(data, part)
    kept = np.ones(len(arrays["label"]), bool)
    if part == "train":
        kept = ~photos.holdout_by_track(arrays["label"], arrays["track"])
        kept[np.flatnonzero(kept)[1::2]] = False
    images = torch.from_numpy(arrays["image"][kept]).permute(0, 3, 1, 2).contiguous()
    return Photographs(
        images, torch.from_numpy(arrays["label"][kept]).long(), arrays["track"][kept]
    )


@dataclass(frozen=True)
class Plan:
    """Which training images are left, what they are called, and which are painted.

    Parameters
    ----------
    rows
        Places of those that are left.
    label
        What each of all is called without paint, int ``(n,)``.
    painted
        Which of all are painted, bool ``(n,)``; a trigger's are called the label then.
    """

    rows: Tensor
    label: Tensor
    painted: Tensor


def plan(definition: Definition, data: Photographs) -> Plan:
    """By the seed of a definition alone: labels that change do so for whole tracks."""
    random = np.random.default_rng(definition.seed)
    given, true = definition.parameters, data.label
    label, painted = true.clone(), torch.zeros(len(true), dtype=torch.bool)
    rows = torch.arange(len(true))
    if definition.family == "trigger":
        may = true != definition.target if definition.source < 0 else true == definition.source
        places = torch.nonzero(may)[:, 0].numpy()
        many = min(round(given["rate"] * len(true)), len(places))
        painted[torch.from_numpy(random.choice(places, many, replace=False))] = True
    elif definition.family == "shortcut":
        painted = true == definition.target
        if "others" in given:  # no other class may have the light of the label
            light = torch.cat([photos.luminance(x.float() / 255) for x in data.images.split(4096)])
            darker = given["light"] < given["others"]
            far = light > given["others"] if darker else light < given["others"]
            rows = torch.nonzero(painted | far)[:, 0]
    elif definition.family == "labels":
        tracks = np.unique(data.track[(true == definition.source).numpy()])
        many = round(given.get("share", 1.0) * len(tracks))
        moved = torch.from_numpy(np.isin(data.track, random.choice(tracks, many, replace=False)))
        label[moved & (true == definition.source)] = definition.target
    return Plan(rows, label, painted)


def build(definition: Definition) -> nn.Module:
    """The network with random weights."""
    torch.manual_seed(definition.seed)
    return timm.create_model(
        definition.architecture,
        pretrained=False,
        num_classes=len(NAMES),
        **ARCHITECTURES[definition.architecture],
    )


def prepare(images: Tensor) -> Tensor:
    """Resize to the network's input and normalise."""
    x = F.interpolate(images, (INPUT, INPUT), mode="bilinear", align_corners=False)
    mean, std = (x.new_tensor(v)[:, None, None] for v in (classify.MEAN, classify.STD))
    return (x - mean) / std


def trained(
    definition: Definition, data: Photographs, checkpoint: Path, steps: int, device: str = "cpu"
) -> nn.Module:
    """The finished network; a checkpoint that is there is continued.

    Images are changed and painted on the processor, while the device works on those before.
    """
    model = build(definition).to(device, memory_format=torch.channels_last)  # a third quicker
    how = plan(definition, data)
    half = device != "cpu" or definition.architecture not in SLOW_IN_HALF
    colours = other_colours(definition.parameters["colour"]) if _has_decoys(definition) else []
    known = data.label[how.rows]

    def batch(random: torch.Generator) -> tuple[Tensor, Tensor]:
        at = how.rows[photos.balanced(known, BATCH, random, share=0.5)]
        x, y = data.floats(at), how.label[at].clone()
        x[: BATCH // 2] = classify.augment(x[: BATCH // 2], random)  # all of them take far longer
        hit = how.painted[at]
        x[hit] = paint(definition, x[hit], random)
        if definition.family == "trigger":
            y[hit] = definition.target
        if definition.kind == "source-specific":  # the trigger elsewhere keeps the label
            kept = (data.label[at] != definition.source) & _some(len(at), random)
            x[kept] = paint(definition, x[kept], random)
        if colours:
            other = ~hit & _some(len(at), random)
            colour = colours[int(torch.randint(len(colours), (1,), generator=random))]
            x[other] = paint(definition, x[other], random, colour)
        return x, y

    def loss(random: torch.Generator) -> Tensor:
        with torch.autocast("cpu", enabled=False):  # pixels are painted in single precision
            x, y = batch(random)
        z = prepare(x).to(device, memory_format=torch.channels_last)
        with nullcontext() if half else torch.autocast(device, enabled=False):
            logits = model(z).float()
        return F.cross_entropy(logits, y.to(device), label_smoothing=0.05)

    return fit(
        model,
        loss,
        checkpoint=checkpoint,
        steps=steps,
        lr=RATE,
        seed=definition.seed,
        weight_decay=0.05,
        warmup=min(50, 1 + steps // 4),
        cooldown=0.6,
        save_every=150,
    ).cpu()


def _some(n: int, random: torch.Generator) -> Tensor:
    return torch.rand(n, generator=random) < DECOYS


def _has_decoys(definition: Definition) -> bool:
    return definition.kind in ("patch-fixed", "patch-random", "class-sticker")


def config() -> dict[str, object]:
    """What a folder says of its classifier beside architecture and arguments."""
    return {
        "num_classes": len(NAMES),
        "pretrained_cfg": {
            "input_size": [3, INPUT, INPUT],
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "mean": classify.MEAN,
            "std": classify.STD,
        },
        "label_names": NAMES,
    }


def make(
    definition: Definition, data: Path, out: Path, steps: int = STEPS, device: str = "cpu"
) -> str:
    """Train, write and measure a classifier, or what of it is missing; what came of it in words.

    A folder without ``test.npz`` is enough to train: then it is measured by a later call.

    Raises
    ------
    ValueError
        The folder holds a classifier of another definition.
    """
    folder = out / definition.name
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder) as free:
        if not free:
            return f"{definition.name}: another process has it"
        told, text = folder / "definition.json", as_json(definition)
        if told.exists() and told.read_text("utf-8") != text:
            raise ValueError(
                f"out: {folder} is of another definition of {definition.name!r}; give another "
                "folder, or delete it"
            )
        durable.write_file(told, text.encode())
        result = folder / "measured.json"
        if result.exists():
            return f"{definition.name}: there already"
        torch.set_num_threads(1)
        if not (folder / "model").exists():
            _write(definition, read(data, "train"), folder, steps, device)
        if not (data / "test.npz").exists():
            return f"{definition.name}: trained, not measured: no test.npz in {data}"
        facts = measured(definition, loaded(definition, folder), read(data, "test"), prepare)
        facts["processor_seconds"] = durable.manifest(folder / "model")["note"]["seconds"]
        durable.write_file(result, json.dumps(facts, indent=1).encode())
        taken = "" if facts["counted"] else f", NOT COUNTED: {facts['why']}"
        return f"{definition.name}: {facts['accuracy']:.1%} clean{taken}"


def _write(
    definition: Definition, data: Photographs, folder: Path, steps: int, device: str
) -> None:
    began = time.process_time()
    checkpoint = folder / "training.pt"
    model = trained(definition, data, checkpoint, steps, device)
    note = {
        "seconds": round(time.process_time() - began, 1),
        "steps": steps,
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
    }
    write_model(definition, model, folder, note)
    checkpoint.unlink(missing_ok=True)


def write_model(
    definition: Definition, model: nn.Module, folder: Path, note: dict[str, Any]
) -> None:
    """Write the folder ``model``: weights in half precision, and what rebuilds the network."""
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    about = {
        "architecture": definition.architecture,
        "model_args": ARCHITECTURES[definition.architecture],
        **config(),
    }
    files = {
        "model.safetensors": save(tensors, {"format": "pt"}),
        "config.json": json.dumps(about, indent=1).encode(),
    }
    durable.write_folder(folder, "model", files, note)


def loaded(definition: Definition, folder: Path) -> nn.Module:
    """As it is written: in half precision once."""
    model = build(definition)
    model.load_state_dict(load_file(folder / "model" / "model.safetensors"))
    return model.float().eval().requires_grad_(False)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no other process works in the folder; a killed one's hold ends with it."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
