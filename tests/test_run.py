import json

import numpy as np
import pytest
from torch import nn

import inversion_kit
from inversion_kit.classifiers.base import Classifier, Preprocess
from inversion_kit.errors import InputError, LabelError, NumericalError
from inversion_kit.schema import validate
from inversion_kit.search.run import ARMS, invert

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
