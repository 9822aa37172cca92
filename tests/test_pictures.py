"""Searches and pictures of one label: what stands for the others, by hand; gaps; no pixel early."""

from __future__ import annotations

import numpy as np
import pytest

from inversion_kit import analysis
from inversion_kit.analysis.pictures import spread
from inversion_kit.analysis.search_path import segments
from inversion_kit.errors import InputError, LabelError
from inversion_kit.testing import synthetic
from tests.results import audit, counted, put


def test_trajectory_by_hand() -> None:
    tree = synthetic(seeds=1, checks=2, samples=2, classes=3)
    tree["validation"]["probability"].sel(arm="token").values[0, 0] = np.array(
        [[[0.5, 0.2, 0.3], [0.1, 0.4, 0.5]], [[0.1, 0.9, 0.0], [0.3, 0.7, 0.0]]], "f4"
    )
    tree["token"]["selected"].sel(arm="token").values[:] = 1
    path = analysis.trajectory(tree)
    assert path["step"].values.tolist() == [0, 12]
    for stem, target in (("", "target"), ("run_", "run")):
        one = path if not stem else path.isel(seed=0)
        np.testing.assert_allclose(one[target], [0.3, 0.8], atol=1e-6)
        np.testing.assert_allclose(one[f"{stem}tenth"], [0.22, 0.72], atol=1e-6)
        np.testing.assert_allclose(one[f"{stem}ninetieth"], [0.38, 0.88], atol=1e-6)
        assert one[f"{stem}runner_up"].values.tolist() == ["green", "orange"]
        np.testing.assert_allclose(one[f"{stem}runner_up_probability"], [0.4, 0.2], atol=1e-6)
    assert path["kept"].values.tolist() == [[False, True]]
    assert path["value"].item() == pytest.approx(0.8)
    assert path["low"] < 0.8 < path["high"]


def test_each_run_counts_from_its_start_and_its_padding_is_empty() -> None:
    path = analysis.trajectory(synthetic(steps=12, checks=4))
    assert path["run_step"].values.tolist() == [[0, 4, 4, 12], [0, 4, 8, -1]]
    last = path.isel(seed=1, check=3)
    assert last["start"] == last["run_runner_up"] == ""
    assert np.isnan([last["run"], last["run_tenth"], last["run_runner_up_probability"]]).all()
    assert not last["kept"]


def test_a_run_that_has_ended_counts_on_with_what_it_kept() -> None:
    path = analysis.trajectory(synthetic(steps=12, checks=4))
    assert path["ended"].values.tolist() == [0, 0, 0, 1]
    kept = path["run"].values[1, 2]
    np.testing.assert_allclose(path["target"][-1], (path["run"].values[0, 3] + kept) / 2)
    assert [(run, x.tolist()) for run, x, _, _ in segments(path)] == [
        (0, [0, 4]),
        (0, [4, 12]),
        (1, [0, 4, 8]),
    ]


def test_a_search_that_is_not_there_has_no_step() -> None:
    gone = synthetic(labels=2, missing=[("sky", "token", s) for s in (0, 1)])
    path = analysis.trajectory(gone, label="sky")
    assert path.sizes["step"] == 0
    assert np.isnan(path["value"])
    assert analysis.strip(gone, label="sky").sizes["column"] == 0
    assert analysis.nearest_words(gone, label="sky")["asked"].values.tolist() == [0, 0]


def test_one_label_of_many_has_to_be_named() -> None:
    tree = audit()
    for view in (analysis.trajectory, analysis.strip, analysis.grid, analysis.nearest_words):
        with pytest.raises(LabelError, match="there are 5; give one, such as label='sky'"):
            view(tree)
        with pytest.raises(LabelError, match="label='grene': not in this result; try 'green'"):
            view(tree, label="grene")
        assert view(tree, label="green").attrs["label_index"] == 2
        assert view(tree.sel(label="green")).identical(view(tree, label="green"))


@pytest.mark.parametrize(
    ("most", "kept", "expected"),
    [
        (9, None, [2, 4, 6, 8, 9]),
        (3, None, [2, 6, 9]),
        (3, 8, [2, 8, 9]),
        (2, 4, [2, 4]),
        (1, 6, [6]),
    ],
)
def test_checks_are_spread_and_the_kept_one_is_there(
    most: int, kept: int | None, expected: list[int]
) -> None:
    assert spread([2, 4, 6, 8, 9], most, kept).tolist() == expected


def test_strip_is_what_the_result_holds() -> None:
    tree = synthetic(seeds=[3, 5])
    validation = tree["validation"].sel(label="sky", arm="token", seed=5)
    shown = analysis.strip(tree, run_seed=5, samples=[4, 1], columns=None)
    assert shown["column"].values.tolist() == [0, 1, 2]
    assert (shown.attrs["seed"], shown.attrs["of_columns"], shown.attrs["of_samples"]) == (5, 3, 6)
    image = validation["image"].values
    np.testing.assert_array_equal(shown["image"].values[0], image[:3, 4])
    np.testing.assert_array_equal(shown["image"].values[1], image[:3, 1])
    probability = validation["probability"].values[:3]
    np.testing.assert_array_equal(shown["target"].values, probability[:, [4, 1], 1].T)
    np.testing.assert_allclose(shown["mean"], probability[..., 1].mean(1))
    assert shown["updates"].values.tolist() == [0, 4, 8]
    assert shown["kept"].values.tolist() == [False, False, True]
    assert (validation["noise_seed"].values[[4, 1]] == shown["noise_seed"].values.T).all()
    with pytest.raises(InputError, match=r"run_seed=4: this result holds \[3, 5\]"):
        analysis.strip(tree, run_seed=4)
    with pytest.raises(InputError, match="there are 6, from 0"):
        analysis.strip(tree, samples=[6])


def test_strip_of_training_images_has_a_column_an_update() -> None:
    tree = synthetic(steps=5)
    shown = analysis.strip(tree, group="trajectory", columns=None, samples=1)
    own = tree["trajectory"].sel(label="sky", arm="token").isel(seed=0, sample=0)
    assert shown["updates"].values.tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(shown["image"].values[0], own["image"].values)
    assert shown["prompt"].values[0].tolist() == own["prompt"].values.tolist()
    assert shown["noise_seed"].values[0].tolist() == own["noise_seed"].values.tolist()
    assert shown["restart"].values.sum() == 1
    assert not shown["kept"].any()


def test_grid_is_what_the_result_holds() -> None:
    tree = audit(labels=2, failed=[("green", "token", 1)], outcomes=("trick",))
    shown = analysis.grid(tree, label="green", every_run=True, columns=5)
    assert shown["run_seed"].values.tolist() == [0, 0, 0, 1, 1]
    assert shown["sample"].values.tolist() == [0, 1, 2, 0, 1]
    samples = tree["samples"].sel(label="green")
    for k, (run, sample) in enumerate(
        zip(shown["run_seed"].values, shown["sample"].values, strict=True)
    ):
        one = samples.sel(seed=run).isel(sample=sample)
        for name in ("image", "probability", "prompt", "noise_seed"):
            np.testing.assert_array_equal(shown[name].isel(noise=k), one[name])
    token = shown.sel(arm="token")
    assert token["gap"].values.tolist() == ["", "", "", "failed", "failed"]
    assert token["reason"].values[3] == "NumericalError: made up"
    assert token["read_as"].values.tolist() == ["green"] * 3 + [""] * 2
    assert token["hit"].values.tolist() == [True] * 3 + [False] * 2
    said = token["judge_read_as"].sel(judge="judge").values.tolist()
    assert "green" not in said[:3]
    assert said[3:] == [""] * 2
    assert token["views_agree"].values.tolist() == token["views_asked"].values.tolist()
    assert token["views_asked"].values.tolist() == [2, 2, 2, 0, 0]
    assert shown["judge_read_as"].sel(judge="judge", arm="name").values.tolist() == ["green"] * 5


def test_grid_takes_the_first_run_with_pictures_or_the_one_asked_for() -> None:
    tree = synthetic(missing=[("sky", "token", 0)], seeds=3)
    shown = analysis.grid(tree, arms=["token"], columns=2)
    assert shown["run_seed"].values.tolist() == [1, 1]
    assert analysis.grid(tree, run_seed=2)["run_seed"].values.tolist() == [2] * 6
    gap = analysis.grid(tree, arms=["token"], run_seed=0)
    assert set(gap["gap"].values.ravel()) == {"missing"}
    with pytest.raises(InputError, match=r"arms='shufled': not in this result"):
        analysis.grid(tree, arms=["shufled"])


def test_a_picture_without_a_softmax_says_that_its_unit_is_done() -> None:
    tree = audit(labels=2)
    put(tree["samples"]["probability"], {"token": [[[-1] * 6, [1] * 6]] * 2})
    shown = analysis.grid(tree, label="sky", run_seed=0).sel(arm="token")
    assert set(shown["gap"].values) == {"done"}


def test_words_are_sorted_and_counted() -> None:
    tree = synthetic()
    probe = tree["probe"]["log_probability"].sel(arm="token").values[0, 0]
    probe[:] = probe[::-1].copy()
    words = analysis.nearest_words(tree)
    assert words["asked"].values.tolist() == [5, 0]
    assert (np.diff(words["probe_log_probability"].values[0]) <= 0).all()
    best = tree["probe"]["word"].sel(arm="token").values[0, 0, probe.argmax()]
    assert words["probe_word"].values[0, 0] == best
    expected = tree["token"]["nearest_word"].sel(arm="token").values[0]
    np.testing.assert_array_equal(words["nearest_word"], expected)


def test_pictures_are_read_when_they_are_touched() -> None:
    tree, times = counted(audit(labels=2))
    shown = analysis.strip(tree, label="sky")
    grid = analysis.grid(tree, label="sky")
    assert not any(name.endswith("image") for name in times)
    assert shown["image"].values.any()
    assert grid["image"].values.any()
    assert times["validation/image"] == times["samples/image"] == 1
