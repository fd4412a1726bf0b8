"""The cost of probing follows from the price of a hit, which other busy programs do not raise."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.capture import overhead
from mapprobe.capture.overhead import LEAST_RUNS, Meter, RunTimes, calibrate
from mapprobe.errors import HostError


@contextmanager
def nothing_attached(path: str, offset: int) -> Iterator[None]:
    with open(path, "rb") as code:
        assert code.read()[offset] == 0x55  # push rbp
    yield


def test_calibration_leaves_nothing_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    calibrate(nothing_attached)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_host_that_runs_no_code_from_memory_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under SELinux's execmem."""

    def refused(*_: object) -> mmap.mmap:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(mmap, "mmap", refused)
    with pytest.raises(HostError, match="record without --max-overhead"):
        calibrate(nothing_attached)


def test_without_calibration_the_cost_is_unknown() -> None:
    assert Meter(os.getpid(), [], None).costs_ns(np.array([5])) is None


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, tuple[int, int]]], Meter]:
    """Give a meter of programs with these run times and runs, and 500 ns a hit."""

    def made(times: dict[int, tuple[int, int]]) -> Meter:
        monkeypatch.setattr(overhead, "_run_times", times.__getitem__)
        return Meter(os.getpid(), list(times), 500.0)

    return made


def test_a_hit_costs_the_trap_and_the_program(meter: Callable[..., Meter]) -> None:
    costs = meter({7: (300_000, 1000), 9: (0, 0)}).costs_ns(np.array([10_000, 2]))

    assert costs is not None
    assert costs.tolist() == [10_000 * 800.0, 2 * 800.0]


def test_the_least_price_counts(meter: Callable[..., Meter]) -> None:
    made = meter({7: (0, 1000)})
    made.price_again(5000.0)
    dear = made.costs_ns(np.array([1]))
    made.price_again(400.0)
    cheap = made.costs_ns(np.array([1]))

    assert dear is not None
    assert cheap is not None
    assert (dear.tolist(), cheap.tolist()) == ([500.0], [400.0])


@given(st.lists(st.integers(LEAST_RUNS, 5000), min_size=5, max_size=60), st.data())
def test_runs_that_were_interrupted_do_not_count(runs: list[int], data: st.DataObject) -> None:
    """A CPU given to somebody else for 10 ms within fewer than half of the times that are measured."""
    spoiled = data.draw(st.sets(st.integers(0, len(runs) - 1), max_size=2))
    times, run_ns, sum_of_runs = RunTimes(), 0, 0
    for number, more in enumerate(runs):
        sum_of_runs += more
        run_ns += 300 * more + 10_000_000 * (number in spoiled)
        times.add(run_ns, sum_of_runs)

    assert times.mean_ns == 300


def test_a_few_runs_are_better_than_none() -> None:
    times = RunTimes()
    assert np.isnan(times.mean_ns)

    times.add(1000, 2)
    assert times.mean_ns == 500
    times.add(90_000, LEAST_RUNS)
    assert times.mean_ns == 500
