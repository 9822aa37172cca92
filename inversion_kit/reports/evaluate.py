"""What `evaluate` and `coverage` measured as one self-contained HTML page each."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from markupsafe import Markup

from inversion_kit.analysis.quality_words import SHARES, coverage_says, evaluation_says
from inversion_kit.analysis.words import REAL, arm_words, visible
from inversion_kit.arm_roles import main_arm
from inversion_kit.errors import InputError
from inversion_kit.figures.intervals import covered_spec, gains_spec
from inversion_kit.figures.static import svg
from inversion_kit.reports.sprites import positions, sheet
from inversion_kit.reports.still import ends, still_page

_WIDE, _QUALITY = 640, 85
_HEADS = {"kid": "KID", "vendi": "Vendi score"}
_TRAITS = 40
"""Rows of traits at most."""
_MORE = """
.pictures.sets { margin: 8px 0 0; } .pictures.sets .p { width: 72px; }
.pictures.sets th { font-weight: 400; min-width: 120px; padding-right: 16px; }
.pictures.sets th, .pictures.sets td { vertical-align: middle; }
.numbers td small.change { display: block; }
.numbers .shown { color: var(--target); font-weight: 600; }
.numbers tbody th { min-width: 120px; }
figure svg.figure { width: auto; max-width: 100%; }
"""


def is_table(result: Any) -> bool:
    """Whether it is what `inversion_kit.evaluate` or `inversion_kit.coverage` gave.

    Examples
    --------
    >>> is_table(xr.Dataset())
    False
    """
    return isinstance(result, xr.Dataset) and ("overall_success" in result or "covered" in result)


def table_html(table: xr.Dataset, *, max_mb: float = 25.0) -> str:
    """What `inversion_kit.evaluate` or `inversion_kit.coverage` gave, as the text of a page.

    It has no script and loads nothing.

    Raises
    ------
    InputError
        It is neither, or the page would be larger than ``max_mb`` megabytes.

    Examples
    --------
    >>> from inversion_kit.evaluation.evaluate import evaluate
    >>> from inversion_kit.testing import synthetic
    >>> table_html(evaluate(synthetic(labels=2)))[:15]
    '<!doctype html>'
    """
    if not is_table(table):
        raise InputError(
            f"result: {type(table).__name__}; expected what evaluate(...) or coverage(...) gave"
        )
    evaluated = "overall_success" in table
    shown, pictures = _pictures(table)
    arms = [str(s) for s in table["set"].values if s != REAL]
    given = _evaluated(table) if evaluated else _covered(table)
    return still_page(
        "evaluate.html.j2" if evaluated else "coverage.html.j2",
        _MORE,
        max_mb=max_mb,
        pictures=pictures,
        about=table.attrs,
        shown=shown,
        facts=_facts(table),
        title=_title,
        main=main_arm(arms),
        labels=[str(name) for name in table["label"].values],
        **given,
    )


def _title(arm: str) -> str:
    words = arm_words(arm)
    return words[:1].upper() + words[1:]


def _evaluated(table: xr.Dataset) -> dict[str, Any]:
    """What the page of `evaluate` shows."""
    arms = [str(a) for a in table["arm"].values]
    scorers = [str(s) for s in table["scorer"].values]
    rows = [
        {
            "arm": arm,
            "images": int(table["overall_images"].sel(arm=arm).values.max()),
            "by": [
                {
                    "success": ends(table, "overall_success", arm=arm, scorer=scorer),
                    "gain": ends(table, "overall_gain", arm=arm, scorer=scorer),
                }
                for scorer in scorers
            ],
        }
        for arm in arms
    ]
    each = [
        [ends(table, "success", label=label, arm=arm, scorer=scorers[0]) for arm in arms]
        for label in table["label"].values
    ]
    compared = bool(table.attrs["control"]) and len(arms) > 1
    return {
        "sentences": evaluation_says(table),
        "scorers": list(zip(scorers, (str(r) for r in table["role"].values), strict=True)),
        "rows": rows,
        "each": each,
        "arms": arms,
        "drawn": _drawn(gains_spec(table)) if compared else "",
        "networks": _networks(table),
        "agreement": _agreement(table, arms),
        "sentence_rows": _sentences(table, arms),
        "reference": int(table["reference"].values.max()) if "reference" in table else 0,
        "measured": int(table["pictures"].values.max()) if "pictures" in table else 0,
    }


def _networks(table: xr.Dataset) -> list[dict[str, Any]]:
    """Of each network the measures, a row a set."""
    made = []
    for network in table["network"].values if "value" in table else ():
        one = table.sel(network=network)
        there = [
            m
            for m in table["measure"].values
            if np.isfinite(one["overall_value"].sel(measure=m)).any()
        ]
        rows = [
            {
                "set": str(name),
                "cells": [
                    {
                        "share": str(m) in SHARES,
                        "value": ends(one, "overall_value", set=name, measure=m),
                        "change": ends(one, "overall_change", set=name, measure=m),
                    }
                    for m in there
                ],
            }
            for name in table["set"].values
            if np.isfinite(one["overall_value"].sel(set=name)).any()
        ]
        heads = [_HEADS.get(str(m), str(m)) for m in there]
        made.append({"name": str(network), "heads": heads, "rows": rows})
    return made


def _agreement(table: xr.Dataset, arms: list[str]) -> list[dict[str, Any]]:
    """Cosines by a CLIP, a row an arm: the mean over labels and, label by label, its ends."""
    if "agreement" not in table:
        return []
    return [
        {
            "arm": arm,
            "mean": float(table["agreement"].sel(arm=arm).mean()),
            "cells": [
                ends(table, "agreement", arm=arm, label=label) for label in table["label"].values
            ],
        }
        for arm in arms
    ]


def _sentences(table: xr.Dataset, arms: list[str]) -> list[dict[str, Any]]:
    """What became of every sentence, a row of each and an arm."""
    if "obeys" not in table:
        return []
    reader = str(table["reader"].values[-1])
    made = []
    for sentence in table["sentence"].values:
        for arm in arms:
            at = {"arm": arm, "sentence": sentence}
            read = ends(table, "overall_is_class", reader=reader, **at)
            if read:
                obeyed = ends(table, "overall_obeys", **at)
                said = str(sentence).replace("{token}", "…")
                made.append({"said": said, "arm": arm, "read": read, "obeyed": obeyed})
    return made


def _covered(table: xr.Dataset) -> dict[str, Any]:
    """What the page of `coverage` shows."""
    named = str(table.attrs["control"])
    arms = [str(s) for s in table["set"].values if s != REAL]
    shows, reveals = table["shows"], table["reveals"]
    of_real = np.argwhere(shows.sel(set=REAL).values)
    any_arm = np.argwhere(reveals.values.any(1))
    cells = dict.fromkeys((int(i), int(t)) for i, t in (*any_arm.tolist(), *of_real.tolist()))
    rows = []
    for i, t in list(cells)[:_TRAITS]:
        one = table.isel(label=i, trait=t)
        rows.append(
            {
                "label": str(one["label"].item()),
                "trait": str(one["trait"].item()),
                "sets": [
                    {
                        "share": ends(one, "", set=name),
                        "shows": bool(one["shows"].sel(set=name)),
                        "reveals": bool(one["reveals"].sel(set=name)),
                    }
                    for name in (*arms, REAL)
                ],
                "elsewhere": float(one["elsewhere"].sel(set=REAL)),
            }
        )
    counts = [
        {
            "arm": arm,
            "covered": ends(table, "covered", set=arm),
            "traits": int(table["covered_traits"].sel(set=arm)),
            "reveals": int(reveals.sel(set=arm).sum()),
            "images": int(table["images"].sel(set=arm).sum()),
        }
        for arm in arms
    ]
    return {
        "sentences": coverage_says(table),
        "named": named,
        "sets": [*arms, REAL],
        "rows": rows,
        "left": max(0, len(cells) - _TRAITS),
        "counts": counts,
        "real": int(table["images"].sel(set=REAL).sum()),
        "drawn": _drawn(covered_spec(table)) if table.attrs["real_traits"] else "",
        "traits": table.sizes["trait"],
    }


def _drawn(spec: dict[str, Any]) -> Markup:
    drawn = svg(spec, width=_WIDE, height=spec["layout"]["height"], css="figure")
    return Markup(drawn.replace("<svg", f'<svg width="{_WIDE}"', 1))


def _pictures(table: xr.Dataset) -> tuple[list[dict[str, Any]], Markup]:
    """Pictures of each shown label, a row a set, and the style that holds them."""
    if "picture" not in table:
        return [], Markup("")
    each, sets = table.sizes["example"], [str(s) for s in table["set"].values]
    pixels = max(table.sizes["y"], table.sizes["x"])
    shown, rules = [], []
    for n, label in enumerate(str(name) for name in table["shown"].values):
        counts = [int(count) for count in table["pictured"].values[n]]
        images = table["picture"].values[n]
        rows = [list(images[s, :count]) for s, count in enumerate(counts)]
        address = sheet(rows, columns=each, pixels=pixels, quality=_QUALITY)
        rules.append(f".s{n}{{background-image:url({address})}}")
        there = [(s, sets[s], count) for s, count in enumerate(counts) if count]
        shown.append({"n": n, "label": label, "rows": there})
    return shown, Markup("\n".join([*rules, positions(each, len(sets), pixels)]))


def _facts(table: xr.Dataset) -> list[tuple[str, str]]:
    """What the pictures were made with."""
    at = table.attrs
    facts = [(n, at.get(n, ""), at.get(f"{n}_hash", "")) for n in ("classifier", "generator")]
    return [(name, f"{visible(said)}, sha256 {sha}") for name, said, sha in facts if said]
