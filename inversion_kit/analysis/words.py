"""What figures, widgets and reports call the same thing, its sign, and text that nobody sees."""

from __future__ import annotations

import re

ARMS = {
    "start": "start",
    "name": "name prompt",
    "token+name": "token + name",
    "token": "token",
    "shuffled": "shuffled control",
    "real": "real images",
}
"""Arms in words."""
VERDICTS = {
    "confirmed": "Confirmed",
    "mixed": "Mixed up",
    "trick": "A trick",
    "control": "No better than the control",
    "never": "Never reached",
    "open": "Not settled",
    "none": "No images",
}
"""What can be said of a label, and its words."""
SIGNS = {
    "confirmed": "●", "mixed": "⇄", "trick": "▲", "control": "◇", "never": "○", "open": "?",
    "none": "–",
}  # fmt: skip
"""The sign of every verdict. ✓ and ≠ are kept for what one image is read as."""
DRAWN = (
    "not read as the label",
    "real",
    "token",
    "not judged",
    "confirmed",
    "not confirmed",
)
"""Verdicts of points on a map, from the bottom to the top: tricks must not be painted over."""
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


def visible(text: str) -> str:
    r"""Text whose control and direction characters, which nobody sees, are written out.

    Examples
    --------
    >>> visible("stop\u202egpj")
    'stop[U+202E]gpj'
    """
    return _HIDDEN.sub(lambda found: f"[U+{ord(found.group()):04X}]", text)
