"""The report of an audit in a real Chromium: nothing leaks or runs, and what is clicked changes."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_report import HOSTILE, OUTCOMES, hostile, many

from inversion_kit.analysis.words import VERDICTS
from inversion_kit.reports import report
from inversion_kit.testing import synthetic, synthetic_findings

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
    tree = many(labels=8, outcomes=OUTCOMES, samples=16)
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


def drawn(page: Any, key: str) -> list[float]:
    """The numbers by which a column of the table is sorted, read from its cells."""
    heads = page.locator(".board thead th").evaluate_all("all => all.map(e => e.dataset.key)")
    cells = f".board tbody tr:not([hidden]) > :nth-child({heads.index(key) + 1})"
    texts = page.locator(cells).all_inner_texts()
    if key == "verdict":
        words = list(VERDICTS.values())
        return [next(i for i, w in enumerate(words) if text.endswith(w)) for text in texts]
    firsts = [text.split()[0].strip("<>+").replace("\N{MINUS SIGN}", "-") for text in texts]
    return [math.nan if first == "–" else float(first) for first in firsts]


def test_hostile_texts_run_nothing(watched: Any, tmp_path: Path) -> None:
    page, faults = watched
    page.goto(report(hostile(), tmp_path / "hostile.html").as_uri())
    page.locator("#open-all").click()
    page.locator('.board th[data-key="label"] button').click()
    page.locator("#search").fill("img")
    for link in page.locator('.board tbody tr:not([hidden]) a[href^="#label-"]').all():
        link.click()
    page.locator("#search").fill("")
    page.locator(".matrices rect[data-i]").first.hover()
    page.locator('[data-space="image"] .map').focus()
    for _ in range(6):
        page.keyboard.press("ArrowDown")
    page.wait_for_timeout(200)
    assert page.locator("h1").inner_text() == HOSTILE  # the classifier
    assert HOSTILE in page.locator(".under").inner_text()  # the generator and the judge
    assert page.locator("code", has_text=HOSTILE).count() > 10  # prompts
    assert page.locator("bdi", has_text=HOSTILE).count() > 10  # the label, nearest words
    assert HOSTILE in page.locator("#made ~ dl").last.inner_text()  # versions
    assert any(text in page.locator("#map-says").inner_text() for text in ("“<", "“{", "“'"))
    assert faults == []
    assert page.locator("img[src^=https], img[onerror], b:empty").count() == 0
    assert page.evaluate("document.scripts.length") == 2


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        "javascript:alert(1)",
        "</style><script>alert(1)</script>",
        "${alert(1)}",
        "<svg onload=alert(1)>",
        "{{ 7*7 }}{% for x in y %}",
    ],
)
def test_hostile_texts_run_nothing_in_the_report_of_one_label(
    watched: Any, tmp_path: Path, text: str
) -> None:
    page, faults = watched
    page.goto(report(hostile(1, text), tmp_path / "run.html").as_uri())
    for summary in page.locator("summary").all():
        summary.click()
    page.wait_for_timeout(100)
    assert page.locator("h1").inner_text() == f"“{text}”"
    assert text in page.locator(".under").inner_text()  # models
    assert page.locator("code", has_text=text).count() >= 3  # prompts
    assert page.locator("td", has_text=text).count() >= 5  # classes and words
    assert faults == []
    assert page.evaluate("document.scripts.length") == 2
    assert page.locator("svg[onload], img[onerror]").count() == 0


def test_the_table_is_sorted_and_filtered(watched: Any, plain: Path) -> None:
    page, faults = watched
    page.goto(plain.as_uri())
    before = labels(page)
    page.locator('.board th[data-key="label"] button').click()
    assert labels(page) == sorted(before) != before
    page.locator('.board th[data-key="label"] button').click()
    assert labels(page) == sorted(before, reverse=True)
    assert page.locator('.board th[aria-sort="descending"]').count() == 1
    for key in ("success", "name_success", "semantic_index", "gain", "verdict"):
        head = page.locator(f'.board th[data-key="{key}"]')
        for way in ("ascending", "descending") if key == "verdict" else ("descending", "ascending"):
            head.locator("button").click()
            assert head.get_attribute("aria-sort") == way
            values = drawn(page, key)
            there = [v for v in values if not math.isnan(v)]
            assert there == sorted(there, reverse=way == "descending")
            assert len(set(there)) > 1 or key == "name_success"
            assert all(map(math.isnan, values[len(there) :]))  # no value: last either way
            for list_ in (".gallery li a", "details.label h3"):
                assert page.locator(list_).all_text_contents() == labels(page)
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
    assert set(drawn(page, "verdict")) == {list(VERDICTS).index("trick")}
    page.locator('[data-show="pictures"]').click()
    assert page.locator(".gallery li:visible a").all_text_contents() == tricks
    assert not page.locator(".board").is_visible()
    page.locator('[data-show="table"]').click()
    page.locator("#clear").click()
    for kind in page.locator("#kind option").evaluate_all("all => all.map(e => e.value)")[2:]:
        page.locator("#kind").select_option(kind)
        looks = page.locator(".board tbody tr:not([hidden]) .flags").all_inner_texts()
        assert 0 < len(looks) < 8
        assert all(kind in text for text in looks)
    page.locator('.glance a[data-verdict="mixed"]').first.click()
    assert set(drawn(page, "verdict")) == {list(VERDICTS).index("mixed")}
    assert faults == []


def test_labels_with_findings_are_picked_out(watched: Any, tmp_path: Path) -> None:
    page, faults = watched
    tree = synthetic_findings(many(labels=4, seeds=1), confirmed=2, unsure=1)
    page.goto(report(tree, tmp_path / "audit.html").as_uri())
    every = labels(page)
    page.select_option("#finding", "shortcut")
    assert labels(page) == every[:2]
    page.select_option("#finding", "uncertain")
    assert every[2] in labels(page)
    assert not set(labels(page)) & set(every[:2])
    page.locator("#clear").click()
    assert labels(page) == every
    page.locator('th[data-key="finding"] button').click()
    assert set(labels(page)[:2]) == set(every[:2])
    shown = page.locator(".maps .image[data-space]:not([hidden])")
    assert "shortcut" not in shown.inner_text()
    page.select_option("#map-colour", "finding")
    assert "shortcut" in shown.inner_text()
    assert shown.count() == 1
    shown.locator("svg").focus()
    page.keyboard.press("ArrowRight")
    assert "Its label: shortcut" in page.locator("#map-shown").inner_text()
    assert faults == []


def test_the_table_keeps_what_has_no_number_last(watched: Any, tmp_path: Path) -> None:
    page, faults = watched
    missing = [("sky", "token", seed) for seed in (0, 1)]
    tree = many(labels=4, outcomes=OUTCOMES, samples=16, missing=missing)
    page.goto(report(tree, tmp_path / "audit.html").as_uri())
    for _ in range(2):
        page.locator('.board th[data-key="success"] button').click()
        assert labels(page)[-1] == "sky"
        assert math.isnan(drawn(page, "success")[-1])
    assert faults == []


TICK = """([run, updates]) => {
  const plot = run.querySelector("svg.chart .plot");
  const [left, , width] = plot.dataset.box.split(" ").map(Number);
  const [low, high] = plot.dataset.range.split(" ").map(Number);
  return left + width * (updates - low) / (high - low);
}"""
"""Where a chart's cursor stands after some updates."""
PLACES = "all => all.map(e => getComputedStyle(e).backgroundPosition)"


@pytest.mark.parametrize("what", ["one", "many"])
def test_the_slider_moves_pictures_and_cursor(
    watched: Any, plain: Path, tmp_path: Path, what: str
) -> None:
    page, faults = watched
    path = plain if what == "many" else report(synthetic(), tmp_path / "run.html")
    page.goto(path.as_uri() + "#label-0")
    inside = page.locator("#label-0")
    assert inside.is_visible()
    assert inside.locator(".player").count() == 1  # the second run is folded
    slider, run = inside.locator(".player input").first, inside.locator(".run").first
    shown, says = inside.locator(".player .p"), inside.locator(".player output").first
    cursor, strip = run.locator("svg.chart line.cursor"), run.locator(".strip")

    def state() -> tuple[list[str], float, str]:
        return shown.evaluate_all(PLACES), float(cursor.get_attribute("x1")), says.inner_text()

    def tick(updates: str) -> float:
        return page.evaluate(TICK, [run.element_handle(), int(updates)])

    updates = strip.locator("th[data-updates]").evaluate_all(
        "all => all.map(e => e.dataset.updates)"
    )
    last = state()
    assert last[1] == pytest.approx(tick(updates[-1]))
    slider.focus()
    page.keyboard.press("ArrowLeft")
    now = state()
    assert all(a != b for a, b in zip(last, now, strict=True))
    page.keyboard.press("Home")
    assert "after 0 updates" in state()[2]
    assert inside.locator("th.at").first.get_attribute("data-updates") == "0"
    column = strip.locator("td.at .p").evaluate_all(PLACES)
    assert len(column) == (6 if what == "one" else 4)
    assert state()[0] == column
    assert state()[1] == pytest.approx(tick("0"))
    inside.locator(".player button").first.click()
    page.wait_for_function(
        "([e, x]) => Math.abs(e.getAttribute('x1') - x) < 0.01",
        arg=[cursor.element_handle(), tick(updates[-1])],
    )
    assert state() == last
    assert inside.locator(".player button").first.inner_text() == "▶ play"
    inside.locator("section > details > summary").first.click()
    inside.locator(".player").nth(1).wait_for()
    assert faults == []


def test_links_and_cells_open_their_label(watched: Any, plain: Path) -> None:
    page, _ = watched
    page.goto(plain.as_uri())
    page.locator('.glance a[href="#label-2"]').first.click()
    assert page.locator("#label-2").is_visible()
    cell = page.locator('.matrices rect[data-i^="5 "]').first
    cell.hover()
    assert "read as" in page.locator("#cell").inner_text()
    title = cell.locator("title").text_content()
    assert page.locator("#cell").inner_text().split() == title.split()
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
    assert "huffled control" in picture.get_attribute("aria-label")
    row = list(page.locator("#arm option").evaluate_all("all => all.map(e => e.value)"))
    every = page.locator("[data-picture]").evaluate_all(
        "all => all.map(e => [e.dataset.picture, e.className])"
    )
    assert len(every) > 40
    for place, name in every:
        label, column = place.split()
        assert name == f"p s{label} r{row.index('shuffled')} c{column}"


SPOTS = """all => all.map((e) => {
  const box = e.getBoundingClientRect();
  return [Number(e.dataset.i), box.x + box.width / 2, box.y + box.height / 2];
})"""


def test_a_mark_of_the_map_shows_its_image(watched: Any, plain: Path) -> None:
    page, faults = watched
    page.goto(plain.as_uri())
    drawing = page.locator('[data-space="image"] .map')
    drawing.scroll_into_view_if_needed()
    held = page.evaluate("JSON.parse(document.getElementById('inversion-kit-data').textContent)")
    points = held["map"]
    spots = drawing.locator("[data-i]").evaluate_all(SPOTS)
    assert len(spots) > 100
    for n, x, y in (spots[0], spots[len(spots) // 2], spots[-1]):
        page.mouse.move(x, y)
        ring = drawing.locator(".here").bounding_box()
        assert abs(ring["x"] + ring["width"] / 2 - x) < 3
        assert abs(ring["y"] + ring["height"] / 2 - y) < 3
        shown = page.locator(".card .main .p")
        assert "data:image/webp" in shown.evaluate("e => getComputedStyle(e).backgroundImage")
        assert re.search(r"run \d, noise \d+: read as", shown.get_attribute("aria-label"))
        near = min(range(len(spots)), key=lambda k: (spots[k][1] - x) ** 2 + (spots[k][2] - y) ** 2)
        at = n if spots[near][0] == n else spots[near][0]
        label, arm, column = (points[k][at] for k in ("label", "arm", "column"))
        assert shown.get_attribute("class") == f"p s{label} r{arm} c{column}"
        assert page.locator(".card .others .p").evaluate_all(
            "all => all.map(e => e.className)"
        ) == [f"p s{label} r{a} c{column}" for a in range(4)]
        same = drawing.locator(".same").get_attribute("d")
        images = {spot[0] for spot in spots}
        assert same.count("M") == sum(
            one == label for k, one in enumerate(points["label"]) if k in images
        )
    n, x, y = spots[0]
    page.mouse.click(x, y)
    assert page.locator("details.label[open]").count() == 1
    assert faults == []


def test_the_map_is_walked_by_keys_and_filtered(watched: Any, plain: Path) -> None:
    page, faults = watched
    page.goto(plain.as_uri())
    drawing = page.locator('[data-space="token"] .map')
    drawing.focus()
    said = []
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
        said.append(page.locator("#map-says").inner_text())
    assert all("Token of" in words for words in said)
    assert len(set(said)) >= 3
    assert said[1].partition(",")[0] == said[0].partition(",")[0] != said[2].partition(",")[0]
    assert drawing.evaluate("e => e === document.activeElement")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert drawing.evaluate("e => e === document.activeElement")
    page.keyboard.press("Enter")
    assert page.locator("details.label[open]").count() == 1

    def marks() -> int:
        return page.locator(".map [data-i]:not([hidden])").count()

    whole = marks()
    page.locator("#map-arm").select_option("0")
    assert 0 < marks() < whole
    assert page.locator('[data-space="token"] [data-i]:not([hidden])').count() == 0
    page.locator("#map-arm").select_option("")
    page.locator("#search").fill("sky")
    assert 0 < marks() < whole / 4
    assert faults == []


def test_paper_holds_what_is_folded_and_no_controls(watched: Any, plain: Path) -> None:
    page, faults = watched
    page.goto(plain.as_uri())
    inside = page.locator("#label-3 .pictures.arms")
    assert not inside.is_visible()
    page.emulate_media(media="print")
    assert inside.is_visible()
    height = page.evaluate("document.documentElement.scrollHeight")
    assert inside.bounding_box()["y"] < height
    for part in (".tools", "#map-card", "nav.contents", "#cell"):
        assert not page.locator(part).first.is_visible()
    for part in (".board", ".glance", ".map", "#made"):
        assert page.locator(part).first.is_visible()
    assert faults == []


def opened(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")


@pytest.mark.parametrize("what", ["run", "audit"])
def test_a_narrow_screen_is_not_scrolled_sideways(browser: Any, tmp_path: Path, what: str) -> None:
    made = {"run": synthetic, "audit": lambda **wide: many(labels=2, **wide)}[what]
    path = report(synthetic_findings(made(checks=10, steps=20)), tmp_path / "a.html")
    page = browser.new_context(viewport={"width": 400, "height": 900}).new_page()
    page.goto(path.as_uri())
    opened(page)
    assert page.locator(".scroll .unseen").count() > 5
    assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [400, 400]
    page.context.close()


def test_the_first_screen_shows_pictures(browser: Any, tmp_path: Path) -> None:
    tree = many(
        labels=40,
        seeds=1,
        samples=8,
        size=2,
        steps=1,
        checks=2,
        outcomes=OUTCOMES,
        names=[f"a label of some length, number {i}" for i in range(42)],
    )
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(report(tree, tmp_path / "audit.html").as_uri())
    ends = [p.bounding_box() for p in page.locator(".glance .p").all()[:9]]
    assert all(end["y"] + end["height"] < 900 for end in ends)
    assert page.locator(".lead").bounding_box()["height"] < 600
    page.context.close()


def test_paper_is_short_and_its_tables_have_heads(watched: Any, plain: Path) -> None:
    page, _ = watched
    page.goto(plain.as_uri())
    pages = page.pdf(format="A4").count(b"/Type /Page\n")
    assert 10 < pages < 32
    page.emulate_media(media="print")
    # Chromium repeats a head of plain text on every page, and leaves out boxes such as buttons.
    shown = page.locator(".board thead button").evaluate_all(
        "all => all.map(e => getComputedStyle(e).display)"
    )
    assert set(shown) == {"contents"}
    assert "left out" in page.locator(".paper").inner_text()
    assert not page.locator(".run figure .numbers").first.is_visible()


def test_words_are_not_broken_on_paper(watched: Any, tmp_path: Path) -> None:
    page, _ = watched
    names = ["right of way at the next intersection", "speed limit 30", "children crossing"]
    tree = many(labels=1, samples=8, names=names)
    page.set_viewport_size({"width": 688, "height": 1000})  # A4 without its margins
    page.goto(report(tree, tmp_path / "audit.html").as_uri())
    page.emulate_media(media="print")
    broken = page.locator(".arms .top span, .board bdi").evaluate_all(
        """all => all.flatMap((e) => {
          const text = document.createTreeWalker(e, NodeFilter.SHOW_TEXT), cut = [];
          while (text.nextNode()) for (const word of text.currentNode.data.matchAll(/\\S+/g)) {
            const range = document.createRange();
            range.setStart(text.currentNode, word.index);
            range.setEnd(text.currentNode, word.index + word[0].length);
            if (range.getClientRects().length > 1) cut.push(word[0]);
          }
          return cut;
        })"""
    )
    assert broken == []


def test_the_report_of_a_run_is_whole_on_paper(watched: Any, tmp_path: Path) -> None:
    page, _ = watched
    page.goto(report(synthetic(), tmp_path / "run.html").as_uri())
    folded = page.locator("section > details .pictures")
    assert not folded.is_visible()
    page.emulate_media(media="print")
    assert folded.is_visible()
    assert folded.bounding_box()["height"] > 100
    assert not page.locator(".run figure .numbers").first.is_visible()
    assert "left out" in page.locator(".paper").inner_text()


@pytest.mark.parametrize(
    ("what", "scheme"),
    [("audit", "dark"), ("open", "light"), ("print", "light"), ("run", "light"), ("run", "dark")],
)
def test_axe_finds_nothing_serious(
    browser: Any, plain: Path, tmp_path: Path, what: str, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    path = report(synthetic(), tmp_path / "run.html") if what == "run" else plain
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(path.as_uri())
    if what == "open":
        page.locator("#open-all").click()
        page.locator('[data-show="pictures"]').click()
        page.locator('[data-space="image"] .map').focus()
        page.keyboard.press("ArrowRight")
    if what == "print":
        page.emulate_media(media="print")
    checked = axe.run(page).response
    assert len(checked["passes"]) > 10
    grave = [
        (fault["id"], node["html"][:160], node["failureSummary"])
        for fault in checked["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]
    assert grave == []
    context.close()


def test_it_is_readable_without_scripts(browser: Any, plain: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(plain.as_uri())
    assert page.locator(".board").is_visible()
    assert page.locator(".gallery").is_visible()
    drawing = page.locator('[data-space="image"] .map')
    assert drawing.is_visible()
    assert "M" in drawing.locator("[data-i]").first.get_attribute("d")
    assert not page.locator("#map-card").is_visible()
    assert not page.locator(".tools").first.is_visible()
    page.locator("details.label summary").first.click()
    assert page.locator("#label-0 .pictures.arms").is_visible()
    context.close()
