"""The order of units, what fits into a budget, and what an estimate says."""

from __future__ import annotations

import dataclasses

import pytest

from inversion_kit import objectives
from inversion_kit.audits import schedule
from inversion_kit.audits.schedule import Estimate, clock, estimate, in_order, seconds_of, within
from inversion_kit.audits.units import Outcome
from inversion_kit.errors import InputError
from inversion_kit.storage.units import Unit
from tests.test_units import bench  # noqa: F401 - a fixture

ARMS = ("name", "token+name", "token", "shuffled")
GUESS = Estimate({"name": 6, "token": 6}, {"name": 1.0, "token": 10.0}, {"name": 1.0, "token": 30})


def units(labels=3, arms=("name", "token"), seeds=2):
    return [Unit(k, arm, s) for k in range(labels) for arm in arms for s in range(seeds)]


def play(budget, success, cost=None, *, failing=()):
    """Make units on a fake clock; what was made, and when the last one ended."""
    cost = cost or {"name": 1.0, "token": 10.0}
    done, times = [], [0.0]
    for unit in within(
        units(),
        ["name", "token"],
        [0, 1],
        samples=16,
        budget=budget,
        results=lambda: done,
        guess=GUESS,
        clock=lambda: sum(times),
    ):
        times.append(cost[unit.arm])
        status = "failed" if unit in failing else "done"
        done.append(Outcome(unit, status, cost[unit.arm], success[unit.label_index]))
    return [one.unit for one in done], sum(times)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15min", 900), (" 2H ", 7200), ("1d", 86400), (5, 5), (0.5, 0.5), ("7", 7)],
)
def test_budgets_are_read(text, seconds):
    assert seconds_of(text) == seconds
    assert seconds_of(None) is None


@pytest.mark.parametrize("text", ["", "soon", "0", "-3", "5 weeks", True, "1e3min", 0.0, "nan"])
def test_other_budgets_are_refused(text):
    with pytest.raises(InputError, match="budget="):
        seconds_of(text)


def test_seed_by_seed_then_label_by_label_then_arms_in_their_order():
    ordered = in_order(units(2, ARMS, 2)[::-1], ARMS)
    assert ordered == [Unit(k, arm, s) for s in range(2) for k in range(2) for arm in ARMS]


def test_with_time_enough_all_are_made_and_the_first_seed_comes_first():
    made, _ = play(1000, [1.0, 0.5, 0.0])
    assert sorted(made) == sorted(units())
    assert {unit.seed for unit in made[:6]} == {0}


@pytest.mark.parametrize("success", [[1.0, 0.5, 0.0], [0.5, 0.0, 1.0], [1.0, 1.0, 0.5]])
def test_the_least_known_label_gets_the_time_that_is_left(success):
    made, _ = play(45, success)
    assert made[6].label_index == success.index(0.5)


def test_a_label_of_which_all_failed_is_the_least_known():
    made, _ = play(45, [0.5, 0.5, 0.5], failing=[Unit(2, "name", 0), Unit(2, "token", 0)])
    assert made[6].label_index == 2


COSTS = {"name": 1.0, "token+name": 3.0, "token": 5.0, "shuffled": 40.0}


def planned(budget, *, workers=1, known=(), guess=COSTS, cost=None, labels=6, arms=ARMS, seeds=3):
    """Make units on a fake clock with some workers, each of which may have one unit waiting.

    Gives what was made, in order of their ends, and when the last one ended.
    """
    now, cost, done, free = [0.0], cost or guess, list(known), [0.0] * workers
    going = []  # (end, unit)
    made = Estimate(dict.fromkeys(arms, 1), guess, guess)
    waiting = within(
        units(labels, arms, seeds),
        arms,
        list(range(seeds)),
        samples=16,
        budget=budget,
        results=lambda: done,
        guess=made,
        workers=lambda: workers,
        clock=lambda: now[0],
    )
    while True:
        while len(going) < 2 * workers:
            unit = next(waiting, None)
            if unit is None:
                break
            first = free.index(min(free))
            free[first] = max(now[0], free[first]) + cost[unit.arm]
            going.append((free[first], unit))
        if not going:
            return [one.unit for one in done[len(known) :]], now[0]
        going.sort(key=lambda one: one[0])
        now[0], unit = going.pop(0)
        done.append(Outcome(unit, "done", cost[unit.arm], 0.5))


def test_a_budget_goes_arm_by_arm_over_all_labels_the_control_last():
    made, _ = planned(6 * (1 + 5 + 3 + 40))
    first = [unit for unit in made if unit.seed == 0]
    arms = ["name", "token", "token+name", "shuffled"]
    assert first == [Unit(k, arm, 0) for arm in arms for k in range(6)]


def test_every_label_gets_its_token_before_any_label_gets_more():
    made, ended = planned(60)
    assert ended <= 60
    assert {unit.label_index for unit in made if unit.arm == "token"} == set(range(6))


def test_an_arm_that_no_longer_fits_leaves_its_time_to_those_that_do():
    made, ended = planned(6 * 9 + 39)  # too little for one control
    assert 6 * 9 + 34 < ended <= 6 * 9 + 39
    assert {unit.arm for unit in made} == {"name", "token+name", "token"}
    assert max(unit.seed for unit in made if unit.arm == "token") > 0


def test_the_first_of_an_arm_is_priced_between_least_and_most():
    def first(budget):
        guess = Estimate({"token": 3}, {"token": 4.0}, {"token": 100.0})
        return next(
            within(
                units(1, ["token"], 3),
                ["token"],
                [0, 1, 2],
                samples=16,
                guess=guess,
                budget=budget,
                results=lambda: [],
                clock=lambda: 0.0,
            ),
            None,
        )

    assert first(19.9) is None
    assert first(20.1) == Unit(0, "token", 0)


def test_units_under_way_are_waited_for_and_nothing_is_begun_behind_a_full_queue():
    known = [Outcome(Unit(99, "token", 0), "done", 10.0, 0.5)]
    given = {"known": known, "guess": {"token": 10.0}, "arms": ["token"], "labels": 40, "seeds": 1}
    made, ended = planned(20, workers=8, **given)
    assert (len(made), ended) == (16, 20.0)
    made, ended = planned(29, workers=8, **given)
    assert (len(made), ended) == (16, 20.0)


def test_units_that_end_sooner_than_expected_make_room_for_more():
    made, ended = planned(
        50,
        workers=4,
        guess={"token": 40.0},
        cost={"token": 5.0},
        arms=["token"],
        labels=40,
        seeds=1,
    )
    assert len(made) == 40
    assert ended == 50.0


def test_no_units_take_no_time(bench):  # noqa: F811 - the fixture
    guess = estimate(bench, [], budget=60)
    assert guess.seconds == (0, 0)
    assert guess.fits == (0, 0)
    assert "0 units" in str(guess)


def test_it_stops_in_time_and_fills_up_with_what_is_cheap():
    made, ended = play(25, [0.5] * 3)
    assert ended <= 25
    assert sum(unit.arm == "token" for unit in made) == 2
    assert sum(unit.arm == "name" for unit in made) == 5


def test_costs_are_learned_from_what_was_made():
    made, ended = play(65, [0.5] * 3, {"name": 1.0, "token": 30.0})
    assert sum(unit.arm == "token" for unit in made) == 2
    assert ended <= 65 + 2


def test_no_time_makes_nothing():
    assert play(0.5, [0.5] * 3) == ([], 0.0)
    assert play(-1.0, [0.5] * 3) == ([], 0.0)


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

    monkeypatch.setattr(schedule.time, "perf_counter", lambda: sum(made))
    assert schedule._timed(work) == pytest.approx(told)
    assert len(made) == calls


def test_an_estimate_is_readable():
    text = str(
        Estimate(
            {"name": 4, "token": 4}, {"name": 1.0, "token": 9.0}, {"name": 1.0, "token": 19.0}, 20.0
        )
    )
    assert text.splitlines() == [
        "     4 x name            1.0 to     1.0 s each",
        "     4 x token           9.0 to    19.0 s each",
        "     8 units      40 s to 1 min 20 s in all, by one worker: a search that finds its "
        "class early is short",
        "20 s are enough for 2 to 4 of them",
    ]
    assert Estimate({"name": 4}, {"name": 1.0}, {"name": 1.0}).fits == (4, 4)


def test_clock_speaks_as_people_do():
    assert [clock(s) for s in (0.4, 59.6, 3599.6)] == ["0 s", "1 min 0 s", "1 h 0 min"]
