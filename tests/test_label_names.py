"""Names of classes: read from whatever holds them, never guessed; and what prompts say for them."""

from __future__ import annotations

import enum
import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import inversion_kit
from inversion_kit import analysis
from inversion_kit.arms import check_arms
from inversion_kit.audits.plan import Task, plan_of, task_of
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.classifiers.label_names import names_of
from inversion_kit.classifiers.preprocess import Preprocess
from inversion_kit.errors import InputError, LabelError
from inversion_kit.generators.base import Generator
from inversion_kit.settings import Settings
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.wordings import wordings_of

SHARK = "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias"
QUICK = {
    "generator": "pocket",
    "steps": 0,
    "batch": 2,
    "samples": 2,
    "validation": 2,
    "restarts": 0,
    "views": ["blur"],
    "progress": False,
}


class Animal(str, enum.Enum):  # noqa: UP042 (its str() is no name)
    CAT = "cat"
    DOG = "dog"


def made(labels, **more):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    return as_classifier(model, preprocess=Preprocess(size=(32, 32)), labels=labels, **more)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ({"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}, ("tench", "goldfish")),
        ({"1": ["n2", "goldfish"], "0": ["n1", "tench"]}, ("tench", "goldfish")),
        ([("tench", "Tinca tinca"), ("goldfish",)], ("tench, Tinca tinca", "goldfish")),
        ([b"cat", b"hund"], ("cat", "hund")),
        (np.array([b"cat", b"dog"]), ("cat", "dog")),
        (np.array(["cat", "dog"]), ("cat", "dog")),
        (["cat\n", " dog"], ("cat", "dog")),
        (torch.tensor([7, 9]), ("7", "9")),
        (range(2), ("0", "1")),
        (pd.Series(["cat", "dog"]), ("cat", "dog")),
        (pd.Series(["cat", "dog"], dtype="category"), ("cat", "dog")),
        (pd.Categorical(["cat", "dog"]), ("cat", "dog")),
        (pd.Index(["cat", "dog"]), ("cat", "dog")),
        ({np.int64(1): "dog", np.int64(0): "cat"}, ("cat", "dog")),
        (Animal, ("cat", "dog")),
        (["crane", "cat", "crane"], ("crane (0)", "cat", "crane (2)")),
        (["a", "a", "a (0)"], ("a (0) (0)", "a (1)", "a (0) (2)")),
    ],
)
def test_names_are_read_from_what_holds_them(labels, names):
    assert names_of(labels) == names
    assert all(type(name) is str for name in names_of(labels))


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([b"\xff", b"b"], r"class 0 is called b'\\xff'; expected text"),
        (["a", float("nan")], "class 1 is called nan"),
        ([None, "a"], "class 0 is called None"),
        ([pd.NA, "a"], "class 0 is called <NA>"),
        (pd.Categorical(["a", None]), "class 1 is called nan"),
        (torch.tensor([0.5, 1.5]), r"class 0 is called tensor\(0.5000\)"),
        (["a", ""], "class 1 is called ''"),
        (["a", " \n"], "class 1 is called"),
        ([True, False], "class 0 is called True"),
        ([["a", 3.0]], "class 0 is called"),
        ([[]], "class 0 is called"),
        ([{"id": 0, "name": "cat"}], "class 0 is called"),
        (np.array([["a", "b"]]), "class 0 is called"),
        ({0: "a", 2: "b"}, r"there is none for 1\); expected 0 to 1"),
        ({0: "a", "0": "b"}, r"there is none for 1"),
        ({0: None, 1: "b"}, "class 0 is called None"),
        (pd.Series(["a", "b"], index=[1, 0]), r"labels.tolist\(\)"),
        (pd.DataFrame({"name": ["a"]}), "one of its columns"),
        (b"ab", "expected a list of names"),
    ],
)
def test_what_is_no_name_is_refused_by_its_class(labels, says):
    with pytest.raises(InputError, match=says):
        names_of(labels)
    with pytest.raises(InputError, match=says):
        as_classifier(nn.Flatten(), preprocess=Preprocess(size=(8, 8)), labels=labels)


@pytest.mark.parametrize("labels", [["a", "b"], ["a", "b", "c", "d"], {0: "a", 1: "b"}])
def test_too_few_names_and_too_many_are_refused(labels):
    with pytest.raises(InputError, match=f"{len(labels)} names for 3 outputs"):
        made(labels)


# --- wordings -----------------------------------------------------------------------------------


def test_a_prompt_says_one_clean_wording():
    labels = [SHARK, "crane", "crane", "maillot", "maillot, tank suit", "tabby_cat", "a (b)"]
    named = names_of(labels)
    assert named[1:3] == ("crane (1)", "crane (2)")
    words = ["great white shark", "crane", "crane", "maillot", "maillot, tank suit", "tabby cat"]
    assert wordings_of(named) == [*words, "a (b)"]
    assert wordings_of(["crane (1)", "3 (1)"]) == ["crane (1)", "3"]  # an index of its own alone
    assert wordings_of(["a cat, asleep", "a cat, awake"]) == ["a cat, asleep", "a cat, awake"]
    assert wordings_of([", x", "_"]) == [", x", "_"]


def test_wordings_of_imagenet_are_clean():
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    labels = names_of([info.index_to_description(i) for i in range(1000)])
    words = wordings_of(labels)
    assert (labels[2], words[2]) == (SHARK, "great white shark")
    assert (labels[134], words[134], words[517]) == ("crane (134)", "crane", "crane")
    whole = ["Cardigan, Cardigan Welsh corgi", "maillot, tank suit"]
    assert [w for w in words if "," in w or "_" in w] == whole


def test_wordings_of_ones_own():
    labels = [SHARK, "crane", "crane"]
    assert made(labels).wordings == ("great white shark", "crane", "crane")
    sense = "crane, a large wading bird"
    for given in ({"crane (1)": sense}, {1: sense}, ["great white shark", sense, "crane"]):
        classifier = made(labels, wordings=given)
        assert classifier.wordings == ("great white shark", sense, "crane")
        assert classifier.labels == (SHARK, "crane (1)", "crane (2)")
    again = as_classifier(classifier, wordings={2: b"hoist"})
    assert again.wordings == ("great white shark", sense, "hoist")
    assert classifier.wordings[2] == "crane"
    assert as_classifier([again, again]).wordings == again.wordings
    assert again.copied().wordings == again.wordings


@pytest.mark.parametrize(
    ("wordings", "error", "says"),
    [
        (["a"], InputError, "1 for 3 classes"),
        ({"cran": "a"}, LabelError, "fits several"),
        ({"dog": "a"}, LabelError, "none of the 3 labels"),
        ({0: ""}, InputError, "wordings: '' for"),
        ({0: float("nan")}, InputError, "wordings: nan for"),
        ("crane", InputError, "expected a text a class"),
        ({"crane"}, InputError, "expected a text a class"),
        (3, InputError, "expected a text a class"),
    ],
)
def test_wordings_that_are_none_are_refused(wordings, error, says):
    with pytest.raises(error, match=says):
        made([SHARK, "crane", "crane"], wordings=wordings)


def test_the_wording_is_in_prompts_results_and_free_text(monkeypatch):
    labels = ["stop sign, octagon", "yield", "yield"]
    tree = inversion_kit.invert(
        made(labels, wordings={2: "yield, a triangle"}), 0, arms=["name", "token+name"], **QUICK
    )
    prompts = [str(p) for p in tree["samples"]["prompt"].values[0, :, 0, 0]]
    assert prompts == ["a photo of a stop sign", "a photo of a <ik-class> stop sign"]
    assert tree["samples"]["label"].item() == labels[0]
    assert json.loads(tree.attrs["settings"])["wordings"] == {labels[0]: "stop sign"}
    asked = []

    def kept(self, prompt):
        asked.append(prompt)
        raise InputError("enough")

    monkeypatch.setattr(Generator, "check_prompt", kept)
    with pytest.raises(InputError, match="enough"):
        inversion_kit.generate(tree, "a {token} {name}", generator="pocket", n=1)
    assert asked == ["a <ik-class> stop sign"]


def test_wordings_beside_a_name_are_made_again_and_resumed(tmp_path):
    said = {"yield": "a triangle", "stop": "stop sign, a red octagon"}
    classifier = as_classifier("pocket:honest", wordings=said)
    tree = inversion_kit.invert(classifier, "stop", arms=["name"], **QUICK)
    settings = json.loads(tree.attrs["settings"])
    assert settings["wordings"] == {"stop": said["stop"]}
    assert settings["sources"] == {
        "model": "pocket:honest",
        "generator": "pocket",
        "judges": [],
        "wordings": said,
    }
    code = analysis.again.code(tree)
    assert f"ik.as_classifier('pocket:honest', wordings={said!r})" in code
    found = {}
    exec(code, found)
    np.testing.assert_array_equal(found["tree"]["samples"]["prompt"], tree["samples"]["prompt"])
    np.testing.assert_array_equal(found["tree"]["samples"]["image"], tree["samples"]["image"])

    task = Task(classifier, "pocket", (), check_arms(["name"]), Settings(samples=2, views=()))
    plan = plan_of(task, [14], [0])
    again = task_of(AuditStore.create(tmp_path / "audit", plan))
    assert plan_of(again, [14], [0])["settings"] == plan["settings"]
    assert again.load().classifier.wordings == classifier.wordings


def test_other_changes_have_no_name():
    assert as_classifier("pocket:honest").source == "pocket:honest"
    assert as_classifier("pocket:honest", name="mine").source is None
    assert as_classifier(as_classifier("pocket:honest"), name="mine").source is None
    assert as_classifier("pocket:honest", head="sigmoid").source is None


# --- what takes logits --------------------------------------------------------------------------


def test_images_are_no_logits():
    classifier = made(["a", "b", "c"])
    images = torch.rand(3, 3, 3, 3)
    says = r"logits: \(3, 3, 3, 3\); expected \(n, 3\).*probability\(classifier.logits\(images\)\)"
    ensemble = as_classifier([classifier, classifier])
    for one in (classifier, ensemble):
        with pytest.raises(InputError, match=says):
            one.probability(images)
        assert one.probability(one.logits(images)).sum(1).tolist() == pytest.approx([1] * 3)
    for wrong in (torch.rand(3), torch.rand(2, 4), np.zeros((1, 3)), None):
        with pytest.raises(InputError, match="logits: "):
            classifier.probability(wrong)


@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "margin", "activation"])
def test_objectives_take_no_images_for_logits(name):
    objective = getattr(inversion_kit.objectives, name)
    with pytest.raises(InputError, match=r"logits: .*expected \(n, class\)"):
        objective(torch.rand(2, 3, 8, 8), torch.zeros(2, dtype=torch.long))
    with pytest.raises(InputError, match=r"target: .*expected"):
        objective(torch.rand(2, 3), torch.zeros(3, dtype=torch.long))


@pytest.mark.parametrize("name", ["", " ", 3, "\ud800", b"mine", float("nan")])
def test_what_no_result_can_call_a_classifier_is_refused(name):
    for model in ("pocket:honest", made(["a", "b", "c"]), [made(["a", "b", "c"])]):
        with pytest.raises(InputError, match=r"name=.*: expected text"):
            as_classifier(model, name=name)
    with pytest.raises(InputError, match=r"name=.*: expected text"):
        Classifier(nn.Flatten(), Preprocess(size=(8, 8)), ["a", "b"], name=name)


def test_names_are_checked_where_a_classifier_is_made_by_hand():
    with pytest.raises(InputError, match="class 1 is called nan"):
        Classifier(nn.Flatten(), Preprocess(size=(8, 8)), ["a", float("nan")], name="c")
