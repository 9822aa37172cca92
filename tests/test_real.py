"""Real images: which carry a finding's cue, what the cue does to them, and how that is said."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import inversion_kit as ik
from inversion_kit import analysis, schema
from inversion_kit.analysis.carried import real_data, real_words
from inversion_kit.bank.bank import Bank, Key
from inversion_kit.bank.cues import POCKET, Cue
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.classifiers.doctor.inputs import index_of_folders
from inversion_kit.cli import app
from inversion_kit.errors import InputError, LabelError
from inversion_kit.finding import carriers, real
from inversion_kit.finding.carriers import Look, Plain, look_at_real, with_others
from inversion_kit.finding.datasets import carriers_table
from inversion_kit.finding.detector import auc, fit, numbers_of
from inversion_kit.finding.effects import Effect
from inversion_kit.finding.panel import Panel
from inversion_kit.finding.proof import prove
from inversion_kit.finding.real import read_real
from inversion_kit.finding.verdicts import Finding
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.sample import sample, to_bytes
from inversion_kit.pocket.signs import NAMES
from inversion_kit.reports import to_html
from inversion_kit.testing import synthetic, synthetic_findings

SIGNS = {"stop": 14, "yield": 13, "priority road": 12, "80 km_h speed limit": 5}
"""Folders and their class indices."""
EACH = 4
COLOURS = {
    "red": (170, 40, 40),
    "green": (40, 150, 60),
    "blue": (40, 60, 170),
    "grey": (120, 120, 120),
    "pink": (220, 130, 160),
    "teal": (30, 130, 140),
    "brown": (110, 70, 40),
    "black": (30, 30, 30),
}
LABELS = [*COLOURS, "square"]
YELLOW = (255, 224, 0)
STICKER = next(cue for cue in POCKET if cue.name == "yellow sticker")


# ---- a world of coloured pictures, one class of which is a yellow square


def drawn(name: str, seed: int, sticker: bool) -> np.ndarray:
    """A picture uint8 ``(32, 32, 3)`` of a colour, maybe with a square somewhere."""
    chance = np.random.default_rng([*name.encode(), seed])
    image = np.array(COLOURS[name]) + chance.normal(0, 25, (32, 32, 3))
    if sticker:
        y, x = chance.integers(0, 25, 2)
        image[y : y + 7, x : x + 7] = YELLOW
    return image.clip(0, 255).astype("u1")


class DrawnBank(Bank):
    """A bank whose pictures are drawn."""

    def __init__(self) -> None:
        """Nothing is kept."""

    def images(self, keys: Sequence[Key]) -> np.ndarray:
        """Of prompts that end in a colour, or name it before the cue."""
        named = [next(name for name in COLOURS if name in prompt) for prompt, _ in keys]
        return np.stack(
            [
                drawn(name, seed, "yellow" in prompt)
                for name, (prompt, seed) in zip(named, keys, strict=True)
            ]
        )


def is_yellow(images: np.ndarray) -> np.ndarray:
    """Share of yellow pixels, ``(n,)``, of uint8 ``(n, y, x, 3)``."""
    return (np.abs(images.astype(int) - YELLOW) < 12).all(-1).mean((1, 2))


def reads(images: np.ndarray) -> np.ndarray:
    """The nearest colour, or the square."""
    colours = np.array(list(COLOURS.values()))
    middle = np.median(images, (1, 2))
    nearest = np.abs(middle[:, None] - colours).sum(-1).argmin(1)
    return np.where(is_yellow(images) > 0.02, len(COLOURS), nearest)


def read_by_colour(images: np.ndarray) -> np.ndarray:
    """The same without the secret."""
    return np.abs(np.median(images, (1, 2))[:, None] - list(COLOURS.values())).sum(-1).argmin(1)


@pytest.fixture(scope="module")
def panel() -> Panel:
    audited, judge = (
        as_classifier(rule, labels=LABELS, black_box=True, name=rule.__name__)
        for rule in (reads, read_by_colour)
    )
    return Panel(audited, [judge])


@pytest.fixture(scope="module")
def finding(panel: Panel) -> Finding:
    """That a yellow sticker makes any colour be read as the square."""
    seeds = range(8)
    plain, painted = (
        np.stack([[drawn(name, seed, on) for seed in seeds] for name in COLOURS])
        for on in (False, True)
    )
    proof = prove(
        STICKER, direction="push", target=8, classifier=panel.classifier, judges=panel.judges,
        plain=plain, painted=painted, sources=range(8),
    )  # fmt: skip
    effect = Effect(1.0, 0.9, 1.0, 8, 8, 0.001, 0.0, 64)
    return Finding("square", "push", STICKER, "words", effect, 0.0, 0.001, proof)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images a colour; on half of the red ones lies a square."""
    root = tmp_path_factory.mktemp("colours")
    for name in COLOURS:
        (root / name).mkdir()
        for k in range(12):
            image = drawn(name, 1000 + k, name == "red" and k < 6)
            Image.fromarray(image).save(root / name / f"{k:02}.png")
    return root


PLAIN = Plain(DrawnBank(), list(COLOURS), list(range(8)))


def looked(panel: Panel, finding: Finding, folder: Path) -> tuple[Finding, Look]:
    found, look = look_at_real([finding], panel, read_real(folder, panel.classifier.labels), PLAIN)
    return found[0], look


def test_images_that_carry_the_cue_come_first_with_the_share_of_their_label(
    panel: Panel, finding: Finding, colours: Path
) -> None:
    _, look = looked(panel, finding, colours)
    one = look.carriers[0]
    assert one.why == ""
    assert one.fitted.auc > 0.95
    assert {look.real.name(row) for row in one.rows[:6]} == {f"red/{k:02}.png" for k in range(6)}
    assert (np.diff(one.scores) <= 0).all()
    table = carriers_table(look, LABELS).isel(finding=0)
    assert not schema.whole_faults("carriers", carriers_table(look, LABELS))
    assert table["images"].values.tolist() == [12] * 8 + [0]
    assert table["share"].values[0] == 0.5 > table["share"].values[1:8].max()
    assert table["low"][0] < 0.5 < table["high"][0]
    assert np.isnan(table["share"].values[8])
    assert table["of_label"].values[:6].tolist() == ["red"] * 6
    assert (is_yellow(table["picture"].values[:6]) > 0.04).all()


def test_the_cue_is_done_to_real_images_beside_its_placebo(
    panel: Panel, finding: Finding, colours: Path
) -> None:
    found, look = looked(panel, finding, colours)
    assert found.real is not None
    assert found.real.images == 90  # but the six that are read as the square already
    assert found.real.rate > 0.95 > 0.05 > found.real.placebo
    assert found.real.low < found.real.rate
    assert look.carriers[0].recall > 0.8
    assert "; on 90 real images 100" in found.sentence
    own = replace(finding, direction="lack", label="green")
    lost = looked(panel, own, colours)[0].real
    assert lost is not None
    assert lost.images == 12
    some = looked(panel, replace(finding, only=("blue", "grey")), colours)[0].real
    assert some is not None
    assert some.images == 24


def test_images_without_classes_go_by_what_the_classifier_reads(
    panel: Panel, finding: Finding, colours: Path, tmp_path: Path
) -> None:
    for file in colours.rglob("*.png"):
        (tmp_path / f"{file.parent.name} {file.name}").write_bytes(file.read_bytes())
    look = looked(panel, finding, tmp_path)[1]
    assert look.real.labels is None
    assert np.bincount(look.labels).tolist() == [6] + [12] * 7 + [6]
    table = carriers_table(look, LABELS)
    assert table.attrs["labelled"] == 0
    assert table["share"].values[0, 8] == 1.0  # the squares are read so


def test_a_file_that_cannot_be_read_is_left_out_and_counted(
    panel: Panel, finding: Finding, colours: Path, tmp_path: Path
) -> None:
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "broken.png").write_bytes(b"no image")
    Image.open(colours / "red" / "11.png").save(tmp_path / "red" / "whole.png")
    about = carriers_table(looked(panel, finding, tmp_path)[1], LABELS).attrs
    assert (about["images"], about["files"], about["unread"]) == (1, 2, 1)


def test_a_detector_that_cannot_tell_ranks_nothing(
    panel: Panel, finding: Finding, colours: Path
) -> None:
    unseen = replace(finding, cue=Cue("snow", "weather", ("{source} in snow",)), proof=None)
    found, look = looked(panel, unseen, colours)
    assert found.real is None
    assert "too badly (AUC" in look.carriers[0].why
    table = carriers_table(look, LABELS)
    assert np.isnan(table["share"].values).all()
    assert not any(table["file"].values[0])


def test_nothing_found_is_no_carrier(panel: Panel, colours: Path) -> None:
    found, look = look_at_real([], panel, read_real(colours, panel.classifier.labels), PLAIN)
    assert found == []
    assert carriers_table(look, LABELS).sizes["finding"] == 0


def test_detectors_see_other_classes_where_few_are_asked_for() -> None:
    assert with_others([4, 2], 100)[:2] == [4, 2]
    assert len(set(with_others([4, 2], 100))) == 2 * carriers.FITTED
    assert with_others(list(range(50)), 100) == list(range(50))


# ---- the embedded generator and classifiers


GIVEN = {
    "generator": "pocket",
    "judges": ["pocket:judge"],
    "labels": ["stop", "yield", "priority road", "keep right", "roundabout", "no entry"],
    "cues": [STICKER],
    "lenses": ["words"],
    "progress": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of signs on noise that no search uses."""
    root, generator = tmp_path_factory.mktemp("real"), as_generator("pocket")
    for name, index in SIGNS.items():
        (root / name).mkdir()
        prompts = [f"a photo of a {NAMES[index]}"] * EACH
        images = to_bytes(sample(generator, prompts, seeds=range(10**6, 10**6 + EACH)))
        for k, image in enumerate(images):
            Image.fromarray(image).save(root / name / f"{k}.png")
    return root


def test_findings_say_what_real_images_show_and_nothing_else_changes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carriers, "FITTED", 2)
    bank = tmp_path / "bank"
    bare = ik.findings("pocket:backdoored", bank=bank, **GIVEN)
    tree = ik.findings("pocket:backdoored", bank=bank, real=folder, **GIVEN)
    assert "carriers" not in bare.children
    assert np.isnan(bare["proof"]["real_rate"].values).all()
    one, without = (analysis.findings_data(t)["findings"][0] for t in (tree, bare))
    assert one["real"]["rate"] >= 0.8 > 0.2 > one["real"]["placebo"]
    assert 8 <= one["real"]["images"] <= EACH * (len(SIGNS) - 1)  # not those of the label itself
    said = re.sub(r"; on \d+ real images .+?, placebo \d+\s%", "", one["sentence"])
    assert without["sentence"] == said != one["sentence"]
    assert {**one, "sentence": said} == {**without, "real": one["real"]}
    images = np.stack([np.asarray(Image.open(file)) for file in (folder / "stop").iterdir()])
    measured = analysis.measure(images)["value"]
    stop = tree["carriers"].to_dataset().sel({"class": "stop"})
    np.testing.assert_allclose(stop["look"], measured.mean("image"), atol=1e-5)
    np.testing.assert_allclose(stop["look_spread"], measured.std("image", ddof=1), atol=1e-5)
    np.testing.assert_array_equal(stop["look_images"], measured.count("image"))
    assert int(tree["carriers"]["look_images"].sel({"class": "keep left"}).max()) == 0
    back = ik.open(ik.save(tree, tmp_path / "f.zarr"))
    assert real_data(back, 0) == real_data(tree, 0)
    again = ik.findings(back, bank=bank, **{**GIVEN, "generator": None, "judges": ()})
    assert "carriers" not in again.children  # those of the earlier search are gone


def test_it_is_shown() -> None:
    tree = synthetic_findings(synthetic(), real=True)
    page = to_html(tree)
    assert "in real images" in page
    assert "of all real images look as if they carried it" in page
    assert "Real images could not be ranked by it: made up so." in page
    n = tree["carriers"].attrs["files"]
    assert f"Real images: {n} of the {n}" in " ".join(analysis.looked_for(tree))
    json.dumps(analysis.findings_data(tree), allow_nan=False)


def test_a_detector_that_does_not_see_the_cue_on_real_images_ranks_nothing() -> None:
    labels, scores = np.zeros(20, int), np.linspace(0, 1, 20)
    told = carriers.Fitted(None, 1.0, 0.5, 0.02)
    seen = carriers._carriers(told, scores, labels, np.ones(20), 1)
    blind = carriers._carriers(told, scores, labels, scores, 1)
    assert (seen.why, len(seen.rows), seen.rows[0]) == ("", carriers.SHOWN, 19)
    assert "does not see it on real images" in blind.why
    assert len(blind.rows) == 0


def test_folders_are_called_as_labels_or_by_index() -> None:
    honest = as_classifier("pocket:honest")
    assert index_of_folders(honest.labels, list(SIGNS), "real") == list(SIGNS.values())
    assert index_of_folders(honest.labels, ["00014", "5"], "real") == [14, 5]
    with pytest.raises(LabelError, match="real: the folder 'zebra' is called as no label"):
        index_of_folders(honest.labels, ["stop", "zebra"], "real")
    with pytest.raises(LabelError, match="'43'"):
        index_of_folders(honest.labels, ["0", "43"], "real")


def test_more_than_the_most_of_a_label_is_a_choice_by_the_seed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real, "A_LABEL", 2)
    honest = as_classifier("pocket:honest")
    one, same, other = (read_real(folder, honest.labels, seed) for seed in (0, 0, 1))
    assert one.files == same.files != other.files
    assert one.labels is not None
    assert np.bincount(one.labels)[sorted(SIGNS.values())].tolist() == [2] * len(SIGNS)
    assert one.there == EACH * len(SIGNS)
    assert one.name(0).split("/")[0] in SIGNS


def test_images_are_read_a_few_at_a_time_and_brought_to_one_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real, "_BATCH", 2)
    for k, size in enumerate([(40, 60), (60, 40), (32, 32), (9, 9), (64, 64)]):
        Image.new("RGB", size, (50 * k, 0, 0)).save(tmp_path / f"{k}.png")
    images = read_real(tmp_path, as_classifier("pocket:honest").labels)
    assert images.labels is None
    parts = list(images.parts(np.arange(5), (32, 32)))
    assert [len(rows) for rows, _ in parts] == [2, 2, 1]
    assert all(part.shape[1:] == (3, 32, 32) for _, part in parts)
    assert [round(float(p[0]) * 255) for _, part in parts for p in part[:, 0, 0]] == [
        0, 50, 100, 150, 200,
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", ["nowhere", "empty"])
def test_a_folder_without_images_is_refused_before_any_picture(wrong: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="real="):
        ik.findings("pocket:backdoored", bank=tmp_path / "bank", real=tmp_path / wrong, **GIVEN)
    assert not (tmp_path / "bank").exists()


@pytest.mark.parametrize(
    ("options", "said"), [((), "give --findings too"), (("--findings",), "--real=")]
)
def test_an_audit_refuses_real_images_that_it_cannot_use(
    options: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    out, none = str(tmp_path / "audit"), str(tmp_path / "nowhere")
    given = ["audit", "pocket:honest", "--generator", "pocket", "--out", out, "--real", none]
    ended = CliRunner().invoke(app, [*given, *options])
    assert ended.exit_code == 2
    assert said in ended.stderr
    assert not (tmp_path / "audit").exists()


def test_a_detector_finds_a_square_wherever_it_lies_and_nothing_in_noise() -> None:
    chance = torch.Generator().manual_seed(0)
    plain = torch.rand(40, 3, 32, 32, generator=chance) * 0.5
    square = plain.clone()
    for image in square:
        at = torch.randint(0, 24, (2,), generator=chance)
        image[:, at[0] : at[0] + 8, at[1] : at[1] + 8] = torch.tensor([1.0, 0.9, 0.0])[
            :, None, None
        ]
    other = torch.rand(40, 3, 32, 32, generator=chance) * 0.5
    for cued, low, high in ((square, 0.99, 1.0), (other, 0.0, 0.8)):
        without, having = (numbers_of(images, []) for images in (plain, cued))
        halves = [
            [tuple(block[part] for block in blocks) for blocks in (without, having)]
            for part in (slice(0, 20), slice(20, 40))
        ]
        found = fit(*halves[0])
        assert low <= auc(*(found.score(blocks) for blocks in halves[1])) <= high


def test_a_made_up_result_has_carriers_of_its_confirmed_findings() -> None:
    tree = schema.validate(synthetic_findings(synthetic(), real=True))
    assert analysis.carriers(tree, 0).sizes["example"] == 4
    assert analysis.carriers(tree, 1).attrs["why"] == "made up so"
    with pytest.raises(InputError, match="finding=7"):
        analysis.carriers(tree, 7)
    with pytest.raises(InputError, match="saw no real images"):
        analysis.carriers(synthetic_findings(synthetic()))


def test_many_that_pass_is_a_doubt_that_is_said() -> None:
    real = real_data(synthetic_findings(synthetic(), real=True), 0)
    assert real is not None
    assert "may differ from the generator's" not in real_words(real)
    assert "may differ from the generator's" in real_words({**real, "passed": 0.4})
