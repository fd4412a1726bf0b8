"""The session of a recording: which process was recorded, when, how, and how many events."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapprobe.arrays import I64
from mapprobe.vocabulary import Implementation

LAST_MOMENT = (1 << 63) - 1
"""Largest time that is accepted [ns]: later than any clock shows, so a later time means a damaged recording."""
UNFINISHED = "the recorder was stopped, or could not write, before the end: what came later is not known"
"""What a report says of a recording without a closing row."""


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a recording's events.

    Attributes
    ----------
    events
        How many can be read.
    stopped
        How many batches stand before the first damaged one; None: none is damaged.
    """

    events: int
    stopped: int | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """The last row of `schema.SESSION`, with names for the values that reports show."""

    row: dict[str, Any]

    @property
    def lost(self) -> int:
        """Number of events that were lost."""
        return int(self.row["lost"])

    @property
    def events(self) -> int:
        """Number of events that were recorded."""
        return int(self.row["events"])

    @property
    def implementation(self) -> Implementation:
        """Which implementation of maps the process had."""
        return Implementation(self.row["implementation"])

    @property
    def go_release(self) -> tuple[int, int]:
        """The release of Go that the process was built with, such as (1, 27)."""
        major, minor = re.findall(r"\d+", self.row["go_version"])[:2]
        return int(major), int(minor)

    @property
    def is_sound(self) -> bool:
        """True if the version of Go and the implementation are values that a recorder writes."""
        try:
            return self.go_release > (0, 0) and bool(self.implementation)
        except ValueError:
            return False

    @property
    def is_finished(self) -> bool:
        """True if its recorder wrote the closing row."""
        return self.row["ended"] is not None

    def damage(self, left: Left) -> str:
        """Return in words which of the events can't be read any more, nothing if all can."""
        if left.stopped is not None:
            rest = f" of {self.events:,}" if self.is_finished else ""
            return f"events.arrow is damaged behind batch {left.stopped:,}: {left.events:,}{rest} events are left"
        if self.is_finished and left.events < self.events:
            return f"the last events are missing: {left.events:,} of {self.events:,} are left"
        return ""

    def document(self, left: Left | None = None) -> dict[str, object]:
        """Return the ``recording`` object of mapprobe.report/1.

        Parameters
        ----------
        left
            What is left of the events; None: nobody looked, and the events that were recorded are counted.
        """
        found = self._as_written() | ({} if self.is_finished else {"unfinished": UNFINISHED})
        if left is None:
            return found
        damage = self.damage(left)
        return found | {"events": left.events} | ({"damaged": damage} if damage else {})

    def _as_written(self) -> dict[str, object]:
        names = ("go_version", "build_id", "binary", "pid", "implementation", "started", "ended", "events")
        return {name: self.row[name] for name in names} | {"lost_events": self.lost, "probes": self.row["probes"]}


@dataclass(frozen=True, slots=True)
class Span:
    """Times of a recording [ns]: its start, first event, last event, and end (or the end of the part that is shown)."""

    start_ns: int
    first_ns: int
    last_ns: int
    end_ns: int

    def points(self, count: int) -> I64:
        """Return at most `count` times spread evenly from the first to the last event, without times at `end_ns`.

        Callers show the end separately.
        """
        steps, length = max(1, count - 1), self.last_ns - self.first_ns
        at_ns = (self.first_ns + length * n // steps for n in range(count))
        return np.unique(np.array([at for at in at_ns if at < self.end_ns], np.int64))
