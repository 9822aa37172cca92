"""inversion_kit shows what an image classifier has learned, honestly.

It trains discriminative class tokens (Schwartz et al., ICCV 2023) of a frozen text-to-image
diffusion pipeline against any image classifier, and keeps everything seen on the way.

The flow, left to right: `as_classifier` and `as_generator` -> `invert` -> an `xarray.DataTree`
(`schema`) -> `save`, `open`, `analysis`, `report`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "invert": "run",
    "audit": "audit_run",
    "resume": "audit_run",
    "as_classifier": "classifiers",
    "Classifier": "classifiers",
    "Preprocess": "classifiers",
    "doctor": "checkup",
    "Diagnosis": "diagnosis",
    "as_generator": "generators",
    "Generator": "generators",
    "ClassToken": "class_token",
    "save_token": "token_file",
    "load_token": "token_file",
    "generate": "free_text",
    "save": "store",
    "open": "store",
    "consolidate": "export",
    "to_netcdf": "export",
    "export_images": "export",
    "validate": "schema",
    "success": "analysis",
    "report": "html_report",
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
__all__ = sorted(_HOME)

if TYPE_CHECKING:
    from inversion_kit.analysis import success
    from inversion_kit.audit_run import audit, resume
    from inversion_kit.checkup import doctor
    from inversion_kit.class_token import ClassToken
    from inversion_kit.classifiers import Classifier, Preprocess, as_classifier
    from inversion_kit.diagnosis import Diagnosis
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
    from inversion_kit.export import consolidate, export_images, to_netcdf
    from inversion_kit.free_text import generate
    from inversion_kit.generators import Generator, as_generator
    from inversion_kit.html_report import report
    from inversion_kit.run import invert
    from inversion_kit.schema import validate
    from inversion_kit.store import open, save
    from inversion_kit.token_file import load_token, save_token


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: nothing heavy at import."""
    if name not in _HOME:
        raise AttributeError(f"module 'inversion_kit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"inversion_kit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
