"""What probing has cost a process, measured while the process runs.

A hit costs the trap and the run of the BPF program. The trap is calibrated (`trap`). The run of the program is measured
by the kernel, when asked: while much is watched, else for a tenth of the time, as measuring costs some 5 % itself. So
the cost is an estimate and called one; the process's CPU time is the kernel's own figure.
"""

from __future__ import annotations

import statistics
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from mapprobe.arrays import F64, I64

SAMPLED_EVERY = 10
LEAST_RUNS = 20
"""Runs of a BPF program that make one mean of run times."""
KEPT_MEANS = 31
"""The newest means, whose median is taken as the time of a run."""
UNKNOWN_RUN_NS = 1000.0
"""What a run is taken to take at most before one was measured [ns]."""
MEASURED_SHARE = 0.9
"""Of all hits, so many must have been measured for the withheld ones among them to be told apart."""
WITHHELD_RUN_NS = 50.0
"""What a run takes that sends nothing because it is withheld [ns]: the kernel measured 51 to 54."""


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
    cpus
        How many CPUs the process has used before, as far as known.
    """

    def __init__(self, pid: int, programs: list[int], hit_ns: float | None, cpus: float = 1.0) -> None:
        self._pid = pid
        self._programs = programs
        self._hit_ns = hit_ns
        self._begin_ns = self._now_ns = cpu_ns(pid)
        self._times = [RunTimes() for _ in programs]
        self._usual_ns = UNKNOWN_RUN_NS
        self._ticks = 0
        self.cpus = cpus

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
        self._now_ns = cpu_ns(self._pid) or self._now_ns
        return self._now_ns - self._begin_ns

    @property
    def price_ns(self) -> float:
        """What a hit takes that sends its event, whatever its point."""
        return (self._hit_ns or 0.0) + self._usual_ns

    @property
    def withheld_ns(self) -> float:
        """What a hit takes that is withheld."""
        return (self._hit_ns or 0.0) + WITHHELD_RUN_NS

    def costs_ns(self, hits: I64, withheld: I64 | None = None) -> F64 | None:
        """Return what the hits of each point took from the process [ns, an estimate], None if that isn't known.

        Parameters
        ----------
        hits
            Hits of each point, with the hits that could not be sent.
        withheld
            How many of these were withheld.
        """
        if self._hit_ns is None:
            return None
        if withheld is None:
            withheld = np.zeros_like(hits)
        for program, times, all_hits, some in zip(
            self._programs, self._times, hits.tolist(), withheld.tolist(), strict=True
        ):
            if all_hits > times.hits:  # else it has not run: reading the file takes longer than all else here
                with suppress(OSError):  # no descriptor is left to read the file with: the next call adds these runs
                    times.add(*_run_times(program), all_hits, some)
        means = np.array([times.mean_ns for times in self._times])
        is_known = ~np.isnan(means)
        # a program that wasn't measured yet is taken to run as long as the others
        if is_known.any():
            self._usual_ns = float(np.average(means[is_known], weights=hits[is_known] + 1))
        usual_ns = self._usual_ns if is_known.any() else 0.0
        found: F64 = (hits - withheld) * (self._hit_ns + np.where(is_known, means, usual_ns))
        return found + withheld * self.withheld_ns


class RunTimes:
    """How long one BPF program runs: the median of means, each of a few runs.

    The kernel measures by the wall clock. A hit that loses its CPU, to another task or to the host of a virtual
    machine, counts as thousands of hits: one such hit spoils the mean of a second.
    """

    def __init__(self) -> None:
        self._run_ns = self._runs = self._withheld = 0
        self.hits = 0
        self._means: list[float] = []
        self._is_rough = True

    def add(self, run_ns: int, runs: int, hits: int = 0, withheld: int = 0) -> None:
        """Take the sums of all runs until now, and make a mean once `LEAST_RUNS` more have run (at first: one).

        The first mean, if of fewer runs, counts until there is another: first runs find nothing in the caches.

        Parameters
        ----------
        run_ns, runs
            Of the runs that were measured.
        hits, withheld
            All hits, and those of them that were withheld, whose runs are short.
        """
        short = withheld - self._withheld
        whole, took = runs - self._runs - short, run_ns - self._run_ns - short * WITHHELD_RUN_NS
        is_told_apart = not short or runs - self._runs >= MEASURED_SHARE * (hits - self.hits)
        if is_told_apart and whole < (LEAST_RUNS if self._means else 1):
            return
        if is_told_apart:
            self._means = [mean for mean in self._means[1 - KEPT_MEANS :] if not self._is_rough] + [took / whole]
            self._is_rough = whole < LEAST_RUNS
        self._run_ns, self._runs, self.hits, self._withheld = run_ns, runs, hits, withheld

    @property
    def mean_ns(self) -> float:
        """What a run takes [ns], not a number if none was measured."""
        return statistics.median(self._means) if self._means else float("nan")


CPU_CLOCK = 2
"""Low bits of the clock id that names the CPU time of a process: ``~pid << 3 | CPU_CLOCK``.

kernel: include/linux/posix-timers_types.h CPUCLOCK_SCHED"""


def cpu_ns(pid: int) -> int:
    """Return the CPU time of a process; 0 if it has ended."""
    try:
        return time.clock_gettime_ns(~pid << 3 | CPU_CLOCK)
    except OSError:
        return 0


def _run_times(program: int) -> tuple[int, int]:
    """Return how long a BPF program ran while the kernel measured its runs [ns], and how often."""
    rows = (line.split(":") for line in Path(f"/proc/self/fdinfo/{program}").read_text().splitlines())
    found = dict(rows)
    return int(found["run_time_ns"]), int(found["run_cnt"])
