"""A quicker generator searches; the whole one makes the evidence, and the gap is in the result."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, EulerDiscreteScheduler, LCMScheduler
from torch import nn

import inversion_kit as ik
from inversion_kit.errors import GeneratorUnavailableError, InputError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.counting import counted
from inversion_kit.generators.quick import search_generator
from inversion_kit.settings import Settings

SMALL = {"steps": 2, "samples": 3, "validation": 2, "batch": 2, "restarts": 0, "views": []}


def run(classifier, generator, **more):
    given = {"generator": generator, "progress": False, **SMALL, **more}
    return ik.invert(classifier, "stop", **given)


def of(generator, text_encoder, **more):
    """A generator with other parts."""
    pipeline = generator.pipeline
    parts = {**pipeline.components, "text_encoder": text_encoder, **more}
    return Generator(type(pipeline)(**parts, requires_safety_checker=False), name="other")


def test_without_a_quick_one_the_generator_itself_is_asked(generator):
    assert search_generator(generator, Settings()) is generator


def test_steps_and_guidance_of_the_search_leave_the_generator_alone(generator):
    quick = search_generator(generator, Settings(search_steps=1, search_guidance=1.0))
    assert (quick.num_inference_steps, quick.guidance_scale) == (1, 1.0)
    assert (generator.num_inference_steps, generator.guidance_scale) == (4, 2.0)
    with counted(generator) as counts:
        quick.images(["a cat"], seeds=[0])
    assert counts.evaluations == 1  # one step, and no unconditional branch


def test_a_quick_one_searches_and_the_whole_one_makes_the_evidence(classifier, make_generator):
    generator, quick = make_generator(), make_generator()
    quick.name, quick.num_inference_steps, quick.guidance_scale = "quick", 1, 1.0
    generator.quick = quick
    with counted(quick) as searching, counted(generator) as reporting:
        tree = run(classifier, generator)
    updates, checks, gap, rehearsed = 2 * 2, 2 * 2, 3, 3
    assert searching.evaluations == updates + checks + gap + rehearsed
    assert searching.backwards == updates + 2
    arms, steps, guided = 3, 4, 2
    assert reporting.evaluations == arms * 3 * steps * guided + 3 * guided  # and the rehearsal
    assert reporting.backwards == 0
    facts = json.loads(tree.attrs["settings"])["search"]
    assert (facts["generator"], facts["num_inference_steps"]) == ("quick", 1)


def test_the_gap_is_measured_on_the_noise_of_the_evidence(classifier, generator):
    tree = run(classifier, generator, search_steps=1, search_guidance=1.0)
    samples = tree["samples"].to_dataset().sel(arm="token").isel(label=0, seed=0)
    quick = replace(Settings(), search_steps=1, search_guidance=1.0)
    token = ik.generators.class_token.ClassToken(torch.tensor(kept_token(tree)))
    images = search_generator(generator, quick).images(
        [p.replace("{token}", ik.generators.class_token.PLACEHOLDER) for p in prompts(samples)],
        seeds=samples["noise_seed"].values.tolist(),
        token=token,
    )
    images = images.detach().mul(255).round() / 255
    wanted = classifier.probability(classifier.logits(images)).numpy()
    np.testing.assert_allclose(samples["search_probability"].values, wanted, atol=1e-5)
    assert not np.allclose(samples["search_probability"], samples["probability"], atol=1e-3)


def kept_token(tree):
    token = tree["token"].to_dataset().sel(arm="token").isel(label=0, seed=0)
    return token["embedding"].values[int(token["selected"]), 0]


def prompts(samples):
    return [str(p) for p in samples["prompt"].values]


def test_without_another_generator_no_gap_is_stored(classifier, generator):
    tree = run(classifier, generator)
    assert "search_probability" not in tree["samples"]
    assert json.loads(tree.attrs["settings"])["search"] is None


def test_a_generator_with_other_words_is_refused(generator):
    other = nn.Module.requires_grad_(
        type(generator.pipeline.text_encoder)(generator.pipeline.text_encoder.config), False
    )
    quick = of(generator, other)
    generator = of(generator, generator.pipeline.text_encoder)
    generator.quick = quick
    with pytest.raises(InputError, match="search_generator='other': its text encoders"):
        search_generator(generator, Settings())
    assert search_generator(generator, Settings(search_generator="itself")) is generator


def test_a_tiny_decoder_decodes_while_searching(classifier, generator, tmp_path):
    torch.manual_seed(3)
    channels = dict(  # noqa: C408 - names of arguments
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        latent_channels=4,
    )
    AutoencoderTiny(**channels).save_pretrained(tmp_path / "tiny")
    decoder = str(tmp_path / "tiny")
    quick = search_generator(generator, Settings(search_decoder=decoder))
    assert type(quick.pipeline.vae) is AutoencoderTiny
    assert type(generator.pipeline.vae) is not AutoencoderTiny
    assert quick.hash != generator.hash
    tree = run(classifier, generator, search_decoder=decoder)
    assert json.loads(tree.attrs["settings"])["search_decoder"] == decoder
    AutoencoderTiny(**{**channels, "latent_channels": 6}).save_pretrained(tmp_path / "six")
    with pytest.raises(InputError, match="decodes 6 channels"):
        search_generator(generator, Settings(search_decoder=str(tmp_path / "six")))
    with pytest.raises(GeneratorUnavailableError, match=r"search_decoder='/nowhere'.*leave it out"):
        search_generator(generator, Settings(search_decoder="/nowhere"))


def test_plain_images_are_made_once_for_labels_of_a_process(classifier, make_generator):
    generator = make_generator()
    first = run(classifier, generator)
    with counted(generator) as counts:
        again = run(classifier, generator)
    arms = [str(a) for a in first["samples"]["arm"].values]
    assert arms == ["name", "start", "token"]
    updates, checks, rehearsed = 2 * 2 * 4 * 2, 2 * 2 * 4 * 2, 3 * 2
    assert (
        counts.evaluations == updates + checks + rehearsed + 3 * 4 * 2
    )  # those of the token alone
    np.testing.assert_array_equal(first["samples"]["image"], again["samples"]["image"])


def test_an_audit_of_another_search_generator_is_another(classifier, generator, tmp_path):
    given = {**SMALL, "generator": generator, "progress": False, "store": tmp_path / "a"}
    ik.audit(classifier, ["stop"], arms=["token"], seeds=1, **given)
    with pytest.raises(InputError, match="search"):
        ik.audit(classifier, ["stop"], arms=["token"], seeds=1, search_steps=1, **given)


@pytest.mark.parametrize(
    ("scheduler", "settings", "steps", "guidance"),
    [
        (LCMScheduler, {}, 4, 1.0),
        (EulerDiscreteScheduler, {"timestep_spacing": "trailing"}, 1, 0.0),
        (EulerDiscreteScheduler, {"timestep_spacing": "leading"}, 30, 7.0),
        (DDIMScheduler, {}, 30, 7.0),
    ],
)
def test_a_family_samples_as_it_was_made_to(make_pipeline, scheduler, settings, steps, guidance):
    pipeline = make_pipeline(scheduler=scheduler, **settings)
    generator = ik.as_generator(pipeline)
    assert (generator.num_inference_steps, generator.guidance_scale) == (steps, guidance)
    told = ik.as_generator(pipeline, num_inference_steps=3, guidance_scale=2.0)
    assert (told.num_inference_steps, told.guidance_scale) == (3, 2.0)


def test_the_gap_between_the_two_is_told_with_its_interval(classifier, generator):
    tree = run(classifier, generator, search_steps=1, search_guidance=1.0, samples=8)
    gap = ik.analysis.search_gap(tree)
    samples = tree["samples"].to_dataset().sel(arm="token").isel(label=0, seed=0)
    target = int(samples["label_index"])
    whole, quick = (
        float((samples[name].argmax("class") == target).mean())
        for name in ("probability", "search_probability")
    )
    assert float(gap["difference"]) == pytest.approx(whole - quick)
    assert float(gap["low"]) <= whole - quick <= float(gap["high"])
    assert int(gap["pairs"]) == 8
    told = ik.analysis.numbers(tree)["search"]
    assert (told["generator"], told["num_inference_steps"]) == ("tiny", 1)
    assert told["difference"] == pytest.approx(whole - quick)
    without = run(classifier, generator)
    assert int(ik.analysis.search_gap(without)["pairs"]) == 0
    assert ik.analysis.numbers(without)["search"] is None
