"""Drawn pictures whose properties are known are measured, at any size."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import xarray as xr
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

from inversion_kit.analysis import measure
from inversion_kit.analysis.measure import COLOURS, PROPERTIES
from inversion_kit.errors import InputError

RGB = {
    "red": (220, 20, 25),
    "orange": (255, 128, 0),
    "brown": (110, 60, 20),
    "yellow": (255, 225, 0),
    "green": (0, 190, 50),
    "cyan": (0, 215, 230),
    "blue": (15, 50, 240),
    "purple": (165, 25, 205),
    "pink": (255, 128, 180),
    "black": (5, 5, 5),
    "grey": (75, 75, 75),
    "white": (250, 250, 250),
}


def noise(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """A smooth grey picture without a patch, float ``(y, x, 3)`` in 0 to 255."""
    rough = np.random.default_rng(seed).normal(size=size)
    smooth = ndimage.gaussian_filter(rough, min(size) / 8)
    level = 150 + 20 * smooth / np.abs(smooth).max()
    return np.repeat(level[..., None], 3, -1)


def with_square(
    size: tuple[int, int], side: float, row: float, column: float, colour: str
) -> np.ndarray:
    """A square of a colour on `noise`; lengths are shares, row and column of its middle."""
    image, pixels = noise(size), round(side * min(size))
    top, left = (round(at * n - pixels / 2) for at, n in zip((row, column), size, strict=True))
    image[top : top + pixels, left : left + pixels] = RGB[colour]
    return image.astype("u1")


def values(*images: np.ndarray) -> dict[str, list[float]]:
    table = measure(np.stack(images).astype("u1"))["value"]
    return {name: table.sel(property=name).values.tolist() for name in PROPERTIES}


def patches(image: np.ndarray) -> set[str]:
    found = measure(image[None])["patch"].sel(place="side")
    return {str(c) for c, side in zip(COLOURS, found.values[0], strict=True) if side > 0}


@pytest.mark.parametrize("colour", COLOURS)
def test_a_square_of_each_colour_is_found(colour: str) -> None:
    image = with_square((64, 64), 0.25, 0.3, 0.7, colour)
    if colour == "grey":  # which lies on grey, of which it is no patch
        assert patches(image) == set()
        image[image > 100] = 220
    assert patches(image) == {colour}


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (150, 100), (512, 512), (1024, 700)])
@pytest.mark.parametrize(("row", "column"), [(0.5, 0.5), (0.15, 0.85)])
def test_its_size_and_place_are_measured_at_any_size(
    size: tuple[int, int], row: float, column: float
) -> None:
    image = with_square(size, 0.2, row, column, "yellow")
    found = measure(image[None])["patch"].sel(colour="yellow").values[0]
    np.testing.assert_allclose(found, (0.2, row, column), atol=0.03)


def test_a_blurred_square_in_a_corner_is_found() -> None:
    image = with_square((32, 32), 0.22, 0.11, 0.11, "yellow")
    soft = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(0.6)))
    assert patches(soft) == {"yellow"}


def test_a_turned_square_and_a_disc_are_patches_a_bar_and_a_ring_are_not() -> None:
    found = {}
    for name in ("turned", "disc", "bar", "ring"):
        drawn = Image.fromarray(noise((64, 64)).astype("u1"))
        pen = ImageDraw.Draw(drawn)
        if name == "turned":
            pen.polygon([(32, 22), (42, 32), (32, 42), (22, 32)], RGB["blue"])
        if name == "disc":
            pen.ellipse((22, 22, 42, 42), RGB["blue"])
        if name == "bar":
            pen.rectangle((10, 28, 54, 36), RGB["blue"])
        if name == "ring":
            pen.ellipse((18, 18, 46, 46), outline=RGB["blue"], width=5)
        found[name] = "blue" in patches(np.asarray(drawn))
    assert found == {"turned": True, "disc": True, "bar": False, "ring": False}


def gradients(size: int) -> list[np.ndarray]:
    """Smooth changes from colour to colour, along a line and from the middle out."""
    row, column = np.mgrid[:size, :size] / (size - 1)
    ways = [row, column, (row + column) / 2, np.hypot(row - 0.5, column - 0.5) / 0.71]
    ends = [((0, 0, 0), (255, 255, 255)), ((255, 225, 0), (0, 0, 255)), ((200, 0, 0), (0, 200, 0))]
    return [
        (np.array(a) + w[..., None] * (np.array(b) - a)).astype("u1") for w in ways for a, b in ends
    ]


@pytest.mark.parametrize("size", [32, 64, 256])
def test_a_gradient_has_no_patch(size: int) -> None:
    assert [patches(image) for image in gradients(size)] == [set()] * 12


def test_noise_and_plain_pictures_have_no_patch_and_no_frame() -> None:
    grain = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype("u1")
    plain = np.full((48, 48, 3), 90, "u1")
    assert [patches(image) for image in (grain, plain)] == [set(), set()]
    assert values(grain, plain)["frame"] == [0, 0]


def test_what_is_too_small_too_large_or_not_set_off_is_no_patch() -> None:
    assert patches(with_square((64, 64), 0.06, 0.5, 0.5, "red")) == set()
    assert patches(with_square((64, 64), 0.7, 0.5, 0.5, "red")) == set()
    faint = np.full((64, 64, 3), (255, 130, 0), "u1")
    faint[20:36, 20:36] = (255, 180, 0)  # yellow on orange, but only a little apart
    assert patches(faint) == set()
    grainy = with_square((64, 64), 0.3, 0.5, 0.5, "yellow")
    shade = np.random.default_rng(0).uniform(0.5, 1, (64, 64, 1))
    grainy = np.where((grainy == RGB["yellow"]).all(-1, keepdims=True), grainy * shade, grainy)
    assert patches(grainy.astype("u1")) == set()


def test_the_largest_of_a_colour_is_measured_and_others_stand_beside_it() -> None:
    image = with_square((64, 64), 0.3, 0.7, 0.7, "yellow")
    image[4:12, 4:12] = RGB["yellow"]
    image[4:16, 40:52] = RGB["blue"]
    assert patches(image) == {"yellow", "blue"}
    side = measure(image[None])["patch"].sel(colour="yellow", place="side")
    assert float(side[0]) == pytest.approx(0.3, abs=0.02)


def test_light_and_colour() -> None:
    grey, red = np.full((40, 60, 3), 128, "u1"), np.full((40, 60, 3), (200, 0, 0), "u1")
    half = np.zeros((40, 60, 3), "u1")
    half[:, 30:] = 255
    got = values(grey, red, half)
    np.testing.assert_allclose(got["brightness"], [128 / 255, 0.299 * 200 / 255, 0.5], atol=1e-3)
    np.testing.assert_allclose(got["contrast"], [0, 0, 0.5], atol=1e-3)
    np.testing.assert_allclose(got["saturation"], [0, 200 / 255, 0], atol=1e-3)
    np.testing.assert_allclose(got["warmth"], [0, 200 / 255, 0], atol=1e-3)
    np.testing.assert_allclose(got["greenness"], [0, -100 / 255, 0], atol=1e-3)
    assert (got["red share"], got["black share"]) == ([0, 1, 0], [0, 0, 0.5])
    assert np.isclose(sum(got[f"{c} share"][2] for c in COLOURS), 1)


def test_blur_lowers_sharpness_and_edges() -> None:
    grain = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype("u1")
    soft = ndimage.gaussian_filter(grain.astype(float), (3, 3, 0))
    soft = (soft - soft.mean()) * grain.std() / soft.std() + 128
    got = values(grain, soft.clip(0, 255))
    assert got["sharpness"][1] < 0.5 * got["sharpness"][0]
    assert got["edges"][1] < 0.5 * got["edges"][0]


def test_border_and_frame() -> None:
    framed, busy = noise((64, 64)), noise((64, 64))
    inner = framed[5:-5, 5:-5].copy()
    framed[:] = RGB["green"]
    framed[5:-5, 5:-5] = inner
    busy[:6] = np.random.default_rng(0).integers(0, 256, (6, 64, 3))
    got = values(noise((64, 64)), framed, busy)
    assert got["frame"] == [0, 1, 0]
    assert min(got["border edges"][1:]) > 0.7 > 0.5 > got["border edges"][0]


@pytest.mark.parametrize("size", [(32, 32), (200, 300)])
def test_scale_and_place_are_those_of_a_disc(size: tuple[int, int]) -> None:
    drawn = Image.new("RGB", size[::-1], (60, 60, 60))
    short, (row, column) = min(size), (0.4, 0.6)
    radius, middle = 0.2 * short, (column * size[1], row * size[0])
    box = [m + sign * radius for sign in (-1, 1) for m in middle]
    ImageDraw.Draw(drawn).ellipse(box, (250, 250, 250))
    got = values(np.asarray(drawn))
    assert got["scale"][0] == pytest.approx(0.4, abs=0.04)
    assert (got["row"][0], got["column"][0]) == pytest.approx((row, column), abs=0.02)


@pytest.mark.parametrize("degrees", [-30, -10, 0, 15, 40])
def test_tilt_is_clockwise(degrees: int) -> None:
    drawn = Image.new("RGB", (96, 96), (60, 60, 60))
    ImageDraw.Draw(drawn).rectangle((20, 30, 76, 66), (240, 240, 240))
    turned = drawn.rotate(-degrees, Image.Resampling.BICUBIC, fillcolor=(60, 60, 60))
    assert values(np.asarray(turned))["tilt"][0] == pytest.approx(degrees, abs=2)


def test_what_cannot_be_measured_is_nan_and_nothing_warns() -> None:
    got = values(np.full((16, 16, 3), 7, "u1"))
    missing = {name for name, value in got.items() if np.isnan(value[0])}
    assert missing == {"border edges", "scale", "row", "column", "tilt"}
    assert measure(np.zeros((0, 16, 16, 3), "u1"))["value"].shape == (0, len(PROPERTIES))


def test_batches_do_not_change_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.stack([with_square((32, 32), 0.25, 0.5, 0.5, c) for c in COLOURS])
    whole = measure(images)
    monkeypatch.setattr(importlib.import_module("inversion_kit.analysis.measure"), "_BATCH", 1)
    xr.testing.assert_allclose(measure(images), whole, atol=1e-5)


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 32, 32), "u1"), np.zeros((2, 32, 32, 3)), np.zeros((2, 4, 32, 3), "u1"), [1]],
)
def test_other_things_are_refused(images: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected uint8"):
        measure(images)
