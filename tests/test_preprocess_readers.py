"""Preprocessing as a library's own object says, or refused: never another one silently."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch import nn
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms import transforms as v1

from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.classifiers.preprocess import Preprocess, parity
from inversion_kit.classifiers.preprocess_readers import as_preprocess
from inversion_kit.errors import InputError

FLOAT = v2.ToDtype(torch.float32, scale=True)
BICUBIC = v2.Resize((24, 24), InterpolationMode.BICUBIC)
TO_255 = v2.ToDtype(torch.float32, scale=False)


def noise(*shape: int) -> Image.Image:
    random = np.random.default_rng(0)
    return Image.fromarray(random.integers(0, 256, (*shape, 3), np.uint8))


def apart(prepare, official, image: Image.Image) -> float:
    """Largest difference in the model's input."""
    images = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255
    return float((prepare(images)[0] - official(image)).abs().max())


def classifier(*steps, **options):
    small = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 2))
    return as_classifier(small, preprocess=v2.Compose(steps), labels=["a", "b"], **options)


class TestTorchvision:
    def test_values_up_to_255_stay_so_and_their_normalize_is_folded(self):
        steps = [v2.Resize((16, 16)), v2.ToImage(), TO_255]
        read, official = as_preprocess(v2.Compose(steps))
        assert isinstance(read, Preprocess)
        assert apart(read, official, noise(41, 30)) <= 1.001
        mean, std = (123.0, 117.0, 104.0), (58.0, 57.0, 56.0)
        read, official = as_preprocess(v2.Compose([*steps, v2.Normalize(mean, std)]))
        assert read.mean == tuple(m / 255 for m in mean)
        assert apart(read, official, noise(41, 30)) <= 1.001 / 56

    def test_one_number_normalises_all_channels(self):
        read, _ = as_preprocess(
            v2.Compose([v2.Resize((16, 16)), v2.ToImage(), FLOAT, v2.Normalize((0.5,), (0.25,))])
        )
        assert (read.mean, read.std) == ((0.5,) * 3, (0.25,) * 3)

    def test_a_function_that_leaves_rgb_alone_is_read_over(self):
        def to_rgb(image):
            return image.convert("RGB")

        steps = [v1.Resize(20, InterpolationMode.BICUBIC), v1.CenterCrop(16), to_rgb]
        read, official = as_preprocess(v1.Compose([*steps, v1.ToTensor()]))
        assert read == Preprocess((16, 16), (0.0,) * 3, (1.0,) * 3, "bicubic", 1.0, "center", 20)
        assert apart(read, official, noise(41, 30)) <= 2.001 / 255

    def test_what_is_called_on_tensors_is_measured_against_files(self):
        resize, invert = v2.Resize((16, 16)), v2.Lambda(lambda x: 1 - x)
        more = classifier(resize, v2.ToImage(), FLOAT, invert)
        assert not isinstance(more.preprocess, Preprocess)
        assert more.parity_facts()["levels of 255"] <= 2
        assert more.parity_facts()["compared with"] == "torchvision"
        grey = classifier(resize, v2.Grayscale(3), v2.ToImage(), FLOAT).parity_facts()
        assert 0 < grey["levels of 255"] <= 2
        assert grey["compared with"] == "torchvision"
        scaled = classifier(resize, v2.ToImage(), FLOAT, invert, v2.Normalize((0.5,), (0.01,)))
        assert 0 < scaled.parity <= 2  # levels are of the range of the model's input

    def test_without_pil_images_it_is_measured_on_decoded_files(self):
        facts = classifier(v2.Resize((16, 16)), v2.Grayscale(3), FLOAT).parity_facts()
        assert facts["compared with"] == "torchvision on uint8 tensors"
        with pytest.raises(InputError, match="of 255 levels off"):
            classifier(v2.Resize((16, 16)), v2.Grayscale(3), TO_255)

    @pytest.mark.parametrize(
        ("steps", "message"),
        [
            ([v2.Resize((16, 16)), v2.Grayscale(3), v2.ToImage(), TO_255], "238 of 255 levels off"),
            ([BICUBIC, v2.Grayscale(3), v2.ToImage(), FLOAT], "3 of 255 levels off"),
            ([v1.Grayscale(3), v1.ToTensor()], "raises TypeError"),
            ([v2.RandomCrop(24), v2.ToImage(), FLOAT], "of 255 levels off"),
            ([v2.FiveCrop(24)], "gives a tuple, no tensor"),
            ([v1.ToTensor(), v1.FiveCrop(24)], "raises TypeError"),
            ([v2.ToImage(), FLOAT, v1.FiveCrop(24), v1.Lambda(torch.stack)], "another size"),
            ([v2.Lambda(lambda image: image.nothing)], "raises AttributeError"),
        ],
    )
    def test_what_gives_for_tensors_another_thing_than_for_files_is_refused(self, steps, message):
        with pytest.raises(InputError, match=message) as caught:
            classifier(*steps)
        assert "as_classifier(model, preprocess=Preprocess(size=..., mean=" in str(caught.value)

    @pytest.mark.parametrize("mode", ["nearest-exact", "bilinear", "bicubic", "lanczos"])
    @pytest.mark.parametrize("image", [noise(768, 768), noise(333, 31)])
    def test_a_resize_of_tensors_is_that_of_torch(self, mode, image):
        steps = [v2.ToImage(), v2.ToDtype(torch.uint8, scale=True)]
        steps += [v2.Resize((224, 160), InterpolationMode(mode)), v2.CenterCrop(145), FLOAT]
        read, official = as_preprocess(v2.Compose(steps))
        assert isinstance(read, Preprocess)
        assert apart(read, official, image) <= 2.001 / 255

    @pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
    @pytest.mark.parametrize("antialias", [True, False])
    def test_a_resize_of_floats_is_called_as_it_is(self, mode, antialias):
        resize = v2.Resize((224, 160), InterpolationMode(mode), antialias=antialias)
        given, official = as_preprocess(v2.Compose([v2.ToImage(), FLOAT, resize]))
        assert not isinstance(given, Preprocess)
        assert apart(given, official, noise(768, 300)) < 1e-5

    def test_a_resize_of_tensors_that_skips_pixels_is_none_of_ours(self):
        large = [v2.ToImage(), v2.Resize((600, 600), antialias=False), FLOAT]
        given, official = as_preprocess(v2.Compose(large))
        assert apart(given, official, noise(900, 900)) < 2.001 / 255

    def test_a_function_of_the_users_own_is_used_as_it_is(self):
        chain = v2.Compose([v2.Grayscale(3), TO_255])
        own = lambda images: chain(images)  # noqa: E731 - what the message says to type
        assert as_preprocess(own) == (own, None)


class TestTransformers:
    @pytest.mark.parametrize("new", [50, 160, 224, 384])
    @pytest.mark.parametrize("old", [256, 512, 768])
    @pytest.mark.parametrize("backend", ["", "Pil"])
    def test_the_nearest_pixel_is_theirs_where_two_are_as_near(self, new, old, backend):
        processor = getattr(transformers, f"ViTImageProcessor{backend}")(
            size={"height": new, "width": new}, resample=0
        )
        read, official = as_preprocess(processor)
        assert apart(read, official, noise(old, old)) < 1e-5

    @pytest.mark.parametrize("resample", [Image.Resampling.BOX, Image.Resampling.HAMMING])
    def test_a_filter_that_torch_lacks_is_refused(self, resample):
        with pytest.raises(InputError, match="ViTImageProcessor cannot be followed"):
            as_preprocess(transformers.ViTImageProcessor(resample=resample))

    def test_patches_and_a_size_that_depends_on_the_image_are_refused(self):
        with pytest.raises(InputError, match="cuts large images into patches"):
            as_preprocess(transformers.Cohere2VisionImageProcessor())
        processor = transformers.ViTImageProcessor(size={"shortest_edge": 30, "longest_edge": 50})
        with pytest.raises(InputError, match=r"depends on the image's: size=.*longest_edge"):
            as_preprocess(processor)


def test_parity_meets_pixels_that_are_as_near():
    processor = transformers.ViTImageProcessor(size={"height": 224, "width": 224}, resample=0)
    _, official = as_preprocess(processor)
    of_pil = Preprocess((224, 224), (0.5,) * 3, (0.5,) * 3, "nearest")
    assert parity(of_pil, official) > 20


def test_parity_is_infinite_where_theirs_is_not_a_number():
    assert parity(Preprocess((8, 8)), lambda _: torch.full((3, 8, 8), torch.nan)) == float("inf")
