"""The doctor: each planted fault raises its alarm, healthy models none, nothing is changed."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torchvision.transforms.v2.functional import rgb_to_grayscale
from typer.testing import CliRunner

from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.classifiers.doctor import Check, Diagnosis, Trial, doctor, read_folder
from inversion_kit.classifiers.preprocess import Preprocess, whole_bytes
from inversion_kit.cli import app
from inversion_kit.errors import InputError
from inversion_kit.generators.convert import as_generator
from inversion_kit.widgets.model_facts import diagnosis_html

COUNT = 32
COLOURS = ["red", "green", "blue"]
SPOTS = Preprocess(size=(16, 16))


@pytest.fixture(scope="session")
def honest():
    return as_classifier("pocket:honest")


@pytest.fixture(scope="session")
def photos(honest):
    """Generated photographs and their names, those alone that the honest classifier knows."""
    names = honest.labels[:COUNT]
    prompts = [f"a photo of a {name}" for name in names]
    images = as_generator("pocket").images(prompts, seeds=list(range(COUNT)), num_inference_steps=4)
    known = honest.logits(images).argmax(1) == torch.arange(COUNT)
    assert known.sum() >= 24
    return images[known], [name for name, k in zip(names, known, strict=True) if k]


def changed(honest: Classifier, model=None, preprocess=None, labels=None, **settings) -> Classifier:
    """The honest classifier with another part."""
    model, preprocess = model or honest.model, preprocess or honest.preprocess
    return Classifier(model, preprocess, labels or honest.labels, name="changed", **settings)


def with_model(honest: Classifier, make, **settings) -> Classifier:
    """The honest classifier with something done to a copy of its network."""
    return changed(honest, make(copy.deepcopy(honest.model)), **settings)


def around(honest: Classifier, function, **settings) -> Classifier:
    """The honest classifier with a function around its network."""
    return with_model(honest, lambda model: Around(model, function), **settings)


class Around(nn.Module):
    """A network with a function around it."""

    def __init__(self, inner, function):
        super().__init__()
        self.inner, self.function = inner, function

    def forward(self, images):
        return self.function(self.inner, images)


def alarms(diagnosis: Diagnosis) -> list[str]:
    return [check.name for check in diagnosis.alarms]


def assert_healthy(*given, **settings) -> Diagnosis:
    diagnosis = doctor(*given, **settings)
    assert diagnosis.healthy, str(diagnosis)
    return diagnosis


# --- healthy ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["honest", "judge", "backdoored", "shortcut"])
def test_the_shipped_classifiers_are_healthy(name, photos):
    assert_healthy(f"pocket:{name}")
    assert assert_healthy(f"pocket:{name}", *photos, most=12).accuracy >= 0.8


def test_healthy_models_of_other_kinds_and_what_only_resembles_a_fault_raise_no_alarm(
    honest, photos
):
    assert_healthy(timm.create_model("test_resnet", num_classes=5))
    assert_healthy([honest, "pocket:judge"], *photos, most=8)
    assert_healthy(nn.Sequential(nn.Flatten(), nn.Linear(48, 1)), preprocess=Preprocess((4, 4)))
    assert_healthy(around(honest, spread))
    assert_healthy(around(honest, softmax, head="probability"))

    def top(files):
        images = torch.from_numpy(files).permute(0, 3, 1, 2) / 255
        return honest.logits(images).argmax(1)

    box = as_classifier(top, black_box=True, labels=honest.labels)
    gradient = assert_healthy(box, *photos, most=8)["gradient"]
    assert gradient.status == "skip"
    assert "cma" in gradient.type_this


def test_one_logit_that_says_no_and_an_untrained_relu_are_healthy():
    model = timm.create_model("test_resnet", num_classes=1)
    with torch.no_grad():
        model.fc.bias -= 5
    assert_healthy(model, labels=["healthy", "ill"])
    model = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(192, 20), nn.ReLU())
    with torch.no_grad():
        model[2].weight *= 0.1
    assert_healthy(model, preprocess=SPOTS)


def test_a_healthy_model_is_not_asked_for_what_cannot_be_better(honest, photos):
    """Twelve wrong of many: only they are asked of the alternatives, and none wins enough."""
    asked = []

    def counted(inner, images):
        asked.append(len(images))
        return inner(images)

    images, names = photos
    model = around(honest, counted)
    labels = [honest.labels[5]] * 12 + names[12:]
    before = len(images) + 2 * 16 + 1 + 3 * 2  # pairs: with a gradient, without, and features
    assert_healthy(model, images, names)
    assert sum(asked) == before
    asked.clear()
    diagnosis = assert_healthy(model, images, labels)
    assert before < sum(asked) <= before + 12 * 10
    assert "no alternative could be clearly better" in diagnosis["channels"].seen


def test_a_model_is_left_as_it_came():
    model = timm.create_model("test_resnet", num_classes=5).train()
    weights = copy.deepcopy(model.state_dict())
    assert "came in train mode" in doctor(model)["mode"].seen
    assert all(m.training for m in model.modules())
    assert all(p.requires_grad for p in model.parameters())
    assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())


# --- few classes --------------------------------------------------------------------------------


def spots(count: int, classes: int) -> tuple[torch.Tensor, list[int]]:
    """Images that are bright in the colour of their class, and the classes."""
    truth = [i % classes for i in range(count)]
    images = torch.rand(count, 3, 16, 16) * 0.3
    for image, colour in zip(images, truth, strict=True):
        image[colour] += 0.5
    return images, truth


class Colours(nn.Module):
    """Reads which of the first channels is brightest; of two in one logit, where asked."""

    def __init__(self, classes, one=False):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(20.0))
        self.classes, self.one = classes, one

    def forward(self, images):
        out = self.scale * images.mean((2, 3))[:, : self.classes]
        return out[:, 1:] - out[:, :1] if self.one else out


def of_colours(images, labels, classes: int, one: bool = False) -> Diagnosis:
    names = COLOURS[:classes]
    return doctor(Colours(classes, one), images, labels, preprocess=SPOTS, labels=names)


@pytest.mark.parametrize("one", [True, False])
def test_two_classes_are_healthy_when_right_and_their_turned_names_are_seen(one):
    images, truth = spots(20, 2)
    right = of_colours(images, truth, 2, one)
    assert right.healthy, str(right)
    assert right.accuracy == 1
    turned = [COLOURS[1 - c] for c in truth]
    diagnosis = of_colours(images, turned, 2, one)
    assert set(alarms(diagnosis)) == {"label order", "accuracy"}
    assert diagnosis.best.change == "the two names the other way round"

    def typed(model, labels):
        return as_classifier(model, labels=labels, preprocess=SPOTS)

    names = {"as_classifier": typed, "model": Colours(2, one), "labels": COLOURS[:2]}
    assert_healthy(eval(diagnosis.best.type_this, names), images, turned)  # what to type


def test_three_classes_far_above_chance_are_healthy():
    images, truth = spots(30, 3)
    truth = [c if i < 18 else (c + 1 + i % 2) % 3 for i, c in enumerate(truth)]
    diagnosis = of_colours(images, truth, 3)
    assert diagnosis.healthy, str(diagnosis)
    assert diagnosis["accuracy"].seen == "18 of 30 right"


def test_two_classes_at_chance_raise_an_alarm():
    images, truth = spots(20, 2)
    some = [c if i < 10 else 1 - c for i, c in enumerate(truth)]
    diagnosis = of_colours(images, some, 2)
    assert alarms(diagnosis) == ["accuracy"]
    assert diagnosis["accuracy"].status == "fail"
    assert diagnosis["accuracy"].seen == "10 of 20 right: hardly more than chance"
    few = [c if i < 6 else 1 - c for i, c in enumerate(truth[:8])]
    diagnosis = of_colours(images[:8], few, 2)
    assert (diagnosis["accuracy"].status, alarms(diagnosis)) == ("warn", ["accuracy"])
    assert "give more labelled images" in diagnosis["accuracy"].type_this


def test_an_alternative_no_better_than_chance_is_not_named():
    """Nothing is right, and with names one place later half of three classes: too little."""
    images, colours = spots(30, 3)
    either = [(1, 0, 1), (2, 0, 0)]
    diagnosis = of_colours(images, [either[i % 2][c] for i, c in enumerate(colours)], 3)
    assert (diagnosis.accuracy, diagnosis.best.accuracy) == (0, 0.5)
    assert alarms(diagnosis) == ["accuracy"]
    assert diagnosis["accuracy"].seen == "0 of 30 right: hardly more than chance"


# --- planted faults that labelled images show ---------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "check", "says"),
    [
        ({"channels": "bgr"}, "channels", "channels rgb"),
        ({"size": (32, 32)}, "size", "64 x 64"),
        ({"std": (1 / 255,) * 3, "mean": (0.0,) * 3}, "value range", "%"),
        ({"mean": (0.0, 0.5, 1.0), "std": (0.05,) * 3}, "normalisation", "%"),
    ],
)
def test_of_wrong_preprocessing_the_best_alternative_is_named(honest, photos, changes, check, says):
    wrong = changed(honest, preprocess=replace(honest.preprocess, **changes))
    diagnosis = doctor(wrong, *photos)
    assert set(alarms(diagnosis)) == {check, "accuracy"}
    assert says in diagnosis[check].seen
    assert diagnosis.best.accuracy > diagnosis.accuracy + 0.2
    assert "Preprocess(" in diagnosis["accuracy"].type_this
    if check == "channels":  # of a function of preprocessing they are seen too
        wrong = changed(honest, preprocess=lambda images: honest.preprocess(images.flip(1)))
        assert set(alarms(doctor(wrong, *photos))) == {"channels", "accuracy"}


def ordered(honest):
    """Outputs in the alphabetical order of the names, which are in their own."""
    order = torch.tensor(sorted(range(43), key=lambda i: honest.labels[i]))
    return around(honest, lambda inner, x: inner(x)[:, order])


def shifted(step):
    return lambda honest: changed(honest, labels=np.roll(honest.labels, step).tolist())


@pytest.mark.parametrize(
    ("make", "count_from", "seen", "do"),
    [
        (shifted(1), None, "one place earlier", "[*labels[1:], 'other']"),
        (shifted(-1), None, "one place later", "['background', *labels[:-1]]"),
        (lambda honest: honest, 1, "one place earlier", "or labels - 1"),
        (ordered, None, "alphabetical", "sorted(labels)"),
    ],
    ids=["one later", "one earlier", "labels that count from one", "alphabetical outputs"],
)
def test_names_in_another_order_than_the_outputs_are_seen(
    honest, photos, make, count_from, seen, do
):
    images, labels = photos
    if count_from is not None:
        labels = [honest.index(name) + count_from for name in labels]
    diagnosis = doctor(make(honest), images, labels)
    assert set(alarms(diagnosis)) == {"label order", "accuracy"}
    assert seen in diagnosis["label order"].seen
    assert do in diagnosis["label order"].type_this
    assert diagnosis.best.accuracy > 0.9


def test_a_model_that_knows_nothing_is_seen_and_a_few_photographs_are_enough_to_warn(
    honest, photos
):
    """Three are too few to be sure of, but nobody reads that none right is well."""
    few = [part[:3] for part in photos]
    assert_healthy(honest, *few)
    look = replace(honest.preprocess, mean=(0.0,) * 3, std=(1 / 255,) * 3)
    diagnosis = doctor(changed(honest, preprocess=look), *few)
    assert set(alarms(diagnosis)) == {"value range", "accuracy"}
    assert {diagnosis["value range"].status, diagnosis["accuracy"].status} == {"warn"}
    assert "give more labelled images" in diagnosis["accuracy"].type_this
    assert "Preprocess(" in diagnosis["accuracy"].type_this
    torch.manual_seed(1)
    new = changed(honest, nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 43)))
    diagnosis = doctor(new, *few)
    assert alarms(diagnosis) == ["accuracy"]
    assert diagnosis["accuracy"].seen == "0 of 3 right"
    accuracy = doctor(new, *photos)["accuracy"]
    assert accuracy.status == "fail"
    assert "hardly more than chance" in accuracy.seen


def test_mean_and_std_of_0_to_255_are_seen(honest, photos):
    look = replace(honest.preprocess, mean=(89.0, 84.0, 87.0), std=(69.0, 66.0, 69.0))
    wrong = changed(honest, preprocess=look)
    assert alarms(doctor(wrong))[0] == "value range"
    diagnosis = doctor(wrong, *photos)
    assert "value range" in alarms(diagnosis)
    assert diagnosis.best.change == "mean and std divided by 255"


@pytest.mark.parametrize(
    ("change", "do"), [(lambda x: x * 255, "/ 255"), (lambda x: x * 2 - 1, "+ 1")]
)
def test_images_of_another_range_are_seen(honest, photos, change, do):
    images, names = photos
    diagnosis = doctor(honest, change(images), names)
    assert alarms(diagnosis) == ["images"]
    assert do in diagnosis["images"].type_this


# --- planted faults that need no labels ---------------------------------------------------------


def in_training(honest):
    wrong = with_model(honest, lambda model: model)
    wrong.model.train()
    return wrong


def no_statistics(model):
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = layer.running_var = None
            layer.track_running_stats = False
    return model


def dead(model):
    nn.init.zeros_(model.fc.weight)
    return model


def broken(model):
    model.fc.weight[0, 0] = torch.nan
    return model


def spread(inner, images):
    return inner(images) / images.std((1, 2, 3), keepdim=True)[:, :, 0, 0]


def level(inner, images):
    return inner(images) / (images - images[:, :, :1, :1]).abs().amax((1, 2, 3))[:, None]


def softmax(inner, images):
    return inner(images).softmax(1)


def numpy(inner, images):
    return torch.from_numpy(inner(images).detach().numpy())


@pytest.mark.parametrize(
    ("make", "check", "seen", "do"),
    [
        (in_training, "mode", "BatchNorm2d", "classifier.model.eval()"),
        (lambda c: with_model(c, no_statistics), "one at a time", "next to it", "batch norm"),
        (lambda c: around(c, lambda m, x: F.dropout(m(x), 0.3)), "determinism", "apart by", ""),
        (lambda c: with_model(c, dead), "constant output", "one and the same answer", "trained"),
        (lambda c: with_model(c, broken), "finite", "fc.weight", "load the weights again"),
        (lambda c: around(c, level), "finite", "NaN", ""),
        (lambda c: around(c, softmax), "logits", "sums to 1", "head='probability'"),
        (lambda c: around(c, lambda m, x: m(x).sigmoid()), "logits", "[0, 1]", "head='sigmoid'"),
        (lambda c: around(c, lambda m, x: m(x).detach()), "gradient", "no gradient", "cma"),
        (lambda c: around(c, lambda m, x: m(x.round())), "gradient", "zero everywhere", "round"),
        (lambda c: around(c, numpy), "gradient", "no gradient", "numpy"),
        (lambda c: with_model(c, lambda m: m.bfloat16()), "dtype and device", "bfloat16", "float"),
        (lambda c: with_model(c, lambda m: m.double()), "dtype and device", "float64", "float"),
        (lambda c: changed(c, labels=c.labels[:42]), "classes", "42 label names", "labels="),
    ],
)
def test_a_fault_of_the_model_raises_its_alarm(honest, make, check, seen, do):
    diagnosis = doctor(make(honest))
    others = {"mode": {"determinism", "one at a time"}, "constant output": {"gradient"}}
    assert check in alarms(diagnosis)
    assert set(alarms(diagnosis)) - {check} <= others.get(check, set())
    assert seen in diagnosis[check].seen
    assert do in diagnosis[check].type_this


def test_what_cannot_be_made_a_classifier_is_a_diagnosis_too(honest):
    """The advice is about what is wrong, and can be typed."""
    diagnosis = doctor(honest.model, preprocess=honest.preprocess, labels=honest.labels[:42])
    assert alarms(diagnosis) == ["classes"]
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))
    diagnosis = doctor(model, preprocess=Preprocess(size=(9, 9)))
    assert alarms(diagnosis) == ["runs"]
    assert "9 x 9" in diagnosis["runs"].seen
    bad = Classifier(model, Preprocess(size=(9, 9)), ["a", "b", "c"], name="bad")
    assert alarms(doctor(bad)) == ["runs"]
    runs = doctor("nobody/nothing")["runs"]
    assert "could not be loaded" in runs.seen
    assert runs.type_this == "without a network give a local folder, or the loaded model itself"
    do = doctor(lambda x: x)["runs"].type_this
    assert "as_classifier(function, preprocess=Preprocess(size=...))" in do
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 4))
    batch_norm = nn.functional.batch_norm
    always = doctor(
        lambda x: batch_norm(model(x), None, None, training=True),
        preprocess=Preprocess(size=(4, 4)),
    )
    runs = always["runs"]
    assert "when training" in runs.seen
    assert runs.type_this.startswith("model.eval()")


@pytest.mark.parametrize(
    "model",
    [
        timm.create_model("test_resnet", num_classes=5, in_chans=1),
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5)),
    ],
)
def test_a_model_of_one_channel_gets_a_line_that_prepares_for_it(model):
    look = None if hasattr(model, "pretrained_cfg") else Preprocess(size=(8, 8), mean=(0.4,) * 3)
    do = doctor(model, preprocess=look)["runs"].type_this
    assert "it takes one channel" in do
    names = {"model": model, "as_classifier": as_classifier, "Preprocess": Preprocess}
    mended = eval(do, names | {"rgb_to_grayscale": rgb_to_grayscale})  # what to type
    images = torch.rand(2, 3, 20, 20)
    if look is not None:
        wanted = model(rgb_to_grayscale(look(whole_bytes(images))))
        assert torch.allclose(mended.logits(images), wanted)
    assert_healthy(mended)
    raw = Classifier(model, Preprocess(size=(8, 8)), list("abcde"), name="raw")
    assert "it takes one channel" in doctor(raw)["runs"].type_this


def test_settings_other_than_the_models_own_are_a_warning():
    model = timm.create_model("test_resnet", num_classes=5)
    diagnosis = doctor(model, preprocess=Preprocess(size=(64, 64)))
    assert alarms(diagnosis) == ["normalisation", "size"]
    assert all(check.status == "warn" for check in diagnosis.alarms)


# --- folders and the command line ---------------------------------------------------------------


def save(image: torch.Tensor, folder, name: str) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(folder / name)


def test_the_command_says_what_it_saw_and_exits_by_it(honest, photos, tmp_path):
    healthy = CliRunner().invoke(app, ["doctor", "pocket:honest"])
    assert healthy.exit_code == 0, healthy.output
    assert healthy.output.startswith("pocket:honest: nothing found.")
    for image, name in zip(*photos, strict=True):
        save(image, tmp_path / f"{honest.index(name) + 1:05d}", "a.png")
    done = CliRunner().invoke(app, ["doctor", "pocket:honest", "--images", str(tmp_path)])
    assert done.exit_code == 1, done.output
    assert "label order" in done.output.splitlines()[0]


def test_folders_named_by_numbers_are_names_first_and_indices_else(tmp_path):
    """A model trained with ImageFolder counts 0, 1, 10, 11, 2, ... and calls its classes so."""
    names = sorted(str(i) for i in range(12))
    images = torch.rand(24, 3, 4, 4, generator=torch.Generator().manual_seed(1)).round()
    truth = [i % 12 for i in range(24)]
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 12))
    with torch.no_grad():
        flat = torch.cat([images.flatten(1), torch.ones(24, 1)], 1)
        solved = torch.linalg.lstsq(flat, torch.eye(12)[truth]).solution
        model[1].weight.copy_(solved[:-1].T)
        model[1].bias.copy_(solved[-1])
    for n, (image, c) in enumerate(zip(images, truth, strict=True)):
        save(image, tmp_path / names[c], f"{n}.png")
    files, folders = read_folder(tmp_path)
    look = Preprocess(size=(4, 4))
    by_name = assert_healthy(model, files, folders, preprocess=look, labels=names)
    assert by_name.accuracy == 1
    at = [str(names.index(folder)) for folder in folders]
    assert_healthy(model, files, at, preprocess=look, labels=list("abcdefghijkl"))


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_a_folder_without_images_is_one_line_and_an_exit_code(folder, tmp_path):
    given = ["doctor", "pocket:honest", "--images", str(tmp_path / folder)]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 2
    assert "images=" in done.output


# --- images, labels and the result --------------------------------------------------------------


def test_images_come_in_many_kinds(honest, photos, tmp_path):
    images, names = photos[0][:6], photos[1][:6]
    files = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    pictures = [Image.fromarray(f) for f in files]
    pictures[0] = pictures[0].resize((50, 40))
    for i, picture in enumerate(pictures):
        picture.save(tmp_path / f"{i}.png")
    paths = [tmp_path / f"{i}.png" for i in range(len(pictures))]
    for some in (files, list(files), pictures, paths):
        assert assert_healthy(honest, some, names).images == len(names)


def test_labels_come_in_many_kinds_and_of_many_images_some_are_taken_with_theirs(honest, photos):
    images, names = photos
    index = [honest.index(name) for name in names]
    single = [torch.tensor(i) for i in index]
    for labels in (np.array(index), torch.tensor(index), single, np.array(names)):
        diagnosis = doctor(honest, images, labels, most=10)
        assert (diagnosis.images, diagnosis.accuracy, alarms(diagnosis)) == (10, 1, [])


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (None, ["stop"], "needs the images"),
        ([], ["stop"], "there are none"),
        (torch.rand(2, 3, 8, 8), ["stop"], "1 for 2 images"),
        (torch.rand(1, 3, 8, 8), ["stopp"], "nearest"),
        (torch.rand(1, 3, 8, 8), [99], "allowed are 0 to 42"),
        (torch.rand(1, 4, 8, 8), ["stop"], r"shape \(4, 8, 8\)"),
        (torch.full((1, 3, 8, 8), torch.nan), ["stop"], "not finite"),
        (["nowhere.png"], ["stop"], "no image that can be read"),
        ("nowhere.png", None, "give a list"),
        (5, None, "images=int: expected several"),
        ([(torch.rand(3, 8, 8), 1)], None, r"pair; give images=\[image for image, _ in pairs\]"),
        ([None], None, "one is a NoneType"),
        (torch.rand(1, 3, 8, 8), "stop", "truth='stop': expected an index or a name of each"),
        (torch.rand(1, 3, 8, 8), 5, "truth=5: expected an index or a name of each"),
    ],
)
def test_images_and_labels_that_are_not_usable_are_refused(honest, images, labels, says):
    with pytest.raises(InputError, match=says):
        doctor(honest, images, labels)


@pytest.mark.parametrize("most", [0, -1, 2.5, True])
def test_a_number_of_images_that_is_none_is_refused(honest, most):
    with pytest.raises(InputError, match=f"most={most}: expected a number"):
        doctor(honest, torch.rand(2, 3, 8, 8), most=most)


def test_the_result_reads_as_text_and_as_escaped_html():
    checks = (
        Check("channels", "ok", "fine"),
        Check("gradient", "warn", "<b>small</b>", "type & go"),
        Check("finite", "fail", "NaN", "load again"),
    )
    diagnosis = Diagnosis("<m>", checks, (Trial("channels", "<bgr>", 0.25, "do"),), 0.5, 8)
    text = str(diagnosis)
    assert text.splitlines()[0] == "<m>: look at finite, gradient."
    assert "type  load again" in text
    assert "why   One NaN ends a search." in text
    assert " 50.0%  as it is\n   25.0%  <bgr>" in text
    assert diagnosis["channels"].why not in text
    page = diagnosis_html(diagnosis)
    assert "<b>small" not in page
    for escaped in ("&lt;b&gt;small", "&lt;m&gt;", "&lt;bgr&gt;"):
        assert escaped in page
    with pytest.raises(KeyError, match="there are 'channels'"):
        diagnosis["nothing"]
