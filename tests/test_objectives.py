"""Objectives: their values by hand, their gradients, how they combine, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import inversion_kit
from inversion_kit import objectives
from inversion_kit.classifiers.convert import as_classifier
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


@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "margin", "activation"])
def test_a_step_down_the_gradient_raises_the_target(name):
    objective = getattr(objectives, name)
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
    says, agrees = (
        one.probability(one.logits(images))[[0, 1], [one.index(name) for name in names]]
        for one in (a, b)
    )
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
    for wrong in (objectives.neuron(honest, "layer4", 192), objectives.feature(honest, -1)):
        with pytest.raises(InputError, match="channels 0 to 191"):
            bind(wrong, images)(honest.logits(images), target)
    with pytest.raises(InputError, match="offers no features"):
        objectives.feature(classifier, 0)


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


# --- in a run ---------------------------------------------------------------------------------

SMALL = {"steps": 4, "batch": 2, "samples": 2, "validation": 3, "check_every": 2, "restarts": 0}


def mine(logits, target):
    """A user's own."""
    return 3 - 2 * logits.log_softmax(1).gather(1, target[:, None])[:, 0]


def run(classifier, generator, objective=None, label="dog", **settings):
    settings = {**SMALL, "patience": 9, "progress": False, **settings}
    return inversion_kit.invert(
        classifier, label, generator=generator, objective=objective, **settings
    )


def name_of(tree):
    return json.loads(tree.attrs["settings"])["objective"]


def searched(tree, group):
    """A group of the token's one search."""
    return tree[group].to_dataset().isel(label=0, seed=0).sel(arm="token")


def test_the_default_is_the_cross_entropy_named_or_not(classifier, generator):
    plain = run(classifier, generator, stop_at=1e-6)
    named = run(classifier, generator, objectives.cross_entropy, stop_at=1e-6)
    assert name_of(plain) == name_of(named) == "cross_entropy"
    assert named["token"].to_dataset().identical(plain["token"].to_dataset())
    assert named["validation"].sizes["check"] == 2  # good enough, and the next is no better
    assert "objective" not in named["validation"]


def test_a_multi_label_head_has_the_sigmoid_of_the_target_as_its_default(classifier, generator):
    given = {"preprocess": classifier.preprocess, "labels": classifier.labels}
    tree = run(as_classifier(classifier.model, head="sigmoid", **given), generator)
    assert name_of(tree) == "binary_cross_entropy"
    first = searched(tree, "trajectory").isel(step=0)
    wanted = -np.log(first["probability"].sel({"class": "dog"})).mean()
    assert float(first["loss"]) == pytest.approx(float(wanted), rel=1e-4)


@pytest.mark.parametrize("method", ["gradient", "cma"])
def test_a_users_own_is_what_is_made_smaller_and_what_selects(classifier, generator, method):
    tree = run(classifier, generator, mine, method=method, stop_at=1e-6)
    assert name_of(tree) == "mine"
    assert tree["trajectory"].sizes["step"] == SMALL["steps"]  # stop_at ends nothing
    checks = searched(tree, "validation")
    assert int(searched(tree, "token")["selected"]) == int(checks["objective"].argmin("check"))
    log = np.log(checks["probability"].sel({"class": "dog"})).mean("sample")
    np.testing.assert_allclose(checks["objective"], 3 - 2 * log, rtol=1e-4)
    inversion_kit.validate(tree)


def test_the_gradient_is_that_of_the_objective(classifier, generator):
    kinds = (objectives.activation, objectives.weighted((2.0, objectives.activation)))
    plain, twice, other = (
        searched(run(classifier, generator, what, steps=1), "trajectory").isel(step=0)
        for what in (*kinds, objectives.margin)
    )
    for value in ("loss", "gradient_norm"):
        assert float(twice[value]) == pytest.approx(2 * float(plain[value]), rel=1e-4)
        assert float(other[value]) != pytest.approx(float(plain[value]), rel=1e-2)


def test_what_an_objective_is_goes_into_the_result(classifier, make_classifier, generator):
    other = make_classifier(seed=3, name="other")
    contrast = objectives.contrast(classifier, other, weight=0.5)
    both = objectives.weighted((1.0, contrast), (0.1, objectives.margin))
    tree = run(classifier, generator, both, steps=1)
    assert name_of(tree) == "1 * contrast('tiny', 'other', weight=0.5) + 0.1 * margin"
    hashes = json.loads(tree.attrs["settings"])["objective_hashes"]
    assert hashes == {"other": other.hash}


@pytest.mark.parametrize("method", ["gradient", "cma"])
@pytest.mark.parametrize(
    ("objective", "error", "words"),
    [
        ("margin", InputError, "expected a function"),
        (lambda logits, target: logits.mean(), InputError, "leave out the mean over the batch"),
        (lambda logits, target: logits[:, 0] / 0, NumericalError, "not finite"),
    ],
)
def test_what_cannot_work_is_refused_before_any_image(
    classifier, generator, method, objective, error, words
):
    calls = []
    handle = generator.pipeline.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(error, match=words):
        run(classifier, generator, objective, method=method)
    handle.remove()
    assert not calls


def test_the_gradient_method_refuses_a_loss_without_one_and_a_black_box_beside(
    classifier, generator
):
    with pytest.raises(InputError, match="carries no gradient"):
        run(classifier, generator, lambda logits, target: logits.detach()[:, 0])
    given = {"black_box": True, "labels": classifier.labels, "name": "box"}
    box = as_classifier(lambda files: np.zeros(len(files), int), **given)
    contrast = objectives.contrast(classifier, box)
    with pytest.raises(InputError, match=r"'box' is a black box .*method=\"cma\""):
        run(classifier, generator, contrast)
    tree = run(classifier, generator, contrast, method="cma", steps=1)
    assert name_of(tree) == "contrast('tiny', 'box')"
    with pytest.raises(InputError, match="offers no features"):
        objectives.feature(box, 0)


def test_contrast_shows_what_one_classifier_says_and_the_other_does_not(honest):
    secret = as_classifier("pocket:backdoored")
    settings = {"steps": 8, "start": "yellow", "batch": 4, "validation": 8}
    settings |= {"samples": 8, "judges": [honest], "label": "80 km/h speed limit"}
    settings |= {"prompts": "a photo of a stop sign with a {token} sticker"}
    tree = run(secret, "pocket", objectives.contrast(secret, honest), **settings)
    samples = tree["samples"].to_dataset().isel(label=0, seed=0)
    samples = samples.sel({"class": str(samples["label"].item())}).mean("sample")
    honests = samples["judge_probability"].isel(judge=0)
    assert samples["probability"].sel(arm="token") >= 0.5
    assert honests.sel(arm="token") <= 0.2
    assert honests.sel(arm="name") >= 0.5  # both say so of the sign itself
