"""Sentences with a token: what is asked, what is obeyed, and the table of a result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from typer.testing import CliRunner

import inversion_kit as ik
from inversion_kit.analysis.measure import PROPERTIES
from inversion_kit.analysis.quality_words import evaluation_says
from inversion_kit.cli import app
from inversion_kit.errors import InputError
from inversion_kit.evaluation.sentences import SENTENCES, attribute_of, obedience, obeyed

DARK, BLUE, PARIS = (
    "a dark photo of a {token}",
    "a photo of a {token} with a blue sticker",
    "a photo of a {token} in Paris",
)


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    """One token that is the word itself."""
    return ik.invert(
        "pocket:honest",
        "stop",
        generator="pocket:quick",
        judges=["pocket:judge"],
        arms=["name", "start", "token"],
        start="stop",
        steps=0,
        samples=2,
        validation=2,
        views=[],
        progress=False,
    )


def test_what_sentences_ask_for_is_a_measured_property() -> None:
    assert len(SENTENCES) >= 10
    asked = [attribute_of(sentence) for sentence in SENTENCES]
    assert all(one is not None and one[0] in PROPERTIES for one in asked)
    assert attribute_of("a lighthouse {token}") is None  # "light" is no part of a word
    assert attribute_of("a red {token}") is None
    assert attribute_of("a {token} leaning left") == ("tilt", -1)


def test_a_sentence_is_obeyed_where_it_can_be_seen() -> None:
    grey = torch.full((3, 3, 16, 16), 0.6)
    changed = torch.stack([grey[0] * 0.5, grey[0] * 0.98, grey[0] * 1.5])
    assert obeyed(DARK, changed, grey).tolist() == [1, 0, 0]
    assert np.isnan(obeyed(PARIS, changed, grey)).all()
    marked = grey.clone()
    marked[0, :, 5:11, 5:11] = torch.tensor([0.05, 0.2, 0.95])[:, None, None]
    assert obeyed(BLUE, marked, grey).tolist() == [1, 0, 0]


def test_a_name_in_place_of_a_token_is_that_word_s_own_vector() -> None:
    made, judge = ik.as_generator("pocket:quick"), ik.as_classifier("pocket:judge")
    asked = {"sentences": [DARK, PARIS], "seeds": [0, 1, 2]}
    token = made.vector_of("stop")[None]
    by_token = obedience(made, [judge], 14, token=token, name="", **asked)
    by_name = obedience(made, [judge], 14, token=None, name="stop", **asked)
    for ours, theirs in zip(by_token, by_name, strict=True):
        assert np.array_equal(ours, theirs, equal_nan=True)
    other = obedience(made, [judge], 13, token=token, name="", **asked)
    assert by_token[0].mean() > other[0].mean()


def test_the_table_says_who_reads_what_and_what_is_obeyed(tree: xr.DataTree) -> None:
    table = ik.evaluate(tree, sentences=[DARK, PARIS])
    assert table["reader"].values.tolist() == ["pocket:honest", "pocket:judge"]
    of = table.sel(label="stop")
    assert float(of["obeys"].sel(arm="token", sentence=DARK)) >= 0.75
    assert np.isnan(of["obeys"].sel(sentence=PARIS)).all()
    assert float(of["is_class"].sel(arm="token", reader="pocket:judge", sentence=DARK)) >= 0.75
    assert np.isnan(of["is_class"].sel(arm="start")).all()
    low, high = (table[f"overall_is_class{end}"].sel(arm="token") for end in ("_low", "_high"))
    assert bool((low < high).all())
    assert "is_class" not in ik.evaluate(tree)
    told = [line for line in evaluation_says(table) if line.startswith("In ")]
    assert [line.count("obeyed") for line in told] == [2, 0]
    assert "by pocket:judge" in told[0].replace("\u2060", "")


def test_the_command_takes_sentences(tree: xr.DataTree, tmp_path: Path) -> None:
    ik.save(tree, tmp_path / "stop.zarr")
    asked = ["evaluate", str(tmp_path / "stop.zarr"), "--sentence", DARK]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert 'In "a dark photo of a …"' in done.output


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"sentences": ["no token"]}, "must hold"),
        ({"sentences": []}, "empty"),
        ({"sentences": [DARK, DARK]}, "each once"),
        ({"sentences": ["a {token} {name}"]}, "holds {name}"),
        ({"generator": "pocket"}, "give sentences="),
        ({"sentences": [DARK], "generator": "pocket"}, "other weights"),
        ({"sentences": [f"a {'very ' * 90}dark {{token}}"]}, "tokens"),
    ],
)
def test_what_cannot_be_said_is_refused(tree: xr.DataTree, more: dict, says: str) -> None:
    with pytest.raises(InputError, match=says.replace("{", r"\{")):
        ik.evaluate(tree, **more)
