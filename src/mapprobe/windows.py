"""The windows in which operations are watched, so that probing takes no more of the target's CPU time than it may.

Creations, growths and clears are watched all the time. What lies between two windows is a gap in the recording, and
nobody knows how much happened in it; at the start of each, every map that is known is to be read from memory again.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mapprobe import schema
from mapprobe.cost import Governor, Meter
from mapprobe.probe import Probe
from mapprobe.schema import EventKind
from mapprobe.store import Writer

SHUTTING_SECONDS = 0.1
"""What it takes at most to open the last window and to take the probes from it."""
OPERATIONS = {EventKind.ASSIGN, EventKind.DELETE}

I64 = npt.NDArray[np.int64]


class Windows:
    """When the operations of one recording are watched; at first they are.

    Parameters
    ----------
    meter
        What probing has cost.
    share
        What it may, of the process's CPU time, 0 to 1; None: whatever it takes.
    drain
        Takes in the events of the ring.
    """

    def __init__(
        self, probe: Probe, meter: Meter, writer: Writer, share: float | None, drain: Callable[[], object]
    ) -> None:
        self._probe, self._meter, self._writer, self._drain = probe, meter, writer, drain
        self._operations = [n for n, point in enumerate(probe.points) if point.kind in OPERATIONS]
        self._share = share
        self._governor = None if share is None or not self._operations else Governor(share)
        self._shut_ns: int | None = None
        self._has_shut = False

    @property
    def is_open(self) -> bool:
        """True while operations are watched."""
        return self._shut_ns is None

    def govern(self, elapsed: float, outcomes: I64) -> bool:
        """Measure what probing costs, and open or shut as that allows.

        Parameters
        ----------
        elapsed
            Since the start [s].
        outcomes
            Of all hits, `Probe.outcomes`.

        Returns
        -------
        True if a window was opened: then any map may be other than its events say.
        """
        self._probe.measure(wanted=self._meter.is_sampled())
        if not self._governor:
            return False
        was_open, cost_ns = self.is_open, self._cost_ns(outcomes) or 0.0
        is_open = self._governor.keeps_watching(elapsed, self._meter.cpu_ns, cost_ns, is_watching=was_open)
        if was_open and not is_open:
            self._shut()
        elif is_open and not was_open:
            self.open()
        return is_open and not was_open

    def rest(self) -> None:
        """Watch no operations for what takes its time, if there were times already when that was too dear."""
        if self._has_shut and self.is_open:
            self._shut()

    def _shut(self) -> None:
        self._drain()
        self._has_shut, self._shut_ns = True, self._probe.detach(self._operations)

    def open(self) -> None:
        """Watch operations from now on."""
        self._drain()
        self._note_gap(self._probe.attach(self._operations))

    def looked(self, seconds: float) -> None:
        """Note what reading every known map took at the start of a window [s]: the last is to have time for it twice.

        There they are read for the model, and once more as what it is held to.
        """
        if self._governor:
            self._governor.last_seconds = SHUTTING_SECONDS + 2 * seconds

    def end(self, outcomes: I64) -> dict[str, object]:
        """Note that no window comes any more; return what probing has cost, for the session's row."""
        if not self.is_open:
            self._note_gap(time.clock_gettime_ns(time.CLOCK_MONOTONIC))
        cost_ns, cpu_ns = self._cost_ns(outcomes), self._meter.cpu_ns
        # an estimate: it may come to more than there was
        known = None if cost_ns is None else min(round(cost_ns), cpu_ns)
        return {"max_overhead": self._share, "cpu_ns": cpu_ns, "cost_ns": known}

    def _cost_ns(self, outcomes: I64) -> float | None:
        return self._meter.cost_ns(outcomes.sum(axis=(1, 2)))

    def _note_gap(self, opened_ns: int) -> None:
        """Write a gap for each point of an operation."""
        count = len(self._operations)
        self._writer.append(
            schema.GAPS,
            {
                "from_ns": [self._shut_ns] * count,
                "to_ns": [opened_ns] * count,
                "point": self._operations,
                "cpu": [0] * count,
                "reason": [schema.NOT_WATCHED] * count,
                "lost": [0] * count,
            },
        )
        self._shut_ns = None
