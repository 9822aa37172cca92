"""Numbers of a result against hand-computed ones; gaps in none; labels that need a look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from inversion_kit import analysis
from inversion_kit.analysis import intervals, looks, reading
from inversion_kit.errors import InputError
from inversion_kit.testing import synthetic
from inversion_kit.wilson import wilson
from tests.results import AUDIT, OUTCOMES, audit, put, with_hits, with_reads

TOKEN = [[[1, 1, 1, 0], [1, 1, 0, 0]], [[2, 1, 1, 1], [-1, -1, -1, -1]]]
CONTROL = [[[1, 0, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 2], [0, 0, 0, 0]]]


@pytest.fixture
def hand() -> xr.DataTree:
    return with_reads({"token": TOKEN, "shuffled": CONTROL})


def test_reads_are_first_classes_with_gaps(hand: xr.DataTree) -> None:
    read = analysis.reads(hand)
    assert read["top"].sel(arm="token").values[0].tolist() == TOKEN
    assert read["role"].values.tolist() == ["audited", "classifier", "view", "view"]
    assert analysis.reads(read) is read


def test_reads_in_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = audit(outcomes=OUTCOMES, labels=7, failed=[("sky", "token", 0)])
    whole, alike = analysis.reads(tree), analysis.repeatability(tree)
    monkeypatch.setattr(reading, "_BLOCK", 1)
    assert analysis.reads(tree).identical(whole)
    assert analysis.repeatability(tree).identical(alike)


def test_success_by_hand(hand: xr.DataTree) -> None:
    table = analysis.success(hand).sel(arm="token").isel(scorer=0)
    assert table["share"].values.tolist() == [5 / 8, 1 / 4]
    assert table["images"].values.tolist() == [8, 4]
    assert table["seeds"].values.tolist() == [2, 1]
    assert table["seeds_holding"].values.tolist() == [2, 0]
    np.testing.assert_array_equal(table["per_seed"].values, [[0.75, 0.5], [0.25, np.nan]])
    low, high = wilson(1, 4)
    assert table["low"][1] <= low < 0.25
    assert table["high"][1] >= high
    strict = analysis.success(hand, threshold=0.75).sel(arm="token").isel(scorer=0)
    assert strict["seeds_holding"].values.tolist() == [1, 0]


def test_success_by_each_judge() -> None:
    hits = {"token": [[1, 1, 1, 0], [1, 1, 0, 0]]}
    table = analysis.success(with_hits(hits, {"token": [[0] * 4] * 2})).sel(arm="token")
    assert table["scorer"].values.tolist() == ["synthetic:classifier", "judge"]
    assert table["share"].values.tolist() == [[5 / 8, 0]]
    assert table["per_seed"].values.tolist() == [[[0.75, 0.5], [0, 0]]]


def test_all_hits_are_not_presented_as_certainty() -> None:
    table = analysis.success(with_hits({"token": [[1] * 10]})).sel(arm="token")
    assert table["share"].item() == table["high"].item() == 1
    np.testing.assert_allclose(table["low"], 0.7225, atol=1e-4)


def test_the_trained_classifier_is_told_apart() -> None:
    table = analysis.success(audit())
    assert (table["share"].sel(arm="shuffled").isel(scorer=0) == 0).all()
    assert (table["trained"].sel(arm="shuffled") == 1).all()
    assert np.isnan(table["trained"].sel(arm="name")).all()


def test_paired_effects_by_hand(hand: xr.DataTree) -> None:
    effects = analysis.paired_effects(hand).isel(scorer=0)
    assert effects.attrs["control"] == "shuffled"
    assert effects["difference"].values.tolist() == [4 / 8, 0]
    assert effects["pairs"].values.tolist() == [8, 4]
    assert float(effects["pooled_difference"]) == 4 / 12
    assert int(effects["pooled_pairs"]) == 12
    np.testing.assert_allclose(effects["per_seed"], [[1 / 2, 1 / 2], [0, np.nan]])
    assert effects["seeds"].values.tolist() == [2, 1]
    assert effects["seeds_holding"].values.tolist() == [2, 0]
    assert (effects["low"] < effects["difference"]).all()
    assert effects["low"][0] > -0.1  # two runs of four pairs
    assert effects["low"][1] < 0 < effects["high"][1]


def test_paired_effects_use_the_pairs() -> None:
    """The same shares; alike noise by noise they are told apart better than crosswise."""
    base, more = np.arange(40) < 20, np.arange(40) < 26
    alike, crossed = (
        analysis.paired_effects(with_hits({"token": [t.astype(int)], "start": [base.astype(int)]}))
        for t in (more, more[::-1])
    )
    assert alike.attrs["control"] == "start"
    assert alike["difference"].item() == crossed["difference"].item() == pytest.approx(0.15)
    assert alike["low"].item() > 0 > crossed["low"].item()


def test_full_difference_is_not_presented_as_certainty() -> None:
    """6 of 6 against 0 of 6: Wilson ends 0.6097 and 0.3903, so 1 - 0.3903 * sqrt(2) = 0.4480."""
    effects = analysis.paired_effects(with_hits({"token": [[1] * 6], "start": [[0] * 6]}))
    assert effects["difference"].item() == effects["high"].item() == 1
    np.testing.assert_allclose(effects["low"], 0.4480, atol=1e-4)


def test_two_results_are_compared_pair_by_pair_where_they_can_be() -> None:
    one, other = audit(labels=2), audit(labels=3, outcomes=("failure", "meaning"))
    change = analysis.compare(one, other)
    assert change["label"].values.tolist() == ["sky", "green"]
    assert change["difference"].values.tolist() == [-1, 0]
    assert change["paired"].all()
    assert (change["high"] < 0).values.tolist() == [True, False]
    elsewhere = analysis.compare(one, audit(labels=2, seeds=[7, 8]))
    assert not elsewhere["paired"].any()
    assert np.isnan(elsewhere["low"]).all()
    gap = analysis.compare(one, audit(labels=2, missing=[("sky", "token", s) for s in (0, 1)]))
    assert np.isnan(gap["difference"]).values.tolist() == [True, False]


def test_a_gap_is_as_if_the_unit_had_not_been_asked_for() -> None:
    """All numbers of the other labels and runs stay when a label is missing."""
    full = audit(outcomes=OUTCOMES)
    gap = audit(outcomes=OUTCOMES, missing=[("green", a, s) for a in AUDIT for s in (0, 1)])
    for count in (
        analysis.success,
        analysis.paired_effects,
        analysis.semantic_index,
        analysis.confusion,
        analysis.confusion_difference,
        analysis.read_as,
    ):
        kept = [count(tree).drop_sel(label="green") for tree in (full, gap)]
        lost = count(gap).sel(label="green")
        for name in kept[0]:
            if "label" in kept[0][name].dims:
                xr.testing.assert_equal(kept[0][name], kept[1][name])
                if lost[name].dtype.kind == "f":
                    assert np.isnan(lost[name]).all(), (count.__name__, name)
    overall, expected = (
        analysis.overall_success(read).sel(arm="token").isel(scorer=0)
        for read in (analysis.reads(gap), analysis.reads(full).drop_sel(label="green"))
    )
    xr.testing.assert_equal(overall, expected)


def test_semantic_index_by_hand() -> None:
    tree = with_reads({"token": TOKEN}, judges=("a", "b"), views=("jpeg",))
    judged = tree["samples"]["judge_probability"]
    agree = {"token": [[[1, 0, 0, 1], [0, 1, 1, 1]], [[2, 2, 2, 2], [2, 2, 2, 2]]]}
    never = {"token": [[[0] * 4] * 2] * 2}
    for judge, said in enumerate((agree, never, never)):
        put(judged.isel(judge=judge), said)
    index = analysis.semantic_index(tree)
    # Label 1 is read so in images 0, 1, 2 of run 0 and 0, 1 of run 1; "a" confirms one of each.
    assert index["images"].values.tolist() == [5, 1]
    assert index["per_judge"].values.tolist() == [[2 / 5, 0], [1, 0]]
    alone = intervals.ratio(np.array([[1.0, 0, 0], [0, 1, 0]]), np.array([[1, 1, 1], [1, 1, 0]]))
    ends = [index[f"per_judge_{end}"].values[0, 0] for end in ("low", "high")]
    np.testing.assert_allclose(ends, alone[1:])
    np.testing.assert_allclose(index["index"], [1 / 5, 1 / 2])
    np.testing.assert_allclose(index["overall_index"], 1.5 / 6)
    assert int(index["overall_images"]) == 6
    assert index["judge"].values.tolist() == ["a", "b"]
    np.testing.assert_allclose(index["per_seed"], [[1 / 6, 1 / 4], [1 / 2, np.nan]])
    assert index["seeds"].values.tolist() == [2, 1]
    assert index["seeds_holding"].values.tolist() == [0, 1]
    views = analysis.view_index(tree)
    assert views["index"].values.tolist() == [0, 0]
    assert views["judge"].values.tolist() == ["jpeg"]


def test_a_judge_that_gave_nothing_is_left_out() -> None:
    tree = with_reads({"token": TOKEN}, judges=("a", "b"), views=())
    judged = tree["samples"]["judge_probability"]
    put(judged.isel(judge=0), {"token": TOKEN})
    put(judged.isel(judge=1), {"token": [[[-1] * 4] * 2] * 2})
    assert analysis.semantic_index(tree)["index"].values.tolist() == [1, 1]


@pytest.mark.parametrize("options", [{"judges": ()}, {"outcomes": ("failure",)}])
def test_no_judge_or_no_success_is_no_index(options: dict[str, Any]) -> None:
    index = analysis.semantic_index(audit(**options))
    for name in ("index", "low", "per_judge", "overall_index"):
        assert np.isnan(index[name]).all()


def test_confusion_by_hand(hand: xr.DataTree) -> None:
    table = analysis.confusion(hand)
    assert table["share"].values.tolist() == [[3 / 8, 5 / 8, 0, 0], [0, 3 / 4, 1 / 4, 0]]
    assert table["images"].values.tolist() == [8, 4]
    assert table["seeds"].values.tolist() == [[2, 2, 0, 0], [0, 1, 1, 0]]
    assert table["runs"].values.tolist() == [2, 1]
    change = analysis.confusion_difference(hand, "token", "shuffled")
    np.testing.assert_allclose(change["difference"], [[-4 / 8, 4 / 8, 0, 0], [-3 / 4, 3 / 4, 0, 0]])
    assert change["pairs"].values.tolist() == [8, 4]
    most = analysis.read_as(hand, most=3)
    assert most["of_class"].values.tolist() == [["sky", "orange", ""], ["sky", "green", ""]]
    assert most["own"].values.tolist() == [[True, False, False], [False, True, False]]
    assert most["share"].values[:, :2].tolist() == [[5 / 8, 3 / 8], [3 / 4, 1 / 4]]


def test_a_difference_is_over_the_noises_that_both_have() -> None:
    gap = [[[1, 0, -1, -1], [-1] * 4], [[0] * 4, [0] * 4]]
    tree = with_reads({"token": TOKEN, "shuffled": gap})
    change = analysis.confusion_difference(tree, "token", "shuffled").isel(label=0)
    assert change["difference"].values.tolist() == [-1 / 2, 1 / 2, 0, 0]
    assert int(change["pairs"]) == 2


def test_repeatability_by_hand() -> None:
    tree = audit(labels=2)
    embedding = tree["token"]["embedding"].values
    embedding[:] = np.nan
    directions = np.zeros((2, 2, embedding.shape[-1]))
    directions[0, :, 0] = [1, 3]
    directions[1, 0, :2] = [3, 4]
    directions[1, 1, 1] = 2
    tree["token"]["selected"].values[:, 2] = 1
    embedding[:, 2, :, 1, 0] = directions
    same = analysis.repeatability(tree)
    np.testing.assert_allclose(same["cosine"], [1, 0.8])
    # Each label's runs against the other label's other runs: 1-0: (1,0).(0,1) and (1,0).(0.6,0.8).
    np.testing.assert_allclose(same["control"], [0.3, 0.3])
    np.testing.assert_allclose(same["overall_gain"], 0.6)
    assert same["runs"].values.tolist() == [2, 2]


def test_lowest_and_highest_pair() -> None:
    same = analysis.repeatability(audit(seeds=3, missing=[("sky", "token", 2)]))
    apart = (same["highest"] - same["lowest"]).values
    assert apart[0] == 0
    assert (apart[1:] > 0).all()
    assert ((same["lowest"] <= same["cosine"]) & (same["cosine"] <= same["highest"])).all()
    assert same["runs"].values.tolist() == [2, 3, 3, 3, 3]


def test_overlap_is_of_other_runs() -> None:
    """Images of run 1 of the first label lie where the second label's do in run 0."""
    tree = audit(labels=2, samples=2)
    feature = tree["samples"]["feature"].values
    feature[:] = 0
    feature[0, 2, 0, :, 0] = 10
    feature[0, 2, 1, :, 1] = 10
    feature[1, 2, :, :, 1] = 9
    same = analysis.repeatability(tree)
    assert same["overlap"].values.tolist() == [0, 1]
    assert same["images"].values.tolist() == [4, 4]
    assert float(same["overall_overlap"]) == 0.5


@pytest.mark.parametrize("options", [{"seeds": 1}, {"missing": [("sky", "token", 0)]}])
def test_one_run_has_nothing_to_repeat(options: dict[str, Any]) -> None:
    same = analysis.repeatability(audit(**options))
    for name in ("cosine", "lowest", "overlap"):
        assert np.isnan(same[name].values[0])
    assert same["images"].values[0] == 0


def test_overlap_without_features_is_unknown() -> None:
    tree = audit()
    tree["samples"] = xr.DataTree(tree["samples"].to_dataset().drop_vars("feature"))
    same = analysis.repeatability(tree)
    assert np.isnan(same["overall_overlap"])
    assert np.isfinite(same["overall_cosine"])


def kinds(tree: xr.DataTree) -> dict[str, list[str]]:
    listed: dict[str, list[str]] = {}
    for item in analysis.attention(tree):
        listed.setdefault(item.kind, []).append(item.label)
    return listed


def test_attention_names_each_outcome() -> None:
    tree = audit(outcomes=OUTCOMES, labels=4, samples=24, failed=[("sky", "shuffled", 0)])
    assert kinds(tree) == {
        "never reached": ["yellow"],
        "trick": ["green"],
        "mixed up": ["blue"],
        "failed units": ["sky"],
    }
    said = {(a.label, a.kind): a.reason for a in analysis.attention(tree)}
    assert "“red”" in said["blue", "mixed up"]
    assert "none of 48 images of 2 runs" in said["yellow", "never reached"]
    assert "“orange”" in said["yellow", "never reached"]
    assert said["sky", "failed units"].endswith("NumericalError: made up")


def test_attention_says_nothing_of_what_is_well() -> None:
    assert analysis.attention(audit()) == analysis.attention(synthetic()) == []
    assert analysis.attention(audit(arms=("name", "token"))) == []


def test_a_few_images_make_no_trick() -> None:
    tree = with_reads({"token": [[[1, 0, 0, 0]], [[2, 2, 2, 2]]]}, outcomes=("trick",))
    assert kinds(tree).get("trick") == ["green"]


def test_seeds_that_differ_beyond_noise() -> None:
    apart = with_reads({"token": [[[1] * 12, [0] * 12], [[2] * 12, [2] * 12]]})
    assert kinds(apart)["seeds differ"] == ["sky"]
    near = with_reads({"token": [[[1] * 7 + [0] * 5, [1] * 5 + [0] * 7], [[2] * 12, [2] * 12]]})
    assert "seeds differ" not in kinds(near)


@pytest.mark.parametrize(
    ("control", "words"), [("shuffled", "shuffled weights"), ("start", "the start")]
)
def test_a_token_no_better_than_its_control(control: str, words: str) -> None:
    half = [[[1, 0] * 6] * 2, [[2] * 12] * 2]
    tree = with_reads({"token": half, control: [half[0], [[0] * 12] * 2]}, arms=("token", control))
    assert kinds(tree)["no better than control"] == ["sky"]
    assert words in analysis.attention(tree)[0].reason


def test_an_interval_that_holds_0_is_no_proof_that_there_is_no_gain() -> None:
    """10 of 16 against 6 of 16: the gain may be none, it may be more than half."""
    token = [[[1] * 10 + [0] * 6], [[2] * 16]]
    control = [[[0] * 5 + [1] * 5 + [1] + [0] * 5], [[0] * 16]]
    tree = with_reads({"token": token, "shuffled": control})
    gain = analysis.paired_effects(tree).isel(scorer=0, label=0)
    assert float(gain["low"]) <= 0 < looks.CONTROL_MARGIN < float(gain["high"])
    assert kinds(tree) == {"not told apart from control": ["sky"]}
    assert analysis.attention(tree)[0].reason.endswith("does not show that there is one")
    assert analysis.numbers(tree)["labels"][0]["verdict"] == "open"


def test_high_success_that_the_control_may_share_is_not_confirmed() -> None:
    token, control = [[[1] * 16], [[2] * 16]], [[[1] * 15 + [0]], [[0] * 16]]
    rows = analysis.numbers(with_reads({"token": token, "shuffled": control}))["labels"]
    assert rows[0]["success"]["low"] > 0.5
    assert [row["verdict"] for row in rows] == ["open", "confirmed"]


def test_crossed_by_hand() -> None:
    tree = audit(labels=2, classes=4, checks=3)
    validation = tree["validation"]["probability"]
    path = [[[3, 3, 1], [0, 1, -1]], [[2, 2, 2], [2, 0, 0]]]
    for sample in range(validation.sizes["sample"]):
        put(validation.isel(sample=sample), {"token": path})
    table = analysis.crossed(tree)
    assert table["top"].values.tolist() == path
    assert table["seeds"].values.tolist() == [[1, 2, 0, 1], [1, 0, 2, 0]]
    np.testing.assert_allclose(table["share"][0], [1 / 5, 2 / 5, 0, 2 / 5])
    assert table["runs"].values.tolist() == [2, 2]


def test_crossed_is_by_the_mean_probability() -> None:
    tree = audit(labels=2, samples=3)
    validation = tree["validation"]["probability"].sel(arm="token").values
    validation[:] = 0
    validation[..., 0, 2] = 1  # one noise is sure of class 2, the others lean to class 1
    validation[..., 1:, 1] = 0.45
    assert (analysis.crossed(tree)["top"] == 2).all()


def test_never_reached_is_told_from_never_tried() -> None:
    gone = [("blue", "token", 0), ("blue", "token", 1), ("green", "token", 0)]
    tree = audit(outcomes=("meaning", "failure"), samples=24, missing=gone)
    assert kinds(tree) == {"never reached": ["green"]}
    assert analysis.never_reached(tree) == ["green"]
    assert analysis.never_reached(tree, "name") == []


def test_a_few_misses_are_not_never() -> None:
    few = with_reads({"token": [[[0, 3, 2]], [[2] * 3]]})
    assert "never reached" not in kinds(few)
    assert analysis.numbers(few)["labels"][0]["verdict"] == "open"
    assert kinds(with_reads({"token": [[[0] * 8], [[2] * 8]]}))["never reached"] == ["sky"]


def test_views_that_disagree() -> None:
    tree = audit(labels=2, samples=24, judges=())
    for view in range(2):
        put(tree["samples"]["judge_probability"].isel(judge=view), {"token": [[[0] * 24] * 2] * 2})
    assert kinds(tree) == {"views disagree": ["sky", "green"]}


@pytest.mark.parametrize(
    "count",
    [
        analysis.confusion,
        analysis.read_as,
        analysis.semantic_index,
        analysis.repeatability,
        analysis.attention,
        analysis.sentences,
    ],
)
def test_an_unknown_arm_is_named(count: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match=r"arm='tokn': not in this result; try 'token'"):
        count(audit(), "tokn")


def test_an_unknown_or_missing_control_is_named() -> None:
    with pytest.raises(InputError, match=r"control='strat'.*'start'"):
        analysis.paired_effects(synthetic(), "token", "strat")
    for count in (analysis.paired_effects, analysis.confusion_difference):
        with pytest.raises(InputError, match="control: nothing to compare 'token' with"):
            count(synthetic(arms=("token",)))


def test_bootstraps_are_seeded() -> None:
    tree = audit(outcomes=OUTCOMES)
    first, again, other = (analysis.success(tree, seed=s) for s in (0, 0, 1))
    assert first.identical(again)
    assert first.attrs != other.attrs
