"""What probing costs the target: measured while it runs.

A hit costs the trap, which is calibrated here (a loop over one emulated instruction, with an empty BPF program on it,
against the same loop without, by the CPU time of this thread), and the time that the BPF program runs, which the
kernel measures where it is asked to: for a tenth of the time, as measuring costs some 5 % itself. So the cost is an
estimate and called one; the target's CPU time is the kernel's own figure.
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
"""So often as many hits: some 0.1 ms each, less than a CPU gives to one thread at a time."""
SAMPLED_EVERY = 10
LEAST_RUNS = 20
"""Runs of a BPF program that make a mean of their times."""
KEPT_MEANS = 31


def calibrate(attach_empty: Callable[[str, int], AbstractContextManager[None]]) -> float:
    """Return what one hit of an empty BPF program on an emulated instruction takes on this host [ns].

    Parameters
    ----------
    attach_empty
        Attaches an empty program to this process, at an offset of a file, while in its context.

    Raises
    ------
    HostError
        If this host lets nobody run code from memory, or probe that.
    """
    with loop_to_probe() as trap:
        bare = _hit_ns(trap.run)
        with attach_empty(trap.path, trap.offset):
            return _hit_ns(trap.run) - bare


def _hit_ns(run: Callable[[int], None]) -> float:
    """Return what a hit takes in the shortest of some turns of the loop, of this thread's CPU time.

    The trap is work of the kernel for this thread, so the thread's CPU time has it; time during which others had the
    CPU is not in it. Others also fill the caches, which makes a turn longer, never shorter: the shortest is the price.
    """
    took = []
    for _ in range(TURNS):
        begin = time.thread_time_ns()
        run(HITS)
        took.append((time.thread_time_ns() - begin) / HITS)
    return min(took)


class Meter:
    """What probing has cost a process since it was made.

    Parameters
    ----------
    pid
        The process.
    programs
        File descriptors of the BPF programs, one for each probe point.
    hit_ns
        What a hit takes before its program runs (`calibrate`); None: nobody knows, and so what probing costs.
    """

    def __init__(self, pid: int, programs: list[int], hit_ns: float | None) -> None:
        self._clock = ~pid << 3 | CPU_CLOCK
        self._programs = programs
        self._hit_ns = hit_ns
        self._begin_ns = self._now_ns = _cpu_ns(self._clock)
        self._times = [RunTimes() for _ in programs]
        self._ticks = 0

    def price_again(self, hit_ns: float) -> None:
        """Take the price of a hit again: the least counts, as whoever is busy beside makes a hit dearer, never cheaper.

        A hit that is dear for good, as on a CPU that was slowed down, is taken for cheaper than it is.
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
            Of each point, those that could not be sent too.
        """
        if self._hit_ns is None:
            return None
        for program, times in zip(self._programs, self._times, strict=True):
            with suppress(OSError):  # no descriptor is left to read it with: it is added the next time
                times.add(*_run_times(program))
        means = np.array([times.mean_ns for times in self._times])
        is_known = ~np.isnan(means)
        # of a program that wasn't measured yet: as of the others
        usual_ns = float(np.average(means[is_known], weights=hits[is_known] + 1)) if is_known.any() else 0.0
        found: npt.NDArray[np.float64] = hits * (self._hit_ns + np.where(is_known, means, usual_ns))
        return found


class RunTimes:
    """How long one BPF program runs: the median of the means of short times.

    The kernel measures by the wall clock. If a hit loses its CPU, to another task or to the host of a virtual machine,
    it counts thousands of times what it takes: one such hit spoils the mean of a second.
    """

    def __init__(self) -> None:
        self._run_ns = self._runs = 0
        self._means: list[float] = []

    def add(self, run_ns: int, runs: int) -> None:
        """Take the sums until now, once they are of `LEAST_RUNS` more than before."""
        if runs - self._runs >= (LEAST_RUNS if self._means else 1):
            self._means = [*self._means[1 - KEPT_MEANS :], (run_ns - self._run_ns) / (runs - self._runs)]
            self._run_ns, self._runs = run_ns, runs

    @property
    def mean_ns(self) -> float:
        """What a run takes [ns], not a number if none was measured."""
        return statistics.median(self._means) if self._means else float("nan")


CPU_CLOCK = 2
"""kernel: include/linux/posix-timers_types.h CPUCLOCK_SCHED; a process's clock is ~pid << 3 with this."""


def _cpu_ns(clock: int) -> int:
    """Return the CPU time of a process; 0 if it has ended."""
    try:
        return time.clock_gettime_ns(clock)
    except OSError:
        return 0


def _run_times(program: int) -> tuple[int, int]:
    """Return how long a BPF program ran while that was measured [ns], and how often."""
    rows = (line.split(":") for line in Path(f"/proc/self/fdinfo/{program}").read_text().splitlines())
    found = dict(rows)
    return int(found["run_time_ns"]), int(found["run_cnt"])
