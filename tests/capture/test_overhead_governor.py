"""The governor keeps probing to its limit: a rule about times and costs, applied to made-up processes."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.capture.overhead import (
    CREDIT_SECONDS,
    LAST_SECONDS,
    MOST_PERIODS,
    PAYBACK_SECONDS,
    PERIOD_SECONDS,
    TRIAL_SECONDS,
    Governor,
    Look,
)  # fmt: skip

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
        costs[0] += 0.0 if governor.is_over else rates[0] * TICK * SECOND
        wanted = sum(rates[1 : level + 1]) * TICK * SECOND
        part = min(1.0, governor.budget_ns / wanted) if wanted else 1.0
        for group in range(1, level + 1):
            costs[group] += rates[group] * TICK * SECOND * part
        spent_at = None if part == 1 else (tick - 1 + part) * TICK
        look = Look(tick * TICK, tick * TICK * SECOND, costs, level, spent_at=spent_at)
        level = governor.choose(look)
        levels.append(level)
    return Seen(levels, sum(costs) / (seconds * SECOND), governor)


RATES = st.lists(st.floats(0.001, 0.3), min_size=3, max_size=3).map(lambda rates: [0.0, *rates])


@given(share=SHARES, rates=RATES)
def test_the_share_is_held_in_the_long_run(share: float, rates: list[float]) -> None:
    seen = governed(share, rates, 120)

    assert seen.paid <= share * (1 + CREDIT_SECONDS / 120) + 1e-9


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

    assert [governor.choose(Look(tick * TICK, 0.0, costs, 1)) for tick in range(10)] == [1] * 10


def test_who_owes_too_much_in_two_periods_running_is_let_alone_for_good() -> None:
    seen = governed(0.02, [0.05, 0.001, 0.001, 0.001], 60)

    assert seen.governor.is_over
    levels, let_alone = seen.levels, seen.levels.index(NOTHING)
    assert levels[let_alone:] == [NOTHING] * (len(levels) - let_alone)
    owed_from = 0.02 * PAYBACK_SECONDS / (0.05 - 0.02)
    assert let_alone * TICK <= owed_from + (MOST_PERIODS + 1) * PERIOD_SECONDS
    assert not seen.governor.can_end_watched()
    assert seen.governor.budget_ns == 0


def test_who_owes_too_much_in_one_period_goes_on() -> None:
    governor, costs = Governor(0.02, 1), [0.0, (0.02 * (PAYBACK_SECONDS + PERIOD_SECONDS) + 0.001) * SECOND]
    for tick in range(1, round(3 * PERIOD_SECONDS / TICK)):
        governor.choose(Look(tick * TICK, tick * TICK * SECOND, costs, 0))

        assert not governor.is_over


def test_a_load_that_ends_is_watched_again() -> None:
    governor, level, costs, cpu_ns = Governor(0.02, 3), OPERATIONS, [0.0] * 4, 0.0
    levels = list[int]()
    for tick in range(round(120 / TICK)):
        for group in range(1, level + 1):
            costs[group] += (0.2 if tick * TICK < 5 else 0.001) * TICK * SECOND
        cpu_ns += TICK * SECOND
        level = governor.choose(Look(tick * TICK, cpu_ns, costs, level))
        levels.append(level)

    assert NOTHING in levels
    assert set(levels[-100:]) == {OPERATIONS}


def test_a_last_window_that_can_not_be_paid_is_not_opened() -> None:
    governor = Governor(0.02, 1)
    for tick in range(4):
        governor.choose(Look(tick * TICK, tick * TICK * SECOND, [0.0, 0.9 * tick * TICK * SECOND], 1))

    assert governor.is_known
    assert not governor.can_end_watched()
    assert governor.seconds_left == 0
    governor.choose(Look(60, 60 * SECOND, [0.0, 0.9 * 3 * TICK * SECOND], 0))
    assert governor.can_end_watched()
    assert governor.seconds_left == pytest.approx((0.02 * 60 - 0.9 * 3 * TICK) / 0.9)


def test_the_last_window_costs_what_was_measured() -> None:
    rich, poor = (governed(0.02, [0.0, 0.5], 60, last_seconds=seconds).paid for seconds in (0.1, 2))

    assert 0.5 * 1.5 / 60 < rich - poor < 0.5 * 2.5 / 60


class Stretch(NamedTuple):
    """The time between two looks [s], the CPUs that the process uses in it, and what each group's hits cost a second.

    The hits' costs are those of hits that send, as a share of one CPU.
    """

    seconds: float
    cpus: float
    rates: tuple[float, float, float]


STRETCHES = st.lists(
    st.builds(
        Stretch,
        st.sampled_from([TICK, 0.1, 1.0]),
        st.floats(0, 4),
        st.tuples(*[st.one_of(st.just(0.0), st.floats(0, 0.01), st.floats(0, 4))] * 3),
    ),
    min_size=1,
    max_size=40,
)


@given(
    share=SHARES,
    cpus=st.floats(0, 4),
    withheld=st.floats(0, 0.5),
    times=st.integers(1, 20),
    stretches=STRETCHES,
)
def test_no_stream_of_hits_costs_more_than_the_limit_and_one_moment(
    share: float, cpus: float, withheld: float, times: int, stretches: list[Stretch]
) -> None:
    """Whatever comes between two looks, what is paid beyond the limit is the credit and what withheld hits cost.

    Until the look after the budget was spent, a withheld hit costs a part of a whole one; each group is shed at most
    once for that before the debt is paid back.
    """
    governor, level, now, cpu_ns = Governor(share, 3, cpus=cpus), 3, 0.0, 0.0
    sent, costs, tails = [0.0] * 4, [0.0] * 4, [0.0]
    for stretch in stretches * times:
        wanted = [rate * stretch.seconds * SECOND for rate in stretch.rates[:level]]
        part = min(1.0, governor.budget_ns / sum(wanted)) if sum(wanted) else 1.0
        for group, ns in enumerate(wanted, 1):
            sent[group] += ns * part
            costs[group] += ns * (part + (1 - part) * withheld)
        tails.append(sum(wanted) * (1 - part) * withheld)
        spent_at = None if part == 1 else now + stretch.seconds * part
        now += stretch.seconds
        cpu_ns += stretch.cpus * stretch.seconds * SECOND
        level = governor.choose(Look(now, cpu_ns, costs, level, sent, spent_at))

        assert level == NOTHING or not governor.is_over
        assert governor.budget_ns >= 0
        limit = share * cpu_ns + governor.credit_ns
        assert sum(costs) <= limit * (1 + 1e-9) + sum(sorted(tails)[-3:]) + 1
