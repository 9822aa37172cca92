"""Which real images carry a finding's cue, and what the cue does to real images without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from inversion_kit.analysis.intervals import share
from inversion_kit.analysis.measure import LEAST_SIDE, PROPERTIES, measure
from inversion_kit.analysis.words import percent
from inversion_kit.bank.bank import Bank
from inversion_kit.bank.cues import PLAIN_CUE
from inversion_kit.finding import detector, pixels
from inversion_kit.finding.detector import Blocks, Detector, auc, numbers_of
from inversion_kit.finding.effects import keys_of
from inversion_kit.finding.panel import Panel
from inversion_kit.finding.proof import Do
from inversion_kit.finding.real import RealImages
from inversion_kit.finding.verdicts import Finding, OnReal
from inversion_kit.generators.sample import from_bytes, to_bytes
from inversion_kit.wilson import wilson

LEAST = 0.9
"""Least AUC, on sources and noises that it was not fitted on, of a detector that ranks."""
FALSE = 0.02
"""Share of plain pictures, of sources and noises that it was not fitted on, that pass it."""
FITTED = 12
"""Sources that a detector is fitted on at most, and as many on which it is checked."""
HALF = 4
"""Plain noises from which on it is checked; it is fitted on those before."""
PAIRS, CHECKS = 36, 24
"""Pictures of a cue that it is fitted on, and checked on, at most."""
LOOKS = frozenset({"light", "blur", "tint", "size", "tilt", "weather", "season"})
"""Kinds of cue that are a look of the picture as a whole."""
PROVED = 200
"""Real images to which a cue is done, at most."""
SHOWN = 8
"""Best scoring real images that are kept."""


@dataclass(frozen=True)
class Plain:
    """Where pictures of the generator come from.

    Parameters
    ----------
    bank
        Pictures that are missing are made.
    names
        Wordings of the sources.
    seeds
        Noise seeds of the plain pictures.
    """

    bank: Bank
    names: Sequence[str]
    seeds: Sequence[int]


@dataclass(frozen=True)
class Fitted:
    """A detector of a cue and how far it can be trusted.

    Parameters
    ----------
    detector
        The detector; None where there are too few sources.
    auc
        On sources and noises that it was not fitted on.
    least
        Score from which an image is said to carry the cue.
    false
        Share of plain pictures, as in `FALSE`, that reach it.
    why
        Why it ranks nothing; empty where it may.
    """

    detector: Detector | None = None
    auc: float = np.nan
    least: float = np.nan
    false: float = np.nan
    why: str = ""


@dataclass(frozen=True)
class Carriers:
    """Which real images carry a cue.

    Parameters
    ----------
    fitted
        What says so.
    why
        Why they are not ranked; empty where they are.
    hits, images
        Images of each class that carry it, of how many, int ``(class,)``.
    recall
        Share of real images that pass once the cue is done to their pixels; NaN where pixels did
        not prove that what is done is the cue.
    rows, scores
        The best scoring images, at most `SHOWN`.
    """

    fitted: Fitted
    why: str
    hits: np.ndarray
    images: np.ndarray
    recall: float = np.nan
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Look:
    """What real images gave.

    Parameters
    ----------
    real
        The images.
    carriers
        Of each finding.
    labels
        Class index of each image: that of its folder, or what the classifier reads where folders
        say none; -1 where it could not be read.
    pictures
        uint8 ``(finding, SHOWN, y, x, 3)``: those of `Carriers.rows`, black beyond them.
    measured
        `inversion_kit.analysis.measure` of each image at the size of the generator's pictures,
        ``(image, property)``; NaN of what could not be read.
    """

    real: RealImages
    carriers: tuple[Carriers, ...]
    labels: np.ndarray
    pictures: np.ndarray
    measured: np.ndarray


def with_others(asked: Sequence[int], classes: int) -> list[int]:
    """Classes whose pictures a detector sees: those asked for, and others where they are few.

    Examples
    --------
    >>> sorted(with_others([4, 2], 5))
    [0, 1, 2, 3, 4]
    """
    few = max(0, 2 * FITTED - len(asked))
    others = [int(i) for i in np.random.default_rng(0).permutation(classes) if i not in asked]
    return [*asked, *others[:few]]


def look_at_real(
    findings: Sequence[Finding],
    panel: Panel,
    real: RealImages,
    plain: Plain,
    *,
    seed: int = 0,
    heard: Callable[[int], None] = lambda n: None,
) -> tuple[list[Finding], Look]:
    """Rank real images by each finding's cue, and do the cue to those that are without it.

    Parameters
    ----------
    findings
        Findings, proved or not.
    seed
        Of the choice of images to which cues are done, and of what donors they take.
    heard
        Called with how many images were read.

    Returns
    -------
    list of Finding, Look
        The findings with their ``real``, and who carries their cues.
    """
    size = plain.bank.images(keys_of(PLAIN_CUE, plain.names[:1], plain.seeds[:1])).shape[1:3]
    known: dict[str, Fitted] = {}
    for one in findings:
        if one.lens != "words" or one.cue.name not in known:
            known[_key(one)] = _fitted(one, panel, plain)
    fitted = [known[_key(one)] for one in findings]
    read, scores, measured = _scored(panel, real, fitted, size, heard)
    there = read[0] >= 0
    labels = np.where(there, read[0] if real.labels is None else real.labels, -1)
    right = there & (read[0] == labels) & panel.sees(read, labels)
    proved, carriers, classes = [], [], len(panel.classifier.labels)
    for i, one in enumerate(findings):
        on_real, cued = _done(one, panel, real, size, labels, right, fitted[i], seed)
        proved.append(replace(one, real=on_real))
        carriers.append(_carriers(fitted[i], scores[i], labels, cued, classes))
    pictures = np.zeros((len(findings), SHOWN, *size, 3), "u1")
    for i, one_of in enumerate(carriers):
        for rows, images in real.parts(one_of.rows, size):
            at = [one_of.rows.tolist().index(row) for row in rows]
            pictures[i, at] = to_bytes(images)
    return proved, Look(real, tuple(carriers), labels, pictures, measured)


def _key(one: Finding) -> str:
    """Findings of one cue share a detector; each trigger has its own."""
    return f"{one.label}\n{one.cue.name}" if one.lens != "words" else one.cue.name


def _fitted(one: Finding, panel: Panel, plain: Plain) -> Fitted:
    """A detector of a finding's cue, from the generator's pictures."""
    sources = len(plain.names)
    if sources < 2:
        return Fitted(why="a detector needs pictures of two sources or more")
    if one.lens != "words" and (one.proof is None or one.proof.done is None):
        return Fitted(why="its cue was not done to pixels")
    order = np.random.default_rng(0).permutation(sources)
    ours = order[: min(FITTED, sources // 2)]
    others = order[len(ours) :]
    checked = others[:FITTED]
    fitting = slice(0, min(HALF, -(-PAIRS // len(ours))))
    checking = slice(HALF, HALF + min(HALF, -(-CHECKS // len(checked))))

    def numbers(at: np.ndarray, noises: slice, cued: bool) -> Blocks:
        images = _pictures(one, plain, at, noises, cued)
        return numbers_of(images, panel.judges)

    made = detector.fit(
        numbers(ours, fitting, False), numbers(ours, fitting, True), local=one.cue.kind not in LOOKS
    )
    without = made.score(numbers(others, slice(HALF, None), False))
    same = made.score(numbers(checked, checking, False))
    having = made.score(numbers(checked, checking, True))
    area = auc(same, having)
    least = float(np.quantile(without, 1 - FALSE, method="higher"))
    false = float((without > least).mean())
    why = ""
    if area < LEAST:
        why = (
            f"a detector of it tells the generator's pictures with it from plain ones too badly "
            f"(AUC {area:.2f}, {LEAST} is needed)"
        )
    return Fitted(made, area, least, false, why)


def _pictures(one: Finding, plain: Plain, at: np.ndarray, noises: slice, cued: bool) -> Tensor:
    """Pictures of sources and noises, float ``(n, 3, y, x)``, plain or with a finding's cue."""
    names, seeds = [plain.names[s] for s in at], plain.seeds
    painted = cued and one.lens == "words"
    keys = keys_of(one.cue if painted else PLAIN_CUE, names, seeds)
    table = [keys[i : i + len(seeds)] for i in range(0, len(keys), len(seeds))]
    images = from_bytes(plain.bank.images([key for row in table for key in row[noises]]))
    return _with_cue(one, images, np.arange(len(images))) if cued and not painted else images


def _with_cue(one: Finding, images: Tensor, turns: np.ndarray, *, against: bool = False) -> Tensor:
    """A finding's operator at its dose, or its placebo, done to pictures of any size."""
    proof = one.proof
    do: Do | None = None if proof is None else (proof.against if against else proof.done)
    if proof is None or do is None:
        raise ValueError("a finding without a proof has no operator")
    asked = images.new_zeros(1, 1, *proof.pictures.shape[2:4])  # triggers were made at their size
    done: Tensor = do(pixels.fitted(images, asked), torch.from_numpy(turns))
    return done


def _scored(
    panel: Panel,
    real: RealImages,
    fitted: Sequence[Fitted],
    size: tuple[int, int],
    heard: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each model reads of real images, ``(model, image)``, -1 for none; scores; properties."""
    count = len(real.files)
    read = np.full((len(panel.models), count), -1)
    scores = np.full((len(fitted), count), np.nan)
    measured = np.full((count, len(PROPERTIES)), np.nan)
    for rows, images in real.parts(np.arange(count), size):
        taken = to_bytes(images)
        read[:, rows] = panel.read(taken)
        if min(size) >= LEAST_SIDE:
            measured[rows] = measure(taken)["value"].values
        seen = numbers_of(images, panel.judges)
        for i, one in enumerate(fitted):
            if one.detector is not None:
                scores[i, rows] = one.detector.score(seen)
        heard(len(rows))
    return read, scores, measured


def _done(
    one: Finding,
    panel: Panel,
    real: RealImages,
    size: tuple[int, int],
    labels: np.ndarray,
    right: np.ndarray,
    fitted: Fitted,
    seed: int,
) -> tuple[OnReal | None, np.ndarray]:
    """What a finding's operator does to real images, and how they score with the proved cue."""
    if one.proof is None or one.proof.done is None:
        return None, np.zeros(0)
    target = panel.classifier.labels.index(one.label)
    asked = (labels == target) if one.direction == "lack" else (labels != target)
    if one.only:
        asked &= np.isin(labels, [panel.classifier.labels.index(name) for name in one.only])
    chance = np.random.default_rng(seed)
    rows = _spread(chance.permutation(np.flatnonzero(asked & right)), labels)[:PROVED]
    turns = chance.integers(0, 2**31, len(labels))
    hits = np.full((2, len(labels)), np.nan)
    scores = np.full(len(labels), np.nan)
    for part, images in real.parts(np.sort(rows), size):
        for way in (0, 1):
            done = _with_cue(one, images, turns[part], against=bool(way))
            read, source = panel.read(to_bytes(done)), labels[part]
            hit = (read[0] != source) if one.direction == "lack" else (read[0] == target)
            hits[way, part] = hit & panel.sees(read, source)
            if not way and fitted.detector is not None:
                scores[part] = fitted.detector.score(numbers_of(done, panel.judges))
    kept = np.isfinite(scores) if one.proof.confirmed else np.zeros(len(scores), bool)
    return _on_real(hits, labels), scores[kept]


def _spread(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rows in such an order that the labels take turns."""
    turn = np.zeros(len(rows), int)
    for label in np.unique(labels[rows]):
        at = labels[rows] == label
        turn[at] = np.arange(at.sum())
    return rows[np.argsort(turn, kind="stable")]


def _on_real(hits: np.ndarray, labels: np.ndarray) -> OnReal:
    """Rates of hits ``(2, image)`` of cue and placebo, NaN where an image was not asked."""
    rows = np.flatnonzero(np.isfinite(hits[0]))
    if not len(rows):
        return OnReal(np.nan, np.nan, np.nan, np.nan, 0)
    present, at = np.unique(labels[rows], return_inverse=True)
    table = np.full((len(present), np.bincount(at).max()), np.nan)
    for label in range(len(present)):
        own = hits[0, rows[at == label]]
        table[label, : len(own)] = own
    rate, low, high = (float(value[0]) for value in share(table[None]))
    return OnReal(rate, low, high, float(hits[1, rows].mean()), len(rows))


def _carriers(
    fitted: Fitted, scores: np.ndarray, labels: np.ndarray, cued: np.ndarray, classes: int
) -> Carriers:
    """Images that pass a finding's detector, by class, and those that score highest.

    ``cued`` are scores of images to which the cue was done.
    """
    there = (labels >= 0) & np.isfinite(scores)
    images = np.bincount(labels[labels >= 0], minlength=classes)
    hits = np.bincount(labels[there & (scores > fitted.least)], minlength=classes)
    passed = cued > fitted.least
    recall = float(passed.mean()) if len(passed) else np.nan
    why = fitted.why
    unseen = wilson(passed.sum(), len(passed))[0] <= wilson(hits.sum(), images.sum())[1]
    if not why and unseen:
        why = (
            "a detector of it, fitted on the generator's pictures, does not see it on real images: "
            f"of those with it done to their pixels {percent(recall)} pass, of all "
            f"{percent(float(hits.sum() / images.sum()))}"
        )
    best = np.argsort(-np.where(there, scores, -np.inf), kind="stable")[:SHOWN]
    best = best[there[best]][: 0 if why else SHOWN]
    return Carriers(fitted, why, hits, images, recall, best, scores[best])
