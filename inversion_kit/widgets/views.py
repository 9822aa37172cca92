"""A result, or two side by side: one label's search, or a table of labels and what it chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets
import xarray as xr

from inversion_kit.analysis.words import arm_words, count, percent, visible
from inversion_kit.widgets.elements import Gallery, LabelTable, View, heading, row
from inversion_kit.widgets.findings import findings_of
from inversion_kit.widgets.images import Images, Key
from inversion_kit.widgets.map import Map
from inversion_kit.widgets.matrix import Matrix
from inversion_kit.widgets.rows import table
from inversion_kit.widgets.search import Search

_TABS = ["Map of images", "What is read as what", "Search"]
_EACH, _ALONE = 8, 24
"""Images of each group, and of a group alone, until more are asked for."""
_ARMS = "All arms on the same noise; ✓ read as the label, ≠ as another class."

Group = tuple[str, str, list[Key], bool]
"""Title, note, images, and whether each says its label and arm."""


class LabelView(View):
    """The search of a result's one label, and the images of all arms.

    Parameters
    ----------
    tree
        A result of one label.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> view = LabelView(synthetic())
    >>> view.search.frames.position = 1
    >>> view.gallery.widget.title
    'sky'
    """

    def __init__(self, tree: xr.DataTree) -> None:
        images = Images(tree)
        self.search, self.gallery = Search(tree), ImageGallery(images)
        stopped = tree.attrs.get("stopped")
        note = f"{tree.attrs['classifier']} through {tree.attrs['generator']}"
        note += f" · stopped {stopped}" if stopped else ""
        head = heading(f"The search for “{images.labels[0]}”", note)
        super().__init__(
            [tree], [head, *findings_of(tree), self.search.widget, self.gallery.widget]
        )
        self.gallery.show_label(0)


class LabelsView(View):
    """Labels in a table, linked to images, map, matrix and search of one result or of two.

    Parameters
    ----------
    trees
        One result or two.
    points
        Where the images of one lie; see `inversion_kit.explore`.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> view = LabelsView([synthetic(labels=2), synthetic(labels=2, outcomes=("trick",))])
    >>> view.table.selected = "green"
    >>> [panel.gallery.widget.title for panel in view.panels]
    ['green', 'green']
    """

    def __init__(self, trees: Sequence[xr.DataTree], *, points: xr.Dataset | None = None) -> None:
        images = [Images(tree) for tree in trees]
        columns, rows, verdicts = table(images)
        self.table = LabelTable(columns=columns, rows=rows, verdicts=verdicts)
        self.panels = [Panel(one, points=points) for one in images]
        self.table.observe(self._select, "selected")
        if len(trees) == 2:
            body = [
                self.table,
                row(
                    [
                        _column(one, letter, panel)
                        for one, panel, letter in zip(images, self.panels, "AB", strict=True)
                    ]
                ),
            ]
        else:
            panel = self.panels[0]
            body = [_head(images[0]), *findings_of(trees[0])]
            body += [row([self.table, panel.tabs]), panel.gallery.widget]
        super().__init__(trees, body)
        self.table.selected = rows[0]["label"] if rows else ""

    def _select(self, change: Any) -> None:
        for panel in self.panels:
            panel.show_label(change["new"])


def _column(images: Images, letter: str, panel: Panel) -> Any:
    """One of two results beside each other."""
    parts = [_head(images, letter), *findings_of(images.tree), panel.tabs, panel.gallery.widget]
    return ipywidgets.VBox(parts)


class ImageGallery:
    """Test images of a result: those of a label arm by arm, of a cell, or any others."""

    def __init__(self, images: Images) -> None:
        self.images, self.widget = images, Gallery()
        self.groups: Sequence[Group] = []
        self.widget.observe(self._fill, "more")
        self.widget.observe(self._open, "opened")

    def show_label(self, label: int) -> None:
        """Images of a label, arm by arm."""
        status, groups = self.images.read["status"].values[label], []
        for a, arm in enumerate(self.images.arms):
            keys = self.images.made(label, a)
            hit = len(self.images.made(label, a, int(self.images.target[label])))
            note = "no image"
            if keys:
                note = f"{hit} of {len(keys)} read as the label ({percent(hit / len(keys))})"
            failed = int((status[a] == "failed").sum())
            note += f"; {failed} failed" if failed else ""
            groups.append((arm_words(arm), note, keys, False))
        self.show(self.images.labels[label], _ARMS, groups)

    def show_cell(self, label: int, read_as: int, arm: int) -> None:
        """Images made for a label and read as a class."""
        name, read = self.images.labels[label], self.images.classes[read_as]
        keys = self.images.made(label, arm, read_as)
        note = f"Made for “{name}”, read as “{read}”: {count(len(keys), 'image')}, "
        note += f"{arm_words(self.images.arms[arm])}."
        self.show(f"{name} → {read}", note, [("", "", keys, False)] if keys else [])

    def show(self, title: str, note: str, groups: Sequence[Group]) -> None:
        """Images in groups."""
        self.groups = groups
        with self.widget.hold_sync():
            self.widget.title, self.widget.note = visible(title), visible(note)
            self.widget.opened, self.widget.detail, self.widget.more = [], {}, 0
            self._fill()

    def _fill(self, _: Any = None) -> None:
        most = (_EACH if len(self.groups) > 1 else _ALONE) * (1 + self.widget.more)
        self.widget.total = sum(len(keys) for _, _, keys, _ in self.groups)
        self.widget.groups = [
            {
                "title": title,
                "note": note,
                "items": [self.images.tile(key, named=named) for key in keys[:most]],
            }
            for title, note, keys, named in self.groups
        ]

    def _open(self, change: Any) -> None:
        key = change["new"]
        self.widget.detail = self.images.detail(Key(*key)) if key else {}


class Panel:
    """One result's gallery, and map, matrix and search on tabs, each built when first opened."""

    def __init__(self, images: Images, *, points: xr.Dataset | None = None) -> None:
        self.images, self.label = images, ""
        self.gallery = ImageGallery(images)
        self.map = Map(images, self._points, points=points)
        self.matrix: Matrix | None = None
        self.search: Search | None = None
        self.stages = [ipywidgets.VBox([]) for _ in _TABS]
        self.stages[0].children = [self.map.widget]
        self.tabs = ipywidgets.Tab(self.stages, titles=_TABS, selected_index=0)
        self.tabs.observe(self._turn, "selected_index")
        self.map.open()

    def show_label(self, label: str) -> None:
        """Images of a label, its points on the map, and its search where that is open."""
        self.label = label
        if label in self.images.labels:
            at = self.images.labels.index(label)
            self.gallery.show_label(at)
            self.map.light(at)
            if self.tabs.selected_index == 2:
                self._turn()
        else:
            self.gallery.show(label, "This result has no such label.", [])
            self.map.light(None)

    def _points(self, keys: list[Key]) -> None:
        """Show images that were chosen on the map, or the label again where none is."""
        if keys:
            note = f"of {count(len({k.label for k in keys}), 'label')}, chosen on the map"
            self.gallery.show(count(len(keys), "image"), note, [("", "", keys, True)])
        elif self.label:
            self.show_label(self.label)

    def _turn(self, _: Any = None) -> None:
        """Build what a tab shows when it is opened; what takes time says so."""
        if self.tabs.selected_index == 1 and self.matrix is None:
            self.stages[1].children = [heading("Drawing the matrix …", small=True)]
            self.matrix = Matrix(self.images, self.gallery.show_cell)
            self.stages[1].children = [self.matrix.widget]
        if self.tabs.selected_index == 2:
            label = self.label if self.label in self.images.labels else self.images.labels[0]
            past = self.search
            if past is not None and past.label == label:
                return
            if past is None:
                self.stages[2].children = [heading("Drawing the search …", small=True)]
            self.search = Search(self.images.tree, label=label)
            words = f"arm: {arm_words(self.search.arm)}"
            head = heading(f"The search for “{label}”", words, small=True)
            self.stages[2].children = [head, *self.search.parts]
            if past is not None:
                past.close()


def _head(images: Images, letter: str = "") -> Any:
    attributes, status = images.tree.attrs, images.read["status"].values
    words = {"done": "done", "failed": "failed", "stopped": "stopped", "missing": "not run"}
    n = {key: int((status == key).sum()) for key in words}
    units = f"{n['done']} of {status.size} units done"
    units += "".join(f", {n[k]} {w}" for k, w in words.items() if n[k] and k != "done")
    return heading(
        f"{letter + ':' if letter else 'Audit of'} {attributes['classifier']}",
        f"through {attributes['generator']} · {count(len(images.labels), 'label')} · arms: "
        f"{', '.join(map(arm_words, images.arms))} · {count(len(images.seeds), 'run')} · {units}",
    )
