"""Every family of pipelines: gradients against finite differences, weights, seeds, the token."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import pytest
import torch
from families import ASKED, FAMILIES, SETTINGS, WORDS, build, learn

import inversion_kit as ik
from inversion_kit.errors import InputError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken, split
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.gradients import FULL, LAST_STEP, LATE_STEP, NONE, last_k
from inversion_kit.generators.rehearsal import rehearse_call

STEPS = 3
PLAIN = {"num_inference_steps": STEPS, "guidance_scale": 3.0}
SEED, REACH = 4, {"sana": 0.016}  # its linear attention has kinks: ReLU
SMALL = {"batch": 1, "samples": 1, "validation": 1, "progress": False}


def make(family, tokenizer, dtype=torch.float32) -> Generator:
    return as_generator(build(family, tokenizer, dtype), **{**PLAIN, **SETTINGS.get(family, {})})


def numbers(shape, dtype=torch.float32):
    """Fixed weights that make one number of an image."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def exact(family, tokenizer):
    return make(family, tokenizer, torch.float64)


@contextlib.contextmanager
def first_steps(generator, outputs, cut) -> Iterator[None]:
    """Give the scheduler ``outputs`` in its first ``cut`` steps; write them down where empty."""
    scheduler = generator.pipeline.scheduler
    step, known, done = scheduler.step, bool(outputs), 0

    @functools.wraps(step)
    def wrapped(model_output, *rest, **named):
        nonlocal done
        if not known:
            outputs.append(model_output.detach())
        elif done < cut:
            model_output = outputs[done]
        done += 1
        return step(model_output, *rest, **named)

    scheduler.step = wrapped
    try:
        yield
    finally:
        del scheduler.step


@pytest.mark.parametrize("policy", [FULL, last_k(2), LAST_STEP], ids=lambda p: p.name)
def test_the_gradient_agrees_with_finite_differences(exact, family, policy):
    token, image = learn(exact, seed=SEED, gradient=policy)
    assert image.min() > 0.01
    assert image.max() < 0.99
    weight = numbers(image.shape, torch.float64)
    (image * weight).sum().backward()
    gradient, start = token.vector.grad[0], token.vector.detach()[0]
    cut = 0 if policy.last is None else STEPS - policy.last
    outputs: list[torch.Tensor] = []
    with first_steps(exact, outputs, cut):
        learn(exact, seed=SEED)

    def value(vector):
        with first_steps(exact, outputs, cut):
            return (learn(exact, vector, seed=SEED)[1] * weight).sum().item()

    at, h = 0, REACH.get(family, 0.05) * exact.vocabulary_norm()
    for part in exact.layout:  # each text encoder's own
        direction = torch.zeros_like(gradient)
        direction[at : at + part.width] = gradient[at : at + part.width]
        at += part.width
        size = direction.norm().item()
        direction /= size
        near = value(start + h * direction) - value(start - h * direction)
        half = value(start + h / 2 * direction) - value(start - h / 2 * direction)
        assert (4 * half / h - near / (2 * h)) / 3 == pytest.approx(size, rel=1e-3), part.key


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_trained_through(family, tokenizer, dtype):
    gradients = []
    for kind in (torch.float32, dtype):
        generator = make(family, tokenizer, kind)
        token, images = learn(generator, gradient=FULL)
        assert images.dtype == torch.float32
        (images * numbers(images.shape)).sum().backward()
        gradients.append(token.vector.grad[0])
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.9


def test_nothing_of_the_pipeline_moves(family, tokenizer):
    pipeline = build(family, tokenizer)
    parts, words = dict(pipeline.components), len(pipeline.tokenizer)
    config = dict(pipeline.scheduler.config)
    generator = as_generator(pipeline, **{**PLAIN, **SETTINGS.get(family, {})})
    before, table = generator.hash, pipeline.text_encoder.get_input_embeddings().weight.clone()
    token = ClassToken(generator.neutral_vector())
    optimizer = torch.optim.AdamW([token.vector], lr=0.1, weight_decay=0.5)
    for seed, policy in enumerate((FULL, LAST_STEP, LATE_STEP)):
        images = generator.images([ASKED], seeds=[seed], token=token, gradient=policy)
        (images * torch.randn(images.shape)).sum().backward()
        optimizer.step()
    assert generator.fresh_hash() == before
    networks = [p for p in parts.values() if isinstance(p, torch.nn.Module)]
    assert len(generator.modules) == len(networks)
    assert all(p.grad is None for m in networks for p in m.parameters())
    hooked = [generator.denoiser, *(m for e in generator.encoders for m in e.lookups)]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in hooked)
    assert pipeline.components == parts
    assert len(pipeline.tokenizer) == words
    assert PLACEHOLDER not in pipeline.tokenizer.get_vocab()
    assert torch.equal(pipeline.text_encoder.get_input_embeddings().weight, table)
    assert dict(pipeline.scheduler.config) == config
    assert getattr(pipeline.scheduler, "num_inference_steps", None) is None
    assert not {"step", "set_timesteps"} & vars(generator.pipeline.scheduler).keys()


def test_images_are_the_pipelines_own_and_the_same_for_the_same_seeds(family, tokenizer):
    generator = make(family, tokenizer)
    images = generator.images(["photo of cat", "dog"], seeds=[1, 2])
    assert torch.equal(images, generator.images(["photo of cat", "dog"], seeds=[1, 2]))
    alone = generator.images(["dog"], seeds=[2])
    assert torch.allclose(images[1:], alone, atol=1e-5)
    assert (generator.images(["dog"], seeds=[3]) - alone).abs().max() > 0.01
    noise = [torch.Generator().manual_seed(s) for s in (1, 2)]
    sampling = {"num_inference_steps": STEPS, "guidance_scale": generator.guidance_scale}
    sampling["output_type"] = "pt"
    theirs = build(family, tokenizer)(
        prompt=["photo of cat", "dog"], generator=noise, **sampling, **generator.call
    ).images
    assert torch.allclose(images, theirs, atol=1e-6)


def test_a_token_at_a_words_own_vector_is_that_word(exact):
    start = exact.vector_of("cat").double()
    image = learn(exact)[1]
    assert torch.allclose(image, exact.images(["photo of cat"], seeds=[1]), atol=1e-6)
    at = 0
    for part in exact.layout:  # every text encoder sees its own part
        other = start.clone()
        other[at : at + part.width] = exact.vector_of("dog")[at : at + part.width]
        at += part.width
        assert (learn(exact, other)[1] - image).abs().max() > 1e-5, part.key


def test_the_policies_give_one_image_and_the_estimate_at_the_last_step_is_it(exact):
    image = learn(exact)[1]
    for policy in (LAST_STEP, last_k(2), FULL):
        assert torch.equal(learn(exact, gradient=policy)[1], image)
    assert torch.allclose(learn(exact, gradient=LATE_STEP)[1], image, atol=1e-6)
    calls, lengths = [], set()

    def watch(module, inputs, output):
        calls.append(output[0].requires_grad)
        lengths.add(len(exact.pipeline.scheduler.timesteps))  # solvers look at where they end

    exact.denoiser.register_forward_hook(watch)
    token, early = learn(exact, gradient=LATE_STEP, estimate_at=1)
    assert calls == [False, True]
    assert lengths == {STEPS}
    assert (early - image).abs().max() > 1e-4
    (early * torch.randn(early.shape)).sum().backward()
    assert token.vector.grad.norm() > 0


def test_the_words_and_their_size_are_those_of_all_text_encoders(exact):
    assert set(WORDS) <= set(exact.vocabulary)
    table = exact.embedding.weight[list(exact.vocabulary.values())].float()
    assert torch.allclose(table, torch.stack([exact.vector_of(w) for w in exact.vocabulary]))
    pieces = table.split([part.width for part in exact.layout], dim=1)
    sizes = [piece.square().mean().sqrt().item() for piece in pieces]
    assert sizes == pytest.approx([sizes[0]] * len(sizes), rel=1e-4)
    own = split(table, exact.layout)
    for encoder, part in zip(exact.encoders, exact.layout, strict=True):
        rows = encoder.embedding.weight[list(encoder.vocabulary.values())].float()
        assert torch.allclose(own[part.key], rows, atol=1e-6)


def test_a_prompt_too_long_for_one_text_encoder_is_refused(family, tokenizer):
    generator = make(family, tokenizer)
    generator.check_prompt("photo of cat")
    with pytest.raises(InputError, match=r"has \d+ tokens, the text encoder reads (12|16)"):
        generator.check_prompt("cat " * 16)
    token = ClassToken(generator.neutral_vector())
    with pytest.raises(InputError, match="sees the class token in 1 of 2"):
        generator.images([ASKED, "cat " * 16 + PLACEHOLDER], seeds=[1, 2], token=token)


@pytest.mark.parametrize("name", ["deepfloyd", "kandinsky3"])
def test_a_pipeline_without_a_gradient_is_sampled_and_searched_without_one(
    name, tokenizer, classifier
):
    generator = make(name, tokenizer)
    images = learn(generator)[1]
    assert torch.allclose(images, generator.images(["photo of cat"], seeds=[1]), atol=1e-6)
    assert not torch.allclose(images, learn(generator, "dog")[1], atol=1e-3)
    generator.check_gradient(NONE)
    search = {"generator": generator, "restarts": 0, **SMALL}
    for asks in (
        lambda: generator.check_gradient(FULL),
        lambda: learn(generator, gradient=LAST_STEP),
        lambda: ik.invert(classifier, "dog", **search),
    ):
        with pytest.raises(InputError, match=r"no_grad.*method='cma'"):
            asks()
    cma = {"method": "cma", "steps": 1, "check_every": 1, "stop_at": 1.0}
    tree = ik.invert(classifier, "dog", **cma, **search)
    assert tree["token"].sizes["check"] == 2
    assert generator.fresh_hash() == tree.attrs["generator_hash"]


def test_a_pipeline_of_two_text_encoders_is_inverted(tokenizer, classifier):
    generator = make("sdxl", tokenizer)
    search = {"steps": 2, "restarts": 1, "check_every": 1, "patience": 1, "stop_at": 1.0}
    tree = ik.invert(classifier, "dog", generator=generator, **search, **SMALL)
    assert tree["token"].sizes["embed"] == 24
    assert set(WORDS) <= set(tree["token"]["nearest_word"].values.ravel())
    assert generator.fresh_hash() == tree.attrs["generator_hash"]


def test_a_rehearsal_is_the_call_in_small(family, tokenizer):
    generator = make(family, tokenizer)
    token, before = learn(generator)
    calls = []
    handle = generator.denoiser.register_forward_pre_hook(lambda *_: calls.append(1))
    policies = [NONE, LAST_STEP, FULL]
    for policy in policies:
        like = rehearse_call(generator, [ASKED], token=token, gradient=policy, sizes=[2])
        assert like.shape == (2, *before.shape[1:])
        assert like.shape[2:] == generator.size
    handle.remove()
    assert len(calls) <= 2 * len(policies)  # some ask twice a step
    assert torch.equal(learn(generator)[1], before)
