"""Templates of the pages of reports and widgets."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from inversion_kit.analysis import words
from inversion_kit.figures.intervals import interval_svg


def environment(package: str, folder: str = "templates") -> Environment:
    r"""Jinja over a package's templates; everything is escaped, a missing name is an error.

    Characters that nobody sees are written out. Filters: ``percent``, ``bracket``, ``points``,
    and ``interval``, the drawing of `interval_svg`.

    Parameters
    ----------
    package, folder
        Where the templates lie.

    Examples
    --------
    >>> pages = environment("inversion_kit.reports")
    >>> pages.from_string("{{ name }} {{ 0.5|percent }}").render(name="</script>")
    '&lt;/script&gt; 50\xa0%'
    """
    made = Environment(
        loader=PackageLoader(package, folder),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_shown,
    )
    made.filters["percent"] = words.percent
    made.filters["bracket"] = words.bracket
    made.filters["points"] = words.points
    made.filters["interval"] = lambda *ends: Markup(interval_svg(*ends))
    return made


def digest(text: str) -> str:
    """A style or a script as the policy of its page names it.

    Examples
    --------
    >>> digest("")
    'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
    """
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _shown(value: Any) -> Any:
    hidden = isinstance(value, str) and not isinstance(value, Markup)
    return words.visible(value) if hidden else value
