"""Figures by their structure: what they draw equals the analysis; labels stay text."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from inversion_kit import analysis
from inversion_kit.analysis.words import percent, visible
from inversion_kit.errors import InputError, LabelError
from inversion_kit.pictures import thumbnail
from inversion_kit.testing import synthetic, synthetic_comparison, synthetic_findings

pytest.importorskip("plotly", reason="comes with the extra notebook")
from inversion_kit import figures
from inversion_kit.figures import cells, style
from inversion_kit.figures.intervals import interval_svg

ALL = ("meaning", "trick", "failure", "mixed")
ARMS = ("name", "token+name", "token", "shuffled")
HOSTILE = [
    "<b>bold</b>",
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "80",
    "%{customdata[0]}",
    "a & b &lt;",
    "$x^2$",
    "שלום \u202eabc",
    "🚦" * 40,
    "nul\0tab\t",
    "007",
]


@pytest.fixture(scope="module")
def audit() -> xr.DataTree:
    gaps = {"failed": [("sky", "token", 0)], "missing": [("black", "token", s) for s in range(3)]}
    return synthetic(labels=8, arms=ARMS, outcomes=ALL, seeds=3, views=("jpeg",), **gaps)


@pytest.fixture(scope="module")
def points(audit: xr.DataTree) -> xr.Dataset:
    return analysis.project(audit, method="pca")


@pytest.fixture
def tied() -> xr.DataTree:
    """A result of two labels with findings."""
    tree = synthetic(labels=2)
    one, other = (str(n) for n in tree["samples"]["label"].values)
    values: dict[str, list[Any]] = {
        "effect": [0.05, 0.42, -0.2],
        "low": [-0.1, 0.2, -0.4],
        "high": [0.2, 0.6, -0.05],
        "placebo": [0, 0.02, 0.01],
        "sources": [2, 5, 4],
        "of": [6, 6, 6],
        "confirmed": [False, True, False],
        "of_label": [one, one, other],
        "direction": ["adds", "adds", "removes"],
        "cue": ["<b>bright</b>", "yellow", "round"],
        "verdict": ["not shown", "moved", "moved"],
        "sentence": ["", "Yellow <i>helps</i>.", ""],
    }
    tree["findings"] = xr.DataTree(xr.Dataset({n: ("finding", v) for n, v in values.items()}))
    return tree


def named(figure: Any, name: str) -> Any:
    matching = [t for t in figure.data if t.name == name]
    assert len(matching) == 1, [t.name for t in figure.data]
    return matching[0]


def picture(source: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


# Trajectory


def test_trajectory_is_the_analysis(audit: xr.DataTree) -> None:
    path = analysis.trajectory(audit, label="green")
    figure = figures.trajectory(audit, label="green")
    target, second = named(figure, "green (target)"), named(figure, "runner-up")
    band = named(figure, "middle 80 % of images")
    around = np.concatenate([path["ninetieth"], path["tenth"][::-1]])
    for drawn, expected in (
        (target.x, path["step"]),
        (target.y, path["target"]),
        (second.y, path["runner_up_probability"]),
        ([said.split(":")[0] for said in second.hovertext], path["runner_up"]),
        (band.y, around),
    ):
        np.testing.assert_array_equal(drawn, expected)
    runs = [t for t in figure.data if t.legendgroup == "runs"]
    assert len(runs) == 4  # one began anew
    assert sum(bool(t.showlegend) for t in runs) == 1
    assert len(named(figure, "token kept").x) == 3
    note = figure.layout.title.subtitle.text
    assert f"the kept tokens of 3 runs: {percent(float(path['value']))} [" in note
    assert "a run that has ended counts on with the token it kept" in note
    assert not figure.layout.shapes
    failed = figures.trajectory(audit, label="sky")
    assert len({t.hovertext[0].split(",")[0] for t in failed.data if t.legendgroup == "runs"}) == 2
    assert len(named(failed, "token kept").x) == 2
    empty = figures.trajectory(audit, label="black")
    assert empty.layout.title.subtitle.text == "no run of this search is there"


def test_one_run_alone_is_broken_where_it_began_anew() -> None:
    tree = synthetic(seeds=1, checks=5, steps=12)
    validation = tree["validation"].sel(arm="token")
    validation["step"].values[:] = (0, 4, 8, 8, 12)
    validation["start"].values[:] = ["neutral"] * 3 + ["a <b>"] * 2
    figure = figures.trajectory(tree)
    target = named(figure, "sky (target)")
    assert list(target.x) == [0, 4, 8, None, 8, 12]
    assert list(target.customdata) == [0, 1, 2, None, 3, 4]
    p = validation["probability"].values[0, 0, :, :, 1].mean(-1)
    np.testing.assert_allclose([v for v in target.y if v is not None], p, rtol=1e-6)
    assert [shape.x0 for shape in figure.layout.shapes] == [8]
    assert figure.layout.annotations[0].text == "restart at “a &lt;b&gt;”"
    assert not any(t.legendgroup == "runs" for t in figure.data)


def test_trajectory_classes_on_demand(audit: xr.DataTree) -> None:
    few = figures.trajectory(audit, label="green", classes=["red"])
    assert named(few, "red").visible is True
    assert named(few, "orange").visible == "legendonly"
    every = figures.trajectory(audit, label="green", classes="all")
    classes = set(audit["samples"]["class"].values) - {"green"}
    assert {t.meta for t in every.data if t.meta} == classes
    assert all(t.visible == "legendonly" for t in every.data if t.meta)
    with pytest.raises(InputError, match="classes: 'rd' is not in this result; try 'red'"):
        figures.trajectory(audit, label="green", classes=["rd"])


def test_a_search_under_way() -> None:
    checks = [(0, 0.1, "neutral"), (4, 0.3, "neutral"), (4, 0.5, "<i>"), (8, 0.9, "<i>")]
    spec = figures.live_spec(checks, [(1, 0.2), (2, 0.3)], last=20, goal=0.95)
    training, held = spec["data"]
    assert held["x"] == [0, 4, None, 4, 8]
    assert held["y"] == [0.1, 0.3, None, 0.5, 0.9]
    assert training["y"] == [0.2, 0.3]
    assert spec["layout"]["xaxis"]["range"][1] > 20
    said = [note["text"] for note in spec["layout"]["annotations"]]
    assert said == ["restart at “&lt;i&gt;”", "enough: 95\xa0%"]
    assert figures.live_spec([], [], last=5, goal=1)["data"][1]["x"] == []


def test_short_starts_have_names_below_each_other() -> None:
    begun = [(0, "neutral"), (4, "bar"), (6, "curve"), (8, "bar"), (90, "snow")]
    checks = [(n, 0.5, start) for n, start in begun]
    notes = figures.live_spec(checks, [], last=100, goal=1)["layout"]["annotations"][:-1]
    assert [(note["text"], -note["yshift"] // 18) for note in notes] == [
        ("restart at “bar”", 0),
        ("restart at “curve”", 1),
        ("goes on with “bar”", 2),
        ("restart at “snow”", 0),  # there is room again
    ]


def test_a_start_that_comes_again_goes_on_however_long_its_name() -> None:
    tree = synthetic(seeds=1, checks=5, steps=12)
    validation = tree["validation"].sel(arm="token")
    long = "a word that is longer than what is shown of it, "
    validation["start"].values[:] = ["neutral", f"{long}one", f"{long}two", "neutral", "neutral"]
    begun = [head.begun for head in cells.heads(analysis.strip(tree, columns=None))]
    shown = f"“{long[:39]}…”"
    assert begun == ["", *[f"restart at {shown}"] * 2, "goes on with neutral start", ""]
    notes = figures.trajectory(tree).layout.annotations
    assert [note.text.split("“")[0] for note in notes] == [
        "restart at ",
        "restart at ",
        "goes on with neutral start",
    ]


# Images


def test_strip_shows_the_stored_images(audit: xr.DataTree) -> None:
    figure = figures.strip(audit, label="sky", samples=2)
    validation = audit["validation"].sel(label="sky", arm="token").isel(seed=1)
    columns = len(figure.layout.images) // 2
    assert columns == 3  # this run ended a check early
    for i, image in enumerate(figure.layout.images):
        expected = validation["image"].values[i % columns, i // columns]
        got = picture(image.source)
        np.testing.assert_array_equal(got[:: len(got) // 8, :: len(got) // 8], expected)
    said = [a.text for a in figure.layout.annotations]
    assert any(head.endswith("8 updates ★ kept") for head in said)
    share = float(validation["probability"].values[columns - 1, 0, 1])
    assert f"<b>✓ {style.percent(share)}</b>" in said


def test_strip_names_the_starts_where_there_are_several() -> None:
    tree = synthetic(checks=4, steps=6, seeds=1)
    begun = ["from “neutral”", "from “neutral”", "from “a &lt;b&gt;”", "from “a &lt;b&gt;”"]
    for starts, heads in ((["neutral"] * 2 + ["a <b>"] * 2, begun), (["neutral"] * 4, [])):
        tree["validation"]["start"].sel(arm="token").values[:] = starts
        said = [a.text.split("<br>")[0] for a in figures.strip(tree).layout.annotations]
        assert [head for head in said if head.startswith("from")] == heads


@pytest.mark.parametrize("draw", [figures.strip, figures.before_after])
def test_all_that_is_written_is_drawn(audit: xr.DataTree, draw: Any) -> None:
    """plotly leaves out an annotation whose place lies outside the axis that it refers to."""
    figure = draw(audit, label="blue", columns=3)
    low, high = figure.layout.xaxis.range
    bottom, top = figure.layout.yaxis.range
    for note in figure.layout.annotations:
        assert note.xref == "paper" or low <= note.x <= high, note.text
        assert note.yref == "paper" or top <= note.y <= bottom, note.text


def test_before_after_pairs_noise_and_names_three(audit: xr.DataTree) -> None:
    figure = figures.before_after(audit, label="blue", columns=4)
    samples = audit["samples"].sel(label="blue").isel(seed=0)
    expected = [image for arm in ("name", "token") for image in samples["image"].sel(arm=arm)[:4]]
    for shown, image in zip(figure.layout.images, expected, strict=True):
        got = picture(shown.source)
        np.testing.assert_array_equal(got[:: len(got) // 8, :: len(got) // 8], image)
    p, names = samples["probability"].sel(arm="token").values[1], samples["class"].values
    lines = [f"{names[c]}: {style.percent(float(p[c]))}" for c in np.argsort(-p)[:3]]
    tick = "✓ " * (names[p.argmax()] == "blue")
    lines = [f"<b>{tick}{line}</b>" if line.startswith("blue") else line for line in lines]
    assert "<br>".join(lines) in [a.text for a in figure.layout.annotations]
    said = {a.text for a in figures.before_after(synthetic()).layout.annotations}
    assert {"start", "token"} <= said
    assert "name prompt" not in said


def test_the_tick_marks_the_first_class_alone() -> None:
    """A label in second place stays bold, but it is not what the image is read as."""
    tree = synthetic(seeds=1)
    p = tree["samples"]["probability"].sel(arm="token").values[0, 0]
    p[:] = 0.01
    p[0, 1], p[0, 0] = 0.6, 0.3
    p[1, 1], p[1, 0] = 0.3, 0.6
    figure = figures.before_after(tree, arms=["token"], columns=2)
    first, second = (a.text for a in figure.layout.annotations if "sky" in a.text and "%" in a.text)
    assert first.startswith("<b>✓ sky: 60")
    assert second.split("<br>")[1].startswith("<b>sky: 30")
    assert "✓" not in second


def test_a_missing_unit_is_named_in_place_of_its_pictures(audit: xr.DataTree) -> None:
    figure = figures.before_after(audit, label="black", columns=3)
    assert len(figure.layout.images) == 3
    assert [a.text for a in figure.layout.annotations].count("not run") == 3
    failed = figures.before_after(audit, label="sky", columns=3, run_seed=0)
    words = [a for a in failed.layout.annotations if a.text == "failed"]
    low, high = failed.layout.xaxis.range
    assert len(words) == len(failed.layout.shapes) == 3  # a frame in place of each
    for shape, note in zip(failed.layout.shapes, words, strict=True):
        assert low <= shape.x0 < note.x < shape.x1 <= high
        assert shape.y0 < note.y < shape.y1
    assert "not run" in figures.strip(audit, label="black").layout.annotations[0].text
    with pytest.raises(InputError, match="run_seed=7"):
        figures.strip(audit, label="sky", run_seed=7)


def test_pictures_keep_their_pixels_or_are_reduced() -> None:
    address, pixelated = thumbnail(np.zeros((700, 500, 3), "u1"), 160)
    assert address.startswith("data:image/webp")
    assert picture(address).shape == (160, 114, 3)
    assert not pixelated
    art = np.random.default_rng(0).integers(0, 255, (32, 32, 3), "u1")
    address, pixelated = thumbnail(art, 160, enlarge=True)
    np.testing.assert_array_equal(picture(address)[::5, ::5], art)
    assert pixelated
    assert thumbnail(art, 160, quality=50)[0].startswith("data:image/webp")
    np.testing.assert_array_equal(picture(thumbnail(art, quality=0)[0]), art)


# Bars


def test_success_bars_are_the_analysis(audit: xr.DataTree) -> None:
    figure = figures.success(audit)
    table = analysis.success(audit).isel(scorer=0)
    for arm, name in (("token", "token"), ("name", "name prompt")):
        bar, row = named(figure, name), table.sel(arm=arm)
        np.testing.assert_array_equal(bar.x, row["share"])
        x, more, less = (np.array(v) for v in (bar.x, bar.error_x.array, bar.error_x.arrayminus))
        np.testing.assert_allclose(x + more, row["high"])
        np.testing.assert_allclose(x - less, row["low"])
    assert list(figure.layout.yaxis.ticktext) == [str(n) for n in table["label"].values]
    looks = [(t.marker.color, t.marker.pattern.shape) for t in figure.data if t.type == "bar"]
    assert len({colour for colour, _ in looks}) == len({shape for _, shape in looks}) == 4
    alone = figures.success(audit, arms=["token"])
    assert named(alone, "token").marker.color == named(figure, "token").marker.color


def test_a_bar_of_no_length_is_marked(audit: xr.DataTree) -> None:
    """In its colour and at its place among the bars of its row."""
    figure = figures.success(audit)
    marks = named(figure, "0 %")
    bars = [t for t in figure.data if t.type == "bar"]
    matching = set()
    for y, colour in zip(marks.y, marks.marker.color, strict=True):
        row, bar = round(y), [t.marker.color for t in bars].index(colour)
        assert y - row == pytest.approx((bar - 1.5) * (1 - figure.layout.bargap) / 4)
        matching.add((row, bar))
    empty = {(i, b) for b, t in enumerate(bars) for i, v in enumerate(t.x) if v == 0}
    assert matching == empty != set()


def test_success_of_one_label() -> None:
    tree = synthetic(arms=("name", "start", "token"))
    table = analysis.success(tree).isel(label=0)
    figure = figures.success(tree)
    np.testing.assert_array_equal(named(figure, "judge").x, table["share"].sel(scorer="judge"))
    assert list(figure.layout.yaxis.ticktext) == ["name prompt", "start", "token"]


def test_one_label_of_many_is_as_one_label(audit: xr.DataTree) -> None:
    """A selection and the same label named give the same pictures."""
    one = audit.sel(label="green")
    for draw in (figures.trajectory, figures.strip, figures.before_after, figures.neighbours):
        assert draw(one).to_json() == draw(audit, label="green").to_json()


def test_of_many_labels_the_lowest_are_shown(audit: xr.DataTree) -> None:
    figure = figures.success(audit, most=3)
    assert list(figure.layout.yaxis.ticktext) == ["yellow", "blue", "colour 0"]
    assert "5 labels left out" in figure.layout.title.subtitle.text
    chosen = figures.success(audit, labels=["red", "sky"])
    assert list(chosen.layout.yaxis.ticktext) == ["red", "sky"]
    assert named(chosen, "token").hovertext[1].startswith("sky, token: ")
    with pytest.raises(LabelError, match="'redd' is not in this result; try 'red'"):
        figures.success(audit, labels=["redd"])
    with pytest.raises(InputError, match="'start' is not in this result"):
        figures.success(audit, arms=["start"])


def test_semantic_bars_are_the_analysis(audit: xr.DataTree) -> None:
    figure = figures.semantic(audit)
    tables = analysis.semantic_index(audit), analysis.view_index(audit)
    for name, table in zip(("held-out classifiers", "views"), tables, strict=True):
        bar = named(figure, name)
        np.testing.assert_array_equal(bar.x, table["index"])
        np.testing.assert_allclose(np.array(bar.x) - np.array(bar.error_x.arrayminus), table["low"])
    assert len(figures.semantic(synthetic(labels=2)).data) == 1
    empty = figures.semantic(synthetic(labels=2, judges=()))
    assert np.isnan(np.array(empty.data[0].x, float)).all()


def test_an_interval_lies_on_its_axis_and_never_beyond() -> None:
    def ends(d: str) -> list[float]:
        return [float(n) for n in re.findall(r"[\d.]+", d.split("M")[1].replace(" 6H", " "))]

    def places(drawn: str) -> list[float]:
        _, reach, at = ElementTree.fromstring(drawn)
        return [float(at.attrib["cx"]), *ends(reach.attrib["d"])]

    whole = interval_svg(0.5, 0, 1)
    left, right = ends(ElementTree.fromstring(whole)[0].attrib["d"])
    assert places(whole) == [(left + right) / 2, left, right]
    middle = (left + right) / 2
    assert places(interval_svg(0, -1, 1, least=-1)) == [middle, left, right]
    assert places(interval_svg(0.25, 0.25, 0.5)) == [(left + middle) / 2] * 2 + [middle]
    assert places(interval_svg(1.5, -0.5, 1.5)) == [right, left, right]
    assert interval_svg(0.3, float("nan"), float("nan")).count("<path") == 1  # the axis alone


def test_neighbours_are_stored_words(audit: xr.DataTree) -> None:
    figure = figures.neighbours(audit, label="sky", words=3)
    token = audit["token"].sel(label="sky", arm="token")
    assert [t.name for t in figure.data] == ["run 1", "run 2"]
    np.testing.assert_array_equal(figure.data[0].x, token["nearest_cosine"].values[1, :3])
    assert list(figure.layout.yaxis2.ticktext) == token["nearest_word"].values[2, :3].tolist()


def test_findings_are_drawn_with_their_verdicts(tied: xr.DataTree, audit: xr.DataTree) -> None:
    figure = figures.findings(tied)
    moved = named(figure, "moved")
    x, more, less = (np.array(v) for v in (moved.x, moved.error_x.array, moved.error_x.arrayminus))
    assert x.tolist() == [0.42, -0.2]
    np.testing.assert_allclose([x + more, x - less], [[0.6, -0.05], [0.2, -0.4]])
    assert named(figure, "not shown").marker.symbol != moved.marker.symbol
    assert list(named(figure, "placebo").x) == [0.02, 0.01, 0]
    assert figure.layout.yaxis.ticktext[2].startswith("&lt;b&gt;bright&lt;/b&gt; (adds), ")
    said = [a.text for a in figure.layout.annotations]
    assert said == ["confirmed; 5 of 6 sources", "4 of 6 sources", "2 of 6 sources"]
    assert "Yellow &lt;i&gt;helps&lt;/i&gt;." in moved.hovertext[0]
    other = str(tied["samples"]["label"].values[1])
    assert named(figures.findings(tied, label=other), "moved").x == (-0.2,)
    with pytest.raises(LabelError, match="label='c'"):
        figures.findings(tied, label="c")
    with pytest.raises(InputError, match="holds no findings"):
        figures.findings(audit)


def test_a_proof_is_the_stored_pictures_and_rates() -> None:
    tree = synthetic_findings(synthetic(labels=2), confirmed=2, cues=["snow", HOSTILE[1]])
    drawn, curve = figures.proof(tree, finding=1), figures.doses(tree, finding=1)
    pictures = tree["proof"]["picture"].values[1]
    assert len(drawn.layout.images) == pictures.shape[0] * pictures.shape[1]
    for i, image in enumerate(drawn.layout.images):
        back = picture(image.source)
        wanted = pictures[i // 4, i % 4]
        assert np.array_equal(
            back[:: len(back) // len(wanted), :: len(back) // len(wanted)], wanted
        )
    proof = tree["proof"].sel(finding=1)
    grey, interval, cue, placebo = curve.data
    ends = [v for v in grey.y if v is not None]
    np.testing.assert_array_equal(ends[::2], proof["placebo_low"])
    np.testing.assert_array_equal(ends[1::2], proof["placebo_high"])
    np.testing.assert_array_equal(cue.y, proof["rate"])
    np.testing.assert_array_equal(placebo.y, proof["placebo"])
    ends = [y for y in interval.y if y is not None]
    np.testing.assert_array_equal(ends, np.stack([proof["low"], proof["high"]], -1).ravel())
    assert curve.layout.xaxis.ticktext == ("4 px", "6 px", "8 px")
    for spec in (drawn, curve):
        for said in strings(json.loads(spec.to_json())):
            assert not set(said.replace("<br>", "")) & set("<>$\0"), said
    with pytest.raises(InputError, match=r"finding=2: it has no proof; try '[01]'"):
        figures.proof(tree, finding=2)
    with pytest.raises(InputError, match="holds no proof"):
        figures.doses(synthetic())


def test_pictures_of_a_cue_say_what_both_models_read() -> None:
    tree = synthetic_comparison(models=("older", HOSTILE[1]), cues=("snow", HOSTILE[1]))
    drawn = figures.both_read(tree)
    stored = tree["cues"].to_dataset().isel(finding=0)
    assert len(drawn.layout.images) == stored["picture"].values.shape[0] * stored.sizes["example"]
    back, wanted = picture(drawn.layout.images[4].source), stored["picture"].values[1, 0]
    step = len(back) // len(wanted)
    assert np.array_equal(back[::step, ::step], wanted)
    below = [a.text for a in drawn.layout.annotations]
    plain, older, newer = (
        str(stored["read"].values[at]) for at in ((0, 0, 0), (0, 1, 0), (1, 1, 0))
    )
    assert below.count(plain) == 4  # one line where both read the same
    assert below.count(f"a: {older}<br><b>b: {newer}</b>") == 4
    for said in strings(json.loads(drawn.to_json())):
        assert not set(re.sub("<br>|</?b>", "", said)) & set("<>$\0"), said
    gap = tree["cues"]["difference"].values
    tree["cues"]["status"].values[:], gap[:] = "new", (0.2, -0.9)
    assert analysis.both_read(tree).attrs["cue"] == HOSTILE[1]
    with pytest.raises(InputError, match=r"finding=2: expected one of \[0, 1\]"):
        figures.both_read(tree, finding=2)
    tree["cues"]["read"].values[0] = ""
    with pytest.raises(InputError, match="no picture of its cue counts"):
        figures.both_read(tree, finding=0)


# Confusion


def test_confusion_matrices_are_the_analysis(audit: xr.DataTree) -> None:
    figure = figures.confusion(audit)
    maps = [t for t in figure.data if t.type == "heatmap"]
    names, labels = list(figure.layout.xaxis.ticktext), list(figure.layout.yaxis.ticktext)
    token, name = (analysis.confusion(audit, arm)["share"] for arm in ("token", "name"))
    difference = analysis.confusion_difference(audit, "token", "name")["difference"]
    for trace, table in zip(maps, (name, token, difference), strict=True):
        np.testing.assert_array_equal(trace.z, table.sel({"label": labels, "class": names}))
        rows, columns = np.moveaxis(np.array(trace.customdata), -1, 0)  # what a click gives
        assert audit["samples"]["label"].values[rows[:, 0]].tolist() == labels
        assert audit["samples"]["class"].values[columns[0]].tolist() == names
    assert maps[1].text[labels.index("blue")][names.index("red")] == "50"
    assert maps[2].text[labels.index("blue")][names.index("blue")] == "−50"
    assert set(maps[1].text[labels.index("black")]) == {"–"}
    assert len([t for t in figure.data if t.name == "the label itself"]) == 3
    one = figures.confusion_spec(analysis.reads(audit), show=["difference"])
    assert [t["type"] for t in one["data"]] == ["heatmap", "scatter"]
    np.testing.assert_array_equal(one["data"][0]["z"], maps[2].z)
    alone = analysis.reads(synthetic(labels=2, arms=("token",)))  # no control: the arm's alone
    for show in (["difference"], ["control", "arm", "difference"]):
        assert len(figures.confusion_spec(alone, show=show)["data"]) == 2


def test_confusion_has_room_for_names_and_colour_bars() -> None:
    names = [f"a name of a sign, the {n}th" for n in range(45)]
    figure = figures.confusion(synthetic(labels=43, names=names, size=2, steps=1, samples=4))
    share, change = figure.layout.coloraxis.colorbar, figure.layout.coloraxis2.colorbar
    assert share.orientation == change.orientation == "h"
    assert share.x + share.len / 2 < change.x - change.len / 2  # beside, not on each other
    tall = figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
    assert -share.y * tall > 22 * 6 + 40  # below the upright names and their title
    assert figure.layout.margin.b + share.y * tall >= 50
    axis, wide = figure.layout.xaxis, 800 / 3
    apart = wide / len(figure.data[0].x) * (axis.tickvals[1] - axis.tickvals[0])
    assert axis.tickangle == -90
    assert apart > axis.tickfont.size
    assert "every 3rd column is named" in figure.layout.title.subtitle.text


def test_confusion_of_many_labels_keeps_every_image() -> None:
    tree = synthetic(labels=30, outcomes=ALL, size=2, steps=1, samples=4)
    figure = figures.confusion(tree, most=10)
    assert "20 left out" in figure.layout.title.subtitle.text
    name, token, change = (np.array(t.z) for t in figure.data if t.type == "heatmap")
    for share in (name, token):
        assert share.shape[0] == 10
        np.testing.assert_allclose(share.sum(1), 1)
    np.testing.assert_allclose(change.sum(1), 0, atol=1e-12)
    whole = figures.confusion_spec(analysis.reads(tree), most=100)["layout"]
    assert whole["height"] < 1500


# Projection


@pytest.mark.parametrize("colour", ["label", "arm", "verdict"])
def test_projection_draws_every_point_once(points: xr.Dataset, colour: Any) -> None:
    figure = figures.projection(points, colour=colour)
    places = np.concatenate([t.customdata for t in figure.data]).astype(int)
    assert sorted(places.tolist()) == list(range(points.sizes["point"]))
    at = np.concatenate([np.stack([t.x, t.y], -1) for t in figure.data])
    np.testing.assert_array_equal(at, np.stack([points["x"], points["y"]], -1)[places])
    looks = {(t.marker.color, t.marker.symbol) for t in figure.data}
    groups = {t.legendgroup for t in figure.data}
    assert len(looks) == len(groups)
    listed = [t.legendgroup for t in figure.data if t.showlegend]
    assert sorted(listed) == sorted(groups)
    alone = figures.projection_spec(points, colour=colour, space="token")
    assert sum(len(t["x"]) for t in alone["data"]) == int((points["space"] == "token").sum())


def test_names_stand_at_their_own_points_and_not_on_each_other(points: xr.Dataset) -> None:
    figure = figures.projection(points)
    panel = [a for a in figure.layout.annotations if a.xref == "x" and a.yshift]
    images = points["space"].values == "image"
    assert len(panel) > 2
    for note in panel:
        own = images & (points["of_label"].values == note.text)
        at = np.hypot(points["x"].values - note.x, points["y"].values - note.y)
        assert at[own].min() == 0  # a point of its own, not the middle of two clusters
        assert (points["verdict"].values[own & (at == 0)] != "not read as the label").any()
    wide, high = (np.ptp(points[axis].values[images]) for axis in ("x", "y"))
    for i, one in enumerate(panel):
        for other in panel[:i]:
            letters = (len(one.text) + len(other.text)) / 2
            beside = abs(one.x - other.x) * 380 / wide > 7 * letters
            assert beside or abs(one.y - other.y) * 440 / high > 16


def test_tricks_are_not_painted_over(points: xr.Dataset) -> None:
    """What the classifier alone reads as the label lies above what nobody does."""
    verdicts = ["confirmed", "not confirmed", "not judged", "not read as the label"]
    images = points["space"].values == "image"
    mixed = np.where(images, np.array(verdicts)[np.arange(len(images)) % 4], "token")
    points = points.assign(verdict=("point", mixed.astype(object)))
    figure = figures.projection(points, colour="verdict")
    drawn = [t.name for t in figure.data]
    assert drawn[0] == "not read as the label"
    assert drawn[3] == "not confirmed"
    assert set(drawn[4:]) == {"token", "token + name", "shuffled control"}  # a panel of their own
    legend = sorted(figure.data, key=lambda t: t.legendrank)
    assert [t.name for t in legend][:4] == verdicts


def test_many_labels_are_one_trace_a_panel(points: xr.Dataset) -> None:
    names = [f"label {i % 60}" for i in range(points.sizes["point"])]
    figure = figures.projection(points.assign(of_label=("point", names)))
    assert len(figure.data) == 2
    assert len(figure.data[0].marker.symbol) == len(figure.data[0].x)
    assert "hover names the label" in figure.layout.title.subtitle.text
    assert len({style.look(i) for i in range(48)}) == 48  # before one comes again


def test_a_result_with_a_projection_is_not_projected_again(audit: xr.DataTree) -> None:
    figure = figures.projection(analysis.projected(audit, method="pca"))
    assert "PCA" in figure.layout.annotations[0].text


# Text


def strings(value: Any) -> list[str]:
    """Every string of a figure that is no picture."""
    if isinstance(value, dict):
        value = [v for name, v in value.items() if name not in ("source", "meta", "template")]
    if isinstance(value, list):
        return [said for part in value for said in strings(part)]
    return [value] if isinstance(value, str) else []


def every_figure(label: str, tree: xr.DataTree) -> list[Any]:
    of_label = (figures.strip, figures.before_after, figures.neighbours)
    return [
        figures.trajectory(tree, label=label, classes="all"),
        *(draw(tree, label=label) for draw in of_label),
        *(draw(tree) for draw in (figures.success, figures.semantic, figures.confusion)),
        figures.projection(analysis.project(tree, method="pca")),
    ]


def test_hostile_labels_stay_text(tied: xr.DataTree) -> None:
    tree = synthetic(labels=9, names=HOSTILE, outcomes=ALL, size=4)
    for label in HOSTILE[1:4]:
        for figure in every_figure(label, tree):
            for said in strings(json.loads(figure.to_json())):
                for tag in ("<br>", "<b>", "</b>", "<i>", "</i>"):
                    said = said.replace(tag, "")
                assert not set(said) & set("<>$\0"), said
    for figure in [*every_figure(HOSTILE[7], tree), figures.findings(tied)]:
        assert "\u202e" not in "".join(strings(json.loads(figure.to_json())))
        assert figure.layout.title.text
        assert figure.layout.title.subtitle.text
    assert any("[U+202E]" in name for name in figures.success(tree).layout.yaxis.ticktext)


def test_a_name_like_a_number_stays_a_name() -> None:
    figure = figures.success(synthetic(labels=9, names=HOSTILE))
    assert "80" in figure.layout.yaxis.ticktext
    assert list(figure.data[0].y) == list(range(9))


def test_text_keeps_what_is_harmless() -> None:
    assert style.text("Straße 30 km/h – naïve 道路") == "Straße 30 km/h – naïve 道路"
    assert style.text("שלום").startswith("\N{FIRST STRONG ISOLATE}")
    assert style.text("שלום").endswith("\N{POP DIRECTIONAL ISOLATE}")
    assert style.text("stop\u202egpj.exe") == visible("stop\u202egpj.exe") == "stop[U+202E]gpj.exe"
    # long names that differ at their end stay apart
    assert len({style.text(f"the speed limit is {n}", most=16) for n in (20, 120)}) == 2
    assert all(len(style.text("x" * n, most=20)) <= 20 for n in range(50))


# Selection, import


def test_a_wrong_choice_is_named(audit: xr.DataTree) -> None:
    for options, said in (
        ({}, "label"),
        ({"label": "grn"}, "try .*'green'"),
        ({"label": "sky", "arm": "tken"}, "'tken'"),
    ):
        with pytest.raises(InputError, match=said):
            figures.trajectory(audit, **options)


@pytest.mark.parametrize("draw", [figures.success, figures.semantic, figures.confusion])
def test_without_plotly_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, audit: xr.DataTree, draw: Callable[[xr.DataTree], Any]
) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "plotly"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(InputError, match=r"plotly is missing: pip install 'inversion-kit\[noteb"):
        draw(audit)
