"""ONNX files: the scores are torch's own, and what a file says of itself is read."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
import sys
import warnings

import onnx
import pytest
import torch
from torch import nn

import inversion_kit
from inversion_kit import Preprocess, as_classifier, doctor
from inversion_kit.classifiers.controls import shuffled
from inversion_kit.errors import ClassifierUnavailableError, InputError
from tests.test_modules import net

LOOK = Preprocess(size=(24, 24), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))


class ChannelsLast(nn.Module):
    """A network of images ``(n, y, x, 3)``, as TensorFlow's are."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner(images.permute(0, 3, 1, 2))


class TwoOutputs(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return images.mean((2, 3)), self.inner(images)


def export(model, path, *, batch=None, shape=(3, 24, 24), outputs=("out",)):
    """A file of ``model`` for ``batch`` images, or any number."""
    example = torch.rand(batch or 2, *shape)
    free = None if batch else ({0: torch.export.Dim("n")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own
        torch.onnx.export(
            model.eval(),
            (example,),
            path,
            dynamic_shapes=free,
            verbose=False,
            external_data=False,
            input_names=["image"],
            output_names=list(outputs),
        )
    return path


def say(path, **metadata):
    """The file with metadata."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = net().eval()
    made[1].running_mean += 0.1
    return made


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    return export(model, tmp_path_factory.mktemp("onnx") / "net.onnx")


@pytest.fixture
def path(exported, tmp_path):
    return shutil.copy(exported, tmp_path / "net.onnx")


@pytest.fixture
def images():
    return torch.rand(5, 3, 40, 50)


@pytest.fixture
def wanted(model, images):
    return as_classifier(copy.deepcopy(model), preprocess=LOOK).logits(images)


def test_the_scores_of_a_file_are_torch_s_own(path, images, wanted):
    for source in (path, str(path)):
        classifier = as_classifier(source, preprocess=LOOK, labels=["cat", "dog", "cow"])
        assert torch.allclose(classifier.logits(images), wanted, atol=1e-5)
    assert classifier.labels == ("cat", "dog", "cow")
    assert classifier.name == str(path)
    assert not classifier.differentiable
    with pytest.raises(InputError, match='use method="cma"'):
        classifier.logits(images.requires_grad_())


def test_what_a_file_says_of_itself_is_read(path, images, wanted):
    settings = {"size": [24, 24], "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
    say(path, preprocess=json.dumps(settings), labels=json.dumps(["cat", "dog", "cow"]))
    classifier = as_classifier(path)
    assert classifier.preprocess == LOOK
    assert classifier.labels == ("cat", "dog", "cow")
    assert torch.allclose(classifier.logits(images), wanted, atol=1e-5)
    assert as_classifier(path, labels=["a", "b", "c"]).labels == ("a", "b", "c")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("names", "{0: 'cat', 1: 'dog', 2: 'cow'}"),
        ("id2label", '{"0": "cat", "1": "dog", "2": "cow"}'),
        ("classes", "['cat', 'dog', 'cow']"),
        ("class_names", '["cat", "dog", "cow"]'),
    ],
)
def test_label_names_are_read_as_the_libraries_write_them(path, key, text):
    classifier = as_classifier(say(path, **{key: text}), preprocess=LOOK)
    assert classifier.labels == ("cat", "dog", "cow")


def test_timm_s_own_settings_are_read(path):
    config = {"input_size": [3, 24, 24], "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
    more = {"interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center"}
    classifier = as_classifier(say(path, pretrained_cfg=json.dumps(config | more)))
    assert classifier.preprocess.interpolation == "bicubic"
    assert classifier.preprocess.size == (24, 24)
    assert classifier.parity < 2


def test_files_of_a_fixed_batch_of_channels_last_and_of_several_outputs(
    model, tmp_path, images, wanted
):
    made = {
        "one": export(model, tmp_path / "one.onnx", batch=1),
        "four": export(model, tmp_path / "four.onnx", batch=4),
        "last": export(ChannelsLast(model), tmp_path / "last.onnx", shape=(24, 24, 3)),
        "two": export(TwoOutputs(model), tmp_path / "two.onnx", outputs=("mean", "logits")),
    }
    for name, path in made.items():
        classifier = as_classifier(path, preprocess=LOOK)
        assert torch.allclose(classifier.logits(images), wanted, atol=1e-5), name


def test_the_size_is_the_file_s_where_the_preprocessing_has_none(path):
    assert as_classifier(path, preprocess=Preprocess()).preprocess.size == (24, 24)


def test_a_file_that_ends_in_a_softmax_gives_probabilities(model, tmp_path, images, wanted):
    path = export(nn.Sequential(model, nn.Softmax(1)), tmp_path / "soft.onnx")
    classifier = as_classifier(path, preprocess=LOOK)
    assert classifier.head == "probability"
    seen = classifier.probability(classifier.logits(images))
    assert torch.allclose(seen, wanted.softmax(1), atol=1e-5)


def test_the_hash_is_of_the_file_and_costs_no_query(path, tmp_path):
    classifier = as_classifier(path, preprocess=LOOK)
    assert not classifier.asks_for_hash
    again = as_classifier(shutil.copy(path, tmp_path / "other.onnx"), preprocess=LOOK)
    assert again.hash == classifier.hash
    assert as_classifier(say(path, labels='["a", "b", "c"]'), preprocess=LOOK).hash != again.hash
    big = tmp_path / "other.onnx.data"
    big.write_bytes(b"weights beside the file")
    assert as_classifier(tmp_path / "other.onnx", preprocess=LOOK).hash != again.hash


def test_a_file_s_classifier_can_be_copied_and_sent(path, images):
    classifier = as_classifier(path, preprocess=LOOK)
    for other in (copy.deepcopy(classifier), pickle.loads(pickle.dumps(classifier))):
        assert torch.equal(other.logits(images), classifier.logits(images))
    with pytest.raises(InputError, match="no weights to shuffle"):
        shuffled(classifier, 0)


def test_a_file_of_the_audited_network_is_no_judge(path, model):
    audited = as_classifier(copy.deepcopy(model), preprocess=LOOK)
    judge = as_classifier(path, preprocess=LOOK, name="file")
    with pytest.raises(InputError, match="judges: 'file' gives the same answers as"):
        inversion_kit.invert(audited, 1, generator="pocket", judges=[judge])
    with pytest.raises(InputError, match='gives no gradient; use method="cma"'):
        inversion_kit.invert(judge, 1, generator="pocket")


def test_a_file_is_searched_without_a_gradient_and_examined(path):
    classifier = as_classifier(path, preprocess=LOOK)
    assert doctor(path, preprocess=LOOK)["gradient"].status == "skip"
    tree = inversion_kit.invert(
        classifier,
        1,
        generator="pocket",
        method="cma",
        queries=80,
        batch=2,
        samples=2,
        validation=2,
        progress=False,
    )
    assert tree["ledger"]["queries"].max() <= 80


@pytest.mark.parametrize(
    ("metadata", "settings", "says"),
    [
        ({}, {}, "does not say how images are prepared"),
        ({"preprocess": "[1"}, {}, r"preprocessing in its metadata .* preprocess=\.\.\."),
        ({"preprocess": '{"sise": 3}'}, {}, "preprocessing in its metadata"),
        ({"preprocess": '{"size": [0, 3]}'}, {}, "size"),
        ({"pretrained_cfg": '["a"]'}, {}, "preprocessing in its metadata"),
        ({"names": "cat, dog"}, {"preprocess": LOOK}, r"'names' of its .* labels=\["),
        ({"names": "{1: 'cat'}"}, {"preprocess": LOOK}, "'names' of its metadata"),
        ({"labels": '["cat"]'}, {"preprocess": LOOK}, "1 names for 3 outputs"),
        ({}, {"preprocess": Preprocess(size=(9, 9))}, "could not score an image of 9 x 9"),
    ],
)
def test_a_file_that_does_not_say_enough_is_refused(path, metadata, settings, says):
    with pytest.raises(InputError, match=says):
        as_classifier(say(path, **metadata), **settings)


def test_what_is_no_such_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        as_classifier(tmp_path / "none.onnx", preprocess=LOOK)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(ClassifierUnavailableError, match="could not be loaded"):
        as_classifier(broken, preprocess=LOOK)
    flat = export(nn.Linear(4, 3), tmp_path / "flat.onnx", shape=(4,))
    with pytest.raises(InputError, match=r"its inputs are image tensor\(float\)"):
        as_classifier(flat, preprocess=LOOK)


def test_without_onnxruntime_it_is_said_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'inversion-kit\[onnx\]'"):
        as_classifier(path, preprocess=LOOK)
