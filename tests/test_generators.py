"""Generators: diffusers' own sampling, frozen, repeatable, and honest about what it cannot do."""

from __future__ import annotations

import copy
import json
import types
import warnings

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from diffusers.utils.torch_utils import randn_tensor
from families import ASKED, SHORT, WORDS, build, learn
from transformers import CLIPConfig, CLIPImageProcessor

from inversion_kit.errors import InputError, NumericalError
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.gradients import LAST_STEP, LATE_STEP, last_k
from inversion_kit.generators.sample import sample
from inversion_kit.generators.sampling import estimate


def watched(generator):
    """A list that grows by whether each call of the U-Net had a gradient."""
    calls = []
    generator.denoiser.register_forward_hook(
        lambda module, inputs, output: calls.append(output[0].requires_grad)
    )
    return calls


def trained_through(generator):
    """The image of a token at a word, through which a gradient has reached the token."""
    token, images = learn(generator, gradient=LAST_STEP)
    images.sum().backward()
    assert token.vector.grad.norm() > 0
    return images


def test_images_are_rgb_between_0_and_1(generator):
    images = generator.images(["photo of cat", "dog"], seeds=[1, 2])
    assert (images.shape, images.dtype) == ((2, 3, 16, 16), torch.float32)
    assert images.min() >= 0
    assert images.max() <= 1
    assert not images.requires_grad


def test_the_same_seed_gives_the_same_image_in_any_batch(generator):
    asked = ["cat", "dog", "red cat"]
    together = generator.images(asked, seeds=[1, 2, 3])
    alone = [generator.images([a], seeds=[s]) for a, s in zip(asked, (1, 2, 3), strict=True)]
    turned = generator.images(asked[::-1], seeds=[3, 2, 1]).flip(0)
    assert torch.equal(together, generator.images(asked, seeds=[1, 2, 3]))
    for images in (torch.cat(alone), turned, sample(generator, asked, seeds=[1, 2, 3], batch=2)):
        assert torch.allclose(together, images, atol=1e-5)


def test_seed_prompt_token_and_steps_each_change_the_image(generator):
    base = learn(generator)[1]
    changes = {"seed": 2, "prompt": f"big {PLACEHOLDER}", "word": "dog", "num_inference_steps": 2}
    for name, value in changes.items():
        assert (learn(generator, **{name: value})[1] - base).abs().max() > 0.01
    token, images = learn(generator, num_inference_steps=2)
    sampled = sample(generator, [ASKED], seeds=[1], token=token, num_inference_steps=2)
    assert torch.equal(sampled, images)


def test_global_randomness_is_neither_used_nor_moved(generator):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = generator.images(["cat"], seeds=[1])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(generator.images(["cat"], seeds=[1]), first)


def test_scheduler_and_networks_are_restored_after_an_error(make_generator):
    generator = make_generator()
    good = learn(generator)[1]
    weight = generator.pipeline.unet.conv_out.weight
    kept = weight.clone()
    weight.data = torch.zeros(1)
    with pytest.raises(RuntimeError):
        learn(generator, gradient=LAST_STEP)
    weight.data = kept
    assert "step" not in vars(generator.pipeline.scheduler)
    assert not generator.pipeline.unet._forward_pre_hooks
    assert not generator.embedding._forward_hooks
    assert torch.is_grad_enabled()
    assert torch.equal(learn(generator)[1], good)


@pytest.mark.parametrize("steps", [3, 4])
@pytest.mark.parametrize("scheduler", [DDIMScheduler, DPMSolverMultistepScheduler, PNDMScheduler])
def test_last_k_differentiates_exactly_k_calls_of_the_unet(make_generator, scheduler, steps):
    settings = {"skip_prk_steps": True} if scheduler is PNDMScheduler else {}
    generator = make_generator(scheduler=scheduler, **settings)
    calls = watched(generator)
    learn(generator, gradient=last_k(2), num_inference_steps=steps)
    assert calls == [False] * (len(calls) - 2) + [True, True]


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_one_step_estimate_is_the_clean_latents_where_the_unet_is_right(kind):
    scheduler = DDIMScheduler(prediction_type=kind)
    clean, noise = torch.randn(2, 1, 4, 8, 8)
    time = torch.tensor([600])
    noisy = scheduler.add_noise(clean, noise, time)
    velocity = scheduler.get_velocity(clean, noise, time)
    output = {"epsilon": noise, "v_prediction": velocity, "sample": clean}[kind]
    assert torch.allclose(estimate(scheduler, output, time[0], noisy, 0), clean, atol=1e-4)
    unknown = types.SimpleNamespace(alphas_cumprod=noise, config={"prediction_type": "flow"})
    with pytest.raises(InputError, match="prediction_type='flow'"):
        estimate(unknown, output, time[0], noisy, 0)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(
    "scheduler", [DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler]
)
def test_the_estimate_at_the_last_step_is_the_image(make_generator, scheduler, kind):
    settings = {"prediction_type": kind, "timestep_spacing": "leading"}
    generator = make_generator(scheduler=scheduler, **settings)
    late = learn(generator, gradient=LATE_STEP, estimate_at=3)[1]
    assert torch.allclose(late, learn(generator)[1], atol=1e-4)


@pytest.mark.parametrize("at", [0, 2, 3])
def test_late_step_differentiates_one_step_and_stops_there(make_generator, at):
    generator = make_generator()
    calls = watched(generator)
    token, images = learn(generator, gradient=LATE_STEP, estimate_at=at)
    (images * torch.randn(images.shape)).sum().backward()
    assert calls == [False] * at + [True]
    assert token.vector.grad.norm() > 0


def test_the_clamp_lets_gradients_straight_through(make_generator):
    generator = make_generator()
    vae = generator.pipeline.vae
    vae.decoder.conv_out.weight.data *= 5
    decoded = []
    vae.decoder.register_forward_hook(lambda module, i, out: decoded.append(out / 2 + 0.5))
    token, images = learn(generator, gradient=LAST_STEP)
    weight = torch.randn(images.shape)
    assert ((images == 0) | (images == 1)).float().mean() > 0.1
    assert torch.equal(images.detach(), decoded[0].clamp(0, 1).detach())
    (ours,) = torch.autograd.grad((images * weight).sum(), token.vector, retain_graph=True)
    (theirs,) = torch.autograd.grad((decoded[0] * weight).sum(), token.vector)
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_start_noise_is_diffusers_own_draw(make_generator):
    generator, seen = make_generator(), []
    generator.denoiser.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    generator.images(["cat"], seeds=[7])
    noise = randn_tensor((1, 4, 8, 8), generator=torch.Generator().manual_seed(7))
    assert torch.equal(seen[0][:1], noise)


def test_words_and_their_vectors(generator):
    table = generator.embedding.weight
    ids = generator.pipeline.tokenizer("catx", add_special_tokens=False).input_ids
    assert len(ids) > 1
    assert torch.equal(generator.vector_of("catx"), table[ids].mean(0))
    assert torch.equal(generator.vector_of("cat"), table[generator.vocabulary["cat"]])
    assert list(generator.vocabulary) == sorted(WORDS)
    own = table[list(generator.vocabulary.values())]
    assert torch.allclose(generator.neutral_vector(), own.mean(0))
    assert generator.vocabulary_norm() == pytest.approx(own.norm(dim=1).mean().item())


def test_bad_calls_say_what_to_give(generator):
    with pytest.raises(InputError, match="seeds: 1 for 2 prompts"):
        generator.images(["cat", "dog"], seeds=[1])
    with pytest.raises(InputError, match="token: needed"):
        generator.images([ASKED], seeds=[1])
    with pytest.raises(InputError, match=r"17 numbers.*take 16"):  # another generator's
        generator.images([ASKED], seeds=[1], token=ClassToken(torch.zeros(17)))
    with pytest.raises(InputError, match="finds no token"):
        generator.vector_of(" ")
    generator.check_prompt("cat " * 10)
    with pytest.raises(InputError, match="has 13 tokens, the text encoder reads 12"):
        generator.check_prompt("cat " * 11)


def test_values_that_are_not_finite_are_an_error(make_generator):
    generator = make_generator()
    generator.pipeline.vae.decoder.conv_out.bias.data[0] = torch.nan
    with pytest.raises(NumericalError, match="'tiny'"):
        generator.images(["cat"], seeds=[1])


def test_a_generator_passes_through_and_has_its_settings_already(generator):
    assert as_generator(generator) is generator
    with pytest.raises(InputError, match="height: this Generator has its own"):
        as_generator(generator, height=16)


def test_a_pipeline_object_and_its_folder_are_the_same_generator(make_pipeline, tmp_path):
    pipeline = make_pipeline()
    pipeline.save_pretrained(tmp_path)
    settings = {"num_inference_steps": 3, "guidance_scale": 2.0}
    given = as_generator(pipeline, **settings)
    loaded = as_generator(tmp_path, device="cpu", dtype=torch.float32, **settings)
    assert loaded.hash == given.hash
    one, other = (g.images(["cat"], seeds=[1]) for g in (loaded, given))
    assert torch.allclose(one, other, atol=1e-6)
    assert loaded.sampler_facts() == given.sampler_facts()
    assert given.source is None
    assert loaded.source == {"revision": None, "variant": None, "dtype": "float32"}


def test_sampler_facts_change_with_scheduler_size_and_call_and_are_json(make_pipeline):
    def facts(pipeline=None, **settings):
        return as_generator(pipeline or make_pipeline(), **settings).sampler_facts()

    assert facts() == facts()
    assert facts(make_pipeline(beta_end=0.02)) != facts()
    assert (facts()["call"], facts(width=32)["call"]) == ({}, {"width": 32})
    assert facts(call={"negative_prompt": "red"}) != facts()
    pocket = as_generator("pocket").sampler_facts()  # whose scheduler has settings of infinity
    assert json.loads(json.dumps(pocket, allow_nan=False)) == pocket
    assert pocket["scheduler"]["class"].startswith("DPMSolver")


def test_a_half_precision_decoder_that_overflows_is_trained_through(tokenizer):
    pipeline = build("sdxl", tokenizer, torch.float16)
    assert pipeline.vae.config.force_upcast
    settings = {"num_inference_steps": 2, "guidance_scale": 3.0}
    generator = as_generator(pipeline, **settings)
    whole = as_generator(build("sdxl", tokenizer), **settings)
    token, images = learn(generator, whole.vector_of("cat"), gradient=LAST_STEP)
    same, expected = learn(whole, gradient=LAST_STEP)
    assert torch.allclose(images, expected, atol=0.01)
    weight = torch.randn(images.shape)
    (images * weight).sum().backward()
    (expected * weight).sum().backward()
    assert torch.allclose(token.vector.grad, same.vector.grad, atol=0.05 * same.vector.grad.max())
    assert generator.pipeline.vae.dtype == torch.float32
    assert pipeline.vae.dtype == torch.float16
    assert generator.fresh_hash() == generator.hash


def test_the_safety_checker_neither_blacks_images_nor_cuts_the_gradient(make_pipeline):
    vision = dict.fromkeys(("hidden_size", "intermediate_size", "patch_size"), 8)
    vision |= {"num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16}
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=8))
    checker.concept_embeds_weights.data -= 2  # so that it suspects all
    sizes = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    parts = {"safety_checker": checker, "feature_extractor": CLIPImageProcessor(**sizes)}
    careful = StableDiffusionPipeline(**{**make_pipeline().components, **parts})
    black = careful("cat", num_inference_steps=2, output_type="np")
    assert black.nsfw_content_detected == [True]
    assert black.images.max() == 0
    generator = as_generator(careful, num_inference_steps=2)
    assert trained_through(generator).max() > 0
    assert careful.safety_checker is checker
    assert checker not in generator.modules


def test_a_watermark_does_not_cut_the_gradient(tokenizer):
    class Watermark:
        def apply_watermark(self, images):
            return torch.from_numpy(images.detach().numpy().copy())  # as the real one does

    pipeline = build("sdxl", tokenizer)
    pipeline.watermark = Watermark()
    trained_through(as_generator(pipeline, num_inference_steps=2))
    assert isinstance(pipeline.watermark, Watermark)


@pytest.mark.parametrize("added", ["<ik-class>", "class", "<ik-c"])
def test_tokens_of_the_users_own_that_share_letters_with_the_placeholder(make_pipeline, added):
    pipeline = make_pipeline()
    pipeline.tokenizer = copy.deepcopy(pipeline.tokenizer)  # the other tests' own
    pipeline.load_textual_inversion({added: torch.randn(2, 16)}, token=added)
    assert f"{added}_1" in pipeline.tokenizer.get_added_vocab()
    generator = as_generator(pipeline, num_inference_steps=2)
    image = learn(generator, prompt=f"{added} {PLACEHOLDER}")[1]
    asked = "cat cat" if added == PLACEHOLDER else f"{added} cat"
    assert torch.equal(image, generator.images([asked], seeds=[1]))


def test_a_lora_is_sampled_and_trained_through(make_pipeline):
    peft = pytest.importorskip("peft")
    pipeline = make_pipeline()
    plain = as_generator(make_pipeline(), num_inference_steps=2)
    lora = peft.LoraConfig(r=2, target_modules=["to_k"], init_lora_weights=False)
    pipeline.unet.add_adapter(lora)
    generator = as_generator(pipeline, num_inference_steps=2)
    images = trained_through(generator)
    assert not torch.allclose(images, plain.images(["photo of cat"], seeds=[1]), atol=1e-3)
    assert generator.fresh_hash() == generator.hash != plain.hash
    assert all(p.grad is None for m in generator.modules for p in m.parameters())


def test_cleaned_captions_keep_the_token_or_say_that_they_do_not(tokenizer):
    pytest.importorskip("ftfy")
    settings = {"num_inference_steps": 2, "guidance_scale": 3.0}
    learn(as_generator(build("pixart", tokenizer), **SHORT, **settings))
    call = {**SHORT["call"], "clean_caption": True}
    cleaned = as_generator(build("pixart", tokenizer), call=call, **settings)
    with pytest.raises(InputError, match=r"0 of 1.*drop clean_caption from call"):
        learn(cleaned)


def test_a_gradient_that_the_pipeline_cuts_in_another_way_is_noticed(make_pipeline):
    class Blind(StableDiffusionPipeline):
        def encode_prompt(self, *given, **named):
            with torch.no_grad():
                return super().encode_prompt(*given, **named)

    pipeline = Blind(**make_pipeline().components, requires_safety_checker=False)
    generator = as_generator(pipeline, num_inference_steps=2)
    learn(generator)
    generator.images(["cat"], seeds=[1], gradient=LAST_STEP)
    with pytest.raises(InputError, match=r"Blind.*no_grad.*method='cma'"):
        learn(generator, gradient=LAST_STEP)


def test_a_pipeline_without_one_of_its_text_encoders_has_a_token_of_the_others(tokenizer):
    pipeline = build("sd3", tokenizer)
    pipeline.text_encoder_3 = pipeline.tokenizer_3 = None
    generator = as_generator(pipeline, num_inference_steps=1, **SHORT)
    assert [part.key for part in generator.layout] == ["clip_l", "clip_g"]
    named = generator.images(["photo of cat"], seeds=[1])
    assert torch.allclose(learn(generator)[1], named, atol=1e-6)


def test_running_out_of_memory_is_called_that_with_sana_too(tokenizer, monkeypatch):
    generator = as_generator(build("sana", tokenizer), num_inference_steps=1, **SHORT)

    def decode(*_, **__):
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr(generator.pipeline.vae, "decode", decode)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(torch.OutOfMemoryError, match="while decoding"):
            generator.images(["cat"], seeds=[1])


def test_sizes_and_other_arguments_go_to_the_pipeline(make_pipeline, tokenizer):
    wide = as_generator(make_pipeline(), num_inference_steps=1, height=16, width=32)
    assert wide.images(["cat"], seeds=[1]).shape == (1, 3, 16, 32)
    less = as_generator(make_pipeline(), num_inference_steps=1, call={"negative_prompt": "dog"})
    more = as_generator(make_pipeline(), num_inference_steps=1)
    images, others = (g.images(["cat", "red"], seeds=[1, 2]) for g in (less, more))
    assert not torch.allclose(images, others, atol=1e-3)
    own = as_generator(build("flux", tokenizer))
    assert (own.num_inference_steps, own.guidance_scale) == (28, 3.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"height": 15}, "height=15: StableDiffusionPipeline makes sizes that .* divides; give 16"),
        ({"width": 0}, "width=0"),
        ({"height": "big"}, "height='big': a whole number"),
        ({"width": torch.tensor(2.5)}, r"width=tensor\(2.5"),
        ({"guidance_scale": "x"}, "guidance_scale='x': expected a number"),
        ({"guidance_scale": float("nan")}, "guidance_scale=nan: expected a number"),
        ({"num_inference_steps": 0}, "num_inference_steps=0"),
        ({"num_inference_steps": True}, "num_inference_steps=True"),
        ({"num_inference_steps": 2.5}, "num_inference_steps=2.5"),
        ({"call": ["x"]}, r"call=\['x'\]: expected arguments"),
        ({"call": {"prompt_embeds": None}}, "'prompt_embeds' cannot be given.*negative_prompt"),
        ({"call": {"no_such": 1}}, "'no_such' cannot be given"),
        ({"hight": 3}, "hight: no such setting; nearest 'height'; allowed are call, device"),
        ({"device": "cpu"}, r"device: .*pipe\.to\(device\)"),
    ],
)
def test_a_bad_setting_is_refused_at_once(make_pipeline, settings, message):
    with pytest.raises(InputError, match=message):
        as_generator(make_pipeline(), **settings)


def test_numbers_may_be_numpys(make_pipeline):
    numbers = {"height": np.int64(32), "num_inference_steps": np.int32(3)}
    made = as_generator(make_pipeline(), guidance_scale=np.float32(2.0), **numbers)
    assert made.call["height"] == 32
    assert {type(n) for n in (made.call["height"], made.num_inference_steps)} == {int}
    assert (made.num_inference_steps, made.guidance_scale) == (3, 2.0)
