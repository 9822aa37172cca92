"""Generators: diffusers' own sampling, frozen, repeatable, and honest about what it cannot do."""

from __future__ import annotations

import copy
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
from families import build
from transformers import CLIPConfig, CLIPImageProcessor

from inversion_kit.errors import InputError, NumericalError
from inversion_kit.generators.base import Generator, as_generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.gradients import FULL, LAST_STEP, LATE_STEP, last_k
from inversion_kit.generators.sampling import estimate

ASKED = f"photo of {PLACEHOLDER}"


def test_images_are_rgb_between_0_and_1(generator):
    images = generator.images(["photo of cat", "dog"], seeds=[1, 2])
    assert images.shape == (2, 3, 16, 16)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert not images.requires_grad


def test_the_same_seed_gives_the_same_image_in_any_batch(generator):
    asked = ["cat", "dog", "red cat"]
    together = generator.images(asked, seeds=[1, 2, 3])
    alone = [generator.images([a], seeds=[s]) for a, s in zip(asked, (1, 2, 3), strict=True)]
    turned = generator.images(asked[::-1], seeds=[3, 2, 1]).flip(0)
    assert torch.equal(together, generator.images(asked, seeds=[1, 2, 3]))
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)
    assert torch.allclose(together, turned, atol=1e-5)


def test_seed_prompt_and_token_each_change_the_image(generator):
    def image(prompt, seed, word="cat"):
        token = ClassToken(generator.vector_of(word))
        return generator.images([prompt], seeds=[seed], token=token)

    base = image(ASKED, 1)
    assert (image(ASKED, 2) - base).abs().max() > 0.01
    assert (image(f"big {PLACEHOLDER}", 1) - base).abs().max() > 0.01
    assert (image(ASKED, 1, "dog") - base).abs().max() > 0.01


def test_global_randomness_is_neither_used_nor_moved(generator):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = generator.images(["cat"], seeds=[1])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(generator.images(["cat"], seeds=[1]), first)


def test_a_token_at_a_words_own_vector_is_that_word(generator):
    token = ClassToken(generator.vector_of("cat"))
    shown = generator.images([ASKED], seeds=[1], token=token)
    assert torch.equal(shown, generator.images(["photo of cat"], seeds=[1]))


def test_steps_and_guidance_are_diffusers_own(make_pipeline):
    pipeline = make_pipeline()
    generator = Generator(pipeline, name="tiny", num_inference_steps=3, guidance_scale=4.0)
    theirs = pipeline(
        "photo of cat",
        num_inference_steps=3,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(9),
        output_type="pt",
    ).images
    assert torch.allclose(generator.images(["photo of cat"], seeds=[9]), theirs, atol=1e-5)


@pytest.mark.parametrize("gradient", [LAST_STEP, last_k(2), FULL])
def test_the_gradient_policy_does_not_change_the_image(generator, gradient):
    token = ClassToken(generator.vector_of("cat"))
    plain = generator.images([ASKED], seeds=[1], token=token)
    learning = generator.images([ASKED], seeds=[1], token=token, gradient=gradient)
    assert torch.allclose(plain, learning, atol=1e-5)


@pytest.mark.parametrize("gradient", [LAST_STEP, FULL, LATE_STEP])
def test_nothing_of_the_generator_moves(make_generator, gradient):
    generator = make_generator()
    table = generator.embedding.weight.clone()
    token = ClassToken(generator.neutral_vector())
    optimizer = torch.optim.AdamW([token.vector], lr=0.1, weight_decay=0.5)
    for step in range(2):
        generator.images([ASKED], seeds=[step], token=token, gradient=gradient).sum().backward()
        optimizer.step()
    assert generator.fresh_hash() == generator.hash
    assert torch.equal(generator.embedding.weight, table)
    assert all(p.grad is None for m in generator.modules for p in m.parameters())


def test_the_users_pipeline_stays_as_it_is(make_pipeline):
    pipeline = make_pipeline()
    parts, words = dict(pipeline.components), len(pipeline.tokenizer)
    config = dict(pipeline.scheduler.config)
    generator = Generator(pipeline, name="tiny", num_inference_steps=4)
    token = ClassToken(generator.neutral_vector())
    generator.images([ASKED], seeds=[1], token=token, gradient=LAST_STEP).sum().backward()
    assert pipeline.components == parts
    assert len(pipeline.tokenizer) == words
    assert PLACEHOLDER not in pipeline.tokenizer.get_vocab()
    assert dict(pipeline.scheduler.config) == config
    assert pipeline.scheduler.num_inference_steps is None
    assert len(pipeline.text_encoder.get_input_embeddings().weight) == words


def test_scheduler_and_networks_are_restored_after_an_error(make_generator):
    generator = make_generator()
    token = ClassToken(generator.neutral_vector())
    good = generator.images([ASKED], seeds=[1], token=token)
    weight = generator.pipeline.unet.conv_out.weight
    kept = weight.clone()
    weight.data = torch.zeros(1)
    with pytest.raises(RuntimeError):
        generator.images([ASKED], seeds=[1], token=token, gradient=LAST_STEP)
    weight.data = kept
    assert "step" not in vars(generator.pipeline.scheduler)
    assert not generator.pipeline.unet._forward_pre_hooks
    assert not generator.embedding._forward_hooks
    assert torch.is_grad_enabled()
    assert torch.equal(generator.images([ASKED], seeds=[1], token=token), good)


@pytest.mark.parametrize("steps", [3, 4])
@pytest.mark.parametrize("scheduler", [DDIMScheduler, DPMSolverMultistepScheduler, PNDMScheduler])
def test_last_k_differentiates_exactly_k_calls_of_the_unet(make_generator, scheduler, steps):
    settings = {"skip_prk_steps": True} if scheduler is PNDMScheduler else {}
    generator = make_generator(scheduler=scheduler, **settings)
    calls = []
    generator.pipeline.unet.register_forward_hook(
        lambda module, inputs, output: calls.append(output[0].requires_grad)
    )
    generator.images(
        [ASKED], seeds=[1], token=ClassToken(generator.neutral_vector()), gradient=last_k(2),
        num_inference_steps=steps,
    )  # fmt: skip
    assert calls == [False] * (len(calls) - 2) + [True, True]


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_one_step_estimate_is_the_clean_latents_where_the_unet_is_right(kind):
    scheduler = DDIMScheduler(prediction_type=kind)
    clean, noise = torch.randn(2, 1, 4, 8, 8)
    time = torch.tensor([600])
    noisy = scheduler.add_noise(clean, noise, time)
    output = {
        "epsilon": noise,
        "v_prediction": scheduler.get_velocity(clean, noise, time),
        "sample": clean,
    }[kind]
    assert torch.allclose(estimate(scheduler, output, time[0], noisy, 0), clean, atol=1e-4)


def test_a_prediction_without_an_estimate_is_refused():
    scheduler = types.SimpleNamespace(
        alphas_cumprod=torch.ones(10), config={"prediction_type": "flow"}
    )
    with pytest.raises(InputError, match="prediction_type='flow'"):
        estimate(scheduler, torch.zeros(1), 0, torch.zeros(1), 0)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(
    "scheduler", [DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler]
)
def test_the_estimate_at_the_last_step_is_the_image(make_generator, scheduler, kind):
    generator = make_generator(
        scheduler=scheduler, prediction_type=kind, timestep_spacing="leading"
    )
    token = ClassToken(generator.neutral_vector())
    whole = generator.images([ASKED], seeds=[1], token=token)
    estimate = generator.images([ASKED], seeds=[1], token=token, gradient=LATE_STEP, estimate_at=3)
    assert torch.allclose(estimate, whole, atol=1e-4)


@pytest.mark.parametrize("at", [0, 2, 3])
def test_late_step_differentiates_one_step_and_stops_there(make_generator, at):
    generator = make_generator()
    calls = []
    generator.pipeline.unet.register_forward_hook(
        lambda module, inputs, output: calls.append(output[0].requires_grad)
    )
    token = ClassToken(generator.neutral_vector())
    images = generator.images([ASKED], seeds=[1], token=token, gradient=LATE_STEP, estimate_at=at)
    (images * torch.randn(images.shape)).sum().backward()
    assert calls == [False] * at + [True]
    assert token.vector.grad.norm() > 0


def test_the_clamp_lets_gradients_straight_through(make_generator):
    generator = make_generator()
    vae = generator.pipeline.vae
    vae.decoder.conv_out.weight.data *= 5
    decoded = []
    handle = vae.decoder.register_forward_hook(lambda module, i, out: decoded.append(out))
    token = ClassToken(generator.neutral_vector())
    images = generator.images([ASKED], seeds=[1], token=token, gradient=LAST_STEP)
    handle.remove()
    weight = torch.randn(images.shape)
    assert ((images == 0) | (images == 1)).float().mean() > 0.1
    assert torch.equal(images.detach(), (decoded[0] / 2 + 0.5).clamp(0, 1).detach())
    (ours,) = torch.autograd.grad((images * weight).sum(), token.vector, retain_graph=True)
    (theirs,) = torch.autograd.grad(((decoded[0] / 2 + 0.5) * weight).sum(), token.vector)
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_start_noise_is_diffusers_own_draw(generator):
    seen = []
    handle = generator.pipeline.unet.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0])
    )
    generator.images(["cat"], seeds=[7])
    handle.remove()
    noise = randn_tensor((1, 4, 8, 8), generator=torch.Generator().manual_seed(7))
    assert torch.equal(seen[0][:1], noise)


def test_words_and_their_vectors(generator):
    table = generator.embedding.weight
    ids = generator.pipeline.tokenizer("catx", add_special_tokens=False).input_ids
    assert len(ids) > 1
    assert torch.equal(generator.vector_of("catx"), table[ids].mean(0))
    assert torch.equal(generator.vector_of("cat"), table[generator.vocabulary["cat"]])
    assert list(generator.vocabulary) == sorted(
        ["photo", "of", "cat", "dog", "red", "stop", "big", "tiger"]
    )
    own = table[list(generator.vocabulary.values())]
    assert torch.allclose(generator.neutral_vector(), own.mean(0))
    assert generator.vocabulary_norm() == pytest.approx(own.norm(dim=1).mean().item())


def test_bad_calls_say_what_to_give(generator):
    with pytest.raises(InputError, match="seeds: 1 for 2 prompts"):
        generator.images(["cat", "dog"], seeds=[1])
    with pytest.raises(InputError, match="token: needed"):
        generator.images([ASKED], seeds=[1])
    with pytest.raises(InputError, match="finds no token"):
        generator.vector_of(" ")
    generator.check_prompt("cat " * 10)
    with pytest.raises(InputError, match="has 13 tokens, the text encoder reads 12"):
        generator.check_prompt("cat " * 11)


def test_what_is_no_pipeline_is_refused(make_pipeline):
    with pytest.raises(InputError, match="Linear is no diffusers pipeline"):
        as_generator(torch.nn.Linear(1, 1))
    with pytest.raises(InputError, match="num_inference_steps=0"):
        as_generator(make_pipeline(), num_inference_steps=0)


def test_values_that_are_not_finite_are_an_error(make_generator):
    generator = make_generator()
    generator.pipeline.vae.decoder.conv_out.bias.data[0] = torch.nan
    with pytest.raises(NumericalError, match="'tiny'"):
        generator.images(["cat"], seeds=[1])


def test_a_generator_passes_through(generator):
    assert as_generator(generator) is generator


def test_a_pipeline_object_and_its_folder_are_the_same_generator(make_pipeline, tmp_path):
    pipeline = make_pipeline()
    pipeline.save_pretrained(tmp_path)
    settings = {"num_inference_steps": 3, "guidance_scale": 2.0}
    from_object = as_generator(pipeline, **settings)
    from_folder = as_generator(tmp_path, device="cpu", **settings)
    assert from_folder.hash == from_object.hash
    assert torch.allclose(
        from_folder.images(["cat"], seeds=[1]), from_object.images(["cat"], seeds=[1]), atol=1e-6
    )


def test_a_half_precision_decoder_that_overflows_is_trained_through(tokenizer):
    pipeline = build("sdxl", tokenizer, torch.float16)
    assert pipeline.vae.config.force_upcast
    generator = as_generator(pipeline, num_inference_steps=2, guidance_scale=3.0)
    whole = as_generator(build("sdxl", tokenizer), num_inference_steps=2, guidance_scale=3.0)
    token, same = (ClassToken(whole.vector_of("cat")) for _ in range(2))
    images = generator.images([ASKED], seeds=[1], token=token, gradient=LAST_STEP)
    expected = whole.images([ASKED], seeds=[1], token=same, gradient=LAST_STEP)
    assert torch.allclose(images, expected, atol=0.01)
    weight = torch.randn(images.shape)
    (images * weight).sum().backward()
    (expected * weight).sum().backward()
    assert torch.allclose(token.vector.grad, same.vector.grad, atol=0.05 * same.vector.grad.max())
    assert generator.pipeline.vae.dtype == torch.float32
    assert pipeline.vae.dtype == torch.float16
    assert generator.fresh_hash() == generator.hash


def test_the_safety_checker_neither_blacks_images_nor_cuts_the_gradient(make_pipeline):
    pipeline = make_pipeline()
    vision = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
              "num_attention_heads": 2, "image_size": 16, "patch_size": 8}  # fmt: skip
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=8))
    checker.concept_embeds_weights.data -= 2  # so that it suspects all
    parts = {**pipeline.components, "safety_checker": checker}
    parts["feature_extractor"] = CLIPImageProcessor(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    )
    careful = StableDiffusionPipeline(**parts)
    black = careful("cat", num_inference_steps=2, output_type="np")
    assert black.nsfw_content_detected == [True]
    assert black.images.max() == 0
    generator = as_generator(careful, num_inference_steps=2)
    token = ClassToken(generator.vector_of("cat"))
    images = generator.images([ASKED], seeds=[1], token=token, gradient=LAST_STEP)
    images.sum().backward()
    assert images.max() > 0
    assert token.vector.grad.norm() > 0
    assert careful.safety_checker is checker
    assert checker not in generator.modules


def test_a_watermark_does_not_cut_the_gradient(tokenizer):
    class Watermark:
        def apply_watermark(self, images):
            return torch.from_numpy(images.detach().numpy().copy())  # as the real one does

    pipeline = build("sdxl", tokenizer)
    pipeline.watermark = Watermark()
    generator = as_generator(pipeline, num_inference_steps=2)
    token = ClassToken(generator.vector_of("cat"))
    generator.images([ASKED], seeds=[1], token=token, gradient=LAST_STEP).sum().backward()
    assert token.vector.grad.norm() > 0
    assert isinstance(pipeline.watermark, Watermark)


@pytest.mark.parametrize("added", ["<ik-class>", "class", "<ik-c"])
def test_tokens_of_the_users_own_that_share_letters_with_the_placeholder(make_pipeline, added):
    pipeline = make_pipeline()
    pipeline.tokenizer = copy.deepcopy(pipeline.tokenizer)  # the other tests' own
    pipeline.load_textual_inversion({added: torch.randn(2, 16)}, token=added)
    assert f"{added}_1" in pipeline.tokenizer.get_added_vocab()
    generator = as_generator(pipeline, num_inference_steps=2)
    token = ClassToken(generator.vector_of("cat"))
    image = generator.images([f"{added} {PLACEHOLDER}"], seeds=[1], token=token)
    asked = "cat cat" if added == PLACEHOLDER else f"{added} cat"
    assert torch.equal(image, generator.images([asked], seeds=[1]))


def test_a_lora_is_sampled_and_trained_through(make_pipeline):
    peft = pytest.importorskip("peft")
    pipeline = make_pipeline()
    plain = as_generator(make_pipeline(), num_inference_steps=2)
    pipeline.unet.add_adapter(
        peft.LoraConfig(r=2, target_modules=["to_k"], init_lora_weights=False)
    )
    generator = as_generator(pipeline, num_inference_steps=2)
    token = ClassToken(generator.vector_of("cat"))
    images = generator.images([ASKED], seeds=[1], token=token, gradient=LAST_STEP)
    images.sum().backward()
    assert token.vector.grad.norm() > 0
    assert not torch.allclose(images, plain.images(["photo of cat"], seeds=[1]), atol=1e-3)
    assert generator.fresh_hash() == generator.hash != plain.hash
    assert all(p.grad is None for m in generator.modules for p in m.parameters())


def test_cleaned_captions_keep_the_token_or_say_that_they_do_not(tokenizer):
    pytest.importorskip("ftfy")
    settings = {"num_inference_steps": 2, "guidance_scale": 3.0}
    call = {"max_sequence_length": 16}
    plain = as_generator(build("pixart", tokenizer), call=call, **settings)
    token = ClassToken(plain.vector_of("cat"))
    plain.images([ASKED], seeds=[1], token=token)
    cleaned = as_generator(
        build("pixart", tokenizer), call={**call, "clean_caption": True}, **settings
    )
    with pytest.raises(InputError, match=r"0 of 1.*drop clean_caption from call"):
        cleaned.images([ASKED], seeds=[1], token=token)


def test_a_gradient_that_the_pipeline_cuts_in_another_way_is_noticed(make_pipeline):
    class Blind(StableDiffusionPipeline):
        def encode_prompt(self, *given, **named):
            with torch.no_grad():
                return super().encode_prompt(*given, **named)

    pipeline = Blind(**make_pipeline().components, requires_safety_checker=False)
    generator = as_generator(pipeline, num_inference_steps=2)
    token = ClassToken(generator.vector_of("cat"))
    generator.images([ASKED], seeds=[1], token=token)
    generator.images(["cat"], seeds=[1], gradient=LAST_STEP)
    with pytest.raises(InputError, match=r"Blind.*no_grad.*method='cma'"):
        generator.images([ASKED], seeds=[1], token=token, gradient=LAST_STEP)


def test_a_pipeline_without_one_of_its_text_encoders_has_a_token_of_the_others(tokenizer):
    pipeline = build("sd3", tokenizer)
    pipeline.text_encoder_3 = pipeline.tokenizer_3 = None
    call = {"max_sequence_length": 16}
    generator = as_generator(pipeline, num_inference_steps=1, call=call)
    assert [part.key for part in generator.layout] == ["clip_l", "clip_g"]
    token = ClassToken(generator.vector_of("cat"))
    image = generator.images([ASKED], seeds=[1], token=token)
    assert torch.allclose(image, generator.images(["photo of cat"], seeds=[1]), atol=1e-6)


def test_running_out_of_memory_is_called_that_with_sana_too(tokenizer, monkeypatch):
    call = {"max_sequence_length": 16}
    generator = as_generator(build("sana", tokenizer), num_inference_steps=1, call=call)

    def decode(*_, **__):
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr(generator.pipeline.vae, "decode", decode)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(torch.OutOfMemoryError, match="while decoding"):
            generator.images(["cat"], seeds=[1])


def test_a_token_of_another_generator_is_refused(generator):
    with pytest.raises(InputError, match=r"17 numbers.*take 16"):
        generator.images([ASKED], seeds=[1], token=ClassToken(torch.zeros(17)))


def test_sizes_and_other_arguments_go_to_the_pipeline(make_pipeline, tokenizer):
    wide = as_generator(make_pipeline(), num_inference_steps=1, height=16, width=32)
    assert wide.images(["cat"], seeds=[1]).shape == (1, 3, 16, 32)
    less = as_generator(make_pipeline(), num_inference_steps=1, call={"negative_prompt": "dog"})
    more = as_generator(make_pipeline(), num_inference_steps=1)
    images = less.images(["cat", "red"], seeds=[1, 2])
    assert not torch.allclose(images, more.images(["cat", "red"], seeds=[1, 2]), atol=1e-3)
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
        ({"num_inference_steps": True}, "num_inference_steps=True"),
        ({"call": ["x"]}, r"call=\['x'\]: expected arguments"),
        ({"call": {"prompt_embeds": None}}, "'prompt_embeds' cannot be given.*negative_prompt"),
        ({"call": {"no_such": 1}}, "'no_such' cannot be given"),
        ({"steps": 3}, "steps: no such setting; allowed are call, device"),
        ({"device": "cpu"}, r"device: .*pipe\.to\(device\)"),
        ({"num_inference_steps": 2.5}, "num_inference_steps=2.5"),
    ],
)
def test_a_bad_setting_is_refused_at_once(make_pipeline, settings, message):
    with pytest.raises(InputError, match=message):
        as_generator(make_pipeline(), **settings)


def test_numbers_may_be_numpys(make_pipeline):
    made = as_generator(
        make_pipeline(), height=np.int64(32), num_inference_steps=np.int32(3),
        guidance_scale=np.float32(2.0),
    )  # fmt: skip
    assert made.call["height"] == 32
    assert {type(n) for n in (made.call["height"], made.num_inference_steps)} == {int}
    assert (made.num_inference_steps, made.guidance_scale) == (3, 2.0)


def test_a_generator_has_its_settings_already(generator):
    with pytest.raises(InputError, match="height: this Generator has its own"):
        as_generator(generator, height=16)
