"""Judges that are the audited network, in whatever wrapping, are refused before any work."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import inversion_kit
from inversion_kit import Preprocess, as_classifier
from inversion_kit.arms import check_arms
from inversion_kit.audits.bench import Bench
from inversion_kit.classifiers.ensemble import Ensemble
from inversion_kit.classifiers.same_network import same_network
from inversion_kit.errors import InputError
from inversion_kit.search.checks import check_judges
from inversion_kit.settings import Settings
from tests.test_functions import Scorer
from tests.test_modules import exported, net

LOOK = Preprocess(size=(32, 32))


def made(model, **settings):
    return as_classifier(model, preprocess=LOOK, **settings)


def fused(model):
    return torch.nn.utils.fusion.fuse_conv_bn_eval(*copy.deepcopy(model[:2]).eval()), *model[2:]


def hidden(model):
    """An answer from a place where no network can be found."""
    place = {"it": torch.jit.freeze(torch.jit.script(copy.deepcopy(model).eval()))}
    return lambda images: place["it"](images)


SAME = {
    "itself": (lambda m: m, "has the same weights as"),
    "in a Sequential": (nn.Sequential, "has the same weights as"),
    "in a lambda": (lambda m: lambda x: m(x), "has the same weights as"),
    "turned round": (lambda m: lambda x: -m(x), "has the same weights as"),
    "a copy": (copy.deepcopy, "has the same weights as"),
    "a copy with a head": (lambda m: nn.Sequential(m, nn.Linear(3, 3)), "holds the network of"),
    "a callable object": (Scorer, "has the same weights as"),
    "compiled": (lambda m: torch.compile(m, backend="eager"), "has the same weights as"),
    "batch norm folded": (lambda m: nn.Sequential(*fused(m)), "gives the same answers as"),
    "weights that cannot be read": (hidden, "gives the same answers as"),
    "with a softmax": (
        lambda m: nn.Sequential(m, nn.Softmax(1)),
        "has the same weights as",
    ),
}


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.parametrize("kind", SAME)
def test_the_audited_network_is_no_judge_in_whatever_it_is_wrapped(kind):
    model = net()
    make, why = SAME[kind]
    audited = made(model, name="mine")
    head = "probability" if kind == "with a softmax" else None
    judge = made(make(model), name="the judge", head=head)
    with pytest.raises(InputError, match=f"judges: 'the judge' {why} the audited classifier"):
        check_judges([net_judge(), judge], audited)
    assert same_network(made(net()), judge) is None


def net_judge():
    return made(net(), name="another")


@pytest.mark.filterwarnings("ignore:model. its weights are float16")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_audited_network_in_half_precision_is_no_judge(dtype):
    honest = as_classifier("pocket:honest")
    half = copy.deepcopy(honest.model).to(dtype)
    judge = as_classifier(half, preprocess=honest.preprocess, labels=honest.labels, name="half")
    with pytest.raises(InputError, match="'half' gives the same answers as the audited"):
        check_judges([judge], honest)


def test_an_ensemble_that_holds_the_audited_network_is_no_judge_and_a_member_neither():
    model, other = net(), net()
    with pytest.raises(InputError, match="'both' has the same weights as"):
        check_judges([made([model, other], name="both")], made(nn.Sequential(model)))
    nested = Ensemble([made(net()), made([other, model])], name="nested")
    with pytest.raises(InputError, match="'nested' has the same weights as"):
        check_judges([nested], made(model))
    mean = made(lambda x: (model(x) + other(x)) / 2, name="mean")
    with pytest.raises(InputError, match="'mean' holds the network of"):
        check_judges([mean], made(model))
    with pytest.raises(InputError, match="'one' lies in the network of"):
        check_judges([made(model, name="one")], mean)
    with pytest.raises(InputError, match="'one' has the same weights as"):
        check_judges([made(model, name="one")], made([model, other]))


def test_black_boxes_are_compared_by_their_answers():
    model = net().eval()

    def ask(files):
        images = torch.from_numpy(files).permute(0, 3, 1, 2).float() / 255
        return copy.copy(keep)["it"](images).detach().softmax(1).numpy()

    keep = {"it": exported_of(model)}
    box = as_classifier(ask, black_box=True, labels=[f"class {i}" for i in range(3)])
    look = Preprocess()
    audited = as_classifier(model, preprocess=look)
    assert same_network(audited, box) is not None
    assert same_network(box, as_classifier(net(), preprocess=look)) is None


def exported_of(model):
    count = torch.export.Dim("count")
    example = (torch.rand(2, 3, 32, 32),)
    return torch.export.export(model, example, dynamic_shapes=({0: count},)).module()


def test_other_networks_are_judges():
    backbone = net()[:4]
    heads = [nn.Sequential(backbone, nn.Linear(4, 3)) for _ in range(2)]
    assert same_network(*map(made, heads)) is None  # on one backbone, and otherwise trained
    assert same_network(made(net()), made(exported())) is None
    pocket = [as_classifier(f"pocket:{n}") for n in ("honest", "judge", "backdoored", "shortcut")]
    assert all(same_network(pocket[0], other) is None for other in pocket[1:])


def test_answers_that_do_not_vary_or_say_the_top_alone_tell_nothing():
    labels = ["a", "b", "c"]
    constants = [lambda x: torch.zeros(len(x), 3) for _ in range(2)]
    one, other = (made(f, labels=labels, name=n) for f, n in zip(constants, "ab", strict=True))
    with torch.no_grad():
        assert one.answers.unique().numel() == 1
    assert other.name == "b"
    tops = [
        as_classifier(lambda files, k=k: files[:, 0, 0, k] % 2, black_box=True, labels=labels)
        for k in (0, 0)
    ]
    tops[1].labels = ("a", "b", "d")  # another name, so that the hash is another
    assert same_network(*tops) is None


def test_the_queries_of_the_comparison_are_counted():
    labels = list(as_classifier("pocket:honest").labels)
    asked = []

    def ask(files):
        asked.append(len(files))
        return files[:, ::8, ::8].reshape(len(files), -1)[:, : len(labels)].argmax(1)

    settings = Settings(method="cma", queries=4000)
    for model in (as_classifier(ask, black_box=True, labels=labels), "pocket:honest"):
        bench = Bench.load(model, "pocket", ["pocket:judge"], check_arms(["token"]), settings)
        assert bench.identity == 16
    assert sum(asked) == 16
    bench = Bench.load("pocket:honest", "pocket", [], check_arms(["token"]), settings)
    assert bench.identity == 0


def test_a_judge_that_is_the_audited_network_is_refused_before_any_work():
    model = net()
    given = {"generator": "pocket", "steps": 2, "batch": 2, "samples": 2, "validation": 2}
    with pytest.raises(InputError, match="judges: 'b' has the same weights as"):
        inversion_kit.invert(
            made(model), 1, judges=[made(nn.Sequential(model), name="b")], progress=False, **given
        )


def test_a_module_that_was_trained_on_since_is_at_rest_again():
    one, other = net(), net()
    audited, judge = made([one, net()]), made(other, name="judge")
    for model in (one, other):
        model.train().requires_grad_(True)
    Bench.load(audited, "pocket", [judge], check_arms(["token"]), Settings())
    for model in (one, other):
        assert not model.training
        assert not any(p.requires_grad for p in model.parameters())
