"""`augment`: images of tokens, sifted, balanced, readable by others, and resumed after a kill."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from typer.testing import CliRunner

import inversion_kit as ik
from inversion_kit import arms
from inversion_kit.arms import Arm
from inversion_kit.classifiers.base import Classifier
from inversion_kit.cli import app
from inversion_kit.errors import InputError, LabelError, StoreError
from inversion_kit.improve import picture_folder

SIGNS = ("stop", "yield")


DIFFUSERS = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
"""pytest.warns emits other warnings anew, from elsewhere than where they are expected."""


@pytest.fixture(scope="module")
def pocket():
    return ik.as_generator("pocket")


@pytest.fixture(scope="module")
def judge():
    return ik.as_classifier("pocket:judge")


@pytest.fixture(scope="module")
def tokens(pocket):
    """Words of the vocabulary as tokens: what they paint is known."""
    return {sign: pocket.vector_of(sign) for sign in SIGNS}


@pytest.fixture(scope="module")
def given(pocket, judge):
    return {
        "generator": pocket,
        "judges": [judge],
        "prompts": ["a photo of a {token}", "a {token}"],
    }


@pytest.fixture(scope="module")
def made(tokens, given, tmp_path_factory):
    """A whole folder and its table."""
    out = tmp_path_factory.mktemp("augment") / "images"
    return out, ik.augment(tokens, 3, out=out, progress=False, **given)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def rows(folder: Path) -> list[dict]:
    return [
        json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()
    ]


def test_each_label_has_as_many(made) -> None:
    out, table = made
    assert table["kept"].values.tolist() == [3, 3]
    assert table["full"].values.all()
    assert (table["tried"] >= table["agreed"]).all()
    assert (table["low"] <= table["share"]).all()
    assert (table["share"] <= table["high"]).all()
    assert json.loads((out / "labels.json").read_text("utf-8")) == {
        "000000": "stop",
        "000001": "yield",
    }


def test_torchvision_reads_it(made) -> None:
    data = torchvision.datasets.ImageFolder(made[0])
    assert data.classes == ["000000", "000001"]
    assert np.bincount(data.targets).tolist() == [3, 3]
    assert data[0][0].size == (32, 32)


def test_hugging_face_reads_it(made, tmp_path) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.load_dataset(
        "imagefolder", data_dir=str(made[0]), cache_dir=str(tmp_path), split="train"
    )
    assert sorted(data["label"]) == ["stop"] * 3 + ["yield"] * 3
    assert data[0]["image"].size == (32, 32)
    assert set(data["judge_0_predicted"]) == set(SIGNS)


def test_every_file_says_where_it_is_from(made, tokens, pocket, judge) -> None:
    for row in rows(made[0]):
        token = ik.ClassToken(tokens[row["label"]])
        (image,) = pocket.images([row["prompt"]], token=token, seeds=[row["noise_seed"]]).detach()
        again = image.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        kept = np.asarray(Image.open(made[0] / row["file_name"]))
        assert np.abs(kept.astype(int) - again.astype(int)).max() <= 1  # other batch, other bits
        assert row["generator_hash"] == pocket.hash
        assert len(row["token_hash"]) == 64
        read = judge.probability(
            judge.logits(torch.from_numpy(kept.copy()).permute(2, 0, 1)[None] / 255)
        )
        at = judge.index(row["label"])
        assert int(read.argmax()) == at
        assert row["judge_0_probability"] == pytest.approx(float(read[0, at]), abs=1e-4)
    assert {row["template"] for row in rows(made[0])} == {"a photo of a {token}", "a {token}"}


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_kill_loses_nothing(made, tokens, given, tmp_path, monkeypatch, after: int) -> None:
    """Killed between the files of a round; the same call then gives the same bits."""
    whole, written = picture_folder.durable.write_file, []

    def dies(path: Path, data: bytes) -> None:
        if path.suffix == ".png":
            written.append(path)
            if len(written) > after:
                raise _Killed
        whole(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(picture_folder.durable, "write_file", dies)
        with pytest.raises(_Killed):
            ik.augment(tokens, 3, out=tmp_path / "a", progress=False, **given)
    assert not (tmp_path / "a" / "metadata.jsonl").exists()
    table = ik.augment(tokens, 3, out=tmp_path / "a", progress=False, **given)
    assert files(tmp_path / "a") == files(made[0])
    assert table.equals(made[1])


def test_it_does_nothing_twice(made, tokens, given, tmp_path, monkeypatch) -> None:
    out = tmp_path / "copy"
    shutil.copytree(made[0], out)
    before = files(out)
    monkeypatch.setattr("inversion_kit.improve.augment.sample", None)  # no image is made
    assert ik.augment(tokens, 3, out=out, progress=False, **given).equals(made[1])
    assert files(out) == before


def test_what_was_lost_is_made_again(made, tokens, given, tmp_path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(made[0], out)
    images = sorted(out.rglob("*.png"))
    images[0].unlink()
    images[-1].write_bytes(b"rotten")
    with (out / "augment.jsonl").open("ab") as log:
        log.write(b'{"label": "0", "rou')  # a line that was cut
    assert ik.augment(tokens, 3, out=out, progress=False, **given).equals(made[1])
    after = files(out)
    assert {k: v for k, v in after.items() if k != "augment.jsonl"} == {
        k: v for k, v in files(made[0]).items() if k != "augment.jsonl"
    }
    assert set(after["augment.jsonl"].splitlines()) == set(
        files(made[0])["augment.jsonl"].splitlines()
    )


@pytest.mark.parametrize("other", [{"seed": 1}, {"n": 4}, {"prompts": ["{token}"]}, {"judges": []}])
def test_other_arguments_are_refused(made, tokens, given, other: dict) -> None:
    asked = {"n": 3, **given, **other}
    before = files(made[0])
    with pytest.raises(InputError, match=f"other arguments .*{next(iter(other))}"):
        ik.augment(tokens, out=made[0], progress=False, **asked)
    assert files(made[0]) == before


def test_a_folder_with_something_else_is_left_alone(tokens, given, tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="something else"):
        ik.augment(tokens, 3, out=tmp_path, progress=False, **given)
    assert [path.name for path in tmp_path.iterdir() if path.name != "lock"] == ["mine.txt"]


@DIFFUSERS
def test_a_label_that_cannot_be_filled_is_said(tokens, given, tmp_path) -> None:
    """A token that paints another class than it says: nothing is kept, and nothing is silent."""
    wrong = {"stop": tokens["stop"], "keep left": tokens["yield"]}
    asked = {**given, "tries": 2}
    with pytest.warns(UserWarning, match="“keep left”: 0 kept of 4 tried.*2 were asked for"):
        table = ik.augment(wrong, 2, out=tmp_path / "a", progress=False, **asked)
    assert table["full"].values.tolist() == [True, False]
    assert table["tried"].values.tolist()[1] == 4
    assert float(table["high"][1]) > 0
    assert not (tmp_path / "a" / "000001").exists()  # ImageFolder refuses an empty class
    log = (tmp_path / "a" / "augment.jsonl").read_text("utf-8")
    assert sum(row["label"] == "keep left" for row in rows(tmp_path / "a")) == 0
    assert log.count('"keep left"') > 4  # what was not kept is known


@DIFFUSERS
def test_agreement_is_a_share_of_all_who_read(tokens, pocket, judge, tmp_path) -> None:
    """One of two readers says another class of everything."""

    class Wrong(Classifier):
        def logits(self, images: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(torch.zeros(len(images)).long(), 43).float()

    wrong = Wrong(judge.model, judge.preprocess, judge.labels, name="wrong")
    both = {"generator": pocket, "classifier": wrong, "judges": [judge], "progress": False}
    half = ik.augment({"stop": tokens["stop"]}, 2, out=tmp_path / "half", agreement=0.5, **both)
    with pytest.warns(UserWarning, match="not full"):
        whole = ik.augment({"stop": tokens["stop"]}, 2, out=tmp_path / "all", tries=1, **both)
    assert int(half["kept"][0]) == 2
    assert int(whole["kept"][0]) == 0


def test_a_result_and_its_file_give_the_same_images(pocket, tmp_path) -> None:
    tree = ik.invert(
        "pocket:honest",
        "stop",
        generator="pocket",
        arms=["token", "name"],
        steps=1,
        batch=1,
        validation=1,
        samples=1,
        restarts=0,
        seeds=1,
        progress=False,
    )
    file = ik.save_token(tree, tmp_path / "stop.safetensors", arm="token")
    for name, source, generator in (("a", tree, None), ("b", file, pocket)):
        ik.augment(source, 1, out=tmp_path / name, generator=generator, progress=False)
    (one,), (other,) = rows(tmp_path / "a"), rows(tmp_path / "b")
    assert one["token_hash"] == other["token_hash"]
    assert one["sha256"] == other["sha256"]
    assert one["label_index"] == ik.as_classifier("pocket:honest").index("stop")
    ik.augment(tree, 1, out=tmp_path / "c", arm="name", progress=False)
    assert rows(tmp_path / "c")[0]["prompt"] == "a photo of a stop"
    with pytest.raises(InputError, match="token\\+name"):
        ik.augment(tree, 1, out=tmp_path / "d", arm="token+name", progress=False)
    assert not (tmp_path / "d").exists()


def test_every_arm_of_a_result_gives_images_in_its_own_prompt(tmp_path) -> None:
    snow = Arm("snow", "token in the snow", templates=("a photo of a {token} in the snow",))
    few = {"steps": 1, "batch": 1, "validation": 1, "samples": 1, "restarts": 0, "views": ()}
    tree = ik.invert(
        "pocket:honest",
        "stop",
        generator="pocket",
        arms=[snow, "inverted"],
        images=[Image.new("RGB", (32, 32), "red")],
        progress=False,
        **few,
    )
    assert "snow" not in arms.ARMS
    for arm, said in (("snow", " in the snow"), ("inverted", "a photo of a")):
        ik.augment(tree, 1, out=tmp_path / arm, arm=arm, progress=False)
        (row,) = rows(tmp_path / arm)
        kept = tree["token"]["embedding"].sel(label="stop", arm=arm, seed=0)
        kept = kept.isel(check=int(tree["token"]["selected"].sel(arm=arm).item()))
        assert row["token_hash"] == hashlib.sha256(kept.values.tobytes()).hexdigest()
        assert said in row["prompt"]


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"n": 0}, InputError, "n=0"),
        ({"agreement": 0}, InputError, "agreement=0"),
        ({"arm": "nobodys"}, InputError, "'name', 'token\\+name', 'token'"),
        ({"arm": "guided"}, InputError, "arm='guided': must be one of"),
        ({"arm": "start"}, InputError, "arm='start': must be one of"),
        ({"arm": 7}, InputError, "arm=7: must be one of"),
        ({"arm": "name"}, InputError, "needs a result"),
        ({"prompts": ["a photo"]}, InputError, "must hold {token} once"),
        ({"prompts": ["a {token} {name}"]}, InputError, "do not name the class"),
        ({"generator": None}, InputError, "learned in"),
        ({"labels": ["no such"]}, InputError, "no such"),
        ({"tokens": {}}, InputError, "at least one"),
        ({"tokens": 3}, InputError, "expected a result"),
        ({"tokens": [torch.zeros(4)]}, InputError, "does not say its label"),
        ({"tokens": "missing.safetensors"}, StoreError, "missing"),
        ({"tokens": {"no such sign": torch.zeros(128)}}, InputError, "has no label"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(
    tokens, given, tmp_path, changed: dict, error: type, words: str
) -> None:
    asked = {"tokens": tokens, "n": 2, **given, **changed}
    with pytest.raises(error, match=words):
        ik.augment(asked.pop("tokens"), asked.pop("n"), out=tmp_path / "a", **asked)
    assert not (tmp_path / "a").exists()


def test_labels_are_never_paths(given, tokens, pocket, tmp_path) -> None:
    name = "../../stop"
    asked = {**given, "judges": []}
    ik.augment({name: tokens["stop"]}, 1, out=tmp_path / "in" / "a", progress=False, **asked)
    assert rows(tmp_path / "in" / "a")[0]["label"] == name
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a"]


def test_from_a_shell(tokens, pocket, tmp_path) -> None:
    from safetensors.torch import save_file

    file = tmp_path / "stop.safetensors"
    save_file({"emb_params": tokens["stop"].detach().clone()[None]}, file, {"label": "stop"})
    asked = ["augment", str(file), "2", "--out", str(tmp_path / "a"), "--generator", "pocket"]
    page = tmp_path / "page.html"
    ended = CliRunner().invoke(app, [*asked, "--judge", "pocket:judge", "--page", str(page)])
    assert ended.exit_code == 0, ended.output
    assert "How many of the pictures do the judges confirm?" in page.read_text()
    assert "“stop”: 2 kept of" in page.read_text()
    assert "<script" not in page.read_text()
    assert "“stop”: 2 kept of" in ended.output
    assert len(rows(tmp_path / "a")) == 2
    again = CliRunner().invoke(app, [*asked, "--seed", "1"])
    assert again.exit_code == 2
    assert "other arguments" in again.output


def test_an_unknown_label_of_a_result_is_named(tmp_path) -> None:
    from inversion_kit.testing import synthetic

    with pytest.raises(LabelError, match="no such"):
        ik.augment(
            synthetic(),
            1,
            out=tmp_path / "a",
            generator="pocket",
            labels=["no such"],
            progress=False,
        )
