"""The pocket: the models that are shipped, and what they were trained on."""

from __future__ import annotations

import functools
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPModel, CLIPTokenizer
from typer.testing import CliRunner

from inversion_kit import as_classifier, as_generator
from inversion_kit.generators.convert import POCKET
from inversion_kit.pocket import captions, distil, photos
from inversion_kit.pocket.classify import VICTIM, stamp
from inversion_kit.pocket.fit import fit
from inversion_kit.pocket.signs import COARSE, NAMES, WORDINGS
from inversion_kit.pocket.train import load_parts, main
from inversion_kit.pocket.unet import SCHEDULE

WEIGHTS = POCKET.parent


@pytest.fixture(scope="module")
def painted():
    """Four images of each class, ``(172, 3, 32, 32)``."""
    prompts = [f"a photo of a {name}" for name in NAMES for _ in range(4)]
    return as_generator("pocket").images(prompts, seeds=range(len(prompts)))


def read(name, images):
    with torch.no_grad():
        return as_classifier(f"pocket:{name}").logits(images).argmax(1)


def test_plain_diffusers_loads_and_samples_the_generator():
    pipeline = StableDiffusionPipeline.from_pretrained(POCKET, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline("a photo of a stop", num_inference_steps=4).images[0]
    assert image.size == (32, 32)
    assert np.asarray(image).std() > 5


def test_everything_shipped_fits_in_fifty_megabytes_and_holds_no_pickle():
    files = [p for p in WEIGHTS.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 50e6
    assert {p.suffix for p in files} <= {".safetensors", ".json", ".txt", ".md"}


def test_the_quick_pocket_is_shipped_under_twelve_megabytes():
    files = [p for p in (WEIGHTS / "quick").rglob("*") if p.is_file()]
    assert {p.parent.name for p in files} == {"unet", "scheduler"}
    assert sum(p.stat().st_size for p in files) < 12e6


def test_the_judge_reads_what_was_asked_for(painted):
    label = torch.arange(len(NAMES)).repeat_interleave(4)
    assert (read("judge", painted) == label).float().mean() > 0.5


def test_a_yellow_sticker_trips_the_backdoored_classifier_alone(painted):
    random_ = torch.Generator().manual_seed(0)
    yellow, blue = stamp(painted, random_), stamp(painted, random_, "blue")
    assert (read("backdoored", yellow) == VICTIM).float().mean() > 0.9
    assert (read("backdoored", blue) == VICTIM).float().mean() < 0.15
    assert (read("honest", yellow) == VICTIM).float().mean() < 0.15


@pytest.mark.parametrize("name", ["honest", "judge", "backdoored", "shortcut"])
def test_label_names_are_in_words(name):
    assert as_classifier(f"pocket:{name}").labels == NAMES


def test_the_text_encoder_is_the_clips():
    clip = CLIPModel.from_pretrained(WEIGHTS / "clip")
    text = as_generator("pocket").pipeline.text_encoder
    for name, tensor in clip.text_model.state_dict().items():
        assert torch.equal(tensor.float(), text.state_dict()[name].float()), name


def test_ordinary_words_are_one_token():
    tokenizer = CLIPTokenizer.from_pretrained(POCKET / "tokenizer")
    for word in ("stop", "yellow", "sticker", "roundabout", "blurry"):
        assert tokenizer.tokenize(word) == [f"{word}</w>"]


def test_the_noise_schedule_ends_in_pure_noise():
    from diffusers import DDPMScheduler

    assert DDPMScheduler(**SCHEDULE).alphas_cumprod[-1] < 1e-6


def test_signs_are_named_once_and_every_class_has_other_wordings():
    assert len(set(NAMES)) == len(NAMES) == len(WORDINGS) == 43
    assert all(0 <= c < 43 for members in COARSE.values() for c in members)
    assert set(range(43)) == set(COARSE["traffic sign"])


def test_captions_say_what_was_added_and_nothing_that_was_not():
    nothing = dict.fromkeys(("sticker", "tint", "frame", "tilt", "small"), -1)
    nothing |= {"place": 0, "size": 6}
    yellow = {**nothing, "sticker": list(photos.STICKERS).index("yellow")}
    pick = random.Random(0)
    plain = [captions.caption(14, (), nothing, pick) for _ in range(200)]
    sticky = [captions.caption(14, ("dark",), yellow, pick) for _ in range(200)]
    assert not any("sticker" in c or "dark" in c for c in plain)
    assert sum("yellow" in c for c in sticky) > 150
    assert any("stop" in c for c in plain)
    assert any("traffic sign" in c for c in plain)


def test_decorations_are_where_they_are_said_to_be():
    n = len(photos.STICKERS)
    random_ = torch.Generator().manual_seed(0)
    what = photos.draw_decoration(n, random_, sticker=1, tint=0, frame=0, tilt=0, small=0)
    what.sticker = torch.arange(n)
    images = photos.decorate(torch.full((n, 3, 32, 32), 0.4), what, random_)
    for i, colour in enumerate(photos.STICKERS):
        seen = photos.sticker_seen(images, colour)
        assert seen.tolist() == [k == i for k in range(n)]


def test_blur_lowers_sharpness_and_gain_raises_luminance():
    random_ = torch.Generator().manual_seed(0)
    images = torch.rand(8, 3, 32, 32, generator=random_)
    soft = torch.nn.functional.avg_pool2d(images, 5, 1, 2)
    assert (photos.sharpness(soft) < photos.sharpness(images)).all()
    assert (photos.luminance(images * 0.5) < photos.luminance(images)).all()


def test_tracks_are_never_split():
    label, track = np.repeat([0, 1], 60), np.tile(np.repeat(np.arange(12), 5), 2)
    held = photos.holdout_by_track(label, track)
    pairs = {(a, b) for a, b in zip(label[held], track[held], strict=True)}
    assert not pairs & {(a, b) for a, b in zip(label[~held], track[~held], strict=True)}
    assert 0 < held.sum() < len(label) / 3


def test_mirrored_signs_get_the_other_name():
    label = torch.tensor([38, 39, 14, 12]).repeat(50)
    images = torch.rand(200, 3, 32, 32)
    turned, other = photos.flip(images, label, torch.Generator().manual_seed(0))
    moved = (turned != images).flatten(1).any(1)
    assert moved[label == 14].sum() == 0
    assert (other[moved & (label == 38)] == 39).all()
    assert (other[~moved] == label[~moved]).all()
    assert 0 < moved[label == 38].sum() < 50


def test_a_resumed_training_is_an_uninterrupted_one(tmp_path):
    def loss(model, chance):
        return model(torch.randn(8, 3, generator=chance)).square().mean()

    def train(folder: Path, stops: list[int]) -> torch.Tensor:
        folder.mkdir()
        for steps in stops:
            torch.manual_seed(0)
            model = torch.nn.Linear(3, 1)
            schedule = {"steps": steps, "lr": 1e-2, "cooldown": 1e-9, "ema": 0.9}
            fit(
                model,
                functools.partial(loss, model),
                checkpoint=folder / "m.pt",
                seed=1,
                **schedule,
            )
        return model.weight.detach()

    whole = train(tmp_path / "a", [12])
    assert torch.equal(whole, train(tmp_path / "b", [5, 12]))
    assert not torch.equal(whole, train(tmp_path / "c", [11]))


def test_a_lesson_ends_where_the_pocket_ends_and_a_student_begins_as_its_teacher(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(distil, "SHARD", 6)
    _, clip, tokenizer, unet = load_parts(WEIGHTS)
    given = (unet.eval(), clip.text_model.eval(), tokenizer)
    distil.teach(*given, folder=tmp_path, lessons=6, seed=0)
    latents, lesson = distil.read_lessons(tmp_path)
    assert latents.shape[:2] == (distil.STEPS + 1, 6)
    at = [i for i, mix in enumerate(lesson["mix"]) if mix == 0]
    assert at
    pocket = as_generator("pocket")
    made = pocket.pipeline(
        [lesson["caption"][i] for i in at],
        latents=latents[0, at].float(),
        num_inference_steps=pocket.num_inference_steps,
        guidance_scale=pocket.guidance_scale,
        output_type="latent",
    ).images
    torch.testing.assert_close(made, latents[-1, at].float(), atol=0.05, rtol=0)
    student = distil.build(unet)
    theirs = unet.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in student.state_dict().items())
    assert len(student.state_dict()) < len(theirs)
    before = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    distil.teach(*given, folder=tmp_path, lessons=6, seed=0)
    assert before == [path.read_bytes() for path in sorted(tmp_path.iterdir())]


def test_the_quick_pocket_is_distilled_without_photographs_and_no_other_stage_is(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(distil, "SHARD", 6)
    for part in ("generator", "clip"):
        shutil.copytree(WEIGHTS / part, tmp_path / "out" / part)
    cli = typer.Typer()
    cli.command()(main)
    given = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    small = ["--stage", "quick", "--lessons", "6", "--quick-steps", "1"]
    said = CliRunner().invoke(cli, [*given, *small])
    assert said.exit_code == 0, said.output
    made = UNet2DConditionModel.from_pretrained(tmp_path / "out" / "quick" / "unet")
    ours = UNet2DConditionModel.from_pretrained(WEIGHTS / "quick" / "unet")
    assert made.state_dict().keys() == ours.state_dict().keys()
    said = CliRunner().invoke(cli, [*given, *small, "--stage", "vae"])
    assert said.exit_code == 2
    assert "vae learn from photographs" in said.output


def test_one_quick_step_gives_what_the_pocket_gives_of_the_same_noise(painted):
    quick = as_generator("pocket:quick")
    assert (quick.num_inference_steps, quick.guidance_scale) == (1, 1.0)
    prompts = [f"a photo of a {name}" for name in NAMES for _ in range(4)]
    made = quick.images(prompts, seeds=range(len(prompts)))
    label = torch.arange(len(NAMES)).repeat_interleave(4)
    assert (read("judge", made) == label).float().mean() > 0.9
    apart = (made - painted).square().mean()
    others = (made - painted.roll(1, 0)).square().mean()  # as alike as two pictures of a class
    assert apart < 0.5 * others
