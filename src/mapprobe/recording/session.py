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

    def document(self) -> dict[str, object]:
        """Return the ``recording`` object of mapprobe.report/1."""
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
