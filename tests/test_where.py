"""Where a cue acts: maps over a finding's pictures, by captum, and how they are drawn."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from inversion_kit import analysis, figures
from inversion_kit.analysis.where import where_words
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.preprocess import Preprocess
from inversion_kit.errors import InputError
from inversion_kit.finding.where import PICTURES, SIDE, where
from inversion_kit.testing import synthetic, synthetic_findings

LABELS = ["dark", "corner", "bright"]


class Toy(nn.Module):
    """Reads "corner" where the blue at the top left is high, and is bent like a network."""

    def forward(self, images):
        corner = images[:, 2, :4, :4].mean((1, 2))
        light = images.mean((1, 2, 3))
        return torch.stack([1 - 5 * light, 6 * corner**2 * (1 + light), 2 * light - 0.5], 1)


def toy(**given):
    return Classifier(Toy(), Preprocess(), LABELS, name="toy", **given)


def pictures(side=16, sources=2, noises=3, seed=0):
    """Dark noise, and the same with a blue corner and a red stripe that means nothing."""
    plain = np.random.default_rng(seed).integers(0, 60, (sources, noises, side, side, 3), "u1")
    plain[..., 2] = plain[..., 2] // 4
    painted = plain.copy()
    painted[:, :, :4, :4] = 0, 0, 255
    painted[:, :, -3:, :, 0] = 200
    return plain, painted


def test_maps_share_out_exactly_what_the_cue_changed():
    plain, painted = pictures()
    found = where(toy(), plain, painted, [0, 0], 1, push=True)
    change = (painted.astype("f4") - plain) / 255
    assert found.difference == pytest.approx(change.mean((0, 1)), abs=1e-6)
    logits = [
        Toy()(torch.from_numpy(x.reshape(6, 16, 16, 3)).permute(0, 3, 1, 2) / 255)
        for x in (plain, painted)
    ]
    gap = float(((logits[1] - logits[0]) @ torch.tensor([-1.0, 1.0, 0.0])).mean())
    assert found.attribution.sum() == pytest.approx(gap, rel=0.02)
    assert found.attribution[:4, :4].sum() > 0.9 * gap > 1
    assert found.attribution[6:12].any() == False  # noqa: E712 - nothing changed there
    assert found.pictures == 6
    assert found.by.startswith("Integrated Gradients")
    assert found.share_of_attribution > 0.9 > 0.7 > found.share_of_change


def test_black_box_is_occluded_by_the_plain_picture():
    plain, painted = pictures()
    found = where(toy(differentiable=False), plain, painted, [0, 0], 1, push=True)
    assert "Occlusion" in found.by
    assert "black box" in found.by
    at = np.unravel_index(found.attribution.argmax(), found.attribution.shape)
    assert max(at) < 4
    assert found.attribution[6:12, 6:].max() < 0.05 * found.attribution.max()


def test_a_network_that_cuts_its_gradient_is_occluded_and_it_says_why():
    class Cut(Toy):
        def forward(self, images):
            return super().forward(images.detach())

    plain, painted = pictures()
    classifier = Classifier(Cut(), Preprocess(), LABELS, name="cut")
    found = where(classifier, plain, painted, [0, 0], 1, push=True)
    assert "Occlusion" in found.by
    assert "no gradient" in found.by


def test_of_a_lack_the_score_is_that_of_what_it_is_read_as():
    plain, painted = pictures(sources=1)
    found = where(toy(), plain, painted, [0], 0, push=False)
    assert found.pictures == 3
    assert found.attribution[:4, :4].sum() > 1  # from "dark" to "corner", the nearest
    assert where(toy(), plain, painted, [2], 0, push=False) is None  # others' pictures


def test_only_pictures_that_are_read_right_count():
    plain, painted = pictures(noises=12)
    plain[0] = 255
    found = where(toy(), plain, painted, [0, 0], 1, push=True)
    assert found.pictures == 12
    assert where(toy(), plain[:1], painted[:1], [0], 1, push=True) is None
    assert where(toy(), *pictures(noises=12), [0, 0], 1, push=True).pictures == PICTURES


@pytest.mark.parametrize("differentiable", [True, False])
def test_large_pictures_give_small_maps(differentiable):
    plain, painted = pictures(side=150, sources=1, noises=1)
    wide = [images[:, :, :, :75] for images in (plain, painted)]
    found = where(toy(differentiable=differentiable), *wide, [0], 1, push=True)
    assert found.attribution.shape == (SIDE, SIDE // 2)
    assert found.difference.shape == (SIDE, SIDE // 2, 3)


def drawn(one) -> np.ndarray:
    image = Image.open(io.BytesIO(base64.b64decode(one["source"].split(",")[1])))
    return np.asarray(image.convert("RGB")).astype(int)


def test_figure_is_grey_where_nothing_changed_and_bright_where_it_counts():
    tree = synthetic_findings(synthetic(), size=32)
    data = analysis.where(tree)
    spec = figures.where_spec(data)
    change, counts = (drawn(one) for one in spec["layout"]["images"])
    assert np.abs(change[-1, -1] - 127).max() <= 1
    assert np.abs(change[2, 2] - 127).max() > 60
    assert counts[2, 2].sum() > counts[-1, -1].sum() + 150
    assert "Mean over 16 pictures" in spec["layout"]["title"]["subtitle"]["text"]
    assert "a made-up method" in where_words(data)


def test_a_finding_without_maps_is_refused_with_those_that_have_some():
    tree = synthetic_findings(synthetic(), confirmed=1, unsure=1)
    with pytest.raises(InputError, match=r"finding=1: it has no maps; try .*of \[0\]"):
        analysis.where(tree, 1)
    with pytest.raises(InputError, match=r"inversion_kit\.findings\(tree\)"):
        analysis.where(synthetic())
