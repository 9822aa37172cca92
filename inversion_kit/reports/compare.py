"""A comparison of two models as one self-contained HTML page."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from markupsafe import Markup

from inversion_kit.analysis.compared import MODELS, shared_reads
from inversion_kit.analysis.compared_data import comparison_data, cue_says, token_says
from inversion_kit.analysis.words import visible
from inversion_kit.arm_roles import main_arm
from inversion_kit.figures.matrices import confusion_spec
from inversion_kit.figures.static import svg
from inversion_kit.reports.page import matrix
from inversion_kit.reports.sprites import positions, sheet
from inversion_kit.reports.still import still_page

_PIXELS, _QUALITY = 96, 85
_SHOWN = 8
"""Pictures of a row."""
_ROWS = ("as it was", "with the cue")
_FEW, _WIDE = 8, 560
"""Labels of which a confusion table is drawn in large, and how wide."""
_GROUPS = {"a": "a_not_b", "b": "b_not_a"}
"""Where the images of tokens are that one model reads and the other does not."""


def compared_html(tree: xr.DataTree, *, max_mb: float = 25.0) -> str:
    """What `inversion_kit.compare` gave as the text of one HTML page; it has no script.

    Raises
    ------
    InputError
        The page would be larger than ``max_mb`` megabytes.
    SchemaError
        ``tree`` is no comparison.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_comparison
    >>> compared_html(synthetic_comparison())[:15]
    '<!doctype html>'
    """
    data = comparison_data(tree)
    cues = [_cue(tree, one, data["models"]) for one in data["findings"]]
    tokens = _tokens(tree, data)
    rules = [one.pop("style") for one in (*cues, *tokens)]
    pictures = Markup("\n".join([*rules, positions(_SHOWN, len(_ROWS), _PIXELS)]))
    return still_page(
        "compare.html.j2",
        _WIDER,
        max_mb=max_mb,
        pictures=pictures,
        data=data,
        models=data["models"],
        proved=[one for one in cues if one["differs"]],
        others=[one for one in cues if not one["differs"]],
        tokens=tokens,
        labels=sorted(data["labels"], key=_first),
        crossed=_crossed(data),
        drawn=_difference(tree),
        rows=_ROWS,
        facts=_facts(tree),
    )


_WIDER = """
.proof .reads { font-size: .75rem; line-height: 1.3; max-width: 92px; overflow-wrap: anywhere; }
.proof .reads .other { color: var(--second); font-weight: 600; }
.finding.pair { grid-template-columns: minmax(0, 1fr); } .finding.pair .proof .p { width: 92px; }
.numbers tbody th { min-width: 130px; }
#matrix ~ figure svg.figure { width: auto; max-width: 100%; }
.finding.pair tbody th { white-space: normal; }
"""


def _first(row: dict[str, Any]) -> tuple[bool, float]:
    """Labels that moved come first, the largest difference first; those not audited last."""
    gap = (row["difference"] or {}).get("value")
    return not row["moved"], -abs(gap) if gap is not None else 1.0


def _cue(tree: xr.DataTree, one: dict[str, Any], models: dict[str, str]) -> dict[str, Any]:
    """A cue with its pictures, and what both models read in each."""
    row = tree["cues"].to_dataset().isel(finding=one["n"])
    read = row["read"].values[:, :, :_SHOWN].astype(str)
    there = [k for k in range(read.shape[2]) if read[0, 0, k]]
    images = row["picture"].values
    address = sheet(
        [[rows[k] for k in there] for rows in images],
        columns=_SHOWN,
        pixels=_PIXELS,
        quality=_QUALITY,
    )
    reads = [[{m: read[i, r, k] for i, m in enumerate(MODELS)} for k in there] for r in (0, 1)]
    says = cue_says(one, models) if one["pictures"] else ""
    return {
        **one,
        "says": says,
        "reads": reads,
        "style": f".f{one['n']}{{background-image:url({address})}}",
    }


def _tokens(tree: xr.DataTree, data: dict[str, Any]) -> list[dict[str, Any]]:
    """Images of the tokens that one model reads as the label and the other does not."""
    made = []
    for number, one in enumerate(data["disagreement"]):
        group = tree[_GROUPS[one["says"]]]["samples"].to_dataset(inherit=False)
        arm = main_arm([str(a) for a in group["arm"].values])
        images = group["image"].sel(label=one["label"], arm=arm).isel(seed=0, sample=slice(_SHOWN))
        rows: list[list[np.ndarray | None]] = [list(images.values), []]
        address = sheet(rows, columns=_SHOWN, pixels=_PIXELS, quality=_QUALITY)
        style = f".t{number}{{background-image:url({address})}}"
        says = token_says(one, data["models"])
        made.append({**one, "says": says, "n": images.sizes["sample"], "style": style})
    return made


def _crossed(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Who reads whose token's images, a row a label."""
    rows: dict[str, dict[str, Any]] = {}
    for one in data["crossed"]:
        if one["value"] is not None:
            rows.setdefault(one["label"], {})[one["maker"] + one["reader"]] = one
    return [{"label": label, **cells} for label, cells in rows.items()]


def _difference(tree: xr.DataTree) -> Markup:
    """The difference of the two confusion tables as one picture."""
    pair = shared_reads(tree["a"], tree["b"])
    spec = confusion_spec(
        pair, arm="b", control="a", most=pair.sizes["label"], show=("difference",)
    )
    if pair.sizes["label"] > _FEW:
        return Markup(matrix(spec))
    drawn = svg(spec, width=_WIDE, height=spec["layout"]["height"], css="figure")
    return Markup(drawn.replace("<svg", f'<svg width="{_WIDE}"', 1))


def _facts(tree: xr.DataTree) -> list[tuple[str, str]]:
    """What both results were made with."""
    facts = [(f"model {name}", tree[name].attrs) for name in MODELS]
    lines = [(what, f"{at['classifier']}, sha256 {at['classifier_hash']}") for what, at in facts]
    at = tree["a"].attrs
    lines.append(("generator", f"{at['generator']}, sha256 {at['generator_hash']}"))
    return [(what, visible(text)) for what, text in lines]
