"""The order of units, and what fits into a budget."""

from __future__ import annotations

import random

import numpy as np
import pytest

from inversion_kit.arms import arm_of
from inversion_kit.audits import schedule
from inversion_kit.audits.estimate import Estimate
from inversion_kit.audits.schedule import in_order, seconds_of, within
from inversion_kit.audits.units import Outcome
from inversion_kit.errors import InputError
from inversion_kit.storage.units import Unit
from inversion_kit.wilson import wilson

ARMS = ("name", "token+name", "token", "shuffled")


def costing(seconds, units=1):
    """An estimate in which a unit of an arm takes so long, as it is likely."""
    return Estimate(dict.fromkeys(seconds, units), seconds, seconds, seconds)


GUESS = costing({"name": 1.0, "token": 17.0}, 6)


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
    waiting = within(
        units(labels, arms, seeds),
        arms,
        list(range(seeds)),
        samples=16,
        budget=budget,
        results=lambda: done,
        guess=costing({arm: guess[arm] for arm in arms}),
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


def test_the_first_of_an_arm_is_priced_as_is_likely():
    def first(budget):
        guess = Estimate({"token": 3}, {"token": 4.0}, {"token": 20.0}, {"token": 100.0})
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


def one_by_one(units, arms, seeds, *, samples, budget, results, guess, workers, clock):
    """`within`, as a rule that looks at every unit and every outcome each time."""
    began, left, ends = clock(), in_order(units, arms), {}
    while left:
        done, now = results(), clock()
        ends = {u: max(now, end) for u, end in ends.items() if u not in {o.unit for o in done}}
        start = sorted(ends.values())[-workers()] if len(ends) >= workers() else now
        took = {arm: [o.seconds for o in done if o.unit.arm == arm] for arm in arms}
        cost = {arm: float(np.median(t)) if t else guess.likely[arm] for arm, t in took.items()}
        fitting = [u for u in left if start + cost[u.arm] - began <= budget]
        if fitting:
            unit = the_next(fitting, seeds, done, samples)
            left.remove(unit)
            ends[unit] = start + cost[unit.arm]
            yield unit
        elif ends:
            yield None
        else:
            return


def the_next(left, seeds, done, samples):
    first = [u for u in left if u.seed == seeds[0]]
    if first:
        return min(first, key=lambda u: arm_of(u.arm).turn)

    def width(label):
        wide = 0.0
        for arm in {u.arm for u in left if u.label_index == label}:
            kind = (label, arm, "done")
            shares = [o.success for o in done if (o.unit.label_index, o.unit.arm, o.status) == kind]
            n = samples * len(shares)
            low, high = wilson(round(sum(shares) * samples), n) if n else (0.0, 1.0)
            wide = max(wide, float(high - low))
        return wide

    widths = {label: width(label) for label in dict.fromkeys(u.label_index for u in left)}
    label = max(widths, key=lambda k: widths[k])
    return next(u for u in left if u.label_index == label)


class Counted(list):
    """A list that counts what is read of it."""

    read = 0

    def __getitem__(self, key):
        found = super().__getitem__(key)
        self.read += len(found) if isinstance(key, slice) else 1
        return found

    def __iter__(self):
        self.read += len(self)
        return super().__iter__()


def random_audit(rule, number, *, most_labels=7):
    """What a rule hands out in an audit drawn by a number: units, and None where it waits."""
    draw = random.Random(number)
    arms = draw.sample(ARMS, draw.randint(1, 4))
    seeds = draw.sample(range(9), draw.randint(1, 4))
    labels = sorted(draw.sample(range(20), draw.randint(1, most_labels)))
    wanted = [Unit(k, arm, s) for k in labels for arm in arms for s in seeds]
    done = Counted()
    for unit in [*wanted, Unit(99, "token", 0)]:  # earlier runs had made some
        if draw.random() < 0.2:
            done.append(outcome(unit, draw))
    made = {o.unit for o in done}
    wanted = [unit for unit in wanted if unit not in made]
    draw.shuffle(wanted)
    cost = {arm: draw.choice([1.0, 3.0, 7.5]) for arm in arms}
    width, now, going, handed = draw.randint(1, 3), [0.0], [], []
    waiting = rule(
        wanted,
        arms,
        seeds,
        samples=8,
        budget=draw.uniform(0, 4 * (len(wanted) + 1) / width),
        results=lambda: done,
        guess=costing(cost),
        workers=lambda: width,
        clock=lambda: now[0],
    )
    while True:
        while len(going) < 2 * width:
            unit = next(waiting, None)
            handed.append(unit)
            if unit is None:
                break
            going.append(unit)
        if not going:
            return handed, done
        unit = going.pop(draw.randrange(len(going)))
        now[0] += draw.uniform(0, 2) * cost[unit.arm] / width
        done.append(outcome(unit, draw))


def outcome(unit, draw):
    status = "failed" if draw.random() < 0.1 else "done"
    return Outcome(unit, status, draw.uniform(0.5, 9), draw.randint(0, 8) / 8)


@pytest.mark.parametrize("block", range(10))
def test_choices_are_those_of_the_rule_that_looks_at_everything(block):
    handed = 0
    for number in range(40 * block, 40 * block + 40):
        ours, _ = random_audit(within, number)
        assert ours == random_audit(one_by_one, number)[0], number
        handed += len(ours)
    assert handed > 500


def test_a_thousand_labels_are_chosen_from_in_bounded_work(monkeypatch):
    """Each outcome is read once and ranks one label again, however many units wait."""
    intervals = []
    monkeypatch.setattr(schedule, "wilson", lambda *given: intervals.append(1) or wilson(*given))
    ranked = []
    rank = schedule._Waiting._ranked
    monkeypatch.setattr(
        schedule._Waiting, "_ranked", lambda self, label: ranked.append(1) or rank(self, label)
    )
    done = Counted()
    queue = within(
        units(1000, ARMS, 3),
        ARMS,
        [0, 1, 2],
        samples=32,
        budget=1e9,
        results=lambda: done,
        guess=costing(COSTS),
    )
    for i, unit in enumerate(queue):
        done.append(Outcome(unit, "done", 1.0, i % 33 / 32))
    assert len(done) == 12_000
    assert done.read <= 12_000
    assert len(intervals) <= 12_000
    assert len(ranked) <= 2 * 12_000 + 1000
