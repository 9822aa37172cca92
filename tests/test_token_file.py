"""Token files: what diffusers reads, where they come from, and what is refused."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle

import pytest
import torch
from diffusers.loaders.textual_inversion import TextualInversionLoaderMixin
from families import build
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from inversion_kit.errors import InputError, StoreError
from inversion_kit.generators.base import as_generator
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.token_file import (
    KEY,
    LAYOUT,
    layout_json,
    load_token,
    save_token,
    selected_token,
)
from inversion_kit.search.run import invert
from inversion_kit.testing import synthetic_run

ASKED = f"photo of {PLACEHOLDER}"
SMALL = {
    "steps": 1, "batch": 1, "samples": 1, "validation": 1, "restarts": 0, "progress": False,
}  # fmt: skip


def embeddings(generator, vector):
    """All that the pipeline makes of the prompt with a token in it."""
    token, at = ClassToken(vector), 0
    with torch.no_grad(), contextlib.ExitStack() as stack:
        for encoder, part in zip(generator.encoders, generator.layout, strict=True):
            here = slice(at, at + part.width)
            at += part.width
            shown = token.shown_to(encoder.embedding, encoder.token_id, part=here, scale=part.scale)
            stack.enter_context(shown)
        return encode(generator.pipeline, ASKED)


def encode(pipeline, prompt):
    made = pipeline.encode_prompt(
        prompt, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    return [tensor for tensor in made if tensor is not None]


@pytest.fixture(scope="module")
def sdxl(tokenizer):
    """A generator with two text encoders of different size, and its result."""
    pipeline = build("sdxl", tokenizer)
    pipeline.text_encoder_2.get_input_embeddings().weight.data *= 3
    return as_generator(pipeline, num_inference_steps=2)


@pytest.fixture(scope="module")
def tree(sdxl, classifier):
    return invert(classifier, "dog", generator=sdxl, **SMALL)


def test_a_token_comes_back_and_carries_where_it_is_from(tmp_path):
    tree = synthetic_run(seeds=2)
    seeds = tree["token"]["seed"].values.tolist()
    path = save_token(tree, tmp_path / "a.safetensors", seed=seeds[1])
    one = tree["token"].to_dataset().sel(seed=seeds[1])
    want = torch.from_numpy(one["embedding"].values[int(one["selected"])])
    assert torch.equal(load_token(path), want)
    with safe_open(path, "pt") as file:
        assert file.keys() == [KEY]
        kept = file.metadata()
    for name in ("classifier_hash", "generator_hash", "label", "settings"):
        assert kept[name] == tree.attrs[name]
    assert kept["seed"] == str(seeds[1])


def test_diffusers_gives_the_same_prompt_embeddings(make_pipeline, generator, classifier, tmp_path):
    tree = invert(classifier, "dog", generator=generator, **SMALL)
    path = save_token(tree, tmp_path / "dog.safetensors")
    pipeline = make_pipeline()
    pipeline.tokenizer = copy.deepcopy(pipeline.tokenizer)  # the other tests' own
    pipeline.load_textual_inversion(path, token="<mine>")
    ours = embeddings(generator, load_token(path))
    theirs = encode(pipeline, "photo of <mine>")
    assert torch.allclose(ours[0], theirs[0], atol=1e-6)
    assert not torch.allclose(ours[0], encode(pipeline, "photo of dog")[0], atol=1e-3)


def test_diffusers_gives_the_same_prompt_embeddings_of_two_text_encoders(
    sdxl, tree, tokenizer, tmp_path
):
    path = save_token(tree, tmp_path / "dog.safetensors", generator=sdxl)
    data = load_file(path)
    assert {key: tuple(t.shape) for key, t in data.items()} == {
        "clip_l": (1, 8), "clip_g": (1, 16),
    }  # fmt: skip
    assert sdxl.layout[1].scale > 2
    pipeline = build("sdxl", tokenizer)
    pipeline.text_encoder_2.get_input_embeddings().weight.data *= 3
    pipeline.load_textual_inversion(data["clip_l"], token="<mine>")
    pipeline.load_textual_inversion(
        data["clip_g"], token="<mine>", text_encoder=pipeline.text_encoder_2,
        tokenizer=pipeline.tokenizer_2,
    )  # fmt: skip
    ours, theirs = embeddings(sdxl, load_token(path)), encode(pipeline, "photo of <mine>")
    assert len(ours) == len(theirs) == 2  # the prompt's and the pooled ones
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert isinstance(pipeline, TextualInversionLoaderMixin)


def test_the_layout_is_read_from_the_result_the_file_or_the_generator(sdxl, tree, tmp_path):
    given = save_token(tree, tmp_path / "given.safetensors", generator=sdxl)
    tree = tree.copy()
    tree.attrs[LAYOUT] = layout_json(sdxl.layout)
    read = save_token(tree, tmp_path / "read.safetensors")
    assert load_file(given).keys() == load_file(read).keys()
    want = torch.from_numpy(tree["token"]["embedding"].values[0, tree["token"]["selected"].item()])
    for path in (given, read):
        assert torch.allclose(load_token(path), want, atol=1e-6)
    save_file(load_file(read), tmp_path / "foreign.safetensors")
    assert torch.allclose(
        load_token(tmp_path / "foreign.safetensors", generator=sdxl), want, atol=1e-6
    )
    with pytest.raises(StoreError, match=r"clip_g \(1, 16\).*give generator="):
        load_token(tmp_path / "foreign.safetensors")


def test_another_generator_is_refused(sdxl, tree, generator, tmp_path):
    with pytest.raises(InputError, match="'tiny' has other weights"):
        save_token(tree, tmp_path / "a.safetensors", generator=generator)
    path = save_token(tree, tmp_path / "a.safetensors", generator=sdxl)
    with pytest.raises(StoreError, match=r"expected emb_params \(1, 16\), found clip_"):
        load_token(path, generator=generator)


def test_a_wrong_ending_seed_or_place_is_refused(tmp_path):
    with pytest.raises(InputError, match="safetensors"):
        save_token(synthetic_run(), tmp_path / "a.bin")
    with pytest.raises(InputError, match="seed=99"):
        save_token(synthetic_run(), tmp_path / "a.safetensors", seed=99)
    with pytest.raises(StoreError, match="cannot be written"):
        save_token(synthetic_run(), tmp_path / "missing" / "a.safetensors")


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
    tree, path = synthetic_run(), tmp_path / "a.safetensors"

    def begin(filled):
        tree.attrs["settings"] = json.dumps({"note": "x" * filled})
        save_token(tree, path)
        return path.read_bytes()[:8]

    start = length - int.from_bytes(begin(0), "little")  # headers are whole eights
    assert begin(start) == length.to_bytes(8, "little")
    assert begin(start)[:2] in (b"\x80\x03", b"PK")
    assert torch.equal(load_token(path), selected_token(tree)[1])


def test_a_file_that_is_missing_or_too_large_is_a_store_error(tmp_path):
    with pytest.raises(StoreError, match="not a readable"):
        load_token(tmp_path / "missing.safetensors")
    with (tmp_path / "large.safetensors").open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(StoreError, match="larger than any"):
        load_token(tmp_path / "large.safetensors")


@pytest.mark.parametrize(
    ("data", "kept", "message"),
    [
        ({KEY: torch.zeros(1, 4), "more": torch.zeros(2)}, None, "more"),
        ({KEY: torch.zeros(2, 4)}, None, r"expected emb_params \(1, 4\)"),
        ({KEY: torch.zeros(1, 1, 4)}, None, r"expected emb_params \(1, 4\)"),
        ({KEY: torch.tensor(1.0)}, None, r"found emb_params \(\)"),
        ({KEY: torch.zeros(1, 4).int()}, None, "not finite numbers"),
        ({KEY: torch.full((1, 4), torch.nan)}, None, "not finite numbers"),
        ({"weight": torch.zeros(3, 3)}, None, r"found weight \(3, 3\)"),
        ({}, None, "found nothing"),
        ({KEY: torch.zeros(1, 4)}, "no json", "token_layout cannot be read"),
        ({KEY: torch.zeros(1, 4)}, "[]", "token_layout cannot be read"),
        ({KEY: torch.zeros(1, 4)}, json.dumps([[KEY, 4, 0.0]]), "token_layout cannot be read"),
        ({KEY: torch.zeros(1, 4)}, json.dumps([[KEY, 5, 1.0]]), r"expected emb_params \(1, 5\)"),
    ],
)
def test_a_foreign_file_is_a_store_error(tmp_path, data, kept, message):
    save_file(data, tmp_path / "a.safetensors", {LAYOUT: kept} if kept else None)
    with pytest.raises(StoreError, match=message):
        load_token(tmp_path / "a.safetensors")


def test_one_vector_without_its_first_dimension_is_read(tmp_path):
    save_file({KEY: torch.arange(4.0).half()}, tmp_path / "a.safetensors")
    assert torch.equal(load_token(tmp_path / "a.safetensors"), torch.arange(4.0)[None])
