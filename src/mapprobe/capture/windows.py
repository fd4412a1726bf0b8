"""The windows of a recording: attach and detach probes so that probing keeps to its limit of the target's CPU time.

A window is a time in which all probes are attached. The time between two windows is a gap in the recording: nobody
knows how much happened in the gap, so every known map has to be read from memory again when a window begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from mapprobe import vocabulary
from mapprobe.arrays import F64
from mapprobe.capture.kernel.probe import Probe
from mapprobe.capture.overhead import MOST_PERIODS, PERIOD_SECONDS, Governor, Meter, calibrate
from mapprobe.capture.plan import CREATIONS, GROWTHS, OPERATIONS
from mapprobe.errors import HostError
from mapprobe.recording.tables import schema
from mapprobe.recording.writer import Writer
from mapprobe.vocabulary import EventKind

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
        self._governor = None if share is None else Governor(share, len(self._groups))
        self._level = len(self._groups)
        self._shut_ns: dict[int, int] = {}
        self._detached_ns: int | None = None
        self._is_last = False
        self._started = self._held_at = self._priced_at = time.monotonic()

    def _numbers(self, kinds: set[EventKind]) -> list[int]:
        return [number for number, point in enumerate(self._probe.points) if point.kind in kinds]

    def begin(self) -> None:
        """Attach all points: the recording begins."""
        self._probe.measure(wanted=True)
        self._probe.attach(number for numbers in self._groups for number in numbers)
        self._started = self._held_at = self._priced_at = time.monotonic()
        self.govern()

    @property
    def is_open(self) -> bool:
        """True while all points are watched."""
        return self._level == len(self._groups)

    @property
    def is_known(self) -> bool:
        """False while a limit is given and nobody knows yet what probing costs."""
        return self._governor is None or self._governor.is_known

    @property
    def is_dear(self) -> bool:
        """True while all points are watched and cost, or may cost, too much to last: look at the cost at each drain."""
        return self._governor is not None and self.is_open and self._governor.lasting < len(self._groups)

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
            self._probe.measure(wanted=is_sampled or not self.is_known)
        if not self._governor:
            return False
        self._price_again()
        was_open = self.is_open
        self._set_level(self._choose(self._governor))
        return self.is_open and not was_open

    def hold(self) -> None:
        """Shed points that can't be paid any more while the maps are read for the last time; attach none."""
        if self._governor and self._is_last and time.monotonic() - self._held_at > HOLD_SECONDS:
            self._set_level(min(self._level, self._choose(self._governor)))

    def _choose(self, governor: Governor) -> int:
        self._held_at = time.monotonic()
        costs = self._costs_ns()
        of_groups = [0.0 if costs is None else float(costs[numbers].sum()) for numbers in [self._rest, *self._groups]]
        level = governor.choose(self._held_at - self._started, self._meter.cpu_ns, of_groups, self._level)
        if governor.is_over and self._detached_ns is None:
            self._detach_for_good(sum(of_groups))
        return level

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
        self._shut_ns |= dict.fromkeys(let_go, self._detached_ns)
        took = cost_ns / max(1, self._meter.cpu_ns)
        self._tell(
            f"probing took {took:.1%} of the process's CPU time, over --max-overhead {self._share:.1%} in "
            f"{MOST_PERIODS} periods of {PERIOD_SECONDS:.0f} s running: detached for good after "
            f"{time.monotonic() - self._started:.0f} s, what follows is not watched"
        )

    def rest(self) -> None:
        """Watch no more than can last, as reading the maps for the last time takes a while."""
        self._is_last = True
        if self._governor:
            self._set_level(min(self._level, self._governor.lasting))

    def open_last(self) -> bool:
        """Attach all points for the last read of the maps, if the window can be paid; True if all are attached."""
        if not self.is_open and (self._governor is None or self._governor.can_end_watched()):
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
        self._note_gaps(self._shut_ns, time.clock_gettime_ns(time.CLOCK_MONOTONIC))
        costs, cpu_ns = self._costs_ns(), self._meter.cpu_ns
        # the costs are estimates: their sum may exceed the CPU time of the process
        known = None if costs is None else min(round(costs.sum()), cpu_ns)
        return {"max_overhead": self._share, "cpu_ns": cpu_ns, "cost_ns": known, "detached_ns": self._detached_ns}

    @property
    def cost_share(self) -> float | None:
        """Share of the process's CPU time that probing took so far, an estimate; None: not known (yet)."""
        costs, cpu_ns = self._costs_ns(), self._meter.cpu_ns
        return None if costs is None or not cpu_ns else min(1.0, float(costs.sum()) / cpu_ns)

    def _costs_ns(self) -> F64 | None:
        return self._meter.costs_ns(self._probe.outcomes().sum(axis=(1, 2)))

    def _set_level(self, level: int) -> None:
        """Attach or detach groups, so that `level` of them are watched."""
        shed = [number for numbers in self._groups[level : self._level] for number in numbers]
        taken_up = [number for numbers in self._groups[self._level : level] for number in numbers]
        self._level = level
        if shed:
            self._shut_ns |= dict.fromkeys(shed, self._probe.detach(shed))
            self._drain()
        if taken_up:
            self._drain()
            self._note_gaps(taken_up, self._probe.attach(taken_up))

    def _note_gaps(self, numbers: Iterable[int], until_ns: int) -> None:
        """Write a gap for each of these points, from its detaching to `until_ns`."""
        numbers = list(numbers)
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
