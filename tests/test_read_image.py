"""Image files of any kind, read once and for all: as a viewer shows them, or refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from inversion_kit.classifiers.doctor import doctor, read_folder
from inversion_kit.classifiers.doctor.inputs import as_images
from inversion_kit.errors import InputError
from inversion_kit.pictures import read_image

RAMP = np.linspace(0, 65535, 4096).astype("u2").reshape(64, 64)
COLOURS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype="u1")


def levels(image, where="image"):
    read = read_image(image, where)
    assert read.mode == "RGB"
    return np.asarray(read)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_become_eight_not_two_levels(name, tmp_path):
    path = tmp_path / name
    if name == "a.pgm":
        path.write_bytes(b"P5 64 64 65535\n" + RAMP.astype(">u2").tobytes())
    else:
        Image.fromarray(RAMP).save(path)
    np.testing.assert_array_equal(levels(path)[..., 0], (RAMP / 257).round())
    made, (check,), _ = as_images([str(path)], 1)
    assert (check.status, made[0].shape) == ("ok", (3, 64, 64))
    assert len(made[0].unique()) == 256
    assert doctor("pocket:honest", [path])["images"].status == "ok"


def test_arrays_of_sixteen_bits_and_of_truth_are_scaled_by_their_own_white():
    three = np.stack([RAMP] * 3, -1)
    for array in (three, torch.from_numpy(three.astype("i4")).to(torch.uint16)):
        made, (check,), _ = as_images([array], 1)
        assert check.status == "ok"
        np.testing.assert_allclose(made[0].numpy(), np.moveaxis(three / 65535, -1, 0), atol=1e-6)
    made, (check,), _ = as_images([three > 9], 1)
    assert (check.status, made[0].unique().tolist()) == ("ok", [0, 1])
    with pytest.raises(InputError, match="complex"):
        as_images([three * 1j], 1)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (RAMP.astype("i4"), "32-bit whole numbers from 0 to 65535"),
        (RAMP.astype("f4"), r"floats from 0 to 6.55e\+04"),
        (np.full((4, 4), np.nan, "f4"), "floats from nan to nan"),
        (RAMP.astype("f4") / -65535, "floats from -1"),
    ],
)
def test_numbers_whose_range_nothing_says_are_refused(array, says, tmp_path):
    Image.fromarray(array).save(tmp_path / "a.tif")
    for image in (tmp_path / "a.tif", Image.fromarray(array)):
        with pytest.raises(InputError, match=says):
            read_image(image)
    with pytest.raises(InputError, match=rf"images: .*a\.tif.*{says}"):
        doctor("pocket:honest", [tmp_path / "a.tif"])


def test_floats_in_one_are_read():
    np.testing.assert_array_equal(
        levels(Image.fromarray(RAMP.astype("f4") / 65535))[..., 1], (RAMP / 257).round()
    )


@pytest.mark.parametrize("mode", ["RGBA", "RGBX", "CMYK"])
def test_other_modes_of_the_same_colours_are_those_colours(mode):
    np.testing.assert_array_equal(levels(Image.fromarray(COLOURS).convert(mode)), COLOURS)


def test_a_palette_and_one_bit_are_their_colours(tmp_path):
    image = Image.fromarray(COLOURS).quantize(256)
    image.save(tmp_path / "a.png")
    assert np.abs(levels(tmp_path / "a.png").astype(int) - COLOURS).max() < 2
    bits = COLOURS[..., 0] > 127
    np.testing.assert_array_equal(levels(Image.fromarray(bits))[..., 2], bits * 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode, tmp_path):
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (100, 100, 100, 255))
    image.convert(mode).save(tmp_path / "a.png")
    assert levels(tmp_path / "a.png")[0, :, 0].tolist() == [255, 100]


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(levels(tmp_path / "a.png"), np.rot90(COLOURS, -1))
    with Image.open(tmp_path / "a.png") as opened:
        np.testing.assert_array_equal(levels(opened), np.rot90(COLOURS, -1))


def test_of_an_animation_it_is_the_first_frame(tmp_path):
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert levels(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "cut"])
def test_what_is_no_image_is_refused_by_its_name(content, tmp_path):
    path = tmp_path / "a.png"
    if content == "cut":
        Image.fromarray(COLOURS).save(path)
        content = path.read_bytes()[:-40]
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"photo: .*a\.png' is no image that can be read"):
        read_image(path, "photo")
    with pytest.raises(InputError, match="is no image that can be read"):
        read_image(tmp_path, "photo")


def test_a_mode_without_colours_is_refused():
    with pytest.raises(InputError, match="has the mode 'La'"):
        read_image(Image.new("La", (2, 2)))


# --- folders ------------------------------------------------------------------------------------


@pytest.fixture
def labelled(tmp_path):
    for name in ("stop", "yield"):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.fromarray(COLOURS).save(tmp_path / name / f"{i}.png")
    return tmp_path


LABELS = ["stop", "stop", "yield", "yield"]


def test_hidden_files_and_files_of_no_image_are_passed_by(labelled):
    for name in (".DS_Store", "Thumbs.db", "stop/Thumbs.db", "._a.png", "stop/._0.png", "a.txt"):
        (labelled / name).write_bytes(b"\0")
    (labelled / ".cache").mkdir()
    Image.fromarray(COLOURS).save(labelled / ".cache" / "a.png")
    files, labels = read_folder(labelled)
    assert labels == LABELS
    assert [str(f.relative_to(labelled)) for f in files][:2] == ["stop/0.png", "stop/1.png"]


def test_a_stray_image_is_left_out_by_its_name_and_the_labels_stay(labelled):
    Image.fromarray(COLOURS).save(labelled / "contact.png")
    (labelled / "stop" / "deep").mkdir()
    Image.fromarray(COLOURS).save(labelled / "stop" / "deep" / "a.png")
    with pytest.warns(RuntimeWarning, match=r"contact\.png, stop/deep/a\.png are in no folder of"):
        files, labels = read_folder(labelled)
    assert labels == LABELS
    assert len(files) == 4


def test_labels_that_are_not_there_are_said(labelled):
    for i in range(5):
        Image.fromarray(COLOURS).save(labelled / f"{i}.png")
    with pytest.warns(RuntimeWarning, match=r"stop/0\.png.* and 1 more are in folders.*no image"):
        files, labels = read_folder(labelled)
    assert (len(files), labels) == (9, None)
