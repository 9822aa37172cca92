"""`repair`: a last layer that no longer listens to a cue, measured on noise it has not seen."""

from __future__ import annotations

import json
import re
from html import unescape

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import inversion_kit as ik
from inversion_kit.bank.cues import POCKET, Cue
from inversion_kit.cli import app
from inversion_kit.errors import InputError
from inversion_kit.finding.datasets import findings_table, proof_table
from inversion_kit.finding.effects import Effect
from inversion_kit.finding.operators import SIDES
from inversion_kit.finding.proof import Proof
from inversion_kit.finding.verdicts import Finding
from inversion_kit.generators.sample import from_bytes
from inversion_kit.hashing import hash_module
from inversion_kit.improve.last_layer import last_layer
from inversion_kit.improve.measures import gaps
from inversion_kit.improve.refit import Examples, refit
from inversion_kit.improve.ties import Tie
from inversion_kit.testing import synthetic, synthetic_findings

SIGNS = ["keep right", "keep left", "ahead only", "stop"]
LOST = ("keep right", "bright", "lack")
PUSHED = ("80 km/h speed limit", "yellow sticker", "push")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Few labels and noises; pictures are made once for all tests."""
    return {
        "generator": ik.as_generator("pocket"),
        "judges": [ik.as_classifier("pocket:judge")],
        "labels": SIGNS,
        "noises": 4,
        "bank": tmp_path_factory.mktemp("bank"),
        "progress": False,
    }


@pytest.fixture(scope="module")
def shortcut(given):
    """The classifier that knows "keep right" from dark photographs alone, and its repair."""
    old = ik.as_classifier("pocket:shortcut")
    before = hash_module(old.model)
    made = ik.repair(old, LOST, **given)
    assert hash_module(old.model) == before == old.hash
    return old, made


def test_a_page_has_the_numbers_and_the_pictures(shortcut, tmp_path) -> None:
    made = shortcut[1]
    page = ik.report(made, tmp_path / "repair.html").read_text()
    before, after = (
        float(made.table["gap"].sel(finding=0, way="painted", when=when))
        for when in ("before", "after")
    )
    rows = re.findall(r"<tr>.*?</tr>", page, re.DOTALL)
    (row,) = [one for one in rows if ">painted<" in one]
    numbers = [int(n) for n in re.findall(r"(\d+)\s*%", re.sub("<[^>]+>", "", unescape(row)))]
    assert numbers[:2] == [round(100 * v) for v in (before, after)]
    assert page.count("<svg") == 1
    assert "bright" in page
    assert "<script" not in page
    assert made.sentences[0] in unescape(page)


def test_what_was_lost_is_read_again(shortcut) -> None:
    """Held-out noise: at least 75 % of the gap is gone, for at most a point of accuracy."""
    table = shortcut[1].table
    painted = table.sel(finding=0, way="painted")
    assert int(painted["pictures"]) >= 8
    assert float(painted["gap"].sel(when="before")) > 0.5
    assert float(painted["closed"]) >= 0.75
    assert float(painted["gap_change_high"]) < 0
    assert float(table["accuracy_change"].sel(images="generated")) >= -0.01
    assert table["label"].values.tolist() == ["keep right"]
    assert table["operator"].values.tolist() == ["brighter, as painted"]


def test_a_cue_that_it_does_not_have_changes_nothing(given) -> None:
    """The control: a clean classifier stays as it was within noise."""
    table = ik.repair("pocket:honest", PUSHED, **given).table
    for name in ("gap_change", "accuracy_change"):
        assert (table[f"{name}_low"] <= 0).all(), name
        assert (table[f"{name}_high"] >= 0).all(), name
    assert abs(table["gap_change"]).max() <= 0.05
    assert abs(table["accuracy_change"]).max() <= 0.01


def test_only_the_last_layer_is_new(shortcut) -> None:
    old, made = shortcut
    ours, theirs = made.classifier.model.state_dict(), old.model.state_dict()
    other = {name for name in ours if not torch.equal(ours[name], theirs[name])}
    assert other == {"fc.weight", "fc.bias"}
    images = torch.rand(3, 3, 32, 32)
    assert torch.equal(made.classifier.features(images), old.features(images))
    assert made.classifier.name == "pocket:shortcut, repaired"
    assert made.classifier.source is None
    assert made.classifier.hash != old.hash


def test_the_same_call_gives_the_same_bits(shortcut, given) -> None:
    again = ik.repair("pocket:shortcut", LOST, **given)
    assert again.classifier.hash == shortcut[1].classifier.hash
    assert again.table.equals(shortcut[1].table)
    assert again.table.attrs == shortcut[1].table.attrs


def test_what_is_saved_repairs_a_fresh_module(shortcut, tmp_path) -> None:
    from safetensors.torch import load_file

    _, made = shortcut
    place = made.save(tmp_path / "a")
    fresh = ik.as_classifier("pocket:shortcut")
    layer = load_file(place / "last_layer.safetensors")
    assert sorted(layer) == ["fc.bias", "fc.weight"]
    fresh.model.load_state_dict(layer, strict=False)
    images = torch.rand(3, 3, 32, 32)
    assert torch.equal(fresh.logits(images), made.classifier.logits(images))
    kept = json.loads((place / "repair.json").read_text("utf-8"))
    assert kept["data_vars"]["cue"]["data"] == ["bright"]
    assert any("keep right" in sentence for sentence in made.sentences)


def test_on_images_of_a_folder(shortcut, given, tmp_path) -> None:
    """The generator's pictures stand for real ones; a bright one is lost before, and not after."""
    for sign in ("keep right", "stop"):
        (tmp_path / sign).mkdir()
        for i, image in enumerate(
            ik.generate(
                given["generator"].vector_of("a"),
                f"a photo of a {sign} {{token}}",
                generator=given["generator"],
                n=6,
            )
        ):
            image.save(tmp_path / sign / f"{i}.png")
    Image.new("RGB", (40, 30)).save(tmp_path / "stop" / "another size.png")
    table = ik.repair("pocket:shortcut", LOST, real=tmp_path, **given).table
    assert int(table["images_read"].sel(images="real")) == 13
    real = table.sel(finding=0, way="real")
    assert float(real["gap"].sel(when="before")) > float(real["gap"].sel(when="after"))
    for found in table["images"].values:
        assert np.isfinite(table["accuracy"].sel(images=found)).all()
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.new("RGB", (32, 32)).save(flat / "one.png")
    with pytest.raises(InputError, match="no folders that say the classes"):
        ik.repair("pocket:shortcut", LOST, real=flat, **given)


def _found(label: str, cue: Cue, lens: str) -> Finding:
    """A finding as a search confirms it, proved with yellow patches."""
    most, none = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
    proof = Proof(
        operator="yellow patch, where it was painted",
        doses=SIDES,
        rate=(0.4, 0.9, 0.9),
        low=none,
        high=most,
        placebo=none,
        placebo_low=none,
        placebo_high=none,
        best=2,
        held=4,
        of=4,
        confirmed=True,
        undone=None,
        pictures=np.zeros((3, 1, 32, 32, 3), "u1"),
    )
    effect = Effect(0.99, 0.9, 1.0, 4, 4, 0.001, 0.0, 32)
    return Finding(label, "push", cue, lens, effect, 0.0, 0.001, proof)


def test_findings_of_a_result_are_repaired(given, tmp_path) -> None:
    """From a shell: the models are those of the result, and what has no words is said."""
    tree = ik.invert(
        "pocket:backdoored",
        "stop",
        generator="pocket",
        judges=["pocket:judge"],
        arms=["name"],
        samples=1,
        seeds=1,
        progress=False,
    )
    sticker = next(cue for cue in POCKET if cue.name == PUSHED[1])
    found = [
        _found(PUSHED[0], sticker, "words"),
        _found(PUSHED[0], Cue("yellow patch of 12 pixels", "sticker", ()), "trigger"),
    ]
    groups = {"findings": findings_table(found), "proof": proof_table(found)}
    for name, table in groups.items():
        tree[name] = xr.DataTree(table)
    ik.save(tree, tmp_path / "run.zarr")
    asked = ["repair", "pocket:backdoored", str(tmp_path / "run.zarr"), "--noises", "4"]
    asked += ["--bank", str(given["bank"]), "--out", str(tmp_path / "out")]
    asked += [word for sign in SIGNS for word in ("--label", sign)]
    ended = CliRunner().invoke(app, asked)
    assert ended.exit_code == 0, ended.output
    assert "“80 km/h speed limit” given to other classes" in ended.output
    assert "left out: “80 km/h speed limit” by “yellow patch of 12 pixels”" in ended.output
    kept = json.loads((tmp_path / "out" / "repair.json").read_text("utf-8"))
    assert kept["coords"]["way"]["data"] == ["painted", "pixels"]
    assert min(kept["data_vars"]["closed"]["data"][0]) > 0.75
    assert kept["data_vars"]["operator"]["data"] == ["yellow patch, where it was painted"]
    assert kept["data_vars"]["dose"]["data"] == [SIDES[2]]
    other = CliRunner().invoke(app, ["repair", "pocket:honest", *asked[2:]])
    assert other.exit_code == 2
    assert "other weights" in other.output


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search for findings, the repair of what it confirmed, and the search again."""
    quick = {
        "generator": ik.as_generator("pocket:quick"),
        "judges": ["pocket:judge"],
        "labels": SIGNS,
        "bank": tmp_path_factory.mktemp("quick"),
        "progress": False,
    }
    look = {**quick, "lenses": ["words"], "cues": ["bright", "yellow sticker"]}
    found = ik.findings("pocket:shortcut", **look)
    made = ik.repair("pocket:shortcut", found, **quick)
    return found, made, ik.findings(made.classifier, **look)


def test_what_a_search_found_is_repaired_and_not_found_again(searched) -> None:
    found, made, again = searched
    confirmed = found["findings"].to_dataset().query(finding="confirmed")
    assert confirmed["of_label"].values.tolist() == [LOST[0]]
    assert [made.table[n].item() for n in ("label", "cue", "direction")] == list(LOST)
    proof = found["proof"].sel(finding=confirmed["finding"][0])
    assert made.table["operator"].item() == proof["operator"].item()
    assert float(made.table["closed"].min()) > 0.75
    assert not again["findings"]["confirmed"].values.any()
    assert "Nothing is confirmed" in ik.analysis.looked_for(again)[0]


def test_its_pictures_show_what_was_read_before_and_after(searched) -> None:
    _, made, _ = searched
    one = made.pictures.sel(finding=0)
    assert one.attrs == {"a": "pocket:shortcut", "b": "pocket:shortcut, repaired"}
    old = ik.as_classifier("pocket:shortcut")
    for model, name in ((old, "before"), (made.classifier, "after")):
        for row in ("plain", "cue"):
            images = from_bytes(one["picture"].sel(row=row).values)
            read = [model.labels[i] for i in model.logits(images).argmax(1)]
            assert one["read"].sel(model=name, row=row).values.tolist() == read
    with_cue = one["read"].sel(row="cue").values == "keep right"
    assert with_cue[0].mean() < 0.5 < with_cue[1].mean()
    drawn = ik.figures.both_read(made.pictures)
    assert "“bright”" in drawn.layout.title.text


def _module(*last: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), *last)


def _wrapped(model, **more):
    return ik.as_classifier(
        model, preprocess=ik.Preprocess(size=(8, 8)), labels=["a", "b", "c"], **more
    )


def test_any_module_that_ends_in_a_linear_layer() -> None:
    """The layer is told from others of its width by what it gives; no bias is no fault."""
    model = _module(nn.Linear(12, 3), nn.ReLU(), nn.Linear(3, 3, bias=False))
    layer = last_layer(_wrapped(model))
    assert layer.name == "4"
    images = torch.rand(5, 3, 8, 8)
    weight, bias = layer.weights()
    assert bias.tolist() == [0, 0, 0]
    ours = layer.features(images) @ weight.T
    theirs = layer.classifier.logits(images).detach().numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    new = layer.replaced(weight + 1, bias)
    np.testing.assert_allclose(
        new.logits(images).detach().numpy(), layer.features(images) @ (weight + 1).T, atol=1e-5
    )


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: _wrapped(_module(nn.Linear(12, 3), nn.Softmax(1)), head="probability"), "head"),
        (lambda: _wrapped(_module(nn.Linear(12, 3), nn.Tanh())), "no nn.Linear in it gives"),
        (
            lambda: _wrapped(
                _module(nn.Unflatten(1, (12, 1, 1)), nn.Conv2d(12, 3, 1), nn.Flatten())
            ),
            "no nn.Linear",
        ),
        (lambda: _wrapped(lambda x: x.mean((2, 3))), "a function"),
        (lambda: ik.as_classifier(["pocket:honest", "pocket:judge"]), "an ensemble"),
        (
            lambda: ik.as_classifier(
                lambda x: np.zeros(len(x), int), labels=["a", "b"], black_box=True
            ),
            "a black box",
        ),
    ],
)
def test_what_has_no_such_layer_is_refused(model, words: str) -> None:
    with pytest.raises(InputError, match=f"cannot be repaired.*{words}.*give an nn.Module"):
        ik.repair(model(), ("a", "dark", "lack"), generator="pocket")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"findings": "bright"}, "expected a result of findings"),
        ({"findings": []}, "expected a result of findings"),
        ({"findings": [("stop", "bright")]}, "give \\(label, cue, direction\\)"),
        ({"findings": ("stop", "bright", "up")}, "'push', 'lack'"),
        ({"findings": ("no such", "bright", "lack")}, "is none of the 43 labels"),
        ({"findings": ("stop", "", "lack")}, "cues: ''"),
        ({"noises": 3}, "noises=3"),
        ({"labels": []}, "labels=\\[\\]"),
        ({"generator": None}, "generator"),
        ({"judges": ["pocket:shortcut"]}, "judges"),
        ({"real": "no/such/folder"}, "real"),
        ({"findings": synthetic()}, "the result holds none"),
        ({"findings": synthetic_findings(synthetic())}, "other weights"),
    ],
)
def test_bad_input_is_refused_before_any_picture(given, changed: dict, words: str) -> None:
    asked = {"findings": LOST, **given, **changed}
    with pytest.raises(InputError, match=words):
        ik.repair("pocket:shortcut", asked.pop("findings"), **asked)


def test_a_refit_stays_where_nothing_speaks_against() -> None:
    """A layer that reads all right already is not moved farther than the strongest hold lets it."""
    chance = np.random.default_rng(0)
    rows = np.concatenate([chance.normal(at, 0.3, (40, 2)) for at in ([2, 0], [-2, 0])])
    classes = np.repeat([0, 1], 40)
    old = np.array([[0.5, 0.0], [-0.5, 0.0]])
    held = np.tile(np.arange(40) >= 30, 2)
    made = refit(Examples(rows, classes, np.ones(80), held), old, np.zeros(2))
    assert made.strength == 1.0
    np.testing.assert_allclose(made.weight, old, atol=0.3)  # free, it would grow without end


def test_a_layer_without_a_bias_gets_none() -> None:
    rows = np.array([[1.0, 1.0], [1.0, 0.0], [-1.0, 1.0], [-1.0, 0.0]] * 2)
    examples = Examples(rows, (rows[:, 0] < 0).astype(int), np.ones(8), np.arange(8) >= 4)
    made = refit(examples, np.array([[0.0, 5.0], [0.0, -5.0]]), np.zeros(2), with_bias=False)
    assert made.bias.tolist() == [0, 0]
    assert (rows @ made.weight.T).argmax(1).tolist() == examples.classes.tolist()


def test_the_change_of_a_gap_is_never_said_for_certain() -> None:
    """Few pictures that all agree have a wide interval."""
    plain, cued = np.zeros((2, 1, 4), bool), np.zeros((2, 1, 4), bool)
    cued[0] = True
    made = gaps(plain, cued, np.ones((1, 4), bool))
    assert made["gap_change"] == -1
    assert made["gap_change_high"] > -0.6


def test_whom_a_cue_harms() -> None:
    sources = np.array([0, 1, 2])
    assert Tie(1, POCKET[0], "push").affected(sources).tolist() == [True, False, True]
    assert Tie(1, POCKET[0], "push", only=(2,)).affected(sources).tolist() == [False, False, True]
    assert Tie(1, POCKET[0], "lack").affected(sources).tolist() == [False, True, False]
