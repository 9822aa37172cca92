"""How IPython shows results and models; importing this is light."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def register(shell: Any) -> None:
    """Let a shell of IPython show results, models and diagnoses by their summaries.

    Results are plain `xarray.DataTree`; trees of anything else stay as xarray shows them. A class
    is known by its name and so are those below it, such as ensembles: nothing is imported here.
    """
    html = shell.display_formatter.formatters["text/html"]
    for module, name, made in (
        ("xarray.core.datatree", "DataTree", _shown("summary", "shown")),
        ("inversion_kit.classifiers.base", "Classifier", _shown("model_facts", "classifier_html")),
        ("inversion_kit.generators.base", "Generator", _shown("model_facts", "generator_html")),
        (
            "inversion_kit.classifiers.doctor.diagnosis",
            "Diagnosis",
            _shown("model_facts", "diagnosis_html"),
        ),
    ):
        html.for_type_by_name(module, name, made)


def _shown(module: str, name: str) -> Callable[[Any], str]:
    """A function of this folder, imported when something is shown."""

    def show(thing: Any) -> str:

        return str(getattr(importlib.import_module(f"inversion_kit.widgets.{module}"), name)(thing))

    return show
