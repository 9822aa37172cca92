"""What an audit is estimated to cost: its parts are timed, and units count how many they take."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from inversion_kit import objectives
from inversion_kit.arms import ARMS, Arm
from inversion_kit.audits import estimate as counting
from inversion_kit.audits import timing
from inversion_kit.audits.asked import Asked, asked_at_most, asked_likely
from inversion_kit.audits.bench import Bench
from inversion_kit.audits.estimate import Estimate, Parts, clock, price
from inversion_kit.audits.schedule import in_order
from inversion_kit.audits.timing import estimate
from inversion_kit.audits.units import sampled, search
from inversion_kit.generators import kept
from inversion_kit.generators.base import Generator
from inversion_kit.generators.counting import counted
from inversion_kit.settings import Settings
from inversion_kit.storage.units import Unit
from tests.test_units import bench  # noqa: F401 - a fixture

NAMES = ("name", "start", "token+name", "token", "shuffled")


def units(labels=3, arms=("name", "token"), seeds=2):
    return [Unit(k, arm, s) for k in range(labels) for arm in arms for s in range(seeds)]


def test_no_units_take_no_time(bench):  # noqa: F811 - the fixture
    guess = estimate(bench, [], budget=60)
    assert guess.seconds == (0, 0)
    assert guess.fits == (0, 0)
    assert "0 units" in str(guess)


def test_an_estimate_counts_every_unit_of_every_arm(bench):  # noqa: F811 - the fixture
    guess = estimate(bench, units(2, ("name", "token"), 3), budget=60)
    assert guess.units == {"name": 6, "token": 6}
    assert 0 < guess.least["name"] < guess.least["token"] <= guess.most["token"]
    low, high = guess.seconds
    assert low == pytest.approx(6 * guess.least["name"] + 6 * guess.least["token"])
    assert low < high


def test_an_estimate_times_the_objective_that_is_asked_for(bench):  # noqa: F811 - the fixture
    asked = []

    def own(logits, target):
        asked.append(len(target))
        return objectives.margin(logits, target)

    bench.settings = dataclasses.replace(bench.settings, objective=own)
    estimate(bench, units(1, ("token",), 1))
    assert asked


@pytest.mark.parametrize(
    ("seconds", "told", "calls"),
    [((9.0, 1.0, 1.0, 1.0, 1.0), 9.0, 1), ((1.0, 3.5, 1.0), 2.25, 2), ((0.1, 2, 0.1, 0.1), 0.1, 5)],
)
def test_what_is_quick_is_timed_again(monkeypatch, seconds, told, calls):
    """One busy moment of the machine is not taken for all; what is slow is not repeated."""
    made = []

    def work():
        made.append(seconds[min(len(made), len(seconds) - 1)])

    monkeypatch.setattr(timing.time, "perf_counter", lambda: sum(made))
    assert timing._timed(work) == pytest.approx(told)
    assert len(made) == calls


STUCK = Settings(
    batch=2,
    lr=1e-6,
    check_every=1,
    patience=1,
    validation=2,
    samples=3,
    stop_at=1.0,
    views=["blur"],
)
"""Each start is left after one update, so that a search asks for all that it may."""


@pytest.mark.parametrize("apart", [False, True])
def test_the_most_is_what_an_audit_asks_for_that_gets_nowhere(
    make_pipeline, make_classifier, apart, monkeypatch
):
    """Counted in evaluations of the U-Net, images that units share included."""
    monkeypatch.setattr(kept, "_images", type(kept._images)())  # nothing is kept yet
    generator = Generator(make_pipeline(), name="tiny", num_inference_steps=5, guidance_scale=1.0)
    letters = {a + b: 0 for a in "abcdefg" for b in "stuvwxyz"}
    generator.encoders[0].vocabulary.update(letters)  # a shortlist does not hold all of them
    settings = dataclasses.replace(
        STUCK, search_steps=1 if apart else None, restarts=1 + apart, steps=2 + apart
    )
    names, labels = (("token", "shuffled"), 1) if apart else (NAMES, 2)
    arms = {name: ARMS[name] for name in names}
    models = Bench(make_classifier(), generator, [], arms, settings)
    ordered = in_order(units(labels, names, 1), names)
    spent = dict.fromkeys(names, 0)
    for unit in ordered:
        with counted(generator) as counts:
            history = search(models, unit)
            sampled(models, unit, history)
        spent[unit.arm] += counts.evaluations
        if history is not None:
            asked = Asked(len(history.steps), len(history.checks), 1, int(apart))
            assert asked == asked_at_most(settings) == asked_likely(ARMS["shuffled"], settings)
    one = 1 if apart else 5
    parts = Parts(
        update=settings.batch * one,
        image=5,
        reading=0,
        search_image=one,
        search_reading=0,
        quick_image=min(one, 4),
        words=len(generator.vocabulary),
        noises=2 if apart else 1,
        apart=apart,
        pixels=16 * 16,
    )
    guess = price(parts, ordered, arms, settings, prompts=models.prompts)
    assert {arm: n * guess.most[arm] for arm, n in guess.units.items()} == pytest.approx(spent)


def test_shared_images_are_those_that_a_process_keeps():
    half, held = kept.MOST // 2, counting._Kept()
    made = [held.lacking({key: half}) for key in "abacab"]
    assert made == [1, 1, 0, 1, 0, 1]  # "b" had to give way to "c"
    assert held.lacking({"more than all": 3 * half}) == held.lacking({"more than all": 3 * half})
    assert held.lacking({"a": 10}) == 1
    assert held.lacking({"a": 10, "b": 30}) == 0.75


PARTS = Parts(
    update=10.0,
    image=1.0,
    reading=0.1,
    search_image=0.5,
    search_reading=0.1,
    quick_image=0.2,
    words=300,
    apart=True,
    pixels=32 * 32,
)


def priced(names=NAMES, labels=4, seeds=2, parts=PARTS, **changed):
    arms = {name: ARMS[name] for name in names}
    ordered = in_order(units(labels, names, seeds), names)
    return price(
        parts,
        ordered,
        arms,
        Settings(**changed),
        prompts=lambda u: [f"{u.label_index if '+' in u.arm or u.arm == 'name' else ''}"],
    )


def test_what_is_likely_lies_between_the_bounds():
    choices = itertools.product(
        [0, 1, 7, 60], [1, 5], [1, 2, 50], [0, 1, 3], [None, "a"], [None, objectives.margin]
    )
    names = ("steps", "check_every", "patience", "restarts", "start", "objective")
    for chosen in choices:
        guess = priced(**dict(zip(names, chosen, strict=True)))
        for arm in NAMES:
            assert guess.least[arm] <= guess.likely[arm] <= guess.most[arm], (chosen, arm)


def test_a_control_is_likely_to_take_longest_and_the_name_to_help():
    guess = priced()
    assert guess.likely["shuffled"] > 1.5 * guess.likely["token"] > 1.5 * guess.likely["token+name"]
    assert guess.likely["shuffled"] < guess.most["shuffled"]
    assert guess.likely["name"] == guess.least["name"] == guess.most["name"]
    own = priced(objective=objectives.margin)
    assert own.likely["token"] == own.most["token"]


def test_a_start_of_ones_own_asks_no_probe():
    assert asked_at_most(Settings(start="stop")) == Asked(60, 14, 0, 0)
    assert asked_at_most(Settings(restarts=1)) == Asked(60, 16, 1, 0)
    assert asked_at_most(Settings(steps=10)) == Asked(10, 6, 1, 0)  # two starts take them all
    assert asked_at_most(Settings(steps=0)) == Asked(0, 1, 0, 0)


def test_the_probe_of_words_is_shared_unless_it_goes_by_the_label():
    small = priced(("token", "shuffled"))
    alone = priced(("token", "shuffled"), labels=1, seeds=1)
    assert alone.most["token"] - small.most["token"] == pytest.approx(300 * 0.2 * 3 / 4)
    assert alone.most["shuffled"] == small.most["shuffled"]  # the token's words are there
    many = dataclasses.replace(PARTS, words=50_000)  # 272 of 512 words go by the label
    own = priced(("token", "shuffled"), parts=many)
    alone = priced(("token", "shuffled"), labels=1, seeds=1, parts=many)
    assert alone.most["token"] - own.most["token"] == pytest.approx(240 * 0.2 * 3 / 4)
    assert own.most["shuffled"] == alone.most["shuffled"]
    assert alone.most["token"] - alone.most["shuffled"] == pytest.approx(512 * 0.2 - 32 * 0.1)
    large = dataclasses.replace(many, pixels=2048 * 2048)  # more bytes than are kept
    full = priced(("token", "shuffled"), parts=large)
    assert full.most["token"] == pytest.approx(alone.most["token"] + 512 * 0.2)
    assert full.most["shuffled"] == pytest.approx(full.most["token"] + 32 * 0.1)


def test_images_of_the_start_are_made_once_a_seed():
    guess = priced(("name", "start"), labels=4)
    assert guess.most["name"] == pytest.approx(32 * 1.1)
    assert guess.most["start"] == pytest.approx(32 * (1.0 / 4 + 0.1))


def test_without_a_gradient_queries_are_counted():
    guess = priced(("token", "shuffled"), method="cma", queries=1000)
    assert guess.most["token"] == pytest.approx(32 * 1.1 + 1000 * 0.6)
    assert guess.least["token"] == pytest.approx(32 * 1.1 + 16 * 0.6)
    assert guess.likely["shuffled"] == guess.most["shuffled"]


def test_images_that_are_guided_are_not_made_twice():
    arm = Arm("pushed", "pushed", templates=("a {name}",), token="none", guided=True)
    parts = dataclasses.replace(PARTS, baselines={"pushed": 50.0})
    wanted = [Unit(0, "pushed", 0)]
    guess = price(parts, wanted, {"pushed": arm}, Settings(), prompts=lambda unit: ["a dog"])
    assert guess.least["pushed"] == pytest.approx(50 + 32 * 0.1)


def test_an_estimate_is_readable():
    text = str(
        Estimate(
            {"name": 4, "token": 4},
            {"name": 1.0, "token": 9.0},
            {"name": 1.0, "token": 12.0},
            {"name": 1.0, "token": 19.0},
            20.0,
        )
    )
    assert text.splitlines() == [
        "     4 x name            1.0 to     1.0 s each, likely 1.0 s",
        "     4 x token           9.0 to    19.0 s each, likely 12.0 s",
        "     8 units      40 s to 1 min 20 s in all, likely 52 s, by one worker: a search that "
        "finds its class early is short, a control goes on",
        "20 s are enough for 2 to 4 of them",
    ]
    each = {"name": 1.0}
    assert Estimate({"name": 4}, each, each, each).fits == (4, 4)


def test_clock_speaks_as_people_do():
    assert [clock(s) for s in (0.4, 59.6, 3599.6)] == ["0 s", "1 min 0 s", "1 h 0 min"]
