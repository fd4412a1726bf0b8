"""What probing costs the target, measured while the target runs.

A hit costs the trap and the run of the BPF program. The trap is calibrated here: a loop over one emulated instruction
runs with an empty BPF program on the instruction and without one, and the CPU time of this thread is compared. The run
of the program is measured by the kernel, when asked: for a tenth of the time, as measuring costs some 5 % itself. So
the cost is an estimate and called one; the target's CPU time is the kernel's own figure.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mapprobe.arrays import I64
from mapprobe.capture.kernel.trap import loop_to_probe

HITS = 200
TURNS = 20
"""Turns of the loop, of `HITS` hits each: a turn takes some 0.1 ms, less than a CPU gives to one thread at a time."""
SAMPLED_EVERY = 10
LEAST_RUNS = 20
"""Runs of a BPF program that make one mean of run times."""
KEPT_MEANS = 31
"""The newest means, whose median is taken as the time of a run."""


def calibrate(attach_empty: Callable[[str, int], AbstractContextManager[None]]) -> float:
    """Return what one hit of an empty BPF program on an emulated instruction takes on this host [ns].

    Parameters
    ----------
    attach_empty
        Attaches an empty program to this process, at an offset of a file, while in its context.

    Raises
    ------
    HostError
        If this host lets nobody run code from memory, or probe such code.
    """
    with loop_to_probe() as trap:
        bare = _hit_ns(trap.run)
        with attach_empty(trap.path, trap.offset):
            return _hit_ns(trap.run) - bare


def _hit_ns(run: Callable[[int], None]) -> float:
    """Return the CPU time of this thread that a hit takes in the shortest of `TURNS` turns of the loop.

    The thread's CPU time contains the trap, as the kernel does that work for this thread. It does not contain the time
    during which other threads had the CPU. Other threads also fill the caches, which makes a turn longer, never
    shorter: the shortest turn is the price.
    """
    took = []
    for _ in range(TURNS):
        begin = time.thread_time_ns()
        run(HITS)
        took.append((time.thread_time_ns() - begin) / HITS)
    return min(took)


class Meter:
    """Meter of what probing has cost a process since the meter was made.

    Parameters
    ----------
    pid
        The process.
    programs
        File descriptors of the BPF programs, one for each probe point.
    hit_ns
        What a hit takes before its program runs (`calibrate`); None: not known, so what probing costs isn't either.
    """

    def __init__(self, pid: int, programs: list[int], hit_ns: float | None) -> None:
        self._clock = ~pid << 3 | CPU_CLOCK
        self._programs = programs
        self._hit_ns = hit_ns
        self._begin_ns = self._now_ns = _cpu_ns(self._clock)
        self._times = [RunTimes() for _ in programs]
        self._ticks = 0

    def price_again(self, hit_ns: float) -> None:
        """Take a later price of a hit: the least of all counts, as other busy threads make a hit dearer, never cheaper.

        So the price is too low where hits became dearer for good, as on a CPU that was slowed down.
        """
        if self._hit_ns is not None:
            self._hit_ns = min(self._hit_ns, hit_ns)

    def is_sampled(self) -> bool:
        """Count a tick, and say whether the kernel shall measure run times until the next one."""
        self._ticks += 1
        return self._ticks % SAMPLED_EVERY == 1

    @property
    def cpu_ns(self) -> int:
        """CPU time of the process; once it has ended, as last seen."""
        self._now_ns = _cpu_ns(self._clock) or self._now_ns
        return self._now_ns - self._begin_ns

    def costs_ns(self, hits: I64) -> npt.NDArray[np.float64] | None:
        """Return what the hits of each point took from the process [ns, an estimate], None if that isn't known.

        Parameters
        ----------
        hits
            Hits of each point, with the hits that could not be sent.
        """
        if self._hit_ns is None:
            return None
        for program, times in zip(self._programs, self._times, strict=True):
            with suppress(OSError):  # no descriptor is left to read the file with: the next call adds these runs
                times.add(*_run_times(program))
        means = np.array([times.mean_ns for times in self._times])
        is_known = ~np.isnan(means)
        # a program that wasn't measured yet is taken to run as long as the others
        usual_ns = float(np.average(means[is_known], weights=hits[is_known] + 1)) if is_known.any() else 0.0
        found: npt.NDArray[np.float64] = hits * (self._hit_ns + np.where(is_known, means, usual_ns))
        return found


class RunTimes:
    """How long one BPF program runs: the median of means, each of a few runs.

    The kernel measures by the wall clock. A hit that loses its CPU, to another task or to the host of a virtual
    machine, counts as thousands of hits: one such hit spoils the mean of a second.
    """

    def __init__(self) -> None:
        self._run_ns = self._runs = 0
        self._means: list[float] = []

    def add(self, run_ns: int, runs: int) -> None:
        """Take the sums of all runs until now, and make a mean once `LEAST_RUNS` more have run (at first: one)."""
        if runs - self._runs >= (LEAST_RUNS if self._means else 1):
            self._means = [*self._means[1 - KEPT_MEANS :], (run_ns - self._run_ns) / (runs - self._runs)]
            self._run_ns, self._runs = run_ns, runs

    @property
    def mean_ns(self) -> float:
        """What a run takes [ns], not a number if none was measured."""
        return statistics.median(self._means) if self._means else float("nan")


CPU_CLOCK = 2
"""Low bits of the clock id that names the CPU time of a process: ``~pid << 3 | CPU_CLOCK``.

kernel: include/linux/posix-timers_types.h CPUCLOCK_SCHED"""


def _cpu_ns(clock: int) -> int:
    """Return the CPU time of a process; 0 if it has ended."""
    try:
        return time.clock_gettime_ns(clock)
    except OSError:
        return 0


def _run_times(program: int) -> tuple[int, int]:
    """Return how long a BPF program ran while the kernel measured its runs [ns], and how often."""
    rows = (line.split(":") for line in Path(f"/proc/self/fdinfo/{program}").read_text().splitlines())
    found = dict(rows)
    return int(found["run_time_ns"]), int(found["run_cnt"])
