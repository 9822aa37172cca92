"""Run the notebooks and save them with outputs: ``python notebooks/save.py [notebook ...]``.

Figures are saved twice: as data, which JupyterLab draws and which answers the pointer, and as a
picture, which GitHub, nbviewer and nbconvert show. Of widgets their own summary is saved. The
pictures need Chromium and Playwright; all else comes with the extras ``notebook`` and ``dev``.
"""

from __future__ import annotations

import base64
import io
import shutil
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image
from playwright.sync_api import sync_playwright

FIGURE, WIDGET = "application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"
WIDTH, SCALE = 900, 1.5


def pictures(notebook: Any) -> None:
    """Add a PNG to every figure among the outputs."""
    figures = [
        output["data"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if FIGURE in output.get("data", {})
    ]
    if not figures:
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(device_scale_factor=SCALE, viewport={"width": 1400, "height": 1600})
        page.set_content("<body style='margin:0'><div id='figure'></div></body>")
        page.add_script_tag(path=str(files("plotly") / "package_data" / "plotly.min.js"))
        for data in figures:
            figure = data[FIGURE]
            layout = {"width": WIDTH, **figure["layout"]}
            page.evaluate(
                "([data, layout]) => Plotly.newPlot('figure', data, layout)",
                [figure["data"], layout],
            )
            page.wait_for_timeout(300)  # embedded images are decoded after the plot is there
            shot = page.locator("#figure .svg-container").screenshot()
            data["image/png"] = base64.b64encode(small(shot)).decode("ascii")
            page.evaluate("Plotly.purge('figure')")
        browser.close()


def small(shot: bytes) -> bytes:
    """A screenshot in 256 colours of its own: a third of the bytes."""
    made = io.BytesIO()
    Image.open(io.BytesIO(shot)).convert("RGB").quantize(256).save(made, "PNG", optimize=True)
    return made.getvalue()


def tidy(notebook: Any) -> None:
    """Drop what says nothing on a page: progress bars, and widgets that have no kernel."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                o
                for o in cell.outputs
                if "%|" not in o.get("text", "") + o.get("data", {}).get("text/plain", "")
            ]
            for output in cell.outputs:
                output.get("data", {}).pop(WIDGET, None)


def save(path: Path) -> None:
    """Run one notebook from top to bottom and write it back, without what changes by machine."""
    notebook = nbformat.read(path, as_version=4)
    began = time.monotonic()
    NotebookClient(
        notebook,
        timeout=1800,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": path.parent}},
        store_widget_state=False,
    ).execute()
    seconds = time.monotonic() - began
    tidy(notebook)
    pictures(notebook)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    nbformat.write(notebook, path)
    print(f"{path.name}: {seconds:.0f} s, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    here = Path(__file__).parent
    for name in sys.argv[1:] or sorted(here.glob("*.ipynb")):
        save(Path(name))
