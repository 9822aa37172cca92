"""Findings in a report: each with its pictures and its dose curve, as many as fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import xarray as xr
from markupsafe import Markup

from inversion_kit import analysis
from inversion_kit.analysis.carried import real_data, real_words
from inversion_kit.analysis.cues import finding_data
from inversion_kit.analysis.tied import ROWS, proved
from inversion_kit.analysis.where import mapped, where_words
from inversion_kit.analysis.words import visible
from inversion_kit.figures.proofs import doses_spec, lines, row_words
from inversion_kit.figures.static import svg
from inversion_kit.figures.where import where_spec
from inversion_kit.reports.detail import Detail
from inversion_kit.reports.sprites import positions, sheet

FIRST = 3
"""Confirmed findings on the first screen."""
_PIXELS = 96
"""Side of a picture at most: they are shown small."""
_BARE = {"opinion": "", "note": "", "columns": 0, "where": ""}
"""What a finding without a person's verdict, and one that is not drawn, has."""


@dataclass(frozen=True)
class Section:
    """What a page tells of the findings.

    Parameters
    ----------
    sentences
        What the search for them comes to, beside the confirmed.
    confirmed, others
        Findings as data, with ``at``, the place of the label; where they are drawn with ``n``,
        their sheet, ``columns``, ``rows``, ``chart`` and ``where``, their maps, as far as they
        have them.
    style
        CSS of all their pictures.
    left_out
        In words, what is not drawn.
    """

    sentences: list[str]
    confirmed: list[dict[str, Any]]
    others: list[dict[str, Any]]
    style: str
    left_out: list[str]

    @property
    def size(self) -> int:
        """About how many bytes they take of a page beside their labels' parts."""
        every = [*self.confirmed, *self.others]
        drawn = (one.get(n, "") for one in every for n in ("chart", "where"))
        return len(self.style) + sum(map(len, drawn))

    @property
    def more(self) -> bool:
        """Whether there is more than the first screen shows."""
        return len(self.confirmed) > FIRST or bool(self.others)


def section(tree: xr.DataTree, detail: Detail) -> Section | None:
    """The findings of a result at a level of detail; None where nobody looked for any.

    Examples
    --------
    >>> from inversion_kit.reports.detail import levels
    >>> from inversion_kit.testing import synthetic, synthetic_findings
    >>> tree = synthetic_findings(synthetic())
    >>> section(tree, levels(tree)[0]).confirmed[0]["columns"]
    4
    """
    if "findings" not in tree.children:
        return None
    table = analysis.findings(tree)
    labels = [str(n) for n in tree["samples"]["label"].values]
    every = [
        {
            **_BARE,
            **finding_data(row),
            "n": int(n),
            "at": labels.index(row["of_label"]),
            "real_says": real_words(real_data(tree, int(n))),
        }
        for n, row in table.to_dataframe().to_dict("index").items()
    ]
    confirmed, others = ([one for one in every if one["confirmed"] is of] for of in (True, False))
    drawn = _drawn(tree, [*confirmed, *others], detail)
    styles = [one.pop("style") for one in drawn.values()]
    if drawn:
        columns = detail.examples
        rule = positions(columns, _sheet_rows(tree), _side(detail))
        styles.append("\n".join(f".proof {line}" for line in rule.splitlines()))
    said = [
        f"{bare} of {len(of)} {what} are without pictures"
        for of, what in (
            (confirmed, "confirmed findings"),
            (others, "findings that are not confirmed"),
        )
        if (bare := sum(one["n"] not in drawn for one in of))
    ]
    return Section(
        sentences=analysis.looked_for(tree)[len(confirmed) :],
        confirmed=[one | drawn.get(one["n"], {}) for one in confirmed],
        others=[one | drawn.get(one["n"], {}) for one in others],
        style="\n".join(styles),
        left_out=said,
    )


def _sheet_rows(tree: xr.DataTree) -> int:
    """Rows of a finding's sheet: those of its proof, and one of real images where there are any."""
    return len(ROWS) + ("carriers" in tree.children)


def _carry(tree: xr.DataTree, finding: int, most: int) -> tuple[list[Any], list[str]]:
    """Pictures of the first real images that carry a finding's cue, and their labels."""
    if "carriers" not in tree.children:
        return [], []
    data = analysis.carriers(tree, finding).isel(example=slice(0, most))
    return list(data["picture"].values), [str(label) for label in data["of_label"].values]


def _side(detail: Detail) -> int:
    return min(detail.pixels, _PIXELS)


def _drawn(
    tree: xr.DataTree, findings: list[dict[str, Any]], detail: Detail
) -> dict[int, dict[str, Any]]:
    """By number, sheet, chart and maps of the first findings that have any of them."""
    there, maps = proved(tree), mapped(tree)
    chosen = [one for one in findings if one["n"] in {*there, *maps}][: detail.proofs]
    return {
        one["n"]: {
            "style": "",
            **(_proof(tree, one, detail) if one["n"] in there else {}),
            **(_where(tree, one) if one["n"] in maps else {}),
        }
        for one in chosen
    }


def _proof(tree: xr.DataTree, one: dict[str, Any], detail: Detail) -> dict[str, Any]:
    """The pictures of a finding with what they are read as, and its dose curve if it has one."""
    data = analysis.proof(tree, one["n"]).isel(example=slice(0, detail.examples))
    rows = [list(row) for row in data["picture"].values]
    rows += [[]] * (len(ROWS) - len(rows))
    carry = _carry(tree, one["n"], detail.examples)
    address = sheet(
        [*rows, *([carry[0]] * ("carriers" in tree.children))],
        columns=detail.examples,
        pixels=_side(detail),
        quality=detail.quality,
    )
    chart = ""
    if data.sizes["place"]:
        name = f"Dose of “{visible(one['cue'])}” against “{visible(one['label'])}”"
        drawn = doses_spec(data)
        chart = svg(drawn, width=400, height=250, css="figure doses", name=name, hover=False)
    return {
        "columns": data.sizes["example"],
        "rows": rows_of(data),
        "carry": carry[1],
        "carry_row": len(ROWS),
        "chart": Markup(chart),
        "style": f".f{one['n']}{{background-image:url({address})}}",
    }


def rows_of(data: xr.Dataset) -> list[dict[str, Any]]:
    """Of each row of a proof's pictures what it is called and what its pictures are read as."""
    words = row_words(data.attrs["cue"], data["row"].values.tolist())
    return [
        {"words": said, "read": [lines(data, r, k) for k in range(data.sizes["example"])]}
        for r, said in enumerate(words)
    ]


def _where(tree: xr.DataTree, one: dict[str, Any]) -> dict[str, Any]:
    """The maps of a finding, and what they are."""
    data = analysis.where(tree, one["n"])
    name = f"Where “{visible(one['cue'])}” acts on “{visible(one['label'])}”"
    drawn = svg(where_spec(data), width=340, height=214, css="figure where", name=name, hover=False)
    return {"where": Markup(drawn), "where_says": where_words(data)}
