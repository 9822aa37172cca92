"""Pages without a script: style, hashes, and how large they may be."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from markupsafe import Markup

from inversion_kit.errors import InputError
from inversion_kit.figures.templates import digest, environment
from inversion_kit.reports.page import source_of


def still_page(template: str, more: str, *, max_mb: float, pictures: str = "", **given: Any) -> str:
    """A page of a template and what it is given.

    Parameters
    ----------
    template
        Of this package; its ``style``, ``pictures`` and ``hashes`` are filled in here.
    more
        Style beside that of all reports.
    max_mb
        The most megabytes of the page.
    pictures
        Style that holds pictures.

    Raises
    ------
    InputError
        It would be larger than ``max_mb`` megabytes.
    """
    space = environment("inversion_kit.reports")
    style = Markup(source_of(space, "report.css") + more)
    held = Markup(pictures)
    page = space.get_template(template).render(
        style=style, pictures=held, hashes=[digest(style), digest(held)], **given
    )
    size = len(page.encode())
    if size > max_mb * 1e6:
        raise InputError(f"max_mb={max_mb:g}: the report needs {size / 1e6:.1f}; give more")
    return page


def ends(table: xr.Dataset, name: str, **at: Any) -> dict[str, float] | None:
    """A value with its interval's ends, None where there is none; that of no name is a share.

    Examples
    --------
    >>> ends(xr.Dataset({"share": 0.5, "low": 0.2, "high": 0.8}), "")
    {'value': 0.5, 'low': 0.2, 'high': 0.8}
    """
    names = [f"{name}{end}" for end in ("", "_low", "_high")] if name else ["share", "low", "high"]
    values = [
        float(table[n].sel({d: v for d, v in at.items() if d in table[n].dims})) for n in names
    ]
    if not np.isfinite(values[0]):
        return None
    return dict(zip(("value", "low", "high"), values, strict=True))
