"""What probing costs the target, measured while the target runs, and what of it the governor lets stay.

A hit costs the trap, which is calibrated here (a loop over one emulated instruction, with an empty BPF program on it,
against the same loop without, by the CPU time of this thread), and the time that the BPF program runs, which the
kernel measures where it is asked to: for a tenth of the time, as measuring costs some 5 % itself. So the cost is an
estimate and called one; the target's CPU time is the kernel's own figure.

The governor says how many groups of probes may stay attached, so that probing takes no more of the CPU time of a
process than the limit. It is a rule about a clock, CPU times and costs, and knows no process: `windows` does what it
says.
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


TRIAL_SECONDS = 0.05
"""How long everything is watched at first, as nothing is known of its cost: a process that makes a million operations
a second pays 0.05 s of CPU time for it, which 2 % of ten seconds pay back four times."""
WINDOW_SECONDS = 0.3
RECENT_SECONDS = 1.0
"""A rate is of one to two of these times, or of all since the level changed, as a server's load comes and goes."""
LAST_SECONDS = 0.5
"""What the window at the end of a recording takes, in which its maps are read, while nobody has measured that."""
LEAST_LAST_SECONDS = 0.1
"""So long the last window must be able to stay open: to attach takes a part of that."""
PERIOD_SECONDS = 5.0
"""At 2 % a process that takes one CPU pays 0.1 s in it: what the trial of a dear one costs is paid back in one."""
MOST_PERIODS = 2
RECOVERY_SHARE = 0.5
"""Of what probing may take, the part that may be watched on while more was taken already."""


@dataclass(slots=True)
class Governor:
    """Hold what probing takes from a process to a share of what the process takes.

    What is probed stands in groups, dear ones last: operations are shed first, then creations, then growths. A level
    is how many of the groups are watched. Which level can last follows from what each group cost a second when it was
    watched. Above it all is watched in windows: opened when the window and the last of all can be paid, and shut when
    the last of all could not be paid any more. At first all is watched for `TRIAL_SECONDS`, and what that took is paid
    back before the first window.

    Attributes
    ----------
    share
        Of the process's CPU time, 0 to 1.
    groups
        How many groups can be shed.
    last_seconds
        What the last window will take, with opening and shutting it [s].
    is_over
        True once more than the share of all CPU time until then was taken at the end of `MOST_PERIODS` periods running,
        whatever was watched in them.
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
            Any clock [s], from 0 at the start.
        cpu_ns
            What the process took since the start.
        costs_ns
            What probing took of it: first by what is never shed, then by each group.
        level
            What was watched since the last call.
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
        """True if a last window can be paid, of some length."""
        return not self.is_over and self._spare_ns >= self._rate * LEAST_LAST_SECONDS

    @property
    def seconds_left(self) -> float:
        """How long all may be watched until nothing is left to pay that with [s]; 0 while nobody knows."""
        if self._rates is None:
            return 0.0
        return max(0.0, self._spare_ns) / max(self._rate, 1.0)

    @property
    def is_known(self) -> bool:
        """False during the trial."""
        return self._rates is not None

    @property
    def lasting(self) -> int:
        """The highest level that can be watched all the time; 0 while nobody knows."""
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
        """Take what each watched group cost since the first mark; what came before the first call says nothing.

        That is what it took to put the probes there.
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
        if lasting > level:  # not for what is paid for a moment only
            is_paid = self._spare_ns > sum((self._rates or [])[: lasting + 1]) * RECENT_SECONDS
            return lasting if is_paid else level
        return lasting if self._spare_ns <= 0 else level
