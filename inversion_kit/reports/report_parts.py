"""What the report of a run and that of an audit share: template rules, the chart, the columns."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from inversion_kit.analysis import runs as analysis
from inversion_kit.analysis.words import visible

_CHART = {"width": 560, "height": 280, "left": 54, "right": 440, "bottom": 226}


def environment() -> Environment:
    """Jinja over the package's templates; everything is escaped, a missing name is an error.

    Examples
    --------
    >>> environment().from_string("{{ name }}").render(name="</script>")
    '&lt;/script&gt;'
    """
    made = Environment(
        loader=PackageLoader("inversion_kit.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_shown,
    )
    made.filters["percent"] = analysis.percent
    made.filters["bracket"] = analysis.bracket
    made.filters["points"] = analysis.points
    return made


def _shown(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def spread(there: np.ndarray, most: int, kept: int | None) -> list[int]:
    """At most ``most`` of the checks, evenly spread, ends included, and the kept one always."""
    picked = {
        int(there[i])
        for i in np.linspace(0, len(there) - 1, min(most, len(there))).round().astype(int)
    }
    if kept is not None and kept not in picked:
        picked.discard(min(picked - {int(there[0])}, key=lambda c: abs(c - kept)))
        picked.add(kept)
    return sorted(picked)


def chart(path: xr.Dataset, run: int) -> dict[str, Any]:
    """Geometry of one run's line chart, and the same numbers as table rows."""
    one = path.isel(seed=run)
    there = np.flatnonzero(np.isfinite(one["target_probability"].values))
    rows: list[dict[str, Any]] = [
        {
            "updates": int(one["step"].values[c]),
            "start": str(one["start"].values[c]),
            "target": float(one["target_probability"].values[c]),
            "tenth": float(one["tenth"].values[c]),
            "ninetieth": float(one["ninetieth"].values[c]),
            "runner_up": str(one["runner_up"].values[c]),
            "second": float(one["runner_up_probability"].values[c]),
            "kept": bool(one["kept"].values[c]),
        }
        for c in there
    ]
    segments: list[list[dict[str, Any]]] = []
    for row in rows:
        if not segments or segments[-1][-1]["start"] != row["start"]:
            segments.append([])
        segments[-1].append(row)
    top = 22 + 15 * min(max(len(segments) - 1, 0), 3)
    last = int(max(rows[-1]["updates"] if rows else 0, 1))
    left, right, bottom = _CHART["left"], _CHART["right"], _CHART["bottom"]

    def x(updates: float) -> float:
        return round(left + (right - left) * updates / last, 1)

    def y(share: float) -> float:
        return round(bottom - (bottom - top) * share, 1)

    def line(segment: list[dict[str, Any]], key: str) -> str:
        return " ".join(f"{x(r['updates'])},{y(r[key])}" for r in segment)

    tick = _tick(last)
    ends = {k: y(rows[-1][k]) if rows else bottom for k in ("target", "second")}
    apart = 15 - abs(ends["target"] - ends["second"])
    if apart > 0:
        higher, lower = sorted(ends, key=lambda k: (ends[k], k != "target"))
        ends[higher], ends[lower] = ends[higher] - apart / 2, ends[lower] + apart / 2
    return {
        **_CHART,
        "seed": int(one["seed"]),
        "top": top,
        "rows": rows,
        "lines": [
            {
                "target": line(segment, "target"),
                "second": line(segment, "second"),
                "band": f"{line(segment, 'ninetieth')} {line(segment[::-1], 'tenth')}",
            }
            for segment in segments
        ],
        "marks": [
            {"x": x(r["updates"]), "target": y(r["target"]), "second": y(r["second"]), "row": r}
            for r in rows
        ],
        "restarts": [
            {
                "x": x(segment[0]["updates"]),
                "y": top - 8 - 15 * (i % 3),
                "says": start_says(segment[0]["start"], 22),
                "anchor": "end" if segment[0]["updates"] > 0.55 * last else "start",
            }
            for i, segment in enumerate(segments[1:])
        ],
        "x_ticks": [{"x": x(t), "says": t} for t in range(0, last + 1, tick)],
        "y_ticks": [{"y": y(t / 100), "says": t} for t in (0, 25, 50, 75, 100)],
        "ends": ends,
        "x_end": x(rows[-1]["updates"]) if rows else left,
        "runner_up": rows[-1]["runner_up"] if rows else "",
    }


def _tick(last: int) -> int:
    """Distance of round ticks, so that at most seven stand between 0 and ``last``."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if last / (size * factor) <= 6:
                return size * factor
        size *= 10


def digest(text: str) -> str:
    """A style or a script as its page's policy names it."""
    found = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(found).decode('ascii')}"


def findings(tree: xr.DataTree, label: str) -> list[dict[str, Any]]:
    """Factors that the token moved, where the result holds a group ``/findings``."""
    if "findings" not in tree.children:
        return []
    table = tree["findings"].to_dataset(inherit=False)
    if "label" in table.dims:
        table = table.sel(label=label)
    effect = table["effect"].values.astype(float)
    order = [k for k in np.argsort(-np.abs(np.nan_to_num(effect))) if np.isfinite(effect[k])]

    def number(name: str, k: int) -> float | None:
        value = float(table[name].values[k])
        return value if np.isfinite(value) else None

    return [
        {
            "factor": str(table["factor"].values[k]),
            **{n: number(n, k) for n in ("effect", "low", "high", "p")},
            **{n: str(table[n].values[k]) for n in ("verdict", "confirmation")},
        }
        for k in order
    ]


def start_says(start: str, most: int = 40) -> str:
    """A start in words, cut to ``most`` characters."""
    if start == analysis.NEUTRAL:
        return "neutral start"
    return f"“{start if len(start) <= most else start[: most - 1] + '…'}”"


def made(settings: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Name and text of everything the result says about its making, in groups."""

    def said(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    judges, hashes = settings["judges"], settings["judge_hashes"]
    if isinstance(hashes, dict):
        hashes = [hashes.get(judge, "") for judge in judges]
    return {
        "Models": [
            ("classifier", settings["classifier"]),
            ("its sha256", settings["classifier_hash"]),
            ("generator", settings["generator"]),
            ("its sha256", settings["generator_hash"]),
            *(
                line
                for judge, digest in zip(judges, hashes, strict=False)
                for line in (("judge", said(judge)), ("its sha256", said(digest)))
            ),
        ],
        "Settings": [(str(k), said(v)) for k, v in dict(settings["settings"]).items()],
        "Versions": [(str(k), said(v)) for k, v in dict(settings["versions"]).items()],
    }
