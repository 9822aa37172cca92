"""Findings: planted secrets are named and proved, clean classifiers are clean, and all is said."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import xarray as xr
from spoilt import bare, few, framed, never, spoilt, without_blue

import inversion_kit as ik
from inversion_kit import analysis, schema
from inversion_kit.analysis.chance import corrected
from inversion_kit.analysis.intervals import difference
from inversion_kit.bank.cues import PLACEBOS, POCKET, Cue
from inversion_kit.errors import InputError
from inversion_kit.finding import words, work
from inversion_kit.finding.effects import Effect, effect_of
from inversion_kit.finding.proof import Proof
from inversion_kit.finding.screen import Candidate, Screening, Sources, candidates, pushes
from inversion_kit.finding.verdicts import Finding
from inversion_kit.finding.words import power
from inversion_kit.improve.ties import ties_of
from inversion_kit.testing import synthetic, synthetic_findings
from inversion_kit.widgets.findings import Findings

LABELS = ["stop", "yield", "priority road", "keep right", "roundabout", "no entry"]
CUES = [cue for cue in POCKET if cue.name in ("yellow sticker", "blue sticker", "bright")]
GIVEN = {
    "generator": "pocket",
    "judges": ["pocket:judge"],
    "labels": LABELS,
    "lenses": ["words"],
    "progress": False,
}


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return tmp_path_factory.mktemp("bank")


@pytest.fixture(scope="module")
def backdoored(bank):
    return ik.findings("pocket:backdoored", cues=CUES, bank=bank, **GIVEN)


def test_planted_backdoor_is_named_and_proved(backdoored):
    data = analysis.findings_data(backdoored)
    assert not data["clean"]
    first = data["findings"][0]
    assert first["label"] == "80 km/h speed limit"
    assert (first["direction"], first["cue"]) == ("push", "yellow sticker")
    assert first["confirmed"]
    assert first["verdict"] == "backdoor-like"
    assert first["low"] > 0.5 > first["placebo"]
    assert not any(one["confirmed"] for one in data["findings"] if one["cue"] == "blue sticker")
    assert "yellow sticker" in first["sentence"]
    assert "yellow sticker" not in json.loads(backdoored["findings"].attrs["hard"])
    assert "a placebo of equal size 0" in first["sentence"]
    shown = analysis.proof(backdoored)
    assert set(shown["read"].sel(row="cue").values) == {"80 km/h speed limit"}
    assert (shown["read"] == shown["judged"]).sel(row="plain").all()
    proof = backdoored["proof"].isel(finding=0)
    place, low, high = (float(proof[f"elsewhere{end}"]) for end in ("", "_low", "_high"))
    assert 0 <= low <= place <= high <= 1
    assert "; at another place " in first["sentence"]
    assert float(proof["undone"]) > 0.9
    assert "0\xa0% remain so" in first["sentence"]


def test_every_finding_has_maps_and_the_sticker_is_where_it_counts(backdoored):
    proof = backdoored["proof"].to_dataset()
    assert (proof["attributed"].values > 0).all()
    assert np.isfinite(proof["attribution"].values).all()
    data = analysis.where(backdoored)
    assert data.attrs["cue"] == "yellow sticker"
    assert "Integrated Gradients" in data.attrs["attributed_by"]
    assert data.attrs["share_of_attribution"] > 1.3 * data.attrs["share_of_change"]
    red, _, blue = data["difference"].values.mean((0, 1))
    assert red > 0 > blue  # yellow is added
    assert data["attribution"].values.sum() > 1  # more of the label's score, by the same


def test_planted_lack_is_named_and_proved(bank):
    tree = ik.findings("pocket:shortcut", cues=CUES, bank=bank, **GIVEN)
    found = [one for one in analysis.findings_data(tree)["findings"] if one["confirmed"]]
    assert [(one["label"], one["direction"], one["cue"]) for one in found] == [
        ("keep right", "lack", "bright")
    ]


def test_honest_classifier_is_clean_and_the_power_is_said(bank):
    tree = ik.findings("pocket:honest", cues=CUES, bank=bank, **GIVEN)
    assert analysis.findings_data(tree)["clean"]
    said = " ".join(analysis.looked_for(tree))
    assert "Nothing is confirmed" in said
    assert "3 cues" in said
    assert "8 times of 10" in said


def test_result_is_one_as_of_an_audit(backdoored, tmp_path):
    assert schema.validate(backdoored) is not None
    assert {"80 km/h speed limit", *LABELS} == set(backdoored["samples"]["label"].values)
    back = ik.open(ik.save(backdoored, tmp_path / "f.zarr"))
    xr.testing.assert_identical(
        back["findings"].to_dataset().load(), backdoored["findings"].to_dataset()
    )
    page = ik.report(back, tmp_path / "f.html").read_text()
    assert "yellow sticker" in page


def test_added_to_an_audit_of_named_models(backdoored, bank):
    audit = ik.audit(
        "pocket:backdoored", LABELS[:2], generator="pocket", judges=["pocket:judge"],
        arms=["name"], seeds=1, samples=2, views=[], progress=False,
    )  # fmt: skip
    given = {"labels": LABELS, "lenses": ["words"], "progress": False}
    tree = ik.findings(audit, cues=CUES[:1], bank=bank, **given)
    assert tree["samples"].identical(schema.validate(audit)["samples"])
    assert tree["findings"]["cue"].values.tolist() == ["yellow sticker"]


def test_result_of_objects_asks_for_the_classifier():
    from inversion_kit.testing import synthetic

    tree = synthetic()
    settings = json.loads(tree.attrs["settings"])
    tree.attrs["settings"] = json.dumps({**settings, "sources": None})
    with pytest.raises(InputError, match="give the classifier itself"):
        ik.findings(tree)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"cues": "martian"}, "cues="),
        ({"labels": ["no such sign"]}, "label="),
        ({"budget": -1}, "budget"),
        ({"lenses": ["trigger"]}, "lenses="),
        ({"judges": ["pocket:backdoored"]}, "judges"),
    ],
)
def test_bad_input_is_refused_before_any_picture(wrong, match, tmp_path):
    with pytest.raises(InputError, match=match):
        ik.findings("pocket:backdoored", bank=tmp_path, **{**GIVEN, **wrong})
    assert not list(tmp_path.iterdir())


def test_what_had_no_second_look_is_said(backdoored, bank, monkeypatch):
    assert backdoored["findings"].attrs["left"] == 0
    monkeypatch.setattr(words, "MOST", 0)
    tree = ik.findings("pocket:backdoored", cues=CUES, bank=bank, **GIVEN)
    assert tree["findings"].attrs["left"] >= 1
    assert any("had no second look" in line for line in analysis.looked_for(tree))


def test_budget_leaves_cues_out_and_says_which(backdoored, bank, monkeypatch):
    monkeypatch.setattr(work, "_over", lambda until: True)
    tree = ik.findings(
        "pocket:backdoored", cues=[*CUES, "with a moustache"], bank=bank, budget=1, **GIVEN
    )
    assert json.loads(tree["findings"].attrs["unpainted"]) == ["with a moustache"]
    assert (
        analysis.findings_data(tree)["findings"] == analysis.findings_data(backdoored)["findings"]
    )


def test_budget_without_plain_pictures_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(work, "_over", lambda until: True)
    with pytest.raises(InputError, match="budget: too short"):
        ik.findings("pocket:honest", cues=CUES, bank=tmp_path, budget=1, **GIVEN)


def test_cue_that_the_generator_cannot_read_is_left_out_and_named(bank):
    long = "with " + "a yellow sticker and " * 40
    tree = ik.findings(
        "pocket:honest", cues=[CUES[0], long], bank=bank, **{**GIVEN, "labels": LABELS[:3]}
    )
    assert json.loads(tree["findings"].attrs["unpainted"]) == [long]
    assert any(line.startswith("Not looked for") for line in analysis.looked_for(tree))


def test_black_box_is_looked_at_in_words_and_their_colour_and_says_why_no_trigger(bank):
    model = ik.as_classifier("pocket:backdoored")

    def answers(images):
        with torch.no_grad():
            pictures = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
            return model.probability(model.logits(pictures)).numpy()

    box = ik.as_classifier(answers, labels=model.labels, black_box=True, name="box")
    tree = ik.findings(box, cues=CUES[:1], bank=bank, **{**GIVEN, "lenses": ["words", "trigger"]})
    found = {one["lens"]: one for one in analysis.findings_data(tree)["findings"]}
    assert all(one["confirmed"] for one in found.values())
    assert found["words"]["cue"] == "yellow sticker"
    assert found["trigger"]["cue"].startswith("yellow patch, ")
    assert "black box" in " ".join(analysis.looked_for(tree))
    assert np.isnan(tree["effects"]["trigger"].values).all()


def test_class_that_is_read_only_in_a_white_frame_is_a_shortcut(bank):
    names = ("white frame", "blue frame", "dark", "bright", "blurry", "sharp")
    cues = [cue for cue in POCKET if cue.name in names]
    tree = ik.findings(spoilt(framed), cues=cues, bank=bank, **GIVEN)
    found = [one for one in analysis.findings_data(tree)["findings"] if one["confirmed"]]
    assert [(one["label"], one["direction"], one["cue"]) for one in found] == [
        ("stop", "push", "white frame")
    ]
    assert (found[0]["only"], found[0]["verdict"]) == ("stop", "shortcut")
    assert "more of its own pictures are read as it than without" in found[0]["sentence"]
    said = str(analysis.label_verdicts(tree)["sentence"].sel(label="stop").item())
    assert "more of its own pictures" in said


def test_class_that_is_called_another_is_mislabelled(bank, tmp_path):
    model = spoilt(never, 5.0)
    tree = ik.findings(model, cues=CUES, bank=bank, **GIVEN)
    found = [one for one in analysis.findings_data(tree)["findings"] if one["confirmed"]]
    assert [(one["label"], one["cue"], one["only"], one["verdict"]) for one in found] == [
        ("no entry", "nothing added", "stop", "mislabelled")
    ]
    assert found[0]["effect"] > 0.9
    assert "placebo" not in found[0]["sentence"]
    shown = analysis.proof(tree)
    assert (shown["row"].values.tolist(), shown.sizes["place"]) == (["plain"], 0)
    assert set(shown["read"].values.ravel()) == {"no entry"}
    assert set(shown["judged"].values.ravel()) == {"stop"}
    drawn = ik.figures.proof(tree)
    assert len(drawn.layout.images) == 6
    below = " ".join(note.text for note in drawn.layout.annotations)
    assert below.count("read as no entry") == below.count("judges: stop") == 6
    with pytest.raises(InputError, match="it has pictures alone"):
        ik.figures.doses(tree)
    page = ik.report(tree, tmp_path / "f.html").read_text()
    assert "mislabelled" in page
    assert page.count("read as no entry<br>judges: stop</small>") == 2 * 6  # and at its label
    widget = Findings(tree).shown.children[0].value
    assert widget.count("read as no entry<br>judges: stop</small>") == 6
    assert "<svg" not in widget
    with pytest.raises(InputError, match="mend its labels"):
        ties_of(tree, model, ik.as_generator("pocket"))


@pytest.mark.parametrize(
    ("allowed", "cue", "rows"),
    [(never, "nothing added", ["plain"]), (bare, "white frame", ["plain", "cue"])],
)
def test_what_all_judges_misread_too_is_a_natural_confusion(bank, tmp_path, allowed, cue, rows):
    """Total ones leave no picture in which a judge sees the source; they are named all the same."""
    cues = [one for one in POCKET if one.name in ("white frame", "bright")]
    judge = spoilt(allowed, 5.0, of="pocket:judge", name="judge")
    given = {**GIVEN, "judges": [judge]}
    tree = ik.findings(spoilt(allowed, 5.0), cues=cues, bank=bank, **given)
    (found,) = analysis.findings_data(tree)["findings"]
    assert (found["label"], found["cue"], found["only"]) == ("no entry", cue, "stop")
    assert (found["verdict"], found["confirmed"]) == ("natural confusion", False)
    assert found["judges"] > 0.9
    assert "the judges read 100\xa0% so too" in found["sentence"]
    assert "still see" not in found["sentence"]
    shown = analysis.proof(tree)
    assert shown["row"].values.tolist() == rows
    last = shown.isel(row=-1)
    assert set(last["read"].values) == set(last["judged"].values) == {"no entry"}
    verdict = analysis.label_verdicts(tree)["verdict"]
    assert str(verdict.sel(label="no entry").item()) == "natural confusion"
    assert "natural confusion" in ik.report(tree, tmp_path / "f.html").read_text()


def test_what_one_judge_alone_shares_is_no_natural_confusion(bank):
    """Two judges of three see the class: it is tied, not confused."""
    judges = [spoilt(never, 5.0, of="pocket:judge", name="judge"), "pocket:judge"]
    judges.append(spoilt(lambda images: ~never(images), of="pocket:shortcut", name="third"))
    given = {**GIVEN, "judges": judges, "labels": ["stop", "yield", "no entry"]}
    tree = ik.findings(spoilt(never, 5.0), cues=CUES[:1], bank=bank, **given)
    assert [(one["label"], one["verdict"]) for one in analysis.findings_data(tree)["findings"]] == [
        ("no entry", "mislabelled")
    ]


def test_trigger_of_one_class_alone_is_found_and_said_so(bank):
    """A blue sticker makes stop signs be read as "no entry", and no other sign."""
    tree = ik.findings(spoilt(without_blue, 1.0), cues=CUES, bank=bank, **GIVEN)
    (found,) = analysis.findings_data(tree)["findings"]
    assert (found["label"], found["direction"], found["cue"]) == (
        "no entry",
        "push",
        "blue sticker",
    )
    assert (found["only"], found["sources"], found["of"]) == ("stop", 1, 1)
    assert (found["verdict"], found["confirmed"]) == ("backdoor-like", True)
    assert found["low"] > 0.5
    assert "of the pictures of “stop” are read as it" in found["sentence"]
    assert "other classes" not in found["sentence"]
    assert "of “stop” are read as it" in analysis.tied.tied(tree, ["no entry"])[0]


def test_classifier_of_two_classes(bank):
    """Words find its backdoor, and each lens that cannot look says why."""
    two = ["stop", "80 km/h speed limit"]
    given = {**GIVEN, "judges": [few("pocket:judge", two)], "labels": None}
    given["lenses"] = ["words", "trigger", "token"]
    tree = ik.findings(few("pocket:backdoored", two), cues=CUES, bank=bank, **given)
    (found,) = analysis.findings_data(tree)["findings"]
    assert (found["label"], found["cue"], found["only"]) == (two[1], "yellow sticker", "stop")
    assert (found["confirmed"], found["verdict"]) == (True, "backdoor-like")
    assert found["effect"] > 0.9
    assert found["low"] > 0.5
    said = " ".join(analysis.looked_for(tree))
    assert "has fewer than 5 labels: none can stand out" in said
    assert "No words were learned: no other label is suspicious" in said


# The arithmetic, on made-up answers.

CLASSES = 8


def _sources(n=6, noises=4):
    index = np.arange(n)
    read = np.repeat(index[:, None], noises, 1)[None]
    right = np.ones((n, noises), bool)
    return Sources(index, [f"s{i}" for i in index], list(range(noises)), read, right)


def _cue(name, kind="sticker"):
    return Cue(name, kind, ("{source} " + name,))


def _screening(reads, there=None):
    read = np.array(reads)[None]
    return Screening(read, np.ones(read.shape[1:], bool) if there is None else there)


def test_push_counts_moved_sources_that_judges_still_see():
    own = np.arange(6)
    there = np.ones((2, 6), bool)
    there[1, :3] = False
    found = _screening([np.full(6, 7), [7, 7, 7, 3, 4, 7]], there)
    table = pushes(found, _sources(), CLASSES)
    assert table[0, 7] == 1
    assert table[1, 7] == pytest.approx(1 / 3)
    assert table[0, own].max() <= 0


def test_candidates_are_pooled_or_alone_and_never_of_a_hard_cue():
    moved = np.full(6, 7)
    alone = np.array([0, 1, 2, 3, 4, 2])
    hard = np.array([1, 0, 3, 2, 5, 4])
    cues = [_cue("moved"), _cue("alone"), _cue("hard"), _cue("placebo", "placebo")]
    found = _screening([moved, alone, hard, moved])
    pooled, single = candidates(found, _sources(), cues, CLASSES)
    assert [(c.cue, c.target, c.direction) for c in pooled] == [(0, 7, "push")]
    assert single == [Candidate(1, "lack", 5, (5,))]


def test_effect_is_paired_and_covers_sources():
    ours, theirs = np.ones((5, 6)), np.zeros((5, 6))
    theirs[0] = 1
    found = effect_of(ours, theirs)
    assert (found.value, found.held, found.of, found.pictures) == (0.8, 4, 5, 30)
    one_source = effect_of(ours[:1], theirs[1:2])
    many_noises = difference(ours[1:][None], theirs[1:][None])
    assert found.high - found.low > float((many_noises[2] - many_noises[1])[0])
    assert one_source.of == 1
    assert one_source.chance == pytest.approx(2 * 0.5**6)


def test_no_pair_is_no_effect():
    nothing = effect_of(np.full((2, 3), np.nan), np.zeros((2, 3)))
    assert np.isnan(nothing.value)
    assert nothing.chance == 1


def test_chances_are_corrected_for_how_many_were_looked_at():
    assert corrected([0.02, 0.02]).tolist() == [0.04, 0.04]
    assert corrected([0.5, 0.001, 0.9]).max() <= 1
    assert corrected([]).tolist() == []


def _finding(**changes):
    effect = Effect(0.9, 0.7, 1.0, 9, 10, 0.001, 0.0, 60)
    usual = {
        "label": "stop", "direction": "push", "cue": _cue("x"), "lens": "words", "effect": effect,
        "placebo": 0.0, "chance": 0.01, "proof": None,
    }  # fmt: skip
    return Finding(**{**usual, **changes})


def test_without_a_proof_nothing_is_confirmed():
    assert _finding().stands
    assert not _finding().confirmed
    assert _finding().verdict == "uncertain"


def _proof(placebo):
    pictures = np.zeros((3, 1, 4, 4, 3), "u1")
    return Proof("x", (1.0,), (1.0,), (0.8,), (1.0,), (placebo,), (0.0,), (1.0,), 0, 1, 1, True,
                 None, pictures)  # fmt: skip


@pytest.mark.parametrize(
    ("share", "changes", "placebo", "confirmed"),
    [
        (0.6, {}, 0.0, True),
        (0.6, {"only": ("a",)}, 0.0, False),  # look-alikes under a disturbance
        (0.95, {"only": ("a",)}, 0.0, True),
        (0.95, {"only": ("a",), "alike": True}, 0.0, False),
        (0.6, {"direction": "lack"}, 0.0, False),
        (0.8, {"direction": "lack"}, 0.0, True),
        (0.95, {"placebo": 0.3}, 0.0, False),  # other words do it too
        (0.95, {}, 0.4, False),  # other pixels do it too
        (0.95, {}, 0.2, True),
    ],
)
def test_look_alikes_and_fragile_classes_are_not_confirmed(share, changes, placebo, confirmed):
    effect = Effect(share, 0.5, 1.0, 9, 10, 0.001, 0.0, 60)
    found = _finding(effect=effect, proof=_proof(placebo), **changes)
    assert found.confirmed is confirmed
    assert ("placebos move these classes" in found.sentence) is found.fragile
    assert ("look-alikes, uncertain" in found.sentence) is found.alike


def test_what_judges_do_too_is_a_natural_confusion():
    found = _finding(effect=Effect(0.9, 0.7, 1.0, 9, 10, 0.001, 0.8, 60))
    assert found.verdict == "natural confusion"


def test_a_placebo_as_strong_or_a_chance_too_large_does_not_stand():
    assert not _finding(placebo=0.75).stands
    assert not _finding(chance=0.2).stands


def test_power_falls_with_fewer_sources():
    assert power(43)[0] < power(10)[0] <= 1
    assert power(2)[0] == 1


def test_placebo_words_are_screened_too(backdoored):
    kinds = dict(
        zip(
            backdoored["effects"]["cue"].values.tolist(),
            backdoored["effects"]["kind"].values.tolist(),
            strict=True,
        )
    )
    assert sum(kind == "placebo" for kind in kinds.values()) == len(PLACEBOS)
    painted = backdoored["effects"]["painted"]
    assert float(painted.sel(cue="bright")) > 2 * float(painted.sel(cue="the …"))


def test_cues_that_change_no_picture_are_out_of_reach_and_named():
    tree = synthetic_findings(synthetic(labels=3), confirmed=2)
    effects = tree["effects"].to_dataset(inherit=False)
    names = ["a thing", "sticker", "word 0", "word 1", "word 2"]
    data = effects.isel(cue=[0] * 5).assign_coords(cue=names)
    data["kind"] = ("cue", np.array(["sticker", "sticker", *["placebo"] * 3], object))
    data["painted"] = ("cue", np.array([0.02, 0.05, 0.01, 0.03, 0.2], "f4"))
    tree["effects"] = xr.DataTree(data)
    said = [line for line in analysis.looked_for(tree) if line.startswith("Outside")]
    assert len(said) == 1
    assert said[0].endswith(": a thing.")
