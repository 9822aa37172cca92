"""The doctor: each planted fault is found, healthy models raise no alarm, nothing is changed."""

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

from inversion_kit.classifiers.base import Classifier, Preprocess, as_classifier
from inversion_kit.classifiers.checkup import doctor, read_folder
from inversion_kit.classifiers.diagnosis import Check, Diagnosis, Trial
from inversion_kit.classifiers.preprocess import whole_bytes
from inversion_kit.cli import app
from inversion_kit.errors import InputError
from inversion_kit.generators.base import as_generator

COUNT = 32


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


def with_look(honest: Classifier, **changes) -> Classifier:
    look = replace(honest.preprocess, **changes)
    return Classifier(honest.model, look, honest.labels, name="changed")


def with_model(honest: Classifier, make, **settings) -> Classifier:
    """The honest classifier with something around a copy of its network."""
    model = make(copy.deepcopy(honest.model))
    return Classifier(model, honest.preprocess, honest.labels, name="changed", **settings)


class Around(nn.Module):
    """A network with a function around it."""

    def __init__(self, inner, function):
        super().__init__()
        self.inner, self.function = inner, function

    def forward(self, images):
        return self.function(self.inner, images)


def alarms(found: Diagnosis) -> list[str]:
    return [check.name for check in found.alarms]


# --- healthy ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["honest", "judge", "backdoored", "shortcut"])
def test_the_shipped_classifiers_are_healthy(name, photos):
    found = doctor(f"pocket:{name}")
    assert found.healthy, str(found)
    images, labels = photos
    found = doctor(f"pocket:{name}", images, labels, most=12)
    assert found.healthy, str(found)
    assert found.accuracy >= 0.8


def test_healthy_models_of_other_kinds_raise_no_alarm(honest, photos):
    model = timm.create_model("test_resnet", num_classes=5)
    assert doctor(model).healthy
    assert doctor([honest, "pocket:judge"], *photos, most=8).healthy

    def top(files):
        images = torch.from_numpy(files).permute(0, 3, 1, 2) / 255
        return honest.logits(images).argmax(1)

    box = as_classifier(top, black_box=True, labels=honest.labels)
    found = doctor(box, *photos, most=8)
    assert found.healthy, str(found)
    assert found["gradient"].status == "skip"
    assert "cma" in found["gradient"].type_this
    yes = nn.Sequential(nn.Flatten(), nn.Linear(48, 1))
    assert doctor(yes, preprocess=Preprocess(size=(4, 4))).healthy


def test_one_logit_that_says_no_to_everything_is_healthy():
    model = timm.create_model("test_resnet", num_classes=1)
    with torch.no_grad():
        model.fc.bias -= 5
    found = doctor(model, class_names=["healthy", "ill"])
    assert found.healthy, str(found)


def test_an_untrained_relu_at_the_end_is_no_sigmoid():
    model = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(192, 20), nn.ReLU())
    with torch.no_grad():
        model[2].weight *= 0.1
    found = doctor(model, preprocess=Preprocess(size=(16, 16)))
    assert found.healthy, str(found)


def test_a_healthy_model_is_not_asked_for_what_cannot_be_better(honest, photos):
    """Twelve wrong of many: only they are asked of the alternatives, and none wins enough."""
    asked = []

    def counted(inner, images):
        asked.append(len(images))
        return inner(images)

    images, names = photos
    model = with_model(honest, lambda m: Around(m, counted))
    labels = [honest.labels[5]] * 12 + names[12:]
    before = len(images) + 2 * 16 + 1 + 2 + 2
    assert doctor(model, images, names).healthy
    assert sum(asked) == before
    asked.clear()
    found = doctor(model, images, labels)
    assert found.healthy, str(found)
    assert before < sum(asked) <= before + 12 * 10
    assert "no alternative could be clearly better" in found["channels"].seen


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


COLOURS = ["red", "green", "blue"]
SPOTS = Preprocess(size=(16, 16))


@pytest.mark.parametrize("one", [True, False])
def test_two_classes_that_are_always_right_are_healthy(one):
    found = doctor(Colours(2, one), *spots(20, 2), preprocess=SPOTS, class_names=COLOURS[:2])
    assert found.healthy, str(found)
    assert found.accuracy == 1


def test_three_classes_far_above_chance_are_healthy():
    images, truth = spots(30, 3)
    truth = [c if i < 18 else (c + 1 + i % 2) % 3 for i, c in enumerate(truth)]
    found = doctor(Colours(3), images, truth, preprocess=SPOTS, class_names=COLOURS)
    assert found.healthy, str(found)
    assert found["accuracy"].seen == "18 of 30 right"


def test_two_classes_at_chance_are_found():
    images, truth = spots(20, 2)
    some = [c if i < 10 else 1 - c for i, c in enumerate(truth)]
    found = doctor(Colours(2), images, some, preprocess=SPOTS, class_names=COLOURS[:2])
    assert alarms(found) == ["accuracy"]
    assert (found["accuracy"].status, found["accuracy"].seen) == (
        "fail", "10 of 20 right: hardly more than chance",
    )  # fmt: skip
    few = [c if i < 6 else 1 - c for i, c in enumerate(truth[:8])]
    found = doctor(Colours(2), images[:8], few, preprocess=SPOTS, class_names=COLOURS[:2])
    assert (found["accuracy"].status, alarms(found)) == ("warn", ["accuracy"])
    assert "give more labelled images" in found["accuracy"].type_this


@pytest.mark.parametrize("one", [True, False])
def test_two_names_the_other_way_round_are_found(one):
    images, truth = spots(20, 2)
    turned = [COLOURS[1 - c] for c in truth]
    found = doctor(Colours(2, one), images, turned, preprocess=SPOTS, class_names=COLOURS[:2])
    assert set(alarms(found)) == {"label order", "accuracy"}
    assert found.best.change == "the two names the other way round"
    labels = COLOURS[:2]
    mended = eval(found.best.type_this, {  # what the doctor says to type
        "as_classifier": lambda model, labels: as_classifier(
            model, labels=labels, preprocess=SPOTS
        ),
        "model": Colours(2, one), "labels": labels,
    })  # fmt: skip
    assert doctor(mended, images, turned).healthy


def test_an_alternative_no_better_than_chance_is_not_named():
    """Nothing is right, and with names one place later half of three classes: too little."""
    images, colours = spots(30, 3)
    either = [(1, 0, 1), (2, 0, 0)]
    truth = [either[i % 2][c] for i, c in enumerate(colours)]
    found = doctor(Colours(3), images, truth, preprocess=SPOTS, class_names=COLOURS)
    assert (found.accuracy, found.best.accuracy) == (0, 0.5)
    assert alarms(found) == ["accuracy"]
    assert found["accuracy"].seen == "0 of 30 right: hardly more than chance"


def test_a_model_is_left_as_it_came():
    model = timm.create_model("test_resnet", num_classes=5).train()
    weights = copy.deepcopy(model.state_dict())
    found = doctor(model)
    assert "came in train mode" in found["mode"].seen
    assert all(m.training for m in model.modules())
    assert all(p.requires_grad for p in model.parameters())
    assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())


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
def test_wrong_preprocessing_is_found_and_the_best_alternative_named(
    honest, photos, changes, check, says
):
    found = doctor(with_look(honest, **changes), *photos)
    assert set(alarms(found)) == {check, "accuracy"}
    assert says in found[check].seen
    assert found.best.accuracy > found.accuracy + 0.2
    assert "Preprocess(" in found["accuracy"].type_this


@pytest.mark.parametrize("step", [1, -1])
def test_names_off_by_one_are_found(honest, photos, step):
    names = np.roll(honest.labels, step).tolist()
    wrong = Classifier(honest.model, honest.preprocess, names, name="shifted")
    found = doctor(wrong, *photos)
    assert set(alarms(found)) == {"label order", "accuracy"}
    assert f"one place {'later' if step == -1 else 'earlier'}" in found["label order"].seen
    assert found.best.accuracy > 0.9


def test_labels_that_count_from_one_are_found(honest, photos):
    images, names = photos
    found = doctor(honest, images, [honest.index(name) + 1 for name in names])
    assert set(alarms(found)) == {"label order", "accuracy"}


def test_outputs_in_another_order_than_the_names_are_found(honest, photos):
    order = torch.tensor(sorted(range(43), key=lambda i: honest.labels[i]))
    wrong = with_model(honest, lambda m: Around(m, lambda inner, x: inner(x)[:, order]))
    found = doctor(wrong, *photos)
    assert set(alarms(found)) == {"label order", "accuracy"}
    assert "sorted(labels)" in found["label order"].type_this


def test_a_model_that_knows_nothing_is_found(honest, photos):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 43))
    found = doctor(Classifier(model, honest.preprocess, honest.labels, name="new"), *photos)
    assert found["accuracy"].status == "fail"
    assert "hardly more than chance" in found["accuracy"].seen


def test_a_few_photographs_are_enough_to_be_warned(honest, photos):
    """Three are too few to be sure of, but nobody is told that none right is well."""
    few = [part[:3] for part in photos]
    healthy = doctor(honest, *few)
    assert healthy.healthy, str(healthy)
    wrong = with_look(honest, mean=(0.0,) * 3, std=(1 / 255,) * 3)
    found = doctor(wrong, *few)
    assert set(alarms(found)) == {"value range", "accuracy"}
    assert {found["value range"].status, found["accuracy"].status} == {"warn"}
    assert "give more labelled images" in found["accuracy"].type_this
    assert "Preprocess(" in found["accuracy"].type_this
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 43))
    found = doctor(Classifier(model, honest.preprocess, honest.labels, name="new"), *few)
    assert alarms(found) == ["accuracy"]
    assert found["accuracy"].seen == "0 of 3 right"


def test_a_wrong_function_of_preprocessing_is_found_too(honest, photos):
    def turned(images):
        return honest.preprocess(images.flip(1))

    found = doctor(Classifier(honest.model, turned, honest.labels, name="turned"), *photos)
    assert set(alarms(found)) == {"channels", "accuracy"}


# --- planted faults that need no labels ---------------------------------------------------------


def test_mean_and_std_of_0_to_255_are_found(honest, photos):
    wrong = with_look(honest, mean=(89.0, 84.0, 87.0), std=(69.0, 66.0, 69.0))
    assert alarms(doctor(wrong))[0] == "value range"
    found = doctor(wrong, *photos)
    assert "value range" in alarms(found)
    assert found.best.change == "mean and std divided by 255"


@pytest.mark.parametrize(
    ("change", "do"), [(lambda x: x * 255, "/ 255"), (lambda x: x * 2 - 1, "+ 1")]
)
def test_images_of_another_range_are_found(honest, photos, change, do):
    images, names = photos
    found = doctor(honest, change(images), names)
    assert alarms(found) == ["images"]
    assert do in found["images"].type_this


def test_train_mode_is_found(honest):
    wrong = with_model(honest, lambda m: m)
    wrong.model.train()
    found = doctor(wrong)
    assert "mode" in alarms(found)
    assert "BatchNorm2d" in found["mode"].seen
    assert found["mode"].type_this == "classifier.model.eval()"


def test_batch_norm_without_running_statistics_is_found(honest):
    def bare(model):
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean = layer.running_var = None
                layer.track_running_stats = False
        return model

    assert "one at a time" in alarms(doctor(with_model(honest, bare)))


def test_dropout_that_never_stops_is_found(honest):
    wrong = with_model(honest, lambda m: Around(m, lambda inner, x: F.dropout(inner(x), 0.3)))
    assert "determinism" in alarms(doctor(wrong))


@pytest.mark.parametrize(
    ("function", "do"),
    [(lambda x: x.softmax(1), "head='probability'"), (torch.sigmoid, "head='sigmoid'")],
)
def test_probabilities_in_place_of_logits_are_found(honest, function, do):
    wrong = with_model(honest, lambda m: Around(m, lambda inner, x: function(inner(x))))
    found = doctor(wrong)
    assert alarms(found) == ["logits"]
    assert do in found["logits"].type_this
    declared = with_model(
        honest, lambda m: Around(m, lambda inner, x: inner(x).softmax(1)), head="probability"
    )
    assert doctor(declared).healthy


def test_names_that_do_not_fit_the_outputs_are_found(honest):
    found = doctor(honest.model, preprocess=honest.preprocess, class_names=honest.labels[:42])
    assert alarms(found) == ["classes"]
    short = Classifier(honest.model, honest.preprocess, honest.labels[:42], name="short")
    found = doctor(short)
    assert alarms(found) == ["classes"]
    assert "42 label names" in found["classes"].seen


def test_a_constant_output_is_found(honest):
    def dead(model):
        nn.init.zeros_(model.fc.weight)
        return model

    found = doctor(with_model(honest, dead))
    assert set(alarms(found)) == {"constant output", "gradient"}


def test_weights_and_scores_that_are_not_finite_are_found(honest):
    def broken(model):
        model.fc.weight[0, 0] = torch.nan
        return model

    found = doctor(with_model(honest, broken))
    assert alarms(found) == ["finite"]
    assert "fc.weight" in found["finite"].seen

    def spread(inner, images):
        return inner(images) / images.std((1, 2, 3), keepdim=True)[:, :, 0, 0]

    def flat(inner, images):
        return inner(images) / (images - images[:, :, :1, :1]).abs().amax((1, 2, 3))[:, None]

    assert doctor(with_model(honest, lambda m: Around(m, spread))).healthy
    assert alarms(doctor(with_model(honest, lambda m: Around(m, flat)))) == ["finite"]


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda inner, x: inner(x).detach(), "no gradient"),
        (lambda inner, x: inner(x.round()), "zero everywhere"),
        (lambda inner, x: torch.from_numpy(inner(x).detach().numpy()), "no gradient"),
    ],
)
def test_a_gradient_that_does_not_arrive_is_found(honest, function, says):
    found = doctor(with_model(honest, lambda m: Around(m, function)))
    assert alarms(found) == ["gradient"]
    assert says in found["gradient"].seen


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64])
def test_another_precision_is_found(honest, kind):
    found = doctor(with_model(honest, lambda m: m.to(kind)))
    assert alarms(found) == ["dtype and device"]
    assert str(kind).removeprefix("torch.") in found["dtype and device"].seen


def test_a_size_that_the_model_cannot_take_is_found():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))
    found = doctor(model, preprocess=Preprocess(size=(9, 9)))
    assert alarms(found) == ["runs"]
    assert "9 x 9" in found["runs"].seen
    bad = Classifier(model, Preprocess(size=(9, 9)), ["a", "b", "c"], name="bad")
    assert alarms(doctor(bad)) == ["runs"]


def test_what_to_type_fits_what_is_wrong():
    """A model that cannot be made a classifier: the advice is about that, and can be typed."""
    found = doctor("nobody/nothing")["runs"]
    assert "could not be loaded" in found.seen
    assert found.type_this == "without a network give a local folder, or the loaded model itself"
    found = doctor(lambda x: x)["runs"]
    assert "as_classifier(function, preprocess=Preprocess(size=...))" in found.type_this
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.BatchNorm1d(4))
    found = doctor(lambda x: model(x), preprocess=Preprocess(size=(4, 4)))["runs"]
    assert "when training" in found.seen
    assert found.type_this.startswith("model.eval()")


@pytest.mark.parametrize(
    "model",
    [
        timm.create_model("test_resnet", num_classes=5, in_chans=1),
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5)),
    ],
)
def test_a_model_of_one_channel_is_told_how_to_be_fed(model):
    look = None if hasattr(model, "pretrained_cfg") else Preprocess(size=(8, 8), mean=(0.4,) * 3)
    found = doctor(model, preprocess=look)["runs"]
    assert "it takes one channel" in found.type_this
    given = {
        "model": model, "as_classifier": as_classifier, "Preprocess": Preprocess,
        "rgb_to_grayscale": rgb_to_grayscale,
    }  # fmt: skip
    mended = eval(found.type_this, given)  # what the doctor says to type
    images = torch.rand(2, 3, 20, 20)
    if look is not None:
        wanted = model(rgb_to_grayscale(look(whole_bytes(images))))
        assert torch.allclose(mended.logits(images), wanted)
    assert doctor(mended).healthy, str(doctor(mended))
    raw = Classifier(model, Preprocess(size=(8, 8)), list("abcde"), name="raw")
    assert "it takes one channel" in doctor(raw)["runs"].type_this


def test_settings_other_than_the_models_own_are_told():
    model = timm.create_model("test_resnet", num_classes=5)
    found = doctor(model, preprocess=Preprocess(size=(64, 64)))
    assert alarms(found) == ["normalisation", "size"]
    assert all(check.status == "warn" for check in found.alarms)


# --- the command line ---------------------------------------------------------------------------


def test_the_command_says_what_it_found_and_exits_by_it(honest, photos, tmp_path):
    healthy = CliRunner().invoke(app, ["doctor", "pocket:honest"])
    assert healthy.exit_code == 0, healthy.output
    assert healthy.output.startswith("pocket:honest: nothing found.")
    for image, name in zip(*photos, strict=True):
        file = tmp_path / f"{honest.index(name) + 1:05d}" / "a.png"
        file.parent.mkdir()
        Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(file)
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

    def saved(called):
        for n, (image, c) in enumerate(zip(images, truth, strict=True)):
            (tmp_path / called[c]).mkdir(exist_ok=True, parents=True)
            file = Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy())
            file.save(tmp_path / called[c] / f"{n}.png")
        return read_folder(tmp_path)

    look = Preprocess(size=(4, 4))
    by_name = doctor(model, *saved(names), preprocess=look, class_names=names)
    assert by_name.healthy, str(by_name)
    assert by_name.accuracy == 1
    letters = list("abcdefghijkl")
    (images_of, folders) = read_folder(tmp_path)
    at = [str(names.index(folder)) for folder in folders]
    by_index = doctor(model, images_of, at, preprocess=look, class_names=letters)
    assert by_index.healthy, str(by_index)


@pytest.mark.parametrize("make", ["nothing", "empty"])
def test_a_folder_without_images_is_one_line_and_an_exit_code(make, tmp_path):
    folder = tmp_path if make == "empty" else tmp_path / "nowhere"
    done = CliRunner().invoke(app, ["doctor", "pocket:honest", "--images", str(folder)])
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
        found = doctor(honest, some, names)
        assert found.healthy, str(found)
        assert found.images == len(names)


@pytest.mark.parametrize("kind", ["array", "tensor", "tensors", "names"])
def test_labels_come_in_many_kinds(honest, photos, kind):
    images, names = photos[0][:6], photos[1][:6]
    index = [honest.index(name) for name in names]
    labels = {
        "array": np.array(index), "tensor": torch.tensor(index), "names": np.array(names),
        "tensors": [torch.tensor(i) for i in index],
    }[kind]  # fmt: skip
    found = doctor(honest, images, labels)
    assert found.healthy, str(found)
    assert found.accuracy == 1


def test_of_many_images_some_are_taken_with_their_labels(honest, photos):
    images, names = photos
    found = doctor(honest, images, names, most=10)
    assert found.images == 10
    assert found.accuracy == 1


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (None, ["stop"], "need the images"),
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
        (torch.rand(1, 3, 8, 8), "stop", "labels='stop': expected an index or a name of each"),
        (torch.rand(1, 3, 8, 8), 5, "labels=5: expected an index or a name of each"),
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
        Check("channels", "ok", "fine", "matters"),
        Check("gradient", "warn", "<b>small</b>", "it steers", "type & go"),
        Check("finite", "fail", "NaN", "it ends a search", "load again"),
    )
    found = Diagnosis("<m>", checks, (Trial("channels", "<bgr>", 0.25, "do"),), 0.5, 8)
    text = str(found)
    assert text.splitlines()[0] == "<m>: look at finite, gradient."
    assert "type  load again" in text
    assert "50.0%  as it is" in text
    assert "matters" not in text
    page = found._repr_html_()
    assert "<b>small" not in page
    assert "&lt;b&gt;small" in page
    assert "&lt;m&gt;" in page
    assert "&lt;bgr&gt;" in page
    with pytest.raises(KeyError, match="there are 'channels'"):
        found["nothing"]
