"""inversion_kit shows what an image classifier has learned, honestly.

It trains discriminative class tokens (Schwartz et al., ICCV 2023) of a frozen text-to-image
diffusion pipeline against any image classifier, and keeps everything seen on the way.

The flow, left to right: `classifiers` and `generators` -> `search` -> `audits` (`invert` and
`audit`: units of label x arm x seed) -> an `xarray.DataTree` (`schema`) in `storage` -> `analysis`
-> `figures` -> `reports` and `widgets`.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from inversion_kit.progress import VIEWS

__version__ = "0.1.0"

_HOME = {
    "invert": "audits.invert",
    "audit": "audits.run",
    "resume": "audits.run",
    "findings": "finding.run",
    "compare": "comparing.run",
    "as_classifier": "classifiers.convert",
    "Classifier": "classifiers.base",
    "Preprocess": "classifiers.preprocess",
    "doctor": "classifiers.doctor",
    "Diagnosis": "classifiers.doctor",
    "as_generator": "generators.convert",
    "Generator": "generators.base",
    "ClassToken": "generators.class_token",
    "save_token": "generators.token_file",
    "load_token": "generators.token_file",
    "generate": "generators.free_text",
    "textual_inversion": "search.textual_inversion",
    "augment": "improve.augment",
    "repair": "improve.repair",
    "Repaired": "improve.repair",
    "evaluate": "evaluation.evaluate",
    "coverage": "evaluation.coverage",
    "save": "storage.store",
    "open": "storage.store",
    "consolidate": "storage.export",
    "to_netcdf": "storage.export",
    "export_images": "storage.export",
    "validate": "schema",
    "success": "analysis",
    "report": "reports",
    "explore": "widgets.explorer",
    "InversionError": "errors",
    "InputError": "errors",
    "LabelError": "errors",
    "ClassifierUnavailableError": "errors",
    "GeneratorUnavailableError": "errors",
    "NumericalError": "errors",
    "SchemaError": "errors",
    "StoreError": "errors",
    "StoreLockedError": "errors",
}
_MODULES = frozenset({"analysis", "arms", "figures", "objectives", "schema", "testing"})
"""What users reach as `inversion_kit.figures` and the like, imported when first used too."""
__all__ = sorted({*_HOME, *_MODULES})

if TYPE_CHECKING:
    from inversion_kit.analysis import success
    from inversion_kit.audits.invert import invert
    from inversion_kit.audits.run import audit, resume
    from inversion_kit.classifiers.base import Classifier
    from inversion_kit.classifiers.convert import as_classifier
    from inversion_kit.classifiers.doctor import Diagnosis, doctor
    from inversion_kit.classifiers.preprocess import Preprocess
    from inversion_kit.comparing.run import compare
    from inversion_kit.errors import (
        ClassifierUnavailableError,
        GeneratorUnavailableError,
        InputError,
        InversionError,
        LabelError,
        NumericalError,
        SchemaError,
        StoreError,
        StoreLockedError,
    )
    from inversion_kit.evaluation.coverage import coverage
    from inversion_kit.evaluation.evaluate import evaluate
    from inversion_kit.finding.run import findings
    from inversion_kit.generators.base import Generator
    from inversion_kit.generators.class_token import ClassToken
    from inversion_kit.generators.convert import as_generator
    from inversion_kit.generators.free_text import generate
    from inversion_kit.generators.token_file import load_token, save_token
    from inversion_kit.improve.augment import augment
    from inversion_kit.improve.repair import Repaired, repair
    from inversion_kit.reports import report
    from inversion_kit.schema import validate
    from inversion_kit.search.textual_inversion import textual_inversion
    from inversion_kit.storage.export import consolidate, export_images, to_netcdf
    from inversion_kit.storage.store import open, save
    from inversion_kit.widgets.explorer import explore


VIEWS["widget"] = lambda: importlib.import_module("inversion_kit.widgets").live_view()


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: nothing heavy at import."""
    if name in _MODULES:
        return importlib.import_module(f"inversion_kit.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'inversion_kit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"inversion_kit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]


if "IPython" in sys.modules and (_shell := sys.modules["IPython"].get_ipython()) is not None:
    from inversion_kit.widgets.ipython import register

    register(_shell)
