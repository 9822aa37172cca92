"""Gradient checkpointing where one image does not fit: the same gradient, and it is said."""

from __future__ import annotations

import contextlib
import functools
import warnings

import pytest
import torch
from families import FAMILIES, SETTINGS, build, learn

import inversion_kit as ik
from inversion_kit.generators.checkpointing import checkpoint_next, checkpointed
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.gradients import FULL, LAST_STEP
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.search.optimise import optimise
from inversion_kit.search.search import search
from inversion_kit.settings import Settings

NETWORKS = ("vae", "unet", "transformer")
SMALL = {"steps": 1, "samples": 2, "validation": 2, "batch": 2, "restarts": 0, "views": []}


def short_of_memory(generator, *names):
    """Let memory run out in networks while they keep their activations for a gradient."""
    asked = []

    def look(name, network, _module, _inputs):
        if torch.is_grad_enabled():
            asked.append(name)
            if not network.is_gradient_checkpointing:
                raise torch.OutOfMemoryError(f"no room in {name}")

    for name in names:
        network = getattr(generator.pipeline, name)
        part = network.decoder if name == "vae" else network
        part.register_forward_pre_hook(functools.partial(look, name, network))
    return asked


def updates(classifier, generator, fitting, steps=2):
    start = generator.neutral_vector().double()
    given = {"start": start, "start_name": "", "seed": 0, "gradient": LAST_STEP, "lr": 0.3}
    prompts = [f"photo of {PLACEHOLDER}"]
    made = optimise(
        classifier, generator, 0, prompts, steps=steps, batch=2, micro_batch=fitting, **given
    )
    return list(made)


@contextlib.contextmanager
def calls_of(network):
    """How often parts of a network are called."""
    calls = []
    handles = [m.register_forward_pre_hook(lambda *_: calls.append(1)) for m in network.modules()]
    yield calls
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("family", FAMILIES)
def test_of_each_family_the_gradient_is_the_same_and_activations_are_made_twice(family, tokenizer):
    gradients, calls = [], []
    for on in (False, True):
        pipeline = build(family, tokenizer, torch.float64)
        settings = {"guidance_scale": 3.0, **SETTINGS.get(family, {})}
        generator = as_generator(pipeline, num_inference_steps=2, **settings)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            while on and checkpoint_next(generator):
                pass
        wanted = {name for name in NETWORKS if hasattr(pipeline, name)}
        wanted -= {"vae"} if family == "sana" else set()  # diffusers' decoder of it cannot
        assert set(checkpointed(generator)) == (wanted if on else set())
        assert len(said) == (len(wanted) if on else 0)
        with contextlib.ExitStack() as stack:
            counts = {n: stack.enter_context(calls_of(getattr(pipeline, n))) for n in wanted}
            token, image = learn(generator, gradient=FULL)
            (image * torch.linspace(-1, 1, image.numel()).reshape(image.shape)).sum().backward()
        gradients.append(token.vector.grad)
        calls.append({name: len(count) for name, count in counts.items()})
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)
    plain, twice = calls
    assert all(twice[name] > 1.3 * plain[name] for name in plain)


def test_where_one_image_does_not_fit_decoder_and_denoiser_go_on_with_less(
    classifier, make_generator
):
    plain = updates(classifier, make_generator(), MicroBatch(2))
    generator = make_generator()
    asked = short_of_memory(generator, "vae", "unet")
    fitting = MicroBatch(2, spare=functools.partial(checkpoint_next, generator))
    with pytest.warns(RuntimeWarning) as said:
        steps = updates(classifier, generator, fitting)
    assert [str(one.message).split(" computes")[0][-8:].split()[-1] for one in said] == [
        "decoder",
        "U-Net",
    ]
    assert fitting.size == 1
    assert checkpointed(generator) == ("vae", "unet")
    assert asked[:3] == ["unet"] * 3  # two images, one, one without what the decoder would keep
    for mine, theirs in zip(steps, plain, strict=True):
        torch.testing.assert_close(mine.token, theirs.token, rtol=1e-4, atol=1e-6)
        assert mine.gradient_norm == pytest.approx(theirs.gradient_norm, rel=1e-3)


def test_where_that_does_not_help_the_librarys_own_error_is_raised(classifier, make_generator):
    generator = make_generator()
    generator.pipeline.unet.register_forward_pre_hook(full)
    fitting = MicroBatch(2, spare=functools.partial(checkpoint_next, generator))
    with pytest.warns(RuntimeWarning), pytest.raises(torch.OutOfMemoryError, match="never enough"):
        updates(classifier, generator, fitting)
    assert checkpointed(generator) == ("vae", "unet")


def full(_module, _inputs):
    raise torch.OutOfMemoryError("never enough")


def test_the_rehearsal_notices_it_and_the_result_says_so(classifier, make_generator):
    generator = make_generator()
    short_of_memory(generator, "vae")
    given = {"generator": generator, "progress": False, **SMALL}
    with pytest.warns(RuntimeWarning, match=r"'tiny'.*its decoder computes activations twice"):
        tree = ik.invert(classifier, "stop", **given)
    assert tree.attrs["gradient_checkpointing"] == "vae"
    enough = ik.invert(classifier, "stop", **{**given, "generator": make_generator()})
    assert "gradient_checkpointing" not in enough.attrs
    torch.testing.assert_close(
        torch.tensor(tree["token"]["embedding"].values),
        torch.tensor(enough["token"]["embedding"].values),
        rtol=1e-4,
        equal_nan=True,
        atol=1e-6,
    )


def test_without_a_gradient_nothing_is_switched(classifier, make_generator):
    generator = make_generator()
    given = {"generator": generator, "progress": False, **SMALL}
    ik.invert(classifier, "stop", arms=["name"], **given)
    assert checkpointed(generator) == ()


def test_an_update_notices_it_too(classifier, make_generator):
    """Memory can be short later than the rehearsal: others take it."""
    generator = make_generator()
    asked = short_of_memory(generator, "vae")
    settings = Settings(**SMALL)
    with pytest.warns(RuntimeWarning, match="its decoder computes activations twice"):
        history = search(classifier, generator, 0, [f"photo of {PLACEHOLDER}"], settings, seed=0)
    assert len(history.steps) == 1
    assert asked.count("vae") == 4  # two images; one; and each of them without what is kept
