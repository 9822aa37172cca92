"""What a CLIP says of pictures in `evaluate` and `coverage`: the pocket's own, trained one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
import xarray as xr
from PIL import Image
from typer.testing import CliRunner

import inversion_kit as ik
from inversion_kit.analysis.quality_words import coverage_says, evaluation_says
from inversion_kit.arms import Arm
from inversion_kit.cli import app
from inversion_kit.errors import InputError
from inversion_kit.reports.evaluate import table_html

WEIGHTS = Path(ik.__file__).parent / "pocket" / "weights"
SIGNS, EACH = ["stop", "yield"], 16
DARK = "“dark” in words"


@pytest.fixture(scope="module")
def clip() -> tuple[Any, Any]:
    words = transformers.CLIPTokenizer.from_pretrained(WEIGHTS / "generator" / "tokenizer")
    square = {"height": 32, "width": 32}
    half = [0.5] * 3
    images = transformers.CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size=square, image_mean=half, image_std=half
    )
    model = transformers.CLIPModel.from_pretrained(WEIGHTS / "clip")
    return model, transformers.CLIPProcessor(images, words)


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    """Pictures of the name, of another name, and of one sign in the dark beside a plain one."""
    dim = Arm("dim", "in the dark", templates=("a dark photo of a {name}",), token="none")
    other = Arm("other", "another sign", templates=("a photo of a keep right",), token="none")
    made = ik.audit(
        "pocket:honest",
        SIGNS,
        generator=ik.as_generator("pocket", num_inference_steps=4),
        arms=["name", dim, other],
        seeds=1,
        samples=EACH,
        views=(),
        progress=False,
    ).load()
    images = made["samples"]["image"]
    images.loc[{"label": "yield", "arm": "dim"}] = images.sel(label="yield", arm="name").values
    return made


@pytest.fixture(scope="module")
def folder(tree: xr.DataTree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures as if they were real: one sign is always dark."""
    place = tmp_path_factory.mktemp("real")
    for sign in SIGNS:
        (place / sign).mkdir()
        shown = tree["samples"]["image"].sel(label=sign, arm="dim", seed=0).values
        for k, pixels in enumerate(shown):
            Image.fromarray(pixels).save(place / sign / f"{k}.png")
    return place


def test_agreement_is_the_mean_cosine_of_the_clips_own_forward(
    tree: xr.DataTree, clip: tuple[Any, Any]
) -> None:
    table = ik.evaluate(tree, clip=clip)
    model, processor = clip
    for sign in SIGNS:
        pictures = tree["samples"]["image"].sel(label=sign, arm="name", seed=0).values
        given = processor(
            text=[f"a photo of a {sign}"], images=list(pictures), return_tensors="pt", padding=True
        )
        with torch.no_grad():
            asked = model(**given).logits_per_image[:, 0] / model.logit_scale.exp()
        ours = float(table["agreement"].sel(label=sign, arm="name"))
        assert ours == pytest.approx(float(asked.mean()), abs=0.005)
    assert table.attrs["clip"] == "CLIPModel"


def test_another_sign_agrees_less_by_more_than_chance(
    tree: xr.DataTree, clip: tuple[Any, Any]
) -> None:
    table = ik.evaluate(tree, clip=clip)
    assert (table["agreement_change_high"].sel(arm="other") < -0.1).all()
    assert table["agreement_change"].sel(arm="name").isnull().all()
    assert table["agreement_change"].sel(arm="dim", label="yield") == 0
    assert "Cosine of picture and plain prompt, CLIPModel" in " ".join(evaluation_says(table))
    assert "Picture and prompt" in table_html(table)


def test_any_arm_may_be_what_others_are_compared_with(
    tree: xr.DataTree, clip: tuple[Any, Any]
) -> None:
    usual, turned = (ik.evaluate(tree, clip=clip, against=arm) for arm in (None, "other"))
    assert (usual.attrs["control"], turned.attrs["control"]) == ("name", "other")
    for name in ("overall_gain", "agreement_change"):
        there, back = usual[name].sel(arm="other"), turned[name].sel(arm="name")
        np.testing.assert_allclose(back, -there, atol=1e-6)
        assert turned[name].sel(arm="other").isnull().all()
    change = turned["overall_change"].sel(measure="vendi")
    np.testing.assert_allclose(
        change.sel(set="name"), -usual["overall_change"].sel(measure="vendi", set="other")
    )
    assert "points to another sign" in evaluation_says(turned)[0]
    with pytest.raises(InputError, match="against='token': not in this result"):
        ik.evaluate(tree, against="token")


def test_a_cue_in_words_is_a_trait_where_it_is_painted(
    tree: xr.DataTree, folder: Path, clip: tuple[Any, Any]
) -> None:
    table = ik.coverage(tree, folder, clip=clip, cues=["dark", "with a yellow sticker"])
    dark = table.sel(trait=DARK)
    assert dark["share"].sel(label="stop", set="dim") > 0.8
    for sign, there in (("stop", True), ("yield", False)):
        assert dark["shows"].sel(label=sign, set=["dim", "real"]).values.tolist() == [there] * 2
    assert dark["reveals"].sel(label="stop", set="dim")
    assert not table["reveals"].sel(trait="“with a yellow sticker” in words", set="dim").any()
    assert any(DARK in line and "so do real pictures" in line for line in coverage_says(table))
    assert DARK in table_html(table)
    plain = ik.coverage(tree, folder)
    same = table.sel(trait=plain["trait"].values)
    np.testing.assert_array_equal(same["share"].values, plain["share"].values)


def test_by_default_the_list_that_fits_the_clips_words_is_asked(
    tree: xr.DataTree, folder: Path, clip: tuple[Any, Any]
) -> None:
    traits = ik.coverage(tree, folder, clip=clip)["trait"].values.tolist()
    assert DARK in traits
    assert "“yellow sticker” in words" in traits


def test_what_cannot_be_asked_is_refused(
    tree: xr.DataTree, folder: Path, clip: tuple[Any, Any]
) -> None:
    with pytest.raises(InputError, match="give clip="):
        ik.coverage(tree, folder, cues=["dark"])
    with pytest.raises(InputError, match=r"does not read .* whole"):
        ik.coverage(tree, folder, clip=clip, cues=["with " + "very " * 40 + "much"])
    with pytest.raises(InputError, match="cues"):
        ik.coverage(tree, folder, clip=clip, cues=[])


def test_the_commands_take_them(
    tree: xr.DataTree, folder: Path, clip: tuple[Any, Any], tmp_path: Path
) -> None:
    for part in clip:
        part.save_pretrained(tmp_path / "clip")
    stored = str(ik.save(tree, tmp_path / "run.zarr"))
    asked = ["coverage", stored, "--real", str(folder), "--clip", str(tmp_path / "clip")]
    done = CliRunner().invoke(app, [*asked, "--cue", "dark"])
    assert done.exit_code == 0, done.output
    assert DARK in done.output
    done = CliRunner().invoke(app, ["evaluate", stored, "--against", "other"])
    assert done.exit_code == 0, done.output
    assert "points to another sign" in done.output
