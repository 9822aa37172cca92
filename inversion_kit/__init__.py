"""inversion_kit shows what an image classifier has learned, honestly.

It trains discriminative class tokens (Schwartz et al., ICCV 2023) of a frozen text-to-image
diffusion pipeline against any image classifier, and keeps everything seen on the way.

The flow, left to right: `classifiers` and `generators` -> `search` (`invert`) and `audits`
(`audit`) -> an `xarray.DataTree` (`schema`) in `storage` -> `analysis` -> `figures`, `reports`.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "invert": "search.run",
    "audit": "audits.run",
    "resume": "audits.run",
    "as_classifier": "classifiers.base",
    "Classifier": "classifiers.base",
    "Preprocess": "classifiers.base",
    "doctor": "classifiers.checkup",
    "Diagnosis": "classifiers.diagnosis",
    "as_generator": "generators.base",
    "Generator": "generators.base",
    "ClassToken": "generators.class_token",
    "save_token": "generators.token_file",
    "load_token": "generators.token_file",
    "generate": "generators.free_text",
    "save": "storage.store",
    "open": "storage.store",
    "consolidate": "storage.export",
    "to_netcdf": "storage.export",
    "export_images": "storage.export",
    "validate": "schema",
    "success": "analysis.runs",
    "report": "reports.html_report",
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
_MODULES = frozenset({"analysis", "figures", "objectives", "schema", "testing"})
"""What users reach as `inversion_kit.figures` and the like, imported when first used too."""
__all__ = sorted({*_HOME, *_MODULES})

if TYPE_CHECKING:
    from inversion_kit.analysis.runs import success
    from inversion_kit.audits.run import audit, resume
    from inversion_kit.classifiers.base import Classifier, Preprocess, as_classifier
    from inversion_kit.classifiers.checkup import doctor
    from inversion_kit.classifiers.diagnosis import Diagnosis
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
    from inversion_kit.generators.base import Generator, as_generator
    from inversion_kit.generators.class_token import ClassToken
    from inversion_kit.generators.free_text import generate
    from inversion_kit.generators.token_file import load_token, save_token
    from inversion_kit.reports.html_report import report
    from inversion_kit.schema import validate
    from inversion_kit.search.run import invert
    from inversion_kit.storage.export import consolidate, export_images, to_netcdf
    from inversion_kit.storage.store import open, save
    from inversion_kit.widgets.explorer import explore


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
