"""Numbers as data, sentences that claim no more, gates; one label and many are one thing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from inversion_kit import analysis, figures, schema
from inversion_kit.analysis import gates
from inversion_kit.analysis.words import bracket, percent
from inversion_kit.errors import InputError
from inversion_kit.settings import Settings
from inversion_kit.storage.assemble import assemble
from inversion_kit.storage.units import Unit
from inversion_kit.testing import synthetic, synthetic_plan, synthetic_unit
from tests.results import AUDIT, OUTCOMES, audit, counted, views, with_hits

LABELS = ("orange", "sky", "green", "yellow")
SOME = {
    "start": [[1, 0, 0, 0], [0, 0, 0, 0]],
    "token": [[1, 1, 1, 0], [1, 1, 0, 0]],
    "name": [[0, 1, 1, 1], [0, 0, 0, 1]],
}


def plain(sentences: list[str]) -> str:
    return " ".join(sentences).replace("\N{NO-BREAK SPACE}", " ")


def tied(tree: xr.DataTree, rows: list[dict[str, Any]]) -> xr.DataTree:
    """The result with /findings of some rows, else all alike."""
    usual = {
        "of_label": "sky",
        "direction": "towards",
        "cue": "snow",
        "lens": "words",
        "effect": 0.2,
        "low": 0.1,
        "high": 0.3,
        "sources": 3,
        "of": 4,
        "placebo": np.nan,
        "confirmed": True,
        "verdict": "shortcut",
        "sentence": "",
        "only": "",
        "judges": np.nan,
        "chance": 0.01,
        "opinion": "",
        "note": "",
    }
    kinds = {n: object if k == "str" else k for n, (_, k) in schema.WHOLE["findings"].items()}
    table = xr.Dataset(
        {n: ("finding", np.array([{**usual, **r}[n] for r in rows], k)) for n, k in kinds.items()},
        coords={"finding": np.arange(len(rows))},
    )
    groups = {f"/{n}": node.to_dataset(inherit=False) for n, node in tree.children.items()}
    made = xr.DataTree.from_dict({**groups, "/findings": table})
    made.attrs = dict(tree.attrs)
    return schema.validate(made)


def assembled(labels: list[int], arms: tuple[str, ...]) -> xr.DataTree:
    """A result of some labels; the units of a label are the same in all of them."""
    plan = synthetic_plan(labels, arms=arms, seeds=(0, 1, 2)) | {"created": "2026"}
    outcomes = ("meaning", "meaning", "trick", "failure")
    units = {
        Unit(i, arm, seed): synthetic_unit(i, arm, seed, samples=12, outcome=outcomes[i])[0]
        for i in labels
        for arm in arms
        for seed in (0, 1, 2)
        if (i, arm, seed) != (1, "token", 2)
    }
    states: dict[Unit, tuple[str, str, float]] = dict.fromkeys(units, ("done", "", 1.5))
    if 1 in labels:
        states[Unit(1, "token", 2)] = ("failed", "NumericalError: made up", 1.0)
    return assemble(plan, units, states)


@pytest.mark.parametrize(
    ("arms", "label"),
    [(AUDIT, 1), (AUDIT, 2), (("name", "start", "token"), 1), (("name", "start", "token"), 3)],
)
def test_one_label_of_many_says_what_it_says_alone(arms: tuple[str, ...], label: int) -> None:
    """The same units among others and alone: numbers, sentences, gates, pictures, searches."""
    rows = [{"of_label": n, "effect": k / 10, "confirmed": k == 3} for k, n in enumerate(LABELS)]
    many = tied(assembled([1, 2, 3], arms), rows)
    name = LABELS[label]
    picked, alone = many.sel(label=name), tied(assembled([label], arms), [rows[label]])
    numbers, mine = analysis.numbers(many), analysis.numbers(alone)
    elsewhere = {row["label"]: 1 for row in numbers["labels"] if row["confirmed"]}
    elsewhere.pop(name, None)
    more = {"seconds": numbers["seconds"], "confirmed_elsewhere": elsewhere}
    assert analysis.numbers(picked) == mine | more
    assert [row for row in numbers["labels"] if row["label"] == name] == mine["labels"]
    assert [a for a in numbers["attention"] if a["label"] == name] == mine["attention"]
    assert analysis.sentences(picked) == analysis.sentences(alone) == mine["sentences"]
    texts = ["success<0.9", "gain_low>0", "confirmed==1", "failed>0"]
    for one, other in zip(*(analysis.check_gates(texts, n) for n in (numbers, mine)), strict=True):
        assert one.failing.get(name) == other.failing.get(name), str(one.gate)
    for view in (analysis.trajectory, analysis.strip, analysis.grid, analysis.nearest_words):
        assert view(many, label=name).identical(view(picked))
        assert view(picked).identical(view(alone))
    for count in (
        analysis.success,
        analysis.paired_effects,
        analysis.semantic_index,
        analysis.view_index,
        analysis.confusion,
        analysis.read_as,
    ):
        assert count(picked).identical(count(alone))
        table, of_many = count(alone), count(many).sel(label=[name])
        for variable in table:
            if "label" in table[variable].dims:
                xr.testing.assert_identical(of_many[variable], table[variable])
    own = tied(assembled([1, 2, 3], arms), [rows[label]]).sel(label=name)
    drawn = figures.findings(own).to_json(), figures.findings(alone).to_json()
    assert drawn[0] == drawn[1]
    assert views(own) == views(alone)


@pytest.mark.parametrize("labels", [1, 3])
def test_each_softmax_is_read_once_and_no_picture(labels: int) -> None:
    """By numbers, sentences, attention, gates, confusion and projection, handed on."""
    tree, times = counted(audit(labels=labels))
    read = analysis.reads(tree)
    data = analysis.numbers(tree, read=read)
    analysis.check_gates(["success<0.5", "gain<0"], data)
    analysis.attention(read)
    analysis.sentences(tree, read=read)
    analysis.confusion(read)
    analysis.project(tree, method="pca", read=read)
    scores = ("probability", "judge_probability", "trained_probability")
    assert times == {
        **{f"samples/{name}": labels for name in scores},
        "validation/probability": labels,
    }


def test_numbers_are_json_and_hold_what_the_tables_hold() -> None:
    tree = audit(
        outcomes=OUTCOMES, samples=16, failed=[("sky", "token", 1)], missing=[("red", "name", 0)]
    )
    data = analysis.numbers(tree)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert [r["verdict"] for r in data["labels"]] == [
        "confirmed",
        "trick",
        "never",
        "mixed",
        "confirmed",
    ]
    assert data["units"] == {"done": 38, "failed": 1, "stopped": 0, "missing": 1, "all": 40}
    assert (data["arm"], data["control"], sorted(data["gains"])) == (
        "token",
        "shuffled",
        ["name", "shuffled"],
    )
    table = analysis.success(tree)
    row = data["labels"][1]
    one = table.sel(label="green", arm="token")
    assert row["arms"]["token"]["scorers"]["judge"]["high"] == one["high"].sel(scorer="judge")
    assert row["per_seed"]["token"]["judge"] == one["per_seed"].sel(scorer="judge").values.tolist()
    assert row["per_judge"]["judge"]["value"] == row["semantic_index"]["value"] == 0
    assert row["read_as"]["token"][0] == {"class": "green", "own": True, **row["success"]}
    effects = analysis.paired_effects(tree, "token", "name").sel(label="green", scorer="judge")
    assert row["differences"]["name"]["judge"]["low"] == float(effects["low"])
    path = analysis.trajectory(tree, label="green")
    checks = row["trajectory"][0]["checks"]
    assert [c["target"] for c in checks] == path["run"].values[0].tolist()
    assert [c["kept"] for c in checks] == path["kept"].values[0].tolist()
    assert "trajectory" not in analysis.numbers(tree, detail=False)["labels"][0]
    assert "trajectory" not in analysis.numbers(audit(labels=13, samples=2, seeds=1))["labels"][0]


def test_findings_stand_with_their_label_the_confirmed_then_the_largest_first() -> None:
    rows = [
        {"effect": 0.1, "confirmed": False},
        {"effect": 0.05},
        {"effect": -0.4, "confirmed": False},
        {"effect": np.nan},
        {"of_label": "green"},
    ]
    tree = tied(audit(labels=2), rows)
    labels = analysis.numbers(tree)["labels"]
    assert [round(f["effect"], 3) for f in labels[0]["findings"]] == [0.05, -0.4, 0.1]
    assert labels[0]["findings"][0]["placebo"] is None
    assert [row["confirmed"] for row in labels] == [1, 1]
    assert analysis.findings(tree, "green").sizes["finding"] == 1
    for label in (None, "sky"):
        assert analysis.findings(tree.sel(label="sky"), label).sizes["finding"] == 3
    assert analysis.numbers(audit(labels=1))["labels"][0]["confirmed"] is None


ONE: list[tuple[dict[str, Any], list[str], list[str]]] = [
    (
        {"samples": 12},
        ["by the judge judge", "the neutral start gave 0 %", "speaks for meaning", "over 2 runs"],
        ["by the judge jpeg"],
    ),
    ({"samples": 12, "seeds": 1}, ["for other noise only, from one run"], ["runs"]),
    (
        {"samples": 12, "outcomes": ("trick",)},
        ["so the token found a trick, or a trait that only"],
        [],
    ),
    (
        {"samples": 12, "outcomes": ("failure",)},
        ["The token failed: not one of its test images"],
        ["agrees"],
    ),
    ({"judges": ()}, ["No held-out classifier was asked, so a trick"], ["agrees"]),
    ({"arms": ("token",)}, ["of the token images are read as “sky”"], ["gave"]),
    ({"arms": AUDIT}, ["a token trained against shuffled weights gave 0 %"], ["start gave"]),
    ({"arms": ("name",)}, ["of the prompt images", "No token was searched for"], ["token images"]),
    (
        {"stopped": [("sky", "token", 0), ("sky", "token", 1)]},
        [
            "No test images of the token were made",
            "%, which flatters",
            "Without test images",
            "began at the word “round”",
        ],
        [],
    ),
    (
        {"missing": [("sky", "token", 0), ("sky", "token", 1)], "failed": [("sky", "name", 0)]},
        [
            "No unit of the arm “token” is done, so nothing is known of “sky”",
            "2 of 6 units have not been run; 1 of 6 units failed.",
        ],
        [],
    ),
]


@pytest.mark.parametrize(("options", "has", "lacks"), ONE)
def test_sentences_of_one_label(options: dict[str, Any], has: list[str], lacks: list[str]) -> None:
    said = analysis.sentences(synthetic(views=("jpeg",), **options))
    assert_says(said, has, lacks)


MANY: list[tuple[dict[str, Any], list[str], list[str]]] = [
    (
        {"samples": 24},
        [
            "100 % [89, 100] of the 240",
            "for 5 of 5",
            "shuffled weights gave 0 %",
            "over up to 2",
            "for 5 of 5 labels with such images this is shown",
            "no proof",
        ],
        ["trick, or", "by chance"],
    ),
    (
        {"samples": 2, "seeds": 1},
        ["for 0 of 5", "from one run", "for 5 the images do not settle it"],
        ["over up to", "less than half"],
    ),
    (
        {"samples": 24, "outcomes": ("trick",)},
        ["for 5 less than half (“sky”", "Look first at these: trick: “sky”"],
        ["settle"],
    ),
    (
        {"outcomes": ("failure",)},
        ["0 %", "No token image is read as its label", "never reached: “sky”"],
        ["confirm"],
    ),
    ({"judges": ()}, ["No held-out classifier was asked"], ["confirm"]),
    (
        {
            "missing": [
                (n, a, s) for n in ("sky", "blue") for a in ("token", "name") for s in (0, 1)
            ]
        },
        ["of 3 labels (2 of 5 labels have none)", "8 of 40 units have not been run"],
        ["of 5 labels with"],
    ),
    ({"labels": 24, "outcomes": ("failure",)}, ["label by label at 95 %", "and 21 more"], []),
    (
        {
            "labels": 2,
            "missing": [(n, a, s) for n in ("sky", "green") for a in AUDIT for s in (0, 1)],
        },
        ["No unit of the arm “token” is done, so nothing is known of the 2 labels"],
        ["Look"],
    ),
]


@pytest.mark.parametrize(("options", "has", "lacks"), MANY)
def test_sentences_of_many_labels(
    options: dict[str, Any], has: list[str], lacks: list[str]
) -> None:
    assert_says(analysis.sentences(audit(**options)), has, lacks)


def assert_says(sentences: list[str], has: list[str], lacks: list[str]) -> None:
    assert len(sentences) == 3
    text = plain(sentences)
    for part in has:
        assert part in text, text
    for part in [*lacks, "nan", ".."]:
        assert part not in text, text
    assert all(s.endswith(".") for s in sentences)


def test_the_sentences_are_short_however_many_labels_there_are() -> None:
    names = [f"class number {i}" for i in range(62)]
    tree = audit(labels=60, outcomes=OUTCOMES, samples=24, names=names)
    meant, look = analysis.sentences(tree)[1:]
    assert meant.count("“") <= 3
    kinds = {a.kind for a in analysis.attention(tree)}
    assert look.count("“") == len(kinds) == 3  # one name of each kind
    assert "“class number 3” and 14 more" in look


def test_sentences_give_the_numbers() -> None:
    said = plain(analysis.sentences(with_hits(SOME, SOME)))
    assert "62 % [" in said
    assert "class name gave 50 % [" in said
    assert "the neutral start gave 12 % [" in said


ALL, NONE, HALF = [[1] * 20], [[0] * 20], [[1] * 10 + [0] * 10]


@pytest.mark.parametrize(
    ("start", "judged", "said"),
    [
        (ALL, {"token": ALL, "start": ALL}, "nothing should be read into"),
        (NONE, {"token": ALL, "start": ALL}, "so meaning is not shown"),
        (NONE, {"token": HALF, "start": NONE}, "does not settle"),
        (NONE, {"token": ALL, "start": NONE}, "speaks for meaning"),
    ],
)
def test_meaning_is_claimed_where_token_and_judges_carry_it(
    start: list[list[int]], judged: dict[str, list[list[int]]], said: str
) -> None:
    tree = with_hits({"token": ALL, "start": start}, judged)
    sentence = analysis.sentences(tree)[1]
    assert said in sentence
    assert ("speaks for" in sentence) == (said == "speaks for meaning")


def test_sentence_on_the_start() -> None:
    tree = synthetic()
    assert analysis.sentences(tree)[2] == (
        "The token that was kept began at the word “round” in 1 of 2 runs (after 8 updates) and "
        "the neutral start in 1 of 2 runs (after 8 updates)."
    )
    tree.attrs["stopped"] = "after 12 updates"
    assert analysis.sentences(tree)[2].endswith("; the search was stopped after 12 updates.")
    tree["validation"]["start"].values[:] = "round"
    first = analysis.sentences(tree)[0]
    assert "the word “round” gave" in first
    assert "neutral" not in first


def test_help_from_the_class_name_is_owned_up_to() -> None:
    tree = synthetic(seeds=1)
    tree["validation"]["start"].sel(arm="token").values[0, 0, 2:] = "sky"
    assert "a start word is from the class name" in analysis.sentences(tree)[2]
    tree = synthetic(seeds=1)
    tree["samples"]["prompt"].sel(arm="token").values[:] = "a photo of a <ik-class> sky"
    assert "its prompt holds the class name" in analysis.sentences(tree)[2]


@pytest.mark.parametrize(
    ("text", "metric", "compare", "number"),
    [
        ("semantic_index<0.5", "semantic_index", "<", 0.5),
        (" gain_low <= -1e-2 ", "gain_low", "<=", -0.01),
        ("failed>0", "failed", ">", 0.0),
        ("success!=.5", "success", "!=", 0.5),
    ],
)
def test_a_gate_is_read(text: str, metric: str, compare: str, number: float) -> None:
    assert analysis.parse_gate(text) == gates.Gate(metric, compare, number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "success",
        "success<",
        "<0.5",
        "success<0.5 or True",
        "__import__('os')<1",
        "success<nan",
        "semantic<0.5",
        "success=0.5",
        "success<0.5;",
        "success<1\u0660",
    ],
)
def test_another_text_is_no_gate(text: str) -> None:
    with pytest.raises(InputError, match="fail_if="):
        analysis.parse_gate(text)


def test_gates_name_the_labels() -> None:
    data = analysis.numbers(audit(outcomes=OUTCOMES, samples=16, failed=[("sky", "token", 1)]))
    low, failed = analysis.check_gates(["semantic_index<0.5", "failed>0"], data)
    assert list(low.failing) == ["green"]
    assert low.unknown == ["yellow"]
    assert failed.failing == {"sky": 1}
    alone = analysis.numbers(synthetic(judges=()))
    assert analysis.check_gates(["success<0.5"], alone)[0].failing == {}
    for text in ("semantic_index<0.5", "confirmed>0"):
        with pytest.raises(InputError, match="nothing would be checked"):
            analysis.check_gates([text], alone)


def test_code_makes_the_result_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Method and queries too; the code is a call that takes all that it names."""
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def caller(name: str) -> Callable[..., None]:
        return lambda *args, **options: calls.append((name, args, options))

    for name in ("invert", "audit"):
        monkeypatch.setattr(f"inversion_kit.{name}", caller(name))
    tree = synthetic(method="cma")
    settings = json.loads(tree.attrs["settings"])
    tree.attrs["settings"] = json.dumps(
        settings | Settings(method="cma", queries=700, steps=9).plain()
    )
    exec(analysis.code(tree))
    exec(analysis.code(synthetic(labels=2)))
    sources = settings["sources"]
    one, many = calls
    assert one[:2] == ("invert", (sources["model"], 1))
    assert {k: one[2][k] for k in ("method", "queries", "steps", "seeds", "judges")} == {
        "method": "cma",
        "queries": 700,
        "steps": 9,
        "seeds": [0, 1],
        "judges": sources["judges"],
    }
    assert many[:2] == ("audit", (sources["model"], [1, 2]))
    assert many[2]["arms"] == ["name", "start", "token"]
    tree.attrs["settings"] = json.dumps(settings | {"sources": None})
    assert analysis.code(tree) == ""


@pytest.mark.parametrize(
    ("share", "said"), [(0.0, "0\xa0%"), (0.004, "<1\xa0%"), (0.996, ">99\xa0%"), (1.0, "100\xa0%")]
)
def test_percent_keeps_all_and_none_for_exactly_that(share: float, said: str) -> None:
    assert percent(share) == said


def test_bracket_rounds_outwards() -> None:
    assert bracket(0.209, 0.901) == "[20,\xa091]"
    assert bracket(-0.5, 0.25) == "[\N{MINUS SIGN}50,\xa025]"
