"""Cues found in either of two models, measured on both: the same pictures, noise of no search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from inversion_kit.analysis.compared import MODELS
from inversion_kit.analysis.compared_data import status_of
from inversion_kit.analysis.intervals import share
from inversion_kit.bank.bank import Bank
from inversion_kit.bank.cues import PLACEBOS, PLAIN_CUE, Cue
from inversion_kit.classifiers.base import Classifier
from inversion_kit.finding.datasets import whole_groups
from inversion_kit.finding.effects import Effect, effect_of, keys_of
from inversion_kit.finding.panel import Panel, first_class
from inversion_kit.finding.proof import Do
from inversion_kit.finding.run import in_order
from inversion_kit.finding.verdicts import Finding
from inversion_kit.finding.words import REPORTED
from inversion_kit.finding.work import Work
from inversion_kit.generators.sample import from_bytes, to_bytes
from inversion_kit.seeds import TEST, noise_seeds

MEASURED = 8
"""Cues at most that are measured on both, the confirmed first."""
PICTURES = 48
"""About as many pictures of each: 4 to 16 noises of each source."""
SHOWN = 8
"""Pictures that are kept."""
ROWS = ("plain", "cue")


@dataclass(frozen=True)
class Pair:
    """Two models, and judges that are neither.

    Parameters
    ----------
    models
        The older and the newer one.
    judges
        Held-out ones; may be empty.
    """

    models: tuple[Classifier, Classifier]
    judges: Sequence[Classifier]

    def read(self, images: np.ndarray) -> np.ndarray:
        """First class of both models and the judges, int ``(model, ...)``, of ``(..., y, x, 3)``.

        Images are uint8.
        """
        flat = from_bytes(images.reshape(-1, *images.shape[-3:]))
        read = [first_class(model, flat) for model in (*self.models, *self.judges)]
        return np.stack(read).reshape(-1, *images.shape[:-3])

    def see(self, read: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Whether most judges see the source, of what `read` gave; True without judges."""
        return Panel(self.models[0], self.judges).sees(read[1:], source)


@dataclass(frozen=True)
class Matched:
    """One cue and one label, found in either model or in both.

    Parameters
    ----------
    finding
        As the model has it in which the effect is larger.
    named, confirmed
        In which models.
    """

    finding: Finding
    named: tuple[bool, bool]
    confirmed: tuple[bool, bool]


@dataclass(frozen=True)
class Measured:
    """What a cue does to both models on the same pictures.

    Parameters
    ----------
    of
        Which cue.
    rate
        Share of the pictures that hit, with its interval, ``(3, model)``: read as the label (push)
        or not as their source (lack).
    placebo
        The same share with other words for the plain picture, or a placebo in pixels, ``(model,)``.
    effect
        Of the newer model less the older, in pairs.
    pictures
        uint8 ``(row, n, y, x, 3)``: plain, and with the cue.
    read
        What both models read in them, int ``(model, row, n)``.
    """

    of: Matched
    rate: np.ndarray
    placebo: np.ndarray
    effect: Effect
    pictures: np.ndarray
    read: np.ndarray

    @property
    def status(self) -> str:
        """One of `inversion_kit.analysis.compared_data.STATUS`."""
        return status_of(*self.of.confirmed, self.effect.value, self.effect.low, self.effect.high)


def look(work: Work, lenses: Sequence[str]) -> tuple[list[Finding], dict[str, xr.Dataset]]:
    """The findings of one model, and their groups of its result."""
    work.paint(None)
    findings = work.look()
    findings = in_order(findings + (work.look_closer(findings) if "trigger" in lenses else []))
    groups = whole_groups(
        findings, work.screened, work.cues, work.bench, work.sources, work.trigger
    )
    groups["findings"].attrs = dict(work.about)
    return findings, groups


def matched(both: Sequence[Sequence[Finding]]) -> list[Matched]:
    """Findings of two models as one list: those of equal label, direction and cue are one.

    A trigger is pixels that were fitted to one model: it is matched with none of the other's. What
    it does to both is measured all the same. A confusion that the judges share is left out: they
    cannot tell whether either model is right.
    """
    rows: dict[tuple[str, ...], list[Finding | None]] = {}
    for model, findings in zip(MODELS, both, strict=True):
        for one in findings:
            if one.natural:
                continue
            fitted = one.lens != "words"
            key = (one.label, one.direction, one.cue.name, *([model] if fitted else []))
            rows.setdefault(key, [None, None])[MODELS.index(model)] = one
    made = []
    for row in rows.values():
        there = [one for one in row if one is not None]
        strongest = max(there, key=lambda one: (one.confirmed, one.effect.value))
        older, newer = row
        made.append(
            Matched(
                strongest,
                named=(older is not None, newer is not None),
                confirmed=(_confirmed(older), _confirmed(newer)),
            )
        )
    return sorted(made, key=lambda one: (not any(one.confirmed), -one.finding.effect.value))


def _confirmed(one: Finding | None) -> bool:
    return one is not None and one.confirmed


def measure(one: Matched, pair: Pair, bank: Bank, asked: Sequence[int], seed: int) -> Measured:
    """What a cue does to both models, on noise that no search has used.

    A picture counts where both models read its source when it is plain, and the judges see the
    source in it with the cue and without.

    Parameters
    ----------
    asked
        Class indices that cues are put on.
    seed
        Of the noise.
    """
    finding, labels = one.finding, pair.models[0].labels
    target = labels.index(finding.label)
    sources = _sources(finding, target, labels, asked)
    names = [pair.models[0].wordings[i] for i in sources]
    noises = noise_seeds(seed, TEST, 1, int(np.clip(PICTURES // max(1, len(sources)), 4, 16)))

    def painted(cue: Cue) -> np.ndarray:
        images = bank.images(keys_of(cue, names, noises))
        return images.reshape(len(names), len(noises), *images.shape[1:])

    plain = painted(PLAIN_CUE)
    proof = finding.proof
    if finding.lens == "trigger" and proof is not None:
        cued, other = _done(proof.done, plain), _done(proof.against, plain)
    else:
        cued, other = painted(finding.cue), painted(PLACEBOS[0])
    source = np.array(sources)[:, None]
    read = [pair.read(images) for images in (plain, cued, other)]
    right = pair.see(read[0], source)
    if not (finding.own or finding.plain):  # there one of the models misses them
        right &= (read[0][:2] == source).all(0)

    def hit(seen: np.ndarray) -> np.ndarray:
        if finding.direction == "lack":
            return seen[:2] != source
        mended = (seen[:2] == target) & (read[0][:2] != target)  # by the cue alone
        return mended if finding.own else seen[:2] == target

    hits = [np.where(right & pair.see(seen, source), hit(seen), np.nan) for seen in read[1:]]
    shown = _shown(np.isfinite(hits[0][0]))
    return Measured(
        of=one,
        rate=np.stack(share(hits[0])),
        placebo=np.asarray(share(hits[1])[0]),
        effect=effect_of(hits[0][1], hits[0][0]),
        pictures=np.stack([images[shown] for images in (plain, cued)]),
        read=np.stack([seen[:2][:, shown[0], shown[1]] for seen in read[:2]], 1),
    )


def _sources(
    finding: Finding, target: int, labels: Sequence[str], asked: Sequence[int]
) -> list[int]:
    """Class indices of the sources that a finding is measured on."""
    if finding.direction == "lack" or finding.own:
        return [target]
    only = {labels.index(name) for name in finding.only}
    there = [i for i in asked if i != target and (not only or i in only)]
    at = np.linspace(0, len(there) - 1, min(REPORTED, len(there))).round().astype(int)
    return [there[i] for i in at]


def _done(do: Do | None, images: np.ndarray) -> np.ndarray:
    """What an operator makes of pictures uint8 ``(source, noise, y, x, 3)``."""
    assert do is not None
    flat = images.reshape(-1, *images.shape[2:])
    return to_bytes(do(from_bytes(flat), torch.arange(len(flat)))).reshape(images.shape)


def _shown(there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of the pictures that are kept: those that count, each of another source and noise.

    What is read in them has no say. One noise, and so one wording, would not stand for all.
    """
    rows = np.argwhere(there)
    turn = (rows[:, 1] - rows[:, 0]) % there.shape[1]
    rows = rows[np.lexsort((rows[:, 0], turn))][:SHOWN]
    return rows[:, 0], rows[:, 1]


def cues_table(measured: Sequence[Measured], labels: Sequence[str], left: int) -> xr.Dataset:
    """``/cues`` of a comparison, see `inversion_kit.comparing.run.compare`."""
    n = len(measured)
    most = max((one.pictures.shape[1] for one in measured), default=0)
    size = max((one.pictures.shape[2:4] for one in measured), default=(1, 1))
    pictures = np.zeros((n, len(ROWS), most, *size, 3), "u1")
    read = np.full((n, len(MODELS), len(ROWS), most), "", object)
    for i, one in enumerate(measured):
        pictures[i, :, : one.pictures.shape[1]] = one.pictures
        for at in np.ndindex(one.read.shape):
            read[(i, *at)] = labels[int(one.read[at])]
    findings = [one.of.finding for one in measured]
    texts = {
        "of_label": [one.label for one in findings],
        "direction": [one.direction for one in findings],
        "cue": [one.cue.name for one in findings],
        "lens": [one.lens for one in findings],
        "status": [one.status for one in measured],
    }
    rate = np.array([one.rate for one in measured], float).reshape(n, 3, 2)
    numbers = {"difference": "value", "low": "low", "high": "high"}
    per = ("finding", "model")
    return xr.Dataset(
        {
            **{name: ("finding", np.array(v, object)) for name, v in texts.items()},
            "named": (per, np.array([one.of.named for one in measured], bool).reshape(n, 2)),
            "confirmed": (
                per,
                np.array([one.of.confirmed for one in measured], bool).reshape(n, 2),
            ),
            **{
                name: (per, rate[:, i].astype("f4"))
                for i, name in enumerate(("rate", "rate_low", "rate_high"))
            },
            "placebo": (per, np.array([o.placebo for o in measured], "f4").reshape(n, 2)),
            **{
                name: ("finding", np.array([getattr(o.effect, v) for o in measured], "f4"))
                for name, v in numbers.items()
            },
            "sources": ("finding", np.array([o.effect.of for o in measured], "i8")),
            "pictures": ("finding", np.array([o.effect.pictures for o in measured], "i8")),
            "picture": (("finding", "row", "example", "y", "x", "channel"), pictures),
            "read": (("finding", "model", "row", "example"), read),
        },
        coords={
            "finding": np.arange(n),
            "model": np.array(MODELS, object),
            "row": np.array(ROWS, object),
            "example": np.arange(most),
        },
        attrs={"left": left},
    )
