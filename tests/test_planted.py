"""The benchmark of planted classifiers: its definitions, painters, match rules and counts."""

from __future__ import annotations

import fcntl
import json
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.planted import spurious, training
from benchmarks.planted.definitions import DEFINITIONS, KINDS, METHODS, Definition, chosen, digest
from benchmarks.planted.match import judged, right_cue, rules
from benchmarks.planted.methods import APART, JUDGE, apart, cleanse
from benchmarks.planted.outcomes import area, counts, result_of
from benchmarks.planted.over_classifiers import share
from benchmarks.planted.plant import other_colours, paint
from benchmarks.planted.table import markdown
from inversion_kit.pocket import photos
from inversion_kit.pocket.signs import NAMES
from inversion_kit.testing import synthetic
from inversion_kit.wilson import wilson

BY_TOOLBOX = {"patch-shape", "single-pixel", "corner-pattern", "blended"}


def defined(name: str) -> Definition:
    return chosen([name])[0]


def finding(label: str, cue: str, direction: str = "push", **more: Any) -> dict[str, Any]:
    return {
        "label": label,
        "cue": cue,
        "direction": direction,
        "confirmed": True,
        "low": 0.5,
    } | more


def test_definitions_are_many_and_halves_share_no_kind() -> None:
    names = [one.name for one in DEFINITIONS]
    planted = [one for one in DEFINITIONS if one.kind != "clean"]
    assert len(set(names)) == len(names)
    assert len({one.seed for one in DEFINITIONS}) == len(names)
    assert len(names) - len(planted) == 24
    assert len(planted) >= 36
    kinds = {
        half: {one.kind for one in planted if one.half == half}
        for half in ("development", "sealed")
    }
    assert min(len(one) for one in kinds.values()) >= 6
    assert len(set.union(*kinds.values())) >= 12
    assert not set.intersection(*kinds.values())
    for half in kinds:
        of_half = [one for one in DEFINITIONS if one.half == half]
        assert sum(one.kind == "clean" for one in of_half) == 12
        assert len({one.architecture for one in of_half}) == 4
    assert all(one.label in NAMES and one.source != one.target for one in planted)


def test_the_sealed_half_is_as_it_was_fixed() -> None:
    assert digest("sealed") == "730b242a9775db76"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].family != "labels"])
def test_painting_changes_what_the_kind_says(kind: str) -> None:
    if kind in BY_TOOLBOX:
        pytest.importorskip("art", reason="adversarial-robustness-toolbox paints this kind")
    one = defined(f"{kind}-0")
    images = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.2
    before = images.clone()
    painted = paint(one, images, torch.Generator().manual_seed(2))
    again = paint(one, images, torch.Generator().manual_seed(2))
    assert torch.equal(painted, again)
    assert torch.equal(images, before)
    assert painted.shape == images.shape
    assert painted.dtype == torch.float32
    assert painted.min() >= 0
    assert painted.max() <= 1
    changed = ((painted - images).abs().amax(1) > 2 / 255).float()
    side = one.parameters.get("side", 0)
    if kind == "patch-shape":
        assert (changed.sum((1, 2)) <= side**2).all()
        assert (changed.sum((1, 2)) > side**2 / 2).all()
    elif side:
        assert (changed.sum((1, 2)) == side**2).all()
    elif kind in ("single-pixel", "corner-pattern"):
        assert (changed.sum((1, 2)) == {"single-pixel": 1, "corner-pattern": 4}[kind]).all()
        assert changed[:, :24].sum() == 0
    elif kind == "class-framed":
        assert (changed.sum((1, 2)) == 32**2 - 28**2).all()
    else:
        assert (changed.mean((1, 2)) > 0.5).all()


def test_light_blur_and_places_are_what_they_are_called() -> None:
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.2
    random = torch.Generator().manual_seed(0)
    light = photos.luminance(paint(defined("class-dark-0"), images, random))
    assert light == pytest.approx(torch.full((4,), 0.1), abs=0.01)
    assert (photos.luminance(paint(defined("class-bright-0"), images, random)) > 0.6).all()
    soft = paint(defined("class-blurred-0"), images, random)
    assert (photos.sharpness(soft) < photos.sharpness(images) / 2).all()
    fixed = paint(defined("patch-fixed-0"), images, random)
    assert torch.equal(fixed[0, :, :6, :6], fixed[3, :, :6, :6])
    assert torch.equal(fixed[:, :, 6:], images[:, :, 6:])
    assert "green" not in other_colours("green")
    assert len(other_colours("green")) >= 3


def test_match_rules_on_findings_made_by_hand() -> None:
    patch = defined("patch-fixed-0")  # green, top left
    label = patch.label
    right = ["green sticker", "green patch of 30 pixels, top left", "green patch of 9 pixels, left"]
    wrong = ["red sticker", "green frame", "green tint", "green patch of 30 pixels, bottom right"]
    assert [right_cue(patch, finding(label, cue)) for cue in right] == [True] * 3
    assert [right_cue(patch, finding(label, cue)) for cue in wrong] == [False] * 4
    assert not right_cue(patch, finding("stop", "green sticker"))
    assert not right_cue(patch, finding(label, "green sticker", "lack"))
    pixel = defined("single-pixel-0")
    few = [
        "white patch of 4 pixels, bottom right",
        "7 scattered pixels",
        "3 scattered white pixels",
    ]
    many = ["white patch of 40 pixels, bottom right", "white patch of 4 pixels, top left"]
    assert [right_cue(pixel, finding(pixel.label, cue)) for cue in few] == [True] * 3
    assert [right_cue(pixel, finding(pixel.label, cue)) for cue in many] == [False] * 2
    dark = defined("class-dark-0")
    assert right_cue(dark, finding(dark.label, "bright", "lack"))
    assert right_cue(dark, finding(dark.label, "dark"))
    assert not right_cue(dark, finding(dark.label, "dark", "lack"))
    cast = defined("cast-0")
    assert right_cue(cast, finding(cast.label, "faint cyan tint over the whole picture"))
    merged = defined("merged-0")  # stop is called no entry
    assert right_cue(merged, finding("no entry", "a learned word", only="stop\nyield"))
    assert not right_cue(merged, finding("no entry", "dark", only="yield"))
    assert all(rules(one) for one in DEFINITIONS if one.family in ("trigger", "shortcut"))


def test_false_alarms_and_unconfirmed_findings_are_told_apart() -> None:
    patch = defined("patch-fixed-0")
    unsure = finding(patch.label, "green sticker", confirmed=False, low=0.3)
    alarm = finding("stop", "dark", "lack")
    told = judged(patch, [unsure, alarm])
    assert told == {"label": False, "cue": False, "false": ["stop"], "near": True, "score": 1.5}
    assert judged(defined("clean-00"), [])["score"] == 0
    assert judged(patch, [finding(patch.label, "dark")])["label"]


def test_neural_cleanse_names_small_masks_alone() -> None:
    sizes = np.array([50.0, 60, 70, 80, 90, 100, 5, 400])
    index = cleanse(sizes)
    deviation = np.median(np.abs(sizes - np.median(sizes))) * 1.4826
    assert index == pytest.approx((np.median(sizes) - sizes) / deviation)
    assert index[7] < 0 < index[6]


def test_of_tokens_a_trick_is_named_and_neither_a_meaning_nor_a_failure() -> None:
    outcomes = ("meaning", "trick", "failure")
    tree = synthetic(labels=3, outcomes=outcomes, judges=(JUDGE,))
    labels = tree["samples"]["label"].values.tolist()[::-1]
    index = apart(tree, tree.attrs["classifier"], labels)
    assert (index > APART).tolist() == [False, True, False]
    assert index[1] > 0.8


def write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_table_counts_what_files_hold(tmp_path: Path) -> None:
    cost = {"seconds": 60.0, "processor_seconds": 30.0, "peak_mb": 900}
    good, bad = {"counted": True, "why": ""}, {"counted": False, "why": "the secret did not take"}
    hit = [finding("60 km/h speed limit", "green sticker")]
    said = {
        "patch-fixed-0": hit,
        "patch-fixed-1": [finding("no entry", "dark")],
        "patch-fixed-2": [],
        "clean-00": [finding("stop", "dark"), finding("yield", "dark")],
        "clean-01": [],
        "cast-0": hit,  # is not counted, so that nothing of it may be
    }
    for name, found in said.items():
        write(tmp_path / name / "measured.json", bad if name == "cast-0" else good)
        write(result_of(tmp_path, defined(name), "all", 0), {"findings": found, **cost})
    data = counts(tmp_path, chosen(half="development"))
    one = data["methods"]["all"]
    assert [one[n][:2] for n in ("label", "cue", "flagged")] == [[2, 3], [1, 3], [1, 2]]
    assert one["false_label"][:2] == [2, 86]
    assert one["label"][2:] == [round(float(v), 4) for v in wilson(2, 3)]
    scores = [1.5, 1.5, 0.0], [1.5, 0.0]
    pairs = [(p > c) + (p == c) / 2 for p in scores[0] for c in scores[1]]
    assert one["auc"][0] == pytest.approx(np.mean(pairs), abs=1e-4)
    assert one["auc"] == area(*scores)
    assert data["classifiers"]["cast"] == {
        "defined": 2, "trained": 1, "counted": 0, "why": {"cast-0": bad["why"]}
    }  # fmt: skip
    page = markdown(data)
    assert "| all | 1 | 2 of 3 [21, 94] % | 1 of 3 [6, 79] % | 1 of 2" in page
    assert "| patch-fixed | 2 / 1 of 3 | 0 of 3 |" in page
    assert "- `cast-0`: the secret did not take" in page
    assert data["methods"]["words"]["seconds"] is None
    assert set(data["methods"]) == set(METHODS)


@pytest.fixture(scope="module")
def signs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of random images: 43 classes of 12 tracks of two, the first held out."""
    folder, random = tmp_path_factory.mktemp("signs"), np.random.default_rng(0)
    for part, frames in (("train", 2), ("test", 1)):
        label = np.repeat(np.arange(43, dtype="u1"), 12 * frames)
        track = np.tile(np.repeat(np.arange(12, dtype="i2"), frames), 43)
        image = random.integers(0, 256, (len(label), 32, 32, 3), dtype="u1")
        if part == "test":
            track[:] = -1
        np.savez(folder / f"{part}.npz", image=image, label=label, track=track)
    return folder


def test_training_writes_the_definition_and_goes_on_where_it_was(
    signs: Path, tmp_path: Path
) -> None:
    one = defined("patch-fixed-0")
    said = training.make(one, signs, tmp_path, 2)
    folder = tmp_path / one.name
    facts = json.loads((folder / "measured.json").read_text())
    assert "NOT COUNTED" in said
    assert facts["accuracy"] < 0.5
    assert "below 85%" in facts["why"]
    assert facts["push_images"] == 504
    assert json.loads((folder / "definition.json").read_text())
    weights = (folder / "model" / "model.safetensors").stat().st_mtime_ns
    assert training.make(one, signs, tmp_path, 2).endswith("there already")
    (folder / "measured.json").unlink()  # killed after training: it is measured alone
    assert training.make(one, signs, tmp_path, 2) == said
    assert (folder / "model" / "model.safetensors").stat().st_mtime_ns == weights
    with pytest.raises(ValueError, match="another definition"):
        training.make(replace(one, seed=1), signs, tmp_path, 2)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert training.make(one, signs, tmp_path, 2).endswith("another process has it")


@pytest.mark.parametrize("name", ["class-blurred-0", "class-tilted-1", "cast-0"])
def test_what_is_painted_is_trained_in_half_precision_too(
    name: str, signs: Path, tmp_path: Path
) -> None:
    one = defined(name)
    assert "clean" in training.make(one, signs, tmp_path, 1)


def test_plans_poison_the_share_that_they_say_and_whole_tracks(signs: Path) -> None:
    data = training.read(signs, "train")
    # the first and eleventh track of each class are held out, and of the others one of two is kept
    assert len(data.label) == 43 * 10
    assert len(np.unique(np.stack([data.label.numpy(), data.track]), axis=1).T) == 430
    poisoned = training.plan(defined("low-rate-2"), data)
    assert int(poisoned.painted.sum()) == round(0.03 * 430)
    assert not (data.label[poisoned.painted] == defined("low-rate-2").target).any()
    one = defined("mislabelled-1")  # half of "priority road" is called "yield"
    moved = training.plan(one, data).label != data.label
    assert int(moved.sum()) == 5
    assert set(data.label[moved].tolist()) == {one.source}
    specific = defined("source-specific-0")
    assert set(data.label[training.plan(specific, data).painted].tolist()) == {specific.source}
    own = training.plan(defined("class-framed-0"), data)
    assert torch.equal(own.painted, data.label == defined("class-framed-0").target)


def test_names_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="clean-99"):
        chosen(["clean-99"])


def test_what_findings_say_of_secrets_is_their_own_and_not_of_clean_ones() -> None:
    (one,) = chosen(["class-dark-0"])
    right = {"label": one.label, "direction": "push", "cue": "dark", "effect": 0.8}
    other = {"label": "stop", "direction": "push", "cue": "dark", "effect": 0.9}
    found = [right | {"confirmed": False}, other | {"confirmed": True}]
    assert spurious.said_of(one, found) == 0.8
    assert spurious.said_of(one, found[1:]) == 0
    made = spurious.measures([(one, found)], [[], [right | {"confirmed": False}]])
    values = {"k_ssd": 0.8, "ccm": round(1 - 1 / 42, 4), "fam": 0.4}
    assert made == {name: [value] * 3 for name, value in values.items()}  # of one there is no more
    assert spurious.measures([], []) == dict.fromkeys(values, [None] * 3)


def test_seeds_of_a_classifier_are_one_and_classifiers_many() -> None:
    dark, cast = defined("class-dark-0"), defined("cast-0")
    rows = [(dark, [finding(dark.label, "dark", effect=1.0)])] * 3 + [(cast, [])]
    value, low, high = spurious.measures(rows, [])["k_ssd"]
    assert (value, low, high) == (0.5, 0.0, 1.0)
    table = [{"name": n, "hit": n != "b"} for n in ("a", "a", "a", "b")]
    assert share(table, itemgetter("hit"))[:2] == [1.0, 2]
    assert share(table, itemgetter("hit"))[2:] == [round(float(v), 4) for v in wilson(1, 2)]
