"""Intervals against scipy, against the same rows without their gaps, and by their coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from inversion_kit.analysis import intervals
from inversion_kit.analysis.over_runs import over_runs
from inversion_kit.wilson import wilson

BOOT = {"n_boot": 500, "seed": 0}


@pytest.mark.parametrize(("k", "n"), [(0, 6), (1, 6), (6, 6), (37, 64)])
def test_wilson_is_scipys(k: int, n: int) -> None:
    expected = binomtest(k, n).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson(k, n), (expected.low, expected.high), atol=1e-9)


def test_wilson_of_nothing_is_unknown() -> None:
    assert np.isnan(wilson(np.array([0, 3]), np.array([0, 3]))[0]).tolist() == [1, 0]


def test_newcombe_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    base = rng.random((2000, 1, 40))
    ours, theirs = base < 0.7, (base + 0.15 * rng.random(base.shape)) < 0.55
    truth = 0.7 - (0.55 - 0.075)
    sides = ((ours, theirs), (ours, ~theirs), (~ours, theirs), (~ours, ~theirs))
    counts = [(x & y).sum((1, 2)) for x, y in sides]
    low, high = intervals.newcombe(*counts)
    assert 0.93 <= ((low <= truth) & (truth <= high)).mean() <= 0.99


@pytest.mark.parametrize(("mean", "spread"), [(0.6, 0.1), (0.6, 0.2), (0.95, 0.1), (0.95, 0.2)])
def test_the_mean_over_runs_is_covered(mean: float, spread: float) -> None:
    """Three runs that differ: a bootstrap of three alone covers down to a quarter of the time."""
    rng = np.random.default_rng(4)
    total = mean * (1 - mean) / spread**2 - 1
    shares = rng.beta(mean * total, (1 - mean) * total, (400, 3, 1))
    hits = (rng.random((400, 3, 32)) < shares).astype(float)
    _, low, high = intervals.share(hits, **BOOT)
    assert ((low <= mean) & (mean <= high)).mean() > 0.92
    _, low, high = intervals.ratio(hits, np.ones_like(hits), **BOOT)
    assert ((low <= mean) & (mean <= high)).mean() > 0.92
    other = (rng.random((400, 3, 32)) < rng.permutation(shares)).astype(float)
    _, low, high = intervals.difference(hits, other, **BOOT)
    assert ((low <= 0) & (high >= 0)).mean() > 0.92


def test_one_run_says_nothing_of_other_runs() -> None:
    hits, images = np.array([[9, 0], [9, 9]]), np.array([[9, 0], [9, 9]])
    low, high = over_runs(hits, images)
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [True, False]
    low, high = over_runs(np.array([[3, 8], [8, 3]]), np.array([[9, 9], [9, 9]]))
    assert low[0] == low[1] < 11 / 18 < high[0] == high[1]


def test_labels_of_one_run_each_are_no_runs_of_each_other() -> None:
    """Two labels, one run: other noise alone. Two runs of each: four searches."""
    hits = np.ones((2, 1, 24))
    hits[0, 0, :3] = 0
    for pooled in (
        intervals.share(hits, pooled=True, **BOOT),
        intervals.difference(hits, np.zeros_like(hits), pooled=True, **BOOT),
    ):
        assert pooled[1] > 0.75
    twice = np.concatenate([hits, hits], axis=1)
    assert intervals.share(twice, pooled=True, **BOOT)[1] < 0.75


def test_many_runs_that_agree_are_worth_their_images() -> None:
    low, high = over_runs(np.full((1, 40), 16), np.full((1, 40), 32))
    np.testing.assert_allclose((low[0], high[0]), wilson(640, 1280), atol=0.005)


def with_gaps() -> tuple[np.ndarray, np.ndarray]:
    """A row with a whole seed missing, and the same row without that seed."""
    rng = np.random.default_rng(1)
    row = (rng.random((1, 3, 7)) < 0.4).astype(float)
    row[:, 1] = np.nan
    return row, row[:, [0, 2]]


def assert_same(one: intervals.Interval, other: intervals.Interval) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_missing_seed_is_as_if_it_were_not_there() -> None:
    gap, cut = with_gaps()
    assert_same(intervals.share(gap, **BOOT), intervals.share(cut, **BOOT))
    assert_same(
        intervals.difference(gap, 1 - gap, **BOOT), intervals.difference(cut, 1 - cut, **BOOT)
    )


def test_a_gap_at_one_end_is_at_that_end() -> None:
    row = np.random.default_rng(3).random((1, 3, 4)) < 0.5
    for missing in (0, 2):
        gap = row.astype(float)
        gap[:, missing] = np.nan
        cut = np.delete(gap, missing, axis=1)
        assert_same(intervals.share(gap, **BOOT), intervals.share(cut, **BOOT))


def test_a_pool_of_one_row_is_that_row() -> None:
    gap, _ = with_gaps()
    whole = np.where(np.isfinite(gap), 1.0, np.nan)
    alone = [v[0] for v in intervals.share(gap, **BOOT)]
    assert_same(intervals.ratio(gap, whole, pooled=True, **BOOT), alone)
    alone = [v[0] for v in intervals.difference(gap, 1 - gap, **BOOT)]
    assert_same(intervals.difference(gap, 1 - gap, pooled=True, **BOOT), alone)


def test_rows_do_not_depend_on_each_other() -> None:
    gap, _ = with_gaps()
    full = np.ones((1, 3, 7))
    together = intervals.share(np.concatenate([gap, full]), **BOOT)
    for i, row in enumerate((gap, full)):
        alone = [v[0] for v in intervals.share(row, **BOOT)]
        np.testing.assert_array_equal([v[i] for v in together], alone)


def test_many_rows_are_done_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (np.random.default_rng(2).random((9, 2, 5)) < 0.5).astype(float)
    whole = intervals.share(rows, **BOOT)
    monkeypatch.setattr(intervals, "_BLOCK", 1000)
    np.testing.assert_allclose(intervals.share(rows, **BOOT), whole)


def test_nothing_gives_nothing() -> None:
    nothing = np.full((2, 3, 4), np.nan)
    for found in (
        intervals.share(nothing, **BOOT),
        intervals.difference(nothing, nothing, **BOOT),
        intervals.ratio(nothing, nothing, **BOOT),
        intervals.ratio(np.zeros((2, 3, 4)), np.zeros((2, 3, 4)), **BOOT),
    ):
        assert np.isnan(found).all()
    assert intervals.share(np.ones((0, 3, 4)), **BOOT)[0].shape == (0,)


def test_resamples_draw_what_is_there() -> None:
    there = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], bool)
    drawn = intervals.resamples(there, n_boot=4000, seed=0)
    assert not drawn[:, ~there].any()
    per_seed = drawn.sum(2)
    assert set(per_seed[:, 0].tolist()) == {0, 3, 6}
    assert set(per_seed[:, 2].tolist()) == {0, 1, 2}
    np.testing.assert_allclose(per_seed.mean(0), [3, 0, 1], atol=0.1)


def test_a_ratio_is_of_the_images_that_count() -> None:
    whole = np.array([[[1, 1, 1, 0, 0, np.nan]]])
    part = np.array([[[1, 0, 0.5, 0, 0, 1]]])
    value, low, high = (float(v[0]) for v in intervals.ratio(part, whole, **BOOT))
    assert value == 0.5
    assert 0 <= low < 0.2
    assert 0.8 < high <= 1


def test_the_interval_widens_when_seeds_differ() -> None:
    even = np.tile(np.arange(16) < 8, (1, 2, 1)).astype(float)
    split = np.stack([np.ones((1, 16)), np.zeros((1, 16))], axis=1)
    ends = [intervals.share(rows, **BOOT) for rows in (even, split)]
    width = [float((high - low)[0]) for _, low, high in ends]
    assert 0.4 < width[0] < 0.5
    assert width[1] == 1


def test_the_mean_of_differences_of_one_run_is_students() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(1, 2, (4, 1, 12)), rng.normal(0, 1, (4, 1, 12))
    ours[1, 0, :5] = np.nan
    value, low, high = intervals.mean_difference(ours, theirs, **BOOT)
    for row in range(4):
        gaps = (ours - theirs)[row, 0]
        gaps = gaps[np.isfinite(gaps)]
        ends = ttest_1samp(gaps, 0).confidence_interval()
        assert value[row] == pytest.approx(gaps.mean())
        assert low[row] <= ends.low + 1e-9
        assert high[row] >= ends.high - 1e-9
        assert high[row] - low[row] < 1.2 * (ends.high - ends.low)


def test_of_one_pair_there_is_no_interval_and_of_none_no_value() -> None:
    ours = np.array([[[3.0, np.nan]], [[np.nan, np.nan]]])
    value, low, high = intervals.mean_difference(ours, np.ones_like(ours), **BOOT)
    np.testing.assert_array_equal(value, [2, np.nan])
    assert np.isnan([low, high]).all()


def test_the_mean_difference_over_runs_that_differ_is_covered() -> None:
    rng = np.random.default_rng(1)
    runs = rng.normal(0.3, 0.5, (300, 3, 1))
    ours = runs + rng.normal(0, 0.2, (300, 3, 16))
    _, low, high = intervals.mean_difference(ours, np.zeros_like(ours), **BOOT)
    assert 0.92 < ((low <= 0.3) & (high >= 0.3)).mean() <= 1
