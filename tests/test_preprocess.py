"""Preprocessing against the libraries' own paths on files: every filter, crop and direction."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import InterpolationMode, v2

from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.classifiers.preprocess import Preprocess, parity, resize_matrix, whole_bytes
from inversion_kit.errors import InputError

FILTERS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
FLOAT = (v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True))
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
SHAPES = [(48, 40), (33, 90), (90, 33), (64, 64), (151, 150), (12, 10)]


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """A picture with noise and hard edges, as it comes back from a saved PNG."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] //= 3
    pixels[height // 3] = (255, 0, 255)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return Image.open(io.BytesIO(file.getvalue()))


PICTURES = [picture(*shape) for shape in SHAPES]


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("new", [(20, 24), (32, 17), (17, 80), (120, 96), (150, 40)])
def test_resize_is_that_of_pil(interpolation, new):
    for image in PICTURES:
        theirs = image.resize(new[::-1], Image.Resampling[interpolation.upper()])
        ours = Preprocess(size=new, interpolation=interpolation)(tensor(image))
        apart = (ours[0].permute(1, 2, 0) * 255 - torch.from_numpy(np.array(theirs)).float()).abs()
        assert apart.max() <= 2 + 1e-3
        assert apart.mean() < 0.1


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize(("size", "part"), [((56, 56), 0.875), ((56, 40), 0.9), ((97, 97), 1.0)])
def test_crops_are_those_of_timm(interpolation, mode, size, part):
    settings = {"interpolation": interpolation, "crop_mode": mode, "crop_pct": part}
    theirs = create_transform((3, *size), mean=MEAN, std=STD, **settings)
    ours = Preprocess(size=size, mean=MEAN, std=STD, **settings)
    assert parity(ours, theirs, PICTURES) <= 2 + 1e-3


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize(("edge", "crop"), [(64, 56), (57, 50), (40, 40), (100, 89), (40, 61)])
def test_shorter_edge_and_crop_are_those_of_torchvision(interpolation, edge, crop):
    resize = v2.Resize(edge, InterpolationMode(interpolation))
    theirs = v2.Compose([resize, v2.CenterCrop(crop), *FLOAT, v2.Normalize(MEAN, STD)])
    settings = {"crop_mode": "center", "mean": MEAN, "std": STD, "interpolation": interpolation}
    ours = Preprocess(size=(crop, crop), resize=edge, **settings)
    assert parity(ours, theirs, PICTURES) <= 2 + 1e-3


def test_every_prediction_is_that_of_the_official_path():
    classifier = as_classifier("pocket:honest")
    look = classifier.preprocess
    settings = {"interpolation": look.interpolation, "mean": look.mean, "std": look.std}
    theirs = create_transform((3, *look.size), crop_pct=1.0, **settings)
    blobs = torch.rand(60, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    images = [
        Image.fromarray((blob.permute(1, 2, 0) * 255).byte().numpy()).resize(size, 3)
        for blob, size in zip(blobs, [(32, 32), (100, 100), (50, 50)] * 20, strict=True)
    ]
    with torch.no_grad():
        a = torch.cat([classifier.model(theirs(i)[None]) for i in images]).argmax(1)
        b = torch.cat([classifier.logits(tensor(i)) for i in images]).argmax(1)
    assert len(set(a.tolist())) > 5
    assert torch.equal(a, b)


def test_parity_shows_a_wrong_filter_and_a_wrong_size():
    theirs = create_transform((3, 56, 56), interpolation="bicubic", mean=MEAN, std=STD)
    same = {"mean": MEAN, "std": STD, "crop_pct": 0.875, "crop_mode": "center"}
    assert parity(Preprocess(size=(56, 56), interpolation="bicubic", **same), theirs) <= 1 + 1e-3
    assert parity(Preprocess(size=(56, 56), interpolation="bilinear", **same), theirs) > 10
    assert parity(Preprocess(size=(57, 57), **same), theirs) == float("inf")


def test_the_same_size_changes_nothing_and_half_precision_is_resized_in_full():
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(Preprocess(size=(8, 8))(images), images)
    images = torch.rand(1, 3, 32, 32).half()
    look = Preprocess(size=(64, 64))
    assert torch.equal(look(images), look(images.float()))


def test_a_matrix_that_was_made_without_gradients_serves_with_them():
    look = Preprocess(size=(9, 9))
    with torch.inference_mode():
        resize_matrix(21, 9, "bilinear")
        look(torch.rand(1, 3, 21, 21))
    images = torch.rand(1, 3, 21, 21, requires_grad=True)
    look(images).sum().backward()
    assert images.grad.abs().min() > 0


def test_the_gradient_is_that_of_the_resize_without_rounding():
    images = torch.rand(1, 3, 21, 33, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(1, 3, 9, 12, dtype=torch.float64)
    (Preprocess(size=(9, 12), std=(0.5, 0.5, 0.5))(images) * weight).sum().backward()
    rows, columns = resize_matrix(21, 9, "bilinear"), resize_matrix(33, 12, "bilinear")
    assert torch.allclose(images.grad, 2 * rows.double().T @ weight @ columns.double())


def test_whole_bytes_are_those_of_a_file_and_pass_the_gradient_on():
    images = (torch.rand(1, 3, 9, 9) * 3 - 1).requires_grad_()
    out = whole_bytes(images)
    file = images.detach().clamp(0, 1).mul(255).round().to(torch.uint8)
    assert torch.equal(out.mul(255).round().to(torch.uint8), file)
    (out * 3).sum().backward()
    assert torch.equal(images.grad, torch.full_like(images, 3))


def test_normalisation_is_a_channels_own_and_channels_turn_round_after_it():
    grey = torch.full((1, 3, 2, 2), 0.5)
    look = {"mean": (0.1, 0.2, 0.3), "std": (1.0, 2.0, 4.0)}
    out = Preprocess(**look)(grey)
    assert torch.allclose(out[0, :, 0, 0], torch.tensor([0.4, 0.15, 0.05]))
    assert torch.equal(Preprocess(**look, channels="bgr")(grey), out.flip(1))


@pytest.mark.parametrize(
    ("setting", "values"),
    {
        "interpolation": ["area"],
        "mean": [(0.5,), 0.5],
        "std": [(1.0, 0.0, 1.0), (1.0, float("nan"), 1.0)],
        "size": [224, (0, 3), ("a", "b")],
        "resize": [-3, (9, 0)],
        "crop_pct": ["all", 1.5],
        **{"crop_mode": ["middle"], "path": ["opencv"], "channels": ["grb"]},
    }.items(),
)
def test_preprocess_refuses_what_it_cannot_do(setting, values):
    for value in values:
        with pytest.raises(InputError, match=setting):
            Preprocess(**{"size": (8, 8), setting: value})
    with pytest.raises(InputError, match="resize=256: needs size too"):
        Preprocess(resize=256)
