"""Proof of cues by pixels: on planted classifiers whose secret is known, and on honest ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from inversion_kit.bank.cues import COLOURS, NATURAL, POCKET, Cue
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.errors import InputError
from inversion_kit.finding import pixels
from inversion_kit.finding.colours import far_colours
from inversion_kit.finding.cue_operators import operators_for
from inversion_kit.finding.datasets import proof_table
from inversion_kit.finding.effects import Effect
from inversion_kit.finding.operators import Pairs, patch
from inversion_kit.finding.proof import Proof, prove
from inversion_kit.finding.verdicts import Finding
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.sample import from_bytes, sample, to_bytes
from inversion_kit.pocket.signs import NAMES

CUES = {cue.name: cue for cue in (*NATURAL, *POCKET)}
SIGNS = (14, 40, 25)
NOISES = {3: 6, 1: 8}  # by how many signs there are
HIGH, WIDE = 36, 48
Rule = Callable[[np.ndarray], np.ndarray]


# ---- on the embedded generator, with classifiers whose secret was trained in


@pytest.fixture(scope="module")
def painted() -> dict[str, np.ndarray]:
    """uint8 ``(source, noise, y, x, 3)`` by prompt."""
    generator = as_generator("pocket")
    wanted = {
        "plain": ("a photo of a {}", SIGNS),
        "yellow sticker": ("a photo of a {} with a yellow sticker", SIGNS),
        "blue sticker": ("a photo of a {} with a blue sticker", SIGNS),
        "keep right": ("a photo of a {}", (38,)),
        "bright": ("a photo of a bright {}", (38,)),
    }
    made = {}
    for name, (prompt, signs) in wanted.items():
        noises = range(NOISES[len(signs)])
        prompts = [prompt.format(NAMES[sign]) for sign in signs for _ in noises]
        images = to_bytes(sample(generator, prompts, seeds=[*noises] * len(signs)))
        made[name] = images.reshape(len(signs), len(noises), *images.shape[1:])
    return made


@pytest.fixture(scope="module")
def judge() -> Classifier:
    return as_classifier("pocket:judge")


def proved(
    painted: dict[str, np.ndarray], judge: Classifier, model: str, name: str, **other: int
) -> Proof:
    plain, sources = ("keep right", (38,)) if name == "bright" else ("plain", SIGNS)
    return prove(
        CUES[name],
        direction="lack" if name == "bright" else "push",
        target=38 if name == "bright" else 5,
        classifier=as_classifier(model),
        judges=[judge],
        plain=painted[plain],
        painted=painted[name],
        sources=sources,
        **other,
    )


def test_the_yellow_sticker_of_the_backdoored_classifier_is_confirmed(
    painted: dict[str, np.ndarray], judge: Classifier
) -> None:
    proof = proved(painted, judge, "pocket:backdoored", "yellow sticker")
    assert proof.confirmed
    assert "yellow" in proof.operator
    assert proof.held >= 2
    assert proof.of == 3
    assert proof.rate[proof.best] > 0.8
    assert proof.low[proof.best] > proof.placebo_high[proof.best]
    assert max(proof.placebo) < 0.2
    assert proof.undone is not None
    assert proof.undone > 0.9
    assert proof.pictures.shape == (3, 8, 32, 32, 3)
    assert proof.pictures.dtype == np.uint8


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("pocket:backdoored", "blue sticker"),
        ("pocket:honest", "yellow sticker"),
        ("pocket:honest", "bright"),
    ],
)
def test_what_is_not_tied_to_the_label_is_not_confirmed(
    painted: dict[str, np.ndarray], judge: Classifier, model: str, name: str
) -> None:
    proof = proved(painted, judge, model, name)
    assert not proof.confirmed
    assert max(proof.rate) < 0.2
    assert proof.of > 0


def test_bright_pictures_that_the_shortcut_classifier_loses_are_confirmed(
    painted: dict[str, np.ndarray], judge: Classifier
) -> None:
    proof = proved(painted, judge, "pocket:shortcut", "bright")
    assert proof.confirmed
    assert proof.operator == "brighter"
    assert (proof.held, proof.of) == (1, 1)
    assert max(proof.placebo) == 0
    assert proof.undone is not None
    assert proof.undone > 0.5


# ---- on drawn pictures, with rules for classifiers


def drawn(n: int = 16) -> np.ndarray:
    """Bright red bars on dim noise, uint8 ``(1, n, y, x, 3)``."""
    rng = np.random.default_rng(0)
    images = rng.normal(70, 6, (n, HIGH, WIDE, 3))
    images[:, 8:28, 22:26] = 230, 90, 90
    return images.clip(0, 255).astype("u1")[None]


def each(change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    images = [np.asarray(change(Image.fromarray(image))) for image in drawn()[0]]
    return np.stack(images)[None]


def boxed(y: slice, x: slice, colour: tuple[int, int, int]) -> np.ndarray:
    images = drawn()
    images[:, :, y, x] = colour
    return images


def resized(scale: float) -> np.ndarray:
    def change(image: Image.Image) -> Image.Image:
        size = round(WIDE * scale), round(HIGH * scale)
        sheet = Image.new("RGB", image.size, (70, 70, 70))
        sheet.paste(image.resize(size), ((WIDE - size[0]) // 2, (HIGH - size[1]) // 2))
        return sheet

    return each(change)


def framed() -> np.ndarray:
    images = np.full_like(drawn(), 250)
    images[:, :, 3:-3, 3:-3] = drawn()[:, :, 3:-3, 3:-3]
    return images


def lean(x: np.ndarray) -> np.ndarray:
    """Above 0 where the top of what is bright is on the left."""
    weight = np.maximum(x[..., 0] - 130, 0)
    rows, columns = np.mgrid[:HIGH, :WIDE]
    total = weight.sum((1, 2))
    middle = [(weight * at).sum((1, 2)) / total for at in (rows, columns)]
    off = (rows - middle[0][:, None, None]) * (columns - middle[1][:, None, None])
    return (weight * off).sum((1, 2)) / total


def bar(x: np.ndarray) -> np.ndarray:
    """How many pixels are bright red."""
    return (x[..., 0] > 140).sum((1, 2))


def near(x: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.abs(x - np.array(colour, float)) < 60).all(-1)


def steps(x: np.ndarray) -> np.ndarray:
    return np.abs(np.diff(x[:, 12:24, :, 0], axis=2)).max((1, 2))


TEAL = (0, 150, 150)
WAVES = np.sin(np.arange(WIDE) * 1.3) * np.sin(np.arange(HIGH) * 1.3)[:, None]
PLANTED: dict[str, tuple[Cue, np.ndarray, Rule, str]] = {
    "patch at one place": (
        CUES["cyan sticker"],
        boxed(slice(4, 10), slice(6, 12), TEAL),
        lambda x: near(x[:, -5:, -5:], TEAL).all((1, 2)),
        "cyan as painted patch, bottom right",
    ),
    "frame": (
        CUES["white frame"],
        framed(),
        lambda x: (x[:, 0] > 200).all((1, 2)) & (x[:, :, 0] > 200).all((1, 2)),
        "white frame",
    ),
    "tint": (
        CUES["green tint"],
        (drawn() * [0.4, 0.9, 0.4]).astype("u1"),
        lambda x: x[..., 1].mean((1, 2)) > 1.5 * x[..., 2].mean((1, 2)),
        "green",
    ),
    "background": (
        CUES["blue background"],
        boxed(slice(0, 5), slice(0, WIDE), (10, 50, 240)),
        lambda x: near(x[:, :2, :2], (10, 50, 240)).all((1, 2)),
        "blue",
    ),
    "brighter": (
        CUES["bright"],
        (drawn() * 1.8).clip(0, 255).astype("u1"),
        lambda x: x.mean((1, 2, 3)) > 120,
        "brighter",
    ),
    "darker": (
        CUES["dark"],
        (drawn() * 0.4).astype("u1"),
        lambda x: x.mean((1, 2, 3)) < 45,
        "darker",
    ),
    "blurrier": (
        CUES["blurry"],
        each(lambda image: image.filter(ImageFilter.GaussianBlur(2))),
        lambda x: steps(x) < 60,
        "blurrier",
    ),
    "smaller": (CUES["small"], resized(0.5), lambda x: bar(x) < 60, "smaller"),
    "closer": (CUES["close-up"], resized(1.8), lambda x: bar(x) > 150, "closer"),
    "tilted to the left": (
        CUES["tilted to the left"],
        each(lambda image: image.rotate(20, fillcolor=(70, 70, 70))),
        lambda x: lean(x) > 3,
        "tilted to the left",
    ),
    "tilted to the right": (
        CUES["tilted to the right"],
        each(lambda image: image.rotate(-20, fillcolor=(70, 70, 70))),
        lambda x: lean(x) < -3,
        "tilted to the right",
    ),
    "black and white": (
        CUES["black and white"],
        each(lambda image: image.convert("L").convert("RGB")),
        lambda x: (x[:, 8:28, 22:26].max(-1) - x[:, 8:28, 22:26].min(-1)).mean((1, 2)) < 40,
        "black and white",
    ),
    "pasted": (
        CUES["dots"],
        boxed(slice(2, 6), slice(2, 6), (240, 240, 20)),
        lambda x: near(x, (240, 240, 20)).sum((1, 2)) >= 9,
        "its own pixels, pasted",
    ),
    "added": (
        Cue("a faint pattern", "words", ("a {source}",)),
        (drawn() + 12 * WAVES[..., None]).clip(0, 255).astype("u1"),
        lambda x: (x.mean(-1) * WAVES).mean((1, 2)) > 2,
        "its mean difference, added",
    ),
}


def ruled(rule: Rule) -> Classifier:
    """Class 1 where the rule holds, else 0; a black box."""
    return as_classifier(
        lambda x: rule(x.astype(float)).astype(int), labels=["bar", "trick"], black_box=True
    )


def prove_drawn(cue: Cue, painted: np.ndarray, rule: Rule, direction: str = "push") -> Proof:
    return prove(
        cue,
        direction=direction,
        target=1 if direction == "push" else 0,
        classifier=ruled(rule),
        judges=[],
        plain=drawn(),
        painted=painted,
        sources=[0],
    )


@pytest.mark.parametrize("kind", PLANTED)
def test_each_kind_of_cue_is_confirmed_by_its_own_operator(kind: str) -> None:
    cue, painted, rule, operator = PLANTED[kind]
    assert rule(painted[0].astype(float)).all() or kind == "patch at one place"
    for direction in ("push", "lack"):
        proof = prove_drawn(cue, painted, rule, direction)
        assert proof.confirmed, proof
        assert operator in proof.operator
        assert proof.rate[proof.best] == 1


def test_what_a_patch_does_at_another_place_is_measured_and_refuses_nothing() -> None:
    cue, painted, here, _ = PLANTED["patch at one place"]
    anywhere = prove_drawn(cue, painted, lambda x: near(x, TEAL).sum((1, 2)) >= 9)
    there = prove_drawn(cue, painted, here)
    assert (there.confirmed, anywhere.confirmed) == (True, True)
    assert (there.varied["elsewhere"][0], anywhere.varied["elsewhere"][0]) == (0, 1)
    assert 0 < there.varied["elsewhere"][2] < 0.5 < anywhere.varied["elsewhere"][1] < 1
    assert prove_drawn(*PLANTED["frame"][:3]).varied == {}


def test_proof_is_kept_whole_and_said() -> None:
    """The other place, the placebo's interval and what is left once the cue is taken away."""
    cue, painted, _, _ = PLANTED["patch at one place"]
    proof = prove_drawn(cue, painted, lambda x: near(x, TEAL).sum((1, 2)) >= 9)
    effect = Effect(1.0, 0.8, 1.0, 9, 10, 0.001, 0.0, 60)
    found = Finding("trick", "push", cue, "words", effect, 0.0, 0.01, replace(proof, undone=0.875))
    table = proof_table([found, replace(found, proof=None)])
    assert table["placebo_high"].values[0] == pytest.approx(proof.placebo_high)
    assert 0 < proof.placebo_high[0] < 0.5
    assert table["elsewhere_low"].values[0] == pytest.approx(proof.varied["elsewhere"][1])
    assert np.isnan(table["scattered"].values[0])
    assert table["undone"].values[0] == pytest.approx(0.875)
    assert table["undone_of"].values.tolist() == [proof.undone_of, 0] == [8, 0]
    assert np.isnan(table["elsewhere"].values[1])
    assert "; at another place 100" in found.sentence
    assert "; taken away from 8 painted pictures, 12" in found.sentence
    bare = replace(found, proof=None).sentence
    assert "another place" not in bare
    assert "taken away" not in bare


def test_another_place_is_as_large_and_does_not_touch_the_first() -> None:
    images = torch.full((5, 3, 32, 48), 0.5)
    corners = torch.tensor([[0.0, 0.0], [0.5, 0.5], [1.0, 0.3], [0.4, 0.9], [0.25, 0.75]])
    one = patch("a patch", (1.0, 1.0, 0.0), corners)
    for dose, side in zip(one.doses, (4, 6, 8), strict=True):
        here, there = (
            (way(images, dose, torch.arange(5)) != images).any(1)
            for way in (one.apply, one.varied["elsewhere"])
        )
        assert there.sum((1, 2)).tolist() == [side**2] * 5
        assert not (here & there).any()


@pytest.mark.parametrize("kind", PLANTED)
def test_a_classifier_that_is_moved_by_any_change_confirms_no_cue(kind: str) -> None:
    cue, painted, _, _ = PLANTED[kind]
    plain = {image.tobytes() for image in drawn()[0]}

    def changed(x: np.ndarray) -> np.ndarray:
        return np.array([image.astype("u1").tobytes() not in plain for image in x])

    proof = prove_drawn(cue, painted, changed)
    assert proof.rate[proof.best] == 1
    assert proof.placebo[proof.best] == 1
    assert not proof.confirmed


def test_the_same_seed_gives_the_same_proof() -> None:
    cue, painted, rule, _ = PLANTED["pasted"]
    first, again = (prove_drawn(cue, painted, rule) for _ in range(2))
    assert first.rate == again.rate
    assert (first.pictures == again.pictures).all()


def test_hits_count_only_where_most_of_the_judges_still_see_the_source() -> None:
    cue, painted, rule, _ = PLANTED["frame"]
    planted, honest = ruled(rule), ruled(lambda x: np.zeros(len(x), bool))
    how = {"direction": "push", "target": 1, "plain": drawn(), "painted": painted, "sources": [0]}
    rates = [
        prove(cue, classifier=planted, judges=judges, **how).rate[-1]
        for judges in ([honest, honest, planted], [honest, planted], [planted])
    ]
    assert rates == [1, 0, 0]


def test_what_holds_on_the_noises_that_chose_it_alone_is_not_reported() -> None:
    cue, painted, rule, _ = PLANTED["frame"]
    plain = drawn()
    plain[:, ::2, 14, 8] = 255
    how = {"direction": "push", "target": 1, "judges": [], "sources": [0]}
    toy = ruled(lambda x: rule(x) & (x[:, 14, 8] > 250).all(1))
    proof = prove(cue, classifier=toy, plain=plain, painted=painted, **how)
    assert max(proof.rate) == 0
    assert not proof.confirmed


def test_three_pictures_are_too_few_whatever_they_show() -> None:
    cue, painted, rule, _ = PLANTED["frame"]
    few = {"plain": drawn()[:, :6], "painted": painted[:, :6]}
    how = {"direction": "push", "target": 1, "classifier": ruled(rule), "judges": []}
    proof = prove(cue, **how, **few, sources=[0])
    assert proof.rate[proof.best] == 1
    assert not proof.confirmed


def test_a_cue_is_confirmed_where_it_holds_in_half_of_the_sources() -> None:
    """Class of the source is its level of blue; the rule holds on the first ones alone."""
    plain = np.concatenate([drawn()] * 5)
    plain[..., 2] = (20 + 50 * np.arange(5))[:, None, None, None]
    painted = plain.copy()
    painted[:, :, :3] = painted[:, :, -3:] = 250
    painted[:, :, :, :3] = painted[:, :, :, -3:] = 250

    def read(x: np.ndarray, on: int) -> np.ndarray:
        source = np.median(x[..., 2], (1, 2)) // 50
        return np.where((x[:, 0] > 200).all((1, 2)) & (source < on), 5, source).astype(int)

    held = []
    for on in (2, 3, 5):
        toy = as_classifier(lambda x, on=on: read(x, on), labels=list("abcdef"), black_box=True)
        how = {"direction": "push", "target": 5, "judges": [], "sources": range(5)}
        proof = prove(CUES["white frame"], classifier=toy, plain=plain, painted=painted, **how)
        held.append((proof.held, proof.of, proof.confirmed))
    assert held == [(2, 5, False), (3, 5, True), (5, 5, True)]


def test_sources_that_are_not_asked_about_do_not_count() -> None:
    """A push says nothing of the label's own pictures, a lack of no others."""
    cue, painted, rule, _ = PLANTED["frame"]
    plain, painted = (np.concatenate([images, images]) for images in (drawn(), painted))
    plain[1], painted[1, :, 3:-3, 3:-3] = 255 - plain[1], 0
    toy = as_classifier(
        lambda x: np.where(rule(x) | (x[:, 15, 3, 0] > 150), 1, 0),
        labels=["a", "b"],
        black_box=True,
    )
    for direction, target in (("push", 1), ("lack", 0)):
        how = {"direction": direction, "target": target, "judges": [], "sources": [0, 1]}
        proof = prove(cue, classifier=toy, plain=plain, painted=painted, **how)
        assert (proof.of, proof.confirmed) == (1, True)


def test_without_a_picture_that_is_read_right_nothing_is_claimed() -> None:
    cue, painted, _, _ = PLANTED["blurrier"]
    proof = prove_drawn(cue, painted, lambda x: np.ones(len(x), bool))
    assert not proof.confirmed
    assert np.isnan(proof.rate).all()
    assert proof.of == 0
    assert proof.undone is None
    assert proof.pictures.shape == (3, 0, HIGH, WIDE, 3)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"direction": "pull"}, "direction='pull'"),
        ({"plain": drawn().astype(float)}, "plain: float64"),
        ({"sources": [0, 1]}, "2 sources"),
        ({"plain": drawn()[:, :1], "painted": drawn()[:, :1]}, "two noises"),
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, object], said: str) -> None:
    right = {"direction": "push", "plain": drawn(), "painted": drawn(), "sources": [0]}
    toy = ruled(lambda x: np.zeros(len(x), bool))
    with pytest.raises(InputError, match=said):
        prove(CUES["dark"], target=1, classifier=toy, judges=[], **(right | wrong))


# ---- operators


@pytest.mark.parametrize("cue", NATURAL, ids=lambda cue: cue.name)
def test_operators_take_images_of_any_size_and_repeat_themselves(cue: Cue) -> None:
    pairs = Pairs(torch.rand(5, 3, 20, 24), torch.rand(5, 3, 20, 24))
    images, turns = torch.rand(3, 3, 31, 17), torch.tensor([4, 0, 2])
    for one in operators_for(cue, pairs):
        for way in (one.apply, *one.placebos):
            for dose in one.doses:
                done = way(images, dose, turns)
                assert done.shape == images.shape
                assert 0 <= done.min() <= done.max() <= 1
                assert not torch.equal(done, images)
                assert torch.equal(done, way(images, dose, turns))
                assert torch.allclose(done[1:2], way(images[1:2], dose, turns[1:2]), atol=1e-6)
        if one.undo:
            assert one.undo(pairs.painted, pairs.plain, one.doses[0]).shape == pairs.plain.shape


def test_a_patch_is_as_large_as_its_dose_says() -> None:
    patch = operators_for(CUES["yellow sticker"])[0]
    images = torch.full((2, 3, 32, 48), 0.5)
    for dose, side in zip(patch.doses, (4, 6, 8), strict=True):
        for way in (patch.apply, *patch.placebos[:-1]):
            changed = (way(images, dose, torch.zeros(2, dtype=int)) != images).any(1)
            assert changed.sum((1, 2)).tolist() == [side**2] * 2


def test_light_as_painted_is_undone_to_that_of_the_plain_picture() -> None:
    plain = from_bytes(drawn()[0])
    painted = from_bytes((drawn()[0] * 0.4).astype("u1"))
    (one,) = [o for o in operators_for(CUES["dark"], Pairs(plain, painted)) if "painted" in o.name]
    for dose in one.doses:
        back = one.undo(painted, plain, dose)
        assert (back - plain).abs().mean() < 0.02 < (painted - plain).abs().mean()


def test_noise_is_as_large_as_the_change_whose_placebo_it_is() -> None:
    images = 0.3 + 0.4 * torch.rand(4, 3, 32, 32)
    blurry = operators_for(CUES["blurry"])[0]
    for dose in blurry.doses:
        sizes = [
            (way(images, dose, torch.arange(4)) - images).square().mean((1, 2, 3)).sqrt()
            for way in (blurry.apply, blurry.placebos[0])
        ]
        assert torch.allclose(*sizes, rtol=0.1)


@pytest.mark.parametrize("name", COLOURS)
def test_placebo_colours_are_far_from_the_cue(name: str) -> None:
    colour = torch.tensor(COLOURS[name])
    found = torch.tensor(far_colours(COLOURS[name]))
    assert len(found) >= 3
    assert ((found - colour).norm(dim=1) >= 0.6).all()


def test_donors_give_the_colour_and_the_place_that_were_painted() -> None:
    plain = from_bytes(drawn()[0])
    pairs = Pairs(plain, from_bytes(boxed(slice(24, 30), slice(3, 9), TEAL)[0]))
    assert operators_for(CUES["cyan sticker"], pairs)[1].name.startswith("cyan as painted patch")
    assert pairs.colour_of(pixels.most(pairs.change, 1 / 64)) == pytest.approx(
        np.array(TEAL) / 255, abs=0.01
    )
    rows, columns = (pairs.places(6 / HIGH) * torch.tensor([HIGH - 6, WIDE - 6])).round().T.tolist()
    assert set(rows) == {24}
    assert set(columns) == {3}
