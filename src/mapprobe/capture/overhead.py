"""The cost of probing for the target, measured while the target runs, and the governor that keeps the cost to a limit.

A hit costs the trap and the run of the BPF program. The trap is calibrated here: a loop over one emulated instruction
runs with an empty BPF program on the instruction and without one, and the CPU time of this thread is compared. The run
of the program is measured by the kernel, when asked: for a tenth of the time, as measuring costs some 5 % itself. So
the cost is an estimate and called one; the target's CPU time is the kernel's own figure.

The governor says how many groups of probes may stay attached for probing to keep to its limit of a process's CPU time.
The governor is a rule on a clock, CPU times and costs, and knows no process: `windows` attaches and detaches.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mapprobe.arrays import I64
from mapprobe.capture.kernel.trap import loop_to_probe

HITS = 200
"""Hits in one turn of the loop: a turn takes about 0.1 ms, less than a CPU gives to one thread at a time, so that most
turns run without an interruption."""
TURNS = 20
"""Turns of the loop; the shortest counts, and of this many at least one runs undisturbed."""
SAMPLED_EVERY = 10
"""The kernel measures run times in one of this many ticks: measuring costs about 5 %, so this costs about 0.5 %."""
LEAST_RUNS = 20
"""Runs of a BPF program that make one mean of run times."""
KEPT_MEANS = 31
"""How many of the newest means are kept; their median counts as the time of a run."""


def calibrate(attach_empty: Callable[[str, int], AbstractContextManager[None]]) -> float:
    """Return the CPU time of one hit of an empty BPF program on an emulated instruction on this host [ns].

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
        Time of a hit without the run of its program (`calibrate`) [ns]; None: not known, so no cost is known.
    """

    def __init__(self, pid: int, programs: list[int], hit_ns: float | None) -> None:
        self._clock = ~pid << 3 | CPU_CLOCK
        self._programs = programs
        self._hit_ns = hit_ns
        self._begin_ns = self._now_ns = _cpu_ns(self._clock)
        self._times = [RunTimes() for _ in programs]
        self._ticks = 0

    def price_again(self, hit_ns: float) -> None:
        """Take the price of a later calibration if it is lower: other busy threads make hits dearer, never cheaper.

        If hits became dearer for good, as on a CPU that was slowed down, the price stays too low.
        """
        if self._hit_ns is not None:
            self._hit_ns = min(self._hit_ns, hit_ns)

    def is_sampled(self) -> bool:
        """Count a tick, and return whether the kernel should measure run times until the next tick."""
        self._ticks += 1
        return self._ticks % SAMPLED_EVERY == 1

    @property
    def cpu_ns(self) -> int:
        """CPU time of the process since the meter was made [ns]; after the process has ended, the last one seen."""
        self._now_ns = _cpu_ns(self._clock) or self._now_ns
        return self._now_ns - self._begin_ns

    def costs_ns(self, hits: I64) -> npt.NDArray[np.float64] | None:
        """Return the CPU time that the hits of each point took from the process [ns, an estimate]; None: not known.

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
        """Time of a run [ns]; NaN if none was measured."""
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


TRIAL_SECONDS = 0.05
"""Length of the trial in which everything is watched at first, as the cost is not known yet [s]: a process that makes a
million operations a second pays 0.05 s of CPU time for it, which 2 % of ten seconds pay back four times."""
WINDOW_SECONDS = 0.3
"""A window is opened if it can be paid for at least this long [s]."""
RECENT_SECONDS = 1.0
"""A rate is measured over one to two times this long [s], or over all the time since the level changed: a server's load
comes and goes."""
LAST_SECONDS = 0.5
"""Length assumed for the last window of a recording, in which maps are read, until a window was measured [s]."""
LEAST_LAST_SECONDS = 0.1
"""The last window is opened if it can be paid for at least this long [s]: attaching takes a part of this time."""
PERIOD_SECONDS = 5.0
"""Time between two checks whether probing is over its limit [s]. At 2 % a process that uses one CPU may pay 0.1 s in a
period: one period pays back the trial, even if probes are costly."""
MOST_PERIODS = 2
"""If this many periods in a row end over the limit, nothing is watched any more."""
RECOVERY_SHARE = 0.5
"""Part of its limit that probing may use while it is over the limit; the other part pays back."""


@dataclass(slots=True)
class Governor:
    """Keep the cost of probing a process within a share of the CPU time that the process uses.

    Probe points are in groups, costly ones last: operations are shed first, then creations, then growths. A level
    is the number of groups that are watched. Which level can last follows from what each group cost in a second of
    watching. Above that level, all groups are watched in windows only. A window opens when both this window and the
    last one of the recording can be paid, and shuts when the last one could not be paid any more. At first all groups
    are watched for `TRIAL_SECONDS`, and this trial is paid back before the first window.

    Attributes
    ----------
    share
        Of the process's CPU time, 0 to 1.
    groups
        How many groups can be shed.
    last_seconds
        Length of the last window, opening and shutting included [s].
    is_over
        True once probing had taken more than its share of all CPU time at the end of `MOST_PERIODS` periods in a row,
        whatever was watched in these periods.
    """

    share: float
    groups: int
    last_seconds: float = LAST_SECONDS
    is_over: bool = False
    _rates: list[float] | None = None
    _cpu_rate: float = 0.0
    _marks: list[tuple[float, float, list[float]]] = field(default_factory=list)
    _level: int = -1
    _spare_ns: float = 0.0
    _periods: int = 0
    _period_ends: float = field(default_factory=lambda: PERIOD_SECONDS)

    def choose(self, now: float, cpu_ns: float, costs_ns: Sequence[float], level: int) -> int:
        """Return the level from now on.

        Parameters
        ----------
        now
            Time since the start [s].
        cpu_ns
            CPU time of the process since the start.
        costs_ns
            CPU time that probing took since the start: first by the points that are never shed, then by each group.
        level
            The level since the last call.
        """
        self._spare_ns = self.share * cpu_ns - sum(costs_ns)
        self._learn(now, cpu_ns, costs_ns, level)
        self._count_periods(now)
        if self.is_over:
            return 0
        if self._rates is None:
            return level
        return self._chosen(level)

    def can_end_watched(self) -> bool:
        """True if a last window of `LEAST_LAST_SECONDS` can be paid."""
        return not self.is_over and self._spare_ns >= self._rate * LEAST_LAST_SECONDS

    @property
    def seconds_left(self) -> float:
        """How long all groups may be watched until the limit is reached [s]; 0 during the trial."""
        if self._rates is None:
            return 0.0
        return max(0.0, self._spare_ns) / max(self._rate, 1.0)

    @property
    def is_known(self) -> bool:
        """False during the trial."""
        return self._rates is not None

    @property
    def lasting(self) -> int:
        """The highest level that can be watched all the time; 0 during the trial."""
        if self._rates is None:
            return 0
        most = self.share * self._cpu_rate * (1.0 if self._spare_ns >= 0 else RECOVERY_SHARE)
        level = self.groups
        while level and sum(self._rates[: level + 1]) > most:
            level -= 1
        return level

    @property
    def _rate(self) -> float:
        return sum(self._rates or ())

    def _learn(self, now: float, cpu_ns: float, costs_ns: Sequence[float], level: int) -> None:
        """Compute what each watched group has cost in a second since the first mark.

        The first mark is set by the first call: the cost before is the cost of attaching, which says nothing.
        """
        here = now, cpu_ns, list(costs_ns)
        if not self._marks or level != self._level:
            self._marks, self._level = [here], level
            return
        since, cpu_then, costs_then = self._marks[0]
        took = now - since
        if took < TRIAL_SECONDS:
            return
        if self._rates is None:
            self._rates = [0.0] * len(costs_ns)
        for group in range(level + 1):
            self._rates[group] = (costs_ns[group] - costs_then[group]) / took
        self._cpu_rate = (cpu_ns - cpu_then) / took
        if now - self._marks[-1][0] >= RECENT_SECONDS:
            self._marks = [self._marks[-1], here]

    def _count_periods(self, now: float) -> None:
        if now < self._period_ends:
            return
        self._periods = self._periods + 1 if self._spare_ns < 0 else 0
        self._period_ends = now + PERIOD_SECONDS
        self.is_over = self.is_over or self._periods >= MOST_PERIODS

    def _chosen(self, level: int) -> int:
        lasting = self.lasting
        if level == self.groups:
            if lasting == level or self._spare_ns > self._rate * self.last_seconds:
                return level
            return lasting
        if self._spare_ns > self._rate * (WINDOW_SECONDS + self.last_seconds):
            return self.groups
        if lasting > level:  # take a group up only if it can be paid for longer than a moment
            is_paid = self._spare_ns > sum((self._rates or [])[: lasting + 1]) * RECENT_SECONDS
            return lasting if is_paid else level
        return lasting if self._spare_ns <= 0 else level
