"""Pictures of a result: a DataTree or Dataset in, a plotly Figure out. No model library is needed.

plotly comes with the extra ``notebook``: ``pip install 'inversion-kit[notebook]'``. Labels are
data: no markup in them reaches a figure. No colour carries a meaning alone.
"""

from __future__ import annotations

from inversion_kit.figures.bars import findings, neighbours, semantic, success
from inversion_kit.figures.images import before_after, strip
from inversion_kit.figures.matrices import confusion
from inversion_kit.figures.paths import trajectory
from inversion_kit.figures.scatter import projection

__all__ = [
    "trajectory",
    "strip",
    "before_after",
    "confusion",
    "projection",
    "success",
    "semantic",
    "neighbours",
    "findings",
]
