"""The bank: every picture is made once, is the generator's own, and is kept whole or not at all."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from inversion_kit.bank.bank import SHARD, Bank, cache_folder
from inversion_kit.bank.cues import (
    COLOURS,
    KINDS,
    LISTS,
    NATURAL,
    PLACEBOS,
    POCKET,
    Cue,
    check_cues,
    fitting,
)
from inversion_kit.errors import InputError
from inversion_kit.generators.sample import sample, to_bytes

KEYS = [("a red sign", 3), ("a blue sign", 3), ("a red sign", 4)]


@pytest.fixture
def bank(generator, tmp_path):
    return Bank(generator, tmp_path)


def test_images_are_the_generators_own_in_the_order_asked_for(bank, generator):
    images = bank.images(KEYS)
    alone = sample(generator, [KEYS[2][0]], seeds=[KEYS[2][1]])
    assert np.abs(images[2].astype(int) - to_bytes(alone)[0]).max() <= 1  # of another batch
    assert np.array_equal(bank.images(KEYS[::-1]), images[::-1])


def test_made_once_by_whoever_comes(bank, generator, tmp_path):
    made: list[int] = []
    bank.make([*KEYS, KEYS[0]], heard=made.append)
    assert made == [3]
    assert bank.missing([*KEYS, ("new", 0)]) == [("new", 0)]
    again = Bank(generator, tmp_path)
    again.make(KEYS, heard=made.append)
    assert made == [3]
    assert np.array_equal(again.images(KEYS), bank.images(KEYS))
    new = [("a green sign", 1)]
    bank.make(new)
    assert again.missing(new) == new
    again.refresh()
    assert not again.missing(new)


def test_another_generator_or_setting_has_a_folder_of_its_own(bank, generator, tmp_path):
    other = Bank(generator, tmp_path)
    assert other.path == bank.path
    steps = generator.num_inference_steps
    try:
        generator.num_inference_steps = steps + 1
        assert Bank(generator, tmp_path).path != bank.path
    finally:
        generator.num_inference_steps = steps


def test_stops_between_shards_and_goes_on(bank):
    keys = [("a sign", seed) for seed in range(SHARD + 2)]
    bank.make(keys, enough=lambda: bool(bank.places))
    assert len(bank.missing(keys)) == 2
    bank.make(keys)
    assert not bank.missing(keys)


def test_a_damaged_shard_is_made_again(bank, generator, tmp_path):
    images = bank.images(KEYS)
    (file,) = bank.path.glob("*/arrays.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    other = Bank(generator, tmp_path)
    assert np.array_equal(other.images(KEYS), images)
    assert file.read_bytes() != data


def test_parts_hold_few_at_once(bank):
    parts = list(bank.parts(KEYS, 2))
    assert [len(images) for _, images in parts] == [2, 1]
    assert np.array_equal(np.concatenate([images for _, images in parts]), bank.images(KEYS))


def test_cache_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("INVERSION_KIT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("INVERSION_KIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "inversion_kit"


@pytest.mark.parametrize("cues", LISTS.values(), ids=LISTS)
def test_lists_hold_each_cue_once_with_a_place_for_the_source(cues):
    assert check_cues(cues) == cues
    assert {cue.kind for cue in cues} <= set(KINDS) - {"placebo", "words"}
    assert all(cue.colour in {"", *COLOURS} for cue in cues)
    prompts = [prompt for cue in cues for prompt in cue.prompts]
    assert len(set(prompts)) == len(prompts)


def test_natural_prompts_say_no_sign_and_take_the_right_article():
    prompts = [cue.of("teapot", turn) for cue in NATURAL for turn in range(len(cue.prompts))]
    assert not [prompt for prompt in prompts if "sign" in prompt.split()]
    wrong = re.compile(r"\ba [aeiou]|\ban [^aeiou]|\ba the\b")
    assert not [prompt for prompt in prompts if wrong.search(prompt)]
    assert sum("an orange" in prompt for prompt in prompts) == 7


def test_pocket_list_is_in_the_pockets_vocabulary():
    from inversion_kit.generators.convert import as_generator

    vocabulary = as_generator("pocket").vocabulary
    assert fitting(vocabulary) is POCKET
    natural = ["fog", "rain", "snow", "plate", "grass", "forest", "fence", "autumn"]
    assert fitting({*vocabulary, *natural}) is POCKET
    words = {w for cue in NATURAL for p in cue.prompts for w in p.split()}
    assert fitting(words) is NATURAL


def test_own_words_become_prompts():
    moustache, dog, own = check_cues(
        ["with a moustache", "a {source} and a dog", Cue("x", "words", ("{source} x",))]
    )
    assert moustache.of("cat") == "a photo of a cat with a moustache"
    assert dog.of("cat") == "a cat and a dog"
    assert dog.name == "a … and a dog"
    assert own.of("cat") == "cat x"


def test_a_name_in_the_list_that_fits_means_its_wordings():
    bright = next(cue for cue in POCKET if cue.name == "bright")
    words = {word for cue in POCKET for prompt in cue.prompts for word in prompt.split()}
    assert check_cues(["bright", "at night"], words)[0] == bright
    assert check_cues(["bright", "at night"], words)[1].prompts == (
        "a photo of a {source} at night",
    )
    assert check_cues(["bright"])[0].prompts == ("a photo of a {source} bright",)


@pytest.mark.parametrize(
    "cues",
    ["martian", [], ["a", "a"], [""], [3], ["{source} {source}"], [Cue("x", "words", ("y",))]],
)
def test_other_cues_are_refused(cues):
    with pytest.raises(InputError, match="cues"):
        check_cues(cues)


def test_placebos_ask_for_the_plain_picture():
    assert all(cue.kind == "placebo" for cue in PLACEBOS)
    assert not {"with", "dark"} & {w for cue in PLACEBOS for w in cue.of("x").split()}


def test_frozen_generator_is_unchanged(bank, generator):
    before = generator.fresh_hash()
    bank.make(KEYS)
    assert generator.fresh_hash() == before
    assert not any(p.requires_grad for p in generator.denoiser.parameters())
    assert torch.is_grad_enabled()
