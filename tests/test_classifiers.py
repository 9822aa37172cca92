"""The classifier contract: labels, what it makes of a model, ensembles, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.controls import shuffled
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.classifiers.ensemble import Ensemble
from inversion_kit.classifiers.preprocess import Preprocess, whole_bytes
from inversion_kit.classifiers.views import View
from inversion_kit.errors import InputError, LabelError, NumericalError

LOOK = Preprocess(size=(4, 4))


def scores(count: int) -> nn.Module:
    """A network from any image to ``count`` logits."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, count))


def flat(wide: int, size: int = 4) -> nn.Module:
    """A network of images of one size alone, with random weights."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, wide))


class Constant(nn.Module):
    """A network that answers the same for every image."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, images):
        return self.answer


# --- images and models --------------------------------------------------------------------------


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


def test_weights_in_half_precision_get_images_of_their_kind():
    classifier = as_classifier(flat(2).bfloat16(), preprocess=LOOK)
    assert classifier.logits(torch.rand(2, 3, 9, 9)).dtype == torch.float32


def test_float16_on_a_processor_is_said_to_be_slow():
    with pytest.warns(RuntimeWarning, match=r"model\.float\(\)"):
        as_classifier(flat(2).half(), preprocess=LOOK)
    as_classifier(flat(2), preprocess=LOOK)  # warnings are errors here


@pytest.mark.parametrize(
    ("images", "came"),
    [
        (torch.zeros(1, 3, 12, 12, dtype=torch.uint8), r"uint8 \(1, 3, 12, 12\)"),
        (torch.zeros(1, 12, 12, 3), r"float32 \(1, 12, 12, 3\)"),
        (torch.zeros(3, 12, 12), r"float32 \(3, 12, 12\)"),
    ],
)
def test_images_of_another_kind_are_refused(classifier, images, came):
    with pytest.raises(InputError, match=f"images: {came}; expected float"):
        classifier.logits(images)


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (torch.tensor([[0.0, torch.nan]]), NumericalError, "'c'"),
        (torch.tensor([[0.0, torch.inf]]), NumericalError, "'c'"),
        (torch.zeros(1, 3), InputError, r"expected logits \(1, 2\)"),
        (torch.zeros(2), InputError, r"expected logits \(1, 2\)"),
        ({"logits": 0}, InputError, r"expected logits \(1, 2\)"),
    ],
)
def test_an_output_that_is_not_finite_or_does_not_fit_the_labels_is_an_error(answer, error, says):
    classifier = Classifier(Constant(answer), Preprocess(), ["a", "b"], name="c")
    with pytest.raises(error, match=says):
        classifier.logits(torch.rand(1, 3, 4, 4))


@pytest.mark.parametrize("cut", ["model", "preprocess"])
def test_a_gradient_that_is_cut_is_an_error(cut):
    model = flat(2)
    given = {
        "model": (lambda images: model(images).detach(), LOOK),
        "preprocess": (model, lambda images: LOOK(images).detach()),
    }[cut]
    classifier = as_classifier(given[0], preprocess=given[1], labels=["a", "b"])
    with pytest.raises(InputError, match="no gradient comes back"):
        classifier.logits(torch.rand(1, 3, 4, 4, requires_grad=True))
    assert classifier.logits(torch.rand(1, 3, 4, 4)).shape == (1, 2)


# --- labels -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "index"),
    [(0, 0), (3, 3), ("cat", 0), ("dog", 1), ("big", 2), ("STOP", 3), ("BIG", 2)],
)
def test_a_label_is_known_by_index_name_or_unique_part(classifier, label, index):
    assert classifier.index(label) == index


@pytest.mark.parametrize(
    ("label", "says"),
    [
        (4, "allowed are 0 to 3"),
        (-1, "allowed are 0 to 3"),
        ("4", "nearest: .*; or an index from 0 to 3"),
        ("o", "fits several: 'dog', 'stop', 'big dog'"),
        ("stpo", "nearest: 'stop'"),
        (True, "index or a name"),
        (1.0, "index or a name"),
    ],
)
def test_a_label_that_is_not_one_is_refused(classifier, label, says):
    with pytest.raises(LabelError, match=says) as caught:
        classifier.index(label)
    assert str(caught.value).startswith(f"label={label!r}")


def test_a_text_of_digits_is_a_name_where_there_is_one_and_an_index_else(make_classifier):
    folders = make_classifier(labels=("0", "1", "10", "11", "2"))  # in the order of ImageFolder
    assert [folders.index(text) for text in folders.labels] == [0, 1, 2, 3, 4]
    assert folders.labels[folders.index("3")] == "11"
    assert folders.index(3) == 3
    assert make_classifier(labels=tuple(f"class {i}" for i in range(12))).index("1") == 1
    signs = make_classifier(labels=("2 m wide", "1 m wide", "stop"))
    with pytest.raises(LabelError, match="index of 'stop' and a part of '2 m wide'"):
        signs.index("2")


def test_a_part_is_known_in_capitals_too_and_of_several_the_nearest_come_first(make_classifier):
    names = ("bullfrog, Rana catesbeiana", "education", "cattle", "vacation", "Persian Cat")
    classifier = make_classifier(labels=(*names, "cat's cradle", "Egyptian cat"))
    assert classifier.index("persian") == 4
    assert classifier.index("CRADLE") == 5
    with pytest.raises(
        LabelError, match=r"several: 'Persian Cat', \"cat's .*, 'Egyptian cat', 'ca"
    ):
        classifier.index("cat")


@pytest.mark.parametrize(
    "labels",
    [
        lambda: {2: "cow", 0: "cat", 1: "dog"},
        lambda: {"0": "cat", "1": "dog", "2": "cow"},
        lambda: np.array(["cat", "dog", "cow"]),
        lambda: (name for name in ("cat", "dog", "cow")),
    ],
    ids=["id2label", "id2label of a file", "array", "generator"],
)
def test_label_names_come_in_many_kinds(labels):
    made = as_classifier(scores(3), preprocess=LOOK, labels=labels())
    assert made.labels == ("cat", "dog", "cow")
    assert Classifier(scores(3), LOOK, labels(), name="c").labels == ("cat", "dog", "cow")


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({"a", "b", "c"}, "a set has no order"),
        (frozenset("abc"), "a frozenset has no order"),
        ({"cat": 0, "dog": 1, "cow": 2}, "expected 0 to 2, each with its name.*label2id"),
        ({1: "a", 2: "b", 3: "c"}, "expected 0 to 2, each with its name"),
        (3, "labels=3: expected a list"),
        ([], "there are none"),
        ({}, "there are none"),
    ],
)
def test_label_names_without_an_order_are_refused(labels, says):
    with pytest.raises(InputError, match=says):
        as_classifier(scores(3), preprocess=LOOK, labels=labels)
    with pytest.raises(InputError, match=says):
        Classifier(scores(3), Preprocess(), labels, name="c")


def test_one_name_alone_is_refused():
    with pytest.raises(InputError, match=r"'a' alone has 100 % .*labels=\['a', 'something else'\]"):
        Classifier(scores(1), Preprocess(), ["a"], name="c")
    assert Classifier(scores(1), Preprocess(), ["a"], name="c", head="sigmoid").labels == ("a",)


# --- what as_classifier makes -------------------------------------------------------------------


def test_a_classifier_passes_through_and_is_renamed_where_asked(classifier):
    assert as_classifier(classifier) is classifier
    other = as_classifier(classifier, name="judge 2")
    assert (other.name, classifier.name) == ("judge 2", "tiny")
    assert other.hash == classifier.hash
    with pytest.raises(InputError, match="a Classifier already"):
        as_classifier(classifier, labels=["a", "b"])


def test_a_bare_module_or_function_needs_its_preprocessing():
    with pytest.raises(InputError, match=r"give as_classifier\(model, preprocess=Preprocess\("):
        as_classifier(scores(2))
    with pytest.raises(InputError, match=r"as_classifier\(function, .*black_box=True if"):
        as_classifier(lambda x: x)
    classifier = as_classifier(scores(2), preprocess=LOOK)
    assert classifier.labels == ("class 0", "class 1")
    assert classifier.features(torch.rand(1, 3, 4, 4)) is None
    named = as_classifier(scores(2), preprocess=Preprocess(), labels=["no", "yes"])
    assert named.labels == ("no", "yes")


@pytest.mark.parametrize("model", ["resnet18", 3, "pocket:nothing", "timm/no-such-model"])
def test_what_is_no_classifier_is_refused(model):
    with pytest.raises(InputError, match="model="):
        as_classifier(model)


def test_a_single_output_is_a_yes_and_a_no():
    model = flat(1)
    classifier = as_classifier(model, preprocess=LOOK, labels=["rust"])
    images = torch.rand(3, 3, 4, 4)
    assert classifier.labels == ("not rust", "rust")
    probability = classifier.probability(classifier.logits(images))
    yes = model(classifier.prepared(images)).sigmoid()[:, 0]
    assert torch.allclose(probability, torch.stack([1 - yes, yes], 1))
    assert as_classifier(flat(1), preprocess=LOOK).labels == ("class 0", "class 1")
    assert as_classifier(flat(1), preprocess=LOOK, labels=["no", "yes"]).head == "binary"
    squeezed = as_classifier(lambda x: model(x)[:, 0], preprocess=LOOK, labels=["rust"])
    assert torch.equal(squeezed.logits(images), classifier.logits(images))


def test_outputs_are_counted_where_the_preprocessing_is_a_function_too():
    """Its size is not known: a model that takes another than is tried is read at its first use."""
    given = {"preprocess": lambda x: x, "labels": ["no", "yes"]}
    assert as_classifier(scores(1), **given).head == "binary"
    with pytest.raises(InputError, match="2 names for 4 outputs"):
        as_classifier(scores(4), **given)
    with pytest.raises(InputError, match="or head='binary' for one logit of no and yes"):
        as_classifier(flat(1), **given).logits(torch.rand(3, 3, 4, 4))
    declared = as_classifier(flat(1), **given, head="binary")
    assert declared.logits(torch.rand(3, 3, 4, 4)).shape == (3, 2)


def test_a_multi_label_head_gives_each_label_its_own_probability():
    classifier = as_classifier(flat(3), preprocess=LOOK, head="sigmoid")
    logits = classifier.logits(torch.rand(2, 3, 4, 4))
    assert torch.equal(classifier.probability(logits), logits.sigmoid())


def test_a_model_with_its_own_softmax_is_read_as_probabilities():
    plain = flat(3)
    model = nn.Sequential(plain, nn.Softmax(1))
    classifier = as_classifier(model, preprocess=LOOK, head="probability")
    images = torch.rand(2, 3, 4, 4)
    wanted = plain(classifier.prepared(images)).softmax(1)
    assert torch.allclose(classifier.probability(classifier.logits(images)), wanted)
    wrong = as_classifier(plain, preprocess=LOOK, head="probability")
    with pytest.raises(InputError, match="leave head out for logits"):
        wrong.logits(images)


@pytest.mark.parametrize(
    ("model", "settings", "says"),
    [
        (flat(3), {"head": "hinge"}, "head='hinge'"),
        (flat(3), {"labels": "cat"}, "labels='cat': expected a list"),
        (flat(3), {"labels": ["a", "b"]}, "2 names for 3 outputs"),
        (flat(3), {"head": "binary"}, "3 names for 3 outputs|3 names for one logit"),
        (flat(3), {"preprocess": 3}, "preprocess=3"),
        (flat(3), {"preprocess": Preprocess(size=(5, 5))}, "check the size in as_classifier"),
        (Constant({"logits": 0}), {}, "lambda x: model"),
        (Constant(torch.zeros(1, 2, 2)), {}, r"gave \(1, 2, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(model, settings, says):
    with pytest.raises(InputError, match=says):
        as_classifier(model, **({"preprocess": LOOK} | settings))


# --- what tells one classifier from another -----------------------------------------------------


def test_the_hash_is_of_the_weights(make_classifier):
    assert make_classifier(seed=2).hash == make_classifier(seed=2).hash
    assert make_classifier(seed=2).hash != make_classifier(seed=3).hash


def test_the_hash_of_a_function_is_of_its_answers_and_of_the_weights_of_what_it_calls():
    model = flat(2)
    a, b = (as_classifier(f, preprocess=LOOK) for f in (lambda x: model(x), lambda x: -model(x)))
    assert a.asks_for_hash
    assert a.hash == as_classifier(lambda x: model(x), preprocess=LOOK).hash
    assert a.hash != b.hash
    assert not a.asks_for_hash
    for function in (model.forward, lambda x: model(x)):
        before = as_classifier(function, preprocess=LOOK).hash
        with torch.no_grad():
            model[1].weight += 1e-6  # too little for another answer
        assert before != as_classifier(function, preprocess=LOOK).hash


# --- ensembles ----------------------------------------------------------------------------------


@pytest.fixture
def members(make_classifier):
    return [make_classifier(seed=seed, name=f"m{seed}") for seed in (2, 3)]


def test_an_ensemble_gives_the_mean_of_the_probabilities(members):
    ensemble = as_classifier(members)
    images = torch.rand(3, 3, 16, 16, requires_grad=True)
    logits = ensemble.logits(images)
    wanted = sum(m.probability(m.logits(images)) for m in members) / 2
    assert torch.allclose(ensemble.probability(logits), wanted, atol=1e-6)
    logits[0, 0].backward()
    assert images.grad.abs().sum() > 0
    assert ensemble.name == "m2 + m3"
    assert ensemble.labels == members[0].labels
    assert ensemble.hash == as_classifier(members, name="other").hash
    assert ensemble.hash != as_classifier(members[:1]).hash


def test_an_ensemble_speaks_for_its_members(members):
    ensemble = Ensemble(members)
    assert ensemble.preprocess_facts() == {
        "head": "softmax",
        "members": [member.preprocess_facts() for member in members],
    }
    assert ensemble.parity_facts() == {
        "levels of 255": None,
        "why": "not every member comes with a library's own path",
    }
    shipped = [as_classifier(f"pocket:{name}") for name in ("honest", "judge")]
    assert Ensemble(shipped).parity == max(member.parity for member in shipped)
    assert Ensemble(shipped).parity_facts()["compared with"] == "timm"
    images = torch.rand(2, 3, 16, 16)
    other = shuffled(ensemble, 0)
    assert not torch.allclose(other.logits(images), ensemble.logits(images))
    assert [member.hash for member in other.members] != [member.hash for member in members]
    flipped = View(ensemble, "blur")
    assert torch.equal(flipped.logits(images), ensemble.logits(flipped.view(images)))
    assert torch.equal(ensemble.logits(images), Ensemble(members).logits(images))


@pytest.mark.parametrize("head", [None, "sigmoid"])
def test_an_ensemble_of_confident_members_keeps_finite_scores_and_gradients(head):
    members = [as_classifier(flat(3), preprocess=LOOK, head=head) for _ in range(2)]
    with torch.no_grad():
        for member in members:
            member.model[1].weight *= 1000
    images = torch.rand(4, 3, 4, 4, requires_grad=True)
    ensemble = as_classifier(members)
    logits = ensemble.logits(images)
    each = torch.stack([member.logits(images) for member in members]).double()
    wanted = each.log_softmax(2).exp().mean(0).log()
    if head:
        wanted = each.sigmoid().mean(0).log() - (-each).sigmoid().mean(0).log()
    assert each.std() > 100
    assert torch.allclose(logits.double(), wanted, rtol=1e-4)
    mean = sum(member.probability(member.logits(images)) for member in members) / 2
    assert torch.allclose(ensemble.probability(logits), mean, atol=1e-5)
    (slope,) = torch.autograd.grad((logits * torch.rand(logits.shape)).sum(), images)
    assert all(one.any() for one in slope)
    assert slope.isfinite().all()


def test_each_member_of_an_ensemble_gets_images_in_its_own_precision():
    half, whole = flat(2).bfloat16(), flat(2)
    seen = []
    whole.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    images = torch.rand(2, 3, 4, 4)
    as_classifier([half, whole], preprocess=LOOK).logits(images)
    assert torch.equal(seen[-1], LOOK(whole_bytes(images)))


def test_members_of_an_ensemble_must_agree(classifier, make_classifier):
    labels = classifier.labels
    box = as_classifier(lambda files: files[:, 0, 0, 0] % 4, black_box=True, labels=labels)
    with pytest.raises(InputError, match='method="cma"'):
        as_classifier([classifier, box]).logits(torch.rand(1, 3, 4, 4, requires_grad=True))
    with pytest.raises(InputError, match="other label names"):
        as_classifier([make_classifier(), make_classifier(labels=("a", "b"))])
    with pytest.raises(InputError, match="at least one"):
        as_classifier([])
    single, several = (as_classifier(flat(3), preprocess=LOOK, head=h) for h in (None, "sigmoid"))
    with pytest.raises(InputError, match="do not mix"):
        as_classifier([single, several])
