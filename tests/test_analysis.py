"""Numbers of the analysis against hand-computed ones, and sentences that claim no more."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from inversion_kit.analysis import runs as analysis
from inversion_kit.errors import InputError
from inversion_kit.testing import synthetic_run


def with_hits(hit: np.ndarray, judged: np.ndarray | None = None) -> xr.DataTree:
    """A run whose images are read as the label where ``hit`` ``(arm, seed, sample)`` says so."""
    tree = synthetic_run(
        seeds=hit.shape[1], samples=hit.shape[2], judges=() if judged is None else ("judge",)
    )

    def softmax(said: np.ndarray, like: xr.DataArray) -> np.ndarray:
        value = np.zeros(like.shape, "f4")
        value[..., 0] = np.where(said, 0.1, 0.9)
        value[..., 1] = np.where(said, 0.9, 0.1)
        return value

    samples = tree["samples"]
    samples["probability"].values[:] = softmax(hit, samples["probability"])
    if judged is not None:
        samples["judge_probability"].values[0] = softmax(judged, samples["judge_probability"][0])
    return tree


def arms(start: list[list[int]], token: list[list[int]], name: list[list[int]]) -> np.ndarray:
    return np.array([start, token, name], dtype=bool)


SOME = arms(
    [[1, 0, 0, 0], [0, 0, 0, 0]], [[1, 1, 1, 0], [1, 1, 0, 0]], [[0, 1, 1, 1], [0, 0, 0, 1]]
)


def test_success_by_hand() -> None:
    judged = SOME.copy()
    judged[1] = False
    table = analysis.success(with_hits(SOME, judged))
    assert table["scorer"].values.tolist() == ["synthetic:classifier", "judge"]
    assert table["role"].values.tolist() == ["audited", "judge"]
    assert table["success"].sel(scorer="synthetic:classifier").values.tolist() == [
        1 / 8,
        5 / 8,
        4 / 8,
    ]
    assert table["success"].sel(arm="token", scorer="judge") == 0
    assert table["per_seed"].sel(arm="token").values.tolist() == [[0.75, 0.5], [0, 0]]
    assert table.attrs["images"] == 8


def test_all_hits_are_not_presented_as_certainty() -> None:
    table = analysis.success(with_hits(np.ones((3, 1, 10), bool)))
    assert table["success"].values.tolist() == [[1], [1], [1]]
    np.testing.assert_allclose(table["low"], 0.7225, atol=1e-4)
    assert (table["high"] == 1).all()


def test_interval_widens_when_runs_differ() -> None:
    """Half of all images hit, either half in each run or one run all and the other none."""
    even = np.tile(np.arange(16) < 8, (3, 2, 1))
    split = np.stack([np.ones((3, 16), bool), np.zeros((3, 16), bool)], axis=1)
    width = [
        float((t["high"] - t["low"])[1, 0])
        for t in (analysis.success(with_hits(h)) for h in (even, split))
    ]
    assert 0.4 < width[0] < 0.5
    assert width[1] == 1


def test_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(60):
        table = analysis.success(with_hits(rng.random((3, 1, 30)) < 0.8), n_boot=300)
        inside += int(((table["low"] <= 0.8) & (table["high"] >= 0.8)).sum())
    assert inside / 180 >= 0.93


def test_bootstrap_is_seeded() -> None:
    tree = synthetic_run()
    assert analysis.success(tree, seed=1).equals(analysis.success(tree, seed=1))


def test_unreadable_image_is_no_hit() -> None:
    tree = with_hits(np.ones((3, 1, 4), bool))
    tree["samples"]["probability"].values[0, 0, 0] = np.nan
    tree.attrs["label_index"] = 0
    tree["samples"]["probability"].values[0, 0, 1:, 0] = 1
    assert analysis.hits(tree).sel(arm="start").values.tolist() == [[[False, True, True, True]]]


def test_paired_difference_by_hand() -> None:
    table = analysis.paired_difference(with_hits(SOME), "token", "start")
    assert table["difference"].item() == 4 / 8
    assert table["low"].item() < 0.5 < table["high"].item()


def test_paired_difference_uses_the_pairs() -> None:
    """The same shares; alike noise by noise they are told apart better than crosswise."""
    base = np.arange(40) < 20
    more = np.arange(40) < 26
    alike = np.stack([base, more, base])[:, None]
    crossed = np.stack([base, more[::-1], base])[:, None]
    tables = [analysis.paired_difference(with_hits(h), "token", "start") for h in (alike, crossed)]
    assert [t["difference"].item() for t in tables] == [0.15, 0.15]
    assert tables[0]["low"].item() > 0 > tables[1]["low"].item()


def test_full_difference_is_not_presented_as_certainty() -> None:
    """6 of 6 against 0 of 6: Wilson ends 0.6097 and 0.3903, so 1 - 0.3903 * sqrt(2) = 0.4480."""
    hit = np.zeros((3, 1, 6), bool)
    hit[1] = True
    table = analysis.paired_difference(with_hits(hit), "token", "start")
    assert table["difference"].item() == table["high"].item() == 1
    np.testing.assert_allclose(table["low"], 0.4480, atol=1e-4)


def test_unknown_arm_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"control='strat'.*'start'"):
        analysis.paired_difference(synthetic_run(), "token", "strat")


def test_agreement_by_hand() -> None:
    judged = np.zeros_like(SOME)
    judged[1] = [[1, 0, 0, 1], [1, 1, 1, 1]]
    table = analysis.agreement(with_hits(SOME, judged))
    assert table.attrs["images"] == 5
    assert table["share"].item() == 3 / 5


def test_agreement_where_nothing_is_read_as_the_label() -> None:
    table = analysis.agreement(with_hits(np.zeros((3, 1, 4), bool), np.ones((3, 1, 4), bool)))
    assert table.attrs["images"] == 0
    assert np.isnan(table["share"].item())


def test_trajectory_by_hand() -> None:
    tree = synthetic_run(seeds=1, checks=2, samples=2, classes=3)
    tree["validation"]["probability"].values[:] = np.array(
        [[[[0.5, 0.2, 0.3], [0.1, 0.4, 0.5]], [[0.1, 0.9, 0.0], [0.3, 0.7, 0.0]]]], "f4"
    )
    tree["token"]["selected"].values[:] = 1
    path = analysis.trajectory(tree).isel(seed=0)
    np.testing.assert_allclose(path["target_probability"], [0.3, 0.8], atol=1e-6)
    np.testing.assert_allclose(path["tenth"], [0.22, 0.72], atol=1e-6)
    np.testing.assert_allclose(path["ninetieth"], [0.38, 0.88], atol=1e-6)
    assert path["runner_up"].values.tolist() == ["green", "orange"]
    np.testing.assert_allclose(path["runner_up_probability"], [0.4, 0.2], atol=1e-6)
    assert path["kept"].values.tolist() == [False, True]


def test_trajectory_counts_updates_from_each_start_and_leaves_the_padding_empty() -> None:
    path = analysis.trajectory(synthetic_run(steps=12, checks=4))
    assert path["step"].values.tolist() == [[0, 4, 4, 12], [0, 4, 8, -1]]
    assert path["own_updates"].values[:, :3].tolist() == [[0, 4, 0], [0, 4, 8]]
    assert path["own_updates"].values[0, 3] == 8
    assert path["runner_up"].values[1, 3] == ""
    assert np.isnan(path["target_probability"].values[1, 3])
    assert np.isnan(path["runner_up_probability"].values[1, 3])


def test_sentences_give_the_numbers() -> None:
    first = analysis.summary_sentences(with_hits(SOME, SOME))[0].replace("\xa0", " ")
    assert "62 % [" in first
    assert "by the judge judge" in first
    assert "the neutral start gave 12 % [" in first
    assert "class name gave 50 % [" in first
    assert first.endswith("brackets are 95 % intervals over 2 runs.")


def test_sentence_of_one_run_says_what_the_interval_leaves_out() -> None:
    assert (
        "from one run, for other noise only"
        in analysis.summary_sentences(synthetic_run(seeds=1))[0]
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "speaks for meaning"),
        ({"outcome": "trick"}, "so the token found a trick, or a trait that only"),
        ({"outcome": "failure"}, "The token failed: not one of its test images"),
        ({"judges": ()}, "No judge was asked, so a trick"),
    ],
)
def test_sentence_on_meaning(options: dict[str, object], said: str) -> None:
    tree = synthetic_run(samples=12, **options)  # type: ignore[arg-type]
    assert said in analysis.summary_sentences(tree)[1]


def test_no_effect_is_not_interpreted() -> None:
    """Everything is read as the label, the start too, and the judge agrees."""
    everything = np.ones((3, 1, 20), bool)
    assert (
        "nothing should be read into"
        in analysis.summary_sentences(with_hits(everything, everything))[1]
    )


def test_a_judge_that_says_the_label_to_everything_shows_no_meaning() -> None:
    hit = np.zeros((3, 1, 20), bool)
    hit[1] = True
    said = analysis.summary_sentences(with_hits(hit, np.ones_like(hit)))[1]
    assert "meaning is not shown" in said
    assert "speaks for" not in said


def test_half_agreement_settles_nothing() -> None:
    hit = np.zeros((3, 1, 20), bool)
    hit[1] = True
    judged = hit & (np.arange(20) < 10)
    assert "does not settle" in analysis.summary_sentences(with_hits(hit, judged))[1]


def test_sentence_on_the_start() -> None:
    tree = synthetic_run()
    assert analysis.summary_sentences(tree)[2] == (
        "The token that was kept began at the word “round” in 1 of 2 runs (after 8 updates) and "
        "the neutral start in 1 of 2 runs (after 8 updates)."
    )


def test_a_start_at_a_word_is_not_called_neutral() -> None:
    tree = synthetic_run(seeds=1)
    tree["validation"]["start"].values[:] = "round"
    first = analysis.summary_sentences(tree)[0]
    assert "the word “round” gave" in first
    assert "neutral" not in first


def test_help_from_the_class_name_is_owned_up_to() -> None:
    tree = synthetic_run(seeds=1)
    tree["validation"]["start"].values[0, 2:] = "sky"
    assert "a start word is from the class name" in analysis.summary_sentences(tree)[2]
    tree = synthetic_run(seeds=1)
    tree["samples"]["prompt"].values[1] = "a photo of a <ik-class> sky"
    assert "its prompt holds the class name" in analysis.summary_sentences(tree)[2]


def test_fewer_arms_are_enough() -> None:
    tree = synthetic_run()
    parts = {name: node.to_dataset(inherit=False) for name, node in tree.children.items()}
    for kept in (["token"], ["start"]):
        fewer = xr.DataTree.from_dict({**parts, "samples": parts["samples"].sel(arm=kept)})
        fewer.attrs = tree.attrs
        sentences = analysis.summary_sentences(fewer)
        assert len(sentences) == 3
        assert "neutral start gave" not in sentences[0]


@pytest.mark.parametrize(
    ("share", "said"), [(0.0, "0\xa0%"), (0.004, "<1\xa0%"), (0.996, ">99\xa0%"), (1.0, "100\xa0%")]
)
def test_percent_keeps_all_and_none_for_exactly_that(share: float, said: str) -> None:
    assert analysis.percent(share) == said


def test_bracket_rounds_outwards() -> None:
    assert analysis.bracket(0.209, 0.901) == "[20,\xa091]"
    assert analysis.bracket(-0.5, 0.25) == "[\N{MINUS SIGN}50,\xa025]"
