"""An audit's report says what the numbers say, within its size, and runs nothing it is given."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from test_html_report import HOSTILE, Page
from typer.testing import CliRunner

import inversion_kit
from inversion_kit import schema
from inversion_kit.analysis.audits import attention, audit_sentences
from inversion_kit.cli import app
from inversion_kit.errors import InputError
from inversion_kit.reports import audit_report, gates, html_report
from inversion_kit.reports.audit_matrix import matrices
from inversion_kit.reports.audit_table import numbers
from inversion_kit.reports.report_parts import visible
from inversion_kit.reports.sprites import sheet
from inversion_kit.storage.audit_store import AuditStore, Unit
from inversion_kit.testing import synthetic_audit, synthetic_plan, synthetic_unit

OUTCOMES = ("meaning", "trick", "failure", "mixed")


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return synthetic_audit(
        outcomes=OUTCOMES, samples=16, failed=[("sky", "token", 1)], missing=[("red", "name", 0)]
    )


@pytest.fixture(scope="module")
def html(tree: xr.DataTree) -> str:
    return audit_report.to_html(tree)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def sheets(html: str) -> dict[str, Image.Image]:
    found = re.findall(r"\.(s\d+)\{background-image:url\(data:image/webp;base64,([^)]+)\)", html)
    return {name: Image.open(io.BytesIO(base64.b64decode(data))) for name, data in found}


def test_sentences_and_attention_stand_first(page: Page, tree: xr.DataTree) -> None:
    for sentence in audit_sentences(tree):
        assert words(sentence) in page.text
        assert page.text.index(words(sentence)) < page.text.index("All labels")
    for look in attention(tree):
        assert words(look.reason) in page.text


def test_verdicts_are_those_of_the_intervals(tree: xr.DataTree) -> None:
    rows = {row["label"]: row for row in numbers(tree)["labels"]}
    assert [rows[n]["verdict"] for n in rows][:4] == ["confirmed", "trick", "never", "mixed"]
    clear = numbers(synthetic_audit(outcomes=("mixed",), labels=1, seeds=3, samples=60))
    assert clear["labels"][0]["verdict"] == "mixed"
    alone = numbers(synthetic_audit(judges=(), labels=1, samples=16))["labels"][0]
    assert alone["verdict"] == "open"
    assert "no held-out classifier was asked" in alone["says"]


def test_every_label_has_its_parts(page: Page, tree: xr.DataTree) -> None:
    for i, label in enumerate(tree["status"]["label"].values):
        assert any(a.get("id") == f"label-{i}" for _, a in page.elements)
        assert any(a.get("href") == f"#label-{i}" for a in page.all("a"))
        assert str(label) in page.text
    for part in ("Before and after", "Along the search", "Confidence over the updates",
                 "Nearest words", "Judges and views"):  # fmt: skip
        assert page.text.count(part) == 5, part
    for part in ("NumericalError: made up", "38 of 40 units", "What this page leaves out", "0" * 64,
                 "2" * 64, "Make it again", "Tokens minus name prompts"):  # fmt: skip
        assert part in page.text, part


def test_every_picture_has_words(page: Page) -> None:
    pictures = [a for _, a in page.elements if "p" in (a.get("class") or "").split()]
    assert len(pictures) > 5 * (4 * 8 + 4 * 4)
    assert all(a.get("role") == "img" and a.get("aria-label") for a in pictures)
    assert all(a.get("alt") for a in page.all("img"))


def test_a_picture_is_cut_from_its_place(html: str, tree: xr.DataTree) -> None:
    made = sheets(html)
    assert sorted(made) == [f"s{i}" for i in range(5)]
    picture = np.asarray(made["s0"].convert("RGB")).astype(int)
    stored = tree["samples"]["image"].values[0, :, 0, :4].astype(int)
    for a in range(4):
        for c in range(4):
            cell = picture[a * 8 : a * 8 + 8, c * 8 : c * 8 + 8]
            near = np.abs(cell - stored[a, c]).mean()
            other = np.abs(cell - stored[a, (c + 1) % 4]).mean()
            assert near < other or np.array_equal(stored[a, c], stored[a, (c + 1) % 4])
    # A run that failed leaves grey cells.
    assert abs(picture[18:22, 36:60].mean() - 205) < 4


def test_a_label_whose_first_run_failed_shows_its_second() -> None:
    tree = synthetic_audit(samples=8, failed=[("sky", "token", 0)])
    page = Page(audit_report.to_html(tree))
    shown = [a for _, a in page.elements if "data-picture" in a]
    own = [a for a in shown if (a["data-picture"] or "").startswith("0 ")]
    assert {a["data-picture"] for a in own} == {"0 4", "0 5", "0 6"}  # of run 1
    assert {a["class"] for a in own} == {"p s0 r2 c4", "p s0 r2 c5", "p s0 r2 c6"}
    assert own[0]["aria-label"] == "sky, token, run 1, noise 1"
    assert {a["data-picture"] for a in shown} - {a["data-picture"] for a in own} == {
        f"{i} {c}" for i in range(1, 5) for c in range(3)
    }
    glance = [a["class"] for _, a in page.elements if a.get("aria-label") == "Picture of"]
    assert "p s0 r2 c4" in glance


def test_the_map_marks_what_the_sheets_show(html: str, page: Page, tree: xr.DataTree) -> None:
    data, _ = json.JSONDecoder().raw_decode(page.data)
    points = data["map"]["image"]
    done = int((tree["status"]["status"].values == "done").sum())
    assert len(points["x"]) == done * 4  # of two runs the first 4 of 8 pictures each
    assert len(data["map"]["token"]["x"]) == 5 * 3 * 2 - 1
    assert all(0 <= v <= 1000 for axis in "xy" for v in points[axis])
    for n in range(0, len(points["x"]), 7):
        label, arm, column = (points[k][n] for k in ("label", "arm", "column"))
        said = tree["samples"]["probability"].values[label, arm, column // 4, column % 4].argmax()
        read = data["map"]["classes"][points["read"][n]]
        assert read == tree["samples"]["class"].values[said]
    drawn = [a for t, a in page.elements if t == "path" and "data-arm" in a]
    assert sum((a["d"] or "").count("M") for a in drawn) == len(points["x"]) + 29
    tokens = synthetic_audit(labels=2)
    tokens["samples"] = xr.DataTree(tokens["samples"].to_dataset().drop_vars("feature"))
    assert "Class tokens" in Page(audit_report.to_html(tokens)).text
    tokens["token"]["embedding"].values[:] = np.nan
    assert "nothing to place" in Page(audit_report.to_html(tokens)).text


def test_the_policy_holds_the_hashes_and_no_attribute_runs(html: str, page: Page) -> None:
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    blocks = re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", html, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        digest = hashlib.sha256(block.encode()).digest()
        assert base64.b64encode(digest).decode() in (policy or "")
    assert "unsafe" not in (policy or "")
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert (attributes.get("href") or "#").startswith("#"), tag
        assert (attributes.get("src") or "data:").startswith("data:")
    assert "http://" not in re.sub(r'"http://www\.w3\.org/2000/svg"', "", html)


def test_elements_are_balanced_and_ids_unique(page: Page) -> None:
    assert page.open == []
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for _, a in page.elements:
        for name in ("aria-labelledby", "data-chart"):
            assert set((a.get(name) or "").split()) <= set(ids)


def hostile() -> xr.DataTree:
    """An audit whose every text is hostile."""
    nasty = [HOSTILE, "</style><b>", "javascript:alert(1)", "{{7*7}}", "\u202egpj.exe", "\x00a",
             "<img src=x onerror=alert(2)>", "', alert(3), '"]  # fmt: skip
    tree = synthetic_audit(labels=6, seeds=1, names=nasty, judges=(HOSTILE,),
                           failed=[("{{7*7}}", "token", 0)])  # fmt: skip
    parts = {k: node.to_dataset(inherit=False) for k, node in tree.children.items()}
    parts["samples"]["prompt"].values[:] = HOSTILE
    parts["token"]["nearest_word"].values[:] = HOSTILE
    parts["probe"]["word"].values[:] = HOSTILE
    parts["validation"]["start"].values[:] = HOSTILE
    parts["status"]["reason"].values[:] = HOSTILE
    sources = {"model": HOSTILE, "generator": HOSTILE, "judges": [HOSTILE]}
    settings = {"views": [HOSTILE], "prompts": [HOSTILE], "sources": sources, HOSTILE: HOSTILE}
    return schema.build(parts, {
        **tree.attrs, "classifier": HOSTILE, "generator": HOSTILE, "created": HOSTILE,
        "settings": json.dumps(settings), "versions": json.dumps({HOSTILE: HOSTILE}),
    }, kind="audit")  # fmt: skip


def test_hostile_texts_stay_text() -> None:
    html = audit_report.to_html(hostile())
    page = Page(html)
    assert page.open == []
    assert [s.get("type") for s in page.all("script")] == ["application/json", None]
    assert html.count("</script>") == 2
    assert html.count("</style>") == 2
    assert not any(n.startswith("on") for _, a in page.elements for n in a)
    assert {i["src"][:5] for i in page.all("img") if i["src"]} <= {"data:"}
    for text in (HOSTILE, "{{7*7}}", "[U+202E]gpj.exe", "javascript:alert(1)", "[U+0000]a"):
        assert text in page.text
    assert "\u202e" not in html


def test_hidden_characters_are_written_out() -> None:
    assert visible("a\u202eb\u200bc\x07") == "a[U+202E]b[U+200B]c[U+0007]"
    assert visible("\u0627\u0644 caf\u00e9 \u65e5\n") == "\u0627\u0644 caf\u00e9 \u65e5\n"


def test_the_size_is_kept_and_what_is_left_out_is_said() -> None:
    tree = synthetic_audit(labels=12, samples=12, size=32)
    whole = audit_report.to_html(tree)
    limit = len(whole.encode()) / 1e6 * 0.45
    small = audit_report.to_html(tree, max_mb=limit)
    assert len(small.encode()) <= limit * 1e6
    assert len(sheets(small)) == 12
    assert "of 24 test images of each label and arm the first 8" in Page(whole).text.replace(
        "Of 24", "of 24"
    )
    shown = re.search(r"the first (\d) are shown", Page(small).text)
    assert shown is not None
    assert int(shown[1]) < 8
    with pytest.raises(InputError, match=r"max_mb=0\.01: the report of 12 labels needs about"):
        audit_report.to_html(tree, max_mb=0.01)


def test_a_full_audit_is_small(tmp_path: Path) -> None:
    tree = synthetic_audit(labels=43, seeds=1, samples=8, steps=1, size=32)
    path = html_report.report(tree, tmp_path / "audit.html")
    assert path.stat().st_size < 10e6
    assert Page(path.read_text("utf-8")).text.count("Before and after") == 43


def test_a_folder_is_reported_by_its_path(tmp_path: Path) -> None:
    store = AuditStore.create(tmp_path / "audit", synthetic_plan())
    store.commit(Unit(1, "token", 0), *synthetic_unit(1, "token", 0))
    path = html_report.report(tmp_path / "audit", tmp_path / "a.html")
    found = Page(path.read_text("utf-8"))
    assert "No images" in found.text
    assert found.open == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: synthetic_audit(labels=1, seeds=1, samples=1, checks=2, steps=1, size=2),
        lambda: synthetic_audit(judges=(), views=(), labels=2, seeds=1),
        lambda: synthetic_audit(arms=("name",), labels=2),
        lambda: synthetic_audit(arms=("token",), labels=2, seeds=3),
        lambda: synthetic_audit(labels=61, seeds=1, samples=2, size=2, steps=1),
        lambda: synthetic_audit(labels=1, seeds=1, missing=[("sky", "token", 0)]),
    ],
)
def test_other_audits(make: Callable[[], xr.DataTree]) -> None:
    page = Page(audit_report.to_html(make()))
    assert page.open == []
    assert not re.search(r"\bnan\b", page.text, re.IGNORECASE)
    found, _ = json.JSONDecoder(parse_constant=pytest.fail).raw_decode(page.data)
    assert found["labels"]


def test_the_matrix_says_what_it_draws() -> None:
    few = synthetic_audit(outcomes=OUTCOMES, samples=16)
    html = audit_report.to_html(few)
    page = Page(html)
    frames = [a for _, a in page.elements if a.get("class") == "own-cells"]
    assert [(a["d"] or "").count("M") for a in frames] == [5, 5, 5]
    assert len(re.findall(r'<a href="#label-0"><text[^>]*>1 sky</text>', html)) == 3
    assert "Columns that are no row: 0 orange" in page.text
    assert "The area of a square" in page.text
    found = matrices(few, "token")["changes"]
    assert found[0]["value"] in (-1, 1)
    assert "The largest differences" in page.text
    many = Page(audit_report.to_html(synthetic_audit(
        labels=61, seeds=1, samples=2, size=2, steps=1, outcomes=OUTCOMES
    )))  # fmt: skip
    for wrong in ("area of a square", "framed", "Point at a square", "hollow"):
        assert wrong not in many.text
    for right in ("from top to bottom the 61 labels", "orange is less", "The largest differences"):
        assert right in many.text


def test_findings_are_shown_where_they_are() -> None:
    tree = synthetic_audit(labels=2, seeds=1)
    dims = ("label", "factor")
    two = np.array([[0.42, 0.1], [0.0, np.nan]])
    says = np.array([["moved", "not told apart"]] * 2, dtype=object)
    tree["findings"] = xr.DataTree(xr.Dataset(
        {**dict.fromkeys(("effect", "low", "high", "p"), (dims, two)),
         "verdict": (dims, says), "confirmation": (dims, says)},
        coords={"label": tree["status"]["label"].values, "factor": ["yellow border", "snow"]},
    ))  # fmt: skip
    page = Page(audit_report.to_html(tree))
    assert "yellow border +0.42" in page.text
    found = numbers(tree)["labels"]
    assert [f["factor"] for f in found[0]["findings"]] == ["yellow border", "snow"]
    assert [f["effect"] for f in found[1]["findings"]] == [0.0]
    assert page.text.count("snow") == 1


def test_the_command_makes_the_same_audit_again(tree: xr.DataTree) -> None:
    assert "no command can be written" in Page(audit_report.to_html(tree)).text
    settings = {"views": ["jpeg"], "prompts": ["a {token}'s"], "steps": 3,
                "sources": {"model": "m", "generator": None, "judges": []}}  # fmt: skip
    known = tree.copy()
    known.attrs = {**tree.attrs, "settings": json.dumps(settings)}
    found = Page(audit_report.to_html(known)).text
    assert "python -c 'import inversion_kit as ik; ik.audit(" in found
    assert "[1, 2, 3, 4, 5], generator=None" in found
    assert "steps=3" in found


def test_a_sheet_refuses_what_does_not_fit() -> None:
    grey = np.full((4, 4, 3), 9, "u1")
    with pytest.raises(InputError, match="do not fit"):
        sheet([[grey]], columns=2, pixels=9000)
    with pytest.raises(InputError, match="1 pictures a row"):
        sheet([[grey, grey]], columns=1, pixels=4)


@pytest.mark.parametrize(
    ("text", "metric", "compare", "number"),
    [("semantic_index<0.5", "semantic_index", "<", 0.5), (" gain_low <= -1e-2 ", "gain_low", "<=",
     -0.01), ("failed>0", "failed", ">", 0.0), ("success!=.5", "success", "!=", 0.5)],
)  # fmt: skip
def test_a_gate_is_read(text: str, metric: str, compare: str, number: float) -> None:
    assert gates.parse_gate(text) == gates.Gate(metric, compare, number)


@pytest.mark.parametrize(
    "text",
    ["", "success", "success<", "<0.5", "success<0.5 or True", "__import__('os')<1", "success<nan",
     "semantic<0.5", "success=0.5", "success<0.5;", "success<1\u0660"],
)  # fmt: skip
def test_another_text_is_no_gate(text: str) -> None:
    with pytest.raises(InputError, match="fail_if="):
        gates.parse_gate(text)


def test_gates_find_the_labels(tree: xr.DataTree) -> None:
    found = gates.check_gates(["semantic_index<0.5", "failed>0"], tree)
    assert list(found[0].failing) == ["green"]
    assert found[0].unknown == ["yellow"]
    assert found[1].failing == {"sky": 1}
    with pytest.raises(InputError, match="nothing would be checked"):
        gates.check_gates(["semantic_index<0.5"], synthetic_audit(labels=1, judges=()))


def test_the_command_line_writes_both_and_gates(tmp_path: Path) -> None:
    runner = CliRunner()
    inversion_kit.save(
        synthetic_audit(labels=2, seeds=1, outcomes=("meaning", "trick")), tmp_path / "a.zarr"
    )
    out = tmp_path / "a.html"
    words = ["report", str(tmp_path / "a.zarr"), "--out", str(out), "--json"]
    bad = runner.invoke(app, [*words, "--fail-if", "semantic_index<0.5"])
    assert bad.exit_code == 1, bad.output
    assert "fails: green (0)" in bad.output
    assert "sky" not in bad.output
    assert json.loads((tmp_path / "a.json").read_text("utf-8"))["labels"][0]["label"] == "sky"
    assert out.is_file()
    good = runner.invoke(app, [*words, "--fail-if", "success<0.1"])
    assert good.exit_code == 0, good.output
    wrong = runner.invoke(app, [*words, "--fail-if", "success"])
    assert wrong.exit_code == 2
    assert "fail_if='success'" in wrong.output
