"""Arms: what each is, and that a result's own are known wherever it is read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import inversion_kit as ik
from inversion_kit import arm_roles, arms
from inversion_kit.arms import Arm
from inversion_kit.errors import InputError

RANDOM = Arm("random", "random control", "against noise", against="shuffled", turn=3)
FAR = Arm("far", "far name", "of another class", ("a photo of a thing",), token="none")

READ = """
import json, sys
from inversion_kit.reports import to_html
import inversion_kit as ik
data = ik.analysis.numbers(ik.open(sys.argv[1]))
print(json.dumps({
    "gains": sorted(data["gains"]),
    "control": data["control"],
    "sentence": ik.analysis.sentences(ik.open(sys.argv[1]).sel(label="sky"))[0],
    "page": "random control" in to_html(ik.open(sys.argv[1])).lower(),
    "arms": sorted(ik.arms.ARMS),
}))
"""


def test_a_result_tells_its_own_arms_to_a_process_that_has_none(tmp_path: Path) -> None:
    for arm in (RANDOM, FAR):
        arms.register(arm)
    try:
        tree = ik.testing.synthetic(arms=("name", "far", "token", "random"), samples=8)
        here = ik.analysis.numbers(tree)
        ik.save(tree, tmp_path / "run.zarr")
    finally:
        for arm in (RANDOM, FAR):
            del arms.ARMS[arm.name]
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "run.zarr")], capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    there = json.loads(done.stdout)
    assert sorted(here["gains"]) == there["gains"] == ["far", "name", "random"]
    assert there["control"] == "random"
    assert "a token trained against shuffled weights gave" in there["sentence"]
    assert there["page"]
    assert not {"random", "far"} & set(there["arms"])  # known to readers, made by no call


def test_a_registered_arm_goes_before_what_a_result_keeps() -> None:
    arms.remember({"token": {"name": "token", "words": "other", "templates": ["a {token}"]}})
    assert arms.words("token") == "token"


@pytest.mark.parametrize(
    "kept",
    [
        None,
        7,
        {"odd": None},
        {"odd": {"name": "odd"}},
        {"odd": {"name": "even", "words": "odd", "templates": ["a {token}"]}},
        {"odd": {"name": "odd", "words": 7, "templates": ["a {token}"]}},
        {"odd": {"name": "odd", "words": "odd", "templates": ["a {token}"], "more": 1}},
        {"odd": {"name": "odd", "words": "odd", "templates": ["a thing"]}},
    ],
)
def test_what_is_no_arm_is_left_out(kept: object) -> None:
    arms.remember(kept)
    assert arms.arm_of("odd") is None


def test_a_verdict_is_about_the_token_whose_turn_is_first() -> None:
    late = arms.register(Arm("late", "late", turn=2))
    early = arms.register(Arm("early", "early", turn=0))
    try:
        assert arm_roles.main_arm(["name", "late", "token"]) == "token"
        assert arm_roles.main_arm(["name", "token", "early"]) == "early"
        assert arm_roles.main_arm(["name", "inverted", "guided"]) == "name"
    finally:
        for arm in (late, early):
            del arms.ARMS[arm.name]


def test_baselines_are_compared_with_and_are_no_controls() -> None:
    names = ["name", "token", "shuffled", "inverted", "guided"]
    assert arm_roles.controls(names, "token") == ["name", "shuffled", "inverted", "guided"]
    assert arm_roles.control_arm(["name", "inverted", "guided"]) is None
    assert arm_roles.name_arm(["guided", "name"]) == "name"


def test_a_faulty_arm_is_refused() -> None:
    with pytest.raises(InputError, match="'classifier', 'shuffled' or 'photographs'"):
        Arm("mine", "mine", against="noise")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="needs \\{token\\}"):
        Arm("mine", "mine", templates=("a photo",))
