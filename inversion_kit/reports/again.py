"""How a result is made again: a shell command of an audit, Python code of a run."""

from __future__ import annotations

import shlex
from typing import Any

_REPEATED = (
    "prompts", "steps", "batch", "lr", "gradient", "stop_at", "check_every", "patience",
    "restarts", "validation", "samples",
)  # fmt: skip
_SEARCHED = (
    "prompts",
    "seed",
    *_REPEATED[1:9],
    "start",
    "validation",
    "samples",
    "method",
    "queries",
)


def audit_command(found: dict[str, Any]) -> str:
    """A shell command that makes the audit again; empty where its models had no names.

    Parameters
    ----------
    found
        What `audit_table.numbers` gave.
    """
    settings = found["settings"]
    sources = settings.get("sources")
    if not sources:
        return ""
    labels = [row["index"] for row in found["labels"]]
    options = {
        "generator": sources["generator"],
        "judges": sources["judges"],
        "views": settings["views"],
        "arms": found["arms"],
        "seeds": found["seeds"],
        "store": "again",
        **{k: settings[k] for k in _REPEATED if k in settings},
    }
    every = found["classes"] == len(labels)
    said = ", ".join(f"{k}={v!r}" for k, v in options.items())
    call = f"audit({sources['model']!r}, {None if every else labels}, {said})"
    return f"python -c {shlex.quote(f'import inversion_kit as ik; ik.{call}')}"


def run_code(attributes: dict[str, Any]) -> str:
    """Python code that makes a run again; its models stand by their names.

    Parameters
    ----------
    attributes
        Of the result, ``judges`` and ``settings`` read from their JSON.
    """
    settings = attributes["settings"]
    options = {
        "generator": attributes["generator"],
        "judges": list(attributes["judges"]),
        **{k: settings[k] for k in _SEARCHED if settings.get(k) is not None},
    }
    said = "".join(f"    {k}={v!r},\n" for k, v in options.items())
    asked = f"    {attributes['classifier']!r},\n    {int(attributes['label_index'])},\n"
    return f"import inversion_kit as ik\n\ntree = ik.invert(\n{asked}{said})"
