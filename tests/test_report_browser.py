"""The report of an audit in a real Chromium: nothing leaks or runs, and what is clicked changes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_audit_report import OUTCOMES, hostile

from inversion_kit.reports.html_report import report
from inversion_kit.testing import synthetic_audit

pytestmark = pytest.mark.browser
sync_api = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or "/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu"],
        )
        yield made
        made.close()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = synthetic_audit(labels=8, outcomes=OUTCOMES, samples=16)
    return report(tree, tmp_path_factory.mktemp("plain") / "audit.html")


@pytest.fixture
def watched(browser: Any) -> Iterator[tuple[Any, list[str]]]:
    """A page and everything that it must not do."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page, faults = context.new_page(), []

    def dialog(shown: Any) -> None:
        faults.append(f"dialog: {shown.message}")
        shown.dismiss()

    def request(sent: Any) -> None:
        if not sent.url.startswith(("file:", "data:")):
            faults.append(f"request: {sent.url[:80]}")

    page.on("dialog", dialog)
    page.on("request", request)
    page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page, faults
    context.close()


def labels(page: Any) -> list[str]:
    return page.locator(".board tbody tr:not([hidden]) th a").all_inner_texts()


def test_hostile_texts_run_nothing(watched: Any, tmp_path: Path) -> None:
    page, faults = watched
    page.goto(report(hostile(), tmp_path / "hostile.html").as_uri())
    page.locator("#open-all").click()
    page.locator('.board th[data-key="label"] button').click()
    page.locator("#search").fill("img")
    for link in page.locator('.board tbody tr:not([hidden]) a[href^="#label-"]').all():
        link.click()
    page.locator(".matrices rect[data-at]").first.hover()
    page.wait_for_timeout(200)
    assert faults == []
    assert page.locator("img[src^=https], img[onerror], b:empty").count() == 0
    assert page.evaluate("document.scripts.length") == 2


def test_the_table_is_sorted_and_filtered(watched: Any, plain: Path) -> None:
    page, faults = watched
    page.goto(plain.as_uri())
    before = labels(page)
    page.locator('.board th[data-key="label"] button').click()
    assert labels(page) == sorted(before) != before
    page.locator('.board th[data-key="label"] button').click()
    assert labels(page) == sorted(before, reverse=True)
    assert page.locator('.board th[aria-sort="descending"]').count() == 1
    page.locator('.board th[data-key="success"] button').click()
    assert labels(page) not in (sorted(before), sorted(before, reverse=True))
    page.locator("#search").fill("SKY")
    assert labels(page) == ["sky"]
    assert page.locator("#shown").inner_text() == "1 of 8 labels"
    assert page.locator("details.label:visible").count() == 1
    page.locator("#search").fill("nothing of the kind")
    assert page.locator("#nothing").is_visible()
    page.locator("#clear").click()
    page.locator("#verdict").select_option("trick")
    tricks = labels(page)
    assert 0 < len(tricks) < 8
    page.locator('[data-show="pictures"]').click()
    assert page.locator(".gallery li:visible a").all_inner_texts() == tricks
    assert not page.locator(".board").is_visible()
    assert faults == []


def test_the_slider_moves_pictures_and_cursor(watched: Any, plain: Path) -> None:
    page, faults = watched
    page.goto(plain.as_uri() + "#label-0")
    assert page.locator("#label-0").is_visible()
    inside = page.locator("#label-0")
    slider = inside.locator(".player input").first
    shown = inside.locator(".player .p").first
    cursor = inside.locator("line.cursor").first

    def state() -> tuple[str, str, str]:
        where = shown.evaluate("e => getComputedStyle(e).backgroundPosition")
        return (
            where,
            cursor.get_attribute("x1"),
            inside.locator(".player output").first.inner_text(),
        )

    last = state()
    slider.focus()
    page.keyboard.press("ArrowLeft")
    now = state()
    assert all(a != b for a, b in zip(last, now, strict=True))
    page.keyboard.press("Home")
    assert "after 0 updates" in state()[2]
    assert inside.locator("th.at").first.get_attribute("data-updates") == "0"
    assert faults == []


def test_links_and_cells_open_their_label(watched: Any, plain: Path) -> None:
    page, _ = watched
    page.goto(plain.as_uri())
    page.locator('.glance a[href="#label-2"]').first.click()
    assert page.locator("#label-2").is_visible()
    cell = page.locator('.matrices rect[data-at="5"]').first
    cell.hover()
    assert "read as" in page.locator("#cell").inner_text()
    cell.click()
    assert page.locator("#label-5").is_visible()


def test_pictures_of_another_arm_are_shown(watched: Any, plain: Path) -> None:
    page, _ = watched
    page.goto(plain.as_uri())
    picture = page.locator('.board [data-picture="0 0"]')
    where = "e => getComputedStyle(e).backgroundPosition"
    before = picture.evaluate(where)
    page.locator("#arm").select_option("shuffled")
    assert picture.evaluate(where) != before
    assert "shuffled" in picture.get_attribute("aria-label")


def test_it_is_readable_without_scripts(browser: Any, plain: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(plain.as_uri())
    assert page.locator(".board").is_visible()
    assert page.locator(".gallery").is_visible()
    assert not page.locator(".tools").first.is_visible()
    page.locator("details.label summary").first.click()
    assert page.locator("#label-0 .pictures.arms").is_visible()
    context.close()
