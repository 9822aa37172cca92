"""Progress for notebooks and terminals, and plain lines where there is neither."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from tqdm.auto import tqdm


class Lines:
    """A progress bar's calls, answered by a line every few seconds: for logs.

    Parameters
    ----------
    total
        Things to do.
    desc
        What is being done.
    every
        Least seconds between two lines.

    Examples
    --------
    >>> with Lines(total=2, desc="audit", file=sys.stdout) as bar:
    ...     bar.update(2)
    audit: 2/2, 0 s left
    """

    def __init__(
        self, *, total: int, desc: str, initial: int = 0, every: float = 10.0,
        file: TextIO | None = None,
    ) -> None:  # fmt: skip
        self.total, self.desc, self.n, self.first = total, desc, initial, initial
        self.every, self.file = every, file
        self.began = self.said = time.monotonic()
        self.note = ""

    def update(self, n: int = 1) -> None:
        """Count ``n`` more."""
        self.n += n
        now = time.monotonic()
        if self.n < self.total and now - self.said < self.every:
            return
        self.said = now
        rate = (now - self.began) / max(1, self.n - self.first)
        note = f", {self.note}" if self.note else ""
        left = f"{rate * (self.total - self.n):.0f} s left"
        print(f"{self.desc}: {self.n}/{self.total}, {left}{note}", file=self.file or sys.stderr)

    def set_postfix_str(self, note: str, refresh: bool = True) -> None:
        """Keep what the next line says beside the count."""
        self.note = note

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        return None


def bar(*, total: int, desc: str, initial: int = 0, disable: bool = False) -> Any:
    """A `tqdm.auto` bar where someone can see it move, else `Lines`; nothing where disabled."""
    seen = "ipykernel" in sys.modules or sys.stderr.isatty()
    if disable or seen:
        return tqdm(total=total, desc=desc, initial=initial, disable=disable)
    return Lines(total=total, desc=desc, initial=initial)
