"""What a search history as datasets of a unit: every value in its place, no dtype changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inversion_kit import schema
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.generators.sample import to_bytes
from inversion_kit.search import datasets
from inversion_kit.search.history import History, Probe
from inversion_kit.search.search import search
from inversion_kit.storage import unit_files
from tests.conftest import LABELS
from tests.test_search_state import SETTINGS


@pytest.fixture(scope="module")
def history(classifier, generator):
    """A search that asked the probe and restarted."""
    return search(classifier, generator, 1, [f"photo of {PLACEHOLDER}"], SETTINGS, seed=0)


@pytest.fixture(scope="module")
def sampled(classifier):
    random = torch.Generator().manual_seed(0)
    images = torch.rand(5, 3, 16, 16, generator=random).mul(255).round().div(255)
    return images, datasets.samples(images, classifier, prompts=list("abcde"), seeds=range(5))


def groups_of(history, classifier, generator, sampled):
    return {
        "trajectory": datasets.trajectory(history, classifier.labels),
        "validation": datasets.validation(history, classifier.labels),
        "token": datasets.token(history, generator),
        "probe": datasets.probe(history),
        "samples": sampled[1].assign(noise_seed=("sample", np.arange(5, dtype="i8"))),
    }


def test_the_groups_are_those_of_a_unit(history, classifier, generator, sampled, tmp_path):
    groups = groups_of(history, classifier, generator, sampled)
    unit_files.write(tmp_path, "unit", groups, {})
    kept, _ = unit_files.read(tmp_path / "unit")
    assert set(kept) == set(groups)
    for group, data in kept.items():
        assert not schema.group_faults(group, data, schema.UNIT[group])
    for group, data in groups.items():
        for name in data.data_vars:
            dims, kind = schema.UNIT[group][name]
            assert data[name].dims == dims
            assert kind == "str" or data[name].dtype == np.dtype(kind), (group, name)


def test_every_update_is_in_its_place(history):
    data = datasets.trajectory(history, LABELS)
    assert data.sizes["step"] == len(history.steps) >= 2
    for i, step in enumerate(history.steps):
        one = data.isel(step=i)
        assert one["loss"] == np.float32(step.loss)
        assert one["gradient_norm"] == np.float32(step.gradient_norm)
        assert str(one["start"].values) == step.start
        assert one["prompt"].values.tolist() == list(step.prompts)
        assert one["noise_seed"].values.tolist() == list(step.seeds)
        np.testing.assert_array_equal(one["probability"], step.probability)
        np.testing.assert_array_equal(one["image"], step.images.permute(0, 2, 3, 1))
    assert data["class"].values.tolist() == list(LABELS)


def test_every_check_is_in_its_place(history):
    data = datasets.validation(history, LABELS)
    assert data["noise_seed"].values.tolist() == history.held_out
    for i, check in enumerate(history.checks):
        one = data.isel(check=i)
        assert (int(one["step"]), str(one["start"].values)) == (check.step, check.start)
        np.testing.assert_array_equal(one["probability"], check.probability)
        np.testing.assert_array_equal(one["image"], check.images.permute(0, 2, 3, 1))


def test_the_selected_token_and_its_nearest_words(history, generator):
    data = datasets.token(history, generator)
    for i, check in enumerate(history.checks):
        np.testing.assert_array_equal(data["embedding"][i], check.token)
    scores = [check.score for check in history.checks]
    assert int(data["selected"]) == scores.index(max(scores))
    chosen = history.checks[history.selected].token[0].numpy()
    words = {
        word: generator.embedding.weight[row].detach().numpy()
        for word, row in generator.vocabulary.items()
    }
    cosine = {w: v @ chosen / np.linalg.norm(v) / np.linalg.norm(chosen) for w, v in words.items()}
    best = sorted(cosine, key=cosine.get, reverse=True)[: data.sizes["rank"]]
    assert data["nearest_word"].values.tolist() == best
    np.testing.assert_allclose(data["nearest_cosine"], [cosine[w] for w in best], rtol=1e-5)


def test_the_probe_keeps_the_best_words_best_first(history):
    assert history.probe is not None
    data = datasets.probe(history)
    assert data["word"].values.tolist() == list(history.probe.words[: datasets.WORDS])
    many = History(0, [], probe=Probe(tuple("abcdefghijklmnop"), -np.arange(16.0)))
    assert datasets.probe(many)["word"].values.tolist() == list("abcdefghij")
    assert datasets.probe(many)["log_probability"].values.tolist() == [-i for i in range(10)]
    none = datasets.probe(History(0, []))
    assert (none.sizes["rank"], none["log_probability"].dtype) == (0, np.dtype("f4"))


def test_a_search_without_an_update_has_empty_arrays_of_the_right_shape(history):
    none = History(history.seed, history.held_out, checks=history.checks[:1])
    data = datasets.trajectory(none, LABELS)
    assert data["probability"].shape == (0, 0, len(LABELS))
    assert data["image"].shape == (0, 0, 0, 0, 3)
    assert [data[n].dtype.kind for n in ("loss", "image", "noise_seed", "start")] == list("fuiU")


def test_final_images_are_kept_byte_by_byte_and_scored_whole(sampled, classifier):
    images, data = sampled
    np.testing.assert_array_equal(data["image"], (images * 255).round().permute(0, 2, 3, 1))
    with torch.no_grad():
        wanted = classifier.logits(images).softmax(1)
    np.testing.assert_allclose(data["probability"], wanted, atol=1e-6)
    assert "feature" not in data  # this classifier has none
    assert data["prompt"].values.tolist() == list("abcde")


def test_features_are_flat_and_kept_where_there_are_any(sampled, make_classifier):
    images = sampled[0]
    other = make_classifier()
    other._features = lambda prepared: prepared[:, :, :2, :2]
    data = datasets.samples(images, other, prompts=list("abcde"), seeds=range(5), batch=2)
    assert data["feature"].shape == (5, 12)
    np.testing.assert_allclose(
        data["feature"], other.prepared(images)[:, :, :2, :2].flatten(1), atol=1e-6
    )


def test_batches_do_not_change_the_scores(sampled, classifier):
    images = sampled[0]
    whole = datasets.probability(classifier, images)
    np.testing.assert_allclose(datasets.probability(classifier, images, batch=2), whole, atol=1e-6)
    assert (whole.shape, whole.dtype) == ((5, len(LABELS)), np.dtype("f4"))


def test_bytes_are_clamped_and_rounded_to_the_nearest():
    image = torch.tensor([-0.5, 0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 2.0]).reshape(1, 3, 1, 2)
    assert to_bytes(image).tolist() == [[[[0, 0, 255], [0, 1, 255]]]]
    whole = torch.arange(6, dtype=torch.uint8).reshape(1, 3, 1, 2)
    assert to_bytes(whole).tolist() == [[[[0, 2, 4], [1, 3, 5]]]]
