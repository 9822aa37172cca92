"""Plain lines where nobody sees a bar move; nothing where progress is off."""

from __future__ import annotations

import io

import pytest

from inversion_kit import progress
from inversion_kit.progress import Lines, bar


@pytest.fixture
def tick(monkeypatch):
    """A clock that stands; call it to let seconds pass."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def let_pass(seconds):
        now[0] += seconds

    return let_pass


def test_lines_come_every_few_seconds_and_at_the_end(tick):
    out = io.StringIO()
    with Lines(total=5, desc="audit", every=10, file=out) as shown:
        for _ in range(5):
            tick(6)
            shown.update()
    assert out.getvalue().splitlines() == [
        "audit: 2/5, 18 s left",
        "audit: 4/5, 6 s left",
        "audit: 5/5, 0 s left",
    ]


def test_what_was_there_before_does_not_count_as_speed(tick):
    out = io.StringIO()
    shown = Lines(total=10, desc="audit", initial=6, every=0, file=out)
    tick(5)
    shown.set_postfix_str("token success 50%")
    shown.update()
    assert out.getvalue() == "audit: 7/10, 15 s left, token success 50%\n"


def test_without_a_terminal_the_bar_is_lines_on_stderr(capsys):
    with bar(total=1, desc="audit") as shown:
        shown.update()
    out, err = capsys.readouterr()
    assert (out, err) == ("", "audit: 1/1, 0 s left\n")


def test_disabled_is_silent(capsys):
    with bar(total=1, desc="audit", disable=True) as shown:
        shown.set_postfix_str("x")
        shown.update()
    assert capsys.readouterr() == ("", "")


def test_without_a_time_the_note_says_it_all(tick):
    out = io.StringIO()
    shown = Lines(total=10, desc="audit", every=0, timed=False, file=out)
    shown.set_postfix_str("4 s of the budget left")
    shown.update()
    assert out.getvalue() == "audit: 1/10, 4 s of the budget left\n"
