"""Trigger inversion on toys whose trigger is known, and the scan of the last layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inversion_kit.bank.cues import Cue
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.classifiers.preprocess import Preprocess
from inversion_kit.errors import InputError
from inversion_kit.finding import trigger
from inversion_kit.finding.datasets import proof_table
from inversion_kit.finding.effects import Effect
from inversion_kit.finding.inversion import anomaly, invert
from inversion_kit.finding.panel import Panel
from inversion_kit.finding.proof import Proof
from inversion_kit.finding.scan import scan_last_layer
from inversion_kit.finding.trigger import Look, look_for_triggers
from inversion_kit.finding.trigger_words import cue_of
from inversion_kit.finding.verdicts import Finding
from inversion_kit.generators.sample import from_bytes
from inversion_kit.schema import VARIED

SIDE, CLASSES, TARGET = 16, 8, 3
_RANDOM = np.random.default_rng(0)


class Toy(nn.Module):
    """A class is the band of two rows that is bright; ``planted`` adds to the target's score."""

    def __init__(self, planted: Tensor | None = None, seed: int = 0) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        bands = torch.zeros(CLASSES, 3, SIDE, SIDE)
        for k in range(CLASSES):
            bands[k, :, 2 * k : 2 * k + 2] = 1 / (6 * SIDE)
        bands = bands * (1 + 0.3 * torch.rand(bands.shape, generator=random))
        self.weight = nn.Parameter(30 * bands)
        self.register_buffer("planted", torch.zeros(3, SIDE, SIDE) if planted is None else planted)

    def forward(self, images: Tensor) -> Tensor:
        scores = torch.einsum("nchw,kchw->nk", images, self.weight)
        extra = torch.einsum("nchw,chw->n", images, self.planted)
        return scores + extra[:, None] * (torch.arange(CLASSES) == TARGET)


def toy(planted: Tensor | None = None, seed: int = 0) -> Classifier:
    labels = [f"band {k}" for k in range(CLASSES)]
    return Classifier(Toy(planted, seed), Preprocess(), labels, name=f"toy {seed}")


def pictures(noises: int = 8) -> np.ndarray:
    """A bright band on dark noise, ``(source, noise, y, x, 3)``."""
    images = _RANDOM.integers(0, 60, (CLASSES, noises, SIDE, SIDE, 3))
    for k in range(CLASSES):
        images[k, :, 2 * k : 2 * k + 2] += 120
    return images.astype(np.uint8)


def corner() -> Tensor:
    """A magenta corner of 4 x 4 at the bottom left."""
    planted = torch.zeros(3, SIDE, SIDE)
    planted[[0, 2], -4:, :4] = 1.5
    planted[1, -4:, :4] = -3.0
    return planted


def stripes() -> Tensor:
    """Thin stripes over the whole picture."""
    wave = torch.tensor([1.0, -1.0]).repeat(SIDE // 2)
    return 1.0 * wave[None, None].expand(3, SIDE, SIDE).clone()


def look(classifier: Classifier, *judges: Classifier, **more: object) -> Look:
    return look_for_triggers(
        Panel(classifier, judges),
        pictures(),
        np.arange(CLASSES),
        **more,  # type: ignore[arg-type]
    )


def test_a_corner_is_found_with_its_place_and_colour_and_proved() -> None:
    seen = look(toy(corner()), toy(seed=1))
    (found,) = seen.triggers
    assert found.finding.label == "band 3"
    assert found.finding.lens == "trigger"
    name = found.finding.cue.name
    assert "bottom left" in name
    assert found.finding.cue.colour in ("purple", "pink")
    assert found.finding.cue.kind == "sticker"
    assert found.index - max(found.null, 0) >= trigger.ALONE
    effect, proof = found.finding.effect, found.finding.proof
    assert effect.value > 0.8
    assert effect.of == CLASSES - 1
    assert found.finding.placebo < 0.2
    assert proof is not None
    assert proof.confirmed
    assert found.finding.confirmed
    assert set(proof.varied) == set(VARIED)
    assert proof.varied["elsewhere"][0] < 0.2
    assert found.mask.shape == (SIDE, SIDE)
    assert found.pattern.shape == (SIDE, SIDE, 3)
    assert proof.pictures.shape[0] == 3


def test_a_pattern_over_the_picture_is_found() -> None:
    (found,) = look(toy(stripes()), toy(seed=1)).triggers
    assert found.finding.label == "band 3"
    assert found.finding.cue.kind == "texture"
    assert "scattered" in found.finding.cue.name
    assert found.finding.confirmed
    assert found.finding.proof.varied["scattered"][0] < 0.2


def test_a_clean_toy_has_no_trigger_and_neither_has_what_all_judges_share() -> None:
    assert look(toy(), toy(seed=1)).triggers == ()
    shared = look(toy(corner()), toy(corner(), seed=1))
    assert shared.index[TARGET] > trigger.ALONE
    assert shared.null[TARGET] > trigger.SECONDED
    assert shared.triggers == ()


def test_without_judges_a_trigger_says_so() -> None:
    seen = look(toy(corner()))
    assert np.isnan(seen.null).all()
    assert [one.finding.judged for one in seen.triggers] == [False]


@pytest.mark.parametrize(
    ("second", "judged", "places"),
    [
        ((0.0, 0.0, 3.5, 9.0), True, [3, 2]),  # seconded by the last layer: 3 is enough
        ((0.0, 0.0, 0.0, 0.0), True, [3]),
        ((np.nan,) * 4, True, [3]),
        ((0.0, 0.0, 3.5, 0.0), False, []),  # without judges one more is asked for
    ],
)
def test_what_stands_out_a_little_must_be_seconded(
    second: tuple[float, ...], judged: bool, places: list[int]
) -> None:
    index, null = np.array([2.0, 6.0, 3.5, 6.0]), np.array([0.0, 4.0, -2.0, -1.0])
    seen = Look((), np.arange(4), np.ones(4), index, null, np.array(second), judged)
    assert seen.standing_out.tolist() == places


def test_black_boxes_and_models_without_a_gradient_are_skipped_and_say_so() -> None:
    labels = [f"band {k}" for k in range(CLASSES)]
    box = as_classifier(lambda images: np.zeros(len(images), int), labels=labels, black_box=True)
    assert "black box" in look(box).why
    model = toy().model
    cut = Classifier(lambda x: model(x.detach()), Preprocess(), labels, name="cut")
    assert "no gradient" in look(cut).why
    few = Classifier(
        nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 2)), Preprocess(), ["a", "b"], name="few"
    )
    seen = look_for_triggers(Panel(few, ()), pictures()[:2], [0, 1])
    assert "fewer than" in seen.why
    assert seen.triggers == ()


def test_what_a_judge_gives_is_kept_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, classifier, judge = pictures(), toy(corner()), toy(seed=1)
    calls: list[str] = []

    def counted(model: Classifier, *given: object, **more: object) -> object:
        calls.append(model.name)
        return invert(model, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(trigger, "invert", counted)

    def again() -> Look:
        calls.clear()
        return look_for_triggers(
            Panel(classifier, [judge]), plain, range(CLASSES), kept=tmp_path / "kept"
        )

    first = again()
    assert calls.count("toy 1") == 1
    second = again()
    assert calls.count("toy 1") == 0
    np.testing.assert_array_equal(first.null, second.null)
    np.testing.assert_array_equal(first.triggers[0].mask, second.triggers[0].mask)
    (folder,) = (tmp_path / "kept").iterdir()
    (folder / "arrays.safetensors").write_bytes(b"damaged")
    np.testing.assert_array_equal(again().null, first.null)
    assert calls.count("toy 1") == 1


def test_pictures_do_not_depend_on_the_batch_and_their_own_label_does_not_count() -> None:
    plain = from_bytes(pictures(2).reshape(-1, SIDE, SIDE, 3))
    sources = np.repeat(np.arange(CLASSES), 2)
    classifier, small = toy(corner()), toy(corner())
    small.fitted = {"triggers": 5}  # type: ignore[attr-defined]
    one, two = (invert(c, plain, sources, [TARGET, 5], seed=1) for c in (classifier, small))
    torch.testing.assert_close(one.mask, two.mask, atol=1e-3, rtol=0)
    own = invert(toy(), plain[:2], sources[:2], [0])
    assert own.size[0] == pytest.approx(SIDE**2)  # no picture of another class was there


def test_unusable_pictures_are_refused() -> None:
    panel = Panel(toy(), ())
    for plain in (pictures()[:, :3], pictures().astype(float), pictures()[:5]):
        with pytest.raises(InputError, match="plain"):
            look_for_triggers(panel, plain, range(CLASSES))


def test_of_many_labels_those_asked_for_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trigger, "MOST", 6)
    seen = look(toy(corner()), labels=[TARGET])
    assert len(seen.labels) == 6
    assert TARGET in seen.labels
    assert [one.finding.label for one in seen.triggers] == ["band 3"]


def test_an_index_needs_labels_and_a_spread() -> None:
    assert np.isnan(anomaly(np.array([1.0, 2.0, 3.0, 4.0]))).all()
    assert np.abs(anomaly(np.full(9, 40.0))).max() == 0
    assert anomaly(np.array([*np.full(9, 40.0), 4.0]))[-1] > 10


@pytest.mark.parametrize(
    ("strength", "colours", "name"),
    [
        (0.2, (1.0, 0.9, 0.0), "faint yellow tint over the whole picture"),
        (0.9, (0.5, 0.5, 0.5), "grey tint over the whole picture"),
    ],
)
def test_tints_are_named(strength: float, colours: tuple[float, ...], name: str) -> None:
    pattern = np.broadcast_to(np.array(colours)[:, None, None], (3, 8, 8))
    assert cue_of(np.full((8, 8), strength), pattern).name == name


def test_the_last_layer_is_scanned_where_there_is_one() -> None:
    clean = scan_last_layer(as_classifier("pocket:honest"))
    assert clean is not None
    assert clean.max() < trigger.SECOND
    planted = scan_last_layer(as_classifier("pocket:backdoored"))
    assert planted is not None
    assert planted.argmax() == 5
    assert planted.max() > 2 * trigger.SECOND
    assert scan_last_layer(toy()) is None


def test_pictures_of_a_trigger_on_shrunk_ones_cover_as_much_as_those_of_words() -> None:
    def finding(side: int, lens: str) -> Finding:
        shown = np.full((3, 2, side, side, 3), 40, np.uint8)
        shown[1, :, -side // 4 :, -side // 4 :] = 250  # the cue, at the bottom right
        rates = (1.0,), (0.0,)
        proof = Proof("trigger", (1.0,), *rates * 3, 0, 2, 2, True, None, shown)
        effect = Effect(1.0, 0.8, 1.0, 8, 8, 0.01, 0.0, 16)
        return Finding("band 3", "push", Cue("patch", "sticker", ()), lens, effect, 0, 0.01, proof)

    table = proof_table([finding(64, "words"), finding(16, "trigger")])["picture"].values
    words, trigger_ = table.astype(int)
    assert words.shape == trigger_.shape == (3, 2, 64, 64, 3)
    assert (trigger_[[0, 2]] == 40).all()
    assert (trigger_[1, :, -14:, -14:] == 250).all()
    assert abs(words - trigger_).mean() < 1  # but for a blurred edge
