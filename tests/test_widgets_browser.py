"""The widgets in a real JupyterLab, clicked through in a real Chromium without a network."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inversion_kit.analysis.words import VERDICTS

pytestmark = pytest.mark.browser
sync_api = pytest.importorskip("playwright.sync_api")
nbformat = pytest.importorskip("nbformat")

QUIET = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
SETUP = "import inversion_kit as ik\nfrom inversion_kit.testing import synthetic\n"
LONG = 60_000
"""Milliseconds until a wait is given up: machines that run tests are busy."""


class Lab:
    """A JupyterLab of its own: a folder, a free port, a token, no settings of the user."""

    def __init__(self, folder: Path) -> None:
        self.root, self.token = folder / "notebooks", secrets.token_hex(16)
        self.root.mkdir()
        plugin = folder / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
        plugin.parent.mkdir(parents=True)
        plugin.write_text(json.dumps(QUIET), "utf-8")
        names = ("config", "data", "runtime", "workspaces")
        places = {name: str(folder / name) for name in names}
        environment = {
            **os.environ,
            "JUPYTER_CONFIG_DIR": places["config"],
            "JUPYTER_DATA_DIR": places["data"],
            "JUPYTER_RUNTIME_DIR": places["runtime"],
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": places["workspaces"],
            "IPYTHONDIR": str(folder / "ipython"),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
        command = [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--ip=127.0.0.1",
            "--allow-root",
            "--ServerApp.port=0",
            f"--IdentityProvider.token={self.token}",
            "--expose-app-in-browser",
            f"--ServerApp.root_dir={self.root}",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.address = self._wait(Path(places["runtime"]))

    def _wait(self, runtime: Path) -> str:
        for _ in range(600):
            if self.process.poll() is not None:
                break
            for file in runtime.glob("jpserver-*.json"):
                try:
                    return str(json.loads(file.read_text("utf-8"))["url"])
                except ValueError:  # half written
                    continue
            time.sleep(0.1)
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text('utf-8')[-2000:]}")

    def write(self, name: str, cells: list[str]) -> Path:
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
        )
        path = self.root / name
        nbformat.write(notebook, path)
        return path

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Notebook:
    """A notebook open in the browser, and what it must not do."""

    def __init__(self, page: Any, path: Path, kernel: str) -> None:
        self.page, self.path, self.faults = page, path, []
        self.listeners = {
            "dialog": self._dialog,
            "request": self._request,
            "pageerror": lambda error: self.faults.append(f"error: {error}"),
        }
        for event, listener in self.listeners.items():
            page.on(event, listener)
        page.evaluate(
            """async ([path, kernel]) => {
                const options = kernel ? {path, kernel: {id: kernel}} : {path};
                await jupyterapp.commands.execute("docmanager:open", options);
                const context = jupyterapp.shell.currentWidget.sessionContext;
                await context.ready;
                await context.session.kernel.info;
            }""",
            [path.name, kernel],
        )
        self.kernel = str(
            page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.id")
        )

    def close(self) -> None:
        """Close it without a question; its kernel runs on."""
        self.page.evaluate("void jupyterapp.shell.currentWidget.dispose()")
        for event, listener in self.listeners.items():
            self.page.remove_listener(event, listener)

    def _dialog(self, shown: Any) -> None:
        self.faults.append(f"dialog: {shown.message}")
        shown.dismiss()

    def _request(self, sent: Any) -> None:
        own = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
        if not sent.url.startswith(own):
            self.faults.append(f"request: {sent.url[:80]}")

    def start(self) -> None:
        """Run all cells; do not wait for them."""
        self.page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")

    def run(self, until: str) -> Any:
        """Run all cells until something is drawn."""
        self.start()
        self.page.wait_for_selector(until, timeout=3 * LONG)
        return self.page

    def add(self, code: str) -> str:
        """Run one more cell at the end and return what it printed."""
        page = self.page
        page.evaluate(
            """async (code) => {
                const panel = jupyterapp.shell.currentWidget, notebook = panel.content;
                const at = notebook.model.sharedModel.cells.length;
                notebook.model.sharedModel.insertCell(at, {cell_type: "code", source: code});
                notebook.activeCellIndex = at;
                await jupyterapp.commands.execute("notebook:run-cell");
            }""",
            code,
        )
        return str(page.locator(".jp-CodeCell").last.locator("pre").last.inner_text())

    def save(self) -> dict[str, Any]:
        """Save it and return what is on disk."""
        self.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
        self.page.wait_for_timeout(500)
        return dict(json.loads(self.path.read_text("utf-8")))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("lab"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or "/usr/bin/chromium",
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )
        yield made
        made.close()


@pytest.fixture
def page(lab: Lab, browser: Any) -> Iterator[Any]:
    """JupyterLab in a page of its own: widgets of a closed notebook would still answer."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(LONG)
    made = context.new_page()
    made.goto(f"{lab.address}lab?token={lab.token}&reset", timeout=5 * LONG)
    made.wait_for_function("window.jupyterapp !== undefined", timeout=5 * LONG)
    made.evaluate("jupyterapp.restored.then(() => null)")
    made.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
    yield made
    context.close()


@pytest.fixture
def kernels() -> list[str]:
    """The kernel that a test's notebooks share, once there is one."""
    return []


@pytest.fixture
def notebook(lab: Lab, page: Any, kernels: list[str]) -> Iterator[Callable[..., Notebook]]:
    """A function that opens a notebook of the cells given, after `SETUP`."""
    opened: list[Notebook] = []

    def make(*cells: str) -> Notebook:
        path = lab.write(f"{secrets.token_hex(4)}.ipynb", [SETUP, *cells])
        opened.append(Notebook(page, path, kernels[0] if kernels else ""))
        kernels[:] = [opened[-1].kernel]
        return opened[-1]

    yield make
    for book in opened:
        book.close()


def number(text: str) -> int:
    """The first whole number of a text."""
    return int(next(part for part in text.replace("\u00a0", " ").split() if part.isdigit()))


def eventually(page: Any, ask: Callable[[], Any], wanted: Any, seconds: float = 60) -> None:
    """Wait until something is as wanted: a click goes to the kernel and back."""
    end = time.monotonic() + seconds
    while ask() != wanted and time.monotonic() < end:
        page.wait_for_timeout(50)
    assert ask() == wanted


def pick(page: Any, label: str, words: str) -> None:
    """Choose an option of a control of the view by what it says."""
    control = page.locator(f'.ik-view .widget-dropdown:has(label:text-is("{label}")) select')
    control.select_option(label=words)


def share(text: str) -> float:
    """The share that a text begins with, in percent; NaN for a dash."""
    said = text.split()[0].strip("<>+").replace("\N{MINUS SIGN}", "-")
    return math.nan if said == "–" else float(said)


CURSOR = """() => {
    const line = document.querySelector(".js-plotly-plot .shapelayer path");
    return line ? Number(line.getAttribute("d").match(/M([0-9.]+)/)[1]) : -1;
}"""


def test_the_slider_and_play_move_image_strip_bars_and_line_together(notebook: Any) -> None:
    book = notebook("view = ik.explore(synthetic(size=16, checks=6, steps=20))\nview")
    page = book.run(".ik-frames .frame")
    page.wait_for_selector(".js-plotly-plot .shapelayer path", state="attached")
    page.wait_for_timeout(1500)  # the figure is drawn again as wide as its place

    def state() -> tuple[str, str, str, float]:
        return (
            page.locator(".ik-frames .now").get_attribute("src"),
            page.locator('.ik-frames .frame[aria-selected="true"] .when').inner_text(),
            page.locator(".ik-frames .bars .target .value").inner_text(),
            page.evaluate(CURSOR),
        )

    last = state()
    slider = page.locator(".ik-view .widget-slider .noUi-handle")
    slider.press("Home")
    eventually(
        page, lambda: [a != b for a, b in zip(state(), last, strict=True)], [True] * len(last)
    )
    first = state()
    assert first[1] == "0"
    assert first[3] < last[3]
    page.locator(".ik-view .widget-play button").first.click()
    eventually(page, lambda: state()[:3] == last[:3], True)
    eventually(page, lambda: state()[3] > first[3], True)
    page.wait_for_timeout(2000)  # Play ends with the tick after the last frame
    page.locator(".ik-frames .frame").nth(2).click()
    eventually(page, lambda: first[3] < state()[3] < last[3], True)
    whens = page.locator(".ik-frames .frame .when").all_inner_texts()
    assert sum("★" in when for when in whens) == 1
    at = page.locator('.ik-frames .frame[aria-selected="true"] .when')
    slider.press("ArrowLeft")
    eventually(page, at.inner_text, whens[1])
    slider.press("ArrowRight")
    eventually(page, at.inner_text, whens[2])
    for text, part in page.locator(".ik-frames .bars .row").evaluate_all(BARS):
        assert abs(100 * part - share(text)) < 1.1
    # Markers of the trace that has most: the label's line.
    points = page.locator(".ik-view .js-plotly-plot .scatterlayer .points path")
    plot = page.locator(".ik-view .js-plotly-plot .nsewdrag")
    plot.scroll_into_view_if_needed()
    page.wait_for_timeout(500)  # plotly draws its points again where it is seen anew
    box = plot.bounding_box()
    spots = [one.bounding_box() for one in points.all()]
    point = min(
        spots, key=lambda b: abs(b["x"] - box["x"]) + abs(b["y"] - box["y"] - box["height"])
    )
    page.mouse.move(point["x"] + 30, point["y"] - 30)
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2, steps=5)
    page.mouse.down()
    page.mouse.up()
    eventually(page, at.inner_text, whens[0])
    assert book.faults == []


BARS = """all => all.map(row => [row.querySelector(".value").textContent,
    row.querySelector(".bar").offsetWidth / row.querySelector(".track").offsetWidth])"""


def test_run_and_noise_are_chosen(notebook: Any) -> None:
    book = notebook("view = ik.explore(synthetic(size=16))\nview")
    page = book.run(".ik-frames .frame")
    before = page.locator(".ik-frames .now").get_attribute("src")
    pick(page, "Noise", "4 of 6")
    eventually(page, lambda: page.locator(".ik-frames .now").get_attribute("src") != before, True)
    pick(page, "Run", "1")
    eventually(page, lambda: page.locator(".ik-frames .frame").count(), 3)
    pick(page, "Images", "training images, every update")
    eventually(page, lambda: page.locator(".ik-frames .frame").count(), 8)
    assert page.locator(".ik-gallery h4").count() == 3
    assert book.faults == []


MANY = "many = dict(arms=('name', 'token+name', 'token', 'shuffled'), size=16, samples=8)\n"
AUDIT = (
    MANY + "view = ik.explore(synthetic(labels=6, **many,\n"
    "    outcomes=('meaning', 'trick', 'failure', 'mixed')))\nview"
)


def names(page: Any) -> list[str]:
    return page.locator(".ik-table tbody tr:not([hidden]) th").all_inner_texts()


def column(page: Any, key: str) -> list[str]:
    """What a column of the table says, from top to bottom."""
    heads = page.locator(".ik-table thead th").evaluate_all("all => all.map(e => e.dataset.key)")
    cells = f".ik-table tbody tr:not([hidden]) > :nth-child({heads.index(key) + 1})"
    return page.locator(cells).all_inner_texts()


def drawn(page: Any, key: str) -> list[float]:
    """The numbers by which a column is sorted, read from its cells."""
    told = column(page, key)
    if key == "verdict":
        words = list(VERDICTS.values())
        return [next(i for i, w in enumerate(words) if text.endswith(w)) for text in told]
    if key == "findings":
        return [0 if text == "–" else len(text.split("; ")) for text in told]
    return [share(text) for text in told]


MARKS = """all => all.map(td => [td.querySelector("b").textContent,
    td.querySelector("small").textContent,
    Number(td.querySelector(".at").getAttribute("cx")),
    ...td.querySelector(".reach").getAttribute("d").match(/[0-9.]+(?= |$)/g).map(Number)])"""


def test_the_table_with_findings_shows_its_last_column_whole(notebook: Any) -> None:
    book = notebook(
        MANY + "from inversion_kit.testing import synthetic_findings\n"
        "ik.explore(synthetic_findings(synthetic(labels=4, **many)))"
    )
    page = book.run(".ik-gallery .tile")
    heads = page.locator(".ik-table thead th").all_inner_texts()
    assert [head.split()[0] for head in heads] == [
        *("Label", "Verdict", "Finding", "Success", "Semantic", "Look")
    ]
    wide = page.locator(".ik-table .scroll").evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert wide[0] <= wide[1]


def test_labels_are_sorted_searched_and_chosen(notebook: Any) -> None:
    failed = "failed=[('sky', 'token', 0), ('sky', 'token', 1)], outcomes"
    book = notebook(AUDIT.replace("outcomes", failed))
    page = book.run(".ik-gallery .tile")
    before = names(page)
    page.locator('.ik-table th[data-key="label"] button').click()
    assert names(page) == sorted(before) != before
    for key in ("success", "index", "findings", "verdict"):
        head = page.locator(f'.ik-table th[data-key="{key}"]')
        for way in ("ascending", "descending") if key == "verdict" else ("descending", "ascending"):
            head.locator("button").click()
            assert head.get_attribute("aria-sort") == way
            found = drawn(page, key)
            there = [v for v in found if not math.isnan(v)]
            assert there == sorted(there, reverse=way == "descending")
            assert len(set(there)) > 1
            assert all(map(math.isnan, found[len(there) :]))  # no value: last either way
            assert key != "success" or len(there) < len(found)
    for says, reach, at, *drawn_ends in page.locator(
        ".ik-table td.share:has(svg.interval)"
    ).evaluate_all(MARKS):
        assert abs(at - 5 - 1.1 * share(says)) < 1.2
        ends = [5 + 1.1 * float(n) for n in reach.strip("[]").split(",")]
        assert drawn_ends == pytest.approx(ends, abs=1.2)
    page.locator(".ik-table input").fill("GREEN")
    assert names(page) == ["green"]
    assert page.locator(".ik-table output").inner_text() == "1 of 6 labels"
    page.locator(".ik-table tbody tr:not([hidden])").click()
    eventually(page, lambda: page.locator(".ik-gallery h3").inner_text(), "green")
    assert page.locator(".ik-gallery .tile").count() == 32
    page.locator(".ik-table input").fill("no such label")
    assert page.locator(".ik-table .empty").is_visible()
    page.locator(".ik-table .empty button").click()
    page.locator(".ik-table").get_by_label("Verdict").select_option("trick")
    tricks = names(page)
    assert 0 < len(tricks) < 6
    assert all(text.endswith("A trick") for text in column(page, "verdict"))
    page.locator(".ik-table tbody tr:not([hidden])").first.click()
    page.keyboard.press("ArrowDown")
    eventually(page, lambda: page.locator(".ik-gallery h3").inner_text(), tricks[1])
    page.locator(".ik-table tbody tr:not([hidden])").first.focus()
    page.keyboard.press("Enter")
    eventually(page, lambda: page.locator(".ik-gallery h3").inner_text(), tricks[0])
    page.locator(".ik-gallery .tile").first.click()
    detail = page.locator(".ik-gallery .detail")
    detail.locator("td").first.wait_for()
    assert "read as" in detail.inner_text()
    detail.locator(".close").click()
    eventually(page, detail.is_visible, False)
    page.locator(".ik-gallery .more").click()
    eventually(page, lambda: page.locator(".ik-gallery .tile").count(), 64)
    assert page.locator(".ik-gallery .more").is_hidden()
    assert book.faults == []


def test_the_map_shows_images_on_hover_and_in_the_gallery(notebook: Any) -> None:
    book = notebook(AUDIT)
    page = book.run(".ik-map .stage > img[src]")
    stage, front = page.locator(".ik-map .stage"), page.locator(".ik-map .front")

    def at(x: float, y: float) -> tuple[float, float]:
        stage.scroll_into_view_if_needed()
        box = stage.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def told(code: str) -> Any:
        return json.loads(book.add(f"import json; print(json.dumps({code}))"))

    def drag(*path: tuple[float, float]) -> None:
        page.mouse.move(*at(*path[0]))
        page.mouse.down()
        for x, y in path[1:]:
            page.mouse.move(*at(x, y), steps=6)
        page.mouse.up()

    before = front.get_attribute("src")
    page.locator(".ik-table tbody tr").nth(2).click()
    eventually(page, lambda: front.get_attribute("src") != before, True)
    page.locator(".ik-table tbody tr").first.click()
    eventually(page, lambda: front.get_attribute("src") == before, True)
    assert front.evaluate("e => e.complete && e.naturalWidth > 0")
    tip = page.locator(".ik-map .tip")
    for step in range(200):
        page.mouse.move(*at(0.05 + 0.9 * (step % 20) / 20, 0.1 + 0.08 * (step // 20)))
        if tip.is_visible():
            break
    tip.locator("img").wait_for()
    assert tip.get_attribute("data-ready") == "true"
    assert tip.locator("img").evaluate("e => e.naturalWidth") == 16
    said = [tip.locator("img").get_attribute("src"), *tip.locator("div > div").all_inner_texts()]
    assert page.locator(".ik-map .ring").is_visible()
    known = told(f"view.panels[0].map.card({tip.get_attribute('data-point')})")
    assert said == [known["src"], *known["lines"]]

    gallery = page.locator(".ik-gallery h3")
    page.get_by_role("button", name="Box").click()
    page.wait_for_timeout(1000)
    drag((0.005, 0.01), (0.5, 0.5), (0.995, 0.995))
    eventually(page, gallery.inner_text, "384 images")
    page.get_by_role("button", name="Lasso").click()
    page.wait_for_timeout(1000)
    drag((0.01, 0.01), (0.99, 0.01), (0.01, 0.99), (0.01, 0.1))
    eventually(page, lambda: 0 < number(gallery.inner_text()) < 384, True)
    surface = "view.panels[0].map.surface"
    chosen, points, spots = told(
        f"[{surface}.chosen, {surface}.points, __import__('numpy').frombuffer("
        f"{surface}.spots, 'f4').reshape(-1, 2).tolist()]"
    )
    half = {point for point, (x, y) in zip(points, spots, strict=True) if x / 560 + y / 440 < 1}
    assert len(points) == 384 > len(half) > 0
    assert len({*chosen} ^ half) < 4  # the line goes through one or two
    page.get_by_role("button", name="Zoom").click()
    page.wait_for_timeout(1000)
    drag((0.3, 0.3), (0.7, 0.7))
    eventually(page, lambda: 0 < told(f"len({surface}.points)") < 384, True)
    page.get_by_role("button", name="Reset").click()
    eventually(page, gallery.inner_text, names(page)[0])
    assert told(f"len({surface}.points)") == 384
    pick(page, "Colour", "arm")
    pick(page, "Points", "class tokens")
    eventually(page, lambda: "36 points" in page.locator(".ik-view").inner_text(), True)
    assert book.faults == []


def test_a_cell_of_the_matrix_shows_its_images(notebook: Any) -> None:
    book = notebook(AUDIT)
    page = book.run(".ik-gallery .tile img")
    page.get_by_role("tab", name="What is read as what").click()
    plot = page.locator(".ik-view .js-plotly-plot .nsewdrag").first
    plot.wait_for()
    eventually(page, lambda: page.evaluate(FITS), True)
    page.wait_for_timeout(1000)
    box = plot.bounding_box()
    columns = page.evaluate("document.querySelector('.js-plotly-plot').data[0].x.length")

    def spot(row: int, column: int) -> tuple[float, float]:
        across, down = (column + 0.5) / columns, (row + 0.5) / 6
        return box["x"] + box["width"] * across, box["y"] + box["height"] * down

    page.mouse.click(*spot(0, 0))
    title = page.locator(".ik-gallery h3")
    eventually(page, title.inner_text, "sky → sky")
    assert page.locator(".ik-gallery .tile.own").count() == 16
    row, column, part, words = next(c for c in page.evaluate(CELLS) if c[0] != c[1])
    page.mouse.move(*spot(row, column))
    hover = page.locator(".js-plotly-plot .hoverlayer .hovertext").first
    label, _, read = words.removeprefix("made for ").partition(":")[0].partition(", read as ")
    eventually(page, lambda: str(hover.text_content()).startswith(f"made for {label}"), True)
    page.mouse.click(*spot(row, column))
    eventually(page, title.inner_text, f"{label} → {read}")
    assert page.locator(".ik-gallery .tile").count() == round(part * 16)
    pick(page, "Images of", "token − name prompt")
    eventually(page, lambda: page.evaluate(SCALE), "coloraxis2")
    page.get_by_role("tab", name="Search").click()
    page.locator(".ik-frames .frame").first.wait_for()
    page.locator(".ik-table tbody tr").nth(2).click()
    eventually(page, lambda: page.get_by_text("The search for “yellow”").count(), 1)
    assert book.faults == []


FITS = """() => {
    const plot = document.querySelector(".js-plotly-plot"), room = plot.parentElement.clientWidth;
    return Math.abs(plot.querySelector(".main-svg").clientWidth - room) < 3;
}"""
SCALE = "document.querySelector('.js-plotly-plot').data[0].coloraxis"
CELLS = """() => {
    const {z, hovertext} = document.querySelector(".js-plotly-plot")._fullData[0], cells = [];
    Array.from(z).forEach((line, row) => Array.from(line).forEach((share, place) => {
        if (share > 0) cells.push([row, place, share, hovertext[row][place]]);
    }));
    return cells;
}"""


def test_two_results_are_seen_side_by_side(notebook: Any) -> None:
    book = notebook(
        MANY + "a = synthetic(labels=4, **many)\n"
        "b = synthetic(labels=4, **many, outcomes=('trick', 'mixed'))\n"
        "ik.explore(a, b)"
    )
    page = book.run(".ik-gallery .tile img")
    eventually(page, lambda: page.locator(".ik-map .stage").count(), 2)
    page.locator(".ik-table tbody tr").nth(1).click()
    titles = page.locator(".ik-gallery h3")
    eventually(page, titles.all_inner_texts, ["green", "green"])
    left, right = (page.locator(".ik-gallery").nth(i).bounding_box() for i in (0, 1))
    assert left["x"] + left["width"] <= right["x"]
    assert abs(left["width"] - right["width"]) < 2
    assert column(page, "success0")[0].startswith("100\u00a0%")
    shares = [column(page, f"success{i}") for i in (0, 1)]
    assert shares[0] != shares[1]
    for a, b, change in zip(*shares, column(page, "difference"), strict=True):
        assert abs(share(b) - share(a) - share(change)) < 2
    assert any(text.startswith("\N{MINUS SIGN}") for text in column(page, "difference"))
    assert column(page, "verdicts")[1].split(" | ") == ["Confirmed", "Mixed up"]
    for at in (1, 3):
        page.locator(".ik-table tbody tr").nth(at).click()
        eventually(page, titles.all_inner_texts, [names(page)[at]] * 2)
        for i in (0, 1):
            said = page.locator(".ik-gallery").nth(i).locator("h4").all_inner_texts()
            token = next(text for text in said if re.match(r"token \d", text))
            assert share(token.partition("(")[2]) == share(shares[i][at])
    assert book.faults == []


def test_ten_thousand_points_stay_fluid(notebook: Any) -> None:
    """Images follow the pointer, within the 200 ms that are promised; `pytest -s` prints them."""
    book = notebook(
        "from inversion_kit.analysis import project\n"
        "many = dict(arms=('name', 'token+name', 'token', 'shuffled'), size=32, samples=50)\n"
        "audit = synthetic(labels=25, **many)\n"
        "points = project(audit, method='pca', most=9_800)\n"
        "print(points.sizes['point'])\n"
        "view = ik.explore(audit, points=points)\nview"
    )
    page = book.run(".ik-map .stage > img[src]")
    page.locator(".ik-map .stage").scroll_into_view_if_needed()
    measured = page.evaluate(HOVER)
    print("hover:", measured)
    assert measured["points"] > 9_000
    assert len(measured["images"]) >= 20
    assert sorted(measured["images"])[len(measured["images"]) // 2] < 200  # about 85 where idle
    assert book.faults == []


def test_very_many_points_show_the_image_under_the_pointer(notebook: Any) -> None:
    pytest.importorskip("jscatter")
    book = notebook(
        "from inversion_kit.widgets import map as module\nmodule.MOST = 100\n"
        "audit = synthetic(labels=4, seeds=4, outcomes=('meaning', 'trick', 'failure'), size=16)\n"
        "view = ik.explore(audit, points=None)\nview"
    )
    page = book.run(".ik-gallery .tile img")
    canvas = page.locator(".ik-view canvas").first
    canvas.wait_for()
    canvas.scroll_into_view_if_needed()
    beside = page.locator(".ik-beside img")
    box = canvas.bounding_box()
    for step in range(1600):
        x, y = 0.1 + 0.8 * (step % 40) / 40, 0.02 + 0.96 * (step // 40) / 40
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if beside.count():
            break
    beside.wait_for()
    page.wait_for_timeout(1500)
    assert beside.evaluate("e => e.naturalWidth") == 16
    code = "drawn = view.panels[0].map\n"
    code += "cards = [drawn.card(int(point)) for point in drawn.surface.shown]\n"
    code += "cards = [[card['lines'], card['src']] for card in cards]\n"
    known = json.loads(book.add(code + "import json; print(json.dumps(cards))"))
    shown = page.locator(".ik-beside div").all_inner_texts()
    assert [shown, beside.get_attribute("src")] in known
    assert book.faults == []


def test_the_strip_begins_at_the_frame_that_is_shown(notebook: Any) -> None:
    book = notebook("ik.explore(synthetic(size=8, checks=24, steps=60, seeds=1))")
    page = book.run(".ik-frames .frame")
    strip = page.locator(".ik-frames .strip")
    eventually(page, lambda: strip.evaluate(SEEN), True)
    assert strip.evaluate("e => e.scrollWidth > 1.5 * e.clientWidth")
    assert book.faults == []


SEEN = """strip => {
    const frame = strip.querySelector('[aria-selected="true"]').getBoundingClientRect();
    const box = strip.getBoundingClientRect();
    return frame.left >= box.left - 1 && frame.right <= box.right + 1;
}"""
HOVER = """async () => {
    const stage = document.querySelector(".ik-map .stage"), tip = stage.querySelector(".tip");
    const box = stage.getBoundingClientRect(), images = [], rings = [], seen = new Set();
    const frame = () => new Promise(requestAnimationFrame);
    for (let i = 0; i < 400 && images.length < 40; i += 1) {
        const x = box.left + box.width * (0.1 + 0.8 * ((i * 0.618) % 1));
        const y = box.top + box.height * (0.1 + 0.8 * ((i * 0.381) % 1));
        const began = performance.now();
        stage.dispatchEvent(new PointerEvent(
            "pointermove", {clientX: x, clientY: y, bubbles: true}));
        if (tip.hidden || seen.has(tip.dataset.point)) continue;
        seen.add(tip.dataset.point);
        await frame();
        rings.push(performance.now() - began);
        while (tip.dataset.ready !== "true" && performance.now() - began < 3000) await frame();
        images.push(performance.now() - began);
    }
    const said = document.querySelector(".ik-view").innerText;
    return {images, rings, points: Number(said.match(/(\\d+) points/)[1])};
}"""

LIVE = (
    "tree = ik.invert('pocket:honest', 'roundabout', generator='pocket', steps=60, batch=2,\n"
    "    samples=4, validation=4, stop_at=1.0, restarts=0, check_every=2, patience=99,\n"
    "    search_generator='itself', progress='widget')"
)


DOTS = """all => {
    const {box, range} = all[0].closest("svg").querySelector(".plot").dataset;
    const [, top, , height] = box.split(" ").map(Number);
    const [, , low, high] = range.split(" ").map(Number);
    return all.map(e => {
        const y = Number(e.getAttribute("d").match(/ ([-0-9.]+)/)[1]);
        const value = low + (high - low) * (1 - (y - top) / height);
        return [e.querySelector("title").textContent, value];
    });
}"""


def test_stop_reaches_the_busy_kernel_and_keeps_the_result(notebook: Any) -> None:
    book = notebook(LIVE)
    page = book.run(".ik-live .pictures img")
    says = page.locator(".ik-live .says")
    eventually(page, lambda: says.inner_text()[:1] in "23456789", True, 90)
    assert "left" in says.inner_text()
    eventually(page, page.locator(".ik-live .pictures img").count, 2, 30)  # 4 at a check
    assert page.locator(".ik-live .chart [data-i]").count() >= 1
    first = page.locator(".ik-live .pictures img").first.get_attribute("src")
    eventually(
        page,
        lambda: page.locator(".ik-live .pictures img").first.get_attribute("src") != first,
        True,
        60,
    )
    for text, value in page.locator(".ik-live .chart [data-i]").evaluate_all(DOTS):
        assert abs(100 * value - share(text)) < 1.1
    bar = page.locator(".ik-live .track .bar")
    part = "e => e.offsetWidth / e.parentElement.offsetWidth"
    assert 0 < bar.evaluate(part) < 1
    page.locator(".ik-live .stop").click()
    page.locator('.ik-live > div[data-phase="done"], .ik-live[data-phase="done"]').first.wait_for(
        timeout=LONG
    )
    assert "Stopped by you after" in says.inner_text()
    eventually(page, lambda: bar.evaluate(part), 1)
    said = book.add(
        "ik.validate(tree); print(tree.attrs['stopped'], '|', tree['trajectory'].sizes['step'],"
        " (tree['status']['status'] == 'done').sum().item())"
    )
    updates = number(said.partition("after")[2])
    assert 2 <= updates < 60
    assert said.strip().endswith(f"| {updates} 3")
    saved = book.save()
    html = "".join(
        "".join(output["data"].get("text/html", ""))
        for cell in saved["cells"]
        for output in cell.get("outputs", [])
        if "data" in output
    )
    assert "Stopped by you after" in html
    assert "data:image/png" in html
    assert book.faults == []


def test_the_interrupt_button_keeps_the_result_too(notebook: Any) -> None:
    book = notebook(LIVE)
    page = book.run(".ik-live .pictures img")
    says = page.locator(".ik-live .says")
    eventually(page, lambda: says.inner_text()[:1] in "23456789", True, 90)
    page.evaluate("jupyterapp.commands.execute('notebook:interrupt-kernel')")
    page.locator('.ik-live > div[data-phase="done"], .ik-live[data-phase="done"]').first.wait_for(
        timeout=LONG
    )
    said = book.add("ik.validate(tree); print(tree.attrs['stopped'])")
    assert said.startswith("by the user after")
    assert page.get_by_text("KeyboardInterrupt").count() == 0
    assert book.faults == []


def test_a_persons_verdict_on_a_finding_reaches_the_result(notebook: Any) -> None:
    book = notebook(
        "from inversion_kit.testing import synthetic_findings\n"
        "tree = synthetic_findings(synthetic(labels=3, size=16), confirmed=2)\n"
        "view = ik.explore(tree); view"
    )
    page = book.run(".ik-findings .proof img")
    found = page.locator(".ik-findings .proof")
    assert [one.locator("img").count() for one in found.all()] == [12, 12]
    pictures, curve = (
        found.first.locator(f"{part} >> nth=0") for part in (".scroll", ".curve svg")
    )
    assert curve.bounding_box()["x"] > pictures.bounding_box()["x"] + 300
    verdict = page.locator(".ik-findings select", has=page.locator("option", has_text="disagree"))
    verdict.first.select_option(label="disagree")
    page.locator(".ik-findings input[type=text]").first.fill("a shadow")
    page.keyboard.press("Tab")
    asked = "print(tree['findings']['opinion'].values[0], tree['findings']['note'].values[0])"
    eventually(page, lambda: book.add(asked).strip(), "disagree a shadow")
    assert book.faults == []


def test_hostile_labels_run_nothing(notebook: Any) -> None:
    here = str(Path(__file__).parents[1])
    book = notebook(
        f"import sys; sys.path.insert(0, {here!r})\n"
        "from tests.test_report import hostile\n"
        "tree = hostile(); tree",
        "hostile(1)",
        "ik.explore(hostile(1))",
        "view = ik.explore(tree, tree); view",
    )
    page = book.run(".ik-gallery .tile img")
    for tab in ("What is read as what", "Search", "Map of images"):
        page.get_by_role("tab", name=tab).first.click()
        page.wait_for_timeout(1500)
    for line in page.locator(".ik-table tbody tr").all():
        line.click()
    page.locator(".ik-gallery .tile").first.click()
    page.locator(".ik-gallery .detail td").first.wait_for()
    box = page.locator(".ik-map .stage").first
    box.scroll_into_view_if_needed()
    box.hover()
    page.wait_for_timeout(800)
    assert book.faults == []
    assert page.locator("img[src^=https], .ik-view img[onerror], .ik-view b:empty").count() == 0
    assert page.locator(".ik-view script").count() == 0
    assert page.get_by_text("onerror=alert").count() > 3


def test_results_show_a_summary_and_leave_a_picture_in_the_file(notebook: Any) -> None:
    book = notebook("tree = synthetic(size=16); tree", "ik.explore(tree)")
    page = book.run(".ik-frames .frame")
    page.wait_for_selector("text=Class token of")
    assert page.locator(".jp-RenderedHTMLCommon img").count() >= 8
    outputs = [
        output["data"]
        for cell in book.save()["cells"]
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    assert len(outputs) == 2
    for data in outputs:
        assert "data:image/png;base64" in "".join(data["text/html"])
    assert "application/vnd.jupyter.widget-view+json" in outputs[1]
    saved = nbformat.read(book.path, 4)
    saved.metadata.pop("widgets", None)
    html = pytest.importorskip("nbconvert").HTMLExporter().from_notebook_node(saved)[0]
    assert html.count("data:image/png;base64") >= 16
