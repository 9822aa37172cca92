"""The shuffled control: another function of the same numbers, the audited one untouched."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from inversion_kit.classifiers.controls import shuffled
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.errors import InputError


def test_the_copy_has_the_same_numbers_in_another_order(classifier):
    other = shuffled(classifier, 0)
    for (name, a), b in zip(
        classifier.model.named_parameters(), other.model.parameters(), strict=True
    ):
        assert a.shape == b.shape
        assert torch.equal(a.flatten().sort().values, b.flatten().sort().values)
        assert torch.equal(a, b) == name.endswith("bias")
    images = torch.rand(2, 3, 16, 16)
    assert not torch.allclose(classifier.logits(images), other.logits(images))
    assert other.labels == classifier.labels
    assert other.name != classifier.name


def test_the_audited_classifier_is_untouched_bit_for_bit(make_classifier):
    classifier = make_classifier()
    before = {name: value.clone() for name, value in classifier.model.state_dict().items()}
    known = classifier.hash
    assert shuffled(classifier, 0).hash != known
    after = classifier.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_seed_tells_the_order(classifier):
    assert shuffled(classifier, 3).hash == shuffled(classifier, 3).hash
    assert shuffled(classifier, 3).hash != shuffled(classifier, 4).hash


def test_a_function_without_weights_cannot_be_shuffled():
    def score(images):
        return images.mean((2, 3))

    given = as_classifier(score, preprocess=nn.Identity(), labels=["r", "g", "b"])
    with pytest.raises(InputError, match="leave out the arm 'shuffled'"):
        shuffled(given, 0)
