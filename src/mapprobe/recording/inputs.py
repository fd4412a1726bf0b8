"""What a replay needs from a recording besides the events: `Inputs`, with the censuses (`Taken`)."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from mapprobe.recording.sites import Sites
from mapprobe.vocabulary import Implementation

EVERY_OPERATION = "ops"


@dataclass(frozen=True, slots=True)
class Taken:
    """A census that was taken at the start or the end of a recording.

    Attributes
    ----------
    rows
        `tables.census.CENSUS`, one row a map; narrow (`narrow`).
    started_ns, ended_ns
        When the reading of memory began and ended, on the clock of the events.
    sees_stacks
        The census also looked for headers on the goroutines' stacks.
    """

    rows: pa.Table
    started_ns: int
    ended_ns: int
    sees_stacks: bool = False


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a replay needs from a recording besides the events.

    Attributes
    ----------
    types, points, gaps, snapshot_maps, snapshot_buckets
        Tables of the recording (`schema`).
    sites
        Call site of each stack.
    probes
        ``ops``, ``growth`` or ``light``.
    attached
        The process ran before the recording began.
    is_cut
        The last events of the recording are missing.
    start, end
        The censuses of the start and of the end; None if not taken.
    """

    implementation: Implementation
    go_release: tuple[int, int]
    probes: str
    attached: bool
    is_cut: bool
    types: pa.Table
    points: pa.Table
    gaps: pa.Table
    snapshot_maps: pa.Table
    snapshot_buckets: pa.Table
    sites: Sites
    start: Taken | None = None
    end: Taken | None = None

    @property
    def knows_entries(self) -> bool:
        """True if every operation was recorded, so that replay knows the entries of maps."""
        return self.probes == EVERY_OPERATION
