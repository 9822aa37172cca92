"""The notebook's views: what is chosen changes what is shown, and only that is read."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import ipywidgets
import numpy as np
import pytest
import xarray as xr
from IPython.core.interactiveshell import InteractiveShell

import inversion_kit
from inversion_kit import analysis, schema
from inversion_kit.analysis import judge_finding, numbers, project, projected, sentences
from inversion_kit.analysis.words import SIGNS, VERDICTS, arm_words, percent, visible
from inversion_kit.audits.invert import invert
from inversion_kit.classifiers.doctor import Check, Diagnosis
from inversion_kit.classifiers.ensemble import Ensemble
from inversion_kit.errors import InputError, StoreError
from inversion_kit.figures.static import svg
from inversion_kit.pictures import thumbnail
from inversion_kit.progress import VIEWS, Seen
from inversion_kit.reports import to_html as report_html
from inversion_kit.storage import assemble
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit
from inversion_kit.testing import synthetic, synthetic_findings, synthetic_plan, synthetic_unit
from inversion_kit.widgets import map as map_module
from inversion_kit.widgets.explorer import explore
from inversion_kit.widgets.findings import MOST, Findings
from inversion_kit.widgets.ipython import register
from inversion_kit.widgets.live import LiveView
from inversion_kit.widgets.summary import live_html, shown, to_html
from tests.test_report import HOSTILE, Page, hostile, with_findings

OUTCOMES = ("meaning", "trick", "failure", "mixed")
ARMS = ("name", "token+name", "token", "shuffled")
FAILED = [("sky", "token", 0), ("sky", "token", 1)]
SMALL = {
    "steps": 4,
    "batch": 2,
    "check_every": 2,
    "patience": 9,
    "restarts": 0,
    "validation": 3,
    "samples": 2,
    "stop_at": 1.0,
    "progress": "test",
}


def many(**options: Any) -> xr.DataTree:
    """Five labels in the arms of an audit, with a judge and two views."""
    return synthetic(
        **{"labels": 5, "arms": ARMS, "views": ("blur", "jpeg"), "samples": 8, **options}
    )


@pytest.fixture
def tree() -> xr.DataTree:
    return many(outcomes=OUTCOMES)


def click(figure: Any, trace: int, x: float, y: float) -> None:
    """What the browser sends when a point of a figure is clicked."""
    figure._js2py_pointsCallback = {
        "event_type": "plotly_click",
        "selector": None,
        "points": {"trace_indexes": [trace], "point_indexes": [0], "xs": [x], "ys": [y]},
        "device_state": dict.fromkeys(("alt", "ctrl", "meta", "shift"), False)
        | {"button": 0, "buttons": 1},
    }


def lasso(panel: Any, points: list[int]) -> None:
    """What the browser sends when points of the map were drawn around."""
    panel.map.surface.chosen = points
    panel.map.surface.drawn += 1


# One label


def test_a_step_moves_the_line_and_a_click_on_the_figure_the_step():
    search = explore(synthetic(steps=12, checks=4)).search
    updates = [frame["updates"] for frame in search.frames.frames]
    assert (search.frames.position, search.slider.max, search.play.max) == (3, 3, 3)
    assert search.figure.layout.shapes[-1].x0 == updates[3] == 12
    search.frames.position = 1
    assert search.figure.layout.shapes[-1].x0 == updates[1] != updates[3]
    line = next(i for i, t in enumerate(search.figure.data) if t.mode and "markers" in t.mode)
    click(search.figure, line, updates[3] - 0.4, 0.5)
    assert search.frames.position == 3


def test_frames_are_the_chosen_runs_and_noises():
    tree = synthetic(samples=3)
    search = explore(tree).search
    validation = tree["validation"].to_dataset(inherit=False).sel(label="sky", arm="token")
    target = int(validation["label_index"])
    for seed, sample in ((0, 0), (1, 2)):
        search.seed.value, search.noise.value = seed, sample
        one = validation.isel(seed=seed, sample=sample)
        there = np.isfinite(one["probability"].values).all(-1)
        frames = search.frames.frames
        of_label = [f["bars"][0] for f in frames]
        assert of_label == pytest.approx(one["probability"].values[there, target])
        assert [f["said"][0] for f in frames] == [percent(p) for p in of_label]
        assert frames[-1]["src"] == thumbnail(one["image"].values[there][-1], 224)[0]
        assert search.frames.classes[0] == "sky"
    assert len(frames) == search.slider.max + 1 == 3  # the second run stopped one check early


def test_training_images_are_shown_update_by_update():
    search = explore(synthetic(steps=12)).search
    search.noise.value = 5
    search.kind.value = "trajectory"
    assert [f["updates"] for f in search.frames.frames] == list(range(1, 13))
    assert search.noise.value == 0  # there is no sixth training image
    search.frames.position = 4
    assert search.figure.layout.shapes[-1].x0 == 5


def test_one_label_shows_the_images_of_all_arms():
    tree = many()
    gallery = explore(tree.sel(label="green")).gallery.widget
    assert gallery.title == "green"
    assert [g["title"] for g in gallery.groups] == [arm_words(arm) for arm in ARMS]
    assert explore(tree.isel(label=[1])).search.label == "green"


def test_a_search_that_is_not_there_says_so_instead_of_failing():
    view = explore(many(failed=FAILED))
    view.table.selected = "sky"
    panel = view.panels[0]
    panel.tabs.selected_index = 2
    past = panel.search
    assert (past.frames.frames, past.frames.classes) == ([], [])
    view.table.selected = "green"
    assert panel.search.frames.frames
    assert past.frames.comm is None  # closed: a drawn figure still answers
    assert panel.search.frames.comm is not None
    assert explore(synthetic(arms=("name",))).search.frames.frames == []


# Several labels


def test_the_table_holds_the_numbers_of_every_view(tree: xr.DataTree):
    table = explore(tree).table
    for row, known in zip(table.rows, numbers(tree)["labels"], strict=True):
        assert (row["label"], row["verdict"]) == (known["label"], known["verdict"])
        for key, share in (("success", known["success"]), ("index", known["semantic_index"])):
            assert (row[key] and row[key]["value"]) == (share and share["value"])
        assert row["findings"]["n"] == len(known["attention"])
    known = {key: (said, sign) for key, said, sign in table.verdicts}
    assert known == {key: (said, SIGNS[key]) for key, said in VERDICTS.items()}


def test_the_table_says_and_draws_shares_as_the_report_does(tree: xr.DataTree):
    cells = [row[key] for row in explore(tree).table.rows for key in ("success", "index")]
    shares, page = [cell for cell in cells if cell], report_html(tree)
    assert len({cell["bar"] for cell in shares}) > 1
    for cell in shares:
        assert f"{cell['bar']}{cell['says']} <small>{cell['bracket']}</small>" in page


def test_what_nobody_sees_is_written_out():
    nasty = "stop\u202egpj.exe"
    view = explore(many(labels=3, names=["a", nasty, "b", "c", "d"]))
    row = view.table.rows[0]
    assert (row["label"], row["name"]) == (nasty, visible(nasty))
    view.table.selected = nasty
    panel = view.panels[0]
    panel.map.colour.value = "label"
    gallery = panel.gallery.widget
    gallery.opened = [0, 2, 0, 0]
    said = str(
        [gallery.title, gallery.groups, gallery.detail, panel.map.surface.svg, panel.map.card(0)]
    )
    assert ascii("\u202e").strip("'") not in said
    assert "stop[U+202E]gpj.exe" in said
    one = explore(synthetic(names=["a", nasty, "b", "c", "d"]))
    assert one.search.frames.classes[0] == "stop[U+202E]gpj.exe"


def test_confirmed_findings_of_the_result_stand_in_the_table(tree: xr.DataTree):
    tree = with_findings(tree, ("green", "a red rim", 0.4, "…"), ("green", "snow", -0.2, "…"))
    rows = {row["label"]: row["findings"]["says"] for row in explore(tree).table.rows}
    assert "a red rim (paint); snow (paint)" in rows["green"]
    assert "paint" not in rows["sky"]


def test_a_label_shows_its_images_arm_by_arm_and_lights_its_points(tree: xr.DataTree):
    view = explore(tree)
    view.table.selected = "yellow"
    panel, at = view.panels[0], 2
    gallery = panel.gallery.widget
    assert gallery.title == "yellow"
    assert [g["title"] for g in gallery.groups] == [arm_words(arm) for arm in ARMS]
    first = gallery.groups[2]["items"][0]
    assert first["src"] == thumbnail(tree["samples"]["image"].values[at, 2, 0, 0], 192)[0]
    assert not first["hit"]
    samples = tree["samples"].isel(label=at).sel(judge="judge")
    for arm, group in enumerate(gallery.groups):
        for item in group["items"]:
            seed, sample = item["key"][2:]
            scores = samples["judge_probability"].values[arm, seed, sample]
            name = str(samples["class"].values[scores.argmax()])
            assert item["judged"] == ("judge agrees" if name == "yellow" else f"judge: {name}")
    points = panel.map.points["of_label"].values
    assert panel.map.front == np.flatnonzero(points == "yellow").tolist()


def test_more_images_come_when_they_are_asked_for(tree: xr.DataTree):
    view = explore(tree)
    gallery = view.panels[0].gallery.widget
    assert gallery.total == 4 * 2 * 8
    assert [len(g["items"]) for g in gallery.groups] == [8] * 4
    gallery.more += 1
    assert [len(g["items"]) for g in gallery.groups] == [16] * 4
    view.table.selected = "blue"
    assert [len(g["items"]) for g in gallery.groups] == [8] * 4


def test_an_opened_image_says_all_that_is_known_of_it(tree: xr.DataTree):
    gallery = explore(tree).panels[0].gallery.widget
    gallery.opened = [1, 2, 0, 3]
    rows = dict(gallery.detail["rows"])
    samples = tree["samples"].isel(label=1, arm=2, seed=0, sample=3)
    assert rows["prompt"] == str(samples["prompt"].values)
    assert str(int(samples["noise_seed"].values)) in rows["noise"]
    assert rows["read as"].startswith("green")
    assert rows["judge"] != "green"  # a trick
    assert {"blur", "jpeg"} <= set(rows)
    gallery.opened = []
    assert gallery.detail == {}


def test_points_of_the_map_show_their_images(tree: xr.DataTree):
    view = explore(tree)
    panel, gallery = view.panels[0], view.panels[0].gallery.widget
    lasso(panel, [0, 100, 200])
    keys = [tuple(item["key"]) for item in gallery.groups[0]["items"]]
    points = panel.map.points.isel(point=[0, 100, 200])
    for name, place in (("label", 0), ("arm", 1), ("seed", 2), ("sample", 3)):
        there = tree["samples"][name].values[[key[place] for key in keys]]
        assert there.tolist() == points[f"of_{name}"].values.tolist()
    assert gallery.title == "3 images"
    assert panel.map.front == [0, 100, 200]
    lasso(panel, [])
    assert gallery.title == view.table.selected


def test_the_map_answers_what_lies_under_the_mouse(
    tree: xr.DataTree, monkeypatch: pytest.MonkeyPatch
):
    shown_map = explore(tree).panels[0].map
    sent: list[Any] = []
    monkeypatch.setattr(shown_map.surface, "send", sent.append)
    shown_map._answer(None, {"want": 7}, [])
    key = shown_map.key(7)
    image = tree["samples"]["image"].values[tuple(key)]
    assert sent == [{"point": 7, **shown_map.card(7)}]
    assert sent[0]["src"] == thumbnail(image, 192)[0]
    assert sent[0]["lines"][0] == tree["samples"]["label"].values[key.label]
    shown_map._answer(None, {"want": 10**9}, [])
    assert len(sent) == 1


@pytest.mark.parametrize("colour", ["verdict", "label", "arm"])
def test_the_map_is_coloured_by_what_is_picked(tree: xr.DataTree, colour: str):
    shown_map = explore(tree).panels[0].map
    shown_map.colour.value = colour
    names = [trace["name"] for trace in shown_map.spec["data"]]
    assert (
        set(names)
        == {
            "verdict": {"confirmed", "not confirmed", "not read as the label"},
            "label": {str(n) for n in tree["samples"]["label"].values},
            "arm": {arm_words(arm) for arm in ARMS},
        }[colour]
    )
    assert all(html.escape(name) in unquote(shown_map.surface.svg) for name in names)
    assert sorted(shown_map.surface.points) == list(range(5 * 4 * 2 * 8))
    assert colour != "verdict" or names[-1] == "not confirmed"  # tricks are not painted over


def test_tokens_have_a_map_of_their_own(tree: xr.DataTree):
    panel = explore(tree).panels[0]
    panel.map.space.value = "token"
    tokens = np.flatnonzero(panel.map.points["space"].values == "token")
    assert sorted(panel.map.surface.points) == tokens.tolist()
    assert len(tokens) == 5 * 3 * 2
    lasso(panel, tokens[:1].tolist())
    assert panel.gallery.widget.title == "1 image"


def test_points_lie_where_they_are_drawn(tree: xr.DataTree):
    shown_map = explore(tree).panels[0].map
    spots = np.frombuffer(shown_map.surface.spots, "f4").reshape(-1, 2)
    drawn = svg(shown_map.shown, width=shown_map.surface.wide, height=440, hover=False, index=True)
    marks = dict(re.findall(r'd="M([-0-9.]+ [-0-9.]+)h0" data-i="([0-9]+)"', drawn))
    assert len(marks) > 50
    for at, point in marks.items():
        place = shown_map.surface.points.index(int(point))
        assert spots[place] == pytest.approx([float(v) for v in at.split()], abs=0.1)


def test_a_box_zooms_into_the_map_and_reset_takes_it_back(tree: xr.DataTree):
    panel = explore(tree).panels[0]
    whole = panel.map.surface.svg
    at = np.argsort(panel.map.points["x"].values)[:20].tolist()
    panel.map.surface.mode = "zoom"
    lasso(panel, at)
    assert set(at) <= set(panel.map.surface.points)
    assert len(panel.map.surface.points) < 320
    assert panel.gallery.widget.title == "sky"  # nothing is chosen
    panel.map._reset()
    assert panel.map.surface.svg == whole


def test_a_stored_projection_is_the_map(tree: xr.DataTree):
    kept = projected(tree, method="pca", samples=2)
    panel = explore(kept).panels[0]
    assert (
        panel.map.points.sizes["point"] == kept["projection"].sizes["point"] == 5 * 4 * 2 * 2 + 30
    )
    assert [name for name, _ in panel.map.method.options] == ["stored", "PCA", "UMAP"]
    assert "240 images are left out; PCA and UMAP place more" in panel.map.note.value
    panel.map.method.value = "pca"
    assert panel.map.points.sizes["point"] == 5 * 4 * 2 * 8 + 30
    assert "left out" not in panel.map.note.value
    panel.map.method.value = "first"
    assert panel.map.points.sizes["point"] == 5 * 4 * 2 * 2 + 30
    assert explore(tree).panels[0].map.method.options == (("PCA", "pca"), ("UMAP", "umap"))


def test_a_cell_shows_the_images_that_it_counts(tree: xr.DataTree):
    panel = explore(tree).panels[0]
    panel.tabs.selected_index = 1
    matrix, gallery = panel.matrix, panel.gallery.widget
    data = matrix.figure.data[0]
    z = np.array(data.z)
    for row, column in np.argwhere(z > 0):
        matrix.choose(row, column)
        assert gallery.total == round(z[row, column] * 16)
        label, read_as = data.customdata[row][column]
        top = {int(panel.images.top[(0, *item["key"])]) for item in gallery.groups[0]["items"]}
        assert top == {read_as}
        assert gallery.title == f"{panel.images.labels[label]} → {panel.images.classes[read_as]}"
    row, column = next(at for at in np.argwhere(z > 0) if at[0] != at[1])
    click(matrix.figure, 0, column, row)
    assert gallery.total == round(z[row, column] * 16)
    matrix.choose(*np.argwhere(z == 0)[0])
    assert (gallery.total, gallery.groups) == (0, [])


def test_the_matrix_shows_other_arms_and_the_difference(tree: xr.DataTree):
    panel = explore(tree).panels[0]
    panel.tabs.selected_index = 1
    figure, picker = panel.matrix.figure, panel.matrix.picker

    def cells() -> dict[tuple[int, int], float]:
        """Values by label and class, without those that are nothing."""
        at = np.array(figure.data[0].customdata).reshape(-1, 2).tolist()
        return {tuple(k): v for k, v in zip(at, np.ravel(figure.data[0].z), strict=True) if v}

    token = cells()
    picker.value = "name"
    name = cells()
    picker.value = "difference"
    both = {key: token.get(key, 0) - name.get(key, 0) for key in {*token, *name}}
    assert cells() == pytest.approx({key: value for key, value in both.items() if value})
    assert figure.data[0].coloraxis == "coloraxis2"
    assert figure is panel.matrix.figure  # a figure is five megabytes of script


def test_failed_units_are_gaps_that_say_so():
    view = explore(many(failed=FAILED, missing=[("sky", "name", 0)], samples=6))
    view.table.selected = "sky"
    groups = {g["title"]: g for g in view.panels[0].gallery.widget.groups}
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
    read = assemble._Files.block

    def watched(self: Any, number: int, group: str, name: str, key: Any) -> np.ndarray:
        if name == "image":
            seen.append((number, group))
        return read(self, number, group, name, key)

    monkeypatch.setattr(assemble._Files, "block", watched)
    view = explore(tmp_path / "audit")
    assert len(seen) == len(set(seen)) == 4  # one label: two arms of two seeds
    view.table.selected = "green"
    assert len(seen) == 8
    view.table.selected = "orange"  # kept
    assert len(seen) == 8
    assert {group for _, group in seen} == {"samples"}


# Two results


def test_two_results_are_joined_by_label_with_paired_differences():
    a, b = many(outcomes=("meaning",), samples=12), many(outcomes=("failure",), samples=12)
    view = explore(a, b)
    row = view.table.rows[0]
    assert (row["success0"]["value"], row["success1"]["value"]) == (1, 0)
    change = row["difference"]
    assert (change["value"], change["says"]) == (-1, "−100")
    low, high = change["bracket"].strip("[]").replace("−", "-").split(",")
    assert int(low) == -100 < int(high) < -35  # two runs each
    assert row["verdict"] == "differ"
    view.table.selected = "yellow"
    assert [p.gallery.widget.title for p in view.panels] == ["yellow", "yellow"]


def test_one_label_and_many_stand_side_by_side():
    view = explore(synthetic(), many())
    rows = {row["label"]: row for row in view.table.rows}
    assert rows["yellow"]["success0"] is None
    assert rows["yellow"]["difference"] is None
    assert "not there" in rows["yellow"]["verdicts"]["says"]
    assert rows["sky"]["difference"] is not None
    view.table.selected = "yellow"
    assert view.panels[0].gallery.widget.note == "This result has no such label."


def test_other_noise_gives_a_difference_without_an_interval():
    view = explore(many(), many(seeds=[2, 3]))
    change = view.table.rows[0]["difference"]
    assert change["bracket"] == ""
    assert "reach" not in change["bar"]


# Arguments


def test_what_cannot_be_explored_is_refused(tree: xr.DataTree, tmp_path: Path):
    with pytest.raises(InputError, match="no label in common"):
        explore(synthetic(), tree.sel(label=["green", "blue"]))
    with pytest.raises(InputError, match="expected what invert or audit returned"):
        explore(3)
    with pytest.raises(StoreError, match="no stored result"):
        explore(tmp_path)
    with pytest.raises(InputError, match="of one result only"):
        explore(tree, tree, points=project(tree, method="pca"))
    for points in (project(many(labels=6), method="pca"), xr.Dataset()):
        with pytest.raises(InputError, match="not of this result"):
            explore(tree, points=points)


def test_explore_and_the_live_view_say_what_they_need():
    code = (
        "import sys; sys.modules['ipywidgets'] = None; import inversion_kit as ik\n"
        "from inversion_kit.testing import synthetic\n"
        "for ask in (lambda: ik.explore(synthetic()), ik.progress.VIEWS['widget']):\n"
        "    try: ask()\n"
        "    except ik.InputError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("pip install 'inversion-kit[notebook]'") == 2


# Very many points


def over(tree: xr.DataTree, n: int) -> xr.Dataset:
    """A projection with its image points again and again."""
    points = project(tree, method="pca")
    image = np.flatnonzero(points["space"].values == "image")
    return points.isel(point=np.resize(image, n)).assign_coords(point=np.arange(n))


def test_very_many_points_go_through_jupyter_scatter(tree: xr.DataTree):
    pytest.importorskip("jscatter")
    n = map_module.MOST + 1
    points = over(tree, n)
    panel = explore(tree, points=points).panels[0]
    drawn = panel.map.surface
    widget = drawn.scatter.widget
    assert len(widget.points) == n
    assert not widget.axes
    verdicts = points["verdict"].values[drawn.shown]
    assert (verdicts[0], verdicts[-1]) == ("not read as the label", "not confirmed")
    assert "left out" not in panel.map.note.value
    chosen = drawn.shown[[3, 40]]
    widget.selection = [3, 40]
    for item, point in zip(panel.gallery.widget.groups[0]["items"], chosen, strict=True):
        one = points.isel(point=point)
        for name, at in zip(("label", "arm", "seed", "sample"), item["key"], strict=True):
            assert tree["samples"][name].values[at] == one[f"of_{name}"].values
    card = panel.map.card(int(drawn.shown[7]))
    widget.hovering = 7
    assert card["src"] in drawn.beside.value
    assert all(html.escape(line) in drawn.beside.value for line in card["lines"])


def test_jupyter_scatter_follows_the_table_and_its_own_choices(tree: xr.DataTree):
    pytest.importorskip("jscatter")
    tokens = project(tree, method="pca")
    tokens = tokens.isel(point=np.flatnonzero(tokens["space"].values == "token"))
    points = xr.concat([over(tree, map_module.MOST), tokens], "point", combine_attrs="override")
    points = points.assign_coords(point=np.arange(points.sizes["point"]))
    view = explore(tree, points=points)
    panel = view.panels[0]
    drawn = panel.map.surface
    view.table.selected = "green"
    lit = drawn.shown[drawn.scatter.widget.selection]
    assert set(points["of_label"].values[lit]) == {"green"}
    assert panel.gallery.widget.title == "green"  # what is lit is not chosen
    panel.map.space.value = "token"
    assert len(drawn.scatter.widget.points) == tokens.sizes["point"] == 5 * 3 * 2
    drawn.scatter.widget.selection = [0]
    assert panel.gallery.widget.title == "1 image"


def test_all_images_of_a_large_audit_are_drawn_or_the_rest_is_named(
    tree: xr.DataTree, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("jscatter")
    monkeypatch.setattr(map_module, "MOST", 300)
    assert len(explore(tree).panels[0].map.surface.scatter.widget.points) == 5 * 4 * 2 * 8
    monkeypatch.setattr(map_module, "MANY", 310)
    assert "10 images are left out" in explore(tree).panels[0].map.note.value
    monkeypatch.setattr(map_module, "find_spec", lambda name: None)
    drawn = explore(tree).panels[0].map
    assert len(drawn.surface.points) == 300
    assert "20 images are left out" in drawn.note.value
    assert "inversion-kit[scatter]" in drawn.note.value
    with pytest.raises(InputError, match=r"inversion-kit\[scatter\]"):
        explore(tree, points=over(tree, 301))
    assert explore(tree, points=over(tree, 300)).panels[0].map.surface.svg


def test_a_tab_that_takes_time_says_so_at_once(tree: xr.DataTree):
    panel = explore(tree).panels[0]
    for tab, said in ((1, "Drawing the matrix …"), (2, "Drawing the search …")):
        seen: list[str] = []
        panel.stages[tab].observe(
            lambda change, seen=seen: seen.extend(
                str(getattr(w, "value", "")) for w in change["new"]
            ),
            "children",
        )
        panel.tabs.selected_index = tab
        assert said in seen[0]
        assert said not in str([getattr(w, "value", "") for w in panel.stages[tab].children])
        seen.clear()
        panel.tabs.selected_index = 0
        panel.tabs.selected_index = tab
        assert not seen  # it is there


# Summaries


def formatted(value: Any) -> str:
    shell = InteractiveShell()
    register(shell)
    return str(shell.display_formatter.format(value)[0]["text/html"])


@pytest.mark.parametrize("make", [synthetic, many])
def test_a_result_shows_itself_and_other_trees_stay_as_they_are(make: Any):
    tree = make()
    page = formatted(tree)
    assert page.startswith(to_html(tree, inside=False).rpartition("</div>")[0].rstrip())
    assert any("xr-wrap" in str(d.get("class")) for d in Page(page).all("div"))  # xarray's own
    own = Page(to_html(tree, inside=False))
    assert len(own.all("img")) >= 5
    for sentence in sentences(tree):
        assert " ".join(sentence.split()) in own.text
    page = formatted(xr.DataTree(xr.Dataset(attrs={"classifier": "mine"})))
    assert "xr-wrap" in page
    assert "Not a whole result" not in page
    assert "max-width:1020px" not in page


def test_the_pictures_of_a_summary_are_the_stored_ones_with_their_scores():
    tree = synthetic(checks=4, samples=6)
    one = {"label": "sky", "arm": "token"}
    check, test = (
        tree[g].to_dataset(inherit=False).sel(one).isel(seed=0) for g in ("validation", "samples")
    )
    check, target = check.isel(sample=0), int(check["label_index"])
    there = np.isfinite(check["probability"].values).all(-1)
    pixels = [*check["image"].values[there], *test["image"].values]
    scores = np.concatenate([check["probability"].values[there], test["probability"].values])
    page = Page(to_html(tree, inside=False))
    assert [i["src"] for i in page.all("img")] == [thumbnail(one, 192)[0] for one in pixels]
    says = [f"{'✓ ' * bool(p.argmax() == target)}{percent(p[target])}" for p in scores]
    assert [t.strip() for t in page.texts if t.strip().endswith("%")] == says
    assert len({text.startswith("✓") for text in says}) == 2


def test_importing_in_ipython_registers_the_summary():
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance()\n"
        "import inversion_kit as ik; from inversion_kit.testing import synthetic\n"
        "print(s.display_formatter.format(synthetic())[0]['text/html'][:2000])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Class token of" in done.stdout


def test_a_damaged_result_is_still_shown():
    tree = synthetic()
    del tree["validation"]
    assert "Not a whole result" in shown(tree)
    assert "xr-wrap" in shown(tree)


def test_a_summary_says_that_the_user_stopped_it():
    tree = synthetic()
    tree.attrs["stopped"] = "by the user after 3 updates of run 0"
    page = Page(to_html(tree)).text
    assert "Stopped by the user after 3 updates of run 0." in page


@pytest.mark.parametrize("labels", [1, 6])
def test_hostile_texts_stay_text(labels: int):
    tree = hostile(labels)
    view = explore(tree)
    page = Page(view._repr_mimebundle_()[0]["text/html"])
    assert page.open == []
    assert not page.all("script")
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert all(str(i["src"]).startswith("data:image/") for i in page.all("img"))
    assert HOSTILE in " ".join(page.texts)
    if labels == 1:
        assert "<img" not in str(view.search.figure.to_json())
        return
    panel = view.panels[0]
    panel.tabs.selected_index = 1
    assert "<img" not in str(panel.matrix.figure.to_json())
    panel.map.colour.value = "label"
    drawn = Page(unquote(panel.map.surface.svg))
    assert drawn.open == []
    assert not drawn.all("img")
    assert not drawn.all("script")


def test_models_show_themselves(classifier: Any, generator: Any, make_classifier: Any):
    page = Page(formatted(classifier))
    for part in ("tiny", "4 labels", "cat, dog, big dog, stop", "12 × 12 pixels", "parameters"):
        assert part in page.text
    assert "StableDiffusionPipeline" in Page(formatted(generator)).text
    nasty = make_classifier(name=HOSTILE, labels=(HOSTILE, "b", "c", "d"))
    assert not Page(formatted(nasty)).all("img")
    assert (
        "mean of two"
        in Page(formatted(Ensemble([classifier, classifier], name="mean of two"))).text
    )
    diagnosis = Diagnosis("mine", (Check("finite", "fail", HOSTILE, "load again"),))
    page = Page(formatted(diagnosis))
    assert "mine: look at finite." in page.text
    assert not page.all("img")


# Stopping


class Impatient:
    """A view that is interrupted at the n-th look and at the n-th arm, or only looks."""

    def __init__(self, *, look: int = 99, sample: int = 99) -> None:
        self.look, self.sample = look, sample
        self.looks: list[Seen] = []
        self.samples: list[str] = []
        self.said = ""
        self.stop = False

    def __call__(self, **about: Any) -> Impatient:
        return self

    def __enter__(self) -> Impatient:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def show(self, seen: Seen) -> None:
        self.looks.append(seen)
        if len(self.looks) == self.look:
            raise KeyboardInterrupt

    def sampling(self, done: int, total: int, arm: str, stopped: bool) -> None:
        self.samples.append(arm)
        if len(self.samples) == self.sample:
            raise KeyboardInterrupt

    def finish(self, message: str) -> None:
        self.said = message


@pytest.fixture
def watched(classifier: Any, generator: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that inverts under a view."""

    def make(view: Impatient, **more: Any) -> xr.DataTree:
        monkeypatch.setitem(VIEWS, "test", lambda: view)
        return invert(classifier, "dog", generator=generator, **{**SMALL, **more})

    return make


def test_an_interrupted_search_is_kept_whole(watched: Any, classifier: Any, generator: Any):
    view = Impatient(look=3)
    tree = schema.validate(watched(view, seeds=2))
    updates = view.looks[-1].updates
    assert 0 < updates < 4
    assert view.said.startswith(f"Stopped by you after {updates} updates of run 0")
    assert tree.attrs["stopped"] == f"by the user after {updates} updates of run 0; without run 1"
    assert view.samples[0] == "token"
    whole = invert(classifier, "dog", generator=generator, **{**SMALL, "progress": False})
    one = {"label": "dog", "arm": "token", "seed": 0, "check": 0}
    np.testing.assert_array_equal(
        tree["validation"]["image"].sel(one), whole["validation"]["image"].sel(one)
    )
    assert inversion_kit.success(tree).sizes["arm"] == 3
    assert f"Stopped by the user after {updates} updates" in Page(to_html(tree)).text


def test_a_second_interrupt_leaves_a_result_without_final_images(watched: Any, tmp_path: Path):
    tree = schema.validate(watched(Impatient(look=3, sample=1)))
    assert not np.isfinite(tree["samples"]["probability"]).any()
    assert "without final images of token, name, start" in tree.attrs["stopped"]
    assert "stopped" in Page(to_html(tree)).text
    again = inversion_kit.open(inversion_kit.save(tree, tmp_path / "run.zarr"))
    view = explore(again)
    assert view.search.frames.frames
    assert [g["note"] for g in view.gallery.widget.groups] == ["no image"] * 3


def test_final_images_alone_can_be_cut_short(watched: Any):
    tree = watched(Impatient(sample=2))
    assert tree["status"]["status"].values.ravel().tolist().count("done") == 1
    assert tree.attrs["stopped"].startswith("by the user without final images of")


def test_an_interrupt_before_anything_is_there_is_an_interrupt(watched: Any):
    class Never(Impatient):
        def __enter__(self) -> Impatient:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watched(Never())


def test_ctrl_c_ends_a_script(classifier: Any, generator: Any, monkeypatch: Any):
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("inversion_kit.progress.Bars.sampling", interrupted)
    with pytest.raises(KeyboardInterrupt):
        invert(classifier, "dog", generator=generator, **{**SMALL, "progress": False})


def test_a_search_that_is_not_stopped_says_nothing_of_it(watched: Any):
    view = Impatient()
    assert "stopped" not in watched(view).attrs
    assert view.said == "Done."
    assert view.looks[0].checked
    last = view.looks[-1]
    assert [n for n, _ in last.training] == list(range(1, last.updates + 1))
    assert last.checks[0][2] == "neutral"
    assert last.images.shape == (3, 16, 16, 3)


def test_the_live_view_is_drawn_before_and_after_its_first_images(monkeypatch: Any):
    shell = SimpleNamespace(kernel=None)
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: shell)
    view = LiveView(label=HOSTILE, classifier="c", total=4, unit="updates", seeds=[0], goal=0.9)
    assert Page(live_html(view.panel)).open == []
    pixels, one = np.zeros((2, 8, 8, 3), "u1"), np.array([0.25, 0.75])
    checks = [(0, 0.1, "neutral"), (2, 0.5, HOSTILE)]
    view.show(Seen(0, 2, 2, True, checks, [(1, 0.2), (2, 0.4)], pixels, one, one > 0.5))
    assert [image["hit"] for image in view.panel.images] == [False, True]
    drawn = Page(view.panel.chart)
    assert drawn.open == []
    assert not drawn.all("img")
    page = Page(live_html(view.panel))
    assert len(page.all("img")) == 2
    assert "50\xa0% after 2 updates" in " ".join(page.texts)
    view.sampling(0, 3, "token", True)
    view.finish("Done.")
    assert (view.panel.phase, view.panel.message) == ("done", "Done.")


def test_the_live_view_needs_a_notebook(watched: Any):
    with pytest.raises(InputError, match="this is no notebook"):
        watched(Impatient(), progress="widget")


def test_a_persons_verdict_on_a_finding_is_kept_and_reported(tmp_path: Path):
    tree = synthetic_findings(synthetic(labels=2, size=4), confirmed=2, unsure=1)
    view = explore(tree)
    texts = [box.value for box in boxes(view) if isinstance(box, ipywidgets.HTML)]
    for n, sentence in enumerate(tree["findings"]["sentence"].values[:2]):
        (said,) = [text for text in texts if html.escape(str(sentence)) in text]
        wanted = [thumbnail(p, 128)[0] for row in tree["proof"]["picture"].values[n] for p in row]
        assert [src for src in wanted if src in said] == wanted
        assert "<svg" in said
    assert any("a cue that moves 70\xa0% of them" in html.unescape(text) for text in texts)
    choices = [box for box in boxes(view) if getattr(box, "description", "") == "Your verdict"]
    notes = [box for box in boxes(view) if getattr(box, "description", "") == "Note"]
    assert len(choices) == len(notes) == 2
    choices[1].value, notes[1].value = "disagree", "<b>a shadow</b>"
    path = inversion_kit.save(view.trees[0], tmp_path / "reviewed.zarr")
    back = inversion_kit.open(path)
    assert [str(v) for v in back["findings"]["opinion"].values] == ["", "disagree", ""]
    page = Page(report_html(back))
    assert "verdict: disagrees. “ <b>a shadow</b> ”" in page.text
    again = [box for box in boxes(explore(back)) if getattr(box, "description", "") == "Note"]
    assert [box.value for box in again] == ["", "<b>a shadow</b>"]
    with pytest.raises(InputError, match="opinion='maybe'"):
        judge_finding(tree, 0, "maybe")
    assert "Nothing is confirmed" in to_html(synthetic_findings(synthetic(), confirmed=0))


def test_findings_are_picked_by_verdict_and_label(tmp_path: Path):
    tree = synthetic_findings(synthetic(labels=3, size=4), confirmed=8, unsure=1)
    shown = Findings(tree)
    sentences = [str(s) for s in tree["findings"]["sentence"].values]

    def seen() -> list[int]:
        said = " ".join(getattr(b, "value", "") for b in boxes(shown.shown) if is_html(b))
        return [n for n, sentence in enumerate(sentences) if html.escape(sentence) in said]

    assert seen() == list(range(MOST))  # the confirmed, as many as are shown at once
    assert "2 more fit" in shown.shown.children[-1].value
    first = shown.shown.children[0]
    assert "Mean over 16 pictures" in first.value
    shown.label.value = "green"
    assert seen() == [1, 4, 7]
    shown.verdict.value = "uncertain"
    assert seen() == []
    assert "None fits" in shown.shown.children[-1].value
    shown.label.value = ""
    assert seen() == [8]
    shown.verdict.value = "confirmed"
    assert shown.shown.children[0] is first  # made once, and its note is kept


def test_verdicts_by_findings_are_a_column_and_a_colour(tree: xr.DataTree):
    view = explore(synthetic_findings(tree, confirmed=1, unsure=1))
    told = analysis.label_verdicts(view.trees[0])
    column = [row["finding"] for row in view.table.rows]
    assert [one["says"][2:] for one in column] == told["verdict"].values.tolist()
    assert [one["why"] for one in column] == told["sentence"].values.tolist()
    assert max(column, key=lambda one: one["n"])["says"] == "◆ shortcut"
    drawn = view.panels[0].map
    drawn.colour.value = "finding"
    names = {trace["name"] for trace in drawn.spec["data"]}
    assert names <= set(told["verdict"].values)
    assert "shortcut" in names
    bare = explore(tree)
    assert "finding" not in [column["key"] for column in bare.table.columns]
    assert "finding" not in [value for _, value in bare.panels[0].map.colour.options]


def is_html(box: Any) -> bool:
    return isinstance(box, ipywidgets.HTML)


def boxes(widget: Any) -> list[Any]:
    """A widget and all that is in it."""
    return [widget, *(one for child in getattr(widget, "children", ()) for one in boxes(child))]
