"""One audit or two: a table of labels, linked to images, a map, a confusion matrix, searches."""

from __future__ import annotations

from typing import Any

import ipywidgets
import xarray as xr

from inversion_kit.analysis.runs import percent
from inversion_kit.analysis.words import visible
from inversion_kit.reports.audit_table import main_arm
from inversion_kit.widgets.audit_images import AuditImages, Key, arm_words
from inversion_kit.widgets.audit_map import AuditMap
from inversion_kit.widgets.audit_matrix import AuditMatrix
from inversion_kit.widgets.audit_rows import table
from inversion_kit.widgets.elements import Gallery, LabelTable, Picker
from inversion_kit.widgets.run_view import TRAJECTORY, View, heading, row, search_widgets

_TABS = [["map", "Map of images"], ["matrix", "What is read as what"], ["search", "Search"]]
_EACH, _ALONE = 8, 24


class AuditView(View):
    """One audit, or two side by side, linked by the label that the table has chosen.

    Parameters
    ----------
    trees
        One or two audits.
    points
        Where the images of one lie; see `inversion_kit.explore`.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> view = AuditView([synthetic_audit(), synthetic_audit(outcomes=("trick",))])
    >>> view.table.selected = "sky"
    >>> [panel.gallery.title for panel in view.panels]
    ['sky', 'sky']
    """

    def __init__(self, trees: list[xr.DataTree], *, points: xr.Dataset | None = None) -> None:
        images = [AuditImages(tree) for tree in trees]
        columns, rows, verdicts = table(images)
        self.table = LabelTable(columns=columns, rows=rows, verdicts=verdicts)
        self.panels = [AuditPanel(one, points=points) for one in images]
        self.table.observe(self._select, "selected")
        heads = [_head(one, "AB"[i] if len(trees) == 2 else "") for i, one in enumerate(images)]
        if len(trees) == 2:
            sides = [
                ipywidgets.VBox([head, panel.views, panel.gallery])
                for head, panel in zip(heads, self.panels, strict=True)
            ]
            body = [self.table, row(sides)]
        else:
            panel = self.panels[0]
            body = [*heads, row([self.table, panel.views]), panel.gallery]
        super().__init__(trees, body)
        self.table.selected = rows[0]["label"] if rows else ""

    def _select(self, change: Any) -> None:
        for panel in self.panels:
            panel.show_label(change["new"])


class AuditPanel:
    """One audit's gallery and its views on tabs; each is built when it is first opened."""

    def __init__(self, images: AuditImages, *, points: xr.Dataset | None = None) -> None:
        self.images = images
        self.arm = main_arm(images.tree)
        self.label = ""
        self.gallery = Gallery()
        self.tabs = Picker(choices=[["tab", "", _TABS]], chosen={"tab": "map"})
        self.map = AuditMap(images, points=points)
        self.matrix: AuditMatrix | None = None
        self.stage = ipywidgets.VBox([])
        self.views = ipywidgets.VBox([self.tabs, self.stage])
        self._groups: list[tuple[str, str, list[Key], bool]] = []
        self.tabs.observe(self._turn, "chosen")
        self.map.on_chosen(self._points)
        self.gallery.observe(self._fill, "more")
        self.gallery.observe(self._open, "opened")
        self._searches: tuple[str, list[Any]] = ("", [])
        self._turn()

    def show_label(self, label: str) -> None:
        """Images of a label, arm by arm, and its points on the map."""
        self.label = label
        if label not in self.images.labels:
            self._show(visible(label), "This audit has no such label.", [])
            self.map.light(None)
            return
        at = self.images.labels.index(label)
        status = self.images.tree["status"]["status"].values[at]
        groups = []
        for a, arm in enumerate(self.images.arms):
            keys = self.images.made(at, a)
            hit = sum(self.images.top[(0, *k)] == self.images.target[at] for k in keys)
            share = percent(hit / len(keys)) if keys else ""
            bad = int((status[a] == "failed").sum())
            note = f"{hit} of {len(keys)} read as the label ({share})" if keys else "no image"
            if bad:
                note += f"; {bad} failed"
            groups.append((arm_words(arm), note, keys, False))
        note = "All arms on the same noise; ✓ read as the label, ≠ as another class."
        self._show(visible(label), note, groups)
        self.map.light(at)
        if self.tabs.chosen["tab"] == "search":
            self._turn()

    def show_cell(self, label: int, other: int, arm: int) -> None:
        """Images made for a label and read as a class."""
        name, read = self.images.names[label], self.images.classes[other]
        keys = self.images.read_as(label, arm, other)
        words = arm_words(self.images.arms[arm])
        self._show(f"{name} → {read}", f"Made for “{name}”, read as “{read}”: {len(keys)} images, "
                   f"{words}.", [("", "", keys, False)] if keys else [])  # fmt: skip

    def _points(self, keys: list[Key]) -> None:
        if not keys:
            if self.label:
                self.show_label(self.label)
            return
        labels = len({k.label for k in keys})
        note = f"of {labels} label{'s' if labels > 1 else ''}, chosen on the map"
        count = f"{len(keys)} image{'s' if len(keys) > 1 else ''}"
        self._show(count, note, [("", "", keys, True)])

    def _show(self, title: str, note: str, groups: list[tuple[str, str, list[Key], bool]]) -> None:
        self._groups = groups
        with self.gallery.hold_sync():
            self.gallery.title, self.gallery.note = title, note
            self.gallery.opened, self.gallery.detail = [], {}
            self.gallery.more = 0
            self._fill()

    def _fill(self, _: Any = None) -> None:
        most = (_EACH if len(self._groups) > 1 else _ALONE) * (1 + self.gallery.more)
        self.gallery.total = sum(len(keys) for _, _, keys, _ in self._groups)
        self.gallery.groups = [
            {
                "title": title,
                "note": note,
                "items": [self.images.tile(key, named=named) for key in keys[:most]],
                "empty": "Failed or not run.",
            }
            for title, note, keys, named in self._groups
        ]

    def _open(self, change: Any) -> None:
        key = change["new"]
        self.gallery.detail = self.images.detail(Key(*key)) if key else {}

    def _turn(self, _: Any = None) -> None:
        tab = self.tabs.chosen["tab"]
        if tab == "map":
            self.stage.children = [self.map.widget]
            self.map.open()
        elif tab == "matrix":
            if self.matrix is None:
                self.stage.children = [heading("Drawing the matrix …", "", small=True)]
                self.matrix = AuditMatrix(self.images, self.arm, self.show_cell)
            self.stage.children = [self.matrix.widget]
        else:
            past = self._searches[1]
            if not past:
                self.stage.children = [heading("Drawing the search …", "", small=True)]
            self.stage.children = self._search()
            if past is not self._searches[1]:
                for widget in past:  # once they are off the page: a drawn figure still answers
                    widget.close()

    def _search(self) -> list[Any]:
        """The search of the chosen label, by the arm that has one."""
        label = self.label if self.label in self.images.labels else self.images.labels[0]
        if self._searches[0] != label:
            arm = self.arm if self.arm != "name" else self.images.arms[-1]
            player, figure = search_widgets(self.images.tree, label=label, arm=arm)
            head = heading(f"The search for “{label}”", f"arm: {arm_words(arm)}", small=True)
            self._searches = label, [head, player, heading(*TRAJECTORY, small=True), figure]
        return self._searches[1]


def _head(images: AuditImages, letter: str) -> Any:
    attributes = images.tree.attrs
    status = images.tree["status"]["status"].values
    failed, missing = int((status == "failed").sum()), int((status == "missing").sum())
    units = f"{int((status == 'done').sum())} of {status.size} units done"
    units += f", {failed} failed" if failed else ""
    units += f", {missing} not run" if missing else ""
    runs = f"{len(images.seeds)} run{'s' if len(images.seeds) > 1 else ''}"
    return heading(
        f"{letter}: {attributes['classifier']}"
        if letter
        else f"Audit of {attributes['classifier']}",
        f"through {attributes['generator']} · {len(images.labels)} labels · arms: "
        f"{', '.join(arm_words(a) for a in images.arms)} · {runs} · {units}",
    )
