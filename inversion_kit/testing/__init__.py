"""Small, valid, made-up results, for tests and for trying the views without a model."""

from inversion_kit.testing.comparison import synthetic_comparison
from inversion_kit.testing.drawing import COLOURS
from inversion_kit.testing.findings import synthetic_findings
from inversion_kit.testing.plan import synthetic_plan
from inversion_kit.testing.result import synthetic
from inversion_kit.testing.unit import OUTCOMES, synthetic_unit

__all__ = [
    "synthetic",
    "synthetic_findings",
    "synthetic_comparison",
    "synthetic_plan",
    "synthetic_unit",
    "OUTCOMES",
    "COLOURS",
]
