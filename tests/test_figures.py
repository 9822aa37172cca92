"""Figures by their structure: what they draw equals the analysis; labels stay text."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from inversion_kit.analysis import audits as audit_analysis
from inversion_kit.analysis import runs as analysis
from inversion_kit.analysis.projection import project
from inversion_kit.analysis.words import visible
from inversion_kit.errors import InputError, LabelError
from inversion_kit.testing import synthetic_audit, synthetic_run

pytest.importorskip("plotly", reason="comes with the extra notebook")
from inversion_kit import figures
from inversion_kit.figures import select, style
from inversion_kit.figures.images import thumbnail
from inversion_kit.figures.scatter import _marker

ALL = ("meaning", "trick", "failure", "mixed")
HOSTILE = [
    "<b>bold</b>", "<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "80",
    "%{customdata[0]}", "a & b &lt;", "$x^2$", "שלום \u202eabc", "🚦" * 40, "nul\0tab\t", "007",
]  # fmt: skip


@pytest.fixture(scope="module")
def audit() -> xr.DataTree:
    return synthetic_audit(
        labels=8, outcomes=ALL, seeds=3,
        failed=[("sky", "token", 0)], missing=[("black", "token", s) for s in range(3)],
    )  # fmt: skip


@pytest.fixture(scope="module")
def points(audit: xr.DataTree) -> xr.Dataset:
    return project(audit, method="pca")


def effects() -> xr.Dataset:
    return xr.Dataset(
        {
            "effect": ("factor", [0.05, 0.42, -0.2]),
            "low": ("factor", [-0.1, 0.2, -0.4]),
            "high": ("factor", [0.2, 0.6, -0.05]),
            "p": ("factor", [0.4, 0.0002, 0.02]),
            "verdict": ("factor", ["not shown", "moved", "moved"]),
            "confirmation": ("factor", ["", "confirmed", "<i>not</i>"]),
        },
        coords={"factor": ["<b>bright</b>", "yellow", "round"]},
    )


def named(figure: Any, name: str) -> Any:
    found = [t for t in figure.data if t.name == name]
    assert len(found) == 1, [t.name for t in figure.data]
    return found[0]


def picture(source: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


# Trajectory


def test_trajectory_is_the_pooled_probability(audit: xr.DataTree) -> None:
    """Of the same runs at each step: one that ended counts with the token that it kept."""
    tree = audit.copy(deep=True)
    validation = tree["validation"].sel(label="green", arm="token")
    validation["probability"].values[1, 2:] = np.nan  # run 1 ended after its second check
    tree["token"].sel(label="green", arm="token")["selected"].values[1] = 0
    p = validation["probability"].values[..., 2].copy()
    p[1, 2:] = p[1, 0]
    figure = figures.trajectory(tree, label="green")
    target = named(figure, "green (target)")
    np.testing.assert_allclose(target.y, p.mean((0, 2)), rtol=1e-6)
    assert target.x.tolist() == validation["step"].values[0].tolist()
    assert (target.customdata[:, 2] == 3 * 6).all()
    band = named(figure, "middle 80 % of images")
    low, high = np.quantile(np.moveaxis(p, 1, 0).reshape(4, -1), (0.1, 0.9), axis=1)
    np.testing.assert_allclose(band.y, np.concatenate([high, low[::-1]]), rtol=1e-6)
    assert sum(t.legendgroup == "runs" for t in figure.data) == 3
    assert sum(bool(t.showlegend) for t in figure.data if t.legendgroup == "runs") == 1


def test_trajectory_says_what_was_kept_not_what_was_left() -> None:
    """A run that is sure stops early; the other never gets there, and is not the whole story."""
    tree = synthetic_run(seeds=2, checks=6, steps=15)
    validation = tree["validation"]
    classes = validation.sizes["class"]
    sure = np.stack([np.full((6, 6), 0.05), np.full((6, 6), 0.95)])
    sure[1, 0] = 0.05
    others = np.broadcast_to((1 - sure[..., None]) / (classes - 1), (*sure.shape, classes)).copy()
    others[..., tree.attrs["label_index"]] = sure
    others[1, 2:] = np.nan
    validation["probability"].values[:] = others
    validation["step"].values[:] = np.arange(0, 18, 3)
    validation["start"].values[:] = "neutral"
    tree["token"]["selected"].values[:] = (5, 1)
    figure = figures.trajectory(tree)
    np.testing.assert_allclose(named(figure, "sky (target)").y, [0.05] + [0.5] * 5, rtol=1e-6)
    note = figure.layout.title.subtitle.text
    assert "the kept tokens of 2 runs: 50\xa0% [" in note
    assert "a run that has ended counts on with the token it kept" in note


def test_trajectory_breaks_where_a_run_begins_anew() -> None:
    tree = synthetic_run(seeds=1, checks=5, steps=12)
    validation = tree["validation"]
    validation["step"].values[0] = (0, 4, 8, 8, 12)
    validation["start"].values[0] = ["neutral"] * 3 + ["name"] * 2
    figure = figures.trajectory(tree)
    runs = [t.x.tolist() for t in figure.data if t.legendgroup == "runs"]
    assert runs == [[0, 4, 8], [8, 12]]
    p = validation["probability"].values[0, :, :, tree.attrs["label_index"]].mean(-1)
    target = named(figure, "sky (target)")
    assert target.x.tolist() == [0, 4, 8, 12]
    np.testing.assert_allclose(target.y, p[[0, 1, 3, 4]], rtol=1e-6)


def test_trajectory_leaves_out_what_failed(audit: xr.DataTree) -> None:
    figure = figures.trajectory(audit, label="sky")
    assert sum(t.legendgroup == "runs" for t in figure.data) == 2
    assert (named(figure, "sky (target)").customdata[:, 2] == 2 * 6).all()
    assert len(named(figure, "token kept").x) == 2


def test_trajectory_runner_up_is_the_analysis() -> None:
    tree = synthetic_run(seeds=1)
    path = analysis.trajectory(tree).isel(seed=0)
    figure = figures.trajectory(tree)
    shown = named(figure, "runner-up")
    # The run restarts: two of its checks are at the same number of updates; the newer one counts.
    once = [i for i, s in enumerate(path["step"].values)
            if (path["step"].values == s).sum() == 1]  # fmt: skip
    assert 0 < len(once) < len(path["step"])
    for i in once:
        at = shown.x.tolist().index(int(path["step"][i]))
        np.testing.assert_allclose(shown.y[at], path["runner_up_probability"][i], rtol=1e-6)
        assert shown.customdata[at] == str(path["runner_up"].values[i])


def test_trajectory_classes_on_demand(audit: xr.DataTree) -> None:
    few = figures.trajectory(audit, label="green", classes=["red"])
    assert named(few, "red").visible is True
    assert named(few, "orange").visible == "legendonly"
    every = figures.trajectory(audit, label="green", classes="all")
    classes = set(audit["samples"]["class"].values) - {"green"}
    assert {t.meta for t in every.data if t.meta} == classes
    assert all(t.visible == "legendonly" for t in every.data if t.meta)
    with pytest.raises(InputError, match="'rd' is not a class; try 'red'"):
        figures.trajectory(audit, label="green", classes=["rd"])


def test_trajectory_of_nothing_says_so(audit: xr.DataTree) -> None:
    figure = figures.trajectory(audit, label="black")
    assert figure.layout.title.subtitle.text == "no run of this search is there"


# Images


def test_strip_shows_the_stored_images(audit: xr.DataTree) -> None:
    figure = figures.strip(audit, label="sky", samples=2)
    validation = audit["validation"].sel(label="sky", arm="token").isel(seed=1)
    assert len(figure.layout.images) == 2 * 4
    for i in range(8):
        expected = validation["image"].values[i % 4, i // 4]
        got = picture(figure.layout.images[i].source)
        np.testing.assert_array_equal(got[:: len(got) // 8, :: len(got) // 8], expected)
    said = [a.text for a in figure.layout.annotations]
    assert any(head.endswith("6 updates ★ kept") for head in said)
    share = float(validation["probability"].values[-1, 0, 1])
    assert f"<b>✓ {analysis.percent(share)}</b>" in said


def test_strip_keeps_the_kept_check_among_many() -> None:
    tree = synthetic_run(checks=30, steps=58, seeds=1)
    tree["token"]["selected"].values[0] = 16
    figure = figures.strip(tree, columns=4, samples=1)
    heads = [a.text for a in figure.layout.annotations if "updates" in a.text]
    assert len(heads) == 4
    assert sum("kept" in h for h in heads) == 1
    assert heads[0].split("<br>")[-1].startswith("0 ")


def test_strip_names_the_starts_where_there_are_several() -> None:
    tree = synthetic_run(checks=4, steps=6, seeds=1)
    tree["validation"]["start"].values[:] = [["neutral", "neutral", "a <b>", "a <b>"]]
    heads = [a.text for a in figures.strip(tree).layout.annotations if "updates" in a.text]
    assert [head.split("<br>")[0] for head in heads] == [
        "from “neutral”", "from “neutral”", "from “a &lt;b&gt;”", "from “a &lt;b&gt;”"
    ]  # fmt: skip
    tree["validation"]["start"].values[:] = "neutral"
    heads = [a.text for a in figures.strip(tree).layout.annotations if "updates" in a.text]
    assert not any("from" in head for head in heads)


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
    assert len(figure.layout.images) == 8
    for a, arm in enumerate(("name", "token")):
        for k in range(4):
            got = picture(figure.layout.images[4 * a + k].source)
            expected = samples["image"].sel(arm=arm).values[k]
            np.testing.assert_array_equal(got[:: len(got) // 8, :: len(got) // 8], expected)
    p = samples["probability"].sel(arm="token").values[1]
    names = samples["class"].values
    lines = [
        f"<b>✓ {names[c]}: {style.percent(float(p[c]))}</b>" if names[c] == "blue"
        else f"{names[c]}: {style.percent(float(p[c]))}"
        for c in np.argsort(-p)[:3]
    ]  # fmt: skip
    assert "<br>".join(lines) in [a.text for a in figure.layout.annotations]


def test_the_tick_marks_the_first_class_alone() -> None:
    """A label in second place stays bold, but it is not what the image is read as."""
    tree = synthetic_run()
    p = tree["samples"]["probability"].sel(arm="token").values[0]
    p[:] = 0.01
    target = tree.attrs["label_index"]
    p[0, target], p[0, target - 1] = 0.6, 0.3
    p[1, target], p[1, target - 1] = 0.3, 0.6
    figure = figures.before_after(tree, arms=["token"], columns=2)
    first, second = (a.text for a in figure.layout.annotations if "sky" in a.text and "%" in a.text)
    assert first.startswith("<b>✓ sky: 60")
    assert second.split("<br>")[1].startswith("<b>sky: 30")
    assert "✓" not in second


def test_a_missing_unit_is_told_in_place_of_its_pictures(audit: xr.DataTree) -> None:
    figure = figures.before_after(audit, label="black", columns=3)
    assert len(figure.layout.images) == 3
    assert [a.text for a in figure.layout.annotations].count("not run") == 3
    assert len(figure.layout.shapes) == 3  # a frame in place of each
    failed = figures.before_after(audit, label="sky", columns=3, seed=0)
    assert [a.text for a in failed.layout.annotations].count("failed") == 3
    low, high = failed.layout.xaxis.range
    for shape, note in zip(
        failed.layout.shapes, (a for a in failed.layout.annotations if a.text == "failed"),
        strict=True,
    ):  # fmt: skip
        assert low <= shape.x0 < note.x < shape.x1 <= high
        assert shape.y0 < note.y < shape.y1
    assert "not run" in figures.strip(audit, label="black").layout.annotations[0].text
    with pytest.raises(InputError, match=r"seed=7: this result holds \[0, 1, 2\]"):
        figures.strip(audit, label="sky", seed=7)


def test_a_run_shows_start_and_token() -> None:
    figure = figures.before_after(synthetic_run())
    assert {"start", "token"} <= {a.text for a in figure.layout.annotations}


def test_large_images_are_reduced() -> None:
    assert picture(thumbnail(np.zeros((700, 500, 3), "u1"))).shape == (160, 114, 3)
    assert picture(thumbnail(np.zeros((32, 32, 3), "u1"))).shape == (160, 160, 3)


# Bars


def test_success_bars_are_the_analysis(audit: xr.DataTree) -> None:
    figure = figures.success(audit)
    table = audit_analysis.label_success(audit).isel(scorer=0)
    for arm, name in (("token", "token"), ("name", "name prompt")):
        bar, row = named(figure, name), table.sel(arm=arm)
        np.testing.assert_array_equal(bar.x, row["share"])
        np.testing.assert_allclose(bar.x + bar.error_x.array, row["high"])
        np.testing.assert_allclose(bar.x - bar.error_x.arrayminus, row["low"])
    assert list(figure.layout.yaxis.ticktext) == [str(n) for n in table["label"].values]
    patterns = [t.marker.pattern.shape for t in figure.data if t.type == "bar"]
    assert len(set(patterns)) == len(patterns) == 4


def test_a_bar_of_no_length_is_marked(audit: xr.DataTree) -> None:
    """In its colour and at its place among the bars of its row."""
    figure = figures.success(audit)
    marks = named(figure, "0 %")
    bars = [t for t in figure.data if t.type == "bar"]
    found = set()
    for y, colour in zip(marks.y, marks.marker.color, strict=True):
        row, bar = round(y), [t.marker.color for t in bars].index(colour)
        assert y - row == pytest.approx((bar - 1.5) * (1 - figure.layout.bargap) / 4)
        found.add((row, bar))
    empty = {(i, b) for b, t in enumerate(bars) for i, v in enumerate(t.x) if v == 0}
    assert found == empty != set()


def test_success_of_a_run() -> None:
    tree = synthetic_run()
    table = analysis.success(tree)
    figure = figures.success(tree)
    np.testing.assert_array_equal(named(figure, "judge").x, table["success"].sel(scorer="judge"))
    assert list(figure.layout.yaxis.ticktext) == ["start", "token", "name prompt"]


def test_of_many_labels_the_lowest_are_shown(audit: xr.DataTree) -> None:
    figure = figures.success(audit, most=3)
    assert list(figure.layout.yaxis.ticktext) == ["yellow", "blue", "colour 0"]
    assert "5 labels left out" in figure.layout.title.subtitle.text
    chosen = figures.success(audit, labels=["red", "sky"])
    assert list(chosen.layout.yaxis.ticktext) == ["red", "sky"]
    assert named(chosen, "token").customdata[1][0] == "sky"
    with pytest.raises(LabelError, match="'redd' is not in this audit; try 'red'"):
        figures.success(audit, labels=["redd"])
    with pytest.raises(InputError, match="'start' is not in this audit"):
        figures.success(audit, arms=["start"])


def test_semantic_bars_are_the_analysis(audit: xr.DataTree) -> None:
    figure = figures.semantic(audit)
    for name, table in (
        ("held-out classifiers", audit_analysis.semantic_index(audit)),
        ("views", audit_analysis.view_index(audit)),
    ):
        np.testing.assert_array_equal(named(figure, name).x, table["index"])
        np.testing.assert_allclose(
            named(figure, name).x - named(figure, name).error_x.arrayminus, table["low"]
        )
    assert len(figures.semantic(synthetic_audit(views=())).data) == 1
    empty = figures.semantic(synthetic_audit(judges=(), views=()))
    assert np.isnan(empty.data[0].x.astype(float)).all()


def test_neighbours_are_stored_words(audit: xr.DataTree) -> None:
    figure = figures.neighbours(audit, label="sky", words=3)
    token = audit["token"].sel(label="sky", arm="token")
    assert [t.name for t in figure.data] == ["run 1", "run 2"]
    np.testing.assert_array_equal(figure.data[0].x, token["nearest_cosine"].values[1, :3])
    assert list(figure.layout.yaxis2.ticktext) == token["nearest_word"].values[2, :3].tolist()


def test_findings_are_drawn_with_their_verdicts() -> None:
    figure = figures.findings(effects())
    moved = named(figure, "moved")
    assert moved.x.tolist() == [0.42, -0.2]
    np.testing.assert_allclose(moved.x + moved.error_x.array, [0.6, -0.05])
    np.testing.assert_allclose(moved.x - moved.error_x.arrayminus, [0.2, -0.4])
    assert named(figure, "not shown").marker.symbol != moved.marker.symbol
    assert figure.layout.yaxis.ticktext[2] == "&lt;b&gt;bright&lt;/b&gt;"
    said = [a.text for a in figure.layout.annotations]
    assert said == ["p < 0.001; confirmed", "p = 0.020; &lt;i&gt;not&lt;/i&gt;", "p = 0.400"]


def test_findings_of_a_result_or_none(audit: xr.DataTree) -> None:
    with pytest.raises(InputError, match="holds no group /findings"):
        figures.findings(audit)
    tree = synthetic_run()
    tree["findings"] = xr.DataTree(effects())
    assert len(figures.findings(tree).data) == 2
    labelled = xr.concat([effects(), effects().assign(effect=-effects()["effect"])], "label")
    labelled = labelled.assign_coords(label=["a", "b"])
    assert figures.findings(labelled, label="b").data[0].x.tolist()[0] == -0.42
    with pytest.raises(LabelError, match="label='c'"):
        figures.findings(labelled, label="c")


# Confusion


def test_confusion_matrices_are_the_analysis(audit: xr.DataTree) -> None:
    figure = figures.confusion(audit)
    left, right, change = (np.array(t.z) for t in figure.data)
    names = list(figure.layout.xaxis.ticktext)
    labels = list(figure.layout.yaxis.ticktext)
    token = audit_analysis.confusion(audit)["share"]
    difference = audit_analysis.confusion_difference(audit)["difference"]
    name = audit_analysis.confusion(audit, "name")["share"]
    for i, label in enumerate(labels):
        for k, read_as in enumerate(names):
            at = {"label": label, "class": read_as}
            np.testing.assert_array_equal(right[i, k], token.sel(at))
            np.testing.assert_array_equal(left[i, k], name.sel(at))
            np.testing.assert_array_equal(change[i, k], difference.sel(at))
    assert "<i>other classes</i>" not in names
    assert figure.data[1].text[labels.index("blue")][names.index("red")] == "50"
    assert figure.data[2].text[labels.index("blue")][names.index("blue")] == "−50"
    assert set(figure.data[1].text[labels.index("black")]) == {"–"}


def test_confusion_has_room_for_names_and_colour_bars() -> None:
    names = [f"a name of a sign, the {n}th" for n in range(45)]
    figure = figures.confusion(synthetic_audit(labels=43, names=names, size=2, steps=1, samples=4))
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
    tree = synthetic_audit(labels=30, outcomes=ALL, size=2, steps=1, samples=4)
    figure = figures.confusion(tree, most=10)
    assert "20 left out" in figure.layout.title.subtitle.text
    for trace in figure.data[:2]:
        assert np.array(trace.z).shape[0] == 10
        np.testing.assert_allclose(np.array(trace.z).sum(1), 1)
    np.testing.assert_allclose(np.array(figure.data[2].z).sum(1), 0, atol=1e-12)


# Projection


@pytest.mark.parametrize("colour", ["label", "arm", "verdict"])
def test_projection_draws_every_point_once(points: xr.Dataset, colour: str) -> None:
    figure = figures.projection(points, colour=colour)
    places = np.concatenate([t.customdata[:, 0] for t in figure.data]).astype(int)
    assert sorted(places.tolist()) == points["point"].values.tolist()
    at = np.concatenate([np.stack([t.x, t.y], -1) for t in figure.data])
    np.testing.assert_allclose(at, np.stack([points["x"], points["y"]], -1)[places])
    looks = {(t.marker.color, t.marker.symbol) for t in figure.data}
    groups = {t.legendgroup for t in figure.data}
    assert len(looks) == len(groups) == len(set(points[colour].values.tolist()))
    listed = [t.legendgroup for t in figure.data if t.showlegend]
    assert sorted(listed) == sorted(groups)


def test_names_stand_at_their_own_points_and_not_on_each_other(points: xr.Dataset) -> None:
    figure = figures.projection(points)
    panel = [a for a in figure.layout.annotations if a.xref == "x" and a.yshift]
    images = points["space"].values == "image"
    assert len(panel) > 2
    for note in panel:
        own = images & (points["label"].values == note.text)
        at = np.hypot(points["x"].values - note.x, points["y"].values - note.y)
        assert at[own].min() == 0  # a point of its own, not the middle of two clusters
        assert (points["verdict"].values[own & (at == 0)] != "not read as the label").any()
    wide, high = (np.ptp(points[axis].values[images]) for axis in ("x", "y"))
    for i, one in enumerate(panel):
        for other in panel[:i]:
            letters = (len(one.text) + len(other.text)) / 2
            assert (
                abs(one.x - other.x) * 380 / wide > 7 * letters
                or abs(one.y - other.y) * 440 / high > 16
            )


def test_tricks_are_not_painted_over(points: xr.Dataset) -> None:
    """What the classifier alone reads as the label lies above what nobody does."""
    verdicts = ["confirmed", "not confirmed", "not judged", "not read as the label"]
    images = points["space"].values == "image"
    mixed = np.where(images, np.array(verdicts)[np.arange(len(images)) % 4], "token")
    figure = figures.projection(
        points.assign(verdict=("point", mixed.astype(object))), colour="verdict"
    )
    drawn = [t.name for t in figure.data]
    assert drawn[0] == "not read as the label"
    assert drawn[-2:] == ["not confirmed", "token"]  # the tokens have a panel of their own
    legend = sorted(figure.data, key=lambda t: t.legendrank)
    assert [t.name for t in legend] == [*verdicts, "token"]


def test_looks_repeat_after_forty_eight_only() -> None:
    looks = [(m["color"], m["symbol"]) for m in (_marker(i, "image") for i in range(48))]
    assert len(set(looks)) == 48


def test_many_labels_are_one_trace_a_panel(points: xr.Dataset) -> None:
    many = points.assign(label=("point", [f"label {i % 60}" for i in range(points.sizes["point"])]))
    figure = figures.projection(many)
    assert len(figure.data) == 2
    assert len(figure.data[0].marker.symbol) == len(figure.data[0].x)
    assert "hover tells the label" in figure.layout.title.subtitle.text


# Text


def strings(figure: Any) -> list[str]:
    """Every string of a figure that is no picture."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for name, part in value.items():
                if name not in ("source", "meta", "legendgroup"):
                    walk(part)
        elif isinstance(value, list):
            for part in value:
                walk(part)
        elif isinstance(value, str):
            found.append(value)

    walk(json.loads(figure.to_json())["data"])
    layout = json.loads(figure.to_json())["layout"]
    layout.pop("template")
    walk(layout)
    return found


def every_figure(label: str, tree: xr.DataTree) -> list[Any]:
    return [
        figures.trajectory(tree, label=label, classes="all"),
        figures.strip(tree, label=label),
        figures.before_after(tree, label=label),
        figures.success(tree),
        figures.semantic(tree),
        figures.neighbours(tree, label=label),
        figures.confusion(tree),
        figures.projection(project(tree, method="pca")),
    ]


def test_hostile_labels_stay_text() -> None:
    tree = synthetic_audit(labels=9, names=HOSTILE, outcomes=ALL, size=4)
    own = {"<br>", "<b>", "</b>", "<extra>", "</extra>", "<i>", "</i>", "<extra></extra>"}
    for label in HOSTILE[1:4]:
        for figure in every_figure(label, tree):
            for said in strings(figure):
                for tag in own:
                    said = said.replace(tag, "")
                assert "<" not in said, said
                assert ">" not in said, said
                assert "$" not in said
                assert "\0" not in said


def test_a_name_like_a_number_stays_a_name() -> None:
    tree = synthetic_audit(labels=9, names=HOSTILE)
    figure = figures.success(tree)
    assert "80" in figure.layout.yaxis.ticktext
    assert list(figure.data[0].y) == list(range(9))


def test_text_keeps_what_is_harmless() -> None:
    assert style.text("Straße 30 km/h – naïve 道路") == "Straße 30 km/h – naïve 道路"
    assert style.text("שלום").startswith("\N{FIRST STRONG ISOLATE}")
    assert style.text("שלום").endswith("\N{POP DIRECTIONAL ISOLATE}")


def test_what_nobody_sees_is_written_out() -> None:
    """As in the report: the name on the screen must be the name that is there."""
    assert style.text("stop\u202egpj.exe") == visible("stop\u202egpj.exe") == "stop[U+202E]gpj.exe"
    tree = synthetic_audit(labels=9, names=HOSTILE, outcomes=ALL, size=4)
    for figure in every_figure(HOSTILE[7], tree):
        assert "\u202e" not in "".join(strings(figure))
    assert any("[U+202E]" in name for name in figures.success(tree).layout.yaxis.ticktext)


def test_long_names_that_differ_at_their_end_stay_apart() -> None:
    assert len({style.text(f"the speed limit is {n}", most=16) for n in (20, 120)}) == 2
    assert all(len(style.text("x" * n, most=20)) <= 20 for n in range(50))


def test_every_figure_can_be_written(audit: xr.DataTree) -> None:
    for figure in [*every_figure("sky", audit), figures.findings(effects())]:
        json.loads(figure.to_json())
        assert figure.layout.title.text
        assert figure.layout.title.subtitle.text


# Selection, import


def test_one_label_is_a_run(audit: xr.DataTree) -> None:
    one = select.one_label(audit, "green", "token+name")
    path = analysis.trajectory(one)
    assert path.sizes == {"seed": 3, "check": 4}
    table = analysis.success(one)
    expected = audit_analysis.label_success(audit)["share"].sel(label="green").isel(scorer=0)
    np.testing.assert_allclose(table["success"].isel(scorer=0), expected)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "label: an audit holds many"),
        ({"label": "grn"}, "label='grn': not in this audit; try 'green'"),
        ({"label": "sky", "arm": "tken"}, "arm='tken': not in this audit; try 'token'"),
    ],
)
def test_a_wrong_choice_is_named(audit: xr.DataTree, options: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        figures.trajectory(audit, **options)


def test_a_run_has_its_own_label() -> None:
    with pytest.raises(LabelError, match="this is a run of 'sky'"):
        figures.trajectory(synthetic_run(), label="red")


def test_no_model_library_is_needed() -> None:
    code = (
        "import sys\nfrom inversion_kit import figures\n"
        "from inversion_kit.analysis.projection import project\n"
        "from inversion_kit.testing import synthetic_audit\n"
        "tree = synthetic_audit(labels=2)\nfigures.success(tree)\n"
        "figures.projection(project(tree, method='pca'))\n"
        "print(*({'torch', 'diffusers', 'transformers', 'timm', 'umap'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    "draw",
    [figures.success, figures.semantic, figures.confusion,
     lambda tree: figures.strip(tree, label="sky")],
)  # fmt: skip
def test_without_plotly_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, audit: xr.DataTree, draw: Callable[[xr.DataTree], Any]
) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "plotly"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(InputError, match=r"plotly is missing: pip install 'inversion-kit\[noteb"):
        draw(audit)
