"""`findings` and simpler methods on one classifier, each with its time and memory.

Trigger inversion alone is Neural Cleanse's rule (Wang et al. 2019) on the bank's plain pictures: a
label is named whose mask lies more than twice 1.4826 times the median distance below the median of
all masks. The scan of the last layer alone names a row that stands out by 3. Both name a label and
no cue. The token alone names a label of whose learned token the classifier reads the pictures and
the judge does not: the difference of the two shares is `APART` and more.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

import inversion_kit
from benchmarks.planted.definitions import Definition
from benchmarks.planted.outcomes import result_of
from inversion_kit.analysis import findings_data
from inversion_kit.bank.bank import Bank
from inversion_kit.bank.cues import PLAIN_CUE
from inversion_kit.classifiers.base import Classifier
from inversion_kit.finding import words
from inversion_kit.finding.effects import keys_of
from inversion_kit.finding.inversion import invert, robust
from inversion_kit.finding.panel import first_class
from inversion_kit.finding.run import LENSES
from inversion_kit.finding.scan import scan_last_layer
from inversion_kit.finding.trigger import MAKING, SECOND
from inversion_kit.generators.sample import from_bytes
from inversion_kit.seeds import TEST, noise_seeds
from inversion_kit.storage import durable

GENERATOR, JUDGE = "pocket", "pocket:judge"
CLEANSE = 2.0
"""Neural Cleanse's anomaly index from which a label is named."""
APART = 0.5
"""Difference of the shares of pictures that classifier and judge read, from which a label is."""


def everything(model: Path, bank: Path, seed: int, device: str) -> dict[str, Any]:
    """`inversion_kit.findings` by all lenses."""
    return _findings(model, bank, seed, device, LENSES)


def words_alone(model: Path, bank: Path, seed: int, device: str) -> dict[str, Any]:
    """`inversion_kit.findings` by words."""
    return _findings(model, bank, seed, device, ("words",))


def inversion_alone(model: Path, bank: Path, seed: int, device: str) -> dict[str, Any]:
    """Neural Cleanse's rule on plain pictures that the classifier reads right."""
    classifier = inversion_kit.as_classifier(model)
    at = np.arange(len(classifier.labels))
    noises = noise_seeds(seed, TEST, 0, words.PLAIN)
    made = Bank(inversion_kit.as_generator(GENERATOR, device=device), bank)
    keys = keys_of(PLAIN_CUE, [classifier.wordings[i] for i in at], noises)
    made.make(keys)
    images, sources = from_bytes(made.images(keys)), np.repeat(at, len(noises))
    rows = np.flatnonzero(first_class(classifier, images) == sources)
    rows = np.random.default_rng(seed).permutation(rows)[:MAKING]
    size = invert(classifier, images[rows], sources[rows], at, seed=seed).size
    return _scored(classifier, cleanse(size), CLEANSE)


def cleanse(size: np.ndarray) -> np.ndarray:
    """Neural Cleanse's index of each label: how far its mask is below the median mask.

    Examples
    --------
    >>> cleanse(np.array([50.0, 60, 70, 80, 90, 100, 5])).round(1).tolist()
    [0.7, 0.3, 0.0, -0.3, -0.7, -1.0, 2.2]
    """
    return robust(-np.asarray(size, float))


def scan_alone(model: Path, bank: Path, seed: int, device: str) -> dict[str, Any]:
    """The rows of the last layer."""
    classifier = inversion_kit.as_classifier(model)
    found = scan_last_layer(classifier)
    if found is None:
        raise ValueError(f"{model}: it has no last layer that can be scanned")
    return _scored(classifier, found, SECOND)


def token_alone(model: Path, bank: Path, seed: int, device: str) -> dict[str, Any]:
    """A token for each label, as `inversion_kit.invert` learns it by ``fast=True``."""
    classifier = inversion_kit.as_classifier(model, name=model.parent.name)
    tree = inversion_kit.audit(
        classifier,
        generator=inversion_kit.as_generator(f"{GENERATOR}:quick", device=device),
        judges=[JUDGE],
        arms=["token"],
        seeds=[seed],
        bank=bank / "tokens",
        progress=False,
    )
    return _scored(classifier, apart(tree, classifier.name, classifier.labels), APART)


def apart(tree: xr.DataTree, name: str, labels: Sequence[str]) -> np.ndarray:
    """Share of the token's pictures that the classifier reads, less the judge's, a label."""
    share = inversion_kit.success(tree)["share"].sel(arm="token")
    less: xr.DataArray = share.sel(scorer=name) - share.sel(scorer=JUDGE)
    return less.sel(label=list(labels)).values


_METHODS: dict[str, Callable[[Path, Path, int, str], dict[str, Any]]] = {
    "scan": scan_alone,
    "words": words_alone,
    "inversion": inversion_alone,
    "token": token_alone,
    "all": everything,
}


def ask(
    definition: Definition, method: str, out: Path, bank: Path, seed: int, device: str = "cpu"
) -> str:
    """Run a method on a classifier and keep what it says; call it in a process of its own.

    The generator is on the device, the classifier on the processor. The peak of memory is of the
    process, its imports among it; the seconds are without imports.
    """
    torch.set_num_threads(1)
    began, spent = time.monotonic(), time.process_time()
    data = _METHODS[method](out / definition.name / "model", bank, seed, device)
    data |= {
        "seconds": round(time.monotonic() - began, 1),
        "processor_seconds": round(time.process_time() - spent, 1),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,  # KB on Linux
    }
    path = result_of(out, definition, method, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write_file(path, json.dumps(data, ensure_ascii=False, indent=1).encode())
    return f"{definition.name} {method}: {data['seconds']:.0f} s"


def _findings(
    model: Path, bank: Path, seed: int, device: str, lenses: tuple[str, ...]
) -> dict[str, Any]:
    generator = inversion_kit.as_generator(GENERATOR, device=device)
    before = len(Bank(generator, bank).places)
    tree = inversion_kit.findings(
        inversion_kit.as_classifier(model, name=model.parent.name),
        generator=generator,
        judges=[JUDGE],
        bank=bank,
        lenses=lenses,
        seed=seed,
        progress=False,
    )
    about = {name: str(value) for name, value in tree["findings"].attrs.items()}
    made = len(Bank(generator, bank).places) - before
    return {**findings_data(tree), "about": about, "new_pictures": made}


def _scored(classifier: Classifier, index: np.ndarray, least: float) -> dict[str, Any]:
    """An index a label, and the labels that are named, as findings without a cue."""
    named = [int(i) for i in np.argsort(-index) if index[i] > least]
    return {
        "findings": [
            {"label": classifier.labels[i], "direction": "push", "cue": "", "confirmed": True}
            for i in named
        ],
        "index": {
            label: round(float(v), 4) for label, v in zip(classifier.labels, index, strict=True)
        },
        "score": float(index.max()),
    }
