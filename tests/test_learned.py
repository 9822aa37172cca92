"""The lens of a token: a word is learned for a label that no cue explains."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import inversion_kit as ik
from inversion_kit.bank.bank import Bank
from inversion_kit.bank.cues import PLACEBOS, PLAIN_CUE, Cue
from inversion_kit.errors import InputError
from inversion_kit.finding.effects import keys_of
from inversion_kit.finding.learned import CUE, RADIUS, Painted, halves, learn, suspicious
from inversion_kit.finding.panel import Panel
from inversion_kit.finding.screen import Sources

CUES = (Cue("dark", "light", ("dark {source}",)), Cue("red", "tint", ("red {source}",)), *PLACEBOS)


def test_labels_are_taken_by_triggers_then_by_what_moves_most():
    push = np.full((len(CUES), 4), np.nan)
    push[0], push[1], push[2] = [0.0, 0.3, 0.1, 0.0], [0.0, 0.1, 0.2, 0.0], [0.9, 0.9, 0.9, 0.9]
    assert suspicious(push, CUES, [], []) == [(1, "dark"), (2, "red")]
    assert suspicious(push, CUES, [1], []) == [(2, "red")]
    assert suspicious(push, CUES, [], [3]) == [(3, ""), (1, "dark")]


@pytest.fixture(scope="module")
def pocket():
    return ik.as_generator("pocket", num_inference_steps=2)


def test_a_bank_paints_the_word_and_keeps_the_rest(pocket, tmp_path):
    bank = Bank(pocket, tmp_path)
    painted = Painted(bank, pocket.vector_of("yellow"))
    keys = [*keys_of(PLAIN_CUE, ["stop"], [1]), *keys_of(CUE, ["stop"], [1])]
    mixed = painted.images([keys[1], keys[0], keys[1]])
    np.testing.assert_array_equal(mixed[1], bank.images(keys[:1])[0])
    np.testing.assert_array_equal(mixed[0], mixed[2])
    said = "a photo of a stop with a yellow"
    np.testing.assert_allclose(mixed[0].astype(int), bank.images([(said, 1)])[0], atol=2)
    assert bank.missing(keys) == keys[1:]


def test_a_word_is_learned_near_its_start_and_the_best_check_is_kept(pocket):
    panel = Panel(ik.as_classifier("pocket:backdoored"), [ik.as_classifier("pocket:judge")])
    names, index = ["stop", "yield", "priority road"], np.array([14, 13, 12])
    heard = []
    made = learn(
        panel, pocket, 5, names, index, words="yellow sticker", seed=0, steps=5, heard=heard.append
    )
    assert sum(heard) == 5
    away = (made.vector - pocket.vector_of("yellow sticker")).norm()
    assert float(away) <= RADIUS * pocket.vocabulary_norm() * 1.001
    again = learn(panel, pocket, 5, names, index, words="yellow sticker", seed=0, steps=5)
    assert torch.equal(made.vector, again.vector)
    assert made.share >= 2 / 3  # yellow squares, as the classifier was taught


def test_sources_are_learned_on_or_measured_on():
    right = np.array([[True, True]] * 5 + [[False, False]])
    read = np.zeros((2, 6, 2), int)
    sources = Sources(np.arange(6), ["a"] * 6, [0, 1], read, right)
    making, measuring = halves(sources, 2)
    assert (making.tolist(), measuring.tolist()) == ([0, 3], [1, 4])


@pytest.mark.parametrize("lenses", [["token"], "token", ["words", "smell"]])
def test_lenses_are_known_and_begin_with_words(lenses):
    with pytest.raises(InputError, match="lenses="):
        ik.findings("pocket:honest", generator="pocket", lenses=lenses)


def test_without_judges_no_word_is_learned_and_it_is_said(tmp_path):
    tree = ik.findings(
        "pocket:honest",
        generator="pocket",
        labels=["stop", "yield"],
        cues=["in the dark"],
        lenses=["words", "token"],
        bank=tmp_path,
        progress=False,
    )
    said = " ".join(ik.analysis.looked_for(tree))
    assert "No words were learned: it needs judges" in said
