"""Free prompts: any text with the token in it, from a result, a file or a vector."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from families import build

from inversion_kit.errors import InputError
from inversion_kit.generators.base import as_generator
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.free_text import FREE, generate
from inversion_kit.generators.token_file import save_token, selected_token
from inversion_kit.schema import validate
from inversion_kit.search.optimise import noise_seeds
from inversion_kit.search.run import invert

SMALL = {
    "steps": 1, "batch": 1, "samples": 1, "validation": 1, "restarts": 0, "progress": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def tree(classifier, generator):
    return invert(classifier, "dog", generator=generator, seed=(0, 1), **SMALL)


def pixels(images):
    return np.stack([np.asarray(image) for image in images])


def test_the_images_are_those_of_the_word_at_a_words_own_vector(generator):
    made = generate(generator.vector_of("cat"), "red {token}", generator=generator, n=3, seed=7)
    seeds = noise_seeds(7, FREE, 0, 3)
    want = generator.images(["red cat"] * 3, seeds=seeds).mul(255).round().permute(0, 2, 3, 1)
    assert [image.mode for image in made] == ["RGB"] * 3
    assert np.abs(pixels(made).astype(float) - want.numpy()).max() <= 1


def test_a_result_its_file_and_its_vector_give_the_same_images(tree, generator, tmp_path):
    path = save_token(tree, tmp_path / "dog.safetensors", seed=1)
    vector = selected_token(tree, seed=1)[1]
    from_tree = pixels(generate(tree, "big {token}", generator=generator, n=2, run=1))
    for token in (path, str(path), vector, vector[0], ClassToken(vector)):
        made = pixels(generate(token, "big {token}", generator=generator, n=2))
        assert np.array_equal(made, from_tree)
    other = pixels(generate(tree, "big {token}", generator=generator, n=2))
    assert not np.array_equal(other, from_tree)


def test_seed_prompt_and_name_change_the_images(tree, generator):
    base = pixels(generate(tree, "big {token}", generator=generator, n=2))
    assert np.array_equal(base, pixels(generate(tree, "big {token}", generator=generator, n=2)))
    for changed in ({"seed": 1}, {"prompt": "red {token}"}, {"prompt": "big {token} {name}"}):
        given = {"prompt": "big {token}", **changed}
        assert not np.array_equal(base, pixels(generate(tree, generator=generator, n=2, **given)))


def test_a_results_own_generator_is_found_again(classifier, make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "pipe")
    own = as_generator(tmp_path / "pipe", num_inference_steps=3, guidance_scale=2.0)
    tree = invert(classifier, "dog", generator=own, **SMALL)
    made = pixels(generate(tree, "big {token}", n=1))
    assert np.array_equal(made, pixels(generate(tree, "big {token}", generator=own, n=1)))
    tree.attrs["generator_hash"] = "0" * 64
    with pytest.raises(InputError, match="other weights"):
        generate(tree, "big {token}", n=1)


def test_a_results_own_generator_has_its_size_call_and_dtype(classifier, make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "pipe")
    own = as_generator(
        tmp_path / "pipe", num_inference_steps=3, height=16, width=32, dtype="bfloat16",
        call={"negative_prompt": "big"},
    )  # fmt: skip
    tree = invert(classifier, "dog", generator=own, **SMALL)
    (made,) = generate(tree, "big {token}", n=1)
    assert made.size == (32, 16)
    assert np.array_equal(made, generate(tree, "big {token}", generator=own, n=1)[0])


def test_a_generator_that_cannot_be_made_again_has_to_be_given(classifier, make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "pipe")
    own = as_generator(tmp_path / "pipe", num_inference_steps=3)
    tree = invert(classifier, "dog", generator=own, **SMALL)
    settings = json.loads(tree.attrs["settings"])

    own.call["negative_prompt_embeds"] = torch.zeros(1)  # what JSON does not hold
    assert own.source is None
    settings["sampler"]["scheduler"]["class"] = "EulerDiscreteScheduler"
    tree.attrs["settings"] = json.dumps(settings)
    with pytest.raises(InputError, match="now has other settings"):
        generate(tree, "big {token}", n=1)

    del settings["sampler"], settings["source"], settings["dtype"], settings["device"]
    tree.attrs["settings"] = json.dumps(settings)
    validate(tree)
    with pytest.raises(InputError, match="an earlier version made this result"):
        generate(tree, "big {token}", n=1)


def test_numbers_may_be_numpys(generator):
    vector = generator.vector_of("cat")
    one = generate(vector, generator=generator, n=np.int64(2), seed=np.int32(3), batch=np.int8(1))
    assert np.array_equal(pixels(one), pixels(generate(vector, generator=generator, n=2, seed=3)))


def test_a_token_of_two_text_encoders(tokenizer):
    generator = as_generator(build("sdxl", tokenizer), num_inference_steps=2)
    vector = generator.vector_of("cat")
    one = pixels(generate(vector, "red {token}", generator=generator, n=1))
    seeds = noise_seeds(0, FREE, 0, 1)
    want = generator.images(["red cat"], seeds=seeds).mul(255).round().permute(0, 2, 3, 1)
    assert np.abs(one.astype(float) - want.numpy()).max() <= 1


def test_bad_calls_say_what_to_give(tree, generator):
    vector = torch.zeros(16)
    with pytest.raises(InputError, match=r"must hold \{token\} once"):
        generate(vector, "red cat", generator=generator)
    with pytest.raises(InputError, match="expected one text"):
        generate(vector, ["red {token}"], generator=generator)
    with pytest.raises(InputError, match="n=0"):
        generate(vector, generator=generator, n=0)
    with pytest.raises(InputError, match="seed=-1"):
        generate(vector, generator=generator, seed=-1)
    with pytest.raises(InputError, match="generator: needed with a token file or a vector"):
        generate(vector)
    with pytest.raises(InputError, match=r"\{name\} needs a result"):
        generate(vector, "{token} {name}", generator=generator)
    with pytest.raises(InputError, match="token: int; expected"):
        generate(3, generator=generator)
    with pytest.raises(InputError, match=r"pipeline object \(tiny\); give it again"):
        generate(tree, "red {token}")
    with pytest.raises(InputError, match="seed=5: this result holds"):
        generate(tree, "red {token}", generator=generator, run=5)
    with pytest.raises(InputError, match="4 numbers"):
        generate(torch.zeros(4), "red {token}", generator=generator)
    with pytest.raises(InputError, match="tokens, the text encoder reads 12"):
        generate(vector, "red " * 12 + "{token}", generator=generator)
