"""What probing may cost is held: a rule about three numbers, tried on made-up processes; and the loop is timed."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.cost import FIRST_SECONDS, LAST_SECONDS, Governor, Meter, calibrate
from mapprobe.errors import HostError

TICK = 0.1
SECOND = 1e9


def governed(share: float, rate: float, seconds: float, last_seconds: float = LAST_SECONDS) -> tuple[list[bool], float]:
    """Return whether operations were watched at each tick, and what share of its CPU time the process paid.

    Parameters
    ----------
    rate
        What probing costs in a second of watching, of one second of CPU time.
    """
    governor, is_watching, cost_ns, seen = Governor(share, last_seconds), True, 0.0, list[bool]()
    for tick in range(1, round(seconds / TICK)):
        cost_ns += rate * TICK * SECOND * is_watching
        now = tick * TICK
        is_watching = governor.keeps_watching(now, round(now * SECOND), cost_ns, is_watching=is_watching)
        seen.append(is_watching)
    return seen, cost_ns / (seconds * SECOND)


@given(share=st.floats(0.005, 0.5), rate=st.floats(0.01, 0.95))
def test_the_share_is_held_in_the_long_run(share: float, rate: float) -> None:
    _, paid = governed(share, rate, 600)

    assert paid <= share + rate * (FIRST_SECONDS + 2 * TICK) / 600


@given(share=st.floats(0.005, 0.5), rate=st.floats(0.01, 0.95), seconds=st.integers(120, 600))
def test_what_the_last_window_costs_was_kept_for_it(share: float, rate: float, seconds: int) -> None:
    _, paid = governed(share, rate, seconds)

    at_the_end = 0 if rate <= share else rate * LAST_SECONDS / seconds
    assert paid + at_the_end <= share + rate * (FIRST_SECONDS + 2 * TICK) / seconds


@given(share=st.floats(0.05, 0.5), rate=st.floats(0.3, 0.95))
def test_what_may_be_spent_is_spent(share: float, rate: float) -> None:
    _, paid = governed(share, rate, 600)

    assert paid > 0.7 * min(share, rate)


@given(share=st.floats(0.1, 0.9), part=st.floats(0.01, 0.99))
def test_who_costs_less_is_watched_all_the_time(share: float, part: float) -> None:
    seen, _ = governed(share, share * part, 60)

    assert all(seen)


def test_a_dear_target_is_watched_in_windows() -> None:
    seen, _ = governed(0.02, 0.9, 600)
    opened = [after and not before for before, after in pairwise(seen)]

    assert 10 <= sum(opened) <= 60


@contextmanager
def nothing_attached(path: str, offset: int) -> Iterator[None]:
    with open(path, "rb") as code:
        assert code.read()[offset] == 0x55  # push rbp
    yield


def test_calibration_leaves_nothing_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    calibrate(nothing_attached)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_host_that_runs_no_code_from_memory_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under SELinux's execmem."""

    def refused(*_: object) -> mmap.mmap:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(mmap, "mmap", refused)
    with pytest.raises(HostError, match="record without --max-overhead"):
        calibrate(nothing_attached)


def test_without_calibration_the_cost_is_unknown() -> None:
    assert Meter(os.getpid(), [], None).cost_ns(np.array([5])) is None


@pytest.mark.parametrize("share", [0.001, 0.99])
def test_the_first_window_is_open_for_a_while_whatever_it_costs(share: float) -> None:
    governor = Governor(share)

    assert governor.keeps_watching(0, 0, 0, is_watching=True)
    assert governor.keeps_watching(FIRST_SECONDS / 2, 0, SECOND, is_watching=True)
    assert not governor.keeps_watching(FIRST_SECONDS, 0, SECOND, is_watching=True)


def test_what_it_took_to_begin_says_nothing_of_a_second() -> None:
    governor = Governor(0.1)
    for now in (0.0, FIRST_SECONDS):
        is_watching = governor.keeps_watching(now, 0, SECOND, is_watching=True)

    assert not is_watching
    assert governor.keeps_watching(1, round(10.1 * SECOND), SECOND, is_watching=False)


def test_the_last_window_costs_what_was_measured() -> None:
    _, rich = governed(0.02, 0.5, 60, last_seconds=0.1)
    _, poor = governed(0.02, 0.5, 60, last_seconds=2)

    assert 0.5 * 1.5 / 60 < rich - poor < 0.5 * 2.5 / 60
