"""Objectives: their values by hand, their gradients, how they combine, and what is refused."""

from __future__ import annotations

import pytest
import torch

from inversion_kit import objectives
from inversion_kit.classifiers.base import as_classifier
from inversion_kit.errors import InputError, LabelError, NumericalError
from inversion_kit.objectives import bind

LOGITS = torch.tensor([[1.0, 2.0, -1.0, 0.0], [0.0, 0.0, 3.0, 1.0]])
TARGET = torch.tensor([0, 2])


@pytest.fixture(scope="module")
def honest():
    return as_classifier("pocket:honest")


def test_values_are_those_by_hand():
    chance = LOGITS.softmax(1)[[0, 1], TARGET]
    assert torch.allclose(objectives.cross_entropy(LOGITS, TARGET), -chance.log())
    own = LOGITS.sigmoid()[[0, 1], TARGET]
    assert torch.allclose(objectives.binary_cross_entropy(LOGITS, TARGET), -own.log())
    assert objectives.margin(LOGITS, TARGET).tolist() == [1.0, -2.0]
    assert objectives.activation(LOGITS, TARGET).tolist() == [-1.0, -3.0]


@pytest.mark.parametrize(
    "objective",
    [
        objectives.cross_entropy,
        objectives.binary_cross_entropy,
        objectives.margin,
        objectives.activation,
    ],
)
def test_a_step_down_the_gradient_raises_the_target(objective):
    logits = LOGITS.clone().requires_grad_()
    objective(logits, TARGET).sum().backward()
    assert (logits.grad[[0, 1], TARGET] < 0).all()
    better = LOGITS.clone()
    better[[0, 1], TARGET] += 1
    assert (objective(better, TARGET) < objective(LOGITS, TARGET)).all()


def test_the_default_follows_the_head(classifier):
    assert objectives.default(classifier) is objectives.cross_entropy
    several = as_classifier(classifier.model, preprocess=classifier.preprocess, head="sigmoid")
    assert objectives.default(several) is objectives.binary_cross_entropy


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
def test_contrast_is_one_yes_and_one_no_with_classes_matched_by_name(make_classifier, head):
    a = make_classifier(seed=2, name="a")
    turned = ("stop", "cat", "dog", "big dog")
    b = make_classifier(seed=3, name="b", labels=turned)
    b.head = head
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    loss = bind(objectives.contrast(a, b, weight=0.5), images)(a.logits(images), TARGET)
    names = [a.labels[i] for i in TARGET]
    says = torch.stack([
        a.probability(a.logits(images))[i, a.index(n)] for i, n in enumerate(names)
    ])  # fmt: skip
    agrees = torch.stack([
        b.probability(b.logits(images))[i, b.index(n)] for i, n in enumerate(names)
    ])  # fmt: skip
    assert torch.allclose(loss, -says.log() - 0.5 * (1 - agrees).log(), atol=1e-4)
    loss.sum().backward()
    assert images.grad.abs().sum() > 0


def test_contrast_needs_the_label_in_both(make_classifier):
    a, b = make_classifier(), make_classifier(labels=("cat", "dog"))
    images = torch.rand(2, 3, 16, 16)
    objective = bind(objectives.contrast(a, b), images)
    with pytest.raises(LabelError, match="no label 'big dog'"):
        objective(a.logits(images), TARGET)
    assert objective(a.logits(images), torch.tensor([0, 1])).shape == (2,)
    with pytest.raises(InputError, match="weight=-1"):
        objectives.contrast(a, b, weight=-1)


def test_a_feature_and_a_neuron_are_those_of_the_classifier(honest):
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    logits, target = honest.logits(images), torch.tensor([0, 0])
    one = bind(objectives.feature(honest, 5), images)(logits, target)
    assert torch.allclose(one, -honest.features(images)[:, 5])
    layer = bind(objectives.neuron(honest, "layer4", 5), images)(logits, target)
    maps = honest.model.forward_features(honest.prepared(images))
    assert torch.allclose(layer, -maps[:, 5].mean((1, 2)))
    layer.sum().backward()
    assert images.grad.abs().sum() > 0
    assert not honest.model.layer4._forward_hooks


def test_a_unit_or_layer_that_is_not_there_is_named(honest, classifier):
    images, target = torch.rand(1, 3, 32, 32), torch.tensor([0])
    with pytest.raises(InputError, match=r"nearest: 'layer\d'"):
        objectives.neuron(honest, "layer9", 0)
    with pytest.raises(InputError, match="channels 0 to 191"):
        bind(objectives.neuron(honest, "layer4", 192), images)(honest.logits(images), target)
    with pytest.raises(InputError, match="offers no features"):
        bind(objectives.feature(classifier, 0), images)(classifier.logits(images), target)


def test_a_weighted_sum_is_one_and_may_hold_any_kind(make_classifier):
    a, b = make_classifier(seed=2), make_classifier(seed=3)
    images = torch.rand(2, 3, 16, 16)
    logits = a.logits(images)

    def own(logits, target):
        return logits.pow(2).mean(1)

    plain = objectives.weighted((2.0, objectives.margin), (0.5, own))
    wanted = 2 * objectives.margin(logits, TARGET) + 0.5 * own(logits, TARGET)
    assert torch.allclose(plain(logits, TARGET), wanted)
    assert torch.allclose(bind(plain, images)(logits, TARGET), wanted)
    contrast = objectives.contrast(a, b)
    nested = objectives.weighted((1.0, plain), (3.0, contrast))
    more = wanted + 3 * bind(contrast, images)(logits, TARGET)
    assert torch.allclose(bind(nested, images)(logits, TARGET), more)
    with pytest.raises(InputError, match="bind"):
        nested(logits, TARGET)
    for wrong in [(), (objectives.margin,), ((1.0, 3),)]:
        with pytest.raises(InputError, match="parts:"):
            objectives.weighted(*wrong)


@pytest.mark.parametrize(
    ("objective", "kind", "says"),
    [
        ("margin", InputError, "objective='margin'"),
        (lambda logits, target: logits.mean(), InputError, "leave out the mean"),
        (lambda logits, target: 0.0, InputError, "gave float"),
        (lambda logits, target: logits[:, 0] / 0, NumericalError, "not finite"),
        (lambda logits, target: logits[:, 0].detach(), InputError, "no gradient"),
    ],
)
def test_an_objective_that_does_not_fit_is_refused(objective, kind, says):
    with pytest.raises(kind, match=says):
        bind(objective, torch.zeros(2, 3, 4, 4))(LOGITS.clone().requires_grad_(), TARGET)


def test_a_margin_of_one_class_is_refused():
    with pytest.raises(InputError, match="two classes"):
        objectives.margin(torch.zeros(2, 1), torch.zeros(2, dtype=torch.long))
