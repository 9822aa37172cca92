"""The widgets in a real JupyterLab, clicked through in a real Chromium without a network."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser
sync_api = pytest.importorskip("playwright.sync_api")
nbformat = pytest.importorskip("nbformat")

QUIET = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
SETUP = (
    "import inversion_kit as ik\nfrom inversion_kit.testing import synthetic_audit, synthetic_run\n"
)
LONG = 60_000


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
            sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--allow-root",
            "--ServerApp.port=0", f"--IdentityProvider.token={self.token}",
            "--expose-app-in-browser", f"--ServerApp.root_dir={self.root}",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]  # fmt: skip
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.address = self._wait(Path(places["runtime"]))

    def _wait(self, runtime: Path) -> str:
        for _ in range(600):
            if self.process.poll() is not None:
                break
            for found in runtime.glob("jpserver-*.json"):
                try:
                    return str(json.loads(found.read_text("utf-8"))["url"])
                except ValueError:  # half written
                    continue
            time.sleep(0.1)
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text('utf-8')[-2000:]}")

    def write(self, name: str, cells: list[str]) -> Path:
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
        )  # fmt: skip
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

    def __init__(self, lab: Lab, page: Any, name: str, cells: list[str]) -> None:
        self.page, self.faults = page, []
        self.path = lab.write(name, cells)
        page.on("dialog", self._dialog)
        page.on("request", self._request)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.goto(f"{lab.address}lab/tree/{name}?token={lab.token}&reset", timeout=LONG)
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=LONG)
        page.wait_for_function(
            "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status"
            " === 'idle'",
            timeout=LONG,
        )
        page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")

    def _dialog(self, shown: Any) -> None:
        self.faults.append(f"dialog: {shown.message}")
        shown.dismiss()

    def _request(self, sent: Any) -> None:
        own = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")
        if not sent.url.startswith(own):
            self.faults.append(f"request: {sent.url[:80]}")

    def start(self) -> None:
        """Run all cells; do not wait for them."""
        self.page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")

    def run(self, until: str) -> Any:
        """Run all cells until something is drawn."""
        self.start()
        self.page.wait_for_selector(until, timeout=2 * LONG)
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
            args=["--no-sandbox", "--disable-gpu",
                  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )  # fmt: skip
        yield made
        made.close()


@pytest.fixture
def notebook(lab: Lab, browser: Any) -> Iterator[Callable[..., Notebook]]:
    """A function that opens a notebook of the cells given, after `SETUP`."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(30_000)

    def make(*cells: str, setup: str = SETUP) -> Notebook:
        name = f"{secrets.token_hex(4)}.ipynb"
        return Notebook(lab, context.new_page(), name, [setup, *cells])

    yield make
    context.close()
