"""The notebook's views: what is chosen changes what is shown, and only that is read."""

from __future__ import annotations

import html
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from IPython.core.interactiveshell import InteractiveShell
from test_audit_report import HOSTILE, hostile
from test_html_report import Page, renamed
from test_run import SMALL

import inversion_kit
from inversion_kit import schema
from inversion_kit.analysis.audits import audit_sentences
from inversion_kit.analysis.projection import project
from inversion_kit.analysis.runs import percent, summary_sentences
from inversion_kit.analysis.words import visible
from inversion_kit.errors import InputError, StoreError
from inversion_kit.progress import Seen
from inversion_kit.reports import audit_report, audit_table
from inversion_kit.reports.audit_table import numbers
from inversion_kit.search import run as search_run
from inversion_kit.search.run import invert
from inversion_kit.storage import lazy
from inversion_kit.storage.audit_store import AuditStore, Unit
from inversion_kit.testing import synthetic_audit, synthetic_plan, synthetic_run, synthetic_unit
from inversion_kit.widgets import audit_map
from inversion_kit.widgets.explorer import explore
from inversion_kit.widgets.ipython import register
from inversion_kit.widgets.sources import picture
from inversion_kit.widgets.summary import shown, to_html

OUTCOMES = ("meaning", "trick", "failure", "mixed")
FAILED = [("sky", "token", 0), ("sky", "token", 1)]


@pytest.fixture
def tree() -> xr.DataTree:
    return synthetic_audit(outcomes=OUTCOMES, samples=8)


def cursor(figure: Any) -> Any:
    return figure.layout.shapes[-1].x0


def click(figure: Any, trace: int, x: float, y: float) -> None:
    """What the browser sends when a point of a figure is clicked."""
    figure._js2py_pointsCallback = {
        "event_type": "plotly_click", "selector": None,
        "points": {"trace_indexes": [trace], "point_indexes": [0], "xs": [x], "ys": [y]},
        "device_state": dict.fromkeys(("alt", "ctrl", "meta", "shift"), False)
        | {"button": 0, "buttons": 1},
    }  # fmt: skip


# A run


def test_a_step_moves_the_cursor_and_a_click_on_the_figure_the_step():
    view = explore(synthetic_run(steps=12, checks=4))
    updates = [frame["updates"] for frame in view.player.frames]
    assert view.player.position == 3
    assert cursor(view.figure) == updates[3] == 12
    view.player.position = 1
    assert cursor(view.figure) == updates[1] != updates[3]
    line = next(i for i, t in enumerate(view.figure.data) if t.mode and "markers" in t.mode)
    click(view.figure, line, updates[3] - 0.4, 0.5)
    assert view.player.position == 3


def test_frames_are_the_chosen_runs_and_noises():
    tree = synthetic_run(seeds=2, samples=3)
    view = explore(tree)
    validation, target = tree["validation"].to_dataset(), tree.attrs["label_index"]
    for seed, sample in ((0, 0), (1, 2)):
        view.player.chosen = {**view.player.chosen, "seed": str(seed), "sample": str(sample)}
        one = validation.isel(seed=seed, sample=sample)
        there = np.isfinite(one["probability"].values).all(-1)
        frames = view.player.frames
        assert [f["p"] for f in frames] == pytest.approx(one["probability"].values[there, target])
        assert frames[-1]["src"] == picture(one["image"].values[there][-1])
        assert view.player.classes[0] == tree.attrs["label"]
        assert [f["bars"][0] for f in frames] == [f["p"] for f in frames]
    assert len(frames) == 3  # the second run stopped one check early


def test_training_images_are_shown_update_by_update():
    view = explore(synthetic_run(steps=12))
    view.player.chosen = {**view.player.chosen, "sample": "5"}
    view.player.chosen = {**view.player.chosen, "what": "trajectory"}
    assert [f["updates"] for f in view.player.frames] == list(range(1, 13))
    assert view.player.chosen["sample"] == "0"  # there is no sixth training image
    view.player.position = 4
    assert cursor(view.figure) == 5


def test_a_search_that_is_not_there_says_so_instead_of_failing():
    view = explore(synthetic_audit(failed=FAILED))
    view.table.selected = "sky"
    panel = view.panels[0]
    panel.tabs.chosen = {"tab": "search"}
    player = panel.stage.children[1]
    assert (player.frames, player.classes) == ([], [])
    view.table.selected = "green"
    assert panel.stage.children[1].frames
    assert player.comm is None  # closed: a drawn figure still answers
    assert panel.stage.children[1].comm is not None


# An audit


def test_the_table_holds_the_reports_numbers(tree: xr.DataTree):
    table = explore(tree).table
    for row, known in zip(table.rows, numbers(tree)["labels"], strict=True):
        assert (row["label"], row["verdict"]) == (known["label"], known["verdict"])
        assert (row["success"], row["index"]) == (known["success"], known["semantic_index"])
        assert row["findings"]["n"] == len(known["attention"])
    known = {key: (said, sign) for key, said, sign in table.verdicts}
    assert {key: said for key, (said, _) in known.items()} == audit_table.VERDICTS
    assert {key: sign for key, (_, sign) in known.items()} == audit_report.SIGNS


def test_what_nobody_sees_is_written_out_as_in_the_report():
    nasty = "stop\u202egpj.exe"
    names = ["a", nasty, "b", "c", "d"]
    view = explore(synthetic_audit(labels=3, names=names, outcomes=("meaning", "trick")))
    row = view.table.rows[0]
    assert (row["label"], row["name"]) == (nasty, visible(nasty))
    view.table.selected = nasty
    panel = view.panels[0]
    panel.map.widget.picked = {**panel.map.widget.picked, "colour": "label"}
    panel.gallery.opened = [0, 2, 0, 0]
    hidden = str([
        panel.gallery.title, panel.gallery.groups, panel.gallery.detail, panel.map.widget.legend,
        panel.map.widget.captions, panel.map.card(0),
    ])  # fmt: skip
    assert ascii("\u202e").strip("'") not in hidden
    assert "stop[U+202E]gpj.exe" in hidden
    run = explore(renamed(synthetic_run(), nasty))
    assert run.player.classes[0] == "stop[U+202E]gpj.exe"


def test_findings_of_the_result_stand_in_the_table(tree: xr.DataTree):
    labels = tree["samples"]["label"].values
    low = np.where(labels[:, None] == "green", 0.1, -0.1) * np.ones((1, 2))
    dims, said = ("label", "factor"), np.full(low.shape, "confirmed", dtype=object)
    tree["findings"] = xr.Dataset(
        {
            "effect": (dims, low + 0.2),
            "low": (dims, low),
            "high": (dims, np.full_like(low, 0.5)),
            "p": (dims, np.full_like(low, 0.01)),
            "verdict": (dims, said),
            "confirmation": (dims, said),
        },
        {"label": labels, "factor": ["yellow", "round"]},
    )
    rows = {row["label"]: row["findings"]["says"] for row in explore(tree).table.rows}
    assert "moves yellow; moves round" in rows["green"]
    assert "moves" not in rows["sky"]


def test_a_label_shows_its_images_arm_by_arm_and_lights_its_points(tree: xr.DataTree):
    view = explore(tree)
    view.table.selected = "yellow"
    panel, at = view.panels[0], 2
    gallery = panel.gallery
    assert gallery.title == "yellow"
    assert [g["title"] for g in gallery.groups] == [
        "name prompt", "token + name", "token", "shuffled control",
    ]  # fmt: skip
    first = gallery.groups[2]["items"][0]
    assert first["src"] == picture(tree["samples"]["image"].values[at, 2, 0, 0], 192)
    assert not first["hit"]
    samples = tree["samples"].isel(label=at, judge=0)
    for group, arm in zip(gallery.groups, range(4), strict=True):
        for item in group["items"]:
            seed, sample = item["key"][2:]
            scores = samples["judge_probability"].values[arm, seed, sample]
            name = str(samples["class"].values[scores.argmax()])
            assert item["judged"] == ("judge agrees" if name == "yellow" else f"judge: {name}")
    bright = np.frombuffer(panel.map.widget.bright, np.uint8)
    points = panel.map.points["label"].values[panel.map.shown]
    assert np.array_equal(bright == 1, points == "yellow")


def test_more_images_come_when_they_are_asked_for(tree: xr.DataTree):
    view = explore(tree)
    gallery = view.panels[0].gallery
    assert gallery.total == 4 * 2 * 8
    assert [len(g["items"]) for g in gallery.groups] == [8] * 4
    gallery.more += 1
    assert [len(g["items"]) for g in gallery.groups] == [16] * 4
    view.table.selected = "blue"
    assert [len(g["items"]) for g in gallery.groups] == [8] * 4


def test_an_opened_image_tells_all_that_is_known_of_it(tree: xr.DataTree):
    gallery = explore(tree).panels[0].gallery
    gallery.opened = [1, 2, 0, 3]
    rows = dict(gallery.detail["rows"])
    samples = tree["samples"].isel(label=1, arm=2, seed=0, sample=3)
    assert rows["prompt"] == str(samples["prompt"].values)
    assert str(int(samples["noise_seed"].values)) in rows["noise"]
    assert rows["read as"].startswith("green")
    assert rows["judge"] != "green"  # a trick
    gallery.opened = []
    assert gallery.detail == {}


def test_points_of_the_map_show_their_images(tree: xr.DataTree):
    view = explore(tree)
    panel = view.panels[0]
    panel.map.widget.chosen = [0, 100, 200]
    keys = [tuple(item["key"]) for item in panel.gallery.groups[0]["items"]]
    points = panel.map.points.isel(point=panel.map.shown[[0, 100, 200]])
    for key, label, arm in zip(keys, points["label"].values, points["arm"].values, strict=True):
        assert tree["samples"]["label"].values[key[0]] == label
        assert tree["samples"]["arm"].values[key[1]] == arm
    assert panel.gallery.title == "3 images"
    panel.map.widget.chosen = []
    assert panel.gallery.title == view.table.selected


def test_the_map_answers_what_lies_under_the_mouse(tree: xr.DataTree):
    shown_map = explore(tree).panels[0].map
    card = shown_map.card(int(shown_map.shown[7]))
    key = shown_map._key(int(shown_map.shown[7]))
    assert card["src"] == picture(tree["samples"]["image"].values[tuple(key)], 192)
    assert card["lines"][0] == tree["samples"]["label"].values[key.label]


@pytest.mark.parametrize("colour", ["verdict", "label", "arm"])
def test_the_map_is_coloured_and_named_by_what_is_picked(tree: xr.DataTree, colour: str):
    widget = explore(tree).panels[0].map.widget
    widget.picked = {**widget.picked, "colour": colour}
    group = np.frombuffer(widget.group, np.uint8)
    assert [e["count"] for e in widget.legend] == np.bincount(group).tolist()
    looks = [(e["colour"], e["symbol"]) for e in widget.legend]
    assert len(set(looks)) == len(looks) > 1
    drawn = sorted(widget.legend, key=lambda entry: entry["drawn"])
    if colour == "verdict":  # tricks are not painted over
        assert drawn[0]["name"] == "not read as the label"
        assert drawn[-1]["name"] == "not confirmed"
        assert widget.legend[0]["name"] == "confirmed"
    else:
        assert drawn == widget.legend
    xy = np.frombuffer(widget.xy, np.float32).reshape(-1, 2)
    assert (xy.min(0).tolist(), xy.max(0).tolist()) == ([0, 0], [1, 1])


def test_tokens_have_a_map_of_their_own(tree: xr.DataTree):
    panel = explore(tree).panels[0]
    panel.map.widget.picked = {**panel.map.widget.picked, "space": "token"}
    assert len(panel.map.shown) == 5 * 3 * 2
    panel.map.widget.chosen = [0]
    assert panel.gallery.title == "1 image"


def test_a_cell_shows_the_images_that_it_counts(tree: xr.DataTree):
    panel = explore(tree).panels[0]
    panel.tabs.chosen = {"tab": "matrix"}
    matrix = panel.matrix
    z = np.array(matrix.figure.data[0].z)
    for row, column in np.argwhere(z > 0):
        matrix.choose(row, column)
        assert panel.gallery.total == round(z[row, column] * 16)
        top = [panel.images.top[(0, *item["key"])] for item in panel.gallery.groups[0]["items"]]
        assert set(top) == {matrix.columns[column]}
        made, read, says = matrix.figure.data[0].customdata[row, column]
        assert panel.gallery.title == f"{made} → {read}"
        assert says == f"{100 * z[row, column]:.0f} % of 16 images"
    row, column = next(at for at in np.argwhere(z > 0) if at[0] != at[1])
    click(matrix.figure, 0, column, row)
    assert panel.gallery.total == round(z[row, column] * 16)
    assert panel.gallery.title == "{} → {}".format(*matrix.figure.data[0].customdata[row, column])
    empty = np.argwhere(z == 0)[0]
    matrix.choose(*empty)
    assert (panel.gallery.total, panel.gallery.groups) == (0, [])


def test_the_matrix_shows_other_arms_and_the_difference(tree: xr.DataTree):
    panel = explore(tree).panels[0]
    panel.tabs.chosen = {"tab": "matrix"}
    figure, picker = panel.matrix.figure, panel.matrix.picker
    token = np.array(figure.data[0].z)
    picker.chosen = {"what": "name"}
    name = np.array(figure.data[0].z)
    picker.chosen = {"what": "-"}
    np.testing.assert_allclose(np.array(figure.data[0].z), token - name)
    assert figure.data[0].zmin == -1


def test_failed_units_are_gaps_that_say_so():
    view = explore(synthetic_audit(failed=FAILED, missing=[("sky", "name", 0)]))
    view.table.selected = "sky"
    groups = {g["title"]: g for g in view.panels[0].gallery.groups}
    assert (groups["token"]["items"], groups["token"]["note"]) == ([], "no image; 2 failed")
    assert len(groups["name prompt"]["items"]) == 6
    row = view.table.rows[0]
    assert (row["verdict"], row["success"]) == ("none", None)


def test_only_what_is_shown_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = AuditStore.create(tmp_path / "audit", synthetic_plan())
    for label in range(5):
        for arm in ("name", "token"):
            for seed in (0, 1):
                store.commit(Unit(label, arm, seed), *synthetic_unit(label, arm, seed))
    seen: list[tuple[int, str]] = []
    read = lazy._Units.block

    def watched(self: Any, number: int, group: str, name: str, key: Any) -> np.ndarray:
        if name == "image":
            seen.append((number, group))
        return read(self, number, group, name, key)

    monkeypatch.setattr(lazy._Units, "block", watched)
    view = explore(tmp_path / "audit")
    assert len(seen) == len(set(seen)) == 4  # one label: two arms of two seeds
    view.table.selected = "green"
    assert len(seen) == 8
    view.table.selected = "orange"  # kept
    assert len(seen) == 8
    assert {group for _, group in seen} == {"samples"}


# Two audits


def test_two_audits_are_joined_by_label_with_paired_differences():
    a = synthetic_audit(outcomes=("meaning",), samples=12)
    b = synthetic_audit(outcomes=("failure",), samples=12)
    view = explore(a, b)
    row = view.table.rows[0]
    assert row["success0"]["value"] == 1
    assert row["success1"]["value"] == 0
    change = row["difference"]
    assert change["value"] == -1
    assert change["low"] == -1 < change["high"] < -0.35  # two runs each
    assert row["verdict"] == "differ"
    view.table.selected = "yellow"
    assert [p.gallery.title for p in view.panels] == ["yellow", "yellow"]


def test_a_label_of_one_audit_only_is_a_gap_in_the_other():
    a, b = synthetic_audit(labels=3), synthetic_audit(labels=2)
    view = explore(a, b)
    rows = {row["label"]: row for row in view.table.rows}
    assert rows["yellow"]["success1"] is None
    assert rows["yellow"]["difference"] is None
    assert "not audited" in rows["yellow"]["verdicts"]["says"]
    view.table.selected = "yellow"
    assert view.panels[1].gallery.note == "This audit has no such label."


def test_other_noise_gives_a_difference_without_an_interval():
    view = explore(synthetic_audit(seed=0), synthetic_audit(seed=1))
    assert set(view.table.rows[0]["difference"]) == {"value"}


# Arguments


def test_what_cannot_be_explored_is_refused(tree: xr.DataTree, tmp_path: Path):
    with pytest.raises(InputError, match="one run, one audit, or two audits"):
        explore(synthetic_run(), tree)
    with pytest.raises(InputError, match="expected what invert or audit returned"):
        explore(3)
    with pytest.raises(StoreError, match="no stored result"):
        explore(tmp_path)
    with pytest.raises(InputError, match="of one audit only"):
        explore(tree, tree, points=project(tree, method="pca"))
    with pytest.raises(InputError, match="not of this audit"):
        explore(tree, points=project(synthetic_audit(labels=6), method="pca"))


def test_explore_and_its_error_need_no_ipywidgets():
    code = (
        "import sys; sys.modules['ipywidgets'] = None; import inversion_kit as ik\n"
        "from inversion_kit.testing import synthetic_run\n"
        "try: ik.explore(synthetic_run())\n"
        "except ik.InputError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'inversion-kit[notebook]'" in done.stdout


def many(tree: xr.DataTree, n: int) -> xr.Dataset:
    """A projection with its image points again and again."""
    points = project(tree, method="pca")
    image = np.flatnonzero(points["space"].values == "image")
    return points.isel(point=np.resize(image, n)).assign_coords(point=np.arange(n))


def test_very_many_points_go_through_jupyter_scatter(tree: xr.DataTree):
    pytest.importorskip("jscatter")
    n = audit_map.MOST + 1
    points = many(tree, n)
    panel = explore(tree, points=points).panels[0]
    drawn = panel.map.scatter
    widget = drawn.scatter.widget
    assert len(widget.points) == n
    assert not widget.axes
    verdicts = points["verdict"].values[drawn.shown]
    assert (verdicts[0], verdicts[-1]) == ("not read as the label", "not confirmed")
    assert "are left out" not in drawn.note.value
    chosen = drawn.shown[[3, 40]]
    widget.selection = [3, 40]
    samples = tree["samples"]
    for item, point in zip(panel.gallery.groups[0]["items"], chosen, strict=True):
        one = points.isel(point=point)
        for name, at in zip(("label", "arm", "seed", "sample"), item["key"], strict=True):
            assert samples[name].values[at] == one[name].values
    card = panel.map.card(int(drawn.shown[7]))
    widget.hovering = 7
    assert card["src"] in drawn.beside.value
    assert all(html.escape(line) in drawn.beside.value for line in card["lines"])


def test_jupyter_scatter_follows_the_table_and_its_own_choices(tree: xr.DataTree):
    pytest.importorskip("jscatter")
    tokens = project(tree, method="pca")
    tokens = tokens.isel(point=np.flatnonzero(tokens["space"].values == "token"))
    points = xr.concat([many(tree, audit_map.MOST), tokens], "point", combine_attrs="override")
    points = points.assign_coords(point=np.arange(points.sizes["point"]))
    view = explore(tree, points=points)
    panel = view.panels[0]
    drawn = panel.map.scatter
    view.table.selected = "green"
    lit = drawn.shown[drawn.scatter.widget.selection]
    assert set(points["label"].values[lit]) == {"green"}
    assert panel.gallery.title == "green"  # what is lit is not chosen
    drawn.picker.chosen = {"colour": "arm", "space": "token"}
    assert len(drawn.scatter.widget.points) == tokens.sizes["point"] == 5 * 3 * 2
    drawn.scatter.widget.selection = [0]
    assert panel.gallery.title == "1 image"


def test_all_images_of_a_large_audit_are_drawn_or_the_rest_is_named(
    tree: xr.DataTree, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("jscatter")
    monkeypatch.setattr(audit_map, "MOST", 300)
    images = 5 * 4 * 2 * 8
    drawn = explore(tree).panels[0].map.scatter
    assert len(drawn.scatter.widget.points) == images
    monkeypatch.setattr(audit_map, "MANY", 310)
    assert "10 images are left out by chance" in explore(tree).panels[0].map.scatter.note.value
    monkeypatch.setitem(sys.modules, "jscatter", None)
    shown = explore(tree).panels[0].map
    assert len(shown.shown) == 300
    assert "20 images are left out by chance" in shown.widget.note
    assert "inversion-kit[scatter]" in shown.widget.note


def test_a_tab_that_takes_time_says_so_at_once(tree: xr.DataTree):
    panel = explore(tree).panels[0]
    seen: list[str] = []
    panel.stage.observe(
        lambda change: seen.extend(getattr(w, "value", "") for w in change["new"]), "children"
    )
    for tab, words in (("matrix", "Drawing the matrix …"), ("search", "Drawing the search …")):
        panel.tabs.chosen = {"tab": tab}
        assert words in seen[0]
        assert words not in str([getattr(w, "value", "") for w in panel.stage.children])
        panel.tabs.chosen = {"tab": "map"}
        seen.clear()
        panel.tabs.chosen = {"tab": tab}
        assert words not in "".join(seen)  # it is there
        seen.clear()


def test_without_jupyter_scatter_very_many_points_say_what_to_install(
    tree: xr.DataTree, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "jscatter", None)
    with pytest.raises(InputError, match=r"inversion-kit\[scatter\]"):
        explore(tree, points=many(tree, audit_map.MOST + 1))
    assert explore(tree, points=many(tree, audit_map.MOST)).panels[0].map.widget.captions


# Summaries


def formatted(value: Any) -> str:
    shell = InteractiveShell()
    register(shell)
    return str(shell.display_formatter.format(value)[0]["text/html"])


@pytest.mark.parametrize("make", [synthetic_run, synthetic_audit])
def test_a_result_shows_itself_and_other_trees_stay_as_they_are(make: Any):
    tree = make()
    page = formatted(tree)
    assert page.startswith(to_html(tree, inside=False).rpartition("</div>")[0].rstrip())
    assert any("xr-wrap" in str(d.get("class")) for d in Page(page).all("div"))  # xarray's own
    own = Page(to_html(tree, inside=False))
    assert len(own.all("img")) >= 5
    for sentence in (audit_sentences if make is synthetic_audit else summary_sentences)(tree):
        assert " ".join(sentence.split()) in own.text
    other = xr.DataTree(xr.Dataset(attrs={"kind": "run"}))
    page = formatted(other)
    assert "xr-wrap" in page
    assert "Not a whole result" not in page
    assert "max-width:1020px" not in page


def test_the_pictures_of_a_summary_are_the_stored_ones_with_their_scores():
    tree = synthetic_run(checks=4, samples=6)
    target = tree.attrs["label_index"]
    check, test = tree["validation"].isel(seed=0, sample=0), tree["samples"].isel(arm=1, seed=0)
    assert tree["samples"]["arm"].values[1] == "token"
    there = np.isfinite(check["probability"].values).all(-1)
    pixels = [*check["image"].values[there], *test["image"].values]
    scores = np.concatenate([check["probability"].values[there], test["probability"].values])
    page = Page(to_html(tree, inside=False))
    assert [i["src"] for i in page.all("img")] == [picture(one, 192) for one in pixels]
    says = [f"{'✓ ' * bool(p.argmax() == target)}{percent(p[target])}" for p in scores]
    told = [text.strip() for text in page.texts if text.strip().endswith("%")]
    assert told == says
    assert len({text.startswith("✓") for text in says}) == 2


def test_importing_in_ipython_registers_the_summary():
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance()\n"
        "import inversion_kit as ik; from inversion_kit.testing import synthetic_run\n"
        "print(s.display_formatter.format(synthetic_run())[0]['text/html'][:2000])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Class token of" in done.stdout


def test_a_damaged_result_is_still_shown():
    tree = synthetic_run()
    del tree["validation"]
    assert "Not a whole result" in shown(tree)
    assert "xr-wrap" in shown(tree)


def test_a_summary_says_that_the_user_stopped_it():
    tree = synthetic_run()
    tree.attrs["stopped"] = "by the user after 3 updates of run 0"
    assert "Stopped by the user after 3 updates of run 0." in Page(to_html(tree)).text
    assert "the search was stopped by the user" in Page(to_html(tree)).text


@pytest.mark.parametrize(
    "tree", [hostile(), renamed(synthetic_run(), HOSTILE)], ids=["audit", "run"]
)
def test_hostile_texts_stay_text(tree: xr.DataTree):
    view = explore(tree)
    still = view._repr_mimebundle_()[0]["text/html"]
    page = Page(still)
    assert page.open == []
    assert not page.all("script")
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert all(str(i["src"]).startswith("data:image/") for i in page.all("img"))
    assert HOSTILE in page.text
    figure = getattr(view, "figure", None)
    if figure is not None:
        assert "<img" not in str(figure.to_json())
    else:
        view.panels[0].tabs.chosen = {"tab": "matrix"}
        assert "<img" not in str(view.panels[0].matrix.figure.to_json())


def test_models_show_themselves(classifier: Any, generator: Any, make_classifier: Any):
    page = Page(classifier._repr_html_())
    for part in ("tiny", "4 labels", "cat, dog, big dog, stop", "12 × 12 pixels", "parameters"):
        assert part in page.text
    assert "StableDiffusionPipeline" in Page(generator._repr_html_()).text
    nasty = make_classifier(name=HOSTILE, labels=(HOSTILE, "b", "c", "d"))
    assert not Page(nasty._repr_html_()).all("img")


# Stopping


class Impatient:
    """A view that asks to stop, or is interrupted, at the n-th look and at the n-th arm."""

    def __init__(self, *, look: int, sample: int = 99, interrupt: bool = False) -> None:
        self.look, self.sample, self.interrupt = look, sample, interrupt
        self.looks: list[Seen] = []
        self.samples: list[str] = []
        self.said = ""
        self.asked = False

    @property
    def stop(self) -> bool:
        asked, self.asked = self.asked, False
        return asked

    def __enter__(self) -> Impatient:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def show(self, seen: Seen) -> None:
        self.looks.append(seen)
        self._ask(len(self.looks) == self.look)

    def sampling(self, done: int, total: int, arm: str, stopped: bool) -> None:
        self.samples.append(arm)
        self._ask(len(self.samples) == self.sample)

    def _ask(self, now: bool) -> None:
        if now and self.interrupt:
            raise KeyboardInterrupt
        self.asked = now

    def finish(self, message: str) -> None:
        self.said = message


@pytest.fixture
def watched(classifier: Any, generator: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that inverts under a view."""

    def make(view: Impatient, **more: Any) -> xr.DataTree:
        monkeypatch.setattr(search_run, "view_of", lambda *_, **__: view)
        return invert(classifier, "dog", generator=generator, **{**SMALL, **more})

    return make


@pytest.mark.parametrize("interrupt", [False, True], ids=["stop", "interrupt"])
def test_a_stopped_search_is_kept_whole(
    watched: Any, classifier: Any, generator: Any, interrupt: bool
):
    view = Impatient(look=3, interrupt=interrupt)
    tree = schema.validate(watched(view, seed=(0, 1)))
    updates = view.looks[-1].updates
    assert 0 < updates < 4
    assert view.said.startswith(f"Stopped by you after {updates} updates of run 0")
    assert tree.attrs["stopped"] == f"by the user after {updates} updates of run 0; without run 1"
    assert tree["samples"]["seed"].values.tolist() == [0]
    assert tree["trajectory"].sizes["step"] == updates
    assert view.samples[0] == "token"
    whole = invert(classifier, "dog", generator=generator, seed=0, **SMALL)
    np.testing.assert_array_equal(
        tree["validation"]["image"].values[0],
        whole["validation"]["image"].values[0, : tree["validation"].sizes["check"]],
    )
    assert inversion_kit.success(tree).sizes["arm"] == 3


@pytest.mark.parametrize(("at", "arms"), [(1, ["token"]), (2, ["start", "token"])])
def test_a_second_stop_leaves_out_test_images(watched: Any, at: int, arms: list[str]):
    tree = schema.validate(watched(Impatient(look=3, sample=at)))
    assert tree["samples"]["arm"].values.tolist() == arms
    assert "without test images of" in tree.attrs["stopped"]


def test_a_second_interrupt_leaves_a_result_without_test_images(watched: Any, tmp_path: Path):
    tree = schema.validate(watched(Impatient(look=3, sample=1, interrupt=True)))
    assert tree["samples"].sizes["arm"] == 0
    assert "without test images of start, token, name" in tree.attrs["stopped"]
    assert "No test images" in Page(to_html(tree)).text
    assert inversion_kit.report(tree, tmp_path / "run.html").stat().st_size > 1000
    again = inversion_kit.open(inversion_kit.save(tree, tmp_path / "run.zarr"))
    assert again["samples"].sizes["arm"] == 0
    assert explore(again).player.frames


def test_test_images_alone_can_be_cut_short(watched: Any):
    tree = watched(Impatient(look=99, sample=2))
    assert tree["samples"]["arm"].values.tolist() == ["start", "token"]
    assert tree.attrs["stopped"] == "by the user without test images of name"


def test_an_interrupt_before_anything_was_found_is_an_interrupt(watched: Any, monkeypatch: Any):
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(search_run.METHODS, "gradient", interrupted)
    with pytest.raises(KeyboardInterrupt):
        watched(Impatient(look=99))


def test_ctrl_c_ends_a_script(classifier: Any, generator: Any, monkeypatch: Any):
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("inversion_kit.progress.Bars.sampling", interrupted)
    with pytest.raises(KeyboardInterrupt):
        invert(classifier, "dog", generator=generator, **SMALL)


def test_a_search_that_is_not_stopped_says_nothing_of_it(watched: Any):
    view = Impatient(look=99)
    assert "stopped" not in watched(view).attrs
    assert view.said == "Done."
    assert view.looks[0].checked
    last = view.looks[-1]
    assert [n for n, _ in last.training] == list(range(1, last.updates + 1))
    assert last.checks[0][2] == "neutral"
    assert last.images.shape == (3, 16, 16, 3)


def test_the_live_view_needs_a_notebook(classifier: Any, generator: Any):
    with pytest.raises(InputError, match="this is no notebook"):
        invert(classifier, "dog", generator=generator, **{**SMALL, "progress": "widget"})
    with pytest.raises(InputError, match="must be True, False or 'widget'"):
        invert(classifier, "dog", generator=generator, **{**SMALL, "progress": "wide"})
