"""What a classifier has tied to a class: sentences with their proof, and a person's verdict."""

from __future__ import annotations

from typing import Any

import ipywidgets
import xarray as xr
from markupsafe import Markup

from inversion_kit import analysis
from inversion_kit.analysis.carried import real_data, real_words
from inversion_kit.analysis.tied import OPINIONS, proved
from inversion_kit.analysis.where import mapped, where_words
from inversion_kit.analysis.words import visible
from inversion_kit.figures.proofs import PICTURES, doses_spec, lines, row_words
from inversion_kit.figures.static import svg
from inversion_kit.figures.templates import environment
from inversion_kit.figures.where import where_spec
from inversion_kit.pictures import thumbnail
from inversion_kit.widgets.elements import choice, tools

MOST = 6
"""Findings that are shown at once."""
_SIDE = 128
_HINT = (
    "Your verdicts are kept in the result, and reports show them: store them with "
    'ik.save(view.trees[0], "reviewed.zarr").'
)


class Findings:
    """The findings of a result, each with pictures, maps, dose curve and a person's verdict.

    Of more than one, lists pick which are shown, by verdict and by label; the confirmed at first.

    Parameters
    ----------
    tree
        A result with findings; verdicts are written into it.

    Attributes
    ----------
    widget
        A box to show.
    verdict, label
        The lists.
    verdicts
        By finding that was shown, the list of opinions and the field of the note.

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
        table = analysis.findings(tree).to_dataframe().to_dict("index")
        self.rows = {int(n): row for n, row in table.items()}
        sure = [n for n, row in self.rows.items() if row["confirmed"]]
        self.verdicts: dict[int, tuple[Any, Any]] = {}
        self.parts: dict[int, list[Any]] = {}
        verdicts, labels = (
            list(dict.fromkeys(str(row[name]) for row in self.rows.values()))
            for name in ("verdict", "of_label")
        )
        every = [("confirmed", "confirmed")] * bool(sure) + [("every verdict", "")]
        self.verdict = choice("Findings", [*every, *((v, v) for v in verdicts)], self._fill)
        names = [(visible(label), label) for label in labels]
        self.label = choice("Label", [("every label", ""), *names], self._fill)
        said = analysis.looked_for(tree)[len(sure) :]
        title = "What it has tied to a class" if sure else "Nothing found"
        self.shown = ipywidgets.VBox([])
        self._fill()
        filters = [tools([self.verdict, self.label])] if len(self.rows) > 1 else []
        end = _html(said=said, hint=_HINT if self.rows else "")
        self.widget = ipywidgets.VBox(
            [_html(title=title, said=[], hint=""), *filters, self.shown, end]
        )
        self.widget.add_class("ik-findings")

    def _fill(self, _: Any = None) -> None:
        """Show the findings that fit the lists."""
        asked, label = self.verdict.value, self.label.value
        fit = [
            n
            for n, row in self.rows.items()
            if label in ("", row["of_label"])
            and (asked in ("", row["verdict"]) or (asked == "confirmed" and row["confirmed"]))
        ]
        for n in fit[:MOST]:
            if n not in self.parts:
                row = self.rows[n]
                self.parts[n] = [_html(**_drawn(self.tree, n, row)), self._verdict(n, row)]
        parts = [part for n in fit[:MOST] for part in self.parts[n]]
        more = f"{len(fit) - MOST} more fit; pick a verdict or a label, or see the report."
        said = [more] if len(fit) > MOST else [] if fit or not self.rows else ["None fits."]
        self.shown.children = [*parts, *([_html(said=said, hint="")] if said else [])]

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
    """Sentence, pictures, curve and maps of a finding, as far as it has them."""
    sentence = row["sentence"] or f"{row['of_label']}: {row['cue']}"
    real = real_words(real_data(tree, finding))
    made: dict[str, Any] = {"said": [real] if real else [], "sentence": sentence, "hint": ""}
    if finding in proved(tree):
        data = analysis.proof(tree, finding)
        made["rows"] = [
            {
                "words": words,
                "pictures": [
                    (*thumbnail(image, _SIDE), lines(data, r, k))
                    for k, image in enumerate(images[:PICTURES])
                ],
            }
            for r, (words, images) in enumerate(
                zip(
                    row_words(row["cue"], data["row"].values.tolist()),
                    data["picture"].values,
                    strict=True,
                )
            )
        ]
        if real:
            shown = analysis.carriers(tree, finding)["picture"].values[:PICTURES]
            carry = [(*thumbnail(image, _SIDE), ()) for image in shown]
            made["rows"] += [{"words": "in real images", "pictures": carry}] if carry else []
        if data.sizes["place"]:
            name = f"Dose of “{visible(row['cue'])}”"
            made["chart"] = Markup(svg(doses_spec(data), width=400, height=240, name=name))
    if finding in mapped(tree):
        maps = analysis.where(tree, finding)
        name = f"Where “{visible(row['cue'])}” acts"
        drawn = svg(where_spec(maps), width=340, height=214, name=name, hover=False)
        made |= {"where": Markup(drawn), "where_says": where_words(maps)}
    return made


def _html(**parts: Any) -> Any:
    empty = {"title": "", "sentence": "", "rows": [], "chart": "", "where": ""}
    template = environment("inversion_kit.widgets", "static").get_template("findings.html.j2")
    return ipywidgets.HTML(template.render({**empty, **parts}))
