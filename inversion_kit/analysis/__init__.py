"""Numbers, with their intervals, and sentences from a result: xarray in, xarray out, no torch."""

from inversion_kit.analysis.audit_numbers import (
    confusion,
    confusion_difference,
    crossed,
    label_success,
    never_reached,
    overall_success,
    paired_effects,
    semantic_index,
    view_index,
)
from inversion_kit.analysis.audit_reads import reads
from inversion_kit.analysis.audit_repeat import repeatability
from inversion_kit.analysis.audits import Attention, attention, audit_sentences
from inversion_kit.analysis.projection import project
from inversion_kit.analysis.runs import (
    agreement,
    hits,
    paired_difference,
    success,
    summary_sentences,
    trajectory,
)

__all__ = [
    "Attention",
    "agreement",
    "attention",
    "audit_sentences",
    "confusion",
    "confusion_difference",
    "crossed",
    "hits",
    "label_success",
    "never_reached",
    "overall_success",
    "paired_difference",
    "paired_effects",
    "project",
    "reads",
    "repeatability",
    "semantic_index",
    "success",
    "summary_sentences",
    "trajectory",
    "view_index",
]
