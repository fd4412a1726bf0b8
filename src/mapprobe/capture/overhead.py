"""The governor, which keeps what probing costs a process to a limit.

The governor says how many groups of probes may stay attached, and how much their hits may cost until its next look, for
probing to keep to its limit of a process's CPU time. The governor is a rule on a clock, CPU times and costs
(`kernel.meter`), and knows no process: `windows` attaches and detaches, and the kernel withholds hits that would cost
too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

TRIAL_SECONDS = 0.05
"""Time during which everything is watched at first, as nothing is known of the cost [s]."""
CREDIT_SECONDS = 0.5
"""What probing may cost before it is earned: what this much time of the process earns [s]. The trial is paid from the
credit, and so is what comes in a burst while only a part is watched; at 2 % of one CPU the credit is 10 ms. Of ten
seconds' limit it is a twentieth."""
WINDOW_SECONDS = 0.3
"""A window is opened if it can be paid for at least this long [s]."""
RECENT_SECONDS = 1.0
"""A rate is measured over one to two times this long [s], or over all the time since the level changed: a server's load
comes and goes."""
LAST_SECONDS = 0.5
"""Length assumed for the last window of a recording, in which maps are read, until a window was measured [s]."""
LEAST_LAST_SECONDS = 0.1
"""Time that the last window must be able to stay open [s]: attaching takes a part of this time."""
PERIOD_SECONDS = 1.0
"""Time between two looks whether probing is over its limit for good [s]."""
MOST_PERIODS = 2
"""Periods in a row that may end over the limit; then nothing is watched any more."""
PAYBACK_SECONDS = 5.0
"""Probing is over its limit for good if the process needs longer to earn what it is owed [s]: at 2 % ten seconds that
end with such a debt cost 3 %."""
LEAST_DEBT_NS = 1e6
"""A debt that is too small to detach for [ns]: a process that sleeps pays it back in no time, however short."""
RECOVERY_SHARE = 0.5
"""Part of what the process earns that may be spent while it is owed something: the other part pays back."""
LEAST_SECONDS = 1e-3
"""Time by which costs are divided at least [s]: a rate over less says nothing."""
SECOND_NS = 1e9


@dataclass(frozen=True, slots=True)
class Look:
    """What is known at one moment; times are of any clock, from 0 at the start.

    Attributes
    ----------
    now
        The moment [s].
    cpu_ns
        What the process took since the start.
    costs_ns
        What probing took of that CPU time: first by the points that are never shed, then by each group.
    level
        What was watched since the last look.
    sent_ns
        What hits took of these costs that sent their events, not being withheld; None: all of it.
    spent_at
        Since when hits are withheld because the budget of the last look is spent [s]; None: it isn't.
    """

    now: float
    cpu_ns: float
    costs_ns: Sequence[float]
    level: int
    sent_ns: Sequence[float] | None = None
    spent_at: float | None = None


@dataclass(slots=True)
class Governor:
    """Keep the cost of probing a process within a share of the CPU time that the process uses.

    Probe points are in groups, costly ones last: operations are shed first, then creations, then growths. A level
    is the number of groups that are watched. Which level can last follows from what each group cost in a second of
    watching. Above that level, all groups are watched in windows only. A window opens when both this window and the
    last one of the recording can be paid, and shuts when the last one could not be paid any more. At first all groups
    are watched for `TRIAL_SECONDS`, or until the credit is spent, and this trial is paid back before the first window.

    Each look also gives a budget, which what is watched may cost until the next look: whoever runs the probes withholds
    hits once it is spent. So a burst between two looks costs no more than was there to be spent, and what is left of
    each hit while its event is withheld. After that at least one group is shed.

    Attributes
    ----------
    share
        Of the process's CPU time, 0 to 1.
    groups
        How many groups can be shed.
    last_seconds
        What the last window will take, opening and shutting included [s].
    cpus
        How many CPUs the process is taken to use before that was measured: sets the credit.
    is_last
        True once nothing has to be kept for the last window.
    is_over
        True once probing owed the process more than `PAYBACK_SECONDS` earn at the end of `MOST_PERIODS` periods in a
        row, whatever was watched in these periods.
    budget_ns
        What may be spent until the next look, if the level is as was chosen.
    """

    share: float
    groups: int
    last_seconds: float = LAST_SECONDS
    cpus: float = 1.0
    is_last: bool = False
    is_over: bool = False
    budget_ns: float = field(init=False)
    _rates: list[float] | None = None
    _cpu_rate: float = 0.0
    _marks: list[tuple[float, float, list[float]]] = field(default_factory=list)
    _chosen_at: tuple[float, float, list[float]] = field(init=False)
    _level: int = -1
    _spare_ns: float = 0.0
    _cpu_ns: float = 0.0
    _periods: int = 0
    _period_ends: float = field(default_factory=lambda: PERIOD_SECONDS)

    def __post_init__(self) -> None:
        """Give the budget of the trial."""
        self.budget_ns = self.credit_ns
        self._chosen_at = (0.0, 0.0, [0.0] * (self.groups + 1))

    @property
    def credit_ns(self) -> float:
        """What probing may cost before it is earned."""
        return self.share * CREDIT_SECONDS * self.cpus * SECOND_NS

    def choose(self, look: Look) -> int:
        """Return the level from now on."""
        self._spare_ns = self.share * look.cpu_ns - sum(look.costs_ns)
        earned_ns, self._cpu_ns = self.share * (look.cpu_ns - self._cpu_ns), look.cpu_ns
        self._learn(look)
        self._count_periods(look)
        level = self._chosen(look)
        self._chosen_at = look.now, look.cpu_ns, list(look.costs_ns if look.sent_ns is None else look.sent_ns)
        self.budget_ns = self._budget_ns(level, earned_ns)
        return level

    def can_end_watched(self) -> bool:
        """True if a last window of `LEAST_LAST_SECONDS` can be paid."""
        return not self.is_over and self._spare_ns >= self._rate * LEAST_LAST_SECONDS

    def open_last(self) -> None:
        """Let the last window spend all there is: nothing has to be kept for another."""
        self.is_last = True
        self.budget_ns = max(0.0, self._spare_ns)

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

    def _learn(self, look: Look) -> None:
        """Take what each watched group cost a second since the first mark.

        The first mark is set by the first look at a level: the cost before is the cost of attaching, which says
        nothing; unless all was spent before that look, so that nothing else is known.
        """
        here = look.now, look.cpu_ns, list(look.costs_ns if look.sent_ns is None else look.sent_ns)
        is_new = not self._marks or look.level != self._level
        if is_new and look.spent_at is None:
            self._marks, self._level = [here], look.level
            return
        since, cpu_then, costs_then = self._chosen_at if is_new else self._marks[0]
        until = look.now if look.spent_at is None else look.spent_at
        if look.spent_at is None and until - since < TRIAL_SECONDS:
            return
        if self._rates is None:
            self._rates = [0.0] * len(here[2])
        took = max(until - since, LEAST_SECONDS)
        for group in range(look.level + 1):
            self._rates[group] = (here[2][group] - costs_then[group]) / took
        self._cpu_rate = (look.cpu_ns - cpu_then) / max(look.now - since, LEAST_SECONDS)
        if look.spent_at is not None:
            self._marks = []
        elif look.now - self._marks[-1][0] >= RECENT_SECONDS:
            self._marks = [self._marks[-1], here]

    def _count_periods(self, look: Look) -> None:
        if look.now < self._period_ends:
            return
        earned_ns = self.share * look.cpu_ns / look.now * PAYBACK_SECONDS
        self._periods = self._periods + 1 if -self._spare_ns > max(earned_ns, LEAST_DEBT_NS) else 0
        self._period_ends = look.now + PERIOD_SECONDS
        self.is_over = self.is_over or self._periods >= MOST_PERIODS

    def _chosen(self, look: Look) -> int:
        level = look.level
        if self.is_over:
            return 0
        if self._rates is None:
            return level
        lasting = self.lasting
        if look.spent_at is not None:
            return max(0, min(lasting, level - 1))
        if level == self.groups:
            kept = 0.0 if self.is_last else self._rate * self.last_seconds
            return level if lasting == level or self._spare_ns > kept else lasting
        if self._spare_ns > self._rate * (WINDOW_SECONDS + self.last_seconds):
            return self.groups
        if lasting > level:  # take a group up only if it can be paid for longer than a moment
            is_paid = self._spare_ns > sum((self._rates or [])[: lasting + 1]) * RECENT_SECONDS
            return lasting if is_paid else level
        return lasting if self._spare_ns <= 0 else level

    def _budget_ns(self, level: int, earned_ns: float) -> float:
        if self.is_over:
            return 0.0
        if self._rates is not None and level == self.groups > self.lasting:
            kept = 0.0 if self.is_last else self._rate * self.last_seconds
            return max(0.0, self._spare_ns - kept)
        return max(0.0, self._spare_ns + self.credit_ns, RECOVERY_SHARE * earned_ns)
