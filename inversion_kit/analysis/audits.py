"""What an audit says: success, meaning or trick, mix-ups, repeatability, labels that need a look.

Every function takes an audit, opened lazily or held in memory, and never reads a pixel. Those that
need each image's first class alone also take what `reads` gave, which reads the softmaxes once,
a few labels at a time.

Units that failed or were not run, and images without finite probabilities, are in no number; how
many images each number is over stands beside it. Intervals are those of `intervals`: 95 %, wider
where runs differ, and over other noise only where there is one run. Noise is shared between arms
and labels, so differences are paired and pools over labels resample all labels together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from inversion_kit.analysis import intervals
from inversion_kit.analysis.audit_numbers import (
    confusion,
    confusion_difference,
    crossed,
    label_success,
    never_reached,
    overall_success,
    paired_effects,
    semantic_index,
    view_index,
)
from inversion_kit.analysis.audit_reads import arm_place, reads, shares
from inversion_kit.analysis.audit_repeat import repeatability
from inversion_kit.analysis.runs import _and, bracket, percent, points

__all__ = [
    "reads",
    "label_success",
    "overall_success",
    "paired_effects",
    "semantic_index",
    "view_index",
    "confusion",
    "confusion_difference",
    "crossed",
    "never_reached",
    "repeatability",
    "attention",
    "Attention",
    "audit_sentences",
    "CONTROL_MARGIN",
    "KINDS",
]
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
"""A gain over the shuffled control is called none where its whole interval is below this."""
_BOOT = 2000
_MIXED = 0.2


@dataclass(frozen=True)
class Attention:
    """A label that needs a look: which, one of `KINDS`, and the reason in words."""

    label: str
    kind: str
    reason: str


def attention(
    tree: xr.DataTree, arm: str = "token", *, n_boot: int = _BOOT, seed: int = 0
) -> list[Attention]:
    """Labels that need a look and why, most serious first, then in the audit's order.

    A reason is given only where the whole interval carries it, label by label; of many labels a
    few are named by chance. That an interval holds 0 shows no absence: it is said as what it is.

    - never reached: no image of any run is read as the label, and the images are enough to show
      that less than half would be.
    - trick: held-out classifiers confirm less than half of the success.
    - no better than control: the paired difference to the shuffled arm is below `CONTROL_MARGIN`.
    - mixed up: another class takes more than a fifth of the images.
    - seeds differ: the intervals of the best and the worst run do not overlap.
    - views disagree: less than half of the success survives JPEG, blur and such.
    - not told apart from control: that difference may be 0, and may be more than the margin.
    - failed units: any arm.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> tree = synthetic_audit(outcomes=("meaning", "failure", "trick"), samples=16)
    >>> [(a.label, a.kind) for a in attention(tree)]
    [('green', 'never reached'), ('red', 'never reached'), ('yellow', 'trick')]
    """
    return _attention(tree, reads(tree), arm, {"n_boot": n_boot, "seed": seed})


def _attention(
    tree: xr.DataTree, read: xr.Dataset, arm: str, options: dict[str, int]
) -> list[Attention]:
    at = arm_place(read, arm)
    audited = read.isel(scorer=[0])
    table = label_success(audited.isel(arm=[at]), **options).isel(scorer=0, arm=0)
    never = set(never_reached(read, arm))
    meant, seen = semantic_index(read, arm, **options), view_index(read, arm, **options)
    other, share, low, high = _largest_other(read, arm, **options)
    arms = read["arm"].values.tolist()
    gain = (
        paired_effects(audited, arm, "shuffled", **options).isel(scorer=0)
        if "shuffled" in arms and arm != "shuffled" else None
    )  # fmt: skip
    # Plain arrays: an item of a Dataset takes a thousand times as long, and there are many.
    plain = {str(name): table[name].values for name in table if "label" in table[name].dims}
    doubted, changed = meant["high"].values < 0.5, seen["high"].values < 0.5
    gains = None if gain is None else [gain[k].values for k in ("difference", "low", "high")]
    images = _per_seed_images(read, arm)
    found = []
    for i, name in enumerate(read["label"].values):
        label, row = str(name), {k: values[i] for k, values in plain.items()}
        n = int(row["images"])

        def add(kind: str, reason: str, label: str = label) -> None:
            found.append(Attention(label, kind, reason))

        mixed = (
            f"{percent(float(share[i]))} {bracket(float(low[i]), float(high[i]))} of {n} "
            f"images are read as “{read['class'].values[other[i]]}”"
            if float(low[i]) > _MIXED
            else ""
        )
        if label in never and float(row["high"]) < 0.5:
            add(
                "never reached",
                f"none of {n} images of {_runs(int(row['seeds']))} is read as the label "
                f"{bracket(float(row['low']), float(row['high']))}"
                f"{f'; {mixed}' if mixed else ''}",
            )
        elif n:
            if doubted[i]:
                add(
                    "trick",
                    f"held-out classifiers confirm {_said(meant, 'index', i)} of the "
                    f"{int(meant['images'][i])} images read as the label: a trick, or a trait "
                    "that only this classifier ties to the class",
                )
            compared = None if gains is None else _control(*(float(v[i]) for v in gains))
            if compared is not None:
                add(*compared)
            if changed[i]:
                add(
                    "views disagree",
                    f"after JPEG, blur and such {_said(seen, 'index', i)} of the "
                    f"{int(seen['images'][i])} images are still read as the label",
                )
            if mixed:
                add("mixed up", mixed)
        differ = _seeds_differ(row["per_seed"], images[i])
        if differ is not None:
            add(
                "seeds differ",
                f"its runs reach from {percent(differ[0])} to {percent(differ[1])}; "
                f"{int(row['seeds_holding'])} of {int(row['seeds'])} hold "
                f"{percent(float(table.attrs.get('threshold', 0.5)))} or more",
            )
    found += _failures(tree)
    places = {str(label): i for i, label in enumerate(read["label"].values)}
    return sorted(found, key=lambda a: (KINDS.index(a.kind), places[a.label]))


def audit_sentences(
    tree: xr.DataTree, arm: str = "token", *, n_boot: int = _BOOT, seed: int = 0
) -> list[str]:
    """Three sentences for people: how often it worked, whether it means the label, what to look at.

    They claim no more than the intervals carry.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> len(audit_sentences(synthetic_audit()))
    3
    """
    read = reads(tree)
    options = {"n_boot": n_boot, "seed": seed}
    return [
        _success_sentence(read, arm, options),
        _meaning_sentence(read, arm, options),
        _attention_sentence(tree, read, arm, options),
    ]


def _success_sentence(read: xr.Dataset, arm: str, options: dict[str, int]) -> str:
    everything = overall_success(read, **options)
    at = arm_place(read, arm)
    table = label_success(read.isel(scorer=[0], arm=[at]), **options).isel(arm=0, scorer=0)
    done = int((table["images"] > 0).sum())
    asked = read.sizes["label"]
    if not done:
        return f"No unit of the arm “{arm}” is done, so nothing is known of the {_labels(asked)}."

    def rate(name: str) -> str:
        row = everything.isel(arm=arm_place(read, name), scorer=0)
        return f"{_said(row, 'share')}"

    controls = {
        "name": "a plain prompt with the class name",
        "shuffled": "a token trained against shuffled weights",
    }
    images = everything["images"].isel(scorer=0)
    gave = [
        f"{says} gave {rate(name)}"
        for name, says in controls.items()
        if name in read["arm"].values and name != arm and int(images[arm_place(read, name)])
    ]
    runs = int(table["seeds"].max())
    scope = "for other noise only, from one run" if runs == 1 else f"over up to {runs} runs"
    shown = int((table["low"] > 0.5).sum())
    left = f" ({asked - done} of {asked} labels have none)" if done < asked else ""
    return (
        f"On noise it never saw, {rate(arm)} of the {int(images[at])} token images of "
        f"{_labels(done)}{left} are read as their label by {read.attrs['classifier']}; "
        f"for {shown} of {done} it is shown to be more than half"
        f"{f'; {_and(gave)}' if gave else ''}; "
        f"brackets are 95\N{NO-BREAK SPACE}% intervals {scope}."
    )


def _meaning_sentence(read: xr.Dataset, arm: str, options: dict[str, int]) -> str:
    meant = semantic_index(read, arm, **options)
    classifier = read.attrs["classifier"]
    n = int(meant["overall_images"])
    if not n:
        return f"No token image is read as its label by {classifier}, so there is nothing to judge."
    if "classifier" not in read["role"].values:
        return (
            f"No held-out classifier was asked, so a trick that fools only {classifier} cannot be "
            "told from images that mean their label."
        )
    tricks = [str(x) for x in meant["label"].values[meant["high"].values < 0.5]]
    means = int((meant["low"] > 0.5).sum())
    reached = int((meant["images"] > 0).sum())
    open_ = reached - means - len(tricks)
    parts = [
        f"for {means} of {_labels(reached)} with such images this is shown to be more than half"
    ]
    if tricks:
        parts.append(
            f"for {len(tricks)} less than half ({_some(tricks, 3)}: a trick, or a trait that only "
            f"{classifier} ties to the class)"
        )
    if open_:
        parts.append(f"for {open_} the images do not settle it")
    return (
        f"Held-out classifiers confirm {_said(meant, 'overall_index', stem='overall_')} of the "
        f"{n} token images that {classifier} reads as their label; {_and(parts)}."
    )


def _attention_sentence(
    tree: xr.DataTree, read: xr.Dataset, arm: str, options: dict[str, int]
) -> str:
    listed = _attention(tree, read, arm, options)
    named = {kind: list(dict.fromkeys(a.label for a in listed if a.kind == kind)) for kind in KINDS}
    few = 3 if sum(map(bool, named.values())) <= 2 else 1
    said = [f"{kind}: {_some(names, few)}" for kind, names in named.items() if names]
    many = read.sizes["label"] >= 20
    status = tree["status"]["status"].values
    left = int((status == "missing").sum())
    gaps = f"; {left} of {status.size} units have not been run" if left else ""
    if not said:
        return (
            f"No label of those with images stands out as one to look at{gaps}; that is no proof "
            "that there is none."
        )
    chance = " (label by label at 95\N{NO-BREAK SPACE}%: of so many, a few by chance)"
    return f"Look first at these{chance if many else ''}: {'; '.join(said)}{gaps}."


def _control(value: float, low: float, high: float) -> tuple[str, str] | None:
    """Kind and reason where a label's gain over the control is none, or may be."""
    said = (
        "the token's gain over a token trained against shuffled weights is "
        f"{points(value)} points {bracket(low, high)}"
    )
    if high < CONTROL_MARGIN:
        return "no better than control", f"{said}: less than {CONTROL_MARGIN * 100:.0f} points"
    if low <= 0:
        return "not told apart from control", f"{said}, which does not show that there is one"
    return None


def _largest_other(
    read: xr.Dataset, arm: str, *, n_boot: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The class other than the label that takes most of its images, and its share."""
    top = read["top"].values[0][:, arm_place(read, arm)]
    share, _ = shares(top, read.sizes["class"])
    share[np.arange(len(share)), read["label_index"].values] = -1
    other = np.where(np.isnan(share), -1, share).argmax(1)
    taken = np.where(top < 0, np.nan, top == other[:, None, None])
    return other, *intervals.share(taken, n_boot=n_boot, seed=seed)


def _per_seed_images(read: xr.Dataset, arm: str) -> np.ndarray:
    images: np.ndarray = (read["top"].values[0][:, arm_place(read, arm)] >= 0).sum(-1)
    return images


def _seeds_differ(share: np.ndarray, images: np.ndarray) -> tuple[float, float] | None:
    """The worst and the best run's share where their intervals do not overlap."""
    there = images > 0
    if there.sum() < 2:
        return None
    share, images = share[there], images[there]
    low, high = intervals.wilson(share * images, images)
    worst, best = share.argmin(), share.argmax()
    return (float(share[worst]), float(share[best])) if high[worst] < low[best] else None


def _failures(tree: xr.DataTree) -> list[Attention]:
    """One for each label with failed units: how many, of what, and the first reason."""
    status = tree["status"].to_dataset(inherit=False)
    failed = status["status"].values == "failed"
    found = []
    for i in np.flatnonzero(failed.any((1, 2))):
        arms, runs = np.nonzero(failed[i])
        named = [f"{status['arm'].values[a]} of run {status['seed'].values[r]}"
                 for a, r in zip(arms, runs, strict=True)]  # fmt: skip
        why = str(status["reason"].values[i, arms[0], runs[0]])
        found.append(
            Attention(
                str(status["label"].values[i]),
                "failed units",
                f"{len(named)} of {failed[i].size} failed ({_some(named)}): {why}",
            )
        )
    return found


def _said(data: xr.Dataset, name: str, at: int | None = None, *, stem: str = "") -> str:
    row = data if at is None else data.isel(label=at)
    value, low, high = (float(row[n]) for n in (name, f"{stem}low", f"{stem}high"))
    return f"{percent(value)}\N{NO-BREAK SPACE}{bracket(low, high)}"


def _some(names: list[str], most: int = 5) -> str:
    rest = len(names) - most
    shown = [f"“{n}”" for n in names[:most]]
    return _and(shown + ([f"{rest} more"] if rest > 0 else []))


def _labels(n: int) -> str:
    return f"{n} label" if n == 1 else f"{n} labels"


def _runs(n: int) -> str:
    return "one run" if n == 1 else f"{n} runs"
