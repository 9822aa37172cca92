"""README and pages: every example runs as it stands, on the pocket and tiny real models."""

from __future__ import annotations

import functools
import json
import re
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
import timm
import torch
import torchvision
import transformers
import typer
from torch import nn

import inversion_kit
from inversion_kit import analysis, arms, figures, objectives, schema
from inversion_kit.cli import app
from tests.test_adapters import clip, tiny_vit
from tests.test_onnx import export

ROOT = Path(__file__).parents[1]
PAGES = {
    p.name: p.read_text("utf-8")
    for p in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
BLOCK = re.compile(r"(<!-- not run: .+? -->\n)?```(\w*)\n(.*?)```", re.DOTALL)
SHORT = {"steps": 1, "batch": 1, "validation": 1, "samples": 1, "restarts": 0, "seeds": 1}
"""Searches of the examples are as short as this here, and `generate` makes one image."""
OFFLINE = {
    '"timm/resnet18.a1_in1k"': "my_timm_model",
    "resnet18(weights=weights)": "resnet18()",
    '"path/to/a/stable-diffusion"': '"pocket"',
}
"""There is no network to load weights from; each stands in the pages once."""

pytestmark = pytest.mark.skipif(len(PAGES) < 2, reason="an installed package has no pages")


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page in a language, without those that cannot be run here."""
    return [
        code for mark, kind, code in BLOCK.findall(PAGES[page]) if kind == language and not mark
    ]


def commands(page: str) -> list[list[str]]:
    """The words of every `inversion-kit` command of a page, in blocks and in the text."""
    lines = [line for code in blocks(page, "bash") for line in code.splitlines()]
    lines += re.findall(r"`(inversion-kit [^`]+)`", PAGES[page])
    parts = [part for line in lines for part in line.split("#")[0].split("&&")]
    return [shlex.split(part) for part in parts if part.strip().startswith("inversion-kit ")]


def my_modules() -> dict[str, Any]:
    """What the examples call a reader's own."""

    def network(classes: int) -> nn.Module:
        return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, classes))

    def ask_for_probabilities(images: np.ndarray) -> np.ndarray:
        share = images[..., 0].mean((1, 2)) / 255
        return np.stack([share, 1 - share], 1)

    def ask_for_the_top_class(images: np.ndarray) -> np.ndarray:
        return np.array(["dog" if image[..., 0].mean() < 120 else "cat" for image in images])

    names = ["tabby", "tiger cat", "dog"]
    inputs = inversion_kit.Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3)
    return {
        "my_timm_model": timm.create_model("test_resnet", num_classes=7).eval(),
        "my_module": network(3),
        "my_label_names": names,
        "my_one_logit": network(1),
        "ask_for_probabilities": ask_for_probabilities,
        "ask_for_the_top_class": ask_for_the_top_class,
        "classifier": inversion_kit.as_classifier(network(3), preprocess=inputs, labels=names),
        "another_classifier": inversion_kit.as_classifier(
            network(3), preprocess=inputs, labels=names, name="another"
        ),
        "images": np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8),
        "truth": [0, 1, 2, 0, 1, 2],
    }


def shortened(call: Any) -> Any:
    """A public call that searches for a moment only."""

    @functools.wraps(call)
    def short(model: Any, *labels: Any, **given: Any) -> Any:
        given |= {"progress": False, **SHORT}
        if given.get("method") == "cma":
            given |= {"queries": 170, "validation": 4}
        return call(model, *(labels or ["stop"]), **given)

    return short


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples run: the models that they name as paths are there."""
    folder = tmp_path_factory.mktemp("pages")
    for name in ("path/to/a/vit", "path/to/another/vit"):
        tiny_vit().save_pretrained(folder / name)
        processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
        processor.save_pretrained(folder / name)
    for part in clip():
        part.save_pretrained(folder / "path/to/a/clip")
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 2))
    export(pooled, folder / "path/to/a/model.onnx", shape=(3, 224, 224))
    return folder


@pytest.fixture(scope="module")
def ran(folder: Path) -> Any:
    """A function that runs a page, once, and gives the names that its blocks define."""
    torch.manual_seed(0)
    done: dict[str, dict[str, Any]] = {}

    def run(page: str) -> dict[str, Any]:
        if page != "README.md":
            run("README.md")  # its results are what the other pages go on from
        if page in done:
            return done[page]
        names = done[page] = {"ik": inversion_kit, **my_modules()}
        known = set(arms.ARMS)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            for call in ("invert", "audit"):
                short = shortened(getattr(inversion_kit, call))
                patch.setattr(inversion_kit, call, short, raising=False)
            for code in blocks(page, "python"):
                for written, here in OFFLINE.items():
                    code = code.replace(written, here)
                exec(compile(code.replace("n=8", "n=1"), page, "exec"), names)
        for own in set(arms.ARMS) - known:
            del arms.ARMS[own]
        if page == "README.md":
            shutil.copytree(folder / "runs" / "audit", folder / "runs" / "other")
        return names

    return run


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_every_example_runs(ran: Any, page: str) -> None:
    assert ran(page)


def test_what_is_replaced_stands_there_once() -> None:
    code = [code for page in PAGES for code in blocks(page, "python")]
    for written in OFFLINE:
        assert sum(block.count(written) for block in code) == 1, written


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_every_command_is_one(page: str) -> None:
    known, refused = typer.main.get_command(app).commands, []
    for _, name, *rest in commands(page):
        try:
            if rest != ["--help"]:
                known[name].make_context(name, rest)
        except (KeyError, click.UsageError) as error:
            refused.append((name, rest, str(error)))
    assert refused == []


def test_every_command_is_shown() -> None:
    shown = {name for page in PAGES for _, name, *_ in commands(page)}
    assert shown == set(typer.main.get_command(app).commands)


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_is_there(page: str) -> None:
    text, home = PAGES[page], ROOT if page == "README.md" else ROOT / "docs"
    links = re.findall(r"\]\(([^)#:\s]+)(?:#([^)]*))?\)", text)
    for path, _ in links:
        assert (home / path).exists(), path
    for path in re.findall(r"\b(?:tests|benchmarks|notebooks)/[\w./]+\w", text):
        assert (ROOT / path).exists(), path
    for module in re.findall(r"python -m ([\w.]+)", text):
        there = ROOT / module.replace(".", "/")
        assert there.with_suffix(".py").exists() or (there / "__main__.py").exists(), module


def test_the_readme_takes_five_minutes() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 150


def test_every_public_name_is_shown() -> None:
    cells = [
        "".join(cell["source"])
        for path in (ROOT / "notebooks").glob("*.ipynb")
        for cell in json.loads(path.read_text("utf-8"))["cells"]
    ]
    whole = "\n".join([*PAGES.values(), *cells])
    shown = {word for words in re.findall(r"`([^`\n]+)`|ik\.([\w.]+)", whole) for word in words}
    shown = {word for text in shown for word in re.findall(r"\w+", text)}
    parts = {*analysis.__all__, *figures.__all__}
    parts |= {name for name in vars(objectives) if name in getattr(objectives, "__all__", ())}
    assert {*inversion_kit.__all__, *parts} - shown == set()


def test_the_pages_show_the_schema_and_the_arms() -> None:
    for group, table in schema.UNIT.items():
        (row,) = [x for x in PAGES["results.md"].splitlines() if x.startswith(f"| `/{group}`")]
        assert set(table) <= set(re.findall(r"`(\w+)`", row))
    assert all(f"`/{group}`" in PAGES["README.md"] for group in (*schema.UNIT, *schema.WHOLE))
    assert set(schema.ATTRIBUTES) <= set(re.findall(r"`(\w+)`", PAGES["results.md"]))
    for name, arm in arms.ARMS.items():
        (row,) = [x for x in PAGES["how-it-works.md"].splitlines() if x.startswith(f"| `{name}` |")]
        assert (arm.templates or arms.NAME_FREE)[0] in row


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
    "onnx": "given as settings",
    "ensemble": "ViTImageProcessor of transformers",
    "black box": "a black box takes files as they are",
    "top-1": "a black box takes files as they are",
}
"""Every kind, and with what its preprocessing is compared, or why with nothing."""


@pytest.fixture
def page(ran: Any) -> SimpleNamespace:
    """The names that the page of classifiers defines."""
    return SimpleNamespace(**ran("classifiers.md"))


def test_every_kind_has_its_example(page: SimpleNamespace) -> None:
    assert list(page.classifiers) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_it_gives_a_probability_a_label_and_its_measured_parity(
    page: SimpleNamespace, kind: str
) -> None:
    classifier = page.classifiers[kind]
    with torch.no_grad():
        scores = classifier.probability(classifier.logits(torch.rand(2, 3, 40, 56)))
    assert scores.shape == (2, len(classifier.labels))
    if kind != "multi-label":
        torch.testing.assert_close(scores.sum(1), torch.ones(2))
    facts = classifier.parity_facts()
    assert KINDS[kind] in facts.get("compared with", facts.get("why"))
    if "why" in facts:
        assert facts["levels of 255"] is None
    else:
        assert 0 <= facts["levels of 255"] <= 2


@pytest.mark.parametrize("kind", ["transformers", "module", "top-1"])
def test_the_measured_parity_goes_into_the_result(
    page: SimpleNamespace, generator: Any, kind: str
) -> None:
    classifier = page.classifiers[kind]
    method = "gradient" if classifier.differentiable else "cma"
    given = {**SHORT, "steps": 0, "method": method, "progress": False}
    tree = inversion_kit.invert(classifier, 0, generator=generator, **given)
    assert json.loads(tree.attrs["settings"])["preprocess_parity"] == classifier.parity_facts()


def test_a_wrong_preprocessing_would_show_in_the_result() -> None:
    """Broken on purpose: our resize is another than the library's."""
    weights = torchvision.models.ResNet18_Weights.DEFAULT
    small = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1000))
    broken = inversion_kit.as_classifier(small, preprocess=weights)
    object.__setattr__(broken.preprocess, "interpolation", "nearest")
    assert broken.parity_facts()["levels of 255"] > 20


def test_the_black_boxs_example_keeps_a_ledger(page: SimpleNamespace) -> None:
    ledger = page.tree["ledger"].to_dataset()
    assert int(ledger["queries"].max()) <= 170
    assert page.both.name.startswith("contrast(")
