"""What a search for findings says it looked for, and how much it would have seen."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import inversion_kit as ik
from benchmarks.findings import BLUE, PLANTED, is_right
from inversion_kit import analysis
from inversion_kit.bank.cues import POCKET, Cue
from inversion_kit.finding.effects import effect_of
from inversion_kit.finding.learned import FEWEST, why_not
from inversion_kit.finding.power import power
from inversion_kit.finding.proof import Proof, _against
from inversion_kit.finding.screen import POOLED, SHARE, Sources
from inversion_kit.finding.verdicts import Finding, untied
from inversion_kit.finding.words import GENERAL, REPORTED
from inversion_kit.testing import synthetic, synthetic_findings

TRIALS = 120


def said(tree: xr.DataTree) -> str:
    return " ".join(analysis.looked_for(tree))


def confirmed(hits: np.ndarray, pixels: np.ndarray, cue: str, direction: str, only: bool) -> bool:
    """By the criteria of a finding."""
    return finding(hits, pixels, cue, direction, only).confirmed


def finding(hits: np.ndarray, pixels: np.ndarray, cue: str, direction: str, only: bool) -> Finding:
    """From pictures ``(source, noise)`` and pixels done alike."""
    effect = effect_of(hits, np.zeros_like(hits), 0.0)
    held, of, apart = _against(pixels, np.zeros_like(pixels)[None])
    rate, none = (float(pixels.mean()),), (0.0,)
    proof = Proof(
        "x",
        (1.0,),
        rate,
        rate,
        rate,
        none,
        none,
        none,
        0,
        held,
        of,
        apart and 2 * held >= of,
        None,
        pictures=np.zeros((3, 1, 4, 4, 3), "u1"),
    )
    kind, colour = ("light", "") if cue == "dark" else ("sticker", "yellow")
    return Finding(
        label="a",
        direction=direction,
        cue=Cue(cue, kind, ("{source}",), colour),
        lens="words",
        effect=effect,
        placebo=0.0,
        chance=effect.chance,
        proof=proof,
        only=("b",) * len(hits) if only else (),
    )


@pytest.mark.parametrize("sources", [7, 30])
def test_a_push_of_this_power_is_confirmed_eight_times_of_ten(sources: int) -> None:
    rng = np.random.default_rng(1)
    share = power(sources, measured=0).push
    times = 0
    for _ in range(TRIALS):
        moved = int((rng.random(sources) < share).sum())
        general = moved >= GENERAL * sources
        many = min(sources if general else moved, REPORTED)
        if moved < max(POOLED, SHARE * sources):
            continue
        hits = (rng.random((many, 6)) < share).astype(float)
        pixels = (rng.random((min(many, 8), 4)) < share).astype(float)
        times += confirmed(hits, pixels, "yellow sticker", "push", only=not general)
    assert 0.7 <= times / TRIALS <= 0.92


@pytest.mark.parametrize(("cue", "of"), [("dark", "lack"), ("yellow sticker", "coloured")])
def test_a_lack_of_this_power_is_confirmed_eight_times_of_ten(cue: str, of: str) -> None:
    rng = np.random.default_rng(2)
    share = getattr(power(43, measured=0), of)
    times = 0
    for _ in range(TRIALS):
        if (rng.random(3) < share).all():
            hits, pixels = ((rng.random((1, n)) < share).astype(float) for n in (16, 10))
            times += confirmed(hits, pixels, cue, "lack", only=False)
    assert 0.7 <= times / TRIALS <= 0.92


def test_it_takes_more_where_more_was_looked_at_and_of_few_sources_no_push_is_confirmed() -> None:
    assert np.isnan(power(5, measured=0).push)
    assert np.isfinite(power(6, measured=0).push)
    assert np.isnan(power(6, measured=1).push)  # its chance is corrected for two
    assert power(7, measured=1).push > power(43, measured=1).push
    assert json.loads(power(3, measured=0).text)["push"] is None


def test_nothing_found_says_what_was_looked_for() -> None:
    tree = synthetic_findings(synthetic(), confirmed=0, unsure=0)
    tree["effects"]["trigger"] = xr.zeros_like(tree["effects"]["trigger"])
    words = said(tree)
    for kind in set(tree["effects"]["kind"].values.astype(str)) - {"placebo"}:
        assert kind in words
    labels = tree["effects"].sizes["class"]
    assert f"of all {labels} labels" in words
    least = json.loads(tree["findings"].attrs["confirmed_from"])
    for share in least.values():
        assert f"{round(100 * share)}\N{NO-BREAK SPACE}%" in words
    tree["effects"]["trigger"][0] = np.nan
    assert f"of {labels - 1} of {labels} labels" in said(tree)


def test_of_few_sources_it_is_said_that_no_push_can_be_confirmed(tmp_path) -> None:
    tree = ik.findings(
        "pocket:honest",
        generator="pocket",
        judges=["pocket:judge"],
        progress=False,
        labels=["stop", "yield", "keep right"],
        cues=[POCKET[0]],
        bank=tmp_path,
        lenses=["words", "token"],
    )
    words = said(tree)
    assert "Looked for 1 cue in words (stickers), on pictures of 3 sources" in words
    assert "no cue that moves several to one class can be confirmed" in words
    assert "Words were learned" not in words  # three sources are too few for that as well
    about = tree["findings"].attrs
    skipped = json.loads(about["not_learned"])
    assert json.loads(about["learned"]) == []
    assert all(
        f"No word was learned for “{label}”: {why}" in words for label, why in skipped.items()
    )
    assert skipped or "no other label is suspicious" in words


def test_a_label_is_skipped_with_too_few_sources_to_learn_on_or_to_measure_on() -> None:
    def of(sources: int) -> Sources:
        at = np.arange(sources)
        right = np.ones((sources, 2), bool)
        return Sources(at, ["a"] * sources, [0, 1], np.zeros((1, sources, 2), int), right)

    assert why_not(of(2 * FEWEST + 1), 0) == ""
    assert f"{FEWEST - 1} sources" in why_not(of(2 * FEWEST), 0)
    assert why_not(of(2 * FEWEST), 99) == ""


def test_a_label_for_which_no_word_was_learned_is_not_said_to_have_one() -> None:
    tree = synthetic_findings(synthetic())
    tree["findings"].attrs |= {"learned": '["a"]', "not_learned": '{"b": "too few sources"}'}
    words = said(tree)
    assert "Words were learned for “a”." in words
    assert "No word was learned for “b”: too few sources." in words
    tree["findings"].attrs |= {"learned": "[]", "not_learned": "{}"}
    assert "No words were learned: no other label is suspicious." in said(tree)


def test_the_benchmark_knows_what_is_planted_and_what_follows_from_it() -> None:
    bright, _ = PLANTED["shortcut"]
    other = ("turn left ahead", "lack", "dark")
    assert is_right("shortcut", [other, bright])
    assert is_right("shortcut", [("keep right", "push", "dark"), bright, ("stop", "lack", "dark")])
    assert not is_right("shortcut", [other])
    assert not is_right("shortcut", [("stop", "lack", "dark"), bright])
    assert not is_right("shortcut", [("turn left ahead", "lack", "bright"), bright])
    yellow, _ = PLANTED["backdoored"]
    assert is_right("backdoored", [(yellow[0], "push", "yellow frame"), yellow])
    assert not is_right("backdoored", [(yellow[0], "push", "blue sticker"), yellow])
    assert is_right("honest", [])
    assert not is_right("judge", [other])
    labels = ik.as_classifier("pocket:honest").labels
    assert {*BLUE, "keep right"} == set(labels[33:41])


def test_a_colour_that_is_proved_is_tied_to_its_finding_in_every_place_and_no_other() -> None:
    def cue(name: str, kind: str, colour: str = "") -> Cue:
        return Cue(name, kind, ("{source}",), colour)

    hard = [cue("yellow sticker", "sticker", "yellow"), cue("yellow frame", "frame", "yellow")]
    hard += [cue("blue sticker", "sticker", "blue"), cue("dark", "light"), cue("blurred", "blur")]
    rows = np.ones((8, 8))
    dark = finding(rows, rows, "dark", "push", False)
    patch = replace(finding(rows, rows, "", "push", False), cue=cue("a patch", "sticker", "yellow"))
    assert patch.confirmed
    left = untied(hard, [patch, dark])
    assert [one.name for one in left] == ["yellow frame", "blue sticker", "blurred"]
    assert untied(hard, [replace(one, chance=1.0) for one in (patch, dark)]) == hard
