import dataclasses
import inspect
import json

import numpy as np
import pytest
import torch
import typer
from torch import nn

import inversion_kit
from inversion_kit import analysis
from inversion_kit.arms import check_arms
from inversion_kit.audits.bench import Bench
from inversion_kit.audits.invert import invert
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.classifiers.preprocess import Preprocess
from inversion_kit.cli import app
from inversion_kit.errors import InputError, LabelError, NumericalError
from inversion_kit.generators.convert import as_generator
from inversion_kit.progress import VIEWS
from inversion_kit.schema import validate
from inversion_kit.settings import Settings, _setting, _whole, documentation
from tests.results import views

HONEST = "pocket:honest"
SMALL = {
    "steps": 4,
    "batch": 2,
    "samples": 3,
    "validation": 3,
    "check_every": 2,
    "restarts": 1,
    "stop_at": 1.0,
    "progress": False,
}


def test_a_result_is_valid_and_holds_all_arms_and_steps(classifier, generator):
    tree = validate(invert(classifier, "dog", generator=generator, seeds=(0, 5), **SMALL))
    assert tree["samples"]["arm"].values.tolist() == ["name", "start", "token"]
    assert dict(tree["trajectory"].sizes) == {
        "label": 1,
        "arm": 3,
        "seed": 2,
        "step": 4,
        "sample": 2,
        "class": 4,
        "y": 16,
        "x": 16,
        "channel": 3,
    }
    searched = tree["trajectory"].sel(label="dog", arm="token")
    assert np.isfinite(searched["probability"].values).all()
    assert searched["image"].values.std() > 0
    assert np.isnan(tree["trajectory"]["probability"].sel(arm="name")).all()
    assert tree["validation"]["step"].sel(arm="token", check=0).values.tolist() == [[0, 0]]
    assert (tree["status"]["status"] == "done").all()


def test_the_same_seed_gives_the_same_result_and_another_seed_another(classifier, generator):
    one, same, other = (
        invert(classifier, "dog", generator=generator, seeds=[s], **SMALL) for s in (3, 3, 4)
    )
    for group in ("trajectory", "validation", "token", "probe", "samples"):
        assert one[group].to_dataset().identical(same[group].to_dataset()), group
    assert not np.array_equal(one["token"]["embedding"], other["token"]["embedding"])


def test_a_seed_does_not_depend_on_its_neighbours(classifier, generator):
    both = invert(classifier, "dog", generator=generator, seeds=(3, 4), **SMALL)
    alone = invert(classifier, "dog", generator=generator, seeds=[4], **SMALL)
    np.testing.assert_array_equal(
        both["samples"]["image"].sel(seed=4), alone["samples"]["image"].sel(seed=4)
    )


def test_the_start_arm_is_the_token_before_any_update(classifier, generator):
    tree = invert(classifier, "dog", generator=generator, **{**SMALL, "steps": 0, "restarts": 0})
    samples = tree["samples"].to_dataset()
    np.testing.assert_array_equal(
        samples["image"].sel(arm="start"), samples["image"].sel(arm="token")
    )
    assert tree["trajectory"].sizes["step"] == 0


def test_a_prompt_with_the_name_says_so_in_every_arm_with_a_token(classifier, generator):
    tree = invert(
        classifier, "dog", generator=generator, prompts="a photo of a {token} {name}", **SMALL
    )
    assert tree["samples"]["arm"].values.tolist() == ["name", "start", "token+name"]
    assert all("dog" in p for p in tree["samples"]["prompt"].values.ravel())
    assert json.loads(tree.attrs["settings"])["prompts"] == ["a photo of a {token} {name}"]


def test_the_settings_say_how_images_were_made(classifier, make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "pipe")
    own = as_generator(
        tmp_path / "pipe",
        num_inference_steps=2,
        height=16,
        width=32,
        dtype="bfloat16",
        call={"negative_prompt": "big"},
    )
    kept = json.loads(invert(classifier, "dog", generator=own, **SMALL).attrs["settings"])
    assert kept["sampler"] == own.sampler_facts()
    assert kept["sampler"]["call"] == {"height": 16, "width": 32, "negative_prompt": "big"}
    assert kept["generator_source"] == {"revision": None, "variant": None, "dtype": "bfloat16"}
    assert kept["dtype"] == "bfloat16"


def test_a_classifier_given_by_name_goes_where_the_generator_is(
    make_pipeline, make_classifier, tmp_path
):
    make_pipeline().save_pretrained(tmp_path / "pipe")
    elsewhere = as_generator(tmp_path / "pipe", device="meta")
    settings = Settings(views=[])
    for model, judges, wanted in (
        (HONEST, ["pocket:judge"], ["meta", "meta"]),
        ([HONEST], [as_classifier("pocket:judge")], ["meta", "cpu"]),
    ):
        bench = Bench.load(model, elsewhere, judges, check_arms(["name"]), settings)
        audited = [bench.classifier, *bench.judges]
        assert [next(one.model.parameters()).device.type for one in audited] == wanted


@pytest.mark.gpu
def test_what_is_given_by_name_runs_on_the_accelerator(make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "pipe")
    tree = invert(HONEST, "stop", generator=tmp_path / "pipe", judges=["pocket:judge"], **SMALL)
    place = torch.accelerator.current_accelerator().type
    assert tree.attrs["device"] == place
    assert np.isfinite(tree["samples"]["judge_probability"].values).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": -1}, "steps=-1"),
        ({"batch": 0}, "batch=0"),
        ({"batch": 2.5}, "batch=2.5"),
        ({"lr": 0}, "lr=0"),
        ({"stop_at": 1.5}, "stop_at=1.5"),
        ({"seeds": -1}, "seeds=-1"),
        ({"seeds": (1, 1)}, "different"),
        ({"seeds": ()}, "seeds"),
        ({"gradient": "sideways"}, "last_step"),
        ({"prompts": "a photo"}, "{token}"),
        ({"prompts": "a photo of a {token}" + " big" * 20}, "shorten"),
        ({"judges": "pocket:judge"}, "sequence"),
        ({"judges": ["pocket:judge"]}, "label names"),
        ({"judges": 3}, "judges=3: expected a sequence"),
        ({"prompts": 5}, "prompts=5: expected texts"),
    ],
)
def test_bad_input_is_refused_before_any_image(classifier, generator, settings, words):
    calls = []
    handle = generator.pipeline.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(InputError, match=words):
        invert(classifier, "dog", generator=generator, **{**SMALL, **settings})
    handle.remove()
    assert not calls


def broken(change):
    """The tiny classifier's kind of model with something done to its scores."""
    inner = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 4))
    return Classifier(
        lambda x: change(inner(x)),
        Preprocess(size=(12, 12)),
        ("cat", "dog", "big dog", "stop"),
        name="broken",
    )


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda out: out[:, :3], InputError, r"gave \(1, 3\) for 1 images and 4 labels"),
        (lambda out: out[None], InputError, "expected logits"),
        (lambda out: out.tolist(), InputError, "gave list"),
        (lambda out: out / 0, NumericalError, "not finite"),
        (lambda out: out.detach(), InputError, "no gradient comes back"),
        (lambda out: out.round(), InputError, "gradient is exactly zero"),
        (lambda out: out.abs().sqrt() * (out - out).sqrt(), NumericalError, "gradient is not"),
    ],
)
def test_a_classifier_that_cannot_serve_is_refused_before_any_image(
    generator, change, error, words
):
    calls = []
    handle = generator.pipeline.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(error, match=words):
        invert(broken(change), "dog", generator=generator, **SMALL)
    handle.remove()
    assert not calls


def test_an_unknown_label_names_the_nearest(classifier, generator):
    with pytest.raises(LabelError, match="'stop'"):
        invert(classifier, "stopp", generator=generator)


def test_a_name_free_token_reaches_a_class_of_the_pocket():
    tree = inversion_kit.invert(
        "pocket:honest",
        "stop",
        generator="pocket",
        judges=["pocket:judge"],
        samples=16,
        progress=False,
    )
    table = inversion_kit.success(tree)["share"].isel(label=0)
    assert table.sel(arm="token", scorer="pocket:honest") >= 0.7
    assert table.sel(arm="token", scorer="pocket:judge") >= 0.6
    assert table.sel(arm="start", scorer="pocket:honest") <= 0.3


def test_one_unit_is_the_same_by_invert_and_by_audit(classifier, generator, make_classifier):
    """One result shape: every number, sentence, figure and page is that of the other way."""
    arms = ["name", "start", "token", "shuffled"]
    judges = [make_classifier(5, "judge")]
    same = {"generator": generator, "judges": judges, "arms": arms, "seeds": [0, 3], **SMALL}
    alone = invert(classifier, "dog", **same)
    many = inversion_kit.audit(classifier, ["cat", "dog"], **same)
    for picked in (many.sel(label="dog"), many.sel(label=["dog"])):
        one = validate(picked)
        for group in ("trajectory", "validation", "token", "probe", "samples"):
            ours, theirs = (t[group].to_dataset(inherit=False) for t in (alone, one))
            for name in ours.variables:
                # The audit's other label may be longer: what it has more is filled.
                cut = theirs[name].isel({d: slice(0, n) for d, n in ours[name].sizes.items()})
                np.testing.assert_array_equal(ours[name].values, cut.values, err_msg=name)
        assert analysis.sentences(one) == analysis.sentences(alone)
        ours, theirs = analysis.numbers(alone), analysis.numbers(one)
        for key in ("created", "seconds", "settings", "code"):
            ours.pop(key), theirs.pop(key)
        assert ours == theirs
    assert views(many.sel(label="dog")) == views(alone)


class Stopping:
    """A view whose user presses Stop after some calls, once or twice."""

    def __init__(self, *at):
        self.at, self.calls, self.said = at, 0, []

    def __call__(self, **_):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    @property
    def stop(self):
        self.calls += 1
        return self.calls in self.at

    def show(self, seen):
        self.said.append(seen)

    def sampling(self, done, total, arm, stopped):
        self.said.append(arm)

    def finish(self, message):
        self.said.append(message)


@pytest.fixture
def stopping(monkeypatch):
    def at(*calls):
        view = Stopping(*calls)
        monkeypatch.setitem(VIEWS, "test", lambda: view)
        return view

    return at


def test_what_was_seen_before_a_stop_is_kept_and_its_images_are_made(
    classifier, generator, stopping
):
    view = stopping(4)  # the first check, two updates, the second check
    tree = invert(classifier, "dog", generator=generator, seeds=2, **{**SMALL, "progress": "test"})
    assert tree.attrs["stopped"] == "by the user after 2 updates of run 0; without run 1"
    states = tree["status"]["status"].sel(label="dog")
    assert states.sel(seed=0).values.tolist() == ["done"] * 3
    assert states.sel(seed=1).values.tolist() == ["missing"] * 3
    assert view.said[-4:-1] == ["token", "name", "start"]
    assert "Stopped by you" in view.said[-1]


def test_a_second_stop_skips_the_images_that_are_left(classifier, generator, stopping):
    stopping(4, 6)
    tree = invert(classifier, "dog", generator=generator, **{**SMALL, "progress": "test"})
    assert tree.attrs["stopped"].endswith("without final images of name, start")
    states = dict(
        zip(
            tree["arm"].values if "arm" in tree else tree["status"]["arm"].values,
            tree["status"]["status"].values.ravel(),
            strict=True,
        )
    )
    assert states == {"name": "missing", "start": "missing", "token": "done"}
    stopping(4, 5)
    tree = invert(classifier, "dog", generator=generator, **{**SMALL, "progress": "test"})
    assert tree["status"]["status"].sel(arm="token").item() == "stopped"
    assert tree["validation"]["probability"].sel(arm="token").notnull().any()
    assert analysis.sentences(tree)


def test_an_unknown_view_names_those_there_are(classifier, generator):
    with pytest.raises(InputError, match=r"progress='x': must be one of True, False, 'widget'"):
        invert(classifier, "dog", generator=generator, **{**SMALL, "progress": "x"})


def test_one_line_adds_a_setting_everywhere(classifier, generator):
    """A field is seen by both calls, the command line, the plan, a result and its code."""
    names = {field.name for field in dataclasses.fields(Settings)}
    for call in (inversion_kit.invert, inversion_kit.audit):
        taken = inspect.signature(call).parameters
        assert names <= set(taken)
        assert all(taken[f.name].default == f.default for f in dataclasses.fields(Settings))
        assert all(f"    {name}\n" in call.__doc__ for name in names)
    assert set(documentation()) == names
    stored = {field.name for field in dataclasses.fields(Settings) if field.metadata["stored"]}
    for command in ("invert", "audit"):
        options = {one.name for one in typer.main.get_command(app).commands[command].params}
        assert stored <= options
    tree = invert(classifier, "dog", generator=generator, **{**SMALL, "steps": 0, "restarts": 0})
    assert stored <= set(json.loads(tree.attrs["settings"]))
    added = dataclasses.make_dataclass(
        "Settings", [("extra", int, _setting(3, _whole(1)))], bases=(Settings,), frozen=True
    )
    assert added().plain()["extra"] == 3
    assert added(extra=5).changed() == {"extra": 5}
    with pytest.raises(InputError, match="extra=0"):
        added(extra=0)
