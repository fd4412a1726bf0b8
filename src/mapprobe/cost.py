"""What probing costs the target: measured while it runs, and held to a share of the target's own CPU time.

A hit costs the trap, which is calibrated here once a recording (a loop over one emulated instruction, with an empty
BPF program on it, timed against the same loop without), and the time that the BPF program runs, which the kernel
measures where it is asked to: for a tenth of the time, as measuring costs some 5 % itself. So the cost is an estimate
and called one; the target's CPU time is the kernel's own figure.

`Governor` decides when operations are watched, in windows: it is a rule about three numbers and knows no process.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mapprobe.errors import HostError

LOOP = bytes.fromhex("89f9 55 5d ffc9 75fa c3")
"""mov ecx, edi; again: push rbp; pop rbp; dec ecx; jnz again; ret."""
PUSH_OFFSET = 2
HITS = 500
TURNS = 5
SAMPLED_EVERY = 10
WINDOW_SECONDS = 0.3
FIRST_SECONDS = 0.2
LAST_SECONDS = 0.5
"""What the window at the end of a recording takes, in which its maps are read, while nobody has measured that."""

I64 = npt.NDArray[np.int64]


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
    code = os.memfd_create("mapprobe_calibration")
    try:
        os.write(code, LOOP)
        # the kernel puts no probe into what may be written
        try:
            loop = mmap.mmap(code, len(LOOP), mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
        except OSError as error:
            raise HostError(f"what a hit costs can't be measured ({error})", "record without --max-overhead") from None
        with loop:
            addr = np.frombuffer(loop, np.uint8).ctypes.data
            run = ctypes.CFUNCTYPE(None, ctypes.c_int)(addr)
            bare = _hit_ns(run)
            with attach_empty(f"/proc/self/fd/{code}", PUSH_OFFSET):
                return _hit_ns(run) - bare
    finally:
        os.close(code)


def _hit_ns(run: Callable[[int], None]) -> float:
    """Return what a turn of the loop takes: the median, as others use this CPU too."""
    took = []
    for _ in range(TURNS):
        begin = time.perf_counter_ns()
        run(HITS)
        took.append((time.perf_counter_ns() - begin) / HITS)
    return statistics.median(took)


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
        self.hit_ns = hit_ns
        self._begin_ns = self._now_ns = _cpu_ns(self._clock)
        self._run_ns = self._runs = np.zeros(len(programs))
        self._ticks = 0

    def is_sampled(self) -> bool:
        """Count a tick, and say whether the kernel shall measure run times until the next one."""
        self._ticks += 1
        return self._ticks % SAMPLED_EVERY == 1

    @property
    def cpu_ns(self) -> int:
        """CPU time of the process; once it has ended, as last seen."""
        self._now_ns = _cpu_ns(self._clock) or self._now_ns
        return self._now_ns - self._begin_ns

    def cost_ns(self, hits: I64) -> float | None:
        """Return what these hits took from the process [ns, an estimate], None if that isn't known.

        Parameters
        ----------
        hits
            Of each point, those that could not be sent too.
        """
        if self.hit_ns is None:
            return None
        measured = np.array([_run_times(program) for program in self._programs])
        run_ns, runs = measured[:, 0], measured[:, 1]
        of_one = run_ns.sum() / max(1, runs.sum())  # of a program that wasn't measured yet
        mean_ns = np.where(runs > 0, run_ns / np.maximum(runs, 1), of_one)
        return float((hits * (self.hit_ns + mean_ns)).sum())


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


@dataclass(slots=True)
class Governor:
    """Hold what probing takes from a process to a share of what the process takes.

    Watching starts with a short window, as nothing is known of its cost; what that took is paid back before the next.
    A window is opened when it and the last of all can be paid, at the rate that the one before cost, and shut when the
    last of all could not be paid any more. Who costs less than the share is watched all the time.

    Attributes
    ----------
    share
        Of the process's CPU time, 0 to 1.
    last_seconds
        What the last window will take, with opening and shutting it [s].
    """

    share: float
    last_seconds: float = LAST_SECONDS
    _opened_at: float | None = None
    _opened_cost_ns: float = 0.0
    _rate: float = 0.0

    def keeps_watching(self, now: float, cpu_ns: int, cost_ns: float, *, is_watching: bool) -> bool:
        """True if operations shall be watched from now on.

        Parameters
        ----------
        now
            Any clock [s], from 0 at the start.
        cpu_ns, cost_ns
            What the process took since the start, and what probing took of it.
        """
        spare_ns = self.share * cpu_ns - cost_ns
        if not is_watching:
            if spare_ns < self._rate * (WINDOW_SECONDS + self.last_seconds):
                return False
            self._opened_at, self._opened_cost_ns = now, cost_ns
            return True
        if self._opened_at is None:  # what came before, to put the probes there, says nothing of what a second costs
            self._opened_at, self._opened_cost_ns = now, cost_ns
        took = now - self._opened_at
        if took < FIRST_SECONDS:
            return True
        self._rate = (cost_ns - self._opened_cost_ns) / took
        is_dear = self._rate * now > self.share * cpu_ns
        return spare_ns > (self._rate * self.last_seconds if is_dear else 0)
