"""What the doctor found: checks and trials, as text and as HTML."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass

STATUSES = ("ok", "warn", "fail", "skip")


@dataclass(frozen=True)
class Check:
    """One check: what was seen, why it matters, what to type.

    Parameters
    ----------
    name
        For example "label order".
    status
        "ok", "warn", "fail", or "skip" where it could not be told.
    seen, why, type_this
        Sentences; the last is empty where there is nothing to do.
    """

    name: str
    status: str
    seen: str
    why: str
    type_this: str = ""


@dataclass(frozen=True)
class Trial:
    """The accuracy on the labelled images with one thing changed."""

    check: str
    change: str
    accuracy: float
    type_this: str


@dataclass(frozen=True)
class Diagnosis:
    """The result of `doctor`: print it, or show it in a notebook.

    Parameters
    ----------
    model
        The classifier's name.
    checks
        All checks, in the order they were made.
    trials
        What the usual alternatives gave, best first; empty without labelled images.
    accuracy
        On the labelled images as things are; None without.
    images
        Number of images that were looked at.

    Examples
    --------
    >>> found = Diagnosis("m", (Check("gradient", "fail", "all zero", "It steers.", "..."),))
    >>> found.healthy, found["gradient"].status
    (False, 'fail')
    """

    model: str
    checks: tuple[Check, ...]
    trials: tuple[Trial, ...] = ()
    accuracy: float | None = None
    images: int = 0

    @property
    def healthy(self) -> bool:
        """Whether no check warns or fails."""
        return not self.alarms

    @property
    def alarms(self) -> tuple[Check, ...]:
        """The checks that warn or fail, failures first."""
        raised = [c for c in self.checks if c.status in ("warn", "fail")]
        return tuple(sorted(raised, key=lambda c: c.status != "fail"))

    @property
    def best(self) -> Trial | None:
        """The alternative with the highest accuracy."""
        return self.trials[0] if self.trials else None

    def __getitem__(self, name: str) -> Check:
        """The check of a name."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(f"{name!r}; there are {', '.join(repr(c.name) for c in self.checks)}")

    def verdict(self) -> str:
        """One sentence."""
        if self.healthy:
            return f"{self.model}: nothing found."
        names = ", ".join(check.name for check in self.alarms)
        return f"{self.model}: look at {names}."

    def __str__(self) -> str:
        lines = [self.verdict(), ""]
        wide = max(len(check.name) for check in self.checks)
        for check in self.checks:
            lines.append(f"{check.status:<4}  {check.name:<{wide}}  {check.seen}")
            if check.status in ("warn", "fail"):
                for word, text in (("why ", check.why), ("type", check.type_this)):
                    lines += textwrap.wrap(
                        text, 96, initial_indent=f"      {word}  ", subsequent_indent=" " * 12
                    )
        if self.trials and self.accuracy is not None:
            lines += ["", f"accuracy on {self.images} labelled images"]
            lines.append(f"  {self.accuracy:6.1%}  as it is")
            lines += [f"  {t.accuracy:6.1%}  {t.change}" for t in self.trials]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        colour = {"ok": "#1a7f37", "warn": "#9a6700", "fail": "#cf222e", "skip": "#57606a"}
        rows = "".join(
            f'<tr><td style="color:{colour[c.status]};font-weight:bold">{c.status}</td>'
            f"<td>{html.escape(c.name)}</td>"
            f'<td style="text-align:left">{html.escape(c.seen)}</td>'
            f'<td style="text-align:left">{html.escape(c.why)}</td>'
            f'<td style="text-align:left"><code>{html.escape(c.type_this)}</code></td></tr>'
            for c in self.checks
        )
        head = "".join(f"<th>{h}</th>" for h in ("", "check", "seen", "why", "type this"))
        page = (
            f"<p><b>{html.escape(self.verdict())}</b></p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )
        if self.trials and self.accuracy is not None:
            tried = [("as it is", self.accuracy), *((t.change, t.accuracy) for t in self.trials)]
            body = "".join(
                f"<tr><td>{a:.1%}</td><td>{html.escape(change)}</td></tr>" for change, a in tried
            )
            page += (
                f"<p>Accuracy on {self.images} labelled images</p>"
                f"<table><tbody>{body}</tbody></table>"
            )
        return page
