"""The two baselines as arms of an audit: textual inversion and classifier guidance."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from audits import SMALL, assert_same
from families import build
from PIL import Image
from typer.testing import CliRunner

import inversion_kit as ik
from inversion_kit.arms import Arm
from inversion_kit.cli.app import app
from inversion_kit.errors import InputError, StoreError
from inversion_kit.generators.base import Generator
from inversion_kit.reports import to_html
from inversion_kit.search.guidance import guided
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit

ARMS = ["name", "token", "inverted", "guided"]
MODELS: dict[str, Any] = {"generator": "pocket"}
FEW: dict[str, Any] = {**SMALL, "steps": 2, "samples": 2, "restarts": 0, "views": ()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of each of two labels, one called by its index."""
    place = tmp_path_factory.mktemp("images")
    pocket = ik.as_generator("pocket")
    for name, words in (("stop", "stop"), ("13", "yield")):
        (place / name).mkdir()
        made = pocket.images([f"a photo of a {words}"] * 3, seeds=[7, 8, 9])
        for k, image in enumerate(made.permute(0, 2, 3, 1).mul(255).byte().numpy()):
            Image.fromarray(image).save(place / name / f"{k}.png")
    return place


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "audit"


@pytest.fixture(scope="module")
def tree(folder: Path, audit: Path) -> xr.DataTree:
    return ik.audit(
        "pocket:honest", ["stop", "yield"], arms=ARMS, images=folder, seeds=1, store=audit,
        **MODELS, **FEW,
    )  # fmt: skip


def test_both_are_arms_of_a_valid_result(tree: xr.DataTree) -> None:
    assert (tree["status"]["status"].values == "done").all()
    samples, token = tree["samples"], tree["token"]
    assert samples["arm"].values.tolist() == ARMS
    noise = samples["noise_seed"].values
    assert (noise == noise[:, :1]).all()  # shared
    selected = token["selected"].sel(seed=0)
    assert selected.sel(arm="inverted").values.tolist() == [0, 0]
    assert selected.sel(arm=["name", "guided"]).values.tolist() == [[-1, -1]] * 2
    learned = token["embedding"].sel(arm="inverted", seed=0).isel(check=0).values
    assert np.isfinite(learned).all()
    assert not np.array_equal(learned[0], learned[1])
    assert np.isnan(tree["trajectory"]["loss"].sel(arm=["inverted", "guided"]).values).all()
    assert samples["prompt"].sel(label="stop", arm="inverted").values.ravel()[0].count("name") == 0


def test_a_label_in_memory_is_what_it_is_in_an_audit(tree: xr.DataTree, folder: Path) -> None:
    files = sorted((folder / "stop").iterdir())
    alone = ik.invert(
        "pocket:honest", "stop", arms=["inverted", "guided"], images=files, **MODELS, **FEW
    )
    for arm in ("inverted", "guided"):
        here, there = (one["samples"]["image"].sel(label="stop", arm=arm) for one in (alone, tree))
        np.testing.assert_array_equal(here.values, there.values)


def test_guidance_raises_what_the_classifier_reads() -> None:
    pocket, honest = (
        ik.as_generator("pocket", num_inference_steps=6),
        ik.as_classifier("pocket:honest"),
    )
    prompts, seeds = ["a photo of a thing"] * 4, [0, 1, 2, 3]

    def read(length: float) -> float:
        images = guided(pocket, honest, 14, prompts, seeds, length=length)
        return float(honest.logits(images).log_softmax(1)[:, 14].mean())

    plain = pocket.images(prompts, seeds=seeds)
    assert torch.equal(guided(pocket, honest, 14, prompts, seeds, length=0), plain)
    assert read(0.1) > read(0) + 1


@pytest.mark.parametrize("family", ["stable_diffusion", "v_prediction"])
def test_pipelines_with_guidance_of_their_own_are_pushed_too(family: str) -> None:
    honest = ik.as_classifier("pocket:honest")
    pipeline = build(family, ik.as_generator("pocket").pipeline.tokenizer)
    tiny = Generator(pipeline, name="tiny", num_inference_steps=3, guidance_scale=2.0)
    images = [guided(tiny, honest, 14, ["a thing"] * 2, [0, 1], length=far) for far in (0, 0.1)]
    assert torch.isfinite(images[1]).all()
    assert not torch.equal(*images)


def test_everything_that_shows_arms_shows_them(tree: xr.DataTree) -> None:
    data = ik.analysis.numbers(tree)
    assert data["arm"] == "token"
    assert list(data["gains"]) == ["name", "inverted", "guided"]
    page = to_html(tree)
    for words in ("extual inversion", "lassifier guidance", "a token learned from real images"):
        assert words in page
    assert ik.evaluate(tree)["overall_gain"].sel(arm="inverted").notnull().all()
    assert ik.analysis.sentences(tree)
    one = tree.sel(label="stop", arm="inverted")
    assert ik.analysis.sentences(one)
    assert to_html(one)
    assert ik.analysis.nearest_words(tree, label="stop", arm="inverted")


def test_an_inverted_token_is_saved_as_any_other(tree: xr.DataTree, tmp_path: Path) -> None:
    file = ik.save_token(tree, tmp_path / "t.safetensors", label="stop", arm="inverted")
    kept = tree["token"]["embedding"].sel(label="stop", arm="inverted", seed=0).isel(check=0)
    assert np.array_equal(ik.load_token(file).numpy(), kept.values)


def test_an_audit_with_images_goes_on_from_its_folder(
    tree: xr.DataTree, audit: Path, folder: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    shutil.copytree(audit, half)
    store = AuditStore(half)
    shutil.rmtree(store.folder(Unit(14, "inverted", 0)))
    assert (ik.open(half)["status"]["status"].values == "missing").sum() == 1
    assert_same(ik.resume(half, progress=False), tree, close=True)


def test_other_images_are_another_audit(
    tree: xr.DataTree, audit: Path, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "images"
    shutil.copytree(folder, other)
    Image.new("RGB", (32, 32), "blue").save(other / "stop" / "1.png")
    with pytest.raises((InputError, StoreError), match="photographs"):
        ik.audit(
            "pocket:honest", ["stop", "yield"], arms=ARMS, images=other, seeds=1, store=audit,
            **MODELS, **FEW,
        )  # fmt: skip
    settings = json.loads(tree.attrs["settings"])
    assert settings["sources"]["images"] == str(folder)
    assert settings["guidance_length"] == 0.1


PICTURE = Image.new("RGB", (32, 32), "red")


def test_of_images_themselves_models_are_known_but_it_is_called_again(tmp_path: Path) -> None:
    given = {"arms": ["inverted"], "images": {"stop": [PICTURE]}, "seeds": 1, **MODELS, **FEW}
    tree = ik.audit("pocket:honest", ["stop"], store=tmp_path / "a", **given)
    assert ik.analysis.reading.model_names(tree)["model"] == "pocket:honest"
    with pytest.raises(InputError, match="call audit"):
        ik.resume(tmp_path / "a", progress=False)
    assert_same(ik.audit("pocket:honest", ["stop"], store=tmp_path / "a", **given), tree)
    shutil.rmtree(AuditStore(tmp_path / "a").folder(Unit(14, "inverted", 0)))
    said = CliRunner().invoke(app, ["status", str(tmp_path / "a")]).output
    assert "called again as it was" in said


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, "there are none of 'stop'; give images="),
        ({"images": {"yield": [PICTURE]}}, "there are none of 'stop'"),
        ({"images": {"stop": []}}, "images of 'stop': 0; expected 1 to 16"),
        ({"images": {"stop": [PICTURE] * 17}}, "images of 'stop': 17"),
        ({"images": {"stop": ["missing.png"]}}, "missing.png"),
        ({"images": {"stop": torch.zeros(1, 3, 8, 8)}}, "images of 'stop': Tensor in the list"),
        ({"images": {"stop": [PICTURE], 14: [PICTURE]}}, "is there twice"),
        ({"images": {"nothing": [PICTURE]}}, "nothing"),
        ({"images": "no/such/folder"}, "no such folder"),
        ({"images": 7}, "images: int; expected a folder"),
        ({"images": {"stop": [PICTURE]}, "arms": ["name"]}, "no arm learns from them"),
        ({"images": {"stop": [PICTURE]}, "steps": 0}, "steps=0"),
    ],
)
def test_images_that_are_none_are_refused_before_any_work(more: dict[str, Any], says: str) -> None:
    made = {"arms": ["name", "inverted"], **MODELS, **FEW, **more}
    with pytest.raises(InputError, match=says):
        ik.audit("pocket:honest", ["stop"], seeds=1, **made)


def test_images_in_one_folder_are_of_no_label(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "a.png")
    with pytest.raises(InputError, match="lie in no folder a class"):
        ik.audit("pocket:honest", ["stop"], images=tmp_path, arms=["inverted"], **MODELS, **FEW)


def test_models_that_cannot_be_opened_are_refused() -> None:
    one = {"arms": ["guided"], **FEW}
    quick = ik.as_generator("pocket", num_inference_steps=1)
    with pytest.raises(InputError, match="between denoising steps"):
        ik.audit("pocket:honest", ["stop"], generator=quick, **one)
    box = ik.as_classifier(
        lambda files: np.zeros(len(files), int), black_box=True, labels=["a", "b"]
    )
    with pytest.raises(InputError, match="'guided' needs a gradient"):
        ik.audit(box, ["a"], generator="pocket", **one)
    pipeline = build("sdxl", ik.as_generator("pocket").pipeline.tokenizer)
    large = Generator(pipeline, name="large", num_inference_steps=2)
    with pytest.raises(InputError, match="has 2 text encoders; leave it out"):
        ik.audit("pocket:honest", ["stop"], generator=large, **one)
    given = {"arms": ["inverted"], "images": {"stop": [PICTURE]}}
    with pytest.raises(InputError, match="textual inversion needs one and a U-Net"):
        ik.audit("pocket:honest", ["stop"], generator=large, **given, **FEW)


def test_the_plan_says_what_a_budget_must_hold(folder: Path) -> None:
    given = {"images": folder, "arms": ["name", "inverted", "guided"], "seeds": 1, "dry_run": True}
    given |= {**FEW, "steps": 50, "generator": ik.as_generator("pocket", num_inference_steps=2)}
    said = ik.audit("pocket:honest", ["stop"], **given)
    assert said.least["inverted"] > 5 * said.least["name"]
    assert said.least["guided"] > said.least["name"]


def test_an_arm_of_ones_own_may_be_guided_or_learned(folder: Path) -> None:
    pushed = Arm("pushed", "pushed start", token="start", guided=True)
    tree = ik.invert("pocket:honest", "stop", arms=["start", pushed], generator="pocket", **FEW)
    images = tree["samples"]["image"].isel(label=0, seed=0)
    assert not np.array_equal(images.sel(arm="start").values, images.sel(arm="pushed").values)


def test_the_command_takes_a_folder_of_images(folder: Path, tmp_path: Path) -> None:
    options = ["--generator", "pocket", "--arm", "name", "--arm", "inverted", "--steps", "1"]
    few = ["--samples", "2", "--validation", "2", "--images", str(folder)]
    out = tmp_path / "run"
    done = CliRunner().invoke(
        app, ["invert", "pocket:honest", "stop", *options, *few, "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    more = ["--label", "stop", "--seeds", "1", "--out", str(tmp_path / "audit")]
    there = CliRunner().invoke(app, ["audit", "pocket:honest", *options, *few, *more])
    assert there.exit_code == 0, there.output
    assert "2 of 2 units done" in there.output
