"""Modules of every kind: they work where they can be called, and are refused in words else."""

from __future__ import annotations

import copy
import sys
import threading
import warnings
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import inversion_kit
from inversion_kit import Preprocess, as_classifier, doctor
from inversion_kit.classifiers.controls import shuffled
from inversion_kit.classifiers.modules import copy_of
from inversion_kit.errors import InputError
from inversion_kit.hashing import hash_module, hash_weights

pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.torch.nn.utils.weight_norm:FutureWarning"),
    pytest.mark.filterwarnings("ignore:torch.ao.quantization:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per:UserWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning"),  # as dynamo traces
]
LOOK = Preprocess(size=(32, 32))


def net() -> nn.Sequential:
    """A small network with batch norm."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def made(model, **settings):
    return as_classifier(model, preprocess=LOOK, **settings)


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = net()

    def forward(self, images):
        return self.inner(images)


class TrainGivesNothing(Wrapped):
    def train(self, mode=True):
        super().train(mode)


class EvalGivesNothing(Wrapped):
    def eval(self):
        super().eval()


class TrainDoesNothing(Wrapped):
    def train(self, mode=True):
        pass


class EvalRaises(Wrapped):
    def eval(self):
        raise NotImplementedError("eval")


class ExtraState(Wrapped):
    def get_extra_state(self):
        return {"version": 1, "threshold": 0.5, "names": ["a", b"b", None]}

    def set_extra_state(self, state):
        pass


class DropsKeys(Wrapped):
    """Its state dict leaves weights out, as of a frozen backbone that is not saved."""

    def __init__(self):
        super().__init__()
        self._register_state_dict_hook(lambda module, state, prefix, local: state.clear())


class StateRaises(Wrapped):
    def state_dict(self, *args, **settings):
        raise RuntimeError("not here")


class Holds(Wrapped):
    """What no copy can be made of hangs on it."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
        self.numbers = (i for i in range(3))
        self.file = sys.__stderr__
        self.deep = {"queue": [threading.Event()]}
        self.call = self.inner_call
        self.register_buffer("empty", None)
        self.seen = weakref.WeakSet([self.inner])

    def inner_call(self, images):
        with self.lock:
            return self.inner(images)

    def forward(self, images):
        return self.call(images)


def in_inference_mode():
    with torch.inference_mode():
        return net()


def exported():
    count = torch.export.Dim("count")
    shapes = ({0: count},)
    return torch.export.export(net().eval(), (torch.rand(2, 3, 32, 32),), dynamic_shapes=shapes)


def quantized():
    return torch.ao.quantization.quantize_dynamic(net().eval(), {nn.Linear})


def with_old_weight_norm():
    model = net()
    model[4] = nn.utils.weight_norm(model[4])
    model(torch.rand(2, 3, 32, 32))  # the weight is now no leaf of the graph
    return model


def with_parametrization():
    model = net()
    model[4] = nn.utils.parametrizations.weight_norm(model[4])
    return model


def with_hook():
    model = net()
    model.register_forward_hook(lambda module, given, out: out * 2)
    return model


def with_tied_weights():
    model = nn.Sequential(
        nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    model[1].weight = model[0].weight
    return model


def with_a_whole_number_first():
    model = Wrapped()
    del model.inner
    model.steps = nn.Parameter(torch.tensor(3), requires_grad=False)
    model.inner = net().double()
    return model


def with_buffers_alone():
    model = net().eval()
    for part in model.modules():
        for name, weight in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, weight.detach())
    return model.double()


class Tagged(torch.Tensor):
    """A kind of tensor of its own."""


def with_weights_of_a_kind_of_their_own():
    model = net()
    model[4].weight = nn.Parameter(torch.rand(3, 4).as_subclass(Tagged), requires_grad=False)
    return model


KINDS = {
    "scripted": lambda: torch.jit.script(net()),
    "traced": lambda: torch.jit.trace(net().eval(), torch.rand(2, 3, 32, 32)),
    "frozen script": lambda: torch.jit.freeze(torch.jit.script(net().eval())),
    "exported program": exported,
    "exported module": lambda: exported().module(),
    "compiled": lambda: torch.compile(net(), backend="eager"),
    "compiled in place": lambda: compiled_in_place(),
    "data parallel": lambda: nn.DataParallel(net()),
    "train gives nothing": TrainGivesNothing,
    "eval gives nothing": EvalGivesNothing,
    "train does nothing": TrainDoesNothing,
    "eval raises": EvalRaises,
    "extra state": ExtraState,
    "drops keys": DropsKeys,
    "state raises": StateRaises,
    "holds a lock": Holds,
    "in inference mode": in_inference_mode,
    "old weight norm": with_old_weight_norm,
    "parametrization": with_parametrization,
    "hook": with_hook,
    "tied weights": with_tied_weights,
    "a whole number first": with_a_whole_number_first,
    "buffers alone": with_buffers_alone,
    "weights of their own kind": with_weights_of_a_kind_of_their_own,
    "no weights": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
}
WITHOUT_WEIGHTS = ("frozen script", "buffers alone", "no weights")


def compiled_in_place():
    model = net()
    model.compile(backend="eager")
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_a_module_of_any_kind_can_be_scored_searched_hashed_and_shuffled(kind):
    model = KINDS[kind]()
    classifier = made(model)
    images = torch.rand(3, 3, 40, 40, requires_grad=True)
    logits = classifier.logits(images)
    assert logits.shape == (3, 3)
    (slope,) = torch.autograd.grad((logits * torch.randn(3, 3)).sum(), images)
    assert slope.any()
    assert len(classifier.hash) == 64
    before, known = classifier.logits(images.detach()), hash_module(classifier.model)
    if kind in WITHOUT_WEIGHTS:
        with pytest.raises(InputError, match="no weights to shuffle; leave out the arm 'shuffled'"):
            shuffled(classifier, 0)
    else:
        other = shuffled(classifier, 0)
        assert other.hash != classifier.hash
        assert not torch.allclose(other.logits(images.detach()), before, atol=1e-4)
    assert torch.equal(classifier.logits(images.detach()), before)
    assert hash_module(classifier.model) == known


@pytest.mark.parametrize("kind", KINDS)
def test_the_doctor_reports_on_a_module_of_any_kind(kind):
    diagnosis = doctor(KINDS[kind](), preprocess=LOOK)
    assert diagnosis["finite"].status == "ok"
    assert diagnosis["mode"].status == "ok"
    assert diagnosis["gradient"].status == "ok"


def test_a_quantized_module_is_hashed_and_its_missing_gradient_is_said():
    model = quantized()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has no derivative there, and says so
        classifier = made(model)
        assert classifier.hash == made(copy.deepcopy(model)).hash != made(quantized()).hash
        assert doctor(model, preprocess=LOOK)["gradient"].status == "fail"
        with pytest.raises(InputError, match=r'gradient.*use method="cma"'):
            inversion_kit.invert(
                classifier, 1, generator="pocket", steps=1, batch=2, samples=2, validation=2
            )


def test_what_a_state_dict_holds_beside_tensors_counts_and_so_does_what_it_leaves_out():
    one = ExtraState()
    other = copy.deepcopy(one)
    assert hash_module(one) == hash_module(other)
    other.get_extra_state = lambda: {"version": 2}
    assert hash_module(one) != hash_module(other)
    one = DropsKeys()
    assert not one.state_dict()
    assert not made(one).asks_for_hash
    assert made(one).hash != made(DropsKeys()).hash
    odd = nn.Module()
    odd.get_extra_state = lambda: (np.arange(3), torch.eye(2).to_sparse(), {1, 2}, threading.Lock())
    assert hash_module(odd) == hash_module(odd)


def test_the_weights_of_a_copy_in_another_place_are_known():
    inner, other = net(), net()
    assert hash_weights(inner) == hash_weights(nn.Sequential(copy.deepcopy(inner), nn.ReLU()))
    assert hash_weights(inner) < hash_weights(nn.ModuleList([inner, other]))
    assert not hash_weights(inner) & hash_weights(other)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (
            nn.Sequential(nn.LazyConv2d(4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            r"'0.weight' is not initialised .* load the trained weights",
        ),
        (net().to("meta"), r"'0.weight' is on the meta device and holds no values"),
    ],
    ids=["lazy", "meta"],
)
def test_weights_without_values_are_refused(model, says):
    for make in (made, lambda m: inversion_kit.Classifier(m, LOOK, list("abc"), name="c")):
        with pytest.raises(InputError, match=says):
            make(model)
    diagnosis = doctor(model, preprocess=LOOK)
    assert [check.name for check in diagnosis.alarms] == ["runs"]
    assert nn.parameter.is_lazy(model[0].weight) or model[0].weight.is_meta


def test_the_statistics_of_a_module_whose_train_does_nothing_stay():
    model = TrainDoesNothing()
    assert model.inner[1].training
    classifier = made(model)
    classifier.logits(torch.rand(4, 3, 32, 32))
    assert not model.inner[1].running_mean.any()


def test_a_copy_shares_what_cannot_be_copied_and_nothing_else():
    model = Holds()
    other = copy_of(model)
    assert other.lock is model.lock
    assert other.numbers is model.numbers
    assert other.call.__self__ is other
    assert other.inner is not model.inner
    assert other.deep is not model.deep
    assert all(
        not torch.is_same_size(a, b) or a is not b
        for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )


class CopiesToItself(Wrapped):
    def __deepcopy__(self, memo):
        return self


class CopyRaises(Wrapped):
    def __deepcopy__(self, memo):
        raise RuntimeError("only one of me")


@pytest.mark.parametrize("kind", [CopiesToItself, CopyRaises])
def test_a_module_that_cannot_be_copied_is_refused_for_the_shuffled_arm_before_any_work(
    kind, tmp_path
):
    classifier = made(kind())
    known = hash_module(classifier.model)
    with pytest.raises(InputError, match=r"cannot be copied .* leave out the arm 'shuffled'"):
        inversion_kit.audit(
            classifier,
            [0],
            generator="pocket",
            arms=["shuffled"],
            seeds=1,
            steps=1,
            store=tmp_path / "a",
            progress=False,
        )
    assert hash_module(classifier.model) == known


def test_weights_that_change_no_answer_are_no_control():
    class Ignores(Wrapped):
        def forward(self, images):
            return images.mean((2, 3)) * self.inner(images).mean().isfinite()

    with pytest.raises(InputError, match="answers the same with its weights shuffled"):
        shuffled(made(Ignores()), 0)


def test_a_module_with_a_lock_is_audited_with_its_shuffled_control(tmp_path):
    tree = inversion_kit.audit(
        made(Holds()),
        [0],
        generator="pocket",
        arms=["shuffled"],
        seeds=1,
        steps=1,
        batch=2,
        samples=2,
        validation=2,
        restarts=0,
        store=tmp_path / "a",
        progress=False,
    )
    assert set(tree["status"]["status"].values.ravel()) == {"done"}


def test_what_wraps_a_model_of_a_library_is_read_as_that_model():
    import timm

    model = timm.create_model("test_resnet", num_classes=5)
    plain = as_classifier(model)
    for wrapped in (torch.compile(model, backend="eager"), nn.DataParallel(model)):
        classifier = as_classifier(wrapped)
        assert classifier.preprocess == plain.preprocess
        assert classifier.name == plain.name
        assert classifier.has_features
        images = torch.rand(2, 3, 40, 40)
        assert torch.allclose(classifier.logits(images), plain.logits(images), atol=1e-5)


@pytest.mark.parametrize("raises", [KeyError("x"), SystemError(), RecursionError("deep")])
def test_the_doctor_reports_whatever_a_model_raises(raises):
    class Raises(nn.Module):
        def modules(self):
            raise raises

        def forward(self, images):
            raise raises

    assert doctor(Raises.forward, preprocess=LOOK).alarms
    assert doctor(lambda x: Raises.forward(None, x), preprocess=LOOK).alarms
    classifier = made(net())
    classifier.model.named_parameters = lambda *args, **settings: 1 / 0
    assert "ZeroDivisionError" in doctor(classifier)["runs"].seen
