"""What a classifier has tied to a class: sentences with their proof, and a person's verdict."""

from __future__ import annotations

from typing import Any

import ipywidgets
import xarray as xr
from markupsafe import Markup

from inversion_kit import analysis
from inversion_kit.analysis.tied import OPINIONS, proved
from inversion_kit.analysis.words import visible
from inversion_kit.figures.proofs import PICTURES, doses_spec, row_words
from inversion_kit.figures.static import svg
from inversion_kit.figures.templates import environment
from inversion_kit.pictures import thumbnail
from inversion_kit.widgets.elements import tools

MOST = 6
"""Confirmed findings that are shown with their pictures."""
_SIDE = 128
_HINT = (
    "Your verdicts are kept in the result, and reports show them: store them with "
    'ik.save(view.trees[0], "reviewed.zarr").'
)


class Findings:
    """The confirmed findings of a result, each with pictures, dose curve and a person's verdict.

    Parameters
    ----------
    tree
        A result with findings; verdicts are written into it.

    Attributes
    ----------
    widget
        A box to show.
    verdicts
        By finding, the list of opinions and the field of the note.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic, synthetic_findings
    >>> tree = synthetic_findings(synthetic())
    >>> shown = Findings(tree)
    >>> shown.verdicts[0][0].value = "agree"
    >>> str(tree["findings"]["opinion"].values[0])
    'agree'
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self.tree = tree
        table = analysis.findings(tree)
        rows = table.isel(finding=table["confirmed"].values).to_dataframe().to_dict("index")
        self.verdicts: dict[int, tuple[Any, Any]] = {}
        said = analysis.looked_for(tree)[len(rows) :]
        if len(rows) > MOST:
            said.insert(0, f"{len(rows) - MOST} more that are confirmed stand in the report.")
        title = "What it has tied to a class" if rows else "Nothing found"
        parts: list[Any] = [_html(title=title, said=[], hint="")]
        for n, row in list(rows.items())[:MOST]:
            parts += [_html(**_drawn(tree, int(n), row)), self._verdict(int(n), row)]
        parts.append(_html(said=said, hint=_HINT if rows else ""))
        self.widget = ipywidgets.VBox(parts)
        self.widget.add_class("ik-findings")

    def _verdict(self, finding: int, row: dict[str, Any]) -> Any:
        """Controls of a person's verdict on a finding."""
        words = [(word or "no verdict", word) for word in OPINIONS]
        opinion = ipywidgets.Dropdown(
            options=words, value=str(row.get("opinion") or ""), description="Your verdict"
        )
        note = ipywidgets.Text(
            value=str(row.get("note") or ""), placeholder="why, in your words", description="Note"
        )

        def keep(change: Any) -> None:
            analysis.judge_finding(self.tree, finding, opinion.value, note.value)

        for control in (opinion, note):
            control.observe(keep, "value")
        self.verdicts[finding] = opinion, note
        return tools([opinion, note])


def findings_of(tree: xr.DataTree) -> list[Any]:
    """The box of a result's findings, in a list that is empty where nobody looked for any."""
    return [Findings(tree).widget] if "findings" in tree.children else []


def _drawn(tree: xr.DataTree, finding: int, row: dict[str, Any]) -> dict[str, Any]:
    """Sentence, pictures and curve of a finding; the sentence alone where it has no proof."""
    sentence = row["sentence"] or f"{row['of_label']}: {row['cue']}"
    if finding not in proved(tree):
        return {"said": [], "sentence": sentence, "hint": ""}
    data = analysis.proof(tree, finding)
    rows = [
        {"words": words, "pictures": [thumbnail(image, _SIDE) for image in images[:PICTURES]]}
        for words, images in zip(row_words(row["cue"]), data["picture"].values, strict=True)
    ]
    name = f"Dose of “{visible(row['cue'])}”"
    chart = svg(doses_spec(data), width=400, height=240, css="figure", name=name)
    return {"said": [], "sentence": sentence, "rows": rows, "chart": Markup(chart), "hint": ""}


def _html(**parts: Any) -> Any:
    empty = {"title": "", "sentence": "", "rows": [], "chart": ""}
    template = environment("inversion_kit.widgets", "static").get_template("findings.html.j2")
    return ipywidgets.HTML(template.render({**empty, **parts}))
