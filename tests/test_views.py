"""Held-out views keep an image's shape and change its pixels, the same way every time."""

from __future__ import annotations

import pytest
import torch

from inversion_kit.classifiers.views import VIEWS, View, check_views
from inversion_kit.errors import InputError


@pytest.fixture
def images():
    return torch.rand(3, 3, 16, 24)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_an_image_again_and_another_one(name, images):
    before = images.clone()
    seen = VIEWS[name](images)
    assert seen.shape == images.shape
    assert seen.dtype == images.dtype
    assert seen.min() >= 0
    assert seen.max() <= 1
    assert torch.equal(images, before)
    assert not torch.allclose(seen, images, atol=1 / 255)
    assert torch.equal(VIEWS[name](images), seen)


@pytest.mark.parametrize("name", VIEWS)
def test_an_image_is_seen_alone_as_among_others(name, images):
    assert torch.allclose(VIEWS[name](images)[1:2], VIEWS[name](images[1:2]), atol=1e-6)


@pytest.mark.parametrize("name", ["jpeg", "blur", "crop", "resize"])
def test_one_colour_stays_that_colour(name):
    plain = torch.full((1, 3, 32, 32), 128 / 255)
    assert torch.allclose(VIEWS[name](plain), plain, atol=1.5 / 255)


def test_crop_leaves_the_border_out():
    framed = torch.ones(1, 3, 32, 32)
    framed[..., 2:-2, 2:-2] = 0
    assert VIEWS["crop"](framed).abs().max() < 1e-6


def test_noise_has_its_strength_and_is_the_same_for_all_images():
    grain = VIEWS["noise"](torch.full((2, 3, 64, 64), 0.5)) - 0.5
    assert grain.std().item() == pytest.approx(8 / 255, rel=0.05)
    assert torch.equal(grain[0], grain[1])


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_of_a_classifier_scores_the_view_of_the_image(name, classifier, images):
    seen = View(classifier, name)
    assert seen.name == f"{name} of tiny"
    assert torch.equal(seen.logits(images), classifier.logits(VIEWS[name](images)))
    assert not torch.equal(seen.logits(images), classifier.logits(images))
    assert seen.labels == classifier.labels
    assert seen.hash == classifier.hash


@pytest.mark.parametrize(
    ("views", "says"), [("blur", r"\['blur'\]"), (["blurr"], "nearest"), (["blur"] * 2, "once")]
)
def test_views_that_are_none_are_refused(views, says):
    with pytest.raises(InputError, match=says):
        check_views(views)
