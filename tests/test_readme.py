"""The README's examples of classifiers run as they stand, on tiny models of the real classes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
import transformers
from torch import nn

import inversion_kit
from tests.test_adapters import clip, tiny_vit

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
OFFLINE = {
    '"timm/resnet18.a1_in1k"': "my_timm_model",  # there is no network to load weights from
    "resnet18(weights=weights)": "resnet18()",
    "queries=4000": "queries=170, batch=1, validation=4, samples=2, progress=False",
    '"tiger cat", generator="pocket", objective': (
        '"stop", generator="pocket", steps=1, batch=1, validation=1, samples=1, restarts=0, '
        "progress=False, objective"
    ),
}
"""What the examples need to run here; each stands in them once."""


def blocks() -> list[str]:
    part = README.split("### Every kind of classifier")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", part, re.DOTALL)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The names that the README's blocks define, by the block."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("readme")
    for name in ("path/to/a/vit", "path/to/another/vit"):
        tiny_vit().save_pretrained(folder / name)
        processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
        processor.save_pretrained(folder / name)
    model, processor = clip()
    model.save_pretrained(folder / "path/to/a/clip")
    processor.save_pretrained(folder / "path/to/a/clip")
    asked = []

    def ask_for_probabilities(images):
        asked.append(images.dtype)
        share = images[..., 0].mean((1, 2)) / 255
        return np.stack([share, 1 - share], 1)

    def ask_for_the_top_class(images):
        return ["dog" if image[..., 0].mean() < 120 else "cat" for image in images]

    names = {
        "ik": inversion_kit,
        "my_timm_model": timm.create_model("test_resnet", num_classes=7).eval(),
        "my_module": nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 3)),
        "my_one_logit": nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 1)),
        "ask_for_probabilities": ask_for_probabilities,
        "ask_for_the_top_class": lambda images: np.array(ask_for_the_top_class(images)),
        "classifier": inversion_kit.as_classifier("pocket:honest"),
        "another_classifier": inversion_kit.as_classifier("pocket:judge"),
    }
    code = blocks()
    for written, here in OFFLINE.items():
        assert sum(block.count(written) for block in code) == 1, written
        code = [block.replace(written, here) for block in code]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in code:
            exec(compile(block, "README.md", "exec"), names)
    return names


KINDS = {
    "timm": "timm",
    "your timm model": "timm",
    "torchvision": "torchvision",
    "transformers": "ViTImageProcessor of transformers",
    "zero-shot": "CLIPImageProcessor",
    "module": "given as settings",
    "function": "given as settings",
    "binary": "given as settings",
    "multi-label": "given as settings",
    "ensemble": "ViTImageProcessor of transformers",
    "black box": "a black box takes files as they are",
    "top-1": "a black box takes files as they are",
}
"""Every kind, and with what its preprocessing is compared, or why with nothing."""


def test_every_kind_has_its_example(ran):
    assert list(ran["classifiers"]) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_it_gives_a_probability_a_label_and_its_measured_parity(ran, kind):
    classifier = ran["classifiers"][kind]
    with torch.no_grad():
        scores = classifier.probability(classifier.logits(torch.rand(2, 3, 40, 56)))
    assert scores.shape == (2, len(classifier.labels))
    if kind != "multi-label":
        torch.testing.assert_close(scores.sum(1), torch.ones(2))
    told = classifier.parity_told
    assert KINDS[kind] in told.get("compared with", told.get("why"))
    if "why" in told:
        assert told["levels of 255"] is None
    else:
        assert 0 <= told["levels of 255"] <= 2


@pytest.mark.parametrize("kind", ["transformers", "module", "top-1"])
def test_the_measured_parity_goes_into_the_result(ran, generator, kind):
    classifier = ran["classifiers"][kind]
    tree = inversion_kit.invert(
        classifier, 0, generator=generator, steps=0, samples=1, validation=1, batch=1,
        method="gradient" if classifier.differentiable else "cma", progress=False,
    )  # fmt: skip
    assert json.loads(tree.attrs["preprocess_parity"]) == classifier.parity_told


def test_a_wrong_preprocessing_would_show_in_the_result():
    """Broken on purpose: our resize is another than the library's."""
    weights = torchvision.models.ResNet18_Weights.DEFAULT
    small = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1000))
    broken = inversion_kit.as_classifier(small, preprocess=weights)
    object.__setattr__(broken.preprocess, "interpolation", "nearest")
    assert broken.parity_told["levels of 255"] > 20


def test_the_black_boxs_example_keeps_a_ledger(ran):
    ledger = ran["tree"]["ledger"].to_dataset()
    assert int(ledger["queries"].max()) <= 170
    assert ran["both"].name == "contrast('pocket:honest', 'pocket:judge')"
