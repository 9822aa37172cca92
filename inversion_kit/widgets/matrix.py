"""What is read as what: the matrix of one arm, or of two arms' difference, to click."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets

from inversion_kit import arm_roles
from inversion_kit.analysis.words import arm_words
from inversion_kit.figures.matrices import confusion_spec
from inversion_kit.widgets.elements import choice, heading, plotly_widget, tools
from inversion_kit.widgets.images import Images

_MOST = 60
"""Labels in the matrix: of more, those that are missed most often."""
_DIFFERENCE = "difference"


class Matrix:
    """The figure `inversion_kit.figures.confusion`, an arm at a time.

    Parameters
    ----------
    images
        The result's.
    heard
        Called with the places of a label, a class and an arm when a cell is clicked.
    """

    def __init__(self, images: Images, heard: Callable[[int, int, int], None]) -> None:
        self.images, self.heard = images, heard
        others = [a for a in images.arms if a != images.arm]
        self.control = arm_roles.name_arm(others) or arm_roles.before_arm(others)
        kinds = [(arm_words(a), a) for a in images.arms]
        if self.control is not None:
            words = f"{arm_words(images.arm)} − {arm_words(self.control)}"
            kinds.append((words, _DIFFERENCE))
        first = images.arms.index(images.arm)
        self.picker = choice("Images of", kinds, self._draw, first)
        self.figure: Any = None
        note = "Share of each label's test images; click a cell to see them."
        if len(images.labels) > _MOST:
            note += f" The {_MOST} labels that are missed most often."
        head = heading("What the images are read as", note, small=True)
        self.widget = ipywidgets.VBox([head, tools([self.picker])])
        self._draw()

    def _draw(self, _: Any = None) -> None:
        """Draw what is picked."""
        what = self.picker.value
        signed = what == _DIFFERENCE
        spec = confusion_spec(
            self.images.read,
            arm=self.images.arm if signed else what,
            control=self.control,
            most=_MOST,
            show=("difference" if signed else "arm",),
        )
        layout = spec["layout"]
        layout["height"] -= layout["margin"]["t"] - 30
        layout["margin"] |= {"l": 110, "r": 10, "t": 30}
        if self.figure is None:
            self.figure = plotly_widget(spec)
            self.figure.data[0].on_click(self._click)
            self.widget.children = [*self.widget.children, self.figure]
            return
        with self.figure.batch_update():
            for trace, new in zip(self.figure.data, spec["data"], strict=True):
                trace.update(new)
            self.figure.update_layout({**spec["layout"], "title": None})

    def _click(self, trace: Any, points: Any, state: Any) -> None:
        if points.xs:
            self.choose(int(points.ys[0]), int(points.xs[0]))

    def choose(self, row: int, column: int) -> None:
        """Say which images a cell means; a difference means those of the main arm."""
        label, read_as = (int(v) for v in self.figure.data[0].customdata[row][column][:2])
        if read_as >= 0:
            what = self.picker.value
            arm = self.images.arm if what == _DIFFERENCE else what
            self.heard(label, read_as, self.images.arms.index(arm))
