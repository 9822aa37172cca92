"""Free prompts: any text with the token in it, from a result, a file or a vector."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from families import build, result_of

import inversion_kit as ik
from inversion_kit.errors import InputError, LabelError
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.free_text import generate
from inversion_kit.generators.token_file import save_token, selected_token
from inversion_kit.seeds import FREE, noise_seeds
from inversion_kit.testing import synthetic

BIG = "big {token}"


@pytest.fixture(scope="module")
def tree(generator):
    return result_of(generator, "dog", "tiger")


@pytest.fixture
def folder(make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "pipe")
    return tmp_path / "pipe"


def pixels(*given, **settings):
    return np.stack([np.asarray(image) for image in generate(*given, **settings)])


@pytest.mark.parametrize("family", ["tiny", "sdxl"])  # of one text encoder and of two
def test_the_images_are_those_of_the_word_at_a_words_own_vector(family, generator, tokenizer):
    if family == "sdxl":
        generator = as_generator(build("sdxl", tokenizer), num_inference_steps=2)
    vector = generator.vector_of("cat")
    made = generate(vector, "red {token}", generator=generator, n=3, seed=7, batch=2)
    assert [image.mode for image in made] == ["RGB"] * 3
    images = generator.images(["red cat"] * 3, seeds=noise_seeds(7, FREE, 0, 3))
    want = images.mul(255).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(np.stack(made).astype(float) - want).max() <= 1


def test_a_result_its_file_and_its_vector_give_the_same_images(tree, generator, tmp_path):
    path = save_token(tree, tmp_path / "dog.safetensors", run_seed=1)
    vector = selected_token(tree, run_seed=1).vector
    from_tree = pixels(tree, BIG, generator=generator, n=2, run_seed=1)
    for token in (path, str(path), vector, vector[0], ClassToken(vector)):
        assert np.array_equal(pixels(token, BIG, generator=generator, n=2), from_tree)
    assert not np.array_equal(pixels(tree, BIG, generator=generator, n=2), from_tree)


def test_seed_prompt_and_name_change_the_images(generator):
    tree = result_of(generator, "dog")
    base = pixels(tree, BIG, generator=generator, n=2)
    assert np.array_equal(base, pixels(tree, BIG, generator=generator, n=2))
    for changed in ({"seed": 1}, {"prompt": "red {token}"}, {"prompt": "big {token} {name}"}):
        given = {"prompt": BIG, **changed}
        assert not np.array_equal(base, pixels(tree, generator=generator, n=2, **given))
    named = pixels(tree, "big {token} {name}", generator=generator, n=2)
    vector = selected_token(tree).vector
    assert np.array_equal(named, pixels(vector, "big {token} sky", generator=generator, n=2))


def test_a_results_own_generator_has_its_size_call_and_dtype(classifier, folder):
    settings = {"height": 16, "width": 32, "call": {"negative_prompt": "big"}}
    own = as_generator(folder, num_inference_steps=3, dtype="bfloat16", **settings)
    small = {"steps": 1, "batch": 1, "samples": 1, "validation": 1, "restarts": 0}
    tree = ik.invert(classifier, "dog", generator=own, progress=False, **small)
    made = pixels(tree, BIG, n=1)
    assert made.shape == (1, 16, 32, 3)
    assert np.array_equal(made, pixels(tree, BIG, generator=own, n=1))


def test_a_generator_that_is_not_there_any_more_has_to_be_given(folder):
    own = as_generator(folder, num_inference_steps=3, guidance_scale=2.0)
    assert np.array_equal(
        pixels(result_of(own, "dog"), BIG, n=1),
        pixels(result_of(own, "dog"), BIG, generator=own, n=1),
    )
    other = result_of(own, "dog")
    other.attrs["generator_hash"] = "0" * 64
    with pytest.raises(InputError, match="now has other weights"):
        generate(other, BIG)
    facts = json.loads(json.dumps(own.sampler_facts()))
    facts["scheduler"]["class"] = "EulerDiscreteScheduler"
    with pytest.raises(InputError, match="now has other settings"):
        generate(result_of(own, "dog", sampler=facts), BIG)
    own.call["negative_prompt_embeds"] = torch.zeros(1)  # what JSON does not hold
    assert own.source is None
    with pytest.raises(InputError, match=r"made with a pipeline object .*; give it again"):
        generate(result_of(own, "dog"), BIG)


def test_numbers_may_be_numpys(generator):
    vector = generator.vector_of("cat")
    one = pixels(vector, generator=generator, n=np.int64(2), seed=np.int32(3), batch=np.int8(1))
    assert np.array_equal(one, pixels(vector, generator=generator, n=2, seed=3))


@pytest.mark.parametrize(
    ("token", "prompt", "settings", "message"),
    [
        (16, "red cat", {}, r"must hold \{token\} once"),
        (16, ["red {token}"], {}, "expected one text"),
        (16, BIG, {"n": 0}, "n=0"),
        (16, BIG, {"batch": 0}, "batch=0"),
        (16, BIG, {"seed": -1}, "seed=-1"),
        (16, BIG, {"generator": None}, "generator: needed with a token file or a vector"),
        (16, BIG, {"label": "sky"}, "of a result alone"),
        (16, "{token} {name}", {}, r"\{name\} needs a result"),
        (16, "red " * 12 + "{token}", {}, "tokens, the text encoder reads 12"),
        (4, BIG, {}, "4 numbers"),
        (None, BIG, {}, "token: NoneType; expected"),
    ],
)
def test_bad_calls_say_what_to_give(generator, token, prompt, settings, message):
    given = torch.zeros(token) if token else token
    with pytest.raises(InputError, match=message):
        generate(given, prompt, **{"generator": generator, **settings})


def test_a_result_without_such_a_token_or_generator_says_what_it_has(tree, generator):
    with pytest.raises(InputError, match=r"pipeline object \(tiny\); give it again"):
        generate(tree, BIG)
    with pytest.raises(InputError, match="run_seed=5: this result holds"):
        generate(tree, BIG, generator=generator, run_seed=5)
    with pytest.raises(LabelError, match="give one of 'sky', 'green'"):
        generate(synthetic(labels=2), BIG, generator=generator)
