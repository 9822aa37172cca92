"""The lens of trigger inversion: a label that a far smaller change reaches than any other.

It finds what a generator cannot paint. The plain pictures of a bank are its data. Any classifier
has labels that are easy to reach, so the judges' own triggers on the same pictures are its null,
and one that stands out a little must be seconded by the last layer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch.nn.functional as F
import xarray as xr
from torch import Tensor

from inversion_kit.analysis.chance import corrected
from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import InputError, SchemaError, StoreError
from inversion_kit.finding.inversion import COARSE, FEWEST, FINE, Triggers, anomaly, invert
from inversion_kit.finding.panel import Panel, first_class, why_no_gradient
from inversion_kit.finding.scan import scan_last_layer
from inversion_kit.finding.trigger_check import Pictures, Trigger, Way, check
from inversion_kit.generators.sample import from_bytes, to_bytes
from inversion_kit.storage import durable, unit_files

ALONE, SECONDED = 5.5, 3.0
"""Least anomaly index above the judges' of a label that is said to stand out, and of one whose row
of the last layer does so too, by `SECOND`."""
SECOND = 3.0
"""Least that a row of the last layer stands out to second a label."""
UNJUDGED = 1.0
"""How much more is asked for without judges."""
MOST = 60
"""Labels at most: of more, those that are asked for and a random choice to compare them with."""
MAKING = 72
"""Pictures at most on which triggers are made."""
SPLIT = 16
"""Sources from which every other one is kept for the check; of fewer, every other noise."""
REFINED = 6
"""Labels at most whose triggers are searched further and checked."""
SIDE = 256
"""Pictures whose shorter side is longer are shrunk by a whole factor."""
_FEW = 8
"""Pictures that a classifier must read right, so that triggers can be made on them."""


@dataclass(frozen=True)
class Look:
    """What trigger inversion saw.

    Parameters
    ----------
    triggers
        Triggers of the labels that stand out, the largest excess first.
    labels
        Class indices that were tried, ``(label,)``.
    size
        Pixels that each mask sums to, ``(label,)``.
    index, null
        Anomaly index of the classifier, and the largest of the judges; NaN without any.
    second
        How far each label's row of the last layer stands out; NaN where that cannot be seen.
    judged
        Whether a judge gave a null.
    why
        Why nothing could be done; empty where it could.
    """

    triggers: tuple[Trigger, ...] = ()
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    size: np.ndarray = field(default_factory=lambda: np.zeros(0))
    index: np.ndarray = field(default_factory=lambda: np.zeros(0))
    null: np.ndarray = field(default_factory=lambda: np.zeros(0))
    second: np.ndarray = field(default_factory=lambda: np.zeros(0))
    judged: bool = False
    why: str = ""

    @property
    def excess(self) -> np.ndarray:
        """Index above the judges'; where theirs is below 0 it counts as 0."""
        return self.index - np.maximum(np.nan_to_num(self.null), 0)

    @property
    def standing_out(self) -> np.ndarray:
        """Places of the labels that do, at most `REFINED`, the largest excess first."""
        needed = np.where(np.nan_to_num(self.second) >= SECOND, SECONDED, ALONE)
        enough = self.excess >= needed + (0.0 if self.judged else UNJUDGED)
        at = np.argsort(-self.excess, kind="stable")
        return at[enough[at]][:REFINED]


def look_for_triggers(
    panel: Panel,
    plain: np.ndarray,
    sources: Sequence[int] | np.ndarray,
    *,
    labels: Sequence[int] | None = None,
    seed: int = 0,
    kept: Path | None = None,
    heard: Callable[[int, int], None] = lambda done, total: None,
) -> Look:
    """Search a trigger for every label, and check those that stand out on other pictures.

    Parameters
    ----------
    panel
        The classifier and its judges.
    plain
        Pictures without any cue, uint8 ``(source, noise, y, x, 3)``, two noises or more.
    sources
        Class index of each source.
    labels
        Class indices to try; by default all. Of more than `MOST` a random choice, into which the
        ones given go first.
    seed
        Of first values, order of pictures, and placebos.
    kept
        Folder in which what judges give is kept, for the next classifier.
    heard
        Called with steps done and steps in all.

    Returns
    -------
    Look
        With its ``why`` where the classifier gives no gradient or reads too few pictures.
    """
    classifier = panel.classifier
    making, checking = split(_shrunk(plain), np.asarray(sources))
    if why := _why_not(classifier, making):
        return Look(why=why)
    tried = _tried(len(classifier.labels), labels, seed)
    judges = [judge for judge in panel.judges if not _why_not(judge, making)]
    steps = [0, COARSE.steps * (1 + len(judges)) + FINE.steps]

    def stepped(n: int) -> None:
        steps[0] += n
        heard(*steps)

    data = _right(classifier, making, seed)
    coarse = invert(classifier, *data, tried, seed=seed, heard=stepped)
    index = anomaly(coarse.size)
    nulls = [anomaly(_sizes(judge, making, tried, seed, kept, stepped)) for judge in judges]
    null = np.max(nulls, 0) if nulls else np.full(len(tried), np.nan)
    scanned = scan_last_layer(classifier)
    second = np.full(len(tried), np.nan) if scanned is None else scanned[tried]
    look = Look((), tried, coarse.size, index, null, second, bool(nulls))
    at = look.standing_out
    if not len(at):
        heard(steps[1], steps[1])
        return look
    start = Triggers(tried[at], coarse.mask[at], coarse.pattern[at], coarse.size[at])
    fine = invert(classifier, *data, tried[at], effort=FINE, start=start, seed=seed, heard=stepped)
    checked = [
        check(
            panel,
            checking,
            int(label),
            Way(mask, pattern),
            index=float(index[i]),
            null=float(null[i]),
            seed=seed,
        )
        for i, label, mask, pattern in zip(at, tried[at], fine.mask, fine.pattern, strict=True)
    ]
    chances = corrected([one.finding.chance for one in checked])
    triggers = tuple(
        replace(one, finding=replace(one.finding, chance=float(chance)))
        for one, chance in zip(checked, chances, strict=True)
    )
    return replace(look, triggers=triggers)


def split(plain: np.ndarray, sources: np.ndarray) -> tuple[Pictures, Pictures]:
    """Pictures to make triggers on, and others to check them on.

    Raises
    ------
    InputError
        They are not uint8 ``(source, noise, y, x, 3)`` with a class a source and two noises each,
        four where there are fewer than `SPLIT` sources.
    """
    few = len(sources) < SPLIT
    fits = plain.dtype == np.uint8 and plain.ndim == 5 and plain.shape[-1] == 3
    if not fits or len(plain) != len(sources) or plain.shape[1] < (4 if few else 2):
        raise InputError(
            f"plain: {plain.dtype} {plain.shape} of {len(sources)} sources; expected uint8 "
            f"(source, noise, y, x, 3) with {4 if few else 2} noises or more"
        )
    if few:
        return Pictures(plain[:, ::2], sources), Pictures(plain[:, 1::2], sources)
    return Pictures(plain[::2], sources[::2]), Pictures(plain[1::2], sources[1::2])


def _shrunk(plain: np.ndarray) -> np.ndarray:
    factor = -(-min(plain.shape[2:4]) // SIDE)
    if factor == 1:
        return plain
    flat = plain.reshape(-1, *plain.shape[2:])
    small = [to_bytes(F.avg_pool2d(from_bytes(one[None]), factor)) for one in flat]
    return np.concatenate(small).reshape(*plain.shape[:2], *small[0].shape[1:])


def _why_not(classifier: Classifier, making: Pictures) -> str:
    """Why no trigger can be searched for a classifier; empty where one can."""
    if why := why_no_gradient(classifier, from_bytes(making.images[0, :1])):
        return why
    if len(classifier.labels) < FEWEST:
        return f"{classifier.name!r} has fewer than {FEWEST} labels: none can stand out"
    images, sources = making.flat()
    if (first_class(classifier, images) == sources).sum() < _FEW:
        return f"{classifier.name!r} reads fewer than {_FEW} of the plain pictures right"
    return ""


def _tried(classes: int, labels: Sequence[int] | None, seed: int) -> np.ndarray:
    """Labels to try: those given, and others to compare them with."""
    order = np.random.default_rng(seed).permutation(classes)
    first = list(dict.fromkeys(int(i) for i in labels or ()))
    if labels is None or len(first) < MOST:
        rest = [int(i) for i in order if int(i) not in first]
        first += rest[: MOST - len(first)]
    return np.sort(np.array(first[:MOST], int))


def _right(classifier: Classifier, making: Pictures, seed: int) -> tuple[Tensor, np.ndarray]:
    """A choice of the pictures that a classifier reads right, and their classes."""
    images, sources = making.flat()
    rows = np.flatnonzero(first_class(classifier, images) == sources)
    rows = np.random.default_rng(seed).permutation(rows)[:MAKING]
    return images[rows], sources[rows]


def _sizes(
    judge: Classifier,
    making: Pictures,
    labels: np.ndarray,
    seed: int,
    kept: Path | None,
    stepped: Callable[[int], None],
) -> np.ndarray:
    """Sizes of a judge's masks ``(label,)``, kept in a folder for the next time."""
    named = [judge.hash, judge.preprocess_facts(), asdict(COARSE), seed, labels.tolist()]
    key = hashlib.sha256(json.dumps(named, sort_keys=True).encode())
    key.update(making.images.tobytes() + making.sources.astype("<i8").tobytes())
    folder = None if kept is None else kept / key.hexdigest()[:32]
    if folder is not None and folder.exists():
        try:
            sizes: np.ndarray = unit_files.read(folder)[0]["triggers"]["size"].values
            stepped(COARSE.steps)
            return sizes
        except (StoreError, SchemaError, KeyError):
            durable.discard(folder)
    size = invert(judge, *_right(judge, making, seed), labels, seed=seed, heard=stepped).size
    size = size.astype("f4")
    if kept is not None and folder is not None:
        kept.mkdir(parents=True, exist_ok=True)
        data = xr.Dataset({"size": ("label", size), "class": ("label", labels)})
        unit_files.write(kept, folder.name, {"triggers": data}, {"judge": judge.name})
    return size
