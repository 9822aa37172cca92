"""What stands out in a token's pictures is said with its numbers, and nothing else is."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import inversion_kit
from inversion_kit import analysis
from inversion_kit.analysis.measure import PROPERTIES
from inversion_kit.errors import InputError
from inversion_kit.finding.datasets import looks_variables
from inversion_kit.testing import synthetic, synthetic_findings
from tests.results import counted

ARMS = ("name", "token", "shuffled")
REAL = ["real", "real_low", "real_high", "real_images"]
YELLOW = (255, 225, 0)
Paint = Callable[[np.ndarray], np.ndarray]


def pictures(seeds: int, samples: int, seed: int = 0, size: int = 32) -> np.ndarray:
    """Pictures of blurred noise without a colour, float ``(seed, sample, y, x, 3)``."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 25, (seeds, samples, size // 4, size // 4))
    light = rng.normal(0, 24, (seeds, samples, 1, 1))
    level = 130 + light + coarse.repeat(4, 2).repeat(4, 3)
    return np.repeat(level[..., None], 3, -1)


def result(
    paint: dict[str, Paint], *, labels: int = 2, seeds: int = 1, samples: int = 32
) -> xr.DataTree:
    """A result whose arms share their pictures, but for what is done to those of label 0."""
    arms = ARMS if "shuffled" in paint or "token" in paint else tuple(paint)
    tree = synthetic(labels=labels, arms=arms, seeds=seeds, samples=samples, size=32)
    image = tree["samples"]["image"].values
    for label in range(labels):
        for a, arm in enumerate(arms):
            own = pictures(seeds, samples, seed=label)
            own += np.random.default_rng((label, a)).normal(0, 3, own.shape)
            made = paint[arm](own) if label == 0 and arm in paint else own
            image[label, a] = made.clip(0, 255)
    return tree


def square(colour: tuple[int, int, int], share: float = 0.8) -> Paint:
    def paint(images: np.ndarray) -> np.ndarray:
        some = images.copy()
        n = round(share * images.shape[1])
        some[:, :n, 2:10, 22:30] = colour
        return some

    return paint


def darker(by: float) -> Paint:
    return lambda images: images - by * 255


def said(tree: xr.DataTree) -> dict[str, list[str]]:
    return analysis.stands_out(analysis.properties(tree))


def test_a_patch_is_named_with_its_colour_size_place_and_shares() -> None:
    out = said(result({"token": square(YELLOW)}))
    assert out["green"] == []
    assert out["sky"][0].startswith(
        "The token's pictures have a uniform yellow patch of about 8 px (of 32) at the top right: "
        "81\N{NO-BREAK SPACE}% of them against 0\N{NO-BREAK SPACE}% of the name prompt's (+81 "
    )
    assert "and 0\N{NO-BREAK SPACE}% of the shuffled control's (+81 " in out["sky"][0]
    assert not any("yellow: share" in sentence for sentence in out["sky"])


def test_light_is_said_with_both_means_and_the_difference() -> None:
    (first, *_) = said(result({"token": darker(0.2)}))["sky"]
    assert first.startswith("The token's pictures are darker: mean brightness 0.30 against 0.50 ")
    assert "of the name prompt's (difference \N{MINUS SIGN}0.20 [\N{MINUS SIGN}0.20," in first


def test_what_the_controls_have_and_the_token_lacks_is_said() -> None:
    out = said(result({"token": darker(0), "name": square(YELLOW), "shuffled": square(YELLOW)}))
    assert "lack a uniform yellow patch: 0" in out["sky"][0]


@pytest.mark.parametrize(
    ("paint", "samples"),
    [
        ({"token": darker(0.2), "shuffled": darker(0.2)}, 32),  # the method does that
        ({"token": darker(0.2), "name": darker(0.2)}, 32),  # the name is painted so
        ({"token": darker(0.2), "name": darker(0.4)}, 32),  # on either side of the controls
        ({"token": darker(0.06)}, 32),  # less than pictures differ anyway
        (
            {"token": lambda images: images + np.array([0, 8, 0])},
            32,
        ),  # all, but not to be seen
        ({"token": square(YELLOW, 0.2)}, 32),  # in a few pictures
        ({"token": darker(0.2)}, 6),  # too few pictures
    ],
)
def test_nothing_is_said_of_what_is_shared_small_or_by_chance(
    paint: dict[str, Paint], samples: int
) -> None:
    tree = result({"token": darker(0), **paint}, samples=samples)
    assert said(tree) == {"sky": [], "green": []}
    larger = result({"token": darker(0.2), "name": darker(0)})
    assert said(larger)["sky"] != []


def test_a_difference_that_one_run_has_does_not_stand_out() -> None:
    def only_first(images: np.ndarray) -> np.ndarray:
        return np.concatenate([images[:1] - 150, images[1:] - 4])

    every, first = (result({"token": p}, seeds=3, samples=12) for p in (darker(0.2), only_first))
    assert said(every)["sky"] != []
    assert said(first)["sky"] == []
    table = analysis.properties(first).sel(label="sky", comparison="name", property="brightness")
    assert float(table["difference"]) < -0.1
    assert float(table["low"]) < 0 < float(table["high"])


def test_of_pictures_alike_nothing_stands_out_however_many_labels() -> None:
    tree = synthetic(labels=60, arms=ARMS, seeds=1, samples=16, size=16)
    rng = np.random.default_rng(0)
    tree["samples"]["image"].values[:] = (
        rng.integers(0, 256, (60, 3, 1, 16, 2, 2, 3), dtype="u1").repeat(8, 4).repeat(8, 5)
    )
    table = analysis.properties(tree, n_boot=200)
    assert float(table["chance"].min()) > 0.05
    assert not table["stands_out"].values.any()


def test_the_numbers_are_those_of_the_measures() -> None:
    tree = result({"token": square(YELLOW)}, samples=10)
    table = analysis.properties(tree).sel(label="sky", comparison="name")
    image = tree["samples"]["image"].sel(label="sky")
    ours, theirs = (
        analysis.measure(image.sel(arm=arm).values[0])["value"].mean("image")
        for arm in ("token", "name")
    )
    known = [p for p in table["property"].values if p != "tilt"]  # not of every picture
    for name, expected in (("ours", ours), ("theirs", theirs), ("difference", ours - theirs)):
        np.testing.assert_allclose(
            table[name].sel(property=known), expected.sel(property=known), atol=1e-5
        )
    assert int(table["pairs"].sel(property="brightness")) == 10
    patch = analysis.properties(tree)["patch"].sel(label="sky", colour="yellow").values
    np.testing.assert_allclose(patch, (8 / 32, 6 / 32, 26 / 32), atol=0.02)


def test_real_images_are_said_beside_what_stands_out_and_decide_nothing(tmp_path: Path) -> None:
    bare = result({"token": square(YELLOW)})
    tree = synthetic_findings(bare, real=True)
    rng = np.random.default_rng(0)
    values = rng.uniform(0.2, 0.4, (12, len(PROPERTIES)))
    values[:, PROPERTIES.index("yellow patch")] = [1] * 3 + [0] * 9
    values[:, PROPERTIES.index("tilt")] = [5.0] + [np.nan] * 11
    classes = tree["carriers"].sizes["class"]
    labels = np.full(12, tree["samples"]["class"].values.tolist().index("sky"))
    data = tree["carriers"].to_dataset(inherit=False).assign_coords(property=list(PROPERTIES))
    data = data.assign(looks_variables(values, labels, classes))
    tree["carriers"] = xr.DataTree(data)
    table = analysis.properties(inversion_kit.validate(tree))
    xr.testing.assert_identical(table.drop_vars(REAL), analysis.properties(bare))
    sky = table.sel(label="sky")
    one = values[:, PROPERTIES.index("warmth")]
    low, high = stats.t.interval(0.95, 11, one.mean(), stats.sem(one))
    found = [float(sky[name].sel(property="warmth")) for name in REAL]
    assert found == pytest.approx([one.mean(), low, high, 12], abs=1e-5)
    tilt = [float(sky[name].sel(property="tilt")) for name in REAL]
    assert (tilt[0], np.isnan(tilt[1:3]).all(), tilt[3]) == (5, True, 1)
    assert int(table["real_images"].sel(label="green").max()) == 0
    said, without = analysis.stands_out(table), analysis.stands_out(analysis.properties(bare))
    assert said["green"] == without["green"]
    (line,) = [line for line in said["sky"] if "yellow patch" in line]
    assert line.endswith(
        " Of 12 real images of it: 25\N{NO-BREAK SPACE}% [8,\N{NO-BREAK SPACE}54]."
    )
    assert line.split(" Of 12")[0] in without["sky"]
    assert not any("real" in line for line in without["sky"])
    of = analysis.numbers(tree, pictures=True)["labels"][0]["pictures"]["properties"]
    assert of["real images"]["yellow patch"]["real"] == 0.25
    assert "12 real images of it" in inversion_kit.report(tree, tmp_path / "r.html").read_text()


def test_a_label_alone_and_among_others_is_said_the_same_of() -> None:
    tree = result({"token": square(YELLOW, 0.6)}, labels=3)
    whole = analysis.properties(tree).sel(label=["sky"])
    xr.testing.assert_identical(analysis.properties(tree, "sky"), whole)
    with pytest.raises(InputError, match="skies"):
        analysis.properties(tree, "skies")


def test_only_pictures_of_the_same_noise_that_are_there_are_pairs() -> None:
    tree = result({"token": darker(0.2)}, seeds=2, samples=8)
    samples = tree["samples"]
    samples["probability"].values[0, 1, 0, :3] = np.nan
    samples["noise_seed"].values[0, 2, 1, :2] += 1
    pairs = analysis.properties(tree)["pairs"].sel(label="sky", property="brightness")
    assert pairs.values.tolist() == [13, 11]
    gone = synthetic(arms=ARMS, samples=4, size=8, failed=[("sky", "shuffled", i) for i in (0, 1)])
    assert analysis.properties(gone)["pairs"].sel(comparison="shuffled").max() == 0
    stopped = synthetic(arms=("token",), stopped=[("sky", "token", 0), ("sky", "token", 1)])
    assert said(stopped) == {"sky": []}  # it has no pictures at all
    assert analysis.properties(synthetic(size=4))["pairs"].max() == 0  # too small to measure


def test_without_anything_to_compare_with_nothing_stands_out() -> None:
    tree = synthetic(arms=("token",), samples=4, size=8)
    table = analysis.properties(tree)
    assert table.sizes["comparison"] == 0
    assert analysis.stands_out(table) == {"sky": []}
    invert = analysis.properties(synthetic(samples=4, size=8))
    assert invert["comparison"].values.tolist() == ["name", "start"]


def test_each_label_is_read_once_and_only_where_it_was_asked_for() -> None:
    tree, times = counted(result({"token": darker(0.2)}, samples=4))
    analysis.numbers(tree)
    assert "samples/image" not in times
    analysis.numbers(tree, pictures=True)
    assert times["samples/image"] == 2


def test_the_more_labels_the_fewer_pictures_but_never_below_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree = synthetic(labels=2, arms=ARMS, seeds=2, samples=60, size=8)
    most = analysis.properties(tree)["pairs"].max()
    monkeypatch.setattr(importlib.import_module("inversion_kit.analysis.properties"), "PICTURES", 1)
    least = analysis.properties(tree)["pairs"].max()
    assert (int(most), int(least)) == (96, 32)


def test_numbers_and_report_hold_the_sentences(tmp_path: Path) -> None:
    tree = result({"token": square(YELLOW)})
    data = analysis.numbers(tree, pictures=True)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    row = data["labels"][0]["pictures"]
    assert row["stands_out"][-1] == "yellow patch"
    assert row["properties"]["name"]["yellow patch"]["ours"] == 26 / 32
    assert data["labels"][1]["pictures"]["says"] == []
    for one, name in ((tree, "many"), (tree.sel(label="sky"), "one")):
        page = inversion_kit.report(one, tmp_path / f"{name}.html").read_text("utf-8")
        assert page.count("have a uniform yellow patch of about 8 px") >= (1 if one is tree else 2)
        assert page.count('class="why measured"') == 1
