import json

import numpy as np
import pytest
import torch
from torch import nn

import inversion_kit
from inversion_kit.audits.executors import Spec
from inversion_kit.classifiers.base import Classifier, Preprocess, as_classifier
from inversion_kit.errors import InputError, LabelError, NumericalError
from inversion_kit.generators.base import as_generator
from inversion_kit.schema import validate
from inversion_kit.search.arguments import follow
from inversion_kit.search.identity import sampler
from inversion_kit.search.run import ARMS, invert

HONEST = "pocket:honest"
SMALL = {
    "steps": 4, "batch": 2, "samples": 3, "validation": 3, "check_every": 2, "restarts": 1,
    "stop_at": 1.0, "progress": False,
}  # fmt: skip


def test_a_result_is_valid_and_holds_all_arms_and_steps(classifier, generator):
    tree = validate(invert(classifier, "dog", generator=generator, seed=(0, 5), **SMALL))
    assert tree["samples"]["arm"].values.tolist() == list(ARMS)
    assert dict(tree["trajectory"].sizes) == {
        "seed": 2, "step": 4, "sample": 2, "class": 4, "y": 16, "x": 16, "channel": 3,
    }  # fmt: skip
    assert np.isfinite(tree["trajectory"]["probability"].values).all()
    assert tree["validation"]["step"].values[0].tolist()[0] == 0
    assert tree["trajectory"]["image"].values.std() > 0


def test_the_same_seed_gives_the_same_result_and_another_seed_another(classifier, generator):
    one, same, other = (
        invert(classifier, "dog", generator=generator, seed=s, **SMALL) for s in (3, 3, 4)
    )
    for group in ("trajectory", "validation", "token", "probe", "samples"):
        assert one[group].to_dataset().identical(same[group].to_dataset()), group
    assert not np.array_equal(one["token"]["embedding"], other["token"]["embedding"])


def test_a_seed_does_not_depend_on_its_neighbours(classifier, generator):
    both = invert(classifier, "dog", generator=generator, seed=(3, 4), **SMALL)
    alone = invert(classifier, "dog", generator=generator, seed=4, **SMALL)
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
    assert all("dog" in p for p in tree["samples"]["prompt"].values.ravel())
    assert json.loads(tree.attrs["settings"])["prompts"] == ["a photo of a {token} {name}"]


def test_the_settings_say_how_images_were_made(classifier, make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "pipe")
    own = as_generator(
        tmp_path / "pipe", num_inference_steps=2, height=16, width=32, dtype="bfloat16",
        call={"negative_prompt": "big"},
    )  # fmt: skip
    kept = json.loads(invert(classifier, "dog", generator=own, **SMALL).attrs["settings"])
    assert kept["sampler"] == sampler(own)
    assert kept["sampler"]["call"] == {"height": 16, "width": 32, "negative_prompt": "big"}
    assert kept["source"] == {"revision": None, "variant": None, "dtype": "bfloat16"}
    assert (kept["dtype"], kept["device"]) == ("bfloat16", "cpu")


def test_a_classifier_given_by_name_goes_where_the_generator_is(
    make_pipeline, make_classifier, tmp_path
):
    make_pipeline().save_pretrained(tmp_path / "pipe")
    elsewhere = as_generator(tmp_path / "pipe", device="meta")
    named, ensemble, own = (as_classifier(m) for m in (HONEST, [HONEST], make_classifier()))
    for given, one in ((HONEST, named), ([HONEST], ensemble), (own, own)):
        follow(elsewhere, given, one)
    places = [next(one.model.parameters()).device.type for one in (named, ensemble, own)]
    assert places == ["meta", "meta", "cpu"]
    bench = Spec("", HONEST, elsewhere, [HONEST, own], (), {}, None, samples=1).load()
    audited = [bench.classifier, *bench.judges]
    places = [next(one.model.parameters()).device.type for one in audited]
    assert places == ["meta", "meta", "cpu"]


@pytest.mark.gpu
def test_what_is_given_by_name_runs_on_the_accelerator(make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "pipe")
    tree = invert(HONEST, "stop", generator=tmp_path / "pipe", judges=["pocket:judge"], **SMALL)
    place = torch.accelerator.current_accelerator().type
    assert json.loads(tree.attrs["settings"])["device"] == place
    assert np.isfinite(tree["samples"]["judge_probability"].values).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": -1}, "steps=-1"),
        ({"batch": 0}, "batch=0"),
        ({"batch": 2.5}, "batch=2.5"),
        ({"lr": 0}, "lr=0"),
        ({"stop_at": 1.5}, "stop_at=1.5"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": (1, 1)}, "different"),
        ({"seed": ()}, "seed"),
        ({"gradient": "sideways"}, "last_step"),
        ({"prompts": "a photo"}, "{token}"),
        ({"prompts": "a photo of a {token}" + " big" * 20}, "shorten"),
        ({"judges": "pocket:judge"}, "sequence"),
        ({"judges": ["pocket:judge"]}, "label names"),
        ({"judges": nn.Sequential(nn.Flatten())}, r"judges=Sequential\([^;]*expected a sequence"),
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
        lambda x: change(inner(x)), Preprocess(size=(12, 12)), ("cat", "dog", "big dog", "stop"),
        name="broken",
    )  # fmt: skip


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
    table = inversion_kit.success(tree)["success"]
    assert table.sel(arm="token", scorer="pocket:honest") >= 0.7
    assert table.sel(arm="token", scorer="pocket:judge") >= 0.6
    assert table.sel(arm="start", scorer="pocket:honest") <= 0.3
