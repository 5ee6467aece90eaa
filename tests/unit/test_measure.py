"""The arithmetic of the benchmarks: what is said of times must follow from the times."""

from random import Random

import numpy as np
import pytest
from benchmarks.budgets import BUDGETS, judged
from benchmarks.compare import compared
from benchmarks.measure import Spread, on_schedule, paired, slower_than, timed
from benchmarks.result import Figure, micros


def test_a_percentile_is_the_median_of_the_rounds_and_the_maximum_is_the_worst_of_all() -> None:
    rounds = [np.array([n * 1000] * 100, np.int64) for n in (7, 5, 90)]

    spread = Spread.of(rounds)

    assert (spread.p50, spread.p99, spread.max) == (7, 7, 90)
    assert (spread.low, spread.high, spread.rounds, spread.calls) == (5, 90, 3, 300)


def test_one_slow_call_in_a_thousand_is_in_the_p999_and_not_in_the_p99() -> None:
    times = np.array([1000] * 997 + [500_000] * 3, np.int64)

    spread = Spread.of([times])

    assert spread.p99 == 1
    assert spread.p999 == 500


def test_rounds_without_a_call_are_no_measurement() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        Spread.of([np.array([1], np.int64), np.array([], np.int64)])


def test_the_curve_goes_from_all_calls_down_to_the_slowest_one() -> None:
    times = np.arange(1, 1001, dtype=np.int64) * 1000

    curve = slower_than(times)

    assert curve[0] == (1, 1)
    assert curve[-1] == (1000, 0.001)
    assert all(share == np.mean(times >= micro * 1000) for micro, share in curve)


def test_a_ratio_is_taken_within_each_round_so_that_a_slow_moment_falls_on_both() -> None:
    assert paired([2, 20, 200], [1, 10, 100]) == 2
    assert paired([2, 20, 900], [1, 10, 100]) == 2


def test_each_call_is_timed() -> None:
    asked: list[int] = []

    times = timed(asked.append, range(5))

    assert asked == [0, 1, 2, 3, 4]
    assert len(times) == 5
    assert (times >= 0).all()


async def test_a_call_that_holds_up_the_others_makes_them_late() -> None:
    def slow_at_first(place: int) -> None:
        if place == 0:
            sum(range(1_000_000))

    kept = await on_schedule(slow_at_first, range(50), rate=1e6, random=Random(1))

    assert kept.own[0] > 1_000_000
    assert (kept.late[1:] > kept.own[1:]).all()
    assert kept.late[1:].min() > kept.own[0] // 2


def test_a_figure_that_takes_more_than_a_fifth_longer_is_named() -> None:
    before = {"check": [100.0, 110.0, 120.0], "admit": [100.0, 100.0, 100.0]}
    after = {"check": [119.0, 130.9, 142.8], "admit": [121.0, 121.0, 121.0]}

    table, worse = compared(before, after)

    assert [row[3] for row in table.rows] == ["× 1.19", "× 1.21"]
    assert len(worse) == 1
    assert worse[0].startswith("admit is worse: × 1.21")


def test_a_budget_is_met_at_its_limit_and_unknown_without_a_figure() -> None:
    first = BUDGETS[0]

    met, *others = judged([Figure(first.figure, first.limit, first.unit)])
    missed, *_ = judged([Figure(first.figure, first.limit + 0.01, first.unit)])

    assert met.met is True
    assert missed.met is False
    assert {other.met for other in others} == {None}


def test_at_least_so_many_a_second_is_a_budget_too() -> None:
    live = next(budget for budget in BUDGETS if budget.least)

    judgements = judged([Figure(live.figure, live.limit - 1, live.unit)])

    (few,) = (judgement for judgement in judgements if judgement.met is not None)
    assert few.met is False
    assert few.limit.startswith("≥")


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.07, "0.07 µs"), (9.994, "9.99 µs"), (99.94, "99.9 µs"), (99.96, "100 µs"),
     (4040, "4.04 ms"), (2_070_000, "2.07 s")],
)  # fmt: skip
def test_times_are_written_in_the_unit_that_fits(value: float, said: str) -> None:
    assert micros(value) == said


def test_a_span_is_written_in_the_unit_of_what_it_is_about() -> None:
    assert micros(1200, 900, 2000) == "1.20 ms (0.90–2.00)"
