"""What `inversion_kit.evaluate` and `inversion_kit.coverage` found, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.words import (
    REAL,
    arm_words,
    bracket,
    count,
    percent,
    points,
    rate,
    visible,
)

_SAYS = {
    "kid": "kernel distance to real pictures (KID, less is nearer)",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "vendi": "diversity within a label (Vendi score)",
}
MOST = 20
"""Sentences on traits at most: those of real pictures first, then the largest change."""
SHARES = ("precision", "recall", "coverage")


def evaluation_says(table: xr.Dataset) -> list[str]:
    r"""What `inversion_kit.evaluate` found over all labels.

    Examples
    --------
    >>> from inversion_kit.analysis.quality import dataset, successes
    >>> from inversion_kit.testing import synthetic
    >>> tree = synthetic(labels=2)
    >>> made = dataset(successes(tree), tree)
    >>> made.attrs["control"] = "name"
    >>> print(evaluation_says(made)[0].replace("\xa0", " ").split(":")[0])
    Read as their label by synthetic
    """
    asked = table["scorer"].values[table["role"].values != "view"]
    said = [_success(table, scorer) for scorer in asked]
    if "agreement" in table:
        said.append(_agreement(table))
    said += _obedient(table)
    if "value" not in table:
        return said
    pictures = table["pictures"].values.max(1)
    some = pictures > 0
    ends = sorted({int(n) for n in pictures[some]})
    each = " to ".join(str(n) for n in dict.fromkeys([*ends[:1], *ends[-1:]]))
    against = table["reference"].values[some]
    if some.any():
        said.append(
            f"By features: {each or 0} pictures of every kind of each of "
            f"{count(int(some.sum()), 'label')}"
            + (f", against up to {against.max()} others that are real." if against.any() else ".")
        )
    for network in table["network"].values:
        for measure in table["measure"].values:
            one = table.sel(network=network, measure=measure)
            if np.isfinite(one["overall_value"]).any():
                said.append(f"{_SAYS[str(measure)]}, {visible(str(network))}: {_measure(one)}.")
    return [line[0].upper() + line[1:] for line in said]


def _obedient(table: xr.Dataset) -> Iterator[str]:
    """What became of every sentence, a line each; none where none was asked for."""
    if "obeys" not in table:
        return
    reader = str(table["reader"].values[-1])
    for sentence in table["sentence"].values:
        parts = []
        for arm in table["arm"].values:
            one = table.sel(arm=arm, sentence=sentence)
            of = _ends(one.sel(reader=reader), "overall_is_class")
            if not np.isfinite(of[0]):
                continue
            obeyed = _ends(one, "overall_obeys")
            said_so = f", obeyed {rate(*obeyed)}" if np.isfinite(obeyed[0]) else ""
            parts.append(f"{arm_words(str(arm))} {rate(*of)}{said_so}")
        asked = visible(str(sentence).replace("{token}", "…"))
        yield f'In "{asked}" read as the label by {visible(reader)}: {"; ".join(parts)}.'


def coverage_says(table: xr.Dataset) -> list[str]:
    """What `inversion_kit.coverage` found: each trait that a token reveals, and how many in all."""
    named, n = str(table.attrs["control"]), int(table.attrs["real_traits"])
    said = [*_revealed(table, named)]
    if len(said) > MOST:
        said = [*said[:MOST], f"And {count(len(said) - MOST, 'more such trait')}."]
    if not said:
        said.append(
            f"No arm shows a trait that the {arm_words(named)} does not, by more than chance."
        )
    parts = [
        f"{arm_words(str(s))} {int(one['covered_traits'])} ({rate(*_ends(one, 'covered'))})"
        for s in table["set"].values
        if s != REAL and n
        for one in [table.sel(set=s)]
    ]
    of = f"Of {count(n, 'trait')} that real pictures of a label show more than those of others"
    said.append(
        f"{of}, the arms show: {', '.join(parts)}." if n else "Real pictures show no trait."
    )
    return said


def _revealed(table: xr.Dataset, named: str) -> Iterator[str]:
    rows = np.argwhere(table["reveals"].values)
    gain = table["change"].values
    of_real = table["shows"].sel(set=REAL).values
    for i, s, t in sorted(rows.tolist(), key=lambda r: (not of_real[r[0], r[2]], -gain[tuple(r)])):
        label, arm, trait = (
            str(table[d].values[k]) for d, k in (("label", i), ("set", s), ("trait", t))
        )
        one = table.isel(label=i, trait=t)
        in_arm, in_name, in_real = (
            f"{rate(*_ends(one.sel(set=x), ''))} of {int(one['images'].sel(set=x))}"
            for x in (arm, named, REAL)
        )
        also = "; so do real pictures" if bool(one["shows"].sel(set=REAL)) else ""
        yield (
            f"“{visible(label)}”, {trait}: the {arm_words(arm)} shows it ({in_arm}), the "
            f"{arm_words(named)} does not ({in_name}); of the real ones {in_real}, of real ones "
            f"of other labels {percent(one['elsewhere'].sel(set=REAL).item())}{also}."
        )


def _success(table: xr.Dataset, scorer: Any) -> str:
    named = str(table.attrs.get("control", ""))
    parts = []
    for arm in table["arm"].values:
        one = table.sel(arm=arm, scorer=scorer)
        text = f"{arm_words(str(arm))} {rate(*_ends(one, 'overall_success'))} of "
        text += str(int(one["overall_images"]))
        if np.isfinite(one["overall_gain"]):
            value, low, high = _ends(one, "overall_gain")
            text += f" ({points(value)} {bracket(low, high)} points to {arm_words(named)})"
        parts.append(text)
    return f"Read as their label by {visible(str(scorer))}: {', '.join(parts)}."


def _agreement(table: xr.Dataset) -> str:
    parts = []
    for arm in table["arm"].values:
        value = float(table["agreement"].sel(arm=arm).mean())
        parts.append(f"{arm_words(str(arm))} {value:.3f}")
    return (
        f"Cosine of picture and plain prompt, {visible(str(table.attrs['clip']))}, mean over "
        f"labels: {', '.join(parts)}."
    )


def _measure(one: xr.Dataset) -> str:
    """Every set's value, and its change to the plain name."""
    share = str(one["measure"].item()) in SHARES
    parts = []
    for name in one["set"].values:
        mine = one.sel(set=name)
        value, low, high = _ends(mine, "overall_value")
        if not np.isfinite(value):
            continue
        text = rate(value, low, high) if share else f"{value:.3g} [{low:.3g}, {high:.3g}]"
        change, down, up = _ends(mine, "overall_change")
        if np.isfinite(change):
            text += (
                f" (change {points(change)} {bracket(down, up)})"
                if share
                else f" (change {change:+.2g} [{down:.2g}, {up:.2g}])"
            )
        parts.append(f"{arm_words(str(name))} {text}")
    return ", ".join(parts).replace("-", "−")


def _ends(one: xr.Dataset, name: str) -> tuple[float, float, float]:
    """A variable with its ends; that of no name is ``share``."""
    names = [f"{name}{end}" for end in ("", "_low", "_high")] if name else ["share", "low", "high"]
    value, low, high = (float(one[n]) for n in names)
    return value, low, high
