"""Results in a notebook: `inversion_kit.explore`, the live view of `invert`, and summaries as HTML.

A view is made of ipywidgets' own controls, plotly figures of the specifications in `figures`, and a
few anywidgets over plain data (`elements`); what links them is Python (`search`, `views`). They
need the extra ``notebook``, no server and no network.
"""

from __future__ import annotations

import importlib
from typing import Any

from inversion_kit.errors import InputError


def live_view() -> Any:
    """The class of the live view of a search, `inversion_kit.widgets.live.LiveView`.

    Raises
    ------
    InputError
        ipywidgets is missing.
    """
    return notebook_module("live").LiveView


def notebook_module(name: str) -> Any:
    """A module of this folder that stands on ipywidgets.

    Raises
    ------
    InputError
        It is missing; the error says what to install.
    """
    try:
        return importlib.import_module(f"inversion_kit.widgets.{name}")
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("anywidget", "ipywidgets", "plotly", "traitlets"):
            raise
        raise InputError(
            f"{error.name} is missing: pip install 'inversion-kit[notebook]' and restart the kernel"
        ) from error
