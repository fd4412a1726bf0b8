"""The windows of a recording: attach and detach probes so that probing keeps to its limit of the target's CPU time.

A window is a time in which all probes are attached. The time between two windows is a gap in the recording: nobody
knows how much happened in the gap, so every known map has to be read from memory again when a window begins. A gap also
begins where the kernel withholds hits because their budget is spent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from mapprobe import vocabulary
from mapprobe.arrays import F64
from mapprobe.capture.kernel.meter import Meter
from mapprobe.capture.kernel.probe import Probe
from mapprobe.capture.kernel.trap import calibrate
from mapprobe.capture.overhead import MOST_PERIODS, PERIOD_SECONDS, Governor, Look
from mapprobe.capture.plan import CREATIONS, GROWTHS, OPERATIONS
from mapprobe.errors import HostError
from mapprobe.recording.tables import schema
from mapprobe.recording.writer import Writer
from mapprobe.vocabulary import EventKind

DRAIN_SECONDS, RESTING_SECONDS = 0.025, 0.1
"""Time between two drains [s], and the same while not all points are watched, so that few events come. A million events
a second fill a twentieth of the ring in 0.025 s; draining every 0.01 s takes one per cent more of a core."""
LOOK_SECONDS, LASTING_LOOK_SECONDS = 0.1, 0.3
"""Time between two looks at losses and costs [s], and the same if there is a limit and what is watched can last. With a
limit, each drain shows whether the budget is spent, and during the trial there is a look at each drain."""
SHUTTING_SECONDS = 0.1
"""Time that it takes at most to attach the probes for the last window and to detach them [s]."""
HOLD_SECONDS = 0.05
"""Time between two looks at the cost while memory is read [s]."""
PRICE_SECONDS = 60.0
"""Time between two calibrations [s]: one takes 0.1 s of mapprobe's time, and none of the target's."""


class Windows:
    """Decide when which points of one recording are watched; at first all are.

    Parameters
    ----------
    meter
        Measures what probing has cost.
    share
        Share of the process's CPU time that probing may take, 0 to 1; None: no limit.
    drain
        Takes in the events of the ring.
    tell
        Takes a line of news.
    """

    def __init__(
        self,
        probe: Probe,
        meter: Meter,
        writer: Writer,
        share: float | None,
        drain: Callable[[], object],
        tell: Callable[[str], None],
    ) -> None:
        self._probe, self._meter, self._writer, self._drain, self._tell = probe, meter, writer, drain, tell
        self._share = share
        groups = [self._numbers(kinds) for kinds in (GROWTHS, CREATIONS, OPERATIONS)]
        self._groups = [numbers for numbers in groups if numbers]
        shed = {number for numbers in self._groups for number in numbers}
        self._rest = [number for number in range(len(probe.points)) if number not in shed]
        self._governor = None if share is None else Governor(share, len(self._groups), cpus=meter.cpus)
        self._level = len(self._groups)
        self._shut_ns: dict[int, int] = {}
        """Points that send nothing, and since when [ns]."""
        self._detached_ns: int | None = None
        self._started = self._held_at = self._priced_at = time.monotonic()

    def _numbers(self, kinds: set[EventKind]) -> list[int]:
        return [number for number, point in enumerate(self._probe.points) if point.kind in kinds]

    def begin(self) -> None:
        """Attach all points: the recording begins."""
        numbers = [number for numbers in self._groups for number in numbers]
        self._probe.attach(numbers)
        self._started = self._held_at = self._priced_at = time.monotonic()
        self._admit(numbers, numbers)
        self.govern()

    @property
    def is_open(self) -> bool:
        """True while all points are watched."""
        return self._level == len(self._groups) and not self.is_spent

    @property
    def is_spent(self) -> bool:
        """True while hits are withheld because their budget is spent: points are to be shed."""
        return self._governor is not None and self._probe.spent_ns() is not None

    @property
    def is_known(self) -> bool:
        """False while a limit is given and nobody knows yet what probing costs."""
        return self._governor is None or self._governor.is_known

    @property
    def is_dear(self) -> bool:
        """True while all points are watched and cost, or may cost, too much to last."""
        is_whole = self._level == len(self._groups)
        return self._governor is not None and is_whole and self._governor.lasting < len(self._groups)

    @property
    def nap_seconds(self) -> float:
        """Time until the next drain [s]."""
        is_resting = self._governor is not None and self._level < len(self._groups)
        return RESTING_SECONDS if is_resting else DRAIN_SECONDS

    @property
    def look_seconds(self) -> float:
        """Time until the next look at losses and costs, unless it is needed before [s]."""
        return LOOK_SECONDS if self._governor is None or self.is_dear else LASTING_LOOK_SECONDS

    def seconds_left(self, most: float) -> float:
        """How long reading all known maps may take [s]: half of what can be paid, as the last window reads them twice.

        Parameters
        ----------
        most
            The longest time if there is no limit on the cost [s].
        """
        return min(most, self._governor.seconds_left / 2) if self._governor and self.is_dear else most

    def govern(self) -> bool:
        """Measure what probing costs, and attach and detach points as the limit allows.

        Returns
        -------
        True if a window was opened: any map may have changed unseen before the window.
        """
        is_sampled = self._meter.is_sampled()
        with suppress(HostError):  # the kernel could measure at the start: the times measured so far stay in use
            self._probe.measure(wanted=is_sampled or self.is_dear)
        if not self._governor:
            return False
        self._price_again()
        before = self._level
        self._set_level(self._choose(self._governor))
        return self._level == len(self._groups) > before

    def hold(self) -> None:
        """Shed points that can't be paid any more while memory is read; attach none."""
        if self._governor and self._governor.is_known and time.monotonic() - self._held_at > HOLD_SECONDS:
            self._set_level(min(self._level, self._choose(self._governor)))

    def _choose(self, governor: Governor) -> int:
        self._held_at = time.monotonic()
        costs, sent = (self._of_groups(found) for found in self._costs_ns())
        spent_ns, spent_at = self._probe.spent_ns(), None
        if spent_ns is not None:
            self._shut([number for numbers in self._groups[: self._level] for number in numbers], spent_ns)
            spent_at = max(0.0, self._held_at - self._started - (_now_ns() - spent_ns) / 1e9)
        look = Look(self._held_at - self._started, self._meter.cpu_ns, costs, self._level, sent, spent_at)
        level = governor.choose(look)
        if governor.is_over and self._detached_ns is None:
            self._detach_for_good(sum(costs))
        return level

    def _of_groups(self, costs: F64 | None) -> list[float]:
        """Return the cost of the points that are never shed, then of each group; 0 where the cost is not known."""
        return [0.0 if costs is None else float(costs[numbers].sum()) for numbers in [self._rest, *self._groups]]

    def _price_again(self) -> None:
        """Calibrate the price of a hit again every `PRICE_SECONDS`; if that fails, the old price holds."""
        if time.monotonic() - self._priced_at > PRICE_SECONDS:
            self._priced_at = time.monotonic()
            with suppress(HostError, OSError):
                self._meter.price_again(calibrate(self._probe.empty_probe))

    def _detach_for_good(self, cost_ns: float) -> None:
        """Detach all points but those at the process's exit: probing was over its limit for too long."""
        self._set_level(0)
        holding = {number for number in self._rest if self._probe.points[number].kind == EventKind.EXIT}
        let_go = [number for number in self._rest if number not in holding]
        self._detached_ns = self._probe.detach(let_go)
        self._shut(let_go, self._detached_ns)
        took = cost_ns / max(1, self._meter.cpu_ns)
        self._tell(
            f"probing took {took:.1%} of the process's CPU time, over --max-overhead {self._share:.1%} in "
            f"{MOST_PERIODS} periods of {PERIOD_SECONDS:.0f} s running: detached for good after "
            f"{time.monotonic() - self._started:.0f} s, what follows is not watched"
        )

    def rest(self) -> None:
        """Watch no more than can last, as reading the maps for the last time takes a while."""
        if self._governor:
            self._set_level(min(self._level, self._governor.lasting))

    def open_last(self) -> bool:
        """Attach all points for the last read of the maps, if the window can be paid; True if all are attached."""
        if not self.is_open and (self._governor is None or self._governor.can_end_watched()):
            if self._governor:
                self._governor.open_last()
            self._set_level(len(self._groups))
        return self.is_open

    def looked(self, seconds: float) -> None:
        """Note what reading every known map took at the start of a window [s]: the last window needs this time twice.

        In the last window maps are read for replay's model, and once more for `verify`, which compares the model.
        """
        if self._governor:
            self._governor.last_seconds = SHUTTING_SECONDS + 2 * seconds

    def end(self) -> dict[str, object]:
        """Write the gaps that are still open; return what probing has cost, as columns of the session's row."""
        self._note_gaps(self._shut_ns, _now_ns())
        costs, cpu_ns = self._costs_ns()[0], self._meter.cpu_ns
        # the costs are estimates: their sum may exceed the CPU time of the process
        known = None if costs is None else min(round(costs.sum()), cpu_ns)
        return {"max_overhead": self._share, "cpu_ns": cpu_ns, "cost_ns": known, "detached_ns": self._detached_ns}

    @property
    def cost_share(self) -> float | None:
        """Share of the process's CPU time that probing took so far, an estimate; None: not known (yet)."""
        costs, cpu_ns = self._costs_ns()[0], self._meter.cpu_ns
        return None if costs is None or not cpu_ns else min(1.0, float(costs.sum()) / cpu_ns)

    def _costs_ns(self) -> tuple[F64 | None, F64 | None]:
        """Return what the hits of each point cost, and what those of them cost that were not withheld."""
        hits, withheld = self._probe.hits()
        costs = self._meter.costs_ns(hits, withheld)
        return costs, None if costs is None else costs - withheld * self._meter.withheld_ns

    def _set_level(self, level: int) -> None:
        """Attach or detach groups, so that `level` of them are watched, and let hits of these cost what they may."""
        shed = [number for numbers in self._groups[level : self._level] for number in numbers]
        kept = [number for numbers in self._groups[: min(level, self._level)] for number in numbers]
        taken_up = [number for numbers in self._groups[self._level : level] for number in numbers]
        self._level = level
        if shed:
            now = _now_ns()
            self._admit([number for number in kept if number not in self._shut_ns])
            self._shut(shed, now)
            self._probe.detach(shed)  # meanwhile a hit of these costs only what a hit costs that is withheld
            self._drain()
        to_open = [number for number in [*kept, *taken_up] if number in self._shut_ns]
        if to_open and not shed:
            self._drain()
        if taken_up:
            self._probe.attach(taken_up)
        if to_open or not shed:
            self._note_gaps(to_open, self._admit([*kept, *taken_up], to_open))

    def _admit(self, numbers: Iterable[int], opened: Sequence[int] = ()) -> int:
        """Let the kernel send hits of these points only, as many as can be paid; return a moment after that [ns].

        Without a limit all that is attached sends, and nothing is said to the kernel.

        Parameters
        ----------
        opened
            Those of the points that sent nothing before.
        """
        if not self._governor:
            return _now_ns()
        kinds = {self._probe.points[number].kind for number in numbers}
        now = self._probe.admit(kinds, int(self._governor.budget_ns / self._meter.price_ns))
        self._probe.open(opened, now)
        return now

    def _shut(self, numbers: Iterable[int], at_ns: int) -> None:
        """Note that points send nothing since a moment, unless they have stopped before."""
        numbers = [number for number in numbers if number not in self._shut_ns]
        self._shut_ns |= dict.fromkeys(numbers, at_ns)
        self._probe.shut(numbers, at_ns)

    def _note_gaps(self, numbers: Iterable[int], until_ns: int) -> None:
        """Write a gap for each of these points, from its detaching to `until_ns`."""
        numbers = list(numbers)
        if not numbers:
            return
        self._writer.append(
            schema.GAPS,
            {
                "from_ns": [self._shut_ns.pop(number) for number in numbers],
                "to_ns": [until_ns] * len(numbers),
                "point": numbers,
                "cpu": [0] * len(numbers),
                "reason": [vocabulary.NOT_WATCHED] * len(numbers),
                "lost": [0] * len(numbers),
            },
        )


def watches(windows: Windows, probes: str) -> Callable[[], bool]:
    """Return a function that tells whether every operation sends an event at present; it refers to no session."""
    return lambda: probes == "ops" and windows.is_open


def is_open(windows: Windows) -> Callable[[], bool]:
    """Return a function that tells whether all points are watched at present; it refers to no session."""
    return lambda: windows.is_open


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
