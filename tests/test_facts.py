"""How models are prepared and asked is said stably, and every change of it is seen."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from inversion_kit import objectives
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.search.facts import objective_facts

FIELDS = {
    "size": (14, 12),
    "mean": (0.5, 0.5, 0.4),
    "std": (0.25, 0.25, 0.2),
    "crop_pct": 0.9,
    "interpolation": "bicubic",
    "crop_mode": "center",
    "resize": 20,
    "path": "transformers",
    "channels": "bgr",
}


def with_function(classifier, look):
    return Classifier(classifier.model, look, classifier.labels, name="tiny")


@pytest.mark.parametrize("field", FIELDS)
def test_every_setting_of_a_preprocess_is_in_the_facts(make_classifier, field):
    one, other = make_classifier(), make_classifier()
    assert one.preprocess_facts() == other.preprocess_facts()
    other.preprocess = dataclasses.replace(other.preprocess, **{field: FIELDS[field]})
    assert one.preprocess_facts() != other.preprocess_facts()
    assert (
        json.loads(json.dumps(other.preprocess_facts(), allow_nan=False))
        == other.preprocess_facts()
    )


def test_no_setting_of_a_preprocess_is_forgotten(classifier):
    assert {f.name for f in dataclasses.fields(classifier.preprocess)} == set(FIELDS)


def test_functions_are_known_by_what_they_give(classifier):
    def scaled(by):
        return lambda images: images * by

    facts = [with_function(classifier, scaled(by)).preprocess_facts() for by in (1.0, 1.0, 1.1)]
    assert facts[0] == facts[1]
    assert facts[0] != facts[2]
    assert "scaled" in facts[0]["function"]
    flipped = with_function(classifier, lambda images: images.flip(3)).preprocess_facts()
    assert flipped["gives"] != facts[0]["gives"]
    assert json.loads(json.dumps(flipped, allow_nan=False)) == flipped


def test_rounding_of_another_machine_and_chance_are_no_difference(classifier):
    def shaken(images):
        return images + 1e-7 * torch.rand_like(images)

    before = torch.get_rng_state()
    assert (
        with_function(classifier, shaken).preprocess_facts()
        == with_function(classifier, shaken).preprocess_facts()
    )
    noisy = with_function(classifier, lambda images: images + torch.rand_like(images))
    assert noisy.preprocess_facts() == noisy.preprocess_facts()
    assert torch.equal(torch.get_rng_state(), before)


def test_values_that_are_not_finite_can_be_written(classifier):
    facts = with_function(classifier, lambda images: images / 0 - 1).preprocess_facts()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_the_head_and_the_members_of_an_ensemble_are_in_the_facts(classifier, make_classifier):
    other = Classifier(
        classifier.model, classifier.preprocess, classifier.labels, name="tiny", head="sigmoid"
    )
    assert other.preprocess_facts() != classifier.preprocess_facts()
    second = make_classifier(5, "b")
    one = as_classifier([classifier, second]).preprocess_facts()
    second.preprocess = dataclasses.replace(second.preprocess, mean=(0.0, 0.0, 0.0))
    assert as_classifier([classifier, second]).preprocess_facts() != one


CPU = torch.device("cpu")


def weighed(weight):
    def own(logits, target):
        return weight * torch.nn.functional.cross_entropy(logits, target, reduction="none")

    return own


def test_objectives_of_one_name_are_known_by_what_they_give(classifier):
    facts = [
        objective_facts(weighed(w), classifier, [0, 1], device=CPU) for w in (1.0, 1.0, -1.0, 1.05)
    ]
    assert facts[0]["objective"] == facts[2]["objective"] == "own"
    assert facts[0] == facts[1]
    assert len({str(one["objective_losses"]) for one in facts}) == 3
    assert json.loads(json.dumps(facts[0], allow_nan=False)) == facts[0]


def test_what_an_objective_does_to_a_later_label_is_seen(classifier):
    def odd(logits, target):
        return objectives.cross_entropy(logits, target) * (1 + (target == 2))

    odd.__name__ = "cross_entropy"
    plain = objectives.cross_entropy
    facts = {
        f: [objective_facts(f, classifier, at, device=CPU) for at in ([0], [0, 2])]
        for f in (odd, plain)
    }
    assert facts[odd][0] == facts[plain][0]
    assert facts[odd][1] != facts[plain][1]


def test_objectives_of_images_tell_whom_they_ask_and_what_they_give(classifier, make_classifier):
    other = make_classifier(5, "b")
    facts = objective_facts(objectives.contrast(classifier, other), classifier, [0], device=CPU)
    assert facts["objective_hashes"] == {"b": other.hash}
    twin = objectives.OfImages(lambda images, logits, target: 0 * target + 1.0, facts["objective"])
    assert objective_facts(twin, classifier, [0], device=CPU)["objective_losses"] == [1.0] * 8


def test_chance_in_an_objective_is_no_difference(classifier):
    def noisy(logits, target):
        return objectives.margin(logits, target) + torch.rand(len(target))

    before = torch.get_rng_state()
    facts = [objective_facts(noisy, classifier, [0], device=CPU) for _ in range(2)]
    assert facts[0] == facts[1]
    assert torch.equal(torch.get_rng_state(), before)
