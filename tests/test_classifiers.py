"""The classifier contract: labels, what it makes of a model, and what is refused."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from inversion_kit.classifiers import Classifier, Preprocess, as_classifier
from inversion_kit.errors import InputError, LabelError, NumericalError


def scores(count: int) -> nn.Module:
    """A network from any image to ``count`` logits."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, count))


class Constant(nn.Module):
    """A network that answers the same for every image."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, images):
        return self.answer


def test_the_gradient_passes_through_resize_rounding_and_clamp():
    images = (torch.rand(1, 3, 9, 9) * 3 - 1).requires_grad_()
    classifier = Classifier(scores(2), Preprocess(size=(5, 5)), ["a", "b"], name="c")
    classifier.logits(images)[0, 0].backward()
    assert images.grad.abs().min() > 0


def test_images_are_scored_as_eight_bit_files_would_be(classifier):
    images = torch.rand(2, 3, 16, 16)
    file = images.mul(255).round().to(torch.uint8)
    assert torch.allclose(classifier.logits(images), classifier.logits(file / 255), atol=1e-5)


def test_the_model_is_frozen_and_in_eval_mode():
    model = nn.Sequential(nn.Dropout(0.5), *scores(2)).train()
    classifier = Classifier(model, Preprocess(), ["a", "b"], name="c")
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(classifier.logits(images), classifier.logits(images))


@pytest.mark.parametrize(
    ("label", "index"), [(0, 0), (3, 3), ("cat", 0), ("dog", 1), ("big", 2), ("STOP", 3)]
)
def test_a_label_is_found_by_index_name_or_unique_part(classifier, label, index):
    assert classifier.index(label) == index


@pytest.mark.parametrize(
    ("label", "says"),
    [
        (4, "allowed are 0 to 3"),
        (-1, "allowed are 0 to 3"),
        ("o", "fits several: 'dog', 'big dog', 'stop'"),
        ("stpo", "nearest: 'stop'"),
        (True, "index or a name"),
        (1.0, "index or a name"),
    ],
)
def test_a_label_that_is_not_one_is_refused(classifier, label, says):
    with pytest.raises(LabelError, match=says) as caught:
        classifier.index(label)
    assert str(caught.value).startswith(f"label={label!r}")


def test_two_classes_of_one_name_are_refused():
    with pytest.raises(LabelError, match="'a' names more than one class"):
        Classifier(scores(3), Preprocess(), ["a", "b", "a"], name="c")


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_an_error(bad):
    model = Constant(torch.tensor([[0.0, bad]]))
    classifier = Classifier(model, Preprocess(), ["a", "b"], name="broken")
    with pytest.raises(NumericalError, match="'broken'"):
        classifier.logits(torch.rand(1, 3, 4, 4))


@pytest.mark.parametrize("answer", [torch.zeros(1, 3), torch.zeros(2), {"logits": 0}])
def test_an_output_that_does_not_fit_the_labels_is_an_error(answer):
    classifier = Classifier(Constant(answer), Preprocess(), ["a", "b"], name="c")
    with pytest.raises(InputError, match=r"expected logits \(1, 2\)"):
        classifier.logits(torch.rand(1, 3, 4, 4))


def test_a_classifier_passes_through(classifier):
    assert as_classifier(classifier) is classifier


def test_a_timm_model_says_how_images_are_prepared():
    model = timm.create_model("test_resnet", pretrained=False, num_classes=3)
    classifier = as_classifier(model)
    config = model.pretrained_cfg
    assert classifier.preprocess.size == tuple(config["input_size"][1:])
    assert classifier.preprocess.mean == tuple(config["mean"])
    assert classifier.labels == ("class 0", "class 1", "class 2")
    images = torch.rand(2, 3, 16, 16)
    assert classifier.logits(images).shape == (2, 3)
    assert classifier.features(images).shape == (2, model.num_features)


def test_a_bare_module_needs_its_preprocessing_told():
    with pytest.raises(InputError, match="pass preprocess=Preprocess"):
        as_classifier(scores(2))
    classifier = as_classifier(scores(2), preprocess=Preprocess(size=(4, 4)))
    assert classifier.labels == ("class 0", "class 1")
    assert classifier.features(torch.rand(1, 3, 4, 4)) is None


def test_given_labels_are_used():
    classifier = as_classifier(scores(2), preprocess=Preprocess(), labels=["no", "yes"])
    assert classifier.labels == ("no", "yes")


@pytest.mark.parametrize("model", ["resnet18", 3, "pocket:nothing", "timm/no-such-model"])
def test_what_is_no_classifier_is_refused(model):
    with pytest.raises(InputError, match="model="):
        as_classifier(model)


def test_the_hash_is_of_the_weights(make_classifier):
    assert make_classifier(seed=2).hash == make_classifier(seed=2).hash
    assert make_classifier(seed=2).hash != make_classifier(seed=3).hash
