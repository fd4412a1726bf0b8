"""The governor keeps probing to its limit: a rule about times and costs, applied to made-up processes."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.capture.overhead import LAST_SECONDS, MOST_PERIODS, PERIOD_SECONDS, TRIAL_SECONDS, Governor

TICK = 0.025
SECOND = 1e9
NOTHING, GROWTHS, CREATIONS, OPERATIONS = range(4)
SHARES = st.floats(0.005, 0.5)


class Seen(NamedTuple):
    """The level at each tick, what share of its CPU time the process paid, and the governor."""

    levels: list[int]
    paid: float
    governor: Governor


def governed(share: float, rates: list[float], seconds: float, last_seconds: float = LAST_SECONDS) -> Seen:
    """Return what became of a process that takes one CPU.

    Parameters
    ----------
    rates
        What each group costs in a second of watching, of one second of CPU time: first what is never shed.
    """
    governor, level, costs = Governor(share, len(rates) - 1, last_seconds), len(rates) - 1, [0.0] * len(rates)
    levels = list[int]()
    for tick in range(1, round(seconds / TICK)):
        for group in range(level + 1):
            costs[group] += rates[group] * TICK * SECOND
        if governor.is_over:
            costs[0] -= rates[0] * TICK * SECOND
        level = governor.choose(tick * TICK, tick * TICK * SECOND, costs, level)
        levels.append(level)
    return Seen(levels, sum(costs) / (seconds * SECOND), governor)


RATES = st.lists(st.floats(0.001, 0.3), min_size=3, max_size=3).map(lambda rates: [0.0, *rates])


@given(share=SHARES, rates=RATES)
def test_the_share_is_held_in_the_long_run(share: float, rates: list[float]) -> None:
    seen = governed(share, rates, 120)

    assert seen.paid <= share + sum(rates) * (TRIAL_SECONDS + 2 * TICK) / 120 or seen.governor.is_over


@given(share=SHARES, rates=RATES)
def test_what_may_be_spent_is_spent(share: float, rates: list[float]) -> None:
    seen = governed(share, rates, 240)

    assert seen.paid > 0.4 * min(share, sum(rates)) or seen.governor.is_over


@given(share=st.floats(0.1, 0.9), part=st.floats(0.01, 0.99))
def test_what_costs_less_is_watched_all_the_time(share: float, part: float) -> None:
    seen = governed(share, [0.0, *[share * part / 3] * 3], 20)

    assert set(seen.levels) == {OPERATIONS}


@pytest.mark.parametrize(
    ("rates", "lasting"),
    [
        ([0.0, 0.001, 0.001, 0.9], CREATIONS),
        ([0.0, 0.001, 0.5, 0.4], GROWTHS),
        ([0.0, 0.5, 0.2, 0.2], NOTHING),
    ],
)
def test_operations_are_shed_first_then_creations_then_growths(rates: list[float], lasting: int) -> None:
    seen = governed(0.02, rates, 600)

    settled = seen.levels[len(seen.levels) // 2 :]
    assert set(settled) == {lasting, OPERATIONS}
    assert settled.count(lasting) > settled.count(OPERATIONS)


def test_what_is_shed_comes_again_in_windows() -> None:
    seen = governed(0.02, [0.0, 0.001, 0.001, 0.9], 600)
    opened = [after > before for before, after in pairwise(seen.levels)]

    assert 10 <= sum(opened) <= 60


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_a_first_look_is_short(rate: float) -> None:
    seen = governed(0.02, [0.0, 0.0, 0.0, rate], 10)

    assert seen.levels.index(CREATIONS) * TICK <= TRIAL_SECONDS + 2 * TICK


def test_what_it_took_to_begin_says_nothing_of_a_second() -> None:
    governor, costs = Governor(0.1, 1), [0.0, 5.0 * SECOND]

    assert [governor.choose(tick * TICK, 0.0, costs, 1) for tick in range(10)] == [1] * 10


def test_who_is_over_the_limit_in_two_periods_running_is_let_alone_for_good() -> None:
    seen = governed(0.02, [0.05, 0.001, 0.001, 0.001], 60)

    assert seen.governor.is_over
    last = MOST_PERIODS * PERIOD_SECONDS
    assert [level for n, level in enumerate(seen.levels) if n * TICK > last] == [NOTHING] * sum(
        n * TICK > last for n in range(len(seen.levels))
    )
    assert not seen.governor.can_end_watched()


def test_who_is_over_the_limit_in_one_period_goes_on() -> None:
    governor, costs = Governor(0.02, 1), [0.0, 0.2 * SECOND]
    for tick in range(round((PERIOD_SECONDS + 1) / TICK)):
        governor.choose(tick * TICK, tick * TICK * SECOND, costs, 0)
    assert not governor.is_over

    for tick in range(round(PERIOD_SECONDS / TICK)):
        governor.choose(PERIOD_SECONDS + 1 + tick * TICK, 100 * SECOND, costs, 0)
    assert not governor.is_over


def test_a_load_that_ends_is_watched_again() -> None:
    governor, level, costs, cpu_ns = Governor(0.02, 3), OPERATIONS, [0.0] * 4, 0.0
    levels = list[int]()
    for tick in range(round(120 / TICK)):
        for group in range(1, level + 1):
            costs[group] += (0.2 if tick * TICK < 5 else 0.001) * TICK * SECOND
        cpu_ns += TICK * SECOND
        level = governor.choose(tick * TICK, cpu_ns, costs, level)
        levels.append(level)

    assert NOTHING in levels
    assert set(levels[-100:]) == {OPERATIONS}


def test_a_last_window_that_can_not_be_paid_is_not_opened() -> None:
    governor = Governor(0.02, 1)
    for tick in range(4):
        governor.choose(tick * TICK, tick * TICK * SECOND, [0.0, 0.9 * tick * TICK * SECOND], 1)

    assert governor.is_known
    assert not governor.can_end_watched()
    assert governor.seconds_left == 0
    governor.choose(60, 60 * SECOND, [0.0, 0.9 * 3 * TICK * SECOND], 0)
    assert governor.can_end_watched()
    assert governor.seconds_left == pytest.approx((0.02 * 60 - 0.9 * 3 * TICK) / 0.9)


def test_the_last_window_costs_what_was_measured() -> None:
    rich, poor = (governed(0.02, [0.0, 0.5], 60, last_seconds=seconds).paid for seconds in (0.1, 2))

    assert 0.5 * 1.5 / 60 < rich - poor < 0.5 * 2.5 / 60
