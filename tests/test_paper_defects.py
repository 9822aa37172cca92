"""The eleven defects of the paper's published code, each shown to be absent here.

The paper is Schwartz et al., "Discriminative Class Tokens for Text-to-Image Diffusion Models",
ICCV 2023. Each test is named after the defect in that code.
"""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open

import inversion_kit
from inversion_kit.audits.invert import invert
from inversion_kit.errors import InputError
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.gradients import LAST_STEP
from inversion_kit.search.optimise import check, optimise
from inversion_kit.seeds import TRAIN, noise_seeds
from tests.test_invert import SMALL

PROMPTS = (f"a photo of a {PLACEHOLDER}",)


@pytest.fixture(scope="module")
def tree(classifier, generator, make_classifier):
    """A result of two seeds and one judge."""
    judge = make_classifier(seed=8, name="judge")
    return invert(classifier, "dog", generator=generator, seeds=(0, 1), judges=[judge], **SMALL)


def by_hand(classifier, generator, start, *, clip, steps=3):
    """The class token after some updates, written out: the gradient, then its clip, then Adam."""
    token = ClassToken(start)
    rate = 0.3 * generator.vocabulary_norm() / math.sqrt(start.numel())
    optimizer = torch.optim.Adam([token.vector], lr=rate, betas=(0.8, 0.99))
    for step in range(steps):
        images = generator.images(
            PROMPTS * 2, seeds=noise_seeds(0, TRAIN, step, 2), token=token, gradient=LAST_STEP
        )
        F.cross_entropy(classifier.logits(images), torch.tensor([1, 1])).backward()
        size = token.vector.grad.norm()
        token.vector.grad *= min(1.0, clip / size.item())
        optimizer.step()
        optimizer.zero_grad()
    return token.vector.detach()


def test_01_gradients_are_clipped_before_backward(classifier, generator):
    start = generator.vector_of("stop")
    clip = 1e-3
    *_, last = optimise(
        classifier,
        generator,
        1,
        PROMPTS,
        start=start,
        start_name="stop",
        seed=0,
        steps=3,
        batch=2,
        lr=0.3,
        gradient=LAST_STEP,
        max_gradient_norm=clip,
    )
    assert last.gradient_norm > clip
    clipped = by_hand(classifier, generator, start, clip=clip)
    free = by_hand(classifier, generator, start, clip=math.inf)
    assert torch.allclose(last.token, clipped, atol=1e-6)
    assert not torch.allclose(last.token, free, atol=1e-4)


def test_02_weight_decay_moves_every_row_of_the_embedding_table(classifier, make_generator):
    generator = make_generator()
    table = generator.embedding.weight.clone()
    made = invert(classifier, "dog", generator=generator, **SMALL)
    assert torch.equal(generator.embedding.weight, table)
    assert generator.fresh_hash() == made.attrs["generator_hash"]


def test_03_the_same_noise_is_used_again_every_epoch(tree):
    groups = [tree[g]["noise_seed"].values for g in ("trajectory", "validation", "samples")]
    used = np.concatenate([g.ravel() for g in groups])
    used = used[used >= 0]
    assert len(np.unique(used)) == 2 * (4 * 2 + 3 + 3)
    for seeds in groups[:2]:  # of the samples every arm has the same
        assert len(np.unique(seeds[seeds >= 0])) == (seeds >= 0).sum()


def test_04_the_unconditional_prompt_is_padded_differently_in_evaluation(classifier, generator):
    rows = []
    handle = generator.pipeline.text_encoder.register_forward_pre_hook(
        lambda module, inputs: rows.append(inputs[0][0].tolist())
    )
    start = generator.neutral_vector()
    steps = optimise(
        classifier,
        generator,
        1,
        PROMPTS,
        start=start,
        start_name="",
        seed=0,
        steps=1,
        batch=1,
        lr=0.3,
        gradient=LAST_STEP,
    )
    assert len(list(steps)) == 1
    training = rows.copy()
    rows.clear()
    check(classifier, generator, start, PROMPTS, [1], target=1)
    handle.remove()
    empty = generator.pipeline.tokenizer("", padding="max_length").input_ids
    assert training == rows
    assert rows[1] == empty
    assert len(rows[0]) == len(rows[1])


def test_05_the_only_judge_is_the_classifier_that_gave_the_gradient(tree, classifier, generator):
    seen = tree["samples"].to_dataset()
    kinds = dict(zip(seen["judge"].values, seen["judge_kind"].values, strict=True))
    assert [name for name, kind in kinds.items() if kind == "classifier"] == ["judge"]
    judged = seen["judge_probability"].sel(judge="judge")
    assert judged.dims == seen["probability"].dims
    assert abs(judged - seen["probability"]).max() > 0.01
    assert json.loads(tree.attrs["judge_hashes"])[0] != tree.attrs["classifier_hash"]
    with pytest.raises(InputError, match="same weights"):
        invert(classifier, "dog", generator=generator, judges=[classifier], **SMALL)


def test_06_the_class_name_is_in_every_prompt(tree):
    samples = tree["samples"].to_dataset()
    assert not any("dog" in p for p in tree["trajectory"]["prompt"].values.ravel())
    for arm, named in {"start": False, "token": False, "name": True}.items():
        prompts = samples["prompt"].sel(arm=arm).values.ravel()
        assert all(("dog" in p) == named for p in prompts)
    assert (samples["noise_seed"] == samples["noise_seed"].isel(arm=0)).all()  # one for every arm


@pytest.mark.parametrize("label", [0, "dog", "big dog", "stop"])
def test_07_the_class_index_is_off_by_one(classifier, generator, label):
    settings = {**SMALL, "steps": 1, "restarts": 0}
    made = invert(classifier, label, generator=generator, **settings)
    index, name = int(made["samples"]["label_index"][0]), made["samples"]["label"].item()
    assert name == classifier.labels[index]
    assert label in (index, name)
    step = made["trajectory"].to_dataset().sel(arm="token").isel(label=0, seed=0, step=0)
    pushed = step["probability"].sel({"class": name})
    assert step["loss"].item() == pytest.approx(-np.log(pushed.values).mean(), rel=1e-4)


def test_08_selected_by_loss_and_stopped_by_accuracy(classifier, generator, tree):
    here = {"label": "dog", "arm": "token"}
    seen = tree["validation"]["probability"].sel({"class": "dog", **here}).mean("sample")
    assert (seen.argmax("check") == tree["token"]["selected"].sel(here)).all()
    enough = seen.isel(seed=0).max().item()
    assert enough > seen.isel(seed=0, check=0).item()
    made = invert(classifier, "dog", generator=generator, **{**SMALL, "stop_at": enough - 1e-6})
    again = made["validation"]["probability"].sel({"class": "dog", **here}).mean("sample")
    again = again.isel(seed=0)
    assert (again >= enough - 1e-6).values.tolist() == [False] * (again.size - 1) + [True]
    assert made["token"]["selected"].sel(here).item() == again.size - 1


def test_09_the_whole_pipeline_is_saved_instead_of_one_vector(tree, generator, tmp_path):
    path = inversion_kit.save_token(tree, tmp_path / "dog.safetensors", run_seed=1)
    with safe_open(path, "pt") as file:
        (key,) = file.keys()
        vector = file.get_tensor(key)
    one = tree["token"].to_dataset().sel(label="dog", arm="token", seed=1)
    assert np.array_equal(vector.numpy(), one["embedding"].values[one["selected"].item()])
    assert vector.shape == (1, generator.embedding.weight.shape[1])
    assert torch.equal(inversion_kit.load_token(path), vector)


def test_10_no_probabilities_seeds_or_metadata_are_kept(tree, classifier, generator, tmp_path):
    inversion_kit.save(tree, tmp_path / "run.zarr")
    kept = inversion_kit.open(tmp_path / "run.zarr")
    for group in tree.groups[1:]:
        for name, values in tree[group].data_vars.items():
            np.testing.assert_array_equal(kept[group][name].values.tolist(), values.values.tolist())
    step = kept["trajectory"].to_dataset().sel(label="dog", arm="token", seed=1, step=2)
    total = step["probability"].sum("class").values
    assert np.allclose(total, 1, atol=1e-5)
    assert step["noise_seed"].values.tolist() == noise_seeds(1, TRAIN, 2, 2)
    assert kept.attrs["classifier_hash"] == classifier.hash
    assert kept.attrs["generator_hash"] == generator.hash
    settings = json.loads(kept.attrs["settings"])
    assert kept["samples"]["seed"].values.tolist() == [0, 1]
    assert settings["gradient"] == "last_step"
    assert settings["guidance_scale"] == generator.guidance_scale
    assert {"torch", "diffusers"} <= set(json.loads(kept.attrs["versions"]))


def test_11_cuda_is_hard_coded():
    package = Path(inversion_kit.__file__).parent
    for path in package.rglob("*.py"):
        if path.name == "train.py":  # the pocket's recipe may choose its device
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            assert getattr(node, "attr", "") != "cuda", path.name
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.startswith("cuda"), path.name


@pytest.mark.gpu
def test_11_a_run_stays_where_its_networks_are(make_pipeline, make_classifier):
    generator = inversion_kit.as_generator(make_pipeline().to("cuda"), num_inference_steps=3)
    classifier = make_classifier()
    classifier.model.to("cuda")
    made = invert(classifier, "dog", generator=generator, **SMALL)
    assert np.isfinite(made["trajectory"]["loss"].values).all()
