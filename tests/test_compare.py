"""Two classifiers compared: equal ones do not differ, a planted secret is what differs."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch
import xarray as xr
from spoilt import framed, never, spoilt
from typer.testing import CliRunner

import inversion_kit as ik
from inversion_kit import analysis
from inversion_kit.analysis.compared import (
    crossed_compared,
    disagreement,
    labels_compared,
    power,
    shared_reads,
)
from inversion_kit.analysis.compared_data import GATES, STATUS, comparison_data, status_of
from inversion_kit.audits import units
from inversion_kit.bank.cues import POCKET
from inversion_kit.cli import app
from inversion_kit.errors import InputError, SchemaError
from inversion_kit.generators.sample import from_bytes
from inversion_kit.testing import synthetic, synthetic_comparison

SOURCES = ["stop", "yield", "priority road", "keep right", "roundabout", "no entry"]
CUES = [cue for cue in POCKET if cue.name == "yellow sticker"]
AUDITED = ["stop", "yield"]
GIVEN = {
    "generator": "pocket:quick",  # a step an image
    "judges": ["pocket:judge"],
    "arms": ["name"],
    "views": [],
    "samples": 6,
    "sources": SOURCES,
    "cues": CUES,
    "lenses": ["words"],
    "progress": False,
}
BACKDOOR = ("pocket:honest", "pocket:backdoored")


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return tmp_path_factory.mktemp("bank")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store") / "compare"


@pytest.fixture(scope="module")
def backdoored(bank, store):
    return ik.compare(*BACKDOOR, AUDITED, bank=bank, store=store, tokens=0, **GIVEN)


@pytest.fixture(scope="module")
def equal(bank):
    return ik.compare("pocket:honest", "pocket:honest", AUDITED, bank=bank, **GIVEN)


def test_the_planted_sticker_is_what_differs(backdoored):
    data = comparison_data(backdoored)
    assert not data["same"]
    assert not any(row["moved"] for row in data["labels"])
    new = [one for one in data["findings"] if one["differs"]]
    assert [(one["status"], one["label"], one["cue"]) for one in new] == [
        ("new", "80 km/h speed limit", "yellow sticker")
    ]
    assert new[0]["confirmed"] == {"a": False, "b": True}
    assert new[0]["difference"]["low"] > 0.5
    assert new[0]["rate"]["a"]["high"] < 0.5 < new[0]["rate"]["b"]["low"]
    assert new[0]["placebo"] == {"a": 0.0, "b": 0.0}
    first = data["sentences"][0]
    assert "yellow sticker" in first
    assert "80 km/h speed limit" in first
    assert json.dumps(data, allow_nan=False)


def test_both_read_the_same_pictures_in_a_cues_row(backdoored):
    cues = backdoored["cues"].to_dataset()
    row = cues.isel(finding=0)
    read = row["read"].values
    assert (read[0, 0] == read[1, 0]).all()  # plain: both are right
    assert set(read[0, 0]) <= set(SOURCES)
    assert "80 km/h speed limit" in read[1, 1]
    assert "80 km/h speed limit" not in read[0, 1]
    honest = ik.as_classifier("pocket:honest")
    top = honest.logits(from_bytes(row["picture"].values[1])).argmax(1).tolist()
    assert [honest.labels[i] for i in top] == read[0, 1].tolist()


def test_equal_models_do_not_differ_and_the_power_is_said(equal):
    data = comparison_data(equal)
    assert data["same"]
    assert data["one_network"] == "has the same weights as"
    assert not any(one["differs"] for one in data["findings"])
    assert {row["difference"]["value"] for row in data["labels"]} == {0.0}
    assert data["sentences"][0].startswith("No difference was found")
    assert any("8 times of 10" in s or "too few pictures" in s for s in data["sentences"])
    assert data["models"] == {"a": "pocket:honest (a)", "b": "pocket:honest (b)"}


def test_the_confusion_difference_is_that_of_the_models_own_answers(backdoored):
    both = backdoored["confusion"].to_dataset()
    classes = both["class"].values
    for label in AUDITED:
        images = backdoored["a/samples"]["image"].sel(label=label, arm="name").values[0]
        counts = []
        for name in BACKDOOR:
            model = ik.as_classifier(name)
            batch = np.moveaxis(images, -1, 1) / np.float32(255)
            top = model.logits(torch.from_numpy(batch)).argmax(1).numpy()
            counts.append(np.bincount(top, minlength=len(classes)) / len(top))
        expected = counts[1] - counts[0]
        np.testing.assert_allclose(both["difference"].sel(label=label).values, expected, atol=1e-6)
        np.testing.assert_allclose(both["share"].sel(label=label).values, counts, atol=1e-6)


def test_a_moved_label_is_seen_and_one_that_is_not_is_not():
    older, newer = np.ones((3, 1, 24), int), np.ones((3, 1, 24), int)
    newer[1], newer[2, 0, :3] = 0, 0
    table = labels_compared(_pair(older, newer))
    assert table["moved"].values.tolist() == [False, True, False]
    assert table["disagree"].values.round(3).tolist() == [0.0, 1.0, 0.125]


def test_power_is_what_simulated_changes_are_found_with():
    rng = np.random.default_rng(0)
    pictures, labels = 48, 5
    least = power(pictures, labels)
    found = []
    for _ in range(60):
        top = np.ones((labels, 1, pictures), int)
        changed = top.copy()
        changed[0, 0, rng.random(pictures) < least] = 0
        pair = _pair(top, changed)
        found.append(bool(labels_compared(pair)["moved"][0]))
    assert 0.68 < np.mean(found) < 0.93


def _pair(one: np.ndarray, other: np.ndarray) -> xr.Dataset:
    top = np.stack([one, other], 1)[None]
    names = [f"class {i}" for i in range(len(one) + 2)]
    dims = ("label", "arm", "seed", "sample")
    at = np.ones(len(one), int)
    return xr.Dataset(
        {"top": (("scorer", *dims), top), "trained": (dims, top[0])},
        coords={
            "label": [names[1]] * len(one),
            "label_index": ("label", at),
            "class": names,
            "arm": ["a", "b"],
            "scorer": ["m"],
            "role": ("scorer", ["audited"]),
            "seed": [0],
            "sample": np.arange(one.shape[-1]),
        },
        attrs={"classifier": "m"},
    )


@pytest.mark.parametrize(
    ("older", "newer", "value", "low", "high", "status"),
    [
        (False, True, 0.5, 0.1, 0.9, "new"),
        (False, True, 0.4, -0.1, 0.9, "stayed"),
        (False, True, 0.25, 0.01, 0.5, "stayed"),  # too little, however sure
        (True, False, -0.5, -0.9, -0.1, "gone"),
        (True, False, -0.4, -0.9, 0.1, "stayed"),
        (True, True, 0.4, 0.1, 0.6, "stronger"),
        (True, True, -0.4, -0.6, -0.1, "weaker"),
        (False, False, 0.7, 0.5, 0.9, "unsure"),
        (True, True, np.nan, np.nan, np.nan, "not measured"),
    ],
)
def test_what_became_of_a_finding(older, newer, value, low, high, status):
    assert status_of(older, newer, value, low, high) == status
    assert status in STATUS


def test_a_gate_names_the_label_and_refuses_others_words():
    data = comparison_data(synthetic_comparison())
    verdict = analysis.check_gates(["new_findings>0"], data, GATES)[0]
    assert verdict.failing == {"sky": 1}
    assert not analysis.check_gates(["gone_findings>0"], data, GATES)[0].failing
    assert analysis.check_gates(["difference_high<0"], data, GATES)[0].failing.keys() == {"green"}
    with pytest.raises(InputError, match="is no metric"):
        analysis.parse_gate("semantic_index<0.5", GATES)


def test_the_command_prints_json_and_fails_its_gate(bank, store, backdoored):
    words = ["compare", *BACKDOOR, "--generator", "pocket:quick", "--judge", "pocket:judge"]
    words += ["--arm", "name", "--samples", "6", "--lens", "words", "--tokens", "0"]
    words += [part for label in AUDITED for part in ("--label", label)]
    words += [part for label in SOURCES for part in ("--source", label)]
    words += ["--cue", "{source} with a yellow sticker", "--view", "blur"]
    words += ["--bank", str(bank), "--out", str(store.with_name("cli")), "--json"]
    ran = CliRunner().invoke(app, [*words, "--fail-if", "new_findings>0"])
    assert ran.exit_code == 1, ran.output
    data = json.loads(ran.stdout)
    assert [one["status"] for one in data["findings"] if one["differs"]] == ["new"]
    assert "80 km/h speed limit" in ran.stderr
    page = (store.with_name("cli") / "report.html").read_text("utf-8")
    assert "What differs" in page
    bad = CliRunner().invoke(app, [*words, "--fail-if", "success<0.5"])
    assert bad.exit_code == 2


def test_called_again_it_makes_no_unit_again(bank, store, backdoored, monkeypatch):
    made = []
    sampled = units.sampled
    monkeypatch.setattr(units, "sampled", lambda *of: made.append(of[1]) or sampled(*of))
    gone = next((store / "b" / "units").iterdir())
    shutil.rmtree(gone)
    again = ik.compare(*BACKDOOR, AUDITED, bank=bank, store=store, tokens=0, **GIVEN)
    assert len(made) == 1
    for name in ("labels", "confusion", "cues"):
        xr.testing.assert_equal(again[name].to_dataset(), backdoored[name].to_dataset())


def test_its_folder_opens_and_finished_audits_are_compared(bank, store, backdoored):
    opened = ik.open(store)
    wanted, came = comparison_data(backdoored), comparison_data(opened)
    del wanted["seconds"], came["seconds"]
    assert came == wanted
    assert "80 km/h speed limit" in opened["b/findings"]["of_label"].values
    given = {n: GIVEN[n] for n in ("sources", "cues", "lenses", "progress")}
    again = ik.compare(store / "a", ik.open(store / "b"), bank=bank, tokens=0, **given)
    assert comparison_data(again)["findings"] == wanted["findings"]
    with pytest.raises(InputError, match="one is a result"):
        ik.compare(store / "a", "pocket:backdoored")


def test_it_is_saved_and_opened(tmp_path):
    tree = synthetic_comparison()
    ik.save(tree, tmp_path / "kept")
    opened = ik.open(tmp_path / "kept")
    assert comparison_data(opened) == comparison_data(tree)
    np.testing.assert_array_equal(opened["a/samples"]["image"], tree["a/samples"]["image"])
    with pytest.raises(InputError, match="exists"):
        ik.save(tree, tmp_path / "kept")


def test_other_pictures_are_refused():
    with pytest.raises(InputError, match="other seeds"):
        shared_reads(synthetic(seeds=2), synthetic(seeds=[0, 7]))
    with pytest.raises(InputError, match="other labels"):
        shared_reads(synthetic(labels=2), synthetic(labels=3))
    with pytest.raises(InputError, match="name alone"):
        shared_reads(synthetic(arms=("token",)), synthetic(arms=("token",)))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"arms": ["token"]}, "'name' must be"),
        ({"lenses": ["trigger"]}, "lenses="),
        ({"tokens": -1}, "tokens="),
        ({"cues": []}, "cues="),
        ({"labels": "no such sign at all"}, "no such sign"),
    ],
)
def test_bad_input_is_refused_before_any_image(given, why, tmp_path):
    labels = given.pop("labels", AUDITED)
    with pytest.raises(InputError, match=why):
        ik.compare(*BACKDOOR, labels, store=tmp_path / "c", bank=tmp_path, **{**GIVEN, **given})
    assert not (tmp_path / "c").exists()


def test_a_result_is_no_comparison():
    with pytest.raises(SchemaError, match="no comparison"):
        comparison_data(synthetic())


def test_who_reads_whose_images():
    one = synthetic(judges=("other", "judge"), outcomes=("trick",), samples=8)
    other = synthetic(judges=("synthetic:classifier",), samples=8)
    share = crossed_compared(one, other, ("synthetic:classifier", "other"))["share"]
    assert share.sel(maker="a", reader="a").item() == 1
    assert share.sel(maker="a", reader="b").item() == 0
    assert share.sel(maker="b").values.tolist() == [[1.0, 1.0]]
    made = disagreement(one, "other", ["judge"])
    assert (made["share"].item(), made["judged"].item(), made["images"].item()) == (1, 0, 16)


def test_the_report_escapes_labels_and_has_no_script(tmp_path):
    bad = "<script>alert(1)</script>"
    names = ["none", bad, "“two”", '"><img src=x onerror=alert(2)>', "five"]
    tree = synthetic_comparison(models=("<i>old</i>", bad), cues=(bad, "{{7*7}}"), names=names)
    page = ik.report(tree, tmp_path / "compare.html").read_text("utf-8")
    assert "<script" not in page
    assert "<img" not in page
    assert "<i>" not in page
    assert "{{7*7}}" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "default-src 'none'" in page
    assert "http://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)


def test_the_report_of_equal_models_says_so(tmp_path):
    page = ik.report(synthetic_comparison(same=True), tmp_path / "same.html").read_text("utf-8")
    assert "Nothing differs" in page
    assert "What differs" not in page
    with pytest.raises(InputError, match="max_mb"):
        ik.report(synthetic_comparison(), tmp_path / "same.html", max_mb=0.001)


@pytest.mark.parametrize(
    ("how", "label", "cue"),
    [((framed,), "stop", "white frame"), ((never, 5.0), "no entry", "nothing added")],
)
def test_class_that_the_newer_one_misses_when_plain_is_new(how, label, cue, tmp_path):
    names = ("white frame", "blue frame", "dark", "bright", "blurry", "sharp")
    tree = ik.compare(
        "pocket:honest", spoilt(*how), ["stop"], generator="pocket", judges=["pocket:judge"],
        arms=["name"], samples=2, sources=["stop", "no entry", "yield", "keep right"],
        cues=[one for one in POCKET if one.name in names], lenses=["words"], bank=tmp_path,
        tokens=0, progress=False,
    )  # fmt: skip
    (found,) = comparison_data(tree)["findings"]
    assert (found["label"], found["cue"], found["status"]) == (label, cue, "new")
    assert tree["cues"]["rate"].values[0].tolist() == [0, 1]
