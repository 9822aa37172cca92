"""Numbers, with their intervals, and sentences from a result: xarray in, xarray out, no torch.

Everywhere ``tree`` is any result, of one label or many, opened lazily or held in memory, and no
pixel is read before it is touched. Those that need each image's first class alone take what `reads`
gave in its place, others as ``read=`` beside it. ``arm`` is the main one where not given
(`inversion_kit.arm_roles.main_arm`), ``label`` has to be given where there are several; what is
unknown is an `InputError` that names near ones. ``n_boot`` and ``seed`` are the resamples of a
bootstrap and its seed.

Units that failed or were not run, and images without finite probabilities, are in no number; how
many images each number is over stands beside it. Intervals are those of `intervals`: 95 %, wider
where runs differ, and over other noise only where there is one run. Noise is shared between arms
and labels, so differences are paired and pools over labels resample all labels together.
"""

from inversion_kit.analysis.again import code
from inversion_kit.analysis.both_read import both_read
from inversion_kit.analysis.carried import carriers
from inversion_kit.analysis.compared_data import comparison_data
from inversion_kit.analysis.cues import findings, findings_data, looked_for
from inversion_kit.analysis.gates import check_gates, parse_gate
from inversion_kit.analysis.measure import measure
from inversion_kit.analysis.mixups import (
    confusion,
    confusion_difference,
    crossed,
    never_reached,
    read_as,
)
from inversion_kit.analysis.pictures import grid, nearest_words, strip
from inversion_kit.analysis.projection import keep_projection, project, projected, stored
from inversion_kit.analysis.properties import properties
from inversion_kit.analysis.property_words import stands_out
from inversion_kit.analysis.rates import (
    compare,
    overall_success,
    paired_effects,
    search_gap,
    semantic_index,
    success,
    view_index,
)
from inversion_kit.analysis.reading import reads
from inversion_kit.analysis.repeat import repeatability
from inversion_kit.analysis.rows import Attention, attention
from inversion_kit.analysis.search_path import trajectory
from inversion_kit.analysis.summary import sentences
from inversion_kit.analysis.table import label_verdicts, numbers
from inversion_kit.analysis.tied import dose_words, judge_finding, proof
from inversion_kit.analysis.where import where

__all__ = [
    "Attention",
    "attention",
    "both_read",
    "carriers",
    "check_gates",
    "code",
    "compare",
    "comparison_data",
    "confusion",
    "confusion_difference",
    "crossed",
    "findings",
    "findings_data",
    "looked_for",
    "dose_words",
    "judge_finding",
    "grid",
    "keep_projection",
    "measure",
    "label_verdicts",
    "nearest_words",
    "never_reached",
    "numbers",
    "overall_success",
    "paired_effects",
    "parse_gate",
    "project",
    "projected",
    "proof",
    "properties",
    "read_as",
    "reads",
    "search_gap",
    "repeatability",
    "semantic_index",
    "sentences",
    "stands_out",
    "stored",
    "strip",
    "success",
    "trajectory",
    "view_index",
    "where",
]
