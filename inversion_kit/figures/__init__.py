"""Pictures of a result. No model library is needed, and plotly only for its figures.

What is drawn is one function: ``<name>_spec`` makes a specification, a plain dict in plotly's JSON
terms, of a Dataset of `inversion_kit.analysis`. ``<name>`` gives a plotly Figure of it (plotly
comes with the extra ``notebook``: ``pip install 'inversion-kit[notebook]'``),
`inversion_kit.figures.static.svg` an inline drawing. Labels are data: no markup in them reaches a
picture. No colour carries a meaning alone.
"""

from __future__ import annotations

from inversion_kit.figures.bars import (
    findings,
    findings_spec,
    neighbours,
    neighbours_spec,
    semantic,
    semantic_spec,
    success,
    success_spec,
)
from inversion_kit.figures.both_read import both_read, both_read_spec
from inversion_kit.figures.images import before_after, before_after_spec, strip, strip_spec
from inversion_kit.figures.matrices import confusion, confusion_spec
from inversion_kit.figures.paths import live_spec, trajectory, trajectory_spec
from inversion_kit.figures.proofs import doses, doses_spec, proof, proof_spec
from inversion_kit.figures.scatter import projection, projection_spec
from inversion_kit.figures.static import svg
from inversion_kit.figures.where import where, where_spec

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
    "proof",
    "both_read",
    "doses",
    "where",
    "trajectory_spec",
    "live_spec",
    "strip_spec",
    "before_after_spec",
    "confusion_spec",
    "projection_spec",
    "success_spec",
    "semantic_spec",
    "neighbours_spec",
    "findings_spec",
    "proof_spec",
    "both_read_spec",
    "doses_spec",
    "where_spec",
    "svg",
]
