"""How many groups of probes may stay attached, so that probing takes no more of a process's CPU time than the limit.

The governor is a rule about a clock, CPU times and costs; it knows no process. `windows` does what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
