"""Numbers of an audit against hand-computed ones; gaps in none; sentences that claim no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from inversion_kit import schema
from inversion_kit.analysis import audit_reads, intervals
from inversion_kit.analysis import audits as audit_analysis
from inversion_kit.errors import InputError
from inversion_kit.reports.audit_table import numbers
from inversion_kit.testing import synthetic_audit

ALL = ("meaning", "trick", "failure", "mixed")


def with_reads(top: dict[str, list[list[list[int]]]], **options: Any) -> xr.DataTree:
    """An audit of two labels (classes 1, 2) where arms' images are read as ``top`` says.

    ``top`` maps an arm to places of classes ``(label, seed, sample)``, -1 for a gap.
    """
    shape = np.shape(next(iter(top.values())))
    tree = synthetic_audit(labels=shape[0], seeds=shape[1], samples=shape[2], **options)
    put(tree["samples"]["probability"], top)
    return tree


def put(variable: xr.DataArray, top: dict[str, list[list[list[int]]]]) -> None:
    arms = variable["arm"].values.tolist()
    for arm, places in top.items():
        where = np.array(places)
        value = np.eye(variable.sizes["class"], dtype="f4")[where]
        value[where < 0] = np.nan
        variable.values[:, arms.index(arm)] = value


TOKEN = [[[1, 1, 1, 0], [1, 1, 0, 0]], [[2, 1, 1, 1], [-1, -1, -1, -1]]]
CONTROL = [[[1, 0, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 2], [0, 0, 0, 0]]]


def hand() -> xr.DataTree:
    return with_reads({"token": TOKEN, "shuffled": CONTROL})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"labels": 1, "seeds": 1, "samples": 1, "steps": 1, "checks": 2, "size": 2},
        {"judges": (), "views": ()},
        {"outcomes": ALL, "labels": 9, "seeds": 3},
        {"failed": [("sky", "token", 1)], "missing": [("sky", "name", 0)]},
        {"arms": ("token",), "names": [f"<b>{i}</b>" for i in range(7)]},
    ],
)
def test_synthetic_audits_are_valid_and_seeded(options: dict[str, Any]) -> None:
    tree = synthetic_audit(**options)
    assert schema.validate(tree) is tree
    assert tree.identical(synthetic_audit(**options))
    assert not tree.equals(synthetic_audit(**{**options, "seed": 5}))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"checks": 1}, "checks=1: must be at least 2"),
        ({"outcomes": ("luck",)}, "'luck': must be one of 'meaning'"),
        ({"names": ["a", "b"]}, "must be 7 different ones"),
    ],
)
def test_synthetic_audit_refuses(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        synthetic_audit(**options)


def test_arms_share_noise_and_gaps_are_fill() -> None:
    tree = synthetic_audit(failed=[("sky", "token", 1)])
    noise = tree["samples"]["noise_seed"].values
    assert (noise[1:] == noise[1, 0]).all()
    assert (noise[0, 2, 1] == -1).all()
    assert np.isnan(tree["trajectory"]["loss"].sel(arm="name").values).all()
    assert np.isnan(tree["samples"]["trained_probability"].sel(arm="name").values).all()


def test_reads_are_first_classes_with_gaps() -> None:
    read = audit_analysis.reads(hand())
    assert read["top"].sel(arm="token").values[0].tolist() == TOKEN
    assert read["role"].values.tolist() == ["audited", "classifier", "view", "view"]
    assert audit_analysis.reads(read) is read


def test_reads_in_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = synthetic_audit(outcomes=ALL, labels=7, failed=[("sky", "token", 0)])
    whole, crossed = audit_analysis.reads(tree), audit_analysis.crossed(tree)
    monkeypatch.setattr(audit_reads, "_BLOCK", 1)
    assert audit_analysis.reads(tree).identical(whole)
    assert audit_analysis.crossed(tree).identical(crossed)


def test_success_by_hand() -> None:
    table = audit_analysis.label_success(hand()).sel(arm="token").isel(scorer=0)
    assert table["share"].values.tolist() == [5 / 8, 1 / 4]
    assert table["images"].values.tolist() == [8, 4]
    assert table["seeds"].values.tolist() == [2, 1]
    assert table["seeds_holding"].values.tolist() == [2, 0]
    np.testing.assert_array_equal(table["per_seed"].values, [[0.75, 0.5], [0.25, np.nan]])
    low, high = intervals.wilson(1, 4)
    assert table["low"][1] <= low < 0.25
    assert table["high"][1] >= high


def test_threshold_of_holding() -> None:
    table = audit_analysis.label_success(hand(), threshold=0.75).sel(arm="token").isel(scorer=0)
    assert table["seeds_holding"].values.tolist() == [1, 0]


def test_the_trained_classifier_is_told_apart() -> None:
    table = audit_analysis.label_success(synthetic_audit())
    assert (table["share"].sel(arm="shuffled").isel(scorer=0) == 0).all()
    assert (table["trained"].sel(arm="shuffled") == 1).all()
    assert np.isnan(table["trained"].sel(arm="name")).all()


def test_paired_effects_by_hand() -> None:
    effects = audit_analysis.paired_effects(hand()).isel(scorer=0)
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


def test_a_gap_is_as_if_the_unit_had_not_been_asked_for() -> None:
    """All numbers of the other labels and runs stay when a label is missing."""
    full = synthetic_audit(outcomes=ALL, labels=6)
    gap = synthetic_audit(
        outcomes=ALL, labels=6, missing=[("green", a, s) for a in ("name", "token+name", "token",
                                                                   "shuffled") for s in (0, 1)]
    )  # fmt: skip
    for count in (
        audit_analysis.label_success, audit_analysis.paired_effects, audit_analysis.semantic_index,
        audit_analysis.confusion, audit_analysis.confusion_difference, audit_analysis.crossed,
    ):  # fmt: skip
        kept = [t.drop_sel(label="green") for t in (count(full), count(gap))]
        for name in kept[0]:
            if "label" in kept[0][name].dims:
                xr.testing.assert_equal(kept[0][name], kept[1][name])
        lost = count(gap).sel(label="green")
        for name in lost:
            if lost[name].dtype.kind == "f" and "label" in count(gap)[name].dims:
                assert np.isnan(lost[name]).all(), (count.__name__, name)
    overall = audit_analysis.overall_success(gap).sel(arm="token").isel(scorer=0)
    expected = audit_analysis.overall_success(
        audit_analysis.reads(full).drop_sel(label="green")
    ).sel(arm="token").isel(scorer=0)  # fmt: skip
    xr.testing.assert_equal(overall, expected)


def test_semantic_index_by_hand() -> None:
    tree = with_reads({"token": TOKEN}, judges=("a", "b"), views=("jpeg",))
    judged = tree["samples"]["judge_probability"]
    agree = {"token": [[[1, 0, 0, 1], [0, 1, 1, 1]], [[2, 2, 2, 2], [2, 2, 2, 2]]]}
    never = {"token": [[[0] * 4] * 2] * 2}
    for judge, said in enumerate((agree, never, never)):
        put(judged.isel(judge=judge), said)
    index = audit_analysis.semantic_index(tree)
    # Label 1 is read so in images 0, 1, 2 of run 0 and 0, 1 of run 1; "a" confirms one of each.
    assert index["images"].values.tolist() == [5, 1]
    assert index["per_judge"].values.tolist() == [[2 / 5, 0], [1, 0]]
    np.testing.assert_allclose(index["index"], [1 / 5, 1 / 2])
    np.testing.assert_allclose(index["adversarial"], [4 / 5, 1 / 2])
    np.testing.assert_allclose(index["overall_index"], 1.5 / 6)
    assert int(index["overall_images"]) == 6
    assert index["judge"].values.tolist() == ["a", "b"]
    np.testing.assert_allclose(index["per_seed"], [[1 / 6, 1 / 4], [1 / 2, np.nan]])
    assert index["seeds"].values.tolist() == [2, 1]
    assert index["seeds_holding"].values.tolist() == [0, 1]
    views = audit_analysis.view_index(tree)
    assert views["index"].values.tolist() == [0, 0]
    assert views["judge"].values.tolist() == ["jpeg"]


def test_a_judge_that_gave_nothing_is_left_out() -> None:
    tree = with_reads({"token": TOKEN}, judges=("a", "b"), views=())
    judged = tree["samples"]["judge_probability"]
    put(judged.isel(judge=0), {"token": TOKEN})
    put(judged.isel(judge=1), {"token": [[[-1] * 4] * 2] * 2})
    assert audit_analysis.semantic_index(tree)["index"].values.tolist() == [1, 1]


@pytest.mark.parametrize("options", [{"judges": ()}, {"outcomes": ("failure",)}])
def test_no_judge_or_no_success_is_no_index(options: dict[str, Any]) -> None:
    index = audit_analysis.semantic_index(synthetic_audit(**options))
    assert np.isnan(index["index"]).all()
    assert np.isnan(index["overall_index"])
    assert np.isnan(index["low"]).all()


def test_confusion_by_hand() -> None:
    table = audit_analysis.confusion(hand())
    assert table["share"].values.tolist() == [[3 / 8, 5 / 8, 0, 0], [0, 3 / 4, 1 / 4, 0]]
    assert table["images"].values.tolist() == [8, 4]
    assert table["seeds"].values.tolist() == [[2, 2, 0, 0], [0, 1, 1, 0]]
    assert table["runs"].values.tolist() == [2, 1]
    change = audit_analysis.confusion_difference(hand(), "token", "shuffled")
    np.testing.assert_allclose(change["difference"], [[-4 / 8, 4 / 8, 0, 0], [-3 / 4, 3 / 4, 0, 0]])
    assert change["pairs"].values.tolist() == [8, 4]


def test_a_difference_is_over_the_noises_that_both_have() -> None:
    gap = [[[1, 0, -1, -1], [-1] * 4], [[0] * 4, [0] * 4]]
    tree = with_reads({"token": TOKEN, "shuffled": gap})
    change = audit_analysis.confusion_difference(tree, "token", "shuffled").isel(label=0)
    assert change["difference"].values.tolist() == [-1 / 2, 1 / 2, 0, 0]
    assert int(change["pairs"]) == 2


def test_crossed_by_hand() -> None:
    tree = synthetic_audit(labels=2, seeds=2, checks=3)
    validation = tree["validation"]["probability"]
    path = [[[3, 3, 1], [0, 1, -1]], [[2, 2, 2], [2, 0, 0]]]
    for sample in range(validation.sizes["sample"]):
        put(validation.isel(sample=sample), {"token": path})
    table = audit_analysis.crossed(tree)
    assert table["top"].values.tolist() == path
    assert table["seeds"].values.tolist() == [[1, 2, 0, 1], [1, 0, 2, 0]]
    np.testing.assert_allclose(table["share"][0], [1 / 5, 2 / 5, 0, 2 / 5])
    assert table["runs"].values.tolist() == [2, 2]


def test_crossed_is_by_the_mean_probability() -> None:
    tree = synthetic_audit(labels=2, samples=3)
    validation = tree["validation"]["probability"].sel(arm="token").values
    validation[:] = 0
    validation[..., 0, 2] = 1  # one noise is sure of class 2, the others lean to class 1
    validation[..., 1:, 1] = 0.45
    assert (audit_analysis.crossed(tree)["top"] == 2).all()


def test_never_reached_is_told_from_never_tried() -> None:
    tree = synthetic_audit(
        outcomes=("meaning", "failure"),
        missing=[("blue", "token", 0), ("blue", "token", 1), ("green", "token", 0)],
    )
    assert audit_analysis.never_reached(tree) == ["green"]
    assert audit_analysis.never_reached(tree, "name") == []


def test_repeatability_by_hand() -> None:
    tree = synthetic_audit(labels=2, seeds=2)
    embedding = tree["token"]["embedding"].values
    embedding[:] = np.nan
    directions = np.zeros((2, 2, embedding.shape[-1]))
    directions[0, :, 0] = [1, 3]
    directions[1, 0, :2] = [3, 4]
    directions[1, 1, 1] = 2
    kept = tree["token"]["selected"].values[:, 2]
    kept[:] = 1
    embedding[:, 2, :, 1, 0] = directions
    found = audit_analysis.repeatability(tree)
    np.testing.assert_allclose(found["cosine"], [1, 0.8])
    # Each label's runs against the other label's other runs: 1-0: (1,0).(0,1) and (1,0).(0.6,0.8).
    np.testing.assert_allclose(found["control"], [0.3, 0.3])
    np.testing.assert_allclose(found["overall_gain"], 0.6)
    assert found["runs"].values.tolist() == [2, 2]


def test_lowest_and_highest_pair() -> None:
    found = audit_analysis.repeatability(synthetic_audit(seeds=3, missing=[("sky", "token", 2)]))
    spread = (found["highest"] - found["lowest"]).values
    assert spread[0] == 0
    assert (spread[1:] > 0).all()
    assert ((found["lowest"] <= found["cosine"]) & (found["cosine"] <= found["highest"])).all()
    assert found["runs"].values.tolist() == [2, 3, 3, 3, 3]


def test_overlap_is_of_other_runs() -> None:
    """Images of run 1 of the first label lie where the second label's do in run 0."""
    tree = synthetic_audit(labels=2, seeds=2, samples=2)
    feature = tree["samples"]["feature"].values
    feature[:] = 0
    feature[0, 2, 0, :, 0] = 10
    feature[0, 2, 1, :, 1] = 10
    feature[1, 2, :, :, 1] = 9
    found = audit_analysis.repeatability(tree)
    assert found["overlap"].values.tolist() == [0, 1]
    assert found["images"].values.tolist() == [4, 4]
    assert float(found["overall_overlap"]) == 0.5


@pytest.mark.parametrize("options", [{"seeds": 1}, {"missing": [("sky", "token", 0)]}])
def test_one_run_has_nothing_to_repeat(options: dict[str, Any]) -> None:
    found = audit_analysis.repeatability(synthetic_audit(**options))
    for name in ("cosine", "lowest", "overlap"):
        assert np.isnan(found[name].values[0])
    assert found["images"].values[0] == 0


def test_overlap_without_features_is_unknown() -> None:
    tree = synthetic_audit()
    tree["samples"] = xr.DataTree(tree["samples"].to_dataset().drop_vars("feature"))
    found = audit_analysis.repeatability(tree)
    assert np.isnan(found["overall_overlap"])
    assert np.isfinite(found["overall_cosine"])


def kinds(tree: xr.DataTree) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in audit_analysis.attention(tree):
        found.setdefault(item.kind, []).append(item.label)
    return found


def test_attention_names_each_outcome() -> None:
    tree = synthetic_audit(outcomes=ALL, samples=24, failed=[("sky", "shuffled", 0)])
    assert kinds(tree) == {
        "never reached": ["yellow"],
        "trick": ["green"],
        "mixed up": ["blue"],
        "failed units": ["sky"],
    }
    said = {(a.label, a.kind): a.reason for a in audit_analysis.attention(tree)}
    assert "“red”" in said["blue", "mixed up"]
    assert "none of 48 images of 2 runs" in said["yellow", "never reached"]
    assert "“orange”" in said["yellow", "never reached"]
    assert said["sky", "failed units"].endswith("NumericalError: made up")


def test_attention_says_nothing_of_what_is_well() -> None:
    assert audit_analysis.attention(synthetic_audit()) == []


def test_a_few_images_make_no_trick() -> None:
    tree = with_reads({"token": [[[1, 0, 0, 0]], [[2, 2, 2, 2]]]}, outcomes=("trick",))
    assert kinds(tree).get("trick") == ["green"]


def test_seeds_that_differ_beyond_noise() -> None:
    apart = with_reads({"token": [[[1] * 12, [0] * 12], [[2] * 12, [2] * 12]]})
    assert kinds(apart)["seeds differ"] == ["sky"]
    near = with_reads({"token": [[[1] * 7 + [0] * 5, [1] * 5 + [0] * 7], [[2] * 12, [2] * 12]]})
    assert "seeds differ" not in kinds(near)


def test_a_token_no_better_than_its_control() -> None:
    half = [[[1, 0] * 6] * 2, [[2] * 12] * 2]
    same = with_reads({"token": half, "shuffled": [half[0], [[0] * 12] * 2]})
    assert kinds(same)["no better than control"] == ["sky"]
    without = synthetic_audit(arms=("name", "token"))
    assert audit_analysis.attention(without) == []


def test_an_interval_that_holds_0_is_no_proof_that_there_is_no_gain() -> None:
    """10 of 16 against 6 of 16: the gain may be none, it may be more than half."""
    token = [[[1] * 10 + [0] * 6], [[2] * 16]]
    control = [[[0] * 5 + [1] * 5 + [1] + [0] * 5], [[0] * 16]]
    tree = with_reads({"token": token, "shuffled": control})
    gain = audit_analysis.paired_effects(tree).isel(scorer=0, label=0)
    assert float(gain["low"]) <= 0 < audit_analysis.CONTROL_MARGIN < float(gain["high"])
    assert kinds(tree) == {"not told apart from control": ["sky"]}
    row = numbers(tree)["labels"][0]
    assert row["verdict"] == "open"
    said = audit_analysis.attention(tree)[0].reason
    assert said.endswith("does not show that there is one")


def test_high_success_that_the_control_may_share_is_not_confirmed() -> None:
    token, control = [[[1] * 16], [[2] * 16]], [[[1] * 15 + [0]], [[0] * 16]]
    tree = with_reads({"token": token, "shuffled": control})
    assert numbers(tree)["labels"][0]["success"]["low"] > 0.5
    assert [row["verdict"] for row in numbers(tree)["labels"]] == ["open", "confirmed"]


def test_a_few_misses_are_not_never() -> None:
    few = with_reads({"token": [[[0, 3, 2]], [[2] * 3]]})
    assert audit_analysis.never_reached(few) == ["sky"]
    assert "never reached" not in kinds(few)
    assert numbers(few)["labels"][0]["verdict"] == "open"
    assert kinds(with_reads({"token": [[[0] * 8], [[2] * 8]]}))["never reached"] == ["sky"]


def test_views_that_disagree() -> None:
    tree = synthetic_audit(samples=24, judges=())
    put(tree["samples"]["judge_probability"].isel(judge=0), {"token": [[[0] * 24] * 2] * 5})
    put(tree["samples"]["judge_probability"].isel(judge=1), {"token": [[[0] * 24] * 2] * 5})
    assert kinds(tree) == {"views disagree": ["sky", "green", "yellow", "blue", "red"]}


SENTENCES: list[tuple[Callable[[], xr.DataTree], list[str], list[str]]] = [
    (
        lambda: synthetic_audit(samples=24),
        ["100 % [89, 100] of the 240", "for 5 of 5", "shuffled weights gave 0 %", "over up to 2",
         "for 5 of 5 labels with such images this is shown", "no proof"],
        ["trick, or", "by chance"],
    ),
    (
        lambda: synthetic_audit(samples=2, seeds=1),
        ["for 0 of 5", "from one run", "for 5 the images do not settle it"],
        ["over up to", "less than half"],
    ),
    (
        lambda: synthetic_audit(samples=24, outcomes=("trick",)),
        ["for 5 less than half (“sky”", "Look first at these: trick: “sky”"],
        ["settle"],
    ),
    (
        lambda: synthetic_audit(outcomes=("failure",)),
        ["0 %", "No token image is read as its label", "never reached: “sky”"],
        ["confirm"],
    ),
    (
        lambda: synthetic_audit(judges=()),
        ["No held-out classifier was asked"],
        ["confirm"],
    ),
    (
        lambda: synthetic_audit(
            missing=[(n, a, s) for n in ("sky", "blue") for a in ("token", "name") for s in (0, 1)]
        ),
        ["of 3 labels (2 of 5 labels have none)", "8 of 40 units have not been run"],
        ["of 5 labels with"],
    ),
    (
        lambda: synthetic_audit(labels=24, outcomes=("failure",)),
        ["label by label at 95 %", "and 21 more"],
        [],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "has", "lacks"), SENTENCES)
def test_sentences(make: Callable[[], xr.DataTree], has: list[str], lacks: list[str]) -> None:
    sentences = audit_analysis.audit_sentences(make())
    assert len(sentences) == 3
    text = " ".join(sentences).replace("\N{NO-BREAK SPACE}", " ")
    for part in has:
        assert part in text, text
    for part in lacks:
        assert part not in text, text
    assert all(s.endswith(".") for s in sentences)
    assert "nan" not in text


def test_the_sentences_are_short_however_many_labels_there_are() -> None:
    tree = synthetic_audit(
        labels=60, outcomes=ALL, samples=24, names=[f"class number {i}" for i in range(62)]
    )
    meant, look = audit_analysis.audit_sentences(tree)[1:]
    assert meant.count("“") <= 3
    assert look.count("“") == len(kinds(tree)) == 3  # one name of each kind
    assert "“class number 3” and 14 more" in look


def test_an_audit_in_which_nothing_is_done() -> None:
    tree = synthetic_audit(
        labels=2, missing=[(n, a, s) for n in ("sky", "green")
                           for a in ("name", "token+name", "token", "shuffled") for s in (0, 1)]
    )  # fmt: skip
    text = audit_analysis.audit_sentences(tree)
    assert text[0].startswith("No unit of the arm “token” is done")
    assert audit_analysis.attention(tree) == []
    assert np.isnan(audit_analysis.repeatability(tree)["overall_cosine"])


@pytest.mark.parametrize(
    "count",
    [audit_analysis.confusion, audit_analysis.crossed, audit_analysis.semantic_index,
     audit_analysis.repeatability, audit_analysis.never_reached, audit_analysis.attention],
)  # fmt: skip
def test_an_unknown_arm_is_named(count: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match=r"arm='tokn': not in this audit; try 'token'"):
        count(synthetic_audit(), "tokn")


def test_an_unknown_control_is_named() -> None:
    with pytest.raises(InputError, match=r"control='start'"):
        audit_analysis.paired_effects(synthetic_audit(), "token", "start")


def test_no_pixel_is_read() -> None:
    """Every function works on an audit whose images are gone."""
    tree = synthetic_audit(outcomes=ALL)
    for group in ("trajectory", "validation", "samples"):
        tree[group] = xr.DataTree(tree[group].to_dataset().drop_vars("image"))
    audit_analysis.audit_sentences(tree)
    audit_analysis.repeatability(tree)
    audit_analysis.crossed(tree)


def test_bootstraps_are_seeded() -> None:
    tree = synthetic_audit(outcomes=ALL)
    first, again, other = (audit_analysis.label_success(tree, seed=s) for s in (0, 0, 1))
    assert first.identical(again)
    assert first.attrs != other.attrs
