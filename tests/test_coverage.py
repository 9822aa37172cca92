"""Traits of pictures made by hand: who shows them, and which only the token does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import inversion_kit as ik
from inversion_kit.analysis.measure import PROPERTIES, measure
from inversion_kit.analysis.quality_words import coverage_says
from inversion_kit.analysis.traits import TRAITS, limits, shown, trait_table
from inversion_kit.cli import app
from inversion_kit.errors import InputError
from inversion_kit.testing import synthetic
from inversion_kit.wilson import wilson

LABELS = ("sky", "green", "yellow")
DARK = "low brightness"
EACH = 24


def picture(chance: np.random.Generator, light: float) -> np.ndarray:
    """Grey with grain."""
    return (light + chance.normal(0, 6, (16, 16, 3))).clip(0, 255).astype("u1")


@pytest.fixture(scope="module")
def tree():
    """Plain pictures are all light; those of the token of "sky" are dark in 3 of 4."""
    tree = synthetic(labels=3, arms=("name", "token"), samples=EACH, size=16, seeds=1)
    chance = np.random.default_rng(0)
    images = tree["samples"]["image"].values
    for at in np.ndindex(*images.shape[:4]):
        dark = at[:2] == (0, 1) and at[3] % 4
        images[at] = picture(chance, 40 if dark else 180)
    return tree


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Real pictures of "sky" are dark in half, those of other labels never."""
    root, chance = tmp_path_factory.mktemp("real"), np.random.default_rng(1)
    for label in LABELS:
        (root / label).mkdir()
        for k in range(EACH):
            dark = label == "sky" and k % 2
            Image.fromarray(picture(chance, 40 if dark else 180)).save(root / label / f"{k}.png")
    return root


@pytest.fixture(scope="module")
def table(tree, folder):
    return ik.coverage(tree, folder)


def test_what_the_token_shows_and_the_plain_prompt_does_not_is_found(table) -> None:
    dark = table.sel(label="sky", trait=DARK)
    assert dark["share"].values.tolist() == [0.0, 0.75, 0.5]
    assert dark["shows"].values.tolist() == [False, True, True]
    assert dark["reveals"].values.tolist() == [False, True, False]
    assert dark["change"].sel(set="token") == 0.75
    assert dark["change_low"].sel(set="token") > 0.3
    assert dark["images"].values.tolist() == [EACH] * 3
    np.testing.assert_allclose(dark["low"].sel(set="token"), wilson(18, EACH)[0])


def test_nothing_is_revealed_of_labels_whose_arms_are_alike(table) -> None:
    assert not table["reveals"].sel(label=["green", "yellow"]).any()
    assert not table["shows"].sel(label=["green", "yellow"]).any()


def test_the_count_is_over_the_traits_of_real_pictures(table) -> None:
    of_real = table["shows"].sel(set="real")
    assert table.attrs["real_traits"] == int(of_real.sum()) > 0
    both = (table["shows"] & of_real).sum(("label", "trait"))
    assert table["covered_traits"].values.tolist() == both.values.tolist()
    assert table["covered"].sel(set="real") == 1
    assert table["covered"].sel(set="name") == 0
    assert table["covered"].sel(set="token") > 0.5


def test_what_all_pictures_of_a_set_have_is_in_no_trait(tree, tmp_path) -> None:
    """Photographs that are dark whatever the label: no label's trait."""
    chance = np.random.default_rng(2)
    for label in LABELS:
        (tmp_path / label).mkdir()
        for k in range(EACH):
            Image.fromarray(picture(chance, 40)).save(tmp_path / label / f"{k}.png")
    made = ik.coverage(tree, tmp_path)
    dark = made.sel(set="real", trait=DARK)
    assert (dark["share"] == 1).all()
    assert (dark["elsewhere"] == 1).all()
    assert not dark["shows"].any()


def test_chance_alone_shows_nothing() -> None:
    """Every picture of one kind, 20 results: corrected, 1 of 20 may show something."""
    found = 0
    for seed in range(20):
        chance = np.random.default_rng(seed)
        images = np.array([picture(chance, chance.uniform(40, 200)) for _ in range(3 * 2 * 16)])
        values = measure(images)["value"].values.reshape(3, 2, 1, 16, -1)
        real = [values[i, 0, 0, ::-1] for i in range(3)]
        found += bool(trait_table(values, real, ["name", "token"], 0, LABELS)["reveals"].any())
    assert found <= 2


def test_a_trait_lies_beyond_the_plain_range_and_is_seen() -> None:
    others = np.full((100, len(PROPERTIES)), 0.5)
    others[:, PROPERTIES.index("brightness")] = np.linspace(0, 1, 100)
    ends = limits(others)
    rows = np.full((4, len(PROPERTIES)), 0.5)
    rows[:, PROPERTIES.index("brightness")] = [0.03, 0.5, 0.94, 0.96]
    rows[:, PROPERTIES.index("warmth")] = [0.5, 0.54, 0.56, np.nan]
    made = dict(zip(TRAITS, shown(rows, ends).T, strict=True))
    assert made["low brightness"].tolist() == [1, 0, 0, 0]
    assert made["high brightness"].tolist() == [0, 0, 0, 1]
    assert made["high warmth"].tolist() == [0, 0, 1, 0]  # 0.04 from the median is not seen
    assert np.isnan(shown(np.full((1, len(PROPERTIES)), np.nan), ends)).all()


def test_sentences_say_shares_and_how_many(table) -> None:
    (said,) = [line for line in coverage_says(table) if DARK in line]
    said = said.replace("\xa0", " ")
    assert "the token shows it (75 % [" in said
    assert "the name prompt does not (0 % [0," in said
    assert f"of {EACH}" in said
    assert "so do real pictures" in said


def test_refusals(tree, folder, tmp_path) -> None:
    with pytest.raises(InputError, match="two labels or more"):
        ik.coverage(tree.sel(label=["sky"]), folder)
    with pytest.raises(InputError, match="the arm 'name'"):
        ik.coverage(tree.sel(arm=["token"]), folder)
    (tmp_path / "sky").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "sky" / "1.png")
    with pytest.raises(InputError, match="images of 1 of the 3 labels"):
        ik.coverage(tree, tmp_path)
    (tmp_path / "nothing like it").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "nothing like it" / "1.png")
    with pytest.raises(InputError, match="called as no label"):
        ik.coverage(tree, tmp_path)


def test_the_command_prints_sentences_or_json(tree, folder, tmp_path) -> None:
    ik.save(tree, tmp_path / "run.zarr")
    asked = ["coverage", str(tmp_path / "run.zarr"), "--real", str(folder)]
    said = CliRunner().invoke(app, asked)
    assert said.exit_code == 0
    assert DARK in said.output
    data = json.loads(CliRunner().invoke(app, [*asked, "--json"]).output)
    assert data["attrs"]["control"] == "name"
    assert DARK in data["coords"]["trait"]["data"]
    bad = CliRunner().invoke(app, ["coverage", str(tmp_path / "run.zarr"), "--real", "no"])
    assert bad.exit_code == 2
