"""Every family of pipelines: gradients against finite differences, weights, seeds, the token."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import pytest
import torch
from families import FAMILIES, SETTINGS, WORDS, build

from inversion_kit.errors import InputError
from inversion_kit.generators.base import Generator, as_generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken, split
from inversion_kit.generators.gradients import FULL, LAST_STEP, LATE_STEP, NONE, last_k
from inversion_kit.search.run import invert

ASKED, SEED, STEPS = f"photo of {PLACEHOLDER}", 4, 3

REACH = {"sana": 0.016}  # its linear attention has kinks: ReLU


def make(family, tokenizer, dtype=torch.float32, **settings) -> Generator:
    plain = {"num_inference_steps": STEPS, "guidance_scale": 3.0}
    return as_generator(
        build(family, tokenizer, dtype), **{**plain, **SETTINGS.get(family, {}), **settings}
    )


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


def sample(generator, vector, policy=NONE, **settings):
    token = ClassToken(vector).double()
    images = generator.images([ASKED], seeds=[SEED], token=token, gradient=policy, **settings)
    return token, images


@pytest.mark.parametrize("policy", [FULL, last_k(2), LAST_STEP], ids=lambda p: p.name)
def test_the_gradient_agrees_with_finite_differences(exact, family, policy):
    start = exact.vector_of("cat").double()
    token, image = sample(exact, start, policy)
    assert image.min() > 0.01
    assert image.max() < 0.99
    weight = torch.randn(image.shape, generator=torch.Generator().manual_seed(0)).double()
    (image * weight).sum().backward()
    gradient = token.vector.grad[0]
    cut = 0 if policy.last is None else STEPS - policy.last
    outputs: list[torch.Tensor] = []
    with first_steps(exact, outputs, cut):
        sample(exact, start)

    def value(vector):
        with first_steps(exact, outputs, cut):
            return (sample(exact, vector)[1] * weight).sum().item()

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
        token = ClassToken(generator.vector_of("cat").to(kind))
        images = generator.images([ASKED], seeds=[SEED], token=token, gradient=FULL)
        assert images.dtype == torch.float32
        weight = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
        (images * weight).sum().backward()
        gradients.append(token.vector.grad[0])
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.9


def test_nothing_of_the_pipeline_moves(family, tokenizer):
    pipeline = build(family, tokenizer)
    parts, words = dict(pipeline.components), len(pipeline.tokenizer)
    generator = as_generator(
        pipeline, num_inference_steps=2, **{"guidance_scale": 3.0, **SETTINGS.get(family, {})}
    )
    before = generator.hash
    token = ClassToken(generator.neutral_vector())
    optimizer = torch.optim.AdamW([token.vector], lr=0.1, weight_decay=0.5)
    for step in range(2):
        images = generator.images([ASKED], seeds=[step], token=token, gradient=FULL)
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
    assert getattr(pipeline.scheduler, "num_inference_steps", None) is None
    assert not {"step", "set_timesteps"} & vars(generator.pipeline.scheduler).keys()


def test_images_are_the_pipelines_own_and_the_same_for_the_same_seeds(family, tokenizer):
    generator = make(family, tokenizer)
    images = generator.images(["photo of cat", "dog"], seeds=[1, 2])
    assert torch.equal(images, generator.images(["photo of cat", "dog"], seeds=[1, 2]))
    alone = generator.images(["dog"], seeds=[2])
    assert torch.allclose(images[1:], alone, atol=1e-5)
    assert (generator.images(["dog"], seeds=[3]) - alone).abs().max() > 0.01
    theirs = build(family, tokenizer)(
        prompt=["photo of cat", "dog"],
        generator=[torch.Generator().manual_seed(s) for s in (1, 2)],
        num_inference_steps=STEPS,
        guidance_scale=generator.guidance_scale,
        output_type="pt",
        **generator.call,
    ).images
    assert torch.allclose(images, theirs, atol=1e-6)


def test_a_token_at_a_words_own_vector_is_that_word(exact):
    start = exact.vector_of("cat").double()
    image = sample(exact, start)[1]
    assert torch.allclose(image, exact.images(["photo of cat"], seeds=[SEED]), atol=1e-6)
    at = 0
    for part in exact.layout:  # every text encoder sees its own part
        other = start.clone()
        other[at : at + part.width] = exact.vector_of("dog")[at : at + part.width]
        at += part.width
        assert (sample(exact, other)[1] - image).abs().max() > 1e-5, part.key


def test_the_policies_give_one_image_and_the_estimate_at_the_last_step_is_it(exact):
    start = exact.vector_of("cat")
    image = sample(exact, start)[1]
    assert torch.equal(sample(exact, start, LAST_STEP)[1], image)
    assert torch.allclose(sample(exact, start, LATE_STEP)[1], image, atol=1e-6)
    calls, lengths = [], set()

    def watch(module, inputs, output):
        calls.append(output[0].requires_grad)
        lengths.add(len(exact.pipeline.scheduler.timesteps))  # solvers look at where they end

    handle = exact.denoiser.register_forward_hook(watch)
    token, early = sample(exact, start, LATE_STEP, estimate_at=1)
    handle.remove()
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
def test_a_pipeline_without_a_gradient_is_refused_and_sampled(name, tokenizer):
    generator = make(name, tokenizer)
    token = ClassToken(generator.vector_of("cat"))
    images = generator.images([ASKED], seeds=[1], token=token)
    assert torch.allclose(images, generator.images(["photo of cat"], seeds=[1]), atol=1e-6)
    other = ClassToken(generator.vector_of("dog"))
    assert not torch.allclose(images, generator.images([ASKED], seeds=[1], token=other), atol=1e-3)
    generator.check_gradient(NONE)
    with pytest.raises(InputError, match=r"no_grad.*method='cma'"):
        generator.check_gradient(FULL)
    with pytest.raises(InputError, match=r"no_grad.*method='cma'"):
        generator.images([ASKED], seeds=[1], token=token, gradient=LAST_STEP)


@pytest.mark.parametrize("name", ["deepfloyd", "kandinsky3"])
def test_a_pipeline_without_a_gradient_is_searched_without_one(name, tokenizer, classifier):
    generator = make(name, tokenizer)
    settings = {"batch": 1, "samples": 1, "validation": 1, "restarts": 0, "progress": False}
    with pytest.raises(InputError, match=r"no_grad.*method='cma'"):
        invert(classifier, "dog", generator=generator, **settings)
    tree = invert(
        classifier, "dog", generator=generator, method="cma", steps=1, check_every=1, stop_at=1.0,
        **settings,
    )  # fmt: skip
    assert tree["token"].sizes["check"] == 2
    assert generator.fresh_hash() == tree.attrs["generator_hash"]


def test_a_pipeline_of_two_text_encoders_is_inverted(tokenizer, classifier):
    generator = make("sdxl", tokenizer)
    tree = invert(
        classifier, "dog", generator=generator, steps=2, batch=1, samples=1, validation=1,
        restarts=1, check_every=1, patience=1, stop_at=1.0, progress=False,
    )  # fmt: skip
    assert tree["token"].sizes["embed"] == 24
    assert set(tree["token"]["nearest_word"].values.ravel()) == set(WORDS)
    assert generator.fresh_hash() == tree.attrs["generator_hash"]
