"""The vocabulary probe: every word on the same noise, best first, without a gradient."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.search import probe as module
from inversion_kit.search.optimise import PROBE, noise_seeds
from inversion_kit.search.probe import candidates, probe

PROMPTS = (f"photo of {PLACEHOLDER}", f"big {PLACEHOLDER}")
WORDS = ("cat", "dog", "red", "stop")


@pytest.fixture
def made(classifier, make_generator):
    """A probe, and the generator that it used."""
    generator = make_generator()
    return probe(classifier, generator, 1, PROMPTS, WORDS, seed=0, noises=3), generator


def test_words_come_best_first(made):
    found, _ = made
    assert sorted(found.words) == sorted(WORDS)
    assert (np.diff(found.log_probability) <= 0).all()


def test_words_off_the_shortlist_come_after_it(classifier, make_generator):
    generator = make_generator()
    glance = probe(classifier, generator, 1, PROMPTS, WORDS, seed=0, shortlist=1)
    found = probe(classifier, generator, 1, PROMPTS, WORDS, seed=0, shortlist=2)
    assert set(found.words[:2]) == set(glance.words[:2])
    assert found.words[2:] == glance.words[2:]
    np.testing.assert_array_equal(found.log_probability[2:], glance.log_probability[2:])


def test_the_score_is_the_mean_log_probability_over_shared_noise(made, classifier):
    found, generator = made
    seeds = noise_seeds(0, PROBE, 1, 3)
    for word, value in zip(found.words, found.log_probability, strict=True):
        asked = [PROMPTS[i % 2].replace(PLACEHOLDER, word) for i in range(3)]
        images = generator.images(asked, seeds=seeds)
        expected = classifier.logits(images).log_softmax(1)[:, 1].mean().item()
        assert value == pytest.approx(expected, abs=0.02)


def test_the_next_label_and_classifier_share_the_images(made, classifier, make_classifier):
    first, generator = made
    calls = []
    generator.pipeline.unet.register_forward_hook(lambda *_: calls.append(1))
    probe(classifier, generator, 2, PROMPTS, WORDS, seed=0, noises=3)
    other = probe(make_classifier(seed=9), generator, 1, PROMPTS, WORDS, seed=0, noises=3)
    assert not calls
    assert not np.array_equal(other.log_probability, first.log_probability)
    probe(classifier, generator, 2, PROMPTS, WORDS, seed=1, noises=3)
    assert calls


def test_images_are_let_go_with_their_generator(classifier, make_generator):
    generator = make_generator()
    probe(classifier, generator, 1, PROMPTS, WORDS, seed=0, noises=1)
    kept = module._images[generator].values()
    assert {images.dtype for images in kept} == {torch.uint8}
    alive = weakref.ref(generator)
    del generator, kept
    gc.collect()
    assert alive() is None


def test_a_small_vocabulary_is_probed_whole(generator):
    assert candidates(generator, "cat", seed=0) == list(generator.vocabulary)


def test_a_large_one_by_name_neighbours_and_chance(generator):
    found = candidates(generator, "Big red stop", seed=0, limit=4)
    assert found[:3] == ["big", "red", "stop"]
    assert len(found) == len(set(found)) <= 3 + 4
    assert set(found) <= set(generator.vocabulary)
    assert found == candidates(generator, "Big red stop", seed=0, limit=4)
    assert candidates(generator, "tiger", seed=0, limit=4)[0] == "tiger"
    drawn = {tuple(candidates(generator, "tiger", seed=s, limit=4)) for s in range(8)}
    assert len(drawn) > 1
