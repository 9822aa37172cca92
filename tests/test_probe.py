"""The vocabulary probe: every word on the same noise, best first, without a gradient."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

from inversion_kit import probe as module
from inversion_kit.class_token import PLACEHOLDER
from inversion_kit.optimise import PROBE, noise_seeds
from inversion_kit.probe import candidates, probe

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


def test_the_score_is_the_mean_log_probability_over_shared_noise(made, classifier):
    found, generator = made
    seeds = noise_seeds(0, PROBE, 0, 3)
    for word, value in zip(found.words, found.log_probability, strict=True):
        asked = [PROMPTS[i % 2].replace(PLACEHOLDER, word) for i in range(3)]
        images = generator.images(asked, seeds=seeds, num_inference_steps=5)
        expected = classifier.logits(images).log_softmax(1)[:, 1].mean().item()
        assert value == pytest.approx(expected, abs=0.02)


def test_the_batch_does_not_matter(classifier, make_generator):
    one = probe(classifier, make_generator(), 1, PROMPTS, WORDS, seed=0, batch=5)
    other = probe(classifier, make_generator(), 1, PROMPTS, WORDS, seed=0, batch=48)
    scores = [dict(zip(p.words, p.log_probability, strict=True)) for p in (one, other)]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)


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
    (images,) = module._images[generator].values()
    assert images.dtype == torch.uint8
    alive = weakref.ref(generator)
    del generator
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
