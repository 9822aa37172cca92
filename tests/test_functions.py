"""Functions as classifiers: the networks they call are found, and left as they came."""

from __future__ import annotations

import functools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import inversion_kit
from inversion_kit import Preprocess, as_classifier, doctor
from inversion_kit.classifiers.controls import shuffled
from inversion_kit.classifiers.functions import Function, modules_in
from tests.test_modules import net

LOOK = Preprocess(size=(32, 32))


def made(model, **settings):
    return as_classifier(model, preprocess=LOOK, **settings)


class Scorer:
    """A callable object that holds a network, and another one that it does not call."""

    def __init__(self, model):
        self.networks = {"it": [model]}
        self.critic = nn.Linear(3, 3)
        self.lock = threading.Lock()

    def __call__(self, images):
        return self.score(images)

    def score(self, images):
        return self.networks["it"][0](images)


class Slotted:
    __slots__ = ("model",)

    def __init__(self, model):
        self.model = model

    def __call__(self, images):
        return self.model(images)


class OfAClass:
    model: nn.Module

    def __call__(self, images):
        return self.model(images)


def of_a_class(model):
    return type("Made", (OfAClass,), {"model": model})()


def decorated(model):
    @torch.no_grad()
    def inner(images):
        return model(images)

    @functools.wraps(inner)
    def outer(images):
        return inner(images) + 0 * images.sum((1, 2, 3))[:, None]

    return outer


def cached(model):
    @functools.cache
    def load(name):
        return registry(name)

    registry = {"it": model}.get
    return lambda images: load("it")(images)


def of_a_global(model):
    place = {"__name__": "somewhere", "network": model}
    exec("def score(images): return network(images)", place)
    return place["score"]


def by_hand(model):
    """Layers are used and no module is called."""
    conv, norm, linear = model[0], model[1], model[4]

    def score(images):
        seen = nn.functional.conv2d(images, conv.weight, conv.bias)
        settings = (norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training)
        seen = nn.functional.batch_norm(seen, *settings)
        return nn.functional.linear(seen.mean((2, 3)), linear.weight, linear.bias)

    return score


FUNCTIONS = {
    "lambda": lambda m: lambda images: m(images),
    "a default": lambda m: lambda images, m=m: m(images),
    "in a list": lambda m: (lambda box: lambda images: box[0](images))([m]),
    "partial": lambda m: functools.partial(lambda model, images: model(images), m),
    "partial by name": lambda m: functools.partial(lambda images, model: model(images), model=m),
    "bound method": lambda m: m.forward,
    "method of an object": lambda m: Scorer(m).score,
    "callable object": Scorer,
    "slots": Slotted,
    "of a class": of_a_class,
    "decorated": decorated,
    "cached": cached,
    "of a global": of_a_global,
    "by hand": by_hand,
    "a classifier's own": lambda m: as_classifier(lambda x: m(x), preprocess=lambda x: x).raw,
    "compiled": lambda m: torch.compile(lambda images: m(images), backend="eager", fullgraph=True),
}


@pytest.fixture(params=FUNCTIONS)
def kind(request):
    return request.param


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # as dynamo traces
def test_the_networks_of_a_function_are_in_eval_mode_and_stay_as_they_came(kind):
    model = net().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    classifier = made(FUNCTIONS[kind](model))
    images = torch.rand(3, 3, 32, 32).mul(255).round() / 255
    wanted = net()
    wanted.load_state_dict(before)
    assert torch.allclose(classifier.logits(images), wanted.eval()(images), atol=1e-5)
    if kind != "decorated":
        leaf = images.clone().requires_grad_()
        classifier.logits(leaf)[:, 0].sum().backward()
        assert leaf.grad.any()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(part.training for part in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
def test_the_weights_of_a_function_s_networks_count_and_can_be_shuffled(kind):
    model = net()
    function = FUNCTIONS[kind](model)
    before = made(function)
    images = torch.rand(2, 3, 32, 32)
    answers, other = before.logits(images), shuffled(before, 0)
    assert not torch.allclose(other.logits(images), answers, atol=1e-5)
    assert torch.equal(before.logits(images), answers)
    known = before.hash
    with torch.no_grad():
        model[4].weight += 1e-7  # too little for another answer
    assert made(function).hash != known


def test_a_function_is_known_by_the_networks_that_it_calls_alone():
    networks = {"a": net(), "b": net()}
    one, other = (made(lambda x, key=key: networks[key](x), name=key) for key in "ab")
    assert len(modules_in(one.model.function)[0]) == 2
    assert [*one.model.networks] == [networks["a"]]
    assert [*other.model.networks] == [networks["b"]]
    scorer = Scorer(net())
    assert [*made(scorer).model.networks] == scorer.networks["it"]
    assert all(p.requires_grad for p in scorer.critic.parameters())


def test_what_makes_a_network_anew_each_time_keeps_one():
    classifier = made(lambda images: net()(images))
    for _ in range(3):
        classifier.logits(torch.rand(2, 3, 32, 32))
    assert len(classifier.model.networks) == 1


def test_a_function_of_nothing_has_no_networks():
    function = Function(lambda images: images.mean((2, 3)))
    assert modules_in(function.function) == ([], False)
    assert function(torch.rand(1, 3, 4, 4)).shape == (1, 3)
    assert not len(function.networks)


def test_the_networks_of_a_black_box_are_found_and_it_is_given_whole_bytes():
    model = net().train().bfloat16()
    seen = []

    def ask(files):
        seen.append(files)
        scores = model(torch.from_numpy(files).permute(0, 3, 1, 2).bfloat16() / 255)
        return scores.detach().float().softmax(1).numpy()

    box = as_classifier(ask, black_box=True, labels=["a", "b", "c"])
    images = torch.rand(2, 3, 32, 32)
    box.logits(images)
    assert (seen[-1] == images.mul(255).round().byte().permute(0, 2, 3, 1).numpy()).all()
    assert not model[1].running_mean.any()
    assert model.training
    known = box.hash
    with torch.no_grad():
        model[4].weight += 1e-2 * model[4].weight
    again = as_classifier(ask, black_box=True, labels=["a", "b", "c"])
    assert known != again.hash


def test_two_threads_may_ask_one_function():
    model = net().train()

    def ask(images):
        time.sleep(0.002)  # another thread comes and goes meanwhile
        return model(images)

    classifier = made(ask)
    images = torch.rand(4, 3, 32, 32)
    wanted = classifier.logits(images)
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda _: classifier.logits(images), range(40)))
    assert all(torch.equal(one, wanted) for one in seen)
    assert model.training
    assert not model[1].running_mean.any()


def test_an_ensemble_leaves_the_networks_of_its_functions_as_they_came():
    model = net().train()
    ensemble = as_classifier([lambda images: model(images), net()], preprocess=LOOK)
    ensemble.logits(torch.rand(2, 3, 32, 32))
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    other = as_classifier([lambda images: -model(images), ensemble.members[1]], preprocess=LOOK)
    assert other.hash != ensemble.hash
    assert not torch.equal(shuffled(ensemble, 0).answers, ensemble.answers)


def test_a_search_leaves_a_function_s_statistics_as_they_were():
    model = net().train()
    before = model[1].running_mean.clone()
    tree = inversion_kit.invert(
        made(lambda x: model(x)),
        1,
        generator="pocket",
        steps=1,
        batch=2,
        samples=2,
        validation=2,
        restarts=0,
        progress=False,
    )
    assert tree["samples"].sizes["class"] == 3
    assert torch.equal(model[1].running_mean, before)


def test_the_doctor_leaves_a_function_s_networks_as_they_came():
    model = net().train()
    diagnosis = doctor(lambda x: model(x), preprocess=LOOK)
    assert diagnosis["mode"].status == diagnosis["one at a time"].status == "ok"
    assert model.training
    assert not model[1].running_mean.any()


def test_a_function_gets_images_where_its_network_is_and_as_it_takes_them():
    model = net().double()
    assert made(lambda x: model(x)).logits(torch.rand(2, 3, 32, 32)).shape == (2, 3)
    half, whole = net().bfloat16(), net()
    both = made(lambda x: half(x.bfloat16()).float() + whole(x))
    assert both.logits(torch.rand(2, 3, 32, 32)).shape == (2, 3)


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_a_function_of_a_scripted_network_has_its_own_control():
    script = torch.jit.script(net())
    classifier = made(lambda x: script(x))
    known = classifier.answers
    assert not torch.equal(shuffled(classifier, 0).answers, known)
    assert torch.equal(made(lambda x: script(x)).answers, known)
