"""The notebooks as they are saved: whole, with pictures, and without traces of a machine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
FIGURE = "application/vnd.plotly.v1+json"

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="an installed package has no notebooks")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def notebook(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [o for cell in notebook["cells"] for o in cell.get("outputs", [])]


def test_all_six_stories_are_there() -> None:
    assert [p.stem for p in NOTEBOOKS] == [
        "01_quickstart",
        "02_audit_a_classifier",
        "03_bring_your_own",
        "04_two_classifiers",
        "05_tokens_in_free_text",
        "06_from_a_weak_class",
    ]


def test_it_was_run_from_top_to_bottom(notebook: dict[str, Any]) -> None:
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not [o for o in outputs(notebook) if o["output_type"] == "error"]
    assert not [o for o in outputs(notebook) if o.get("name") == "stderr"]


def test_every_figure_has_a_picture(notebook: dict[str, Any]) -> None:
    drawn = [o["data"] for o in outputs(notebook) if "data" in o]
    assert drawn
    assert all("image/png" in data for data in drawn if FIGURE in data)
    assert any("image/png" in data for data in drawn)


def test_it_is_small_and_knows_no_machine(path: Path, notebook: dict[str, Any]) -> None:
    assert path.stat().st_size < 2e6
    said = [cell["source"] for cell in notebook["cells"]]
    for output in outputs(notebook):
        data = output.get("data", {})
        said += [output.get("text", ""), *(data[k] for k in data if k.startswith("text/"))]
    whole = "\n".join("".join(part) for part in said)
    trace = re.search(r"(?<![\w.])/(home|root|tmp|work|Users|usr|private|var)/|[A-Z]:\\", whole)
    assert trace is None, trace and whole[trace.start() - 40 : trace.end() + 40]


def test_every_result_is_read_in_words(notebook: dict[str, Any]) -> None:
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    assert kinds[0] == "markdown"
    assert kinds.count("markdown") >= 4
    text = " ".join("".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "markdown")
    assert "READ" not in text
    assert len(text.split()) < 900
