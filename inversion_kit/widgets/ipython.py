"""How IPython shows results; importing this is light."""

from __future__ import annotations

from typing import Any


def register(shell: Any) -> None:
    """Let a shell of IPython show results by their summary.

    Results are plain `xarray.DataTree`; trees of anything else stay as xarray shows them.
    """
    shell.display_formatter.formatters["text/html"].for_type_by_name(
        "xarray.core.datatree", "DataTree", _shown
    )


def _shown(tree: Any) -> str:
    from inversion_kit.widgets.summary import shown

    return shown(tree)
