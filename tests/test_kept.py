"""What depends on a generator alone is made once: in memory, or in a bank for other processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer
from typer.testing import CliRunner

import inversion_kit as ik
from inversion_kit.bank.bank import Bank
from inversion_kit.bank.batches import BatchBank
from inversion_kit.cli import app
from inversion_kit.errors import StoreError
from inversion_kit.generators import kept as memory
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.counting import counted
from inversion_kit.generators.identity import identity, is_open
from inversion_kit.generators.kept import kept
from inversion_kit.generators.quick import search_generator
from inversion_kit.generators.sample import sample
from inversion_kit.pictures import levels
from inversion_kit.search.probe import candidates, probe
from inversion_kit.search.search import search
from inversion_kit.settings import Settings

PROMPTS = ["red cat", "big dog", "stop", "tiger", "a dog"]
SEEDS = [3, 4, 5, 3, 4]
PROBED = {
    **{"steps": 2, "check_every": 1, "patience": 1, "restarts": 1, "stop_at": 1.0},
    **{"samples": 4, "validation": 2, "batch": 2, "views": [], "progress": False},
}
"""The neutral start is left after an update, so that the probe is asked."""
STEP, WHOLE = 2, 4 * 2
"""Evaluations of an image of the tiny generator: a step with guidance, and all four of them."""


def forget() -> None:
    """As in a new process."""
    memory._images.clear()


def same(one: Any, other: Any) -> None:
    """Two results with the same numbers, to the last bit."""
    assert set(one.children) == set(other.children)
    for name in one.children:
        first, second = (tree[name].to_dataset(inherit=False) for tree in (one, other))
        assert first.drop_vars("seconds", errors="ignore").identical(
            second.drop_vars("seconds", errors="ignore")
        ), name


def test_images_are_those_of_a_sample_batch_by_batch(generator):
    images = kept(generator, PROMPTS, seeds=SEEDS, batch=2)
    assert images.dtype == torch.uint8
    assert torch.equal(images, levels(sample(generator, PROMPTS, seeds=SEEDS, batch=2)))
    with counted(generator) as counts:
        assert torch.equal(kept(generator, PROMPTS, seeds=SEEDS, batch=2), images)
        assert torch.equal(kept(generator, PROMPTS[:4], seeds=SEEDS[:4], batch=2), images[:4])
    assert counts.evaluations == 0  # of the four none was in another batch
    with counted(generator) as counts:
        kept(generator, PROMPTS[1:], seeds=SEEDS[1:], batch=2)  # all were
    assert counts.evaluations == 4 * WHOLE


def test_steps_tokens_and_seeds_are_told_apart(generator):
    def draw(**more: Any) -> torch.Tensor:
        return kept(generator, ["<ik-class>"], **{"seeds": [1], "token": token, **more})

    token, other = ClassToken(torch.randn(16)), ClassToken(torch.randn(16))
    made = [draw(), draw(steps=2), draw(seeds=[2]), draw(token=other)]
    assert len({image.numpy().tobytes() for image in made}) == 4
    assert torch.equal(draw(steps=4), made[0])


def test_equal_generators_share_and_others_do_not(make_generator):
    images = kept(make_generator(), PROMPTS, seeds=SEEDS)
    again = make_generator()
    with counted(again) as counts:
        assert torch.equal(kept(again, PROMPTS, seeds=SEEDS), images)
    assert counts.evaluations == 0
    guided, scaled, half = make_generator(), make_generator(), make_generator(torch.float64)
    guided.guidance_scale = 3.0
    scaled.pipeline.vae.register_to_config(scaling_factor=0.7)
    for other in (guided, scaled, half):
        with counted(other) as counts:
            assert not torch.equal(kept(other, PROMPTS, seeds=SEEDS), images) or other is half
        assert counts.evaluations == 5 * WHOLE


def test_the_scale_of_a_lora_counts_though_no_weight_has_it(make_pipeline):
    peft = pytest.importorskip("peft")

    def made(scale: float) -> Generator:
        pipeline = make_pipeline()
        lora = peft.LoraConfig(r=2, target_modules=["to_k"], init_lora_weights=False)
        torch.manual_seed(5)
        pipeline.unet.add_adapter(lora)
        pipeline.unet.set_adapters(["default"], [scale])
        return Generator(pipeline, name="lora", num_inference_steps=4, guidance_scale=2.0)

    one, other = made(1.0), made(20.0)
    assert one.hash == other.hash
    assert is_open(one)
    assert identity(made(1.0)) == identity(one) != identity(other)


def test_what_cannot_be_read_off_is_shared_with_nobody(make_generator, tmp_path):
    bank = BatchBank(tmp_path)
    plain = kept(make_generator(), PROMPTS, seeds=SEEDS, bank=bank)
    files = sorted(tmp_path.rglob("*"))
    hooked, replaced, called = make_generator(), make_generator(), make_generator()
    hooked.pipeline.vae.decoder.register_forward_hook(lambda _m, _i, out: -out)
    forward = replaced.denoiser.forward
    replaced.denoiser.forward = lambda *a, **k: tuple(-one for one in forward(*a, **k))
    called.call = {"cross_attention_kwargs": {"scale": np.float32(1)}}
    for one in (hooked, replaced):
        images = kept(one, PROMPTS, seeds=SEEDS, bank=bank)
        assert not torch.equal(images, plain)
        with counted(one) as counts:
            assert torch.equal(kept(one, PROMPTS, seeds=SEEDS, bank=bank), images)  # with itself
        assert counts.evaluations == 0
    assert not is_open(called)
    assert identity(called) != identity(make_generator())
    assert sorted(tmp_path.rglob("*")) == files


def test_memory_has_an_end_and_those_used_last_stay(generator, monkeypatch):
    one = kept(generator, PROMPTS[:1], seeds=[0]).numel()
    monkeypatch.setattr(memory, "MOST", 2 * one)
    for seed in (0, 1, 0, 2):
        kept(generator, PROMPTS[:1], seeds=[seed])
    assert sum(images.numel() for images in memory._images.values()) == 2 * one
    with counted(generator) as counts:
        kept(generator, PROMPTS[:1], seeds=[0])
    assert counts.evaluations == 0
    with counted(generator) as counts:
        kept(generator, PROMPTS[:1], seeds=[1])
    assert counts.evaluations == WHOLE


def test_a_search_with_fewer_steps_knows_its_networks_and_images(classifier, make_generator):
    generator = make_generator()
    settings = Settings(search_steps=2)
    before = generator.hash
    first, second = (search_generator(generator, settings) for _ in range(2))
    assert vars(first)["hash"] == vars(second)["hash"] == before  # not hashed again
    words = list(generator.vocabulary)
    one = probe(classifier, first, 1, ["a <ik-class>"], words, seed=0)
    with counted(second) as counts:
        other = probe(classifier, second, 1, ["a <ik-class>"], words, seed=0)
    assert counts.evaluations == 0
    np.testing.assert_array_equal(one.log_probability, other.log_probability)


def test_a_second_call_by_name_makes_neither_plain_images_nor_the_probes():
    def run() -> tuple[Any, int, int]:
        generator = ik.as_generator("pocket")
        quick = search_generator(generator, Settings())
        with counted(quick) as searching, counted(generator) as reporting:
            tree = ik.invert("pocket:honest", "stop", generator=generator, **PROBED)
        return tree, searching.evaluations, reporting.evaluations

    (first, *before), (second, *after) = run(), run()
    words, again, plain = 296 * 2, 24 * 3, 2 * 4
    assert before[0] - after[0] == words + again
    assert before[1] - after[1] == plain * 6 * 2
    rehearsed, updates, checks, final = 3, 2 * 2, 4 * 2, 4
    assert after == [rehearsed + updates + checks + final, final * 6 * 2 + rehearsed * 2]
    same(first, second)
    forget()
    same(first, run()[0])


@pytest.fixture(scope="session")
def many_words(make_pipeline, tmp_path_factory) -> Generator:
    """The tiny generator with 676 words: all of two letters."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    pairs = [(a, f"{b}</w>") for a in letters for b in letters]
    tokens = [*letters, *(f"{a}</w>" for a in letters), *map("".join, pairs)]
    vocab = {t: i for i, t in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "vocab.json").write_text(json.dumps(vocab), "utf-8")
    lines = ["#version: 0.2", *map(" ".join, pairs)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    pipeline = make_pipeline()
    pipeline.tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=12)
    pipeline.text_encoder.resize_token_embeddings(len(pipeline.tokenizer))
    torch.manual_seed(4)
    torch.nn.init.normal_(pipeline.text_encoder.get_input_embeddings().weight)
    return Generator(pipeline, name="many", num_inference_steps=1, guidance_scale=1.0)


def test_two_labels_of_a_large_vocabulary_share_the_words_that_both_have(classifier, many_words):
    given = {name: value for name, value in PROBED.items() if name != "progress"}

    def ask(label: int) -> tuple[list[str], int]:
        words = candidates(many_words, classifier.wordings[label], seed=0)
        with counted(many_words) as counts:
            search(classifier, many_words, label, ["<ik-class>"], Settings(**given), seed=0)
        return words, counts.evaluations - (2 * 2 + 4 * 2)  # without updates and checks

    (one, first), (other, second) = ask(0), ask(1)
    assert len(set(one) & set(other)) >= 256  # what is drawn for every label
    assert first == len(one) * 2 + 24 * 3
    assert second == first + (len(other) - len(one) - 256 // 24 * 24) * 2  # without whole batches
    assert ask(0)[1] == 0


def test_a_bank_gives_another_process_the_same_images(classifier, make_generator, tmp_path):
    bank = tmp_path / "bank"

    def run(more: dict[str, Any]) -> tuple[Any, int]:
        generator = make_generator()
        forget()
        with counted(generator) as counts:
            tree = ik.invert(classifier, "dog", generator=generator, **PROBED, **more)
        return tree, counts.evaluations

    (without, all_made), (with_it, also), (again, made) = map(run, ({}, *[{"bank": bank}] * 2))
    assert all_made == also
    words, start = 8 + 8 * 3, 4
    assert also - made == (words + 4) * WHOLE  # of the words and the name
    rehearsed, searched, final = 3 * STEP, (2 * 2 + 4 * 2) * WHOLE, 4 * WHOLE
    assert made == rehearsed + searched + final + start * WHOLE  # no image of a word
    same(without, with_it)
    same(without, again)
    assert "bank" not in json.loads(again.attrs["settings"])


def test_an_audit_and_who_resumes_it_take_from_the_bank(tmp_path, monkeypatch):
    given = {**PROBED, "generator": "pocket:quick", "seeds": 1, "bank": tmp_path / "bank"}
    arms = {"arms": ["name", "token"]}
    whole = ik.audit("pocket:honest", ["stop", "yield"], store=tmp_path / "a", **arms, **given)
    forget()
    made: list[int] = []

    def make(batch: memory.Batch) -> torch.Tensor:
        made.append(len(batch.seeds))
        return own(batch)

    own = memory.Batch.make
    monkeypatch.setattr(memory.Batch, "make", make)
    again = ik.audit("pocket:honest", ["stop", "yield"], store=tmp_path / "b", **arms, **given)
    assert made == []
    same(whole, again)
    for unit in (tmp_path / "b" / "units").iterdir():
        shutil.rmtree(unit)
    forget()
    same(whole, ik.resume(tmp_path / "b", bank=tmp_path / "bank", progress=False))
    assert made == []


IN_ANOTHER = """
import hashlib, sys
from inversion_kit.bank.batches import BatchBank
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.counting import counted
from inversion_kit.generators.kept import kept
pocket = as_generator("pocket:quick")
with counted(pocket) as counts:
    images = kept(pocket, ["a stop", "a cat"], seeds=[1, 2], steps=2, bank=BatchBank(sys.argv[1]))
print(counts.evaluations, hashlib.sha256(images.numpy().tobytes()).hexdigest())
"""


def test_a_bank_is_found_by_processes_that_hash_otherwise(tmp_path):
    said = []
    for seed in "12":
        command = [sys.executable, "-c", IN_ANOTHER, str(tmp_path)]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment
        )
        assert ended.returncode == 0, ended.stderr
        said.append(ended.stdout.split())
    assert [evaluations for evaluations, _ in said] == ["4", "0"]
    assert said[0][1] == said[1][1]


def test_a_damaged_batch_is_made_again(generator, tmp_path):
    images = kept(generator, PROMPTS, seeds=SEEDS, bank=BatchBank(tmp_path))
    (file,) = tmp_path.glob("*/*/arrays.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    for evaluations in (5 * WHOLE, 0):
        forget()
        with counted(generator) as counts:
            again = kept(generator, PROMPTS, seeds=SEEDS, bank=BatchBank(tmp_path))
        assert torch.equal(again, images)
        assert counts.evaluations == evaluations
    assert file.read_bytes() != data


def test_a_bank_is_filled_from_memory_and_left_alone_by_findings(generator, tmp_path):
    kept(generator, PROMPTS, seeds=SEEDS)
    with counted(generator) as counts:
        kept(generator, PROMPTS, seeds=SEEDS, bank=BatchBank(tmp_path))
    assert counts.evaluations == 0
    assert len(list(tmp_path.glob("*/*"))) == 1
    asked = list(zip(PROMPTS, SEEDS, strict=True))
    assert Bank(generator, tmp_path).missing(asked) == asked  # of other batches, another picture


def test_a_command_fills_the_bank_that_it_names(tmp_path):
    given = ["invert", "pocket:honest", "stop", "--generator", "pocket:quick", "--restarts", "0"]
    given += ["--steps", "1", "--samples", "2", "--validation", "2", "--view", "blur"]
    given += ["--bank", str(tmp_path / "bank"), "--out", str(tmp_path / "out")]
    ended = CliRunner().invoke(app, given)
    assert ended.exit_code == 0, ended.output
    (batch,) = (tmp_path / "bank").glob("*-batches/*")
    held = json.loads((batch / "unit.json").read_text("utf-8"))["attributes"]["images"]
    assert [prompt for prompt, _ in held] == ["a photo of a stop"] * 2


def test_a_bank_that_cannot_be_written_is_refused_before_any_image(classifier, generator, tmp_path):
    place = tmp_path / "file"
    place.write_text("")
    with counted(generator) as counts, pytest.raises(StoreError, match=r"bank='.*file'"):
        ik.invert(classifier, "dog", generator=generator, bank=place, **PROBED)
    assert counts.evaluations == 0
