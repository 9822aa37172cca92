"""Token files: what diffusers reads, where they come from, and what is refused."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle

import pytest
import torch
from diffusers.loaders.textual_inversion import TextualInversionLoaderMixin
from families import ASKED, build, result_of
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from inversion_kit.errors import InputError, LabelError, SchemaError, StoreError
from inversion_kit.generators.class_token import ClassToken, split
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.token_file import (
    KEY,
    LAYOUT,
    layout_json,
    load_token,
    save_token,
    selected_token,
)
from inversion_kit.testing import synthetic


def embeddings(generator, vector):
    """All that the pipeline makes of the prompt with a token in it."""
    token, pieces = ClassToken(vector), split(vector[0], generator.layout).values()
    with torch.no_grad(), contextlib.ExitStack() as stack:
        for encoder, own in zip(generator.encoders, pieces, strict=True):
            stack.enter_context(token.placed_in(encoder.embedding, encoder.token_id, vector=own))
        return encode(generator.pipeline, ASKED)


def encode(pipeline, prompt):
    settings = {"num_images_per_prompt": 1, "do_classifier_free_guidance": False}
    made = pipeline.encode_prompt(prompt, device="cpu", **settings)
    return [tensor for tensor in made if tensor is not None]


@pytest.fixture(scope="module")
def sdxl(tokenizer):
    """A generator with two text encoders of different size."""
    pipeline = build("sdxl", tokenizer)
    pipeline.text_encoder_2.get_input_embeddings().weight.data *= 3
    return as_generator(pipeline, num_inference_steps=2)


def test_a_token_comes_back_and_carries_where_it_is_from(tmp_path):
    tree = synthetic(seeds=2)
    path = save_token(tree, tmp_path / "a.safetensors", run_seed=1)
    one = tree["token"].to_dataset().sel(label="sky", arm="token", seed=1)
    want = torch.from_numpy(one["embedding"].values[int(one["selected"])])
    assert torch.equal(load_token(path), want)
    with safe_open(path, "pt") as file:
        kept = file.metadata()
    for name in ("classifier_hash", "generator_hash", "settings"):
        assert kept[name] == tree.attrs[name]
    assert (kept["label"], kept["arm"], kept["seed"]) == ("sky", "token", "1")


def test_which_token_of_many_is_asked_for_and_what_is_not_there_is_said():
    arms = ("name", "token+name", "token", "shuffled")
    failed = [("sky", "token", 4), ("green", "token", 4), ("green", "token", 7)]
    tree = synthetic(labels=3, arms=arms, seeds=[4, 7], failed=failed)
    assert selected_token(tree, label="yellow")[:3] == ("yellow", "token", 4)
    assert selected_token(tree, label="sky")[:3] == ("sky", "token", 7)  # the first that has one
    assert selected_token(tree, label="green")[:3] == ("green", "token+name", 4)
    chosen = selected_token(tree, label="yellow", arm="shuffled", run_seed=7)
    assert chosen[:3] == ("yellow", "shuffled", 7)
    one = tree["token"].to_dataset().sel(label="yellow", arm="shuffled", seed=7)
    assert torch.equal(chosen.vector, torch.tensor(one["embedding"].values[int(one["selected"])]))
    picked = selected_token(tree.sel(label="yellow", arm="shuffled", seed=7))
    assert torch.equal(picked.vector, chosen.vector)
    for wrong, error, message in (
        ({}, LabelError, "label: this result has several; give one of 'sky', 'green', 'yellow'"),
        ({"label": "yelow"}, LabelError, "label='yelow': not in this result; nearest 'yellow'"),
        ({"label": "sky", "arm": "tokn"}, InputError, "arm='tokn': .* nearest 'token'"),
        ({"label": "sky", "run_seed": 5}, InputError, r"run_seed=5: this result holds \[4, 7\]"),
        ({"label": "sky", "arm": "name"}, InputError, "none of .*arm='name'.*'token', 'shuffled'"),
        ({"label": "sky", "arm": "token", "run_seed": 4}, InputError, "run_seed=4 in this result"),
    ):
        with pytest.raises(error, match=message):
            selected_token(tree, **wrong)
    with pytest.raises(InputError, match="arms with a token of 'sky': none"):
        selected_token(synthetic(arms=["name"]))
    del tree.attrs["classifier"]
    with pytest.raises(SchemaError):
        selected_token(tree, label="sky")


def test_diffusers_gives_the_same_prompt_embeddings(make_pipeline, generator, tmp_path):
    path = save_token(result_of(generator, "dogcat"), tmp_path / "dog.safetensors")
    pipeline = make_pipeline()
    pipeline.tokenizer = copy.deepcopy(pipeline.tokenizer)  # the other tests' own
    pipeline.load_textual_inversion(path, token="<mine>")
    ours = embeddings(generator, load_token(path))
    theirs = encode(pipeline, "photo of <mine>")
    assert torch.allclose(ours[0], theirs[0], atol=1e-6)
    assert not torch.allclose(ours[0], encode(pipeline, "photo of dog")[0], atol=1e-3)


def test_diffusers_gives_the_same_prompt_embeddings_of_two_text_encoders(sdxl, tokenizer, tmp_path):
    path = save_token(result_of(sdxl, "dog"), tmp_path / "dog.safetensors", generator=sdxl)
    data = load_file(path)
    assert {key: tuple(t.shape) for key, t in data.items()} == {"clip_l": (1, 8), "clip_g": (1, 16)}
    assert sdxl.layout[1].scale > 2
    pipeline = build("sdxl", tokenizer)
    pipeline.text_encoder_2.get_input_embeddings().weight.data *= 3
    pipeline.load_textual_inversion(data["clip_l"], token="<mine>")
    second = {"text_encoder": pipeline.text_encoder_2, "tokenizer": pipeline.tokenizer_2}
    pipeline.load_textual_inversion(data["clip_g"], token="<mine>", **second)
    ours, theirs = embeddings(sdxl, load_token(path)), encode(pipeline, "photo of <mine>")
    assert len(ours) == len(theirs) == 2  # the prompt's and the pooled ones
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert isinstance(pipeline, TextualInversionLoaderMixin)


def test_the_layout_is_read_from_the_result_the_file_or_the_generator(sdxl, tmp_path):
    given = save_token(result_of(sdxl, "dog"), tmp_path / "given.safetensors", generator=sdxl)
    with_layout = result_of(sdxl, "dog", **{LAYOUT: layout_json(sdxl.layout)})
    read = save_token(with_layout, tmp_path / "read.safetensors")
    assert load_file(given).keys() == load_file(read).keys()
    want = sdxl.vector_of("dog")[None]
    for path in (given, read):
        assert torch.allclose(load_token(path), want, atol=1e-6)
    foreign = tmp_path / "foreign.safetensors"
    save_file(load_file(read), foreign)
    assert torch.allclose(load_token(foreign, generator=sdxl), want, atol=1e-6)
    with pytest.raises(StoreError, match=r"clip_g \(1, 16\).*give generator="):
        load_token(foreign)


def test_another_generator_is_refused(sdxl, generator, tmp_path):
    with pytest.raises(InputError, match="'tiny' has other weights"):
        save_token(result_of(sdxl, "dog"), tmp_path / "a.safetensors", generator=generator)
    path = save_token(result_of(sdxl, "dog"), tmp_path / "a.safetensors", generator=sdxl)
    with pytest.raises(StoreError, match=r"expected emb_params \(1, 16\), it holds clip_"):
        load_token(path, generator=generator)


def test_a_wrong_ending_or_place_is_refused(tmp_path):
    with pytest.raises(InputError, match="safetensors"):
        save_token(synthetic(), tmp_path / "a.bin")
    with pytest.raises(StoreError, match="cannot be written"):
        save_token(synthetic(), tmp_path / "missing" / "a.safetensors")


@pytest.mark.parametrize("content", [b"", b"\x80", b"\xff" * 64, b"\x10" + b"\0" * 7 + b"{}"])
def test_a_malformed_file_is_a_store_error(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="token file"):
        load_token(path)


def test_a_pickle_is_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Bomb()))
    torch.save({KEY: Bomb()}, tmp_path / "zip.pt")
    for name in ("plain.pt", "zip.pt"):
        with pytest.raises(StoreError, match=r"pickle.*never opened"):
            load_token(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("length", [896, 19280])
def test_a_header_whose_length_reads_as_the_start_of_a_pickle(tmp_path, length):
    path = tmp_path / "a.safetensors"

    def begin(filled):
        tree = synthetic()
        tree.attrs["settings"] = json.dumps({"note": "x" * filled})
        save_token(tree, path)
        return path.read_bytes()[:8], selected_token(tree).vector

    start = length - int.from_bytes(begin(0)[0], "little")  # headers are whole eights
    head, vector = begin(start)
    assert head == length.to_bytes(8, "little")
    assert head[:2] in (b"\x80\x03", b"PK")
    assert torch.equal(load_token(path), vector)


def test_a_file_that_is_missing_or_too_large_is_a_store_error(tmp_path):
    with pytest.raises(StoreError, match="not a readable"):
        load_token(tmp_path / "missing.safetensors")
    with (tmp_path / "large.safetensors").open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(StoreError, match="larger than any"):
        load_token(tmp_path / "large.safetensors")


ONE = torch.zeros(1, 4)


@pytest.mark.parametrize(
    ("data", "kept", "message"),
    [
        ({KEY: ONE, "more": torch.zeros(2)}, None, "more"),
        ({KEY: torch.zeros(2, 4)}, None, r"expected emb_params \(1, 4\)"),
        ({KEY: torch.zeros(1, 1, 4)}, None, r"expected emb_params \(1, 4\)"),
        ({KEY: torch.tensor(1.0)}, None, r"holds emb_params \(\)"),
        ({KEY: ONE.int()}, None, "not finite numbers"),
        ({KEY: ONE / 0}, None, "not finite numbers"),
        ({"weight": torch.zeros(3, 3)}, None, r"holds weight \(3, 3\)"),
        ({}, None, "holds nothing"),
        ({KEY: ONE}, "no json", "token_layout cannot be read"),
        ({KEY: ONE}, "[]", "token_layout cannot be read"),
        ({KEY: ONE}, json.dumps([[KEY, 4, 0.0]]), "token_layout cannot be read"),
        ({KEY: ONE}, json.dumps([[KEY, 5, 1.0]]), r"expected emb_params \(1, 5\)"),
    ],
)
def test_a_foreign_file_is_a_store_error(tmp_path, data, kept, message):
    save_file(data, tmp_path / "a.safetensors", {LAYOUT: kept} if kept else None)
    with pytest.raises(StoreError, match=message):
        load_token(tmp_path / "a.safetensors")


def test_one_vector_without_its_first_dimension_is_read(tmp_path):
    save_file({KEY: torch.arange(4.0).half()}, tmp_path / "a.safetensors")
    assert torch.equal(load_token(tmp_path / "a.safetensors"), torch.arange(4.0)[None])


@pytest.mark.parametrize("key", ["<cat-toy>", "*", "string_to_param", KEY])
def test_a_file_of_diffusers_with_one_vector_is_a_token(make_pipeline, generator, tmp_path, key):
    vector = generator.vector_of("dog")
    for data in (vector, vector[None]):
        save_file({key: data.clone()}, tmp_path / "learned_embeds.safetensors")
        for more in ({}, {"generator": generator}):
            loaded = load_token(tmp_path / "learned_embeds.safetensors", **more)
            assert torch.equal(loaded, vector[None])
    save_file({key: torch.zeros(2, 16)}, tmp_path / "two.safetensors")
    with pytest.raises(StoreError, match=r"expected emb_params \(1, 16\), it holds"):
        load_token(tmp_path / "two.safetensors", generator=generator)
    pipeline = make_pipeline()
    pipeline.tokenizer = copy.deepcopy(pipeline.tokenizer)
    pipeline.load_textual_inversion(tmp_path / "learned_embeds.safetensors", token="<mine>")
    ours, theirs = embeddings(generator, loaded), encode(pipeline, "photo of <mine>")
    assert torch.allclose(ours[0], theirs[0], atol=1e-6)


def test_a_pickle_of_diffusers_is_refused_and_says_how_to_convert_it(generator, tmp_path):
    vector = generator.vector_of("dog")[None]
    torch.save({"<cat-toy>": vector}, tmp_path / "learned_embeds.bin")
    with pytest.raises(
        StoreError, match=r"convert it .*: (safetensors.*weights_only=True.*\))"
    ) as no:
        load_token(tmp_path / "learned_embeds.bin")
    assert "save_file(torch.load(path, weights_only=True), 'token.safetensors')" in str(no.value)
    data = torch.load(tmp_path / "learned_embeds.bin", weights_only=True)  # as the message says
    save_file(data, tmp_path / "token.safetensors")
    assert torch.equal(load_token(tmp_path / "token.safetensors", generator=generator), vector)
