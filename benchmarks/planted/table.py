"""The counts as a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEADS = {
    "label": "right label",
    "cue": "right label and cue",
    "flagged": "clean ones flagged",
    "false_label": "clean labels flagged",
    "false_planted": "planted ones with another label",
}


def markdown(data: Mapping[str, Any]) -> str:
    """Tables by method, by kind, and of what was trained; then what is not counted, and why."""
    methods = {name: one for name, one in data["methods"].items() if one["seconds"] is not None}
    heads = ["method", "seeds", *HEADS.values(), "area under the ROC", "K-SSD", "CCM", "FAM"]
    heads += ["minutes", "CPU minutes", "peak MB"]
    first = [
        [
            name,
            str(one["seeds"]),
            *(rate(one[column]) for column in HEADS),
            *(_mean(one[column]) for column in ("auc", "k_ssd", "ccm", "fam")),
            f"{one['seconds'] / 60:.1f}",
            f"{one['processor_seconds'] / 60:.1f}",
            f"{one['peak_mb']:.0f}",
        ]
        for name, one in methods.items()
    ]
    second = [
        [kind, *(_pair(by[name]) for name in methods), *(_near(by, name) for name in ("all",))]
        for kind, by in data["kinds"].items()
    ]
    third = [
        [kind, str(n["defined"]), str(n["trained"]), str(n["counted"])]
        for kind, n in data["classifiers"].items()
    ]
    why = [
        f"- `{name}`: {said}"
        for n in data["classifiers"].values()
        for name, said in n["why"].items()
    ]
    return "\n".join(
        [
            *_table(heads, first),
            "\nRight label / right label and cue, of so many classifiers, a mean over seeds:\n",
            *_table(["kind", *methods, "cue seen, unconfirmed"], second),
            "\nClassifiers:\n",
            *_table(["kind", "defined", "trained", "counted"], third),
            *(["\nNot counted:\n", *why] if why else []),
        ]
    )


def rate(of: Sequence[Any]) -> str:
    """Hits of how many, with the interval in percent.

    Examples
    --------
    >>> rate([3, 4, 0.3006, 0.9544])
    '3 of 4 [30, 95] %'
    """
    hits, n, low, high = of
    return f"{hits:.3g} of {n} [{100 * low:.0f}, {100 * high:.0f}] %" if n else "–"


def _pair(one: Mapping[str, Any]) -> str:
    n = one["label"][1]
    return f"{one['label'][0]:.3g} / {one['cue'][0]:.3g} of {n}" if n else "–"


def _near(by: Mapping[str, Any], name: str) -> str:
    hits, n = by[name]["near"][:2]
    return f"{hits:.3g} of {n}" if n else "–"


def _mean(of: Sequence[float | None]) -> str:
    value, low, high = of
    return "–" if value is None else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]
