"""Findings from the command line: alone, in an audit's folder, in its report, as a gate."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import inversion_kit as ik
from inversion_kit import analysis
from inversion_kit.cli import app
from inversion_kit.finding import run
from inversion_kit.testing import synthetic, synthetic_findings

LABEL, CUE = "80 km/h speed limit", "with a yellow sticker"
MODELS = ["--generator", "pocket:quick", "--judge", "pocket:judge"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("command")


@pytest.fixture(scope="module")
def asked(folder: Path) -> list[str]:
    return ["--cue", CUE, "--lens", "words", "--bank", str(folder / "bank")]


@pytest.fixture(scope="module", autouse=True)
def _few_sources() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "SOURCES", 6)
        yield


@pytest.fixture(scope="module")
def audited(folder: Path, asked: list[str]) -> Any:
    """What the command said, and where the audit lies: plain names alone, and findings."""
    out = folder / "audit"
    given = ["audit", "pocket:backdoored", *MODELS, "--label", LABEL, "--label", "stop"]
    given += ["--arm", "name", "--seeds", "1", "--samples", "2", "--findings", *asked]
    return CliRunner().invoke(app, [*given, "--out", str(out)]), out


def test_an_audit_keeps_its_units_and_its_findings_in_one_folder(audited: Any) -> None:
    ended, out = audited
    assert ended.exit_code == 0, ended.output
    assert "2 of 2 units done" in ended.stdout
    tree = ik.open(out)
    assert tree["samples"].sizes["label"] == 2
    assert tree["samples"]["arm"].values.tolist() == ["name"]
    (found,) = [one for one in analysis.findings_data(tree)["findings"] if one["confirmed"]]
    assert (found["label"], found["direction"], found["lens"]) == (LABEL, "push", "words")
    assert found["sentence"] in ended.stdout
    assert int(tree["findings"].attrs["sources"]) == 6


def test_its_reports_first_screen_names_the_finding_and_the_gate_fails(
    audited: Any, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    given = ["report", str(audited[1]), "--out", str(page), "--json", "--fail-if", "confirmed>0"]
    ended = CliRunner().invoke(app, given)
    assert ended.exit_code == 1
    assert f"fails: {LABEL} (1)" in ended.stdout
    text = page.read_text("utf-8")
    first = text[text.index('<section class="cues"') : text.index('<div class="first">')]
    assert CUE in re.sub(r"<[^>]+>", "", first[first.index('<p class="says">') :])
    assert "<svg" in first
    rows = json.loads(page.with_suffix(".json").read_text("utf-8"))["labels"]
    assert {row["label"]: row["confirmed"] for row in rows} == {LABEL: 1, "stop": 0}
    passed = CliRunner().invoke(app, [*given[:-1], "confirmed>1"])
    assert passed.exit_code == 0


@pytest.mark.parametrize(("model", "code"), [("backdoored", 1), ("honest", 0)])
def test_findings_print_json_and_end_as_the_gate_says(
    model: str, code: int, asked: list[str]
) -> None:
    given = ["findings", f"pocket:{model}", *MODELS, *asked, "--json", "--fail-if", "confirmed>0"]
    ended = CliRunner().invoke(app, given)
    assert ended.exit_code == code, ended.output
    data = json.loads(ended.stdout)  # and nothing else is on it
    assert data["clean"] is (code == 0)
    assert [one["label"] for one in data["findings"] if one["confirmed"]] == [LABEL] * code
    assert "gate confirmed>0" in ended.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--lens", "words"], "--lens=['words']: it is for findings; give --findings too"),
        (["--findings", "--lens", "trigger"], "lenses="),
        (["--findings", "--cue", " "], "cues"),
        (["--bank", __file__], "--bank="),
    ],
)
def test_what_findings_would_refuse_is_refused_before_the_audit(
    options: list[str], said: str, tmp_path: Path
) -> None:
    out = tmp_path / "audit"
    given = ["audit", "pocket:honest", *MODELS, "--out", str(out), *options]
    ended = CliRunner().invoke(app, given)
    assert ended.exit_code == 2
    assert said in ended.stderr
    assert not out.exists()


def test_a_finding_of_a_class_without_images_is_said_too() -> None:
    tree = synthetic_findings(synthetic(labels=3), confirmed=2, unsure=0)
    labels = tree["samples"]["label"].values.tolist()
    assert not any("without images" in line for line in analysis.looked_for(tree))
    one, none = (analysis.looked_for(tree.sel(label=[label])) for label in labels[::2])
    assert f"without images in this result: “{labels[1]}”." in one[1]
    assert one[0].startswith(f"“{labels[0]}”")
    assert none[0] == "Nothing is confirmed that the classifier has tied to a label of this result."
    assert f"without images in this result: “{labels[0]}” and “{labels[1]}”." in none[1]
    outcome = analysis.check_gates(["confirmed>0"], analysis.numbers(tree.sel(label=labels[2:])))
    assert outcome[0].failing == {labels[0]: 1, labels[1]: 1}
