"""The governor: how many groups of probes may stay attached for probing to keep to its limit of a process's CPU time.

The governor is a rule on a clock, CPU times and costs; it knows no process. `windows` attaches and detaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

TRIAL_SECONDS = 0.05
"""Time during which everything is watched at first, as nothing is known of the cost [s]: a process that makes a million
operations a second pays 0.05 s of CPU time for this trial, which 2 % of ten seconds pay back four times."""
WINDOW_SECONDS = 0.3
"""Time that a window has to be able to stay open before it is opened [s]."""
RECENT_SECONDS = 1.0
"""A rate is measured over one to two times this long [s], or over all the time since the level changed: a server's load
comes and goes."""
LAST_SECONDS = 0.5
"""What the window at the end of a recording, in which maps are read, is taken to need before that was measured [s]."""
LEAST_LAST_SECONDS = 0.1
"""Time that the last window must be able to stay open [s]: attaching takes a part of this time."""
PERIOD_SECONDS = 5.0
"""Time between two looks whether probing is over its limit [s]. At 2 % a process that uses one CPU may pay 0.1 s in a
period: one period pays back the trial, even where probes are costly."""
MOST_PERIODS = 2
"""Periods in a row that may end over the limit; then nothing is watched any more."""
RECOVERY_SHARE = 0.5
"""Part of what probing may take that may be used while probing is over its limit: the other part pays back."""


@dataclass(slots=True)
class Governor:
    """Hold what probing takes from a process to a share of the CPU time that the process takes.

    Probe points stand in groups, costly ones last: operations are shed first, then creations, then growths. A level
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
        What the last window will take, opening and shutting included [s].
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
            Any clock [s], from 0 at the start.
        cpu_ns
            What the process took since the start.
        costs_ns
            What probing took of that CPU time: first by the points that are never shed, then by each group.
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
        """Take what each watched group cost a second since the first mark.

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
