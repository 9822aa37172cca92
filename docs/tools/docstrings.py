"""What griffe, which reads docstrings without running code, cannot know."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import griffe

TABLE = re.compile(r"^=+ +=[= ]*\n(?:.*\n)+?^=+ +=[= ]*\n(?:.*\n)+?^=+ +=[= ]*$", re.MULTILINE)


class AtRunTime(griffe.Extension):
    """Signatures and docstrings that `takes_settings` completes; tables as they stand."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Take parameters and docstring of a decorated call from the call itself."""
        if not any("takes_settings" in str(d.value) for d in func.decorators):
            return
        call = getattr(importlib.import_module(func.module.path), func.name)
        func.decorators = []
        if func.docstring:
            func.docstring.value = inspect.getdoc(call) or ""
        func.parameters = griffe.Parameters(
            *(
                griffe.Parameter(
                    p.name,
                    annotation=str(p.annotation),
                    kind=griffe.ParameterKind(p.kind.description),
                    default=None if p.default is p.empty else repr(p.default),
                )
                for p in inspect.signature(call).parameters.values()
            )
        )

    def on_module(self, *, mod: griffe.Module, **_: Any) -> None:
        """Show a table of a module's docstring in fixed width."""
        if mod.docstring:
            mod.docstring.value = TABLE.sub(r"```text\n\g<0>\n```", mod.docstring.value)
