"""Textual inversion: what it learns, what it leaves alone, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from typer.testing import CliRunner

import inversion_kit as ik
from inversion_kit.cli import app
from inversion_kit.errors import InputError, StoreError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER


@pytest.fixture(scope="module")
def quick() -> Generator:
    return ik.as_generator("pocket:quick")


@pytest.fixture(scope="module")
def signs(quick: Generator) -> torch.Tensor:
    return quick.images(["a photo of a stop sign"] * 4, seeds=[0, 1, 2, 3])


def likeness(generator: Generator, token: Any, like: torch.Tensor) -> float:
    """Mean squared distance of a token's pictures to the mean of some."""
    prompts = [f"a photo of a {PLACEHOLDER}"] * 4
    made = generator.images(prompts, seeds=[10, 11, 12, 13], token=token)
    return float((made.mean(0) - like.mean(0)).square().mean())


def test_a_token_comes_nearer_to_what_the_images_show(signs: torch.Tensor) -> None:
    pocket = ik.as_generator("pocket", num_inference_steps=2)
    before = pocket.fresh_hash()
    start = ik.ClassToken(pocket.neutral_vector())
    token = ik.textual_inversion(signs, generator=pocket, steps=25, batch=4)
    assert pocket.fresh_hash() == before
    assert likeness(pocket, token, signs) < 0.7 * likeness(pocket, start, signs)
    again = ik.textual_inversion(signs, generator=pocket, steps=2, batch=4)
    same = ik.textual_inversion(signs, generator=pocket, steps=2, batch=4)
    other = ik.textual_inversion(signs, generator=pocket, steps=2, batch=4, seed=1)
    assert torch.equal(again.vector, same.vector)
    assert not torch.equal(again.vector, other.vector)


def test_its_token_goes_where_tokens_go(quick: Generator, tmp_path: Path) -> None:
    files = []
    for k in range(2):
        files.append(tmp_path / f"{k}.png")
        Image.new("RGB", (50, 40), (0, 0, 90 * k)).save(files[-1])
    token = ik.textual_inversion(files, generator=quick, steps=1, batch=2, start="stop")
    assert token.vector.shape == (1, 128)
    (picture,) = ik.generate(token, "a dark photo of a {token}", generator=quick, n=1)
    assert picture.size == (32, 32)
    table = ik.augment({"blue": token}, 1, out=tmp_path / "more", generator=quick, progress=False)
    assert table["kept"].values.tolist() == [1]


def test_one_command_writes_a_token_that_augment_and_load_read(tmp_path: Path) -> None:
    files = []
    for k in range(2):
        files.append(str(tmp_path / f"{k}.png"))
        Image.new("RGB", (50, 40), (200, 0, 90 * k)).save(files[-1])
    out = tmp_path / "stop.safetensors"
    asked = ["--generator", "pocket", "--steps", "2", "--batch", "2", "--seed", "3"]
    called = ["textual-inversion", *files, *asked, "--label", "stop", "--out", str(out)]
    done = CliRunner().invoke(app, called)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == f"token: {out.resolve()}"
    pocket = ik.as_generator("pocket")
    same = ik.textual_inversion(files, generator=pocket, steps=2, batch=2, seed=3)
    assert torch.equal(ik.load_token(out), same.vector.detach())
    with safe_open(out, "pt") as file:
        kept = file.metadata()
    assert (kept["label"], kept["generator_hash"]) == ("stop", pocket.hash)
    more = ["augment", str(out), "1", "--generator", "pocket", "--out", str(tmp_path / "more")]
    done = CliRunner().invoke(app, more)
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "more").rglob("*.png"))) == 1
    again = CliRunner().invoke(app, [*called[:-1], str(tmp_path / "stop.bin")])
    assert again.exit_code == 2
    assert ".safetensors" in again.output


@pytest.mark.parametrize(
    ("token", "more", "says"),
    [
        (torch.zeros(1, 128), {"generator": None}, "does not say what it was learned in"),
        (torch.zeros(1, 64), {}, r"expected finite numbers \(1, 128\)"),
        (torch.full((1, 128), float("nan")), {}, "finite"),
        (torch.zeros(1, 128), {"label": " "}, "label=' '"),
        (torch.zeros(1, 128), {"arm": "token"}, "a token itself has none"),
        (torch.zeros(1, 128), {"run_seed": 0}, "a token itself has none"),
    ],
)
def test_a_token_that_no_generator_takes_is_not_written(
    quick: Generator, tmp_path: Path, token: torch.Tensor, more: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        ik.save_token(token, tmp_path / "t.safetensors", **{"generator": quick, **more})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("images", "more", "says"),
    [
        ([], {}, "images: 0; expected 1 to 16"),
        ([Image.new("RGB", (8, 8))] * 17, {}, "images: 17; expected 1 to 16"),
        ("stop.png", {}, "images: str; expected a list"),
        (7, {}, "images: int; expected a list"),
        ([np.zeros((8, 8, 3))], {}, "images: ndarray in the list; expected paths or PIL"),
        (["missing.png"], {}, "missing.png"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), {}, "expected float"),
        (torch.full((1, 3, 8, 8), 2.0), {}, "expected float"),
        (torch.zeros(3, 8, 8), {}, "expected float"),
        ([Image.new("RGB", (8, 8))], {"steps": 0}, "steps=0"),
        ([Image.new("RGB", (8, 8))], {"batch": 1.5}, "batch=1.5"),
        ([Image.new("RGB", (8, 8))], {"lr": 0}, "lr=0"),
        ([Image.new("RGB", (8, 8))], {"lr": float("nan")}, "lr=nan"),
        ([Image.new("RGB", (8, 8))], {"seed": -1}, "seed=-1"),
        ([Image.new("RGB", (8, 8))], {"prompts": "a photo"}, "must hold {token}"),
    ],
)
def test_what_cannot_be_used_is_refused(
    quick: Generator, images: Any, more: dict[str, Any], says: str
) -> None:
    with pytest.raises((InputError, StoreError), match="|".join([says.replace("{", r"\{")])):
        ik.textual_inversion(images, generator=quick, **more)
