"""Labels that need a look, and the verdict on each: claimed only where an interval carries it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from inversion_kit.analysis.evidence import Evidence
from inversion_kit.analysis.intervals import N_BOOT
from inversion_kit.analysis.mixups import never_reached
from inversion_kit.analysis.words import bracket, percent, points, rate, some
from inversion_kit.arms import ARMS
from inversion_kit.wilson import wilson

KINDS = (
    "never reached",
    "trick",
    "no better than control",
    "mixed up",
    "seeds differ",
    "views disagree",
    "not told apart from control",
    "failed units",
)
"""Reasons for a look, most serious first."""
CONTROL_MARGIN = 0.1
"""A gain over the control is called none where its whole interval is below this."""
_MIXED = 0.2
_VERDICTS = {
    "never reached": "never",
    "trick": "trick",
    "no better than control": "control",
    "mixed up": "mixed",
}


@dataclass(frozen=True)
class Attention:
    """A label that needs a look: which, one of `KINDS`, and the reason in words."""

    label: str
    kind: str
    reason: str


def attention(
    tree: xr.DataTree | xr.Dataset, arm: str | None = None, *, n_boot: int = N_BOOT, seed: int = 0
) -> list[Attention]:
    """Labels that need a look and why, most serious first, then in the result's order.

    A reason is given only where the whole interval carries it, label by label; of many labels a
    few are named by chance. That an interval holds 0 shows no absence: it is said as what it is.

    - never reached: no image of any run is read as the label, and the images are enough to show
      that less than half would be.
    - trick: held-out classifiers confirm less than half of the success.
    - no better than control: the paired difference to the control (without one, to the start) is
      below `CONTROL_MARGIN`.
    - mixed up: another class takes more than a fifth of the images.
    - seeds differ: the intervals of the best and the worst run do not overlap.
    - views disagree: less than half of the success survives JPEG, blur and such.
    - not told apart from control: that difference may be 0, and may be more than the margin.
    - failed units: any arm.

    Parameters
    ----------
    tree
        A result, or its `reads`.
    arm
        The main arm where not given.
    n_boot, seed
        Resamples of the bootstraps, and their seed.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> tree = synthetic(labels=3, outcomes=("meaning", "failure", "trick"), samples=16)
    >>> [(a.label, a.kind) for a in attention(tree)][:2]
    [('green', 'never reached'), ('yellow', 'trick')]
    """
    return looks(Evidence(tree, arm, n_boot=n_boot, seed=seed))


def looks(known: Evidence) -> list[Attention]:
    """`attention` of tables that are known."""
    labels = [str(n) for n in known.read["label"].values]
    never = set(never_reached(known.read, known.arm))
    tables = {"meant": known.meant, "seen": known.seen, "others": known.read_as}
    plain = {name: {str(n): t[n].values for n in t} for name, t in tables.items()}
    gain = known.gains.get(known.baseline or "")
    ends = ("difference", "low", "high")
    gains = None if gain is None else np.stack([gain[n].values[:, 0] for n in ends], -1)

    def reasons(i: int) -> Iterator[tuple[str, str]]:
        meant, seen, images = plain["meant"], plain["seen"], known.own["images"][i]
        mixed = _mixed({n: v[i] for n, v in plain["others"].items()}, int(images))
        if labels[i] in never and known.own["high"][i] < 0.5:
            yield "never reached", _never(known, i) + (f"; {mixed}" if mixed else "")
        elif images:
            if meant["high"][i] < 0.5:
                yield (
                    "trick",
                    f"held-out classifiers confirm {_index(meant, i)} of the {meant['images'][i]} "
                    "images read as the label: a trick, or a trait that only this classifier ties "
                    "to the class",
                )
            if gains is not None:
                yield from _control(known, *(float(v) for v in gains[i]))
            if seen["high"][i] < 0.5:
                yield (
                    "views disagree",
                    f"after JPEG, blur and such {_index(seen, i)} of the {seen['images'][i]} "
                    "images are still read as the label",
                )
            if mixed:
                yield "mixed up", mixed
        yield from _seeds_differ(known, i)
        yield from _failures(known, i)

    listed = [Attention(n, kind, why) for i, n in enumerate(labels) for kind, why in reasons(i)]
    return sorted(listed, key=lambda a: KINDS.index(a.kind))


def verdict(kinds: set[str], images: int, low: float, meant_low: float) -> str:
    """One of `inversion_kit.analysis.words.VERDICTS` on a label.

    Parameters
    ----------
    kinds
        Of its looks.
    images
        How many it has.
    low, meant_low
        Low ends of its success and of its semantic index; NaN where there is none.

    Examples
    --------
    >>> verdict(set(), 32, 0.8, 0.7), verdict({"mixed up"}, 32, 0.1, 0.7)
    ('confirmed', 'mixed')
    """
    if not images:
        return "none"
    for kind, word in _VERDICTS.items():
        if kind in kinds:
            return word
    shown = low > 0.5 and meant_low > 0.5
    return "confirmed" if shown and "not told apart from control" not in kinds else "open"


def baseline_says(known: Evidence) -> str:
    """What the arm has to beat, in words."""
    control = known.baseline in ARMS and ARMS[str(known.baseline)].control
    return "a token trained against shuffled weights" if control else "the start"


def _index(index: dict[str, np.ndarray], i: int) -> str:
    return rate(*(float(index[n][i]) for n in ("index", "low", "high")))


def _never(known: Evidence, i: int) -> str:
    low, high, images, seeds = (known.own[n][i] for n in ("low", "high", "images", "seeds"))
    runs = "one run" if seeds == 1 else f"{seeds} runs"
    return f"none of {images} images of {runs} is read as the label {bracket(low, high)}"


def _mixed(others: dict[str, np.ndarray], images: int) -> str:
    """What another class takes, where it is more than a fifth."""
    of = int(np.argmax(~others["own"] & (others["of_class"] != "")))
    if others["own"][of] or not others["low"][of] > _MIXED:
        return ""
    return (
        f"{percent(float(others['share'][of]))} "
        f"{bracket(float(others['low'][of]), float(others['high'][of]))} of {images} images are "
        f"read as “{others['of_class'][of]}”"
    )


def _control(known: Evidence, value: float, low: float, high: float) -> Iterator[tuple[str, str]]:
    """Kind and reason where a label's gain over the control is none, or may be."""
    said = f"the token's gain over {baseline_says(known)} is {points(value)} points"
    said += f" {bracket(low, high)}"
    if high < CONTROL_MARGIN:
        yield "no better than control", f"{said}: less than {CONTROL_MARGIN * 100:.0f} points"
    elif low <= 0:
        yield "not told apart from control", f"{said}, which does not show that there is one"


def _seeds_differ(known: Evidence, i: int) -> Iterator[tuple[str, str]]:
    """The worst and the best run's share where their intervals do not overlap."""
    images = (known.own["top"][i] >= 0).sum(-1)
    there = images > 0
    share, images = known.own["per_seed"][i][there], images[there]
    if len(share) < 2:
        return
    low, high = wilson(share * images, images)
    worst, best = share.argmin(), share.argmax()
    if high[worst] < low[best]:
        yield (
            "seeds differ",
            f"its runs reach from {percent(float(share[worst]))} to {percent(float(share[best]))}; "
            f"{known.own['seeds_holding'][i]} of {len(share)} hold {percent(0.5)} or more",
        )


def _failures(known: Evidence, i: int) -> Iterator[tuple[str, str]]:
    """Where units failed: how many, of what, and the first reason."""
    status, seeds = known.own["status"][i], known.read["seed"].values
    failed = np.argwhere(status == "failed")
    if len(failed):
        named = some([f"{known.arms[a]} of run {seeds[s]}" for a, s in failed])
        first = known.own["reason"][i][tuple(failed[0])]
        yield "failed units", f"{len(failed)} of {status.size} failed ({named}): {first}"
