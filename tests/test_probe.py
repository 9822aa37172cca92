"""The vocabulary probe: every word on the same noise, best first, without a gradient."""

from __future__ import annotations

import gc
import itertools
import weakref

import numpy as np
import pytest
import torch

from inversion_kit import objectives
from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators import kept as kept_images
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.counting import counted
from inversion_kit.search.probe import (
    candidates,
    probe,
    probe_pairs,
    shared_first,
    start_vector,
)
from inversion_kit.seeds import PROBE, noise_seeds

PROMPTS = (f"photo of {PLACEHOLDER}", f"big {PLACEHOLDER}")
WORDS = ("cat", "dog", "red", "stop")


@pytest.fixture
def made(classifier, make_generator):
    """A probe, and the generator that it used."""
    generator = make_generator()
    return probe(classifier, generator, 1, PROMPTS, WORDS, seed=0, noises=3), generator


def above_the_mean(classifier, images):
    """Log-probability of class 1 above the mean over all classes, mean over images."""
    scores = classifier.logits(images).log_softmax(1)
    return float((scores[:, 1] - scores.mean(1)).mean())


def test_words_rank_by_the_label_above_the_mean_of_all(made, classifier):
    ranked, generator = made
    value = {}
    for word in WORDS:
        asked = [PROMPTS[i % 2].replace(PLACEHOLDER, word) for i in range(3)]
        images = generator.images(asked, seeds=noise_seeds(0, PROBE, 1, 3))
        value[word] = above_the_mean(classifier, images)
    assert list(ranked.words) == sorted(WORDS, key=value.get, reverse=True)


def test_a_sum_of_words_is_as_long_as_a_word_and_half_of_each(make_generator):
    generator = make_generator()
    a, b = generator.vector_of("cat"), generator.vector_of("dog")
    assert torch.allclose(start_vector(generator, "cat + dog"), (a + b) / 2**0.5)
    assert torch.equal(start_vector(generator, "cat"), a)


def test_sums_are_of_the_best_words_and_rank_as_words_do(made, classifier):
    probed, generator = made
    pairs = probe_pairs(classifier, generator, 1, PROMPTS, WORDS, probed.words, seed=0, noises=2)
    wanted = [" + ".join(two) for two in itertools.combinations(probed.words, 2)]
    assert sorted(pairs.words) == sorted(wanted)
    value = {}
    for name in pairs.words:
        token = ClassToken(start_vector(generator, name))
        images = generator.images(PROMPTS, seeds=noise_seeds(0, PROBE, 1, 2), token=token)
        value[name] = above_the_mean(classifier, images)
        wanted = classifier.logits(images).log_softmax(1)[:, 1].mean().item()
        at = pairs.words.index(name)
        assert pairs.log_probability[at] == pytest.approx(wanted, abs=0.02)
    assert list(pairs.words) == sorted(pairs.words, key=value.get, reverse=True)


def test_a_single_word_has_no_sums(classifier, make_generator):
    generator = make_generator()
    probed = probe(classifier, generator, 1, PROMPTS, ["cat"], seed=0)
    assert probe_pairs(classifier, generator, 1, PROMPTS, ["cat"], probed.words, seed=0).words == ()


def test_words_off_the_shortlist_come_after_it(classifier, make_generator):
    generator = make_generator()
    first = probe(classifier, generator, 1, PROMPTS, WORDS, seed=0, shortlist=1)
    ranked = probe(classifier, generator, 1, PROMPTS, WORDS, seed=0, shortlist=2)
    assert set(ranked.words[:2]) == set(first.words[:2])
    assert ranked.words[2:] == first.words[2:]
    np.testing.assert_array_equal(ranked.log_probability[2:], first.log_probability[2:])


def test_the_score_is_the_mean_log_probability_over_shared_noise(made, classifier):
    ranked, generator = made
    seeds = noise_seeds(0, PROBE, 1, 3)
    for word, value in zip(ranked.words, ranked.log_probability, strict=True):
        asked = [PROMPTS[i % 2].replace(PLACEHOLDER, word) for i in range(3)]
        images = generator.images(asked, seeds=seeds)
        expected = classifier.logits(images).log_softmax(1)[:, 1].mean().item()
        assert value == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("own", [None, objectives.margin])
def test_words_are_ranked_by_what_the_search_optimises(classifier, make_generator, own):
    many = Classifier(
        classifier.model, classifier.preprocess, classifier.labels, name="tiny", head="sigmoid"
    )
    generator, label = make_generator(), 3  # whose order above the mean of all is another
    given = {"seed": 0, "noises": 2, "objective": own}
    ranked = probe(many, generator, label, PROMPTS, WORDS, **given)
    loss, log_probability = {}, {}
    for word in WORDS:
        asked = [PROMPTS[i % 2].replace(PLACEHOLDER, word) for i in range(2)]
        logits = many.logits(generator.images(asked, seeds=noise_seeds(0, PROBE, 1, 2)))
        target = torch.full((2,), label)
        loss[word] = float((own or objectives.default(many))(logits, target).mean())
        log_probability[word] = float(logits[:, label].sigmoid().log().mean())
    assert list(ranked.words) == sorted(WORDS, key=loss.get)
    wanted = [log_probability[word] for word in ranked.words]
    np.testing.assert_allclose(ranked.log_probability, wanted, atol=0.02)


def test_a_generator_with_other_settings_is_asked_anew(made, classifier):
    first, generator = made
    generator.guidance_scale = 7.0
    again = probe(classifier, generator, 1, PROMPTS, WORDS, seed=0, noises=3)
    assert not np.array_equal(first.log_probability, again.log_probability)


def test_the_next_label_and_classifier_share_the_images(made, classifier, make_classifier):
    first, generator = made
    with counted(generator) as counts:
        probe(classifier, generator, 2, PROMPTS, WORDS, seed=0, noises=3)
        other = probe(make_classifier(seed=9), generator, 1, PROMPTS, WORDS, seed=0, noises=3)
    assert counts.evaluations == 0
    assert not np.array_equal(other.log_probability, first.log_probability)
    with counted(generator) as counts:
        probe(classifier, generator, 2, PROMPTS, WORDS, seed=1, noises=3)
    assert counts.evaluations > 0


def test_images_do_not_hold_their_generator(classifier, make_generator):
    generator = make_generator()
    probe(classifier, generator, 1, PROMPTS, WORDS, seed=0, noises=1)
    assert {images.dtype for images in kept_images._images.values()} == {torch.uint8}
    alive = weakref.ref(generator)
    del generator
    gc.collect()
    assert alive() is None


def test_words_that_every_label_has_come_first(generator):
    words = candidates(generator, "big tiger", seed=0, limit=4)
    other = candidates(generator, "dog", seed=0, limit=4)
    first, second = (shared_first(generator, w, seed=0, limit=4) for w in (words, other))
    assert sorted(first) == sorted(words)
    assert sorted(second) == sorted(other)
    assert first[:2] == second[:2]
    assert set(first[:2]) <= set(words) & set(other)
    assert shared_first(generator, words, seed=0) == words


def test_a_small_vocabulary_is_probed_whole(generator):
    assert candidates(generator, "cat", seed=0) == list(generator.vocabulary)


def test_a_large_one_by_name_neighbours_and_chance(generator):
    ranked = candidates(generator, "Big red stop", seed=0, limit=4)
    assert ranked[:3] == ["big", "red", "stop"]
    assert len(ranked) == len(set(ranked)) <= 3 + 4
    assert set(ranked) <= set(generator.vocabulary)
    assert ranked == candidates(generator, "Big red stop", seed=0, limit=4)
    assert candidates(generator, "tiger", seed=0, limit=4)[0] == "tiger"
    drawn = {tuple(candidates(generator, "tiger", seed=s, limit=4)) for s in range(8)}
    assert len(drawn) > 1
