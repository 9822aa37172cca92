"""How models are fed and sampled is told stably, and every change of it is seen."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from inversion_kit import objectives
from inversion_kit.classifiers.base import Classifier, as_classifier
from inversion_kit.generators.base import Generator
from inversion_kit.search.identity import aim, fed, sampler

FIELDS = {
    "size": (14, 12), "mean": (0.5, 0.5, 0.4), "std": (0.25, 0.25, 0.2), "crop_pct": 0.9,
    "interpolation": "bicubic", "crop_mode": "center", "resize": 20, "path": "transformers",
    "channels": "bgr",
}  # fmt: skip


def with_function(classifier, look):
    return Classifier(classifier.model, look, classifier.labels, name="tiny")


@pytest.mark.parametrize("field", FIELDS)
def test_every_setting_of_a_preprocess_is_told(make_classifier, field):
    one, other = make_classifier(), make_classifier()
    assert fed(one) == fed(other)
    other.preprocess = dataclasses.replace(other.preprocess, **{field: FIELDS[field]})
    assert fed(one) != fed(other)
    assert json.loads(json.dumps(fed(other), allow_nan=False)) == fed(other)


def test_no_setting_of_a_preprocess_is_forgotten(classifier):
    assert {f.name for f in dataclasses.fields(classifier.preprocess)} == set(FIELDS)


def test_functions_are_told_by_what_they_give(classifier):
    def scaled(by):
        return lambda images: images * by

    told = [fed(with_function(classifier, scaled(by))) for by in (1.0, 1.0, 1.1)]
    assert told[0] == told[1]
    assert told[0] != told[2]
    assert "scaled" in told[0]["function"]
    flipped = fed(with_function(classifier, lambda images: images.flip(3)))
    assert flipped["gives"] != told[0]["gives"]
    assert json.loads(json.dumps(flipped, allow_nan=False)) == flipped


def test_rounding_of_another_machine_and_chance_are_no_difference(classifier):
    def shaken(images):
        return images + 1e-7 * torch.rand_like(images)

    before = torch.get_rng_state()
    assert fed(with_function(classifier, shaken)) == fed(with_function(classifier, shaken))
    noisy = with_function(classifier, lambda images: images + torch.rand_like(images))
    assert fed(noisy) == fed(noisy)
    assert torch.equal(torch.get_rng_state(), before)


def test_values_that_are_not_finite_can_be_written(classifier):
    told = fed(with_function(classifier, lambda images: images / 0 - 1))
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_the_head_and_the_members_of_an_ensemble_are_told(classifier, make_classifier):
    other = Classifier(
        classifier.model, classifier.preprocess, classifier.labels, name="tiny", head="sigmoid"
    )
    assert fed(other) != fed(classifier)
    second = make_classifier(5, "b")
    one = fed(as_classifier([classifier, second]))
    second.preprocess = dataclasses.replace(second.preprocess, mean=(0.0, 0.0, 0.0))
    assert fed(as_classifier([classifier, second])) != one


def test_scheduler_size_and_call_are_told(make_pipeline):
    def told(pipeline=None, **given):
        given = {"num_inference_steps": 2, "guidance_scale": 2.0, "name": "tiny"} | given
        return sampler(Generator(pipeline or make_pipeline(), **given))

    assert told() == told()
    assert told(make_pipeline(beta_end=0.02)) != told()
    assert told(height=32, width=32) != told()
    assert told(call={"negative_prompt": "red"}) != told()


def test_a_scheduler_with_infinite_settings_can_be_written():
    from inversion_kit.generators.base import as_generator

    told = sampler(as_generator("pocket"))
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["scheduler"]["class"].startswith("DPMSolver")


CPU = torch.device("cpu")


def weighed(weight):
    def own(logits, target):
        return weight * torch.nn.functional.cross_entropy(logits, target, reduction="none")

    return own


def test_objectives_of_one_name_are_told_by_what_they_give(classifier):
    told = [aim(weighed(w), classifier, [0, 1], device=CPU) for w in (1.0, 1.0, -1.0, 1.05)]
    assert told[0]["objective"] == told[2]["objective"] == "own"
    assert told[0] == told[1]
    assert len({str(one["objective_gives"]) for one in told}) == 3
    assert json.loads(json.dumps(told[0], allow_nan=False)) == told[0]


def test_what_an_objective_does_to_a_later_label_is_seen(classifier):
    def odd(logits, target):
        return objectives.cross_entropy(logits, target) * (1 + (target == 2))

    odd.__name__ = "cross_entropy"
    plain = objectives.cross_entropy
    told = {f: [aim(f, classifier, at, device=CPU) for at in ([0], [0, 2])] for f in (odd, plain)}
    assert told[odd][0] == told[plain][0]
    assert told[odd][1] != told[plain][1]


def test_objectives_of_images_tell_whom_they_ask_and_what_they_give(classifier, make_classifier):
    other = make_classifier(5, "b")
    told = aim(objectives.contrast(classifier, other), classifier, [0], device=CPU)
    assert told["objective_hashes"] == {"b": other.hash}
    twin = objectives.OfImages(lambda images, logits, target: 0 * target + 1.0, told["objective"])
    assert aim(twin, classifier, [0], device=CPU)["objective_gives"] == [1.0] * 8


def test_chance_in_an_objective_is_no_difference(classifier):
    def noisy(logits, target):
        return objectives.margin(logits, target) + torch.rand(len(target))

    before = torch.get_rng_state()
    told = [aim(noisy, classifier, [0], device=CPU) for _ in range(2)]
    assert told[0] == told[1]
    assert torch.equal(torch.get_rng_state(), before)
