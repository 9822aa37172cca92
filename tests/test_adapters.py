"""Classifiers of timm, torchvision and transformers, built offline with random weights."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
import torchvision
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from torchvision.transforms import v2
from transformers import image_processing_backends

from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.classifiers.preprocess import Preprocess
from inversion_kit.errors import ClassifierUnavailableError, InputError

TOP = 2.01


def pictures() -> list[Image.Image]:
    """Blobs of colour: large and small, wide and tall."""
    random = np.random.default_rng(0)
    sizes = [(40, 40), (61, 47), (90, 40), (120, 200), (33, 64), (150, 150)] * 3
    blobs = random.integers(0, 256, (len(sizes), 5, 5, 3), np.uint8)
    return [
        Image.fromarray(b).resize(s, Image.Resampling.BICUBIC)
        for b, s in zip(blobs, sizes, strict=True)
    ]


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255


@torch.no_grad()
def spread(model: nn.Module, layer: nn.Linear, official) -> None:
    """Set the last layer so that the top classes of `pictures` differ, with clear margins."""
    seen = []
    hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0].flatten(1)))
    for image in pictures():
        model(official(image)[None])
    hook.remove()
    features = torch.cat(seen)
    directions = torch.linalg.svd(features - features.mean(0), full_matrices=False).Vh[:2]
    angle = torch.arange(layer.out_features) * 2 * torch.pi / layer.out_features
    layer.weight.copy_(torch.stack([angle.cos(), angle.sin()], 1) @ directions)
    layer.bias.copy_(-layer.weight @ features.mean(0))


def agree(classifier, official) -> None:
    """Assert that pixels and top classes are those of a library's own path."""
    tops = []
    for image in pictures():
        with torch.no_grad():
            theirs = classifier.model(official(image)[None])
            ours = classifier.logits(tensor(image))
        assert ours.argmax() == theirs.argmax()
        tops.append(int(ours.argmax()))
    assert len(set(tops)) > 2
    assert classifier.parity <= TOP


class TestTimm:
    def test_agrees_with_its_own_transform(self):
        model = timm.create_model("test_resnet", num_classes=7).eval()
        config = timm.data.resolve_model_data_config(model)
        official = timm.data.create_transform(**config)
        spread(model, model.fc, official)
        classifier = as_classifier(model)
        agree(classifier, official)
        assert classifier.labels[:2] == ("class 0", "class 1")
        images = torch.rand(2, 3, 16, 16)
        seen = classifier.features(images)
        assert torch.allclose(model.fc(seen), classifier.logits(images), atol=1e-5)

    def test_reads_every_setting_of_the_config(self):
        settings = {"interpolation": "lanczos", "crop_pct": 0.8, "crop_mode": "border"}
        settings |= {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
        cfg = settings | {"input_size": (3, 64, 48)}
        model = timm.create_model("test_resnet", num_classes=2, pretrained_cfg_overlay=cfg)
        assert as_classifier(model).preprocess == Preprocess(size=(64, 48), **settings)

    def test_label_names_of_the_config_are_used_and_made_to_differ(self):
        cfg = {"label_names": ["n1", "n2", "n3"], "label_descriptions": {"n1": "a", "n3": "a"}}
        model = timm.create_model("test_resnet", num_classes=3, pretrained_cfg_overlay=cfg)
        assert as_classifier(model).labels == ("a (0)", "n2", "a (2)")

    def test_imagenet_names_come_with_an_imagenet_head_alone(self):
        labels = as_classifier(timm.create_model("test_resnet")).labels
        assert labels[0].startswith("tench")
        assert len(set(labels)) == 1000
        other = as_classifier(timm.create_model("test_resnet", num_classes=12))
        assert other.labels[0] == "class 0"

    def test_what_cannot_be_a_classifier_is_refused(self):
        model = timm.create_model("test_resnet", num_classes=0)
        with pytest.raises(InputError, match=r"features and no classes.*num_classes=\.\.\."):
            as_classifier(model)
        model = timm.create_model("test_resnet", num_classes=4)
        with pytest.raises(InputError, match="2 names for 4 outputs"):
            as_classifier(model, labels=["a", "b"])
        with pytest.raises(ClassifierUnavailableError, match="local folder, or the loaded model"):
            as_classifier("timm/resnet18")


def linear(size: int | None, classes: int) -> nn.Module:
    """A network of images of a size, or of any, with random weights."""
    first = nn.AdaptiveAvgPool2d(1) if size is None else nn.Identity()
    return nn.Sequential(first, nn.Flatten(), nn.Linear(3 * (size or 1) ** 2, classes))


class TestTorchvision:
    WEIGHTS = torchvision.models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1

    def test_weights_say_transforms_and_categories(self):
        model = torchvision.models.shufflenet_v2_x0_5(weights=None).eval()
        official = self.WEIGHTS.transforms()
        spread(model, model.fc, official)
        classifier = as_classifier(model, preprocess=self.WEIGHTS)
        agree(classifier, official)
        assert classifier.labels[0] == "tench"
        assert len(set(classifier.labels)) == 1000
        assert classifier.preprocess.size == (224, 224)
        assert classifier.preprocess.resize == 256
        images = torch.rand(2, 3, 40, 40)
        assert torch.allclose(
            model.fc(classifier.features(images)), classifier.logits(images), atol=1e-5
        )

    @pytest.mark.parametrize(
        "name", ["ViT_B_16_Weights", "EfficientNet_B1_Weights", "Inception_V3_Weights"]
    )
    def test_presets_of_other_networks_are_followed_too(self, name):
        weights = getattr(torchvision.models, name).DEFAULT
        classifier = as_classifier(linear(None, 1000), preprocess=weights)
        assert isinstance(classifier.preprocess, Preprocess)
        assert classifier.parity <= TOP

    def test_a_chain_of_transforms_is_read_where_it_can_be(self):
        chain = [v2.Resize((48, 40), v2.InterpolationMode.BICUBIC), v2.CenterCrop(32)]
        chain += [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
        chain += [v2.Normalize((0.5,) * 3, (0.25,) * 3)]
        classifier = as_classifier(linear(32, 2), preprocess=v2.Compose(chain))
        settings = {"resize": (48, 40), "mean": (0.5,) * 3, "std": (0.25,) * 3}
        wanted = Preprocess(size=(32, 32), interpolation="bicubic", **settings)
        assert classifier.preprocess == wanted
        assert classifier.parity <= TOP

    def test_a_chain_that_does_more_is_called_as_it_is(self):
        chain = v2.Compose([v2.Resize((32, 32)), v2.Grayscale(3)])
        classifier = as_classifier(linear(32, 2), preprocess=chain, labels=["a", "b"])
        assert classifier.preprocess is chain
        assert classifier.parity is None
        images = torch.rand(1, 3, 40, 40, requires_grad=True)
        classifier.logits(images)[0, 0].backward()
        assert images.grad.abs().sum() > 0

    def test_what_is_missing_or_unknown_is_named(self):
        with pytest.raises(InputError, match=r"ResNet18_Weights\.DEFAULT"):
            as_classifier(torchvision.models.resnet18(weights=None))
        with pytest.raises(InputError, match="no such torchvision classifier"):
            as_classifier("torchvision/resnet19")


SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
SMALL |= {"num_attention_heads": 2}
VISION = SMALL | {"image_size": 32, "patch_size": 8}
TEXT = SMALL | {"vocab_size": 9, "max_position_embeddings": 8}
TEXT |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
SQUARE = {"height": 32, "width": 32}


def tiny_vit(labels: dict[int, str] | None = None, **settings) -> nn.Module:
    names = labels or {i: f"thing {i}" for i in range(5)}
    settings |= {"id2label": names, "label2id": {v: k for k, v in names.items()}}
    config = transformers.ViTConfig(**VISION, **settings)
    return transformers.ViTForImageClassification(config).eval()


PROCESSORS = {
    "ViT": {"size": SQUARE},
    "DeiT": {"size": {"height": 40, "width": 40}, "crop_size": SQUARE},
    "CLIP": {"size": {"shortest_edge": 37}, "crop_size": SQUARE},
    "ConvNext": {"size": {"shortest_edge": 32}},
    "Levit": {"size": {"shortest_edge": 32}, "crop_size": SQUARE},
    "PoolFormer": {"size": {"shortest_edge": 32}, "crop_size": SQUARE},
    "EfficientNet": {"size": SQUARE, "rescale_offset": True},
    "MobileViT": {"size": {"shortest_edge": 36}, "crop_size": SQUARE},
    "Beit": {"size": SQUARE},
    "Siglip": {"size": SQUARE},
}


class TestTransformers:
    @pytest.mark.parametrize("backend", ["", "Pil"])
    @pytest.mark.parametrize(
        ("kind", "settings"),
        [*PROCESSORS.items(), *(("ViT", {"size": SQUARE, "resample": i}) for i in range(6))],
    )
    def test_every_processor_and_filter_is_followed(self, kind, settings, backend):
        if not backend and settings.get("resample") in (4, 5):
            pytest.skip("tensors are not resized by box and hamming in transformers")
        processor = getattr(transformers, f"{kind}ImageProcessor{backend}")(**settings)
        assert isinstance(processor, image_processing_backends.BaseImageProcessor)
        assert as_classifier(tiny_vit(), preprocess=processor).parity <= TOP

    @pytest.mark.parametrize(
        "settings",
        [
            {"do_normalize": False},
            {"do_rescale": False},
            {"rescale_factor": 1 / 127.5},
            {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]},
        ],
    )
    def test_scaling_and_normalisation_are_folded_into_one(self, settings):
        processor = transformers.ViTImageProcessorPil(size=SQUARE, **settings)
        classifier = as_classifier(tiny_vit(), preprocess=processor)
        image = pictures()[1]
        theirs = torch.as_tensor(processor(images=image)["pixel_values"][0])
        ours = classifier.preprocess(tensor(image))[0]
        assert classifier.parity <= TOP
        assert torch.allclose(ours, theirs.float(), atol=2 * float(theirs.abs().max()) / 255)

    def test_what_cannot_be_followed_is_refused(self):
        processor = transformers.PerceiverImageProcessorPil(size=SQUARE)
        with pytest.raises(InputError, match="PerceiverImageProcessorPil cannot be followed"):
            as_classifier(tiny_vit(), preprocess=processor)

    def test_a_folder_gives_model_processor_and_labels(self, tmp_path):
        model = tiny_vit({0: "crane", 1: "tench", 2: "crane"})
        processor = transformers.ViTImageProcessor(size=SQUARE)

        def official(image):
            return processor(images=image, return_tensors="pt")["pixel_values"][0]

        spread(lambda x: model(pixel_values=x), model.classifier, official)
        model.save_pretrained(tmp_path)
        processor.save_pretrained(tmp_path)
        classifier = as_classifier(str(tmp_path))
        agree(classifier, official)
        assert classifier.labels == ("crane (0)", "tench", "crane (2)")
        assert classifier.name == str(tmp_path)
        images = torch.rand(2, 3, 40, 40)
        seen = classifier.features(images)
        assert torch.allclose(model.classifier(seen), classifier.logits(images), atol=1e-5)
        again = as_classifier(tmp_path, labels=["x", "y", "z"], name="mine")
        assert (again.labels, again.name) == (("x", "y", "z"), "mine")
        assert again.hash == classifier.hash

    def test_a_folder_in_half_precision_is_loaded_in_single(self, tmp_path):
        tiny_vit().half().save_pretrained(tmp_path)
        transformers.ViTImageProcessor(size=SQUARE).save_pretrained(tmp_path)
        model = as_classifier(tmp_path).model
        assert {p.dtype for p in model.parameters()} == {torch.float32}

    def test_a_pickle_is_never_opened(self, tmp_path):
        model = tiny_vit()
        model.config.save_pretrained(tmp_path)
        transformers.ViTImageProcessor().save_pretrained(tmp_path)
        torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
        with pytest.raises(ClassifierUnavailableError, match="safetensors"):
            as_classifier(str(tmp_path))

    def test_code_in_a_folder_is_never_run(self, tmp_path):
        (tmp_path / "config.json").write_text(
            '{"model_type": "mine", "auto_map": {"AutoConfig": "own.Own"}}', "utf-8"
        )
        (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", "utf-8")
        with pytest.raises(ClassifierUnavailableError):
            as_classifier(str(tmp_path))
        assert not (tmp_path / "ran").exists()

    def test_a_hub_id_without_a_network_says_what_to_do(self):
        with pytest.raises(ClassifierUnavailableError, match=r"owner/name.*local folder"):
            as_classifier("owner/name", revision="abc")

    def test_a_model_alone_needs_its_processor(self):
        with pytest.raises(InputError, match=r"AutoImageProcessor\.from_pretrained"):
            as_classifier(tiny_vit())

    def test_multi_label_and_single_output_heads_are_read_from_the_config(self):
        processor = transformers.ViTImageProcessor(size=SQUARE)
        several = as_classifier(
            tiny_vit(problem_type="multi_label_classification"), preprocess=processor
        )
        logits = several.logits(torch.rand(2, 3, 40, 40))
        assert torch.equal(several.probability(logits), logits.sigmoid())
        one = as_classifier(tiny_vit({0: "rust"}), preprocess=processor)
        assert one.labels == ("not rust", "rust")


def words_tokenizer() -> transformers.PreTrainedTokenizerFast:
    words = {w: i for i, w in enumerate(["<pad>", "<s>", "</s>", "a", "photo", "of", "cat", "dog"])}
    words["<unk>"] = len(words)
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=8, **marks)


def clip():
    config = transformers.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=12)
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE)
    processor = transformers.CLIPProcessor(images, words_tokenizer())
    return transformers.CLIPModel(config).eval(), processor


def siglip():
    config = transformers.SiglipConfig(text_config=TEXT, vision_config=VISION)
    images = transformers.SiglipImageProcessor(size=SQUARE)
    processor = transformers.SiglipProcessor(images, words_tokenizer())
    return transformers.SiglipModel(config).eval(), processor


class TestZeroShot:
    @pytest.mark.parametrize("make", [clip, siglip])
    def test_scores_are_those_of_the_models_own_forward(self, make):
        model, processor = make()
        with torch.no_grad():
            model.logit_scale.fill_(3.0)
        classifier = as_classifier(model, preprocess=processor, labels=["cat", "dog", "photo"])
        assert classifier.parity <= TOP
        image = pictures()[1]
        texts = [f"a photo of a {name}" for name in classifier.labels]
        padding = {"padding": True}
        if make is siglip:
            padding = {"padding": "max_length", "max_length": 8}
        given = processor(text=texts, images=image, return_tensors="pt", **padding)
        with torch.no_grad():
            theirs = model(**given).logits_per_image
            ours = classifier.logits(tensor(image))
        assert torch.allclose(ours, theirs, atol=2e-2)
        assert ours.std() > 1e-3
        wanted = theirs.sigmoid() if make is siglip else theirs.softmax(1)
        assert torch.allclose(classifier.probability(ours), wanted, atol=1e-2)
        assert classifier.features(tensor(image)).norm() == pytest.approx(1, abs=1e-5)

    def test_a_folder_is_loaded_with_its_texts(self, tmp_path):
        model, processor = clip()
        model.save_pretrained(tmp_path)
        processor.save_pretrained(tmp_path)
        given = {"labels": ["cat", "dog"], "template": "{}"}
        ours = as_classifier(tmp_path, **given)
        images = torch.rand(2, 3, 40, 40)
        same = as_classifier(model, preprocess=processor, **given)
        assert torch.allclose(ours.logits(images), same.logits(images), atol=1e-5)
        other = as_classifier(model, preprocess=processor, labels=["cat", "dog"])
        assert not torch.allclose(other.logits(images), same.logits(images), atol=1e-5)
        assert other.hash != same.hash

    def test_the_gradient_reaches_the_image(self):
        model, processor = clip()
        classifier = as_classifier(model, preprocess=processor, labels=["cat", "dog"])
        images = torch.rand(1, 3, 40, 40, requires_grad=True)
        classifier.logits(images)[0, 0].backward()
        assert images.grad.abs().sum() > 0

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ({}, r"as_classifier\(model, labels=\['cat', 'dog'\]\)"),
            ({"labels": ["cat"], "template": "a photo"}, "template="),
            ({"labels": ["cat dog cat dog cat dog"]}, "tokens"),
            ({"labels": ["cat"]}, r"labels=\['cat', 'something else'\]"),
        ],
    )
    def test_what_is_missing_or_does_not_fit_is_named(self, given, says):
        model, processor = clip()
        with pytest.raises(InputError, match=says):
            as_classifier(model, preprocess=processor, **given)
        with pytest.raises(InputError, match=r"preprocess=AutoProcessor\.from_pretrained"):
            as_classifier(model, preprocess=processor.image_processor, labels=["cat"])

    def test_one_text_alone_is_enough_where_texts_do_not_compete(self):
        model, processor = siglip()
        assert as_classifier(model, preprocess=processor, labels=["cat"]).head == "sigmoid"

    def test_texts_come_in_many_kinds(self):
        model, processor = clip()
        for labels in (np.array(["cat", "dog"]), {1: "dog", 0: "cat"}):
            classifier = as_classifier(model, preprocess=processor, labels=labels)
            assert classifier.labels == ("cat", "dog")
        pocket = as_classifier("pocket:honest", labels=np.arange(43).astype(str))
        assert pocket.labels[42] == "42"


class TestBlackBox:
    LABELS = ("dark", "mid", "bright")

    @staticmethod
    def probabilities(files: np.ndarray) -> np.ndarray:
        assert files.dtype == np.uint8
        assert files.shape[-1] == 3
        level = files.mean((1, 2, 3)) / 255
        score = np.stack([1 - level, np.full_like(level, 0.5), level], 1)
        return score / score.sum(1, keepdims=True)

    def test_files_are_seen_as_saved_and_probabilities_come_back_as_they_are(self):
        seen = []

        def keep(files):
            seen.append(files)
            return self.probabilities(files)

        classifier = as_classifier(keep, black_box=True, labels=self.LABELS)
        images = torch.rand(4, 3, 9, 11)
        files = images.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
        ours = classifier.probability(classifier.logits(images))
        wanted = torch.from_numpy(self.probabilities(files)).float()
        assert np.array_equal(seen[0], files)
        assert torch.allclose(ours, wanted, atol=1e-6)

    @pytest.mark.parametrize("kind", ["index", "name", "object", "tensor"])
    def test_the_top_class_alone_is_enough(self, kind):
        def top(files):
            index = self.probabilities(files).argmax(1)
            if kind == "name":
                return [self.LABELS[i] for i in index]
            if kind == "object":
                return np.array([self.LABELS[i] for i in index], dtype=object)
            return torch.from_numpy(index) if kind == "tensor" else index

        classifier = as_classifier(top, black_box=True, labels=self.LABELS)
        images = torch.stack([torch.full((3, 4, 4), v) for v in (0.0, 1.0)])
        ours = classifier.probability(classifier.logits(images))
        assert torch.allclose(ours, torch.tensor([[1.0, 0, 0], [0, 0, 1]]), atol=1e-6)

    def test_a_gradient_is_refused_and_what_works_is_named(self):
        classifier = as_classifier(self.probabilities, black_box=True, labels=self.LABELS)
        assert not classifier.differentiable
        with pytest.raises(InputError, match=r'is a black box .*method="cma"'):
            classifier.logits(torch.rand(1, 3, 4, 4, requires_grad=True))

    def test_the_hash_is_of_what_it_answers(self):
        def make(function, labels=self.LABELS):
            return as_classifier(function, black_box=True, labels=labels).hash

        def inverse(files):
            return self.probabilities(255 - files)

        def inverse_again(files):
            return self.probabilities(255 - files)

        inverse_again.__qualname__ = inverse.__qualname__
        assert make(self.probabilities) == make(self.probabilities)
        assert make(inverse) == make(inverse_again)
        assert make(inverse) != make(self.probabilities)
        assert make(inverse) != make(inverse, ("a", "b", "c"))

    @pytest.mark.parametrize(
        ("answer", "says"),
        [
            (np.zeros((2, 2)), "expected probabilities"),
            (np.full((2, 3), 5.0), "no probabilities"),
            (np.full((2, 3), 100 / 3), "answers are no probabilities .* give percents / 100"),
            (np.array([[-1.0, 0, 2]] * 2), r"and of logits scipy.special.softmax\(logits, axis=1"),
            (np.array(["dark", None], object), "answered None"),
            (np.array([0, 3]), "index from 0 to 2"),
            (np.array(["dark", "grey"]), "'grey'"),
            (np.array([0.5, 1.0]), "expected probabilities"),
            (None, "expected probabilities"),
        ],
    )
    def test_a_wrong_answer_is_named(self, answer, says):
        classifier = as_classifier(lambda _: answer, black_box=True, labels=self.LABELS)
        with pytest.raises(InputError, match=says):
            classifier.logits(torch.rand(2, 3, 4, 4))

    def test_what_it_needs_is_named(self):
        with pytest.raises(InputError, match="labels="):
            as_classifier(self.probabilities, black_box=True)
        with pytest.raises(InputError, match="black_box=True takes a function"):
            as_classifier(nn.Linear(2, 2), black_box=True, labels=["a"])
        with pytest.raises(InputError, match="black_box=True if"):
            as_classifier(self.probabilities, labels=self.LABELS)
